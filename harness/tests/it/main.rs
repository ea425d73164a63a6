//! Tests of the whole: the suite on the built-in reference, the program as a user runs it, and the shape of the code.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod adapter;
mod adapters;
mod audit_command;
mod audit_corpus;
mod audit_history;
mod audit_lone;
mod audit_nginx;
mod audit_simulated;
mod canaries;
mod cli;
mod closing;
mod compare;
mod contrarian;
mod crash;
mod deviations;
mod false_greens;
mod generated;
mod github;
mod harm;
mod hostile;
mod interruptions;
mod limiter;
mod load;
mod load_crash;
mod load_races;
mod load_secrets;
mod measured;
mod messages;
mod middle;
mod open_points;
mod partial;
mod profile;
mod proof;
mod reports;
mod snapshots;
mod tidy;
mod tls;

use std::time::Duration;

use hookproof::runner::open::{self, RunSettings};
use hookproof::runner::select::{Narrowing, Selection, select};
use hookproof::runner::{self, Interrupt, Pace, Run};
use reference_server::Parts;

/// Settings that every test shares; `seed` as given.
fn settings(seed: u64) -> RunSettings {
    RunSettings { jobs: 16, seed, settle: Duration::from_millis(500), ..RunSettings::default() }
}

/// An interrupt that never comes.
fn uninterrupted() -> Interrupt {
    tokio::sync::watch::channel(None).1
}

/// Runs the suite, narrowed by globs over rule ids, on a server made of these parts.
async fn judge(parts: Parts, only: &[&str], seed: u64) -> (Selection, Run) {
    let only = only.iter().map(|glob| (*glob).to_owned()).collect();
    judge_narrowed(parts, Narrowing { only, ..Narrowing::default() }, seed).await
}

/// Runs the suite, narrowed, on a server made of these parts.
async fn judge_narrowed(parts: Parts, narrowing: Narrowing, seed: u64) -> (Selection, Run) {
    let target = open::builtin(parts, settings(seed)).await.unwrap();
    let selection = select(&narrowing, &runner::apis(&target.world)).unwrap();
    let pace = Pace { patience: Duration::ZERO, run_time: runner::RUN_TIME_MAX };
    let run = runner::run(&target.world, &selection, pace, &uninterrupted(), |_| {}).await;
    target.close().await;
    (selection, run)
}
