//! Outages of the render queue: while it is surely down, nothing may be acknowledged. Pure.

use std::collections::BTreeMap;

use super::audited::AuditLevel;
use super::clock::Interval;
use super::operation::{Found, Role};

/// The most acknowledgements that are remembered until all controls are known.
const REMEMBERED_MAX: usize = 10_000;

/// The most violations that are listed.
const LISTED_MAX: usize = 5;

/// What somebody did to the queue.
#[derive(Clone, Copy, Debug)]
struct Change {
    real: Interval,
    available: bool,
    /// Whether it surely took effect.
    done: bool,
}

/// Watches the queue.
#[derive(Debug)]
pub(super) struct Outages {
    settle: i64,
    changes: BTreeMap<u64, Change>,
    suspected: Vec<(String, u64, Interval)>,
}

impl Outages {
    /// Changes may take so long to be seen.
    pub(super) fn new(settle: i64) -> Outages {
        Outages { settle, changes: BTreeMap::new(), suspected: Vec::new() }
    }

    /// Somebody changes the queue, or has changed it; `done` once that has succeeded.
    pub(super) fn change(&mut self, id: u64, real: Interval, available: bool, done: bool) {
        self.changes.insert(id, Change { real, available, done });
    }

    /// A render was acknowledged.
    pub(super) fn acknowledged(&mut self, template: &str, id: u64, real: Interval) {
        if self.suspected.len() < REMEMBERED_MAX && self.down_during(real).is_some() {
            self.suspected.push((template.to_owned(), id, real));
        }
    }

    /// The change that had surely taken the queue down all the while, as far as changes are known.
    fn down_during(&self, real: Interval) -> Option<u64> {
        let end = real.end?;
        self.changes.iter().rev().find_map(|(id, down)| {
            let since = down.real.end.filter(|_| !down.available && down.done)?;
            let up_again = |up: &Change| {
                let before = up.real.end.is_some_and(|up_end| up_end < down.real.start);
                up.available && !before && up.real.start <= end
            };
            let surely = since.saturating_add(self.settle) < real.start && !self.changes.values().any(up_again);
            surely.then_some(*id)
        })
    }

    /// What was found, with its template, once all changes are known.
    pub(super) fn finish(self) -> Vec<(String, Found)> {
        let broken: Vec<(&String, u64, u64)> = self
            .suspected
            .iter()
            .filter_map(|(template, id, real)| Some((template, *id, self.down_during(*real)?)))
            .collect();
        let more = if broken.len() > 1 { format!(" It is one of {}.", broken.len()) } else { String::new() };
        let found = |(template, id, down): &(&String, u64, u64)| {
            let found = Found {
                rule: "craftkit.queue.unavailable",
                level: AuditLevel::Must,
                kind: "acknowledged-in-outage",
                explanation: format!(
                    "#{id} was acknowledged although #{down} had taken the queue down, and nobody had brought it back.{more}"
                ),
                proof: true,
                facts: vec![(*down, Role::Shown), (*id, Role::Shown)],
                spans: Vec::new(),
                on_judged_axis: false,
                origin: None,
            };
            ((*template).clone(), found)
        };
        broken.iter().take(LISTED_MAX).map(found).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: i64 = 100;

    fn at(start: i64, end: i64) -> Interval {
        Interval { start, end: Some(end) }
    }

    #[track_caller]
    fn check(changes: &[(Interval, bool, bool)], acknowledged: Interval, expected: usize) {
        let mut outages = Outages::new(SETTLE);
        for (id, (real, available, done)) in (1..).zip(changes) {
            outages.change(id, *real, *available, *done);
        }
        outages.acknowledged("t1", 99, acknowledged);
        assert_eq!(outages.finish().len(), expected, "{changes:?} {acknowledged:?}");
    }

    #[test]
    fn only_what_is_acknowledged_while_the_queue_is_surely_down_is_a_violation() {
        let (down, up) = ((at(10, 20), false, true), (at(500, 510), true, true));
        check(&[down], at(200, 210), 1);
        check(&[down, up], at(200, 210), 1);
        check(&[down], at(110, 130), 0);
        check(&[down, up], at(490, 505), 0);
        check(&[(at(10, 20), false, false)], at(200, 210), 0);
        check(&[down, (Interval { start: 150, end: None }, true, false)], at(200, 210), 0);
        check(&[(at(1, 5), true, true), down], at(200, 210), 1);
    }
}
