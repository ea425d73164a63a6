//! The token in the URL: which are known, and which template they stand for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hyper::StatusCode;
use serde_json::json;
use uuid::Uuid;

use super::fixtures::created;
use super::wraps::{decided_by, edged, edit, hook_token, redirect, refusing};
use crate::clock::real_now;
use crate::craftkit::rules::decide_hook;
use crate::craftkit::wire::{Refusal, queued};
use crate::deviations::Deviation;
use crate::http::{Answer, Inbound};
use crate::parts::{Edge, Issuer as _, Parts, RandomIssuer};
use crate::store::records::Version;

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        name: "unknown-token-401",
        defect: "answers an unknown token with 401",
        why: "an unknown credential is an authentication failure to most frameworks",
        turns_red: &["craftkit.token.unknown"],
        consequences: &[],
        change: |parts| unknown_answered(parts, |answer| answer.status = StatusCode::UNAUTHORIZED),
    },
    Deviation {
        name: "unknown-token-403",
        defect: "answers an unknown token with 403",
        why: "a policy engine denies what it does not know",
        turns_red: &["craftkit.token.unknown"],
        consequences: &[],
        change: |parts| unknown_answered(parts, |answer| answer.status = StatusCode::FORBIDDEN),
    },
    Deviation {
        name: "unknown-token-another-code",
        defect: "answers an unknown token with the code `template_not_found`",
        why: "what could not be found is a template",
        turns_red: &["craftkit.token.unknown"],
        consequences: &[],
        change: |parts| {
            unknown_answered(parts, |answer| edit(answer, |body| body["error"]["code"] = json!("template_not_found")))
        },
    },
    Deviation {
        name: "unknown-token-accepted",
        defect: "answers any token with 202 and drops what nobody wants",
        why: "the hook only writes to a queue, and whoever reads it looks the token up",
        // A slug or an id in the token's place is an unknown token as well.
        turns_red: &["craftkit.token.unknown", "craftkit.token.not-an-id"],
        consequences: &[],
        change: |parts| {
            unknown_answered(parts, |answer| {
                *answer = queued(RandomIssuer.render_id(real_now()), "http://127.0.0.1");
            })
        },
    },
    Deviation {
        name: "token-cut-off",
        defect: "finds a template by the beginning of its token",
        why: "the lookup is a LIKE with a wildcard at its end",
        turns_red: &["craftkit.token.unknown"],
        consequences: &[],
        change: |parts| also_known_as(parts, "inbound_token", |known, given| known.starts_with(given)),
    },
    Deviation {
        name: "token-lengthened",
        defect: "finds a template by a token with more behind it",
        why: "the column is as long as a token, and what is longer is cut before it is compared",
        turns_red: &["craftkit.token.unknown"],
        consequences: &[],
        change: |parts| also_known_as(parts, "inbound_token", |known, given| given.starts_with(known)),
    },
    Deviation {
        name: "slug-for-token",
        defect: "finds a template by its slug as well",
        why: "the lookup is shared with the render route",
        turns_red: &["craftkit.token.not-an-id"],
        consequences: &[],
        change: |parts| also_known_as(parts, "slug", |known, given| known == given),
    },
    Deviation {
        name: "template-id-for-token",
        defect: "finds a template by its id as well",
        why: "old hooks had the id in their URLs, and those URLs were kept alive",
        turns_red: &["craftkit.token.not-an-id"],
        consequences: &[],
        change: |parts| also_known_as(parts, "template_id", |known, given| known == given),
    },
    Deviation {
        name: "secret-for-token",
        defect: "takes the secret for the token",
        why: "one table of credentials serves both",
        turns_red: &["craftkit.token.not-an-id"],
        consequences: &[],
        change: |parts| also_known_as(parts, "inbound_secret", |known, given| known == given),
    },
    Deviation {
        name: "manifest-of-the-first-template",
        defect: "judges every body by the manifest of the project's first template",
        why: "the manifest is cached by project",
        turns_red: &["craftkit.token.selects-template"],
        consequences: &[],
        change: |parts| judged_by_sibling(parts, |kept, other| kept < other),
    },
    Deviation {
        name: "manifest-of-the-newest-template",
        defect: "judges every body by the manifest of the project's newest template",
        why: "the cache by project is overwritten by each template",
        turns_red: &["craftkit.token.selects-template"],
        consequences: &[],
        change: |parts| judged_by_sibling(parts, |kept, other| kept > other),
    },
];

fn unknown_answered(parts: Parts, change: fn(&mut Answer)) -> Parts {
    refusing(parts, move |refusal, answer| {
        if *refusal == Refusal::InvalidToken {
            change(answer);
        }
    })
}

/// Finds templates by something else that they were created with as well.
fn also_known_as(parts: Parts, field: &'static str, matches: fn(&str, &str) -> bool) -> Parts {
    edged(parts, AlsoKnownAs { field, matches, tokens: Mutex::default() })
}

struct AlsoKnownAs {
    field: &'static str,
    matches: fn(&str, &str) -> bool,
    /// Pairs of what a template is also known as and its token.
    tokens: Mutex<Vec<(String, String)>>,
}

impl Edge for AlsoKnownAs {
    fn request(&self, request: &mut Inbound) {
        let Some(given) = hook_token(request).filter(|given| !given.is_empty()) else { return };
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let found = tokens.iter().find(|(known, _)| (self.matches)(known, given));
        if let Some(path) = found.map(|(_, token)| format!("/v1/hooks/{token}")) {
            redirect(request, &path);
        }
    }

    fn answer(&self, request: &Inbound, answer: &mut Answer) {
        let made = created(request, answer);
        let pairs = made.iter().map(|template| (template.text(self.field), template.text("inbound_token")));
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).extend(pairs);
    }
}

/// Judges by the one template of a project whose id comes before all others in some order.
fn judged_by_sibling(parts: Parts, comes_before: fn(Uuid, Uuid) -> bool) -> Parts {
    let judging: Mutex<HashMap<String, (Uuid, Option<Version>)>> = Mutex::default();
    decided_by(parts, move |judges, state, command, now| {
        let mut state = state.clone();
        if let Some(template) = &mut state.template {
            let own = (template.id, template.current.clone());
            let mut judging = judging.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = judging.entry(template.project.clone()).or_insert_with(|| own.clone());
            if own.0 == kept.0 || comes_before(own.0, kept.0) {
                *kept = own;
            }
            template.current = template.current.as_ref().and(kept.1.clone());
        }
        decide_hook(judges, &state, command, now)
    })
}
