//! `hookproof prove`.

use std::time::Duration;

use globset::{Glob, GlobMatcher};
use thiserror::Error;
use tokio::task::JoinSet;

use super::outputs::{Output, OutputError, Outputs};
use super::{complain, print, unless_lost};
use crate::cli::{ProveArgs, ProveFormat, ProveOutput};
use crate::exit::Exit;
use crate::prove::{Fate, Trial, chosen, try_one};
use crate::report::matrix::Matrix;
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
    #[error(transparent)]
    Output(#[from] OutputError),
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
    let mut files = Outputs::beside([]);
    let mut outputs = Vec::new();
    for output in &args.report {
        outputs.push(files.open("--report", &output.path)?);
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
            Some(trial) => trials.extend(trial.expect("a trial's panics are caught where they happen")),
            None => break,
        }
    }
    trials.sort_by_key(|trial| deviations.iter().position(|deviation| deviation.name == trial.deviation));
    let exit = interrupt.borrow().map_or_else(|| exit_of(&trials), |signal| Exit::Signal(signal.0));
    let matrix = Matrix { untried: deviations.len() - trials.len(), trials };
    print(&matrix.text());
    let lost = args.report.iter().zip(&mut outputs).filter_map(|(output, file)| write(&matrix, output, file).err());
    Ok(unless_lost(exit, lost))
}

fn write(matrix: &Matrix, output: &ProveOutput, file: &mut Output) -> Result<(), OutputError> {
    file.write(&match output.format {
        ProveFormat::Json => format!("{:#}\n", matrix.value()),
        ProveFormat::Markdown => matrix.markdown(),
    })
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
