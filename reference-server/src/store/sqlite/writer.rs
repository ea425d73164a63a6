//! The writer thread: group commit, and replies that wake the runtime once a batch.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use rusqlite::Connection;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::apply::apply;
use super::cache::{Caches, changes_templates};
use super::recent::Recent;
use super::view::SqliteView;
use super::{Read, StoreError, Transaction, run};

/// Most transactions in one commit. It bounds how long the first of a batch waits for the last.
const MAX_BATCH: usize = 512;

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
    finished: UnboundedSender<Finished>,
}

impl Writer {
    /// A writer whose replies are handed out on this runtime.
    ///
    /// Waking each waiting request from this thread would cost a system call or a contended lock a
    /// request. Handing the whole batch to one task costs one; that task then wakes the requests from
    /// inside the runtime, which is cheap.
    pub(super) fn new(connection: Connection, caches: Arc<Caches>, runtime: &tokio::runtime::Handle) -> Writer {
        let (finished, mut batches) = unbounded_channel::<Finished>();
        runtime.spawn(async move {
            while let Some(batch) = batches.recv().await {
                tell(batch);
            }
        });
        Writer { connection, caches, recent: RefCell::default(), finished }
    }

    /// Works until told to close, or until nobody can tell it anything any more.
    pub(super) fn run(self, receiver: &Receiver<Message>) {
        let mut open = true;
        while open {
            let Ok(first) = receiver.recv() else { break };
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
            if !batch.is_empty() {
                self.commit(batch);
            }
        }
        for message in receiver.try_iter() {
            message.refuse(&StoreError::Closed);
        }
    }

    fn commit(&self, mut batch: Vec<Box<dyn Transaction>>) {
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

    /// Runs a batch in one SQLite transaction; an error means that none of it was written.
    fn together(&self, batch: &mut [Box<dyn Transaction>]) -> Read<Vec<Read<()>>> {
        run(&self.connection, "BEGIN IMMEDIATE")?;
        let mut changed = false;
        let outcome = self.decide(batch, &mut changed).and_then(|outcomes| {
            run(&self.connection, "COMMIT")?;
            self.caches.committed(changed);
            Ok(outcomes)
        });
        if outcome.is_err() {
            self.caches.rolled_back();
            self.recent.borrow_mut().forget();
            if !self.connection.is_autocommit() {
                run(&self.connection, "ROLLBACK")?;
            }
        }
        outcome
    }

    /// A transaction that fails while it reads has written nothing and fails alone; one that fails while
    /// it writes takes the batch with it. `changed` tells whether cached templates are outdated.
    fn decide(&self, batch: &mut [Box<dyn Transaction>], changed: &mut bool) -> Read<Vec<Read<()>>> {
        let view = SqliteView::of_writer(&self.connection, &self.caches, &self.recent);
        let mut outcomes = Vec::with_capacity(batch.len());
        for transaction in batch {
            match transaction.decide(&view) {
                Ok(writes) => {
                    for write in &writes {
                        apply(&self.connection, write)?;
                        self.recent.borrow_mut().follow(write);
                        *changed |= changes_templates(write);
                    }
                    outcomes.push(Ok(()));
                }
                Err(error) => outcomes.push(Err(error)),
            }
        }
        Ok(outcomes)
    }

    fn alone(&self, transaction: &mut Box<dyn Transaction>) -> Read<()> {
        let outcomes = self.together(std::slice::from_mut(transaction))?;
        outcomes.into_iter().next().unwrap_or(Err(StoreError::Closed))
    }
}

fn tell(batch: Finished) {
    for (transaction, outcome) in batch {
        transaction.finish(outcome);
    }
}
