//! Files of histories, opened and read in order of time.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use scenarios::history::{Event, Glance, Header, Name, Names, Reader, Sighted};

use super::nginx;
use super::noted::{Noted, NotedOperation};
use super::{AuditError, FileFacts, Format, RecorderFacts, TruncatedTail};

/// How a Zstandard frame begins (RFC 8878, section 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Bytes read at a time.
const BUFFER: usize = 1 << 15;

/// The lines of a file.
pub(super) struct Lines {
    path: PathBuf,
    events: Events,
    /// The number of the line that was read last.
    line: u64,
}

enum Events {
    History(Box<Reader<Box<dyn BufRead>>>),
    Nginx(Box<nginx::Lines<Box<dyn BufRead>>>),
}

impl Lines {
    /// Opens a file.
    pub(super) fn open(path: &Path, format: &Format) -> Result<Lines, AuditError> {
        let input = open(path)?;
        let events = match format {
            Format::History => Events::History(Box::new(Reader::new(input))),
            Format::Nginx(options) => {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                Events::Nginx(Box::new(nginx::Lines::new(input, &name, options.clone())))
            }
        };
        Ok(Lines { path: path.to_owned(), events, line: 0 })
    }

    /// The number of the line that was read last, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// What the next line says, in full.
    pub(super) fn event(&mut self) -> Result<Option<Event>, AuditError> {
        let Lines { path, events, line } = self;
        match events {
            Events::History(reader) => {
                let event = reader.next().transpose();
                let event = event.map_err(|error| AuditError::History { path: path.clone(), error })?;
                *line += u64::from(event.is_some());
                Ok(event)
            }
            Events::Nginx(lines) => {
                let event = lines.next().transpose();
                let event = event.map_err(|error| AuditError::Nginx { path: path.clone(), error })?;
                *line = lines.read();
                Ok(event)
            }
        }
    }

    /// The next event of an operation that is wanted, in full, with the place of its recorder among those of the file; all others are
    /// passed over. `wanted` is asked with that place and the operation's number.
    pub(super) fn find(&mut self, wanted: impl Fn(usize, u64) -> bool) -> Result<Option<(usize, Event)>, AuditError> {
        loop {
            let Lines { path, events: Events::History(reader), line } = self else {
                // A log has one recorder.
                let event = self.event()?;
                match &event {
                    Some(Event::Invoked(operation) | Event::Completed(operation, _)) if !wanted(0, operation.n) => {}
                    Some(Event::Header(_)) => {}
                    _ => return Ok(event.map(|event| (0, event))),
                }
                continue;
            };
            let wanted = |glance: Glance<'_>| match &glance {
                Glance::Invoked(sighted) | Glance::Completed(sighted, _) if wanted(sighted.recorder, sighted.n) => {
                    Some((sighted.recorder, glance.into_event()))
                }
                _ => None,
            };
            let found = reader.glance(wanted).map_err(|error| AuditError::History { path: path.clone(), error })?;
            *line += u64::from(found.is_some());
            match found {
                None => return Ok(None),
                Some(None) => {}
                Some(found) => return Ok(found),
            }
        }
    }
}

/// A file that is being read, perhaps together with others.
pub(super) struct Source {
    /// Its place among the files.
    pub(super) file: usize,
    lines: Lines,
    /// What comes next, once somebody has had a look at it.
    next: Option<Noted>,
    /// What the names of its reader are among those of all files.
    translated: Vec<Option<Name>>,
    facts: FileFacts,
}

impl Source {
    /// Opens a file and reads its first event. Names are told as `names` numbers them, here and later.
    pub(super) fn open(file: usize, path: &Path, format: &Format, names: &mut Names) -> Result<Source, AuditError> {
        let lines = Lines::open(path, format)?;
        let facts = FileFacts {
            path: path.to_string_lossy().into_owned(),
            recorders: Vec::new(),
            lines: 0,
            operations: 0,
            unfinished: 0,
            truncated: None,
            skipped: 0,
        };
        let mut source = Source { file, lines, next: None, translated: Vec::new(), facts };
        source.look_ahead(names)?;
        Ok(source)
    }

    /// Reads what comes next, unless that is known.
    pub(super) fn look_ahead(&mut self, names: &mut Names) -> Result<(), AuditError> {
        if self.next.is_none() {
            self.next = self.read(names, |noted, _| noted)?;
        }
        Ok(())
    }

    /// What comes next, after a look ahead.
    pub(super) fn peek(&self) -> Option<&Noted> {
        self.next.as_ref()
    }

    /// Gives what `take` makes of what comes next; none at the end.
    #[inline]
    pub(super) fn next<T>(
        &mut self,
        names: &mut Names,
        mut take: impl FnMut(Noted, &Names) -> T,
    ) -> Result<Option<T>, AuditError> {
        match self.next.take() {
            Some(noted) => Ok(Some(take(noted, names))),
            None => self.read(names, take),
        }
    }

    /// The number of the line that was read last.
    pub(super) fn line(&self) -> u64 {
        self.lines.line
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.lines.path
    }

    /// What was read, once all is read.
    pub(super) fn into_facts(self) -> FileFacts {
        let mut facts = self.facts;
        facts.lines = self.lines.line;
        match self.lines.events {
            Events::History(reader) => {
                facts.truncated =
                    reader.truncated().map(|cut| TruncatedTail { line: cut.line, bytes: cut.bytes as u64 });
                facts.unfinished = reader.into_unknown().len() as u64;
                facts.operations += facts.unfinished;
            }
            Events::Nginx(lines) => {
                facts.skipped = lines.skipped();
                facts.truncated = lines.truncated();
            }
        }
        facts
    }

    /// Reads on; `take` is given what is read as it is, since millions of them come.
    #[inline]
    fn read<T>(
        &mut self,
        names: &mut Names,
        mut take: impl FnMut(Noted, &Names) -> T,
    ) -> Result<Option<T>, AuditError> {
        let Source { lines, translated, facts, .. } = self;
        let Lines { path, events: Events::History(reader), line } = lines else {
            let Some(noted) = lines.event()?.map(|event| Noted::of_event(event, names)) else { return Ok(None) };
            match &noted {
                Noted::Header(header) => facts.recorders.push(introduced(header)),
                Noted::Operation(operation) => facts.operations += u64::from(operation.end.is_some()),
            }
            return Ok(Some(take(noted, names)));
        };
        let see = |glance: Glance<'_>| {
            let (sighted, end) = match glance {
                Glance::Header(header) => {
                    facts.recorders.push(introduced(&header));
                    return take(Noted::Header(header), names);
                }
                Glance::Invoked(sighted) => (sighted, None),
                Glance::Completed(sighted, outcome) => (sighted, Some(outcome.into())),
            };
            // Another is counted when it is completed, or at the end.
            facts.operations += u64::from(end.is_some());
            let Sighted { n, recorder, invocation, names: own, .. } = sighted;
            let name = |name: &Name| translate(*name, own, translated, names);
            let text = |name: &Name| own.text(*name).into();
            let operation = NotedOperation::new((n, recorder), invocation, end, name, text);
            take(Noted::Operation(operation), names)
        };
        let read = reader.glance(see).map_err(|error| AuditError::History { path: path.clone(), error })?;
        *line += u64::from(read.is_some());
        Ok(read)
    }
}

fn introduced(header: &Header) -> RecorderFacts {
    let Header { recorder, unix_ms, skew_ms, .. } = header;
    RecorderFacts { name: recorder.clone(), unix_ms: *unix_ms, skew_ms: *skew_ms }
}

/// What a name of a reader is among those of all files.
#[inline]
fn translate(name: Name, own: &Names, translated: &mut Vec<Option<Name>>, names: &mut Names) -> Name {
    if let Some(Some(known)) = translated.get(name.index()) {
        return *known;
    }
    let number = names.number(own.text(name));
    if translated.len() <= name.index() {
        translated.resize(name.index() + 1, None);
    }
    translated[name.index()] = Some(number);
    number
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
