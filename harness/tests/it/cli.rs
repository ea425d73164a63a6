//! The program as a user runs it: output, files and exit codes.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use hookproof::report::Report;
use hookproof::verdict::{Status, Verdict};

pub(crate) const CONTROL_TOKEN: &str = "a-control-token-for-tests";

pub(crate) fn hookproof(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hookproof"))
        .args(arguments)
        .current_dir(folder)
        .env("HOOKPROOF_CONTROL_TOKEN", CONTROL_TOKEN)
        // What is kept because something failed goes when the folder does.
        .env("TMPDIR", folder)
        .env_remove("GITHUB_ACTIONS")
        .output()
        .unwrap()
}

pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A `hookproof serve` process with its address; ended when dropped.
pub(crate) struct Served {
    process: Child,
    pub(crate) base_url: String,
    /// The lines of its stderr: one to paste, and the log. Always read, since a full pipe would stop the server.
    pub(crate) log: std::sync::mpsc::Receiver<String>,
}

impl Served {
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Served {
        let mut process = Command::new(env!("CARGO_BIN_EXE_hookproof"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .current_dir(folder)
            .env("HOOKPROOF_CONTROL_TOKEN", CONTROL_TOKEN)
            .env("HOOKPROOF_LOG", "reference_server=debug")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let base_url =
            line.trim().strip_prefix("listening on ").expect("the first line says where it listens").to_owned();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        let (sender, log) = std::sync::mpsc::channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Served { process, base_url, log }
    }

    /// Writes a target file for it.
    pub(crate) fn target_file(&self, folder: &Path) -> String {
        let url = &self.base_url;
        let file = format!(
            "name = \"served\"\n[rndrkit]\nbase_url = \"{url}\"\n[craftkit]\nbase_url = \"{url}\"\n\
             [fixtures]\nkind = \"http\"\nurl = \"{url}/_control\"\ntoken = {{ env = \"HOOKPROOF_CONTROL_TOKEN\" }}\n"
        );
        let path = folder.join("target.toml");
        std::fs::write(&path, file).unwrap();
        path.to_string_lossy().into_owned()
    }

    /// Ends it as a crash would: with SIGKILL, which it cannot see.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn signal(&mut self, name: &str) -> Option<i32> {
        let sent = Command::new("kill").args([name, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
        self.process.wait().unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn report(path: &Path) -> Report {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn statuses(report: &Report) -> Vec<(String, Status)> {
    report.rules.iter().map(|rule| (rule.id.clone(), rule.status)).collect()
}

/// The published schema of the report.
const SCHEMA: &str = include_str!("../../schema/report-1.schema.json");

#[track_caller]
pub(crate) fn assert_valid(report: &str) {
    let validator = jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
    let report = serde_json::from_str(report).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&report).map(|error| format!("{} at {}", error, error.instance_path())).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn the_schema_refuses_what_is_no_report() {
    let validator = jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
    let folder = folder();
    hookproof(folder.path(), &["--only", "rndrkit.auth.*", "--report", "json=report.json"]);
    let good: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("report.json")).unwrap()).unwrap();
    assert!(validator.is_valid(&good));
    for (pointer, bad) in [("/verdict", "fine"), ("/rules/0/status", "green"), ("/checks/0/findings/0/rule", "")] {
        let mut report = good.clone();
        *report.pointer_mut(pointer).unwrap() =
            if bad.is_empty() { serde_json::json!(7) } else { serde_json::json!(bad) };
        assert!(!validator.is_valid(&report), "{pointer} = {bad} is accepted");
    }
}

#[test]
fn the_adapter_of_the_reference_is_whole() {
    let folder = folder();
    let run = hookproof(folder.path(), &["adapter", "check"]);
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stdout));
}

#[test]
fn no_arguments_judge_the_builtin_reference_and_a_served_one_gives_the_same_verdict() {
    let folder = folder();
    let built_in = hookproof(folder.path(), &["--report", "json=builtin.json"]);
    let served = Served::start(folder.path(), &["--store", "memory", "--clock", "manual"]);
    let target = served.target_file(folder.path());
    let remote = hookproof(folder.path(), &["check", "--target", &target, "--report", "json=served.json"]);
    assert_eq!(built_in.status.code(), remote.status.code());
    let (built_in_report, remote_report) =
        (report(&folder.path().join("builtin.json")), report(&folder.path().join("served.json")));
    assert_eq!(statuses(&built_in_report), statuses(&remote_report));
    let expected = if built_in_report.pending().is_empty() {
        (Some(0), Verdict::Conforms)
    } else {
        (Some(4), Verdict::Incomplete)
    };
    assert_eq!((built_in.status.code(), built_in_report.verdict), expected);
    assert_valid(&std::fs::read_to_string(folder.path().join("builtin.json")).unwrap());
    let shown = text(&built_in.stdout);
    assert!(shown.lines().next().is_some_and(|line| line.contains("builtin")), "{shown}");
    assert!(shown.lines().last().is_some_and(|line| line.contains("builtin")), "{shown}");
}

#[test]
fn a_wrong_limit_fails_with_everything_a_person_needs() {
    let folder = folder();
    let served =
        Served::start(folder.path(), &["--store", "memory", "--clock", "manual", "--deviation", "limit-eleven"]);
    let target = served.target_file(folder.path());
    let run = hookproof(
        folder.path(),
        &["check", "--target", &target, "--only", "rndrkit.rate.*", "--report", "json=report.json"],
    );
    assert_eq!(run.status.code(), Some(1), "{}", text(&run.stdout));
    let report = report(&folder.path().join("report.json"));
    let failed: Vec<&str> =
        report.rules.iter().filter(|rule| rule.status.is_red()).map(|rule| rule.id.as_str()).collect();
    assert_eq!(failed, ["rndrkit.rate.ten-per-hour"]);
    let shown = text(&run.stdout);
    for part in [
        "FAIL",
        "rndrkit.rate.ten-per-hour",
        "demand",
        "source",
        "acceptable",
        "actual",
        "timeline",
        "curl -i -X POST",
        "<token:d1.1>",
    ] {
        assert!(shown.contains(part), "no `{part}` in:\n{shown}");
    }
    assert!(!shown.contains("rk_wh_"), "a token shows in:\n{shown}");
    assert!(!std::fs::read_to_string(folder.path().join("report.json")).unwrap().contains(CONTROL_TOKEN));
}

#[test]
fn serve_ends_cleanly_on_both_signals() {
    let folder = folder();
    for signal in ["-TERM", "-INT"] {
        let mut served = Served::start(folder.path(), &["--store", "memory"]);
        assert_eq!(served.signal(signal), Some(0));
        let stderr: String = served.log.iter().collect();
        assert!(stderr.contains("curl"), "no line to paste in: {stderr}");
        assert!(!stderr.contains(CONTROL_TOKEN), "the control token shows in: {stderr}");
    }
}

/// Calls a served reference's control plane.
pub(crate) fn control(served: &Served, method: &str, params: &serde_json::Value) -> serde_json::Value {
    let message = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let url = format!("{}/_control", served.base_url);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let sent = client.post(url).bearer_auth(CONTROL_TOKEN).body(message.to_string()).send().await.unwrap();
        serde_json::from_str(&sent.text().await.unwrap()).unwrap()
    })
}

#[test]
fn a_signal_ends_a_run_after_deleting_what_it_made_and_reporting_what_is_known() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let folder = folder();
        let served = Served::start(folder.path(), &["--store", "memory", "--clock", "manual"]);
        let target = served.target_file(folder.path());
        // Slow enough that the signal comes in the middle.
        let mut run = Command::new(env!("CARGO_BIN_EXE_hookproof"))
            .args(["check", "--target", &target, "--rate", "40", "--report", "json=report.json"])
            .current_dir(folder.path())
            .env("HOOKPROOF_CONTROL_TOKEN", CONTROL_TOKEN)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(run.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        wait_for_domains(&served);
        assert!(Command::new("kill").args([signal, &run.id().to_string()]).status().unwrap().success());
        stdout.read_to_string(&mut line).unwrap();
        assert_eq!(run.wait().unwrap().code(), Some(code), "{line}");
        let report = report(&folder.path().join("report.json"));
        assert_eq!(report.verdict, Verdict::Interrupted);
        assert_eq!(report.not_deleted, []);
        let made: Vec<String> = report
            .checks
            .iter()
            .flat_map(|check| &check.evidence.fixtures)
            .filter(|call| call.method == "domain.create")
            .filter_map(|call| call.result.as_ref()?.get("domain")?.as_str().map(str::to_owned))
            .collect();
        assert!(!made.is_empty(), "nothing was made before the signal");
        for domain in made {
            let answer = control(&served, "domain.inspect", &serde_json::json!({"domain": domain}));
            assert_eq!(answer["error"]["data"]["reason"], "not_found", "{domain}: {answer}");
        }
    }
}

/// Returns once somebody else has used the served API: a render of ours is no longer the first thing it does.
fn wait_for_domains(served: &Served) {
    let refresh = served.log.iter().find(|line| line.contains("refresh"));
    assert!(refresh.is_some(), "the server ended");
}

#[test]
fn on_a_system_clock_windows_are_not_run_without_patience() {
    let folder = folder();
    let served = Served::start(folder.path(), &["--store", "memory", "--clock", "system"]);
    let target = served.target_file(folder.path());
    let arguments = ["check", "--target", &target, "--only", "rndrkit.rate.*", "--report", "json=report.json"];
    let run = hookproof(folder.path(), &arguments);
    assert_eq!(run.status.code(), Some(4), "{}", text(&run.stdout));
    let report = report(&folder.path().join("report.json"));
    let anchored = report.rules.iter().find(|rule| rule.id == "rndrkit.rate.window-anchored").unwrap();
    assert_eq!(anchored.status, Status::NotRun);
    assert!(anchored.reason.contains("--patience") && anchored.reason.contains(" h"), "{}", anchored.reason);
    let ten = report.rules.iter().find(|rule| rule.id == "rndrkit.rate.ten-per-hour").unwrap();
    assert_eq!(ten.status, Status::Pass);
    let allowed = hookproof(folder.path(), &[&arguments[..], &["--allow-incomplete"]].concat());
    assert_eq!(allowed.status.code(), Some(0));
}

#[track_caller]
fn refused(arguments: &[&str], code: i32, parts: &[&str]) {
    let folder = folder();
    let run = hookproof(folder.path(), arguments);
    let said = text(&run.stderr);
    assert_eq!(run.status.code(), Some(code), "{said}");
    for part in parts {
        assert!(said.contains(part), "no `{part}` in: {said}");
    }
}

#[test]
fn bad_usage_ends_with_two_and_says_what_is_right() {
    refused(&["check", "--only", "rndrkit.rate.ten-per-hou"], 2, &["rndrkit.rate.ten-per-hour"]);
    refused(&["check", "--only", "rndrkit.*", "--api", "craftkit"], 2, &["none left"]);
    refused(&["check", "--target", "missing.toml"], 2, &["missing.toml", "hookproof init"]);
    refused(&["check", "--report", "json=missing/report.json"], 2, &["missing/report.json"]);
    refused(&["check", "--jobs", "0"], 2, &["--jobs"]);
    refused(&["rules", "rndrkit.auth.header-mising"], 2, &["rndrkit.auth.header-missing"]);
    refused(&["serve", "--deviation", "limit-elven"], 2, &["limit-eleven"]);
    refused(&["chek"], 2, &["check"]);
}

#[test]
fn a_report_that_is_lost_hides_neither_the_verdict_nor_the_other_reports() {
    let folder = folder();
    let served =
        Served::start(folder.path(), &["--store", "memory", "--clock", "manual", "--deviation", "limit-eleven"]);
    let target = served.target_file(folder.path());
    for (target, code) in [("builtin", 2), (target.as_str(), 1)] {
        let arguments = ["check", "--target", target, "--only", "rndrkit.rate.ten-per-hour", "--cases", "0"];
        let reports = ["--report", "json=/dev/full", "--report", "junit=report.xml"];
        let run = hookproof(folder.path(), &[&arguments[..], &reports].concat());
        assert_eq!(run.status.code(), Some(code), "{}", text(&run.stderr));
        assert!(text(&run.stderr).contains("--report /dev/full"), "{}", text(&run.stderr));
        assert!(std::fs::read_to_string(folder.path().join("report.xml")).unwrap().contains("ten-per-hour"));
    }
}

#[test]
fn nothing_is_written_over_another_output_or_over_what_is_read() {
    let twice = ["--report", "json=same", "--report", "markdown=./same"];
    refused(&[&["check", "--only", "rndrkit.rate.*"], &twice[..]].concat(), 2, &["--report ./same", "of its own"]);
    refused(&["check", "--events", "missing/events"], 2, &["--events missing/events"]);
    let folder = folder();
    std::fs::write(folder.path().join("history.jsonl"), "what was seen").unwrap();
    let run = hookproof(folder.path(), &["audit", "history.jsonl", "--report", "json=history.jsonl"]);
    assert_eq!(run.status.code(), Some(2), "{}", text(&run.stderr));
    assert!(text(&run.stderr).contains("another file than this run reads"), "{}", text(&run.stderr));
    assert_eq!(std::fs::read_to_string(folder.path().join("history.jsonl")).unwrap(), "what was seen");
}

#[test]
fn a_target_that_is_not_there_ends_with_three() {
    let folder = folder();
    let silent = "[rndrkit]\nbase_url = \"http://127.0.0.1:9\"\n[fixtures]\nkind = \"http\"\nurl = \"http://127.0.0.1:9/_control\"\ntoken = \"a-control-token\"\n";
    std::fs::write(folder.path().join("hookproof.toml"), silent).unwrap();
    let run = hookproof(folder.path(), &["check", "--report", "json=report.json", "--report", "junit=report.xml"]);
    assert_eq!(run.status.code(), Some(3), "{}", text(&run.stderr));
    // The reports say so, too: an empty file would be taken for a run that found nothing.
    let unprepared = report(&folder.path().join("report.json"));
    assert_valid(&std::fs::read_to_string(folder.path().join("report.json")).unwrap());
    assert_eq!(unprepared.verdict, Verdict::Incomplete);
    assert!(unprepared.unprepared.is_some_and(|reason| reason.contains("fixtures")));
    assert!(unprepared.rules.iter().all(|rule| rule.status == Status::NotRun && rule.reason.contains("fixtures")));
    assert_eq!(hookproof(folder.path(), &["verify", "report.json"]).status.code(), Some(0));
    assert!(std::fs::read_to_string(folder.path().join("report.xml")).unwrap().contains("<failure"));
    assert!(text(&run.stderr).contains("fixtures"), "{}", text(&run.stderr));
}

#[test]
fn init_writes_a_target_file_that_serve_and_check_understand_and_never_overwrites() {
    let folder = folder();
    assert_eq!(hookproof(folder.path(), &["init"]).status.code(), Some(0));
    assert_eq!(hookproof(folder.path(), &["init"]).status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(folder.path().join("hookproof.toml")).unwrap(), hookproof::config::TEMPLATE);
}

#[test]
fn rules_lists_every_rule_and_explains_one() {
    let folder = folder();
    let list = text(&hookproof(folder.path(), &["rules"]).stdout);
    for rule in hookproof::catalogue::all() {
        assert!(list.contains(rule.id), "{} is not listed", rule.id);
    }
    let one = text(&hookproof(folder.path(), &["rules", "rndrkit.rate.ten-per-hour"]).stdout);
    assert!(one.contains("demand") && one.contains("source"), "{one}");
    let json: serde_json::Value =
        serde_json::from_slice(&hookproof(folder.path(), &["rules", "--format", "json"]).stdout).unwrap();
    assert_eq!(json["rules"].as_array().map(Vec::len), Some(hookproof::catalogue::all().count()));
}
