//! Recorded histories, judged: from files to one value that says what a correct server cannot have done.
//!
//! ```text
//! source (files, also .zst; nginx's logs) → plan (names, one time axis) → pass (one thread reads and hands out over the desk, several judge)
//!   domain, lone, quota, tokens, renders, outage (events become cases for the pure auditor) → assemble → Audited → report::audit
//! ```
//!
//! Memory is bounded by the operations in flight and the number of keys and tokens, not by the length of the history; but each acknowledged
//! render is remembered by its id. Files are read more than once where that is needed: by several recorders, by lines far
//! out of order, and to quote the operations of a violation.

mod answer;
mod answers;
mod assemble;
pub mod audited;
mod clock;
pub mod convert;
mod desk;
mod domain;
mod lone;
pub mod nginx;
mod noted;
mod operation;
mod outage;
mod overlap;
mod pass;
mod plan;
mod quota;
mod renders;
mod source;
mod tokens;
mod under_way;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use scenarios::history::{QuotaKind, ReadError, RecordError};
use thiserror::Error;

use audited::{Audited, ClockKind, FileFacts, RecorderFacts, TruncatedTail};
use operation::Again;
use pass::Stop;
use plan::Plan;

pub use plan::PlaceError;

/// How long a change made by a control may take to be seen, unless told otherwise.
pub const SETTLE: Duration = Duration::from_secs(5);

/// How histories are judged. What is none is as the histories themselves say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How the files are written.
    pub format: Format,
    /// Requests a domain is served in a window.
    pub limit: Option<u64>,
    /// The window's length.
    pub window: Option<Duration>,
    /// By how much the window's length may differ, either way.
    pub tolerance: Option<Duration>,
    /// When a quota refuses.
    pub quota: Option<QuotaKind>,
    /// Acceptance is known to charge the quota at once; otherwise only where the history shows it.
    pub charged_at_once: bool,
    /// How long a revocation, an outage or a quota set may take to be seen.
    pub settle: Duration,
    /// Violations of should rules count like those of must rules.
    pub strict: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            format: Format::History,
            limit: None,
            window: None,
            tolerance: None,
            quota: None,
            charged_at_once: false,
            settle: SETTLE,
            strict: false,
        }
    }
}

/// How files are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// As [`scenarios::history`] describes.
    History,
    /// As nginx's access log; see [`nginx`].
    Nginx(nginx::NginxOptions),
}

/// Why nothing can be said about histories.
#[derive(Debug, Error)]
pub enum AuditError {
    /// A file cannot be opened.
    #[error("{path}: expected a readable history, found: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// It is a folder or a pipe.
    #[error(
        "{path}: expected a regular file, since histories are read more than once; write what comes from a pipe to a file"
    )]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// A file is named twice.
    #[error("{path}: expected each file once, found it a second time")]
    SameFile {
        /// The file.
        path: PathBuf,
    },
    /// A line of a history is wrong.
    #[error("{path}: {error}")]
    History {
        /// The file.
        path: PathBuf,
        /// The line, and what is wrong with it.
        error: ReadError,
    },
    /// A line of a log is wrong.
    #[error("{path}: {error}")]
    Nginx {
        /// The file.
        path: PathBuf,
        /// The line, and what is wrong with it.
        error: nginx::NginxError,
    },
    /// An operation cannot be placed in time.
    #[error("{path}: line {line}: {error}")]
    Place {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: u64,
        /// What is wrong.
        error: PlaceError,
    },
    /// Recorders saw different limits.
    #[error(
        "{path}: `{field}`: expected {expected}, as the header in {first} says, found {found}; histories that are audited together are of one run"
    )]
    HeadersDiffer {
        /// The file.
        path: PathBuf,
        /// The header's field.
        field: &'static str,
        /// What the first header says.
        expected: String,
        /// What this one says.
        found: String,
        /// The file of the first header.
        first: PathBuf,
    },
    /// The same run is there twice.
    #[error(
        "{path}: expected another recorder or another run, found recorder `{recorder}` with the same `unix_ms` as in {first}; give each history once, and join the parts of one"
    )]
    SameRun {
        /// The file.
        path: PathBuf,
        /// The file that has it already.
        first: PathBuf,
        /// The recorder.
        recorder: String,
    },
    /// Only some histories carry the target's clock.
    #[error("{path}: expected all histories to say what the target's clock showed (`server_start_ms`), or none")]
    TwoTimes {
        /// The file that is different from those before.
        path: PathBuf,
    },
    /// More recorders than can be told apart.
    #[error("expected at most {most} recorders, found more")]
    TooManyRecorders {
        /// The most.
        most: usize,
    },
    /// Nothing is ever served.
    #[error("expected a limit of at least 1, found 0; give another with --limit")]
    NoLimit,
    /// The window may be empty.
    #[error(
        "expected a window longer than its tolerance, found {window_ms} ms and {tolerance_ms} ms; give others with --window and --tolerance"
    )]
    NoWindow {
        /// The window's length.
        window_ms: u64,
        /// Its tolerance.
        tolerance_ms: u64,
    },
    /// A history cannot be written.
    #[error("{path}: expected a new file for the history, found: {error}")]
    Convert {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: RecordError,
    },
    /// A log without a beginning.
    #[error("{path}: expected a log, found nothing to convert")]
    NothingToConvert {
        /// The file.
        path: PathBuf,
    },
    /// Somebody asked to stop.
    #[error("interrupted before all was read, so nothing is said")]
    Interrupted,
}

/// Audits histories: of several recorders of one run, or of one.
///
/// `stop` is asked now and then; once it says true, the audit ends with [`AuditError::Interrupted`].
///
/// # Errors
/// [`AuditError`] when a file cannot be read or is wrong; nothing is judged then.
pub fn audit_files(
    paths: &[PathBuf],
    options: &Options,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Audited, AuditError> {
    refuse_twins(paths)?;
    let mut plan = Plan::new(paths, options, false)?;
    loop {
        match pass::run(paths, &plan, options, stop) {
            // What a monitor has forgotten would explain it better.
            Ok(passed) if passed.is_distant() && plan.may_forget() => plan = plan.with_all_patience(),
            Ok(passed) => return assemble::assemble(paths, &plan, options, passed),
            Err(Stop::LookAtAll) => plan = Plan::new(paths, options, true)?,
            Err(Stop::Again(Again::Both)) => plan = plan.with_both_views(),
            Err(Stop::Again(Again::Late)) => {
                let patient = plan.with_more_patience();
                plan = patient.expect("nothing comes later than one waits for ever");
            }
            Err(Stop::Failed(error)) => return Err(error),
        }
    }
}

/// A history that is read twice would show twice as much.
fn refuse_twins(paths: &[PathBuf]) -> Result<(), AuditError> {
    let mut known = Vec::new();
    for path in paths {
        let real = std::fs::canonicalize(path);
        let real = real.map_err(|reason| AuditError::Unreadable { path: path.clone(), reason })?;
        if known.contains(&real) {
            return Err(AuditError::SameFile { path: path.clone() });
        }
        known.push(real);
    }
    Ok(())
}
