//! `hookproof snapshots`, as typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{ApiName, duration};

/// What can be done with a set of snapshots besides comparing with it, which `check --snapshots` does.
#[derive(Debug, Subcommand)]
pub enum SnapshotsCommand {
    /// Write a set of snapshots from a target's answers
    Init(SnapshotsInitArgs),
}

/// Options of `snapshots init`.
#[derive(Debug, Args)]
pub struct SnapshotsInitArgs {
    /// Write into this folder, which must have no snapshots yet
    pub dir: PathBuf,
    /// Take the answers of the target that this file describes, or of `builtin`, the reference server [default: hookproof.toml if it is there, else builtin]
    #[arg(long, value_name = "FILE|builtin")]
    pub target: Option<PathBuf>,
    /// Take the answers of one API only
    #[arg(long, value_enum)]
    pub api: Option<ApiName>,
    /// Wait this long for a change made through a fixture to be seen
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub settle: Duration,
    /// Let each check wait this long in real time for windows to pass, where the target's clock cannot be moved
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub patience: Duration,
    /// Show at the end what the adapter wrote to stderr
    #[arg(long)]
    pub verbose: bool,
    /// Allow a target that is not on this machine; its limits, quotas and renders are spent
    #[arg(long)]
    pub i_own_this_target: bool,
}
