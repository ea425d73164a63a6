//! `hookproof verify`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{complain, print};
use crate::exit::Exit;
use crate::report::terminal::printable;
use crate::report::verify::{Difference, VerifyError, read, verify};

#[derive(Debug, Error)]
enum CommandError {
    #[error("{path}: expected a readable report, found: {reason}")]
    Unreadable { path: PathBuf, reason: std::io::Error },
    #[error("{path}: {error}")]
    Verify { path: PathBuf, error: VerifyError },
}

/// Judges a report's evidence again and says where it differs.
pub fn run(path: &Path) -> Exit {
    match judge_again(path) {
        Ok(exit) => exit,
        Err(error) => complain(&error, Exit::Usage),
    }
}

fn judge_again(path: &Path) -> Result<Exit, CommandError> {
    let text =
        std::fs::read_to_string(path).map_err(|reason| CommandError::Unreadable { path: path.to_owned(), reason })?;
    let wrap = |error| CommandError::Verify { path: path.to_owned(), error };
    let report = read(&text).map_err(wrap)?;
    let differences = verify(&report).map_err(wrap)?;
    let judged = report.checks.iter().filter(|check| check.stopped.is_none()).count();
    let mut text =
        format!("hookproof verify: {} checks of target {} judged again\n", judged, printable(&report.target.name));
    for Difference { place, follows, says } in &differences {
        writeln!(
            text,
            "\n{}\n  the report says  {}\n  what follows     {}",
            printable(place),
            printable(says),
            printable(follows)
        )
        .expect("writing to a string does not fail");
    }
    let (words, exit) = if differences.is_empty() {
        ("what it says follows from its evidence", Exit::Holds)
    } else {
        ("it does not say what follows from its evidence", Exit::Fails)
    };
    writeln!(text, "\n{}: {words}", report.verdict.words()).expect("writing to a string does not fail");
    print(&text);
    Ok(exit)
}
