//! Reports for machines, known failures, and judging a report again.

use std::path::Path;

use hookproof::verdict::{Finding, Status};
use serde_json::{Value, json};

use crate::cli::{Served, folder, hookproof, report, text};

const RULE: &str = "rndrkit.rate.ten-per-hour";

/// Judges the rate rules of a served reference and returns exit code and stdout; the JSON report is `report.json`.
fn judged(folder: &Path, served: &Served, entries: &str, more: &[&str]) -> (Option<i32>, String) {
    let target = served.target_file(folder);
    let file = std::fs::read_to_string(&target).unwrap();
    std::fs::write(&target, format!("{file}{entries}")).unwrap();
    let arguments = ["check", "--target", &target, "--only", "rndrkit.rate.*", "--report", "json=report.json"];
    let run = hookproof(folder, &[&arguments[..], more].concat());
    (run.status.code(), format!("{}{}", text(&run.stdout), text(&run.stderr)))
}

fn wrong_limit(folder: &Path) -> Served {
    Served::start(folder, &["--store", "memory", "--clock", "manual", "--deviation", "limit-eleven"])
}

fn reference(folder: &Path) -> Served {
    Served::start(folder, &["--store", "memory", "--clock", "manual"])
}

fn known(rule: &str, reason: &str, expires: &str) -> String {
    let expires = if expires.is_empty() { String::new() } else { format!("expires = \"{expires}\"\n") };
    format!("[[known_failures]]\nrule = \"{rule}\"\nreason = \"{reason}\"\n{expires}")
}

#[test]
fn a_known_failure_is_accepted_and_still_no_conformance() {
    let folder = folder();
    let served = wrong_limit(folder.path());
    let (code, shown) = judged(folder.path(), &served, &known(RULE, "until autumn", "2999-01-01"), &[]);
    assert_eq!(code, Some(0), "{shown}");
    let report = report(&folder.path().join("report.json"));
    assert_eq!(serde_json::to_value(report.verdict).unwrap(), "does_not_conform");
    assert_eq!(report.summary.known, 1);
    assert!(shown.contains("until autumn"), "{shown}");
}

#[test]
fn a_known_failure_that_holds_or_is_past_its_date_fails() {
    let folder = folder();
    let (code, shown) = judged(folder.path(), &reference(folder.path()), &known(RULE, "x", ""), &[]);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("remove it"), "{shown}");
    let (code, shown) = judged(folder.path(), &wrong_limit(folder.path()), &known(RULE, "x", "2020-01-01"), &[]);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("2020-01-01"), "{shown}");
}

#[test]
fn a_known_failure_of_no_rule_or_without_reason_is_refused_before_the_first_request() {
    let folder = folder();
    let served = reference(folder.path());
    for (entry, part) in [
        (known("rndrkit.rate.ten-per-our", "x", ""), RULE),
        (known(RULE, "", ""), "reason"),
        (known(RULE, "x", "soon"), "2027-03-01"),
        ("[[exclude]]\nrule = \"rndrkit.nothing\"\nreason = \"x\"\n".to_owned(), "exclude"),
        ("[[exclude]]\nrule = \"rndrkit.rate.*\"\nreason = \"\"\n".to_owned(), "why"),
    ] {
        let (code, shown) = judged(folder.path(), &served, &entry, &[]);
        assert_eq!(code, Some(2), "{shown}");
        assert!(shown.contains(part), "no `{part}` in {shown}");
    }
}

#[test]
fn an_excluded_rule_is_said_aloud_and_nothing_is_claimed() {
    let folder = folder();
    let entry = format!("[[exclude]]\nrule = \"{RULE}\"\nreason = \"another product\"\n");
    let (code, shown) = judged(folder.path(), &wrong_limit(folder.path()), &entry, &[]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("another product"), "{shown}");
    let report = report(&folder.path().join("report.json"));
    assert_eq!(serde_json::to_value(report.verdict).unwrap(), "partial");
}

#[test]
fn junit_and_markdown_and_annotations_tell_the_same_as_the_exit_code() {
    let folder = folder();
    let served = wrong_limit(folder.path());
    let more = ["--report", "junit=report.xml", "--report", "markdown=report.md", "--events", "events.jsonl"];
    let (code, shown) = judged(folder.path(), &served, "", &more);
    assert_eq!(code, Some(1), "{shown}");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let junit = quick_junit::Report::deserialize_from_str(&read("report.xml")).unwrap();
    let failures: usize = junit.test_suites.iter().map(|suite| suite.failures).sum();
    // The rule itself, once for each check that found it broken, and the verdict.
    let checks = report(&folder.path().join("report.json")).checks;
    let failed = |finding: &Finding| finding.rule == RULE && finding.status == Status::Fail;
    let finders = checks.iter().filter(|check| check.findings.iter().any(failed)).count();
    assert!(finders > 0);
    assert_eq!(failures, finders + 1, "{}", read("report.xml"));
    assert!(read("report.xml").contains(&format!("classname=\"{RULE}\"")));
    let markdown = read("report.md");
    let (failed, held) = (markdown.find("## Failures"), markdown.find("## Left out"));
    assert!(failed.is_some() && failed < held && markdown.contains(RULE), "{markdown}");
    let events: Vec<Value> = read("events.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.first().map(|event| &event["event"]), Some(&json!("started")));
    assert_eq!(events.last().map(|event| &event["verdict"]), Some(&json!("does_not_conform")));
}

#[test]
fn in_a_github_job_failures_are_annotations_and_the_summary_is_written() {
    let folder = folder();
    let served = wrong_limit(folder.path());
    let target = served.target_file(folder.path());
    let summary = folder.path().join("summary.md");
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_hookproof"))
        .args(["check", "--target", &target, "--only", "rndrkit.rate.*"])
        .current_dir(folder.path())
        .env("HOOKPROOF_CONTROL_TOKEN", crate::cli::CONTROL_TOKEN)
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", &summary)
        .output()
        .unwrap();
    let shown = text(&run.stdout);
    assert!(shown.contains(&format!("::error title={RULE}::")), "{shown}");
    assert!(std::fs::read_to_string(summary).unwrap().contains("## Failures"));
}

/// Changes a report and returns what `verify` says of it.
fn verified(folder: &Path, change: impl FnOnce(&mut Value)) -> (Option<i32>, String) {
    let mut value: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("report.json")).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(folder.join("changed.json"), value.to_string()).unwrap();
    let run = hookproof(folder, &["verify", "changed.json"]);
    (run.status.code(), format!("{}{}", text(&run.stdout), text(&run.stderr)))
}

/// A change to a report, with its name.
type Tampering = (&'static str, fn(&mut Value));

#[test]
fn verify_accepts_what_follows_and_refuses_what_does_not() {
    let folder = folder();
    let (code, shown) = judged(folder.path(), &wrong_limit(folder.path()), "", &[]);
    assert_eq!(code, Some(1), "{shown}");
    let (code, shown) = verified(folder.path(), |_| {});
    assert_eq!(code, Some(0), "{shown}");
    let tampering: [Tampering; 7] = [
        ("a status", |report| {
            let rules = report["rules"].as_array_mut().unwrap();
            rules.iter_mut().find(|rule| rule["status"] == "fail").unwrap()["status"] = json!("pass");
        }),
        ("the verdict", |report| report["verdict"] = json!("partial")),
        ("the summary", |report| report["summary"]["fail"] = json!(0)),
        ("a finding", |report| {
            for check in report["checks"].as_array_mut().unwrap() {
                for finding in check["findings"].as_array_mut().unwrap() {
                    finding["status"] = json!("pass");
                }
            }
        }),
        ("a narrowed run called whole", |report| report["scope"]["only"] = json!([])),
        ("a check left out", |report| {
            report["checks"].as_array_mut().unwrap().remove(0);
        }),
        ("an answer", |report| {
            for check in report["checks"].as_array_mut().unwrap() {
                for exchange in check["evidence"]["exchanges"].as_array_mut().unwrap() {
                    exchange["response"]["status"] = json!(500);
                }
            }
        }),
    ];
    for (what, change) in tampering {
        let (code, shown) = verified(folder.path(), change);
        assert_eq!(code, Some(1), "{what}: {shown}");
    }
    let (code, shown) = verified(folder.path(), |report| report["schema"] = json!("hookproof.report/9"));
    assert_eq!(code, Some(2), "{shown}");
}
