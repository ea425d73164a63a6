//! What each command does. They return how the program shall end; only `main` ends it.

pub mod adapter;
pub mod audit;
pub mod check;
pub mod compare;
mod hushed;
pub mod init;
pub mod load;
mod load_progress;
mod outputs;
mod progress;
pub mod prove;
pub mod regressions;
pub mod rules;
pub mod serve;
pub mod snapshots;
pub mod verify;

use std::io::Write as _;

use crate::exit::Exit;
use crate::report::terminal::printable;
use crate::secret::SecretFilter;

/// Prints to stdout. A reader who has gone (`hookproof rules | head`) is no error.
pub fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Prints an error with its causes to stderr and returns the exit that goes with it.
pub fn complain(error: &dyn std::error::Error, exit: Exit) -> Exit {
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "hookproof: {}", printable_lines(&error.to_string()));
    exit
}

/// The exit of a command of whose outputs these were lost, which it says; what the command found counts for more.
fn unless_lost<E: std::error::Error>(exit: Exit, lost: impl IntoIterator<Item = E>) -> Exit {
    lost.into_iter().fold(exit, |exit, error| complain(&error, exit).with_output_lost())
}

/// Prints to stderr what an adapter wrote to its own, if that was kept.
pub fn complain_for_adapter(said: &str, filter: &SecretFilter) {
    if said.is_empty() {
        return;
    }
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "the adapter's stderr:\n{}", printable_lines(&filter.text(said)));
}

/// Lines of which none can steer the terminal.
fn printable_lines(text: &str) -> String {
    text.trim_end().split('\n').map(printable).collect::<Vec<String>>().join("\n")
}
