//! `hookproof load`: make fixtures, send load, audit its history, apply thresholds, report.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use scenarios::grounds::Site;
use scenarios::plan::{Apis, Size, SizeError};
use scenarios::scenario::Scenario;
use thiserror::Error;

use super::check::{CheckError, TargetChoice, open_unless_interrupted, write_all};
use super::hushed::Hushed;
use super::load_progress::Progress;
use super::outputs::{Output, Outputs};
use super::{complain, complain_for_adapter, print, unless_lost};
use crate::api::Api;
use crate::cli::ReportFormat;
use crate::cli::load::LoadArgs;
use crate::config::{self, ConfigError, TargetConfig};
use crate::exit::{self, Exit};
use crate::load::grounds::{Maker, handed_over};
use crate::load::kept::{Histories, HistoryFile};
use crate::load::select::{self, Allowed, Selected, Wish};
use crate::load::{Session, judge, named_twice};
use crate::report::github;
use crate::report::load::{LoadReport, ScenarioReport, junit, markdown, text};
use crate::report::terminal::Manner;
use crate::runner::open::{BUILTIN, OpenTarget, RunSettings};
use crate::runner::{self, Interrupt};
use crate::secret::SecretBook;
use crate::verdict::Status;

/// Why a load run did not come about.
#[derive(Debug, Error)]
enum LoadCommandError {
    /// As in `check`: the target, its file, or a report.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// A size at which a scenario proves nothing.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// A threshold about a scenario that is not run.
    #[error(
        "--threshold `{threshold}`: {scenario} is not among the scenarios of this run, so no request can ever be judged by it"
    )]
    Threshold {
        /// As given.
        threshold: String,
        /// The scenario.
        scenario: Scenario,
    },
    /// An option that means nothing to the scenarios that were named.
    #[error(
        "--{option}: {scenario} is made of volleys, which have a pace of their own; leave the option out, or name a scenario it is for"
    )]
    Pace {
        /// The option.
        option: &'static str,
        /// The scenario.
        scenario: Scenario,
    },
    /// The same scenario twice.
    #[error("{0}: expected each scenario once, found it twice; run the command again for another run")]
    Twice(Scenario),
    /// The history cannot be begun.
    #[error("--history {path}: expected a path where a new file can be written, found: {reason}")]
    History {
        /// Where.
        path: PathBuf,
        /// The operating system's words.
        reason: std::io::Error,
    },
    /// The extra root certificate cannot be read.
    #[error("`ca` in [{api}]: expected a readable file, found: {path}: {reason}")]
    Root {
        /// Section of the target file.
        api: &'static str,
        /// The file named there.
        path: PathBuf,
        /// The operating system's words.
        reason: std::io::Error,
    },
}

impl From<ConfigError> for LoadCommandError {
    fn from(error: ConfigError) -> LoadCommandError {
        LoadCommandError::Check(error.into())
    }
}

impl LoadCommandError {
    fn exit(&self) -> Exit {
        match self {
            LoadCommandError::Check(error) => error.exit(),
            LoadCommandError::Size(_)
            | LoadCommandError::Twice(_)
            | LoadCommandError::Threshold { .. }
            | LoadCommandError::Pace { .. }
            | LoadCommandError::History { .. }
            | LoadCommandError::Root { .. } => Exit::Usage,
        }
    }
}

/// Loads a target as the options say.
pub async fn run(args: &LoadArgs, interrupt: Interrupt) -> Exit {
    if args.list {
        print(&text::list());
        return Exit::Holds;
    }
    match try_run(args, &interrupt).await {
        Ok(exit) => exit,
        Err(error) => {
            let exit = error.exit();
            complain(&error, exit)
        }
    }
}

async fn try_run(args: &LoadArgs, interrupt: &Interrupt) -> Result<Exit, LoadCommandError> {
    let wish = wish(args);
    check_options(args, &wish)?;
    let choice = TargetChoice { target: args.target.clone(), owned: args.i_own_this_target, verbose: false };
    let configured = choice.configured()?;
    let sections = sections(configured.as_ref())?;
    let mut files = Outputs::beside(configured.iter().map(|target| target.path.as_path()));
    let mut outputs = Vec::new();
    for output in &args.report {
        outputs.push(files.open("--report", &output.path).map_err(CheckError::from)?);
    }
    let secrets = configured.as_ref().map_or_else(SecretBook::default, TargetConfig::secrets);
    let name = configured.as_ref().map_or(BUILTIN.to_owned(), |target| target.name.clone());
    let builtin = configured.is_none();
    let target = match open_unless_interrupted(configured, settings(args), interrupt).await {
        Ok(target) => target,
        Err(error) => {
            let interrupted_by = match error {
                CheckError::Interrupted(number) => Some(number),
                _ => None,
            };
            let unprepared = Some(error.to_string());
            let report = LoadReport { unprepared, interrupted_by, ..blank(args, name) }.summed_up();
            let report = report.cleaned(&secrets.filter());
            unless_lost(error.exit(), write_reports(&report, args, &mut outputs, error.exit()).err());
            return Err(error.into());
        }
    };
    let implementation = format!("{} {}", target.implementation.name, target.implementation.version);
    if !args.quiet {
        print(&format!("{}\n", text::opening(&target.name, implementation.trim())));
    }
    let selected = match select::select(&wish, &allowed(&target)) {
        Ok(selected) => selected,
        Err(error) => {
            target.close().await;
            return Err(error.into());
        }
    };
    let settle = if builtin { Duration::ZERO } else { args.settle };
    let sites = sites(&target, sections);
    let task = Task { args, target: &target, selected, settle, interrupt };
    let report = task.report(sites).await;
    let fixtures = Arc::clone(&target.world.fixtures);
    let filter = target.world.secrets.filter();
    target.close().await;
    complain_for_adapter(&fixtures.adapter_said(), &filter);
    let report = report?;
    let exit = exit::of_load(&report, args.allow_incomplete);
    print(&text::render(&report, manner(args)));
    let written = write_reports(&report, args, &mut outputs, exit);
    Ok(unless_lost(exit, written.err()))
}

/// Everything between an open target and a report.
struct Task<'a> {
    args: &'a LoadArgs,
    target: &'a OpenTarget,
    selected: Selected,
    settle: Duration,
    interrupt: &'a Interrupt,
}

impl Task<'_> {
    async fn report(self, sites: BTreeMap<Api, Site>) -> Result<LoadReport, LoadCommandError> {
        let Task { args, target, selected, settle, interrupt } = self;
        let mut report = blank(args, target.name.clone());
        report.target.implementation = target.implementation.clone();
        let began = Instant::now();
        // All of them first: a path that cannot be written shall cost no request.
        let histories = histories(args, &selected)?;
        let session = Session {
            maker: Arc::new(Maker::new(Arc::clone(&target.world), sites)),
            request_time: args.request_time,
            settle,
            strict: args.strict,
            interrupt: interrupt.clone(),
        };
        let mut progress = Progress::new(args.quiet);
        let (mut carried, mut ran) = (Vec::new(), Vec::new());
        let hushed = Hushed::begin();
        for (plan, history) in selected.plans.into_iter().zip(histories) {
            let one = session.carry_out(plan, &history, |event| progress.show(event)).await;
            ran.push((judge::scenario(&one), history));
            carried.push(one);
        }
        drop(hushed);
        report.thresholds = judge::thresholds(&args.threshold, &carried);
        let all_within = report.thresholds.iter().all(|threshold| threshold.status == Status::Pass);
        for ((mut result, history), one) in ran.into_iter().zip(&carried) {
            result.history = match &one.audited {
                Some(_) => history.keep_if(result.status != Status::Pass || !all_within),
                None => {
                    history.remove();
                    None
                }
            };
            report.scenarios.push(result);
        }
        report.scenarios.extend(selected.not_run);
        let place = |one: &ScenarioReport| report.named.iter().position(|name| *name == one.name);
        report.scenarios.sort_by_key(place);
        report.skipped = selected.skipped;
        report.defects = judge::defects(&carried);
        report.not_deleted = carried.into_iter().flat_map(|one| one.not_deleted).collect();
        report.interrupted_by = interrupt.borrow().map(|signal| signal.0);
        report.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(report.summed_up().cleaned(&session.maker.secrets().filter()))
    }
}

/// The files for the histories of all plans, created.
fn histories(args: &LoadArgs, selected: &Selected) -> Result<Vec<HistoryFile>, LoadCommandError> {
    let single = args.scenarios.len() == 1;
    let files = match &args.history {
        Some(path) => Histories::chosen(path, single),
        None => Histories::temporary(&config::temporary_folder()),
    };
    let mut created = Vec::new();
    for plan in &selected.plans {
        match files.create(plan.scenario) {
            Ok(file) => created.push(file),
            Err((path, reason)) => {
                created.into_iter().for_each(HistoryFile::remove);
                return Err(LoadCommandError::History { path, reason });
            }
        }
    }
    Ok(created)
}

fn wish(args: &LoadArgs) -> Wish {
    let count = |number: u16| usize::from(number);
    let size = Size {
        rate: args.rate,
        users: args.users.map(count),
        duration: args.duration,
        count: args.count.map(|count| usize::try_from(count).unwrap_or(usize::MAX)),
        domains: args.domains.map(count),
        tokens: args.tokens.map(count),
        ..Size::default()
    };
    Wish { named: args.scenarios.clone(), size, seed: args.seed }
}

/// Looks for options that contradict each other, before anything is sent.
fn check_options(args: &LoadArgs, wish: &Wish) -> Result<(), LoadCommandError> {
    if let Some(scenario) = named_twice(&wish.named) {
        return Err(LoadCommandError::Twice(scenario));
    }
    let paced = [("rate", args.rate.is_some()), ("duration", args.duration.is_some())];
    for (option, _) in paced.into_iter().filter(|(_, given)| *given) {
        if let Some(scenario) = wish.named.iter().copied().find(|scenario| !scenario.is_timed()) {
            return Err(LoadCommandError::Pace { option, scenario });
        }
    }
    for threshold in &args.threshold {
        let about = threshold.scenario().filter(|about| !wish.named.is_empty() && !wish.named.contains(about));
        if let Some(scenario) = about {
            return Err(LoadCommandError::Threshold { threshold: threshold.to_string(), scenario });
        }
    }
    Ok(select::check(wish)?)
}

fn allowed(target: &OpenTarget) -> Allowed {
    let apis = runner::apis(&target.world);
    Allowed {
        apis: Apis { rndrkit: apis.contains(&Api::Rndrkit), craftkit: apis.contains(&Api::Craftkit) },
        methods: target.world.methods.clone(),
        clock: target.world.timekeeper.kind(),
    }
}

/// Headers and root certificate of an API's section.
type Section = (Vec<(String, scenarios::Secret)>, Option<Vec<u8>>);

fn sections(configured: Option<&TargetConfig>) -> Result<BTreeMap<Api, Section>, LoadCommandError> {
    let mut sections = BTreeMap::new();
    for (api, section) in configured.iter().flat_map(|target| &target.apis) {
        let headers = section.headers.iter().map(|(name, value)| (name.clone(), handed_over(value))).collect();
        let read = |path: &PathBuf| {
            let unreadable = |reason| LoadCommandError::Root { api: api.name(), path: path.clone(), reason };
            std::fs::read(path).map_err(unreadable)
        };
        sections.insert(*api, (headers, section.ca.as_ref().map(read).transpose()?));
    }
    Ok(sections)
}

fn sites(target: &OpenTarget, mut sections: BTreeMap<Api, Section>) -> BTreeMap<Api, Site> {
    let site = |(api, client): (&Api, &crate::target::http::HttpClient)| {
        let (headers, root) = sections.remove(api).unwrap_or_default();
        let base_url = client.base_url().parse().expect("the address was checked before it was greeted");
        (*api, Site { base_url, headers, root })
    };
    target.world.clients.iter().map(site).collect()
}

fn settings(args: &LoadArgs) -> RunSettings {
    RunSettings {
        seed: args.seed,
        owned: args.i_own_this_target,
        request_time: args.request_time,
        fixture_time: args.fixture_time,
        ..RunSettings::default()
    }
}

/// A report of a run in which nothing has happened yet.
fn blank(args: &LoadArgs, target: String) -> LoadReport {
    let named = args.scenarios.iter().map(|scenario| scenario.name().to_owned()).collect();
    let begun = LoadReport::begun(target, jiff::Timestamp::now().to_string());
    LoadReport { seed: args.seed, named, strict: args.strict, ..begun }
}

fn write_reports(report: &LoadReport, args: &LoadArgs, outputs: &mut [Output], exit: Exit) -> Result<(), CheckError> {
    let texts = args.report.iter().map(|output| match output.format {
        ReportFormat::Json => report.to_json(),
        ReportFormat::Junit => junit::render(report, exit),
        ReportFormat::Markdown => markdown::render(report),
    });
    write_all(outputs, texts, &github::load_annotations(report), &markdown::render(report))
}

fn manner(args: &LoadArgs) -> Manner {
    Manner { color: super::check::is_colored(args.color), quiet: args.quiet, verbose: false }
}
