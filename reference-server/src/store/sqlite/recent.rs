//! What the writer need not ask SQLite for: rows that it has just read or written.
//!
//! Nobody else writes, so what the writer knows stays right until it writes again or rolls back. A
//! busy domain or template is then read once, not once a decision.

use std::collections::HashMap;

use uuid::Uuid;

use super::cache::insert;
use crate::secret::Digest;
use crate::store::records::{Domain, Token, Write};

/// What is known of the state that the batch under way has left.
#[derive(Default)]
pub(super) struct Recent {
    tokens: HashMap<Digest, Token>,
    domains: HashMap<String, Domain>,
    windows: HashMap<String, Vec<i64>>,
    revisions: HashMap<Uuid, u64>,
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

    /// Follows a write of the batch under way.
    pub(super) fn follow(&mut self, write: &Write) {
        match write {
            Write::SetUsage { domain, usage } => {
                if let Some(known) = self.domains.get_mut(domain) {
                    known.usage = *usage;
                }
            }
            Write::PutWindow { key, state } => self.keep_window(key, state),
            // Rare, and made by the control plane: what they leave is read afresh.
            Write::InsertDomain { .. }
            | Write::UpdateDomain(_)
            | Write::DeleteDomain(_)
            | Write::InsertToken { .. }
            | Write::RevokeToken(_)
            | Write::DeleteWindow(_)
            | Write::InsertTemplate { .. }
            | Write::PublishVersion { .. }
            | Write::SetRequireSignature { .. }
            | Write::DeleteTemplate(_) => self.forget(),
            // Nothing here is known of these.
            Write::AppendRefresh(_)
            | Write::InsertKey { .. }
            | Write::InsertRender(_)
            | Write::LeaseRenders { .. }
            | Write::FinishRender { .. }
            | Write::InsertSubscription(_)
            | Write::InsertDelivery(_)
            | Write::LeaseDelivery { .. }
            | Write::UpdateDelivery { .. }
            | Write::SetClock(_)
            | Write::ReleaseLeases => {}
        }
    }

    /// Forgets everything, as after a rollback.
    pub(super) fn forget(&mut self) {
        *self = Recent::default();
    }
}
