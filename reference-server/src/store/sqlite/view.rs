//! Reading.

use std::cell::{Cell, OnceCell, RefCell};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};
use uuid::Uuid;

use super::cache::Caches;
use super::live::Live;
use super::recent::Recent;
use super::{failed, run};
use crate::clock::Millis;
use crate::craftkit::manifest::Manifest;
use crate::secret::{Digest, Secret};
use crate::store::records::{
    Delivery, DeliveryState, Domain, Plan, QueuedRender, Render, RenderStatus, Subscription, Template, Token, Usage,
    Version,
};
use crate::store::{Read, View};

/// A state: the tables, as one connection sees them inside a transaction, and what is newer than they are.
///
/// A reader's transaction begins with its first statement: what the caches answer needs none.
pub(super) struct SqliteView<'a> {
    connection: &'a Connection,
    caches: &'a Caches,
    role: Role<'a>,
}

/// Whose view it is.
enum Role<'a> {
    /// It sees what was committed, as the caches do.
    Reader {
        live: &'a RwLock<Live>,
        /// Held from the first look at tables or changes to the end: meanwhile no table changes, so both fit.
        held: OnceCell<RwLockReadGuard<'a, Live>>,
        /// The caches' generation before its transaction began.
        begun: Cell<Option<u64>>,
    },
    /// It also sees what the batch under way has written.
    Writer { live: &'a Live, recent: &'a RefCell<Recent> },
}

impl<'a> SqliteView<'a> {
    pub(super) fn of_reader(connection: &'a Connection, caches: &'a Caches, live: &'a RwLock<Live>) -> SqliteView<'a> {
        let role = Role::Reader { live, held: OnceCell::new(), begun: Cell::new(None) };
        SqliteView { connection, caches, role }
    }

    pub(super) fn of_writer(
        connection: &'a Connection,
        caches: &'a Caches,
        live: &'a Live,
        recent: &'a RefCell<Recent>,
    ) -> SqliteView<'a> {
        SqliteView { connection, caches, role: Role::Writer { live, recent } }
    }

    /// Ends a reader's transaction, if one was needed.
    pub(super) fn end(&self) -> Read<()> {
        match &self.role {
            // Nothing was written, so ending the snapshot cannot lose anything.
            Role::Reader { begun, .. } if begun.get().is_some() => run(self.connection, "COMMIT"),
            Role::Reader { .. } | Role::Writer { .. } => Ok(()),
        }
    }

    fn begin(&self) -> Read<()> {
        if let Role::Reader { begun, .. } = &self.role
            && begun.get().is_none()
        {
            self.live();
            let generation = self.caches.generation();
            run(self.connection, "BEGIN")?;
            begun.set(Some(generation));
        }
        Ok(())
    }

    /// What is newer than the tables.
    fn live(&self) -> &Live {
        match &self.role {
            Role::Reader { live, held, .. } => held.get_or_init(|| live.read().unwrap_or_else(PoisonError::into_inner)),
            Role::Writer { live, .. } => live,
        }
    }

    /// What a writer has just read.
    fn recent<T>(&self, look: impl FnOnce(&Recent) -> Option<T>) -> Option<T> {
        match &self.role {
            Role::Reader { .. } => None,
            Role::Writer { recent, .. } => look(&recent.borrow()),
        }
    }

    /// Tells a writer what was found.
    fn keep<T: ?Sized>(&self, found: Option<&T>, keep: impl FnOnce(&mut Recent, &T)) {
        if let (Role::Writer { recent, .. }, Some(found)) = (&self.role, found) {
            keep(&mut recent.borrow_mut(), found);
        }
    }

    fn one<T>(
        &self,
        sql: &'static str,
        params: impl Params,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Read<Option<T>> {
        self.begin()?;
        let step = failed(sql);
        let mut statement = self.connection.prepare_cached(sql).map_err(&step)?;
        statement.query_row(params, map).optional().map_err(step)
    }

    fn many<T>(
        &self,
        sql: &'static str,
        params: impl Params,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Read<Vec<T>> {
        self.begin()?;
        let step = failed(sql);
        let mut statement = self.connection.prepare_cached(sql).map_err(&step)?;
        let rows = statement.query_map(params, map).map_err(&step)?;
        rows.collect::<rusqlite::Result<Vec<T>>>().map_err(step)
    }

    /// A domain's row with its usage as it is now.
    fn charged(&self, row: Domain) -> Domain {
        match self.live().changes.usages.get(&row.name) {
            Some(usage) => Domain { usage: *usage, ..row },
            None => row,
        }
    }

    /// A template's row; its version is looked up after, mostly in the cache.
    fn whole(&self, row: Option<(Template, Option<u32>)>) -> Read<Option<Template>> {
        let Some((mut template, current)) = row else {
            return Ok(None);
        };
        if let Some(number) = current {
            template.current = self.version(&template, number)?;
        }
        Ok(Some(template))
    }
}

impl View for SqliteView<'_> {
    fn token(&self, hash: &Digest) -> Read<Option<(Token, Domain)>> {
        if let Some((token, domain)) = self.recent(|recent| recent.owner(hash)) {
            return Ok(Some((token, self.charged(domain))));
        }
        let found = self.one(
            "SELECT d.name, d.plan, d.active, d.monthly_render_limit, d.renders_used, \
             d.period_start, d.created_at, t.id, t.revoked \
             FROM token t JOIN domain d ON d.name = t.domain WHERE t.hash = ?1",
            [&hash[..]],
            |row| {
                let domain = domain(row)?;
                let token = Token { id: row.get(7)?, domain: domain.name.clone(), revoked: row.get(8)? };
                Ok((token, domain))
            },
        )?;
        self.keep(found.as_ref(), |recent, owner| recent.keep_owner(hash, owner));
        Ok(found.map(|(token, domain)| (token, self.charged(domain))))
    }

    fn domain(&self, name: &str) -> Read<Option<Domain>> {
        let row = self.one(
            "SELECT name, plan, active, monthly_render_limit, renders_used, period_start, created_at \
             FROM domain WHERE name = ?1",
            [name],
            domain,
        )?;
        Ok(row.map(|row| self.charged(row)))
    }

    fn known_paths(&self, name: &str) -> Read<Vec<String>> {
        let sql = "SELECT path FROM known_path WHERE domain = ?1 ORDER BY place";
        self.many(sql, [name], |row| row.get(0))
    }

    fn tokens(&self, domain: &str) -> Read<Vec<Token>> {
        let sql = "SELECT id, domain, revoked FROM token WHERE domain = ?1 ORDER BY seq";
        self.many(sql, [domain], |row| Ok(Token { id: row.get(0)?, domain: row.get(1)?, revoked: row.get(2)? }))
    }

    fn window(&self, key: &str) -> Read<Option<Vec<i64>>> {
        if let Some(state) = self.live().changes.windows.get(key) {
            return Ok(Some(state.clone()));
        }
        if let Some(state) = self.recent(|recent| recent.window(key)) {
            return Ok(Some(state));
        }
        let found: Option<Vec<i64>> = self.one("SELECT state FROM rate_window WHERE key = ?1", [key], |row| {
            let (numbers, _) = row.get_ref(0)?.as_blob()?.as_chunks::<8>();
            Ok(numbers.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect())
        })?;
        self.keep(found.as_deref(), |recent, state| recent.keep_window(key, state));
        Ok(found)
    }

    fn queued_paths(&self, domain: &str) -> Read<Vec<String>> {
        let sql = "WITH RECURSIVE chain (seq, previous, paths) AS ( \
                   SELECT r.seq, r.previous, r.paths FROM domain d JOIN refresh r ON r.seq = d.last_refresh \
                   WHERE d.name = ?1 \
                   UNION ALL \
                   SELECT r.seq, r.previous, r.paths FROM chain c JOIN refresh r ON r.seq = c.previous) \
                   SELECT paths FROM chain ORDER BY seq";
        if self.domain(domain)?.is_none() {
            return Ok(Vec::new());
        }
        let lists: Vec<Vec<String>> = self.many(sql, [domain], |row| json(row, 0))?;
        let newer = self.live().changes.refreshes.iter().filter(|refresh| refresh.domain == domain);
        Ok(lists.into_iter().flatten().chain(newer.flat_map(|refresh| refresh.paths.iter().cloned())).collect())
    }

    fn project(&self, key_hash: &Digest) -> Read<Option<String>> {
        let sql = "SELECT project FROM project_key WHERE hash = ?1";
        self.one(sql, [&key_hash[..]], |row| row.get(0))
    }

    fn template_by_token(&self, hash: &Digest) -> Read<Option<Template>> {
        if let Role::Reader { .. } = self.role
            && let Some(template) = self.caches.template(hash)
        {
            return Ok(Some(template));
        }
        let row = self.one(
            "SELECT id, slug, project, token_hash, secret, require_signature, revision, \
             current_version FROM template WHERE token_hash = ?1",
            [&hash[..]],
            template,
        )?;
        let found = self.whole(row)?;
        if let (Some(template), Role::Reader { begun, .. }) = (&found, &self.role)
            && let Some(generation) = begun.get()
        {
            self.caches.keep_template(template, generation);
        }
        Ok(found)
    }

    fn template(&self, slug: &str) -> Read<Option<Template>> {
        let row = self.one(
            "SELECT id, slug, project, token_hash, secret, require_signature, revision, \
             current_version FROM template WHERE slug = ?1",
            [slug],
            template,
        )?;
        self.whole(row)
    }

    fn revision(&self, template: Uuid) -> Read<Option<u64>> {
        if let Some(revision) = self.recent(|recent| recent.revision(template)) {
            return Ok(Some(revision));
        }
        let sql = "SELECT revision FROM template WHERE id = ?1";
        let found = self.one(sql, [&template.as_bytes()[..]], |row| count(row, 0))?;
        self.keep(found.as_ref(), |recent, revision| recent.keep_revision(template, *revision));
        Ok(found)
    }

    fn draft(&self, template: Uuid) -> Read<Option<Arc<Manifest>>> {
        let sql = "SELECT draft FROM template WHERE id = ?1";
        self.one(sql, [&template.as_bytes()[..]], |row| json(row, 0).map(Arc::new))
    }

    fn version(&self, template: &Template, number: u32) -> Read<Option<Version>> {
        let key = (template.id, number);
        if let Some(manifest) = self.caches.manifest(key) {
            return Ok(Some(Version { number, manifest }));
        }
        let sql = "SELECT manifest FROM template_version WHERE template = ?1 AND number = ?2";
        let id = &template.id.as_bytes()[..];
        let found = self.one(sql, params![id, number], |row| json(row, 0).map(Arc::new))?;
        Ok(found.map(|manifest| {
            self.caches.keep_manifest(key, &manifest);
            Version { number, manifest }
        }))
    }

    fn render(&self, id: Uuid) -> Read<Option<Render>> {
        if let Some(render) = self.live().render(id) {
            return Ok(Some(render));
        }
        let row = self.one(
            "SELECT r.id, r.project, r.template, r.slug, r.version, r.idempotency_key, r.created_at, r.data, \
             coalesce(o.status, r.status), coalesce(o.completed_at, r.completed_at) \
             FROM render r LEFT JOIN render_outcome o ON o.render = r.id \
             WHERE r.id = ?1",
            [&id.as_bytes()[..]],
            render,
        )?;
        Ok(row.map(|row| self.live().standing(row)))
    }

    fn render_by_key(&self, project: &str, key: &str) -> Read<Option<Render>> {
        if let Some(id) = self.live().changes.keys.get(&(project.to_owned(), key.to_owned())) {
            return Ok(self.live().render(*id));
        }
        let row = self.one(
            "SELECT r.id, r.project, r.template, r.slug, r.version, r.idempotency_key, r.created_at, r.data, \
             coalesce(o.status, r.status), coalesce(o.completed_at, r.completed_at) \
             FROM render r LEFT JOIN render_outcome o ON o.render = r.id \
             WHERE r.project = ?1 AND r.idempotency_key = ?2",
            [project, key],
            render,
        )?;
        Ok(row.map(|row| self.live().standing(row)))
    }

    fn waiting_renders(&self, real_now: Millis, limit: u32) -> Read<Vec<QueuedRender>> {
        let mut waiting = Vec::new();
        for id in self.live().queue.waiting(real_now, limit) {
            let found = match self.live().changes.renders.get(&id) {
                Some(render) => Some(QueuedRender {
                    id,
                    project: render.project.clone(),
                    template_id: render.template_id,
                    created_at: render.created_at,
                }),
                None => self.one(
                    "SELECT id, project, template, created_at FROM render WHERE id = ?1",
                    [&id.as_bytes()[..]],
                    queued,
                )?,
            };
            waiting.extend(found);
        }
        Ok(waiting)
    }

    fn queue_length(&self) -> Read<usize> {
        Ok(self.live().queue.len())
    }

    fn subscriptions(&self, project: &str) -> Read<Vec<Subscription>> {
        if let Some(subscriptions) = self.recent(|recent| recent.subscriptions(project)) {
            return Ok(subscriptions);
        }
        let found = self.many(
            "SELECT id, project, url, secret, events FROM subscription WHERE project = ?1 \
             ORDER BY id",
            [project],
            |row| {
                Ok(Subscription {
                    id: uuid(row, 0)?,
                    project: row.get(1)?,
                    url: row.get(2)?,
                    secret: Secret::new(row.get::<_, String>(3)?),
                    events: json(row, 4)?,
                })
            },
        )?;
        self.keep(Some(&*found), |recent, found| recent.keep_subscriptions(project, found));
        Ok(found)
    }

    fn due_deliveries(&self, now: Millis, real_now: Millis, limit: u32) -> Read<Vec<Delivery>> {
        self.many(
            "SELECT d.id, d.subscription, s.url, s.secret, d.event, d.body, d.attempts, d.due_at, \
             d.state FROM delivery d JOIN subscription s ON s.id = d.subscription \
             WHERE d.state = 'pending' AND d.due_at <= ?1 AND d.lease_until <= ?2 \
             ORDER BY d.due_at, d.id LIMIT ?3",
            params![now, real_now, limit],
            delivery,
        )
    }

    fn next_due(&self, real_now: Millis) -> Read<Option<Millis>> {
        let sql = "SELECT due_at FROM delivery WHERE state = 'pending' AND lease_until <= ?1 \
                   ORDER BY due_at LIMIT 1";
        self.one(sql, [real_now], |row| row.get(0))
    }

    fn clock(&self) -> Read<Option<Millis>> {
        self.one("SELECT value FROM setting WHERE name = 'clock'", [], |row| row.get(0))
    }
}

fn domain(row: &Row<'_>) -> rusqlite::Result<Domain> {
    Ok(Domain {
        name: row.get(0)?,
        plan: named(row, 1, Plan::named)?,
        active: row.get(2)?,
        monthly_render_limit: row.get::<_, Option<i64>>(3)?.map(|_| count(row, 3)).transpose()?,
        usage: Usage { renders_used: count(row, 4)?, period_start: row.get(5)? },
        created_at: row.get(6)?,
    })
}

fn template(row: &Row<'_>) -> rusqlite::Result<(Template, Option<u32>)> {
    let template = Template {
        id: uuid(row, 0)?,
        slug: row.get(1)?,
        project: row.get(2)?,
        token_hash: row.get(3)?,
        secret: Secret::new(row.get::<_, String>(4)?),
        require_signature: row.get(5)?,
        current: None,
        revision: count(row, 6)?,
    };
    Ok((template, row.get(7)?))
}

fn render(row: &Row<'_>) -> rusqlite::Result<Render> {
    let status = match row.get_ref(8)? {
        ValueRef::Null => RenderStatus::Queued,
        _ => named(row, 8, RenderStatus::named)?,
    };
    Ok(Render {
        id: uuid(row, 0)?,
        project: row.get(1)?,
        template_id: uuid(row, 2)?,
        slug: row.get(3)?,
        version: row.get(4)?,
        status,
        idempotency_key: row.get(5)?,
        created_at: row.get(6)?,
        completed_at: row.get(9)?,
        data: row.get_ref(7)?.as_str()?.into(),
    })
}

fn queued(row: &Row<'_>) -> rusqlite::Result<QueuedRender> {
    Ok(QueuedRender { id: uuid(row, 0)?, project: row.get(1)?, template_id: uuid(row, 2)?, created_at: row.get(3)? })
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        id: uuid(row, 0)?,
        subscription: uuid(row, 1)?,
        url: row.get(2)?,
        secret: Secret::new(row.get::<_, String>(3)?),
        event: row.get(4)?,
        body: row.get(5)?,
        attempts: row.get(6)?,
        due_at: row.get(7)?,
        state: named(row, 8, DeliveryState::named)?,
    })
}

/// A number that is never negative.
fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

fn uuid(row: &Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    row.get::<_, [u8; 16]>(column).map(Uuid::from_bytes)
}

fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

fn named<T>(row: &Row<'_>, column: usize, find: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let name = row.get_ref(column)?.as_str()?;
    find(name).ok_or_else(|| {
        let cause = format!("`{name}` is not a name this column can hold");
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, cause.into())
    })
}
