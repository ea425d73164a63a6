//! Races: counts and charges that are read in one step and written in another.
//!
//! All are made by stores that do a transaction in pieces, with a pause in between in which others run,
//! as a server does that asks a database twice.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;

use crate::deviations::Deviation;
use crate::parts::{Admission, Attempt, Limiter, Parts};
use crate::rndrkit::limiter::{FixedWindow, LIMIT};
use crate::store::records::Write;
use crate::store::{Read, SharedStore, Store, StoreError, Transaction, View};

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] =
    &[COUNT, COUNT_BY_TOKEN, LAST_PLACE, FIRST_REQUEST, ROLLOVER, CONFLICT, CHARGE, LAST_CHARGE];

const CEILING: &[&str] = &["rndrkit.rate.concurrent-ceiling"];
const QUOTA: &[&str] = &["rndrkit.quota.concurrent-ceiling"];

/// From reading to writing: about what a database in the next room takes.
const PAUSE: Duration = Duration::from_millis(3);

const COUNT: Deviation = Deviation {
    name: "race-count",
    defect: "reads the count, decides, and writes the count later",
    why: "a query and an update are two statements",
    turns_red: CEILING,
    consequences: &[],
    change: |parts| Parts { store: Some(|store| late(store, |_, write| window(write).is_some())), ..parts },
};

const COUNT_BY_TOKEN: Deviation = Deviation {
    name: "race-count-by-token",
    defect: "keeps requests with one token apart from each other, but not those with different tokens",
    why: "the lock is taken on the token's row",
    turns_red: CEILING,
    consequences: &[],
    change: |parts| {
        let limiter = Arc::new(Tagged(FixedWindow::documented()));
        Parts { limiter, store: Some(locked_by_token), ..parts }
    },
};

const LAST_PLACE: Deviation = Deviation {
    name: "race-last-place",
    defect: "writes the count later when it admits the last request of a window",
    why: "what ends the window is done by a path of its own, which has no lock",
    turns_red: CEILING,
    consequences: &[],
    change: |parts| Parts { store: Some(|store| late(store, |_, write| count(write) == Some(LIMIT))), ..parts },
};

const FIRST_REQUEST: Deviation = Deviation {
    name: "race-first-request",
    defect: "writes a window later when it begins one for a domain that had none",
    why: "a row that is missing cannot be locked, and the insert replaces what is there",
    turns_red: CEILING,
    consequences: &[],
    change: |parts| Parts {
        store: Some(|store| late(store, |view, write| begins(write) && !has_window(view, write))),
        ..parts
    },
};

const ROLLOVER: Deviation = Deviation {
    name: "race-rollover",
    defect: "writes a window later when it begins one in the place of one that is over",
    why: "the count is increased atomically, but set back by a statement of its own",
    turns_red: CEILING,
    consequences: &[],
    change: |parts| Parts {
        store: Some(|store| late(store, |view, write| begins(write) && has_window(view, write))),
        ..parts
    },
};

const CONFLICT: Deviation = Deviation {
    name: "race-conflict",
    defect: "fails when another request for the domain came in between",
    why: "the database notices the conflict, and nobody tries again",
    turns_red: &["rndrkit.rate.concurrent-exact"],
    consequences: &[],
    change: |parts| Parts { store: Some(optimistic), ..parts },
};

const CHARGE: Deviation = Deviation {
    name: "race-charge",
    defect: "reads what is used of the quota, decides, and writes the charge later",
    why: "a query and an update are two statements",
    turns_red: QUOTA,
    consequences: &[],
    change: |parts| Parts {
        store: Some(|store| late(store, |_, write| matches!(write, Write::SetUsage { .. }))),
        ..parts
    },
};

const LAST_CHARGE: Deviation = Deviation {
    name: "race-last-charge",
    defect: "writes the charge later when it takes the last render of the month",
    why: "the mail that tells the owner is sent before the charge is written",
    turns_red: QUOTA,
    consequences: &[],
    change: |parts| Parts { store: Some(|store| late(store, is_last_charge)), ..parts },
};

fn is_last_charge(view: &dyn View, write: &Write) -> bool {
    let Write::SetUsage { domain, usage } = write else { return false };
    let limit = view.domain(domain).ok().flatten().and_then(|domain| domain.monthly_render_limit);
    limit.is_some_and(|limit| usage.renders_used >= limit)
}

/// Key and state of a window that is written.
fn window(write: &Write) -> Option<(&str, &[i64])> {
    match write {
        Write::PutWindow { key, state } => Some((key, state)),
        _ => None,
    }
}

/// How many requests a window that is written has admitted.
fn count(write: &Write) -> Option<i64> {
    window(write).and_then(|(_, state)| state.get(1).copied())
}

fn begins(write: &Write) -> bool {
    count(write) == Some(1)
}

fn has_window(view: &dyn View, write: &Write) -> bool {
    window(write).is_some_and(|(key, _)| matches!(view.window(key), Ok(Some(_))))
}

/// Picks the changes that are written late.
type IsLate = fn(&dyn View, &Write) -> bool;

fn late(store: SharedStore, is_late: IsLate) -> SharedStore {
    Arc::new(Late { inner: store, runtime: Handle::current(), is_late })
}

/// A store that writes some of a transaction's changes after a pause, in a second transaction.
#[derive(Clone)]
struct Late {
    inner: SharedStore,
    runtime: Handle,
    is_late: IsLate,
}

impl Store for Late {
    fn submit(&self, transaction: Box<dyn Transaction>) {
        self.inner.submit(Box::new(First { transaction, late: Vec::new(), store: self.clone() }));
    }

    fn read(&self, look: &mut dyn FnMut(&dyn View) -> Read<()>) -> Read<()> {
        self.inner.read(look)
    }

    fn close(&self) {
        self.inner.close();
    }
}

/// The first step: decides, and writes what is not late.
struct First {
    transaction: Box<dyn Transaction>,
    late: Vec<Write>,
    store: Late,
}

impl Transaction for First {
    fn decide(&mut self, view: &dyn View) -> Read<Vec<Write>> {
        let writes = self.transaction.decide(view)?;
        let (late, prompt) = writes.into_iter().partition(|write| (self.store.is_late)(view, write));
        self.late = late;
        Ok(prompt)
    }

    fn finish(self: Box<Self>, outcome: Read<()>) {
        let First { transaction, late, store } = *self;
        if late.is_empty() || outcome.is_err() {
            return transaction.finish(outcome);
        }
        store.runtime.clone().spawn(async move {
            tokio::time::sleep(PAUSE).await;
            store.inner.submit(Box::new(Second { transaction, writes: late }));
        });
    }
}

/// The second step: writes what was decided in the first, whatever has happened since.
struct Second {
    transaction: Box<dyn Transaction>,
    writes: Vec<Write>,
}

impl Transaction for Second {
    fn decide(&mut self, _view: &dyn View) -> Read<Vec<Write>> {
        Ok(self.writes.clone())
    }

    fn finish(self: Box<Self>, outcome: Read<()>) {
        self.transaction.finish(outcome);
    }
}

/// The documented limiter; it notes with each window which token's request was counted last.
struct Tagged(FixedWindow);

impl Limiter for Tagged {
    fn key(&self, attempt: &Attempt<'_>) -> String {
        self.0.key(attempt)
    }

    fn admit(&self, remembered: Option<&[i64]>, attempt: &Attempt<'_>) -> Admission {
        let window = remembered.and_then(|state| state.get(..2));
        let mut hasher = DefaultHasher::new();
        attempt.token.hash(&mut hasher);
        let tag = i64::from_ne_bytes(hasher.finish().to_ne_bytes());
        let Admission { admitted, state } = self.0.admit(window, attempt);
        Admission { admitted, state: state.map(|window| [window, vec![tag]].concat()) }
    }
}

fn locked_by_token(store: SharedStore) -> SharedStore {
    let late = Late { inner: store, runtime: Handle::current(), is_late: |_, write| window(write).is_some() };
    Arc::new(Locked { late, locks: Mutex::default() })
}

/// A store that writes windows late, one transaction of a token at a time.
struct Locked {
    late: Late,
    locks: Mutex<HashMap<i64, Arc<tokio::sync::Mutex<()>>>>,
}

impl Store for Locked {
    fn submit(&self, mut transaction: Box<dyn Transaction>) {
        let tag = foreseen(&self.late, &mut *transaction, |_, window| window.get(2).copied());
        let Some(tag) = tag else { return self.late.submit(transaction) };
        let lock = self.locks.lock().unwrap_or_else(PoisonError::into_inner).entry(tag).or_default().clone();
        let late = self.late.clone();
        self.late.runtime.spawn(async move {
            let guard = lock.lock_owned().await;
            late.submit(Box::new(Holding { transaction, _guard: guard }));
        });
    }

    fn read(&self, look: &mut dyn FnMut(&dyn View) -> Read<()>) -> Read<()> {
        self.late.read(look)
    }

    fn close(&self) {
        self.late.close();
    }
}

/// A transaction that holds a lock until it is finished.
struct Holding {
    transaction: Box<dyn Transaction>,
    _guard: OwnedMutexGuard<()>,
}

impl Transaction for Holding {
    fn decide(&mut self, view: &dyn View) -> Read<Vec<Write>> {
        self.transaction.decide(view)
    }

    fn finish(self: Box<Self>, outcome: Read<()>) {
        self.transaction.finish(outcome);
    }
}

/// What `look` finds in the window that a transaction would write as things are; decides without writing.
fn foreseen<T>(
    store: &dyn Store,
    transaction: &mut dyn Transaction,
    look: impl Fn(&str, &[i64]) -> Option<T>,
) -> Option<T> {
    let mut writes = Vec::new();
    let seen = store.read(&mut |view| {
        writes = transaction.decide(view)?;
        Ok(())
    });
    seen.ok()?;
    writes.iter().find_map(|write| window(write).and_then(|(key, state)| look(key, state)))
}

fn optimistic(store: SharedStore) -> SharedStore {
    Arc::new(Optimistic { inner: store, runtime: Handle::current() })
}

/// A store that reads, waits, and fails where another has written the window in the meantime.
struct Optimistic {
    inner: SharedStore,
    runtime: Handle,
}

impl Store for Optimistic {
    fn submit(&self, mut transaction: Box<dyn Transaction>) {
        let key = foreseen(&*self.inner, &mut *transaction, |key, _| Some(key.to_owned()));
        let Some(key) = key else { return self.inner.submit(transaction) };
        let mut seen = None;
        let read = self.inner.read(&mut |view| {
            seen = view.window(&key)?;
            Ok(())
        });
        if let Err(error) = read {
            return transaction.finish(Err(error));
        }
        let inner = self.inner.clone();
        self.runtime.spawn(async move {
            tokio::time::sleep(PAUSE).await;
            inner.submit(Box::new(Unchanged { transaction, key, seen, conflict: false }));
        });
    }

    fn read(&self, look: &mut dyn FnMut(&dyn View) -> Read<()>) -> Read<()> {
        self.inner.read(look)
    }

    fn close(&self) {
        self.inner.close();
    }
}

/// A transaction that is carried out only if a window is still as it was seen.
struct Unchanged {
    transaction: Box<dyn Transaction>,
    key: String,
    seen: Option<Vec<i64>>,
    conflict: bool,
}

impl Transaction for Unchanged {
    fn decide(&mut self, view: &dyn View) -> Read<Vec<Write>> {
        self.conflict = view.window(&self.key)? != self.seen;
        if self.conflict { Ok(Vec::new()) } else { self.transaction.decide(view) }
    }

    fn finish(self: Box<Self>, outcome: Read<()>) {
        let conflict = || StoreError::Database { step: "commit", cause: "could not serialize access".to_owned() };
        self.transaction.finish(if self.conflict { Err(conflict()) } else { outcome });
    }
}
