//! Which numbers were used, in little memory.

use std::collections::BTreeMap;

/// A set of numbers, kept as ranges: recorders count, so a million numbers are a handful of ranges.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// First and last of each range; ranges neither overlap nor touch.
    ranges: BTreeMap<u64, u64>,
    /// The range that grew last, which is not among the others: it nearly always grows again.
    newest: Option<Newest>,
}

#[derive(Debug, Clone, Copy)]
struct Newest {
    first: u64,
    last: u64,
    /// The last number that can follow on it without touching another range.
    free: u64,
}

impl Seen {
    /// Adds a number and says whether it is new.
    pub(super) fn insert(&mut self, n: u64) -> bool {
        if let Some(newest) = &mut self.newest
            && newest.last < n
            && n <= newest.free
            && n - newest.last == 1
        {
            newest.last = n;
            return true;
        }
        if let Some(newest) = self.newest.take() {
            self.ranges.insert(newest.first, newest.last);
        }
        self.insert_anywhere(n)
    }

    fn insert_anywhere(&mut self, n: u64) -> bool {
        let before = self.ranges.range(..=n).next_back().map(|(first, last)| (*first, *last));
        if before.is_some_and(|(_, last)| last >= n) {
            return false;
        }
        let first = match before {
            Some((first, last)) if last.checked_add(1) == Some(n) => first,
            Some(_) | None => n,
        };
        let joined = n.checked_add(1).and_then(|next| self.ranges.remove(&next));
        let last = joined.unwrap_or(n);
        let next = self.ranges.range(n..).next().map(|(first, _)| *first);
        self.ranges.remove(&first);
        self.newest = Some(Newest { first, last, free: next.map_or(u64::MAX, |next| next - 2) });
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_knows_what_a_plain_set_knows(numbers in prop::collection::vec(prop_oneof![0..40_u64, u64::MAX - 3..=u64::MAX], 0..80)) {
            let (mut seen, mut plain) = (Seen::default(), BTreeSet::new());
            for n in numbers {
                prop_assert_eq!(seen.insert(n), plain.insert(n));
            }
            let ranges = plain.iter().filter(|n| n.checked_sub(1).is_none_or(|before| !plain.contains(&before))).count();
            prop_assert_eq!(seen.ranges.len() + usize::from(seen.newest.is_some()), ranges);
        }
    }
}
