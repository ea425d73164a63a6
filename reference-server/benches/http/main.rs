//! What the server costs, as ratios within one run.
//!
//! `cargo bench -p reference-server`, and after `--` optionally `--rounds N`, `--millis N` and
//! `--only refused|refresh|hook|store|restart`.
//!
//! Each server runs in a process of its own, so that its CPU time and memory are its own; it is this
//! program again, started with `serve`. Server and client share the machine's cores, unpinned. Rounds
//! rotate the order of what they measure, and medians are shown, since neighbours make noise. Nothing
//! here fails on a number: numbers depend on the machine, and a test that is timed is a test that flakes.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing to say")]

mod absent;
mod child;
mod floor;
mod load;
mod restart;
mod rules;
mod store;

use std::path::Path;
use std::time::Duration;

use child::{Child, Kind};
use load::Endpoint;

/// Connections under load at once, and tasks that wait for the store.
const CONCURRENCY: usize = 50;
/// Rounds when not said otherwise.
const ROUNDS: usize = 5;
/// Length of each measurement when not said otherwise.
const LENGTH: Duration = Duration::from_millis(1500);

/// One server under load.
struct Sample {
    per_second: f64,
    cpu_micros: f64,
    peak_mib: f64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, kind, path] = arguments.as_slice()
        && role == "serve"
    {
        return child::serve(Kind::named(kind), Path::new(path));
    }
    let rounds = option(&arguments, "--rounds").unwrap_or(ROUNDS);
    let length = option(&arguments, "--millis").map_or(LENGTH, Duration::from_millis);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    println!("{CONCURRENCY} keep-alive connections on loopback, {rounds} rounds of {length:?}, medians\n");
    let only: Option<String> = option(&arguments, "--only");
    let wanted = |name: &str| only.as_ref().is_none_or(|only| only == name);
    runtime.block_on(async {
        for endpoint in Endpoint::ALL.into_iter().filter(|endpoint| wanted(endpoint.name())) {
            servers(endpoint, rounds, length).await;
        }
        if wanted("store") {
            stores(rounds, length).await;
        }
        if wanted("restart") {
            restarts(rounds, length).await;
        }
    });
}

fn option<T: std::str::FromStr>(arguments: &[String], name: &str) -> Option<T> {
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.get(at + 1)?.parse().ok()
}

async fn servers(endpoint: Endpoint, rounds: usize, length: Duration) {
    let mut samples: [Vec<Sample>; 7] = Default::default();
    // Kept to the end: to delete a file of many megabytes makes the flushes after it slow, and those are another's.
    let mut folders = Vec::new();
    for round in 0..rounds {
        for step in 0..Kind::ALL.len() {
            let place = (round + step) % Kind::ALL.len();
            let folder = tempfile::tempdir().unwrap();
            samples[place].push(measure(Kind::ALL[place], &folder.path().join("store"), endpoint, length).await);
            folders.push(folder);
        }
    }
    println!("{endpoint}");
    println!(
        "  {:<23} {:>11} {:>8} {:>9} {:>9} {:>9}",
        "", "decisions/s", "of hyper", "CPU us/rq", "of hyper", "peak MiB"
    );
    let [sqlite, pages, log, memory, absent, rules, hyper] = &samples;
    let (rate_of_hyper, cpu_of_hyper) = (median(hyper, |s| s.per_second), median(hyper, |s| s.cpu_micros));
    for (kind, samples) in Kind::ALL.iter().zip(&samples) {
        let (rate, cpu) = (median(samples, |s| s.per_second), median(samples, |s| s.cpu_micros));
        let peak = median(samples, |s| s.peak_mib);
        println!(
            "  {:<23} {rate:>11.0} {:>8.2} {cpu:>9.2} {:>9.2} {peak:>9.1}",
            kind.label(),
            rate / rate_of_hyper,
            cpu / cpu_of_hyper
        );
    }
    for (label, one) in [("(a)", sqlite), ("(b)", pages), ("(c)", log)] {
        println!("  {label} has {} of the rate of (e)", side_by_side(one, absent, |s| s.per_second));
    }
    println!("  (a) has {} of the rate of (b)", side_by_side(sqlite, pages, |s| s.per_second));
    println!("  (a) has {} of the rate of (d)", side_by_side(sqlite, memory, |s| s.per_second));
    println!("  (e) takes {} of the CPU of (f)", side_by_side(absent, rules, |s| s.cpu_micros));
    println!("  (e) takes {} of the CPU of (g)\n", side_by_side(absent, hyper, |s| s.cpu_micros));
}

/// The median of the rounds' ratios, and their range: neighbours make noise for what is measured side by side alike.
fn side_by_side<T>(one: &[T], other: &[T], value: impl Fn(&T) -> f64) -> String {
    let ratios: Vec<f64> = one.iter().zip(other).map(|(one, other)| value(one) / value(other)).collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    format!("{:.2} ({least:.2} to {most:.2})", median(&ratios, |ratio| *ratio))
}

async fn measure(kind: Kind, path: &Path, endpoint: Endpoint, length: Duration) -> Sample {
    let server = Child::start(kind, path);
    let requests = load::requests(kind, endpoint, server.address).await;
    let before = server.cpu();
    let (answered, took) = load::run(server.address, requests, endpoint.status(kind), CONCURRENCY, length).await;
    let cpu = server.cpu() - before;
    let peak_mib = server.peak_mib();
    server.stop();
    Sample {
        per_second: answered as f64 / took.as_secs_f64(),
        cpu_micros: cpu.as_secs_f64() * 1e6 / answered as f64,
        peak_mib,
    }
}

/// How decisions are made durable without a server.
#[derive(Clone, Copy)]
enum Durable {
    Store,
    Pages,
    Log,
}

impl Durable {
    const ALL: [Durable; 3] = [Durable::Store, Durable::Pages, Durable::Log];

    fn label(self) -> &'static str {
        match self {
            Durable::Store => "the store",
            Durable::Pages => "SQLite, its pages alone",
            Durable::Log => "log with fdatasync",
        }
    }
}

async fn stores(rounds: usize, length: Duration) {
    let mut samples: [Vec<(f64, f64)>; 3] = Default::default();
    // Kept as above.
    let mut folders = Vec::new();
    for round in 0..rounds {
        for step in 0..Durable::ALL.len() {
            let place = (round + step) % Durable::ALL.len();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("store");
            let before = child::cpu(std::process::id());
            let rate = match Durable::ALL[place] {
                Durable::Store => store::sqlite(&path, CONCURRENCY, length).await,
                Durable::Pages => store::floor(store::pages(&path), CONCURRENCY, length).await,
                Durable::Log => store::floor(store::log(&path), CONCURRENCY, length).await,
            };
            let cpu = child::cpu(std::process::id()) - before;
            samples[place].push((rate, cpu.as_secs_f64() * 1e6 / (rate * length.as_secs_f64())));
            folders.push(folder);
        }
    }
    let log = median(&samples[2], |(rate, _)| *rate);
    println!("the store alone: a counter read and written, and a row of {} bytes", store::ROW_BYTES);
    println!("  {:<22} {:>11} {:>8} {:>17}", "", "decisions/s", "of log", "CPU us/decision");
    for (durable, samples) in Durable::ALL.iter().zip(&samples) {
        let (rate, cpu) = (median(samples, |(rate, _)| *rate), median(samples, |(_, cpu)| *cpu));
        println!("  {:<23} {rate:>11.0} {:>8.2} {cpu:>17.2}", durable.label(), rate / log);
    }
    println!("  the store has {} of the log\n", side_by_side(&samples[0], &samples[2], |(rate, _)| *rate));
}

async fn restarts(rounds: usize, length: Duration) {
    let (times, on_new) = restart::times(rounds, length, CONCURRENCY).await;
    let (least, most) =
        (times.iter().copied().fold(f64::INFINITY, f64::min), times.iter().copied().fold(0.0, f64::max));
    println!("starting a process until it answers; on a new file {on_new:.0} ms");
    println!(
        "  after kill -9 under load, with {} renders: {:.0} ms ({least:.0} to {most:.0})",
        restart::ROWS,
        median(&times, |time| *time)
    );
}

fn median<T>(samples: &[T], value: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
