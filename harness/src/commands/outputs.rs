//! Report files: opened before a command's work, so that a long run is not lost to a path that cannot be written, and written after it.

use std::fs::{File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a report cannot be written.
#[derive(Debug, Error)]
pub enum OutputError {
    /// The operating system refuses.
    #[error("{option} {path}: expected a file that can be written, found: {reason}")]
    Unwritable {
        /// What named the file: an option or an environment variable.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        reason: io::Error,
    },
    /// Two outputs into one file would leave neither.
    #[error("{option} {path}: expected a file of its own, found one that another output of this run goes to")]
    Twice {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Writing would destroy what is to be read.
    #[error("{option} {path}: expected another file than this run reads, found {input}")]
    Input {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What it is.
        input: PathBuf,
    },
}

/// Files that a run writes and those that it reads, so that none is written over another.
pub(super) struct Outputs {
    inputs: Vec<(PathBuf, Metadata)>,
    opened: Vec<Metadata>,
}

/// A file that is open and empty.
pub(super) struct Output {
    option: &'static str,
    path: PathBuf,
    file: File,
}

impl Outputs {
    /// None yet, in a run that reads these files.
    pub(super) fn beside<'a>(inputs: impl IntoIterator<Item = &'a Path>) -> Outputs {
        // An input that cannot be looked at is complained about by whoever reads it.
        let known = |path: &Path| Some((path.to_owned(), path.metadata().ok()?));
        Outputs { inputs: inputs.into_iter().filter_map(known).collect(), opened: Vec::new() }
    }

    /// Opens and empties one more file.
    ///
    /// # Errors
    /// [`OutputError`].
    pub(super) fn open(&mut self, option: &'static str, path: &Path) -> Result<Output, OutputError> {
        let path = path.to_owned();
        let refused = |reason| OutputError::Unwritable { option, path: path.clone(), reason };
        let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(refused)?;
        let opened = file.metadata().map_err(refused)?;
        // A device or a pipe takes from several, one after the other.
        if opened.is_file() {
            if let Some((input, _)) = self.inputs.iter().find(|(_, input)| is_same(input, &opened)) {
                return Err(OutputError::Input { option, path, input: input.clone() });
            }
            if self.opened.iter().any(|other| is_same(other, &opened)) {
                return Err(OutputError::Twice { option, path });
            }
            file.set_len(0).map_err(refused)?;
            self.opened.push(opened);
        }
        Ok(Output { option, path, file })
    }
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

impl Output {
    /// A file that is appended to, such as a job's summary.
    ///
    /// # Errors
    /// [`OutputError::Unwritable`].
    pub(super) fn appended(option: &'static str, path: PathBuf) -> Result<Output, OutputError> {
        match File::options().append(true).create(true).open(&path) {
            Ok(file) => Ok(Output { option, path, file }),
            Err(reason) => Err(OutputError::Unwritable { option, path, reason }),
        }
    }

    /// Writes all of a report.
    ///
    /// # Errors
    /// [`OutputError::Unwritable`].
    pub(super) fn write(&mut self, text: &str) -> Result<(), OutputError> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|reason| OutputError::Unwritable { option: self.option, path: self.path.clone(), reason })
    }

    /// The file itself, for what is written while the run goes on.
    pub(super) fn into_file(self) -> File {
        self.file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTION: &str = "--report";

    #[test]
    fn no_output_goes_over_an_input_or_another_output() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("history"), "kept").unwrap();
        std::os::unix::fs::symlink(path("history"), path("alias")).unwrap();
        let input = path("history");
        let mut outputs = Outputs::beside([input.as_path(), Path::new("/nonexistent/input")]);
        assert!(matches!(outputs.open(OPTION, &path("alias")), Err(OutputError::Input { .. })));
        assert_eq!(std::fs::read_to_string(path("history")).unwrap(), "kept");
        std::fs::write(path("report"), "of an earlier run").unwrap();
        outputs.open(OPTION, &path("report")).unwrap().write("new").unwrap();
        assert!(matches!(outputs.open(OPTION, &path("./report")), Err(OutputError::Twice { .. })));
        assert_eq!(std::fs::read_to_string(path("report")).unwrap(), "new");
        outputs.open(OPTION, Path::new("/dev/null")).unwrap();
        outputs.open(OPTION, Path::new("/dev/null")).unwrap();
    }

    #[test]
    fn what_cannot_be_written_names_its_option() {
        let mut outputs = Outputs::beside([]);
        let refused = outputs.open("--events", Path::new("/nonexistent/x")).err().unwrap();
        assert!(refused.to_string().starts_with("--events /nonexistent/x: expected a file"), "{refused}");
        let full = outputs.open(OPTION, Path::new("/dev/full")).unwrap().write("x").unwrap_err();
        assert!(full.to_string().contains("--report /dev/full"), "{full}");
    }
}
