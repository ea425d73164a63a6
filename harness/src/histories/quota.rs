//! A domain's render quota. Pure.
//!
//! Much is left open by the documents: whether a render is charged when the request is accepted or when the page is drawn, whether a list
//! costs one or each of its pages, whether refusals are free. So two things only are held against a server:
//!
//! - it refused although all that was asked before, at the highest price, cannot have used the quota up;
//! - it served more requests than there were renders left, where acceptance is known to charge at once.
//!
//! The exact verdict, in which each accepted page costs one and refusals nothing, is left to the pure auditor and is a *should*.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use scenarios::history::QuotaKind;

use super::answer::Answer;
use super::audited::{AuditLevel, Judged};
use super::clock::Interval;
use super::operation::{Found, QuotaFindings, Role};
use crate::audit::quota::{Allowance, Period, Spend};
use crate::audit::{Kind, Request};

/// How long after its beginning a quota is known: when the month turns is not told.
const KNOWN_FOR: i64 = 24 * 3_600 * 1_000_000_000;

/// A refusal that comes so soon after the last served request shows that serving charged it.
const AT_ONCE: i64 = 1_000_000_000;

/// The most requests that the exact verdict is given.
const EXACT_MAX: usize = 5_000;

/// The most operations that an explanation lists.
const FACTS_MAX: usize = 64;

/// The budget from one control to the next.
#[derive(Clone, Debug)]
struct Phase {
    /// No request that ends before this belongs to it.
    earliest: i64,
    /// Every request that starts after this and ends before the next belongs to it.
    latest: i64,
    /// Renders left; none: unknown.
    left: Option<u64>,
    /// The first request's instant on the clock that months are measured on.
    began: Option<i64>,
    /// Requests surely served in it.
    served: u64,
    /// The first of them.
    served_ids: Vec<u64>,
    shown: bool,
}

/// A request as the quota sees it, ordered by its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    end: i64,
    start: i64,
    id: u64,
    /// On the clock that months are measured on.
    month: i64,
    /// The highest price; none: a full refresh, whose price nobody knows.
    price: Option<u64>,
    served: bool,
}

/// Watches a domain's quota.
#[derive(Debug)]
pub(super) struct Quota {
    reading: QuotaKind,
    phases: Vec<Phase>,
    /// Whether anything is known of any of them.
    is_known: bool,
    /// Served and refused requests that may still be overtaken.
    waiting: BinaryHeap<Reverse<Entry>>,
    /// The highest price of each request by its start, as far as it is not in `charged` yet.
    charges: BTreeMap<i64, u64>,
    /// The highest price of all requests that started before those in `charges`.
    charged: u64,
    last_served: Option<Entry>,
    judged: u64,
    needless: Option<Found>,
    beyond: Option<Found>,
    exact: Option<Vec<Spend>>,
    expired: bool,
}

impl Quota {
    /// A quota of which so much is left at the beginning, if that is known.
    pub(super) fn new(reading: QuotaKind, left: Option<u64>) -> Quota {
        let mut quota = Quota {
            reading,
            phases: Vec::new(),
            is_known: false,
            waiting: BinaryHeap::new(),
            charges: BTreeMap::new(),
            charged: 0,
            last_served: None,
            judged: 0,
            needless: None,
            beyond: None,
            exact: Some(Vec::new()),
            expired: false,
        };
        quota.begin(i64::MIN, i64::MIN, left);
        quota
    }

    /// Somebody set the quota, at some instant from `earliest` to `latest`.
    pub(super) fn begin(&mut self, earliest: i64, latest: i64, left: Option<u64>) {
        self.is_known |= left.is_some();
        let phase = Phase { earliest, latest, left, began: None, served: 0, served_ids: Vec::new(), shown: false };
        let at = self.phases.partition_point(|known| known.earliest <= earliest);
        self.phases.insert(at, phase);
    }

    /// Takes a refresh of so many pages (none: a full one). `month` is its start on the clock that months are measured on.
    pub(super) fn push(&mut self, id: u64, real: Interval, month: i64, pages: Option<u64>, answer: Answer) {
        if !self.is_known {
            return;
        }
        let price = pages.map(|pages| pages.max(1));
        let charge = self.charges.entry(real.start).or_default();
        *charge = charge.saturating_add(price.unwrap_or(u64::MAX));
        self.remember(id, real, pages, answer);
        let (Some(end), Answer::Served | Answer::QuotaRefused) = (real.end, answer) else { return };
        let served = answer == Answer::Served;
        self.waiting.push(Reverse(Entry { end, start: real.start, id, month, price, served }));
    }

    /// Keeps a request for the exact verdict.
    fn remember(&mut self, id: u64, real: Interval, pages: Option<u64>, answer: Answer) {
        let Some(exact) = &mut self.exact else { return };
        let (kind, end) = match (answer, real.end) {
            (Answer::Served, Some(end)) => (Kind::Counted, end),
            (Answer::QuotaRefused, Some(end)) => (Kind::Refused, end),
            (Answer::Open, _) | (_, None) => (Kind::Perhaps { until: None }, real.start),
            (Answer::Other, Some(end)) => (Kind::Perhaps { until: Some(end) }, end),
            // Refused, and so free.
            (Answer::Refused | Answer::Foreign | Answer::Invalid, Some(_)) => return,
        };
        match pages {
            Some(cost) if exact.len() < EXACT_MAX => {
                let request = Request { n: id, start: real.start, end, kind };
                exact.push(Spend { request, cost: cost.max(1) });
            }
            // A full refresh costs what nobody knows.
            _ => self.exact = None,
        }
    }

    /// Promises that no request that starts before this is still to come.
    pub(super) fn settle(&mut self, before: i64) {
        while let Some(Reverse(entry)) = self.waiting.peek().copied() {
            if entry.end >= before {
                break;
            }
            self.waiting.pop();
            self.charge_until(entry.end);
            self.look_at(entry);
        }
        self.charge_until(before.saturating_sub(1));
    }

    fn charge_until(&mut self, last: i64) {
        while let Some(first) = self.charges.first_entry()
            && *first.key() <= last
        {
            self.charged = self.charged.saturating_add(first.remove());
        }
    }

    /// The phase that a request surely belongs to, with its budget.
    fn phase_of(&mut self, entry: Entry) -> Option<(usize, u64)> {
        let at = self.phases.partition_point(|phase| phase.earliest <= entry.end).checked_sub(1)?;
        let phase = &mut self.phases[at];
        if entry.start <= phase.latest {
            return None;
        }
        let left = phase.left?;
        if entry.month - *phase.began.get_or_insert(entry.month) > KNOWN_FOR {
            self.expired = true;
            // Nothing exact is said any more.
            self.exact = None;
            return None;
        }
        Some((at, left))
    }

    fn look_at(&mut self, entry: Entry) {
        let Some((at, left)) = self.phase_of(entry) else { return };
        self.judged += 1;
        if entry.served {
            self.last_served = Some(entry);
            self.count_served(at, left, entry);
        } else {
            self.look_at_refusal(at, left, entry);
        }
    }

    fn count_served(&mut self, at: usize, left: u64, entry: Entry) {
        let phase = &mut self.phases[at];
        phase.served += 1;
        if phase.served_ids.len() < FACTS_MAX {
            phase.served_ids.push(entry.id);
        }
        if phase.served <= left || self.beyond.is_some() {
            return;
        }
        let listed = if phase.served_ids.len() as u64 == phase.served { "" } else { "; the first of them are listed" };
        let explanation = format!(
            "{} requests were served while {left} renders were left, each costs at least one, and acceptance charges at once{listed}.",
            phase.served
        );
        self.beyond = Some(Found {
            rule: "rndrkit.quota.concurrent-ceiling",
            level: AuditLevel::Must,
            kind: "over-budget",
            explanation,
            proof: true,
            facts: phase.served_ids.iter().map(|id| (*id, Role::Counted)).collect(),
            spans: Vec::new(),
            on_judged_axis: false,
            origin: None,
        });
    }

    fn look_at_refusal(&mut self, at: usize, left: u64, entry: Entry) {
        // Its own price is among what is charged, since it started before it ended.
        let others = self.charged.saturating_sub(entry.price.unwrap_or(u64::MAX));
        let unknown = self.charged == u64::MAX;
        let enough = |charged: u64| match self.reading {
            QuotaKind::Reached => charged >= left,
            QuotaKind::Exceed => entry.price.is_none_or(|price| charged.saturating_add(price) > left),
        };
        if unknown || enough(others) {
            let last = self.last_served.filter(|last| {
                let soon = last.end < entry.start && entry.end - last.end <= AT_ONCE;
                soon && last.start > self.phases[at].latest && last.price == Some(1)
            });
            if !unknown && last.is_some() && !enough(others.saturating_sub(1)) {
                self.phases[at].shown = true;
            }
            return;
        }
        if self.needless.is_none() {
            self.needless = Some(Found {
                rule: "rndrkit.quota.below-limit",
                level: AuditLevel::Must,
                kind: "needless-quota-refusal",
                explanation: format!(
                    "#{} was refused for the quota with {left} renders left, although all that was asked before it ended, {others} pages, cannot have used them up.",
                    entry.id
                ),
                proof: true,
                facts: vec![(entry.id, Role::Refused)],
                spans: Vec::new(),
                on_judged_axis: false,
                origin: None,
            });
        }
    }

    /// What was found, once all has come.
    pub(super) fn finish(mut self) -> (Judged, Option<Found>, bool, QuotaFindings) {
        self.settle(i64::MAX);
        let judged = match (&self.needless, self.judged) {
            (Some(_), _) => Judged::Inconsistent,
            (None, 0) => Judged::NotConcerned,
            (None, _) => Judged::Consistent,
        };
        let mut phases = self.phases.iter();
        let first = phases.next().and_then(|phase| phase.left);
        let later = phases.map(|phase| Period { earliest: phase.earliest, latest: phase.latest, budget: phase.left });
        let allowance = Allowance { first, later: later.collect() };
        let concerned = self.judged > 0 && !self.expired;
        let findings = QuotaFindings {
            shown: self.phases.iter().filter(|phase| phase.shown).count() as u64,
            beyond: self.beyond,
            spent: self.exact.filter(|_| concerned).map(|spends| (spends, allowance)),
            concerned,
        };
        (judged, self.needless, self.expired, findings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// Requests one after another: pages and answers.
    fn row(quota: &mut Quota, requests: &[(Option<u64>, Answer)]) {
        for (at, (pages, answer)) in requests.iter().enumerate() {
            let start = (at as i64 + 1) * 1_000_000;
            quota.push(at as u64 + 1, Interval { start, end: Some(start + 500_000) }, start, *pages, *answer);
        }
    }

    #[track_caller]
    fn check(left: u64, reading: QuotaKind, requests: &[(Option<u64>, Answer)], expected: (Judged, bool, u64)) {
        let mut quota = Quota::new(reading, Some(left));
        row(&mut quota, requests);
        let (judged, _, _, findings) = quota.finish();
        assert_eq!((judged, findings.beyond.is_some(), findings.shown), expected, "{left} {requests:?}");
    }

    const SERVED: (Option<u64>, Answer) = (Some(1), Answer::Served);
    const REFUSED: (Option<u64>, Answer) = (Some(1), Answer::QuotaRefused);

    #[test]
    fn a_quota_that_is_used_up_and_then_refuses_is_consistent_and_shows_when_it_charges() {
        check(2, QuotaKind::Reached, &[SERVED, SERVED, REFUSED], (Judged::Consistent, false, 1));
    }

    #[test]
    fn a_refusal_before_all_can_be_used_up_is_found() {
        check(3, QuotaKind::Reached, &[SERVED, SERVED, REFUSED], (Judged::Inconsistent, false, 0));
        check(0, QuotaKind::Reached, &[REFUSED], (Judged::Consistent, false, 0));
    }

    #[test]
    fn more_served_than_were_left_is_found() {
        check(2, QuotaKind::Reached, &[SERVED, SERVED, SERVED], (Judged::Consistent, true, 0));
    }

    #[test]
    fn what_a_request_would_cost_counts_only_where_the_quota_refuses_to_be_exceeded() {
        let list = (Some(3), Answer::QuotaRefused);
        check(3, QuotaKind::Exceed, &[SERVED, list], (Judged::Consistent, false, 1));
        check(3, QuotaKind::Reached, &[SERVED, list], (Judged::Inconsistent, false, 0));
    }

    #[test]
    fn after_a_full_refresh_no_refusal_is_needless() {
        check(100, QuotaKind::Reached, &[(None, Answer::Served), REFUSED], (Judged::Consistent, false, 0));
    }

    #[test]
    fn a_refused_request_may_have_been_charged() {
        check(2, QuotaKind::Reached, &[SERVED, (Some(1), Answer::Refused), REFUSED], (Judged::Consistent, false, 1));
    }

    #[test]
    fn a_quota_that_is_not_known_is_not_judged() {
        let mut quota = Quota::new(QuotaKind::Reached, None);
        row(&mut quota, &[SERVED, REFUSED]);
        assert_eq!(quota.finish().0, Judged::NotConcerned);
    }

    #[test]
    fn a_quota_that_is_set_later_holds_from_then_on() {
        let mut quota = Quota::new(QuotaKind::Reached, None);
        quota.begin(0, 500_000, Some(2));
        row(&mut quota, &[SERVED, REFUSED]);
        assert_eq!(quota.finish().0, Judged::Inconsistent);
    }

    #[test]
    fn a_day_later_the_month_may_have_turned() {
        let mut quota = Quota::new(QuotaKind::Reached, Some(1));
        let times = [SECOND, KNOWN_FOR + 2 * SECOND];
        for (id, start) in (1..).zip(times) {
            quota.push(id, Interval { start, end: Some(start + 1) }, start, Some(1), Answer::Served);
        }
        let (judged, _, expired, findings) = quota.finish();
        assert_eq!((judged, expired, findings.beyond), (Judged::Consistent, true, None));
    }
}
