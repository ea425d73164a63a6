//! Writing: whole lines, handed to the operating system before their requests are sent.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::wire::{Record, check};
use super::{Header, Invocation, Outcome, RecordError};

/// Writes a history. It may be shared between threads.
///
/// What has been handed to the operating system survives the end of this process, also by `kill -9`;
/// loss of power is not covered. After [`Recorder::invoked`] or [`Batch::flush`] has returned, the
/// requests it was about may be sent.
///
/// Once a write fails, the history may end in half a line. Then nothing is added, so that it stays
/// readable to there, and every later call fails.
///
/// Many tasks that record at once should [post](Recorder::post_invoked) their lines and then have them
/// [handed over](Recorder::hand_over): whoever comes first hands over for all, in one `write`.
#[derive(Debug)]
pub struct Recorder<W: Write = File> {
    output: Mutex<Output<W>>,
    next: AtomicU64,
    posted: Mutex<Posted>,
    /// How many bytes of those posted have been handed over.
    handed: AtomicU64,
    stalls: AtomicU64,
}

/// A write that takes longer than this holds requests up noticeably: see [`Recorder::stalls`].
pub const STALL: Duration = Duration::from_millis(50);

/// Lines that wait to be handed over.
#[derive(Debug, Default)]
struct Posted {
    lines: Vec<u8>,
    /// Bytes ever posted.
    total: u64,
}

/// How far a recorder's posted lines must have been handed over before a request may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a request must not be sent before its invocation has been handed over"]
pub struct Place(u64);

#[derive(Debug)]
struct Output<W> {
    writer: W,
    /// True while a write is under way, and so for ever after one that failed or panicked.
    broken: bool,
}

/// What a line usually fits into.
const LINE_USUAL: usize = 256;

/// What the lines of a few dozen operations usually fit into.
const BUFFER_USUAL: usize = 8 * 1024;

/// An operation that was recorded as invoked and can be completed once.
#[derive(Debug)]
#[must_use = "an operation that is never completed has an unknown outcome"]
pub struct Ticket {
    n: u64,
    invocation: Invocation,
}

impl Ticket {
    /// The operation's number.
    pub fn number(&self) -> u64 {
        self.n
    }
}

impl Recorder<File> {
    /// Starts a history in a new file; one that exists is never overwritten.
    ///
    /// # Errors
    /// [`RecordError::Io`] when the file exists or cannot be written.
    pub fn create(path: &Path, header: &Header) -> Result<Recorder<File>, RecordError> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        Recorder::new(file, header)
    }
}

impl<W: Write> Recorder<W> {
    /// Starts a history with its header. Each `write` to the writer should reach the operating system at once:
    /// a buffer between would lose invocations in a crash.
    ///
    /// # Errors
    /// [`RecordError::Io`] when the header cannot be written.
    pub fn new(writer: W, header: &Header) -> Result<Recorder<W>, RecordError> {
        let output = Mutex::new(Output { writer, broken: false });
        let recorder = Recorder {
            output,
            next: AtomicU64::new(1),
            posted: Mutex::default(),
            handed: AtomicU64::new(0),
            stalls: AtomicU64::new(0),
        };
        let mut line = Vec::new();
        append(&mut line, &Record::of_header(header))?;
        recorder.write(&line)?;
        Ok(recorder)
    }

    /// Records that an operation is about to be sent.
    ///
    /// # Errors
    /// [`RecordError::Io`] or [`RecordError::Broken`]; then the request should not be sent.
    pub fn invoked(&self, invocation: &Invocation) -> Result<Ticket, RecordError> {
        let mut batch = self.batch();
        let ticket = batch.invoked(invocation)?;
        batch.flush().map(|()| ticket)
    }

    /// Records how an operation ended.
    ///
    /// # Errors
    /// [`RecordError::Refused`] when a reader would refuse it, else as [`Recorder::invoked`].
    pub fn completed(&self, ticket: Ticket, outcome: &Outcome) -> Result<(), RecordError> {
        let mut batch = self.batch();
        batch.completed(ticket, outcome)?;
        batch.flush()
    }

    /// Collects lines that are then handed over in one `write`.
    pub fn batch(&self) -> Batch<'_, W> {
        Batch { recorder: self, lines: Vec::new() }
    }

    /// Adds that an operation is about to be sent. It must not be sent before the place has been [handed over](Recorder::hand_over).
    ///
    /// # Errors
    /// [`RecordError::Io`] when the line cannot be made.
    pub fn post_invoked(&self, invocation: Invocation) -> Result<(Ticket, Place), RecordError> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let mut line = Vec::with_capacity(LINE_USUAL);
        append(&mut line, &Record::of_number(n).with_invocation(&invocation))?;
        Ok((Ticket { n, invocation }, self.post(&line)))
    }

    /// Adds how an operation ended. It is handed over with whatever is handed over next, or by [`Recorder::hand_over_all`].
    ///
    /// # Errors
    /// [`RecordError::Refused`] when a reader would refuse it.
    pub fn post_completed(&self, ticket: Ticket, outcome: &Outcome) -> Result<(), RecordError> {
        check(&ticket.invocation, outcome)?;
        let mut line = Vec::with_capacity(LINE_USUAL);
        append(&mut line, &Record::of_number(ticket.n).with_outcome(outcome))?;
        let _ = self.post(&line);
        Ok(())
    }

    /// Sees to it that everything posted up to a place is with the operating system. What others have posted goes along.
    ///
    /// # Errors
    /// [`RecordError::Io`] or [`RecordError::Broken`]; then the request should not be sent.
    pub fn hand_over(&self, place: Place) -> Result<(), RecordError> {
        if self.handed.load(Ordering::Acquire) >= place.0 {
            return Ok(());
        }
        // A poisoned lock is one under which a write panicked: `broken` says so too.
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        if self.handed.load(Ordering::Acquire) >= place.0 {
            return Ok(());
        }
        let (lines, total) = {
            let mut posted = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
            (std::mem::replace(&mut posted.lines, Vec::with_capacity(BUFFER_USUAL)), posted.total)
        };
        self.write_to(&mut output, &lines)?;
        self.handed.store(total, Ordering::Release);
        Ok(())
    }

    /// Hands over whatever has been posted.
    ///
    /// # Errors
    /// As [`Recorder::hand_over`].
    pub fn hand_over_all(&self) -> Result<(), RecordError> {
        let total = self.posted.lock().unwrap_or_else(PoisonError::into_inner).total;
        self.hand_over(Place(total))
    }

    /// Writes so far that took longer than [`STALL`].
    pub fn stalls(&self) -> u64 {
        self.stalls.load(Ordering::Relaxed)
    }

    fn post(&self, line: &[u8]) -> Place {
        let mut posted = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
        posted.lines.extend_from_slice(line);
        posted.total += line.len() as u64;
        Place(posted.total)
    }

    /// Ends the history and gives its writer back.
    ///
    /// # Errors
    /// [`RecordError::Broken`] when some write failed, also one of a dropped batch.
    pub fn finish(self) -> Result<W, RecordError> {
        self.hand_over_all()?;
        let output = self.output.into_inner().unwrap_or_else(PoisonError::into_inner);
        if output.broken { Err(RecordError::Broken) } else { Ok(output.writer) }
    }

    fn write(&self, lines: &[u8]) -> Result<(), RecordError> {
        // A poisoned lock is one under which a write panicked: `broken` says so too.
        let mut output: MutexGuard<'_, Output<W>> = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        self.write_to(&mut output, lines)
    }

    fn write_to(&self, output: &mut Output<W>, lines: &[u8]) -> Result<(), RecordError> {
        if output.broken {
            return Err(RecordError::Broken);
        }
        let began = Instant::now();
        output.broken = true;
        output.writer.write_all(lines)?;
        output.writer.flush()?;
        output.broken = false;
        if began.elapsed() > STALL {
            self.stalls.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Lines that are handed to the operating system together. Dropped, it hands over what it still holds,
/// and a failure shows in the recorder's next call.
#[derive(Debug)]
pub struct Batch<'r, W: Write> {
    recorder: &'r Recorder<W>,
    lines: Vec<u8>,
}

impl<W: Write> Batch<'_, W> {
    /// Adds that an operation is about to be sent. It must not be sent before [`Batch::flush`].
    ///
    /// # Errors
    /// [`RecordError::Io`] when the line cannot be made.
    pub fn invoked(&mut self, invocation: &Invocation) -> Result<Ticket, RecordError> {
        let n = self.number();
        append(&mut self.lines, &Record::of_number(n).with_invocation(invocation))?;
        Ok(Ticket { n, invocation: invocation.clone() })
    }

    /// Adds how an operation ended.
    ///
    /// # Errors
    /// [`RecordError::Refused`] when a reader would refuse it.
    pub fn completed(&mut self, ticket: Ticket, outcome: &Outcome) -> Result<(), RecordError> {
        check(&ticket.invocation, outcome)?;
        append(&mut self.lines, &Record::of_number(ticket.n).with_outcome(outcome))?;
        Ok(())
    }

    /// Adds an operation of which all is known, as from another program's log, and gives its number.
    ///
    /// # Errors
    /// [`RecordError::Refused`] when a reader would refuse it.
    pub fn whole(&mut self, invocation: &Invocation, outcome: &Outcome) -> Result<u64, RecordError> {
        check(invocation, outcome)?;
        let n = self.number();
        append(&mut self.lines, &Record::of_number(n).with_invocation(invocation).with_outcome(outcome))?;
        Ok(n)
    }

    /// Hands everything over in one `write`; the batch is empty afterwards and can be used again.
    ///
    /// # Errors
    /// [`RecordError::Io`] or [`RecordError::Broken`]; then no request of the batch should be sent.
    pub fn flush(&mut self) -> Result<(), RecordError> {
        let written = if self.lines.is_empty() { Ok(()) } else { self.recorder.write(&self.lines) };
        self.lines.clear();
        written
    }

    fn number(&self) -> u64 {
        self.recorder.next.fetch_add(1, Ordering::Relaxed)
    }
}

impl<W: Write> Drop for Batch<'_, W> {
    fn drop(&mut self) {
        // The recorder remembers a failure.
        let _ = self.flush();
    }
}

/// Adds one line.
fn append(lines: &mut Vec<u8>, record: &Record<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *lines, record)?;
    lines.push(b'\n');
    Ok(())
}
