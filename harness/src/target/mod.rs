//! The outside world of a check: the only module that speaks HTTP or starts an adapter.

pub mod command;
pub mod fixtures;
pub mod http;
pub mod protocol;
pub mod receiver;
mod start_line;
mod thread;
