//! Silence on stdout while load is sent: goose says there how many users it has started, whatever it is told, and stdout is where
//! the result is read.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};

/// Keeps stdout silent until it is dropped.
pub(super) struct Hushed {
    stdout: OwnedFd,
}

impl Hushed {
    /// Begins; none where it cannot be arranged, which harms nothing but the looks.
    pub(super) fn begin() -> Option<Hushed> {
        std::io::stdout().lock().flush().ok()?;
        let stdout = std::io::stdout().as_fd().try_clone_to_owned().ok()?;
        let nowhere = File::options().write(true).open("/dev/null").ok()?;
        nix::unistd::dup2_stdout(nowhere).ok()?;
        Some(Hushed { stdout })
    }
}

impl Drop for Hushed {
    fn drop(&mut self) {
        // What is still in the buffer was said meanwhile. A stdout that cannot be had back could not have been told so either.
        let _ = std::io::stdout().lock().flush();
        let _ = nix::unistd::dup2_stdout(&self.stdout);
    }
}
