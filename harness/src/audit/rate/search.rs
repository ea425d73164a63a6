//! Follows every past that can matter, cell by cell.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::marker::PhantomData;

use super::known::{Known, Maybe, Span};
use super::rules::{Merits, NEVER, Rules};
use super::step::{Cell, Fate, Served, State, Step, Unknown};
use super::trail::{Stretch, Trail, Trodden};
use crate::audit::{Kind, Reason, Request, Window};

/// Pasts that are followed at once, at most.
const STATES_MAX: usize = 20_000;

/// Steps that any history may cost, and those that each request adds.
const WORK_MIN: u64 = 5_000_000;
const WORK_PER_REQUEST: u64 = 2_000;

/// Before the history.
const BEFORE: i64 = i64::MIN;

/// How the search stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Some past explains all so far.
    Open,
    /// None does.
    Refuted,
    /// It was given up.
    GivenUp(Reason),
}

/// What the search ends with.
#[derive(Debug)]
pub(super) enum Found {
    /// A past that explains the history.
    Past(Trodden),
    /// There is none, whatever starts at `by` or later.
    None { by: i64 },
    /// Neither.
    Nothing(Reason),
}

/// The search for a past that explains a history.
#[derive(Debug)]
pub(super) struct Search<R> {
    window: Window,
    limit: usize,
    known: Known,
    /// Instants at which cells begin.
    cuts: BinaryHeap<Reverse<i64>>,
    /// Where the cell begins that is not complete yet.
    reached: i64,
    states: Vec<State>,
    /// The first instant at which any state can step on.
    ripe: i64,
    trail: Trail,
    work: u64,
    requests: u64,
    standing: Standing,
    rules: PhantomData<R>,
}

impl<R: Rules> Search<R> {
    /// Before the first request.
    ///
    /// `keeping` windows, at least, are told by a schedule in the end.
    pub(super) fn new(window: Window, keeping: usize) -> Search<R> {
        let root = State {
            from: BEFORE,
            to: BEFORE,
            limit: 0,
            pending: Vec::new(),
            forced: 0,
            next: 0,
            explained: BEFORE,
            used: Vec::new(),
            used_until: Vec::new(),
            forever: 0,
            trail: None,
        };
        Search {
            window,
            limit: usize::try_from(window.limit).unwrap_or(usize::MAX),
            known: Known::new(),
            cuts: BinaryHeap::new(),
            reached: BEFORE,
            states: vec![root],
            ripe: BEFORE,
            trail: Trail::new(keeping),
            work: 0,
            requests: 0,
            standing: Standing::Open,
            rules: PhantomData,
        }
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// Takes a request that counted or may have; by start. `n` is none for one from before the history.
    pub(super) fn take(&mut self, n: Option<u64>, request: &Request) {
        let Request { start, end, .. } = *request;
        match request.kind {
            Kind::Counted | Kind::Refused => {
                self.known.counted.push(Span { n: request.n, start, end });
                self.cut(start, end);
            }
            Kind::Perhaps { until: Some(until) } => {
                self.known.bounded.push(Maybe { n, start, until });
                self.cut(start, until);
            }
            Kind::Perhaps { until: None } => {
                self.known.forever.push(Maybe { n, start, until: NEVER });
                self.cut(start, NEVER);
            }
        }
    }

    /// Takes a refusal; by start.
    pub(super) fn refuse(&mut self, span: Span) {
        self.known.refused.push(span);
        self.cut(span.start, span.end);
    }

    fn cut(&mut self, start: i64, end: i64) {
        self.requests += 1;
        self.cuts.extend(R::cuts(start, end).into_iter().filter(|cut| *cut < NEVER).map(Reverse));
    }

    /// Goes on to `before`: all requests that start earlier have been taken.
    pub(super) fn advance(&mut self, before: i64) {
        while let Some(Reverse(cut)) = self.cuts.peek().copied() {
            if cut > before || self.standing != Standing::Open {
                return;
            }
            self.cuts.pop();
            if cut > self.reached {
                let cell = Cell { lo: self.reached, hi: cut - 1 };
                self.reached = cut;
                if cell.hi >= self.ripe {
                    self.pass(cell);
                }
            }
        }
    }

    /// The end of the history: a past that explains all of it, if there is one.
    pub(super) fn finish(mut self) -> Found {
        self.advance(NEVER);
        match self.standing {
            Standing::GivenUp(reason) => return Found::Nothing(reason),
            Standing::Refuted => return Found::None { by: self.reached },
            Standing::Open => {}
        }
        for state in &self.states {
            let mut last = None;
            self.step(state, Cell::END).run(&mut 0, &mut |_, served| last = last.take().or(Some(served)));
            if let Some(served) = last {
                let (earlier, mut windows) = self.trail.told(state.trail);
                if state.limit > 0 {
                    windows.push(self.window_of(served));
                }
                return Found::Past(Trodden { earlier, windows });
            }
        }
        Found::None { by: NEVER }
    }

    fn step<'a>(&'a self, state: &'a State, cell: Cell) -> Step<'a, R> {
        let Window { shortest, longest, .. } = self.window;
        Step { known: &self.known, shortest, longest, limit: self.limit, state, cell, rules: PhantomData }
    }

    /// Lets every state step into a complete cell.
    fn pass(&mut self, cell: Cell) {
        let mut work = self.work;
        let mut born: Vec<(State, Served, Option<usize>)> = Vec::new();
        let mut alive = Vec::with_capacity(self.states.len());
        for state in &self.states {
            let ripe = self.ripe_at(state) <= cell.hi;
            let mut give = |next, served| born.push((next, served, state.trail));
            alive.push(!ripe || self.step(state, cell).run(&mut work, &mut give) == Fate::Alive);
        }
        let mut alive = alive.into_iter();
        self.states.retain(|_| alive.next().unwrap_or(true));
        // A window may open and end in one and the same cell.
        loop {
            let young = self.states.len();
            self.settle_in(std::mem::take(&mut born), &mut work);
            for state in &self.states[young..] {
                if self.ripe_at(state) <= cell.hi {
                    let mut give = |next, served| born.push((next, served, state.trail));
                    self.step(state, cell).run(&mut work, &mut give);
                }
            }
            if born.is_empty() || work > self.work_max() || self.states.len() > STATES_MAX {
                break;
            }
        }
        self.work = work;
        self.conclude();
    }

    fn ripe_at(&self, state: &State) -> i64 {
        R::next_opening(state.from, self.window.shortest)
    }

    fn work_max(&self) -> u64 {
        WORK_MIN + WORK_PER_REQUEST * self.requests
    }

    /// Adds the best of the states that were born in one cell.
    fn settle_in(&mut self, mut born: Vec<(State, Served, Option<usize>)>, work: &mut u64) {
        born.sort_by(|(one, ..), (other, ..)| place_of(one).cmp(place_of(other)));
        let mut best: Vec<usize> = Vec::new();
        let mut kept: Vec<bool> = vec![true; born.len()];
        for index in 0..born.len() {
            let state = &born[index].0;
            if best.first().is_some_and(|first| !place_of(&born[*first].0).eq(place_of(state))) {
                best.clear();
            }
            *work += best.len() as u64;
            if best.iter().any(|better| R::dominates(&merits(&born[*better].0), &merits(state))) {
                kept[index] = false;
                continue;
            }
            best.retain(|worse| {
                kept[*worse] = !R::dominates(&merits(state), &merits(&born[*worse].0));
                kept[*worse]
            });
            best.push(index);
        }
        let mut kept = kept.into_iter();
        born.retain(|_| kept.next().unwrap_or(true));
        for (mut state, served, before) in born {
            state.trail = if served.to == BEFORE { None } else { Some(self.trail.add(before, self.window_of(served))) };
            self.states.push(state);
        }
    }

    fn window_of(&self, served: Served) -> Stretch {
        let counted =
            served.counted.iter().map(|place| self.known.counted.get(*place)).map(|span| (span.n, span.start));
        let unknown = served.unknown.iter().map(|one| match one {
            Unknown::Bounded(place) => self.known.bounded.get(*place),
            Unknown::Forever(place) => self.known.forever.get(*place),
        });
        let mut requests: Vec<(u64, i64)> = counted.collect();
        let mut unseen = 0;
        for maybe in unknown {
            match maybe.n {
                Some(n) => requests.push((n, maybe.start)),
                None => unseen += 1,
            }
        }
        Stretch { to: served.to, requests, unseen }
    }

    /// Draws the conclusions of a cell, and lets go of what no state can ask for any more.
    fn conclude(&mut self) {
        if self.states.is_empty() {
            self.standing = Standing::Refuted;
        } else if self.states.len() > STATES_MAX {
            self.standing = Standing::GivenUp(Reason::TooManyStates { most: STATES_MAX });
        } else if self.work > self.work_max() {
            self.standing = Standing::GivenUp(Reason::TooMuchWork { most: self.work_max() });
        }
        self.ripe = self.states.iter().map(|state| self.ripe_at(state)).min().unwrap_or(NEVER);
        let first = |state: &State| state.pending.iter().map(|one| one.place).chain([state.next]).min().unwrap_or(0);
        let counted = self.states.iter().map(first).min().unwrap_or(0);
        let explained = self.states.iter().map(|state| state.explained).min().unwrap_or(BEFORE);
        let opening = self.states.iter().map(|state| state.from).min().unwrap_or(BEFORE);
        self.known.forget(counted, explained, opening);
        self.trail.tidy(&mut self.states);
    }
}

/// What two states must share to be compared: how many must be served in the coming window, and the ends of those who need not.
fn place_of(state: &State) -> impl Iterator<Item = i64> {
    let forced = i64::try_from(state.forced).unwrap_or(NEVER);
    [forced].into_iter().chain(state.pending[state.forced..].iter().map(|one| one.end))
}

fn merits(state: &State) -> Merits<'_> {
    Merits { from: state.from, explained: state.explained, used: &state.used_until }
}
