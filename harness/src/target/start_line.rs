//! A line from which requests leave together, each over a connection of its own that is open by then.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

tokio::task_local! {
    /// The place of the request that is being sent.
    static PLACE: Option<Arc<Place>>;
}

/// Where requests wait for each other.
pub(super) struct StartLine {
    ready: mpsc::UnboundedSender<()>,
    gathered: mpsc::UnboundedReceiver<()>,
    go: watch::Sender<bool>,
    places: usize,
}

/// The place of one request.
pub(super) struct Place {
    ready: Mutex<Option<mpsc::UnboundedSender<()>>>,
    go: watch::Receiver<bool>,
    left: OnceLock<Instant>,
}

impl StartLine {
    /// A line that nobody stands at.
    pub(super) fn new() -> StartLine {
        let (ready, gathered) = mpsc::unbounded_channel();
        StartLine { ready, gathered, go: watch::channel(false).0, places: 0 }
    }

    /// A place for one more request.
    pub(super) fn place(&mut self) -> Arc<Place> {
        self.places += 1;
        Arc::new(Place { ready: Mutex::new(Some(self.ready.clone())), go: self.go.subscribe(), left: OnceLock::new() })
    }

    /// Lets all go once each has its connection and `last` is done; after `bound` in any case.
    pub(super) async fn start(mut self, bound: Duration, last: impl Future) {
        let all_ready = async {
            for _ in 0..self.places {
                self.gathered.recv().await;
            }
            last.await;
        };
        // Who is late leaves late, which the instants tell.
        let _ = tokio::time::timeout(bound, all_ready).await;
        self.go.send_replace(true);
    }
}

impl Place {
    /// When the request left the line; nothing if it never did.
    pub(super) fn left(&self) -> Option<Instant> {
        self.left.get().copied()
    }

    /// Says that nobody has to wait for this one: its connection is open, or it will have none.
    pub(super) fn wait_no_more(&self) {
        let ready = self.ready.lock().expect("no holder of this lock panics").take();
        // Said once. Nobody listens any more once all have left.
        let _ = ready.is_some_and(|ready| ready.send(()).is_ok());
    }

    async fn leave(&self) {
        self.wait_no_more();
        // A line that is gone holds nobody back.
        let _ = self.go.clone().wait_for(|go| *go).await;
        self.left.get_or_init(Instant::now);
    }
}

/// Sends a request from its place, if it has one.
pub(super) async fn at<T>(place: Option<Arc<Place>>, sending: impl Future<Output = T>) -> T {
    PLACE.scope(place, sending).await
}

/// Opens a connection and keeps it unused until the request it is for may leave.
pub(super) async fn connected<C, E>(connecting: impl Future<Output = Result<C, E>>) -> Result<C, E> {
    let connection = connecting.await?;
    if let Ok(Some(place)) = PLACE.try_with(Clone::clone) {
        place.leave().await;
    }
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(30);

    async fn run(place: Arc<Place>, connecting: impl Future<Output = Result<(), ()>>) -> Option<Instant> {
        let connection = at(Some(Arc::clone(&place)), connected(connecting)).await;
        if connection.is_err() {
            place.wait_no_more();
        }
        place.left()
    }

    #[tokio::test]
    async fn nobody_leaves_before_the_last_is_ready() {
        let mut line = StartLine::new();
        let (early, late) = (line.place(), line.place());
        let watched = Arc::clone(&early);
        let slow = async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_eq!(watched.left(), None);
            Ok(())
        };
        let mut last_at = None;
        let last = async { last_at = Some(Instant::now()) };
        let (left, other, ()) = tokio::join!(run(early, async { Ok(()) }), run(late, slow), line.start(BOUND, last));
        assert!(left.min(other) >= last_at && last_at.is_some());
    }

    #[tokio::test]
    async fn one_that_gets_no_connection_holds_nobody_up() {
        let mut line = StartLine::new();
        let (good, refused) = (line.place(), line.place());
        let began = Instant::now();
        let (left, none, ()) =
            tokio::join!(run(good, async { Ok(()) }), run(refused, async { Err(()) }), line.start(BOUND, async {}));
        assert!(left.is_some() && none.is_none());
        assert!(began.elapsed() < BOUND);
    }

    #[tokio::test]
    async fn who_hangs_is_left_behind() {
        let mut line = StartLine::new();
        let (good, _hanging) = (line.place(), line.place());
        let (left, ()) = tokio::join!(run(good, async { Ok(()) }), line.start(Duration::from_millis(5), async {}));
        assert!(left.is_some());
    }

    #[tokio::test]
    async fn without_a_place_a_connection_is_used_at_once() {
        assert_eq!(connected(async { Ok::<u8, ()>(1) }).await, Ok(1));
        assert_eq!(at(None, connected(async { Ok::<u8, ()>(1) })).await, Ok(1));
    }
}
