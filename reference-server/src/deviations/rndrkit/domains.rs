//! Domains served that may not be, and plans.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::wrap::looking;
use crate::deviations::Deviation;
use crate::parts::Parts;
use crate::rndrkit::rules::State;
use crate::store::records::{Domain, Plan};

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    INACTIVE_SERVED,
    INACTIVE_ONCE_USED_SERVED,
    CREATED_INACTIVE_SERVED,
    INACTIVE_FOREVER,
    STARTER,
    PRO,
    AGENCY,
    EVERY_PLAN,
];

const INACTIVE: &[&str] = &["rndrkit.domain.inactive"];

const INACTIVE_SERVED: Deviation = Deviation {
    name: "inactive-served",
    defect: "serves inactive domains",
    why: "the flag only hides the domain in the dashboard",
    turns_red: INACTIVE,
    consequences: &[],
    change: |parts| of_domain(parts, |domain| domain.active = true),
};

const INACTIVE_ONCE_USED_SERVED: Deviation = Deviation {
    name: "inactive-once-used-served",
    defect: "goes on serving a domain that was served before it was deactivated",
    why: "what a token stands for is cached when the token is first used",
    turns_red: INACTIVE,
    consequences: &[],
    change: |parts| {
        let served = Names::default();
        of_domain(parts, move |domain| {
            if domain.active {
                served.add(domain);
            }
            domain.active = served.has(domain);
        })
    },
};

const CREATED_INACTIVE_SERVED: Deviation = Deviation {
    name: "inactive-from-creation-served",
    defect: "serves a domain that was never active",
    why: "it looks for the moment of deactivation, which such a domain has not",
    turns_red: INACTIVE,
    consequences: &[],
    change: |parts| {
        let served = Names::default();
        of_domain(parts, move |domain| {
            if domain.active {
                served.add(domain);
            }
            domain.active |= !served.has(domain);
        })
    },
};

const INACTIVE_FOREVER: Deviation = Deviation {
    name: "inactive-forever",
    defect: "never serves a domain again that was refused as inactive once",
    why: "refusals are cached without an end",
    turns_red: INACTIVE,
    consequences: &[],
    change: |parts| {
        let refused = Names::default();
        of_domain(parts, move |domain| {
            if !domain.active {
                refused.add(domain);
            }
            domain.active = !refused.has(domain);
        })
    },
};

/// Names of domains that something was seen of.
#[derive(Default)]
struct Names(Mutex<HashSet<String>>);

impl Names {
    fn add(&self, domain: &Domain) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(domain.name.clone());
    }

    fn has(&self, domain: &Domain) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&domain.name)
    }
}

const STARTER: Deviation = Deviation {
    name: "plan-starter-served",
    defect: "serves domains on the plan Starter",
    why: "the list of plans without webhooks forgets the one that most customers never see",
    turns_red: &["rndrkit.plan.starter"],
    consequences: &[],
    change: |parts| served(parts, &[Plan::Starter]),
};

const PRO: Deviation = Deviation {
    name: "plan-pro-served",
    defect: "serves domains on the plan Pro",
    why: "every plan that costs something is let through",
    turns_red: &["rndrkit.plan.pro"],
    consequences: &[],
    change: |parts| served(parts, &[Plan::Pro]),
};

const AGENCY: Deviation = Deviation {
    name: "plan-agency-served",
    defect: "serves domains on the plan Agency",
    why: "`Agency+` is read as Agency and above",
    turns_red: &["rndrkit.plan.agency"],
    consequences: &[],
    change: |parts| served(parts, &[Plan::Agency]),
};

const EVERY_PLAN: Deviation = Deviation {
    name: "plan-all-served",
    defect: "serves domains on every plan",
    why: "the dashboard makes tokens for the right plan only, and a plan that changes later is forgotten",
    turns_red: &["rndrkit.plan.starter", "rndrkit.plan.pro", "rndrkit.plan.agency"],
    consequences: &[],
    change: |parts| served(parts, &Plan::ALL),
};

fn served(parts: Parts, plans: &'static [Plan]) -> Parts {
    of_domain(parts, move |domain| {
        if plans.contains(&domain.plan) {
            domain.plan = Plan::AgencyPlus;
        }
    })
}

/// The parts with something else seen of the token's domain.
fn of_domain(parts: Parts, look: impl Fn(&mut Domain) + Send + Sync + 'static) -> Parts {
    looking(parts, move |state: &mut State| {
        if let Some((_, domain)) = &mut state.owner {
            look(domain);
        }
    })
}
