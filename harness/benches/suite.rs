//! The whole suite on the built-in reference, server start included, beside a bare client loop that sends as many requests at the
//! same concurrency to the same kind of server. Both in one run, since machines differ and are noisy: only the ratio means anything.
//!
//! `cargo bench -p hookproof`

use std::time::{Duration, Instant};

use hookproof::evidence::FixtureCall;
use hookproof::runner::open::{self, RunSettings};
use hookproof::runner::select::{Narrowing, select};
use hookproof::runner::{self, Pace};
use reference_server::{Config, ControlToken, Parts};

const ROUNDS: usize = 9;
const JOBS: usize = 16;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be started");
    let (mut suites, mut loops, mut requests) = (Vec::new(), Vec::new(), 0);
    for round in 0..ROUNDS {
        let began = Instant::now();
        requests = runtime.block_on(suite());
        suites.push(began.elapsed());
        let began = Instant::now();
        runtime.block_on(bare_loop(requests));
        loops.push(began.elapsed());
        eprintln!("round {round}: suite {:?}, loop {:?}", suites[round], loops[round]);
    }
    let (suite, bare) = (median(&mut suites), median(&mut loops));
    println!("suite of {requests} requests and fixture calls: median {suite:?} of {ROUNDS} rounds");
    println!("bare loop of as many requests, {JOBS} at a time: median {bare:?}");
    println!("ratio: {:.2}", suite.as_secs_f64() / bare.as_secs_f64());
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// One whole run; returns how many requests it sent, fixture calls included.
async fn suite() -> usize {
    let settings = RunSettings { jobs: JOBS, settle: Duration::from_secs(5), ..RunSettings::default() };
    let target = open::builtin(Parts::reference(), settings).await.expect("the reference starts");
    let selection = select(&Narrowing::default(), &runner::apis(&target.world)).expect("everything is in scope");
    let interrupt = tokio::sync::watch::channel(None).1;
    let run = runner::run(
        &target.world,
        &selection,
        Pace { patience: Duration::ZERO, run_time: runner::RUN_TIME_MAX },
        &interrupt,
        |_| {},
    )
    .await;
    target.close().await;
    let created = |call: &&FixtureCall| matches!(call.method.as_str(), "domain.create" | "template.create");
    // What was created is deleted by one more call each, which is no evidence.
    run.results
        .iter()
        .map(|result| &result.evidence)
        .map(|seen| seen.exchanges.len() + seen.fixtures.len() + seen.fixtures.iter().filter(created).count())
        .sum()
}

/// A server started and `requests` sent, each a refresh without credentials, its body read.
async fn bare_loop(requests: usize) {
    let control = ControlToken::new("a-control-token");
    let server = reference_server::start(Config::ephemeral(control), Parts::reference()).await.expect("it starts");
    let url = format!("{}/api/webhook/refresh", server.base_url());
    let client = reqwest::Client::builder().no_proxy().build().expect("the client can be made");
    let tasks = (0..JOBS).map(|job| {
        let (client, url) = (client.clone(), url.clone());
        tokio::spawn(async move {
            for _ in (job..requests).step_by(JOBS) {
                let sent =
                    client.post(&url).header("content-type", "application/json").body(r#"{"urls":["/page-1"]}"#).send();
                sent.await.expect("the server answers").bytes().await.expect("the body is read");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no request fails");
    }
    server.stop().await.expect("it stops");
}
