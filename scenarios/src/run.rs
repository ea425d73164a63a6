//! Carrying a plan out.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::grounds::Grounds;
use crate::history::{RecordError, Recorder};
use crate::live::Live;
use crate::outcome::Run;
use crate::plan::Plan;
use crate::stop::StopFlag;
use crate::world::{World, WorldError};

/// A plan with all that carrying it out takes.
pub struct Order {
    /// What to do.
    pub plan: Plan,
    /// What it stands on, as [`Plan::needs`](crate::plan::Plan) asks.
    pub grounds: Grounds,
    /// How to change the target from outside.
    pub world: Arc<dyn World>,
    /// Where every operation is written. Several runs may share one, one after the other, with one stopwatch.
    pub recorder: Arc<Recorder>,
    /// The clock of that recorder.
    pub stopwatch: Stopwatch,
    /// The most one request may take.
    pub request_time: Duration,
    /// Takes secrets out of a text. Whatever the target said goes through it before it is written: a target may echo what it was sent.
    pub clean: Cleaner,
    /// Counters for whoever watches.
    pub live: Arc<Live>,
    /// Ends the run early.
    pub stop: StopFlag,
}

/// A text without secrets in, or in place of, the text given.
pub type Cleaner = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// A recorder's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    zero: Instant,
    unix_ms: u64,
}

impl Stopwatch {
    /// Starts it at zero.
    pub fn start() -> Stopwatch {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        Stopwatch { zero: Instant::now(), unix_ms }
    }

    /// Nanoseconds since its start.
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.zero.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// When it was at zero, in milliseconds since 1970: the header's `unix_ms`.
    pub fn unix_ms(&self) -> u64 {
        self.unix_ms
    }

    /// The instant at which it shows `ns`.
    pub(crate) fn at(&self, ns: u64) -> Instant {
        self.zero + Duration::from_nanos(ns)
    }
}

/// Why a run came to no result. The history holds what was sent until then.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The grounds or the world lack what the plan needs; nothing was sent.
    #[error("the plan needs {expected}, and was given {found}")]
    Grounds {
        /// What the plan needs.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A site cannot be spoken to; nothing was sent.
    #[error("requests cannot be sent to {base_url}: {reason}")]
    Site {
        /// The site.
        base_url: String,
        /// Why.
        reason: String,
    },
    /// The history cannot be written any more; whatever could not be recorded was not sent.
    #[error("the history cannot be written: {0}")]
    Record(#[from] RecordError),
    /// The target could not be changed from outside.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The users did not all become ready for a volley in time: [`GATE_TIME`] after the last request could have ended.
    #[error(
        "only {ready} of {users} users became ready: is this machine overloaded, or does the target accept so few connections?"
    )]
    Gate {
        /// Users that were ready.
        ready: usize,
        /// Users.
        users: usize,
    },
    /// A defect of this crate: a user panicked.
    #[error("a load user panicked: {0}")]
    Panicked(String),
    /// A defect of this crate or of goose: the run did not end.
    #[error("the load did not end within {0:?}")]
    Hung(Duration),
    /// goose refused to run.
    #[error("goose could not run: {0}")]
    Goose(String),
}

/// How long users wait for one another, beyond the time that requests may take.
pub const GATE_TIME: Duration = Duration::from_secs(30);

/// Carries a plan out, and returns when every request has ended. One run at a time in a process: others wait their turn.
///
/// The queue is brought back at the end if the plan took it down, also after a stop or a failure.
///
/// # Errors
/// See [`LoadError`].
pub async fn run(order: Order) -> Result<Run, LoadError> {
    crate::crew::run(order).await
}
