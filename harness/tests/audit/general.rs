//! The limiter's judge and a general linearizability checker say the same.

use hookproof::audit::Kind;
use hookproof::audit::rate::rules::Spec;
use hookproof::audit::rate::{self, Decision, Past};

use crate::dice::Dice;
use crate::instances;
use crate::todc;

const INSTANCES: u64 = 20_000;

/// Unknown requests multiply the work by two each.
const UNKNOWN_MAX: usize = 4;

#[test]
fn a_general_checker_agrees_on_twenty_thousand_histories() {
    let (mut judged, mut inconsistent, mut seed) = (0, 0, 0);
    while judged < INSTANCES {
        let mut instance = instances::small(&mut Dice::new(seed), 7);
        seed += 1;
        instance.window.longest = instance.window.shortest;
        let unknown = instance.requests.iter().filter(|request| matches!(request.kind, Kind::Perhaps { .. })).count();
        if unknown > UNKNOWN_MAX {
            continue;
        }
        let found = rate::decide::<Spec>(&instance.requests, &instance.window, &Past::Empty);
        let expected = todc::is_linearizable_somehow(&instance.requests, &instance.window);
        assert_eq!(matches!(found, Decision::Explained(_)), expected, "{seed}: {instance:#?}");
        judged += 1;
        inconsistent += u64::from(!expected);
    }
    assert!(inconsistent > INSTANCES / 6, "{inconsistent} of {INSTANCES} are inconsistent");
}
