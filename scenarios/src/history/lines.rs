//! Lines of a file, found in large blocks of it.

use std::io::{self, Read};

use super::{Problem, ReadError};

/// The longest line read. The header is the longest line that a history needs; this is enough for more than
/// 300,000 keys in it.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes read at a time.
const BLOCK: usize = 64 * 1024;

/// Splits what is read into lines, in the memory of a block or of the longest line.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    /// What has been read of the input is from `start` to `end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    number: u64,
}

/// A line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'l> {
    /// Its number, from 1.
    pub(super) number: u64,
    pub(super) bytes: &'l [u8],
    /// Whether its end was there, too.
    pub(super) whole: bool,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(input: R) -> Lines<R> {
        Lines { input, buffer: Vec::new(), start: 0, end: 0, number: 0 }
    }

    /// What has been read of the next line, and of those behind it.
    #[inline]
    pub(super) fn rest(&self) -> &[u8] {
        // A line that is too long must not be taken for one.
        &self.buffer[self.start..self.end.min(self.start + LINE_BYTES_MAX)]
    }

    /// Goes on behind the next line, which is so long, with its end.
    #[inline]
    pub(super) fn pass(&mut self, length: usize) {
        self.start += length;
        self.number += 1;
    }

    /// The next line; none at the end of the input.
    pub(super) fn next(&mut self) -> Result<Option<Line<'_>>, ReadError> {
        self.number += 1;
        let number = self.number;
        let mut searched = self.start;
        loop {
            let found = memchr::memchr(b'\n', &self.buffer[searched..self.end]).map(|at| searched + at);
            let length = found.map_or(self.end, |at| at + 1) - self.start;
            if length > LINE_BYTES_MAX || (found.is_none() && length == LINE_BYTES_MAX) {
                return Err(ReadError::Line {
                    line: number,
                    problem: Problem::TooLong { limit: LINE_BYTES_MAX as u64 },
                });
            }
            if let Some(at) = found {
                let start = std::mem::replace(&mut self.start, at + 1);
                return Ok(Some(Line { number, bytes: &self.buffer[start..at], whole: true }));
            }
            searched = self.end - self.start;
            if self.read_on().map_err(|source| ReadError::Io { line: number, source })? == 0 {
                let start = std::mem::replace(&mut self.start, self.end);
                let bytes = &self.buffer[start..self.end];
                return Ok((!bytes.is_empty()).then_some(Line { number, bytes, whole: false }));
            }
        }
    }

    /// Moves what is left to the front and reads more behind it. Gives how much; 0 at the end of the input.
    fn read_on(&mut self) -> io::Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        // A line that does not fit makes the buffer grow. Once it is gone, so is what it needed.
        let wanted = if self.end < BLOCK / 2 { BLOCK } else { (2 * self.end).min(LINE_BYTES_MAX + 1) };
        self.buffer.resize(wanted, 0);
        self.buffer.shrink_to(wanted);
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(bytes) => {
                    self.end += bytes;
                    return Ok(bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives a few bytes at a time, and is interrupted now and then.
    struct Slow<'b> {
        bytes: &'b [u8],
        most: usize,
        interrupts: bool,
    }

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.interrupts = !self.interrupts;
            if self.interrupts {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let most = buffer.len().min(self.most);
            self.bytes.read(&mut buffer[..most])
        }
    }

    /// All lines, with their numbers, and whether each was whole.
    fn read(bytes: &[u8], most: usize) -> Vec<(u64, Vec<u8>, bool)> {
        let mut lines = Lines::new(Slow { bytes, most, interrupts: false });
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            found.push((line.number, line.bytes.to_vec(), line.whole));
        }
        found
    }

    #[track_caller]
    fn check(bytes: &[u8], most: usize) {
        let mut expected: Vec<(u64, Vec<u8>, bool)> =
            (1..).zip(bytes.split(|byte| *byte == b'\n')).map(|(number, line)| (number, line.to_vec(), true)).collect();
        // What stands behind the last end of a line is a line only if there is something.
        expected.last_mut().expect("there is one at least").2 = false;
        expected.retain(|(_, line, whole)| *whole || !line.is_empty());
        assert!(read(bytes, most) == expected, "{} bytes, {most} at a time", bytes.len());
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_they_are_read(bytes in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200), most in 1..50_usize) {
            check(&bytes, most);
        }
    }

    #[test]
    fn lines_longer_than_a_block_and_across_its_end_are_read_whole() {
        let long = |length: usize| [vec![b'x'; length], vec![b'\n']].concat();
        for most in [10_000, usize::MAX] {
            check(
                &[long(5), long(3 * BLOCK), long(7), long(BLOCK - 1), long(BLOCK), long(9), vec![b'y'; 5]].concat(),
                most,
            );
        }
    }

    #[test]
    fn what_a_long_line_needed_is_given_back() {
        let bytes = [vec![b'x'; 8 * BLOCK], vec![b'\n'], b"short\n".repeat(BLOCK)].concat();
        let mut lines = Lines::new(bytes.as_slice());
        while lines.next().unwrap().is_some() {}
        assert!(lines.buffer.capacity() < 2 * BLOCK, "{} bytes are kept", lines.buffer.capacity());
    }

    #[test]
    fn a_line_of_the_greatest_length_is_read_and_a_longer_one_is_not() {
        let fits = [vec![b'x'; LINE_BYTES_MAX - 1], vec![b'\n']].concat();
        assert!(Lines::new(fits.as_slice()).next().is_ok_and(|line| line.is_some_and(|line| line.whole)));
        let longer = [vec![b'x'; LINE_BYTES_MAX], vec![b'\n']].concat();
        assert!(Lines::new(longer.as_slice()).next().is_err());
        assert!(Lines::new(&longer[..LINE_BYTES_MAX]).next().is_err());
    }
}
