//! Small histories with known verdicts, each named by what it shows: the judge's verdict, and the program's exit code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use hookproof::audit::rate;
use hookproof::audit::{Kind, Request, Start, Verdict, Window};
use scenarios::history::{Event, Header, Operation, Outcome, Reader};
use serde::Deserialize;

const NANOSECONDS: i64 = 1_000_000;
const KEY: &str = "d1";

/// One line of the manifest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    file: String,
    /// The shape of the contradiction; none: the history is consistent.
    #[serde(default)]
    shape: Option<String>,
    /// The numbers of the requests that contradict each other.
    #[serde(default)]
    facts: Vec<u64>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit/corpus")
}

fn manifest() -> Vec<Entry> {
    serde_json::from_slice(&std::fs::read(folder().join("manifest.json")).unwrap()).unwrap()
}

/// The requests of a history with one key, and what its header says.
fn read(file: &str) -> (Vec<Request>, Header) {
    let bytes = std::fs::read(folder().join(file)).unwrap();
    let mut header = None;
    let mut requests: Vec<Request> = Vec::new();
    let request = |operation: &Operation, outcome: Option<&Outcome>| {
        let start = i64::try_from(operation.invocation.start_ns).unwrap();
        let end = outcome.map_or(start, |outcome| i64::try_from(outcome.end_ns).unwrap());
        let kind = match outcome.and_then(|outcome| outcome.status) {
            Some(200) => Kind::Counted,
            Some(429) => Kind::Refused,
            Some(other) => panic!("{file}: status {other}"),
            None => Kind::Perhaps { until: None },
        };
        Request { n: operation.n, start, end, kind }
    };
    for event in Reader::new(bytes.as_slice()) {
        match event.unwrap() {
            Event::Header(told) => header = Some(told),
            Event::Invoked(operation) => requests.push(request(&operation, None)),
            Event::Completed(operation, outcome) => {
                requests.retain(|invoked| invoked.n != operation.n);
                requests.push(request(&operation, Some(&outcome)));
            }
        }
    }
    (requests, header.unwrap())
}

#[test]
fn every_history_of_the_corpus_has_its_verdict() {
    let mut named = BTreeSet::from(["manifest.json".to_owned()]);
    for Entry { file, shape, facts } in manifest() {
        let (requests, header) = read(&file);
        let milliseconds = |ms: u64| i64::try_from(ms).unwrap() * NANOSECONDS;
        let (length, tolerance) = (milliseconds(header.window_ms), milliseconds(header.tolerance_ms));
        let window = Window { limit: header.limit, shortest: length - tolerance, longest: length + tolerance };
        let fresh = header.keys.get(KEY).is_some_and(|key| key.fresh);
        let found = match rate::judge(&requests, &window, if fresh { Start::Fresh } else { Start::Unknown }) {
            Verdict::Consistent(_) => (None, Vec::new()),
            Verdict::Inconsistent(witness) => {
                (Some(witness.shape.name().to_owned()), witness.facts.iter().map(|fact| fact.n).collect())
            }
            Verdict::Inconclusive(reason) => panic!("{file}: {reason}"),
        };
        assert_eq!(found, (shape, facts), "{file}");
        named.insert(file);
    }
    let present = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(present.collect::<BTreeSet<String>>(), named, "the manifest names every history of the corpus");
}

#[test]
fn the_program_ends_with_the_exit_code_of_each_verdict() {
    for Entry { file, shape, .. } in manifest() {
        let run =
            Command::new(env!("CARGO_BIN_EXE_hookproof")).arg("audit").arg(folder().join(&file)).output().unwrap();
        let expected = i32::from(shape.is_some());
        assert_eq!(run.status.code(), Some(expected), "{file}: {}", String::from_utf8_lossy(&run.stdout));
    }
}
