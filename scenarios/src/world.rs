//! What a run needs besides the two APIs: moving the clock, outages, revocations.

use std::fmt;
use std::pin::Pin;

/// An answer to wait for.
pub type Wait<'a, T> = Pin<Box<dyn Future<Output = Result<T, WorldError>> + Send + 'a>>;

/// One thing that a [`World`] may be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Power {
    /// [`World::advance`].
    Advance,
    /// [`World::set_queue`].
    Queue,
    /// [`World::revoke`].
    Revoke,
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Power::Advance => "move its clock",
            Power::Queue => "take its render queue down",
            Power::Revoke => "revoke a token",
        })
    }
}

/// Changes the target from outside its APIs. The caller implements it with whatever fixtures it has.
pub trait World: Send + Sync {
    /// Whether it can do that at all. A plan that needs what this denies is refused before the first request.
    fn can(&self, power: Power) -> bool;

    /// Moves the target's clock by `ms` milliseconds, 0 allowed, and says where it then stands, in milliseconds since 1970.
    fn advance(&self, ms: u64) -> Wait<'_, u64>;

    /// Takes the render queue down or brings it back.
    fn set_queue(&self, available: bool) -> Wait<'_, ()>;

    /// Revokes a domain's token, by its name.
    fn revoke<'a>(&'a self, domain: &'a str, token: &'a str) -> Wait<'a, ()>;
}

/// Why the target could not be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// It offers no such thing.
    #[error("the target cannot {0}; leave out the scenarios that need it")]
    Unsupported(Power),
    /// It offers it, and failed.
    #[error("the target was asked to {power} and failed: {reason}")]
    Failed {
        /// What was asked.
        power: Power,
        /// What it said.
        reason: String,
    },
}

/// A target that cannot be changed from outside.
#[derive(Debug, Clone, Copy, Default)]
pub struct Untouchable;

impl World for Untouchable {
    fn can(&self, _: Power) -> bool {
        false
    }

    fn advance(&self, _: u64) -> Wait<'_, u64> {
        Box::pin(async { Err(WorldError::Unsupported(Power::Advance)) })
    }

    fn set_queue(&self, _: bool) -> Wait<'_, ()> {
        Box::pin(async { Err(WorldError::Unsupported(Power::Queue)) })
    }

    fn revoke<'a>(&'a self, _: &'a str, _: &'a str) -> Wait<'a, ()> {
        Box::pin(async { Err(WorldError::Unsupported(Power::Revoke)) })
    }
}
