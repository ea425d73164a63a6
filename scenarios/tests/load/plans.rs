//! Plans are laid out the same everywhere, and ask for what they use.

use std::collections::BTreeSet;
use std::time::Duration;

use scenarios::plan::{Arrivals, Job, Plan, RefreshBody, Size, Step};
use scenarios::scenario::Scenario;

use crate::limiter::{APIS, LIMITS};

fn plan(scenario: Scenario, size: &Size, seed: u64) -> Plan {
    Plan::new(scenario, size, seed, &LIMITS, APIS).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_plan_and_another_another() {
    for scenario in Scenario::ALL {
        let size = Size::default();
        let (one, same, other) = (plan(scenario, &size, 1), plan(scenario, &size, 1), plan(scenario, &size, 2));
        assert_eq!((&one, one.hash()), (&same, same.hash()), "{scenario}");
        assert_ne!(one.hash(), other.hash(), "{scenario}");
    }
}

/// Histories and reports of one release name plans by their hash: this one must not drift unnoticed.
#[test]
fn a_plan_is_the_same_on_every_machine() {
    assert_eq!(plan(Scenario::Steady, &Size::default(), 1).hash().to_string(), STEADY_1);
}

const STEADY_1: &str = "7d4dffc024e7b4f6";

#[test]
fn the_parts_of_all_workers_are_the_plan() {
    const WORKERS: usize = 3;
    for scenario in Scenario::ALL {
        let whole = plan(scenario, &Size::default(), 7);
        let parts: Vec<Plan> = (0..WORKERS).map(|index| whole.clone().stripe(index, WORKERS)).collect();
        let mut indices: Vec<usize> = parts.iter().flat_map(|part| part.slots().map(|slot| slot.index)).collect();
        indices.sort_unstable();
        let all: Vec<usize> = whole.slots().map(|slot| slot.index).collect();
        assert_eq!(indices, all, "{scenario}");
        assert!(parts.iter().all(|part| part.hash() == whole.hash()));
        assert!(parts[1..].iter().flat_map(Plan::slots).all(|slot| !slot.job.is_control()));
    }
}

#[test]
fn a_plan_uses_nothing_that_it_does_not_ask_for_and_no_path_twice() {
    for scenario in Scenario::ALL {
        let plan = plan(scenario, &Size::default(), 3);
        let mut paths = BTreeSet::new();
        for slot in plan.slots() {
            match slot.job {
                Job::Refresh { domain, token, body, .. } => {
                    assert!(domain < plan.needs.domains && token < plan.needs.tokens, "{scenario}: {slot:?}");
                    if let RefreshBody::Paths { first, count } = body {
                        assert!(count > 0 && first + count <= plan.needs.paths, "{scenario}: {slot:?}");
                        assert!((first..first + count).all(|path| paths.insert((domain, path))), "{slot:?}");
                    }
                }
                Job::Render { template, .. } => assert!(template < plan.needs.templates, "{slot:?}"),
                Job::Revoke { domain, token } => assert!(domain < plan.needs.domains && token < plan.needs.tokens),
                Job::Advance { .. } | Job::Queue { .. } => assert!(!plan.needs.powers.is_empty()),
            }
        }
        let volleys = plan.steps.iter().filter_map(|step| match step {
            Step::Volley(slots) => Some(slots.len()),
            Step::Stream(_) => None,
        });
        assert!(volleys.max().is_none_or(|most| most <= plan.users), "{scenario}");
    }
}

fn dues(plan: &Plan) -> Vec<u64> {
    plan.slots().filter_map(|slot| slot.due_ns).collect()
}

#[test]
fn a_constant_rate_has_equal_distances() {
    let size = Size { rate: Some(100.0), count: Some(50), ..Size::default() };
    const PERIOD_NS: u64 = 10_000_000;
    let expected: Vec<u64> = (0..50).map(|index| index * PERIOD_NS).collect();
    assert_eq!(dues(&plan(Scenario::Steady, &size, 1)), expected);
}

#[test]
fn random_arrivals_have_the_same_rate_and_exponential_distances() {
    const COUNT: usize = 20_000;
    let size = Size { rate: Some(1_000.0), count: Some(COUNT), arrivals: Arrivals::Poisson, ..Size::default() };
    let dues = dues(&plan(Scenario::Steady, &size, 1));
    let gaps: Vec<f64> = dues.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    assert!((mean - 1.0).abs() < 0.05, "mean gap {mean} ms");
    // Of exponential gaps the part 1/e is longer than the mean.
    let longer = gaps.iter().filter(|gap| **gap > 1.0).count() as f64 / gaps.len() as f64;
    assert!((longer - (-1.0_f64).exp()).abs() < 0.02, "{longer}");
}

#[test]
fn duration_and_rate_make_the_count() {
    let size = Size { rate: Some(50.0), duration: Some(Duration::from_secs(2)), ..Size::default() };
    assert_eq!(plan(Scenario::Steady, &size, 1).requests(), 100);
    let fewer = Size { count: Some(30), ..size };
    assert_eq!(plan(Scenario::Steady, &fewer, 1).requests(), 30);
}

#[test]
fn users_alone_make_a_closed_loop() {
    let plan = plan(Scenario::Steady, &Size { users: Some(4), count: Some(40), ..Size::default() }, 1);
    assert_eq!((plan.users, plan.requests(), dues(&plan).len()), (4, 40, 0));
}

#[test]
fn the_limit_is_exceeded_by_every_volley_that_shall_prove_it() {
    for scenario in Scenario::ALL {
        let plan = plan(scenario, &Size::default(), 1);
        let Some(needed) = plan.overlap else { continue };
        let large = plan.steps.iter().filter(|step| matches!(step, Step::Volley(slots) if slots.len() >= needed));
        assert!(large.count() >= 5, "{scenario}");
        assert!(needed > LIMITS.requests);
    }
}

#[test]
fn a_size_that_proves_nothing_is_refused() {
    #[track_caller]
    fn check(scenario: Scenario, size: Size, expected: &str) {
        let refused = Plan::new(scenario, &size, 1, &LIMITS, APIS).unwrap_err();
        assert_eq!(refused.to_string(), expected);
    }
    let size = Size::default();
    check(
        Scenario::Steady,
        Size { rate: Some(0.0), ..size },
        "steady: rate must be above 0 and at most 100000 a second, not 0",
    );
    check(
        Scenario::Steady,
        Size { rate: Some(f64::NAN), ..size },
        "steady: rate must be above 0 and at most 100000 a second, not NaN",
    );
    check(Scenario::Steady, Size { users: Some(0), ..size }, "steady: users must be from 1 to 1000, not 0");
    check(Scenario::FirstWindow, Size { tokens: Some(6), ..size }, "first-window: tokens must be from 1 to 5, not 6");
    check(Scenario::TokenSpread, Size { tokens: Some(1), ..size }, "token-spread: tokens must be at least 2, not 1");
    check(
        Scenario::FirstWindow,
        Size { users: Some(10), ..size },
        "first-window: users must be at least 11, to go beyond the limit at once, not 10",
    );
    check(
        Scenario::FirstWindow,
        Size { count: Some(100), domains: Some(20), ..size },
        "first-window: count must be at least 220, to go beyond the limit in each of 20 volleys, not 100",
    );
}
