//! Pasts chosen greedily: where one explains a history, nothing has to be searched for.
//!
//! Windows are laid one after the other. Each takes whom it can of those who wait, the most urgent first, and lasts as long as
//! it may; requests of unknown outcome never count. The result is a schedule like any other, so a history that it explains is
//! explained, whatever a search would have tried. Of a history that none of the few explains nothing is known.

use super::rules::NEVER;
use super::{Opened, Schedule};
use crate::audit::{Kind, Request, Window};

/// More requests are not looked at: in a crafted history many can wait for long, and each window looks at all who wait.
const REQUESTS_MAX: usize = 2_048;

/// When a window opens, of the instants at which it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// As late as everybody who must count allows: it lasts the longer.
    Late,
    /// With the first request: it leaves the more time to the next.
    Early,
}

/// A request that counted.
#[derive(Debug, Clone, Copy)]
struct Counted {
    n: u64,
    start: i64,
    end: i64,
    /// The earliest start and the earliest end of this and of all that come after it.
    first_start: i64,
    first_end: i64,
}

/// A request that was refused.
#[derive(Debug, Clone, Copy)]
struct Refused {
    start: i64,
    /// The earliest end of this and of all that come after it.
    first_end: i64,
}

/// Requests of known outcome, the last first.
#[derive(Debug)]
struct Known {
    counted: Vec<Counted>,
    refused: Vec<Refused>,
}

impl Known {
    fn of(requests: &[Request]) -> Known {
        let mut counted: Vec<Counted> = Vec::with_capacity(requests.len());
        let mut refused: Vec<Refused> = Vec::with_capacity(requests.len());
        for Request { n, start, end, kind } in requests.iter().rev().copied() {
            match kind {
                Kind::Counted => {
                    let after = counted.last().map_or((start, end), |one| (one.first_start, one.first_end));
                    let (first_start, first_end) = (after.0.min(start), after.1.min(end));
                    counted.push(Counted { n, start, end, first_start, first_end });
                }
                Kind::Refused => {
                    let first_end = refused.last().map_or(end, |one| one.first_end.min(end));
                    refused.push(Refused { start, first_end });
                }
                Kind::Perhaps { .. } => {}
            }
        }
        Known { counted, refused }
    }
}

/// Whether a past that begins with no window open explains these requests, which may stand in any order.
pub(super) fn explains(requests: &[Request], window: &Window) -> bool {
    attempt(requests, window, |laying| laying.all(|_| {}).then_some(())).is_some()
}

/// The schedule of such a past.
pub(super) fn schedule(requests: &[Request], window: &Window) -> Option<Schedule> {
    let windows = attempt(requests, window, |laying| {
        let mut windows = Vec::new();
        laying.all(|laid| windows.push(laid.opened())).then_some(windows)
    })?;
    Some(Schedule { earlier: 0, windows })
}

/// Tries what costs least first: in the order in which requests mostly stand, that of their ends, they mostly fall into windows as
/// they would by start. Whoever is looked at too late is only left for a later window.
fn attempt<T>(requests: &[Request], window: &Window, lay: impl Fn(Laying<'_>) -> Option<T>) -> Option<T> {
    if requests.len() > REQUESTS_MAX {
        return None;
    }
    let known = Known::of(requests);
    if let Some(found) = lay(Laying::new(&known, window, Opening::Late)) {
        return Some(found);
    }
    let mut sorted = requests.to_vec();
    sorted.sort_unstable_by_key(|request| request.start);
    let known = Known::of(&sorted);
    [Opening::Late, Opening::Early].into_iter().find_map(|opening| lay(Laying::new(&known, window, opening)))
}

/// A window and whom it serves.
struct Laid<'a> {
    start: i64,
    end: i64,
    members: &'a [Counted],
}

impl Laid<'_> {
    fn opened(&self) -> Opened {
        let mut counted: Vec<(u64, i64)> = self.members.iter().map(|one| (one.n, one.start.max(self.start))).collect();
        counted.sort_by_key(|(_, at)| *at);
        Opened { start: self.start, end: self.end, counted, unseen: 0 }
    }
}

/// Lays windows.
struct Laying<'a> {
    /// Those who are still to count and did not wait for a window so far, and those whom no window explains so far.
    counted: &'a [Counted],
    refused: &'a [Refused],
    window: &'a Window,
    limit: usize,
    opening: Opening,
    /// Those who found a window full and wait for the next.
    waiting: Vec<Counted>,
    /// When the last window ended.
    end: i64,
}

impl<'a> Laying<'a> {
    fn new(known: &'a Known, window: &'a Window, opening: Opening) -> Laying<'a> {
        let Known { counted, refused } = known;
        let limit = usize::try_from(window.limit).unwrap_or(usize::MAX);
        Laying { counted, refused, window, limit, opening, waiting: Vec::new(), end: i64::MIN }
    }

    /// Whether windows explain everything; `tell` gets each that was laid.
    fn all(mut self, mut tell: impl FnMut(Laid<'_>)) -> bool {
        while !self.waiting.is_empty() || !self.counted.is_empty() {
            if self.next(&mut tell).is_none() {
                return false;
            }
        }
        self.refused.is_empty()
    }

    /// Lays the next window; none if somebody who must count then cannot any more, or if it has nobody to open it.
    fn next(&mut self, tell: &mut impl FnMut(Laid<'_>)) -> Option<()> {
        let Window { shortest, longest, .. } = *self.window;
        let refused = self.refused.last().map_or(NEVER, |one| one.first_end);
        let (mut first, mut urgent) = (NEVER, NEVER);
        if let Some(one) = self.counted.last() {
            (first, urgent) = (one.first_start, one.first_end);
        }
        for one in &self.waiting {
            (first, urgent) = (first.min(one.start), urgent.min(one.end));
        }
        let first = first.max(self.end);
        // Nobody who is left counts before it opens, and nobody whom no window explains so far was refused before.
        let latest = urgent.min(refused);
        let mut start = if self.opening == Opening::Late { latest } else { first };
        let mut end = start.checked_add(longest)?;
        let taken = split(&mut self.counted, |one| one.start < end);
        let members = if self.waiting.is_empty() && taken.len() <= self.limit {
            taken
        } else {
            self.waiting.extend(taken);
            self.waiting.sort_unstable_by_key(|one| one.end);
            if let Some(left) = self.waiting.get(self.limit) {
                // The first who is left must still find the next window.
                start = start.min(left.end.checked_sub(shortest)?);
                end = left.end.min(start.checked_add(longest)?);
            }
            &self.waiting[..self.waiting.len().min(self.limit)]
        };
        let sent = members.iter().map(|one| one.start);
        let (opener, last) = sent.fold((NEVER, i64::MIN), |(low, high), one| (low.min(one), high.max(one)));
        if start < first || opener > start || last >= end {
            return None;
        }
        // A full window explains who was refused from its last request until its end.
        if members.len() == self.limit && last.max(start) <= refused {
            split(&mut self.refused, |one| one.start < end);
        }
        tell(Laid { start, end, members });
        let served = members.len().min(self.waiting.len());
        self.waiting.drain(..served);
        self.end = end;
        Some(())
    }
}

/// Takes the first of a list, which has the last first, as far as they are before something.
fn split<'a, T>(list: &mut &'a [T], before: impl Fn(&T) -> bool) -> &'a [T] {
    let left = list.iter().rposition(|one| !before(one)).map_or(0, |last| last + 1);
    let (rest, taken) = list.split_at(left);
    *list = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::super::replay;
    use super::*;
    use crate::audit::Start;

    const WINDOW: Window = Window { limit: 2, shortest: 10, longest: 12 };

    fn counted(n: u64, start: i64, end: i64) -> Request {
        Request { n, start, end, kind: Kind::Counted }
    }

    fn refused(n: u64, start: i64, end: i64) -> Request {
        Request { n, start, end, kind: Kind::Refused }
    }

    /// Start and end of each window of the schedule that is chosen, which explains the requests.
    #[track_caller]
    fn check(requests: &[Request], expected: Option<&[(i64, i64)]>) {
        let chosen = schedule(requests, &WINDOW);
        assert_eq!(explains(requests, &WINDOW), chosen.is_some());
        if let Some(schedule) = &chosen {
            assert_eq!(replay(requests, &WINDOW, Start::Fresh, schedule), Ok(()));
        }
        let windows =
            chosen.map(|schedule| schedule.windows.iter().map(|one| (one.start, one.end)).collect::<Vec<_>>());
        assert_eq!(windows.as_deref(), expected);
    }

    #[test]
    fn a_window_opens_as_late_and_lasts_as_long_as_it_may() {
        check(&[counted(0, 0, 3), counted(1, 1, 4), refused(2, 2, 5)], Some(&[(3, 15)]));
    }

    #[test]
    fn a_window_opens_before_anybody_was_refused() {
        check(&[counted(0, 0, 5), counted(1, 1, 5), refused(2, 2, 4)], Some(&[(4, 16)]));
        check(&[counted(0, 0, 5), counted(1, 4, 5), refused(2, 2, 3)], None);
    }

    #[test]
    fn whoever_finds_a_window_full_waits_for_the_next() {
        let requests = [counted(0, 0, 3), counted(1, 1, 4), counted(2, 13, 14), refused(3, 3, 6)];
        check(&requests, Some(&[(3, 14), (14, 26)]));
    }

    #[test]
    fn a_window_opens_earlier_if_the_next_could_not_open_otherwise() {
        check(&[counted(0, 0, 3), counted(1, 1, 4), counted(2, 11, 12)], Some(&[(2, 12), (12, 24)]));
        check(&[counted(0, 2, 3), counted(1, 2, 4), counted(2, 11, 11)], None);
    }

    #[test]
    fn requests_in_any_order_are_explained() {
        let requests = [counted(2, 20, 21), refused(4, 22, 23), counted(0, 0, 3), counted(3, 21, 22), counted(1, 1, 4)];
        check(&requests, Some(&[(3, 15), (21, 33)]));
    }

    #[test]
    fn a_window_opens_early_where_a_late_one_takes_from_the_next() {
        let requests = [counted(0, 0, 5), counted(1, 13, 14), counted(2, 14, 15), refused(3, 15, 16)];
        check(&requests, Some(&[(0, 12), (13, 25)]));
    }

    #[test]
    fn at_the_ends_of_time_nothing_is_explained_wrongly() {
        let shifted = |by: i64| [counted(0, by, by + 3), counted(1, by, by + 3), counted(2, by, by + 3)];
        check(&shifted(i64::MIN), None);
        check(&shifted(i64::MIN + 1), None);
        check(&[counted(0, i64::MAX, i64::MAX)], None);
    }

    #[test]
    fn a_long_history_is_left_to_the_search() {
        let in_turn = |count: u64| (0..count).map(|n| counted(n, 6 * n as i64, 6 * n as i64)).collect::<Vec<_>>();
        assert!(explains(&in_turn(2_048), &WINDOW));
        assert!(!explains(&in_turn(2_049), &WINDOW));
    }

    #[test]
    fn unknown_requests_never_count() {
        let perhaps = Request { n: 0, start: 0, end: 9, kind: Kind::Perhaps { until: None } };
        check(&[perhaps], Some(&[]));
        check(&[perhaps, counted(1, 1, 2), refused(2, 3, 4)], None);
    }
}
