//! The store: reads a state, lets a pure function decide, writes what it decided, all in one transaction.
//!
//! A decision reads through a [`View`] and answers with a list of [`Write`]s; the store applies the list
//! as one. Refusals go the same way, since a refused request may count. The caller learns the outcome
//! after the commit, so a reply that was sent is durable where the store is.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod equivalence;
pub mod memory;
pub mod records;
pub mod sqlite;

use std::sync::Arc;

use tokio::sync::oneshot;
use uuid::Uuid;

use crate::clock::Millis;
use crate::craftkit::manifest::Manifest;
use crate::secret::Digest;
use records::{Delivery, Domain, QueuedRender, Render, Subscription, Template, Token, Write};

/// Why a transaction did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// More transactions wait than may.
    #[error("{limit} transactions wait already, which is the limit")]
    Busy {
        /// How many may wait.
        limit: usize,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The database refused or failed.
    #[error("the database failed at {step}: {cause}")]
    Database {
        /// What was being done.
        step: &'static str,
        /// What it said.
        cause: String,
    },
}

/// What a view answers.
pub type Read<T> = Result<T, StoreError>;

/// A consistent state, as of one moment.
pub trait View {
    /// The token with this hash and its domain, revoked ones included.
    fn token(&self, hash: &Digest) -> Read<Option<(Token, Domain)>>;
    /// The domain of this host.
    fn domain(&self, name: &str) -> Read<Option<Domain>>;
    /// The paths known on a domain, in order.
    fn known_paths(&self, name: &str) -> Read<Vec<String>>;
    /// All tokens of a domain, revoked ones included, oldest first.
    fn tokens(&self, domain: &str) -> Read<Vec<Token>>;
    /// What the limiter remembers under a key.
    fn window(&self, key: &str) -> Read<Option<Vec<i64>>>;
    /// Every path accepted on a domain since its creation, in order.
    fn queued_paths(&self, domain: &str) -> Read<Vec<String>>;
    /// The project that a key with this hash opens.
    fn project(&self, key_hash: &Digest) -> Read<Option<String>>;
    /// The template whose inbound token has this hash.
    fn template_by_token(&self, hash: &Digest) -> Read<Option<Template>>;
    /// The template of this slug.
    fn template(&self, slug: &str) -> Read<Option<Template>>;
    /// How often a template has changed; none when it is gone.
    fn revision(&self, template: Uuid) -> Read<Option<u64>>;
    /// What a template publishes first.
    fn draft(&self, template: Uuid) -> Read<Option<Arc<Manifest>>>;
    /// A version of a template.
    fn version(&self, template: &Template, number: u32) -> Read<Option<records::Version>>;
    /// A render.
    fn render(&self, id: Uuid) -> Read<Option<Render>>;
    /// The render that a project made under an idempotency key.
    fn render_by_key(&self, project: &str, key: &str) -> Read<Option<Render>>;
    /// Renders on the queue whose lease is over at `real_now`, in the order of their ids, which is that
    /// of their time.
    fn waiting_renders(&self, real_now: Millis, limit: u32) -> Read<Vec<QueuedRender>>;
    /// How many renders are on the queue, leased ones included.
    fn queue_length(&self) -> Read<usize>;
    /// Subscriptions of a project.
    fn subscriptions(&self, project: &str) -> Read<Vec<Subscription>>;
    /// Pending deliveries due at `now` whose lease is over at `real_now`, most overdue first.
    fn due_deliveries(&self, now: Millis, real_now: Millis, limit: u32) -> Read<Vec<Delivery>>;
    /// When the next pending delivery that nobody holds is due.
    fn next_due(&self, real_now: Millis) -> Read<Option<Millis>>;
    /// How far a manual clock was moved before.
    fn clock(&self) -> Read<Option<Millis>>;
}

/// One transaction: a decision and what to do with its outcome.
pub trait Transaction: Send {
    /// Reads the state and decides. May run again if the store has to retry.
    ///
    /// # Errors
    /// Whatever reading failed with; then nothing is written.
    fn decide(&mut self, view: &dyn View) -> Read<Vec<Write>>;

    /// Told once, after the commit or the failure.
    fn finish(self: Box<Self>, outcome: Read<()>);
}

/// Keeps state; every implementation passes the same contract suite.
pub trait Store: Send + Sync {
    /// Queues a transaction; its `finish` is called exactly once, also when it cannot run.
    fn submit(&self, transaction: Box<dyn Transaction>);

    /// Reads one consistent state that holds everything acknowledged before the call.
    ///
    /// # Errors
    /// Whatever reading failed with.
    fn read(&self, look: &mut dyn FnMut(&dyn View) -> Read<()>) -> Read<()>;

    /// Finishes what is queued and closes; later transactions get [`StoreError::Closed`].
    fn close(&self);
}

/// Runs one transaction and gives its reply once it is committed.
///
/// # Errors
/// [`StoreError`] when it was not committed, or when that is not known.
pub async fn transact<R, F>(store: &dyn Store, decide: F) -> Read<R>
where
    R: Send + 'static,
    F: FnMut(&dyn View) -> Read<(R, Vec<Write>)> + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    store.submit(Box::new(Task { decide, reply: None, sender }));
    receiver.await.unwrap_or(Err(StoreError::Closed))
}

/// Reads a value from one consistent state.
///
/// # Errors
/// Whatever reading failed with.
pub fn read<R>(store: &dyn Store, mut look: impl FnMut(&dyn View) -> Read<R>) -> Read<R> {
    let mut found = None;
    store.read(&mut |view| {
        found = Some(look(view)?);
        Ok(())
    })?;
    found.ok_or(StoreError::Closed)
}

struct Task<R, F> {
    decide: F,
    reply: Option<R>,
    sender: oneshot::Sender<Read<R>>,
}

impl<R, F> Transaction for Task<R, F>
where
    R: Send,
    F: FnMut(&dyn View) -> Read<(R, Vec<Write>)> + Send,
{
    fn decide(&mut self, view: &dyn View) -> Read<Vec<Write>> {
        let (reply, writes) = (self.decide)(view)?;
        self.reply = Some(reply);
        Ok(writes)
    }

    fn finish(self: Box<Self>, outcome: Read<()>) {
        let Task { reply, sender, .. } = *self;
        // The caller may have given up waiting; what was committed stays committed.
        let _ = sender.send(outcome.and_then(|()| reply.ok_or(StoreError::Closed)));
    }
}

/// A store behind a pointer, as the server holds it.
pub type SharedStore = Arc<dyn Store>;
