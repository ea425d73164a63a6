//! Keeping clear of the end of a month, at which a target may give renders back while a check still counts on their being used up.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Gather;
use crate::evidence::ClockKind;

/// A check that begins earlier before the end of a month, the settle time not counted, waits for it: as long as one takes whose answers
/// are slow.
const CLEAR: Duration = Duration::from_secs(60);
/// Time zones are this many milliseconds apart, or a multiple of it.
const ZONE_STEP_MS: i64 = 15 * 60 * 1000;
const HOUR_MS: i64 = 60 * 60 * 1000;
/// A month begins this long before it does in UTC where it does first (+14:00), and this long after where it does last (-12:00).
const FIRST_MS: i64 = 14 * HOUR_MS;
const LAST_MS: i64 = 12 * HOUR_MS;

impl Gather {
    /// Waits until no month ends soon, in whatever time zone the target counts. A clock that the suite drives stands where the suite has
    /// left it, and a month's end is met there by chance only.
    pub async fn keep_clear_of_month_end(&self) {
        if self.evidence.clock == ClockKind::System
            && let Some(wait) = wait_from(Timestamp::now(), CLEAR + self.world.settle)
        {
            tokio::time::sleep(wait).await;
        }
    }
}

/// How long to wait from an instant, if a month may end somewhere within `clear` after it, a quarter of an hour at most. Pure.
fn wait_from(now: Timestamp, clear: Duration) -> Option<Duration> {
    let now_ms = now.as_millisecond();
    let midnight_ms = now_ms - now_ms.rem_euclid(ZONE_STEP_MS) + ZONE_STEP_MS;
    let wait = Duration::from_millis(u64::try_from(midnight_ms - now_ms).ok()?);
    // A little more: the target's clock need not agree with this one to the second.
    (wait <= clear && is_a_month_s_first_midnight(midnight_ms)).then_some(wait + Duration::from_secs(1))
}

/// True if it is the beginning of a month in some time zone.
fn is_a_month_s_first_midnight(at_ms: i64) -> bool {
    let Ok(at) = Timestamp::from_millisecond(at_ms) else { return false };
    let begin = at.to_zoned(TimeZone::UTC).date().first_of_month();
    let beginnings = [Some(begin), begin.checked_add(jiff::Span::new().months(1)).ok()];
    let begins = |date: jiff::civil::Date| date.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp().as_millisecond());
    let mut beginnings = beginnings.into_iter().flatten().filter_map(|date| begins(date).ok());
    beginnings.any(|begin_ms| (-FIRST_MS..=LAST_MS).contains(&(at_ms - begin_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(now: &str, expected_s: Option<u64>) {
        let now: Timestamp = now.parse().unwrap();
        assert_eq!(wait_from(now, CLEAR), expected_s.map(Duration::from_secs), "{now}");
    }

    #[test]
    fn a_check_waits_for_the_end_of_a_month_wherever_it_may_be() {
        check("2026-11-30T23:59:00Z", Some(61));
        check("2026-11-30T23:59:58Z", Some(3));
        check("2026-12-31T23:59:30Z", Some(31));
        // +14:00, +05:45 and -12:00.
        check("2026-11-30T09:59:30Z", Some(31));
        check("2026-11-30T18:14:30Z", Some(31));
        check("2026-12-01T11:59:30Z", Some(31));
    }

    #[test]
    fn no_check_waits_where_no_month_ends() {
        check("2026-11-30T23:58:59Z", None);
        check("2026-12-01T00:00:00Z", None);
        check("2026-11-30T09:44:30Z", None);
        check("2026-12-01T12:14:30Z", None);
        check("2026-11-15T23:59:58Z", None);
        check("2026-11-30T18:07:00Z", None);
    }
}
