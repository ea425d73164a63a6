//! Judges recorded histories exactly: could any correct server have answered like this?
//!
//! Everything here is a pure function of its arguments: no clock, no I/O, no randomness. One history is that of one key (a
//! domain): keys do not influence each other, so judging them one by one loses nothing.
//!
//! ```text
//! rate::judge(&[Request], &Window, Start)       -> Verdict<Schedule>   the whole history at once, schedule replayed
//! rate::is_explained(&[Request], &Window, Start) -> bool               whether it is surely consistent, and not how
//! rate::Monitor: push*, settle*, finish         -> Verdict<Schedule>   the same verdict, in the memory of what is in flight
//! quota::judge(&[Spend], &Allowance, Reading)   -> Verdict<quota::Schedule>
//! ```
//!
//! # What is judged
//!
//! Requests are intervals. `start` is an instant before the first byte was sent, `end` one after the last was received, both
//! in nanoseconds on one clock; the server decided at some instant in between, both ends included. Nobody knows which, so a
//! history is wrong only if *no* choice of instants explains it. [`Kind`] says what the answer proves.
//!
//! # What is answered
//!
//! - [`Verdict::Consistent`] carries a schedule: windows, and an instant for each request that counted. A separate function
//!   replays it.
//! - [`Verdict::Inconsistent`] carries a [`Witness`]: answers that contradict each other whatever happened to all others.
//! - [`Verdict::Inconclusive`] says why neither was found. It is never a defect of the server.

pub mod quota;
pub mod rate;
pub mod witness;

pub use witness::{Shape, Witness};

/// One request as its sender saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Its number, unique in the history; only for naming it.
    pub n: u64,
    /// An instant before its first byte was sent, in nanoseconds.
    pub start: i64,
    /// An instant after its last byte was received, in nanoseconds, not before `start`. Without meaning for [`Kind::Perhaps`].
    pub end: i64,
    /// What its answer proves.
    pub kind: Kind,
}

/// What the answer to a request proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It was served and counted, at one instant from `start` to `end`.
    Counted,
    /// It was refused for the limit, at one instant from `start` to `end`.
    Refused,
    /// It counted at one instant from `start` to `until`, or never: no answer came, or one that leaves it open.
    Perhaps {
        /// The last instant at which it can have counted; none: it can still count at any later time.
        until: Option<i64>,
    },
}

/// A limit: so many requests are served in a window, which opens with the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Requests served in a window, at least 1.
    pub limit: u64,
    /// The shortest that a window may last, in nanoseconds, at least 1. It ends just before its start plus its length.
    pub shortest: i64,
    /// The longest that a window may last, in nanoseconds, at least `shortest`.
    pub longest: i64,
}

/// What is known of the key before its first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Nobody had used it: no window is open.
    Fresh,
    /// Nothing: a window may be open, with any count.
    Unknown,
}

/// What a history shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<S> {
    /// A correct server can have answered like this; one way how.
    Consistent(S),
    /// No correct server can have answered like this.
    Inconsistent(Witness),
    /// Neither was found.
    Inconclusive(Reason),
}

/// Why a history was not judged to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Too many possible pasts to follow.
    #[error("more than {most} possible pasts had to be followed at once, too many requests were in flight together")]
    TooManyStates {
        /// How many are followed at most.
        most: usize,
    },
    /// Too much to compute.
    #[error("the search was given up after {most} steps, too many requests were in flight together")]
    TooMuchWork {
        /// The most steps for a history of this length.
        most: u64,
    },
    /// A monitor was told of a request after it was promised that none so early would come.
    #[error("request {n} came after the monitor was told that no request that starts so early would come any more")]
    TooLate {
        /// The number of the first such request.
        n: u64,
    },
    /// The quota of several periods with costs above one is only bounded, not decided.
    #[error("nothing contradicts the quota, but with these costs and periods that is no proof that it was kept")]
    OnlyBounded,
}
