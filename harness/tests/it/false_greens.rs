//! The ways in which suites have gone green without cause, each made again here, where it must not.
//!
//! Those that are shown elsewhere: a filter that selects nothing, and a target file that is not there (`cli`); a narrowed run that is
//! called whole, a list of known failures that is out of date, and a machine's report that differs from a person's (`reports`).

use hookproof::report::load::LoadVerdict;
use hookproof::verdict::{Status, Verdict, worst};
use serde_json::json;

use crate::audit_history::audited;
use crate::cli::{Served, folder, hookproof, text};
use crate::harm::{changed, edited, reset_after};
use crate::load::Loaded;
use crate::measured::Ran;
use crate::middle::{Answering, Middle, Plan, honest};

/// Rules that rest on what the fixtures say and on no answer of the API.
const JUDGED_BY_FIXTURES: [&str; 2] = ["rndrkit.tokens.prefix", "craftkit.template.own-credentials"];

async fn judged(api: Answering, control: Answering, arguments: &'static [&'static str]) -> Ran {
    let middle = Middle::start(Plan { api, control }).await;
    let target = middle.target_file("");
    let limits = ["--settle", "50ms", "--run-time", "15s"];
    tokio::task::spawn_blocking(move || Ran::check(&target, &[arguments, &limits[..]].concat())).await.unwrap()
}

/// Answers as the reference does, with another status line in place of this one.
fn status_changed(from: &'static str, to: &'static str) -> Answering {
    changed(move |answer| {
        let line = answer.iter().position(|byte| *byte == b'\r').unwrap_or(0);
        let status = String::from_utf8_lossy(&answer[..line]).replace(from, to);
        [status.as_bytes(), &answer[line..]].concat()
    })
}

fn statuses(ran: &Ran, prefix: &str) -> Vec<(String, Status)> {
    let rules = ran.report().rules.into_iter().filter(|rule| rule.id.starts_with(prefix));
    rules.map(|rule| (rule.id, rule.status)).filter(|(_, status)| *status != Status::Excluded).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_for_which_nothing_can_be_run_is_not_green_whatever_is_allowed() {
    let none = || edited(|answer| answer["result"]["methods"] = json!(["hello"]));
    for arguments in [&["--api", "rndrkit"][..], &["--api", "rndrkit", "--allow-incomplete"]] {
        let ran = judged(honest(), none(), arguments).await;
        assert_eq!(ran.code, Some(3), "{}", ran.stdout);
        assert_eq!(ran.report().verdict, Verdict::Incomplete);
    }
}

#[test]
fn a_target_file_that_cannot_be_understood_ends_with_two() {
    for file in ["rndrkit = ", "[rndrkit]\nbase_ulr = \"http://127.0.0.1:1\"\n", "", "[fixtures]\nkind = \"htp\"\n"] {
        let folder = folder();
        std::fs::write(folder.path().join("hookproof.toml"), file).unwrap();
        let run = hookproof(folder.path(), &["check"]);
        assert_eq!(run.status.code(), Some(2), "{file}: {}", text(&run.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_whose_prerequisite_is_missing_keeps_the_run_from_being_green() {
    let without = edited(|answer| {
        if let Some(methods) = answer.pointer_mut("/result/methods").and_then(|methods| methods.as_array_mut()) {
            methods.retain(|method| method != "token.revoke");
        }
    });
    let ran = judged(honest(), without, &["--only", "rndrkit.auth.*"]).await;
    assert_eq!(ran.code, Some(4), "{}", ran.stdout);
    let not_run = ran.report().rules.into_iter().find(|rule| rule.id == "rndrkit.auth.token-revoked").unwrap();
    assert_eq!(not_run.status, Status::NotRun);
    assert!(not_run.reason.contains("token.revoke"), "{}", not_run.reason);
    // Most viewers show what was skipped as green: the verdict has a case of its own.
    let junit = quick_junit::Report::deserialize_from_str(&ran.file("report.xml")).unwrap();
    assert!(junit.test_suites.iter().any(|suite| suite.name.as_str() == "hookproof" && suite.failures == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_everything_passes_no_rule_about_refusals() {
    let refusal = "{\"error\":\"Invalid or revoked webhook token\"}";
    let refuses: Answering = crate::harm::once(format!(
        "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{refusal}",
        refusal.len()
    ));
    let ran = judged(refuses, honest(), &["--only", "rndrkit.auth.*"]).await;
    assert!(matches!(ran.code, Some(1 | 4)), "{}", ran.stdout);
    let passed: Vec<(String, Status)> =
        statuses(&ran, "rndrkit.auth.").into_iter().filter(|(_, status)| *status == Status::Pass).collect();
    assert_eq!(passed, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_with_another_code_is_not_accepted_for_the_documented_one() {
    let ran =
        judged(status_changed("401 Unauthorized", "400 Bad Request"), honest(), &["--only", "rndrkit.auth.*"]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    let failed = |(id, status): &(String, Status)| id.contains("token-unknown") && *status == Status::Fail;
    assert!(statuses(&ran, "rndrkit.auth.").iter().any(failed), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_from_which_the_suites_domains_are_exempt_fails() {
    let ran =
        judged(status_changed("429 Too Many Requests", "200 OK"), honest(), &["--only", "rndrkit.rate.ten-per-hour"])
            .await;
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert_eq!(statuses(&ran, "rndrkit.rate."), [("rndrkit.rate.ten-per-hour".to_owned(), Status::Fail)]);
}

#[test]
fn a_matrix_without_any_deviation_is_not_green() {
    let folder = folder();
    let run = hookproof(folder.path(), &["prove", "--only", "no-such-deviation"]);
    assert_eq!(run.status.code(), Some(2), "{}{}", text(&run.stdout), text(&run.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_check_passes_when_no_request_was_answered() {
    let (_, run) = crate::judge(reference_server::Parts::reference(), &[], 1).await;
    let mut passed = Vec::new();
    for result in run.results {
        let mut evidence = result.evidence;
        evidence.deliveries.clear();
        for exchange in &mut evidence.exchanges {
            exchange.response = None;
            exchange.error = Some("connection reset".to_owned());
        }
        let findings = (result.check.judge)(&evidence);
        let of_rule = |rule: &&&str| worst(findings.iter().filter(|finding| finding.rule == **rule));
        let judged = result.check.rules.iter().filter(|rule| {
            !JUDGED_BY_FIXTURES.contains(rule)
                && of_rule(rule).is_some_and(|finding| finding.status == Status::Pass || finding.status.is_red())
        });
        passed.extend(judged.map(|rule| format!("{}: {rule}", result.check.id)));
    }
    assert_eq!(passed, Vec::<String>::new(), "judged without any answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_in_which_no_request_is_answered_is_not_green() {
    let ran =
        judged(reset_after(""), honest(), &["--only", "rndrkit.tokens.*", "--only", "rndrkit.rate.ten-per-hour"]).await;
    assert!(matches!(ran.code, Some(3 | 4)), "{}", ran.stdout);
    assert_eq!(ran.report().summary.fail, 0, "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_option_makes_a_failure_green() {
    let limit = status_changed("429 Too Many Requests", "200 OK");
    let ran = judged(limit, honest(), &["--only", "rndrkit.rate.ten-per-hour", "--quiet", "--allow-incomplete"]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert!(ran.stdout.contains("FAIL") && ran.stdout.contains("does not conform"), "{}", ran.stdout);
}

/// The header of a history, and an operation: how it began, and how it ended without saying anything of a limit.
const HEADER: &str = r#"{"v":1,"header":true,"recorder":"a","unix_ms":1760000000000,"skew_ms":0,"limit":10,"window_ms":3600000,"tolerance_ms":2000,"quota":"reached","keys":{"d1":{"fresh":true}}}"#;
const BEGAN: &str =
    r#"{"v":1,"n":1,"api":"rndrkit","key":"d1","token":"d1.1","op":"refresh","pages":1,"start_ns":1000}"#;
const FAILED: &str = r#"{"v":1,"n":1,"end_ns":2000,"status":500,"error":"Internal Server Error"}"#;
const UNKNOWN: &str = r#"{"v":1,"n":1,"end_ns":2000,"error":"timeout"}"#;
const RENDER_UNKNOWN: &str = r#"{"v":1,"n":2,"api":"craftkit","key":"t1","op":"render","start_ns":1000,"end_ns":2000,"error":"connection lost"}"#;

/// Whatever is allowed, this history ends `audit` with this code and these words.
#[track_caller]
fn check_history(history: &[u8], code: i32, words: &str) {
    let folder = folder();
    std::fs::write(folder.path().join("run.jsonl"), history).unwrap();
    for options in [&[][..], &["--allow-incomplete"]] {
        let (found, shown) = audited(folder.path(), &["run.jsonl"], options);
        let history = String::from_utf8_lossy(history);
        assert_eq!(found, Some(code), "{options:?}: {history}\n{shown}");
        assert!(shown.contains(words), "{options:?}: {history}\n{shown}");
    }
}

#[test]
fn a_history_that_shows_nothing_is_not_green_whatever_is_allowed() {
    let lines = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let nothing = "nothing was judged";
    check_history(b"", 2, "expected a header");
    check_history(lines(&[HEADER]).as_bytes(), 4, nothing);
    check_history(lines(&[HEADER, BEGAN]).as_bytes(), 4, nothing);
    check_history(lines(&[HEADER, BEGAN, FAILED]).as_bytes(), 4, nothing);
    check_history(lines(&[HEADER, BEGAN, UNKNOWN, RENDER_UNKNOWN]).as_bytes(), 4, nothing);
}

#[test]
fn a_history_of_which_only_what_shows_nothing_is_left_is_not_green_whatever_is_allowed() {
    const SERVED: &str = r#"{"v":1,"n":1,"end_ns":2000,"status":200}"#;
    let whole = [HEADER, BEGAN, SERVED].map(|line| format!("{line}\n")).concat();
    let folder = folder();
    std::fs::write(folder.path().join("run.jsonl"), &whole).unwrap();
    let (code, shown) = audited(folder.path(), &["run.jsonl"], &[]);
    assert_eq!(code, Some(0), "not cut off, it shows something: {shown}");
    let (header, began) = (HEADER.len() + 1, BEGAN.len() + 1);
    for (left, code, words) in [
        (HEADER.len() / 2, 2, "expected a JSON object"),
        (header, 4, "nothing was judged"),
        (header + began / 2, 4, "cut off"),
        (header + began + SERVED.len() / 2, 4, "cut off"),
    ] {
        check_history(&whole.as_bytes()[..left], code, words);
    }
    // Compressed, there is no line that could be left out.
    let compressed = zstd::encode_all(whole.as_bytes(), 0).unwrap();
    check_history(&compressed[..compressed.len() - 4], 2, "run.jsonl");
}

#[test]
fn a_history_that_contradicts_ends_load_and_audit_with_one_whatever_is_allowed() {
    let folder = folder();
    let served =
        Served::start(folder.path(), &["--store", "memory", "--clock", "manual", "--deviation", "limit-eleven"]);
    let target = served.target_file(folder.path());
    let options = ["--settle", "0s", "--history", "run.jsonl", "--allow-incomplete", "--quiet"];
    let loaded = Loaded::run(folder.path(), &[&["--target", &target, "first-window"], &options[..]].concat());
    assert_eq!((loaded.code(), loaded.report.verdict), (Some(1), LoadVerdict::Fails), "{}", loaded.said());
    let (code, shown) = audited(folder.path(), &["run.jsonl"], &["--allow-incomplete", "--quiet"]);
    assert_eq!(code, Some(1), "{shown}");
}

#[test]
fn a_threshold_that_nobody_meets_or_of_which_nothing_is_known_ends_load_with_one_whatever_is_allowed() {
    for (threshold, is_sampled) in [("p99<10s for poll", false), ("max<1us", true)] {
        let folder = folder();
        let options = ["token-spread", "--allow-incomplete", "--quiet", "--threshold", threshold];
        let loaded = Loaded::run(folder.path(), &options);
        let judged = &loaded.report.thresholds[0];
        assert_eq!(judged.samples > 0, is_sampled, "{}", loaded.said());
        // On a machine that cannot keep up nothing is said about latencies.
        if is_sampled && judged.status == Status::Inconclusive && judged.found.contains("cannot be trusted") {
            continue;
        }
        let found = (loaded.code(), loaded.report.verdict, judged.status);
        assert_eq!(found, (Some(1), LoadVerdict::Fails, Status::Fail), "{}", loaded.said());
    }
}
