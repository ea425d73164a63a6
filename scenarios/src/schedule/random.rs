//! Random numbers that are functions of what they are for, so that any worker can compute any slot alone.

use crate::scenario::Scenario;

/// The choices of one scenario under one seed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64, scenario: Scenario) -> Dice {
        let name = scenario.name().bytes();
        Dice(name.fold(mixed(seed), |state, byte| mixed(state ^ u64::from(byte))))
    }

    /// A number for one purpose at one place.
    fn number(self, purpose: &str, index: usize) -> u64 {
        let state = purpose.bytes().fold(self.0, |state, byte| mixed(state ^ u64::from(byte)));
        mixed(state ^ index as u64)
    }

    /// One of `0..choices`.
    pub(super) fn below(self, purpose: &str, index: usize, choices: usize) -> usize {
        // The bias of the remainder is below 1e-12 for any number of choices that occurs.
        (self.number(purpose, index) % choices.max(1) as u64) as usize
    }

    /// A number from 0 up to, and without, 1.
    pub(super) fn part(self, purpose: &str, index: usize) -> f64 {
        /// The bits of a double's mantissa.
        const BITS: u32 = 53;
        (self.number(purpose, index) >> (u64::BITS - BITS)) as f64 / (1_u64 << BITS) as f64
    }

    /// Puts `items` into an order of its own.
    pub(super) fn shuffle<T>(self, purpose: &str, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(purpose, last, last + 1));
        }
    }
}

/// SplitMix64's output function (Steele, Lea, Flood 2014): every bit of the input reaches every bit of the output.
fn mixed(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::{Dice, Scenario};

    #[test]
    fn choices_depend_on_seed_scenario_purpose_and_place_alone() {
        let dice = Dice::new(1, Scenario::Steady);
        assert_eq!(dice.number("a", 7), Dice::new(1, Scenario::Steady).number("a", 7));
        let others = [
            Dice::new(2, Scenario::Steady).number("a", 7),
            Dice::new(1, Scenario::FirstWindow).number("a", 7),
            dice.number("b", 7),
            dice.number("a", 8),
        ];
        assert!(!others.contains(&dice.number("a", 7)));
    }

    #[test]
    fn choices_are_spread_evenly() {
        const THROWS: usize = 60_000;
        let dice = Dice::new(3, Scenario::Steady);
        let mut counts = [0_usize; 6];
        for index in 0..THROWS {
            counts[dice.below("die", index, 6)] += 1;
        }
        // Six standard deviations: sqrt(60000 · 1/6 · 5/6) is 91.
        assert!(counts.iter().all(|count| count.abs_diff(THROWS / 6) < 6 * 91), "{counts:?}");
        let mean = (0..THROWS).map(|index| dice.part("p", index)).sum::<f64>() / THROWS as f64;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
    }

    #[test]
    fn a_shuffle_keeps_everything() {
        let mut items: Vec<usize> = (0..50).collect();
        Dice::new(4, Scenario::Steady).shuffle("s", &mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
