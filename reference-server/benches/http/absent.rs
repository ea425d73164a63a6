//! A store that keeps nothing and knows the answer to everything that the load asks: what a request costs on it
//! is the cost of its route alone.

use std::sync::Arc;

use reference_server::clock::Millis;
use reference_server::craftkit::manifest::Manifest;
use reference_server::secret::{Digest, Secret};
use reference_server::store::records::{
    Delivery, Domain, Plan, QueuedRender, Render, Subscription, Template, Token, Usage, Version,
};
use reference_server::store::{Read, SharedStore, Store, Transaction, View};
use uuid::Uuid;

use crate::load;

/// The secret of every template.
pub(crate) const SECRET: &str = "s";

/// Replaces a server's store.
pub(crate) fn absent(_store: SharedStore) -> SharedStore {
    let manifest = Manifest::parse(&load::manifest()).unwrap();
    let template = Template {
        id: Uuid::from_u128(1),
        slug: "slug-0123456789abcdef".to_owned(),
        project: "project-0123456789abcdef".to_owned(),
        token_hash: [0; 32],
        secret: Secret::new(SECRET),
        require_signature: true,
        current: Some(Version { number: 1, manifest: Arc::new(manifest) }),
        revision: 1,
    };
    let name = "site-0123456789abcdef.example";
    let token = Token { id: "token-0123456789abcdef".to_owned(), domain: name.to_owned(), revoked: false };
    let domain = Domain {
        name: name.to_owned(),
        plan: Plan::AgencyPlus,
        active: true,
        monthly_render_limit: None,
        usage: Usage { renders_used: 0, period_start: 0 },
        created_at: 0,
    };
    Arc::new(Absent { template, owner: (token, domain) })
}

struct Absent {
    template: Template,
    owner: (Token, Domain),
}

impl Store for Absent {
    fn submit(&self, mut transaction: Box<dyn Transaction>) {
        let outcome = transaction.decide(self).map(drop);
        transaction.finish(outcome);
    }

    fn read(&self, look: &mut dyn FnMut(&dyn View) -> Read<()>) -> Read<()> {
        look(self)
    }

    fn close(&self) {}
}

impl View for Absent {
    fn token(&self, _hash: &Digest) -> Read<Option<(Token, Domain)>> {
        Ok(Some(self.owner.clone()))
    }

    fn domain(&self, _name: &str) -> Read<Option<Domain>> {
        Ok(None)
    }

    fn known_paths(&self, _name: &str) -> Read<Vec<String>> {
        Ok(Vec::new())
    }

    fn tokens(&self, _domain: &str) -> Read<Vec<Token>> {
        Ok(Vec::new())
    }

    fn window(&self, _key: &str) -> Read<Option<Vec<i64>>> {
        Ok(Some(vec![0, 1]))
    }

    fn queued_paths(&self, _domain: &str) -> Read<Vec<String>> {
        Ok(Vec::new())
    }

    fn project(&self, _key_hash: &Digest) -> Read<Option<String>> {
        Ok(None)
    }

    fn template_by_token(&self, _hash: &Digest) -> Read<Option<Template>> {
        Ok(Some(self.template.clone()))
    }

    fn template(&self, _slug: &str) -> Read<Option<Template>> {
        Ok(Some(self.template.clone()))
    }

    fn revision(&self, _template: Uuid) -> Read<Option<u64>> {
        Ok(Some(self.template.revision))
    }

    fn draft(&self, _template: Uuid) -> Read<Option<Arc<Manifest>>> {
        Ok(None)
    }

    fn version(&self, _template: &Template, _number: u32) -> Read<Option<Version>> {
        Ok(self.template.current.clone())
    }

    fn render(&self, _id: Uuid) -> Read<Option<Render>> {
        Ok(None)
    }

    fn render_by_key(&self, _project: &str, _key: &str) -> Read<Option<Render>> {
        Ok(None)
    }

    fn waiting_renders(&self, _real_now: Millis, _limit: u32) -> Read<Vec<QueuedRender>> {
        Ok(Vec::new())
    }

    fn queue_length(&self) -> Read<usize> {
        Ok(0)
    }

    fn subscriptions(&self, _project: &str) -> Read<Vec<Subscription>> {
        Ok(Vec::new())
    }

    fn due_deliveries(&self, _now: Millis, _real_now: Millis, _limit: u32) -> Read<Vec<Delivery>> {
        Ok(Vec::new())
    }

    fn next_due(&self, _real_now: Millis) -> Read<Option<Millis>> {
        Ok(None)
    }

    fn clock(&self) -> Read<Option<Millis>> {
        Ok(None)
    }
}
