//! One step of the search: from a window to the next, in every way that can matter.
//!
//! Given where the next window opens, a window's own end follows: as late as its length allows, since a later end only admits
//! more requests and explains more refusals. Who is served follows nearly, too: all that cannot wait, then, of those who can, the
//! most urgent first. What is left to try is how many of the latter, and whether unknown requests fill the window up.

use std::marker::PhantomData;

use super::known::Known;
use super::rules::{NEVER, Role, Rules};

/// A stretch of instants, both included, in which no request's standing changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) lo: i64,
    pub(super) hi: i64,
}

impl Cell {
    /// Where the next window opens if there is none.
    pub(super) const END: Cell = Cell { lo: NEVER, hi: NEVER };
}

/// A counted request that has started and is in no window yet; ordered by its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pending {
    pub(super) end: i64,
    pub(super) place: usize,
}

/// A window that has opened, or the time before the first.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// It opened at some instant from `from` to `to`, all in one cell.
    pub(super) from: i64,
    pub(super) to: i64,
    /// How many it can serve; 0 before the first window.
    pub(super) limit: usize,
    /// Counted requests that started before the cell and are in no earlier window, by end.
    pub(super) pending: Vec<Pending>,
    /// How many of them cannot wait for the window after this one.
    pub(super) forced: usize,
    /// The first counted request that starts in the cell or later.
    pub(super) next: usize,
    /// Refusals that start before are explained by an earlier window.
    pub(super) explained: i64,
    /// Unknown requests used so far that could still count: their places.
    pub(super) used: Vec<usize>,
    /// Their last instants, latest first; those used that can count for ever stand in front.
    pub(super) used_until: Vec<i64>,
    /// How many were used that can count for ever.
    pub(super) forever: usize,
    /// Where the windows before it are told.
    pub(super) trail: Option<usize>,
}

/// An unknown request taken into a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// One of [`Known::bounded`].
    Bounded(usize),
    /// One of [`Known::forever`].
    Forever(usize),
}

/// A window as one past has it.
#[derive(Debug, Clone)]
pub(super) struct Served {
    /// The latest instant at which it can have opened; the later, the more it explains.
    pub(super) to: i64,
    /// The places of counted requests in it.
    pub(super) counted: Vec<usize>,
    pub(super) unknown: Vec<Unknown>,
}

/// What became of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// A later opening of the next window may still be possible.
    Alive,
    /// No later one is.
    Dead,
}

/// One state, one cell.
pub(super) struct Step<'a, R> {
    pub(super) known: &'a Known,
    pub(super) shortest: i64,
    pub(super) longest: i64,
    /// The limit of the next window.
    pub(super) limit: usize,
    pub(super) state: &'a State,
    pub(super) cell: Cell,
    pub(super) rules: PhantomData<R>,
}

/// Counted requests as one step sees them.
#[derive(Default)]
struct Sorted {
    /// Must be served in this window.
    due: Vec<usize>,
    /// Can be served in this window or later, most urgent first.
    optional: Vec<Pending>,
    /// Cannot be served in this window any more.
    later: Vec<Pending>,
}

/// How a window is to be filled, apart from how many of the optional are.
struct Filling<'a> {
    /// Who is left in any case.
    left: &'a [Pending],
    later: &'a [Pending],
    due: &'a [usize],
    from: i64,
    explained: i64,
}

impl<R: Rules> Step<'_, R> {
    /// Gives every state that this one leads to with the next window in the cell, and what was served before.
    pub(super) fn run(&self, work: &mut u64, give: &mut impl FnMut(State, Served)) -> Fate {
        let (state, cell) = (self.state, self.cell);
        let last_end = R::last_end(state.to, self.longest);
        let end = R::end(last_end, cell.lo);
        let Some(sorted) = self.sort(end) else { return Fate::Dead };
        *work += 1 + (sorted.due.len() + sorted.optional.len() + sorted.later.len()) as u64;
        if sorted.due.len() > state.limit {
            return Fate::Dead;
        }
        let refused = self.known.refusal_end(state.explained);
        let waits = R::can_wait(cell.lo, refused);
        // All that has started by the refusal's end is known: what cannot fill the window now never can.
        let fills = state.limit > 0
            && state.from <= refused
            && sorted.due.iter().all(|place| R::fills_before(Role::Due, self.start(*place), refused));
        let suffices = R::can_wait(cell.lo, self.known.refusal_end(end));
        let unknown = if fills && suffices { self.fillers(end, refused) } else { Vec::new() };
        for from in self.openings(&sorted) {
            if waits {
                self.partly(&sorted, from, give);
            }
            if fills && suffices {
                self.fully(&sorted, from, end, refused, &unknown, give);
            }
        }
        let hopeless = !fills || (!suffices && end == last_end) || {
            let able = sorted.optional.iter().filter(|one| self.start(one.place) <= refused).count();
            suffices && sorted.due.len() + able + unknown.len() < R::capacity(state.limit)
        };
        if !waits && hopeless { Fate::Dead } else { Fate::Alive }
    }

    fn start(&self, place: usize) -> i64 {
        self.known.counted.get(place).start
    }

    /// Who must, can and cannot be served; none if somebody can be served nowhere.
    fn sort(&self, end: i64) -> Option<Sorted> {
        let (known, state, lo) = (self.known, self.state, self.cell.lo);
        let mut sorted = Sorted::default();
        let inside = if state.limit == 0 { state.next } else { known.counted_from(end).max(state.next) };
        for (place, span) in known.counted.range(inside, known.counted_from(lo)) {
            if span.end < lo {
                return None;
            }
            sorted.later.push(Pending { end: span.end, place });
        }
        let fresh = known.counted.range(state.next, inside).map(|(place, span)| Pending { end: span.end, place });
        for one in state.pending.iter().copied().chain(fresh) {
            if one.end < lo {
                sorted.due.push(one.place);
            } else {
                sorted.optional.push(one);
            }
        }
        sorted.optional.sort_by_key(|one| R::urgency(one.end));
        Some(sorted)
    }

    /// The instants from which the window can have opened that differ in who can have opened it.
    fn openings(&self, sorted: &Sorted) -> impl Iterator<Item = i64> {
        let (state, known) = (self.state, self.known);
        // Within a cell requests start at its last instant only.
        let at_last = |start: i64| state.from < start && start == state.to;
        let another = sorted.due.iter().any(|place| at_last(self.start(*place)))
            || sorted.optional.iter().any(|one| at_last(self.start(one.place)))
            || self.unused_bounded().any(|(_, start, _)| at_last(start))
            || known.forever.range(state.forever, known.forever.len()).any(|(_, maybe)| at_last(maybe.start));
        [Some(state.from), another.then_some(state.to)].into_iter().flatten()
    }

    fn unused_bounded(&self) -> impl Iterator<Item = (usize, i64, i64)> {
        let bounded = &self.known.bounded;
        bounded.range(0, bounded.len()).filter_map(|(place, maybe)| {
            let free = R::still_counts(maybe.until, self.state.from) && !self.state.used.contains(&place);
            free.then_some((place, maybe.start, maybe.until))
        })
    }

    /// Unknown requests that can have filled the window before the refusal, most urgent first.
    fn fillers(&self, end: i64, refused: i64) -> Vec<Unknown> {
        let able = |start: i64| start < end && R::fills_before(Role::Unknown, start, refused);
        let mut bounded: Vec<(i64, usize)> = self
            .unused_bounded()
            .filter(|(_, start, _)| able(*start))
            .map(|(place, _, until)| (until, place))
            .collect();
        bounded.sort_unstable();
        let forever = &self.known.forever;
        let rest = forever.range(self.state.forever, forever.len()).take_while(|(_, maybe)| able(maybe.start));
        let bounded = bounded.into_iter().map(|(_, place)| Unknown::Bounded(place));
        bounded.chain(rest.map(|(place, _)| Unknown::Forever(place))).take(self.state.limit + 1).collect()
    }

    /// The most urgent unknown request that can have opened the window at `from`.
    fn opener(&self, from: i64) -> Option<Unknown> {
        if !R::unknown_opens() {
            return None;
        }
        let bounded = self.unused_bounded().filter(|(_, start, _)| *start <= from).min_by_key(|(_, _, until)| *until);
        let forever = &self.known.forever;
        let next = forever.range(self.state.forever, forever.len()).next().filter(|(_, maybe)| maybe.start <= from);
        let bounded = bounded.map(|(place, _, _)| Unknown::Bounded(place));
        bounded.or(next.map(|(place, _)| Unknown::Forever(place)))
    }

    /// Whether one of those who must be served can have opened the window at `from`; before the first window there is no need.
    fn is_opened(&self, due: &[usize], from: i64) -> bool {
        self.state.limit == 0 || !R::opens_with_a_request() || due.iter().any(|place| self.start(*place) <= from)
    }

    /// All ways to end a window that was not full.
    fn partly(&self, sorted: &Sorted, from: i64, give: &mut impl FnMut(State, Served)) {
        let Sorted { due, optional, later } = sorted;
        let filling = Filling { left: &[], later, due, from, explained: self.explained(false) };
        if self.state.limit == 0 {
            self.emit(&filling, (&[], &[]), &[], give);
            return;
        }
        let Some(room) = (self.state.limit - 1).checked_sub(due.len()) else { return };
        let least = R::least_taken(room.min(optional.len()));
        if self.is_opened(due, from) {
            for taken in least..=room.min(optional.len()) {
                self.emit(&filling, optional.split_at(taken), &[], give);
            }
            return;
        }
        if let Some(line) = self.opened_by_first(optional, from) {
            for taken in least.max(1)..=room.min(line.len()) {
                self.emit(&filling, line.split_at(taken), &[], give);
            }
        }
        if let (Some(opener), Some(room)) = (self.opener(from), room.checked_sub(1)) {
            for taken in least.min(room)..=room.min(optional.len()) {
                self.emit(&filling, optional.split_at(taken), &[opener], give);
            }
        }
    }

    /// All ways to end a full window, filled by the time that a refusal ended at `refused`.
    fn fully(
        &self,
        sorted: &Sorted,
        from: i64,
        end: i64,
        refused: i64,
        unknown: &[Unknown],
        give: &mut impl FnMut(State, Served),
    ) {
        let Sorted { due, optional, later } = sorted;
        let (able, late): (Vec<Pending>, Vec<Pending>) =
            optional.iter().partition(|one| R::fills_before(Role::Optional, self.start(one.place), refused));
        let explained = R::explained(true, self.state.explained, end);
        let filling = Filling { left: &late, later, due, from, explained };
        let Some(room) = R::capacity(self.state.limit).checked_sub(due.len()) else { return };
        let least = room.saturating_sub(unknown.len());
        if self.is_opened(due, from) {
            for taken in least..=room.min(able.len()) {
                self.emit(&filling, able.split_at(taken), &unknown[..room - taken], give);
            }
            return;
        }
        if let Some(line) = self.opened_by_first(&able, from) {
            for taken in least.max(1)..=room.min(line.len()) {
                self.emit(&filling, line.split_at(taken), &unknown[..room - taken], give);
            }
        }
        let opener = self.opener(from).filter(|opener| {
            let start = match opener {
                Unknown::Bounded(place) => self.known.bounded.get(*place).start,
                Unknown::Forever(place) => self.known.forever.get(*place).start,
            };
            R::fills_before(Role::Unknown, start, refused)
        });
        if let (Some(opener), 1..) = (opener, room) {
            let others = unknown.iter().copied().filter(|one| *one != opener);
            let line: Vec<Unknown> = [opener].into_iter().chain(others).collect();
            for taken in room.saturating_sub(line.len())..=(room - 1).min(able.len()) {
                self.emit(&filling, able.split_at(taken), &line[..room - taken], give);
            }
        }
    }

    /// Those who can wait, with the most urgent of the possible openers first; none if there is no such opener.
    fn opened_by_first(&self, optional: &[Pending], from: i64) -> Option<Vec<Pending>> {
        let opener = optional.iter().position(|one| self.start(one.place) <= from)?;
        let mut line = optional.to_vec();
        line[..=opener].rotate_right(1);
        Some(line)
    }

    fn explained(&self, full: bool) -> i64 {
        R::explained(full, self.state.explained, R::end(R::last_end(self.state.to, self.longest), self.cell.lo))
    }

    /// Gives the state that follows if of those who can wait some are taken and others wait, if it can lead anywhere.
    fn emit(
        &self,
        filling: &Filling<'_>,
        (taken, waiting): (&[Pending], &[Pending]),
        unknown: &[Unknown],
        give: &mut impl FnMut(State, Served),
    ) {
        let (cell, known) = (self.cell, self.known);
        let mut from = cell.lo.max(R::next_opening(filling.from, self.shortest));
        let left = waiting.iter().chain(filling.left).chain(filling.later);
        let mut pending: Vec<Pending> = left.copied().collect();
        pending.sort_unstable();
        let after = R::next_opening(cell.lo, self.shortest);
        let forced = pending.partition_point(|one| R::is_forced(one.end, after));
        if from > cell.hi || forced > self.limit {
            return;
        }
        let (used, used_until, forever) = self.used(unknown);
        if cell.lo < NEVER && pending.is_empty() && R::opens_with_a_request() {
            // Somebody must be able to open the next window.
            let bounded = known.bounded.range(0, known.bounded.len());
            let bounded = bounded.filter(|(place, maybe)| maybe.until >= cell.lo && !used.contains(place));
            let unknown = bounded.chain(known.forever.range(forever, known.forever.len()).take(1));
            let earliest = unknown.map(|(_, maybe)| maybe.start).chain([self.first_in_cell()]).min().unwrap_or(NEVER);
            if earliest > cell.hi {
                return;
            }
            from = from.max(earliest);
        }
        if !R::opens_late() && from > cell.lo {
            return;
        }
        let counted = filling.due.iter().copied().chain(taken.iter().map(|one| one.place)).collect();
        let served = Served { to: self.state.to, counted, unknown: unknown.to_vec() };
        let next = known.counted_from(cell.lo);
        let explained = known.rounded(filling.explained, cell.lo);
        let state = State {
            from,
            to: cell.hi,
            limit: self.limit,
            pending,
            forced,
            next,
            explained,
            used,
            used_until,
            forever,
            trail: None,
        };
        give(state, served);
    }

    /// The start of the first counted request that starts in the cell; [`NEVER`] if none does.
    fn first_in_cell(&self) -> i64 {
        let place = self.known.counted_from(self.cell.lo);
        if place < self.known.counted.len() { self.start(place) } else { NEVER }
    }

    /// The unknown requests used that matter from the cell on.
    fn used(&self, unknown: &[Unknown]) -> (Vec<usize>, Vec<i64>, usize) {
        let mut forever = self.state.forever;
        let mut used = self.state.used.clone();
        if R::counts_once() {
            for one in unknown {
                match one {
                    Unknown::Bounded(place) => used.push(*place),
                    Unknown::Forever(_) => forever += 1,
                }
            }
        }
        used.retain(|place| self.until(*place) >= self.cell.lo);
        let mut until: Vec<i64> = used.iter().map(|place| self.until(*place)).collect();
        until.sort_unstable_by(|one, other| other.cmp(one));
        until.splice(0..0, std::iter::repeat_n(NEVER, forever));
        (used, until, forever)
    }

    fn until(&self, place: usize) -> i64 {
        self.known.bounded.get(place).until
    }
}
