//! Any periods, each request one unit, exactly: the limiter's search with windows whose beginnings are given, nearly.

use std::collections::HashSet;

use super::{Allowance, Decision, NEVER, Schedule, Spend};
use crate::audit::{Kind, Reason};

/// Pasts that are followed at once, at most.
const STATES_MAX: usize = 20_000;

/// Decides whether the periods explain all.
pub(super) fn decide(spends: &[Spend], allowance: &Allowance) -> Decision {
    let history = History::of(spends);
    let mut trail: Vec<Past> = Vec::new();
    let mut states = vec![State { began: i64::MIN, pending: vec![], explained: i64::MIN, used: vec![], past: None }];
    let budgets = [allowance.first].into_iter().chain(allowance.later.iter().map(|period| period.budget));
    for (index, budget) in budgets.enumerate() {
        let ends = match allowance.later.get(index) {
            Some(next) => history.ends(next.earliest, next.latest),
            None => vec![NEVER],
        };
        let mut next: HashSet<Place> = HashSet::new();
        let mut born = Vec::new();
        for state in &states {
            for end in ends.iter().copied().filter(|end| *end >= state.began) {
                let step = Step { history: &history, state, end, budget };
                step.run(&mut |place, charged| {
                    if next.insert(place.clone()) {
                        trail.push(Past { before: state.past, end, charged });
                        let (began, pending, explained, used) = place;
                        born.push(State { began, pending, explained, used, past: Some(trail.len() - 1) });
                    }
                });
                if born.len() > STATES_MAX {
                    return Decision::Open(Reason::TooManyStates { most: STATES_MAX });
                }
            }
        }
        states = born;
    }
    states.first().map_or(Decision::Broken, |state| Decision::Kept(told(&trail, state.past)))
}

fn told(trail: &[Past], last: Option<usize>) -> Schedule {
    let mut path: Vec<&Past> =
        std::iter::successors(last.map(|index| &trail[index]), |past| past.before.map(|index| &trail[index])).collect();
    path.reverse();
    let charged = path.iter().flat_map(|past| {
        let mut charged = past.charged.clone();
        charged.sort_by_key(|(_, at)| *at);
        charged
    });
    let charged = charged.collect();
    path.pop();
    Schedule { began: path.iter().map(|past| past.end).collect(), charged }
}

/// A period that has ended in some past.
struct Past {
    before: Option<usize>,
    end: i64,
    charged: Vec<(u64, i64)>,
}

/// When the period began, who was accepted and is not charged yet, up to where refusals are explained, and who of the unknown
/// was charged already.
type Place = (i64, Vec<usize>, i64, Vec<usize>);

struct State {
    began: i64,
    pending: Vec<usize>,
    explained: i64,
    used: Vec<usize>,
    past: Option<usize>,
}

/// The history by kind, each by start.
struct History {
    accepted: Vec<Spend>,
    refused: Vec<Spend>,
    unknown: Vec<Spend>,
    /// The earliest end of the refusals from each place on.
    earliest: Vec<i64>,
}

impl History {
    fn of(spends: &[Spend]) -> History {
        let of = |wanted: fn(&Kind) -> bool| {
            let mut found: Vec<Spend> = spends.iter().filter(|spend| wanted(&spend.request.kind)).copied().collect();
            found.sort_by_key(|spend| (spend.request.start, spend.last()));
            found
        };
        let refused = of(|kind| *kind == Kind::Refused);
        let mut earliest = vec![NEVER; refused.len() + 1];
        for place in (0..refused.len()).rev() {
            earliest[place] = refused[place].request.end.min(earliest[place + 1]);
        }
        let accepted = of(|kind| *kind == Kind::Counted);
        History { accepted, refused, unknown: of(|kind| matches!(kind, Kind::Perhaps { .. })), earliest }
    }

    /// The earliest end among refusals that start at or after `start`.
    fn refusal(&self, start: i64) -> i64 {
        self.earliest[self.refused.partition_point(|spend| spend.request.start < start)]
    }

    /// Instants from `earliest` to `latest`, one for each set of requests that it can separate.
    fn ends(&self, earliest: i64, latest: i64) -> Vec<i64> {
        let all = self.accepted.iter().chain(&self.refused).chain(&self.unknown);
        let cuts = all.flat_map(|spend| [spend.request.start + 1, spend.last().saturating_add(1)]);
        let mut ends: Vec<i64> = cuts.filter(|cut| earliest < *cut && *cut <= latest).chain([earliest]).collect();
        ends.sort_unstable();
        ends.dedup();
        ends
    }
}

struct Step<'a> {
    history: &'a History,
    state: &'a State,
    end: i64,
    budget: Option<u64>,
}

impl Step<'_> {
    /// Gives every way to fill the period that can matter: all that cannot wait, then the most urgent of those who can.
    fn run(&self, give: &mut impl FnMut(Place, Vec<(u64, i64)>)) {
        let (history, state, end) = (self.history, self.state, self.end);
        let accepted = &history.accepted;
        let begun = |before: i64| accepted.partition_point(|spend| spend.request.start < before);
        let mut present: Vec<usize> = state.pending.iter().copied().chain(begun(state.began)..begun(end)).collect();
        present.sort_by_key(|place| accepted[*place].request.end);
        let due = present.partition_point(|place| accepted[*place].request.end < end);
        let (due, optional) = present.split_at(due);
        let refusal = history.refusal(state.explained);
        let Some(budget) = self.budget else {
            // Nothing is known of this period: whatever was refused in it is explained.
            if state.began <= refusal {
                (0..=optional.len()).for_each(|taken| self.emit(due, optional.split_at(taken), &[], end, &[], give));
            }
            return;
        };
        let Some(room) = usize::try_from(budget).unwrap_or(usize::MAX).checked_sub(due.len()) else { return };
        if let (true, Some(most)) = (end <= refusal, room.checked_sub(1)) {
            for taken in 0..=optional.len().min(most) {
                self.emit(due, optional.split_at(taken), &[], state.explained, &[], give);
            }
        }
        let early = |place: &usize| accepted[*place].request.start <= refusal;
        if state.began > refusal || !due.iter().all(early) {
            return;
        }
        let (able, late): (Vec<usize>, Vec<usize>) = optional.iter().partition(|place| early(place));
        let unknown = self.fillers(refusal);
        for taken in room.saturating_sub(unknown.len())..=room.min(able.len()) {
            self.emit(due, able.split_at(taken), &late, end, &unknown[..room - taken], give);
        }
    }

    /// Unknown requests that can have been charged in the period before the refusal, most urgent first.
    fn fillers(&self, refusal: i64) -> Vec<usize> {
        let unknown = &self.history.unknown;
        let able = |place: &usize| {
            let spend = unknown[*place];
            let start = spend.request.start;
            start < self.end && start <= refusal && spend.last() >= self.state.began && !self.state.used.contains(place)
        };
        let mut fillers: Vec<usize> = (0..unknown.len()).filter(able).collect();
        fillers.sort_by_key(|place| unknown[*place].last());
        fillers
    }

    fn emit(
        &self,
        due: &[usize],
        (taken, waiting): (&[usize], &[usize]),
        late: &[usize],
        explained: i64,
        unknown: &[usize],
        give: &mut impl FnMut(Place, Vec<(u64, i64)>),
    ) {
        let (history, began) = (self.history, self.state.began);
        if self.end == NEVER && waiting.len() + late.len() > 0 {
            return;
        }
        let at = |spend: &Spend| (spend.request.n, spend.request.start.max(began));
        let charged = due.iter().chain(taken).map(|place| at(&history.accepted[*place]));
        let charged = charged.chain(unknown.iter().map(|place| at(&history.unknown[*place]))).collect();
        let mut pending: Vec<usize> = waiting.iter().chain(late).copied().collect();
        pending.sort_unstable();
        let used = self.state.used.iter().chain(unknown).copied();
        let mut used: Vec<usize> = used.filter(|place| history.unknown[*place].last() >= self.end).collect();
        used.sort_unstable();
        give((self.end, pending, explained, used), charged);
    }
}
