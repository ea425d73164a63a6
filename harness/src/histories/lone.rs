//! What must hold of a rate limit, where refusing at once more than is needed is only what should not be. Pure.
//!
//! That ten of many concurrent requests are served, and not fewer, is no must. So a refusal is held against a server only if it came
//! alone, or together with nothing but refusals. Refusals change no limiter's state: whatever explains a history explains it without them, too.

use std::collections::BTreeMap;

use super::clock::Interval;
use crate::audit::rate::{Monitor, Schedule};
use crate::audit::{Kind, Request, Start, Verdict, Window};

/// The most refusals of one cluster that are kept; of more, every other one is let go, again and again. Leaving out is never wrong.
const HELD_MAX: usize = 4_096;

/// Judges what must hold: like [`Monitor`], without the refusals that overlap something else, be it through other requests.
#[derive(Debug)]
pub(super) struct MustMonitor {
    monitor: Monitor,
    /// By how much either end of a time may be wrong.
    slack: i64,
    /// Requests by start and name, as far as earlier ones may still come: when they ended, and refusals themselves.
    waiting: BTreeMap<(i64, u64), (i64, Option<Request>)>,
    cluster: Option<Cluster>,
    left_out: bool,
}

/// Requests each of which overlaps another, so far.
#[derive(Debug)]
struct Cluster {
    end: i64,
    /// Whether one of them was not refused.
    mixed: bool,
    /// Its refusals, while there is nothing else.
    held: Vec<Request>,
    /// None of them starts earlier on the clock of the windows.
    held_from: i64,
}

impl MustMonitor {
    /// A monitor that has seen nothing yet; times may be wrong by `slack` either way.
    pub(super) fn new(window: Window, start: Start, slack: i64) -> MustMonitor {
        let monitor = Monitor::new(window, start);
        MustMonitor { monitor, slack, waiting: BTreeMap::new(), cluster: None, left_out: false }
    }

    /// Takes a request, with its time by the recorder's clock.
    ///
    /// One that never ended may be under way at the server for ever, and would excuse every later refusal. It is taken to have ended
    /// when its client gave it up, or, if that is not known, when it began: nobody conforms who answers nobody else from then on.
    pub(super) fn push(&mut self, request: Request, seen: Interval) {
        let refused = request.kind == Kind::Refused;
        if !refused {
            self.monitor.push(request);
        }
        let end = seen.end.unwrap_or(seen.start);
        self.waiting.insert((seen.start, request.n), (end, refused.then_some(request)));
    }

    /// Promises that no request that starts before `before` by the recorder's clock, or before `floor` on the clock of the windows,
    /// is still to come.
    pub(super) fn settle(&mut self, before: i64, floor: i64) {
        while let Some(first) = self.waiting.first_entry().filter(|first| first.key().0 < before) {
            let ((start, _), (end, refusal)) = first.remove_entry();
            self.sort(start, end, refusal);
        }
        let held = self.cluster.as_ref().filter(|cluster| !cluster.held.is_empty());
        self.monitor.settle(held.map_or(floor, |cluster| cluster.held_from.min(floor)));
    }

    /// Takes the next request by start.
    fn sort(&mut self, start: i64, end: i64, refusal: Option<Request>) {
        let reach = 2 * self.slack;
        if self.cluster.as_ref().is_some_and(|cluster| cluster.end.saturating_add(reach) < start) {
            self.close();
        }
        let cluster = self.cluster.get_or_insert(Cluster { end, mixed: false, held: Vec::new(), held_from: i64::MAX });
        cluster.end = cluster.end.max(end);
        match refusal {
            None => {
                cluster.mixed = true;
                self.left_out |= !cluster.held.is_empty();
                cluster.held = Vec::new();
            }
            Some(_) if cluster.mixed => self.left_out = true,
            Some(refusal) => {
                cluster.held_from = refusal.start.min(cluster.held_from);
                cluster.held.push(refusal);
                if cluster.held.len() == HELD_MAX {
                    let mut at = 0;
                    cluster.held.retain(|_| {
                        at += 1;
                        at % 2 == 1
                    });
                    self.left_out = true;
                }
            }
        }
    }

    /// Nothing overlaps the cluster any more: its refusals, if it has nothing else, stand.
    fn close(&mut self) {
        let held = self.cluster.take().map(|cluster| cluster.held).unwrap_or_default();
        held.into_iter().for_each(|refusal| self.monitor.push(refusal));
    }

    /// The verdict, and whether refusals were left out.
    pub(super) fn finish(mut self) -> (Verdict<Schedule>, bool) {
        // Nothing is promised any more: the monitor takes what comes, whenever it started.
        while let Some(((start, _), (end, refusal))) = self.waiting.pop_first() {
            self.sort(start, end, refusal);
        }
        self.close();
        (self.monitor.finish(), self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audit::rate;

    const WINDOW: Window = Window { limit: 2, shortest: 1_000, longest: 1_000 };

    fn request(n: u64, (start, length, kind): (i64, i64, u8)) -> Request {
        let kind = match kind {
            0 => Kind::Counted,
            1 => Kind::Perhaps { until: Some(start + length) },
            _ => Kind::Refused,
        };
        Request { n, start, end: start + length, kind }
    }

    fn seen(request: &Request) -> Interval {
        Interval { start: request.start, end: Some(request.end) }
    }

    /// Looks at all pairs until nothing changes.
    fn without_excused(requests: &[Request], slack: i64) -> Vec<Request> {
        let together =
            |one: &Request, other: &Request| one.start <= other.end + 2 * slack && other.start <= one.end + 2 * slack;
        let mut excused: Vec<bool> = requests.iter().map(|request| request.kind != Kind::Refused).collect();
        loop {
            let more: Vec<usize> = (0..requests.len())
                .filter(|at| !excused[*at])
                .filter(|at| (0..requests.len()).any(|by| excused[by] && together(&requests[*at], &requests[by])))
                .collect();
            if more.is_empty() {
                break;
            }
            more.into_iter().for_each(|at| excused[at] = true);
        }
        let stands =
            |(at, request): (usize, &Request)| (request.kind != Kind::Refused || !excused[at]).then_some(*request);
        requests.iter().enumerate().filter_map(stands).collect()
    }

    proptest! {
        #[test]
        fn it_judges_what_a_look_at_all_pairs_leaves(
            times in prop::collection::vec((0..3_000_i64, 0..80_i64, 0..5_u8), 1..40), slack in 0..9_i64, step in 1..9_usize,
        ) {
            let mut requests: Vec<Request> = (1..).zip(times).map(|(n, made)| request(n, made)).collect();
            requests.sort_by_key(|request| request.start);
            let mut monitor = MustMonitor::new(WINDOW, Start::Fresh, slack);
            monitor.monitor.work_at_once();
            for (at, one) in requests.iter().enumerate() {
                if at % step == 0 {
                    monitor.settle(one.start, one.start);
                }
                monitor.push(*one, seen(one));
            }
            let left = without_excused(&requests, slack);
            let (found, left_out) = monitor.finish();
            let expected = rate::judge(&left, &WINDOW, Start::Fresh);
            prop_assert_eq!(matches!(found, Verdict::Consistent(_)), matches!(expected, Verdict::Consistent(_)));
            prop_assert_eq!(matches!(found, Verdict::Inconsistent(_)), matches!(expected, Verdict::Inconsistent(_)));
            prop_assert_eq!(left_out, left.len() < requests.len());
        }
    }

    #[test]
    fn a_flood_of_refusals_that_overlap_for_ever_is_held_in_bounded_memory_and_still_tells() {
        let count = 10 * HELD_MAX as u64;
        let mut monitor = MustMonitor::new(WINDOW, Start::Fresh, 0);
        for n in 0..count {
            let start = i64::try_from(n).unwrap();
            let refusal = request(n, (start, 5, 2));
            monitor.push(refusal, seen(&refusal));
            monitor.settle(start, start);
            assert!(
                monitor.waiting.len() < 3
                    && monitor.cluster.as_ref().is_none_or(|cluster| cluster.held.len() < HELD_MAX)
            );
        }
        let (found, left_out) = monitor.finish();
        assert!(left_out && matches!(found, Verdict::Inconsistent(_)), "{found:?}");
    }
}
