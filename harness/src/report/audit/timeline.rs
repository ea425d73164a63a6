//! The operations of a violation beside each other in time.

use crate::histories::audited::{Fact, Violation};

/// A violation's operations on a common scale.
pub(super) struct Timeline<'v> {
    violation: &'v Violation,
    from: i64,
    to: i64,
}

impl<'v> Timeline<'v> {
    /// A timeline of all that a violation shows; none if it shows nothing.
    pub(super) fn of(violation: &'v Violation) -> Option<Timeline<'v>> {
        let from = violation.facts.iter().map(|fact| fact.start_ns).min()?;
        let to = violation.facts.iter().map(|fact| fact.end_ns.unwrap_or(fact.start_ns)).max()?;
        Some(Timeline { violation, from, to: to.max(from + 1) })
    }

    /// Where an operation lies on a scale of so many steps: its first and last, and whether it goes on beyond.
    pub(super) fn place(&self, fact: &Fact, steps: u32) -> (u32, u32, bool) {
        let first = self.step(fact.start_ns, steps);
        let last = fact.end_ns.map_or(steps - 1, |end| self.step(end, steps));
        (first, last.max(first), fact.end_ns.is_none())
    }

    /// Where a span lies on that scale, as far as it is shown.
    pub(super) fn place_span(&self, from: i64, to: i64, steps: u32) -> (u32, u32) {
        (self.step(from.max(self.from), steps), self.step(to.min(self.to).max(self.from), steps))
    }

    fn step(&self, at: i64, steps: u32) -> u32 {
        let whole = i128::from(self.to) - i128::from(self.from);
        let part = (i128::from(at) - i128::from(self.from)).clamp(0, whole) * i128::from(steps - 1) / whole;
        u32::try_from(part).expect("a part of the scale is on the scale")
    }

    /// The two ends of the scale.
    pub(super) fn ends(&self) -> (String, String) {
        (self.instant(self.from), self.instant(self.to))
    }

    /// An instant as the explanation counts.
    pub(super) fn instant(&self, ns: i64) -> String {
        /// So many nanoseconds are a microsecond.
        const MICROSECOND: u64 = 1_000;
        let since = i128::from(ns) - i128::from(self.violation.origin_ns);
        let us = u64::try_from(since.unsigned_abs()).unwrap_or(u64::MAX) / MICROSECOND;
        let (seconds, us) = (us / 1_000_000, us % 1_000_000);
        let sign = if since < 0 { "-" } else { "" };
        format!("{sign}{}:{:02}:{:02}.{us:06}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }

    /// An operation's name, its question and its answer.
    pub(super) fn words(&self, fact: &Fact) -> String {
        let token = fact.token.as_ref().map_or(String::new(), |token| format!(" {token}"));
        format!("#{}{token} {} → {}", fact.n, fact.asked, fact.answer)
    }
}
