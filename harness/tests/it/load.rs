//! `hookproof load` as a user runs it: scenarios on the reference, options, thresholds, reports, exit codes.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use futures::future::BoxFuture;
use hookproof::report::load::{LoadReport, LoadVerdict, ScenarioReport};
use hookproof::verdict::Status;
use scenarios::scenario::Scenario;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::cli::{Served, folder, hookproof, text};
use crate::middle::{Answering, Asked, Middle, Plan, honest};

/// The published schema of the report.
const SCHEMA: &str = include_str!("../../schema/load-1.schema.json");

/// Seeds that every scenario is tried with here. More of them: `for seed in $(seq 50); do hookproof load --seed $seed || break; done`.
const SEEDS: [&str; 2] = ["1", "2"];

/// A load run with its JSON report.
pub(crate) struct Loaded {
    pub(crate) output: Output,
    pub(crate) report: LoadReport,
}

impl Loaded {
    /// Runs `hookproof load` in a folder, with its report there.
    pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Loaded {
        let output = hookproof(folder, &[&["load", "--report", "json=load.json"], arguments].concat());
        Loaded { report: load_report(&folder.join("load.json")), output }
    }

    pub(crate) fn code(&self) -> Option<i32> {
        self.output.status.code()
    }

    /// All that it said.
    pub(crate) fn said(&self) -> String {
        format!("{}\n{}", text(&self.output.stdout), text(&self.output.stderr))
    }

    pub(crate) fn scenario(&self, scenario: Scenario) -> &ScenarioReport {
        self.report.scenarios.iter().find(|one| one.name == scenario.name()).unwrap()
    }
}

/// Reads a JSON report, which must be valid.
pub(crate) fn load_report(path: &Path) -> LoadReport {
    let text = std::fs::read_to_string(path).unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
    let value = serde_json::from_str(&text).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&value).map(|error| format!("{} at {}", error, error.instance_path())).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    serde_json::from_value(value).unwrap()
}

/// Scenarios whose result depends on how busy this machine is.
fn depends_on_speed(scenario: &str) -> bool {
    [Scenario::Steady, Scenario::NoisyNeighbour].iter().any(|one| one.name() == scenario)
}

#[test]
fn every_scenario_holds_on_the_reference_and_really_overlaps() {
    for seed in SEEDS {
        let folder = folder();
        let loaded = Loaded::run(folder.path(), &["--seed", seed, "--allow-incomplete", "--quiet"]);
        assert_eq!(loaded.code(), Some(0), "seed {seed}: {}", loaded.said());
        let report = &loaded.report;
        assert_eq!((report.scenarios.len(), report.skipped.len()), (Scenario::ALL.len(), 0));
        assert_eq!((report.not_deleted.len(), report.defects.len()), (0, 0));
        for scenario in &report.scenarios {
            let slow_machine = scenario.status == Status::Inconclusive
                && depends_on_speed(&scenario.name)
                && scenario.reasons.iter().all(|reason| reason.starts_with("latencies cannot be trusted"));
            assert!(scenario.status == Status::Pass || slow_machine, "seed {seed}: {}", loaded.said());
            let honesty = scenario.honesty.as_ref().unwrap();
            assert_eq!(honesty.generator_total, Some(honesty.history_total), "{}", scenario.name);
            let audit = scenario.audit.as_ref().unwrap();
            let counted: u64 =
                scenario.operations.iter().filter(|one| one.name != "poll").map(|one| one.requests).sum();
            assert!(audit.judged > 0 && audit.requests >= counted, "{}: {audit:?}", scenario.name);
            if let Some(overlap) = honesty.overlap {
                assert!(overlap.needed > 10 && overlap.max >= overlap.needed, "{}: {overlap:?}", scenario.name);
            }
        }
        let overlapping = report.scenarios.iter().filter_map(|one| one.honesty.as_ref()?.overlap).count();
        assert!(overlapping >= 5, "only {overlapping} scenarios verify their overlap");
    }
}

#[test]
fn stdout_begins_and_ends_with_the_target_and_holds_nothing_of_goose() {
    let folder = folder();
    let run = hookproof(folder.path(), &["load", "token-spread"]);
    let stdout = text(&run.stdout);
    assert!(stdout.starts_with("hookproof load: target builtin ("), "{stdout}");
    assert_eq!(stdout.lines().last(), Some("target builtin: holds"), "{stdout}");
    assert!(!stdout.contains("launched"), "{stdout}");
    assert!(
        stdout.contains("a window of 3598000 to 3602000 ms") && stdout.contains("--history FILE keeps them"),
        "{stdout}"
    );
    assert!(text(&run.stderr).contains("token-spread: 216 of 216 sent"), "{}", text(&run.stderr));
}

#[test]
fn quiet_says_only_the_result() {
    let folder = folder();
    let run = hookproof(folder.path(), &["load", "token-spread", "--quiet"]);
    let stdout = text(&run.stdout);
    assert_eq!(stdout.trim().lines().count(), 2, "{stdout}");
    assert_eq!(text(&run.stderr), "");
}

/// Runs that end before anything is sent, with 2 and a message that says what to do.
#[track_caller]
fn check_refused(arguments: &[&str], expected: &str) {
    let folder = folder();
    let run = hookproof(folder.path(), &[&["load"], arguments].concat());
    let said = text(&run.stderr);
    assert_eq!(run.status.code(), Some(2), "{arguments:?}: {said}");
    assert!(said.contains(expected), "{arguments:?}: {said}");
    assert_eq!(text(&run.stdout), "");
}

#[test]
fn an_unknown_scenario_is_refused_with_the_nearest() {
    check_refused(&["first-windows"], "did you mean `first-window`?");
    check_refused(&["zzz"], "known are: first-window, token-spread");
}

#[test]
fn options_that_contradict_each_other_or_mean_nothing_are_refused() {
    check_refused(&["--rate", "5", "--users", "5"], "cannot be used with");
    check_refused(&["--duration", "5s", "--count", "5"], "cannot be used with");
    check_refused(&["--rate", "0"], "above 0");
    check_refused(&["--duration", "0s"], "longer than nothing");
    check_refused(&["--domains", "0"], "--domains");
    check_refused(&["first-window", "--rate", "5"], "--rate: first-window is made of volleys");
    check_refused(&["steady", "first-window", "--duration", "5s"], "--duration: first-window is made of volleys");
    check_refused(&["token-spread", "--tokens", "1"], "token-spread: tokens must be at least 2");
    check_refused(&["steady", "steady"], "steady: expected each scenario once");
    check_refused(&["steady", "--report", "html=x"], "expected the format json, junit or markdown");
}

#[test]
fn a_threshold_that_nothing_can_meet_is_refused() {
    check_refused(&["--threshold", "p99<250"], "p99<250");
    check_refused(&["--threshold", "error-ratio<120%"], "error-ratio<120%");
    check_refused(&["--threshold", "p99<1s for refresj"], "refresh");
    check_refused(
        &["first-window", "--threshold", "p99<1s in steady"],
        "steady is not among the scenarios of this run",
    );
}

#[test]
fn a_history_that_exists_is_not_overwritten() {
    let folder = folder();
    let path = folder.path().join("load.jsonl");
    std::fs::write(&path, "mine").unwrap();
    let run = hookproof(folder.path(), &["load", "token-spread", "--history", "load.jsonl"]);
    assert_eq!(run.status.code(), Some(2));
    assert!(text(&run.stderr).contains("--history load.jsonl: expected a path where a new file can be written"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    // Of several files none is left behind when one of them cannot be made.
    std::fs::write(folder.path().join("all.token-spread.jsonl"), "mine").unwrap();
    let run = hookproof(folder.path(), &["load", "first-window", "token-spread", "--history", "all.jsonl"]);
    assert_eq!(run.status.code(), Some(2));
    assert!(!folder.path().join("all.first-window.jsonl").exists());
}

#[test]
fn histories_are_kept_under_names_that_say_whose_they_are() {
    let folder = folder();
    let loaded = Loaded::run(folder.path(), &["token-spread", "--history", "one.jsonl"]);
    assert_eq!(loaded.code(), Some(0), "{}", loaded.said());
    assert_eq!(loaded.scenario(Scenario::TokenSpread).history.as_deref(), Some("one.jsonl"));
    let loaded = Loaded::run(folder.path(), &["token-spread", "quota-drain", "--history", "all.jsonl"]);
    assert_eq!(loaded.code(), Some(0), "{}", loaded.said());
    for file in ["one.jsonl", "all.token-spread.jsonl", "all.quota-drain.jsonl"] {
        let audit = hookproof(folder.path(), &["audit", file]);
        assert_eq!(audit.status.code(), Some(0), "{file}: {}", text(&audit.stdout));
    }
}

#[test]
fn thresholds_decide_the_exit_code() {
    #[track_caller]
    fn check(threshold: &str, code: i32, status: Status) {
        let folder = folder();
        let loaded = Loaded::run(folder.path(), &["token-spread", "--threshold", threshold]);
        let judged = &loaded.report.thresholds[0];
        // On a machine that cannot keep up nothing is said about latencies.
        if judged.status == Status::Inconclusive && judged.found.contains("cannot be trusted") {
            assert_eq!(loaded.code(), Some(4), "{}", loaded.said());
            return;
        }
        assert_eq!((loaded.code(), judged.status), (Some(code), status), "{threshold}: {}", loaded.said());
        assert_eq!(judged.expression, threshold);
    }
    check("p50<1us", 1, Status::Fail);
    check("max<100s for refresh", 0, Status::Pass);
    check("unknown-ratio<=0% in token-spread", 0, Status::Pass);
    check("p99<10s for poll", 1, Status::Fail);
}

/// Passes fixture calls on, and says nothing of `clock.advance`.
fn without_advance() -> Answering {
    Arc::new(|stream: &mut TcpStream, asked: Asked| -> BoxFuture<'_, std::io::Result<bool>> {
        Box::pin(async move {
            let answer = String::from_utf8(asked.honest_answer().await?).unwrap();
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            let mut body: serde_json::Value = serde_json::from_str(body)?;
            if let Some(methods) = body.pointer_mut("/result/methods").and_then(serde_json::Value::as_array_mut) {
                methods.retain(|method| method != "clock.advance");
            }
            let body = body.to_string();
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(&[head, body].concat().into_bytes()).await.map(|()| false)
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_advance_its_clock_is_told_which_scenario_that_costs() {
    let middle = Middle::start(Plan { api: honest(), control: without_advance() }).await;
    let folder = folder();
    std::fs::write(folder.path().join("target.toml"), middle.target_file("")).unwrap();
    let arguments = ["--target", "target.toml", "token-spread", "window-edge"];
    let path = folder.path().to_owned();
    let loaded = tokio::task::spawn_blocking(move || Loaded::run(&path, &arguments)).await.unwrap();
    let edge = loaded.scenario(Scenario::WindowEdge);
    assert_eq!((edge.status, edge.reasons[0].as_str()), (Status::NotRun, "the fixtures do not offer clock.advance"));
    assert_eq!(loaded.scenario(Scenario::TokenSpread).status, Status::Pass, "{}", loaded.said());
    assert_eq!((loaded.code(), loaded.report.verdict), (Some(4), LoadVerdict::Incomplete));
}

#[test]
fn a_run_of_which_nothing_could_be_run_is_no_success() {
    let folder = folder();
    let served = Served::start(folder.path(), &["--store", "memory", "--clock", "system"]);
    let target = served.target_file(folder.path());
    let loaded = Loaded::run(folder.path(), &["--target", &target, "window-edge", "--allow-incomplete"]);
    assert_eq!(loaded.code(), Some(3), "{}", loaded.said());
    let reasons = &loaded.scenario(Scenario::WindowEdge).reasons;
    assert_eq!(reasons, &["the fixtures do not offer clock.advance"]);
}

#[test]
fn a_target_that_is_not_there_leaves_a_report_that_says_so() {
    let folder = folder();
    let mut served = Served::start(folder.path(), &["--store", "memory"]);
    let target = served.target_file(folder.path());
    served.kill();
    let loaded = Loaded::run(folder.path(), &["--target", &target]);
    assert_eq!(loaded.code(), Some(3));
    assert!(loaded.report.unprepared.is_some());
    assert_eq!(loaded.report.verdict, LoadVerdict::Incomplete);
}

#[test]
fn a_target_elsewhere_is_refused_unless_it_is_ones_own() {
    let folder = folder();
    let target = "[rndrkit]\nbase_url = \"http://192.0.2.1:1\"\n[fixtures]\nkind = \"command\"\ncommand = [\"true\"]\n";
    std::fs::write(folder.path().join("target.toml"), target).unwrap();
    let run = hookproof(folder.path(), &["load", "--target", "target.toml"]);
    assert_eq!(run.status.code(), Some(2));
    assert!(text(&run.stderr).contains("--i-own-this-target"));
}

#[test]
fn the_other_reports_are_well_formed_and_say_what_failed() {
    let folder = folder();
    let outputs = ["--report", "junit=load.xml", "--report", "markdown=load.md"];
    let arguments = [&["token-spread", "--threshold", "p50<1us"][..], &outputs].concat();
    let loaded = Loaded::run(folder.path(), &arguments);
    let junit = std::fs::read_to_string(folder.path().join("load.xml")).unwrap();
    let junit = quick_junit::Report::deserialize_from_str(&junit).unwrap();
    let names: Vec<&str> = junit.test_suites.iter().map(|suite| suite.name.as_str()).collect();
    assert_eq!(names, ["scenarios", "thresholds", "hookproof"]);
    let markdown = std::fs::read_to_string(folder.path().join("load.md")).unwrap();
    assert!(markdown.contains("| token-spread | pass | refresh 216 requests"), "{markdown}");
    if loaded.code() == Some(1) {
        assert_eq!(junit.failures, 2, "a threshold and the verdict");
        assert!(markdown.starts_with("# hookproof load: builtin fails"), "{markdown}");
    }
}

#[test]
fn the_list_says_what_each_scenario_proves() {
    let folder = folder();
    let run = hookproof(folder.path(), &["load", "--list"]);
    let listed = text(&run.stdout);
    assert_eq!(listed.lines().count(), Scenario::ALL.len());
    for scenario in Scenario::ALL {
        assert!(listed.contains(scenario.proves()));
    }
}

#[test]
fn an_adapter_over_stdin_and_stdout_will_do_and_a_conforming_target_in_another_language_raises_no_alarm() {
    let folder = folder();
    let adapter = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/adapter/adapter.py");
    let file = format!("[fixtures]\nkind = \"command\"\ncommand = [\"python3\", {adapter:?}]\n");
    std::fs::write(folder.path().join("target.toml"), file).unwrap();
    let arguments = ["--target", "target.toml", "window-edge", "quota-drain", "queue-outage", "--allow-incomplete"];
    let loaded = Loaded::run(folder.path(), &arguments);
    assert_eq!(loaded.code(), Some(0), "{}", loaded.said());
    assert!(loaded.report.scenarios.iter().all(|one| one.honesty.is_some()), "{}", loaded.said());
    assert!(loaded.report.not_deleted.is_empty());
}
