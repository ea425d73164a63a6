//! A possible past: the last window that opened in it, and who is still to be served.

use super::known::{Known, Span};
use super::rules::Rules;
use super::step::Choice;

/// A window that has opened, or the time before the first.
///
/// Only what has not been served matters to the future, so the requests stand in lists that grow while time goes on, and
/// nothing is looked for twice.
#[derive(Debug, Default)]
pub(super) struct State {
    /// It opened at some instant from `from` to `to`, whichever: see [`Child`].
    pub(super) from: i64,
    pub(super) to: i64,
    /// How many it can serve; 0 before the first window.
    pub(super) limit: usize,
    /// Counted requests in no earlier window that started before it ends, the most urgent first.
    pub(super) line: Vec<Span>,
    /// How many of these, the first, ended before the next window can open; the earliest and the latest start among them.
    pub(super) due: usize,
    pub(super) due_first: i64,
    pub(super) due_last: i64,
    /// The latest start in the line.
    pub(super) latest: i64,
    /// Counted requests that started after it ended, the most urgent first.
    pub(super) later: Vec<Span>,
    /// The first counted request in neither list.
    pub(super) next: usize,
    /// Refusals that start before are explained by an earlier window.
    pub(super) explained: i64,
    pub(super) used: Used,
    /// Where the windows before it are told.
    pub(super) trail: Option<usize>,
    /// What it led to in the cell before.
    pub(super) children: Vec<Child>,
}

/// Unknown requests used so far that could still count.
#[derive(Debug, Clone, Default)]
pub(super) struct Used {
    /// The places of those that can count up to an instant.
    pub(super) places: Vec<usize>,
    /// Their last instants, latest first; those used that can count for ever stand in front.
    pub(super) until: Vec<i64>,
    /// How many were used that can count for ever.
    pub(super) forever: usize,
}

/// A state that another led to in the cell before, by a choice of whom to serve.
///
/// If the same choice is possible with the next window in the next cell, too, that is the same state with later openings, not
/// a second one: whom is left to serve is the same, and so is which refusals are explained and which unknown requests are
/// used. Nothing is lost by following both as one, since what can happen next asks four things of the opening only:
///
/// - How late can it have been, so that the window ends late? `to` says it. Wherever the next window opens, an opening that
///   precedes it by the shortest length is early enough, and ends late enough.
/// - How early, so that the next window opens early? `from`.
/// - Who can have opened the window? Every start in between is tried.
/// - Is it after the end of anybody still to be served, or of a refusal still to be explained? It never is: such a choice leads
///   nowhere. Of an unknown request still to be used? There states are not joined.
///
/// It may have stepped before it is extended. Up to then everybody has started before its window's end, and nobody in its line
/// is due, so its lists are as if it had opened as late from the beginning, and it is alive.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) choice: Choice,
    /// How many of the line, from its beginning, contain all that were chosen. Who joins them later would have been chosen.
    pub(super) reach: usize,
    pub(super) id: usize,
    pub(super) to: i64,
    pub(super) explained: i64,
}

impl State {
    /// Takes in who has started by `lo`, where the next window opens at the earliest; this one ends at `end`.
    pub(super) fn absorb<R: Rules>(&mut self, known: &Known, end: i64, lo: i64) {
        self.children.retain(|child| child.to.saturating_add(1) == lo);
        while let Some(span) = known.counted.at(self.next).filter(|span| self.limit > 0 && span.start < end) {
            let at = insert::<R>(&mut self.line, span);
            self.children.retain(|child| R::stays_chosen(child.reach, at));
            self.latest = self.latest.max(span.start);
            self.next += 1;
        }
        while let Some(span) = known.counted.at(self.next).filter(|span| span.start < lo) {
            insert::<R>(&mut self.later, span);
            self.next += 1;
        }
        while let Some(one) = self.line.get(self.due).filter(|one| one.end < lo) {
            self.due_first = self.due_first.min(one.start);
            self.due_last = self.due_last.max(one.start);
            self.due += 1;
        }
    }

    /// Takes over from the state before who is left to be served after that choice.
    pub(super) fn become_child<R: Rules>(&mut self, parent: &State, choice: &Choice) {
        self.line.clear();
        parent.leave::<R>(choice, &mut self.line);
        self.latest = self.line.iter().map(|one| one.start).max().unwrap_or(i64::MIN);
        (self.due, self.due_first, self.due_last) = (0, i64::MAX, i64::MIN);
        self.later.clear();
        self.next = parent.next;
        self.children.clear();
    }

    /// Whether the first in line are chosen, and nobody else.
    pub(super) fn is_in_order<R: Rules>(&self, choice: &Choice) -> bool {
        choice.opener.is_none() && choice.admits::<R>(self.latest)
    }

    /// How many of the line, from its beginning, contain all that are chosen.
    pub(super) fn reach<R: Rules>(&self, choice: &Choice) -> usize {
        if self.is_in_order::<R>(choice) {
            return choice.count;
        }
        let last = self.chosen::<R>(choice).enumerate().filter(|(_, (chosen, _))| *chosen).last();
        last.map_or(0, |(index, _)| index + 1)
    }

    /// Who is chosen of the line, in its order, and who is not.
    pub(super) fn chosen<R: Rules>(&self, choice: &Choice) -> impl Iterator<Item = (bool, Span)> {
        let mut others = choice.count - self.due - usize::from(choice.opener.is_some());
        self.line.iter().enumerate().map(move |(index, one)| {
            let surely = index < self.due || choice.opener == Some(index);
            let also = !surely && others > 0 && choice.admits::<R>(one.start);
            others -= usize::from(also);
            (surely || also, *one)
        })
    }

    /// Gives who is left to be served after that choice, the most urgent first.
    pub(super) fn leave<R: Rules>(&self, choice: &Choice, give: &mut impl Extend<Span>) {
        let mut later = &self.later[..];
        let mut give_one = |one: Span| {
            let before = later.iter().take_while(|other| R::urgency(other.end) < R::urgency(one.end)).count();
            let (sooner, rest) = later.split_at(before);
            give.extend(sooner.iter().copied().chain([one]));
            later = rest;
        };
        if self.is_in_order::<R>(choice) {
            self.line[choice.count..].iter().for_each(|one| give_one(*one));
        } else {
            self.chosen::<R>(choice).filter(|(chosen, _)| !chosen).for_each(|(_, one)| give_one(one));
        }
        give.extend(later.iter().copied());
    }
}

/// Puts a request into its place and says where that is; those who come are mostly among the last to go.
fn insert<R: Rules>(list: &mut Vec<Span>, span: Span) -> usize {
    let before = list.iter().rposition(|other| R::urgency(other.end) <= R::urgency(span.end));
    let at = before.map_or(0, |before| before + 1);
    list.insert(at, span);
    at
}
