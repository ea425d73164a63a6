//! Cases drawn from proptest's strategies, and ever smaller ones. Pure: the same seed gives the same case.
//!
//! proptest's own runner calls a property and waits for its verdict, which an exchange with a target does not fit. So a search for a
//! smaller case is kept as the verdicts that it has had: the tree of values is drawn again and led through them.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sha2::{Digest as _, Sha256};

/// Where a case comes from.
pub(super) type Seed = [u8; 32];

/// The seed of one case of a check.
pub(super) fn seed(run: u64, check: &str, number: u32) -> Seed {
    let mut hasher = Sha256::new();
    hasher.update(run.to_be_bytes());
    hasher.update(check);
    hasher.update(number.to_be_bytes());
    hasher.finalize().into()
}

/// The case of a seed.
pub(super) fn drawn<S: Strategy>(strategy: &S, seed: Seed) -> S::Value {
    tree(strategy, seed).current()
}

fn tree<S: Strategy>(strategy: &S, seed: Seed) -> S::Tree {
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    strategy.new_tree(&mut runner).expect("strategies without filters always give a case")
}

/// A search for a smaller case that fails, too.
pub(super) struct Shrinking {
    seed: Seed,
    /// Whether each of the cases tried so far failed.
    failed: Vec<bool>,
}

impl Shrinking {
    /// Begins at the case of this seed, which failed.
    pub(super) fn from(seed: Seed) -> Shrinking {
        Shrinking { seed, failed: Vec::new() }
    }

    /// The next case to try; `None` once there is none.
    pub(super) fn next<S: Strategy>(&self, strategy: &S) -> Option<S::Value> {
        let mut tree = tree(strategy, self.seed);
        let mut moved = tree.simplify();
        for failed in &self.failed {
            if !moved {
                return None;
            }
            moved = if *failed { tree.simplify() } else { tree.complicate() };
        }
        moved.then(|| tree.current())
    }

    /// Says whether the case failed.
    pub(super) fn tell(&mut self, failed: bool) {
        self.failed.push(failed);
    }

    /// How many cases were tried.
    pub(super) fn steps(&self) -> usize {
        self.failed.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smallest(fails: impl Fn(u32) -> bool) -> u32 {
        let strategy = 0..10_000_u32;
        let first = (0..).map(|number| seed(1, "test", number)).find(|seed| fails(drawn(&strategy, *seed)));
        let first = first.expect("some case fails");
        let (mut shrinking, mut smallest) = (Shrinking::from(first), drawn(&strategy, first));
        while let Some(case) = shrinking.next(&strategy) {
            shrinking.tell(fails(case));
            smallest = if fails(case) { case } else { smallest };
            assert!(shrinking.steps() < 60, "the search does not end");
        }
        smallest
    }

    #[test]
    fn a_search_ends_at_the_smallest_case_that_fails() {
        assert_eq!(smallest(|case| case >= 731), 731);
        assert_eq!(smallest(|_| true), 0);
    }

    #[test]
    fn a_seed_gives_one_case_and_another_seed_another() {
        let strategy = proptest::collection::vec(0..100_u8, 20);
        let of = |run, number| drawn(&strategy, seed(run, "test", number));
        assert_eq!(of(1, 1), of(1, 1));
        assert_ne!(of(1, 1), of(1, 2));
        assert_ne!(of(1, 1), of(2, 1));
    }
}
