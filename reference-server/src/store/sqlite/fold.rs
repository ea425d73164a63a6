//! Folding: the changes in the journal are made to their tables.
//!
//! What was changed many times since the last time is written once, so a change costs less here than it
//! would have in a commit of its own.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::apply::{Statements, blob, number, text};
use super::journal::{self, Position};
use super::live::{Changes, Outcome, Outcomes, Renders};
use super::{failed, run};
use crate::store::Read;
use crate::store::records::{Refresh, Render};

/// Makes the changes to their tables and clears the journal, inside the transaction that is open; gives the
/// position from which the journal goes on.
pub(super) fn fold(connection: &Connection, changes: &Changes, journal: Position) -> Read<Position> {
    let db = Statements(connection);
    let Changes { windows, usages, refreshes, renders, keys: _, outcomes } = changes;
    for (key, state) in windows {
        let bytes: Vec<u8> = state.iter().flat_map(|n| n.to_le_bytes()).collect();
        db.run(
            "INSERT INTO rate_window (key, state) VALUES (?1, ?2) \
             ON CONFLICT (key) DO UPDATE SET state = excluded.state",
            params![key, bytes],
        )?;
    }
    for (domain, usage) in usages {
        db.run(
            "UPDATE domain SET renders_used = ?2, period_start = ?3 WHERE name = ?1",
            params![domain, number(usage.renders_used), usage.period_start],
        )?;
    }
    append_refreshes(&db, refreshes)?;
    insert_renders(&db, renders, outcomes)?;
    finish_renders(&db, renders, outcomes)?;
    journal.clear(connection)
}

/// Makes what a process before this one has left in the journal to its tables.
pub(super) fn replay(connection: &Connection) -> Read<Position> {
    run(connection, "BEGIN IMMEDIATE")?;
    let mut changes = Changes::default();
    let (writes, found) = journal::read(connection)?;
    writes.into_iter().for_each(|write| changes.follow(write));
    let position = if changes.is_empty() { found } else { fold(connection, &changes, found)? };
    run(connection, "COMMIT")?;
    Ok(position)
}

/// Chains each refresh to the one before of its domain; those of a domain that does not exist are dropped.
fn append_refreshes(db: &Statements<'_>, refreshes: &[Refresh]) -> Read<()> {
    let step = failed("inserting refreshes");
    let sql = "INSERT INTO refresh (previous, domain, accepted_at, full, paths) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = db.0.prepare_cached(sql).map_err(&step)?;
    let mut last: HashMap<&str, Option<Option<i64>>> = HashMap::new();
    for refresh in refreshes {
        let chain = match last.get_mut(&*refresh.domain) {
            Some(chain) => chain,
            None => last.entry(&refresh.domain).or_insert(last_refresh(db, &refresh.domain)?),
        };
        let Some(previous) = chain else { continue };
        let paths = text(&refresh.paths);
        let values = params![*previous, refresh.domain, refresh.accepted_at, refresh.full, paths];
        *previous = Some(insert.insert(values).map_err(&step)?);
    }
    for (domain, chain) in last {
        if let Some(seq) = chain {
            db.run("UPDATE domain SET last_refresh = ?2 WHERE name = ?1", params![domain, seq])?;
        }
    }
    Ok(())
}

/// None for a domain that does not exist; for one without a refresh, none inside.
fn last_refresh(db: &Statements<'_>, domain: &str) -> Read<Option<Option<i64>>> {
    let step = failed("looking for a domain's last refresh");
    let mut statement = db.0.prepare_cached("SELECT last_refresh FROM domain WHERE name = ?1").map_err(&step)?;
    statement.query_row([domain], |row| row.get(0)).optional().map_err(step)
}

/// In the order of their ids, in which their table is kept.
fn insert_renders(db: &Statements<'_>, renders: &Renders, outcomes: &Outcomes) -> Read<()> {
    let step = failed("inserting renders");
    let sql = "INSERT INTO render (id, project, template, slug, version, idempotency_key, created_at, data, \
               status, completed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let mut insert = db.0.prepare_cached(sql).map_err(&step)?;
    let mut sorted: Vec<&Render> = renders.values().collect();
    sorted.sort_unstable_by_key(|render| render.id);
    for render in sorted {
        let outcome = outcomes.get(&render.id);
        let values = params![
            blob(&render.id),
            render.project,
            blob(&render.template_id),
            render.slug,
            render.version,
            render.idempotency_key,
            render.created_at,
            &*render.data,
            outcome.map(|outcome| outcome.status.name()),
            outcome.map(|outcome| outcome.completed_at),
        ];
        insert.execute(values).map_err(&step)?;
        if outcome.is_none() {
            db.run("INSERT INTO render_queue (render) VALUES (?1)", [blob(&render.id)])?;
        }
    }
    Ok(())
}

/// Those that were inserted before.
fn finish_renders(db: &Statements<'_>, renders: &Renders, outcomes: &Outcomes) -> Read<()> {
    let mut sorted: Vec<_> = outcomes.iter().filter(|(id, _)| !renders.contains_key(id)).collect();
    sorted.sort_unstable_by_key(|(id, _)| **id);
    for (id, Outcome { status, completed_at }) in sorted {
        db.run("DELETE FROM render_queue WHERE render = ?1", [blob(id)])?;
        db.run(
            "INSERT INTO render_outcome (render, status, completed_at) VALUES (?1, ?2, ?3) \
             ON CONFLICT (render) DO UPDATE SET status = excluded.status, completed_at = excluded.completed_at",
            params![blob(id), status.name(), completed_at],
        )?;
    }
    Ok(())
}
