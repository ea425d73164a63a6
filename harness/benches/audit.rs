//! How fast the audit judges load histories while they are read, in how much memory, and how a general linearizability checker
//! does on histories that both can judge.
//!
//! The second table is the hard part of the first by itself: many domains, each with a few windows in which nearly everybody is
//! served and all are under way together. Only in its last line a domain has too many requests to be explained without a search.
//! Times are the shortest of several, since other programs only ever add to them; on a busy machine long runs suffer more, so
//! that the ratios to the general checker come out too high.
//!
//! The last table is the whole way of `hookproof audit FILE`, from the file to the verdict, beside the judge alone.
//!
//! `cargo bench -p hookproof --bench audit`

use std::time::{Duration, Instant};

use hookproof::audit::rate::{self, Monitor};
use hookproof::audit::{Kind, Request, Start, Verdict, Window};

#[path = "audit/files.rs"]
mod files;

#[path = "../tests/audit/dice.rs"]
#[expect(dead_code, reason = "tests roll in more ways")]
mod dice;
#[path = "../tests/audit/instances.rs"]
#[expect(clippy::unwrap_used, reason = "it is made for tests")]
mod instances;
#[path = "../tests/audit/todc.rs"]
#[expect(dead_code, reason = "here all outcomes are known")]
mod todc;

use dice::Dice;
use instances::Instance;

const SECOND: i64 = 1_000_000_000;
const WINDOW: Window = Window { limit: 10, shortest: 3_598 * SECOND, longest: 3_602 * SECOND };

/// A correct server under steady load, seen by its clients; made as it is read.
struct Load {
    dice: Dice,
    /// Requests in a window, and how many of them are in flight together, nearly.
    per_window: i64,
    at_once: i64,
    now: i64,
    n: u64,
    end: i64,
    served: u64,
    unknown: f64,
}

impl Load {
    fn new(per_window: i64, at_once: i64, unknown: f64) -> Load {
        Load { dice: Dice::new(7), per_window, at_once, now: SECOND, n: 0, end: 0, served: 0, unknown }
    }
}

impl Iterator for Load {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        let gap = 3_600 * SECOND / self.per_window;
        // The instants of decision ascend; each lies somewhere in its request.
        self.now += self.dice.range(gap / 2, gap + gap / 2);
        let most = self.at_once * gap / 2;
        let (before, after) = (self.dice.range(0, most), self.dice.range(0, most));
        if self.now >= self.end {
            (self.end, self.served) = (self.now + 3_600 * SECOND, 0);
        }
        let mut kind = if self.served < WINDOW.limit { Kind::Counted } else { Kind::Refused };
        self.served += u64::from(kind == Kind::Counted);
        if self.dice.chance(self.unknown) {
            kind = Kind::Perhaps { until: Some(self.now + after) };
        }
        self.n += 1;
        Some(Request { n: self.n, start: self.now - before, end: self.now + after, kind })
    }
}

/// Judges `count` requests as a reader would: in order of completion, nearly.
fn stream(count: usize, per_window: i64, at_once: i64, unknown: f64) -> Duration {
    const BATCH: usize = 8_192;
    let mut load = Load::new(per_window, at_once, unknown);
    let mut monitor = Monitor::new(WINDOW, Start::Fresh);
    let mut spent = Duration::ZERO;
    let mut left = count;
    let lag = at_once * 3_600 * SECOND / per_window / 2;
    while left > 0 {
        // Every request still to come is decided later than this, so it starts at most a lag before.
        let before = load.now - lag;
        let batch: Vec<Request> = load.by_ref().take(BATCH.min(left)).collect();
        left -= batch.len();
        let began = Instant::now();
        for request in &batch {
            monitor.push(*request);
            monitor.settle(before);
        }
        spent += began.elapsed();
    }
    let began = Instant::now();
    let verdict = monitor.finish();
    spent += began.elapsed();
    assert!(matches!(verdict, Verdict::Consistent(_)), "a correct server: {verdict:?}");
    spent
}

fn memory(field: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    line.map_or("unknown".to_owned(), |line| line[field.len() + 1..].trim().to_owned())
}

fn main() {
    println!(
        "{:>12} {:>12} {:>9} {:>9} {:>14} {:>14}",
        "requests", "per window", "at once", "unknown", "per second", "peak memory"
    );
    for (count, per_window, at_once, unknown) in [
        (1_000_000, 1_000_000, 20, 0.0),
        (10_000_000, 1_000_000, 20, 0.0),
        (1_000_000, 10_000, 20, 0.0),
        (10_000_000, 10_000, 20, 0.0),
        (1_000_000, 10_000, 20, 0.001),
        (1_000_000, 100, 20, 0.0),
        (1_000_000, 15, 20, 0.0),
        (1_000_000, 15, 4, 0.0),
        // Nobody is refused, so nothing says when a window was full.
        (100_000, 9, 4, 0.0),
        (5_000, 9, 20, 0.0),
    ] {
        let again = || stream(count, per_window, at_once, unknown);
        let runs = if count > 1_000_000 { 1 } else { 3 };
        let spent = (0..runs).map(|_| again()).min().unwrap_or_default();
        let rate = count as f64 / spent.as_secs_f64();
        println!("{count:>12} {per_window:>12} {at_once:>9} {unknown:>9} {rate:>14.0} {:>14}", memory("VmHWM"));
    }
    println!("\n{:>32} {:>14}", "1,000 domains, 20 bursts each", "per second");
    for at_once in [9, 10, 16, 100] {
        println!("{:>32} {:>14.0}", format!("{at_once} at once"), bursts(at_once));
    }
    println!(
        "\n{:>24} {:>9} {:>9} {:>14} {:>14} {:>9}",
        "histories", "windows", "requests", "audit", "todc-utils", "ratio"
    );
    for (at_once, windows) in [(8, 3), (12, 3), (32, 3), (8, 10), (32, 10), (8, 30), (32, 30), (8, 100)] {
        volleyed(at_once, windows, false);
    }
    for (at_once, windows) in [(6, 3), (8, 3), (10, 3), (12, 3), (6, 10), (8, 10)] {
        volleyed(at_once, windows, true);
    }
    for wrong in [false, true] {
        any(wrong);
    }
    let judge_alone = 1_000_000.0 / stream(1_000_000, 10_000, 20, 0.0).as_secs_f64();
    files::measure(judge_alone);
}

/// Requests judged in a second where domains get bursts of so many requests, a window apart.
fn bursts(at_once: i64) -> f64 {
    const DOMAINS: u64 = 1_000;
    const BURSTS: i64 = 20;
    let domains: Vec<Vec<Request>> = (0..DOMAINS).map(|seed| burst(&mut Dice::new(seed), BURSTS, at_once)).collect();
    let spent = shortest(|| {
        for domain in &domains {
            let mut monitor = Monitor::new(WINDOW, Start::Fresh);
            for request in domain {
                monitor.push(*request);
                monitor.settle(request.start - SECOND);
            }
            assert!(monitor.is_explained(), "a correct server");
        }
    });
    let requests: usize = domains.iter().map(Vec::len).sum();
    requests as f64 / spent.as_secs_f64()
}

/// What a correct server answers to bursts: all requests of one are sent within 50 ms and take up to 200 ms.
fn burst(dice: &mut Dice, bursts: i64, at_once: i64) -> Vec<Request> {
    const MS: i64 = SECOND / 1_000;
    let mut requests = Vec::new();
    for burst in 0..bursts {
        let begins = SECOND + burst * 3_630 * SECOND;
        let mut sent: Vec<(i64, i64)> = (0..at_once)
            .map(|_| {
                let start = begins + dice.range(0, 50 * MS);
                (start + dice.range(MS, 100 * MS), start)
            })
            .collect();
        sent.sort_unstable();
        for (place, (decided, start)) in sent.into_iter().enumerate() {
            let kind = if (place as u64) < WINDOW.limit { Kind::Counted } else { Kind::Refused };
            let end = decided + dice.range(MS, 100 * MS);
            requests.push(Request { n: requests.len() as u64, start, end, kind });
        }
    }
    requests
}

/// The shortest of some runs.
fn shortest(mut run: impl FnMut()) -> Duration {
    const RUNS: u32 = 5;
    let times = (0..RUNS).map(|_| {
        let began = Instant::now();
        run();
        began.elapsed()
    });
    times.min().unwrap_or_default()
}

/// Both judge the same histories of a correct server under volleys.
///
/// Where one request too many was served, a general checker must try all orders before it can say so.
fn volleyed(at_once: i64, windows: i64, wrong: bool) {
    const HISTORIES: u64 = 5;
    let window = Window { limit: at_once as u64 / 2, shortest: 40, longest: 40 };
    let volleyed = |seed| volleys(&mut Dice::new(seed), windows, at_once, &window, wrong);
    let histories: Vec<Instance> = (0..HISTORIES).map(|seed| Instance { requests: volleyed(seed), window }).collect();
    let name = format!("{at_once} at once, {}", if wrong { "one too many" } else { "correct" });
    compare(&name, &windows.to_string(), &histories, wrong);
}

/// Both judge the same histories of a few requests each, as tests try them; correct and wrong ones apart. A general checker has
/// next to nothing to do there.
fn any(wrong: bool) {
    const REQUESTS: i64 = 10;
    let known = (0..2_000).map(|seed| {
        let Instance { mut requests, mut window } = instances::small(&mut Dice::new(seed), REQUESTS);
        requests.retain(|request| !matches!(request.kind, Kind::Perhaps { .. }));
        window.longest = window.shortest;
        Instance { requests, window }
    });
    let histories: Vec<Instance> = known.filter(|one| !one.requests.is_empty() && explains(one) != wrong).collect();
    compare(if wrong { "small, wrong" } else { "small, correct" }, "any", &histories, wrong);
}

fn compare(name: &str, windows: &str, histories: &[Instance], wrong: bool) {
    const REPEATS: u32 = 50;
    let count = u32::try_from(histories.len()).expect("few histories");
    let (mut general, mut exact) = (0, 0);
    let general_spent = shortest(|| {
        general = histories.iter().filter(|one| todc::is_linearizable(&one.requests, &one.window)).count();
    }) / count;
    let exact_spent = shortest(|| {
        for _ in 0..REPEATS {
            exact = histories.iter().filter(|one| explains(one)).count();
        }
    }) / REPEATS
        / count;
    assert_eq!(exact, general, "both judge alike");
    assert_eq!(exact == 0, wrong, "{exact} histories are right");
    let ratio = general_spent.as_secs_f64() / exact_spent.as_secs_f64();
    let requests = histories.iter().map(|one| one.requests.len()).sum::<usize>() / histories.len();
    println!("{name:>24} {windows:>9} {requests:>9} {exact_spent:>14.1?} {general_spent:>14.1?} {ratio:>8.0}x");
}

fn explains(history: &Instance) -> bool {
    rate::is_explained(&history.requests, &history.window, Start::Fresh)
}

/// What a correct server answers to volleys, twice as large as its limit each, a window apart; or one that errs in the last.
fn volleys(dice: &mut Dice, windows: i64, at_once: i64, window: &Window, wrong: bool) -> Vec<Request> {
    let (mut end, mut served, mut n) = (i64::MIN, 0, 0);
    let mut requests = Vec::new();
    for volley in 0..windows {
        let begins = volley * (window.longest + 8);
        let mut instants: Vec<i64> = (0..at_once).map(|_| begins + dice.range(0, 8)).collect();
        instants.sort_unstable();
        for at in instants {
            if at >= end {
                (end, served) = (at + window.shortest, 0);
            }
            let limit = window.limit + u64::from(wrong && volley == windows - 1);
            let kind = if served < limit { Kind::Counted } else { Kind::Refused };
            served += u64::from(kind == Kind::Counted);
            requests.push(Request {
                n,
                start: begins + dice.range(0, 3).min(at - begins),
                end: at + dice.range(2, 8),
                kind,
            });
            n += 1;
        }
    }
    requests
}
