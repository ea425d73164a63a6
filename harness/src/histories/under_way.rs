//! Operations of a key that have begun and not ended. Pure.

use rustc_hash::FxHashMap;

use super::operation::Placed;

/// At least so many operations are told from one look at all to the next.
const LOOK_EVERY: usize = 64;

/// Operations under way, by their names.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    placed: FxHashMap<u64, Placed>,
    /// Operations told since the last look at all.
    told: usize,
}

impl UnderWay {
    /// An operation begins.
    pub(super) fn begin(&mut self, placed: Placed) {
        self.placed.insert(placed.id, placed);
    }

    /// An operation ends; says whether it was known to have begun.
    pub(super) fn end(&mut self, id: u64) -> bool {
        self.placed.remove(&id).is_some()
    }

    /// Counts one that was told, and says whether it is time to look at all: so rarely that a look costs next to nothing for each.
    pub(super) fn is_look_due(&mut self) -> bool {
        self.told += 1;
        let due = self.told >= self.placed.capacity().max(LOOK_EVERY);
        if due {
            self.told = 0;
        }
        due
    }

    /// The first start of all, and no later than `or`.
    pub(super) fn first_start(&self, or: i64) -> i64 {
        self.placed.values().map(|placed| placed.time.seen().start).fold(or, i64::min)
    }

    /// Takes away those that began before this, by start.
    pub(super) fn give_up(&mut self, before: i64) -> Vec<Placed> {
        let given_up = self.placed.extract_if(|_, placed| placed.time.seen().start < before);
        let mut given_up: Vec<Placed> = given_up.map(|(_, placed)| placed).collect();
        given_up.sort_unstable_by_key(|placed| (placed.time.seen().start, placed.id));
        // What very many at once have needed is not kept for few.
        if self.placed.capacity() > 8 * (self.placed.len() + LOOK_EVERY) {
            self.placed.shrink_to(2 * self.placed.len());
        }
        given_up
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::Interval;
    use super::super::noted::Asked;
    use super::super::operation::Time;
    use super::*;

    fn placed(id: u64, start: i64) -> Placed {
        let time = Time::new(Interval { start, end: None }, 0, None);
        Placed { id, asked: Asked::Render, time }
    }

    #[test]
    fn those_given_up_come_in_order_of_their_starts_and_are_gone() {
        let mut under_way = UnderWay::default();
        for (id, start) in [(1, 30), (2, 10), (3, 20), (4, 20)] {
            under_way.begin(placed(id, start));
        }
        assert_eq!((under_way.first_start(15), under_way.first_start(5)), (10, 5));
        let ids: Vec<u64> = under_way.give_up(30).iter().map(|placed| placed.id).collect();
        assert_eq!((ids, under_way.first_start(i64::MAX)), (vec![2, 3, 4], 30));
        assert!(under_way.end(1) && !under_way.end(2));
    }

    #[test]
    fn a_look_at_all_is_as_rare_as_there_are_many() {
        let mut under_way = UnderWay::default();
        let mut looks = 0;
        for id in 0..100_000 {
            under_way.begin(placed(id, 0));
            looks += usize::from(under_way.is_look_due());
        }
        assert!((1..60).contains(&looks), "{looks}");
    }
}
