//! The files that histories are written to: where the user wants them, or temporary ones that are kept if something fails.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use rand::RngExt as _;
use scenarios::history::{Header, RecordError, Recorder};
use scenarios::scenario::Scenario;

/// Where histories go.
pub struct Histories {
    base: PathBuf,
    /// One file holds all there is, so it needs no scenario in its name.
    single: bool,
    temporary: bool,
}

impl Histories {
    /// The user's choice: this file if a single scenario was named, else one for each with the scenario before the extension.
    pub fn chosen(path: &Path, single: bool) -> Histories {
        Histories { base: path.to_owned(), single, temporary: false }
    }

    /// Nobody chose: new names in a folder for temporary files.
    pub fn temporary(folder: &Path) -> Histories {
        let name = format!("hookproof-{}.jsonl", hex::encode(rand::rng().random::<[u8; 8]>()));
        Histories { base: folder.join(name), single: false, temporary: true }
    }

    /// Where a scenario's history goes.
    pub fn path(&self, scenario: Scenario) -> PathBuf {
        if self.single {
            return self.base.clone();
        }
        let mut name = self.base.file_stem().unwrap_or_default().to_os_string();
        name.push(format!(".{scenario}"));
        if let Some(extension) = self.base.extension() {
            name.push(".");
            name.push(extension);
        }
        self.base.with_file_name(name)
    }

    /// Creates the file of a scenario; one that exists is never overwritten.
    ///
    /// # Errors
    /// The operating system's, with the path.
    pub fn create(&self, scenario: Scenario) -> Result<HistoryFile, (PathBuf, std::io::Error)> {
        let path = self.path(scenario);
        match OpenOptions::new().append(true).create_new(true).open(&path) {
            Ok(file) => Ok(HistoryFile { path, file, temporary: self.temporary }),
            Err(error) => Err((path, error)),
        }
    }
}

/// A new file for the history of one scenario.
pub struct HistoryFile {
    path: PathBuf,
    file: File,
    temporary: bool,
}

impl HistoryFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins the history.
    ///
    /// # Errors
    /// [`RecordError`] if the header cannot be written.
    pub fn recorder(&self, header: &Header) -> Result<Recorder, RecordError> {
        Recorder::new(self.file.try_clone()?, header)
    }

    /// Leaves the file where it is, if the user asked for it or it is worth keeping, and says where that is.
    pub fn keep_if(self, worth_keeping: bool) -> Option<String> {
        if self.temporary && !worth_keeping {
            self.remove();
            return None;
        }
        Some(self.path.display().to_string())
    }

    /// Removes the file: there is nothing in it that anybody wants.
    pub fn remove(self) {
        // One that cannot be removed holds no secret and harms nobody.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, single: bool, expected: &str) {
        let path = Histories::chosen(Path::new(path), single).path(Scenario::WindowEdge);
        assert_eq!(path, Path::new(expected));
    }

    #[test]
    fn one_scenario_gets_the_name_given_and_several_get_their_own_before_the_extension() {
        check("out/load.jsonl", true, "out/load.jsonl");
        check("out/load.jsonl", false, "out/load.window-edge.jsonl");
        check("history", false, "history.window-edge");
        check("a.b/history", false, "a.b/history.window-edge");
    }
}
