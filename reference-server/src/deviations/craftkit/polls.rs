//! Polls: whose key opens which render, and what they show.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderValue};
use serde_json::{Value, json};
use uuid::Uuid;

use super::fixtures::created;
use super::wraps::{answering, edged, edit, hook_token, polled_id, refusing};
use crate::craftkit::wire::{Refusal, refuse};
use crate::deviations::Deviation;
use crate::http::{Answer, Inbound};
use crate::parts::{Edge, Parts, Renderer};
use crate::store::records::{QueuedRender, RenderStatus};

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        name: "poll-without-a-key",
        defect: "shows a render to anybody who knows its id",
        why: "the id cannot be guessed, so it was thought to be enough",
        turns_red: &["craftkit.poll.requires-key"],
        consequences: &[],
        change: |parts| edged(parts, OpenedBy::new(|key| key.is_none())),
    },
    Deviation {
        name: "poll-by-any-key",
        defect: "shows a render to every project",
        why: "the key is checked, and the project it opens is not compared",
        turns_red: &["craftkit.poll.foreign-key"],
        consequences: &[],
        change: |parts| edged(parts, OpenedBy::new(|key| key.is_some())),
    },
    Deviation {
        name: "poll-own-404",
        defect: "finds no render by the key of its project",
        why: "inbound renders are stored without a project",
        turns_red: &["craftkit.poll.own-key"],
        consequences: &[],
        change: |parts| shown_as(parts, |answer| *answer = refuse(&Refusal::RenderNotFound)),
    },
    Deviation {
        name: "poll-own-403",
        defect: "refuses the key of the render's project with 403",
        why: "the key's scopes are those of the render route",
        turns_red: &["craftkit.poll.own-key"],
        consequences: &[],
        change: |parts| {
            shown_as(parts, |answer| {
                *answer = refuse(&Refusal::Unauthorized);
                answer.status = StatusCode::FORBIDDEN;
            })
        },
    },
    Deviation {
        name: "poll-foreign-403",
        defect: "tells another project's key that there is such a render, with 403",
        why: "the render is found first and its owner looked at then",
        turns_red: &["craftkit.poll.foreign-key"],
        consequences: &[],
        change: |parts| {
            refusing(parts, |refusal, answer| {
                if *refusal == Refusal::RenderNotFound {
                    answer.status = StatusCode::FORBIDDEN;
                    edit(answer, |body| body["error"]["code"] = json!("forbidden"));
                }
            })
        },
    },
    Deviation {
        name: "poll-shows-another-id",
        defect: "shows the id of the job where the render's belongs",
        why: "job and render are two rows with an id each",
        turns_red: &["craftkit.poll.shape"],
        consequences: &[],
        change: |parts| shown_as(parts, |answer| edit(answer, |body| body["id"] = json!(Uuid::nil().to_string()))),
    },
    Deviation {
        name: "poll-shows-the-queue-s-words",
        defect: "names the states of a render as the queue does",
        why: "the job's state is passed on",
        turns_red: &["craftkit.poll.shape"],
        consequences: &[],
        change: |parts| shown_as(parts, |answer| edit(answer, name_as_the_queue)),
    },
    Deviation {
        name: "render-never-finishes",
        defect: "leaves inbound renders in the queue",
        why: "the worker listens to another queue than the hook writes to",
        turns_red: &["craftkit.poll.finishes"],
        consequences: &[],
        change: |parts| Parts { renderer: Arc::new(Idle), ..parts },
    },
];

/// Changes polls that show a render.
fn shown_as(parts: Parts, change: fn(&mut Answer)) -> Parts {
    answering(parts, move |request, answer| {
        if polled_id(request).is_some() && answer.status == StatusCode::OK {
            change(answer);
        }
    })
}

fn name_as_the_queue(body: &mut Value) {
    body["status"] = match body["status"].as_str() {
        Some("queued") => json!("waiting"),
        Some("rendering") => json!("active"),
        _ => json!("completed"),
    };
}

struct Idle;

impl Renderer for Idle {
    fn finish(&self, _render: &QueuedRender) -> Option<RenderStatus> {
        None
    }
}

/// Puts the key of a render's project in the place of some others.
struct OpenedBy {
    replaced: fn(Option<&HeaderValue>) -> bool,
    /// Keys by the token of their template.
    of_tokens: Mutex<HashMap<String, String>>,
    /// Keys by the id of a render.
    of_renders: Mutex<HashMap<String, String>>,
}

impl OpenedBy {
    fn new(replaced: fn(Option<&HeaderValue>) -> bool) -> OpenedBy {
        OpenedBy { replaced, of_tokens: Mutex::default(), of_renders: Mutex::default() }
    }
}

impl Edge for OpenedBy {
    fn request(&self, request: &mut Inbound) {
        let renders = self.of_renders.lock().unwrap_or_else(PoisonError::into_inner);
        let key = polled_id(request).and_then(|id| renders.get(id));
        if let Some(key) = key.filter(|_| (self.replaced)(request.headers.get(AUTHORIZATION))) {
            let value = HeaderValue::from_str(&format!("Bearer {key}")).expect("keys are of plain characters");
            request.headers.insert(AUTHORIZATION, value);
        }
    }

    fn answer(&self, request: &Inbound, answer: &mut Answer) {
        let mut tokens = self.of_tokens.lock().unwrap_or_else(PoisonError::into_inner);
        for template in created(request, answer) {
            tokens.insert(template.text("inbound_token"), template.text("api_key"));
        }
        if let Some(key) = hook_token(request).and_then(|token| tokens.get(token)) {
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let id = body["id"].as_str().map(str::to_owned);
            let renders = &mut self.of_renders.lock().unwrap_or_else(PoisonError::into_inner);
            renders.extend(id.map(|id| (id, key.clone())));
        }
    }
}
