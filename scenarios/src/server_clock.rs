//! What is known of a target's clock that somebody drives.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::world::{World, WorldError};

/// Whole milliseconds are told; the clock may stand anywhere within one.
const ROUNDING_MS: u64 = 1;

/// How long to look whether it moves by itself.
const LOOK: Duration = Duration::from_millis(20);

/// Bounds on a driven clock at any moment.
#[derive(Debug)]
pub(crate) struct ServerClock {
    /// It runs on between advances.
    runs: bool,
    known: Mutex<Known>,
    /// One advance after the other: what each is told would mean nothing otherwise.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    /// It stood here or later at `asked`.
    least_ms: u64,
    /// It stands here at most, but for what it has run on since `asked`.
    most_ms: u64,
    asked: Instant,
}

impl ServerClock {
    /// Looks twice at the target's clock.
    pub(crate) async fn read(world: &dyn World) -> Result<ServerClock, WorldError> {
        let first = world.advance(0).await?;
        tokio::time::sleep(LOOK).await;
        let asked = Instant::now();
        let least_ms = world.advance(0).await?;
        let known = Known { least_ms, most_ms: least_ms + ROUNDING_MS, asked };
        Ok(ServerClock { runs: least_ms != first, known: Mutex::new(known), turn: tokio::sync::Mutex::new(()) })
    }

    /// It stands here or later, now and for ever.
    pub(crate) fn least_ms(&self) -> u64 {
        self.known().least_ms
    }

    /// It stands here at most, as yet.
    pub(crate) fn most_ms(&self) -> u64 {
        let known = self.known();
        let run_on = if self.runs { known.asked.elapsed().as_millis() as u64 + ROUNDING_MS } else { 0 };
        known.most_ms + run_on
    }

    /// Moves it.
    pub(crate) async fn advance(&self, world: &dyn World, ms: u64) -> Result<(), WorldError> {
        let _turn = self.turn.lock().await;
        // Before the request: from now on the target may have moved it, and not a moment before.
        self.change(|known| known.most_ms += ms);
        let asked = Instant::now();
        let told = world.advance(ms).await?;
        self.change(|known| *known = Known { least_ms: told, most_ms: told + ROUNDING_MS, asked });
        Ok(())
    }

    fn known(&self) -> Known {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
