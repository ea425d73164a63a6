//! No false alarms: an implementation that conforms and is contrary wherever it may be gets no failure, and what is contrary about it
//! shows as warnings. It is written in Python, shares no code with the suite or the reference, and is reached through the example
//! adapter, which is tested by it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use hookproof::catalogue::observed;
use hookproof::report::Report;
use hookproof::verdict::Status;

use crate::load::Loaded;

/// The should rules, and must rules with a part that is one, that a variant breaks and the suite must see broken.
const STRICT_WARNS: &[&str] = &[
    "rndrkit.auth.token-foreign",
    "rndrkit.tokens.prefix",
    "rndrkit.selective.queues-paths",
    "rndrkit.full.no-pages-queued",
    "rndrkit.full.queues-known-paths",
    "rndrkit.body.all-false",
    "rndrkit.body.all-false-with-urls",
    "rndrkit.body.urls-not-array",
    "rndrkit.paths.leading-space",
    "rndrkit.paths.mixed",
    "rndrkit.domain.inactive",
    "rndrkit.plan.agency",
    "rndrkit.rate.before-validation",
    "rndrkit.rate.unauthenticated-free",
    "rndrkit.quota.rejected-free",
    "rndrkit.quota.monthly",
    "rndrkit.errors.closed",
    "rndrkit.success.closed",
    "rndrkit.http.json",
    "craftkit.hook.closed",
    "craftkit.hook.no-api-key",
    "craftkit.hook.any-content-type",
    "craftkit.signature.enforced",
    "craftkit.signature.prefix",
    "craftkit.json.empty",
    "craftkit.json.non-object",
    "craftkit.input.dotted-literal",
    "craftkit.input.all-offenders",
    "craftkit.input.unknown-nested",
    "craftkit.input.coercion",
    "craftkit.input.formats",
    "craftkit.input.loop-default",
    "craftkit.input.empty-manifest",
    "craftkit.version.manifest",
    "craftkit.poll.shape",
    "craftkit.poll.foreign-key",
    "craftkit.pipeline.webhook-form",
    "craftkit.errors.envelope",
    "craftkit.http.json",
];
const LENIENT_WARNS: &[&str] = &[
    "rndrkit.body.urls-not-array",
    "rndrkit.body.urls-empty",
    "rndrkit.rate.concurrent-exact",
    "rndrkit.http.json",
    "craftkit.hook.id",
    "craftkit.input.wrong-type",
    "craftkit.input.stripped-stored",
    "craftkit.input.formats",
    "craftkit.input.loop-cap",
    "craftkit.version.current",
    "craftkit.poll.finishes",
    "craftkit.pipeline.same-validation",
    "craftkit.errors.envelope",
    "craftkit.http.json",
];

fn adapter() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/adapter/adapter.py")
}

/// Judges a variant of the implementation, with further arguments, and reads the report.
fn judge(variant: &str, arguments: &[&str]) -> (Output, Report) {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("contrarian.toml");
    let adapter = adapter();
    let file =
        format!("[fixtures]\nkind = \"command\"\ncommand = [\"python3\", {adapter:?}, \"--variant\", \"{variant}\"]\n");
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

/// A whole run of a variant; each variant has one.
fn whole(variant: &str) -> &'static (Output, Report) {
    static STRICT: OnceLock<(Output, Report)> = OnceLock::new();
    static LENIENT: OnceLock<(Output, Report)> = OnceLock::new();
    let run = if variant == "a" { &STRICT } else { &LENIENT };
    run.get_or_init(|| judge(variant, &[]))
}

/// What a report says about the rules of these statuses, as lines to read.
fn about(report: &Report, statuses: &[Status]) -> String {
    let lines = report
        .rules
        .iter()
        .filter(|rule| statuses.contains(&rule.status))
        .map(|rule| format!("{} is {}: {}", rule.id, rule.status.name(), rule.reason));
    lines.collect::<Vec<String>>().join("\n")
}

#[track_caller]
fn raises_no_alarm(variant: &str, warns: &[&str]) {
    let (run, report) = whole(variant);
    let shown = String::from_utf8_lossy(&run.stdout);
    let failed = about(report, &[Status::Fail]);
    assert!(failed.is_empty(), "false alarms on variant {variant}:\n{failed}\n{shown}");
    let open: Vec<&str> =
        report.rules.iter().filter(|rule| report.is_open(rule)).map(|rule| rule.id.as_str()).collect();
    let why = about(report, &[Status::Inconclusive, Status::NotRun]);
    assert!(open.is_empty(), "must rules that were not judged on variant {variant}: {open:?}\n{why}");
    let warned: Vec<&str> =
        report.rules.iter().filter(|rule| rule.status == Status::Warn).map(|rule| rule.id.as_str()).collect();
    assert_eq!(warned, warns, "\n{}", about(report, &[Status::Warn]));
    assert_eq!(run.status.code(), Some(0), "{shown}");
}

#[test]
fn the_strict_contrarian_raises_no_alarm() {
    raises_no_alarm("a", STRICT_WARNS);
}

#[test]
fn the_lenient_contrarian_raises_no_alarm() {
    raises_no_alarm("b", LENIENT_WARNS);
}

/// Where all answer alike, nothing shows that the suite leaves the question open.
#[test]
fn every_open_question_is_answered_in_two_ways() {
    let reviewed = include_str!("../profile/reference.txt");
    let reference: BTreeMap<&str, &str> = reviewed.lines().filter_map(|line| line.split_once(": ")).collect();
    let seen_in = |variant: &str| -> BTreeMap<&str, &str> {
        let made = whole(variant).1.observations.iter();
        made.map(|seen| (seen.id.as_str(), seen.value.as_str())).collect()
    };
    let all = [reference, seen_in("a"), seen_in("b")];
    let is_answer = |value: &&str| !value.starts_with("not observed") && !value.starts_with("unknown");
    let answers = |id: &str| -> BTreeSet<&str> {
        all.iter().filter_map(|seen| seen.get(id).copied()).filter(is_answer).collect()
    };
    let probes = observed::RNDRKIT.iter().chain(observed::CRAFTKIT);
    let alike: Vec<(&str, BTreeSet<&str>)> =
        probes.map(|probe| (probe.id, answers(probe.id))).filter(|(_, answers)| answers.len() < 2).collect();
    assert!(alike.is_empty(), "{alike:#?}");
}

/// Whoever comes while another is at work is sent away here, which no must forbids: load, too, finds no broken limit in it.
#[test]
fn the_lenient_contrarian_breaks_no_limit_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let adapter = adapter();
    let file = format!("[fixtures]\nkind = \"command\"\ncommand = [\"python3\", {adapter:?}, \"--variant\", \"b\"]\n");
    std::fs::write(folder.path().join("contrarian.toml"), file).unwrap();
    let target = ["--target", "contrarian.toml", "--settle", "2s", "--allow-incomplete"];
    let scenarios = ["first-window", "token-spread", "window-edge", "invalid-mix"];
    let loaded = Loaded::run(folder.path(), &[&scenarios[..], &target].concat());
    assert_eq!(loaded.code(), Some(0), "{}", loaded.said());
    let exact = "rndrkit.rate.concurrent-exact";
    let broken: BTreeSet<&str> = loaded
        .report
        .scenarios
        .iter()
        .flat_map(|one| one.audit.iter().flat_map(|audit| &audit.violations))
        .map(|violation| violation.rule.as_str())
        .collect();
    assert_eq!(broken, BTreeSet::from([exact]), "{}", loaded.said());
    assert!(loaded.report.scenarios.iter().all(|one| one.status != Status::Fail), "{}", loaded.said());
}

#[test]
fn strict_runs_count_its_warnings() {
    let rules = ["craftkit.input.formats", "rndrkit.body.urls-empty"];
    let (run, report) = judge("b", &["--strict", "--only", rules[0], "--only", rules[1]]);
    for id in rules {
        let rule = report.rules.iter().find(|rule| rule.id == id).unwrap();
        assert_eq!(rule.status, Status::Warn, "{id}: {}", rule.reason);
    }
    assert_eq!(run.status.code(), Some(1), "{}", String::from_utf8_lossy(&run.stdout));
}
