//! Starting, running and stopping a server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::clock::{Clock, real_now};
use crate::config::{ClockKind, Config, ControlToken, Limits, StoreKind};
use crate::craftkit::{self, courier, worker};
use crate::http::router::{Fault, fault};
use crate::http::{Answer, Inbound, listener};
use crate::parts::Parts;
use crate::queue::QueueGauge;
use crate::rndrkit;
use crate::store::records::Write;
use crate::store::{self, SharedStore, StoreError, memory, sqlite, transact};

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The store cannot be opened or read.
    #[error("cannot open the store: {0}")]
    Store(#[from] StoreError),
}

/// Why a server did not stop as it should.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// A task of the server panicked.
    #[error("the {task} of the server panicked")]
    Panicked {
        /// Which task.
        task: &'static str,
    },
}

/// Everything the routes and the background tasks share.
pub(crate) struct App {
    pub(crate) store: SharedStore,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) parts: Parts,
    pub(crate) limits: Limits,
    pub(crate) control: Option<ControlToken>,
    pub(crate) public_base: Option<String>,
    pub(crate) base_url: String,
    pub(crate) refresh_judges: rndrkit::rules::Judges,
    pub(crate) hook_judges: craftkit::rules::Judges,
    pub(crate) queue: QueueGauge,
    /// Told when a delivery may be due.
    pub(crate) courier: Notify,
    requests: AtomicU64,
}

impl App {
    /// The number of the next answered request, for logs.
    pub(crate) fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Answers for a store that did not do its part; the cause goes to the log only.
    pub(crate) fn store_failed(&self, request: &Inbound, error: &StoreError) -> Answer {
        let kind = match error {
            StoreError::Busy { .. } | StoreError::Closed => Fault::Busy,
            StoreError::Database { .. } => Fault::Internal,
        };
        match kind {
            // Many requests at once are no defect, and a line for each would make it worse.
            Fault::Busy => tracing::debug!(%error, "the store took no request"),
            _ => tracing::error!(%error, "the store failed a request"),
        }
        fault(request.uri.path(), &kind)
    }
}

/// A running server.
///
/// Dropped without [`Server::stop`], it ends soon on its own, but nobody waits for requests in flight.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    listening: watch::Sender<bool>,
    working: watch::Sender<bool>,
    listener: JoinHandle<()>,
    workers: Vec<(&'static str, JoinHandle<()>)>,
    store: StoreHandle,
}

/// A store without debug output of what it holds.
struct StoreHandle(SharedStore);

impl std::fmt::Debug for StoreHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

/// Starts a server with these parts.
///
/// # Errors
/// [`StartError`] when the address or the store is not to be had.
pub async fn start(config: Config, parts: Parts) -> Result<Server, StartError> {
    let listen = config.listen;
    let listen_failed = |cause| StartError::Listen { address: listen, cause };
    let socket = TcpListener::bind(listen).await.map_err(listen_failed)?;
    let address = socket.local_addr().map_err(listen_failed)?;
    let store = open(&config).await?;
    let store = match parts.store {
        Some(wrap) => wrap(store),
        None => store,
    };
    let app = Arc::new(assemble(config, parts, store.clone(), address)?);
    let (listening, stop_listening) = watch::channel(false);
    let (working, stop_working) = watch::channel(false);
    let listener = tokio::spawn(listener::serve(app.clone(), socket, stop_listening));
    let workers = vec![
        ("render worker", tokio::spawn(worker::run(app.clone(), stop_working.clone()))),
        ("courier", tokio::spawn(courier::run(app, stop_working))),
    ];
    Ok(Server { address, listening, working, listener, workers, store: StoreHandle(store) })
}

async fn open(config: &Config) -> Result<SharedStore, StoreError> {
    let store = match &config.store {
        StoreKind::Memory => memory::shared(),
        StoreKind::File(path) => sqlite::open(path, config.limits.pending_writes).await?,
    };
    // One process owns a store, so whoever held a lease is gone.
    transact(&*store, |_| Ok(((), vec![Write::ReleaseLeases]))).await?;
    Ok(store)
}

fn assemble(config: Config, parts: Parts, store: SharedStore, address: SocketAddr) -> Result<App, StoreError> {
    let (moved_to, waiting) = store::read(&*store, |view| Ok((view.clock()?, view.queue_length()?)))?;
    // A manual clock that was moved before must not jump back when the server starts again.
    let begin = moved_to.unwrap_or(0).max(real_now());
    Ok(App {
        store,
        clock: parts.clock.make(config.clock, begin),
        refresh_judges: rndrkit::rules::Judges { limiter: parts.limiter.clone(), quota: parts.quota.clone() },
        hook_judges: craftkit::rules::Judges {
            signature: parts.signature.clone(),
            manifest: parts.manifest.clone(),
            queue: parts.queue.clone(),
        },
        queue: QueueGauge::new(waiting, config.limits.queue_length),
        parts,
        limits: config.limits,
        control: config.control_token,
        public_base: config.public_base.map(|base| base.trim_end_matches('/').to_owned()),
        base_url: format!("http://{address}"),
        courier: Notify::new(),
        requests: AtomicU64::new(1),
    })
}

impl Server {
    /// The address listened on, with the port that was picked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The origin of both APIs, without a trailing slash.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops: takes no more connections, lets requests in flight finish, then ends the background work
    /// and closes the store.
    ///
    /// # Errors
    /// [`StopError`] when a task of the server had panicked; the rest is stopped all the same.
    pub async fn stop(self) -> Result<(), StopError> {
        let mut outcome = Ok(());
        let mut note = |task, joined: Result<(), tokio::task::JoinError>| {
            if joined.is_err_and(|error| error.is_panic()) {
                outcome = Err(StopError::Panicked { task });
            }
        };
        self.listening.send_replace(true);
        note("listener", self.listener.await);
        self.working.send_replace(true);
        for (task, handle) in self.workers {
            note(task, handle.await);
        }
        let store = self.store.0;
        let closed = tokio::task::spawn_blocking(move || store.close());
        note("store", closed.await);
        outcome
    }
}

/// The name of a clock's kind on the fixture protocol.
pub(crate) fn clock_name(kind: ClockKind) -> &'static str {
    match kind {
        ClockKind::System => "system",
        ClockKind::Manual => "manual",
    }
}
