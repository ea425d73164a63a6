//! Layouts of lines, learnt from the lines themselves: whoever writes histories writes the same fields in the same order, over and over.
//!
//! What stands between two values, names and punctuation, is compared as a whole; only values are read. So a line of a known layout needs
//! neither a look for its end nor one at the names of its fields. Nothing is decided here: a layout is learnt from a line that
//! [`quick::scan`](super::quick::scan) has read, and finds in another line what that would find, or nothing.

use std::ops::Range;

use super::quick::{Field, Found, Place, number, text_end};

/// The most bytes that are compared at once.
const PART: usize = 32;

/// Layouts have so many parts together, at most. Those of one recorder have some twenty.
const PARTS_MAX: usize = 256;

/// So many lines of unknown layouts come before all are forgotten that were learnt, once there is no room for more.
const UNKNOWN_MAX: u32 = 4_096;

/// Known layouts, as a tree of parts: those that begin alike share their first parts.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    parts: Vec<Part>,
    /// Lines of unknown layouts that found no room.
    unknown: u32,
}

/// A stretch of a line that is the same in every line of its layout, and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    /// With zeros behind its end.
    text: [u8; PART],
    /// All bits of its own bytes, none of those behind.
    mask: [u8; PART],
    length: usize,
    /// A text in it that is a value, from where to where it goes.
    value: Option<(Field, usize, usize)>,
    then: Then,
    /// The first part that can follow, and the next that can stand in its place.
    child: Option<usize>,
    sibling: Option<usize>,
}

/// What follows a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Another part.
    Part,
    /// The digits of this number.
    Number(Field),
    /// This text, up to its quotation mark.
    Text(Field),
    /// The next line. These numbers are the same in every line of the layout, and it has these fields.
    End { version: u64, status: u64, fields: u32 },
}

impl Part {
    fn new(text: &[u8], value: Option<(Field, usize, usize)>, then: Then) -> Part {
        let (mut own, mut mask) = ([0; PART], [0; PART]);
        own[..text.len()].copy_from_slice(text);
        mask[..text.len()].fill(0xff);
        Part { text: own, mask, length: text.len(), value, then, child: None, sibling: None }
    }

    #[inline(always)]
    fn is_at(&self, here: &[u8; PART]) -> bool {
        // Byte by byte, which becomes a few instructions for all of them.
        (0..PART).fold(0, |all, at| all | (here[at] ^ self.text[at]) & self.mask[at]) == 0
    }

    /// Whether it is the same, wherever it stands.
    fn is_like(&self, other: &Part) -> bool {
        let same =
            |one: &Part, other: &Part| (one.text, one.length, one.value) == (other.text, other.length, other.value);
        same(self, other) && self.then == other.then
    }
}

impl Layouts {
    /// Reads the line with which `bytes` begin, and says how long it is, with its end; none if it has no known layout, is odd in any
    /// way, or stands too close to the end of what there is.
    #[inline]
    pub(super) fn read(&self, bytes: &[u8], found: &mut Found) -> Option<usize> {
        let mut at = 0;
        let mut part = self.parts.first()?;
        loop {
            let here = bytes.get(at..)?.first_chunk()?;
            while !part.is_at(here) {
                part = &self.parts[part.sibling?];
            }
            if let Some((field, start, end)) = part.value {
                found.note_text(field, at + start, at + end);
            }
            at += part.length;
            match part.then {
                Then::Part => {}
                Then::Number(field) => {
                    let (value, end) = number(bytes, at)?;
                    found.note_number(field, value);
                    at = end;
                }
                Then::Text(field) => {
                    let end = text_end(bytes, at)?;
                    found.note_text(field, at, end);
                    at = end;
                }
                Then::End { version, status, fields } => {
                    found.note_number(Field::V, version);
                    found.note_number(Field::STATUS, status);
                    found.has_exactly(fields);
                    return Some(at);
                }
            }
            part = &self.parts[part.child?];
        }
    }

    /// Learns the layout of a line in which a look at every field has found this.
    #[cold]
    pub(super) fn learn(&mut self, line: &[u8], found: &Found) {
        let parts = parts_of(line, found);
        if self.parts.len() + parts.len() > PARTS_MAX {
            self.unknown += 1;
            if self.unknown < UNKNOWN_MAX {
                return;
            }
            (self.unknown, self.parts) = (0, Vec::new());
        }
        let mut above = None;
        for part in parts {
            above = Some(self.place_below(above, part));
        }
    }

    /// The place of a part among those that can follow another, or the beginning of a line.
    fn place_below(&mut self, above: Option<usize>, part: Part) -> usize {
        let first = match above {
            Some(above) => self.parts[above].child,
            None => (!self.parts.is_empty()).then_some(0),
        };
        let siblings = std::iter::successors(first, |at| self.parts[*at].sibling);
        let (mut last, mut known) = (None, None);
        for at in siblings {
            last = Some(at);
            known = known.or(self.parts[at].is_like(&part).then_some(at));
        }
        known.unwrap_or_else(|| {
            let at = self.parts.len();
            match (last, above) {
                (Some(last), _) => self.parts[last].sibling = Some(at),
                (None, Some(above)) => self.parts[above].child = Some(at),
                (None, None) => {}
            }
            self.parts.push(part);
            at
        })
    }
}

/// The parts of a line in which this was found.
fn parts_of(line: &[u8], found: &Found) -> Vec<Part> {
    let line = [line, b"\n"].concat();
    let (mut parts, mut from, mut value) = (Vec::new(), 0, None);
    for place in found.places() {
        let Place { field, start, end } = place;
        let then = match field {
            // Of the same value in nearly every line.
            Field::V | Field::STATUS => continue,
            Field::API | Field::OP if end - start <= PART => {
                if let Some(before) = value.replace(place) {
                    cut(&line, from..start, Some(before), Then::Part, &mut parts);
                    from = start;
                }
                continue;
            }
            text if text.is_text() => Then::Text(text),
            number => Then::Number(number),
        };
        cut(&line, from..start, value.take(), then, &mut parts);
        from = end;
    }
    let constant = |field: Field| found.number(field).unwrap_or_default();
    let (version, status) = (constant(Field::V), constant(Field::STATUS));
    let end = Then::End { version, status, fields: found.fields() };
    cut(&line, from..line.len(), value, end, &mut parts);
    parts
}

/// Makes parts of a stretch in which one value may stand.
fn cut(line: &[u8], stretch: Range<usize>, value: Option<Place>, then: Then, parts: &mut Vec<Part>) {
    let Range { start: mut from, end: to } = stretch;
    let mut add = |from: usize, to: usize, then: Then| {
        let value = value.filter(|value| from <= value.start && value.end <= to);
        let value = value.map(|value| (value.field, value.start - from, value.end - from));
        parts.push(Part::new(&line[from..to], value, then));
    };
    while to - from > PART {
        let most = from + PART;
        // A value is in one part.
        let split = value.filter(|value| from < value.start && value.start < most && most < value.end);
        let next = split.map_or(most, |value| value.start);
        add(from, next, Then::Part);
        from = next;
    }
    add(from, to, then);
}
