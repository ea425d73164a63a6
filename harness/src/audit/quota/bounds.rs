//! Any periods, any costs: what is surely wrong.

use super::{Allowance, NEVER, Reading, Spend};
use crate::audit::Kind;

/// Whether nothing found here shows that the quota was broken. It may have been nevertheless.
pub(super) fn may_be_kept(spends: &[Spend], allowance: &Allowance, reading: Reading) -> bool {
    let periods = Stretch::all(allowance);
    periods.iter().all(|period| period.holds_what_is_sure(spends, reading))
        && spends
            .iter()
            .filter(|spend| spend.request.kind == Kind::Refused)
            .all(|refusal| periods.iter().any(|period| period.may_refuse(refusal, spends, reading)))
}

/// The most that can have been used of a period by a refusal, over the periods that it can belong to, with their budgets.
pub(in crate::audit) fn most_used(refusal: &Spend, spends: &[Spend], allowance: &Allowance) -> Option<(u64, u64)> {
    let periods = Stretch::all(allowance);
    let possible = periods.iter().filter(|period| period.may_contain(refusal));
    possible.filter_map(|period| Some((period.used_by(refusal, spends), period.budget?))).max()
}

/// What surely belongs to one period and costs more than its budget, in the order of cost.
pub(in crate::audit) fn over_budget(spends: &[Spend], allowance: &Allowance) -> Option<(Vec<Spend>, u64)> {
    Stretch::all(allowance).iter().find_map(|period| {
        let budget = period.budget?;
        let mut sure: Vec<Spend> = period.sure(spends).copied().collect();
        sure.sort_by_key(|spend| std::cmp::Reverse(spend.cost));
        let mut total = 0;
        let enough = sure.iter().position(|spend| {
            total += spend.cost;
            total > budget
        })?;
        sure.truncate(enough + 1);
        Some((sure, budget))
    })
}

/// A period with what is known of its beginning and its end.
struct Stretch {
    begins: (i64, i64),
    ends: (i64, i64),
    budget: Option<u64>,
}

impl Stretch {
    fn all(allowance: &Allowance) -> Vec<Stretch> {
        let begins =
            [(i64::MIN, i64::MIN)].into_iter().chain(allowance.later.iter().map(|one| (one.earliest, one.latest)));
        let ends = allowance.later.iter().map(|one| (one.earliest, one.latest)).chain([(NEVER, NEVER)]);
        let budgets = [allowance.first].into_iter().chain(allowance.later.iter().map(|one| one.budget));
        begins.zip(ends).zip(budgets).map(|((begins, ends), budget)| Stretch { begins, ends, budget }).collect()
    }

    /// What was accepted and can only have been charged in this period.
    fn sure<'a>(&self, spends: &'a [Spend]) -> impl Iterator<Item = &'a Spend> {
        let (from, to) = (self.begins.1, self.ends.0);
        spends.iter().filter(move |spend| {
            spend.request.kind == Kind::Counted && spend.request.start >= from && spend.request.end < to
        })
    }

    fn may_contain(&self, spend: &Spend) -> bool {
        spend.last() >= self.begins.0 && spend.request.start < self.ends.1
    }

    /// The most that can have been used when a refusal was decided.
    fn used_by(&self, refusal: &Spend, spends: &[Spend]) -> u64 {
        let counted = |spend: &&Spend| spend.request.kind != Kind::Refused && self.may_contain(spend);
        let before = |spend: &&Spend| spend.request.start <= refusal.request.end;
        spends.iter().filter(counted).filter(before).map(|spend| spend.cost).sum()
    }

    fn holds_what_is_sure(&self, spends: &[Spend], reading: Reading) -> bool {
        let Some(budget) = self.budget else { return true };
        let total: u64 = self.sure(spends).map(|spend| spend.cost).sum();
        match reading {
            Reading::Exceed => total <= budget,
            Reading::Reached => {
                let Some(latest) = self.sure(spends).map(|spend| spend.request.start).max() else { return true };
                // Whoever was last may go beyond; somebody who need not belong here would not lower the sum of the others.
                let able = self.sure(spends).filter(|spend| spend.request.end >= latest);
                total - able.map(|spend| spend.cost).max().unwrap_or(0) < budget
            }
        }
    }

    fn may_refuse(&self, refusal: &Spend, spends: &[Spend], reading: Reading) -> bool {
        if !self.may_contain(refusal) {
            return false;
        }
        let Some(budget) = self.budget else { return true };
        let used = self.used_by(refusal, spends);
        let after = |spend: &&Spend| spend.request.start > refusal.request.end;
        match reading {
            Reading::Exceed => {
                let still: u64 = self.sure(spends).filter(after).map(|spend| spend.cost).sum();
                budget.checked_sub(still).is_some_and(|most| used.min(most) + refusal.cost > budget)
            }
            Reading::Reached => used >= budget && !self.sure(spends).any(|spend| after(&spend)),
        }
    }
}
