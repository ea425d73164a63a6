//! Generated cases that failed, kept beside the target file: the next run tries them first.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::checks::generated::{KeptCase, case_at, script};
use crate::report::Report;
use crate::report::terminal::printable;
use crate::verdict::Status;

/// The folder's name.
const FOLDER: &str = "hookproof-regressions";

/// Files that are read; more would make a run about the past.
const FILES_MAX: usize = 200;

/// Bytes of a file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why the kept cases cannot be used.
#[derive(Debug, Error)]
pub enum RegressionError {
    /// The folder or a file in it cannot be read or written.
    #[error("{path}: expected a folder of kept cases that can be read and written, found: {reason}")]
    Inaccessible {
        /// Which.
        path: PathBuf,
        /// The operating system's words.
        reason: std::io::Error,
    },
    /// A file holds no case that this version can try.
    #[error("{path}: {problem}; delete the file if the case is of no use any more")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What was expected and what was found.
        problem: String,
    },
}

/// The folder that belongs to a target file.
pub fn folder_of(target: &Path) -> PathBuf {
    target.with_file_name(FOLDER)
}

/// Reads the kept cases of a folder in the order of the files' names; none if there is no folder.
///
/// # Errors
/// [`RegressionError`] for a file that cannot be used: a case that is silently left out would look like one that holds.
pub fn read(folder: &Path) -> Result<Vec<KeptCase>, RegressionError> {
    let inaccessible = |reason| RegressionError::Inaccessible { path: folder.to_owned(), reason };
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(inaccessible)? {
        let path = entry.map_err(inaccessible)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.len() > FILES_MAX {
        let problem = format!("expected at most {FILES_MAX} kept cases, found {}", paths.len());
        return Err(RegressionError::Unusable { path: folder.to_owned(), problem });
    }
    paths.into_iter().map(read_one).collect()
}

fn read_one(path: PathBuf) -> Result<KeptCase, RegressionError> {
    let unusable = |problem: String| RegressionError::Unusable { path: path.clone(), problem };
    let inaccessible = |reason| RegressionError::Inaccessible { path: path.clone(), reason };
    let length = std::fs::metadata(&path).map_err(inaccessible)?.len();
    if length > FILE_BYTES_MAX {
        return Err(unusable(format!("expected at most {FILE_BYTES_MAX} bytes, found {length}")));
    }
    let text = std::fs::read_to_string(&path).map_err(inaccessible)?;
    let kept: KeptCase =
        serde_json::from_str(&text).map_err(|error| unusable(format!("expected a kept case: {error}")))?;
    kept.validate().map_err(unusable)?;
    Ok(kept)
}

/// Keeps every generated case that shows a must rule broken, and says so on stderr.
///
/// # Errors
/// [`RegressionError::Inaccessible`] if a file cannot be written.
pub fn keep_failures(folder: &Path, report: &Report) -> Result<(), RegressionError> {
    // One case may show several rules broken, and several cases may have shrunk to one.
    let mut done = BTreeSet::new();
    for check in &report.checks {
        for finding in check.findings.iter().filter(|finding| finding.status == Status::Fail) {
            let Some(case) = finding.exchange.and_then(|at| case_at(&check.evidence, at)) else { continue };
            let digest = hex::encode(Sha256::digest(format!("{} {}", check.id, case.case)));
            let path = folder.join(format!("{}-{}.json", check.id.replace('/', "-"), &digest[..12]));
            if !done.insert(path.clone()) {
                continue;
            }
            let kept = json!({
                "check": check.id,
                "rule": finding.rule,
                "actual": finding.actual,
                "case": case.case,
                "script": script(&check.evidence, case),
            });
            let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, format!("{kept:#}\n")));
            written.map_err(|reason| RegressionError::Inaccessible { path: path.clone(), reason })?;
            // Whoever has closed stderr does not want to know.
            let _ = writeln!(std::io::stderr(), "kept for the next run: {}", printable(&path.to_string_lossy()));
        }
    }
    Ok(())
}
