//! Interleavings of refreshes with what happens to domains, and how they are drawn.

use proptest::prelude::{Just, Strategy, prop, prop_oneof};
use serde::{Deserialize, Serialize};

use crate::model::Ask;

pub(super) const DOMAINS: usize = 2;
pub(super) const TOKENS: usize = 2;

/// What happens, one thing after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sequence {
    pub(super) steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Step {
    Refresh { domain: usize, token: usize, ask: Ask, times: usize },
    Revoke { domain: usize, token: usize },
    Plan { domain: usize, plan: Plan },
    Deactivate { domain: usize },
    Exhaust { domain: usize },
    Pass { minutes: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Plan {
    Starter,
    Pro,
    AgencyPlus,
}

impl Plan {
    pub(super) fn name(self) -> &'static str {
        match self {
            Plan::Starter => "starter",
            Plan::Pro => "pro",
            Plan::AgencyPlus => "agency_plus",
        }
    }
}

fn minutes(choices: Vec<u64>) -> impl Strategy<Value = Step> {
    prop::sample::select(choices).prop_map(|minutes| Step::Pass { minutes })
}

fn pages(domain: usize, token: usize, times: usize) -> Step {
    Step::Refresh { domain, token, ask: Ask::Page, times }
}

fn step() -> impl Strategy<Value = Vec<Step>> {
    let ask = prop_oneof![
        8 => Just(Ask::Page),
        1 => Just(Ask::All),
        2 => Just(Ask::Nothing),
        2 => Just(Ask::NoPath),
        1 => Just(Ask::UnknownToken),
    ];
    let times = prop_oneof![2 => Just(1_usize), 3 => 1..=9_usize];
    let plan = prop::sample::select(vec![Plan::AgencyPlus, Plan::Starter, Plan::Pro]);
    let step = prop_oneof![
        12 => (0..DOMAINS, 0..TOKENS, ask, times).prop_map(|(domain, token, ask, times)| {
            let times = if ask == Ask::Page { times } else { 1 };
            Step::Refresh { domain, token, ask, times }
        }),
        3 => minutes(vec![7, 13, 29, 37, 61, 90]),
        1 => (0..DOMAINS, 0..TOKENS).prop_map(|(domain, token)| Step::Revoke { domain, token }),
        2 => (0..DOMAINS, plan).prop_map(|(domain, plan)| Step::Plan { domain, plan }),
        1 => (0..DOMAINS).prop_map(|domain| Step::Exhaust { domain }),
        1 => (0..DOMAINS).prop_map(|domain| Step::Deactivate { domain }),
    ];
    step.prop_map(|step| vec![step])
}

/// A window from its first request to after its end: chance alone would seldom use one up.
fn window() -> impl Strategy<Value = Vec<Step>> {
    let first = prop_oneof![Just(None), Just(Some(Ask::Nothing)), Just(Some(Ask::NoPath))];
    let (middle, end) = (minutes(vec![29, 37]), minutes(vec![7, 29, 37, 61]));
    (0..DOMAINS, first, 7..=11_usize, middle, 1..=2_usize, end, 1..=3_usize).prop_map(
        |(domain, first, spent, middle, refused, end, again)| {
            let first = first.map(|ask| Step::Refresh { domain, token: 1, ask, times: 1 });
            let rest = [pages(domain, 0, spent), middle, pages(domain, 1, refused), end, pages(domain, 0, again)];
            first.into_iter().chain(rest).collect()
        },
    )
}

/// In a new window, something that ends what the domain may do, seen by requests with both tokens.
fn ending(domain: usize) -> impl Strategy<Value = Vec<Step>> {
    let ends = vec![
        Step::Plan { domain, plan: Plan::Starter },
        Step::Plan { domain, plan: Plan::Pro },
        Step::Exhaust { domain },
        Step::Deactivate { domain },
        Step::Revoke { domain, token: 0 },
    ];
    prop::sample::select(ends)
        .prop_map(move |end| vec![Step::Pass { minutes: 90 }, end, pages(domain, 0, 1), pages(domain, 1, 1)])
}

/// What happens in between, and at the end something to each domain.
pub(super) fn sequence() -> impl Strategy<Value = Sequence> {
    let scenes = prop::collection::vec(prop_oneof![10 => step(), 2 => window()], 4..=12);
    (scenes, ending(0), ending(1))
        .prop_map(|(scenes, first, second)| Sequence { steps: [scenes.concat(), first, second].concat() })
}
