//! What a caller decides about a server before it starts.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub use crate::secret::ControlToken;

/// Everything a server needs to know to start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Where state is kept.
    pub store: StoreKind,
    /// Whose time decides.
    pub clock: ClockKind,
    /// Opens the control plane at `/_control`; without a token there is none.
    pub control_token: Option<ControlToken>,
    /// Origin that `pollUrl` starts with, such as `https://api.craftkit.dev`. Without it the
    /// request's `Host` is used, and without that the address listened on.
    pub public_base: Option<String>,
    /// Bounds on what one client, or all together, can use up.
    pub limits: Limits,
}

impl Config {
    /// A server for tests: a free loopback port, in memory, on a manual clock.
    pub fn ephemeral(control_token: ControlToken) -> Config {
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            store: StoreKind::Memory,
            clock: ClockKind::Manual,
            control_token: Some(control_token),
            public_base: None,
            limits: Limits::default(),
        }
    }
}

/// Where state is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreKind {
    /// In memory: gone when the server stops.
    Memory,
    /// In an SQLite file, made when missing: durable before each reply.
    File(PathBuf),
}

/// Whose time decides windows, periods, timestamps and delivery schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockKind {
    /// The machine's.
    System,
    /// A clock that stands still until the control plane's `clock.advance` moves it.
    Manual,
}

/// Bounds on what clients can use up; beyond each stands an HTTP error, never a crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest request body in bytes; a longer one gets 413. Default 4 MiB: a loop of 10,000 items
    /// of some 300 bytes fits, and 10,000 items have to (rule `craftkit.input.loop-cap`).
    pub body_bytes: usize,
    /// Time for a connection to deliver a request's head; then it is closed. Default 10 s.
    pub header_read: Duration,
    /// Time for a request's body to arrive (then 408), and again for its answer to be found
    /// (then 503). Default 30 s.
    pub request: Duration,
    /// Connections served at once; further ones get 503 and are closed. Default 1,024.
    pub connections: usize,
    /// Renders that may wait for the worker; beyond them the hook answers 503
    /// `queue_unavailable`. Default 100,000.
    pub queue_length: usize,
    /// Decisions that may wait for the store's writer; beyond them requests get 503. Default 8,192.
    pub pending_writes: usize,
    /// Time for a subscriber to answer an outgoing webhook. Default 15 s, as CraftKit's guide says.
    pub webhook: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes: 4 * 1024 * 1024,
            header_read: Duration::from_secs(10),
            request: Duration::from_secs(30),
            connections: 1024,
            queue_length: 100_000,
            pending_writes: 8192,
            webhook: Duration::from_secs(15),
        }
    }
}
