//! The limiter as its documents tell it, played through in every possible way, instant by instant.
//!
//! Exponential, so for small histories only; and written without a look at how the audit works.

use std::collections::HashSet;

use hookproof::audit::{Kind, Request, Window};

struct Play<'a> {
    requests: &'a [Request],
    window: Window,
    /// Those that must have been decided, as bits.
    must: u32,
    /// No request is decided after this instant that must be.
    last: i64,
    dead_ends: HashSet<(i64, u32, i64, u64)>,
}

/// No window is open.
const NONE: i64 = i64::MIN;

/// Whether a correct server, fresh at first, can have answered like this.
pub(crate) fn is_consistent(requests: &[Request], window: &Window) -> bool {
    let must = requests.iter().enumerate().filter(|(_, request)| !matches!(request.kind, Kind::Perhaps { .. }));
    let must: Vec<usize> = must.map(|(index, _)| index).collect();
    let Some(last) = must.iter().map(|index| requests[*index].end).max() else { return true };
    let first = requests.iter().map(|request| request.start).min().unwrap();
    let must = must.iter().fold(0, |bits, index| bits | 1 << index);
    let mut play = Play { requests, window: *window, must, last, dead_ends: HashSet::new() };
    play.goes_on(first, 0, NONE, 0)
}

impl Play<'_> {
    /// Whether there is a way on from instant `now`, with these requests decided, and this window and count.
    fn goes_on(&mut self, now: i64, done: u32, end: i64, count: u64) -> bool {
        if self.must & !done == 0 {
            return true;
        }
        if now > self.last {
            return false;
        }
        let (end, count) = if now >= end { (NONE, 0) } else { (end, count) };
        let here = (now, done, end, count);
        if self.dead_ends.contains(&here) {
            return false;
        }
        let found = self.decides_one(now, done, end, count) || self.lets_time_pass(now, done, end, count);
        if !found {
            self.dead_ends.insert(here);
        }
        found
    }

    fn decides_one(&mut self, now: i64, done: u32, end: i64, count: u64) -> bool {
        (0..self.requests.len()).any(|index| {
            let request = self.requests[index];
            let bit = 1 << index;
            let last = match request.kind {
                Kind::Perhaps { until } => until.unwrap_or(i64::MAX),
                Kind::Counted | Kind::Refused => request.end,
            };
            if done & bit != 0 || now < request.start || now > last {
                return false;
            }
            let refused = request.kind == Kind::Refused;
            let is_full = end != NONE && count == self.window.limit;
            if refused != is_full {
                return false;
            }
            if refused {
                self.goes_on(now, done | bit, end, count)
            } else if end == NONE {
                let lengths = self.window.shortest..=self.window.longest;
                lengths.into_iter().any(|length| self.goes_on(now, done | bit, now + length, 1))
            } else {
                self.goes_on(now, done | bit, end, count + 1)
            }
        })
    }

    fn lets_time_pass(&mut self, now: i64, done: u32, end: i64, count: u64) -> bool {
        let overdue = |(index, request): (usize, &Request)| self.must & !done & (1 << index) != 0 && request.end <= now;
        !self.requests.iter().enumerate().any(overdue) && self.goes_on(now + 1, done, end, count)
    }
}
