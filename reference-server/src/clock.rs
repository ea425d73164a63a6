//! The server's time: milliseconds since the Unix epoch, from the machine or from a hand that moves it.
//!
//! Windows, periods, timestamps and delivery schedules read this clock. Leases and I/O time limits do
//! not: they use real time, so that a standing clock cannot stall the server.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::ClockKind;

/// One moment on the server's clock, in milliseconds since the Unix epoch.
pub type Millis = i64;

/// Tells the server's time.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Millis;

    /// Moves the clock forward and gives the new time, or nothing if nobody can move it.
    fn advance(&self, by: Millis) -> Option<Millis>;

    /// What kind of clock it is, as the control plane's `hello` names it.
    fn kind(&self) -> ClockKind;
}

/// The machine's clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        real_now()
    }

    fn advance(&self, _by: Millis) -> Option<Millis> {
        None
    }

    fn kind(&self) -> ClockKind {
        ClockKind::System
    }
}

/// A clock that stands still between advances.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn new(start: Millis) -> ManualClock {
        ManualClock(AtomicI64::new(start))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        self.0.load(Ordering::SeqCst)
    }

    fn advance(&self, by: Millis) -> Option<Millis> {
        Some(self.0.fetch_add(by, Ordering::SeqCst) + by)
    }

    fn kind(&self) -> ClockKind {
        ClockKind::Manual
    }
}

/// Real time, for leases and for where a manual clock starts.
pub fn real_now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the machine's clock is set after 1970");
    i64::try_from(since.as_millis()).expect("milliseconds fit 63 bits for 292 million years")
}

/// The latest moment that can be written down: 9999-12-30, a day short of jiff's end of time.
pub const LATEST: Millis = 253_402_128_000_000;

/// Writes a moment as RFC 3339 in UTC with milliseconds.
pub fn rfc3339(moment: Millis) -> String {
    let bounded = moment.clamp(0, LATEST);
    let stamp = jiff::Timestamp::from_millisecond(bounded).expect("the moment was just bounded");
    format!("{stamp:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_milliseconds_in_utc() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_732_215_600_007), "2024-11-21T19:00:00.007Z");
        assert_eq!(rfc3339(i64::MAX), rfc3339(LATEST));
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::new(5);
        assert_eq!(clock.now(), 5);
        assert_eq!(clock.advance(0), Some(5));
        assert_eq!(clock.advance(7), Some(12));
        assert_eq!(clock.now(), 12);
    }
}
