//! `hookproof load` ended from outside: by a signal that it can see, and by `kill -9`, which it cannot.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hookproof::histories::audited::AuditVerdict;
use hookproof::histories::{self, Options};
use hookproof::report::load::LoadVerdict;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use scenarios::history::{Action, Event, Reader};
use serde_json::json;

use crate::cli::{CONTROL_TOKEN, Served, control, folder};
use crate::load::load_report;

/// Kills.
const ROUNDS: u64 = 20;
/// Seeds their moments.
const SEED: u64 = 5;
/// A kill comes once the histories have so many lines.
const LINES_BEFORE_KILL: std::ops::Range<usize> = 2..700;
/// For what must happen on the way; nothing takes so long.
const BOUND: Duration = Duration::from_secs(60);
/// Between two looks at something.
const LOOK: Duration = Duration::from_millis(2);

fn start(folder: &Path, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_hookproof"))
        .args(["load", "--target", "target.toml", "--history", "load.jsonl", "--report", "json=load.json"])
        .args(arguments)
        .current_dir(folder)
        .env("HOOKPROOF_CONTROL_TOKEN", CONTROL_TOKEN)
        .env_remove("GITHUB_ACTIONS")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Every history in a folder.
fn histories(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")).collect()
}

fn lines(folder: &Path) -> usize {
    let count = |path: PathBuf| std::fs::read(path).unwrap().iter().filter(|byte| **byte == b'\n').count();
    histories(folder).into_iter().map(count).sum()
}

/// Returns once the histories have so many lines, or the program has ended.
fn wait_for_lines(folder: &Path, process: &mut Child, wanted: usize) {
    let began = Instant::now();
    while lines(folder) < wanted && process.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < BOUND, "the histories have {} lines, not {wanted}", lines(folder));
        std::thread::park_timeout(LOOK);
    }
}

/// What a history says of each domain: requests begun, and those that may have been accepted.
#[derive(Default)]
struct Told {
    begun: BTreeMap<String, u64>,
    may_be_accepted: BTreeMap<String, u64>,
}

impl Told {
    fn read(path: &Path) -> Told {
        let mut told = Told::default();
        let mut accepted: BTreeMap<String, u64> = BTreeMap::new();
        let mut refused: BTreeMap<String, u64> = BTreeMap::new();
        for event in Reader::new(BufReader::new(File::open(path).unwrap())) {
            match event.unwrap() {
                Event::Header(header) => {
                    told.begun.extend(header.keys.into_keys().map(|key| (key, 0)));
                }
                Event::Invoked(operation) => {
                    if let Action::Refresh { domain, .. } = operation.invocation.action {
                        *told.begun.get_mut(&domain).expect("the header names every domain") += 1;
                    }
                }
                Event::Completed(operation, outcome) => {
                    if let Action::Refresh { domain, .. } = operation.invocation.action {
                        let count = if outcome.status == Some(200) || outcome.status.is_none() {
                            &mut accepted
                        } else {
                            &mut refused
                        };
                        *count.entry(domain).or_default() += 1;
                    }
                }
            }
        }
        for (domain, begun) in &told.begun {
            told.may_be_accepted.insert(domain.clone(), begun - refused.get(domain).unwrap_or(&0));
        }
        told
    }
}

#[test]
fn after_kill_9_the_history_holds_every_request_that_the_server_saw() {
    let mut rng = StdRng::seed_from_u64(SEED);
    let server_folder = folder();
    let served = Served::start(server_folder.path(), &["--store", "memory", "--clock", "manual"]);
    let (mut begun, mut accepted, mut unfinished) = (0, 0, 0);
    for round in 0..ROUNDS {
        let folder = folder();
        served.target_file(folder.path());
        let seed = round.to_string();
        let mut process = start(folder.path(), &["first-window", "inbound-renders", "--domains", "6", "--seed", &seed]);
        wait_for_lines(folder.path(), &mut process, rng.random_range(LINES_BEFORE_KILL));
        process.kill().unwrap();
        process.wait().unwrap();
        for path in histories(folder.path()).iter().filter(|path| path.metadata().unwrap().len() > 0) {
            let told = Told::read(path);
            for (domain, most) in &told.may_be_accepted {
                let seen = control(&served, "domain.inspect", &json!({ "domain": domain }));
                // Each request of this scenario names as many pages as any other; a template is no domain.
                let Some(paths) = seen.pointer("/result/queued_paths").and_then(|paths| paths.as_array()) else {
                    continue;
                };
                let requests = paths.len().div_ceil(PAGES) as u64;
                assert!(requests <= *most, "round {round}, {domain}: {requests} accepted, {most} in the history");
                accepted += requests;
            }
            begun += told.begun.values().sum::<u64>();
            let audited = histories::audit_files(std::slice::from_ref(path), &Options::default(), &|| false).unwrap();
            assert_ne!(audited.verdict, AuditVerdict::Inconsistent, "round {round}: {:?}", audited.violations);
            unfinished += audited.files[0].unfinished;
        }
    }
    // The server's own log: requests that it answered, whether anybody still listened or not.
    let answered = served.log.try_iter().filter(|line| line.contains("route=\"refresh\"")).count() as u64;
    assert!(answered <= begun, "the server answered {answered} refreshes, the histories hold {begun}");
    assert!(answered > 0 && accepted > 0 && unfinished > 0, "{answered} {accepted} {unfinished}");
}

/// Pages that each request of `first-window` names.
const PAGES: usize = 3;

#[test]
fn a_signal_ends_the_load_keeps_its_history_and_leaves_nothing_behind() {
    for (signal, number) in [("-INT", 2), ("-TERM", 15)] {
        let folder = folder();
        let served = Served::start(folder.path(), &["--store", "memory", "--clock", "manual"]);
        served.target_file(folder.path());
        let mut process = start(folder.path(), &["steady", "--rate", "100", "--duration", "50s"]);
        wait_for_lines(folder.path(), &mut process, 50);
        let sent = Command::new("kill").args([signal, &process.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(process.wait().unwrap().code(), Some(128 + number));
        let report = load_report(&folder.path().join("load.json"));
        assert_eq!((report.verdict, report.interrupted_by), (LoadVerdict::Interrupted, Some(number)));
        assert!(report.not_deleted.is_empty() && report.defects.is_empty());
        let scenario = &report.scenarios[0];
        assert!(scenario.reasons.iter().any(|reason| reason.starts_with("interrupted")), "{:?}", scenario.reasons);
        let audit = scenario.audit.as_ref().expect("what there is was audited");
        assert!(audit.requests > 0 && audit.violations.is_empty());
        let told = Told::read(&folder.path().join("load.jsonl"));
        assert!(!told.begun.is_empty());
        for domain in told.begun.keys().filter(|key| key.starts_with("site-")) {
            let answer = control(&served, "domain.inspect", &json!({ "domain": domain }));
            assert_eq!(answer["error"]["data"]["reason"], "not_found", "{domain}: {answer}");
        }
    }
}

#[test]
fn a_signal_between_scenarios_runs_none_of_the_others() {
    let folder = folder();
    let served = Served::start(folder.path(), &["--store", "memory", "--clock", "manual"]);
    served.target_file(folder.path());
    let mut process = start(folder.path(), &["first-window", "token-spread"]);
    wait_for_lines(folder.path(), &mut process, 20);
    let sent = Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(process.wait().unwrap().code(), Some(143));
    let report = load_report(&folder.path().join("load.json"));
    let last = &report.scenarios[1];
    assert_eq!(last.reasons, ["interrupted before it began"]);
    assert!(!folder.path().join("load.token-spread.jsonl").exists());
}
