//! What the writer need not ask SQLite for: rows of tables that it has just read.
//!
//! Nobody else writes, so what the writer knows stays right until it changes a table or rolls back. A
//! busy domain or template is then read once, not once a decision.

use std::collections::HashMap;

use uuid::Uuid;

use super::cache::insert;
use crate::secret::Digest;
use crate::store::records::{Domain, Subscription, Token};

/// What is known of the tables as the batch under way has left them.
#[derive(Default)]
pub(super) struct Recent {
    tokens: HashMap<Digest, Token>,
    domains: HashMap<String, Domain>,
    windows: HashMap<String, Vec<i64>>,
    revisions: HashMap<Uuid, u64>,
    subscriptions: HashMap<String, Vec<Subscription>>,
}

impl Recent {
    pub(super) fn owner(&self, hash: &Digest) -> Option<(Token, Domain)> {
        let token = self.tokens.get(hash)?;
        let domain = self.domains.get(&token.domain)?;
        Some((token.clone(), domain.clone()))
    }

    pub(super) fn keep_owner(&mut self, hash: &Digest, (token, domain): &(Token, Domain)) {
        insert(&mut self.tokens, *hash, token.clone());
        insert(&mut self.domains, domain.name.clone(), domain.clone());
    }

    pub(super) fn window(&self, key: &str) -> Option<Vec<i64>> {
        self.windows.get(key).cloned()
    }

    pub(super) fn keep_window(&mut self, key: &str, state: &[i64]) {
        insert(&mut self.windows, key.to_owned(), state.to_vec());
    }

    pub(super) fn revision(&self, template: Uuid) -> Option<u64> {
        self.revisions.get(&template).copied()
    }

    pub(super) fn keep_revision(&mut self, template: Uuid, revision: u64) {
        insert(&mut self.revisions, template, revision);
    }

    pub(super) fn subscriptions(&self, project: &str) -> Option<Vec<Subscription>> {
        self.subscriptions.get(project).cloned()
    }

    pub(super) fn keep_subscriptions(&mut self, project: &str, subscriptions: &[Subscription]) {
        insert(&mut self.subscriptions, project.to_owned(), subscriptions.to_vec());
    }

    /// Forgets everything, as after a change of a table or a rollback.
    pub(super) fn forget(&mut self) {
        *self = Recent::default();
    }
}
