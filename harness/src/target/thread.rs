//! A thread for HTTP alone. A target that never stops talking can keep whoever listens to it busy without a pause, timers included. So
//! listening happens on a thread of its own, and how long it may take is watched by whoever waits for it, on another one.

use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Runs futures on a thread of its own, which ends with it.
pub struct HttpThread {
    handle: Handle,
    /// Dropped with this: then the thread ends.
    _alive: oneshot::Sender<()>,
}

impl HttpThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system's reason if there can be no more threads.
    pub fn start() -> std::io::Result<HttpThread> {
        let (alive, gone) = oneshot::channel();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        std::thread::Builder::new().name("http".to_owned()).spawn(move || {
            // An error: the sender is gone.
            let _ = runtime.block_on(gone);
            // Names may still be looked up, on threads of their own.
            runtime.shutdown_background();
        })?;
        Ok(HttpThread { handle, _alive: alive })
    }

    /// What comes of some work there, or `None` after `time_max`, whatever the thread is busy with by then. The work is given up with
    /// the wait for it.
    pub async fn run<T: Send + 'static>(
        &self,
        time_max: Duration,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let mut task = Task(self.handle.spawn(work));
        match tokio::time::timeout(time_max, &mut task.0).await.ok()? {
            Ok(done) => Some(done),
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }
}

/// A task that ends when nobody waits for it any more.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const BOUND: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_thread_that_is_kept_busy_keeps_nobody_waiting() {
        let thread = HttpThread::start().unwrap_or_else(|error| panic!("{error}"));
        let (free, kept) = channel::<()>();
        let (begun, begin) = channel();
        let busy = async move {
            let _ = begun.send(());
            // Never yields, as a loop over data that is always there.
            let _ = kept.recv();
        };
        assert_eq!(thread.run(BOUND, busy).await, None);
        assert_eq!(begin.recv(), Ok(()));
        assert_eq!(thread.run(BOUND, async { 1 }).await, None);
        drop(free);
        assert_eq!(thread.run(LONG, async { 1 }).await, Some(1));
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_given_up() {
        let thread = HttpThread::start().unwrap_or_else(|error| panic!("{error}"));
        let (alive, given_up) = channel::<()>();
        let endless = async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        };
        assert_eq!(thread.run(BOUND, endless).await, None);
        // Ends when the other side is dropped with the work.
        assert!(given_up.recv().is_err());
    }
}
