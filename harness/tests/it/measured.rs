//! Runs of the program with what they took, and what may be in their outputs.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use hookproof::report::Report;

use crate::cli::{CONTROL_TOKEN, assert_valid, report, text};

/// How often the memory of a run is looked at; its peak never falls, so only the last moment can be missed.
const LOOK: Duration = Duration::from_millis(5);

/// A run that has ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
    /// What `--run-time` allowed.
    pub(crate) run_time: Duration,
    /// The most memory (KiB) it had at a time.
    pub(crate) peak_kib: u64,
    pub(crate) folder: tempfile::TempDir,
}

/// Every report that a run can write.
pub(crate) const REPORTS: [&str; 8] = [
    "--report",
    "json=report.json",
    "--report",
    "junit=report.xml",
    "--report",
    "markdown=report.md",
    "--events",
    "events.jsonl",
];

impl Ran {
    /// Checks a target file's target with every report written.
    pub(crate) fn check(target: &str, arguments: &[&str]) -> Ran {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("target.toml"), target).unwrap();
        let began = Instant::now();
        let mut process = Command::new(env!("CARGO_BIN_EXE_hookproof"))
            .args(["check", "--target", "target.toml"])
            .args(REPORTS)
            .args(arguments)
            .current_dir(folder.path())
            .env("HOOKPROOF_CONTROL_TOKEN", CONTROL_TOKEN)
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_STEP_SUMMARY", folder.path().join("summary.md"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = process.stderr.take().unwrap();
        let mut stdout = process.stdout.take().unwrap();
        let (ended, end) = channel();
        let reading = std::thread::spawn(move || {
            let mut said = Vec::new();
            stdout.read_to_end(&mut said).unwrap();
            drop(ended);
            said
        });
        let complaining = std::thread::spawn(move || {
            let mut said = Vec::new();
            stderr.read_to_end(&mut said).unwrap();
            said
        });
        let mut peak_kib = 0;
        while end.recv_timeout(LOOK) == Err::<(), _>(RecvTimeoutError::Timeout) {
            peak_kib = peak_kib.max(peak(process.id()));
        }
        let code = process.wait().unwrap().code();
        Ran {
            code,
            stdout: text(&reading.join().unwrap()),
            stderr: text(&complaining.join().unwrap()),
            took: began.elapsed(),
            run_time: run_time(arguments),
            peak_kib,
            folder,
        }
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// A file that the run wrote; empty if it did not.
    pub(crate) fn file(&self, name: &str) -> String {
        std::fs::read(self.path(name)).map(|bytes| text(&bytes)).unwrap_or_default()
    }

    /// True if a target was opened, so that there are reports.
    pub(crate) fn has_report(&self) -> bool {
        !self.file("report.json").is_empty()
    }

    pub(crate) fn report(&self) -> Report {
        report(&self.path("report.json"))
    }

    /// Everything that left the run, with where.
    pub(crate) fn outputs(&self) -> Vec<(&'static str, String)> {
        let mut outputs = vec![("stdout", self.stdout.clone()), ("stderr", self.stderr.clone())];
        let files = ["report.json", "report.xml", "report.md", "events.jsonl", "summary.md"];
        outputs.extend(files.map(|name| (name, self.file(name))));
        outputs
    }

    /// Reports are what they claim to be, whatever the target said, and nothing in them steers a terminal.
    pub(crate) fn assert_clean(&self, what: &str) {
        for (place, text) in self.outputs() {
            let steering = text.chars().find(|character| character.is_control() && *character != '\n');
            assert_eq!(steering, None, "{what}: a control character in {place}");
        }
        assert!(!self.stderr.contains("panicked"), "{what}: {}", self.stderr);
        if !self.has_report() {
            return;
        }
        assert_valid(&self.file("report.json"));
        let junit = quick_junit::Report::deserialize_from_str(&self.file("report.xml"));
        assert!(junit.is_ok(), "{what}: {:?}", junit.err());
        for line in self.file("events.jsonl").lines() {
            let event: Result<serde_json::Value, _> = serde_json::from_str(line);
            assert!(event.is_ok(), "{what}: {line}");
        }
        let verified = crate::cli::hookproof(self.folder.path(), &["verify", "report.json"]);
        assert_eq!(verified.status.code(), Some(0), "{what}: {}", text(&verified.stdout));
    }
}

/// What is written after `--run-time`, in whole seconds or minutes; what holds without it where it is not there.
fn run_time(arguments: &[&str]) -> Duration {
    let Some(words) = arguments.iter().skip_while(|word| **word != "--run-time").nth(1) else {
        return hookproof::runner::RUN_TIME_MAX;
    };
    let seconds = match words.strip_suffix("min") {
        Some(minutes) => minutes.parse::<u64>().ok().map(|minutes| minutes * 60),
        None => words.strip_suffix('s').and_then(|seconds| seconds.parse().ok()),
    };
    Duration::from_secs(seconds.unwrap_or_else(|| panic!("`--run-time {words}` is not read by these tests")))
}

/// The peak memory of a process so far; 0 once it has ended.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status"));
    let status = status.unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
