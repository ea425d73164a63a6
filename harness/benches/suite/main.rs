//! The whole suite on the built-in reference, server start included, beside what sends the same and does no more: a bare reqwest loop,
//! over kept connections and over a new one for each request as the suite does, and Hurl. All in one run, in turn, since machines
//! differ and are noisy: only the ratios mean anything.
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

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be started");
    let (mut suites, mut kept, mut own) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = None;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let (results, base_url) = runtime.block_on(suite());
        suites.push(began.elapsed());
        let script = Arc::new(Script::of(&results, &base_url));
        for (times, keeps_connections) in [(&mut kept, true), (&mut own, false)] {
            let began = Instant::now();
            let alike = runtime.block_on(bare::send(&script, bare::client(keeps_connections), JOBS));
            times.push(began.elapsed());
            last = Some((Arc::clone(&script), alike));
        }
    }
    let (script, alike) = last.expect("there are rounds");
    let requests = script.steps().filter(|step| matches!(step.what, What::Send { .. })).count();
    let all = script.steps().count();
    let (suite, kept, own) = (median(&mut suites), median(&mut kept), median(&mut own));
    println!(
        "suite, {JOBS} checks at a time: median {suite:?} of {ROUNDS} rounds ({requests} requests, {} calls)",
        all - requests
    );
    println!("the same without the suite, kept connections: median {kept:?}; ratio {:.2}", ratio(suite, kept));
    println!("the same without the suite, own connections:  median {own:?}; ratio {:.2}", ratio(suite, own));
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

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
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
