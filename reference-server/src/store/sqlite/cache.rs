//! What reads need not ask SQLite for.
//!
//! The hook looks a template up for every request. A reader's pages are outdated after every commit, and
//! every allocation inside SQLite takes one lock of the whole process, so readers that run beside a busy
//! writer make both wait. The store belongs to one process, so what was read once stays right until this
//! process changes it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::craftkit::manifest::Manifest;
use crate::secret::Digest;
use crate::store::records::{Template, Write};

/// Most entries of each kind; beyond that a cache starts afresh.
const MOST: usize = 4096;

/// The caches of one store.
#[derive(Default)]
pub(super) struct Caches {
    /// Versions never change once committed.
    manifests: Mutex<HashMap<(Uuid, u32), Arc<Manifest>>>,
    templates: Mutex<Templates>,
}

#[derive(Default)]
struct Templates {
    /// Counts the commits that changed a template.
    generation: u64,
    by_token: HashMap<Digest, Template>,
}

impl Caches {
    pub(super) fn manifest(&self, key: (Uuid, u32)) -> Option<Arc<Manifest>> {
        lock(&self.manifests).get(&key).cloned()
    }

    pub(super) fn keep_manifest(&self, key: (Uuid, u32), manifest: &Arc<Manifest>) {
        insert(&mut lock(&self.manifests), key, manifest.clone());
    }

    pub(super) fn template(&self, hash: &Digest) -> Option<Template> {
        lock(&self.templates).by_token.get(hash).cloned()
    }

    pub(super) fn generation(&self) -> u64 {
        lock(&self.templates).generation
    }

    /// Keeps a template that a reader found, unless one was committed since that reader began.
    pub(super) fn keep_template(&self, template: &Template, generation: u64) {
        let mut templates = lock(&self.templates);
        if templates.generation == generation {
            insert(&mut templates.by_token, template.token_hash, template.clone());
        }
    }

    /// Forgets what these committed writes have changed; before anybody is told of the commit.
    pub(super) fn committed(&self, changed_templates: bool) {
        if changed_templates {
            let mut templates = lock(&self.templates);
            templates.generation += 1;
            templates.by_token.clear();
        }
    }

    /// Forgets what the writer may have read of a batch that was rolled back.
    pub(super) fn rolled_back(&self) {
        lock(&self.manifests).clear();
    }
}

/// True for a write after which a cached template may be outdated.
pub(super) fn changes_templates(write: &Write) -> bool {
    matches!(
        write,
        Write::InsertTemplate { .. }
            | Write::PublishVersion { .. }
            | Write::SetRequireSignature { .. }
            | Write::DeleteTemplate(_)
    )
}

/// Puts an entry into a cache, which starts afresh when it is full.
pub(super) fn insert<K: std::hash::Hash + Eq, V>(kept: &mut HashMap<K, V>, key: K, value: V) {
    if kept.len() >= MOST {
        kept.clear();
    }
    kept.insert(key, value);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
