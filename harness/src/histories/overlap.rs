//! How many requests were under way at one instant. Pure.

/// Fewer requests than these are not worth a look.
const BATCH: usize = 64;

/// Counts requests under way, in memory bounded by those of late.
#[derive(Debug, Default)]
pub(super) struct Overlap {
    /// Of requests not counted yet.
    starts: Vec<i64>,
    /// Of those, and of requests counted whose end has not been passed.
    ends: Vec<i64>,
    /// How many ends there must be before the next look, so that a look costs little for each.
    enough: usize,
    now: u64,
    max: u64,
}

impl Overlap {
    /// Adds a request.
    pub(super) fn push(&mut self, start: i64, end: i64) {
        self.starts.push(start);
        self.ends.push(end);
    }

    /// Promises that no request that starts before this is still to come. Costs nearly nothing where there is little to count.
    pub(super) fn settle(&mut self, before: i64) {
        if self.ends.len() >= self.enough.max(BATCH) {
            self.count(before);
        }
    }

    /// Counts up to this instant.
    fn count(&mut self, before: i64) {
        // Stable sorts take advantage of what is in order already, which is nearly all.
        self.starts.sort();
        self.ends.sort();
        let started = self.starts.partition_point(|start| *start < before);
        let mut ended = 0;
        for start in &self.starts[..started] {
            // At one instant starts come first: both ends belong to the request.
            while self.ends.get(ended).is_some_and(|end| end < start) {
                ended += 1;
                self.now -= 1;
            }
            self.now += 1;
            self.max = self.max.max(self.now);
        }
        self.starts.drain(..started);
        self.ends.drain(..ended);
        self.enough = 2 * self.ends.len();
    }

    /// The most at one instant, once all have come.
    pub(super) fn finish(mut self) -> u64 {
        self.count(i64::MAX);
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
                overlap.count(*start);
                overlap.push(*start, start + length);
            }
            let under_way = |at: i64| times.iter().filter(|(start, length)| *start <= at && at <= start + length).count();
            let most = times.iter().map(|(start, _)| under_way(*start)).max().unwrap_or(0);
            prop_assert_eq!(overlap.finish(), most as u64);
        }
    }
}
