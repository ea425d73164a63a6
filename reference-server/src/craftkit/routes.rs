//! The hook and the poll route: read the request, let the rules decide, store, reply.

use std::borrow::Cow;
use std::sync::Arc;

use hyper::header::{self, HeaderName};
use uuid::Uuid;

use super::rules::{Accepted, Decision, HookCommand, HookState};
use super::wire::{self, Refusal};
use crate::http::{Answer, Inbound};
use crate::server::App;
use crate::store::records::{Render, Template};
use crate::store::{self, Read, StoreError, View};

static SIGNATURE: HeaderName = HeaderName::from_static("x-craftkit-signature");

/// Answers `POST /v1/hooks/:token`.
///
/// The decision is made on a snapshot, so that signatures are computed and bodies parsed outside the
/// one place where writes are ordered; the transaction then only makes sure that the template has not
/// changed since, and decides anew if it has.
pub(crate) async fn hook(app: &Arc<App>, request: &Inbound, token: &[u8]) -> Answer {
    let template = match store::read(&*app.store, |view| app.parts.tokens.inbound(view, token)) {
        Ok(template) => template,
        Err(error) => return app.store_failed(request, &error),
    };
    let now = app.clock.now();
    let command = HookCommand {
        raw: request.body.clone(),
        signature: signature(request),
        render_id: app.parts.issuer.render_id(now),
    };
    let state = HookState { template, queue: app.queue.state() };
    let rules = app.parts.hook_rules.clone();
    let decision = rules.hook(&app.hook_judges, &state, &command, now);
    if decision.writes.is_empty() {
        return reply(app, request, decision.reply);
    }
    let deciding = app.clone();
    let seen = state.template;
    let token = token.to_vec();
    let again = move |view: &dyn View| {
        let template = deciding.parts.tokens.inbound(view, &token)?;
        let state = HookState { template, queue: deciding.queue.state() };
        Ok(rules.hook(&deciding.hook_judges, &state, &command, deciding.clock.now()))
    };
    let unchanged = move |view: &dyn View| unchanged(view, seen.as_ref());
    match accept(app, decision, unchanged, again).await {
        Ok(outcome) => reply(app, request, outcome),
        Err(error) => app.store_failed(request, &error),
    }
}

/// Stores a decision that was made on a snapshot, or the one that the present state asks for.
pub(crate) async fn accept(
    app: &Arc<App>,
    decision: Decision,
    mut unchanged: impl FnMut(&dyn View) -> Read<bool> + Send + 'static,
    mut again: impl FnMut(&dyn View) -> Read<Decision> + Send + 'static,
) -> Result<Result<Accepted, Refusal>, StoreError> {
    let deciding = app.clone();
    let mut made = Some(decision);
    let outcome = store::transact(&*app.store, move |view| {
        let admits = deciding.parts.queue.admits(&deciding.queue.state());
        let fits = admits && unchanged(view)?;
        // Should the store have to run this again, it is decided anew.
        let decision = match made.take().filter(|_| fits) {
            Some(decision) => decision,
            None => again(view)?,
        };
        if !decision.writes.is_empty() {
            deciding.queue.grew();
        }
        Ok((decision.reply, decision.writes))
    })
    .await?;
    if matches!(outcome, Ok(Accepted::New(_))) {
        app.queue.wake_worker();
    }
    Ok(outcome)
}

/// True when a template is still as it was when a decision was made on it.
pub(crate) fn unchanged(view: &dyn View, seen: Option<&Template>) -> Read<bool> {
    let Some(seen) = seen else {
        return Ok(false);
    };
    Ok(view.revision(seen.id)? == Some(seen.revision))
}

fn reply(app: &App, request: &Inbound, outcome: Result<Accepted, Refusal>) -> Answer {
    match outcome {
        Ok(Accepted::New(render) | Accepted::Earlier(render)) => wire::queued(render.id, &base(app, request)),
        Err(refusal) => app.parts.errors.render(&refusal),
    }
}

/// The signature header. Several are joined as RFC 9110, section 5.3, allows, and so match nothing.
fn signature(request: &Inbound) -> Option<Vec<u8>> {
    let mut values = request.headers.get_all(&SIGNATURE).iter();
    let first = values.next()?.as_bytes().to_vec();
    Some(values.fold(first, |mut joined, value| {
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(value.as_bytes());
        joined
    }))
}

/// Answers `GET /v1/renders/:id`.
pub(crate) fn render(app: &App, request: &Inbound, id: &[u8]) -> Answer {
    match store::read(&*app.store, |view| find(app, view, request, id)) {
        Ok(Ok(render)) => wire::polled(&render, &base(app, request)),
        Ok(Err(refusal)) => app.parts.errors.render(&refusal),
        Err(error) => app.store_failed(request, &error),
    }
}

/// A render of another project looks like none at all (rule `craftkit.poll.foreign-key`).
fn find(app: &App, view: &dyn View, request: &Inbound, id: &[u8]) -> Read<Result<Render, Refusal>> {
    // craftkit.poll.requires-key
    let Some(project) = project(app, view, request.bearer())? else {
        return Ok(Err(Refusal::Unauthorized));
    };
    let Ok(id) = Uuid::try_parse_ascii(id) else {
        return Ok(Err(Refusal::RenderNotFound));
    };
    let render = view.render(id)?.filter(|render| render.project == project);
    Ok(render.ok_or(Refusal::RenderNotFound))
}

/// The project that a key opens.
pub(crate) fn project(app: &App, view: &dyn View, key: Option<&[u8]>) -> Read<Option<String>> {
    match key {
        Some(key) => app.parts.tokens.project(view, key),
        None => Ok(None),
    }
}

/// The origin that `pollUrl` starts with.
pub(crate) fn base<'a>(app: &'a App, request: &Inbound) -> Cow<'a, str> {
    match &app.public_base {
        Some(base) => Cow::Borrowed(base),
        None => origin(app, request),
    }
}

/// The origin under which a client reached the server.
pub(crate) fn origin<'a>(app: &'a App, request: &Inbound) -> Cow<'a, str> {
    let host = request.header(&header::HOST).and_then(|host| std::str::from_utf8(host).ok());
    match host.filter(|host| is_host(host)) {
        Some(host) => Cow::Owned(format!("http://{host}")),
        None => Cow::Borrowed(&app.base_url),
    }
}

/// Only what can stand in a URL as it is: the header is the client's to choose.
fn is_host(host: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
    !host.is_empty() && host.bytes().all(plain)
}
