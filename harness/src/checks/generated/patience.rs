//! How long a target is given to see a change made through a fixture, in a few looks: each may cost a request of a limit.

use std::time::{Duration, Instant};

/// When to look again: after these parts of the settle time.
const PARTS: [u32; 3] = [64, 8, 1];

/// Patience with the last change.
pub(super) struct Patience {
    settle: Duration,
    changed: Option<Instant>,
    looks: usize,
}

impl Patience {
    /// None is needed before the first change.
    pub(super) fn new(settle: Duration) -> Patience {
        Patience { settle, changed: None, looks: 0 }
    }

    /// Something was changed.
    pub(super) fn begin(&mut self) {
        self.changed = Some(Instant::now());
        self.looks = 0;
    }

    /// Waits for the next look; false if there is none any more.
    pub(super) async fn wait(&mut self) -> bool {
        let (Some(changed), Some(part)) = (self.changed, PARTS.get(self.looks)) else { return false };
        self.looks += 1;
        // A change may take until then to be seen everywhere, and each look costs part of a limit.
        tokio::time::sleep_until((changed + self.settle / *part).into()).await;
        true
    }
}
