//! Follows every past that can matter, cell by cell.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::marker::PhantomData;

use super::known::{Known, Maybe, Span};
use super::rivals::Rivals;
use super::rules::{NEVER, Rules};
use super::state::{Child, State};
use super::step::{Candidate, Cell, Choice, Fate, Step, Unknown};
use super::trail::{Trail, Trodden};
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
    cuts: Cuts,
    /// Where the cell begins that is not complete yet, and whether states of the cell before can go on in it.
    reached: i64,
    joins: bool,
    /// All states, those let go included, whose places and memory are used again.
    states: Vec<State>,
    alive: Vec<usize>,
    dead: Vec<usize>,
    free: Vec<usize>,
    /// What the states lead to in the cell that is looked at.
    born: Vec<Candidate>,
    rivals: Rivals,
    /// The first instant at which any state can step on.
    ripe: i64,
    trail: Trail,
    work: u64,
    requests: u64,
    standing: Standing,
    rules: PhantomData<R>,
}

/// Instants at which cells begin.
#[derive(Debug, Default)]
struct Cuts {
    /// Those that come in order.
    in_order: VecDeque<i64>,
    /// The others, the last first.
    others: Vec<i64>,
    /// Those of all at which no state of the cell before can go on, the last first.
    separating: Vec<i64>,
    /// Whether the last two are in order, too.
    sorted: bool,
}

impl Cuts {
    fn add(&mut self, cut: i64, separates: bool) {
        if cut == NEVER {
            return;
        }
        if self.in_order.back().is_none_or(|last| *last <= cut) {
            self.in_order.push_back(cut);
        } else {
            self.others.push(cut);
            self.sorted = false;
        }
        if separates {
            self.separating.push(cut);
            self.sorted = false;
        }
    }

    /// Takes the first, if it is not after `before`, as often as it is there.
    fn take(&mut self, before: i64) -> Option<i64> {
        if !self.sorted {
            // What was there before is in order and stands first.
            self.others.sort_by_key(|cut| Reverse(*cut));
            self.separating.sort_by_key(|cut| Reverse(*cut));
            self.sorted = true;
        }
        let first = |one: Option<&i64>| one.copied().unwrap_or(NEVER);
        let (one, other) = (first(self.in_order.front()), first(self.others.last()));
        let cut = one.min(other);
        if cut > before || cut == NEVER {
            return None;
        }
        if one == cut {
            self.in_order.pop_front();
        } else {
            self.others.pop();
        }
        Some(cut)
    }

    /// Whether states can go on where the cell begins whose cut was taken last.
    fn joins(&mut self, cut: i64) -> bool {
        let mut joins = true;
        while self.separating.pop_if(|one| *one <= cut).is_some() {
            joins = false;
        }
        joins
    }
}

impl<R: Rules> Search<R> {
    /// Before the first request.
    ///
    /// `keeping` windows, at least, are told by a schedule in the end.
    pub(super) fn new(window: Window, keeping: usize) -> Search<R> {
        let root = State { from: BEFORE, to: BEFORE, explained: BEFORE, latest: BEFORE, ..State::default() };
        Search {
            window,
            limit: usize::try_from(window.limit).unwrap_or(usize::MAX),
            known: Known::new(),
            cuts: Cuts::default(),
            reached: BEFORE,
            joins: false,
            states: first_of_some(root),
            alive: first_of_some(0),
            dead: Vec::new(),
            free: Vec::new(),
            born: Vec::new(),
            rivals: Rivals::default(),
            ripe: BEFORE,
            trail: Trail::new(keeping),
            work: 0,
            requests: 0,
            standing: Standing::Open,
            rules: PhantomData,
        }
    }

    /// Makes room for a history of so many requests.
    pub(super) fn expect(&mut self, requests: usize) {
        self.known.counted.expect(requests);
        self.cuts.in_order.reserve(requests);
        self.cuts.others.reserve(requests);
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
                self.cut(start, end, request.kind);
            }
            Kind::Perhaps { until: Some(until) } => {
                self.known.bounded.push(Maybe { n, start, until });
                self.cut(start, until, request.kind);
            }
            Kind::Perhaps { until: None } => {
                self.known.forever.push(Maybe { n, start, until: NEVER });
                self.cut(start, NEVER, request.kind);
            }
        }
    }

    /// Takes a refusal; by start.
    pub(super) fn refuse(&mut self, span: Span) {
        self.known.refused.push(span);
        self.cut(span.start, span.end, Kind::Refused);
    }

    fn cut(&mut self, start: i64, end: i64, kind: Kind) {
        self.requests += 1;
        let [after_start, after_end] = R::cuts(start, end);
        self.cuts.add(after_start, false);
        self.cuts.add(after_end, R::separates(kind));
    }

    /// Goes on to `before`: all requests that start earlier have been taken.
    pub(super) fn advance(&mut self, before: i64) {
        while self.standing == Standing::Open
            && let Some(cut) = self.cuts.take(before)
        {
            if cut > self.reached {
                let cell = Cell { lo: self.reached, hi: cut - 1, joins: self.joins };
                (self.reached, self.joins) = (cut, true);
                if cell.hi >= self.ripe {
                    self.pass(cell);
                }
            }
            self.joins &= self.cuts.joins(cut);
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
        for id in std::mem::take(&mut self.alive) {
            self.step(id, Cell::END);
            if !self.born.is_empty() {
                let last = self.born.swap_remove(0);
                let tip = (self.states[id].limit > 0).then(|| self.tell(&last));
                return Found::Past(self.trail.told(tip));
            }
        }
        Found::None { by: NEVER }
    }

    /// Finds what a state leads to.
    fn step(&mut self, id: usize, cell: Cell) -> Fate {
        let Search { window, known, states, born, .. } = self;
        let state = &mut states[id];
        state.absorb::<R>(known, R::end(R::last_end(state.to, window.longest), cell.lo), cell.lo);
        self.work += 1 + (state.line.len() + state.later.len()) as u64;
        let limit = self.limit;
        Step { known, window, limit, parent: id, state, cell, born, rules: PhantomData::<R> }.run()
    }

    /// Lets every state step into a complete cell.
    fn pass(&mut self, cell: Cell) {
        for index in 0..self.alive.len() {
            let id = self.alive[index];
            if self.ripe_at(&self.states[id]) <= cell.hi && self.step(id, cell) == Fate::Dead {
                self.dead.push(id);
            }
        }
        let mut dead = self.dead.iter().copied().peekable();
        self.alive.retain(|id| dead.next_if_eq(id).is_none());
        let survivors = self.alive.len();
        // A window may open and end in one and the same cell.
        loop {
            let young = self.alive.len();
            self.settle(cell);
            for index in young..self.alive.len() {
                let id = self.alive[index];
                if self.ripe_at(&self.states[id]) <= cell.hi {
                    self.step(id, cell);
                }
            }
            if self.born.is_empty() || self.work > self.work_max() || self.alive.len() > STATES_MAX {
                break;
            }
        }
        self.born.clear();
        if self.alive.len() > survivors || !self.dead.is_empty() {
            self.free.append(&mut self.dead);
            self.tidy();
        }
        self.conclude();
    }

    fn ripe_at(&self, state: &State) -> i64 {
        R::next_opening(state.from, self.window.shortest)
    }

    fn work_max(&self) -> u64 {
        WORK_MIN + WORK_PER_REQUEST * self.requests
    }

    /// Adds the best of the states that were born in one cell.
    fn settle(&mut self, cell: Cell) {
        self.work += self.rivals.keep_the_best::<R>(&mut self.born, &self.states);
        let mut born = std::mem::take(&mut self.born);
        for candidate in born.drain(..) {
            let parent = &mut self.states[candidate.parent];
            match candidate.extends.map(|child| &mut parent.children[child]) {
                Some(child) => {
                    child.to = cell.hi;
                    let id = child.id;
                    self.states[id].to = cell.hi;
                }
                None => self.bear(candidate, cell),
            }
        }
        self.born = born;
    }

    /// Makes a state of a candidate.
    fn bear(&mut self, candidate: Candidate, cell: Cell) {
        let parent = &self.states[candidate.parent];
        let tells = parent.limit > 0;
        let trail = tells.then(|| self.tell(&candidate));
        let id = self.free.pop().unwrap_or_else(|| {
            self.states.push(State::default());
            self.states.len() - 1
        });
        let mut state = std::mem::take(&mut self.states[id]);
        let parent = &mut self.states[candidate.parent];
        let Candidate { choice, from, explained, used, .. } = candidate;
        state.become_child::<R>(parent, &choice);
        (state.from, state.to, state.limit) = (from, cell.hi, self.limit);
        (state.explained, state.trail) = (explained, trail);
        state.used = used.map_or_else(|| parent.used.clone(), |used| *used);
        let reach = parent.reach::<R>(&choice);
        parent.children.push(Child { choice, reach, id, to: cell.hi, explained });
        self.states[id] = state;
        self.alive.push(id);
    }

    /// Notes the window of a state that leads to a candidate.
    fn tell(&mut self, candidate: &Candidate) -> usize {
        let parent = &self.states[candidate.parent];
        let Choice { unknown, .. } = &candidate.choice;
        let mut unseen = 0;
        let unknown = unknown.iter().filter_map(|one| {
            let maybe = match one {
                Unknown::Bounded(place) => self.known.bounded.get(*place),
                Unknown::Forever(place) => self.known.forever.get(*place),
            };
            unseen += u64::from(maybe.n.is_none());
            maybe.n.map(|n| (n, maybe.start))
        });
        let counted = parent.chosen::<R>(&candidate.choice).filter(|(chosen, _)| *chosen);
        let requests = counted.map(|(_, one)| (one.n, one.start)).chain(unknown);
        let node = self.trail.add(parent.trail, parent.to, requests);
        self.trail.add_unseen(node, unseen);
        node
    }

    /// Draws the conclusions of a cell.
    fn conclude(&mut self) {
        if self.alive.is_empty() {
            self.standing = Standing::Refuted;
        } else if self.alive.len() > STATES_MAX {
            self.standing = Standing::GivenUp(Reason::TooManyStates { most: STATES_MAX });
        } else if self.work > self.work_max() {
            self.standing = Standing::GivenUp(Reason::TooMuchWork { most: self.work_max() });
        }
    }

    /// Lets go of what no state can ask for any more, once there are others.
    fn tidy(&mut self) {
        let (mut opening, mut counted, mut explained) = (NEVER, usize::MAX, NEVER);
        for state in self.alive.iter().map(|id| &self.states[*id]) {
            opening = opening.min(state.from);
            counted = counted.min(state.next);
            explained = explained.min(state.explained);
        }
        self.ripe = R::next_opening(opening, self.window.shortest);
        self.known.forget(counted, explained, opening);
        if self.trail.is_worth_tidying() {
            let states = &self.states;
            let tips: Vec<Option<usize>> = self.alive.iter().map(|id| states[*id].trail).collect();
            let moved = self.trail.tidy(&tips);
            for id in &self.alive {
                let state = &mut self.states[*id];
                state.trail = state.trail.and_then(|tip| moved[tip]);
            }
        }
    }
}

/// A list that begins with this, and has room for a few others.
fn first_of_some<T>(first: T) -> Vec<T> {
    let mut list = Vec::with_capacity(4);
    list.push(first);
    list
}
