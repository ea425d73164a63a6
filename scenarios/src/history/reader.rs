//! Reading: line by line, in memory bounded by the operations in flight.

use std::collections::HashMap;
use std::io::{BufRead, Read as _};
use std::sync::Arc;

use super::seen::Seen;
use super::wire::{Record, parse};
use super::{Event, Header, Invocation, Operation, Problem, ReadError};

/// The longest line read. The header is the longest line that a history needs; this is enough for more than
/// 300,000 keys in it.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// So much memory is kept from one line to the next.
const LINE_BYTES_KEPT: usize = 4 * 1024;

/// Reads a history; an iterator over what its lines say, which ends after the first error.
///
/// ```
/// use scenarios::history::Reader;
///
/// let mut reader = Reader::new("{\"v\":1,\"header\":true,\"limt\":10}\n".as_bytes());
/// let error = reader.next().and_then(Result::err).map(|error| error.to_string());
/// assert_eq!(error.as_deref(), Some("line 1: unknown field `limt`; did you mean `limit`?"));
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    /// What has been read of the line; kept, since each line would have to ask for memory again.
    bytes: Vec<u8>,
    line: u64,
    recorders: Vec<Recorded>,
    truncated: Option<Truncated>,
    ended: bool,
}

/// A last line that was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncated {
    /// Its number, from 1.
    pub line: u64,
    /// What there is of it.
    pub bytes: usize,
}

/// What has been read of one recorder.
#[derive(Debug)]
struct Recorded {
    name: Arc<str>,
    /// Without its keys.
    header: Header,
    seen: Seen,
    in_flight: HashMap<u64, Invocation>,
}

impl<R: BufRead> Reader<R> {
    /// Reads from `input`; nothing is read before the first event is asked for.
    pub fn new(input: R) -> Reader<R> {
        Reader { input, bytes: Vec::new(), line: 0, recorders: Vec::new(), truncated: None, ended: false }
    }

    /// The last line, if it was cut off; known once the iterator has ended.
    pub fn truncated(&self) -> Option<Truncated> {
        self.truncated
    }

    /// The operations that were invoked and not completed: their outcomes are unknown if the iterator has
    /// ended. In the order of recorders, then of numbers.
    pub fn into_unknown(self) -> Vec<Operation> {
        let mut unknown = Vec::new();
        for recorder in self.recorders {
            let mut left: Vec<(u64, Invocation)> = recorder.in_flight.into_iter().collect();
            left.sort_unstable_by_key(|(n, _)| *n);
            let name = recorder.name;
            unknown.extend(left.into_iter().map(|(n, invocation)| Operation { n, recorder: name.clone(), invocation }));
        }
        unknown
    }

    fn read(&mut self) -> Result<Option<Event>, ReadError> {
        self.line += 1;
        let line = self.line;
        let bytes = &mut self.bytes;
        // The header may have been very long; no other line is.
        bytes.clear();
        bytes.shrink_to(LINE_BYTES_KEPT);
        let mut limited = self.input.by_ref().take(LINE_BYTES_MAX);
        limited.read_until(b'\n', bytes).map_err(|source| ReadError::Io { line, source })?;
        let whole = bytes.ends_with(b"\n");
        let at = |problem| ReadError::Line { line, problem };
        if !whole && bytes.len() as u64 == LINE_BYTES_MAX {
            return Err(at(Problem::TooLong { limit: LINE_BYTES_MAX }));
        }
        if bytes.is_empty() {
            return if self.recorders.is_empty() { Err(at(no_header("nothing"))) } else { Ok(None) };
        }
        match parse(bytes) {
            // No beginning of an object is an object, so what parses is not cut off.
            Err(Problem::NotJson { .. }) if !whole && !self.recorders.is_empty() => {
                self.truncated = Some(Truncated { line, bytes: bytes.len() });
                Ok(None)
            }
            parsed => parsed.and_then(|record| self.event(record)).map(Some).map_err(at),
        }
    }

    fn event(&mut self, mut record: Record<'static>) -> Result<Event, Problem> {
        if record.header.is_some() {
            return self.introduce(record.into_header()?);
        }
        let recorder = self.recorder(&mut record)?;
        let n = record.n.take().ok_or(Problem::Missing { field: "n", context: "in every operation" })?;
        match (recorder.in_flight.remove(&n), record.end_ns) {
            (Some(invocation), Some(_)) => recorder.complete(n, invocation, record),
            (Some(_), None) => Err(recorder.duplicate(n)),
            (None, end) => recorder.invoke(n, end, record),
        }
    }

    fn introduce(&mut self, header: Header) -> Result<Event, Problem> {
        if self.recorders.iter().any(|known| *known.name == *header.recorder) {
            return Err(Problem::SecondHeader { recorder: header.recorder });
        }
        let bare = Header { keys: [].into(), ..header.clone() };
        if let Some(first) = self.recorders.first() {
            // All recorders saw the same limits; names and clocks are their own.
            let (name, unix_ms, skew_ms) = (first.header.recorder.clone(), first.header.unix_ms, first.header.skew_ms);
            let same = Header { recorder: name, unix_ms, skew_ms, ..bare.clone() };
            Record::of_header(&same).agree(&Record::of_header(&first.header))?;
        }
        let name = header.recorder.as_str().into();
        self.recorders.push(Recorded { name, header: bare, seen: Seen::default(), in_flight: HashMap::new() });
        Ok(Event::Header(header))
    }

    /// The recorder that a line names, or that of the header above.
    fn recorder(&mut self, record: &mut Record<'_>) -> Result<&mut Recorded, Problem> {
        if self.recorders.is_empty() {
            return Err(no_header("an operation"));
        }
        match record.recorder.take() {
            None => self.recorders.last_mut().ok_or_else(|| no_header("an operation")),
            Some(name) => {
                let named = self.recorders.iter_mut().find(|known| *known.name == *name);
                named.ok_or_else(|| Problem::UnknownRecorder { recorder: name.into_owned() })
            }
        }
    }
}

impl Recorded {
    fn duplicate(&self, n: u64) -> Problem {
        Problem::Duplicate { n, recorder: self.header.recorder.clone() }
    }

    fn complete(&self, n: u64, invocation: Invocation, mut record: Record<'_>) -> Result<Event, Problem> {
        if record.tells_invocation() {
            record.agree(&Record::default().with_invocation(&invocation))?;
        }
        let outcome = record.take_outcome(&invocation)?;
        record.done("in a completion, unless the invocation says the same")?;
        Ok(Event::Completed(Operation { n, recorder: self.name.clone(), invocation }, outcome))
    }

    /// Reads a line about an operation that is not in flight.
    fn invoke(&mut self, n: u64, end: Option<u64>, mut record: Record<'_>) -> Result<Event, Problem> {
        if !self.seen.insert(n) {
            return Err(self.duplicate(n));
        }
        if end.is_some() && record.start_ns.is_none() {
            return Err(Problem::NotInvoked { n, recorder: self.header.recorder.clone() });
        }
        let invocation = record.take_invocation()?;
        let recorder = self.name.clone();
        if end.is_some() {
            let outcome = record.take_outcome(&invocation)?;
            record.done("in this operation")?;
            return Ok(Event::Completed(Operation { n, recorder, invocation }, outcome));
        }
        record.done("in this invocation")?;
        self.in_flight.insert(n, invocation.clone());
        Ok(Event::Invoked(Operation { n, recorder, invocation }))
    }
}

fn no_header(found: &'static str) -> Problem {
    Problem::NoHeader { found }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Event, ReadError>;

    fn next(&mut self) -> Option<Result<Event, ReadError>> {
        if self.ended {
            return None;
        }
        let read = self.read().transpose();
        self.ended = !matches!(read, Some(Ok(_)));
        read
    }
}
