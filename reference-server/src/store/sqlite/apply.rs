//! Writing: one statement or a few for each [`Write`].

use rusqlite::{Connection, Params, params};
use serde::Serialize;
use uuid::Uuid;

use super::failed;
use crate::store::records::{Delivery, Domain, Render, Subscription, Template, Version, Write};
use crate::store::{Read, StoreError};

/// Applies one change.
pub(super) fn apply(connection: &Connection, write: &Write) -> Result<(), StoreError> {
    let db = Statements(connection);
    match write {
        Write::InsertDomain { .. }
        | Write::UpdateDomain(_)
        | Write::DeleteDomain(_)
        | Write::InsertToken { .. }
        | Write::RevokeToken(_)
        | Write::PutWindow { .. }
        | Write::DeleteWindow(_)
        | Write::SetUsage { .. }
        | Write::AppendRefresh(_) => db.domains(write),
        Write::InsertTemplate { .. }
        | Write::PublishVersion { .. }
        | Write::SetRequireSignature { .. }
        | Write::DeleteTemplate(_)
        | Write::InsertKey { .. }
        | Write::InsertSubscription(_) => db.templates(write),
        Write::InsertRender(_)
        | Write::LeaseRenders { .. }
        | Write::FinishRender { .. }
        | Write::InsertDelivery(_)
        | Write::LeaseDelivery { .. }
        | Write::UpdateDelivery { .. }
        | Write::SetClock(_)
        | Write::ReleaseLeases => db.queues(write),
    }
}

struct Statements<'a>(&'a Connection);

impl Statements<'_> {
    fn run(&self, sql: &'static str, params: impl Params) -> Read<()> {
        let step = failed(sql);
        self.0.prepare_cached(sql).map_err(&step)?.execute(params).map_err(step)?;
        Ok(())
    }

    fn domains(&self, write: &Write) -> Read<()> {
        match write {
            Write::InsertDomain { domain, known_paths } => self.insert_domain(domain, known_paths),
            Write::UpdateDomain(domain) => self.run(
                "UPDATE domain SET plan = ?2, active = ?3, monthly_render_limit = ?4, \
                 renders_used = ?5, period_start = ?6 WHERE name = ?1",
                params![
                    domain.name,
                    domain.plan.name(),
                    domain.active,
                    domain.monthly_render_limit.map(number),
                    number(domain.usage.renders_used),
                    domain.usage.period_start,
                ],
            ),
            Write::DeleteDomain(name) => {
                self.run(
                    "WITH RECURSIVE chain (seq) AS (SELECT last_refresh FROM domain WHERE name = ?1 \
                     UNION ALL SELECT r.previous FROM chain c JOIN refresh r ON r.seq = c.seq) \
                     DELETE FROM refresh WHERE seq IN chain",
                    [name],
                )?;
                self.run("DELETE FROM domain WHERE name = ?1", [name])?;
                self.run("DELETE FROM known_path WHERE domain = ?1", [name])?;
                self.run("DELETE FROM token WHERE domain = ?1", [name])
            }
            Write::InsertToken { token, hash } => self.run(
                "INSERT INTO token (id, domain, hash, revoked) VALUES (?1, ?2, ?3, ?4)",
                params![token.id, token.domain, &hash[..], token.revoked],
            ),
            Write::RevokeToken(id) => self.run("UPDATE token SET revoked = 1 WHERE id = ?1", [id]),
            Write::PutWindow { key, state } => {
                let bytes: Vec<u8> = state.iter().flat_map(|n| n.to_le_bytes()).collect();
                self.run(
                    "INSERT INTO rate_window (key, state) VALUES (?1, ?2) \
                     ON CONFLICT (key) DO UPDATE SET state = excluded.state",
                    params![key, bytes],
                )
            }
            Write::DeleteWindow(key) => self.run("DELETE FROM rate_window WHERE key = ?1", [key]),
            Write::SetUsage { domain, usage } => self.run(
                "UPDATE domain SET renders_used = ?2, period_start = ?3 WHERE name = ?1",
                params![domain, number(usage.renders_used), usage.period_start],
            ),
            Write::AppendRefresh(refresh) => {
                self.run(
                    "INSERT INTO refresh (previous, domain, accepted_at, full, paths) \
                     SELECT last_refresh, name, ?2, ?3, ?4 FROM domain WHERE name = ?1",
                    params![refresh.domain, refresh.accepted_at, refresh.full, text(&refresh.paths)],
                )?;
                self.run("UPDATE domain SET last_refresh = last_insert_rowid() WHERE name = ?1", [&refresh.domain])
            }
            other => unreachable!("apply sends no {other:?} here"),
        }
    }

    fn insert_domain(&self, domain: &Domain, known_paths: &[String]) -> Read<()> {
        self.run(
            "INSERT INTO domain (name, plan, active, monthly_render_limit, renders_used, \
             period_start, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                domain.name,
                domain.plan.name(),
                domain.active,
                domain.monthly_render_limit.map(number),
                number(domain.usage.renders_used),
                domain.usage.period_start,
                domain.created_at,
            ],
        )?;
        for (place, path) in (0_i64..).zip(known_paths) {
            self.run(
                "INSERT INTO known_path (domain, place, path) VALUES (?1, ?2, ?3)",
                params![domain.name, place, path],
            )?;
        }
        Ok(())
    }

    fn templates(&self, write: &Write) -> Read<()> {
        match write {
            Write::InsertTemplate { template, draft } => {
                self.insert_template(template, &text(&**draft))?;
                match &template.current {
                    Some(version) => self.insert_version(template.id, version),
                    None => Ok(()),
                }
            }
            Write::PublishVersion { template, version } => {
                self.run(
                    "UPDATE template SET current_version = ?2, revision = revision + 1 \
                     WHERE id = ?1",
                    params![blob(template), version.number],
                )?;
                self.insert_version(*template, version)
            }
            Write::SetRequireSignature { template, required } => self.run(
                "UPDATE template SET require_signature = ?2, revision = revision + 1 \
                 WHERE id = ?1",
                params![blob(template), required],
            ),
            Write::DeleteTemplate(id) => {
                self.run("DELETE FROM template WHERE id = ?1", [blob(id)])?;
                self.run("DELETE FROM template_version WHERE template = ?1", [blob(id)])
            }
            Write::InsertKey { project, hash } => {
                self.run("INSERT INTO project_key (hash, project) VALUES (?1, ?2)", params![&hash[..], project])
            }
            Write::InsertSubscription(subscription) => self.insert_subscription(subscription),
            other => unreachable!("apply sends no {other:?} here"),
        }
    }

    fn insert_template(&self, template: &Template, draft: &str) -> Read<()> {
        self.run(
            "INSERT INTO template (id, slug, project, token_hash, secret, require_signature, \
             current_version, draft, revision) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                blob(&template.id),
                template.slug,
                template.project,
                &template.token_hash[..],
                template.secret.expose(),
                template.require_signature,
                template.current.as_ref().map(|version| version.number),
                draft,
                number(template.revision),
            ],
        )
    }

    fn insert_version(&self, template: Uuid, version: &Version) -> Read<()> {
        self.run(
            "INSERT INTO template_version (template, number, manifest) VALUES (?1, ?2, ?3)",
            params![blob(&template), version.number, text(&*version.manifest)],
        )
    }

    fn insert_subscription(&self, subscription: &Subscription) -> Read<()> {
        self.run(
            "INSERT INTO subscription (id, project, url, secret, events) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                blob(&subscription.id),
                subscription.project,
                subscription.url,
                subscription.secret.expose(),
                text(&subscription.events),
            ],
        )
    }

    fn queues(&self, write: &Write) -> Read<()> {
        match write {
            Write::InsertRender(render) => self.insert_render(render),
            Write::LeaseRenders { up_to, real_now, until } => self.run(
                "UPDATE render_queue SET lease_until = ?3 WHERE render <= ?1 AND lease_until <= ?2",
                params![blob(up_to), real_now, until],
            ),
            Write::FinishRender { id, status, completed_at } => {
                self.run("DELETE FROM render_queue WHERE render = ?1", [blob(id)])?;
                self.run(
                    "INSERT INTO render_outcome (render, status, completed_at) VALUES (?1, ?2, ?3)",
                    params![blob(id), status.name(), completed_at],
                )
            }
            Write::InsertDelivery(delivery) => self.insert_delivery(delivery),
            Write::LeaseDelivery { id, until } => {
                self.run("UPDATE delivery SET lease_until = ?2 WHERE id = ?1", params![blob(id), until])
            }
            Write::UpdateDelivery { id, attempts, due_at, state } => self.run(
                "UPDATE delivery SET attempts = ?2, due_at = ?3, state = ?4, lease_until = 0 \
                 WHERE id = ?1",
                params![blob(id), attempts, due_at, state.name()],
            ),
            Write::SetClock(now) => self.run(
                "INSERT INTO setting (name, value) VALUES ('clock', ?1) \
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                [now],
            ),
            Write::ReleaseLeases => {
                self.run("UPDATE render_queue SET lease_until = 0 WHERE lease_until > 0", [])?;
                self.run(
                    "UPDATE delivery SET lease_until = 0 \
                     WHERE state = 'pending' AND lease_until > 0",
                    [],
                )
            }
            other => unreachable!("apply sends no {other:?} here"),
        }
    }

    fn insert_render(&self, render: &Render) -> Read<()> {
        self.run(
            "INSERT INTO render (id, project, template, slug, version, idempotency_key, created_at, data) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                blob(&render.id),
                render.project,
                blob(&render.template_id),
                render.slug,
                render.version,
                render.idempotency_key,
                render.created_at,
                &*render.data,
            ],
        )?;
        self.run("INSERT INTO render_queue (render, lease_until) VALUES (?1, 0)", [blob(&render.id)])
    }

    fn insert_delivery(&self, delivery: &Delivery) -> Read<()> {
        self.run(
            "INSERT INTO delivery (id, subscription, event, body, attempts, due_at, lease_until, \
             state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7)",
            params![
                blob(&delivery.id),
                blob(&delivery.subscription),
                delivery.event,
                delivery.body,
                delivery.attempts,
                delivery.due_at,
                delivery.state.name(),
            ],
        )
    }
}

fn blob(id: &Uuid) -> &[u8] {
    id.as_bytes()
}

/// SQLite's integers are signed; a count that large is as good as endless.
fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("lists of strings and manifests have string keys only")
}
