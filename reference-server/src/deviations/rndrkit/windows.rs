//! Wrong windows of the hourly limit: where they begin, how long they last, what they give back.

use std::sync::Arc;

use super::wrap::limiting;
use crate::clock::Millis;
use crate::deviations::Deviation;
use crate::parts::{Admission, Attempt, Limiter, Parts};
use crate::rndrkit::limiter::{FixedWindow, LIMIT, WINDOW};

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    CLOCK_HOUR,
    MINUTES_59,
    MINUTES_61,
    ENDLESS,
    TOKEN_BUCKET,
    BUCKET_IN_WINDOW,
    FORGETS_IDLE,
    SLIDING_COUNTER,
    SLIDING_COUNTER_ANCHORED,
    SLIDING_LOG,
    HALF_BACK,
    EXTENDED_BY_REFUSALS,
    EXTENDED_BY_ALL,
    GRID,
    CARRIES_OVER,
];

const ANCHORED: &[&str] = &["rndrkit.rate.window-anchored"];
const NOT_SLIDING: &[&str] = &["rndrkit.rate.window-not-sliding"];
const NOT_EXTENDED: &[&str] = &["rndrkit.rate.window-not-extended"];
const REANCHORS: &[&str] = &["rndrkit.rate.window-reanchors"];

const MINUTE: Millis = 60_000;

/// Time in which a bucket of ten gets one request back.
const DRIP: Millis = WINDOW / LIMIT;

/// Two numbers that a limiter remembers.
fn pair(remembered: Option<&[i64]>) -> Option<(i64, i64)> {
    match remembered {
        Some(&[first, second]) => Some((first, second)),
        Some(_) | None => None,
    }
}

fn admission(admitted: bool, state: Vec<i64>) -> Admission {
    Admission { admitted, state: Some(state) }
}

const CLOCK_HOUR: Deviation = Deviation {
    name: "window-clock-hour",
    defect: "begins its windows with the hours of the clock",
    why: "the key of the count is the time cut down to the hour",
    turns_red: ANCHORED,
    consequences: &[],
    change: |parts| limiting(parts, clock_hour),
};

fn clock_hour(remembered: Option<&[i64]>, attempt: &Attempt<'_>) -> Admission {
    let hour = attempt.now - attempt.now.rem_euclid(WINDOW);
    let count = pair(remembered).filter(|(of, _)| *of == hour).map_or(0, |(_, count)| count);
    admission(count < LIMIT, vec![hour, count + 1])
}

const MINUTES_59: Deviation = Deviation {
    name: "window-59-minutes",
    defect: "ends its windows after 59 minutes",
    why: "a minute is taken off so that a timer surely finds the window over",
    turns_red: ANCHORED,
    consequences: &[],
    change: |parts| lasting(parts, 59 * MINUTE),
};

const MINUTES_61: Deviation = Deviation {
    name: "window-61-minutes",
    defect: "ends its windows after 61 minutes",
    why: "a timer that runs each minute takes old windows away",
    turns_red: ANCHORED,
    consequences: &[],
    change: |parts| lasting(parts, 61 * MINUTE),
};

const ENDLESS: Deviation = Deviation {
    name: "window-endless",
    defect: "never ends a window",
    why: "the count's key is made without an expiry when two steps that belong together are cut apart",
    turns_red: ANCHORED,
    consequences: &[],
    change: |parts| lasting(parts, Millis::MAX),
};

fn lasting(parts: Parts, window: Millis) -> Parts {
    Parts { limiter: Arc::new(FixedWindow { window, ..FixedWindow::documented() }), ..parts }
}

const TOKEN_BUCKET: Deviation = Deviation {
    name: "window-token-bucket",
    defect: "gives one request back every six minutes",
    why: "the limiter at hand is a token bucket",
    turns_red: ANCHORED,
    consequences: &[],
    change: |parts| limiting(parts, token_bucket),
};

/// Remembers how much of the bucket is missing, as the time that fills it, and when that was so.
fn token_bucket(remembered: Option<&[i64]>, attempt: &Attempt<'_>) -> Admission {
    let (missing, at) = pair(remembered).unwrap_or((0, attempt.now));
    let missing = (missing - (attempt.now - at)).max(0);
    let admitted = missing + DRIP <= WINDOW;
    admission(admitted, vec![if admitted { missing + DRIP } else { missing }, attempt.now])
}

const BUCKET_IN_WINDOW: Deviation = Deviation {
    name: "window-with-bucket",
    defect: "gives requests back within a window, one every six minutes",
    why: "a bucket was added to the window so that nobody has to wait for a whole hour",
    turns_red: ANCHORED,
    consequences: &[],
    change: |parts| limiting(parts, bucket_in_window),
};

fn bucket_in_window(remembered: Option<&[i64]>, attempt: &Attempt<'_>) -> Admission {
    let window = match remembered {
        Some(&[first, missing, at]) if attempt.now < first + WINDOW => Some((first, missing, at)),
        Some(_) | None => None,
    };
    let (first, missing, at) = window.unwrap_or((attempt.now, 0, attempt.now));
    let Admission { admitted, state } = token_bucket(Some(&[missing, at]), attempt);
    Admission { admitted, state: state.map(|bucket| [vec![first], bucket].concat()) }
}

/// How long an idle domain is remembered.
const IDLE: Millis = 10 * MINUTE;

const FORGETS_IDLE: Deviation = Deviation {
    name: "window-forgets-idle",
    defect: "forgets the window of a domain that is idle for ten minutes",
    why: "the windows are kept in a cache that drops what nobody asks for",
    turns_red: ANCHORED,
    consequences: &[],
    change: |parts| limiting(parts, forgets_idle),
};

fn forgets_idle(remembered: Option<&[i64]>, attempt: &Attempt<'_>) -> Admission {
    let kept = match remembered {
        Some(&[first, count, seen]) if attempt.now <= seen + IDLE => Some([first, count]),
        Some(_) | None => None,
    };
    let Admission { admitted, state } = FixedWindow::documented().admit(kept.as_ref().map(<[_; 2]>::as_slice), attempt);
    let window = state.or(kept.map(Vec::from)).unwrap_or_default();
    admission(admitted, [window, vec![attempt.now]].concat())
}

const SLIDING_COUNTER: Deviation = Deviation {
    name: "window-sliding-counter",
    defect: "weighs the last hour of the clock by how much of it is less than an hour ago",
    why: "the limiter of the edge network works so",
    turns_red: ANCHORED,
    consequences: &[],
    change: |parts| {
        limiting(parts, |remembered, attempt| {
            sliding_counter(remembered, attempt.now - attempt.now.rem_euclid(WINDOW), attempt.now)
        })
    },
};

const SLIDING_COUNTER_ANCHORED: Deviation = Deviation {
    name: "window-sliding-counter-anchored",
    defect: "weighs what the last window admitted by how much of it is less than an hour ago",
    why: "a burst at the seam of two windows was to be avoided",
    turns_red: NOT_SLIDING,
    consequences: &[],
    change: |parts| {
        limiting(parts, |remembered, attempt| {
            let first = remembered.and_then(|state| state.first().copied()).unwrap_or(attempt.now);
            sliding_counter(remembered, first + (attempt.now - first) / WINDOW * WINDOW, attempt.now)
        })
    },
};

/// Remembers the begin of the window, what the one before admitted, and what it admitted itself.
fn sliding_counter(remembered: Option<&[i64]>, begin: Millis, now: Millis) -> Admission {
    let (before, count) = match remembered {
        Some(&[of, before, count]) if of == begin => (before, count),
        Some(&[of, _, count]) if of == begin - WINDOW => (count, 0),
        Some(_) | None => (0, 0),
    };
    let admitted = before * (begin + WINDOW - now) + count * WINDOW < LIMIT * WINDOW;
    admission(admitted, vec![begin, before, count + i64::from(admitted)])
}

const SLIDING_LOG: Deviation = Deviation {
    name: "window-sliding-log",
    defect: "counts the requests of the last sixty minutes, whenever that is",
    why: "a sorted set of times is the usual recipe",
    turns_red: NOT_SLIDING,
    consequences: &[],
    change: |parts| limiting(parts, sliding_log),
};

fn sliding_log(remembered: Option<&[i64]>, attempt: &Attempt<'_>) -> Admission {
    let log = remembered.unwrap_or_default().iter().copied();
    let mut log: Vec<i64> = log.filter(|at| attempt.now < at + WINDOW).collect();
    let admitted = (log.len() as i64) < LIMIT;
    log.extend(admitted.then_some(attempt.now));
    admission(admitted, log)
}

const HALF_BACK: Deviation = Deviation {
    name: "window-half-back",
    defect: "gives back only half of the requests when a window ends",
    why: "counts decay instead of ending",
    turns_red: NOT_SLIDING,
    consequences: &[],
    change: |parts| limiting(parts, half_back),
};

fn half_back(remembered: Option<&[i64]>, attempt: &Attempt<'_>) -> Admission {
    let window = pair(remembered)
        .map(|(first, count)| if attempt.now < first + WINDOW { [first, count] } else { [attempt.now, count / 2] });
    FixedWindow::documented().admit(window.as_ref().map(<[_; 2]>::as_slice), attempt)
}

const EXTENDED_BY_REFUSALS: Deviation = Deviation {
    name: "window-extended-by-refusals",
    defect: "begins the hour anew with every refusal",
    why: "who does not stop is to be kept out",
    turns_red: NOT_EXTENDED,
    consequences: &[],
    change: |parts| {
        limiting(parts, |remembered, attempt| {
            let admission = FixedWindow::documented().admit(remembered, attempt);
            if admission.admitted { admission } else { extended(remembered, attempt, admission) }
        })
    },
};

const EXTENDED_BY_ALL: Deviation = Deviation {
    name: "window-extended-by-all",
    defect: "begins the hour anew with every request",
    why: "the expiry is set together with the count, each time",
    turns_red: NOT_EXTENDED,
    consequences: &[],
    change: |parts| {
        limiting(parts, |remembered, attempt| {
            let admission = FixedWindow::documented().admit(remembered, attempt);
            extended(remembered, attempt, admission)
        })
    },
};

/// The same admission, with the hour beginning now.
fn extended(remembered: Option<&[i64]>, attempt: &Attempt<'_>, made: Admission) -> Admission {
    let count = pair(made.state.as_deref()).or(pair(remembered)).map_or(0, |(_, count)| count);
    admission(made.admitted, vec![attempt.now, count])
}

const GRID: Deviation = Deviation {
    name: "window-grid",
    defect: "begins windows at whole hours after a domain's first request of all",
    why: "the reset is moved on by an hour again and again instead of being set anew",
    turns_red: REANCHORS,
    consequences: &[],
    change: |parts| limiting(parts, grid),
};

fn grid(remembered: Option<&[i64]>, attempt: &Attempt<'_>) -> Admission {
    let (begin, count) = pair(remembered).unwrap_or((attempt.now, 0));
    let passed = (attempt.now - begin) / WINDOW;
    let count = if passed > 0 { 0 } else { count };
    admission(count < LIMIT, vec![begin + passed * WINDOW, (count + 1).min(LIMIT)])
}

const CARRIES_OVER: Deviation = Deviation {
    name: "window-carries-over",
    defect: "adds what a window left unused to the next",
    why: "ten are added at the reset instead of ten being set",
    turns_red: REANCHORS,
    // The window that follows an unused one serves more than ten, at once or not.
    consequences: &["rndrkit.rate.concurrent-ceiling"],
    change: |parts| limiting(parts, carries_over),
};

/// Remembers when the window began and what is left of it.
fn carries_over(remembered: Option<&[i64]>, attempt: &Attempt<'_>) -> Admission {
    let (begin, left) = match pair(remembered) {
        Some((begin, left)) if attempt.now < begin + WINDOW => (begin, left),
        Some((_, left)) => (attempt.now, left + LIMIT),
        None => (attempt.now, LIMIT),
    };
    admission(left > 0, vec![begin, (left - 1).max(0)])
}
