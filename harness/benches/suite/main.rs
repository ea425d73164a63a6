//! The whole suite on the built-in reference, server start included, beside what sends the same and does no more: a bare reqwest loop,
//! over kept connections and over a new one for each request as the suite does, and Hurl. All in one run, in turn, since machines differ and are noisy:
//! only the ratios mean anything.
//!
//! `cargo bench -p hookproof --bench suite`

mod bare;
mod peer;
mod script;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hookproof::api::Api;
use hookproof::runner::open::{self, RunSettings};
use hookproof::runner::select::{Narrowing, select};
use hookproof::runner::{self, CheckResult, Pace};
use reference_server::Parts;
use script::{Script, What};

const ROUNDS: usize = 9;
const JOBS: usize = 16;

/// What rounds of one kind took.
#[derive(Default)]
struct Taken {
    wall: Vec<Duration>,
    /// Of the whole process, server included; none where the system does not say.
    cpu: Option<Duration>,
}

impl Taken {
    fn round<T>(&mut self, run: impl FnOnce() -> T) -> T {
        let (began, cpu_before) = (Instant::now(), cpu_time());
        let outcome = run();
        self.wall.push(began.elapsed());
        let taken = cpu_time().zip(cpu_before).map(|(after, before)| after - before);
        self.cpu = taken.map(|taken| self.cpu.unwrap_or_default() + taken);
        outcome
    }

    fn median(&mut self) -> Duration {
        self.wall.sort();
        self.wall[self.wall.len() / 2]
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be started");
    let (mut suites, mut kept, mut own) = (Taken::default(), Taken::default(), Taken::default());
    let mut last = None;
    for _ in 0..ROUNDS {
        let (results, base_url) = suites.round(|| runtime.block_on(suite()));
        let script = Arc::new(Script::of(&results, &base_url));
        for (taken, keeps_connections) in [(&mut kept, true), (&mut own, false)] {
            // Made beforehand: it reads the machine's root certificates, which no request here needs.
            let client = bare::client(keeps_connections);
            let alike = taken.round(|| runtime.block_on(bare::send(&script, client, JOBS)));
            last = Some((Arc::clone(&script), alike));
        }
    }
    let (script, alike) = last.expect("there are rounds");
    let requests = script.steps().filter(|step| matches!(step.what, What::Send { .. })).count();
    let all = script.steps().count();
    let suite = suites.median();
    println!(
        "suite, {JOBS} checks at a time: median {suite:?} of {ROUNDS} rounds ({requests} requests, {} calls)",
        all - requests
    );
    for (mut loops, words) in [(kept, "kept"), (own, "own")] {
        let bare = loops.median();
        let cpu =
            suites.cpu.zip(loops.cpu).map_or("?".to_owned(), |(suite, bare)| format!("{:.2}", ratio(suite, bare)));
        println!(
            "the same without the suite, {words} connections: median {bare:?}; ratio {:.2}, of CPU time {cpu}",
            ratio(suite, bare)
        );
    }
    println!("({alike} of {requests} requests of the last loop were answered with the status they had in the suite)");
    match runtime.block_on(peer::best(&script)) {
        None => println!("hurl: not on PATH"),
        Some((each, count)) => {
            let ours = suite / u32::try_from(all).expect("some thousand requests");
            println!(
                "hurl, {count} of these requests: {each:?} each at best; the suite {ours:?}; ratio {:.2}",
                ratio(ours, each)
            );
        }
    }
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

/// CPU time of this process so far, where the system is Linux: of a busy machine it says more than the wall clock.
fn cpu_time() -> Option<Duration> {
    /// Linux counts so many a second, whatever the kernel's own clock.
    const TICKS: u64 = 100;
    /// In user mode and in the kernel, counted behind the program's name in parentheses.
    const FIELDS: [usize; 2] = [11, 12];
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let ticks: u64 = FIELDS.iter().map(|at| fields.get(*at)?.parse::<u64>().ok()).sum::<Option<u64>>()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS))
}

/// One whole run; returns what came of it, and where it was.
async fn suite() -> (Vec<CheckResult>, String) {
    let settings = RunSettings { jobs: JOBS, settle: Duration::from_secs(5), ..RunSettings::default() };
    let target = open::builtin(Parts::reference(), settings).await.expect("the reference starts");
    let selection = select(&Narrowing::default(), &runner::apis(&target.world)).expect("everything is in scope");
    let interrupt = tokio::sync::watch::channel(None).1;
    let pace = Pace { patience: Duration::ZERO, run_time: runner::RUN_TIME_MAX };
    let run = runner::run(&target.world, &selection, pace, &interrupt, |_| {}).await;
    let base_url = target.world.clients[&Api::Rndrkit].base_url().to_owned();
    target.close().await;
    (run.results, base_url)
}
