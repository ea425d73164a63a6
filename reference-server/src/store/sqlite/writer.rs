//! The writer thread: group commit, and replies that wake the runtime once a batch.

use std::cell::RefCell;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use uuid::Uuid;

use super::apply::apply;
use super::cache::{Caches, changes_templates};
use super::fold::fold;
use super::journal::{Changeset, Position};
use super::live::{Changes, Live};
use super::recent::Recent;
use super::view::SqliteView;
use super::{Read, StoreError, Transaction, View as _, failed, run};
use crate::store::records::{Render, Write};

/// Most transactions in one commit. It bounds how long the first of a batch waits for the last.
const MAX_BATCH: usize = 512;

/// The journal is folded once it has this many pages, of 4 KiB each. It bounds what a start has to replay, and
/// how long the decisions that come meanwhile have to wait.
const JOURNAL_PAGES: i64 = 512;

/// The journal is folded once nothing has come for this long.
const IDLE: Duration = Duration::from_millis(200);

/// What the thread is told.
pub(super) enum Message {
    /// Run this.
    Run(Box<dyn Transaction>),
    /// Finish what came before, then end.
    Close,
}

impl Message {
    /// Tells a transaction that it will not run.
    pub(super) fn refuse(self, error: &StoreError) {
        if let Message::Run(transaction) = self {
            transaction.finish(Err(error.clone()));
        }
    }
}

type Finished = Vec<(Box<dyn Transaction>, Read<()>)>;

/// The thread's own state.
pub(super) struct Writer {
    connection: Connection,
    caches: Arc<Caches>,
    recent: RefCell<Recent>,
    /// With what the batch under way has changed.
    live: Live,
    /// What readers see. Tables are changed under its lock, so that tables and changes fit together.
    committed: Arc<RwLock<Live>>,
    journal: Position,
    /// The newest render that is in its table: one that is newer still cannot be there.
    newest: Option<Uuid>,
    finished: UnboundedSender<Finished>,
}

/// What a transaction of SQLite has done so far.
#[derive(Default)]
struct Batch {
    /// Changes for the journal.
    changeset: Changeset,
    /// All changes, in order.
    writes: Vec<Write>,
    /// How many of them had come when everything before was folded, which changes tables; and where the journal
    /// goes on from there.
    folded: Option<(usize, Position)>,
    /// Whether cached templates are outdated.
    templates: bool,
}

impl Writer {
    /// A writer whose replies are handed out on this runtime.
    ///
    /// Waking each waiting request from this thread would cost a system call or a contended lock a
    /// request. Handing the whole batch to one task costs one; that task then wakes the requests from
    /// inside the runtime, which is cheap.
    pub(super) fn new(
        connection: Connection,
        journal: Position,
        caches: Arc<Caches>,
        (live, committed): (Live, Arc<RwLock<Live>>),
        runtime: &tokio::runtime::Handle,
    ) -> Read<Writer> {
        let newest = newest_render(&connection)?;
        let (finished, mut batches) = unbounded_channel::<Finished>();
        runtime.spawn(async move {
            while let Some(batch) = batches.recv().await {
                tell(batch);
            }
        });
        Ok(Writer { connection, caches, recent: RefCell::default(), live, committed, journal, newest, finished })
    }

    /// Works until told to close, or until nobody can tell it anything any more.
    pub(super) fn run(mut self, receiver: &Receiver<Message>) {
        let mut open = true;
        // Whether the last batch had several transactions, so that others are likely to be on their way.
        let mut crowded = false;
        while open {
            let first = match self.next(receiver) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => {
                    self.fold_all();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if crowded {
                // Whoever is about to come shall come along: fewer commits with more in each.
                std::thread::yield_now();
            }
            let mut batch = Vec::new();
            for message in std::iter::once(first).chain(receiver.try_iter()).take(MAX_BATCH) {
                match message {
                    Message::Run(transaction) => batch.push(transaction),
                    Message::Close => {
                        open = false;
                        break;
                    }
                }
            }
            crowded = batch.len() > 1;
            if !batch.is_empty() {
                self.commit(batch);
            }
            if self.journal.pages >= JOURNAL_PAGES {
                self.fold_all();
            }
        }
        self.fold_all();
        for message in receiver.try_iter() {
            message.refuse(&StoreError::Closed);
        }
    }

    fn next(&self, receiver: &Receiver<Message>) -> Result<Message, RecvTimeoutError> {
        if self.journal.pages == 0 {
            return receiver.recv().map_err(|_| RecvTimeoutError::Disconnected);
        }
        receiver.recv_timeout(IDLE)
    }

    fn commit(&mut self, mut batch: Vec<Box<dyn Transaction>>) {
        let outcomes = match self.together(&mut batch) {
            Ok(outcomes) => outcomes,
            // Rare: one transaction in the batch cannot be applied, or the commit failed. Nothing of the
            // batch was written, so each runs again alone and only the culprit fails. The alternative, a
            // savepoint for every transaction, would make the common case copy pages for nothing.
            Err(error) => {
                tracing::warn!(%error, transactions = batch.len(), "a batch was rolled back");
                batch.iter_mut().map(|transaction| self.alone(transaction)).collect()
            }
        };
        let finished = batch.into_iter().zip(outcomes).collect();
        if let Err(unsent) = self.finished.send(finished) {
            tell(unsent.0);
        }
    }

    fn together(&mut self, transactions: &mut [Box<dyn Transaction>]) -> Read<Vec<Read<()>>> {
        self.transact(|writer, batch| writer.decide(transactions, batch))
    }

    fn alone(&mut self, transaction: &mut Box<dyn Transaction>) -> Read<()> {
        let outcomes = self.together(std::slice::from_mut(transaction))?;
        outcomes.into_iter().next().unwrap_or(Err(StoreError::Closed))
    }

    /// Folds the journal, if there is anything in it. Failing is no harm: the changes stay where they are.
    fn fold_all(&mut self) {
        if self.journal.pages == 0 {
            return;
        }
        if let Err(error) = self.transact(Writer::fold) {
            tracing::error!(%error, "the journal was not folded into the tables");
        }
    }

    /// Works inside one SQLite transaction; an error means that nothing was written.
    fn transact<T>(&mut self, work: impl FnOnce(&mut Writer, &mut Batch) -> Read<T>) -> Read<T> {
        run(&self.connection, "BEGIN IMMEDIATE")?;
        let mut batch = Batch::default();
        let outcome = work(self, &mut batch).and_then(|value| {
            self.publish(batch)?;
            Ok(value)
        });
        if outcome.is_err() {
            self.caches.rolled_back();
            self.recent.borrow_mut().forget();
            self.live = self.committed.read().unwrap_or_else(PoisonError::into_inner).clone();
            if !self.connection.is_autocommit() {
                run(&self.connection, "ROLLBACK")?;
            }
        }
        outcome
    }

    /// A transaction that fails while it reads has written nothing and fails alone; one that fails while
    /// it writes takes the batch with it.
    fn decide(&mut self, transactions: &mut [Box<dyn Transaction>], batch: &mut Batch) -> Read<Vec<Read<()>>> {
        let mut outcomes = Vec::with_capacity(transactions.len());
        for transaction in transactions {
            let decided = transaction.decide(&self.view());
            match decided {
                Ok(writes) => {
                    for write in writes {
                        self.write(write, batch)?;
                    }
                    outcomes.push(Ok(()));
                }
                Err(error) => outcomes.push(Err(error)),
            }
        }
        Ok(outcomes)
    }

    fn view(&self) -> SqliteView<'_> {
        SqliteView::of_writer(&self.connection, &self.caches, &self.live, &self.recent)
    }

    fn write(&mut self, write: Write, batch: &mut Batch) -> Read<()> {
        if let Write::InsertRender(render) = &write {
            self.refuse_known(render)?;
        }
        if batch.changeset.add(&write) {
            self.live.follow(write.clone());
        } else {
            self.change_tables(&write, batch)?;
        }
        batch.writes.push(write);
        Ok(())
    }

    /// What a table cannot hold must not get into the journal, which could then never be folded.
    fn refuse_known(&self, render: &Render) -> Read<()> {
        let view = self.view();
        let repeated = match &render.idempotency_key {
            Some(key) => view.render_by_key(&render.project, key)?.is_some(),
            None => false,
        };
        // Ids rise with time: nearly every new one is newer than any in the table, which need not be asked then.
        let known = self.live.changes.renders.contains_key(&render.id)
            || self.newest.is_some_and(|newest| render.id <= newest) && view.render(render.id)?.is_some();
        if repeated || known {
            let cause = format!("the render {} or its idempotency key is there already", render.id);
            return Err(StoreError::Database { step: "adding a render", cause });
        }
        Ok(())
    }

    fn change_tables(&mut self, write: &Write, batch: &mut Batch) -> Read<()> {
        if !matches!(write, Write::LeaseRenders { .. }) {
            // Older changes first.
            self.fold(batch)?;
            apply(&self.connection, write)?;
            batch.templates |= changes_templates(write);
            self.recent.borrow_mut().forget();
        }
        self.live.queue.follow(write);
        Ok(())
    }

    fn fold(&mut self, batch: &mut Batch) -> Read<()> {
        let mut journal = batch.folded.map_or(self.journal, |(_, journal)| journal);
        if !self.live.changes.is_empty() {
            journal = fold(&self.connection, &self.live.changes, journal)?;
            let changes = std::mem::take(&mut self.live.changes);
            // Should the batch be rolled back, this is newer than what the table has, which costs a look now and then.
            self.newest = self.newest.max(changes.renders.into_keys().max());
            self.recent.borrow_mut().forget();
            batch.changeset = Changeset::default();
        }
        batch.folded = Some((batch.writes.len(), journal));
        Ok(())
    }

    /// Commits, and only then lets readers see it.
    fn publish(&mut self, batch: Batch) -> Read<()> {
        let Batch { changeset, writes, folded, templates } = batch;
        let journal = folded.map_or(self.journal, |(_, journal)| journal);
        let journal = journal.append(&self.connection, &changeset)?;
        let mut committed = if folded.is_some() {
            let committed = lock(&self.committed);
            run(&self.connection, "COMMIT")?;
            committed
        } else {
            // No table changes, so nobody has to wait for the disk.
            run(&self.connection, "COMMIT")?;
            lock(&self.committed)
        };
        self.caches.committed(templates);
        if folded.is_some() {
            committed.changes = Changes::default();
        }
        self.journal = journal;
        for (place, write) in writes.into_iter().enumerate() {
            if folded.is_none_or(|(folded, _)| place >= folded) {
                committed.follow(write);
            } else {
                committed.queue.follow(&write);
            }
        }
        Ok(())
    }
}

fn newest_render(connection: &Connection) -> Read<Option<Uuid>> {
    let step = failed("looking for the newest render");
    let sql = "SELECT id FROM render ORDER BY id DESC LIMIT 1";
    connection.query_row(sql, [], |row| Ok(Uuid::from_bytes(row.get(0)?))).optional().map_err(step)
}

fn lock(live: &RwLock<Live>) -> RwLockWriteGuard<'_, Live> {
    live.write().unwrap_or_else(PoisonError::into_inner)
}

fn tell(batch: Finished) {
    for (transaction, outcome) in batch {
        transaction.finish(outcome);
    }
}
