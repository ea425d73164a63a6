//! How fast the audit judges load histories while they are read, in how much memory, and how a general linearizability checker
//! does on small histories that both can judge.
//!
//! `cargo bench -p hookproof --bench audit`

use std::time::{Duration, Instant};

use hookproof::audit::rate::rules::Spec;
use hookproof::audit::rate::{self, Decision, Monitor, Past};
use hookproof::audit::{Kind, Request, Start, Verdict, Window};

#[path = "../tests/audit/dice.rs"]
#[expect(dead_code, reason = "tests roll in more ways")]
mod dice;
#[path = "../tests/audit/todc.rs"]
#[expect(dead_code, reason = "here all outcomes are known")]
mod todc;

use dice::Dice;

const SECOND: i64 = 1_000_000_000;
const WINDOW: Window = Window { limit: 10, shortest: 3_598 * SECOND, longest: 3_602 * SECOND };

/// A correct server under steady load, seen by its clients; made as it is read.
struct Load {
    dice: Dice,
    /// Requests in a window.
    per_window: i64,
    now: i64,
    n: u64,
    end: i64,
    served: u64,
    unknown: f64,
}

impl Load {
    fn new(per_window: i64, unknown: f64) -> Load {
        Load { dice: Dice::new(7), per_window, now: SECOND, n: 0, end: 0, served: 0, unknown }
    }
}

impl Iterator for Load {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        let gap = 3_600 * SECOND / self.per_window;
        // The instants of decision ascend; each lies somewhere in its request, some twenty of which are in flight.
        self.now += self.dice.range(gap / 2, gap + gap / 2);
        let (before, after) = (self.dice.range(0, 10 * gap), self.dice.range(0, 10 * gap));
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
fn stream(count: usize, per_window: i64, unknown: f64) -> Duration {
    const BATCH: usize = 8_192;
    let mut load = Load::new(per_window, unknown);
    let mut monitor = Monitor::new(WINDOW, Start::Fresh);
    let mut spent = Duration::ZERO;
    let mut left = count;
    let lag = 10 * 3_600 * SECOND / per_window;
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
    println!("{:>12} {:>12} {:>9} {:>14} {:>14}", "requests", "per window", "unknown", "per second", "peak memory");
    for (count, per_window, unknown) in [
        (1_000_000, 1_000_000, 0.0),
        (10_000_000, 1_000_000, 0.0),
        (1_000_000, 10_000, 0.0),
        (10_000_000, 10_000, 0.0),
        (1_000_000, 10_000, 0.001),
        (1_000_000, 100, 0.0),
        (1_000_000, 15, 0.0),
    ] {
        let spent = stream(count, per_window, unknown);
        let rate = count as f64 / spent.as_secs_f64();
        println!("{count:>12} {per_window:>12} {unknown:>9} {rate:>14.0} {:>14}", memory("VmHWM"));
    }
    println!("\n{:>32} {:>16} {:>16} {:>10}", "small histories", "audit", "todc-utils", "ratio");
    for (at_once, wrong) in [(8, false), (12, false), (6, true), (8, true), (10, true), (12, true)] {
        compare(at_once, wrong);
    }
}

/// Both judge the same small histories of a correct server under volleys.
///
/// Where one request too many was served, a general checker must try all orders before it can say so.
fn compare(at_once: i64, wrong: bool) {
    const HISTORIES: u64 = 5;
    const REPEATS: u32 = 50;
    let window = Window { limit: at_once as u64 / 2, shortest: 40, longest: 40 };
    let histories: Vec<Vec<Request>> =
        (0..HISTORIES).map(|seed| volleys(&mut Dice::new(seed), at_once, &window, wrong)).collect();
    let began = Instant::now();
    let general = histories.iter().filter(|history| todc::is_linearizable(history, &window)).count();
    let general_spent = began.elapsed() / histories.len() as u32;
    let began = Instant::now();
    let mut exact = 0;
    for _ in 0..REPEATS {
        exact = histories.iter().filter(|history| explains(history, &window)).count();
    }
    let exact_spent = began.elapsed() / REPEATS / histories.len() as u32;
    assert_eq!(exact, general, "both judge alike");
    assert_eq!(exact == 0, wrong, "{exact} histories are right");
    let name = format!("{at_once} at once, {}", if wrong { "one served wrongly" } else { "correct" });
    let ratio = general_spent.as_secs_f64() / exact_spent.as_secs_f64();
    println!("{name:>32} {exact_spent:>16.1?} {general_spent:>16.1?} {ratio:>9.0}x");
}

fn explains(history: &[Request], window: &Window) -> bool {
    matches!(rate::decide::<Spec>(history, window, &Past::Empty), Decision::Explained(_))
}

/// What a correct server answers to three volleys, twice as large as its limit each, a window apart.
fn volleys(dice: &mut Dice, at_once: i64, window: &Window, wrong: bool) -> Vec<Request> {
    let (mut end, mut served, mut n) = (i64::MIN, 0, 0);
    let mut requests = Vec::new();
    for volley in 0..3 {
        let begins = volley * (window.longest + 8);
        let mut instants: Vec<i64> = (0..at_once).map(|_| begins + dice.range(0, 8)).collect();
        instants.sort_unstable();
        for at in instants {
            if at >= end {
                (end, served) = (at + window.shortest, 0);
            }
            let limit = window.limit + u64::from(wrong && volley == 2);
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
