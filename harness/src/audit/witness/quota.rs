//! The quota's contradictions: found, named, and put into words.

use std::collections::HashSet;

use super::smallest::irreducible;
use super::{Phrase, Shape, Witness};
use crate::audit::quota::{self, Allowance, Decision, Reading, Spend};
use crate::audit::{Kind, Request};

/// Requests that a sentence names, at most.
const NAMED_MAX: usize = 24;

/// Refusals that are tried one by one, at most: the earlier, the harder to explain.
const SINGLES_MAX: usize = 256;

/// Explains why a history breaks the quota.
pub(crate) fn explain(spends: &[Spend], allowance: &Allowance, reading: Reading) -> Witness {
    let case = Case { spends, allowance, reading };
    let facts = case.smallest();
    let known: HashSet<u64> = facts.iter().map(|fact| fact.n).collect();
    let others =
        spends.iter().map(|spend| spend.request).filter(|one| one.kind != Kind::Refused && !known.contains(&one.n));
    let mut context: Vec<Request> = others.collect();
    context.sort_by_key(|request| request.start);
    let (shape, phrase, proof) = case.tell(&facts);
    Witness { shape, facts, context, openings: Vec::new(), proof, parts: phrase.parts() }
}

struct Case<'a> {
    spends: &'a [Spend],
    allowance: &'a Allowance,
    reading: Reading,
}

impl Case<'_> {
    fn contradicts(&self, facts: &[Request]) -> bool {
        let known: HashSet<u64> = facts.iter().map(|fact| fact.n).collect();
        let loosened = self.spends.iter().filter_map(|spend| match spend.request.kind {
            _ if known.contains(&spend.request.n) => Some(*spend),
            Kind::Refused => None,
            Kind::Perhaps { .. } => Some(*spend),
            Kind::Counted => {
                let kind = Kind::Perhaps { until: Some(spend.request.end) };
                Some(Spend { request: Request { kind, ..spend.request }, ..*spend })
            }
        });
        quota::decide(&loosened.collect::<Vec<Spend>>(), self.allowance, self.reading) == Decision::Broken
    }

    fn smallest(&self) -> Vec<Request> {
        let mut facts: Vec<Request> = self.spends.iter().map(|spend| spend.request).collect();
        facts.retain(|request| !matches!(request.kind, Kind::Perhaps { .. }));
        facts.sort_by_key(|fact| (fact.start, fact.end));
        let mut refused: Vec<Request> = facts.iter().filter(|fact| fact.kind == Kind::Refused).copied().collect();
        refused.sort_by_key(|fact| fact.end);
        if let Some(single) = refused.into_iter().take(SINGLES_MAX).find(|fact| self.contradicts(&[*fact])) {
            return vec![single];
        }
        let over = quota::over_budget(self.spends, self.allowance);
        let mut smallest = match over {
            // In the order of cost none can be left out.
            Some((sure, _)) if self.charges_strictly() => sure.iter().map(|spend| spend.request).collect(),
            _ => irreducible(&facts, &|facts| self.contradicts(facts)),
        };
        smallest.sort_by_key(|fact| (fact.start, fact.end));
        smallest
    }

    /// Whether more than the budget is never used.
    fn charges_strictly(&self) -> bool {
        self.reading == Reading::Exceed || self.spends.iter().all(|spend| spend.cost == 1)
    }

    fn cost(&self, n: u64) -> u64 {
        self.spends.iter().find(|spend| spend.request.n == n).map_or(0, |spend| spend.cost)
    }

    fn tell(&self, facts: &[Request]) -> (Shape, Phrase, bool) {
        if let [refusal] = facts
            && refusal.kind == Kind::Refused
        {
            return self.needless(refusal);
        }
        let total: u64 = facts.iter().map(|fact| self.cost(fact.n)).sum();
        let (shown, rest) = facts.split_at(facts.len().min(NAMED_MAX));
        let named = Phrase::default().requests(shown);
        let named = if rest.is_empty() { named } else { named.say(format!(" and {} more", rest.len())) };
        if facts.iter().all(|fact| fact.kind == Kind::Counted) {
            let over = quota::over_budget(self.spends, self.allowance).filter(|_| self.charges_strictly());
            let phrase = match &over {
                Some((_, budget)) => named.say(format!(
                    " were accepted wholly inside one period. They cost {total} together; its budget is {budget}."
                )),
                None => named.say(format!(" were accepted. They cost {total} together: more than the periods allow.")),
            };
            return (Shape::OverBudget, phrase, over.is_some());
        }
        let words =
            " contradict each other: the refusals need a budget that those accepted cannot have used up by then.";
        (Shape::MixedQuota, named.say(words), false)
    }

    fn needless(&self, refusal: &Request) -> (Shape, Phrase, bool) {
        let cost = self.cost(refusal.n);
        let spend = Spend { request: *refusal, cost };
        let phrase = Phrase::default().say("Request ").request(refusal);
        let Some((used, budget)) = quota::most_used(&spend, self.spends, self.allowance) else {
            return (Shape::NeedlessQuotaRefusal, phrase.say(" was refused for a quota that never applied."), true);
        };
        let enough = match self.reading {
            Reading::Reached => used >= budget,
            Reading::Exceed => used + cost > budget,
        };
        let price = match self.reading {
            Reading::Exceed if cost > 1 => format!(", and costs {cost}"),
            _ => String::new(),
        };
        let words = format!(
            " was refused for the quota{price}, although at most {used} of {budget} units can have been used by then{}.",
            if enough { ", and no combination of what was used fits" } else { "" }
        );
        (Shape::NeedlessQuotaRefusal, phrase.say(words), !enough)
    }
}
