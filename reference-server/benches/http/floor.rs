//! A server that is durable and keeps no tables: its state in memory, and its changes flushed to the disk.
//!
//! One thread takes all transactions that wait, decides them in memory, flushes as many bytes as the SQLite store's
//! journal would, and then hands the replies to the runtime as the SQLite store does. Nothing is read back and no
//! table gets a row, so what is missing to the server without a store is what the disk and this way to it take.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use reference_server::store::records::Write;
use reference_server::store::{Read, SharedStore, Store, StoreError, Transaction, View};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::store::{self, Flush};

/// Transactions that may wait, and most in one flush; more than ever do.
const PENDING: usize = 8192;

/// Bytes of the journal's entry for a change, beside its text.
const ENTRY_BYTES: usize = 48;

/// Makes a store in memory durable by a preallocated log.
pub(crate) fn log(memory: SharedStore) -> SharedStore {
    durable(memory, store::log)
}

/// Makes a store in memory durable by pages of one SQLite table.
pub(crate) fn pages(memory: SharedStore) -> SharedStore {
    durable(memory, store::pages)
}

/// The file is the one that this process was told to use.
fn durable(memory: SharedStore, open: fn(&Path) -> Flush) -> SharedStore {
    let path = std::env::args().next_back().unwrap();
    let flush = open(Path::new(&path));
    let (sender, receiver) = sync_channel(PENDING);
    let (finished, mut batches) = unbounded_channel::<Vec<Decided>>();
    tokio::spawn(async move {
        while let Some(batch) = batches.recv().await {
            batch.into_iter().for_each(|decided| decided.transaction.finish(decided.outcome));
        }
    });
    let deciding = memory.clone();
    std::thread::spawn(move || write(&*deciding, flush, &receiver, &finished));
    Arc::new(Durable { memory, sender })
}

struct Durable {
    memory: SharedStore,
    sender: SyncSender<Box<dyn Transaction>>,
}

impl Store for Durable {
    fn submit(&self, transaction: Box<dyn Transaction>) {
        self.sender.try_send(transaction).unwrap_or_else(|_| panic!("too many transactions wait"));
    }

    fn read(&self, look: &mut dyn FnMut(&dyn View) -> Read<()>) -> Read<()> {
        self.memory.read(look)
    }

    fn close(&self) {
        self.memory.close();
    }
}

/// A transaction that waits for the disk.
struct Decided {
    transaction: Box<dyn Transaction>,
    outcome: Read<()>,
    bytes: usize,
}

/// A transaction that goes to a batch instead of telling its outcome.
struct Held {
    transaction: Option<Box<dyn Transaction>>,
    bytes: usize,
    batch: Arc<Mutex<Vec<Decided>>>,
}

impl Transaction for Held {
    fn decide(&mut self, view: &dyn View) -> Read<Vec<Write>> {
        let writes = self.transaction.as_mut().ok_or(StoreError::Closed)?.decide(view)?;
        self.bytes = writes.iter().map(entry).sum();
        Ok(writes)
    }

    fn finish(self: Box<Self>, outcome: Read<()>) {
        let Held { transaction, bytes, batch } = *self;
        batch.lock().unwrap().push(Decided { transaction: transaction.unwrap(), outcome, bytes });
    }
}

/// Length of a change in the journal; what only memory knows has none.
fn entry(write: &Write) -> usize {
    match write {
        Write::InsertRender(render) => ENTRY_BYTES + render.project.len() + render.slug.len() + render.data.len(),
        Write::AppendRefresh(refresh) => {
            ENTRY_BYTES + refresh.domain.len() + refresh.paths.iter().map(String::len).sum::<usize>()
        }
        Write::LeaseRenders { .. } | Write::ReleaseLeases => 0,
        _ => ENTRY_BYTES,
    }
}

fn write(
    memory: &dyn Store,
    mut flush: Flush,
    receiver: &Receiver<Box<dyn Transaction>>,
    finished: &UnboundedSender<Vec<Decided>>,
) {
    let decided = Arc::new(Mutex::new(Vec::new()));
    let mut content = Vec::new();
    let mut flushes = 0_u64;
    while let Ok(first) = receiver.recv() {
        for transaction in std::iter::once(first).chain(receiver.try_iter()).take(PENDING) {
            memory.submit(Box::new(Held { transaction: Some(transaction), bytes: 0, batch: decided.clone() }));
        }
        let batch = std::mem::take(&mut *decided.lock().unwrap());
        flushes += 1;
        // Never twice the same: SQLite leaves a page alone that already has what is written to it.
        let bytes = batch.iter().map(|decided| decided.bytes).sum();
        content.clear();
        content.extend(flushes.to_le_bytes().into_iter().cycle().take(bytes));
        flush(&content);
        // At the end the runtime may be gone before this thread is.
        let _ = finished.send(batch);
    }
}
