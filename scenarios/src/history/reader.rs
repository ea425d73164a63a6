//! Reading: line by line, in memory bounded by the operations in flight and the names of keys and tokens.

use std::io::BufRead;

use super::known::{Known, no_header};
use super::lines::Lines;
use super::{Event, Glance, Operation, Problem, ReadError};

/// Reads a history; an iterator over what its lines say, which ends after the first error.
///
/// Who reads much and fast takes [glances](Reader::glance) instead.
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
    lines: Lines<R>,
    known: Known,
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

impl<R: BufRead> Reader<R> {
    /// Reads from `input`; nothing is read before the first event is asked for.
    pub fn new(input: R) -> Reader<R> {
        Reader { lines: Lines::new(input), known: Known::default(), truncated: None, ended: false }
    }

    /// Reads the next line and gives what `see` makes of it; none at the end and after the first error.
    ///
    /// # Errors
    /// [`ReadError`] when the line is wrong or cannot be read.
    pub fn glance<T>(&mut self, see: impl FnMut(Glance<'_>) -> T) -> Result<Option<T>, ReadError> {
        if self.ended {
            return Ok(None);
        }
        let read = self.read(see);
        self.ended = !matches!(read, Ok(Some(_)));
        read
    }

    #[inline]
    fn read<T>(&mut self, mut see: impl FnMut(Glance<'_>) -> T) -> Result<Option<T>, ReadError> {
        if let Some((length, seen)) = self.known.tell_known(self.lines.rest(), &mut see) {
            self.lines.pass(length);
            return Ok(Some(seen));
        }
        let Some(line) = self.lines.next()? else {
            let problem = no_header("nothing");
            return if self.known.is_empty() { Err(ReadError::Line { line: 1, problem }) } else { Ok(None) };
        };
        match self.known.tell(line.bytes, see) {
            // No beginning of an object is an object, so what parses is not cut off.
            Err(Problem::NotJson { .. }) if !line.whole && !self.known.is_empty() => {
                self.truncated = Some(Truncated { line: line.number, bytes: line.bytes.len() });
                Ok(None)
            }
            told => told.map(Some).map_err(|problem| ReadError::Line { line: line.number, problem }),
        }
    }

    /// The last line, if it was cut off; known once the iterator has ended.
    pub fn truncated(&self) -> Option<Truncated> {
        self.truncated
    }

    /// The operations that were invoked and not completed: their outcomes are unknown if the iterator has
    /// ended. In the order of recorders, then of numbers.
    pub fn into_unknown(self) -> Vec<Operation> {
        self.known.into_unknown()
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Event, ReadError>;

    fn next(&mut self) -> Option<Result<Event, ReadError>> {
        self.glance(|glance| glance.into_event()).transpose()
    }
}
