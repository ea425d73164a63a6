//! `hookproof check`: open the target, run, report.

use std::fs::File;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::outputs::{Output, OutputError, Outputs};
use super::progress::Progress;
use super::{complain, complain_for_adapter, print, regressions, snapshots, unless_lost};
use crate::api::Api;
use crate::cli::{CheckArgs, Color, ReportFormat};
use crate::config::{self, ConfigError, DEFAULT_FILE, TargetConfig};
use crate::exit::{self, Exit};
use crate::known::KnownFailure;
use crate::profile::observe::{self, Profile};
use crate::report::assemble::{self, Frame};
use crate::report::terminal::{self, Manner};
use crate::report::{Report, Target, events, github, junit, markdown};
use crate::runner::open::{self, BUILTIN, OpenError, OpenTarget, RunSettings};
use crate::runner::select::{Narrowing, SelectError, Selection, select};
use crate::runner::{self, Interrupt, Pace, Run, Signal};
use crate::secret::SecretBook;
use crate::snapshots::files::{self, FilesError};
use crate::target::protocol::Implementation;

/// Why a run did not come about.
#[derive(Debug, Error)]
pub enum CheckError {
    /// A filter matches nothing.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// The target file cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The cases kept from earlier runs cannot be used.
    #[error(transparent)]
    Regressions(#[from] regressions::RegressionError),
    /// The target could not be reached or prepared.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A report cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A set of snapshots cannot be used.
    #[error(transparent)]
    Snapshots(#[from] FilesError),
    /// A signal came before anything was known.
    #[error("interrupted before the first check")]
    Interrupted(i32),
}

impl CheckError {
    /// The exit that goes with it.
    pub fn exit(&self) -> Exit {
        match self {
            CheckError::Select(_)
            | CheckError::Config(_)
            | CheckError::Regressions(_)
            | CheckError::Output(_)
            | CheckError::Snapshots(_) => Exit::Usage,
            CheckError::Open(error) if error.is_configuration() => Exit::Usage,
            CheckError::Open(_) => Exit::Unprepared,
            CheckError::Interrupted(signal) => Exit::Signal(*signal),
        }
    }
}

/// Runs the suite as the options say.
pub async fn run(args: &CheckArgs, interrupt: Interrupt) -> Exit {
    match try_run(args, interrupt).await {
        Ok(exit) => exit,
        Err(error) => {
            let exit = error.exit();
            complain(&error, exit)
        }
    }
}

async fn try_run(args: &CheckArgs, interrupt: Interrupt) -> Result<Exit, CheckError> {
    let choice = TargetChoice { target: args.target.clone(), owned: args.i_own_this_target, verbose: args.verbose };
    let configured = choice.configured()?;
    let (known, exclusions) = configured
        .as_ref()
        .map_or((Vec::new(), Vec::new()), |target| (target.known_failures.clone(), target.exclusions.clone()));
    let narrowing = Narrowing {
        only: args.only.clone(),
        skip: args.skip.clone(),
        api: args.api.map(Api::from),
        exclusions,
        no_cases: args.cases == 0,
    };
    // Filters and files first: a mistake in them shall cost no request.
    select(&narrowing, &Api::ALL)?;
    let accepted = args.snapshots.as_deref().map(files::read).transpose()?.unwrap_or_default();
    let mut files = Outputs::beside(configured.iter().map(|target| target.path.as_path()));
    let mut outputs = Vec::new();
    for output in &args.report {
        outputs.push(files.open("--report", &output.path)?);
    }
    let live_view = args.events.as_ref().map(|path| files.open("--events", path)).transpose()?;
    let mut live_view = live_view.map(Output::into_file);
    let regressions = configured.as_ref().filter(|_| args.cases > 0).map(|target| regressions::folder_of(&target.path));
    let kept_cases = regressions.as_deref().map(regressions::read).transpose()?.unwrap_or_default();
    let plan = Plan { args, narrowing: &narrowing, known: &known, interrupt: &interrupt };
    let named = Named::of(configured.as_ref());
    let target = match open_unless_interrupted(configured, settings(args), &interrupt).await {
        Ok(target) => target.trying_first(kept_cases),
        Err(error) => {
            let report = unprepared(named, &plan, &error)?;
            unless_lost(error.exit(), write_reports(&report, args, &mut outputs, error.exit()).err());
            return Err(error);
        }
    };
    let selection = match select(&narrowing, &runner::apis(&target.world)) {
        Ok(selection) => selection,
        Err(error) => {
            target.close().await;
            return Err(error.into());
        }
    };
    let implementation = format!("{} {}", target.implementation.name, target.implementation.version);
    if !args.quiet {
        print(&format!("{}\n", terminal::opening(&target.name, implementation.trim())));
    }
    let (mut report, secrets) = judge(&target, &selection, &plan, &mut live_view).await;
    let fixtures = Arc::clone(&target.world.fixtures);
    target.close().await;
    complain_for_adapter(&fixtures.adapter_said(), &secrets.filter());
    let settled = args.snapshots.as_deref().map(|folder| {
        let (review, pending) = snapshots::compare(&report, folder, &accepted);
        let filter = secrets.filter();
        let review = report.snapshots.insert(review.with_texts(|text| filter.text(text)));
        snapshots::settle(folder, review, &pending)
    });
    let exit = exit::of_report(&report, args.allow_incomplete);
    print(&terminal::render(&report, manner(args)));
    let written = write_reports(&report, args, &mut outputs, exit);
    let kept = regressions.map(|folder| regressions::keep_failures(&folder, &report)).transpose();
    let settled = settled.transpose().map_err(CheckError::from);
    let kept = kept.map_err(CheckError::from);
    Ok(unless_lost(exit, [written.err(), settled.err(), kept.err()].into_iter().flatten()))
}

fn write_reports(report: &Report, args: &CheckArgs, outputs: &mut [Output], exit: Exit) -> Result<(), CheckError> {
    let texts = args.report.iter().map(|output| render(report, output.format, exit));
    write_all(outputs, texts, &github::annotations(report), &markdown::render(report))
}

/// Writes reports to their files and, in a GitHub job, failures as annotations and a summary. What cannot be written keeps nothing else
/// from being written.
///
/// # Errors
/// The first [`OutputError`].
pub(super) fn write_all(
    outputs: &mut [Output],
    texts: impl Iterator<Item = String>,
    annotations: &str,
    summary: &str,
) -> Result<(), CheckError> {
    let files: Vec<Result<(), OutputError>> =
        outputs.iter_mut().zip(texts).map(|(output, text)| output.write(&text)).collect();
    let told = tell_github(annotations, summary);
    Ok(files.into_iter().chain([told]).collect::<Result<(), OutputError>>()?)
}

/// What is known of a target before it is opened.
struct Named {
    name: String,
    apis: Vec<Api>,
    secrets: SecretBook,
}

impl Named {
    fn of(configured: Option<&TargetConfig>) -> Named {
        let apis: Vec<Api> = configured.map_or(Vec::new(), |target| target.apis.keys().copied().collect());
        Named {
            name: configured.map_or(BUILTIN.to_owned(), |target| target.name.clone()),
            apis: if apis.is_empty() { Api::ALL.to_vec() } else { apis },
            secrets: configured.map_or_else(SecretBook::default, TargetConfig::secrets),
        }
    }
}

/// The report of a run that did not come about: nothing was judged, and why.
fn unprepared(named: Named, plan: &Plan<'_>, error: &CheckError) -> Result<Report, CheckError> {
    // The fixtures may have named an API that the file does not.
    let (apis, selection) = match select(plan.narrowing, &named.apis) {
        Ok(selection) => (named.apis, selection),
        Err(_) => (Api::ALL.to_vec(), select(plan.narrowing, &Api::ALL)?),
    };
    let interrupted = match error {
        CheckError::Interrupted(number) => Some(Signal(*number)),
        _ => None,
    };
    let frame = Frame {
        target: Target { name: named.name, implementation: Implementation::default() },
        apis,
        unprepared: Some(error.to_string()),
        seed: plan.args.seed,
        cases: plan.args.cases,
        started_at: jiff::Timestamp::now(),
        duration: Duration::ZERO,
        narrowing: plan.narrowing,
        strict: plan.args.strict,
        known: plan.known,
    };
    let run = Run { results: Vec::new(), interrupted };
    Ok(assemble::report(frame, &selection, run, &named.secrets))
}

/// What one run is told besides its target.
struct Plan<'a> {
    args: &'a CheckArgs,
    narrowing: &'a Narrowing,
    known: &'a [KnownFailure],
    interrupt: &'a Interrupt,
}

async fn judge(
    target: &OpenTarget,
    selection: &Selection,
    plan: &Plan<'_>,
    live_view: &mut Option<File>,
) -> (Report, SecretBook) {
    let started_at = jiff::Timestamp::now();
    let began = Instant::now();
    let mut run = run_with_progress(target, selection, plan, live_view).await;
    let profile = observe(target, &run, plan, began).await;
    run.interrupted = *plan.interrupt.borrow();
    let frame = Frame {
        target: Target { name: target.name.clone(), implementation: target.implementation.clone() },
        apis: runner::apis(&target.world),
        unprepared: None,
        seed: plan.args.seed,
        cases: plan.args.cases,
        started_at,
        duration: began.elapsed(),
        narrowing: plan.narrowing,
        strict: plan.args.strict,
        known: plan.known,
    };
    let mut secrets = assemble::all_secrets(&target.world, &run);
    secrets.merge(&profile.book);
    let mut report = assemble::report(frame, selection, run, &secrets);
    profile.add_to(&mut report, &secrets.filter());
    if let Some(file) = live_view {
        // The report stands, whatever becomes of the live view.
        let _ = events::write(file, &events::ended(&report));
    }
    (report, secrets)
}

/// Observes what nobody judges, in the time that the checks left. A target that could not be judged at all is left alone.
async fn observe(target: &OpenTarget, run: &Run, plan: &Plan<'_>, began: Instant) -> Profile {
    let judged = run.results.iter().any(|result| result.stopped.is_none());
    if !observe::is_wanted(plan.narrowing) || !judged || plan.interrupt.borrow().is_some() {
        return Profile::default();
    }
    let run_time = plan.args.run_time.saturating_sub(began.elapsed());
    let pace = Pace { patience: plan.args.patience, run_time };
    observe::run(&target.world, plan.narrowing.api, pace, plan.interrupt).await
}

/// In a GitHub job: failures as annotations, and the Markdown report as the job's summary.
fn tell_github(annotations: &str, summary: &str) -> Result<(), OutputError> {
    if config::environment("GITHUB_ACTIONS").as_deref() != Some("true") {
        return Ok(());
    }
    print(annotations);
    const SUMMARY: &str = "GITHUB_STEP_SUMMARY";
    let Some(path) = config::environment(SUMMARY).map(PathBuf::from) else { return Ok(()) };
    Output::appended(SUMMARY, path)?.write(summary)
}

fn render(report: &Report, format: ReportFormat, exit: Exit) -> String {
    match format {
        ReportFormat::Json => report.to_json(),
        ReportFormat::Junit => junit::render(report, exit),
        ReportFormat::Markdown => markdown::render(report),
    }
}

fn settings(args: &CheckArgs) -> RunSettings {
    RunSettings {
        jobs: usize::from(args.jobs),
        seed: args.seed,
        cases: args.cases,
        settle: args.settle,
        rate: args.rate,
        owned: args.i_own_this_target,
        verbose: args.verbose,
        request_time: args.request_time,
        fixture_time: args.fixture_time,
    }
}

/// Which target, as typed.
pub struct TargetChoice {
    /// A target file, `builtin`, or nothing.
    pub target: Option<PathBuf>,
    /// The user owns it, wherever it is.
    pub owned: bool,
    /// Show an adapter's stderr.
    pub verbose: bool,
}

impl TargetChoice {
    /// Settings for commands that run no checks.
    pub fn settings(&self) -> RunSettings {
        RunSettings { owned: self.owned, verbose: self.verbose, ..RunSettings::default() }
    }

    /// The target file to use; `None` means the built-in reference.
    pub(super) fn configured(&self) -> Result<Option<TargetConfig>, ConfigError> {
        let default = Path::new(DEFAULT_FILE);
        let path = match &self.target {
            Some(path) if path.as_os_str() == BUILTIN => return Ok(None),
            Some(path) => path.as_path(),
            None if default.exists() => default,
            None => return Ok(None),
        };
        config::read(path, self.owned, config::environment).map(Some)
    }
}

/// Opens the chosen target, unless a signal comes first.
///
/// # Errors
/// [`CheckError`] for a target file or a target that cannot be used, and for the signal.
pub async fn open_target(
    settings: &RunSettings,
    choice: &TargetChoice,
    interrupt: &Interrupt,
) -> Result<OpenTarget, CheckError> {
    open_unless_interrupted(choice.configured()?, *settings, interrupt).await
}

pub(super) async fn open_unless_interrupted(
    target: Option<TargetConfig>,
    settings: RunSettings,
    interrupt: &Interrupt,
) -> Result<OpenTarget, CheckError> {
    let opening = async {
        match target {
            Some(target) => open::configured(target, settings).await,
            None => open::builtin(reference_server::Parts::reference(), settings).await,
        }
    };
    let mut came = interrupt.clone();
    tokio::select! {
        biased;
        signal = came.wait_for(Option::is_some) => {
            let number = signal.ok().and_then(|signal| *signal).map_or(0, |signal| signal.0);
            Err(CheckError::Interrupted(number))
        }
        target = opening => Ok(target?),
    }
}

async fn run_with_progress(
    target: &OpenTarget,
    selection: &Selection,
    plan: &Plan<'_>,
    live_view: &mut Option<File>,
) -> Run {
    let pace = Pace { patience: plan.args.patience, run_time: plan.args.run_time };
    let mut progress = Progress::new(plan.args.quiet, runner::longest_wait(&target.world, selection, pace));
    let run = runner::run(&target.world, selection, pace, plan.interrupt, |event| {
        if let Some(file) = live_view {
            // A live view that cannot be written must not end the run.
            let _ = events::write(file, &events::event(&event));
        }
        progress.show(&event);
    });
    let run = run.await;
    progress.end();
    run
}

fn manner(args: &CheckArgs) -> Manner {
    Manner { color: is_colored(args.color), quiet: args.quiet, verbose: args.verbose }
}

/// Whether stdout gets colours.
pub(super) fn is_colored(color: Color) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => config::environment("NO_COLOR").is_none() && std::io::stdout().is_terminal(),
    }
}
