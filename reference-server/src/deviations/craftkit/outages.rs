//! Outages of the render queue.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use super::fixtures::queue_set;
use super::wraps::{decided_by, edged, edit, hook_token, polled_id, refused, refusing, unstored};
use crate::craftkit::rules::{HookState, decide_hook};
use crate::craftkit::wire::{Refusal, refuse};
use crate::deviations::Deviation;
use crate::http::{Answer, Inbound};
use crate::parts::{BoundedQueue, Edge, Parts, Queue, QueueState};
use crate::store::records::{Render, Write};

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        name: "outage-accepted",
        defect: "accepts requests while the queue cannot be reached",
        why: "renders are stored first and queued by a job that comes round later",
        turns_red: &["craftkit.queue.unavailable"],
        consequences: &[],
        change: |parts| Parts { queue: Arc::new(NeverDown), ..parts },
    },
    Deviation {
        name: "outage-500",
        defect: "fails while the queue cannot be reached",
        why: "the queue's client throws and nobody catches",
        turns_red: &["craftkit.queue.unavailable"],
        consequences: &[],
        change: |parts| {
            outage_answered(parts, |answer| {
                answer.status = StatusCode::INTERNAL_SERVER_ERROR;
                edit(answer, |body| body["error"]["code"] = json!("internal"));
            })
        },
    },
    Deviation {
        name: "outage-429",
        defect: "answers with 429 while the queue cannot be reached",
        why: "back pressure and outage are handled alike",
        turns_red: &["craftkit.queue.unavailable"],
        consequences: &[],
        change: |parts| outage_answered(parts, |answer| answer.status = StatusCode::TOO_MANY_REQUESTS),
    },
    Deviation {
        name: "outage-another-code",
        defect: "gives an outage of the queue the code `service_unavailable`",
        why: "that is the name of the status",
        turns_red: &["craftkit.queue.unavailable"],
        consequences: &[],
        change: |parts| {
            outage_answered(parts, |answer| edit(answer, |body| body["error"]["code"] = json!("service_unavailable")))
        },
    },
    Deviation {
        name: "outage-retry-is-a-conflict",
        defect: "takes the retry of a request that it refused for a duplicate",
        why: "the request is remembered before it is queued, and not forgotten when that fails",
        turns_red: &["craftkit.queue.recovers"],
        consequences: &[],
        change: |parts| {
            let failed: Mutex<HashSet<Bytes>> = Mutex::default();
            decided_by(parts, move |judges, state, command, now| {
                if !state.queue.available {
                    failed.lock().unwrap_or_else(PoisonError::into_inner).insert(command.raw.clone());
                } else if failed.lock().unwrap_or_else(PoisonError::into_inner).contains(&command.raw) {
                    return refused(Refusal::NoPublishedVersion);
                }
                decide_hook(judges, state, command, now)
            })
        },
    },
    Deviation {
        name: "outage-breaker-stays-open",
        defect: "never tries the queue again for a template that an outage has hit",
        why: "the circuit breaker closes on a success, and lets none happen",
        turns_red: &["craftkit.queue.recovers"],
        consequences: &[],
        change: |parts| {
            let broken: Mutex<HashSet<Uuid>> = Mutex::default();
            decided_by(parts, move |judges, state, command, now| {
                let id = state.template.as_ref().map(|template| template.id);
                let mut broken = broken.lock().unwrap_or_else(PoisonError::into_inner);
                if !state.queue.available {
                    broken.extend(id);
                }
                let open = id.is_some_and(|id| broken.contains(&id));
                let queue = QueueState { available: !open && state.queue.available, ..state.queue };
                decide_hook(judges, &HookState { queue, ..state.clone() }, command, now)
            })
        },
    },
    Deviation {
        name: "outage-swallows",
        defect: "accepts requests while the queue cannot be reached, and loses them",
        why: "the call to the queue is not waited for, and its failure goes to the log",
        turns_red: &["craftkit.queue.unavailable", "craftkit.queue.nothing-lost"],
        consequences: &[],
        change: |parts| {
            decided_by(parts, |judges, state, command, now| {
                let queue = QueueState { available: true, ..state.queue };
                let decision = decide_hook(judges, &HookState { queue, ..state.clone() }, command, now);
                match decision.reply {
                    Ok(accepted) if !state.queue.available => unstored(accepted),
                    _ => decision,
                }
            })
        },
    },
    Deviation {
        name: "outage-retry-swallowed",
        defect: "answers the retry of a request that it refused with 202 and stores nothing",
        why: "the retry is taken for a duplicate of what was remembered and never queued",
        turns_red: &["craftkit.queue.nothing-lost"],
        consequences: &[],
        change: |parts| {
            let failed: Mutex<HashSet<Bytes>> = Mutex::default();
            decided_by(parts, move |judges, state, command, now| {
                let decision = decide_hook(judges, state, command, now);
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                if !state.queue.available {
                    failed.insert(command.raw.clone());
                }
                match decision.reply {
                    Ok(accepted) if failed.contains(&command.raw) => unstored(accepted),
                    _ => decision,
                }
            })
        },
    },
    Deviation {
        name: "outage-forgets-the-queue",
        defect: "loses the renders that were accepted before an outage",
        why: "the queue is the only place where they are, and it lives in memory",
        turns_red: &["craftkit.queue.nothing-lost"],
        consequences: &[],
        change: |parts| edged(parts, Forgetful::default()),
    },
    Deviation {
        name: "poll-reads-the-queue",
        defect: "finds no render while the queue cannot be reached",
        why: "polls ask the queue for the job, and an error there is taken for a job that is not there",
        turns_red: &["craftkit.queue.nothing-lost"],
        consequences: &[],
        change: |parts| edged(parts, PollsTheQueue(Mutex::new(true))),
    },
];

fn outage_answered(parts: Parts, change: fn(&mut Answer)) -> Parts {
    refusing(parts, move |refusal, answer| {
        if *refusal == Refusal::QueueUnavailable {
            change(answer);
        }
    })
}

struct NeverDown;

impl Queue for NeverDown {
    fn admits(&self, state: &QueueState) -> bool {
        BoundedQueue.admits(&QueueState { available: true, ..*state })
    }

    fn enqueue(&self, render: Render) -> Vec<Write> {
        BoundedQueue.enqueue(render)
    }
}

/// Remembers what was accepted, and from an outage on finds none of it.
#[derive(Default)]
struct Forgetful {
    accepted: Mutex<HashSet<String>>,
    lost: Mutex<HashSet<String>>,
}

impl Edge for Forgetful {
    fn answer(&self, request: &Inbound, answer: &mut Answer) {
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if queue_set(request) == Some(false) {
            lost.extend(accepted.drain());
        } else if hook_token(request).is_some() && answer.status == StatusCode::ACCEPTED {
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            accepted.extend(body["id"].as_str().map(str::to_owned));
        } else if polled_id(request).is_some_and(|id| lost.contains(id)) {
            *answer = refuse(&Refusal::RenderNotFound);
        }
    }
}

/// Knows whether the queue can be reached.
struct PollsTheQueue(Mutex<bool>);

impl Edge for PollsTheQueue {
    fn answer(&self, request: &Inbound, answer: &mut Answer) {
        let mut reached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *reached = queue_set(request).unwrap_or(*reached);
        if polled_id(request).is_some() && !*reached {
            *answer = refuse(&Refusal::RenderNotFound);
        }
    }
}
