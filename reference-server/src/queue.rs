//! How the render queue stands right now: down or up, how long, and who waits for work.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::parts::QueueState;

/// The gauge of the render queue. The queue itself is in the store.
#[derive(Debug)]
pub(crate) struct QueueGauge {
    available: AtomicBool,
    length: AtomicUsize,
    limit: usize,
    work: Notify,
}

impl QueueGauge {
    pub(crate) fn new(length: usize, limit: usize) -> QueueGauge {
        QueueGauge { available: AtomicBool::new(true), length: AtomicUsize::new(length), limit, work: Notify::new() }
    }

    pub(crate) fn state(&self) -> QueueState {
        QueueState {
            available: self.available.load(Ordering::SeqCst),
            length: self.length.load(Ordering::SeqCst),
            limit: self.limit,
        }
    }

    /// Begins or ends an outage.
    pub(crate) fn set_available(&self, available: bool) {
        self.available.store(available, Ordering::SeqCst);
    }

    /// Notes a render that is being queued. If its commit fails, the count is one too high until the
    /// worker counts again.
    pub(crate) fn grew(&self) {
        self.length.fetch_add(1, Ordering::SeqCst);
    }

    /// Notes renders that are being taken off the queue.
    pub(crate) fn shrank(&self, by: usize) {
        let lower = |length: usize| Some(length.saturating_sub(by));
        // The closure always gives a value, so there is no failure to look at.
        let _ = self.length.fetch_update(Ordering::SeqCst, Ordering::SeqCst, lower);
    }

    /// Sets the count to what the store holds.
    pub(crate) fn recount(&self, length: usize) {
        self.length.store(length, Ordering::SeqCst);
    }

    pub(crate) fn wake_worker(&self) {
        self.work.notify_one();
    }

    pub(crate) async fn work_waits(&self) {
        self.work.notified().await;
    }
}
