//! The options of `hookproof audit`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Color, duration, format_and_path, some_time};

/// Options of `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Audit these histories, of one run; plain or compressed with zstd
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Read files in this format
    #[arg(long, value_enum, default_value_t = HistoryFormat::History)]
    pub format: HistoryFormat,
    /// Take refreshes in an nginx log that do not name their domain to be this domain's
    #[arg(long, value_name = "DOMAIN")]
    pub key: Option<String>,
    /// Write an nginx log as a history to this new file, too
    #[arg(long, value_name = "FILE")]
    pub convert: Option<PathBuf>,
    /// Take this many requests to be served in a window, whatever the histories say
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Take windows to be this long, whatever the histories say
    #[arg(long, value_name = "DURATION", value_parser = some_time)]
    pub window: Option<Duration>,
    /// Accept windows that are this much shorter or longer [default: as the histories say; 2s for nginx logs]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub tolerance: Option<Duration>,
    /// Take the quota to refuse once it is reached, or what would exceed it, whatever the histories say
    #[arg(long, value_enum)]
    pub quota: Option<QuotaName>,
    /// Take it as given that acceptance charges the quota at once; otherwise only where the histories show it
    #[arg(long)]
    pub charged_at_once: bool,
    /// Let revocations, outages and quotas take this long to be seen
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub settle: Duration,
    /// Write a report (json or markdown) to a file, such as `markdown=audit.md`; repeatable
    #[arg(long, value_name = "FORMAT=PATH", value_parser = audit_output)]
    pub report: Vec<AuditOutput>,
    /// Let violations of should rules count like those of must rules
    #[arg(long)]
    pub strict: bool,
    /// End with 0 although something could not be judged, unless nothing could
    #[arg(long)]
    pub allow_incomplete: bool,
    /// Say only what needs attention
    #[arg(long)]
    pub quiet: bool,
    /// Use colours
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

/// Formats of histories as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HistoryFormat {
    /// JSON Lines, as `hookproof load` writes them
    History,
    /// nginx's combined format with $msec and $request_time
    Nginx,
}

/// Readings of a quota as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QuotaName {
    /// It refuses once it is used up
    Reached,
    /// It refuses what would go beyond it
    Exceed,
}

/// Where a report of an audit goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditOutput {
    /// Its format.
    pub format: AuditFormat,
    /// Its file.
    pub path: PathBuf,
}

/// Formats of an audit's report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditFormat {
    /// `hookproof.audit/1`.
    Json,
    /// Markdown, with drawings beside it.
    Markdown,
}

fn audit_output(text: &str) -> Result<AuditOutput, String> {
    let (format, path) = format_and_path(text, "markdown=audit.md")?;
    let format = match format {
        "json" => AuditFormat::Json,
        "markdown" => AuditFormat::Markdown,
        other => return Err(format!("expected the format json or markdown, found `{other}`")),
    };
    Ok(AuditOutput { format, path })
}
