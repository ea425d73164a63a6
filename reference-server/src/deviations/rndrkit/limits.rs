//! Wrong hourly limits.

use std::sync::Arc;

use crate::deviations::Deviation;
use crate::parts::{Admission, Attempt, Limiter, Parts};
use crate::rndrkit::limiter::FixedWindow;

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[ELEVEN, NINE, PER_TOKEN];

const ELEVEN: Deviation = Deviation {
    name: "limit-eleven",
    defect: "a window admits eleven requests",
    why: "the count is compared with <= where < was meant",
    turns_red: &["rndrkit.rate.ten-per-hour"],
    consequences: &[],
    change: |parts| with_limit(parts, 11),
};

const NINE: Deviation = Deviation {
    name: "limit-nine",
    defect: "a window admits nine requests",
    why: "the counter starts at one",
    turns_red: &["rndrkit.rate.ten-per-hour"],
    consequences: &[],
    change: |parts| with_limit(parts, 9),
};

const PER_TOKEN: Deviation = Deviation {
    name: "limit-per-token",
    defect: "each token of a domain has a window of its own",
    why: "the limiter's key is what the request carries, not what it stands for",
    turns_red: &["rndrkit.rate.shared-across-tokens"],
    consequences: &[],
    change: |parts| Parts { limiter: Arc::new(PerToken(FixedWindow::documented())), ..parts },
};

fn with_limit(parts: Parts, limit: i64) -> Parts {
    Parts { limiter: Arc::new(FixedWindow { limit, ..FixedWindow::documented() }), ..parts }
}

struct PerToken(FixedWindow);

impl Limiter for PerToken {
    fn key(&self, attempt: &Attempt<'_>) -> String {
        attempt.token.to_owned()
    }

    fn admit(&self, remembered: Option<&[i64]>, attempt: &Attempt<'_>) -> Admission {
        self.0.admit(remembered, attempt)
    }
}
