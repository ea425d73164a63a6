//! The history's format, version 1: JSON Lines, append-only, readable after a crash.
//!
//! # Lines
//!
//! The first line is a header:
//!
//! ```json
//! {"v":1,"header":true,"recorder":"a","unix_ms":1760000000000,"skew_ms":0,"limit":10,"window_ms":3600000,"tolerance_ms":2000,"quota":"reached","keys":{"d1":{"fresh":true,"renders_left":7}}}
//! ```
//!
//! Each other line is about one operation, which its recorder numbers with `n`. A line with `start_ns`
//! and no `end_ns` says that the operation was invoked; it is handed to the operating system before
//! the request is sent. A later line with the same `n` and an `end_ns` completes it. It need not repeat what
//! the first said, and must not contradict it. Where no such line follows, the outcome is unknown. Logs of
//! other programs, written when all is known, may tell an operation in a single line with both instants.
//!
//! ```json
//! {"v":1,"n":1,"api":"rndrkit","key":"d1","token":"d1.2","op":"refresh","pages":3,"start_ns":1000}
//! {"v":1,"n":1,"end_ns":52000,"status":200}
//! ```
//!
//! | field | in | meaning |
//! |---|---|---|
//! | `v` | every line | 1 |
//! | `n` | every operation | its number, unique per recorder |
//! | `recorder` | any | which machine wrote the line; without it, the one of the header above |
//! | `api`, `key` | all but `advance` and `queue` | `rndrkit` and the domain, or `craftkit` and the template |
//! | `token` | requests; needed for `revoke` | the name of the token used, never its value |
//! | `op` | invocation | `refresh`, `render`, `poll` or `control` |
//! | `pages` | `refresh` | pages asked for; absent for a full refresh |
//! | `id` | `poll`; a completed `render` | the render's id |
//! | `what` | `control` | `advance` with `ms`, `queue` with `available`, `revoke`, or `quota` with `renders_left` (absent: unlimited or unknown) |
//! | `due_ns` | invocation | when the operation was due |
//! | `start_ns`, `end_ns` | | before the first byte was sent, after the last was received |
//! | `server_start_ms`, `server_end_ms` | | the target's clock at these instants, where somebody drives it |
//! | `status` | completion | the HTTP status; absent: unknown |
//! | `error` | completion | the documented error's text or code; without a status, why there is none: `timeout`, `connection lost`, `not sent` |
//! | `render_status` | a completed `poll` | what the poll said |
//!
//! Nanoseconds are those of the recorder's monotonic clock: only their order and their differences mean
//! anything, and only within one recorder. The header's `unix_ms` says when that clock stood at zero, right to within
//! `skew_ms`. A key that the header's `keys` do not list is not known to be fresh.
//!
//! # What a reader refuses
//!
//! [`Reader`] stops at the first line that is wrong and says what it expected and found there.
//! Unknown fields, and fields where they mean nothing, are refused, not ignored: a misspelt `pages` would
//! turn a list of three paths into a full refresh, and a verdict would be built on it. Lines may stand in any order
//! of time, because recording threads overtake one another; but an operation never ends before it starts.
//! Files of several recorders can be put one after the other, or merged if each line names its recorder,
//! whose header stands above it.
//!
//! A last line that was cut off, as by `kill -9`, is no error: it is left out and told by
//! [`Reader::truncated`].
//!
//! # Example
//!
//! ```
//! use scenarios::history::{Action, Event, Header, Invocation, Outcome, QuotaKind, Reader, Recorder};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let header = Header {
//!     recorder: "laptop".into(),
//!     unix_ms: 1_760_000_000_000,
//!     skew_ms: 0,
//!     limit: 10,
//!     window_ms: 3_600_000,
//!     tolerance_ms: 2_000,
//!     quota: QuotaKind::Reached,
//!     keys: [].into(),
//! };
//! let mut file = Vec::new();
//! let recorder = Recorder::new(&mut file, &header)?;
//! let refresh = Action::Refresh { domain: "d1".into(), token: None, pages: Some(3) };
//! let ticket = recorder.invoked(&Invocation { action: refresh, due_ns: None, start_ns: 1_000, server_start_ms: None })?;
//! // The invocation is with the operating system: now the request may be sent.
//! recorder.completed(ticket, &Outcome { status: Some(200), ..Outcome::at(52_000) })?;
//! recorder.finish()?;
//!
//! let mut accepted = 0;
//! for event in Reader::new(file.as_slice()) {
//!     if let Event::Completed(_, outcome) = event? {
//!         accepted += u32::from(outcome.status == Some(200));
//!     }
//! }
//! assert_eq!(accepted, 1);
//! # Ok(())
//! # }
//! ```

mod in_flight;
mod known;
mod layout;
mod lines;
mod names;
mod problem;
mod quick;
mod reader;
mod recorder;
mod seen;
#[cfg(test)]
mod ways;
mod wire;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

pub use names::{Name, Names};
pub use problem::{Problem, ReadError, RecordError};
pub use reader::{Reader, Truncated};
pub use recorder::{Batch, Place, Recorder, STALL, Ticket};

/// What holds for all operations of one recorder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The machine or process that records.
    pub recorder: String,
    /// When the recorder's monotonic clock stood at zero, in milliseconds since 1970.
    pub unix_ms: u64,
    /// By how much `unix_ms` may be wrong, either way.
    pub skew_ms: u64,
    /// Requests a key is served in a window.
    pub limit: u64,
    /// Length of the window.
    pub window_ms: u64,
    /// By how much the window's length may differ, either way.
    pub tolerance_ms: u64,
    /// When a quota refuses.
    pub quota: QuotaKind,
    /// What is known about keys before the first operation.
    pub keys: BTreeMap<String, KeyState>,
}

/// When a quota refuses a request that costs several renders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaKind {
    /// Once it is used up; the last request served may go beyond.
    Reached,
    /// When the request would go beyond it.
    Exceed,
}

/// What is known about a key before the first operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyState {
    /// Whether nobody has used it yet.
    pub fresh: bool,
    /// Renders left in the current period; none: unlimited or unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renders_left: Option<u64>,
}

/// What an operation does; names of keys and tokens are told as `K`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<K = String> {
    /// A refresh request to RndrKit.
    Refresh {
        /// The domain.
        domain: K,
        /// The name of the token used.
        token: Option<K>,
        /// Pages asked for; none for a full refresh.
        pages: Option<u64>,
    },
    /// A call of CraftKit's inbound hook.
    Render {
        /// The template.
        template: K,
        /// The name of the token used.
        token: Option<K>,
    },
    /// A poll of a render.
    Poll {
        /// The template.
        template: K,
        /// The name of the key used.
        token: Option<K>,
        /// The render's id.
        id: String,
    },
    /// The target's clock is moved.
    Advance {
        /// By how much.
        ms: u64,
    },
    /// The render queue is taken down or brought back.
    Queue {
        /// Whether it is up from then on.
        available: bool,
    },
    /// A token is revoked.
    Revoke {
        /// Its domain.
        domain: K,
        /// Its name.
        token: K,
    },
    /// A domain's quota is set.
    Quota {
        /// The domain.
        domain: K,
        /// Renders left from then on; none: unlimited or unknown.
        renders_left: Option<u64>,
    },
}

impl Action {
    /// The domain or template it counts for; none if it acts on the whole server.
    pub fn key(&self) -> Option<&str> {
        match self {
            Action::Refresh { domain, .. } | Action::Revoke { domain, .. } | Action::Quota { domain, .. } => {
                Some(domain)
            }
            Action::Render { template, .. } | Action::Poll { template, .. } => Some(template),
            Action::Advance { .. } | Action::Queue { .. } => None,
        }
    }
}

impl<K> Action<K> {
    /// The same with names told in another way.
    pub fn named<L>(self, mut name: impl FnMut(K) -> L) -> Action<L> {
        match self {
            Action::Refresh { domain, token, pages } => {
                Action::Refresh { domain: name(domain), token: token.map(name), pages }
            }
            Action::Render { template, token } => Action::Render { template: name(template), token: token.map(name) },
            Action::Poll { template, token, id } => {
                Action::Poll { template: name(template), token: token.map(name), id }
            }
            Action::Advance { ms } => Action::Advance { ms },
            Action::Queue { available } => Action::Queue { available },
            Action::Revoke { domain, token } => Action::Revoke { domain: name(domain), token: name(token) },
            Action::Quota { domain, renders_left } => Action::Quota { domain: name(domain), renders_left },
        }
    }
}

/// An operation as it is known before it is sent; names of keys and tokens are told as `K`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation<K = String> {
    /// What it does.
    pub action: Action<K>,
    /// When it was due, on the recorder's monotonic clock.
    pub due_ns: Option<u64>,
    /// An instant before its first byte is sent.
    pub start_ns: u64,
    /// The target's clock at that instant, where it is driven.
    pub server_start_ms: Option<u64>,
}

impl<K> Invocation<K> {
    /// The same with names told in another way.
    pub fn named<L>(self, name: impl FnMut(K) -> L) -> Invocation<L> {
        let Invocation { action, due_ns, start_ns, server_start_ms } = self;
        Invocation { action: action.named(name), due_ns, start_ns, server_start_ms }
    }
}

/// What is known once an operation has ended; texts are told as `T`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<T = String> {
    /// An instant after its last byte was received.
    pub end_ns: u64,
    /// The target's clock at that instant, where it is driven.
    pub server_end_ms: Option<u64>,
    /// The HTTP status; none: no complete answer came.
    pub status: Option<u16>,
    /// The documented error's text or code.
    pub error: Option<T>,
    /// The id of an accepted render; only for [`Action::Render`].
    pub id: Option<T>,
    /// The render's status as polled; only for [`Action::Poll`].
    pub render_status: Option<T>,
}

impl Outcome {
    /// An outcome of which only the end is known.
    pub fn at(end_ns: u64) -> Outcome {
        Outcome { end_ns, server_end_ms: None, status: None, error: None, id: None, render_status: None }
    }
}

impl Outcome<Cow<'_, str>> {
    /// The same with texts of its own.
    pub fn into_owned(self) -> Outcome {
        let Outcome { end_ns, server_end_ms, status, error, id, render_status } = self;
        let [error, id, render_status] = [error, id, render_status].map(|text| text.map(Cow::into_owned));
        Outcome { end_ns, server_end_ms, status, error, id, render_status }
    }
}

/// An operation as a reader finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its number.
    pub n: u64,
    /// The recorder that numbered it.
    pub recorder: Arc<str>,
    /// What it does, and when it started.
    pub invocation: Invocation,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A recorder introduces itself.
    Header(Header),
    /// An operation was invoked.
    Invoked(Operation),
    /// An operation ended. If a single line told it whole, no [`Event::Invoked`] came before.
    Completed(Operation, Outcome),
}

/// What a line says, at a glance: nothing is copied for it, and names are [numbers](Name).
#[derive(Debug)]
pub enum Glance<'g> {
    /// As [`Event::Header`].
    Header(Header),
    /// As [`Event::Invoked`].
    Invoked(Sighted<'g>),
    /// As [`Event::Completed`].
    Completed(Sighted<'g>, &'g Outcome<Cow<'g, str>>),
}

/// An operation at a glance.
#[derive(Debug, Clone, Copy)]
pub struct Sighted<'g> {
    /// Its number.
    pub n: u64,
    /// Which of the recorders numbered it, from 0, in the order of their headers.
    pub recorder: usize,
    /// That recorder.
    pub recorder_name: &'g Arc<str>,
    /// What it does, and when it started.
    pub invocation: &'g Invocation<Name>,
    /// All names that the reader has met.
    pub names: &'g Names,
}

impl Glance<'_> {
    /// What the line says, in full.
    pub fn into_event(self) -> Event {
        match self {
            Glance::Header(header) => Event::Header(header),
            Glance::Invoked(sighted) => Event::Invoked(sighted.operation()),
            Glance::Completed(sighted, outcome) => Event::Completed(sighted.operation(), outcome.clone().into_owned()),
        }
    }
}

impl Sighted<'_> {
    /// The operation in full.
    pub fn operation(&self) -> Operation {
        let invocation = self.invocation.clone().named(|name| self.names.text(name).to_owned());
        Operation { n: self.n, recorder: Arc::clone(self.recorder_name), invocation }
    }
}
