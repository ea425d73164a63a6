//! What users count while they work, and what follows from it.

use std::collections::BTreeMap;

use crate::outcome::{Operation, Overlap, Surprise, Tally};
use crate::plan::{Job, Plan, Step};
use crate::scenario::Scenario;

/// One user's counts, or those of all.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) operations: BTreeMap<Operation, Tally>,
    /// Slots whose request was begun or could not be sent; polls are not among them.
    pub(crate) begun: u64,
    /// Slots whose request could not be sent.
    pub(crate) slots_unsent: u64,
    pub(crate) late: u64,
    /// Requests that the history has.
    pub(crate) recorded: u64,
    pub(crate) last_end_ns: u64,
    /// For each request of a volley: the domain, when it was wholly sent, when the answer's first byte came.
    pub(crate) under_way: Vec<(usize, u64, u64)>,
    /// The first domain's statuses, by slot, where they are asked for one after the other.
    pub(crate) in_turn: BTreeMap<usize, u16>,
    surprises: BTreeMap<(&'static str, String, bool), (u64, Option<u64>)>,
}

impl Totals {
    pub(crate) fn add(&mut self, other: Totals) {
        for (operation, tally) in &other.operations {
            self.operations.entry(*operation).or_default().add(tally);
        }
        self.begun += other.begun;
        self.slots_unsent += other.slots_unsent;
        self.late += other.late;
        self.recorded += other.recorded;
        self.last_end_ns = self.last_end_ns.max(other.last_end_ns);
        self.under_way.extend(other.under_way);
        self.in_turn.extend(other.in_turn);
        for (key, (count, example)) in other.surprises {
            let mine = self.surprises.entry(key).or_insert((0, example));
            mine.0 += count;
        }
    }

    /// Notes an answer that no working server gives.
    pub(crate) fn surprised(&mut self, sent: &'static str, came: String, accepted: bool, example: Option<u64>) {
        self.surprises.entry((sent, came, accepted)).or_insert((0, example)).0 += 1;
    }

    pub(crate) fn surprises(&self) -> Vec<Surprise> {
        let surprise =
            |((sent, came, accepted), (count, example)): (&(&'static str, String, bool), &(u64, Option<u64>))| {
                Surprise { sent, came: came.clone(), accepted: *accepted, count: *count, example: *example }
            };
        self.surprises.iter().map(surprise).collect()
    }

    pub(crate) fn unsent(&self) -> u64 {
        self.slots_unsent
    }

    /// How many requests of each domain were under way together, for domains with volleys of at least `needed`.
    pub(crate) fn overlap(&self, plan: &Plan, needed: usize) -> Overlap {
        let mut most: BTreeMap<usize, usize> = BTreeMap::new();
        for step in &plan.steps {
            let Step::Volley(slots) = step else { continue };
            let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
            for slot in slots {
                if let Job::Refresh { domain, .. } = slot.job {
                    *sizes.entry(domain).or_default() += 1;
                }
            }
            most.extend(sizes.into_iter().filter(|(_, size)| *size >= needed).map(|(domain, _)| (domain, 0)));
        }
        let mut spans: BTreeMap<usize, Vec<(u64, u64)>> = BTreeMap::new();
        for (domain, sent, first_byte) in &self.under_way {
            spans.entry(*domain).or_default().push((*sent, *first_byte));
        }
        for (domain, found) in &mut most {
            *found = spans.get(domain).map_or(0, |spans| together(spans));
        }
        Overlap {
            needed,
            keys: most.len(),
            reached: most.values().filter(|found| **found >= needed).count(),
            max: most.values().copied().max().unwrap_or(0),
        }
    }

    /// Whether the domain that was used up in turn was refused once its renders were gone, and not before.
    pub(crate) fn charges_at_once(&self, plan: &Plan) -> Option<bool> {
        let left = usize::try_from(plan.needs.renders_left?).ok()?;
        if plan.scenario != Scenario::QuotaDrain || self.in_turn.len() != left + 1 {
            return None;
        }
        let statuses: Vec<u16> = self.in_turn.values().copied().collect();
        let served = statuses[..left].iter().all(|status| *status == 200);
        match statuses[left] {
            403 if served => Some(true),
            200 if served => Some(false),
            _ => None,
        }
    }
}

/// The most spans that have an instant in common.
fn together(spans: &[(u64, u64)]) -> usize {
    let mut changes: Vec<(u64, i32)> = spans.iter().flat_map(|(from, to)| [(*from, 1), (*to, -1)]).collect();
    // At one instant what ends goes first: touching is no overlap.
    changes.sort_unstable();
    let (mut now, mut most) = (0, 0);
    for (_, change) in changes {
        now += change;
        most = most.max(now);
    }
    usize::try_from(most).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::together;

    #[test]
    fn only_what_has_an_instant_in_common_overlaps() {
        #[track_caller]
        fn check(spans: &[(u64, u64)], expected: usize) {
            assert_eq!(together(spans), expected, "{spans:?}");
        }
        check(&[], 0);
        check(&[(1, 5)], 1);
        check(&[(1, 5), (5, 9)], 1);
        check(&[(1, 5), (4, 9), (6, 7)], 2);
        check(&[(1, 9), (2, 8), (3, 7)], 3);
    }
}
