//! The store in memory: one lock, a transaction at a time, gone with the process.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::records::{
    Delivery, DeliveryState, Domain, QueuedRender, Refresh, Render, RenderStatus, Subscription, Template, Token,
    Version, Write,
};
use super::{Read, Store, StoreError, Transaction, View};
use crate::clock::Millis;
use crate::craftkit::manifest::Manifest;
use crate::secret::Digest;

/// The in-memory store.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A decision that panics has written nothing yet: writes are applied after it returned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn submit(&self, mut transaction: Box<dyn Transaction>) {
        let mut state = self.lock();
        let outcome = if state.closed {
            Err(StoreError::Closed)
        } else {
            transaction.decide(&*state).map(|writes| {
                for write in writes {
                    state.apply(write);
                }
            })
        };
        drop(state);
        transaction.finish(outcome);
    }

    fn read(&self, look: &mut dyn FnMut(&dyn View) -> Read<()>) -> Read<()> {
        look(&*self.lock())
    }

    fn close(&self) {
        self.lock().closed = true;
    }
}

/// What one domain has beside its record.
#[derive(Default)]
struct DomainRows {
    known_paths: Vec<String>,
    tokens: Vec<(String, Digest)>,
    refreshes: Vec<Refresh>,
}

struct Leased<T> {
    record: T,
    until: Millis,
}

#[derive(Default)]
struct State {
    closed: bool,
    domains: HashMap<String, Domain>,
    domain_rows: HashMap<String, DomainRows>,
    tokens: HashMap<String, Token>,
    token_hashes: HashMap<Digest, String>,
    windows: HashMap<String, Vec<i64>>,
    templates: HashMap<Uuid, Template>,
    slugs: HashMap<String, Uuid>,
    template_tokens: HashMap<Digest, Uuid>,
    versions: HashMap<(Uuid, u32), Version>,
    drafts: HashMap<Uuid, Arc<Manifest>>,
    keys: HashMap<Digest, String>,
    renders: HashMap<Uuid, Render>,
    render_keys: HashMap<(String, String), Uuid>,
    /// Renders on the queue, and when their leases end.
    queue: BTreeMap<Uuid, Millis>,
    subscriptions: HashMap<String, Vec<Subscription>>,
    deliveries: HashMap<Uuid, Leased<Delivery>>,
    /// Pending deliveries by the moment they are due.
    due: BTreeSet<(Millis, Uuid)>,
    clock: Option<Millis>,
}

impl View for State {
    fn token(&self, hash: &Digest) -> Read<Option<(Token, Domain)>> {
        Ok(self.token_hashes.get(hash).and_then(|id| {
            let token = self.tokens.get(id)?;
            let domain = self.domains.get(&token.domain)?;
            Some((token.clone(), domain.clone()))
        }))
    }

    fn domain(&self, name: &str) -> Read<Option<Domain>> {
        Ok(self.domains.get(name).cloned())
    }

    fn known_paths(&self, name: &str) -> Read<Vec<String>> {
        Ok(self.domain_rows.get(name).map(|rows| rows.known_paths.clone()).unwrap_or_default())
    }

    fn tokens(&self, domain: &str) -> Read<Vec<Token>> {
        let ids = self.domain_rows.get(domain).map(|rows| rows.tokens.as_slice());
        Ok(ids.unwrap_or_default().iter().filter_map(|(id, _)| self.tokens.get(id).cloned()).collect())
    }

    fn window(&self, key: &str) -> Read<Option<Vec<i64>>> {
        Ok(self.windows.get(key).cloned())
    }

    fn queued_paths(&self, domain: &str) -> Read<Vec<String>> {
        let refreshes = self.domain_rows.get(domain).map(|rows| rows.refreshes.as_slice());
        Ok(refreshes.unwrap_or_default().iter().flat_map(|refresh| refresh.paths.iter().cloned()).collect())
    }

    fn project(&self, key_hash: &Digest) -> Read<Option<String>> {
        Ok(self.keys.get(key_hash).cloned())
    }

    fn template_by_token(&self, hash: &Digest) -> Read<Option<Template>> {
        Ok(self.template_tokens.get(hash).and_then(|id| self.templates.get(id).cloned()))
    }

    fn template(&self, slug: &str) -> Read<Option<Template>> {
        Ok(self.slugs.get(slug).and_then(|id| self.templates.get(id).cloned()))
    }

    fn revision(&self, template: Uuid) -> Read<Option<u64>> {
        Ok(self.templates.get(&template).map(|template| template.revision))
    }

    fn draft(&self, template: Uuid) -> Read<Option<Arc<Manifest>>> {
        Ok(self.drafts.get(&template).cloned())
    }

    fn version(&self, template: &Template, number: u32) -> Read<Option<Version>> {
        Ok(self.versions.get(&(template.id, number)).cloned())
    }

    fn render(&self, id: Uuid) -> Read<Option<Render>> {
        Ok(self.renders.get(&id).cloned())
    }

    fn render_by_key(&self, project: &str, key: &str) -> Read<Option<Render>> {
        let id = self.render_keys.get(&(project.to_owned(), key.to_owned()));
        Ok(id.and_then(|id| self.renders.get(id).cloned()))
    }

    fn waiting_renders(&self, real_now: Millis, limit: u32) -> Read<Vec<QueuedRender>> {
        let waiting = self.queue.iter().filter(|(_, until)| **until <= real_now);
        let renders = waiting.filter_map(|(id, _)| self.renders.get(id));
        let queued = renders.map(|render| QueuedRender {
            id: render.id,
            project: render.project.clone(),
            template_id: render.template_id,
            created_at: render.created_at,
        });
        Ok(queued.take(limit as usize).collect())
    }

    fn queue_length(&self) -> Read<usize> {
        Ok(self.queue.len())
    }

    fn subscriptions(&self, project: &str) -> Read<Vec<Subscription>> {
        Ok(self.subscriptions.get(project).cloned().unwrap_or_default())
    }

    fn due_deliveries(&self, now: Millis, real_now: Millis, limit: u32) -> Read<Vec<Delivery>> {
        let due = self.due.range(..=(now, Uuid::max())).filter_map(|(_, id)| self.deliveries.get(id));
        let free = due.filter(|delivery| delivery.until <= real_now);
        Ok(free.take(limit as usize).map(|delivery| delivery.record.clone()).collect())
    }

    fn next_due(&self, real_now: Millis) -> Read<Option<Millis>> {
        let held = |id: &Uuid| self.deliveries.get(id).is_none_or(|d| d.until > real_now);
        Ok(self.due.iter().find(|(_, id)| !held(id)).map(|(at, _)| *at))
    }

    fn clock(&self) -> Read<Option<Millis>> {
        Ok(self.clock)
    }
}

impl State {
    fn apply(&mut self, write: Write) {
        match write {
            Write::InsertDomain { .. }
            | Write::UpdateDomain(_)
            | Write::DeleteDomain(_)
            | Write::InsertToken { .. }
            | Write::RevokeToken(_)
            | Write::PutWindow { .. }
            | Write::DeleteWindow(_)
            | Write::SetUsage { .. }
            | Write::AppendRefresh(_) => self.apply_to_domains(write),
            Write::InsertTemplate { .. }
            | Write::PublishVersion { .. }
            | Write::SetRequireSignature { .. }
            | Write::DeleteTemplate(_)
            | Write::InsertKey { .. }
            | Write::InsertSubscription(_) => self.apply_to_templates(write),
            Write::InsertRender(_)
            | Write::LeaseRenders { .. }
            | Write::FinishRender { .. }
            | Write::InsertDelivery(_)
            | Write::LeaseDelivery { .. }
            | Write::UpdateDelivery { .. }
            | Write::SetClock(_)
            | Write::ReleaseLeases => self.apply_to_queues(write),
        }
    }

    fn apply_to_domains(&mut self, write: Write) {
        match write {
            Write::InsertDomain { domain, known_paths } => {
                let rows = DomainRows { known_paths, ..DomainRows::default() };
                self.domain_rows.insert(domain.name.clone(), rows);
                self.domains.insert(domain.name.clone(), domain);
            }
            Write::UpdateDomain(domain) => {
                if let Some(stored) = self.domains.get_mut(&domain.name) {
                    *stored = domain;
                }
            }
            Write::DeleteDomain(name) => {
                self.domains.remove(&name);
                for (id, hash) in self.domain_rows.remove(&name).unwrap_or_default().tokens {
                    self.tokens.remove(&id);
                    self.token_hashes.remove(&hash);
                }
            }
            Write::InsertToken { token, hash } => {
                self.token_hashes.insert(hash, token.id.clone());
                let rows = self.domain_rows.entry(token.domain.clone()).or_default();
                rows.tokens.push((token.id.clone(), hash));
                self.tokens.insert(token.id.clone(), token);
            }
            Write::RevokeToken(id) => {
                if let Some(token) = self.tokens.get_mut(&id) {
                    token.revoked = true;
                }
            }
            Write::PutWindow { key, state } => {
                self.windows.insert(key, state);
            }
            Write::DeleteWindow(key) => {
                self.windows.remove(&key);
            }
            Write::SetUsage { domain, usage } => {
                if let Some(stored) = self.domains.get_mut(&domain) {
                    stored.usage = usage;
                }
            }
            Write::AppendRefresh(refresh) => {
                if let Some(rows) = self.domain_rows.get_mut(&refresh.domain) {
                    rows.refreshes.push(refresh);
                }
            }
            other => unreachable!("apply sends no {other:?} here"),
        }
    }

    fn apply_to_templates(&mut self, write: Write) {
        match write {
            Write::InsertTemplate { template, draft } => {
                self.drafts.insert(template.id, draft);
                if let Some(version) = &template.current {
                    self.versions.insert((template.id, version.number), version.clone());
                }
                self.slugs.insert(template.slug.clone(), template.id);
                self.template_tokens.insert(template.token_hash, template.id);
                self.templates.insert(template.id, template);
            }
            Write::PublishVersion { template, version } => {
                if let Some(stored) = self.templates.get_mut(&template) {
                    stored.revision += 1;
                    stored.current = Some(version.clone());
                    self.versions.insert((template, version.number), version);
                }
            }
            Write::SetRequireSignature { template, required } => {
                if let Some(stored) = self.templates.get_mut(&template) {
                    stored.revision += 1;
                    stored.require_signature = required;
                }
            }
            Write::DeleteTemplate(id) => {
                if let Some(template) = self.templates.remove(&id) {
                    self.slugs.remove(&template.slug);
                    self.template_tokens.remove(&template.token_hash);
                }
            }
            Write::InsertKey { project, hash } => {
                self.keys.insert(hash, project);
            }
            Write::InsertSubscription(subscription) => {
                let project = self.subscriptions.entry(subscription.project.clone()).or_default();
                project.push(subscription);
            }
            other => unreachable!("apply sends no {other:?} here"),
        }
    }

    fn apply_to_queues(&mut self, write: Write) {
        match write {
            Write::InsertRender(render) => self.insert_render(render),
            Write::LeaseRenders { up_to, real_now, until } => {
                for (id, lease) in self.queue.range_mut(..=up_to).filter(|(_, lease)| **lease <= real_now) {
                    *lease = until;
                    if let Some(render) = self.renders.get_mut(id) {
                        render.status = RenderStatus::Rendering;
                    }
                }
            }
            Write::FinishRender { id, status, completed_at } => {
                self.queue.remove(&id);
                if let Some(render) = self.renders.get_mut(&id) {
                    render.status = status;
                    render.completed_at = Some(completed_at);
                }
            }
            Write::InsertDelivery(delivery) => {
                if delivery.state == DeliveryState::Pending {
                    self.due.insert((delivery.due_at, delivery.id));
                }
                self.deliveries.insert(delivery.id, Leased { record: delivery, until: 0 });
            }
            Write::LeaseDelivery { id, until } => {
                if let Some(delivery) = self.deliveries.get_mut(&id) {
                    delivery.until = until;
                }
            }
            Write::UpdateDelivery { id, attempts, due_at, state } => {
                if let Some(delivery) = self.deliveries.get_mut(&id) {
                    self.due.remove(&(delivery.record.due_at, id));
                    delivery.until = 0;
                    delivery.record.attempts = attempts;
                    delivery.record.due_at = due_at;
                    delivery.record.state = state;
                    if state == DeliveryState::Pending {
                        self.due.insert((due_at, id));
                    }
                }
            }
            Write::SetClock(now) => self.clock = Some(now),
            Write::ReleaseLeases => {
                for (id, lease) in &mut self.queue {
                    *lease = 0;
                    if let Some(render) = self.renders.get_mut(id) {
                        render.status = RenderStatus::Queued;
                    }
                }
                self.deliveries.values_mut().for_each(|delivery| delivery.until = 0);
            }
            other => unreachable!("apply sends no {other:?} here"),
        }
    }

    fn insert_render(&mut self, render: Render) {
        self.queue.insert(render.id, 0);
        if let Some(key) = &render.idempotency_key {
            self.render_keys.insert((render.project.clone(), key.clone()), render.id);
        }
        self.renders.insert(render.id, render);
    }
}

/// The in-memory store as the server holds it.
pub fn shared() -> super::SharedStore {
    Arc::new(MemoryStore::new())
}
