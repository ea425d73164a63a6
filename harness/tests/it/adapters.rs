//! Fixtures that are broken or mean harm: the adapter's fault is never a rule's failure, and the suite keeps within its limits.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::cli::CONTROL_TOKEN;
use crate::harm::{drip, edited, endless, once, reset_after};
use crate::hostile::{RULES, TOGETHER, assert_within_limits};
use crate::measured::Ran;
use crate::middle::{Answering, Elsewhere, Middle, Plan, honest};

/// What calls and the run may take where some are never answered.
const SHORT: [&str; 6] = ["--fixture-time", "800ms", "--run-time", "6s", "--settle", "50ms"];

/// What they may take where all are.
const LONG: [&str; 6] = ["--fixture-time", "10s", "--run-time", "15s", "--settle", "50ms"];

/// Good calls before the harm begins, in the middle of the run.
const GOOD_CALLS: usize = 4;

/// Runs these side by side, but not too many at once.
async fn a_few_at_a_time(runs: impl Iterator<Item = impl Future<Output = Ran>>) {
    futures::stream::iter(runs).buffer_unordered(TOGETHER).for_each(|_| async {}).await;
}

/// Answers the first calls well, and then like this.
fn after(good: usize, harm: Answering) -> Answering {
    let calls = Arc::new(AtomicUsize::new(0));
    Arc::new(move |stream, asked| {
        let good = calls.fetch_add(1, Ordering::SeqCst) < good;
        if good { honest()(stream, asked) } else { harm(stream, asked) }
    })
}

/// Sets the value of each token that an answer gives out.
fn with_tokens(answer: &mut Value, value: &str) {
    for token in answer.pointer_mut("/result/tokens").and_then(Value::as_array_mut).into_iter().flatten() {
        token["token"] = json!(value);
    }
    if let Some(token) = answer.pointer_mut("/result/inbound_token") {
        *token = json!(value);
    }
}

fn control_harms(elsewhere: &str) -> Vec<(&'static str, Answering)> {
    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let redirect =
        format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {elsewhere}/_control\r\ncontent-length: 0\r\n\r\n");
    let long = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"{}\"}}", "x".repeat(2 * 1024 * 1024));
    vec![
        ("no JSON", once(format!("{OK}content-length: 5\r\n\r\nhello"))),
        ("another status", once("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")),
        ("a redirection to elsewhere", once(redirect)),
        ("an endless answer", endless(format!("{OK}\r\n"), "[[[[[[[[")),
        ("an answer beyond the limit", once(format!("{OK}content-length: {}\r\n\r\n{long}", long.len()))),
        ("an answer that drips", drip(&format!("{OK}content-length: 9999\r\n\r\n{}", " ".repeat(999)))),
        ("a reset", reset_after("HTTP/1.1 200")),
        ("another id", edited(|answer| answer["id"] = json!(0))),
        ("another version", edited(|answer| answer["jsonrpc"] = json!("1.0"))),
        ("no result", edited(|answer| *answer = json!({"jsonrpc": "2.0", "id": answer["id"]}))),
        (
            "an error that is none",
            edited(|answer| *answer = json!({"jsonrpc": "2.0", "id": answer["id"], "error": "no"})),
        ),
        ("a result of another form", edited(|answer| answer["result"] = json!(["\u{1b}[2J", {"\u{1b}": 7}]))),
        (
            "values nested too deep",
            edited(|answer| {
                answer["result"]["more"] = (0..100).fold(json!(1), |inner, _| json!([inner]));
            }),
        ),
        (
            "a refusal that steers and tells the token",
            edited(|answer| {
                let reason = format!("\u{1b}[2J\u{7} {CONTROL_TOKEN} {}", "x".repeat(500));
                let error = json!({"code": -32000, "message": reason, "data": {"reason": reason}});
                *answer = json!({"jsonrpc": "2.0", "id": answer["id"], "error": error});
            }),
        ),
    ]
}

/// Judges behind fixtures like these and says what is wrong with what comes of it.
async fn suffer(what: &str, control: Answering, codes: &[i32]) -> Ran {
    let middle = Middle::start(Plan { api: honest(), control }).await;
    let target = middle.target_file("");
    let ran =
        tokio::task::spawn_blocking(move || Ran::check(&target, &[&RULES[..], &SHORT[..]].concat())).await.unwrap();
    assert_blameless(what, &ran, codes);
    ran
}

#[track_caller]
fn assert_blameless(what: &str, ran: &Ran, codes: &[i32]) {
    assert_within_limits(what, ran);
    ran.assert_clean(what);
    let shown = format!("{what}: {:?}\n{}{}", ran.code, ran.stdout, ran.stderr);
    assert!(ran.code.is_some_and(|code| codes.contains(&code)), "{shown}");
    if ran.has_report() {
        let summary = ran.report().summary;
        assert_eq!((summary.fail, summary.warn), (0, 0), "{shown}");
    } else {
        assert!(ran.stderr.contains("hello"), "{shown}");
    }
    for (place, text) in ran.outputs() {
        assert!(!text.contains(CONTROL_TOKEN), "{what}: the control token is in {place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_is_broken_from_the_start_ends_with_three() {
    let elsewhere = Elsewhere::open().await;
    let runs = control_harms(&elsewhere.url).into_iter().map(|(what, harm)| suffer(what, harm, &[3]));
    a_few_at_a_time(runs).await;
    assert_eq!(elsewhere.visits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_breaks_in_the_middle_fails_no_rule() {
    let elsewhere = Elsewhere::open().await;
    let harms = control_harms(&elsewhere.url).into_iter();
    a_few_at_a_time(harms.map(|(what, harm)| suffer(what, after(GOOD_CALLS, harm), &[3, 4]))).await;
    assert_eq!(elsewhere.visits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_cannot_be_kept_out_of_reports_are_the_adapters_fault() {
    let too_many: Answering = edited(|answer| {
        let tokens: Vec<Value> =
            (0..10_000).map(|id| json!({"id": id.to_string(), "token": "rk_wh_one_of_too_many"})).collect();
        if let Some(given) = answer.pointer_mut("/result/tokens") {
            *given = json!(tokens);
        }
    });
    let empty: Answering = edited(|answer| {
        for token in answer.pointer_mut("/result/tokens").and_then(Value::as_array_mut).into_iter().flatten() {
            token["token"] = json!("");
        }
    });
    for (what, harm) in [
        ("empty tokens", empty),
        ("short tokens", edited(|answer| with_tokens(answer, "abc"))),
        ("giant tokens", edited(|answer| with_tokens(answer, &"x".repeat(500_000)))),
        ("tokens that steer", edited(|answer| with_tokens(answer, "rk_wh_\u{1b}[2J\r\nx: y"))),
        ("too many tokens", too_many),
    ] {
        let ran = suffer(what, harm, &[3, 4]).await;
        assert!(
            ran.report()
                .rules
                .iter()
                .any(|rule| rule.reason.contains("domain.create") || rule.reason.contains("token.create"))
        );
    }
}

/// A target file for an adapter that bridges to a reference and does harm after some calls.
fn bridged(middle: &Middle, harm: &str, good: usize) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/bridge.py");
    let command = json!(["python3", script, format!("{}/_control", middle.url), CONTROL_TOKEN, harm, good.to_string()]);
    format!("[fixtures]\nkind = \"command\"\ncommand = {command}\n")
}

async fn adapter_suffered(harm: &str, good: usize, codes: &[i32], limits: &[&str]) -> Ran {
    let middle = Middle::start(Plan { api: honest(), control: honest() }).await;
    let target = bridged(&middle, harm, good);
    let arguments: Vec<String> = RULES.iter().chain(limits).map(|&word| word.to_owned()).collect();
    let run = move || Ran::check(&target, &arguments.iter().map(String::as_str).collect::<Vec<&str>>());
    let ran = tokio::task::spawn_blocking(run).await.unwrap();
    assert_blameless(harm, &ran, codes);
    ran
}

const HARMS: [&str; 9] = [
    "garbage",
    "another id",
    "an id of another type",
    "silence",
    "an endless line",
    "endless lines",
    "a line beyond the limit",
    "values nested too deep",
    "its end",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_that_is_broken_from_the_start_ends_with_three() {
    a_few_at_a_time(HARMS.into_iter().map(|harm| adapter_suffered(harm, 0, &[3], &SHORT))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_that_breaks_in_the_middle_fails_no_rule() {
    a_few_at_a_time(HARMS.into_iter().map(|harm| adapter_suffered(harm, GOOD_CALLS, &[3, 4], &SHORT))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_that_says_more_than_it_must_is_understood() {
    for harm in ["every answer twice", "chatter between answers"] {
        let ran = adapter_suffered(harm, 0, &[0], &LONG).await;
        assert!(ran.report().summary.pass > 0, "{}", ran.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_adapter_writes_to_stderr_is_shown_without_secrets_and_cannot_steer() {
    // The end of what it says is kept, and checks with generated cases end with calls that name no secret.
    let ran = adapter_suffered("complaints", 0, &[0], &[&LONG[..], &["--verbose", "--cases", "0"]].concat()).await;
    assert!(ran.stderr.contains("bytes left out") && ran.stderr.contains("noise"), "{}", ran.stderr);
    assert!(ran.stderr.contains("<token:d") || ran.stderr.contains("<inbound-"), "no name of a secret");
    assert!(!ran.stderr.contains("rk_wh_"), "a token shows");
    let quiet = adapter_suffered("complaints", 0, &[0], &LONG).await;
    assert!(!quiet.stderr.contains("noise"), "{}", quiet.stderr);
}
