//! The monthly render quota.
//!
//! The page says "monthly" and RndrKit's billing page shows a billing period, so a month here is a
//! period of thirty days that begins when the domain is created. Nothing runs at its end: the first
//! request of a new period finds the old usage outdated.

use crate::clock::Millis;
use crate::parts::{Charge, Quota};
use crate::store::records::{Domain, Usage};

/// Length of a period: thirty days.
pub const PERIOD: Millis = 30 * 24 * 3_600_000;

/// The documented quota: refused once `renders_used` has reached the limit, charged when accepted.
#[derive(Debug)]
pub struct PeriodQuota;

impl Quota for PeriodQuota {
    fn current(&self, domain: &Domain, now: Millis) -> Usage {
        let elapsed = (now - domain.created_at).max(0);
        let period_start = domain.created_at + elapsed / PERIOD * PERIOD;
        if domain.usage.period_start < period_start { Usage { renders_used: 0, period_start } } else { domain.usage }
    }

    /// Only a limit that has been reached refuses: a list longer than what is left passes whole
    /// (rules `rndrkit.quota.reached`, `rndrkit.quota.below-limit`).
    fn charge(&self, domain: &Domain, charge: Charge, now: Millis) -> Option<Usage> {
        let usage = self.current(domain, now);
        let reached = domain.monthly_render_limit.is_some_and(|limit| usage.renders_used >= limit);
        let renders_used = usage.renders_used.saturating_add(charge.pages);
        (!reached).then_some(Usage { renders_used, ..usage })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::records::Plan;

    fn domain(limit: Option<u64>, used: u64) -> Domain {
        Domain {
            name: "a.example".to_owned(),
            plan: Plan::AgencyPlus,
            active: true,
            monthly_render_limit: limit,
            usage: Usage { renders_used: used, period_start: 1000 },
            created_at: 1000,
        }
    }

    #[track_caller]
    fn check(limit: Option<u64>, used: u64, pages: u64, now: Millis, expected: Option<u64>) {
        let charge = Charge { pages, full: false };
        let usage = PeriodQuota.charge(&domain(limit, used), charge, now);
        assert_eq!(usage.map(|usage| usage.renders_used), expected);
    }

    #[test]
    fn a_reached_limit_refuses_and_one_below_does_not() {
        check(Some(5), 4, 1, 1000, Some(5));
        check(Some(5), 5, 1, 1000, None);
        check(Some(5), 6, 1, 1000, None);
        check(Some(0), 0, 1, 1000, None);
        check(None, u64::MAX, 1, 1000, Some(u64::MAX));
    }

    #[test]
    fn a_list_longer_than_what_is_left_passes_whole() {
        check(Some(5), 4, 20, 1000, Some(24));
    }

    #[test]
    fn a_new_period_forgets_the_old_usage() {
        check(Some(5), 5, 2, 1000 + PERIOD - 1, None);
        check(Some(5), 5, 2, 1000 + PERIOD, Some(2));
        check(Some(5), 5, 2, 1000 + 62 * 24 * 3_600_000, Some(2));
    }
}
