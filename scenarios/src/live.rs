//! How a run goes while it goes: counters to read at any moment.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counters of one run. Whoever shows progress reads [`Live::snapshot`] as often as it likes.
#[derive(Debug, Default)]
pub struct Live {
    pub(crate) planned: AtomicU64,
    pub(crate) due: AtomicU64,
    pub(crate) begun: AtomicU64,
    pub(crate) ended: AtomicU64,
    pub(crate) lateness_ns: AtomicU64,
    pub(crate) unknown: AtomicU64,
    statuses: [AtomicU64; CLASSES],
    limited: AtomicU64,
    pub(crate) worst: AtomicU64,
    began: Mutex<Option<Instant>>,
    worst_name: Mutex<Option<String>>,
}

/// Statuses are shown by their first digit, from 1 to 9.
const CLASSES: usize = 10;

/// What a rate limit answers; told apart from other refusals because it is what is tested.
const TOO_MANY: u16 = 429;

/// One look at a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Since its first step began; zero before.
    pub elapsed: Duration,
    /// Requests in the plan.
    pub planned: u64,
    /// Requests that are due by now: where a run at a rate should stand.
    pub due: u64,
    /// Requests begun.
    pub begun: u64,
    /// Requests under way.
    pub in_flight: u64,
    /// How late the latest request was begun.
    pub lateness: Duration,
    /// Answers by class, such as `2xx`; 429 stands alone.
    pub statuses: BTreeMap<String, u64>,
    /// Requests without a complete answer.
    pub unknown: u64,
    /// The domain with the most accepted requests, and how many.
    pub worst_domain: Option<(String, u64)>,
}

impl Live {
    /// Where the run stands.
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let began = *self.began.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = read(&self.ended);
        let begun = read(&self.begun);
        let mut statuses = BTreeMap::new();
        for (class, counter) in self.statuses.iter().enumerate() {
            statuses.insert(format!("{class}xx"), read(counter));
        }
        statuses.insert(TOO_MANY.to_string(), read(&self.limited));
        statuses.retain(|_, count| *count > 0);
        let worst = self.worst_name.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Snapshot {
            elapsed: began.map(|began| began.elapsed()).unwrap_or_default(),
            planned: read(&self.planned),
            due: read(&self.due).max(begun),
            begun,
            in_flight: begun.saturating_sub(ended),
            lateness: Duration::from_nanos(read(&self.lateness_ns)),
            statuses,
            unknown: read(&self.unknown),
            worst_domain: worst.map(|name| (name, read(&self.worst))),
        }
    }

    pub(crate) fn begin(&self, planned: usize) {
        self.planned.store(planned as u64, Ordering::Relaxed);
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub(crate) fn answered(&self, status: u16) {
        let counter =
            if status == TOO_MANY { &self.limited } else { &self.statuses[usize::from(status / 100) % CLASSES] };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes note that `domain` was served `count` times.
    pub(crate) fn served(&self, domain: &str, count: u64) {
        if count > self.worst.load(Ordering::Relaxed) {
            self.worst.store(count, Ordering::Relaxed);
            *self.worst_name.lock().unwrap_or_else(PoisonError::into_inner) = Some(domain.to_owned());
        }
    }
}
