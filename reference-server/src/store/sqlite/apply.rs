//! What the control plane and the courier change, made to the tables at once: one statement or a few for each.

use rusqlite::{Connection, Params, params};
use serde::Serialize;
use uuid::Uuid;

use super::failed;
use crate::store::Read;
use crate::store::records::{Delivery, Domain, Subscription, Template, Version, Write};

/// Makes one change; those that go into the journal are not for this function.
pub(super) fn apply(connection: &Connection, write: &Write) -> Read<()> {
    let db = Statements(connection);
    match write {
        Write::InsertDomain { .. }
        | Write::UpdateDomain(_)
        | Write::DeleteDomain(_)
        | Write::InsertToken { .. }
        | Write::RevokeToken(_)
        | Write::DeleteWindow(_) => db.domains(write),
        Write::InsertTemplate { .. }
        | Write::PublishVersion { .. }
        | Write::SetRequireSignature { .. }
        | Write::DeleteTemplate(_)
        | Write::InsertKey { .. }
        | Write::InsertSubscription(_) => db.templates(write),
        Write::InsertDelivery(_)
        | Write::LeaseDelivery { .. }
        | Write::UpdateDelivery { .. }
        | Write::SetClock(_)
        | Write::ReleaseLeases => db.deliveries(write),
        // A lease ends with this process, so it is not written down.
        Write::LeaseRenders { .. } => Ok(()),
        Write::PutWindow { .. }
        | Write::SetUsage { .. }
        | Write::AppendRefresh(_)
        | Write::InsertRender(_)
        | Write::FinishRender { .. } => unreachable!("the journal takes {write:?}"),
    }
}

/// Statements of the writer, compiled once.
pub(super) struct Statements<'a>(pub(super) &'a Connection);

impl Statements<'_> {
    pub(super) fn run(&self, sql: &'static str, params: impl Params) -> Read<()> {
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
            Write::DeleteWindow(key) => self.run("DELETE FROM rate_window WHERE key = ?1", [key]),
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

    fn deliveries(&self, write: &Write) -> Read<()> {
        match write {
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
                self.run("UPDATE delivery SET lease_until = 0 WHERE state = 'pending' AND lease_until > 0", [])
            }
            other => unreachable!("apply sends no {other:?} here"),
        }
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

pub(super) fn blob(id: &Uuid) -> &[u8] {
    id.as_bytes()
}

/// SQLite's integers are signed; a count that large is as good as endless.
pub(super) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("lists of strings and manifests have string keys only")
}
