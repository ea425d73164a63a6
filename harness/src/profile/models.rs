//! Limiters as they could be, and whether one of them would have given every single answer that was seen. Pure.
//!
//! A limiter is named only if it explains all answers, so an odd one fits nothing rather than what it resembles.

use std::collections::BTreeSet;

use crate::checks::rndrkit::WINDOW_MS;

/// Moments are counted from well before the first request, so that a phase can be taken off.
const BASE_MS: u64 = 100 * WINDOW_MS;

/// Moments nearer to each other than this (ms) belong to one stage.
const STAGE_MS: u64 = 8_000;

/// Phases of a sliding counter, and refills, are tried in steps of this (ms).
const STEP_MS: u64 = 5_000;

/// A bucket shows only if one token takes [`STEP_MS`] at least and this (ms) at most to come back: then several do before the hour ends.
const REFILL_MAX_MS: u64 = 25 * 60_000;

/// A count that is forgotten shows only if that takes less than this (ms).
const IDLE_MAX_MS: u64 = 59 * 60_000;

/// One request and how it was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    /// What it is counted with, were there one limit for each such number.
    pub(super) key: usize,
    /// Milliseconds since the first request, if the target's clock stood still between its moves, and if it ran on.
    pub(super) at: [u64; 2],
    /// True if it was served.
    pub(super) served: bool,
}

/// What puts a window's end off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Refused,
    Served,
    Every,
}

impl By {
    fn extends(self, served: bool) -> bool {
        match self {
            By::Refused => !served,
            By::Served => served,
            By::Every => true,
        }
    }
}

/// A limiter, but for its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    /// A window that begins with its first request.
    Fixed { window: u64 },
    /// Windows that begin at the same moments for everybody.
    Clock { window: u64, phase: u64 },
    /// Windows one after another from the first request ever.
    Grid { window: u64 },
    /// The requests of the last hour; `all`: refused ones, too.
    Log { window: u64, all: bool },
    /// This window's requests and a share of the last one's; windows as in `Clock`, or without a phase as in `Grid`.
    Counter { phase: Option<u64>, rounding: u64, all: bool },
    /// Tokens that come back one by one; `drops`: what has begun to come back is lost when tokens are counted anew.
    Bucket { refill: u64, drops: bool },
    /// A fixed window whose count goes down by one every so often.
    Draining { refill: u64 },
    /// A fixed window and a bucket; both must agree.
    Both { refill: u64 },
    /// A fixed window whose count is forgotten if nothing comes for so long.
    Forgets { idle: u64 },
    /// A window whose end is put off.
    Extended { window: u64, by: By },
}

/// What a limiter remembers under one key.
#[derive(Clone, Default)]
struct Memory {
    begin: Option<u64>,
    last: Option<u64>,
    count: u64,
    previous: u64,
    /// What is missing in a bucket, in milliseconds of refilling.
    missing: u64,
    log: Vec<u64>,
}

impl Memory {
    /// Begins a new window if the old one is over or there is none.
    fn roll(&mut self, now: u64, window: u64) -> bool {
        let fresh = self.begin.is_none_or(|begin| now >= begin + window);
        if fresh {
            (self.begin, self.count) = (Some(now), 0);
        }
        fresh
    }

    /// The window of that number; counts of older ones are kept for one window.
    fn turn(&mut self, number: u64) {
        let current = *self.begin.get_or_insert(number);
        if number != current {
            self.previous = if number == current + 1 { self.count } else { 0 };
            (self.begin, self.count) = (Some(number), 0);
        }
    }

    fn take(&mut self, allowed: bool) -> bool {
        self.count += u64::from(allowed);
        allowed
    }

    /// Lets tokens come back; true if one is there.
    fn refill(&mut self, now: u64, refill: u64, limit: u64, drops: bool) -> bool {
        let passed = now - *self.last.get_or_insert(now);
        if !drops || passed >= refill {
            let back = if drops { passed / refill * refill } else { passed };
            self.missing = self.missing.saturating_sub(back);
            self.last = Some(now);
        }
        self.missing + refill <= limit * refill
    }
}

impl Model {
    fn admit(self, limit: u64, memory: &mut Memory, now: u64) -> bool {
        match self {
            Model::Fixed { window } => {
                memory.roll(now, window);
                memory.take(memory.count < limit)
            }
            Model::Clock { window, phase } => {
                memory.turn((now - phase) / window);
                memory.take(memory.count < limit)
            }
            Model::Grid { window } => {
                let origin = *memory.last.get_or_insert(now);
                memory.turn((now - origin) / window);
                memory.take(memory.count < limit)
            }
            Model::Log { window, all } => {
                memory.log.retain(|then| now < then + window);
                let served = (memory.log.len() as u64) < limit;
                if served || all {
                    memory.log.push(now);
                }
                served
            }
            Model::Counter { phase, rounding, all } => {
                let since = now - phase.unwrap_or(*memory.last.get_or_insert(now));
                memory.turn(since / WINDOW_MS);
                let old = memory.previous * (WINDOW_MS - since % WINDOW_MS);
                // In halves of a request: an estimate is compared as it is, rounded to the nearest, or with this request in it.
                let served = 2 * (memory.count * WINDOW_MS + old) + rounding * WINDOW_MS
                    < 2 * limit * WINDOW_MS + u64::from(rounding == 2);
                memory.count += u64::from(served || all);
                served
            }
            Model::Bucket { refill, drops } => {
                let served = memory.refill(now, refill, limit, drops);
                memory.missing += if served { refill } else { 0 };
                served
            }
            Model::Draining { refill } => {
                if memory.roll(now, WINDOW_MS) {
                    (memory.missing, memory.last) = (0, Some(now));
                }
                let served = memory.refill(now, refill, limit, false);
                memory.missing += if served { refill } else { 0 };
                served
            }
            Model::Both { refill } => {
                memory.roll(now, WINDOW_MS);
                let stocked = memory.refill(now, refill, limit, false);
                let served = memory.take(stocked && memory.count < limit);
                memory.missing += if served { refill } else { 0 };
                served
            }
            Model::Forgets { idle } => {
                if memory.last.is_some_and(|last| now - last >= idle) {
                    memory.begin = None;
                }
                memory.last = Some(now);
                memory.roll(now, WINDOW_MS);
                memory.take(memory.count < limit)
            }
            Model::Extended { window, by } => {
                memory.roll(now, window);
                let served = memory.take(memory.count < limit);
                if by.extends(served) {
                    memory.begin = Some(now);
                }
                served
            }
        }
    }

    /// True if this limiter would have given all these answers.
    fn explains(self, limit: u64, asks: &[Ask], clock: usize) -> bool {
        let mut memory = Memory::default();
        let mut key = usize::MAX;
        asks.iter().all(|ask| {
            if ask.key != key {
                (memory, key) = (Memory::default(), ask.key);
            }
            self.admit(limit, &mut memory, BASE_MS + ask.at[clock]) == ask.served
        })
    }
}

/// Which limiters to try besides the documented window.
pub(super) struct Search {
    /// By key, each in order of time.
    asks: Vec<Ask>,
    limit: u64,
    /// Differences between the moments of stages, in order: where two windows differ in length but not across one of them, no
    /// answer can tell them apart.
    spans: Vec<u64>,
    /// When each stage began.
    stages: Vec<u64>,
}

impl Search {
    /// A search for what explains these answers.
    pub(super) fn new(mut asks: Vec<Ask>, limit: u64) -> Search {
        asks.sort_by_key(|ask| (ask.key, ask.at));
        let stages = stages(&asks);
        let spans = spans(&stages);
        Search { asks, limit, spans, stages }
    }

    /// Those of these limiters that explain every answer, with the clock standing or running.
    fn fitting(&self, candidates: impl Iterator<Item = Model>) -> Vec<Model> {
        let fits = |model: &Model| (0..2).any(|clock| model.explains(self.limit, &self.asks, clock));
        candidates.filter(fits).collect()
    }

    /// All limiters that explain every answer.
    pub(super) fn explaining(&self) -> Vec<Model> {
        let mut found = self.fitting(self.windows(WINDOW_MS, self.phases(WINDOW_MS)));
        found.extend(self.fitting(self.between_spans().flat_map(|window| {
            // A boundary inside a stage is looked for in windows of an hour only.
            let phases = self.stages.iter().map(|stage| (BASE_MS + stage) % window);
            self.windows(window, phases.collect())
        })));
        let counters = self.phases(WINDOW_MS).into_iter().chain((0..WINDOW_MS).step_by(STEP_MS as usize));
        let counters = counters.map(Some).chain([None]).flat_map(|phase| {
            let kinds = (0..3).flat_map(|rounding| [false, true].map(|all| (rounding, all)));
            kinds.map(move |(rounding, all)| Model::Counter { phase, rounding, all })
        });
        found.extend(self.fitting(counters));
        let each = WINDOW_MS / self.limit;
        let refills = || (STEP_MS..=REFILL_MAX_MS).step_by(STEP_MS as usize).chain([each]);
        found.extend(self.fitting(refills().flat_map(|refill| {
            [false, true]
                .map(|drops| Model::Bucket { refill, drops })
                .into_iter()
                .chain([Model::Draining { refill }, Model::Both { refill }])
        })));
        let idles = self.between_spans().filter(|idle| *idle < IDLE_MAX_MS);
        found.extend(self.fitting(idles.map(|idle| Model::Forgets { idle })));
        found
    }

    /// The greatest span that is shorter than a length, and the least that is not.
    pub(super) fn bounds(&self, length: u64) -> (u64, Option<u64>) {
        let most = self.spans.iter().copied().find(|span| *span >= length);
        (self.spans.iter().copied().rfind(|span| *span < length).unwrap_or_default(), most)
    }

    /// What its window could be instead, the documented one included, for a model whose windows are its own.
    pub(super) fn windows_of(&self, model: Model) -> Vec<u64> {
        let other = |window: u64| match model {
            Model::Fixed { .. } => Some(Model::Fixed { window }),
            Model::Log { all, .. } => Some(Model::Log { window, all }),
            Model::Extended { by, .. } => Some(Model::Extended { window, by }),
            _ => None,
        };
        let lengths = self.between_spans().chain([WINDOW_MS]);
        let fits = |window: &u64| other(*window).is_some_and(|model| !self.fitting([model].into_iter()).is_empty());
        lengths.filter(fits).collect()
    }

    fn windows(&self, window: u64, phases: BTreeSet<u64>) -> impl Iterator<Item = Model> + use<> {
        let clocks = phases.into_iter().map(move |phase| Model::Clock { window, phase });
        let logs = [false, true].map(|all| Model::Log { window, all });
        let extended = [By::Refused, By::Served, By::Every].map(|by| Model::Extended { window, by });
        let own = [Model::Fixed { window }, Model::Grid { window }];
        own.into_iter().chain(logs).chain(extended).chain(clocks)
    }

    /// Every place in a window where a boundary could lie: just before a request. Between two requests nothing tells where.
    fn phases(&self, window: u64) -> BTreeSet<u64> {
        self.asks.iter().flat_map(|ask| ask.at).map(|at| (BASE_MS + at) % window).collect()
    }

    fn between_spans(&self) -> impl Iterator<Item = u64> {
        self.spans.windows(2).map(|pair| u64::midpoint(pair[0], pair[1]))
    }
}

fn stages(asks: &[Ask]) -> Vec<u64> {
    let moments: BTreeSet<u64> = asks.iter().map(|ask| ask.at[0]).collect();
    let mut stages: Vec<u64> = Vec::new();
    for moment in moments {
        if stages.last().is_none_or(|last| moment > last + STAGE_MS) {
            stages.push(moment);
        }
    }
    stages
}

fn spans(stages: &[u64]) -> Vec<u64> {
    let differences = stages.iter().flat_map(|later| stages.iter().map(move |earlier| later.saturating_sub(*earlier)));
    differences.collect::<BTreeSet<u64>>().into_iter().collect()
}
