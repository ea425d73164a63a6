//! The target's levers that scenarios pull while they run: clock, queue and tokens, all through the fixtures.

use std::sync::Arc;

use scenarios::world::{Power, Wait, World, WorldError};
use serde_json::{Value, json};

use super::grounds::Maker;
use crate::evidence::ClockKind;
use crate::gather::Leftover;
use crate::target::fixtures::FixtureError;
use crate::target::protocol::Method;

/// A target that fixtures drive.
pub struct Driven {
    maker: Arc<Maker>,
}

impl Driven {
    /// Drives what the maker makes.
    pub fn new(maker: Arc<Maker>) -> Driven {
        Driven { maker }
    }

    async fn call(&self, power: Power, params: Value) -> Result<Value, WorldError> {
        let call = self.maker.world().fixtures.call(method(power), params).await;
        call.map_err(|error| self.failed(power, error))
    }

    fn failed(&self, power: Power, error: FixtureError) -> WorldError {
        let filter = self.maker.secrets().filter();
        WorldError::Failed { power, reason: error.cleaned(&filter).to_string() }
    }
}

/// The fixture method behind each lever.
pub fn method(power: Power) -> Method {
    match power {
        Power::Advance => Method::ClockAdvance,
        Power::Queue => Method::QueueSet,
        Power::Revoke => Method::TokenRevoke,
    }
}

/// Whether a world can do something: its fixtures offer the method and, to move the clock, the clock is one that can be moved.
pub fn can(world: &crate::gather::World, power: Power) -> bool {
    let moves = power != Power::Advance || world.timekeeper.kind() == ClockKind::Manual;
    moves && world.methods.contains(&method(power))
}

impl World for Driven {
    fn can(&self, power: Power) -> bool {
        can(self.maker.world(), power)
    }

    fn advance(&self, ms: u64) -> Wait<'_, u64> {
        Box::pin(async move {
            let answer = self.call(Power::Advance, json!({ "ms": ms })).await?;
            let now = answer.get("now").and_then(Value::as_str).and_then(|now| now.parse::<jiff::Timestamp>().ok());
            let now = now.and_then(|now| u64::try_from(now.as_millisecond()).ok());
            now.ok_or_else(|| WorldError::Failed {
                power: Power::Advance,
                reason: "`clock.advance`: expected `now` as an RFC 3339 time, found something else".to_owned(),
            })
        })
    }

    fn set_queue(&self, available: bool) -> Wait<'_, ()> {
        Box::pin(async move {
            let outage = Leftover { method: Method::QueueSet, parameter: "available", value: "true".to_owned() };
            if !available {
                // Noted before the call: an interruption in the middle of it must not leave the queue down.
                self.maker.note(outage.clone());
            }
            self.call(Power::Queue, json!({ "available": available })).await?;
            if available {
                self.maker.forget(&outage);
            }
            Ok(())
        })
    }

    fn revoke<'a>(&'a self, domain: &'a str, token: &'a str) -> Wait<'a, ()> {
        Box::pin(async move {
            let id = self.maker.token_id(domain, token).ok_or_else(|| WorldError::Failed {
                power: Power::Revoke,
                reason: format!("no token {token} was made for {domain}"),
            })?;
            self.call(Power::Revoke, json!({ "domain": domain, "id": id })).await?;
            Ok(())
        })
    }
}
