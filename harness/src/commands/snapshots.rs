//! Sets of accepted answers: `hookproof snapshots init`, and what `check --snapshots` does with a set.

use std::path::Path;
use std::time::Instant;

use super::check::{CheckError, TargetChoice, open_target};
use super::{complain, complain_for_adapter, print};
use crate::api::Api;
use crate::cli::snapshots::SnapshotsInitArgs;
use crate::exit::Exit;
use crate::report::assemble::{self, Frame};
use crate::report::terminal::printable;
use crate::report::{Report, Target};
use crate::runner::open::{OpenTarget, RunSettings};
use crate::runner::select::{Narrowing, SelectError, select};
use crate::runner::{self, Interrupt, Pace, RUN_TIME_MAX};
use crate::snapshots::files::{self, FilesError};
use crate::snapshots::masks;
use crate::snapshots::review::{AcceptedSet, Review, review};
use crate::snapshots::table::SHOTS;
use crate::snapshots::take::{self, Taken};

/// Checks at a time.
const JOBS: usize = 16;

/// Writes a set from a target's answers; one that exists stays as it is.
pub async fn run(args: &SnapshotsInitArgs, interrupt: Interrupt) -> Exit {
    match init(args, interrupt).await {
        Ok(exit) => exit,
        Err(error) => {
            let exit = error.exit();
            complain(&error, exit)
        }
    }
}

async fn init(args: &SnapshotsInitArgs, interrupt: Interrupt) -> Result<Exit, CheckError> {
    files::expect_none(&args.dir)?;
    let choice = TargetChoice { target: args.target.clone(), owned: args.i_own_this_target, verbose: args.verbose };
    let settings = RunSettings { settle: args.settle, jobs: JOBS, ..choice.settings() };
    let target = open_target(&settings, &choice, &interrupt).await?;
    let implementation = format!("{} {}", target.implementation.name, target.implementation.version);
    let name = printable(&target.name);
    print(&format!("hookproof snapshots init: target {name} ({})\n", printable(implementation.trim())));
    let pace = Pace { patience: args.patience, run_time: RUN_TIME_MAX };
    let api = args.api.map(Api::from);
    // Twice: what differs between two answers to the same request is nothing to hold later ones against.
    let first = answers(&target, api, pace, &interrupt).await;
    let second = answers(&target, api, pace, &interrupt).await;
    target.close().await;
    let (report, second) = (first?, second?);
    for report in [&report, &second] {
        tell_of_leftovers(report);
    }
    if let Some(signal) = second.interrupted_by {
        print("interrupted: no snapshot was written\n");
        return Ok(Exit::Signal(signal));
    }
    files::make_reviewable(&args.dir)?;
    let (mut written, mut missing) = (0, Vec::new());
    for ((shot, one), (_, other)) in take::of_report(&report).into_iter().zip(take::of_report(&second)) {
        match one.and_then(|one| in_common(&one, &other?)) {
            Ok(taken) => {
                files::write_accepted(&args.dir, &taken)?;
                written += 1;
            }
            Err(why) => missing.push(format!("  no answer for {}: {}\n", shot.rule, printable(&why))),
        }
    }
    print(&missing.concat());
    let broken: Vec<&str> =
        report.rules.iter().filter(|rule| rule.status.is_red()).map(|rule| rule.id.as_str()).collect();
    if !broken.is_empty() {
        print(&format!("  not as documented, as `hookproof check` explains: {}\n", broken.join(", ")));
    }
    let folder = printable(&args.dir.to_string_lossy());
    print(&format!(
        "target {name}: wrote {written} snapshots to {folder}; read them, commit them, then: hookproof check --snapshots {folder}\n"
    ));
    let defects = report.defects.len() + second.defects.len();
    Ok(match (defects, written, missing.is_empty()) {
        (1.., ..) => Exit::Defect,
        (_, 0, _) => Exit::Unprepared,
        (.., false) => Exit::Incomplete,
        (.., true) => Exit::Holds,
    })
}

fn tell_of_leftovers(report: &Report) {
    for left in &report.not_deleted {
        print(&format!("  left behind: {} {}: {}\n", left.method, printable(&left.value), printable(&left.reason)));
    }
    for defect in &report.defects {
        print(&format!("  defect of hookproof, please report it: {}\n", printable(defect)));
    }
}

fn in_common(one: &Taken, other: &Taken) -> Result<Taken, String> {
    masks::common(one, other).ok_or_else(|| "two runs got answers of different form".to_owned())
}

/// Runs the checks that bring about the answers under review, and no others.
///
/// # Errors
/// [`SelectError`] if the target has none of the APIs asked for.
pub async fn answers(
    target: &OpenTarget,
    api: Option<Api>,
    pace: Pace,
    interrupt: &Interrupt,
) -> Result<Report, SelectError> {
    let only = SHOTS.iter().map(|shot| shot.rule.to_owned()).collect();
    let narrowing = Narrowing { only, api, no_cases: true, ..Narrowing::default() };
    let mut selection = select(&narrowing, &runner::apis(&target.world))?;
    selection.checks.retain(|check| SHOTS.iter().any(|shot| shot.check == check.id));
    let (started_at, began) = (jiff::Timestamp::now(), Instant::now());
    let run = runner::run(&target.world, &selection, pace, interrupt, |_| {}).await;
    let secrets = assemble::all_secrets(&target.world, &run);
    complain_for_adapter(&target.world.fixtures.adapter_said(), &secrets.filter());
    let frame = Frame {
        target: Target { name: target.name.clone(), implementation: target.implementation.clone() },
        apis: runner::apis(&target.world),
        unprepared: None,
        seed: target.world.seed,
        cases: 0,
        started_at,
        duration: began.elapsed(),
        narrowing: &narrowing,
        strict: false,
        known: &[],
    };
    Ok(assemble::report(frame, &selection, run, &secrets))
}

/// Compares a run's answers with a set; nothing is written yet.
pub fn compare(report: &Report, folder: &Path, accepted: &AcceptedSet) -> (Review, Vec<Taken>) {
    let scope = &report.scope;
    let whole = scope.only.is_empty() && scope.skip.is_empty() && scope.api.is_none();
    review(&folder.to_string_lossy(), accepted, take::of_report(report), &scope.apis, whole)
}

/// Writes what is to be reviewed beside the accepted answers, and removes what an earlier run wrote and what agrees now.
///
/// # Errors
/// [`FilesError`] if the folder cannot be written.
pub fn settle(folder: &Path, review: &Review, pending: &[Taken]) -> Result<(), FilesError> {
    for taken in pending {
        files::write_pending(folder, taken)?;
    }
    let mut agreed = SHOTS.iter().filter(|shot| review.agree.iter().any(|rule| rule == shot.rule));
    agreed.try_for_each(|shot| files::remove_pending(folder, &shot.file()))
}
