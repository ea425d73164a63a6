//! `hookproof compare`: what became worse, better or different between two reports.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::{Served, folder, hookproof, text};

const RULE: &str = "rndrkit.rate.ten-per-hour";

/// Judges the whole of RndrKit or a part of it and writes the report to this file.
fn judged(folder: &Path, options: &[&str], more: &[&str], file: &str) -> Value {
    let served = Served::start(folder, &[&["--store", "memory", "--clock", "manual"], options].concat());
    let target = served.target_file(folder);
    let output = format!("json={file}");
    hookproof(folder, &[&["check", "--target", &target, "--report", &output], more].concat());
    serde_json::from_str(&std::fs::read_to_string(folder.join(file)).unwrap()).unwrap()
}

fn write(folder: &Path, file: &str, report: &Value) {
    std::fs::write(folder.join(file), report.to_string()).unwrap();
}

fn compared(folder: &Path, before: &str, after: &str) -> (Option<i32>, String) {
    let run = hookproof(folder, &["compare", before, after]);
    (run.status.code(), format!("{}{}", text(&run.stdout), text(&run.stderr)))
}

/// The first object of a list whose `id` is this.
fn of<'v>(report: &'v mut Value, list: &str, id: &str) -> &'v mut Value {
    report[list].as_array_mut().unwrap().iter_mut().find(|entry| entry["id"] == id).unwrap()
}

#[test]
fn a_rule_that_fails_now_is_a_regression_and_one_that_is_mended_is_none() {
    let folder = folder();
    let only = ["--only", "rndrkit.rate.*"];
    judged(folder.path(), &[], &only, "good.json");
    judged(folder.path(), &["--deviation", "limit-eleven"], &only, "bad.json");
    let (code, shown) = compared(folder.path(), "good.json", "good.json");
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("0 regressions, 0 other changes, 0 behaviours"), "{shown}");
    let (code, shown) = compared(folder.path(), "good.json", "bad.json");
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains(&format!("{RULE} (must): pass → fail")), "{shown}");
    let (regressions, limiter) = (shown.find("\nregressions"), shown.find("\nlimiter"));
    assert!(regressions.is_some() && (limiter.is_none() || regressions < limiter), "{shown}");
    let (code, shown) = compared(folder.path(), "bad.json", "good.json");
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains(&format!("{RULE} (must): fail → pass")), "{shown}");
}

/// A change to a report, what `compare` then ends with, and what it says.
type Change = (&'static str, fn(&mut Value), i32, &'static str);

#[test]
fn what_is_no_longer_judged_is_a_regression_and_what_nobody_judges_is_none() {
    let folder = folder();
    let good = judged(folder.path(), &[], &["--api", "rndrkit"], "good.json");
    assert!(!good["observations"].as_array().unwrap().is_empty());
    let changes: [Change; 8] = [
        ("not run", |report| of(report, "rules", RULE)["status"] = json!("not_run"), 1, "pass → not_run"),
        (
            "inconclusive",
            |report| of(report, "rules", RULE)["status"] = json!("inconclusive"),
            1,
            "pass → inconclusive",
        ),
        (
            "a should rule",
            |report| of(report, "rules", "rndrkit.tokens.prefix")["status"] = json!("warn"),
            0,
            "pass → warn",
        ),
        ("a rule gone", |report| drop_first(report, "rules"), 1, "pass → not there"),
        ("a check gone", |report| drop_first(report, "checks"), 1, "checks that are gone"),
        (
            "a behaviour",
            |report| of(report, "observations", "rndrkit.observe.cost-plan")["value"] = json!("counts"),
            0,
            "now: counts",
        ),
        ("a behaviour gone", |report| drop_first(report, "observations"), 0, "now: not there"),
        ("all behaviours gone", |report| report["observations"] = json!([]), 0, "the second report observed none"),
    ];
    for (what, change, code, part) in changes {
        let mut report = good.clone();
        change(&mut report);
        write(folder.path(), "changed.json", &report);
        let (found, shown) = compared(folder.path(), "good.json", "changed.json");
        assert_eq!(found, Some(code), "{what}: {shown}");
        assert!(shown.contains(part), "{what}: no `{part}` in {shown}");
    }
}

fn drop_first(report: &mut Value, list: &str) {
    report[list].as_array_mut().unwrap().remove(0);
}

#[test]
fn a_file_that_is_no_report_is_bad_usage() {
    let folder = folder();
    write(folder.path(), "other.json", &json!({"schema": "other"}));
    std::fs::write(folder.path().join("text.json"), "no JSON").unwrap();
    for (before, after) in [("missing.json", "other.json"), ("other.json", "other.json"), ("text.json", "text.json")] {
        let (code, shown) = compared(folder.path(), before, after);
        assert_eq!(code, Some(2), "{shown}");
        assert!(shown.contains(before), "{shown}");
    }
}

/// A narrowed run observes nothing; `verify` takes no notice of observations, since nobody judges them.
#[test]
fn observations_belong_to_whole_runs_and_change_no_judgement() {
    let folder = folder();
    let narrowed = judged(folder.path(), &[], &["--only", "rndrkit.plan.*"], "narrowed.json");
    assert_eq!(narrowed["observations"], json!([]));
    let mut whole = judged(folder.path(), &[], &["--api", "craftkit"], "whole.json");
    let ids = |report: &Value| {
        report["observations"].as_array().unwrap().iter().map(|seen| seen["id"].to_string()).collect::<String>()
    };
    assert!(ids(&whole).contains("craftkit.observe.") && !ids(&whole).contains("rndrkit.observe."));
    whole["observations"] = json!([]);
    write(folder.path(), "whole.json", &whole);
    let run = hookproof(folder.path(), &["verify", "whole.json"]);
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stdout));
}
