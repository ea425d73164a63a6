//! Checks a schedule of charges against its history, knowing nothing of how it was found.

use std::collections::{HashMap, HashSet};

use super::{Allowance, NEVER, Reading, Schedule, Spend};
use crate::audit::Kind;

/// What is wrong with a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A period that begins when it cannot, or before the one before it.
    #[error("the later periods cannot begin at {began:?}")]
    Began {
        /// When the later periods begin.
        began: Vec<i64>,
    },
    /// A charge that cannot be: not in the history, refused, twice, outside its interval, or out of order.
    #[error("request {n} cannot be charged at {at}")]
    Misplaced {
        /// Its number.
        n: u64,
        /// When it is said to be charged.
        at: i64,
    },
    /// A charge that the quota would have refused.
    #[error("request {n} cannot be accepted after {used} units were used")]
    Beyond {
        /// Its number.
        n: u64,
        /// What had been used.
        used: u64,
    },
    /// A request that was accepted and is not charged.
    #[error("request {n} was accepted, but is not charged")]
    Missing {
        /// Its number.
        n: u64,
    },
    /// A refusal that the quota would never have made.
    #[error("request {n} was refused, but the quota would never have refused it")]
    Unfounded {
        /// Its number.
        n: u64,
    },
}

/// Whether the schedule explains the history, request by request.
///
/// # Errors
///
/// The first [`Flaw`] found.
pub fn replay(spends: &[Spend], allowance: &Allowance, reading: Reading, schedule: &Schedule) -> Result<(), Flaw> {
    let Schedule { began, charged } = schedule;
    let fits = began.len() == allowance.later.len()
        && began.is_sorted()
        && began.iter().zip(&allowance.later).all(|(at, period)| (period.earliest..=period.latest).contains(at));
    if !fits {
        return Err(Flaw::Began { began: began.clone() });
    }
    let by_number: HashMap<u64, &Spend> = spends.iter().map(|spend| (spend.request.n, spend)).collect();
    let refuses = |used: u64, cost: u64, budget: Option<u64>| match (budget, reading) {
        (None, _) => false,
        (Some(budget), Reading::Exceed) => used + cost > budget,
        (Some(budget), Reading::Reached) => used >= budget,
    };
    // What was used, from when to when, both included; one stretch between any two charges or beginnings.
    let mut stretches: Vec<(i64, i64, u64, Option<u64>)> = Vec::new();
    let mut done: HashSet<u64> = HashSet::new();
    let (mut period, mut since, mut used, mut budget) = (0, i64::MIN, 0, allowance.first);
    for (n, at) in charged.iter().copied().map(|(n, at)| (Some(n), at)).chain([(None, NEVER)]) {
        while began.get(period).is_some_and(|begun| *begun <= at) {
            stretches.push((since, began[period] - 1, used, budget));
            (since, used, budget) = (began[period], 0, allowance.later[period].budget);
            period += 1;
        }
        stretches.push((since, at, used, budget));
        let Some(n) = n else { break };
        let spend = by_number.get(&n).filter(|spend| {
            let interval = spend.request.start..=spend.last();
            at >= since && spend.request.kind != Kind::Refused && interval.contains(&at)
        });
        let Some(spend) = spend.filter(|_| done.insert(n)) else { return Err(Flaw::Misplaced { n, at }) };
        if refuses(used, spend.cost, budget) {
            return Err(Flaw::Beyond { n, used });
        }
        (since, used) = (at, used + spend.cost);
    }
    for spend in spends {
        let n = spend.request.n;
        match spend.request.kind {
            Kind::Counted if !done.contains(&n) => return Err(Flaw::Missing { n }),
            Kind::Refused => {
                let founded = stretches.iter().any(|(from, to, used, budget)| {
                    let meets = *from <= spend.request.end && *to >= spend.request.start && from <= to;
                    meets && (budget.is_none() || refuses(*used, spend.cost, *budget))
                });
                if !founded {
                    return Err(Flaw::Unfounded { n });
                }
            }
            Kind::Counted | Kind::Perhaps { .. } => {}
        }
    }
    Ok(())
}
