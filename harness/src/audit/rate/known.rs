//! What the search knows of the history so far, by start, and lets go when nobody can ask for it any more.

use std::collections::VecDeque;

use super::rules::NEVER;

/// A request that counted, or that was refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) n: u64,
    pub(super) start: i64,
    pub(super) end: i64,
}

/// A request that may have counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Maybe {
    /// Its number; none stands for a request from before the history.
    pub(super) n: Option<u64>,
    pub(super) start: i64,
    /// [`NEVER`]: it can count at any later time.
    pub(super) until: i64,
}

/// A list by start whose places keep their numbers while its beginning is let go.
#[derive(Debug)]
pub(super) struct Line<T> {
    items: VecDeque<T>,
    gone: usize,
}

impl<T: Copy> Line<T> {
    fn new() -> Line<T> {
        Line { items: VecDeque::new(), gone: 0 }
    }

    pub(super) fn push(&mut self, item: T) {
        self.items.push_back(item);
    }

    pub(super) fn get(&self, place: usize) -> T {
        self.items[place - self.gone]
    }

    /// The number of places, those let go included.
    pub(super) fn len(&self) -> usize {
        self.gone + self.items.len()
    }

    /// The first place whose item starts at or after `start`, where `start_of` tells.
    fn first(&self, start: i64, start_of: impl Fn(&T) -> i64) -> usize {
        self.gone + self.items.partition_point(|item| start_of(item) < start)
    }

    /// The places from `from` up to `to`, with their items.
    pub(super) fn range(&self, from: usize, to: usize) -> impl Iterator<Item = (usize, T)> {
        let from = from.max(self.gone);
        let items = self.items.range(from - self.gone..to.max(from) - self.gone);
        items.enumerate().map(move |(offset, item)| (from + offset, *item))
    }

    fn forget_while(&mut self, gone: impl Fn(usize, &T) -> bool) {
        while self.items.front().is_some_and(|item| gone(self.gone, item)) {
            self.items.pop_front();
            self.gone += 1;
        }
    }
}

/// The history so far.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) counted: Line<Span>,
    pub(super) refused: Line<Span>,
    /// Those that can have counted up to an instant.
    pub(super) bounded: Line<Maybe>,
    /// Those that can count for ever. Any two of them that have started can stand for each other, so they are used in order.
    pub(super) forever: Line<Maybe>,
}

impl Known {
    pub(super) fn new() -> Known {
        Known { counted: Line::new(), refused: Line::new(), bounded: Line::new(), forever: Line::new() }
    }

    /// The first place of a counted request that starts at or after `start`.
    pub(super) fn counted_from(&self, start: i64) -> usize {
        self.counted.first(start, |span| span.start)
    }

    /// The first place of a refusal that starts at or after `start`.
    fn refused_from(&self, start: i64) -> usize {
        self.refused.first(start, |span| span.start)
    }

    /// The end of the first refusal that starts at or after `start`, which is the earliest of all such ends; [`NEVER`] if none.
    pub(super) fn refusal_end(&self, start: i64) -> i64 {
        let place = self.refused_from(start);
        if place < self.refused.len() { self.refused.get(place).end } else { NEVER }
    }

    /// The latest instant up to `most` that no refusal known separates from `start`.
    pub(super) fn rounded(&self, start: i64, most: i64) -> i64 {
        let place = self.refused_from(start);
        if place < self.refused.len() { self.refused.get(place).start.min(most) } else { most }
    }

    /// Lets go of counted requests before that place, of refusals that start before `explained`, and of unknown requests at the
    /// beginning that cannot count at `opening` any more.
    pub(super) fn forget(&mut self, counted: usize, explained: i64, opening: i64) {
        self.counted.forget_while(|place, _| place < counted);
        self.refused.forget_while(|_, span| span.start < explained);
        self.bounded.forget_while(|_, maybe| maybe.until < opening);
    }
}
