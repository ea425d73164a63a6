//! Operations of one recorder that were invoked and not completed, by number.

use rustc_hash::FxHashMap;

use super::{Invocation, Name};

/// So many numbers in a row have places of their own.
const PLACES: u64 = 64;

/// Operations in flight. Recorders count, and most operations end soon: so a number's last digits nearly always name a place that is free.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    /// By what is left of a number after division by [`PLACES`].
    places: Vec<Option<(u64, Invocation<Name>)>>,
    /// Those whose place was taken.
    others: FxHashMap<u64, Invocation<Name>>,
}

impl InFlight {
    /// The operation with this number.
    #[inline]
    pub(super) fn get(&self, n: u64) -> Option<&Invocation<Name>> {
        match self.places.get(place(n)) {
            Some(Some((number, invocation))) if *number == n => Some(invocation),
            _ if self.others.is_empty() => None,
            _ => self.others.get(&n),
        }
    }

    /// Adds one with a number that no other has.
    #[inline]
    pub(super) fn insert(&mut self, n: u64, invocation: Invocation<Name>) -> &Invocation<Name> {
        let place = place(n);
        if self.places.is_empty() {
            self.places.resize_with(PLACES as usize, || None);
        }
        if self.places[place].is_some() {
            return self.others.entry(n).or_insert(invocation);
        }
        &self.places[place].insert((n, invocation)).1
    }

    /// Takes one away.
    #[inline]
    pub(super) fn remove(&mut self, n: u64) {
        match self.places.get_mut(place(n)) {
            Some(taken) if taken.as_ref().is_some_and(|(number, _)| *number == n) => *taken = None,
            _ => drop(self.others.remove(&n)),
        }
    }

    /// All, by number.
    pub(super) fn sorted(&self) -> Vec<(u64, &Invocation<Name>)> {
        let placed = self.places.iter().flatten().map(|(n, invocation)| (*n, invocation));
        let others = self.others.iter().map(|(n, invocation)| (*n, invocation));
        let mut all: Vec<(u64, &Invocation<Name>)> = placed.chain(others).collect();
        all.sort_unstable_by_key(|(n, _)| *n);
        all
    }
}

fn place(n: u64) -> usize {
    (n % PLACES) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::collections::btree_map::Entry;

    use proptest::prelude::*;

    use super::super::Action;
    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_a_plain_map_holds(steps in prop::collection::vec((0..200_u64, any::<bool>()), 0..300)) {
            let (mut in_flight, mut plain) = (InFlight::default(), BTreeMap::new());
            for (start_ns, (n, ends)) in (0..).zip(steps) {
                if ends {
                    in_flight.remove(n);
                    plain.remove(&n);
                } else if let Entry::Vacant(free) = plain.entry(n) {
                    let action = Action::Advance { ms: n };
                    let invocation = Invocation { action, due_ns: None, start_ns, server_start_ms: None };
                    prop_assert_eq!(in_flight.insert(n, invocation.clone()), &invocation);
                    free.insert(invocation);
                }
                prop_assert_eq!(in_flight.get(n), plain.get(&n));
            }
            let expected: Vec<(u64, &Invocation<Name>)> = plain.iter().map(|(n, one)| (*n, one)).collect();
            prop_assert_eq!(in_flight.sorted(), expected);
        }
    }
}
