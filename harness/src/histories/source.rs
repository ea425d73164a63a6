//! Files of histories, opened and read in order of time.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use scenarios::history::{Event, Header, ReadError, Reader};

use super::nginx;
use super::{AuditError, FileFacts, Format, RecorderFacts, TruncatedTail};

/// How a Zstandard frame begins (RFC 8878, section 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Bytes read at a time.
const BUFFER: usize = 1 << 18;

/// A file that is being read.
pub(super) struct Source {
    /// Its place among the files.
    pub(super) file: usize,
    path: PathBuf,
    events: Events,
    line: u64,
    /// What comes next, and its instant on its recorder's clock.
    next: Option<Event>,
    facts: FileFacts,
}

enum Events {
    History(Box<Reader<Box<dyn BufRead>>>),
    Nginx(Box<nginx::Lines<Box<dyn BufRead>>>),
}

impl Source {
    /// Opens a file and reads its first event.
    pub(super) fn open(file: usize, path: &Path, format: &Format) -> Result<Source, AuditError> {
        let input = open(path)?;
        let events = match format {
            Format::History => Events::History(Box::new(Reader::new(input))),
            Format::Nginx(options) => {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                Events::Nginx(Box::new(nginx::Lines::new(input, &name, options.clone())))
            }
        };
        let facts = FileFacts {
            path: path.to_string_lossy().into_owned(),
            recorders: Vec::new(),
            lines: 0,
            operations: 0,
            unfinished: 0,
            truncated: None,
            skipped: 0,
        };
        let mut source = Source { file, path: path.to_owned(), events, line: 0, next: None, facts };
        source.step()?;
        Ok(source)
    }

    /// What comes next.
    pub(super) fn peek(&self) -> Option<&Event> {
        self.next.as_ref()
    }

    /// Takes what comes next, with the number of its line.
    pub(super) fn take(&mut self) -> Result<Option<(Event, u64)>, AuditError> {
        let Some(event) = self.next.take() else { return Ok(None) };
        let line = self.line;
        self.note(&event);
        self.step()?;
        Ok(Some((event, line)))
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What was read, once all is read.
    pub(super) fn into_facts(self) -> FileFacts {
        let mut facts = self.facts;
        match self.events {
            Events::History(reader) => {
                facts.lines = self.line;
                facts.truncated =
                    reader.truncated().map(|cut| TruncatedTail { line: cut.line, bytes: cut.bytes as u64 });
                facts.unfinished = reader.into_unknown().len() as u64;
                facts.operations += facts.unfinished;
            }
            Events::Nginx(lines) => {
                facts.lines = lines.read();
                facts.skipped = lines.skipped();
                facts.truncated = lines.truncated();
            }
        }
        facts
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Header(Header { recorder, unix_ms, skew_ms, .. }) => self.facts.recorders.push(RecorderFacts {
                name: recorder.clone(),
                unix_ms: *unix_ms,
                skew_ms: *skew_ms,
            }),
            Event::Completed(..) => self.facts.operations += 1,
            // Counted when it is completed, or at the end.
            Event::Invoked(_) => {}
        }
    }

    fn step(&mut self) -> Result<(), AuditError> {
        let path = &self.path;
        self.next = match &mut self.events {
            Events::History(reader) => {
                let next = reader.next().transpose();
                next.map_err(|error: ReadError| AuditError::History { path: path.clone(), error })?
            }
            Events::Nginx(lines) => {
                let next = lines.next().transpose();
                next.map_err(|error| AuditError::Nginx { path: path.clone(), error })?
            }
        };
        match &self.events {
            Events::History(_) if self.next.is_some() => self.line += 1,
            Events::History(_) => {}
            Events::Nginx(lines) => self.line = lines.read(),
        }
        Ok(())
    }
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, AuditError> {
    let unreadable = |reason| AuditError::Unreadable { path: path.to_owned(), reason };
    let mut file = File::open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(AuditError::NoFile { path: path.to_owned() });
    }
    let mut magic = Vec::with_capacity(ZSTD_MAGIC.len());
    file.by_ref().take(ZSTD_MAGIC.len() as u64).read_to_end(&mut magic).map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    if magic == ZSTD_MAGIC {
        let decoder = zstd::stream::read::Decoder::new(file).map_err(unreadable)?;
        Ok(Box::new(BufReader::with_capacity(BUFFER, decoder)))
    } else {
        Ok(Box::new(BufReader::with_capacity(BUFFER, file)))
    }
}
