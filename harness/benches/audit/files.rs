//! From a file to the verdict, as `hookproof audit FILE` goes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

use hookproof::histories::audited::AuditVerdict;
use hookproof::histories::{Options, audit_files};
use scenarios::history::{Action, Header, Invocation, KeyState, Outcome, QuotaKind, Recorder, Ticket};

use super::dice::Dice;
use super::{SECOND, WINDOW};

/// How long a request may take before it is decided, and after.
const WAY: i64 = SECOND / 100;

/// From one request to the next.
const GAP: i64 = SECOND / 1_000;

/// Operations that are written at once.
const BATCH: u64 = 4_096;

/// What happens to a request on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Decided,
    Ended { served: bool },
}

/// Measures histories of several lengths; `judge_alone` is how many requests the judge alone takes in a second.
pub(super) fn measure(judge_alone: f64) {
    let titles =
        ["in files", "domains", "bytes each", "seconds", "core-seconds", "per core-s", "of judge", "peak memory"];
    let [count, domains, bytes, wall, cores, rate, part, memory] = titles;
    println!("\n{count:>12} {domains:>9} {bytes:>10} {wall:>8} {cores:>12} {rate:>12} {part:>8} {memory:>14}");
    for (count, domains) in [(1_000_000, 100), (3_000_000, 100), (1_000_000, 1)] {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("history.jsonl");
        write(&path, count, domains);
        let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len()) / count;
        forget_peak();
        let (began, used) = (Instant::now(), processor_time());
        let audited = audit_files(&[path], &Options::default(), &|| false).expect("a good history");
        let (wall, used) = (began.elapsed().as_secs_f64(), (processor_time() - used).as_secs_f64());
        assert_eq!(audited.verdict, AuditVerdict::Consistent, "a correct server");
        assert_eq!(audited.files[0].operations, count);
        let rate = count as f64 / used;
        let (part, memory) = (100.0 * rate / judge_alone, peak_memory());
        println!(
            "{count:>12} {domains:>9} {bytes:>10} {wall:>8.2} {used:>12.2} {rate:>12.0} {part:>7.0}% {memory:>14}"
        );
    }
}

/// The most memory used since [`forget_peak`].
fn peak_memory() -> String {
    const PEAK: &str = "VmHWM:";
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(PEAK));
    line.map_or("unknown".to_owned(), |kilobytes| kilobytes.trim().to_owned())
}

/// Makes the system forget how much memory was used so far.
fn forget_peak() {
    // Where it cannot, the peak of what ran before stands in its place.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// What all threads of this process have used so far, to within a hundredth of a second.
fn processor_time() -> Duration {
    /// The clock tick of `/proc`.
    const TICK: Duration = Duration::from_millis(10);
    /// Where `utime` and `stime` stand, counted after the command's name, which is in brackets.
    const UTIME: usize = 11;
    let stat = std::fs::read_to_string("/proc/self/stat").expect("this bench runs on Linux");
    let fields = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
    let ticks: u32 = fields.skip(UTIME).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum();
    TICK * ticks
}

/// Writes what a recorder sees of a correct server: each request in a line when it is sent and one when it has ended.
fn write(path: &Path, count: u64, domains: i64) {
    let name = |domain: i64| format!("shop-{domain}.example.com");
    let keys = (0..domains).map(|domain| (name(domain), KeyState { fresh: true, renders_left: None }));
    let header = Header {
        recorder: "bench".to_owned(),
        unix_ms: 1_760_000_000_000,
        skew_ms: 0,
        limit: WINDOW.limit,
        window_ms: 3_600_000,
        tolerance_ms: 2_000,
        quota: QuotaKind::Reached,
        keys: keys.collect(),
    };
    let recorder = Recorder::create(path, &header).expect("a new file");
    let mut batch = recorder.batch();
    let mut dice = Dice::new(11);
    // When the window of each domain ends, and how many were served in it.
    let mut windows = vec![(0, 0); usize::try_from(domains).expect("few domains")];
    let mut coming: BinaryHeap<Reverse<(i64, u64, Stage)>> = BinaryHeap::new();
    let mut tickets: HashMap<u64, (Ticket, usize)> = HashMap::new();
    let mut start = SECOND;
    for n in 0..=count {
        start += dice.range(GAP / 2, GAP + GAP / 2);
        let until = if n == count { i64::MAX } else { start };
        while let Some(Reverse((at, n, stage))) = coming.peek().copied().filter(|Reverse((at, ..))| *at < until) {
            coming.pop();
            match stage {
                Stage::Decided => {
                    let (end, served) = &mut windows[tickets[&n].1];
                    if at >= *end {
                        (*end, *served) = (at + 3_600 * SECOND, 0);
                    }
                    let serves = *served < WINDOW.limit;
                    *served += u64::from(serves);
                    coming.push(Reverse((at + dice.range(1, WAY), n, Stage::Ended { served: serves })));
                }
                Stage::Ended { served } => {
                    let (ticket, _) = tickets.remove(&n).expect("it was invoked");
                    let error = (!served).then(|| "Rate limit exceeded (10 requests/hour)".to_owned());
                    let status = Some(if served { 200 } else { 429 });
                    let outcome = Outcome { status, error, ..Outcome::at(at.unsigned_abs()) };
                    batch.completed(ticket, &outcome).expect("a good outcome");
                }
            }
        }
        if n < count {
            let domain = dice.range(0, domains - 1);
            let token = Some(format!("{}.{}", name(domain), dice.range(1, 3)));
            let action = Action::Refresh { domain: name(domain), token, pages: Some(1) };
            let due_ns = Some(start.unsigned_abs());
            let start_ns = (start + dice.range(0, GAP / 10)).unsigned_abs();
            let invocation = Invocation { action, due_ns, start_ns, server_start_ms: None };
            let ticket = batch.invoked(&invocation).expect("a good invocation");
            tickets.insert(n, (ticket, usize::try_from(domain).expect("few domains")));
            coming.push(Reverse((start + GAP / 10 + dice.range(0, WAY), n, Stage::Decided)));
        }
        if n % BATCH == 0 {
            batch.flush().expect("room for the history");
        }
    }
    drop(batch);
    recorder.finish().expect("room for the history");
}
