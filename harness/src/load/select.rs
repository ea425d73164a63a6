//! Which scenarios a run consists of: those that were named, or all that the target allows. Pure.

use std::collections::BTreeSet;

use scenarios::plan::{Apis, Limits, Plan, Size, SizeError};
use scenarios::scenario::Scenario;

use super::driven;
use crate::checks::rndrkit::limit::TOKENS;
use crate::checks::rndrkit::{EDGE_MS, LIMIT, WINDOW_MS};
use crate::evidence::ClockKind;
use crate::report::load::{ScenarioReport, Skipped};
use crate::target::protocol::Method;

/// The documented numbers that scenarios are laid around.
pub const LIMITS: Limits = Limits { requests: LIMIT, window_ms: WINDOW_MS, tolerance_ms: EDGE_MS, tokens: TOKENS };

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Scenarios by name, in order; none: all that the target allows.
    pub named: Vec<Scenario>,
    /// How much load.
    pub size: Size,
    /// Seed of every random choice.
    pub seed: u64,
}

/// What a target allows.
#[derive(Clone, Debug)]
pub struct Allowed {
    /// The APIs it has.
    pub apis: Apis,
    /// The methods its fixtures offer.
    pub methods: BTreeSet<Method>,
    /// How its clock moves.
    pub clock: ClockKind,
}

/// What will be run, and what will not.
#[derive(Debug, Default)]
pub struct Selected {
    /// Plans in the order in which they are carried out.
    pub plans: Vec<Plan>,
    /// Scenarios that were named and cannot be run here.
    pub not_run: Vec<ScenarioReport>,
    /// Scenarios that nobody named and that cannot be run here.
    pub skipped: Vec<Skipped>,
}

/// Looks for sizes at which a scenario that was named proves nothing, before anything is known of the target.
///
/// # Errors
/// [`SizeError`] of the first such scenario.
pub fn check(wish: &Wish) -> Result<(), SizeError> {
    let apis = Apis { rndrkit: true, craftkit: true };
    wish.named.iter().try_for_each(|scenario| Plan::new(*scenario, &wish.size, wish.seed, &LIMITS, apis).map(|_| ()))
}

/// Lays out the plans.
///
/// # Errors
/// [`SizeError`] of a scenario that was named; of the others it is a reason to skip them.
pub fn select(wish: &Wish, allowed: &Allowed) -> Result<Selected, SizeError> {
    let mut selected = Selected::default();
    let every = wish.named.is_empty();
    for scenario in if every { Scenario::ALL.to_vec() } else { wish.named.clone() } {
        let reason = match missing_api(scenario, allowed.apis) {
            Some(reason) => reason,
            None => match Plan::new(scenario, &wish.size, wish.seed, &LIMITS, allowed.apis) {
                Err(error) if every => error.to_string(),
                Err(error) => return Err(error),
                Ok(plan) => match missing(&plan, allowed) {
                    Some(reason) => reason,
                    None => {
                        selected.plans.push(plan);
                        continue;
                    }
                },
            },
        };
        if every {
            selected.skipped.push(Skipped { scenario: scenario.name().to_owned(), reason });
        } else {
            selected.not_run.push(ScenarioReport::not_run(scenario.name(), scenario.proves(), reason));
        }
    }
    Ok(selected)
}

fn missing_api(scenario: Scenario, apis: Apis) -> Option<String> {
    let wanted =
        [(scenario.uses_rndrkit(), apis.rndrkit, "RndrKit"), (scenario.uses_craftkit(), apis.craftkit, "CraftKit")];
    let wanted: Vec<(bool, &str)> =
        wanted.into_iter().filter(|(uses, ..)| *uses).map(|(_, there, name)| (there, name)).collect();
    // A scenario that uses both does with one.
    if wanted.iter().any(|(there, _)| *there) {
        return None;
    }
    Some(format!(
        "the target has no {} API",
        wanted.iter().map(|(_, name)| *name).collect::<Vec<&str>>().join(" and no ")
    ))
}

/// The methods or the clock that a plan needs and the target lacks.
fn missing(plan: &Plan, allowed: &Allowed) -> Option<String> {
    let needs = &plan.needs;
    let mut methods: Vec<Method> = needs.powers.iter().map(|power| driven::method(*power)).collect();
    methods.extend((needs.domains > 0).then_some(Method::DomainCreate));
    methods.extend((needs.templates > 0).then_some(Method::TemplateCreate));
    let lacking: BTreeSet<&str> =
        methods.iter().filter(|method| !allowed.methods.contains(method)).map(|method| method.name()).collect();
    if !lacking.is_empty() {
        let names: Vec<&str> = lacking.into_iter().collect();
        return Some(format!("the fixtures do not offer {}", names.join(", ")));
    }
    let runs_by_itself = needs.manual_clock && allowed.clock == ClockKind::System;
    runs_by_itself.then(|| "the target's clock is the system's and cannot be moved".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Allowed {
        Allowed {
            apis: Apis { rndrkit: true, craftkit: true },
            methods: Method::ALL.into_iter().collect(),
            clock: ClockKind::Manual,
        }
    }

    #[track_caller]
    fn check_skipped(allowed: &Allowed, expected: &[(&str, &str)]) {
        let selected = select(&Wish { named: Vec::new(), size: Size::default(), seed: 1 }, allowed).unwrap();
        let skipped: Vec<(&str, &str)> =
            selected.skipped.iter().map(|one| (one.scenario.as_str(), one.reason.as_str())).collect();
        assert_eq!(skipped, expected);
        assert_eq!(selected.plans.len() + skipped.len(), Scenario::ALL.len());
    }

    #[test]
    fn a_target_that_offers_everything_gets_every_scenario() {
        check_skipped(&all(), &[]);
    }

    #[test]
    fn what_lacks_a_method_is_skipped_with_its_name() {
        let mut allowed = all();
        allowed.methods.remove(&Method::ClockAdvance);
        allowed.methods.remove(&Method::QueueSet);
        let expected = [
            ("window-edge", "the fixtures do not offer clock.advance"),
            ("queue-outage", "the fixtures do not offer queue.set"),
        ];
        check_skipped(&allowed, &expected);
    }

    #[test]
    fn what_moves_the_clock_is_skipped_where_it_moves_by_itself() {
        let allowed = Allowed { clock: ClockKind::System, ..all() };
        check_skipped(&allowed, &[("window-edge", "the target's clock is the system's and cannot be moved")]);
    }

    #[test]
    fn a_named_scenario_that_cannot_be_run_is_not_silently_left_out() {
        let wish = Wish { named: vec![Scenario::InboundRenders], size: Size::default(), seed: 1 };
        let allowed = Allowed { apis: Apis { rndrkit: true, craftkit: false }, ..all() };
        let selected = select(&wish, &allowed).unwrap();
        assert_eq!(selected.not_run[0].reasons, ["the target has no CraftKit API"]);
        assert!(selected.plans.is_empty() && selected.skipped.is_empty());
    }

    #[test]
    fn steady_load_does_with_one_api() {
        let wish = Wish { named: vec![Scenario::Steady], size: Size::default(), seed: 1 };
        for apis in [Apis { rndrkit: true, craftkit: false }, Apis { rndrkit: false, craftkit: true }] {
            assert_eq!(select(&wish, &Allowed { apis, ..all() }).unwrap().plans.len(), 1);
        }
    }
}
