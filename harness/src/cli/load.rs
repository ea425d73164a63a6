//! The options of `hookproof load`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use scenarios::scenario::{Scenario, UnknownScenario};
use scenarios::threshold::Threshold;

use super::{Color, ReportOutput, duration, report_output, some_time};

/// Options of `load`.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// Run these scenarios, in this order [default: a short run of each that the target allows]
    #[arg(value_name = "SCENARIO", value_parser = scenario)]
    pub scenarios: Vec<Scenario>,
    /// List the scenarios with what each proves, and end
    #[arg(long)]
    pub list: bool,
    /// Load the target that this file describes, or `builtin`, the reference server [default: hookproof.toml if it is there, else builtin]
    #[arg(long, value_name = "FILE|builtin")]
    pub target: Option<PathBuf>,
    /// Let this many requests fall due a second, whatever the target does; scenarios made of volleys have a pace of their own
    #[arg(long, value_name = "N", value_parser = rate, conflicts_with = "users")]
    pub rate: Option<f64>,
    /// Let this many users send one request after the other instead; latencies then hide the time that requests would have waited
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub users: Option<u16>,
    /// Let requests fall due for this long
    #[arg(long, value_name = "DURATION", value_parser = some_time, conflicts_with = "count")]
    pub duration: Option<Duration>,
    /// Send this many requests
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    /// Spread requests over this many domains
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub domains: Option<u16>,
    /// Give each domain this many tokens
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub tokens: Option<u16>,
    /// Seed every random choice: the same seed and options send the same requests
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Write the history of every request to this file, which must not exist, for `hookproof audit`; unless one scenario is named, there is one file for each, such as `load.steady.jsonl` for `load.jsonl` [default: temporary files, kept if something fails]
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
    /// Fail unless this holds, such as `p99<250ms for refresh`, `error-ratio<1%` or `max<2s in steady`; repeatable
    #[arg(long, value_name = "EXPR")]
    pub threshold: Vec<Threshold>,
    /// Write a report (json, junit or markdown) to a file, such as `json=load.json`; repeatable
    #[arg(long, value_name = "FORMAT=PATH", value_parser = report_output)]
    pub report: Vec<ReportOutput>,
    /// Let broken should rules count like broken must rules
    #[arg(long)]
    pub strict: bool,
    /// Exit with 0 although a scenario or a threshold could not be judged, unless no scenario could
    #[arg(long)]
    pub allow_incomplete: bool,
    /// Wait this long for a revocation or a new quota to be seen; the built-in reference needs no time
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub settle: Duration,
    /// Give up on a request that is not answered whole within this time; its outcome is unknown then
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = some_time)]
    pub request_time: Duration,
    /// Give up on a fixture call that is not answered within this time
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = some_time)]
    pub fixture_time: Duration,
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

fn scenario(name: &str) -> Result<Scenario, String> {
    name.parse().map_err(|unknown: UnknownScenario| {
        let known: Vec<&str> = Scenario::ALL.into_iter().map(Scenario::name).collect();
        format!("{unknown}\nknown are: {}", known.join(", "))
    })
}

fn rate(text: &str) -> Result<f64, String> {
    let refused = || format!("expected a number of requests a second above 0, such as 50 or 0.5, found `{text}`");
    text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0).ok_or_else(refused)
}
