//! A reference implementation of two small HTTP APIs: RndrKit's Webhook Refresh API and CraftKit's
//! inbound render hook.
//!
//! It is a real service, not a mock: rate windows, quotas, signatures, manifests, a render queue and
//! outgoing webhooks work as the public pages of the two products say, durably if asked to. It renders
//! nothing: pages are only recorded as queued, and PDFs are never drawn.
//!
//! A request's way: [`http`] reads it whole and routes it; the routes of [`rndrkit`] and [`craftkit`]
//! load what the store knows; their `rules` decide, as pure functions; the [`store`] commits what was
//! decided; then the reply leaves. What can be replaced is in [`parts`]; the servers that are wrong on
//! purpose are in [`deviations`]. The control plane speaks the fixture protocol at `/_control` when a
//! control token is configured.
//!
//! ```no_run
//! use reference_server::{Config, ControlToken, Parts, start};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let server = start(Config::ephemeral(ControlToken::new("a-token")), Parts::reference()).await?;
//! println!("{}/api/webhook/refresh", server.base_url());
//! server.stop().await?;
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

pub mod clock;
pub mod config;
mod control;
pub mod craftkit;
pub mod deviations;
pub mod http;
pub mod parts;
mod queue;
pub mod rndrkit;
pub mod secret;
mod server;
pub mod store;

pub use config::{ClockKind, Config, ControlToken, Limits, StoreKind};
pub use parts::Parts;
pub use server::{Server, StartError, StopError, start};
