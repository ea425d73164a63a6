//! Versions of a template: none yet, the first, a later one.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::StatusCode;
use serde_json::json;
use uuid::Uuid;

use super::wraps::{decided_by, edit, refused, refusing};
use crate::craftkit::manifest::Manifest;
use crate::craftkit::rules::decide_hook;
use crate::craftkit::wire::{Refusal, refuse};
use crate::deviations::Deviation;
use crate::http::Answer;
use crate::parts::{BoundedQueue, Parts, Queue, QueueState};
use crate::store::records::{Render, Version, Write};

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        name: "unpublished-accepted",
        defect: "accepts bodies for a template that was never published",
        why: "the draft is rendered, and nobody looks whether there is more than a draft",
        turns_red: &["craftkit.version.unpublished"],
        consequences: &[],
        change: |parts| {
            decided_by(parts, |judges, state, command, now| {
                let mut state = state.clone();
                if let Some(template) = &mut state.template {
                    let draft = Manifest { variables: Vec::new(), loops: Vec::new() };
                    template.current.get_or_insert_with(|| Version { number: 1, manifest: Arc::new(draft) });
                }
                decide_hook(judges, &state, command, now)
            })
        },
    },
    Deviation {
        name: "unpublished-404",
        defect: "knows no template that was never published",
        why: "the lookup joins templates with their versions",
        turns_red: &["craftkit.version.unpublished"],
        consequences: &[],
        change: |parts| unpublished_answered(parts, |answer| *answer = refuse(&Refusal::InvalidToken)),
    },
    Deviation {
        name: "unpublished-400",
        defect: "answers for a template that was never published with 400",
        why: "every refusal of the hook is a 400 there",
        turns_red: &["craftkit.version.unpublished"],
        consequences: &[],
        change: |parts| unpublished_answered(parts, |answer| answer.status = StatusCode::BAD_REQUEST),
    },
    Deviation {
        name: "unpublished-500",
        defect: "fails for a template that was never published",
        why: "the version is null, and its manifest is read all the same",
        turns_red: &["craftkit.version.unpublished"],
        consequences: &[],
        change: |parts| unpublished_answered(parts, |answer| answer.status = StatusCode::INTERNAL_SERVER_ERROR),
    },
    Deviation {
        name: "unpublished-another-code",
        defect: "gives a template that was never published the code `template_not_published`",
        why: "the code was made up from the text",
        turns_red: &["craftkit.version.unpublished"],
        consequences: &[],
        change: |parts| {
            unpublished_answered(parts, |answer| {
                edit(answer, |body| body["error"]["code"] = json!("template_not_published"));
            })
        },
    },
    Deviation {
        name: "unpublished-remembered",
        defect: "remembers for good that a template was not published",
        why: "the absence of a version is cached, and publishing does not clear the cache",
        turns_red: &["craftkit.version.published-later"],
        consequences: &[],
        change: |parts| {
            let remembered: Mutex<HashSet<Uuid>> = Mutex::default();
            decided_by(parts, move |judges, state, command, now| {
                let decision = decide_hook(judges, state, command, now);
                let id = state.template.as_ref().map(|template| template.id);
                let mut remembered = remembered.lock().unwrap_or_else(PoisonError::into_inner);
                if decision.reply == Err(Refusal::NoPublishedVersion) {
                    remembered.extend(id);
                }
                if id.is_some_and(|id| remembered.contains(&id)) {
                    return refused(Refusal::NoPublishedVersion);
                }
                decision
            })
        },
    },
    Deviation {
        name: "manifest-remembered",
        defect: "judges by the manifest that a template had first",
        why: "the compiled schema is cached by template and never thrown away",
        turns_red: &["craftkit.version.manifest"],
        consequences: &[],
        change: |parts| {
            let first: Mutex<HashMap<Uuid, Arc<Manifest>>> = Mutex::default();
            decided_by(parts, move |judges, state, command, now| {
                let mut state = state.clone();
                if let Some(template) = &mut state.template
                    && let Some(version) = &mut template.current
                {
                    let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
                    let manifest = first.entry(template.id).or_insert_with(|| version.manifest.clone());
                    version.manifest = manifest.clone();
                }
                decide_hook(judges, &state, command, now)
            })
        },
    },
    Deviation {
        name: "version-one-always",
        defect: "records every render under version 1",
        why: "the version is a default of the table, and nobody sets it",
        turns_red: &["craftkit.version.current"],
        consequences: &[],
        change: |parts| Parts { queue: Arc::new(VersionOne), ..parts },
    },
];

fn unpublished_answered(parts: Parts, change: fn(&mut Answer)) -> Parts {
    refusing(parts, move |refusal, answer| {
        if *refusal == Refusal::NoPublishedVersion {
            change(answer);
        }
    })
}

struct VersionOne;

impl Queue for VersionOne {
    fn admits(&self, state: &QueueState) -> bool {
        BoundedQueue.admits(state)
    }

    fn enqueue(&self, render: Render) -> Vec<Write> {
        BoundedQueue.enqueue(Render { version: 1, ..render })
    }
}
