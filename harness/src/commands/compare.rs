//! `hookproof compare`.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{complain, print};
use crate::exit::Exit;
use crate::report::Report;
use crate::report::compare::{compare, render};
use crate::report::verify::{VerifyError, read};

#[derive(Debug, Error)]
enum CommandError {
    #[error("{path}: expected a readable report, found: {reason}")]
    Unreadable { path: PathBuf, reason: std::io::Error },
    #[error("{path}: {error}")]
    NoReport { path: PathBuf, error: VerifyError },
}

/// Lays two reports side by side and says what differs.
pub fn run(before: &Path, after: &Path) -> Exit {
    match (report(before), report(after)) {
        (Ok(before), Ok(after)) => {
            let comparison = compare(&before, &after);
            print(&render(&comparison, &before, &after));
            if comparison.regressed() { Exit::Fails } else { Exit::Holds }
        }
        (Err(error), _) | (_, Err(error)) => complain(&error, Exit::Usage),
    }
}

fn report(path: &Path) -> Result<Report, CommandError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|reason| CommandError::Unreadable { path: path.to_owned(), reason })?;
    read(&text).map_err(|error| CommandError::NoReport { path: path.to_owned(), error })
}
