//! The render route: the hook's pipeline, opened by a project key instead of an inbound token.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::HeaderName;
use serde_json::{Map, Value};

use super::routes::{accept, base, project, unchanged};
use super::rules::{Accepted, Envelope, RenderCommand, RenderState};
use super::wire::{self, Refusal};
use crate::http::{Answer, Inbound};
use crate::server::App;
use crate::store::{self, Read, View};

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Longest key that makes a call repeatable, as documented for `jobId`.
const MAX_KEY_CHARS: usize = 200;

/// Answers `POST /v1/templates/:slug/render`.
pub(crate) async fn render(app: &Arc<App>, request: &Inbound, slug: &[u8]) -> Answer {
    let now = app.clock.now();
    let command = RenderCommand {
        key: request.bearer().map(<[u8]>::to_vec),
        slug: String::from_utf8_lossy(slug).into_owned(),
        envelope: envelope(request),
        render_id: app.parts.issuer.render_id(now),
    };
    let state = match store::read(&*app.store, |view| load(app, view, &command)) {
        Ok(state) => state,
        Err(error) => return app.store_failed(request, &error),
    };
    let rules = app.parts.hook_rules.clone();
    let decision = rules.render(&app.hook_judges, &state, &command, now);
    if decision.writes.is_empty() {
        return reply(app, request, decision.reply);
    }
    let seen = state.template;
    let key = command.envelope.as_ref().ok().and_then(|envelope| envelope.idempotency_key.clone());
    let owner = state.project;
    let unchanged = move |view: &dyn View| {
        let repeated = match (&owner, &key) {
            (Some(owner), Some(key)) => view.render_by_key(owner, key)?.is_some(),
            _ => false,
        };
        Ok(!repeated && unchanged(view, seen.as_ref())?)
    };
    let deciding = app.clone();
    let again = move |view: &dyn View| {
        let state = load(&deciding, view, &command)?;
        Ok(rules.render(&deciding.hook_judges, &state, &command, deciding.clock.now()))
    };
    match accept(app, decision, unchanged, again).await {
        Ok(outcome) => reply(app, request, outcome),
        Err(error) => app.store_failed(request, &error),
    }
}

fn reply(app: &App, request: &Inbound, outcome: Result<Accepted, Refusal>) -> Answer {
    let base = base(app, request);
    match outcome {
        Ok(Accepted::New(render)) => wire::pipeline(StatusCode::ACCEPTED, &render, &base),
        Ok(Accepted::Earlier(render)) => wire::pipeline(StatusCode::OK, &render, &base),
        Err(refusal) => app.parts.errors.render(&refusal),
    }
}

fn load(app: &App, view: &dyn View, command: &RenderCommand) -> Read<RenderState> {
    let project = project(app, view, command.key.as_deref())?;
    let mut state =
        RenderState { project: project.clone(), template: None, pinned: None, earlier: None, queue: app.queue.state() };
    let (Some(project), Ok(envelope)) = (project, &command.envelope) else {
        return Ok(state);
    };
    // Another project's template looks like none at all.
    state.template = view.template(&command.slug)?.filter(|template| template.project == project);
    if let (Some(template), Some(number)) = (&state.template, envelope.version) {
        state.pinned = view.version(template, number)?;
    }
    if let Some(key) = &envelope.idempotency_key {
        state.earlier = view.render_by_key(&project, key)?;
    }
    Ok(state)
}

fn envelope(request: &Inbound) -> Result<Envelope, Refusal> {
    let body = serde_json::from_slice(&request.body).map_err(|_| Refusal::InvalidJson)?;
    let Value::Object(mut fields) = body else {
        return invalid("The request body must be an object with `data`.");
    };
    let Some(data @ Value::Object(_)) = fields.remove("data") else {
        return invalid("`data` must be an object.");
    };
    let version = match fields.get("options") {
        None => None,
        Some(Value::Object(options)) => version(options)?,
        Some(_) => return invalid("`options` must be an object."),
    };
    let job = match fields.get("jobId") {
        None => None,
        Some(Value::String(job)) => Some(job.as_str()),
        Some(_) => return invalid("`jobId` must be a string."),
    };
    // The header wins over the body's `jobId`.
    let key = match request.header(&IDEMPOTENCY_KEY) {
        Some(header) => match std::str::from_utf8(header) {
            Ok(header) => Some(header),
            Err(_) => return invalid("`Idempotency-Key` must be UTF-8."),
        },
        None => job,
    };
    if key.is_some_and(|key| key.is_empty() || key.chars().count() > MAX_KEY_CHARS) {
        return invalid("`Idempotency-Key` and `jobId` have 1 to 200 characters.");
    }
    Ok(Envelope { data, idempotency_key: key.map(str::to_owned), version })
}

/// Of the options only the version is honoured: there is no file to name and no result to wait for.
fn version(options: &Map<String, Value>) -> Result<Option<u32>, Refusal> {
    match options.get("versionNumber") {
        None => Ok(None),
        Some(number) => match number.as_u64().and_then(|number| u32::try_from(number).ok()) {
            Some(number) if number > 0 => Ok(Some(number)),
            Some(_) | None => invalid("`options.versionNumber` must be a positive whole number."),
        },
    }
}

fn invalid<T>(problem: &'static str) -> Result<T, Refusal> {
    Err(Refusal::InvalidRequest { problem })
}
