//! Stopping a run from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Asks a run to end early. Clones are the same flag; once set it stays set.
#[derive(Debug, Clone, Default)]
pub struct StopFlag(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    set: AtomicBool,
    changed: Notify,
}

impl StopFlag {
    /// Sets it. What is in flight is waited for, nothing new is sent.
    pub fn set(&self) {
        self.0.set.store(true, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.0.set.load(Ordering::Relaxed)
    }

    /// Returns once it is set.
    pub async fn wait(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.is_set() {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::StopFlag;

    #[tokio::test]
    async fn whoever_waits_hears_of_it_before_and_after() {
        let flag = StopFlag::default();
        let other = flag.clone();
        let waiting = tokio::spawn(async move { other.wait().await });
        tokio::task::yield_now().await;
        assert!(!flag.is_set());
        flag.set();
        waiting.await.unwrap();
        flag.wait().await;
        assert!(flag.is_set());
    }
}
