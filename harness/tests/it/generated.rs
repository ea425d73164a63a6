//! Generated cases find what is wrong between the documents' examples, say it of the right rule, and are reproducible.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use hookproof::evidence::Exchange;
use hookproof::report::Report;
use hookproof::runner::open::{self, RunSettings};
use hookproof::runner::select::{Narrowing, select};
use hookproof::runner::{self, CheckResult, Pace};
use hookproof::verdict::{Finding, Status, Verdict};
use reference_server::{Parts, deviations};

use crate::cli::{Served, folder, hookproof, report, text};
use crate::{settings, uninterrupted};

/// Runs only the checks with generated cases whose id begins like this.
async fn generated(parts: Parts, prefix: &str, settings: RunSettings) -> Vec<CheckResult> {
    let target = open::builtin(parts, settings).await.unwrap();
    let mut selection = select(&Narrowing::default(), &runner::apis(&target.world)).unwrap();
    selection.checks.retain(|check| check.needs.generated && check.id.starts_with(prefix));
    assert!(!selection.checks.is_empty(), "no check with generated cases begins with {prefix}");
    let pace = Pace { patience: Duration::ZERO, run_time: runner::RUN_TIME_MAX };
    let run = runner::run(&target.world, &selection, pace, &uninterrupted(), |_| {}).await;
    target.close().await;
    run.results
}

fn red(results: &[CheckResult]) -> BTreeSet<String> {
    let findings = results.iter().flat_map(|result| &result.findings).filter(|finding| finding.status.is_red());
    findings.map(|finding| finding.rule.clone()).collect()
}

fn said(results: &[CheckResult]) -> String {
    let worth_saying = |finding: &&Finding| !matches!(finding.status, Status::Pass | Status::NotApplicable);
    let findings = results.iter().flat_map(|result| &result.findings).filter(worth_saying);
    let lines = findings.map(|finding| format!("  {} is {}: {}", finding.rule, finding.status.name(), finding.actual));
    lines.collect::<Vec<String>>().join("\n")
}

/// Servers that are wrong between the examples, most of them where no example looks, and the property that finds each.
const WRONG: [(&str, &[&str]); 4] = [
    (
        "rndrkit/generated/paths",
        &[
            "path-invalid-counted",
            "list-nineteen",
            "list-cut-late",
            "list-cut-in-words",
            "path-percent-decoded",
            "path-empty-is-root",
            "path-page-name",
            "path-entity-decoded",
            "path-drive-letter",
            "list-one-a-folder",
            "path-of-digits-ignored",
            "path-long-dropped",
            "path-broken-escape-fails",
            "path-endless-fails",
            "path-list-like-object",
        ],
    ),
    (
        "craftkit/generated/manifests",
        &[
            "depth-five",
            "dotted-keys-flat-too",
            "first-hundred-items-only",
            "unknown-nested-refused",
            "signature-over-parsed-json",
            "deep-types-unchecked",
            "text-of-digits-is-a-number",
            "text-outside-the-first-plane-refused",
            "fractions-refused",
            "leap-day-refused",
            "item-missing-number-is-zero",
            "item-booleans-unchecked",
            "item-dates-unchecked",
            "item-beyond-hundred-and-fifty-unjudged",
            "second-item-unjudged",
            "loop-of-hundred-and-thirty-rows",
        ],
    ),
    ("rndrkit/generated/interleavings", &["invalid-paths-free", "window-extended-by-refusals"]),
    ("craftkit/generated/interleavings", &["outage-accepted", "unpublished-accepted"]),
];

/// What a report of the result would be judged to show, if that is anything else.
fn judged_otherwise(result: &CheckResult) -> Option<String> {
    let stored = serde_json::to_string(&result.evidence).unwrap();
    let again = (result.check.judge)(&serde_json::from_str(&stored).unwrap());
    (result.stopped.is_none() && again != result.findings).then(|| format!("from its report: {again:#?}"))
}

/// What is wrong with how a deviation was judged, if anything is.
async fn problem(check: &'static str, name: &'static str) -> Option<String> {
    let deviation = deviations::named(name).unwrap_or_else(|| panic!("there is no deviation {name}"));
    let results = generated(deviation.parts(), check, settings(1)).await;
    let red = red(&results);
    // Of a history alone, two ways of counting may explain the same: an eleventh request, or a first one that was free.
    let alike = |rule: &str| check.ends_with("/interleavings") && rule.starts_with("rndrkit.rate.");
    let breaks =
        |rule: &str| deviation.turns_red.contains(&rule) || deviation.consequences.contains(&rule) || alike(rule);
    let missed = red.is_empty();
    let strays: Vec<&String> = red.iter().filter(|rule| !breaks(rule)).collect();
    let broken = results.iter().find_map(|result| result.defect.clone().or_else(|| judged_otherwise(result)));
    (missed || !strays.is_empty() || broken.is_some())
        .then(|| format!("{name}: red {red:?}, strays {strays:?} {}\n{}", broken.unwrap_or_default(), said(&results)))
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_cases_alone_find_what_is_wrong_between_the_examples() {
    const AT_A_TIME: usize = 2;
    let wrong = WRONG.into_iter().flat_map(|(check, names)| names.iter().map(move |name| (check, *name)));
    let trials = wrong.map(|(check, name)| problem(check, name));
    let problems: Vec<Option<String>> = stream::iter(trials).buffered(AT_A_TIME).collect().await;
    assert!(problems.len() >= 25, "only {} servers were tried", problems.len());
    let problems: Vec<String> = problems.into_iter().flatten().collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_seeds_raise_no_alarm_on_the_reference() {
    for seed in 2..6 {
        let results = generated(Parts::reference(), "", settings(seed)).await;
        let defects: Vec<&String> = results.iter().filter_map(|result| result.defect.as_ref()).collect();
        assert!(defects.is_empty(), "{defects:?}");
        assert_eq!(said(&results), "", "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sequences_run_side_by_side_and_each_of_them_one_step_after_the_other() {
    for check in ["rndrkit/generated/interleavings", "craftkit/generated/interleavings"] {
        let results = generated(Parts::reference(), check, settings(1)).await;
        let evidence = &results[0].evidence;
        let belongs = |label: &str, case: &str| label.strip_prefix(case).is_some_and(|rest| rest.starts_with('/'));
        for case in evidence.cases.iter().map(|case| &case.label) {
            let requests = evidence.exchanges.iter().filter(|exchange| belongs(&exchange.label, case));
            let calls = evidence.fixtures.iter().filter(|call| belongs(&call.label, case));
            let mut steps: Vec<(u64, u64)> = requests.map(|exchange| (exchange.start_ns, exchange.end_ns)).collect();
            steps.extend(calls.map(|call| (call.start_ns, call.end_ns)));
            steps.sort_unstable();
            assert!(steps.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{check}, {case}: {steps:?}");
        }
        let mut places = evidence.cases.iter().map(|case| {
            let of_case = |exchange: &Exchange| belongs(&exchange.label, &case.label);
            let place = |found: Option<usize>| found.expect("every sequence has requests");
            let exchanges = &evidence.exchanges;
            (place(exchanges.iter().position(of_case)), place(exchanges.iter().rposition(of_case)))
        });
        let (_, end_of_first) = places.next().expect("there are sequences");
        let (begin_of_last, _) = places.next_back().expect("there are several");
        assert!(begin_of_last < end_of_first, "{check}: the last begins only after the end of the first");
    }
}

fn checks_of(folder: &Path, arguments: &[&str]) -> Report {
    hookproof(folder, &[&["check", "--report", "json=report.json"], arguments].concat());
    report(&folder.join("report.json"))
}

#[test]
fn without_cases_a_run_is_narrowed_and_says_so() {
    let folder = folder();
    let report = checks_of(folder.path(), &["--api", "rndrkit", "--only", "rndrkit.paths.*", "--cases", "0"]);
    assert!(report.checks.iter().all(|check| check.evidence.cases.is_empty()));
    let run = hookproof(folder.path(), &["--cases", "0", "--report", "json=whole.json"]);
    let whole = crate::cli::report(&folder.path().join("whole.json"));
    assert_eq!(whole.verdict, Verdict::Partial);
    let shown = text(&run.stdout);
    assert!(shown.contains("narrowed by --cases 0") && !shown.contains("target builtin: conforms"), "{shown}");
    let verified = hookproof(folder.path(), &["verify", "whole.json"]);
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stdout));
}

#[test]
fn the_smallest_failing_case_is_kept_and_tried_first_by_the_next_run() {
    let folder = folder();
    let served =
        Served::start(folder.path(), &["--store", "memory", "--clock", "manual", "--deviation", "list-one-a-folder"]);
    let target = served.target_file(folder.path());
    let narrowed = ["--target", &target, "--only", "rndrkit.selective.pages-queued"];
    let first = checks_of(folder.path(), &narrowed);
    assert_eq!(first.summary.fail, 1);
    let kept: Vec<_> = std::fs::read_dir(folder.path().join("hookproof-regressions")).unwrap().collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let file = std::fs::read_to_string(kept[0].as_ref().unwrap().path()).unwrap();
    let value: serde_json::Value = serde_json::from_str(&file).unwrap();
    let script = value["script"].as_array().unwrap();
    assert!(script.iter().any(|line| line.as_str().unwrap().starts_with("curl ")), "{file}");
    // With one case of its own the next run would hardly find it again.
    let again = checks_of(folder.path(), &[&narrowed[..], &["--cases", "1", "--seed", "7"]].concat());
    assert_eq!(again.summary.fail, 1);
    let labels = again.checks.iter().flat_map(|check| &check.evidence.cases).map(|case| case.label.as_str());
    assert!(labels.into_iter().any(|label| label == "kept-1"));
    std::fs::write(folder.path().join("hookproof-regressions/broken.json"), "{}").unwrap();
    let run = hookproof(folder.path(), &[&["check"], &narrowed[..]].concat());
    assert_eq!(run.status.code(), Some(2), "{}", text(&run.stderr));
    assert!(text(&run.stderr).contains("broken.json"), "{}", text(&run.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_smallest_case_stands_for_all_that_fail_alike() {
    let deviation = deviations::named("list-not-cut").unwrap();
    let results = generated(deviation.parts(), "rndrkit/generated/paths", settings(1)).await;
    let smallest: Vec<_> = results[0].evidence.cases.iter().filter(|case| case.stands_for > 0).collect();
    let [smallest] = smallest[..] else { panic!("{smallest:?}") };
    assert!(smallest.stands_for > 1, "{smallest:?}");
    assert_eq!(smallest.case["plain"], 21, "{smallest:?}");
    assert_eq!(smallest.case["others"], serde_json::json!([]));
}
