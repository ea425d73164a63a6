//! The rules that the search is made of, one decision each.
//!
//! Product code uses [`Spec`]. The trait exists so that tests can replace each decision by a defect and see that it is noticed.

use crate::audit::Kind;

/// Stands for "never": later than any instant of a history.
pub const NEVER: i64 = i64::MAX;

/// How a request comes into a window that must have been full before a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It must be in this window, which is the last that it can be in.
    Due,
    /// It could still wait for the next.
    Optional,
    /// It need not have counted at all.
    Unknown,
}

/// What makes one possible past better than another in the same place.
#[derive(Debug, Clone, Copy)]
pub struct Merits<'a> {
    /// The earliest that the window can have opened; earlier is better.
    pub from: i64,
    /// Refusals before this instant are explained; later is better.
    pub explained: i64,
    /// Last instants of the unknown requests used so far, latest first; fewer and earlier is better.
    pub used: &'a [i64],
}

/// The decisions of the search. Instants in nanoseconds.
pub trait Rules {
    /// The instants at which a request's standing changes: after its start, and after its end.
    fn cuts(start: i64, end: i64) -> [i64; 2] {
        [start + 1, end.saturating_add(1)]
    }

    /// The first instant at which the next window can open.
    fn next_opening(start: i64, shortest: i64) -> i64 {
        start.saturating_add(shortest)
    }

    /// The first instant that cannot belong to the window any more.
    fn last_end(start: i64, longest: i64) -> i64 {
        start.saturating_add(longest)
    }

    /// The end of a window, as late as its length and the next window allow.
    fn end(last_end: i64, next: i64) -> i64 {
        last_end.min(next)
    }

    /// How many requests fill a window.
    fn capacity(limit: usize) -> usize {
        limit
    }

    /// Who goes first of those who could still wait: least first.
    fn urgency(end: i64) -> i64 {
        end
    }

    /// How many of those who could still wait must be served at once, of as many as there is room for.
    fn least_taken(_room: usize) -> usize {
        0
    }

    /// Whether a request that starts at `start` can have helped to fill a window before a refusal that ended at `refused`.
    fn fills_before(_role: Role, start: i64, refused: i64) -> bool {
        start <= refused
    }

    /// Whether an unknown request can still count in a window that opens at `opening`.
    fn still_counts(until: i64, opening: i64) -> bool {
        until >= opening
    }

    /// Whether a refusal that ended at `refused` leaves it possible that nothing was full before `next`.
    fn can_wait(next: i64, refused: i64) -> bool {
        next <= refused
    }

    /// Up to where refusals are explained once a window has ended.
    fn explained(full: bool, before: i64, end: i64) -> i64 {
        if full { end } else { before }
    }

    /// Whether a window opens with a request.
    fn opens_with_a_request() -> bool {
        true
    }

    /// Whether an unknown request can open a window.
    fn unknown_opens() -> bool {
        true
    }

    /// Whether an unknown request counts at most once.
    fn counts_once() -> bool {
        true
    }

    /// Whether a window may open later than it could.
    fn opens_late() -> bool {
        true
    }

    /// Whether a pending request cannot wait for the window after this one, which opens at `after` at the earliest.
    fn is_forced(end: i64, after: i64) -> bool {
        end < after
    }

    /// Whether whatever is possible after `worse` is possible after `better`, too.
    fn dominates(better: &Merits<'_>, worse: &Merits<'_>) -> bool {
        better.from <= worse.from
            && better.explained >= worse.explained
            && better.used.len() <= worse.used.len()
            && better.used.iter().zip(worse.used).all(|(one, other)| one <= other)
    }

    /// Whether it matters to what follows if a window opens before or after the end of a request of this kind, apart from who
    /// is served in the window before.
    fn separates(kind: Kind) -> bool {
        matches!(kind, Kind::Perhaps { .. })
    }

    /// Whether those chosen, all among the first `reach` in line, are still the most urgent when somebody joins it at `at`.
    fn stays_chosen(reach: usize, at: usize) -> bool {
        at >= reach
    }

    /// Whether two pasts that have explained the refusals before these instants are the same in this.
    fn explains_alike(one: i64, other: i64) -> bool {
        one == other
    }

    /// Whether a window that opened at `last` at the latest can have opened at `at`.
    fn opens_by(at: i64, last: i64) -> bool {
        at <= last
    }

    /// Whether an earlier refusal says nothing that a later one, which ends at `later`, does not say.
    fn says_nothing_new(end: i64, later: i64) -> bool {
        later <= end
    }

    /// Whether a window can have been filled between two refusals, if so many requests can have counted there.
    fn can_refill(limit: usize, able: usize) -> bool {
        able >= limit
    }

    /// The first instant at which a window can have opened that is open, with an unknown count, at `since`.
    fn unseen_from(since: i64, longest: i64) -> i64 {
        since.saturating_sub(longest - 1)
    }
}

/// The rules as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spec;

impl Rules for Spec {}
