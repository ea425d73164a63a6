//! No false alarms: an implementation that conforms and is contrary wherever it may be gets no failure, and what is contrary about it
//! shows as warnings. It is written in Python, shares no code with the suite or the reference, and is reached through the example
//! adapter, which is tested by it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hookproof::catalogue::{self, Level};
use hookproof::report::Report;
use hookproof::verdict::Status;

/// The should rules, and must rules with a part that is one, that a variant breaks and the suite must see broken.
const STRICT_WARNS: &[&str] = &[];
const LENIENT_WARNS: &[&str] = &[];

/// Must rules that cannot be judged on a variant, each with the reason.
const STRICT_UNJUDGED: &[(&str, &str)] = &[];
const LENIENT_UNJUDGED: &[(&str, &str)] = &[];

fn adapter() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/adapter/adapter.py")
}

/// Judges a variant of the implementation, with further arguments, and reads the report.
fn judge(variant: &str, arguments: &[&str]) -> (Output, Report) {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("contrarian.toml");
    let adapter = adapter();
    let file = format!("[fixtures]\nkind = \"command\"\ncommand = [\"python3\", {adapter:?}, \"--variant\", \"{variant}\"]\n");
    std::fs::write(&target, file).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_hookproof"))
        .args(["check", "--target", "contrarian.toml", "--settle", "2s", "--report", "json=report.json"])
        .args(arguments)
        .current_dir(folder.path())
        .env_remove("GITHUB_ACTIONS")
        .output()
        .unwrap();
    let stored = std::fs::read_to_string(folder.path().join("report.json"));
    let stored = stored.unwrap_or_else(|error| panic!("no report: {error}\n{}", String::from_utf8_lossy(&run.stderr)));
    (run, serde_json::from_str(&stored).unwrap())
}

/// What a report says about the rules of these statuses, as lines to read.
fn about(report: &Report, statuses: &[Status]) -> String {
    let lines = report.rules.iter().filter(|rule| statuses.contains(&rule.status)).map(|rule| {
        format!("{} is {}: {}", rule.id, rule.status.name(), rule.reason.as_deref().unwrap_or("no reason"))
    });
    lines.collect::<Vec<String>>().join("\n")
}

#[track_caller]
fn raises_no_alarm(variant: &str, warns: &[&str], unjudged: &[(&str, &str)]) {
    let (run, report) = judge(variant, &[]);
    let shown = String::from_utf8_lossy(&run.stdout);
    let failed = about(&report, &[Status::Fail]);
    assert!(failed.is_empty(), "false alarms on variant {variant}:\n{failed}\n{shown}");
    let pending: Vec<&str> = report
        .rules
        .iter()
        .filter(|rule| matches!(rule.status, Status::Inconclusive | Status::NotRun))
        .filter(|rule| catalogue::find(&rule.id).is_some_and(|known| known.level == Level::Must))
        .map(|rule| rule.id.as_str())
        .collect();
    let expected: Vec<&str> = unjudged.iter().map(|(rule, _)| *rule).collect();
    assert_eq!(pending, expected, "\n{}", about(&report, &[Status::Inconclusive, Status::NotRun]));
    let warned: Vec<&str> =
        report.rules.iter().filter(|rule| rule.status == Status::Warn).map(|rule| rule.id.as_str()).collect();
    assert_eq!(warned, warns, "\n{}", about(&report, &[Status::Warn]));
    let code = if unjudged.is_empty() { 0 } else { 4 };
    assert_eq!(run.status.code(), Some(code), "{shown}");
}

#[test]
fn the_strict_contrarian_raises_no_alarm() {
    raises_no_alarm("a", STRICT_WARNS, STRICT_UNJUDGED);
}

#[test]
fn the_lenient_contrarian_raises_no_alarm() {
    raises_no_alarm("b", LENIENT_WARNS, LENIENT_UNJUDGED);
}

#[test]
fn strict_runs_count_its_warnings() {
    let (run, report) = judge("b", &["--strict", "--only", "craftkit.input.formats", "--only", "rndrkit.body.urls-empty"]);
    assert!(report.rules.iter().all(|rule| rule.status == Status::Warn), "{}", about(&report, &[Status::Pass]));
    assert_eq!(run.status.code(), Some(1), "{}", String::from_utf8_lossy(&run.stdout));
}
