//! The server over real sockets.

mod control;
mod craftkit;
mod deviations;
mod durability;
mod examples;
mod input;
mod limits;
mod logs;
mod pipeline;
mod rndrkit;
mod support;
mod webhooks;
