//! What the tables do not hold: changes that are only in the journal so far, and the queue's leases.

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;
use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::failed;
use crate::clock::Millis;
use crate::store::Read;
use crate::store::records::{Refresh, Render, RenderStatus, Usage, Write};

/// The part of the state that lives in memory. There are two: the writer's own, which has the changes of
/// the batch under way, and the one that readers share, which has what is committed.
#[derive(Clone, Default)]
pub(super) struct Live {
    pub(super) changes: Changes,
    pub(super) queue: Queue,
}

impl Live {
    /// Follows a change that goes into the journal.
    pub(super) fn follow(&mut self, write: Write) {
        self.queue.follow(&write);
        self.changes.follow(write);
    }

    /// A render that the journal has, as it stands.
    pub(super) fn render(&self, id: Uuid) -> Option<Render> {
        let render = self.changes.renders.get(&id)?.clone();
        Some(self.standing(render))
    }

    /// A render, from the journal or from its table, with what is newer than either.
    pub(super) fn standing(&self, mut render: Render) -> Render {
        if let Some(outcome) = self.changes.outcomes.get(&render.id) {
            render.status = outcome.status;
            render.completed_at = Some(outcome.completed_at);
        } else if self.queue.leases.get(&render.id).is_some_and(|until| *until > 0) {
            render.status = RenderStatus::Rendering;
        }
        render
    }
}

/// How a render ended.
#[derive(Clone, Copy)]
pub(super) struct Outcome {
    pub(super) status: RenderStatus,
    pub(super) completed_at: Millis,
}

/// New renders, by their ids.
pub(super) type Renders = FxHashMap<Uuid, Render>;

/// How renders ended, by their ids.
pub(super) type Outcomes = FxHashMap<Uuid, Outcome>;

/// What the changes in the journal amount to: of what changes again and again, the last value.
#[derive(Clone, Default)]
pub(super) struct Changes {
    pub(super) windows: HashMap<String, Vec<i64>>,
    pub(super) usages: HashMap<String, Usage>,
    /// In the order of their acceptance.
    pub(super) refreshes: Vec<Refresh>,
    pub(super) renders: Renders,
    /// Project and idempotency key of those renders that have one.
    pub(super) keys: HashMap<(String, String), Uuid>,
    pub(super) outcomes: Outcomes,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        let Changes { windows, usages, refreshes, renders, keys: _, outcomes } = self;
        windows.is_empty() && usages.is_empty() && refreshes.is_empty() && renders.is_empty() && outcomes.is_empty()
    }

    pub(super) fn follow(&mut self, write: Write) {
        match write {
            Write::PutWindow { key, state } => drop(self.windows.insert(key, state)),
            Write::SetUsage { domain, usage } => drop(self.usages.insert(domain, usage)),
            Write::AppendRefresh(refresh) => self.refreshes.push(refresh),
            Write::InsertRender(render) => {
                if let Some(key) = &render.idempotency_key {
                    self.keys.insert((render.project.clone(), key.clone()), render.id);
                }
                self.renders.insert(render.id, render);
            }
            Write::FinishRender { id, status, completed_at } => {
                self.outcomes.insert(id, Outcome { status, completed_at });
            }
            // The others are never in the journal.
            _ => {}
        }
    }
}

/// Renders that are not finished.
#[derive(Clone, Default)]
pub(super) struct Queue {
    /// When the lease of each ends, in real time; 0: nobody has it.
    leases: BTreeMap<Uuid, Millis>,
}

impl Queue {
    /// The queue as the tables have it; nobody has a lease yet.
    pub(super) fn load(connection: &Connection) -> Read<Queue> {
        let step = failed("reading the queue");
        let mut statement = connection.prepare("SELECT render FROM render_queue ORDER BY render").map_err(&step)?;
        let ids = statement.query_map([], |row| Ok((Uuid::from_bytes(row.get(0)?), 0))).map_err(&step)?;
        Ok(Queue { leases: ids.collect::<rusqlite::Result<_>>().map_err(step)? })
    }

    pub(super) fn len(&self) -> usize {
        self.leases.len()
    }

    /// Renders whose lease is over, in the order of their ids.
    pub(super) fn waiting(&self, real_now: Millis, limit: u32) -> impl Iterator<Item = Uuid> {
        self.leases.iter().filter(move |(_, until)| **until <= real_now).map(|(id, _)| *id).take(limit as usize)
    }

    pub(super) fn follow(&mut self, write: &Write) {
        match write {
            Write::InsertRender(render) => drop(self.leases.insert(render.id, 0)),
            Write::FinishRender { id, .. } => drop(self.leases.remove(id)),
            Write::LeaseRenders { up_to, real_now, until } => {
                for (_, lease) in self.leases.range_mut(..=up_to).filter(|(_, lease)| **lease <= *real_now) {
                    *lease = *until;
                }
            }
            Write::ReleaseLeases => self.leases.values_mut().for_each(|lease| *lease = 0),
            // The others do not concern the queue.
            _ => {}
        }
    }
}
