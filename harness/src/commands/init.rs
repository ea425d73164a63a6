//! `hookproof init`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{complain, print};
use crate::config::TEMPLATE;
use crate::exit::Exit;

#[derive(Debug, Error)]
#[error("{path}: expected to write a new file, found: {reason}")]
struct NotWritten {
    path: PathBuf,
    reason: std::io::Error,
}

/// Writes a commented target file; one that exists stays as it is.
pub fn run(path: &Path) -> Exit {
    let written = std::fs::File::create_new(path).and_then(|mut file| file.write_all(TEMPLATE.as_bytes()));
    if let Err(reason) = written {
        return complain(&NotWritten { path: path.to_owned(), reason }, Exit::Usage);
    }
    print(&format!("wrote {}; next: hookproof check --target {}\n", path.display(), path.display()));
    Exit::Holds
}
