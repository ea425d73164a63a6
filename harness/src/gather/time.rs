//! Moments of the target's time, and who may run until then.
//!
//! A check never sleeps: it waits for a moment and gives its slot up meanwhile. With a manual clock the time moves only when no
//! check can start or go on and at least one waits, and then to the earliest moment; so checks that share no moment cannot disturb
//! each other, and a run is as fast as the target answers. With a system clock the same wait is a real one, side by side with all others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::evidence::ClockKind;
use crate::target::fixtures::{FixtureError, Fixtures, read_result};
use crate::target::protocol::{ClockNow, Method};

/// Whoever waits is told that its moment came, or why it never will; either way it has its turn.
type Waiter = oneshot::Sender<(Turn, Result<(), FixtureError>)>;

/// A woken check that counts as running, though it may not know yet. If it is gone by then, dropping this takes it off the count.
struct Turn {
    keeper: Arc<Timekeeper>,
    taken: bool,
}

impl Turn {
    /// Hands the count over to the check itself.
    fn take(mut self) {
        self.taken = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.taken {
            self.keeper.state().running -= 1;
            self.keeper.move_on_if_idle();
        }
    }
}

/// Keeps the target's time and the slots of running checks.
pub struct Timekeeper {
    kind: ClockKind,
    began: Instant,
    fixtures: Arc<Fixtures>,
    slots: Arc<Semaphore>,
    state: Mutex<State>,
    /// A move has ended.
    moved: Notify,
}

#[derive(Default)]
struct State {
    /// Checks that have not begun.
    startable: usize,
    /// Checks that have begun and wait for no moment.
    running: usize,
    /// Sum of all moves of a manual clock, in milliseconds.
    advanced_ms: u64,
    /// Who waits for which moment (milliseconds on the same scale as `advanced_ms`).
    waiting: BTreeMap<u64, Vec<Waiter>>,
    /// A move is under way.
    advancing: bool,
}

/// A check's right to run. Dropping it lets the time move on.
pub struct Slot {
    keeper: Arc<Timekeeper>,
    permit: Option<OwnedSemaphorePermit>,
    counted: bool,
}

impl Timekeeper {
    /// A timekeeper for a run that began at `began`, with `jobs` slots.
    pub fn new(kind: ClockKind, began: Instant, fixtures: Arc<Fixtures>, jobs: usize) -> Arc<Timekeeper> {
        Arc::new(Timekeeper {
            kind,
            began,
            fixtures,
            slots: Arc::new(Semaphore::new(jobs)),
            state: Mutex::new(State::default()),
            moved: Notify::new(),
        })
    }

    /// How the target's clock moves.
    pub fn kind(&self) -> ClockKind {
        self.kind
    }

    /// By how many milliseconds the suite has moved the target's clock.
    pub fn advanced_ms(&self) -> u64 {
        self.state().advanced_ms
    }

    /// Announces checks that will ask for a slot; the time does not move before all of them have begun.
    pub fn announce(&self, checks: usize) {
        self.state().startable += checks;
    }

    /// Waits for a slot and begins one announced check.
    pub async fn begin(self: &Arc<Timekeeper>) -> Slot {
        let permit = self.permit().await;
        let mut state = self.state();
        state.startable -= 1;
        state.running += 1;
        drop(state);
        Slot { keeper: Arc::clone(self), permit: Some(permit), counted: true }
    }

    /// Milliseconds since the run began on the scale of moments.
    fn scale_ms(&self) -> u64 {
        match self.kind {
            ClockKind::Manual => self.advanced_ms(),
            ClockKind::System => {
                u64::try_from(self.began.elapsed().as_millis()).expect("a run lasts less than 584 million years")
            }
        }
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.slots).acquire_owned().await.expect("the semaphore is never closed")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// Moves a manual clock to the earliest moment if nobody can do anything else.
    fn move_on_if_idle(self: &Arc<Timekeeper>) {
        let mut state = self.state();
        let idle = state.running == 0 && state.startable == 0 && !state.advancing;
        let Some((&moment, _)) = state.waiting.first_key_value() else { return };
        if !idle {
            return;
        }
        state.advancing = true;
        let step_ms = moment.saturating_sub(state.advanced_ms);
        drop(state);
        let keeper = Arc::clone(self);
        tokio::spawn(async move {
            let moved = keeper.fixtures.call(Method::ClockAdvance, json!({"ms": step_ms})).await;
            keeper.wake(
                moment,
                moved.and_then(|result| read_result::<ClockNow>(Method::ClockAdvance, &result)).map(drop),
            );
        });
    }

    /// Wakes whoever waited for this moment or an earlier one; everybody, if the clock could not be moved.
    fn wake(self: &Arc<Timekeeper>, moment: u64, moved: Result<(), FixtureError>) {
        let mut state = self.state();
        state.advancing = false;
        let woken = match &moved {
            Ok(()) => {
                state.advanced_ms = state.advanced_ms.max(moment);
                let later = state.waiting.split_off(&(moment + 1));
                std::mem::replace(&mut state.waiting, later)
            }
            Err(_) => std::mem::take(&mut state.waiting),
        };
        let waiters: Vec<Waiter> = woken.into_values().flatten().filter(|waiter| !waiter.is_closed()).collect();
        // Counted as running before they know it: the time must not move on before each has had its turn.
        state.running += waiters.len();
        drop(state);
        self.moved.notify_waiters();
        for waiter in waiters {
            let turn = Turn { keeper: Arc::clone(self), taken: false };
            // A check that is gone drops its turn.
            let _ = waiter.send((turn, moved.clone()));
        }
        self.move_on_if_idle();
    }
}

impl Slot {
    /// The timekeeper that gave the slot.
    pub fn keeper(&self) -> &Arc<Timekeeper> {
        &self.keeper
    }

    /// Waits until the target's clock is `ms` further than it was when the suite had moved it by `from_advanced_ms`
    /// (manual clock) or `from_ns` nanoseconds after the run began (system clock). The slot is given up meanwhile.
    ///
    /// # Errors
    /// [`FixtureError`] if the clock could not be moved.
    pub async fn wait(&mut self, from_advanced_ms: u64, from_ns: u64, ms: u64) -> Result<(), FixtureError> {
        const NS_PER_MS: u64 = 1_000_000;
        let from = match self.keeper.kind {
            ClockKind::Manual => from_advanced_ms,
            ClockKind::System => from_ns.div_ceil(NS_PER_MS),
        };
        let moment = from + ms;
        let now = self.keeper.scale_ms();
        if moment <= now {
            return Ok(());
        }
        match self.keeper.kind {
            ClockKind::System => {
                self.rest();
                // The target's clock is the real one: its time passes in no other way.
                tokio::time::sleep(Duration::from_millis(moment - now)).await;
                self.resume().await;
                Ok(())
            }
            ClockKind::Manual => self.wait_for_move(moment).await,
        }
    }

    async fn wait_for_move(&mut self, moment: u64) -> Result<(), FixtureError> {
        let (sender, receiver) = oneshot::channel();
        self.keeper.state().waiting.entry(moment).or_default().push(sender);
        self.rest();
        let (turn, told) = receiver.await.expect("a timekeeper answers every waiter before it goes");
        turn.take();
        self.counted = true;
        self.permit = Some(self.keeper.permit().await);
        told
    }

    /// Gives the slot up for a while: the time may move on, and others may run.
    pub fn rest(&mut self) {
        self.permit.take();
        if std::mem::take(&mut self.counted) {
            self.keeper.state().running -= 1;
        }
        self.keeper.move_on_if_idle();
    }

    /// Waits for a slot again after a rest, and until the time stands still.
    pub async fn resume(&mut self) {
        self.permit = Some(self.keeper.permit().await);
        loop {
            let moved = self.keeper.moved.notified();
            {
                let mut state = self.keeper.state();
                if !state.advancing {
                    state.running += 1;
                    break;
                }
            }
            moved.await;
        }
        self.counted = true;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.rest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::open::{self, RunSettings};

    async fn keeper(jobs: usize) -> (open::OpenTarget, Arc<Timekeeper>) {
        let settings = RunSettings { jobs, ..RunSettings::default() };
        let target = open::builtin(reference_server::Parts::reference(), settings).await.unwrap();
        let keeper = Arc::clone(&target.world.timekeeper);
        (target, keeper)
    }

    #[tokio::test]
    async fn the_time_moves_to_the_earliest_moment_once_everybody_waits() {
        let (target, keeper) = keeper(2).await;
        keeper.announce(3);
        let waits = [3000, 1000, 2000].map(|ms| {
            let keeper = Arc::clone(&keeper);
            tokio::spawn(async move {
                let mut slot = keeper.begin().await;
                slot.wait(0, 0, ms).await.unwrap();
                keeper.advanced_ms()
            })
        });
        let mut woken_at = Vec::new();
        for wait in waits {
            woken_at.push(wait.await.unwrap());
        }
        assert_eq!(woken_at, [3000, 1000, 2000]);
        target.close().await;
    }

    #[tokio::test]
    async fn a_check_that_is_dropped_while_it_waits_holds_nobody_up() {
        let (target, keeper) = keeper(4).await;
        keeper.announce(2);
        let mut staying = keeper.begin().await;
        let mut leaving = keeper.begin().await;
        let left = tokio::spawn(async move { leaving.wait(0, 0, 1000).await });
        while keeper.state().waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        left.abort();
        staying.wait(0, 0, 2000).await.unwrap();
        assert_eq!(keeper.advanced_ms(), 2000);
        assert_eq!(keeper.state().running, 1);
        target.close().await;
    }

    #[tokio::test]
    async fn while_a_check_rests_the_time_moves_on_and_it_resumes_once_the_time_stands_still() {
        let (target, keeper) = keeper(2).await;
        keeper.announce(2);
        let (mut resting, mut waiting) = (keeper.begin().await, keeper.begin().await);
        keeper.state().advancing = true;
        resting.rest();
        let resumed = tokio::spawn(async move {
            resting.resume().await;
            resting
        });
        while keeper.slots.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(!resumed.is_finished() && keeper.state().running == 1);
        keeper.wake(0, Ok(()));
        let mut resting = resumed.await.unwrap();
        assert_eq!(keeper.state().running, 2);
        resting.rest();
        waiting.wait(0, 0, 1000).await.unwrap();
        assert_eq!(keeper.advanced_ms(), 1000);
        target.close().await;
    }

    #[test]
    fn a_turn_that_nobody_takes_is_taken_off_the_count() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (target, keeper) = keeper(1).await;
            let (sender, receiver) = oneshot::channel();
            keeper.state().waiting.entry(10).or_default().push(sender);
            keeper.wake(10, Ok(()));
            assert_eq!(keeper.state().running, 1);
            // The check is dropped between being woken and knowing it.
            drop(receiver);
            assert_eq!(keeper.state().running, 0);
            target.close().await;
        });
    }
}
