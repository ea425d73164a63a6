//! Load on webhook APIs, and histories of it.
//!
//! Whether a rate limit held under concurrent load cannot be told by counting answers; it can be told
//! from a history in which each operation has the two instants between which the server decided. This
//! package makes such load and writes such histories. It knows URLs and credentials, no rule of the APIs, and judges
//! nothing but thresholds.
//!
//! # How a run goes
//!
//! 1. [`plan::Plan::new`] lays out everything that a [`scenario::Scenario`] will send: a pure function of scenario, size and seed, with a hash.
//! 2. Whoever calls makes what [`plan::Plan::needs`] names and puts it into [`grounds::Grounds`].
//! 3. [`run::run`] carries it out with goose's users and writes each operation through a [`history::Recorder`].
//!    An invocation is with the operating system before its request is sent; a killed process loses none.
//! 4. [`outcome::Run`] holds counts, latencies and the reasons to doubt them ([`outcome::Run::doubts`]); [`threshold`] judges them.
//!
//! Limits are judged from the history alone. What a run counts besides is for people to look at, and to tell whether the load was what it claims
//! to be: how many requests were late or never sent, how many of a key's requests were really under way together, whether goose counted
//! as many as the history has.
//!
//! # Adding a scenario
//!
//! Give it a variant in [`scenario::Scenario`] with its name and what it proves; the compiler then asks for the rest. What it sends stands in
//! `schedule`: a function that takes domains, tokens and templates from the builder and pushes volleys (all at once, behind a barrier) and streams
//! (each at its time). It has no I/O and no randomness but the builder's dice, so that the same seed gives the same plan on every machine. If a
//! working server may answer it with a status that others do not meet, `wire::is_expected` says so. Nothing else changes.

#![warn(missing_docs)]

mod answer;
mod attack;
mod cpu;
mod crew;
mod gate;
pub mod grounds;
pub mod history;
pub mod live;
mod nearest;
pub mod outcome;
pub mod plan;
pub mod run;
pub mod scenario;
mod schedule;
mod secret;
mod send;
mod server_clock;
pub mod stop;
pub mod threshold;
mod totals;
mod user;
mod wire;
pub mod world;

pub use secret::Secret;
