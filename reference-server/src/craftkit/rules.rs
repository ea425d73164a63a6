//! The documented order of checks, as pure functions of state, request and time.

use std::sync::Arc;

use hyper::body::Bytes;
use serde_json::Value;
use uuid::Uuid;

use super::manifest::{self, Issues, Manifest};
use super::signature;
use super::wire::Refusal;
use crate::clock::Millis;
use crate::parts::{ManifestValidator, Queue, QueueState, SignatureCheck, Signed};
use crate::store::records::{Render, RenderStatus, Template, Version, Write};

/// A call of the hook, as far as the rules look at it.
#[derive(Debug, Clone)]
pub struct HookCommand {
    /// The body as it arrived.
    pub raw: Bytes,
    /// The value of `x-craftkit-signature`, if it was sent.
    pub signature: Option<Vec<u8>>,
    /// The id that the render will have.
    pub render_id: Uuid,
}

/// What the server knows that matters to a call of the hook.
#[derive(Debug, Clone)]
pub struct HookState {
    /// The template of the token, if there is one.
    pub template: Option<Template>,
    /// How the queue stands.
    pub queue: QueueState,
}

/// A call of the render route, as far as the rules look at it.
#[derive(Debug, Clone)]
pub struct RenderCommand {
    /// The project key, if one was sent.
    pub key: Option<Vec<u8>>,
    /// The template's name.
    pub slug: String,
    /// The data to render, or why the body has none.
    pub envelope: Result<Envelope, Refusal>,
    /// The id that the render will have.
    pub render_id: Uuid,
}

/// The body of a render request, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// The variable data.
    pub data: Value,
    /// The key that makes a repeated call the same render.
    pub idempotency_key: Option<String>,
    /// The version asked for, if not the current one.
    pub version: Option<u32>,
}

/// What the server knows that matters to a call of the render route.
#[derive(Debug, Clone)]
pub struct RenderState {
    /// The project of the key, if the key opens one.
    pub project: Option<String>,
    /// The project's template of that slug.
    pub template: Option<Template>,
    /// The version asked for, if there is one.
    pub pinned: Option<Version>,
    /// The render made under the same idempotency key.
    pub earlier: Option<Render>,
    /// How the queue stands.
    pub queue: QueueState,
}

/// The parts that the rules ask.
#[derive(Clone)]
pub struct Judges {
    /// Signatures.
    pub signature: Arc<dyn SignatureCheck>,
    /// Manifests.
    pub manifest: Arc<dyn ManifestValidator>,
    /// The queue.
    pub queue: Arc<dyn Queue>,
}

impl Judges {
    /// The render of data that passes the manifest; its id is still to be set.
    fn draft(&self, template: &Template, version: &Version, data: &Value, now: Millis) -> Result<Render, Refusal> {
        // craftkit.input.*, craftkit.version.manifest
        let data = self.manifest.validate(&version.manifest, data).map_err(Refusal::InvalidInput)?;
        // craftkit.input.stripped-stored, craftkit.version.current
        Ok(Render {
            id: Uuid::nil(),
            project: template.project.clone(),
            template_id: template.id,
            slug: template.slug.clone(),
            version: version.number,
            status: RenderStatus::Queued,
            data: serde_json::to_string(&data).expect("JSON has string keys only").into(),
            idempotency_key: None,
            created_at: now,
            completed_at: None,
        })
    }
}

/// What the render route accepted.
#[derive(Debug, Clone, PartialEq)]
pub enum Accepted {
    /// A render that is new.
    New(Render),
    /// The render of an earlier call under the same key, as it is now.
    Earlier(Render),
}

/// A reply and what has to be stored before it is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What is answered.
    pub reply: Result<Accepted, Refusal>,
    /// What is stored.
    pub writes: Vec<Write>,
}

/// Decides calls of the hook and of the render route.
pub trait HookRules: Send + Sync {
    /// Decides a call of the hook.
    fn hook(&self, judges: &Judges, state: &HookState, command: &HookCommand, now: Millis) -> Decision;

    /// Decides a call of the render route.
    fn render(&self, judges: &Judges, state: &RenderState, command: &RenderCommand, now: Millis) -> Decision;
}

/// The order of the reference.
#[derive(Debug)]
pub struct DocumentedOrder;

impl HookRules for DocumentedOrder {
    fn hook(&self, judges: &Judges, state: &HookState, command: &HookCommand, now: Millis) -> Decision {
        decide_hook(judges, state, command, now)
    }

    fn render(&self, judges: &Judges, state: &RenderState, command: &RenderCommand, now: Millis) -> Decision {
        decide_render(judges, state, command, now)
    }
}

/// Decides one call of the hook.
pub fn decide_hook(judges: &Judges, state: &HookState, command: &HookCommand, now: Millis) -> Decision {
    decided(judges, check_hook(judges, state, command, now).map(Accepted::New))
}

/// Decides one call of the render route.
pub fn decide_render(judges: &Judges, state: &RenderState, command: &RenderCommand, now: Millis) -> Decision {
    decided(judges, check_render(judges, state, command, now))
}

fn decided(judges: &Judges, reply: Result<Accepted, Refusal>) -> Decision {
    let writes = match &reply {
        Ok(Accepted::New(render)) => judges.queue.enqueue(render.clone()),
        Ok(Accepted::Earlier(_)) | Err(_) => Vec::new(),
    };
    Decision { reply, writes }
}

fn check_hook(judges: &Judges, state: &HookState, command: &HookCommand, now: Millis) -> Result<Render, Refusal> {
    // craftkit.token.unknown, .not-an-id
    let template = state.template.as_ref().ok_or(Refusal::InvalidToken)?;
    // craftkit.signature.*: over the bytes that arrived, before anything reads them as JSON. Hashing a
    // long body costs a twentieth of parsing it, so forged requests stay cheap.
    let signed = Signed { template, raw: &command.raw, header: command.signature.as_deref() };
    if !judges.signature.passes(&signed) {
        return Err(Refusal::InvalidSignature);
    }
    // craftkit.json.malformed, .empty; .non-object is the manifest's business.
    let data: Value = serde_json::from_slice(&command.raw).map_err(|_| Refusal::InvalidJson)?;
    // craftkit.version.unpublished
    let version = template.current.as_ref().ok_or(Refusal::NoPublishedVersion)?;
    let render = judges.draft(template, version, &data, now)?;
    // craftkit.queue.unavailable
    if !judges.queue.admits(&state.queue) {
        return Err(Refusal::QueueUnavailable);
    }
    Ok(Render { id: command.render_id, ..render })
}

fn check_render(
    judges: &Judges,
    state: &RenderState,
    command: &RenderCommand,
    now: Millis,
) -> Result<Accepted, Refusal> {
    if state.project.is_none() {
        return Err(Refusal::Unauthorized);
    }
    let envelope = command.envelope.as_ref().map_err(Refusal::clone)?;
    let template = state.template.as_ref().ok_or(Refusal::TemplateNotFound)?;
    // A repeated call is answered whatever it carries this time: its key stands for the first one.
    if let Some(earlier) = &state.earlier {
        return Ok(Accepted::Earlier(earlier.clone()));
    }
    let current = template.current.as_ref().ok_or(Refusal::NoPublishedVersion)?;
    let version = match envelope.version {
        Some(_) => state.pinned.as_ref().ok_or(Refusal::VersionNotFound)?,
        None => current,
    };
    // craftkit.pipeline.same-validation
    let render = judges.draft(template, version, &envelope.data, now)?;
    if !judges.queue.admits(&state.queue) {
        return Err(Refusal::QueueUnavailable);
    }
    let idempotency_key = envelope.idempotency_key.clone();
    Ok(Accepted::New(Render { id: command.render_id, idempotency_key, ..render }))
}

/// The documented check: a signature that is present must match; an absent one passes unless the
/// template enforces it (rules `craftkit.signature.absent`, `craftkit.signature.enforced`).
#[derive(Debug)]
pub struct HmacOverRawBody;

impl SignatureCheck for HmacOverRawBody {
    fn passes(&self, signed: &Signed<'_>) -> bool {
        match signed.header {
            Some(header) => signature::verify(signed.template.secret.expose(), signed.raw, header),
            None => !signed.template.require_signature,
        }
    }
}

/// The documented validation.
#[derive(Debug)]
pub struct ByManifest;

impl ManifestValidator for ByManifest {
    fn validate(&self, manifest: &Manifest, data: &Value) -> Result<Value, Issues> {
        manifest::validate(manifest, data)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::parts::BoundedQueue;
    use crate::secret::{Secret, digest};

    const NOW: Millis = 1_000_000;
    const SECRET: &str = "test_inbound_secret";
    const GOOD: &str = r#"{"name":"Acme","extra":1}"#;

    fn judges() -> Judges {
        Judges { signature: Arc::new(HmacOverRawBody), manifest: Arc::new(ByManifest), queue: Arc::new(BoundedQueue) }
    }

    fn version(number: u32) -> Version {
        let manifest = json!({
            "variables": [{"key": "name", "label": "Name", "dataType": "text", "required": true}],
            "loops": [],
        });
        Version { number, manifest: Arc::new(Manifest::parse(&manifest).expect("a manifest")) }
    }

    fn template() -> Template {
        Template {
            id: Uuid::from_u128(1),
            slug: "a".to_owned(),
            project: "p".to_owned(),
            token_hash: digest(b"token"),
            secret: Secret::new(SECRET),
            require_signature: false,
            current: Some(version(3)),
            revision: 0,
        }
    }

    fn open_queue() -> QueueState {
        QueueState { available: true, length: 0, limit: 1 }
    }

    fn hook(body: &str, signature: Option<&str>) -> HookCommand {
        HookCommand {
            raw: Bytes::copy_from_slice(body.as_bytes()),
            signature: signature.map(|text| text.as_bytes().to_vec()),
            render_id: Uuid::from_u128(7),
        }
    }

    fn code(decision: &Decision) -> Option<&Refusal> {
        decision.reply.as_ref().err()
    }

    #[test]
    fn the_hook_s_checks_come_in_their_order() {
        let down = QueueState { available: false, ..open_queue() };
        let mut state = HookState { template: None, queue: down };
        let decide = |state: &HookState, command: HookCommand| decide_hook(&judges(), state, &command, NOW);
        let decision = decide(&state, hook("{", Some("bad")));
        assert_eq!(code(&decision), Some(&Refusal::InvalidToken));
        state.template = Some(Template { current: None, ..template() });
        let decision = decide(&state, hook("{", Some("bad")));
        assert_eq!(code(&decision), Some(&Refusal::InvalidSignature));
        let decision = decide(&state, hook("{", None));
        assert_eq!(code(&decision), Some(&Refusal::InvalidJson));
        let decision = decide(&state, hook("{}", None));
        assert_eq!(code(&decision), Some(&Refusal::NoPublishedVersion));
        state.template = Some(template());
        let decision = decide(&state, hook("{}", None));
        assert!(matches!(code(&decision), Some(Refusal::InvalidInput(_))));
        let decision = decide(&state, hook(GOOD, None));
        assert_eq!(code(&decision), Some(&Refusal::QueueUnavailable));
        assert!(decision.writes.is_empty());
    }

    #[test]
    fn an_accepted_body_is_stored_stripped_under_the_current_version() {
        let state = HookState { template: Some(template()), queue: open_queue() };
        let signature = signature::sign(SECRET, GOOD.as_bytes());
        let decision = decide_hook(&judges(), &state, &hook(GOOD, Some(&signature)), NOW);
        let expected = Render {
            id: Uuid::from_u128(7),
            project: "p".to_owned(),
            template_id: Uuid::from_u128(1),
            slug: "a".to_owned(),
            version: 3,
            status: RenderStatus::Queued,
            data: r#"{"name":"Acme"}"#.into(),
            idempotency_key: None,
            created_at: NOW,
            completed_at: None,
        };
        assert_eq!(decision.reply, Ok(Accepted::New(expected.clone())));
        assert_eq!(decision.writes, [Write::InsertRender(expected)]);
    }

    #[test]
    fn enforcement_concerns_absent_signatures_only() {
        let enforced = Template { require_signature: true, ..template() };
        let state = HookState { template: Some(enforced), queue: open_queue() };
        let decision = decide_hook(&judges(), &state, &hook(GOOD, None), NOW);
        assert_eq!(code(&decision), Some(&Refusal::InvalidSignature));
        let signature = signature::sign(SECRET, GOOD.as_bytes());
        assert!(decide_hook(&judges(), &state, &hook(GOOD, Some(&signature)), NOW).reply.is_ok());
    }

    #[test]
    fn a_full_queue_refuses() {
        let full = QueueState { length: 1, ..open_queue() };
        let state = HookState { template: Some(template()), queue: full };
        let decision = decide_hook(&judges(), &state, &hook(GOOD, None), NOW);
        assert_eq!(code(&decision), Some(&Refusal::QueueUnavailable));
    }

    fn render_state() -> RenderState {
        RenderState {
            project: Some("p".to_owned()),
            template: Some(template()),
            pinned: None,
            earlier: None,
            queue: open_queue(),
        }
    }

    fn call(data: Value, version: Option<u32>) -> RenderCommand {
        let envelope = Envelope { data, idempotency_key: Some("k".to_owned()), version };
        RenderCommand { key: None, slug: "a".to_owned(), envelope: Ok(envelope), render_id: Uuid::from_u128(8) }
    }

    #[test]
    fn the_render_route_s_checks_come_in_their_order() {
        let decide = |state: &RenderState, command: &RenderCommand| decide_render(&judges(), state, command, NOW);
        let broken = RenderCommand { envelope: Err(Refusal::InvalidJson), ..call(json!({}), None) };
        let stranger = RenderState { project: None, ..render_state() };
        assert_eq!(code(&decide(&stranger, &broken)), Some(&Refusal::Unauthorized));
        let foreign = RenderState { template: None, ..render_state() };
        assert_eq!(code(&decide(&foreign, &broken)), Some(&Refusal::InvalidJson));
        assert_eq!(code(&decide(&foreign, &call(json!({}), None))), Some(&Refusal::TemplateNotFound));
        let pinned = decide(&render_state(), &call(json!({}), Some(9)));
        assert_eq!(code(&pinned), Some(&Refusal::VersionNotFound));
        let invalid = decide(&render_state(), &call(json!({}), None));
        assert!(matches!(code(&invalid), Some(Refusal::InvalidInput(_))));
    }

    #[test]
    fn a_repeated_call_writes_nothing() {
        let first = decide_render(&judges(), &render_state(), &call(json!({"name": "x"}), None), NOW);
        let Ok(Accepted::New(render)) = first.reply else {
            panic!("the first call was refused");
        };
        assert_eq!(render.idempotency_key.as_deref(), Some("k"));
        let state = RenderState { earlier: Some(render.clone()), ..render_state() };
        let again = decide_render(&judges(), &state, &call(json!({}), None), NOW);
        assert_eq!(again, Decision { reply: Ok(Accepted::Earlier(render)), writes: Vec::new() });
    }
}
