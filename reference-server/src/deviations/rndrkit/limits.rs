//! Wrong hourly limits: how many, and what is counted together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::wrap::limiting;
use crate::deviations::Deviation;
use crate::parts::{Admission, Attempt, Limiter, Parts};
use crate::rndrkit::limiter::{FixedWindow, LIMIT, WINDOW};

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    ELEVEN,
    NINE,
    FIRST_TWICE,
    NONE,
    PER_TOKEN,
    PER_CONNECTION,
    PER_PROCESS_OF_CONNECTION,
    PER_PROCESS_OF_REQUEST,
    GLOBAL,
];

const ELEVEN: Deviation = Deviation {
    name: "limit-eleven",
    defect: "admits eleven requests to a window",
    why: "the count is compared with <= where < was meant",
    turns_red: &["rndrkit.rate.ten-per-hour"],
    consequences: &[],
    change: |parts| with_limit(parts, LIMIT + 1),
};

const NINE: Deviation = Deviation {
    name: "limit-nine",
    defect: "admits nine requests to a window",
    why: "the count is increased before it is compared with <",
    turns_red: &["rndrkit.rate.ten-per-hour"],
    consequences: &[],
    change: |parts| with_limit(parts, LIMIT - 1),
};

const FIRST_TWICE: Deviation = Deviation {
    name: "limit-first-twice",
    defect: "counts the first request of a window twice",
    why: "the window is made with a count of one and then increased like any other",
    turns_red: &["rndrkit.rate.ten-per-hour"],
    consequences: &[],
    change: |parts| limiting(parts, first_twice),
};

fn first_twice(remembered: Option<&[i64]>, attempt: &Attempt<'_>) -> Admission {
    let mut admission = FixedWindow::documented().admit(remembered, attempt);
    if let Some([_, count @ 1]) = admission.state.as_deref_mut() {
        *count += 1;
    }
    admission
}

const NONE: Deviation = Deviation {
    name: "limit-none",
    defect: "has no hourly limit",
    why: "the limit is left to a gateway that nobody configured",
    turns_red: &["rndrkit.rate.ten-per-hour"],
    consequences: &[],
    change: |parts| with_limit(parts, i64::MAX),
};

fn with_limit(parts: Parts, limit: i64) -> Parts {
    Parts { limiter: Arc::new(FixedWindow { limit, ..FixedWindow::documented() }), ..parts }
}

const PER_TOKEN: Deviation = Deviation {
    name: "limit-per-token",
    defect: "counts each token of a domain apart",
    why: "the limiter's key is what the request carries, not what it stands for",
    turns_red: &["rndrkit.rate.shared-across-tokens"],
    consequences: &[],
    change: |parts| keyed(parts, |attempt| attempt.token.to_owned()),
};

const PER_CONNECTION: Deviation = Deviation {
    name: "limit-per-connection",
    defect: "counts each connection apart",
    why: "the count is kept with the connection's other state",
    turns_red: &["rndrkit.rate.ten-per-hour"],
    // Every request travels over a connection of its own, so none is ever refused.
    consequences: &["rndrkit.rate.concurrent-ceiling"],
    change: |parts| keyed(parts, |attempt| format!("{}#{}", attempt.domain, attempt.connection)),
};

fn keyed(parts: Parts, key: fn(&Attempt<'_>) -> String) -> Parts {
    Parts { limiter: Arc::new(Keyed(key)), ..parts }
}

struct Keyed(fn(&Attempt<'_>) -> String);

impl Limiter for Keyed {
    fn key(&self, attempt: &Attempt<'_>) -> String {
        (self.0)(attempt)
    }

    fn admit(&self, remembered: Option<&[i64]>, attempt: &Attempt<'_>) -> Admission {
        FixedWindow::documented().admit(remembered, attempt)
    }
}

/// Processes that a balancer spreads requests over.
const PROCESSES: u64 = 2;

/// How many are served before the first refusal depends on which process the requests in between
/// went to, and all of them together serve more at once than that. So every rule suffers that
/// compares how many are served in two rows of requests.
const IRREGULAR: &[&str] = &[
    "rndrkit.rate.concurrent-ceiling",
    "rndrkit.rate.shared-across-tokens",
    "rndrkit.rate.independent-domains",
    "rndrkit.rate.counts-invalid-body",
    "rndrkit.rate.counts-invalid-paths",
    "rndrkit.rate.unauthenticated-free",
    "rndrkit.rate.window-not-sliding",
];

const PER_PROCESS_OF_CONNECTION: Deviation = Deviation {
    name: "limit-per-process-of-connection",
    defect: "runs as several processes with a count each, and a connection stays with one of them",
    why: "the count is a variable of the process, and it is deployed more than once",
    turns_red: &["rndrkit.rate.ten-per-hour"],
    consequences: IRREGULAR,
    change: |parts| {
        let process: Process = |_, attempt| attempt.connection % PROCESSES;
        Parts { limiter: Arc::new(PerProcess { requests: AtomicU64::new(0), process }), ..parts }
    },
};

const PER_PROCESS_OF_REQUEST: Deviation = Deviation {
    name: "limit-per-process-of-request",
    defect: "runs as several processes with a count each, and requests go round among them",
    why: "the count is a variable of the process, and it is deployed more than once",
    turns_red: &["rndrkit.rate.ten-per-hour"],
    consequences: IRREGULAR,
    change: |parts| {
        let process: Process = |request, _| request % PROCESSES;
        Parts { limiter: Arc::new(PerProcess { requests: AtomicU64::new(0), process }), ..parts }
    },
};

/// Which process gets a request, by its number and what it is.
type Process = fn(u64, &Attempt<'_>) -> u64;

/// Keeps the windows of a domain in all processes side by side, two numbers each.
struct PerProcess {
    requests: AtomicU64,
    process: Process,
}

impl Limiter for PerProcess {
    fn key(&self, attempt: &Attempt<'_>) -> String {
        attempt.domain.to_owned()
    }

    fn admit(&self, remembered: Option<&[i64]>, attempt: &Attempt<'_>) -> Admission {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        // A window that began an hour before time did is over.
        let mut windows = remembered.map_or_else(|| [-WINDOW, 0].repeat(PROCESSES as usize), <[i64]>::to_vec);
        let own = &mut windows.chunks_exact_mut(2).nth((self.process)(request, attempt) as usize);
        let own = own.as_deref_mut().expect("a window for each process");
        let Admission { admitted, state } = FixedWindow::documented().admit(Some(own), attempt);
        if let Some(state) = state {
            own.copy_from_slice(&state);
        }
        Admission { admitted, state: Some(windows) }
    }
}

const GLOBAL: Deviation = Deviation {
    name: "limit-global",
    defect: "has one window for all domains",
    why: "the limiter was put in front of the endpoint and has no key",
    turns_red: &["rndrkit.rate.independent-domains"],
    consequences: &[],
    change: |parts| Parts { limiter: Arc::new(Global::default()), ..parts },
};

/// Keeps its window itself: what the store has ends with a domain.
#[derive(Default)]
struct Global(Mutex<Option<Vec<i64>>>);

impl Limiter for Global {
    fn key(&self, attempt: &Attempt<'_>) -> String {
        attempt.domain.to_owned()
    }

    fn admit(&self, _remembered: Option<&[i64]>, attempt: &Attempt<'_>) -> Admission {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Admission { admitted, state } = FixedWindow::documented().admit(window.as_deref(), attempt);
        *window = state.or(window.take());
        Admission { admitted, state: None }
    }
}
