//! The command line, exactly as typed. What it means is decided in `main` and below.

pub mod audit;
pub mod load;
pub mod snapshots;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::api::Api;

/// Judges implementations of RndrKit's webhook refresh and CraftKit's inbound render hook.
#[derive(Debug, Parser)]
#[command(name = "hookproof", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; without a command, `check`.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of `check`, when no command is given.
    #[command(flatten)]
    pub check: CheckArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the conformance suite
    Check(Box<CheckArgs>),
    /// Send load, record its history, and prove from it whether the limits held
    Load(Box<load::LoadArgs>),
    /// Run the reference server
    Serve(ServeArgs),
    /// List the rules, or explain one
    Rules(RulesArgs),
    /// Write a commented target file
    Init(InitArgs),
    /// Run the suite against every server that is wrong on purpose and print which rules caught it
    Prove(ProveArgs),
    /// Judge the evidence in a JSON report again, offline
    Verify(VerifyArgs),
    /// Lay two JSON reports side by side and say what became worse, better or different
    Compare(CompareArgs),
    /// Judge recorded histories: can a correct server have answered like this?
    Audit(audit::AuditArgs),
    /// Keep answers under review
    #[command(subcommand)]
    Snapshots(snapshots::SnapshotsCommand),
    /// Look after the adapter between hookproof and an implementation
    #[command(subcommand)]
    Adapter(AdapterCommand),
}

/// What can be done with an adapter.
#[derive(Debug, Subcommand)]
pub enum AdapterCommand {
    /// Try every method of the target's fixtures and say what is wrong with the adapter
    Check(AdapterCheckArgs),
}

/// Options of `adapter check`.
#[derive(Debug, Args)]
pub struct AdapterCheckArgs {
    /// Try the fixtures that this target file names, or `builtin` [default: hookproof.toml if it is there, else builtin]
    #[arg(long, value_name = "FILE|builtin")]
    pub target: Option<PathBuf>,
    /// Show at the end what the adapter wrote to stderr
    #[arg(long)]
    pub verbose: bool,
    /// Allow a target that is not on this machine
    #[arg(long)]
    pub i_own_this_target: bool,
}

/// Options of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Judge the target that this file describes, or `builtin`, the reference server [default: hookproof.toml if it is there, else builtin]
    #[arg(long, value_name = "FILE|builtin")]
    pub target: Option<PathBuf>,
    /// Write a report (json, junit or markdown) to a file, such as `json=report.json`; repeatable
    #[arg(long, value_name = "FORMAT=PATH", value_parser = report_output)]
    pub report: Vec<ReportOutput>,
    /// Write what happens, as JSON Lines, to a file while it happens
    #[arg(long, value_name = "PATH")]
    pub events: Option<PathBuf>,
    /// Judge only rules whose id matches this glob; repeatable
    #[arg(long, value_name = "GLOB")]
    pub only: Vec<String>,
    /// Leave out rules whose id matches this glob; repeatable
    #[arg(long, value_name = "GLOB")]
    pub skip: Vec<String>,
    /// Judge one API only
    #[arg(long, value_enum)]
    pub api: Option<ApiName>,
    /// Let broken should rules count like broken must rules
    #[arg(long)]
    pub strict: bool,
    /// Exit with 0 although a rule that counts could not be judged, unless none could
    #[arg(long)]
    pub allow_incomplete: bool,
    /// Run this many checks at a time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: u16,
    /// Send at most this many requests a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// Seed every random choice
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Try this many generated cases of each property; 0 leaves them out
    #[arg(long, value_name = "N", default_value_t = crate::checks::generated::DEFAULT_CASES, value_parser = clap::value_parser!(u32).range(..=10_000))]
    pub cases: u32,
    /// Wait this long for a change made through a fixture to be seen
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub settle: Duration,
    /// Let each check wait this long in real time for windows to pass, where the target's clock cannot be moved
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub patience: Duration,
    /// Give up on a request that is not answered whole within this time
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = some_time)]
    pub request_time: Duration,
    /// Give up on a fixture call that is not answered within this time
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = some_time)]
    pub fixture_time: Duration,
    /// End the whole run after this time, and that of --patience; what is not judged by then is not run
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = some_time)]
    pub run_time: Duration,
    /// Compare the answers with a set of snapshots; differences are written there as `.snap.new`
    #[arg(long, value_name = "DIR")]
    pub snapshots: Option<PathBuf>,
    /// Say what each check took, and show at the end what an adapter wrote to stderr
    #[arg(long, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Say only what needs attention
    #[arg(long)]
    pub quiet: bool,
    /// Use colours
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
    /// Allow a target that is not on this machine; its limits, quotas and renders are spent
    #[arg(long)]
    pub i_own_this_target: bool,
}

/// Options of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Listen on this address; port 0 picks a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8787")]
    pub listen: std::net::SocketAddr,
    /// Keep state in this file, or in `memory`
    #[arg(long, value_name = "PATH|memory", default_value = "hookproof.db")]
    pub store: PathBuf,
    /// Follow the system's clock, or stand still until moved by the control plane
    #[arg(long, value_enum, default_value_t = ServeClock::System)]
    pub clock: ServeClock,
    /// Be wrong in one named way
    #[arg(long, value_name = "NAME")]
    pub deviation: Option<String>,
    /// What clients can use up.
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// Limits of `serve`. The defaults are the server's own; a test compares them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Refuse request bodies that are longer, with 413
    #[arg(long, value_name = "BYTES", default_value_t = 4_194_304, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_body: u32,
    /// Serve this many connections at a time; further ones get 503
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,
    /// Let this many renders wait for the worker; beyond them the hook answers 503
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_queue: u32,
    /// Let this many requests wait for the store; further ones get 503
    #[arg(long, value_name = "N", default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_pending: u32,
    /// Wait this long for the head of a request, then close the connection
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub header_time: Duration,
    /// Wait this long for the body of a request (then 408), and again for its answer (then 503)
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub request_time: Duration,
    /// Wait this long for a subscriber to answer an outgoing webhook
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    pub webhook_time: Duration,
}

/// Options of `rules`.
#[derive(Debug, Args)]
pub struct RulesArgs {
    /// Explain this rule
    pub id: Option<String>,
    /// Print in this format
    #[arg(long, value_enum, default_value_t = RulesFormat::Text)]
    pub format: RulesFormat,
}

/// Options of `prove`.
#[derive(Debug, Args)]
pub struct ProveArgs {
    /// Try only deviations whose name, or a rule they break, matches this glob; repeatable
    #[arg(long, value_name = "GLOB")]
    pub only: Vec<String>,
    /// Try this many deviations at a time, each on its own server
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: u16,
    /// Run every check against each deviation, not only those concerned and a tenth of the others
    #[arg(long)]
    pub all: bool,
    /// Seed every random choice
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Write the kill matrix (json or markdown) to a file, such as `markdown=matrix.md`; repeatable
    #[arg(long, value_name = "FORMAT=PATH", value_parser = prove_output)]
    pub report: Vec<ProveOutput>,
}

/// Where a kill matrix goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProveOutput {
    /// Its format.
    pub format: ProveFormat,
    /// Its file.
    pub path: PathBuf,
}

/// Formats of a kill matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProveFormat {
    /// For programs.
    Json,
    /// A table.
    Markdown,
}

/// Options of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Judge this report, written with --report json=PATH
    pub report: PathBuf,
}

/// Options of `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Compare with this earlier report, written with --report json=PATH
    pub before: PathBuf,
    /// Look for regressions in this later report
    pub after: PathBuf,
}

/// Options of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Write this file; one that exists is not overwritten
    #[arg(default_value = crate::config::DEFAULT_FILE)]
    pub path: PathBuf,
}

/// Where a report goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportOutput {
    /// Its format.
    pub format: ReportFormat,
    /// Its file.
    pub path: PathBuf,
}

/// Formats of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFormat {
    /// `hookproof.report/1`.
    Json,
    /// JUnit XML.
    Junit,
    /// Markdown.
    Markdown,
}

/// The APIs as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ApiName {
    /// RndrKit's webhook refresh
    Rndrkit,
    /// CraftKit's inbound render hook
    Craftkit,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Clocks of the reference server as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ServeClock {
    /// Real time
    System,
    /// Moved by the control plane
    Manual,
}

/// Formats of `rules`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RulesFormat {
    /// For reading
    Text,
    /// For programs
    Json,
}

impl From<ApiName> for Api {
    fn from(name: ApiName) -> Api {
        match name {
            ApiName::Rndrkit => Api::Rndrkit,
            ApiName::Craftkit => Api::Craftkit,
        }
    }
}

fn report_output(text: &str) -> Result<ReportOutput, String> {
    let (format, path) = format_and_path(text, "json=report.json")?;
    let format = match format {
        "json" => ReportFormat::Json,
        "junit" => ReportFormat::Junit,
        "markdown" => ReportFormat::Markdown,
        other => return Err(format!("expected the format json, junit or markdown, found `{other}`")),
    };
    Ok(ReportOutput { format, path })
}

fn prove_output(text: &str) -> Result<ProveOutput, String> {
    let (format, path) = format_and_path(text, "markdown=matrix.md")?;
    let format = match format {
        "json" => ProveFormat::Json,
        "markdown" => ProveFormat::Markdown,
        other => return Err(format!("expected the format json or markdown, found `{other}`")),
    };
    Ok(ProveOutput { format, path })
}

fn format_and_path<'a>(text: &'a str, example: &str) -> Result<(&'a str, PathBuf), String> {
    match text.split_once('=') {
        Some((_, "")) => Err("expected a path after `=`, found nothing".to_owned()),
        Some((format, path)) => Ok((format, path.into())),
        None => Err(format!("expected FORMAT=PATH such as {example}")),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Result<jiff::SignedDuration, _> = text.parse();
    let refused = || format!("expected a duration such as 5s, 90m or 1h30m, found `{text}`");
    Duration::try_from(parsed.map_err(|_| refused())?).map_err(|_| refused())
}

/// A duration in which something can happen.
fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err(format!("expected a duration longer than nothing, such as 5s, found `{text}`")),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_option_has_help_that_begins_upper_case_and_ends_without_a_full_stop() {
        fn walk(command: &clap::Command) {
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                let name = argument.get_id();
                assert!(help.starts_with(char::is_uppercase), "{name}: {help}");
                assert!(!help.ends_with('.'), "{name}: {help}");
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Cli::command());
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert!(duration("-1s").is_err() && duration("soon").is_err());
        assert!(some_time("0s").is_err() && some_time("1ms").is_ok());
    }

    #[test]
    fn the_default_limits_are_those_of_the_library() {
        let cli = Cli::try_parse_from(["hookproof"]).unwrap_or_else(|error| panic!("{error}"));
        let typed = (cli.check.request_time, cli.check.fixture_time, cli.check.run_time);
        let known = (
            crate::target::http::EXCHANGE_TIME_MAX,
            crate::target::fixtures::CALL_TIME_MAX,
            crate::runner::RUN_TIME_MAX,
        );
        assert_eq!(typed, known);
    }

    #[test]
    fn a_report_needs_a_known_format_and_a_path() {
        assert!(report_output("json=r.json").is_ok());
        assert!(
            report_output("xml=r.xml").is_err() && report_output("json=").is_err() && report_output("r.json").is_err()
        );
    }
}
