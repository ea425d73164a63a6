//! Reads and writes sets of accepted answers, in the format of insta, so that its tools can show and accept differences.
//!
//! Unlike insta's macros, this depends on no variable of the environment: a difference is written in CI as anywhere else.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use insta::Snapshot;
use insta::internals::Content;
use serde_json::Value;
use thiserror::Error;

use super::review::{Accepted, AcceptedSet};
use super::take::Taken;
use crate::api::Api;
use crate::report::json_text;

/// The longest file (bytes) that is read; an answer of 64 KiB takes a small part of it, escapes included.
const FILE_LENGTH_MAX: u64 = 1024 * 1024;

/// `cargo insta` looks for snapshots in packages only, so a set is one, with nothing to build.
const MANIFEST: &str = include_str!("set.template.toml");

/// Why a set cannot be used.
#[derive(Debug, Error)]
pub enum FilesError {
    /// There is no such folder.
    #[error(
        "{folder}: expected a folder with snapshots, found none; `hookproof snapshots init {folder}` writes a set from a target"
    )]
    NoFolder {
        /// As typed.
        folder: PathBuf,
    },
    /// A file is no snapshot.
    #[error(
        "{file}: expected a text snapshot as insta writes them, found {found}; mend it, or delete it and review the new one"
    )]
    NoSnapshot {
        /// Which one.
        file: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// There are snapshots already.
    #[error(
        "{folder}: expected no snapshots yet, found {first}{more}; to compare with them use `hookproof check --snapshots {folder}`, \
         to start anew delete them first"
    )]
    Exists {
        /// As typed.
        folder: PathBuf,
        /// The first file found.
        first: String,
        /// ` and N more`, or nothing.
        more: String,
    },
    /// The operating system refuses.
    #[error("{path}: expected to {what}, found: {reason}")]
    System {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        reason: io::Error,
    },
}

fn system(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FilesError {
    move |reason| FilesError::System { what, path: path.to_owned(), reason }
}

/// Reads every accepted answer of a set: files `.snap` in the folder itself and in those of the APIs.
///
/// # Errors
/// [`FilesError`] if there is no such folder, or a file is no snapshot.
pub fn read(folder: &Path) -> Result<AcceptedSet, FilesError> {
    if !folder.is_dir() {
        return Err(FilesError::NoFolder { folder: folder.to_owned() });
    }
    let files = list(folder)?;
    files.into_iter().map(|file| Ok((file.clone(), read_one(&folder.join(&file))?))).collect()
}

/// The accepted answers of a set by their path from the folder, with `/`, in order.
fn list(folder: &Path) -> Result<Vec<String>, FilesError> {
    let mut found = Vec::new();
    let inner = Api::ALL.iter().map(|api| format!("{}/", api.name()));
    for prefix in inner.chain([String::new()]) {
        let place = folder.join(&prefix);
        if !place.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&place).map_err(system("list the folder", &place))? {
            let entry = entry.map_err(system("list the folder", &place))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".snap") && entry.path().is_file() {
                found.push(format!("{prefix}{name}"));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read_one(file: &Path) -> Result<Accepted, FilesError> {
    let no_snapshot = |found: String| FilesError::NoSnapshot { file: file.to_owned(), found };
    let length = fs::metadata(file).map_err(system("read the file", file))?.len();
    if length > FILE_LENGTH_MAX {
        return Err(no_snapshot(format!("{length} bytes, more than {FILE_LENGTH_MAX}")));
    }
    // A text in an older format of insta has no such first line; reading it would print to stderr.
    let text = fs::read_to_string(file).map_err(system("read the file", file))?;
    if text.lines().next().is_none_or(|line| line.trim_end() != "---") {
        return Err(no_snapshot("no line `---` at its beginning".to_owned()));
    }
    let snapshot = Snapshot::from_file(file).map_err(|error| no_snapshot(error.to_string()))?;
    let contents = snapshot.as_text().ok_or_else(|| no_snapshot("a binary one".to_owned()))?;
    Ok(Accepted {
        description: snapshot.metadata().description().unwrap_or_default().to_owned(),
        request: snapshot.metadata().private_info().map(value_of).unwrap_or_default(),
        contents: contents.to_string(),
    })
}

/// What insta read as the request. It holds texts and maps only; anything else in its place is a difference.
fn value_of(content: &Content) -> Value {
    match content.resolve_inner() {
        Content::String(text) => Value::String(text.clone()),
        Content::Map(entries) => {
            let entry = |(key, value): &(Content, Content)| Some((key.as_str()?.to_owned(), value_of(value)));
            Value::Object(entries.iter().filter_map(entry).collect())
        }
        other => Value::String(format!("{other:?}")),
    }
}

/// Refuses a folder that has snapshots already.
///
/// # Errors
/// [`FilesError::Exists`].
pub fn expect_none(folder: &Path) -> Result<(), FilesError> {
    if !folder.is_dir() {
        return Ok(());
    }
    let found = list(folder)?;
    match found.split_first() {
        None => Ok(()),
        Some((first, rest)) => Err(FilesError::Exists {
            folder: folder.to_owned(),
            first: first.clone(),
            more: if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) },
        }),
    }
}

/// Makes the folder of a new set one that `cargo insta` looks into; a manifest that is there stays as it is.
///
/// # Errors
/// [`FilesError::System`].
pub fn make_reviewable(folder: &Path) -> Result<(), FilesError> {
    let path = folder.join("Cargo.toml");
    fs::create_dir_all(folder).map_err(system("make the folder", folder))?;
    match fs::File::create_new(&path).and_then(|mut file| file.write_all(MANIFEST.as_bytes())) {
        Err(reason) if reason.kind() != io::ErrorKind::AlreadyExists => Err(system("write the file", &path)(reason)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes an answer as an accepted one.
///
/// # Errors
/// [`FilesError::System`].
pub fn write_accepted(folder: &Path, taken: &Taken) -> Result<(), FilesError> {
    write(&folder.join(&taken.file), taken)
}

/// Writes an answer beside the accepted one, to be reviewed.
///
/// # Errors
/// [`FilesError::System`].
pub fn write_pending(folder: &Path, taken: &Taken) -> Result<(), FilesError> {
    write(&pending(folder, &taken.file), taken)
}

/// Removes what an earlier run wrote beside an accepted answer, now that they agree.
///
/// # Errors
/// [`FilesError::System`].
pub fn remove_pending(folder: &Path, file: &str) -> Result<(), FilesError> {
    let path = pending(folder, file);
    match fs::remove_file(&path) {
        Err(reason) if reason.kind() != io::ErrorKind::NotFound => Err(system("delete the file", &path)(reason)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn pending(folder: &Path, file: &str) -> PathBuf {
    folder.join(format!("{file}.new"))
}

fn write(path: &Path, taken: &Taken) -> Result<(), FilesError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(system("make the folder", folder))?;
    }
    fs::write(path, draft(taken)).map_err(system("write the file", path))?;
    // Saved again by insta itself, so that accepting a difference changes nothing but what differs.
    let saved = Snapshot::from_file(path).and_then(|snapshot| snapshot.save(path));
    saved.map_err(|error| system("write the file", path)(io::Error::other(error.to_string())))
}

/// The file in a form that insta reads: a header in JSON, which is YAML, and the answer.
fn draft(taken: &Taken) -> String {
    #[derive(serde::Serialize)]
    struct Header<'a> {
        description: &'a str,
        info: &'a super::take::RequestShown,
    }
    let header = Header { description: &taken.description, info: &taken.request };
    format!("---\n{}---\n{}\n", json_text(&header), taken.contents)
}
