//! The quota's judge against brute force.

use std::collections::HashSet;

use hookproof::audit::quota::{self, Allowance, Decision, Period, Reading, Spend};
use hookproof::audit::{Kind, Reason, Request, Verdict};

use crate::dice::Dice;

const INSTANCES: u64 = 20_000;

/// The quota as its documents tell it, played through in every possible way, instant by instant.
struct Play<'a> {
    spends: &'a [Spend],
    began: &'a [i64],
    budgets: &'a [Option<u64>],
    reading: Reading,
    must: u32,
    last: i64,
    dead_ends: HashSet<(i64, u32, u64)>,
}

/// Whether a correct server can have charged and refused like this.
fn is_kept(spends: &[Spend], allowance: &Allowance, reading: Reading) -> bool {
    let certain = |spend: &Spend| !matches!(spend.request.kind, Kind::Perhaps { .. });
    let must =
        spends.iter().enumerate().filter(|(_, spend)| certain(spend)).fold(0, |bits, (index, _)| bits | 1 << index);
    let Some(last) = spends.iter().filter(|spend| certain(spend)).map(|spend| spend.request.end).max() else {
        return true;
    };
    let first = spends.iter().map(|spend| spend.request.start).min().unwrap();
    let budgets: Vec<Option<u64>> =
        std::iter::once(allowance.first).chain(allowance.later.iter().map(|one| one.budget)).collect();
    let mut beginnings = vec![Vec::new()];
    for period in &allowance.later {
        let longer = |began: &Vec<i64>, at: i64| [began.clone(), vec![at]].concat();
        beginnings = beginnings
            .iter()
            .flat_map(|began: &Vec<i64>| (period.earliest..=period.latest).map(move |at| longer(began, at)))
            .filter(|began| began.is_sorted())
            .collect();
    }
    beginnings.iter().any(|began| {
        let dead_ends = HashSet::new();
        let mut play = Play { spends, began, budgets: &budgets, reading, must, last, dead_ends };
        play.goes_on(first, 0, 0)
    })
}

impl Play<'_> {
    fn goes_on(&mut self, now: i64, done: u32, used: u64) -> bool {
        if self.must & !done == 0 {
            return true;
        }
        if now > self.last || self.dead_ends.contains(&(now, done, used)) {
            return false;
        }
        let period = self.began.partition_point(|began| *began <= now);
        let found = (0..self.spends.len()).any(|index| self.decides(index, now, done, used, self.budgets[period]))
            || self.lets_time_pass(now, done, used);
        if !found {
            self.dead_ends.insert((now, done, used));
        }
        found
    }

    fn decides(&mut self, index: usize, now: i64, done: u32, used: u64, budget: Option<u64>) -> bool {
        let Spend { request, cost } = self.spends[index];
        let last = match request.kind {
            Kind::Perhaps { until } => until.unwrap_or(i64::MAX),
            Kind::Counted | Kind::Refused => request.end,
        };
        if done & (1 << index) != 0 || now < request.start || now > last {
            return false;
        }
        let refuses = match (budget, self.reading) {
            // Nothing is known of the budget: either answer may be right.
            (None, _) => request.kind == Kind::Refused,
            (Some(budget), Reading::Exceed) => used + cost > budget,
            (Some(budget), Reading::Reached) => used >= budget,
        };
        refuses == (request.kind == Kind::Refused)
            && self.goes_on(now, done | 1 << index, if refuses { used } else { used + cost })
    }

    fn lets_time_pass(&mut self, now: i64, done: u32, used: u64) -> bool {
        let overdue =
            |(index, spend): (usize, &Spend)| self.must & !done & (1 << index) != 0 && spend.request.end <= now;
        if self.spends.iter().enumerate().any(overdue) {
            return false;
        }
        let used = if self.began.contains(&(now + 1)) { 0 } else { used };
        self.goes_on(now + 1, done, used)
    }
}

/// What a small history may contain.
struct Shape {
    periods: i64,
    cost_max: i64,
    unjudged: bool,
}

/// Half are any history, the others runs of a correct server with nought to two answers changed.
fn instance(dice: &mut Dice, shape: &Shape, reading: Reading) -> (Vec<Spend>, Allowance) {
    let budget =
        |dice: &mut Dice| (!(shape.unjudged && dice.chance(0.3))).then(|| dice.range(0, 4 + shape.cost_max) as u64);
    let mut allowance = Allowance { first: budget(dice), later: Vec::new() };
    let (mut earliest, mut latest) = (0, 0);
    for _ in 1..shape.periods {
        earliest += dice.range(1, 7);
        latest = latest.max(earliest + dice.pick(&[0, 0, 1, 2]));
        allowance.later.push(Period { earliest, latest, budget: budget(dice) });
    }
    let began: Vec<i64> = allowance.later.iter().map(|period| dice.range(period.earliest, period.latest)).collect();
    let budgets: Vec<Option<u64>> =
        std::iter::once(allowance.first).chain(allowance.later.iter().map(|one| one.budget)).collect();
    let width = dice.pick(&[0, 1, 2, 4]);
    let correct = dice.chance(0.6);
    let unknown = dice.pick(&[0.0, 0.2, 0.4]);
    let mut instants: Vec<i64> = (0..dice.range(1, 9)).map(|_| dice.range(0, 5 * shape.periods + 3)).collect();
    instants.sort_unstable();
    let mut used = vec![0; budgets.len()];
    let mut spends = Vec::new();
    for (n, at) in instants.into_iter().enumerate() {
        let cost = dice.range(1, shape.cost_max) as u64;
        let period = began.partition_point(|begun| *begun <= at);
        let refuses = match (budgets[period], reading) {
            (None, _) => dice.chance(0.3),
            (Some(budget), Reading::Exceed) => used[period] + cost > budget,
            (Some(budget), Reading::Reached) => used[period] >= budget,
        };
        let lost = dice.chance(unknown);
        used[period] += if refuses || (lost && dice.chance(0.5)) { 0 } else { cost };
        let (start, end) = ((at - dice.range(0, width)).max(0), at + dice.range(0, width));
        let refused = if correct { refuses } else { dice.chance(0.3) };
        let kind = match (lost, refused) {
            (true, _) => Kind::Perhaps { until: dice.chance(0.7).then_some(end) },
            (false, true) => Kind::Refused,
            (false, false) => Kind::Counted,
        };
        spends.push(Spend { request: Request { n: n as u64, start, end, kind }, cost });
    }
    for _ in 0..dice.pick(&[0, 1, 1, 2]) {
        let chosen = dice.index(spends.len());
        let spend = &mut spends[chosen];
        match spend.request.kind {
            Kind::Counted => spend.request.kind = Kind::Refused,
            Kind::Refused => spend.request.kind = Kind::Counted,
            Kind::Perhaps { .. } => {}
        }
    }
    (spends, allowance)
}

/// Judges instances of that shape; returns how many were broken, and how many of these were left open.
fn check(shape: &Shape, reading: Reading, instances: u64) -> (u64, u64) {
    let (mut broken, mut open) = (0, 0);
    for seed in 0..instances {
        let (spends, allowance) = instance(&mut Dice::new(seed), shape, reading);
        let expected = is_kept(&spends, &allowance, reading);
        broken += u64::from(!expected);
        let told = || format!("{seed}: {reading:?} {allowance:#?} {spends:#?}");
        match quota::decide(&spends, &allowance, reading) {
            Decision::Kept(schedule) => {
                assert_eq!(quota::replay(&spends, &allowance, reading, &schedule), Ok(()), "{schedule:#?} {}", told());
                assert!(expected, "{}", told());
            }
            Decision::Broken => assert!(!expected, "{}", told()),
            Decision::Open(reason) => {
                assert_eq!(reason, Reason::OnlyBounded, "{}", told());
                open += u64::from(!expected);
            }
        }
    }
    (broken, open)
}

#[test]
fn single_units_are_judged_exactly_over_any_periods() {
    for periods in [1, 2, 3] {
        for unjudged in [false, true] {
            let (broken, open) = check(&Shape { periods, cost_max: 1, unjudged }, Reading::Exceed, INSTANCES / 2);
            assert!(broken > INSTANCES / 40 && open == 0, "{broken} broken, {open} of these open");
        }
    }
}

#[test]
fn costs_are_judged_exactly_in_one_period_in_both_readings() {
    for reading in [Reading::Exceed, Reading::Reached] {
        let (broken, open) = check(&Shape { periods: 1, cost_max: 4, unjudged: false }, reading, INSTANCES);
        assert!(broken > INSTANCES / 10 && open == 0, "{broken} broken, {open} of these open");
    }
}

#[test]
fn costs_over_several_periods_raise_no_false_alarm_and_are_mostly_decided() {
    for reading in [Reading::Exceed, Reading::Reached] {
        for unjudged in [false, true] {
            let (broken, open) = check(&Shape { periods: 2, cost_max: 4, unjudged }, reading, INSTANCES);
            assert!(broken > INSTANCES / 20 && open < broken / 4, "{broken} broken, {open} of these open");
        }
    }
}

#[test]
fn a_witness_contradicts_itself_and_needs_all_of_its_facts() {
    let mut explained = 0;
    for seed in 0..3_000 {
        let mut dice = Dice::new(seed);
        let shape = Shape { periods: dice.range(1, 2), cost_max: dice.pick(&[1, 4]), unjudged: false };
        let reading = dice.pick(&[Reading::Exceed, Reading::Reached]);
        let (spends, allowance) = instance(&mut dice, &shape, reading);
        let Verdict::Inconsistent(witness) = quota::judge(&spends, &allowance, reading) else { continue };
        let kept = |facts: &[Request]| {
            let loosened = spends.iter().filter_map(|spend| {
                let kind = match spend.request.kind {
                    known if facts.contains(&spend.request) => known,
                    Kind::Refused => return None,
                    Kind::Counted => Kind::Perhaps { until: Some(spend.request.end) },
                    unknown @ Kind::Perhaps { .. } => unknown,
                };
                Some(Spend { request: Request { kind, ..spend.request }, ..*spend })
            });
            let loosened: Vec<Spend> = loosened.collect();
            (is_kept(&loosened, &allowance, reading), quota::decide(&loosened, &allowance, reading))
        };
        let facts = &witness.facts;
        assert!(!kept(facts).0, "{seed}: {allowance:#?} {spends:#?} {witness:#?}");
        for left_out in 0..facts.len() {
            let mut fewer = facts.clone();
            fewer.remove(left_out);
            // Irreducible for the judge; where it cannot decide exactly, brute force may need fewer.
            assert_ne!(kept(&fewer).1, Decision::Broken, "{seed}: fact {left_out} is not needed: {witness:#?}");
        }
        explained += 1;
    }
    assert!(explained > 500, "{explained} were explained");
}
