//! Operations placed on the time axis, and what is found out from them.

use scenarios::history::QuotaKind;

use super::audited::{AuditLevel, KeyReport, Open, Totals};
use super::clock::Interval;
use super::noted::{Asked, Came};
use crate::audit::quota::{Allowance, Spend};
use crate::audit::{Kind, Window};

/// An operation on a key.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    /// Names it among all operations of all files.
    pub(super) id: u64,
    /// What it asked.
    pub(super) asked: Asked,
    /// When.
    pub(super) time: Time,
}

/// When an operation was under way; in few bytes, since millions of them pass from thread to thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Time {
    /// As if its recorder's clock were right.
    start: i64,
    /// [`OPEN`]: it never ended.
    end: i64,
    /// By how much that clock may be wrong.
    slack: i64,
    /// On the clock that windows are measured on, where it is another.
    driven: Option<Box<Interval>>,
}

/// Later than any instant.
const OPEN: i64 = i64::MAX;

impl Time {
    /// A time as its recorder's clock showed it, which may be wrong by `slack`, and on the clock that windows are measured on, where
    /// it is another.
    #[inline]
    pub(super) fn new(seen: Interval, slack: i64, driven: Option<Box<Interval>>) -> Time {
        Time { start: seen.start, end: seen.end.unwrap_or(OPEN), slack, driven }
    }

    /// When, as if its recorder's clock were right.
    #[inline]
    pub(super) fn seen(&self) -> Interval {
        Interval { start: self.start, end: (self.end != OPEN).then_some(self.end) }
    }

    /// When, surely.
    #[inline]
    pub(super) fn real(&self) -> Interval {
        self.seen().widened(self.slack)
    }

    /// When, surely, on the clock that windows are measured on.
    #[inline]
    pub(super) fn judged(&self) -> Interval {
        self.driven.as_deref().copied().unwrap_or_else(|| self.real())
    }
}

/// What is told about a key: an operation began, or it ended; perhaps it was never said that it began.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) placed: Placed,
    /// None: it began.
    pub(super) came: Option<Came>,
    /// Whether this is all that is told about it.
    pub(super) is_whole: bool,
}

/// What may be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Horizon {
    /// No operation that starts before this will be told for the first time.
    pub(super) told: i64,
    /// No operation that starts before this and has not ended will ever end.
    pub(super) lost: i64,
}

/// What every key is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// The limit and its window.
    pub(super) window: Window,
    /// How long a revocation or another control may take to be seen.
    pub(super) settle: i64,
    /// When a quota refuses.
    pub(super) reading: QuotaKind,
    /// By how much the worst recorder's clock may be wrong.
    pub(super) slack: i64,
    /// Whether windows are measured on the target's own clock.
    pub(super) driven: bool,
    /// Whether what should hold is judged beside what must.
    pub(super) both: bool,
}

/// Why a history must be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// The horizon was passed after all: a wider one is needed.
    Late,
    /// What must hold and what should are different questions here: both must be asked.
    Both,
}

/// A violation whose operations are only named.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) rule: &'static str,
    pub(super) level: AuditLevel,
    pub(super) kind: &'static str,
    /// Names operations as `#id`.
    pub(super) explanation: String,
    pub(super) proof: bool,
    pub(super) facts: Vec<(u64, Role)>,
    pub(super) spans: Vec<(String, i64, i64)>,
    /// Whether instants are those on the clock of the windows.
    pub(super) on_judged_axis: bool,
    /// From where the explanation counts; none: it names no instant.
    pub(super) origin: Option<i64>,
}

/// What an operation is to a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It surely counted.
    Counted,
    /// It was refused.
    Refused,
    /// It perhaps counted.
    Perhaps,
    /// It is what the violation is about.
    Shown,
}

impl Role {
    /// The word for it in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Role::Counted => "counted",
            Role::Refused => "refused",
            Role::Perhaps => "perhaps",
            Role::Shown => "shown",
        }
    }
}

impl From<Kind> for Role {
    fn from(kind: Kind) -> Role {
        match kind {
            Kind::Counted => Role::Counted,
            Kind::Refused => Role::Refused,
            Kind::Perhaps { .. } => Role::Perhaps,
        }
    }
}

/// All that was found out about a key.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) report: KeyReport,
    pub(super) found: Vec<Found>,
    pub(super) open: Vec<Open>,
    pub(super) totals: Totals,
    pub(super) quota: QuotaFindings,
}

/// What depends on whether acceptance charges at once, which other keys may show.
#[derive(Debug, Default)]
pub(super) struct QuotaFindings {
    /// How often it was shown here.
    pub(super) shown: u64,
    /// More served than were left.
    pub(super) beyond: Option<Found>,
    /// What was charged, for the exact verdict; none if nothing is known or too much happened.
    pub(super) spent: Option<(Vec<Spend>, Allowance)>,
    /// Whether there is something for the exact verdict to say.
    pub(super) concerned: bool,
}

/// An instant after the beginning, as hours, minutes, seconds and microseconds.
pub(super) fn instant(ns: i64, origin: i64) -> String {
    const MICROSECOND: i64 = 1_000;
    let since = ns - origin;
    let (sign, us) = (if since < 0 { "-" } else { "" }, since.unsigned_abs() / MICROSECOND.unsigned_abs());
    let (seconds, us) = (us / 1_000_000, us % 1_000_000);
    format!("{sign}{}:{:02}:{:02}.{us:06}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::instant;

    #[test]
    fn instants_are_told_from_the_beginning_on() {
        assert_eq!(instant(3_723_000_004_999, 0), "1:02:03.000004");
        assert_eq!(instant(0, 1_500_000_000), "-0:00:01.500000");
    }
}
