//! The quota of periods: how much was accepted, how much may be.
//!
//! Exact where every request costs one unit, and where every request surely belongs to one period. Where costs differ *and* it
//! is open to which period a request belongs, the question is a knapsack: `bounds` finds what is surely wrong, a few
//! placements are tried, and what neither settles is inconclusive.

mod bounds;
mod replay;
mod single;
mod unit;

pub(super) use bounds::{most_used, over_budget};
pub use replay::{Flaw, replay};

use super::witness;
use super::{Kind, Reason, Request, Verdict};

/// Stands for "never".
const NEVER: i64 = i64::MAX;

/// A request with what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spend {
    /// The request; [`Kind::Counted`] was accepted and charged, [`Kind::Refused`] was refused for the quota.
    pub request: Request,
    /// Units it costs if accepted, at least 1.
    pub cost: u64,
}

/// The budget of each period, in order of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// Units left at the beginning of the history; none: unknown or unlimited, nothing is judged until the next period.
    pub first: Option<u64>,
    /// The later periods; neither end of `earliest` to `latest` ever goes back from one to the next.
    pub later: Vec<Period>,
}

/// A period with a budget of its own: a month, or the time since somebody set the quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The first instant at which it can have begun, in nanoseconds.
    pub earliest: i64,
    /// The last instant at which it can have begun; what is decided at its beginning belongs to it.
    pub latest: i64,
    /// Units in it; none: unknown or unlimited.
    pub budget: Option<u64>,
}

/// When a quota refuses a request that costs several units. For single units both are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Once it is used up: the last request accepted may go beyond.
    Reached,
    /// When the request would go beyond it.
    Exceed,
}

/// One way to keep the quota.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schedule {
    /// When each later period began.
    pub began: Vec<i64>,
    /// The requests that were charged and when, in the order of charging.
    pub charged: Vec<(u64, i64)>,
}

/// What [`decide`] finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A schedule, not replayed.
    Kept(Schedule),
    /// There is none.
    Broken,
    /// Neither was found.
    Open(Reason),
}

/// Whether a correct server can have charged and refused like this; `spends` may stand in any order.
///
/// A schedule that is returned has been replayed, and a witness cannot be made smaller.
pub fn judge(spends: &[Spend], allowance: &Allowance, reading: Reading) -> Verdict<Schedule> {
    match decide(spends, allowance, reading) {
        Decision::Kept(schedule) => {
            let replayed = replay(spends, allowance, reading, &schedule);
            assert_eq!(replayed, Ok(()), "a schedule that was found explains its history");
            Verdict::Consistent(schedule)
        }
        Decision::Broken => Verdict::Inconsistent(witness::quota::explain(spends, allowance, reading)),
        Decision::Open(reason) => Verdict::Inconclusive(reason),
    }
}

/// Decides, without a witness and without a replay.
pub fn decide(spends: &[Spend], allowance: &Allowance, reading: Reading) -> Decision {
    if spends.iter().all(|spend| spend.request.kind != Kind::Counted && spend.request.kind != Kind::Refused) {
        return Decision::Kept(Schedule {
            began: allowance.later.iter().map(|period| period.latest).collect(),
            charged: vec![],
        });
    }
    if spends.iter().all(|spend| spend.cost == 1) {
        return unit::decide(spends, allowance);
    }
    let certain = allowance.later.iter().all(|period| {
        let straddles = |spend: &Spend| spend.request.start < period.latest && spend.last() >= period.earliest;
        !spends.iter().any(straddles)
    });
    if certain {
        let began = allowance.later.iter().map(|period| period.latest).collect();
        return place(spends, allowance, reading, began, Side::Earlier);
    }
    if !bounds::may_be_kept(spends, allowance, reading) {
        return Decision::Broken;
    }
    let latest = || allowance.later.iter().map(|period| period.latest).collect::<Vec<i64>>();
    let earliest = || allowance.later.iter().map(|period| period.earliest).collect::<Vec<i64>>();
    let placements =
        [(latest(), Side::Earlier), (latest(), Side::Later), (earliest(), Side::Earlier), (earliest(), Side::Later)];
    for (began, side) in placements {
        if let kept @ Decision::Kept(_) = place(spends, allowance, reading, began, side) {
            return kept;
        }
    }
    Decision::Open(Reason::OnlyBounded)
}

impl Spend {
    /// The last instant at which it can have been decided.
    fn last(&self) -> i64 {
        match self.request.kind {
            Kind::Counted | Kind::Refused => self.request.end,
            Kind::Perhaps { until } => until.unwrap_or(NEVER),
        }
    }
}

/// To which period a request goes that can belong to several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Earlier,
    Later,
}

/// Decides each period by itself, with fixed beginnings, and each request in one of those that it can belong to.
fn place(spends: &[Spend], allowance: &Allowance, reading: Reading, began: Vec<i64>, side: Side) -> Decision {
    let budgets = [allowance.first].into_iter().chain(allowance.later.iter().map(|period| period.budget));
    let mut charged = Vec::new();
    for (index, budget) in budgets.enumerate() {
        let from = if index == 0 { i64::MIN } else { began[index - 1] };
        let to = began.get(index).copied().unwrap_or(NEVER);
        let inside = spends.iter().filter_map(|spend| {
            let first = began.partition_point(|begun| *begun <= spend.request.start);
            let last = began.partition_point(|begun| *begun <= spend.last());
            // Who may never have counted at all can go anywhere; a later period often has room for nobody.
            let own = if side == Side::Earlier { first } else { last };
            (own == index).then(|| spend.within(from, to))
        });
        let inside: Vec<Spend> = inside.collect();
        match budget {
            None => {
                let sure = inside.iter().filter(|spend| spend.request.kind == Kind::Counted);
                let mut free: Vec<(u64, i64)> = sure.map(|spend| (spend.request.n, spend.request.start)).collect();
                free.sort_by_key(|(_, at)| *at);
                charged.extend(free);
            }
            Some(budget) => match single::decide(&inside, budget, reading) {
                Ok(Some(mut more)) => {
                    more.sort_by_key(|(_, at)| *at);
                    charged.extend(more);
                }
                Ok(None) => return Decision::Broken,
                Err(reason) => return Decision::Open(reason),
            },
        }
    }
    Decision::Kept(Schedule { began, charged })
}

impl Spend {
    /// The part of its interval inside a period that lasts from `from` up to, but not including, `to`.
    fn within(&self, from: i64, to: i64) -> Spend {
        let last = self.last().min(to.saturating_sub(1));
        let kind = match self.request.kind {
            Kind::Perhaps { .. } => Kind::Perhaps { until: Some(last) },
            known => known,
        };
        let request = Request { start: self.request.start.max(from), end: last, kind, ..self.request };
        Spend { request, ..*self }
    }
}
