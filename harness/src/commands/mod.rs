//! What each command does. They return how the program shall end; only `main` ends it.

pub mod adapter;
pub mod check;
pub mod init;
pub mod prove;
pub mod rules;
pub mod serve;
pub mod verify;

use std::io::Write as _;

use crate::exit::Exit;

/// Prints to stdout. A reader who has gone (`hookproof rules | head`) is no error.
pub fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Prints an error with its causes to stderr and returns the exit that goes with it.
pub fn complain(error: &dyn std::error::Error, exit: Exit) -> Exit {
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "hookproof: {error}");
    exit
}
