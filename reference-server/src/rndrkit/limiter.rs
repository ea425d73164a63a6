//! The hourly limit: a fixed window that begins with its first request.
//!
//! ```text
//! requests   1  2 … 10  11              next one
//!            |--|----|--|---------------|-->
//! window     [ first        first + 1 h )[ …
//! answer     served      429            served, and a new window begins here
//! ```

use crate::clock::Millis;
use crate::parts::{Admission, Attempt, Limiter};

/// Requests a window admits ("Rate Limits").
pub const LIMIT: i64 = 10;

/// Length of a window ("Rate Limits": one hour from the first request).
pub const WINDOW: Millis = 3_600_000;

/// The documented limiter. It remembers two numbers: when the window began, and how many it admitted.
#[derive(Debug, Clone)]
pub struct FixedWindow {
    /// Requests a window admits.
    pub limit: i64,
    /// Length of a window in milliseconds.
    pub window: Millis,
}

impl FixedWindow {
    /// Ten requests an hour.
    pub fn documented() -> FixedWindow {
        FixedWindow { limit: LIMIT, window: WINDOW }
    }
}

impl Limiter for FixedWindow {
    /// One count a domain, whatever the token (rule `rndrkit.rate.shared-across-tokens`).
    fn key(&self, attempt: &Attempt<'_>) -> String {
        attempt.domain.to_owned()
    }

    /// Refused attempts change nothing, so they cannot put the reset off
    /// (rule `rndrkit.rate.window-not-extended`); the window's first request, not the clock's hour,
    /// decides when it ends (rules `rndrkit.rate.window-anchored`, `rndrkit.rate.window-reanchors`).
    fn admit(&self, remembered: Option<&[i64]>, attempt: &Attempt<'_>) -> Admission {
        let (first, count) = match remembered {
            Some(&[first, count]) if attempt.now < first.saturating_add(self.window) => (first, count),
            _ => (attempt.now, 0),
        };
        let admitted = count < self.limit;
        let state = admitted.then(|| vec![first, count + 1]);
        Admission { admitted, state }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attempt(now: Millis) -> Attempt<'static> {
        Attempt { domain: "a.example", token: "t", connection: 1, now }
    }

    /// Runs attempts at these moments and says which were admitted.
    fn run(moments: &[Millis]) -> Vec<bool> {
        let limiter = FixedWindow::documented();
        let mut remembered: Option<Vec<i64>> = None;
        let mut admitted = Vec::new();
        for moment in moments {
            let admission = limiter.admit(remembered.as_deref(), &attempt(*moment));
            admitted.push(admission.admitted);
            remembered = admission.state.or(remembered);
        }
        admitted
    }

    #[test]
    fn ten_are_served_and_the_eleventh_is_not() {
        let admitted = run(&[0; 11]);
        assert_eq!(admitted.iter().filter(|served| **served).count(), 10);
        assert!(!admitted[10]);
    }

    #[test]
    fn the_window_ends_exactly_one_hour_after_its_first_request() {
        let mut moments = vec![1000];
        moments.extend([3_000_000; 9]);
        moments.extend([1000 + WINDOW - 1, 1000 + WINDOW]);
        let admitted = run(&moments);
        assert!(!admitted[10]);
        assert!(admitted[11]);
    }

    #[test]
    fn after_the_reset_all_ten_are_there_at_once() {
        let mut moments = vec![0];
        moments.extend([WINDOW - 1; 9]);
        moments.extend([WINDOW; 11]);
        let admitted = run(&moments);
        assert!(admitted[..20].iter().all(|served| *served));
        assert!(!admitted[20]);
    }

    #[test]
    fn refused_requests_do_not_extend_the_window() {
        let mut moments = vec![0; 10];
        moments.extend([WINDOW / 2, WINDOW - 1, WINDOW]);
        assert_eq!(run(&moments)[10..], [false, false, true]);
    }

    #[test]
    fn the_next_window_begins_at_the_next_request() {
        let late = WINDOW + 1_800_000;
        let mut moments = vec![0];
        moments.extend([late; 10]);
        moments.extend([2 * WINDOW, late + WINDOW - 1, late + WINDOW]);
        assert_eq!(run(&moments)[11..], [false, false, true]);
    }

    #[test]
    fn state_of_another_form_starts_afresh() {
        let limiter = FixedWindow::documented();
        assert!(limiter.admit(Some(&[1, 2, 3]), &attempt(5)).admitted);
    }

    proptest! {
        /// Windows found by brute force: a window begins with the first request after the last one's end.
        #[test]
        fn admissions_match_a_plain_count(steps in prop::collection::vec(0..WINDOW / 3, 1..80)) {
            let moments: Vec<Millis> = steps
                .iter()
                .scan(0, |now, step| { *now += step; Some(*now) })
                .collect();
            let mut begin = moments[0];
            let mut count = 0;
            let mut expected = Vec::new();
            for moment in &moments {
                if *moment >= begin + WINDOW {
                    begin = *moment;
                    count = 0;
                }
                count += 1;
                expected.push(count <= LIMIT);
            }
            prop_assert_eq!(run(&moments), expected);
        }
    }
}
