//! The durable store: SQLite in WAL mode with `synchronous=FULL`.
//!
//! One thread writes. It takes all transactions that wait, runs them in one SQLite transaction, commits
//! once and only then lets their replies go, so many decisions share one flush to the disk. Reads use
//! connections of their own and see everything that was committed before they began.
//!
//! What decisions change is committed to a journal table first and kept in memory until it is folded into
//! its own tables (`journal`, `live`, `fold`); what the control plane changes goes to the tables at once.

mod apply;
mod cache;
mod fold;
mod journal;
mod live;
mod recent;
#[cfg(test)]
mod tests;
mod view;
mod writer;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{Read, SharedStore, Store, StoreError, Transaction, View};
use cache::Caches;
use live::{Changes, Live, Queue};
use view::SqliteView;
use writer::{Message, Writer};

/// The migrations, in order; `PRAGMA user_version` counts those that were run.
const MIGRATIONS: [&str; 3] = [
    include_str!("../../../migrations/0001_initial.sql"),
    include_str!("../../../migrations/0002_journal.sql"),
    include_str!("../../../migrations/0003_ring.sql"),
];

/// Settings of every connection.
const SETTINGS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
    PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 1500;";

/// Length of the write-ahead log between checkpoints: 1,500 pages and what one commit adds.
const LOG_BYTES: u64 = 8 * 1024 * 1024;

/// Page cache of the writer in KiB. The hot pages of a busy server do not fit SQLite's own 2 MiB.
const WRITER_CACHE: i32 = 8 * 1024;

/// Page cache of one reader in KiB.
const READER_CACHE: i32 = 2 * 1024;

/// How long a connection waits for another process that holds the file.
const BUSY: Duration = Duration::from_secs(5);

/// Prepared statements kept by a connection; more than there are.
const STATEMENTS: usize = 128;

/// Most read connections.
const MAX_READERS: usize = 4;

/// A store on a file.
pub struct SqliteStore {
    sender: SyncSender<Message>,
    pending: usize,
    readers: Vec<Mutex<Connection>>,
    next_reader: AtomicUsize,
    caches: Arc<Caches>,
    live: Arc<RwLock<Live>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Opens a store, made when missing, and runs the migrations it lacks.
///
/// # Errors
/// [`StoreError::Database`] when the file cannot be opened, is no store, or is of a later version.
pub async fn open(path: &Path, pending: usize) -> Result<SharedStore, StoreError> {
    let path = PathBuf::from(path);
    let runtime = tokio::runtime::Handle::current();
    let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&path, pending, &runtime));
    let store = opened.await.map_err(|_| StoreError::Closed)??;
    Ok(Arc::new(store))
}

impl SqliteStore {
    fn open(path: &Path, pending: usize, runtime: &tokio::runtime::Handle) -> Result<SqliteStore, StoreError> {
        let lock = lock(path)?;
        let mut connection = connect(path, WRITER_CACHE)?;
        migrate(&mut connection)?;
        preallocate(path).map_err(failed("preallocating the write-ahead log"))?;
        let journal = fold::replay(&connection)?;
        let live = Live { changes: Changes::default(), queue: Queue::load(&connection)? };
        let count = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_READERS);
        let mut readers = Vec::with_capacity(count);
        for _ in 0..count {
            let reader = connect(path, READER_CACHE)?;
            reader.pragma_update(None, "query_only", true).map_err(failed("setting up a reader"))?;
            readers.push(Mutex::new(reader));
        }
        let caches = Arc::new(Caches::default());
        let (sender, receiver) = sync_channel(pending);
        let shared = Arc::new(RwLock::new(live.clone()));
        let writer = Writer::new(connection, journal, caches.clone(), (live, shared.clone()), runtime)?;
        let thread = std::thread::Builder::new()
            .name("sqlite writer".to_owned())
            .spawn(move || {
                writer.run(&receiver);
                // Held until the last write is done.
                drop(lock);
            })
            .map_err(failed("starting the writer"))?;
        Ok(SqliteStore {
            sender,
            pending,
            readers,
            next_reader: AtomicUsize::new(0),
            caches,
            live: shared,
            writer: Mutex::new(Some(thread)),
        })
    }

    /// A reader that is free, or the next in turn.
    fn reader(&self) -> MutexGuard<'_, Connection> {
        let start = self.next_reader.fetch_add(1, Ordering::Relaxed);
        let count = self.readers.len();
        let free = (0..count).find_map(|i| self.readers[(start + i) % count].try_lock().ok());
        free.unwrap_or_else(|| self.readers[start % count].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store for SqliteStore {
    fn submit(&self, transaction: Box<dyn Transaction>) {
        match self.sender.try_send(Message::Run(transaction)) {
            Ok(()) => {}
            Err(TrySendError::Full(message)) => {
                message.refuse(&StoreError::Busy { limit: self.pending });
            }
            Err(TrySendError::Disconnected(message)) => message.refuse(&StoreError::Closed),
        }
    }

    fn read(&self, look: &mut dyn FnMut(&dyn View) -> Read<()>) -> Read<()> {
        let reader = self.reader();
        let view = SqliteView::of_reader(&reader, &self.caches, &self.live);
        let seen = look(&view);
        view.end()?;
        seen
    }

    fn close(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // If the thread is gone, there is nothing to close.
            let _ = self.sender.send(Message::Close);
            let _ = writer.join();
        }
    }
}

/// Makes sure that no other server has the store: it would take this one's leases for abandoned. The
/// lock is a file of its own, since closing a second handle of the database would drop SQLite's locks.
/// It ends with the process, however that ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let step = "locking the store";
    let file = File::create(&name).map_err(failed(step))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let cause = format!("another server has {} open", path.display());
            Err(StoreError::Database { step, cause })
        }
        Err(TryLockError::Error(cause)) => Err(failed(step)(cause)),
    }
}

fn connect(path: &Path, cache: i32) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed("opening the file"))?;
    connection.busy_timeout(BUSY).map_err(failed("setting up"))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Without this, SQLite compiles a statement anew whenever a value is bound that might change its
    // plan, which was every decision; it took most of the writer's time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(failed("setting up"))?;
    connection.execute_batch(SETTINGS).map_err(failed("setting up"))?;
    // Negative: KiB instead of pages.
    connection.pragma_update(None, "cache_size", -cache).map_err(failed("setting up"))?;
    Ok(connection)
}

/// Makes the write-ahead log as long as it will become, with zeros, which SQLite takes for the end of what is
/// in it. To flush a file that has grown costs about half as much again as to flush one that was overwritten.
fn preallocate(path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    let mut log = OpenOptions::new().append(true).create(true).open(name)?;
    let missing = LOG_BYTES.saturating_sub(log.metadata()?.len());
    let zeros = vec![0; usize::try_from(missing).unwrap_or(usize::MAX)];
    log.write_all(&zeros)?;
    log.sync_all()
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let step = failed("migrating");
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(&step)?;
    let found: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(&step)?;
    let Some(missing) = MIGRATIONS.get(found as usize..) else {
        let cause = format!("the file has schema {found}, this program knows {}", MIGRATIONS.len());
        return Err(StoreError::Database { step: "migrating", cause });
    };
    if missing.is_empty() {
        return Ok(());
    }
    // The second version wrote its journal as JSON.
    let unfolded = "SELECT EXISTS (SELECT 1 FROM journal)";
    if found == 2 && transaction.query_row(unfolded, [], |row| row.get(0)).map_err(&step)? {
        return Err(StoreError::Database { step: "migrating", cause: UNFOLDED.to_owned() });
    }
    for migration in missing {
        transaction.execute_batch(migration).map_err(&step)?;
    }
    let known = u32::try_from(MIGRATIONS.len()).expect("there are few migrations");
    transaction.pragma_update(None, "user_version", known).map_err(&step)?;
    transaction.commit().map_err(step)
}

/// Why a file cannot be migrated whose journal is not empty.
const UNFOLDED: &str = "the journal holds changes that only the version before this one can read: \
    start that version on the file and stop it with a signal, then start this one";

/// Turns a failure into an error that says what was being done.
fn failed<E: std::fmt::Display>(step: &'static str) -> impl Fn(E) -> StoreError {
    move |cause| StoreError::Database { step, cause: cause.to_string() }
}

/// Runs a statement without parameters or rows.
fn run(connection: &Connection, sql: &'static str) -> Result<(), StoreError> {
    let step = failed(sql);
    connection.prepare_cached(sql).map_err(&step)?.execute([]).map_err(step)?;
    Ok(())
}
