//! How many requests were under way at one instant. Pure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Which end of a request. At one instant starts come first: both ends belong to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Start,
    Finish,
}

/// Counts requests under way, in memory bounded by those of late.
#[derive(Debug, Default)]
pub(super) struct Overlap {
    ends: BinaryHeap<Reverse<(i64, End)>>,
    now: u64,
    max: u64,
}

impl Overlap {
    /// Adds a request.
    pub(super) fn push(&mut self, start: i64, end: i64) {
        self.ends.push(Reverse((start, End::Start)));
        self.ends.push(Reverse((end, End::Finish)));
    }

    /// Promises that no request that starts before this is still to come.
    pub(super) fn settle(&mut self, before: i64) {
        while let Some(Reverse((at, end))) = self.ends.peek().copied() {
            if at >= before {
                break;
            }
            self.ends.pop();
            match end {
                End::Start => self.now += 1,
                End::Finish => self.now -= 1,
            }
            self.max = self.max.max(self.now);
        }
    }

    /// The most at one instant, once all have come.
    pub(super) fn finish(mut self) -> u64 {
        self.settle(i64::MAX);
        self.max
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_counts_what_a_plain_look_at_every_start_counts(times in prop::collection::vec((0..50_i64, 0..9_i64), 1..40)) {
            let mut overlap = Overlap::default();
            let mut sorted = times.clone();
            sorted.sort_unstable();
            for (start, length) in &sorted {
                overlap.settle(*start);
                overlap.push(*start, start + length);
            }
            let under_way = |at: i64| times.iter().filter(|(start, length)| *start <= at && at <= start + length).count();
            let most = times.iter().map(|(start, _)| under_way(*start)).max().unwrap_or(0);
            prop_assert_eq!(overlap.finish(), most as u64);
        }
    }
}
