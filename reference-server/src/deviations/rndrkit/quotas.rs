//! Wrong monthly quotas.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::wrap::deciding;
use crate::clock::Millis;
use crate::deviations::Deviation;
use crate::parts::{Charge, Parts, Quota};
use crate::rndrkit::quota::PeriodQuota;
use crate::rndrkit::rules::State;
use crate::rndrkit::wire::Refusal;
use crate::store::records::{Domain, Usage, Write};

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    ABOVE_ONLY,
    EXACTLY_ONLY,
    NEVER_REFUSES,
    ONE_LESS,
    LISTS_FREE,
    FULL_FREE,
    FULL_UNCHECKED,
    ALL_DOMAINS,
    REFUSED_CHARGED,
    LIMITED_CHARGED,
    NEVER_BACK,
    HOURLY,
    DAILY,
];

const REACHED: &[&str] = &["rndrkit.quota.reached"];
const COUNTS: &[&str] = &["rndrkit.quota.counts-refreshes"];
const REJECTED: &[&str] = &["rndrkit.quota.rejected-free"];
const MONTHLY: &[&str] = &["rndrkit.quota.monthly"];

/// Says whether this charge is refused at this usage.
type Refuses = fn(limit: u64, used: u64, charge: Charge) -> bool;

const ABOVE_ONLY: Deviation = Deviation {
    name: "quota-above-only",
    defect: "refuses only once more renders are used than the month has",
    why: "the usage is compared with > where >= was meant",
    turns_red: REACHED,
    consequences: &[],
    change: |parts| refusing(parts, |limit, used, _| used > limit),
};

const EXACTLY_ONLY: Deviation = Deviation {
    name: "quota-exactly-only",
    defect: "refuses only while exactly as many renders are used as the month has",
    why: "the usage is compared with == and a list of several steps over it",
    turns_red: REACHED,
    consequences: &[],
    change: |parts| refusing(parts, |limit, used, _| used == limit),
};

const NEVER_REFUSES: Deviation = Deviation {
    name: "quota-never-refuses",
    defect: "never refuses for the quota",
    why: "the quota is enforced where pages are rendered, not where they are queued",
    turns_red: REACHED,
    consequences: &[],
    change: |parts| refusing(parts, |_, _, _| false),
};

const ONE_LESS: Deviation = Deviation {
    name: "quota-one-less",
    defect: "refuses the last render of the month",
    why: "the render at hand is added before the usage is compared with >=",
    turns_red: &["rndrkit.quota.below-limit"],
    consequences: &[],
    change: |parts| refusing(parts, |limit, used, _| used + 1 >= limit),
};

const FULL_UNCHECKED: Deviation = Deviation {
    name: "quota-full-unchecked",
    defect: "starts a full refresh whatever is used",
    why: "how many pages it has is not known yet, so there is nothing to compare",
    turns_red: &["rndrkit.quota.full-refresh"],
    consequences: &[],
    change: |parts| refusing(parts, |limit, used, charge| !charge.full && used >= limit),
};

fn refusing(parts: Parts, refuses: Refuses) -> Parts {
    Parts { quota: Arc::new(Comparing(refuses)), ..parts }
}

struct Comparing(Refuses);

impl Quota for Comparing {
    fn current(&self, domain: &Domain, now: Millis) -> Usage {
        PeriodQuota.current(domain, now)
    }

    fn charge(&self, domain: &Domain, charge: Charge, now: Millis) -> Option<Usage> {
        let used = self.current(domain, now).renders_used;
        let refused = domain.monthly_render_limit.is_some_and(|limit| (self.0)(limit, used, charge));
        // The documented quota still does the sum.
        let unlimited = Domain { monthly_render_limit: None, ..domain.clone() };
        if refused { None } else { PeriodQuota.charge(&unlimited, charge, now) }
    }
}

const LISTS_FREE: Deviation = Deviation {
    name: "quota-lists-free",
    defect: "charges nothing for lists",
    why: "pages that are cached are only replaced, which is taken for no new render",
    turns_red: COUNTS,
    consequences: &[],
    change: |parts| charging(parts, |charge| if charge.full { charge.pages } else { 0 }),
};

const FULL_FREE: Deviation = Deviation {
    name: "quota-full-free",
    defect: "charges nothing for full refreshes",
    why: "the charge is the number of paths in the request",
    turns_red: COUNTS,
    consequences: &[],
    change: |parts| charging(parts, |charge| if charge.full { 0 } else { charge.pages }),
};

fn charging(parts: Parts, pages: fn(Charge) -> u64) -> Parts {
    Parts { quota: Arc::new(Charging(pages)), ..parts }
}

struct Charging(fn(Charge) -> u64);

impl Quota for Charging {
    fn current(&self, domain: &Domain, now: Millis) -> Usage {
        PeriodQuota.current(domain, now)
    }

    fn charge(&self, domain: &Domain, charge: Charge, now: Millis) -> Option<Usage> {
        PeriodQuota.charge(domain, Charge { pages: (self.0)(charge), ..charge }, now)
    }
}

const ALL_DOMAINS: Deviation = Deviation {
    name: "quota-of-all-domains",
    defect: "adds up what all domains have used",
    why: "the quota is the account's, and one account was all there was in the tests",
    turns_red: &["rndrkit.quota.per-domain"],
    consequences: &[],
    change: |parts| Parts { quota: Arc::new(Summing::default()), ..parts },
};

/// Keeps in mind what each domain has used that was asked for.
#[derive(Default)]
struct Summing(Mutex<HashMap<String, u64>>);

impl Quota for Summing {
    fn current(&self, domain: &Domain, now: Millis) -> Usage {
        PeriodQuota.current(domain, now)
    }

    fn charge(&self, domain: &Domain, charge: Charge, now: Millis) -> Option<Usage> {
        let usage = self.current(domain, now);
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        used.insert(domain.name.clone(), usage.renders_used);
        let all = used.values().sum();
        let usage = Usage { renders_used: all, ..usage };
        let charged = PeriodQuota.charge(&Domain { usage, ..domain.clone() }, charge, now)?;
        // What is stored is what the domain itself has used.
        let renders_used = charged.renders_used - all + used[&domain.name];
        used.insert(domain.name.clone(), renders_used);
        Some(Usage { renders_used, ..charged })
    }
}

const REFUSED_CHARGED: Deviation = Deviation {
    name: "quota-invalid-charged",
    defect: "charges a render for a request with an invalid body",
    why: "the charge is made where the request is counted, before the body is read",
    turns_red: REJECTED,
    consequences: &[],
    change: |parts| charging_refusals(parts, &[Refusal::NothingAsked, Refusal::NoValidPath]),
};

const LIMITED_CHARGED: Deviation = Deviation {
    name: "quota-limited-charged",
    defect: "charges a render for a request beyond the hourly limit",
    why: "the charge is made before the limiter is asked",
    turns_red: REJECTED,
    consequences: &[],
    change: |parts| charging_refusals(parts, &[Refusal::RateLimited]),
};

fn charging_refusals(parts: Parts, which: &'static [Refusal]) -> Parts {
    deciding(parts, move |state, _, decision| {
        let State { owner: Some((_, domain)), .. } = state else { return };
        if decision.reply.as_ref().is_err_and(|refusal| which.contains(refusal)) {
            let usage = Usage { renders_used: domain.usage.renders_used + 1, ..domain.usage };
            decision.writes.push(Write::SetUsage { domain: domain.name.clone(), usage });
        }
    })
}

const NEVER_BACK: Deviation = Deviation {
    name: "quota-never-back",
    defect: "never gives the renders back",
    why: "the job that begins a new month was never scheduled",
    turns_red: MONTHLY,
    consequences: &[],
    change: |parts| giving_back_each(parts, Millis::MAX),
};

const HOURLY: Deviation = Deviation {
    name: "quota-hourly",
    defect: "gives the renders back every hour",
    why: "usage and window are set back by the same function",
    turns_red: MONTHLY,
    consequences: &[],
    change: |parts| giving_back_each(parts, 3_600_000),
};

const DAILY: Deviation = Deviation {
    name: "quota-daily",
    defect: "gives the renders back every day",
    why: "the job that begins a new month runs each night",
    turns_red: MONTHLY,
    consequences: &[],
    change: |parts| giving_back_each(parts, 24 * 3_600_000),
};

fn giving_back_each(parts: Parts, period: Millis) -> Parts {
    Parts { quota: Arc::new(Every(period)), ..parts }
}

/// A quota of another period.
struct Every(Millis);

impl Quota for Every {
    fn current(&self, domain: &Domain, now: Millis) -> Usage {
        let Usage { period_start, .. } = domain.usage;
        if now - period_start < self.0 { domain.usage } else { Usage { renders_used: 0, period_start: now } }
    }

    fn charge(&self, domain: &Domain, charge: Charge, now: Millis) -> Option<Usage> {
        // The documented quota judges the usage of a period that has just begun.
        let usage = self.current(domain, now);
        let charged = PeriodQuota.charge(&Domain { usage, created_at: now, ..domain.clone() }, charge, now)?;
        Some(Usage { period_start: usage.period_start, ..charged })
    }
}
