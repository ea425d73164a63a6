//! What the search knows of the history so far, by start, and lets go when nobody can ask for it any more.

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
    items: Vec<T>,
    /// How many of the items, the first, are let go, and how many that are no items any more.
    stale: usize,
    gone: usize,
}

impl<T: Copy> Line<T> {
    fn new() -> Line<T> {
        Line { items: Vec::new(), stale: 0, gone: 0 }
    }

    /// Makes room for so many more.
    pub(super) fn expect(&mut self, items: usize) {
        self.items.reserve(items);
    }

    pub(super) fn push(&mut self, item: T) {
        self.items.push(item);
    }

    pub(super) fn get(&self, place: usize) -> T {
        self.items[place - self.gone]
    }

    /// What is at a place that was not let go, if there is anything yet.
    pub(super) fn at(&self, place: usize) -> Option<T> {
        self.items.get(place - self.gone).copied()
    }

    /// The first item that starts at or after `start`, where `start_of` tells.
    fn first(&self, start: i64, start_of: impl Fn(&T) -> i64) -> Option<&T> {
        let kept = &self.items[self.stale..];
        kept.get(kept.partition_point(|item| start_of(item) < start))
    }

    /// The places from `from` on, with their items.
    pub(super) fn after(&self, from: usize) -> impl Iterator<Item = (usize, T)> {
        let from = from.max(self.gone + self.stale);
        self.items[from - self.gone..].iter().enumerate().map(move |(offset, item)| (from + offset, *item))
    }

    fn forget_while(&mut self, gone: impl Fn(usize, &T) -> bool) {
        while self.items.get(self.stale).is_some_and(|item| gone(self.gone + self.stale, item)) {
            self.stale += 1;
        }
        // The rest is moved only where that is little for each.
        if self.stale > self.items.len() / 2 {
            self.items.drain(..self.stale);
            (self.gone, self.stale) = (self.gone + self.stale, 0);
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

    /// The end of the first refusal that starts at or after `start`, which is the earliest of all such ends; [`NEVER`] if none.
    pub(super) fn refusal_end(&self, start: i64) -> i64 {
        self.refused.first(start, |span| span.start).map_or(NEVER, |span| span.end)
    }

    /// The latest instant up to `most` that no refusal known separates from `start`.
    pub(super) fn rounded(&self, start: i64, most: i64) -> i64 {
        self.refused.first(start, |span| span.start).map_or(most, |span| span.start.min(most))
    }

    /// Lets go of counted requests before that place, of refusals that start before `explained`, and of unknown requests at the
    /// beginning that cannot count at `opening` any more.
    pub(super) fn forget(&mut self, counted: usize, explained: i64, opening: i64) {
        self.counted.forget_while(|place, _| place < counted);
        self.refused.forget_while(|_, span| span.start < explained);
        self.bounded.forget_while(|_, maybe| maybe.until < opening);
    }
}
