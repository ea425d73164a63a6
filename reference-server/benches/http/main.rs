//! What the server costs, as ratios within one run.
//!
//! `cargo bench -p reference-server`, and after `--` optionally `--rounds N`, `--millis N` and
//! `--only refused|refresh|hook|store`.
//!
//! Each server runs in a process of its own, so that its CPU time and memory are its own; it is this
//! program again, started with `serve`. Server and client share the machine's cores, unpinned. Rounds
//! rotate the order of what they measure, and medians are shown, since neighbours make noise. Nothing
//! here fails on a number: numbers depend on the machine, and a test that is timed is a test that flakes.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing to say")]

mod child;
mod load;
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
    });
}

fn option<T: std::str::FromStr>(arguments: &[String], name: &str) -> Option<T> {
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.get(at + 1)?.parse().ok()
}

async fn servers(endpoint: Endpoint, rounds: usize, length: Duration) {
    let mut samples: [Vec<Sample>; 3] = Default::default();
    for round in 0..rounds {
        for step in 0..Kind::ALL.len() {
            let place = (round + step) % Kind::ALL.len();
            samples[place].push(measure(Kind::ALL[place], endpoint, length).await);
        }
    }
    println!("{endpoint}");
    println!(
        "  {:<22} {:>11} {:>8} {:>9} {:>9} {:>9}",
        "", "decisions/s", "of hyper", "CPU us/rq", "of hyper", "peak MiB"
    );
    let [_, _, hyper] = &samples;
    let hyper = (median(hyper, |s| s.per_second), median(hyper, |s| s.cpu_micros));
    for (kind, samples) in Kind::ALL.iter().zip(&samples) {
        let (rate, cpu) = (median(samples, |s| s.per_second), median(samples, |s| s.cpu_micros));
        let peak = median(samples, |s| s.peak_mib);
        println!(
            "  {:<22} {rate:>11.0} {:>8.2} {cpu:>9.2} {:>9.2} {peak:>9.1}",
            kind.label(),
            rate / hyper.0,
            cpu / hyper.1
        );
    }
    let [sqlite, memory, _] = &samples;
    let ratio = median(sqlite, |s| s.per_second) / median(memory, |s| s.per_second);
    println!("  (a) has {ratio:.2} of the rate of (b)\n");
}

async fn measure(kind: Kind, endpoint: Endpoint, length: Duration) -> Sample {
    let folder = tempfile::tempdir().unwrap();
    let server = Child::start(kind, &folder.path().join("store.db"));
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

async fn stores(rounds: usize, length: Duration) {
    let mut sqlite = Vec::new();
    let mut log = Vec::new();
    for round in 0..rounds {
        for step in 0..2 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("store");
            if (round + step) % 2 == 0 {
                sqlite.push(store::sqlite(&path, CONCURRENCY, length).await);
            } else {
                log.push(store::log(&path, CONCURRENCY, length).await);
            }
        }
    }
    let (sqlite, log) = (median(&sqlite, |rate| *rate), median(&log, |rate| *rate));
    println!("the store alone: a counter read and written, and a row of {} bytes", store::ROW_BYTES);
    println!("  {:<22} {:>11} {:>8}", "", "decisions/s", "of log");
    println!("  {:<22} {sqlite:>11.0} {:>8.2}", "SQLite, group commit", sqlite / log);
    println!("  {:<22} {log:>11.0} {:>8.2}", "log with fdatasync", 1.0);
}

fn median<T>(samples: &[T], value: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
