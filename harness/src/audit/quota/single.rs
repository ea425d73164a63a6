//! One period, any costs, exactly.

use super::{Reading, Spend};
use crate::audit::{Kind, Reason};

/// Words that the sets of reachable sums may cost.
const WORK_MAX: u64 = 200_000_000;

/// Units above which sums of unknown requests are not enumerated.
const SUMS_MAX: u64 = 1 << 28;

/// The requests that were charged and when, if the period explains all; none if it cannot.
///
/// # Errors
///
/// The sums of what unknown requests cost are too many to try.
pub(super) fn decide(spends: &[Spend], budget: u64, reading: Reading) -> Result<Option<Vec<(u64, i64)>>, Reason> {
    let of = |wanted: fn(&Kind) -> bool| {
        let mut found: Vec<Spend> = spends.iter().filter(|spend| wanted(&spend.request.kind)).copied().collect();
        found.sort_by_key(|spend| spend.request.start);
        found
    };
    let period = Period {
        budget,
        accepted: of(|kind| *kind == Kind::Counted),
        refused: of(|kind| *kind == Kind::Refused),
        unknown: of(|kind| matches!(kind, Kind::Perhaps { .. })),
    };
    match reading {
        Reading::Exceed => period.exceed(),
        Reading::Reached => period.reached(),
    }
}

struct Period {
    budget: u64,
    accepted: Vec<Spend>,
    refused: Vec<Spend>,
    unknown: Vec<Spend>,
}

impl Period {
    /// A request is refused if it would go beyond the budget.
    ///
    /// It does no harm to accept each as early as possible, and to refuse each as late as possible: both only help a refusal.
    fn exceed(mut self) -> Result<Option<Vec<(u64, i64)>>, Reason> {
        let total: u64 = self.accepted.iter().map(|spend| spend.cost).sum();
        let Some(room) = self.budget.checked_sub(total) else { return Ok(None) };
        self.refused.sort_by_key(|spend| spend.request.end);
        let mut sums = Sums::new(room, self.refused.is_empty() || self.unknown.is_empty())?;
        let (mut accepted, mut unknown) = (self.accepted.iter().peekable(), (0..self.unknown.len()).peekable());
        let mut sure = 0;
        for refusal in &self.refused {
            while let Some(spend) = accepted.next_if(|spend| spend.request.start <= refusal.request.end) {
                sure += spend.cost;
            }
            while let Some(index) = unknown.next_if(|index| self.unknown[*index].request.start <= refusal.request.end) {
                sums.add(index, self.unknown[index].cost)?;
            }
            // The sum of the unknown must reach this, so that the refused would have gone beyond.
            sums.drop_below((self.budget + 1).saturating_sub(refusal.cost + sure));
            if sums.is_empty() {
                return Ok(None);
            }
        }
        let chosen = sums.least().map(|sum| sums.items(sum, |index| self.unknown[index].cost)).unwrap_or_default();
        let all = self.accepted.iter().chain(chosen.into_iter().map(|index| &self.unknown[index]));
        Ok(Some(all.map(|spend| (spend.request.n, spend.request.start)).collect()))
    }

    /// A request is refused once the budget is used up.
    ///
    /// So some request is accepted last, with the budget not yet used up before it, and all refusals come after it.
    fn reached(self) -> Result<Option<Vec<(u64, i64)>>, Reason> {
        let Some(refused) = self.refused.iter().map(|spend| spend.request.end).min() else {
            return Ok(self.without_refusal());
        };
        if self.budget == 0 {
            return Ok(self.accepted.is_empty().then(Vec::new));
        }
        if self.accepted.iter().any(|spend| spend.request.start > refused) {
            return Ok(None);
        }
        let unknown: Vec<Spend> = self.unknown.into_iter().filter(|spend| spend.request.start <= refused).collect();
        let total: u64 = self.accepted.iter().map(|spend| spend.cost).sum();
        let accepted = self.accepted.iter().map(|spend| (spend, None));
        for (last, skipped) in accepted.chain(unknown.iter().enumerate().map(|(index, spend)| (spend, Some(index)))) {
            let others = self.accepted.iter().filter(|spend| spend.request.n != last.request.n);
            let latest = others.clone().map(|spend| spend.request.start).max().unwrap_or(i64::MIN);
            let before = if skipped.is_none() { total - last.cost } else { total };
            if last.last() < latest || before >= self.budget {
                continue;
            }
            // The others must leave less than the budget used, and the last must use it up.
            let mut sums = Sums::new(self.budget - 1 - before, unknown.is_empty())?;
            for (index, spend) in unknown.iter().enumerate() {
                if Some(index) != skipped && spend.request.start <= last.last() {
                    sums.add(index, spend.cost)?;
                }
            }
            sums.drop_below(self.budget.saturating_sub(last.cost + before));
            let Some(sum) = sums.least() else { continue };
            let chosen = sums.items(sum, |index| unknown[index].cost);
            let others = others.chain(chosen.into_iter().map(|index| &unknown[index]));
            let mut charged: Vec<(u64, i64)> = others.map(|spend| (spend.request.n, spend.request.start)).collect();
            let at = charged.iter().map(|(_, at)| *at).max().unwrap_or(i64::MIN).max(last.request.start);
            charged.push((last.request.n, at));
            return Ok(Some(charged));
        }
        Ok(None)
    }

    /// The accepted alone, the most expensive of those that can be last being the last.
    fn without_refusal(&self) -> Option<Vec<(u64, i64)>> {
        let Some(latest) = self.accepted.iter().map(|spend| spend.request.start).max() else { return Some(Vec::new()) };
        let total: u64 = self.accepted.iter().map(|spend| spend.cost).sum();
        let able = self.accepted.iter().filter(|spend| spend.request.end >= latest);
        let last = able.max_by_key(|spend| spend.cost)?;
        if total - last.cost >= self.budget {
            return None;
        }
        let others = self.accepted.iter().filter(|spend| spend.request.n != last.request.n);
        let charged = others.map(|spend| (spend.request.n, spend.request.start));
        Some(charged.chain([(last.request.n, latest)]).collect())
    }
}

/// Which sums up to `most` some of the items have, and which item completed each.
struct Sums {
    most: u64,
    words: Vec<u64>,
    /// The item that completed each sum first.
    by: Vec<u32>,
    work: u64,
}

impl Sums {
    /// The sum of nothing. Without items there is nothing to enumerate.
    fn new(most: u64, without_items: bool) -> Result<Sums, Reason> {
        if most >= SUMS_MAX && !without_items {
            return Err(Reason::TooMuchWork { most: SUMS_MAX });
        }
        let length = if without_items { 0 } else { usize::try_from(most).unwrap_or(usize::MAX) };
        let mut words = vec![0; length / 64 + 1];
        words[0] = 1;
        Ok(Sums { most, words, by: vec![0; length + 1], work: 0 })
    }

    fn add(&mut self, item: usize, cost: u64) -> Result<(), Reason> {
        self.work += self.words.len() as u64;
        if self.work > WORK_MAX {
            return Err(Reason::TooMuchWork { most: WORK_MAX });
        }
        if cost > self.most {
            return Ok(());
        }
        let (skip, shift) = ((cost / 64) as usize, cost % 64);
        for index in (skip..self.words.len()).rev() {
            let low = self.words[index - skip] << shift;
            let carried = if shift > 0 && index > skip { self.words[index - skip - 1] >> (64 - shift) } else { 0 };
            let mut new = (low | carried) & !self.words[index];
            while new != 0 {
                let sum = index as u64 * 64 + u64::from(new.trailing_zeros());
                new &= new - 1;
                if sum <= self.most {
                    self.words[index] |= 1 << (sum % 64);
                    self.by[sum as usize] = item as u32;
                }
            }
        }
        Ok(())
    }

    fn drop_below(&mut self, least: u64) {
        for (index, word) in self.words.iter_mut().enumerate() {
            let from = index as u64 * 64;
            if from >= least {
                break;
            }
            let below = least - from;
            *word = if below >= 64 { 0 } else { *word >> below << below };
        }
    }

    fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    fn least(&self) -> Option<u64> {
        let (index, word) = self.words.iter().enumerate().find(|(_, word)| **word != 0)?;
        Some(index as u64 * 64 + u64::from(word.trailing_zeros()))
    }

    /// The items that make up a sum.
    fn items(&self, mut sum: u64, cost: impl Fn(usize) -> u64) -> Vec<usize> {
        let mut items = Vec::new();
        while sum > 0 {
            let item = self.by[sum as usize] as usize;
            items.push(item);
            sum -= cost(item);
        }
        items
    }
}
