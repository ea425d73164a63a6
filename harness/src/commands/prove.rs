//! `hookproof prove`.

use std::path::PathBuf;
use std::time::Duration;

use globset::{Glob, GlobMatcher};
use thiserror::Error;
use tokio::task::JoinSet;

use super::{complain, print};
use crate::cli::{ProveArgs, ProveFormat};
use crate::exit::Exit;
use crate::prove::{Fate, Trial, chosen, try_one};
use crate::report::matrix;
use crate::runner::Interrupt;
use crate::runner::open::RunSettings;

/// Checks at a time on one deviation's server.
const JOBS_PER_SERVER: usize = 16;
/// How long a deviation may take to show a change made through a fixture. They all live in this process; some never show it.
const SETTLE: Duration = Duration::from_millis(300);

#[derive(Debug, Error)]
enum ProveError {
    #[error("--only {pattern}: expected a glob over deviations or rules, found one that cannot be read: {reason}")]
    Pattern { pattern: String, reason: globset::Error },
    #[error("expected --only to match a deviation or a rule that one breaks, found none")]
    Nothing,
    #[error("--report {path}: expected a file that can be written, found: {reason}")]
    Report { path: PathBuf, reason: std::io::Error },
}

/// Runs the suite on every chosen deviation and prints the kill matrix.
pub async fn run(args: &ProveArgs, interrupt: Interrupt) -> Exit {
    match prove(args, interrupt).await {
        Ok(exit) => exit,
        Err(error) => complain(&error, Exit::Usage),
    }
}

async fn prove(args: &ProveArgs, interrupt: Interrupt) -> Result<Exit, ProveError> {
    let deviations = chosen(&globs(&args.only)?);
    if deviations.is_empty() {
        return Err(ProveError::Nothing);
    }
    let settings = RunSettings { jobs: JOBS_PER_SERVER, seed: args.seed, settle: SETTLE, ..RunSettings::default() };
    let mut waiting = deviations.iter().copied();
    let mut running = JoinSet::new();
    let mut trials: Vec<Trial> = Vec::new();
    loop {
        while running.len() < usize::from(args.jobs) && interrupt.borrow().is_none() {
            let Some(deviation) = waiting.next() else { break };
            let (interrupt, all) = (interrupt.clone(), args.all);
            running.spawn(async move { try_one(deviation, all, settings, &interrupt).await });
        }
        match running.join_next().await {
            Some(trial) => trials.push(trial.expect("a trial's panics are caught where they happen")),
            None => break,
        }
    }
    trials.sort_by_key(|trial| deviations.iter().position(|deviation| deviation.name == trial.deviation));
    report(args, &trials)?;
    if let Some(signal) = *interrupt.borrow() {
        return Ok(Exit::Signal(signal.0));
    }
    Ok(exit_of(&trials))
}

fn report(args: &ProveArgs, trials: &[Trial]) -> Result<(), ProveError> {
    print(&matrix::text(trials));
    for output in &args.report {
        let text = match output.format {
            ProveFormat::Json => format!("{:#}\n", matrix::value(trials)),
            ProveFormat::Markdown => matrix::markdown(trials),
        };
        std::fs::write(&output.path, text)
            .map_err(|reason| ProveError::Report { path: output.path.clone(), reason })?;
    }
    Ok(())
}

fn exit_of(trials: &[Trial]) -> Exit {
    if trials.iter().any(|trial| matches!(trial.fate, Fate::Broken { .. })) {
        Exit::Defect
    } else if trials.iter().all(Trial::is_killed) {
        Exit::Holds
    } else {
        Exit::Fails
    }
}

fn globs(patterns: &[String]) -> Result<Vec<GlobMatcher>, ProveError> {
    let compile = |pattern: &String| {
        let glob = Glob::new(pattern);
        glob.map(|glob| glob.compile_matcher())
            .map_err(|reason| ProveError::Pattern { pattern: pattern.clone(), reason })
    };
    patterns.iter().map(compile).collect()
}
