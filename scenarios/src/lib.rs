//! Histories of load on webhook APIs: what was sent, when, and what came back.
//!
//! Whether a rate limit held under concurrent load cannot be told by counting answers; it can be told
//! from a history in which each operation has the two instants between which the server decided. This
//! package holds that history's format, with a reader and a writer, in [`history`]. It knows no
//! rule of the APIs and judges nothing.
//!
//! The load scenarios that give the package its name are not there yet. Until they are, histories come from
//! programs of your own: through [`history::Recorder`], or, since the format is plain JSON Lines, from
//! whatever can write a line.

#![warn(missing_docs)]

pub mod history;
