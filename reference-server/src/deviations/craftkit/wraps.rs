//! Parts made of one function, for defects that need no more.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::Value;

use crate::clock::Millis;
use crate::craftkit::manifest::{Issues, Manifest};
use crate::craftkit::rules::{
    Accepted, Decision, DocumentedOrder, HookCommand, HookRules, HookState, Judges, RenderCommand, RenderState,
};
use crate::craftkit::wire::Refusal;
use crate::http::{Answer, Inbound};
use crate::parts::{Edge, ErrorWriter, ManifestValidator, Parts, SignatureCheck, Signed};
use crate::rndrkit;

/// What the hook's path begins with.
const HOOK: &str = "/v1/hooks/";

/// What the path of a poll begins with.
const POLL: &str = "/v1/renders/";

/// The token that a request to the hook names.
pub(super) fn hook_token(request: &Inbound) -> Option<&str> {
    request.uri.path().strip_prefix(HOOK)
}

/// The render that a poll names.
pub(super) fn polled_id(request: &Inbound) -> Option<&str> {
    request.uri.path().strip_prefix(POLL)
}

/// Sends a request elsewhere.
pub(super) fn redirect(request: &mut Inbound, path: &str) {
    request.uri = path.parse().expect("a path of plain characters");
}

/// Changes an answer's JSON.
pub(super) fn edit(answer: &mut Answer, change: impl FnOnce(&mut Value)) {
    let Ok(mut body) = serde_json::from_slice(&answer.body) else { return };
    change(&mut body);
    answer.body = Bytes::from(body.to_string());
}

/// Changes the JSON of the hook's 202.
pub(super) fn accepting(parts: Parts, change: impl Fn(&mut Value) + Send + Sync + 'static) -> Parts {
    answering(parts, move |request, answer| {
        if hook_token(request).is_some() && answer.status == StatusCode::ACCEPTED {
            edit(answer, &change);
        }
    })
}

/// Changes requests before anything looks at them.
pub(super) fn receiving(parts: Parts, change: impl Fn(&mut Inbound) + Send + Sync + 'static) -> Parts {
    edged(parts, Receiving(change))
}

struct Receiving<F>(F);

impl<F: Fn(&mut Inbound) + Send + Sync> Edge for Receiving<F> {
    fn request(&self, request: &mut Inbound) {
        (self.0)(request);
    }
}

/// Changes answers before they leave.
pub(super) fn answering(parts: Parts, change: impl Fn(&Inbound, &mut Answer) + Send + Sync + 'static) -> Parts {
    edged(parts, Answering(change))
}

struct Answering<F>(F);

impl<F: Fn(&Inbound, &mut Answer) + Send + Sync> Edge for Answering<F> {
    fn answer(&self, request: &Inbound, answer: &mut Answer) {
        (self.0)(request, answer);
    }
}

/// The parts with an edge.
pub(super) fn edged(parts: Parts, edge: impl Edge + 'static) -> Parts {
    Parts { edge: Some(Arc::new(edge)), ..parts }
}

/// Changes refusals as they are written.
pub(super) fn refusing(parts: Parts, change: impl Fn(&Refusal, &mut Answer) + Send + Sync + 'static) -> Parts {
    let errors = Arc::new(Refusing(parts.errors.clone(), change));
    Parts { errors, ..parts }
}

struct Refusing<F>(Arc<dyn ErrorWriter>, F);

impl<F: Fn(&Refusal, &mut Answer) + Send + Sync> ErrorWriter for Refusing<F> {
    fn refresh(&self, refusal: &rndrkit::wire::Refusal) -> Answer {
        self.0.refresh(refusal)
    }

    fn render(&self, refusal: &Refusal) -> Answer {
        let mut answer = self.0.render(refusal);
        (self.1)(refusal, &mut answer);
        answer
    }
}

/// Judges signatures.
pub(super) fn signed_by(parts: Parts, passes: impl Fn(&Signed<'_>) -> bool + Send + Sync + 'static) -> Parts {
    Parts { signature: Arc::new(SignedBy(passes)), ..parts }
}

struct SignedBy<F>(F);

impl<F: Fn(&Signed<'_>) -> bool + Send + Sync> SignatureCheck for SignedBy<F> {
    fn passes(&self, signed: &Signed<'_>) -> bool {
        (self.0)(signed)
    }
}

/// Judges data by manifests.
pub(super) fn judged_by(
    parts: Parts,
    validate: impl Fn(&Manifest, &Value) -> Result<Value, Issues> + Send + Sync + 'static,
) -> Parts {
    Parts { manifest: Arc::new(JudgedBy(validate)), ..parts }
}

/// A judge of data made of a function.
pub(super) struct JudgedBy<F>(pub(super) F);

impl<F: Fn(&Manifest, &Value) -> Result<Value, Issues> + Send + Sync> ManifestValidator for JudgedBy<F> {
    fn validate(&self, manifest: &Manifest, data: &Value) -> Result<Value, Issues> {
        (self.0)(manifest, data)
    }
}

/// Decides calls of the hook; those of the render route are left to the reference.
pub(super) fn decided_by(
    parts: Parts,
    decide: impl Fn(&Judges, &HookState, &HookCommand, Millis) -> Decision + Send + Sync + 'static,
) -> Parts {
    Parts { hook_rules: Arc::new(DecidedBy(decide)), ..parts }
}

struct DecidedBy<F>(F);

impl<F> HookRules for DecidedBy<F>
where
    F: Fn(&Judges, &HookState, &HookCommand, Millis) -> Decision + Send + Sync,
{
    fn hook(&self, judges: &Judges, state: &HookState, command: &HookCommand, now: Millis) -> Decision {
        (self.0)(judges, state, command, now)
    }

    fn render(&self, judges: &Judges, state: &RenderState, command: &RenderCommand, now: Millis) -> Decision {
        DocumentedOrder.render(judges, state, command, now)
    }
}

/// A refusal, with nothing stored.
pub(super) fn refused(refusal: Refusal) -> Decision {
    Decision { reply: Err(refusal), writes: Vec::new() }
}

/// An acceptance, with nothing stored.
pub(super) fn unstored(accepted: Accepted) -> Decision {
    Decision { reply: Ok(accepted), writes: Vec::new() }
}
