//! A meeting point: nobody goes on before all have come.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::stop::StopFlag;

/// Where a fixed number of users meet, again and again.
#[derive(Debug)]
pub(crate) struct Gate {
    users: usize,
    arrived: Mutex<usize>,
    opened: watch::Sender<u64>,
}

/// Why somebody who waited was sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SentAway {
    /// The run is stopped.
    Stopped,
    /// The others did not come in time.
    Alone {
        /// Users that had come.
        ready: usize,
    },
}

impl Gate {
    pub(crate) fn new(users: usize) -> Gate {
        Gate { users, arrived: Mutex::new(0), opened: watch::Sender::new(0) }
    }

    /// Waits for the others. The last to come does `opening` before it lets all go.
    pub(crate) async fn pass(
        &self,
        stop: &StopFlag,
        patience: Duration,
        opening: impl FnOnce(),
    ) -> Result<(), SentAway> {
        if stop.is_set() {
            return Err(SentAway::Stopped);
        }
        // Subscribed before the arrival is counted: an opening in between is seen.
        let mut opened = self.opened.subscribe();
        {
            let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
            *arrived += 1;
            if *arrived == self.users {
                *arrived = 0;
                opening();
                self.opened.send_modify(|times| *times += 1);
                return Ok(());
            }
        }
        tokio::select! {
            biased;
            _ = opened.changed() => Ok(()),
            () = stop.wait() => Err(SentAway::Stopped),
            () = tokio::time::sleep(patience) => {
                Err(SentAway::Alone { ready: *self.arrived.lock().unwrap_or_else(PoisonError::into_inner) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::{Gate, SentAway};
    use crate::stop::StopFlag;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn it_opens_once_all_have_come_and_each_time_anew() {
        const USERS: usize = 4;
        const TIMES: usize = 3;
        let gate = Arc::new(Gate::new(USERS));
        let (stop, openings) = (StopFlag::default(), Arc::new(AtomicUsize::new(0)));
        let users = (0..USERS).map(|_| {
            let (gate, stop, openings) = (Arc::clone(&gate), stop.clone(), Arc::clone(&openings));
            tokio::spawn(async move {
                for time in 0..TIMES {
                    let opening = || {
                        openings.fetch_add(1, Ordering::SeqCst);
                    };
                    gate.pass(&stop, LONG, opening).await.unwrap();
                    assert!(openings.load(Ordering::SeqCst) > time);
                }
            })
        });
        for user in users.collect::<Vec<_>>() {
            user.await.unwrap();
        }
        assert_eq!(openings.load(Ordering::SeqCst), TIMES);
    }

    #[tokio::test]
    async fn whoever_waits_in_vain_is_sent_away() {
        let gate = Gate::new(2);
        let left = gate.pass(&StopFlag::default(), Duration::from_millis(1), || panic!("it opened")).await;
        assert_eq!(left, Err(SentAway::Alone { ready: 1 }));
    }

    #[tokio::test]
    async fn a_stop_empties_it() {
        let (gate, stop) = (Arc::new(Gate::new(2)), StopFlag::default());
        let waiting = tokio::spawn({
            let (gate, stop) = (Arc::clone(&gate), stop.clone());
            async move { gate.pass(&stop, LONG, || panic!("it opened")).await }
        });
        tokio::task::yield_now().await;
        stop.set();
        assert_eq!(waiting.await.unwrap(), Err(SentAway::Stopped));
        assert_eq!(gate.pass(&stop, LONG, || panic!("it opened")).await, Err(SentAway::Stopped));
    }
}
