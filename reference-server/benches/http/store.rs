//! The store without a server, beside the least that makes decisions durable: a preallocated log.
//!
//! In between stands the least that SQLite can do: the log's own loop, but each batch is committed as pages of one
//! table, which are written over again and again.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use reference_server::store::records::{Domain, Plan, Refresh, Usage, Write};
use reference_server::store::{sqlite, transact};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Bytes of a row beside its counter.
pub(crate) const ROW_BYTES: usize = 190;
/// Counters that decisions are spread over.
const COUNTERS: usize = 100;
/// Decisions that may wait; more than ever do.
const PENDING: usize = 8192;
/// Most decisions in one commit, as in the store.
const MAX_BATCH: usize = 512;
/// Size of the log; it wraps around.
const LOG_BYTES: u64 = 64 * 1024 * 1024;
/// Length of SQLite's own log, as in the store.
const WAL_BYTES: usize = 8 * 1024 * 1024;
/// Pages of the journal, and what one holds, as in the store.
const JOURNAL_PAGES: u32 = 512;
const CONTENT_BYTES: u32 = 4056;

/// Runs tasks that each make one decision after the other; gives decisions a second.
async fn run<F: Future<Output = ()> + Send + 'static>(
    tasks: usize,
    length: Duration,
    decide: impl Fn(usize) -> F + Clone + Send + 'static,
) -> f64 {
    let began = Instant::now();
    let mut running = JoinSet::new();
    for task in 0..tasks {
        let decide = decide.clone();
        running.spawn(async move {
            let mut made = 0_usize;
            while began.elapsed() < length {
                decide((task * COUNTERS / tasks + made) % COUNTERS).await;
                made += 1;
            }
            made
        });
    }
    let made: usize = running.join_all().await.into_iter().sum();
    made as f64 / began.elapsed().as_secs_f64()
}

fn name(counter: usize) -> String {
    format!("site-{counter}.example")
}

fn insert_domain(name: &str) -> Write {
    let domain = Domain {
        name: name.to_owned(),
        plan: Plan::AgencyPlus,
        active: true,
        monthly_render_limit: None,
        usage: Usage { renders_used: 0, period_start: 0 },
        created_at: 0,
    };
    Write::InsertDomain { domain, known_paths: Vec::new() }
}

/// Decisions a second of the SQLite store.
pub(crate) async fn sqlite(path: &Path, tasks: usize, length: Duration) -> f64 {
    let store = sqlite::open(path, PENDING).await.unwrap();
    let domains: Vec<Write> = (0..COUNTERS).map(|counter| insert_domain(&name(counter))).collect();
    transact(&*store, move |_| Ok(((), domains.clone()))).await.unwrap();
    let deciding = store.clone();
    let rate = run(tasks, length, move |counter| {
        let store = deciding.clone();
        async move {
            let domain = name(counter);
            let row = "/".repeat(ROW_BYTES);
            let decided = transact(&*store, move |view| {
                let count = view.window(&domain)?.and_then(|state| state.last().copied()).unwrap_or(0);
                let counted = Write::PutWindow { key: domain.clone(), state: vec![0, count + 1] };
                let refresh = Refresh { domain: domain.clone(), accepted_at: 0, full: false, paths: vec![row.clone()] };
                Ok((count, vec![counted, Write::AppendRefresh(refresh)]))
            });
            decided.await.unwrap();
        }
    })
    .await;
    tokio::task::spawn_blocking(move || store.close()).await.unwrap();
    rate
}

/// A decision on its way into the log.
struct Entry {
    counter: String,
    row: String,
    reply: oneshot::Sender<u64>,
}

type Done = Vec<(oneshot::Sender<u64>, u64)>;

/// Makes a batch durable.
pub(crate) type Flush = Box<dyn FnMut(&[u8]) + Send>;

/// A log that is written once beforehand, overwritten from then on, and flushed once a batch.
pub(crate) fn log(path: &Path) -> Flush {
    let file = preallocated(path);
    let mut at = 0;
    Box::new(move |batch| {
        if at + batch.len() as u64 > LOG_BYTES {
            at = 0;
        }
        file.write_all_at(batch, at).unwrap();
        file.sync_data().unwrap();
        at += batch.len() as u64;
    })
}

/// A table whose rows are as long as a page and are overwritten in turn, with the store's settings.
pub(crate) fn pages(path: &Path) -> Flush {
    let database = rusqlite::Connection::open(path).unwrap();
    let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 1500; \
        CREATE TABLE journal (page INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT;";
    database.execute_batch(settings).unwrap();
    let run = |database: &rusqlite::Connection, sql, params: &[&dyn rusqlite::ToSql]| {
        database.prepare_cached(sql).unwrap().execute(params).unwrap();
    };
    for page in 0..JOURNAL_PAGES {
        run(&database, "INSERT INTO journal VALUES (?1, zeroblob(?2))", &[&page, &CONTENT_BYTES]);
    }
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    let mut wal = OpenOptions::new().append(true).open(name).unwrap();
    wal.write_all(&vec![0; WAL_BYTES]).unwrap();
    wal.sync_all().unwrap();
    let mut page = 0;
    Box::new(move |batch| {
        run(&database, "BEGIN IMMEDIATE", &[]);
        for part in batch.chunks(CONTENT_BYTES as usize) {
            let mut content = part.to_vec();
            content.resize(CONTENT_BYTES as usize, 0);
            run(&database, "UPDATE journal SET content = ?2 WHERE page = ?1", &[&page, &content]);
            page = (page + 1) % JOURNAL_PAGES;
        }
        run(&database, "COMMIT", &[]);
    })
}

/// Decisions a second of a map whose changes are flushed once a batch, with the store's own way of handing out replies.
pub(crate) async fn floor(flush: Flush, tasks: usize, length: Duration) -> f64 {
    let (sender, receiver) = sync_channel(PENDING);
    let (done, mut batches) = unbounded_channel::<Done>();
    tokio::spawn(async move {
        while let Some(batch) = batches.recv().await {
            batch.into_iter().for_each(|(reply, count)| reply.send(count).unwrap());
        }
    });
    let writer = std::thread::spawn(move || write(flush, &receiver, &done));
    let sender: Arc<SyncSender<Entry>> = Arc::new(sender);
    let rate = run(tasks, length, move |counter| {
        let sender = sender.clone();
        async move {
            let (reply, replied) = oneshot::channel();
            let entry = Entry { counter: name(counter), row: "/".repeat(ROW_BYTES), reply };
            sender.try_send(entry).unwrap_or_else(|_| panic!("the log's queue is full"));
            replied.await.unwrap();
        }
    })
    .await;
    tokio::task::spawn_blocking(move || writer.join().unwrap()).await.unwrap();
    rate
}

/// Written once, so that later writes change no metadata.
fn preallocated(path: &Path) -> File {
    let mut file = File::create(path).unwrap();
    let zeros = vec![0; 1024 * 1024];
    for _ in 0..LOG_BYTES / zeros.len() as u64 {
        file.write_all(&zeros).unwrap();
    }
    file.sync_all().unwrap();
    file
}

fn write(mut flush: Flush, receiver: &Receiver<Entry>, done: &UnboundedSender<Done>) {
    let mut counters: HashMap<String, u64> = HashMap::new();
    let mut buffer = Vec::new();
    while let Ok(first) = receiver.recv() {
        let mut batch = Vec::new();
        buffer.clear();
        for entry in std::iter::once(first).chain(receiver.try_iter()).take(MAX_BATCH) {
            let Entry { counter, row, reply } = entry;
            buffer.extend_from_slice(counter.as_bytes());
            buffer.extend_from_slice(row.as_bytes());
            let count = counters.entry(counter).or_insert(0);
            *count += 1;
            buffer.extend_from_slice(&count.to_le_bytes());
            batch.push((reply, *count));
        }
        flush(&buffer);
        done.send(batch).unwrap();
    }
}
