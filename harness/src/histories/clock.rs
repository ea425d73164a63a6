//! Instants of several clocks on one time axis. Pure.

use std::collections::VecDeque;

/// Nanoseconds in a millisecond.
pub(super) const MILLISECOND: i64 = 1_000_000;

/// Instants beyond this are clamped to it; half of what the type holds leaves room for adding windows. It is later than the year 2100.
const AXIS_END: i64 = i64::MAX / 2;

/// Where an instant lies if nothing has been read yet.
pub(super) const BEGINNING: i64 = i64::MIN / 4;

/// So many lines pass from one mark to the next.
const STRIDE: usize = 4_096;

/// The newest instant told so far, and what was the newest some lines before.
#[derive(Debug)]
pub(super) struct Newest {
    now: i64,
    /// What was the newest at each mark, in order; one more of them than make up the lines asked for.
    marks: VecDeque<i64>,
    /// The most marks.
    most: usize,
    lines: usize,
}

impl Newest {
    /// Nothing has been told. [`Newest::overtaken`] will be about so many lines back, or a few more; none: it will never say anything.
    pub(super) fn new(lines: Option<usize>) -> Newest {
        let most = lines.map_or(0, |lines| lines.div_ceil(STRIDE) + 1);
        Newest { now: BEGINNING, marks: VecDeque::new(), most, lines: 0 }
    }

    /// Takes the instant of the next line.
    pub(super) fn tell(&mut self, instant: i64) {
        self.now = self.now.max(instant);
        self.lines += 1;
        if self.most > 0 && self.lines.is_multiple_of(STRIDE) {
            self.marks.push_back(self.now);
            if self.marks.len() > self.most {
                self.marks.pop_front();
            }
        }
    }

    /// The newest instant.
    pub(super) fn now(&self) -> i64 {
        self.now
    }

    /// What was the newest when so many lines fewer had been told; none: there were not so many.
    pub(super) fn overtaken(&self) -> Option<i64> {
        self.marks.front().copied().filter(|_| self.marks.len() == self.most)
    }
}

/// An operation's time, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    /// An instant before its first byte was sent.
    pub(super) start: i64,
    /// An instant after its last byte was received; none: it was never answered.
    pub(super) end: Option<i64>,
}

impl Interval {
    /// The same, with either end further out.
    pub(super) fn widened(self, by: i64) -> Interval {
        Interval { start: self.start - by, end: self.end.map(|end| end + by) }
    }
}

/// How a recorder's clock is placed on the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    /// Where its zero is.
    offset: i64,
    /// By how much that may be wrong, either way.
    pub(super) slack: i64,
}

impl Clock {
    /// The only clock: it is the axis, and exact.
    pub(super) const ALONE: Clock = Clock { offset: 0, slack: 0 };

    /// One clock among several: the axis counts from 1970, and nothing is exact.
    pub(super) fn among_several(unix_ms: u64, skew_ms: u64) -> Clock {
        // Whoever writes whole milliseconds has rounded.
        let slack = nanoseconds(skew_ms).saturating_add(MILLISECOND).min(AXIS_END);
        Clock { offset: nanoseconds(unix_ms), slack }
    }

    /// An instant of this clock on the axis, as if the clock were right.
    pub(super) fn instant(self, ns: u64) -> i64 {
        i64::try_from(ns).unwrap_or(AXIS_END).saturating_add(self.offset).min(AXIS_END)
    }

    /// A time of this clock on the axis, as if the clock were right.
    pub(super) fn interval(self, start_ns: u64, end_ns: Option<u64>) -> Interval {
        Interval { start: self.instant(start_ns), end: end_ns.map(|end| self.instant(end)) }
    }
}

/// Places operations on the axis of a target's clock that somebody drives.
///
/// Such a clock may stand still while thousands of requests come and go, and what they say about each other's order must not be
/// lost. So within one millisecond of the target's clock instants follow real time, squeezed: later real instants are never earlier on
/// the axis. All instants of a millisecond are the same to the target, hence windows differ by up to a millisecond either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TargetClock {
    /// A real instant early in the history.
    pub(super) zero: i64,
}

impl TargetClock {
    /// By how much a window may seem shorter or longer than it is.
    pub(super) const GRANULARITY: i64 = MILLISECOND;

    /// An operation's time, given the clock's readings at its ends and its real time.
    pub(super) fn interval(self, start_ms: u64, end_ms: Option<u64>, real: Interval) -> Interval {
        let start = nanoseconds(start_ms).saturating_add(self.within(real.start));
        let end = end_ms.zip(real.end).map(|(ms, end)| nanoseconds(ms).saturating_add(self.within(end)));
        // A clock that was read wrongly must not turn the time round.
        Interval { start, end: end.map(|end| end.max(start)) }
    }

    /// Where in its millisecond a real instant is put: all of time, from `zero` on, in order.
    fn within(self, real: i64) -> i64 {
        /// Half of the millisecond goes to so much time; a run takes seconds.
        const HALF: i128 = 10_000_000_000;
        let since = i128::from(real.saturating_sub(self.zero).max(0));
        let within = since * i128::from(MILLISECOND - 1) / (since + HALF);
        i64::try_from(within).expect("a part of a millisecond is small")
    }
}

/// Milliseconds as nanoseconds on the axis.
pub(super) fn nanoseconds(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(AXIS_END).saturating_mul(MILLISECOND).min(AXIS_END)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLOCK: TargetClock = TargetClock { zero: 1_000 };

    fn at(ms: u64, real: i64) -> i64 {
        CLOCK.interval(ms, None, Interval { start: real, end: None }).start
    }

    proptest! {
        #[test]
        fn real_order_is_kept_while_the_clock_stands_still(one in 0..i64::MAX / 4, other in 0..i64::MAX / 4) {
            let (earlier, later) = (one.min(other), one.max(other));
            prop_assert!(at(5, earlier) <= at(5, later));
            prop_assert!(at(5, later) < at(6, earlier));
        }
    }

    #[test]
    fn requests_a_hundred_microseconds_apart_are_told_apart() {
        assert!(at(7, 1_000) < at(7, 101_000) && at(7, 3_000_000_000) < at(7, 3_000_100_000));
    }

    #[test]
    fn what_was_newest_some_lines_ago_is_known_to_within_two_marks() {
        const BACK: i64 = 10_000;
        const MARK: i64 = STRIDE as i64;
        let (mut some, mut never) = (Newest::new(Some(BACK as usize)), Newest::new(None));
        for line in 1..=50_000 {
            some.tell(line);
            never.tell(line);
            let back = some.overtaken().map(|instant| line - instant);
            assert!(back.is_none_or(|back| (BACK..BACK + 2 * MARK).contains(&back)), "{line}: {back:?}");
            assert!(back.is_some() || line < BACK + 2 * MARK, "{line}: nothing is known");
            assert_eq!((some.now(), never.now(), never.overtaken()), (line, line, None));
        }
        // An instant that goes back is no newer one.
        some.tell(0);
        assert_eq!(some.now(), 50_000);
    }

    #[test]
    fn no_instant_overflows() {
        let clock = Clock::among_several(u64::MAX, u64::MAX);
        let interval = clock.interval(u64::MAX, Some(u64::MAX)).widened(0);
        assert_eq!(interval, Interval { start: AXIS_END, end: Some(AXIS_END) });
        assert!(at(u64::MAX, i64::MAX) >= AXIS_END);
    }

    #[test]
    fn a_clock_alone_is_exact_and_one_among_several_is_not() {
        assert_eq!(Clock::ALONE.interval(3, Some(9)), Interval { start: 3, end: Some(9) });
        let clock = Clock::among_several(2, 5);
        assert_eq!(clock.interval(3, None).widened(clock.slack).start, 2_000_003 - 6_000_000);
    }
}
