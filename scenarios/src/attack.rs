//! goose: the only module that knows it.
//!
//! goose starts, ramps and ends users and keeps statistics of its own; each user runs one long transaction that takes its work from us. What goose
//! would do beyond that is kept from happening: it parses no arguments of the process, resets no metrics after its ramp, opens no port, judges no
//! status. Its counters are cross-checked and never believed.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use goose::client::GooseClientBuilder;
use goose::config::GooseConfiguration;
use goose::goose::{GooseUser, Scenario, Transaction, TransactionFunction};
use goose::{GooseAttack, GooseError};

use crate::run::LoadError;
use crate::stop::StopFlag;

/// Users started each second: all at once.
const INCREASE_RATE: &str = "100000";

/// How often to look whether goose was told to end: its flag is behind a lock, too dear to read for each request.
const KILLSWITCH_POLL: Duration = Duration::from_millis(50);

/// goose's killswitch and its signal handler are the process's: one attack at a time.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What each user does, from its start to its end.
pub(crate) trait Work: Send + Sync {
    /// The whole work of user number `user`.
    fn work<'a>(&'a self, user: usize, reporter: Reporter<'a>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

/// Tells goose of requests, so that its own statistics show them.
pub(crate) struct Reporter<'u> {
    user: &'u mut GooseUser,
}

impl Reporter<'_> {
    /// Adds a request: its response time, waiting included, and whether it went as it should.
    pub(crate) async fn report(&mut self, name: &str, took: Duration, good: bool, status: Option<u16>) {
        // It fails only for names without letters, and once goose has gone; neither is this request's fault.
        let _ = self.user.record_custom_request_duration("HTTP", name, took, good, status, None).await;
    }
}

/// Lets `users` users do `work`, all at once, until each has ended. Returns how many requests goose counted.
///
/// # Errors
/// [`LoadError::Panicked`] when a user did, [`LoadError::Hung`] when they have not ended within `limit`, [`LoadError::Goose`].
pub(crate) async fn attack(
    host: &str,
    users: usize,
    work: Arc<dyn Work>,
    stop: &StopFlag,
    limit: Duration,
) -> Result<u64, LoadError> {
    let _turn = TURN.lock().await;
    let panicked = Arc::new(Mutex::new(None));
    let transaction = Transaction::new(transaction(work, Arc::clone(&panicked), stop.clone()));
    let scenario = Scenario::new("load").register_transaction(transaction);
    let attack = GooseAttack::initialize_with_config(configuration(host, users).map_err(refused)?)
        .map_err(refused)?
        // Without it every user builds a TLS client of its own, which takes seconds.
        .set_client_builder_without_cookies(GooseClientBuilder::new().without_cookies())
        .map_err(refused)?
        .register_scenario(scenario);
    let watcher = tokio::spawn(watch_killswitch(stop.clone()));
    let ended = tokio::time::timeout(limit, attack.execute()).await;
    watcher.abort();
    if let Some(panic) = panicked.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(LoadError::Panicked(panic));
    }
    let Ok(ended) = ended else {
        stop.set();
        return Err(LoadError::Hung(limit));
    };
    let metrics = ended.map_err(refused)?;
    let counted = metrics.requests.values().map(|request| request.success_count + request.fail_count);
    Ok(counted.sum::<usize>() as u64)
}

/// One long transaction. A panic in it would leave goose waiting for ever, or lose counts without a word.
fn transaction(work: Arc<dyn Work>, panicked: Arc<Mutex<Option<String>>>, stop: StopFlag) -> TransactionFunction {
    let next = AtomicUsize::new(0);
    Arc::new(move |user: &mut GooseUser| {
        let (work, panicked, stop) = (Arc::clone(&work), Arc::clone(&panicked), stop.clone());
        let number = next.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            // In a block of its own, so that a panic is caught before the first await, too.
            let working = AssertUnwindSafe(async { work.work(number, Reporter { user }).await });
            if let Err(panic) = working.catch_unwind().await {
                *panicked.lock().unwrap_or_else(PoisonError::into_inner) = Some(message(&*panic));
                stop.set();
            }
            Ok(())
        })
    })
}

fn configuration(host: &str, users: usize) -> Result<GooseConfiguration, GooseError> {
    let users = users.to_string();
    GooseConfiguration::parse_args_default(&[
        "--host",
        host,
        "--users",
        &users,
        "--increase-rate",
        INCREASE_RATE,
        // Ends by itself when every user has ended; and without a ramp's end, no metrics are reset.
        "--iterations",
        "1",
        "--no-telnet",
        "--quiet",
        "--no-print-metrics",
        "--no-transaction-metrics",
        "--no-scenario-metrics",
    ])
}

async fn watch_killswitch(stop: StopFlag) {
    // goose clears the flag when an attack starts; one left over from before must not end this one.
    goose::reset_killswitch();
    loop {
        tokio::time::sleep(KILLSWITCH_POLL).await;
        if goose::is_killswitch_triggered() {
            stop.set();
            return;
        }
    }
}

fn refused(error: GooseError) -> LoadError {
    match error {
        // Its own text says neither which option nor why.
        GooseError::InvalidOption { option, value, detail } => LoadError::Goose(format!("{option} {value}: {detail}")),
        other => LoadError::Goose(other.to_string()),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "http://127.0.0.1:9";
    const LONG: Duration = Duration::from_secs(60);

    /// What a user of a test does.
    type Deed = fn(&Deeds, usize, Reporter<'_>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    struct Deeds {
        deed: Deed,
        stop: StopFlag,
    }

    impl Work for Deeds {
        fn work<'a>(&'a self, user: usize, reporter: Reporter<'a>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
            (self.deed)(self, user, reporter)
        }
    }

    async fn attacked(users: usize, deed: Deed, limit: Duration) -> (Result<u64, LoadError>, StopFlag) {
        let stop = StopFlag::default();
        let work = Arc::new(Deeds { deed, stop: stop.clone() });
        (attack(HOST, users, work, &stop, limit).await, stop)
    }

    /// goose itself would wait for ever for the user that is gone.
    #[tokio::test]
    async fn a_panic_ends_the_attack_and_sets_the_stop_flag() {
        let (ended, stop) = attacked(
            3,
            |deeds, user, _| {
                assert_ne!(user, 1, "a defect");
                let stop = deeds.stop.clone();
                Box::pin(async move { stop.wait().await })
            },
            LONG,
        )
        .await;
        assert!(matches!(&ended, Err(LoadError::Panicked(text)) if text.contains("a defect")), "{ended:?}");
        assert!(stop.is_set());
    }

    #[tokio::test]
    async fn a_user_that_does_not_end_does_not_hang_the_caller() {
        let limit = Duration::from_millis(200);
        let (ended, stop) = attacked(1, |_, _, _| Box::pin(std::future::pending()), limit).await;
        assert!(matches!(ended, Err(LoadError::Hung(found)) if found == limit), "{ended:?}");
        assert!(stop.is_set());
    }

    /// goose's handler of Ctrl-C triggers it where nobody has installed one before.
    #[tokio::test]
    async fn the_killswitch_sets_the_stop_flag() {
        let (ended, stop) = attacked(
            2,
            |deeds, _, _| {
                let stop = deeds.stop.clone();
                Box::pin(async move {
                    goose::trigger_killswitch("as a signal would");
                    stop.wait().await;
                })
            },
            LONG,
        )
        .await;
        assert!(ended.is_ok(), "{ended:?}");
        assert!(stop.is_set());
    }

    #[tokio::test]
    async fn one_attack_waits_for_another() {
        static WORKING: AtomicUsize = AtomicUsize::new(0);
        let deed: Deed = |_, _, _| {
            Box::pin(async {
                assert_eq!(WORKING.fetch_add(1, Ordering::SeqCst), 0, "two at a time");
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                WORKING.fetch_sub(1, Ordering::SeqCst);
            })
        };
        let (one, other) = tokio::join!(attacked(1, deed, LONG), attacked(1, deed, LONG));
        assert!(one.0.is_ok() && other.0.is_ok(), "{:?} {:?}", one.0, other.0);
    }

    #[tokio::test]
    async fn every_user_works_once_under_a_number_of_its_own() {
        static NUMBERS: Mutex<Vec<usize>> = Mutex::new(Vec::new());
        let (ended, stop) = attacked(
            200,
            |_, user, _| {
                NUMBERS.lock().unwrap().push(user);
                Box::pin(async {})
            },
            LONG,
        )
        .await;
        assert_eq!(ended.unwrap(), 0);
        assert!(!stop.is_set());
        let mut numbers = NUMBERS.lock().unwrap().clone();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..200).collect::<Vec<usize>>());
    }

    struct Reports(u64);

    impl Work for Reports {
        fn work<'a>(&'a self, _: usize, mut reporter: Reporter<'a>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
            Box::pin(async move {
                for _ in 0..self.0 {
                    reporter.report("refresh", Duration::from_micros(300), true, Some(429)).await;
                }
            })
        }
    }

    /// Those of the first moments, too, which goose forgets by default once all users have started.
    #[tokio::test]
    async fn goose_counts_every_request_that_it_is_told_of() {
        const USERS: usize = 5;
        const EACH: u64 = 333;
        let stop = StopFlag::default();
        let counted = attack(HOST, USERS, Arc::new(Reports(EACH)), &stop, LONG).await.unwrap();
        assert_eq!(counted, USERS as u64 * EACH);
    }
}
