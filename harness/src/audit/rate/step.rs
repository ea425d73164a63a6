//! One step of the search: from a window to the next, in every way that can matter.
//!
//! Given where the next window opens, a window's own end follows: as late as its length allows, since a later end only admits
//! more requests and explains more refusals. Who is served follows nearly, too: all that cannot wait, then, of those who can, the
//! most urgent first. What is left to try is how many of the latter, and whether unknown requests fill the window up.

use std::marker::PhantomData;

use super::known::Known;
use super::rules::{NEVER, Role, Rules};
use super::state::{State, Used};
use crate::audit::Window;

/// A stretch of instants, both included, in which no request's standing changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) lo: i64,
    pub(super) hi: i64,
    /// Whether a state of the cell before can be the same as one in this.
    pub(super) joins: bool,
}

impl Cell {
    /// Where the next window opens if there is none.
    pub(super) const END: Cell = Cell { lo: NEVER, hi: NEVER, joins: false };
}

/// An unknown request taken into a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// One of [`Known::bounded`].
    Bounded(usize),
    /// One of [`Known::forever`].
    Forever(usize),
}

/// Whom a window serves: all that are due, one to open it if they do not, and then the most urgent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    /// How many counted requests, all told.
    pub(super) count: usize,
    /// The end of the refusal before which the window was full; none: it was not full.
    pub(super) filled: Option<i64>,
    /// The place in line of the counted request that opens it out of turn.
    pub(super) opener: Option<usize>,
    pub(super) unknown: Vec<Unknown>,
}

impl Choice {
    /// Whether somebody who started at `start` and could wait can be served.
    pub(super) fn admits<R: Rules>(&self, start: i64) -> bool {
        self.filled.is_none_or(|refused| R::fills_before(Role::Optional, start, refused))
    }
}

/// A state that another can lead to.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) parent: usize,
    pub(super) choice: Choice,
    /// The earliest opening.
    pub(super) from: i64,
    /// How many of those left cannot wait for the window after the next.
    pub(super) forced: usize,
    pub(super) explained: i64,
    /// The unknown requests used; none: the same as before.
    pub(super) used: Option<Box<Used>>,
    /// The child of its parent that it extends.
    pub(super) extends: Option<usize>,
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
    pub(super) window: &'a Window,
    /// The limit of the next window.
    pub(super) limit: usize,
    pub(super) parent: usize,
    /// It has absorbed who started before the cell.
    pub(super) state: &'a State,
    pub(super) cell: Cell,
    pub(super) born: &'a mut Vec<Candidate>,
    pub(super) rules: PhantomData<R>,
}

/// What all choices of a step share.
#[derive(Clone, Copy)]
struct Scene {
    /// The end of the window.
    end: i64,
    /// When the first refusal that is not explained ended.
    refused: i64,
    /// Those in line up to here, and so many of those later, cannot wait for the window after the next.
    line_forced: usize,
    later_forced: usize,
    /// Up to where refusals are explained.
    explained: i64,
    /// How many that can wait can have filled the window before the refusal.
    able: usize,
    /// Whether the window was open from here on.
    from: i64,
    /// Whether somebody due can have opened it then.
    is_opened: bool,
}

impl<R: Rules> Step<'_, R> {
    /// Finds every state that this one leads to with the next window in the cell.
    pub(super) fn run(&mut self) -> Fate {
        let (state, cell) = (self.state, self.cell);
        let last_end = R::last_end(state.to, self.window.longest);
        let end = R::end(last_end, cell.lo);
        let is_missed = state.later.first().is_some_and(|one| one.end < cell.lo);
        if is_missed || state.due > state.limit {
            return Fate::Dead;
        }
        let refused = self.known.refusal_end(state.explained);
        let waits = R::can_wait(cell.lo, refused);
        // All that has started by the refusal's end is known: what cannot fill the window now never can.
        let fills = state.limit > 0
            && state.from <= refused
            && (state.due == 0 || R::fills_before(Role::Due, state.due_last, refused));
        let suffices = R::can_wait(cell.lo, self.known.refusal_end(end));
        let able = self.able(refused);
        let after = R::next_opening(cell.lo, self.window.shortest);
        let mut scene = Scene {
            end,
            refused,
            line_forced: state.line.partition_point(|one| R::is_forced(one.end, after)),
            later_forced: state.later.partition_point(|one| R::is_forced(one.end, after)),
            explained: state.explained,
            able,
            from: state.from,
            is_opened: false,
        };
        let unknown = if fills && suffices { self.fillers(&scene) } else { Vec::new() };
        loop {
            scene.is_opened = self.is_opened(scene.from);
            if waits {
                self.partly(&Scene { explained: self.explained(false, end), ..scene });
            }
            if fills && suffices {
                self.fully(&Scene { explained: self.explained(true, end), ..scene }, &unknown);
            }
            // Once somebody due opens it, opening later leads to nothing that opening now does not.
            match self.opening_after(scene.from) {
                Some(from) if !scene.is_opened => scene.from = from,
                _ => break,
            }
        }
        let hopeless = !fills
            || (!suffices && end == last_end)
            || (suffices && state.due + able + unknown.len() < R::capacity(state.limit));
        if !waits && hopeless { Fate::Dead } else { Fate::Alive }
    }

    /// Up to where refusals are explained once the window has ended at `end`.
    fn explained(&self, full: bool, end: i64) -> i64 {
        self.known.rounded(R::explained(full, self.state.explained, end), self.cell.lo)
    }

    /// How many of those who can wait started early enough to fill a window before a refusal that ended at `refused`.
    fn able(&self, refused: i64) -> usize {
        let State { line, due, latest, .. } = self.state;
        if R::fills_before(Role::Optional, *latest, refused) {
            return line.len() - due;
        }
        line[*due..].iter().filter(|one| R::fills_before(Role::Optional, one.start, refused)).count()
    }

    /// The next later instant from which the window can have opened that differs in who can have opened it.
    fn opening_after(&self, from: i64) -> Option<i64> {
        let (state, known) = (self.state, self.known);
        if from >= state.to {
            return None;
        }
        let counted = state.line.iter().map(|one| one.start);
        let bounded = self.unused_bounded().map(|(_, start, _)| start);
        let forever = known.forever.after(state.used.forever).map(|(_, maybe)| maybe.start);
        let starts = counted.chain(bounded).chain(forever);
        starts.filter(|start| from < *start && R::opens_by(*start, state.to)).min()
    }

    fn unused_bounded(&self) -> impl Iterator<Item = (usize, i64, i64)> {
        let (bounded, state) = (&self.known.bounded, self.state);
        bounded.after(0).filter_map(|(place, maybe)| {
            let free = R::still_counts(maybe.until, state.from) && !state.used.places.contains(&place);
            free.then_some((place, maybe.start, maybe.until))
        })
    }

    /// Unknown requests that can have filled the window before the refusal, most urgent first.
    fn fillers(&self, scene: &Scene) -> Vec<Unknown> {
        let able = |start: i64| start < scene.end && R::fills_before(Role::Unknown, start, scene.refused);
        let mut bounded: Vec<(i64, usize)> = self
            .unused_bounded()
            .filter(|(_, start, _)| able(*start))
            .map(|(place, _, until)| (until, place))
            .collect();
        bounded.sort_unstable();
        let forever = &self.known.forever;
        let rest = forever.after(self.state.used.forever).take_while(|(_, maybe)| able(maybe.start));
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
        let next = forever.after(self.state.used.forever).next();
        let next = next.filter(|(_, maybe)| maybe.start <= from);
        let bounded = bounded.map(|(place, _, _)| Unknown::Bounded(place));
        bounded.or(next.map(|(place, _)| Unknown::Forever(place)))
    }

    /// Whether one of those who must be served can have opened the window at `from`; before the first window there is no need.
    fn is_opened(&self, from: i64) -> bool {
        let State { limit, due, due_first, .. } = self.state;
        *limit == 0 || !R::opens_with_a_request() || (*due > 0 && *due_first <= from)
    }

    /// The most urgent of those who can wait that can have opened the window.
    fn opener_in_line(&self, scene: &Scene, filled: Option<i64>) -> Option<usize> {
        let due = self.state.due;
        let fits = |start| filled.is_none_or(|refused| R::fills_before(Role::Optional, start, refused));
        let place = self.state.line[due..].iter().position(|one| one.start <= scene.from && fits(one.start))?;
        Some(due + place)
    }

    /// All ways to end a window that was not full.
    fn partly(&mut self, scene: &Scene) {
        let State { limit, due, ref line, .. } = *self.state;
        let plain = |count| Choice { count, filled: None, opener: None, unknown: Vec::new() };
        if limit == 0 {
            self.offer(scene, plain(0));
            return;
        }
        let Some(room) = (limit - 1).checked_sub(due) else { return };
        let most = room.min(line.len() - due);
        let least = R::least_taken(most);
        if scene.is_opened {
            // Fewer would leave more than the next window can serve.
            let needed = (scene.line_forced + scene.later_forced).saturating_sub(self.limit + due);
            for taken in least.max(needed)..=most {
                self.offer(scene, plain(due + taken));
            }
            return;
        }
        if let Some(opener) = self.opener_in_line(scene, None) {
            for taken in least.max(1)..=most {
                self.offer(scene, Choice { opener: Some(opener), ..plain(due + taken) });
            }
        }
        if let (Some(opener), Some(room)) = (self.opener(scene.from), room.checked_sub(1)) {
            for taken in least.min(room)..=room.min(line.len() - due) {
                self.offer(scene, Choice { unknown: vec![opener], ..plain(due + taken) });
            }
        }
    }

    /// All ways to end a full window, filled by the time that a refusal ended.
    fn fully(&mut self, scene: &Scene, unknown: &[Unknown]) {
        let State { limit, due, .. } = *self.state;
        let (filled, able) = (Some(scene.refused), scene.able);
        let choice = |taken: usize, opener: Option<usize>, unknown: &[Unknown]| Choice {
            count: due + taken,
            filled,
            opener,
            unknown: unknown.to_vec(),
        };
        let Some(room) = R::capacity(limit).checked_sub(due) else { return };
        let least = room.saturating_sub(unknown.len());
        if scene.is_opened {
            for taken in least..=room.min(able) {
                self.offer(scene, choice(taken, None, &unknown[..room - taken]));
            }
            return;
        }
        if let Some(opener) = self.opener_in_line(scene, filled) {
            for taken in least.max(1)..=room.min(able) {
                self.offer(scene, choice(taken, Some(opener), &unknown[..room - taken]));
            }
        }
        let opener = self.opener(scene.from).filter(|opener| {
            let start = match opener {
                Unknown::Bounded(place) => self.known.bounded.get(*place).start,
                Unknown::Forever(place) => self.known.forever.get(*place).start,
            };
            R::fills_before(Role::Unknown, start, scene.refused)
        });
        if let (Some(opener), 1..) = (opener, room) {
            let others = unknown.iter().copied().filter(|one| *one != opener);
            let line: Vec<Unknown> = [opener].into_iter().chain(others).collect();
            for taken in room.saturating_sub(line.len())..=(room - 1).min(able) {
                self.offer(scene, choice(taken, None, &line[..room - taken]));
            }
        }
    }

    /// Gives the state that follows a choice, if it can lead anywhere.
    fn offer(&mut self, scene: &Scene, choice: Choice) {
        let (state, cell, known) = (self.state, self.cell, self.known);
        let mut from = cell.lo.max(R::next_opening(scene.from, self.window.shortest));
        let forced = self.forced(scene, &choice);
        if from > cell.hi || forced > self.limit {
            return;
        }
        let used = self.used(&choice.unknown);
        let is_empty = choice.count == state.line.len() && state.later.is_empty();
        if cell.lo < NEVER && is_empty && R::opens_with_a_request() {
            from = from.max(self.next_opener(used.as_deref().unwrap_or(&state.used)));
            if from > cell.hi {
                return;
            }
        }
        if !R::opens_late() && from > cell.lo {
            return;
        }
        let explained = scene.explained;
        let extends = state.children.iter().position(|child| {
            let goes_on = cell.joins && from == cell.lo && child.choice == choice;
            goes_on && R::explains_alike(known.rounded(child.explained, cell.lo), explained)
        });
        self.born.push(Candidate { parent: self.parent, choice, from, forced, explained, used, extends });
    }

    /// How many of those that a choice leaves cannot wait for the window after the next.
    fn forced(&self, scene: &Scene, choice: &Choice) -> usize {
        let in_order = self.state.is_in_order::<R>(choice);
        let in_line = if in_order {
            scene.line_forced.saturating_sub(choice.count)
        } else {
            let after = R::next_opening(self.cell.lo, self.window.shortest);
            let left = self.state.chosen::<R>(choice).filter(|(chosen, _)| !chosen);
            left.filter(|(_, one)| R::is_forced(one.end, after)).count()
        };
        in_line + scene.later_forced
    }

    /// The first instant at which somebody can open the next window if nobody who started before the cell is left.
    fn next_opener(&self, used: &Used) -> i64 {
        let known = self.known;
        let bounded = known.bounded.after(0);
        let bounded = bounded.filter(|(place, maybe)| maybe.until >= self.cell.lo && !used.places.contains(place));
        let unknown = bounded.chain(known.forever.after(used.forever).take(1));
        let counted = known.counted.at(self.state.next).map(|span| span.start);
        unknown.map(|(_, maybe)| maybe.start).chain(counted).min().unwrap_or(NEVER)
    }

    /// The unknown requests used that matter from the cell on; none if they are those of before.
    fn used(&self, unknown: &[Unknown]) -> Option<Box<Used>> {
        let Used { places, forever, .. } = &self.state.used;
        let until = |place: &usize| self.known.bounded.get(*place).until;
        let matters = |place: &usize| until(place) >= self.cell.lo;
        if (unknown.is_empty() || !R::counts_once()) && places.iter().all(matters) {
            return None;
        }
        let (mut places, mut forever) = (places.clone(), *forever);
        if R::counts_once() {
            for one in unknown {
                match one {
                    Unknown::Bounded(place) => places.push(*place),
                    Unknown::Forever(_) => forever += 1,
                }
            }
        }
        places.retain(matters);
        let mut last: Vec<i64> = places.iter().map(until).collect();
        last.sort_unstable_by(|one, other| other.cmp(one));
        last.splice(0..0, std::iter::repeat_n(NEVER, forever));
        Some(Box::new(Used { places, until: last, forever }))
    }
}
