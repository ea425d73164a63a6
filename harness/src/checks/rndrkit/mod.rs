//! Checks of RndrKit's webhook refresh.

pub mod auth;
pub mod body;
pub mod domain;
pub mod endpoint;
pub mod full;
pub mod limit;
pub mod paths;
pub mod quota;
pub mod quota_concurrency;
pub mod quota_month;
pub mod quota_use;
pub mod rate;
pub mod rate_concurrency;
pub mod rate_kept;
pub mod rate_rollover;
pub mod rate_window;
pub mod responses;
pub mod selective;
pub mod tokens;
pub mod volley;

use serde_json::{Value, json};

use crate::api::Api;
use crate::checks::Check;
use crate::checks::judge::{Acceptable, Judge, outcome};
use crate::evidence::{Body, Evidence, Exchange, Response};
use crate::gather::{Domain, Gather, Stop, Token};
use crate::target::http::Request;
use crate::target::protocol::Method;

/// The lists of all topics, in the order of the catalogue.
pub const TOPICS: &[&[Check]] = &[
    endpoint::CHECKS,
    auth::CHECKS,
    tokens::CHECKS,
    selective::CHECKS,
    full::CHECKS,
    body::CHECKS,
    paths::CHECKS,
    domain::CHECKS,
    rate::CHECKS,
    rate_kept::CHECKS,
    rate_window::CHECKS,
    rate_concurrency::CHECKS,
    rate_rollover::CHECKS,
    quota::CHECKS,
    quota_use::CHECKS,
    quota_concurrency::CHECKS,
    quota_month::CHECKS,
    responses::CHECKS,
];

/// The endpoint's path.
pub const PATH: &str = "/api/webhook/refresh";

/// Requests that a domain may make in a window.
pub const LIMIT: usize = 10;

/// Length of a window, in milliseconds.
pub const WINDOW_MS: u64 = 3_600_000;

/// A reset is judged only this far (ms) away from its documented moment; nearer, rounding and transport decide.
pub const EDGE_MS: u64 = 2_000;

/// Requests after which a check stops looking for a limit: well above ten, so that limits of eleven or fifteen are still found.
pub const EXHAUSTION_MAX: usize = 25;

/// Statuses of a path or method that is not served: not found, method not allowed, not implemented.
pub const NOT_SERVED: [u16; 3] = [404, 405, 501];

/// Exact texts on the wire.
pub mod text {
    /// 400: neither `urls` nor `all`.
    pub const BODY: &str = "Provide \"urls\" array or \"all\": true";
    /// 400: no path starts with a slash.
    pub const PATHS: &str = "No valid URL paths (must start with /)";
    /// 401: no bearer token.
    pub const HEADER: &str = "Missing or invalid Authorization header";
    /// 401: unknown or revoked token.
    pub const TOKEN: &str = "Invalid token";
    /// 403: deactivated domain.
    pub const INACTIVE: &str = "Domain is not active";
    /// 403: plan without webhooks.
    pub const PLAN: &str = "Webhook refresh requires Agency+ plan";
    /// 403: quota used up.
    pub const QUOTA: &str = "Monthly render limit reached";
    /// 429: more than ten requests in a window.
    pub const RATE: &str = "Rate limit exceeded (10 requests/hour)";
    /// 200: selective refresh.
    pub const QUEUED: &str = "Cache refresh queued";
    /// 200: full refresh.
    pub const STARTED: &str = "Full cache refresh started";
}

/// A refresh without credentials: `POST`, JSON content type, this body.
pub fn anonymous(label: &str, body: &Value) -> Request {
    Request::new(label, Api::Rndrkit, "POST", PATH).header("Content-Type", "application/json").json(body)
}

/// A refresh with a token and any JSON body.
pub fn refresh(label: &str, token: &Token, body: &Value) -> Request {
    with_bearer(anonymous(label, body), token)
}

/// Adds the token as the documentation shows.
pub fn with_bearer(request: Request, token: &Token) -> Request {
    request.header("Authorization", format!("Bearer {}", token.value.expose()))
}

/// A refresh with a token and these very bytes.
pub fn refresh_raw(label: &str, token: &Token, body: &str) -> Request {
    with_bearer(anonymous(label, &Value::Null).body(body), token)
}

/// A body that asks for these paths.
pub fn urls(paths: &[String]) -> Value {
    json!({ "urls": paths })
}

/// A valid refresh of one fresh page with the domain's first token.
pub fn valid(label: &str, domain: &mut Domain) -> Request {
    valid_with(label, domain, 0)
}

/// A valid refresh of one fresh page with one of the domain's tokens.
pub fn valid_with(label: &str, domain: &mut Domain, token: usize) -> Request {
    let body = urls(&domain.fresh_pages(1));
    refresh(label, &domain.tokens[token], &body)
}

/// True if the fixtures offer a method that a check can also do without.
pub fn offers(g: &Gather, method: Method) -> bool {
    g.world().methods.contains(&method)
}

/// The value of a key in a JSON answer.
pub fn field(response: &Response, key: &str) -> Option<Value> {
    response.json().and_then(|body| body.get(key).cloned())
}

/// The number of pages that an answer says it queued.
pub fn pages_queued(response: &Response) -> Option<f64> {
    field(response, "pagesQueued").as_ref().and_then(Value::as_f64)
}

/// The paths that an inspection shows as queued so far; `None` if it was not made or shows none of them.
pub fn queued_paths(evidence: &Evidence, inspection: &str) -> Option<Vec<String>> {
    let shown = evidence.fixture(inspection)?.result.as_ref()?.get("queued_paths")?.as_array()?;
    shown.iter().map(|path| path.as_str().map(str::to_owned)).collect()
}

/// The paths that a request named in `urls`.
pub fn named_paths(exchange: &Exchange) -> Vec<String> {
    let body = exchange.request.body.as_ref().and_then(Body::json).unwrap_or_default();
    let urls = body.get("urls").and_then(Value::as_array).cloned().unwrap_or_default();
    urls.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The names of the domains that were made, in order.
pub fn created_domains(evidence: &Evidence) -> Vec<String> {
    let created = evidence.fixtures.iter().filter(|call| call.method == Method::DomainCreate.name());
    let names = created.filter_map(|call| call.result.as_ref()?.get("domain")?.as_str());
    names.map(str::to_owned).collect()
}

/// An accepted request of a certain form. A 200 that is not JSON is the concern of `rndrkit.http.json`, an endpoint that is not
/// there that of `rndrkit.endpoint.post`.
pub fn accepted(text: impl Into<String>, form: impl Fn(&Response) -> bool + 'static) -> Acceptable {
    let accepted = Api::Rndrkit.accepted_status();
    outcome(text, move |response| response.status == accepted && form(response))
        .leaving("rndrkit.http.json", move |response| response.status == accepted && response.json().is_none())
        .leaving("rndrkit.endpoint.post", |response| NOT_SERVED.contains(&response.status))
}

/// True if an answer says that a refresh was started: a success with pages queued or with the `message` of an accepted refresh, be
/// it the documented one or the one that the target gave in one of these steps.
pub fn announces_refresh(evidence: &Evidence, accepted_steps: &[&str]) -> impl Fn(&Response) -> bool + 'static {
    let own = accepted_steps.iter().flat_map(|step| evidence.step(step)).filter_map(|(_, exchange)| {
        let response = exchange.response.as_ref().filter(|response| response.is_success())?;
        field(response, "message")
    });
    let messages: Vec<Value> = own.chain([Value::from(text::QUEUED), Value::from(text::STARTED)]).collect();
    move |response| {
        let message = field(response, "message");
        let announced = match pages_queued(response) {
            Some(pages) => pages > 0.0,
            None => message.is_some_and(|message| messages.contains(&message)),
        };
        response.is_success() && announced
    }
}

/// Accepts the refusal that the target gave to another step: the same status (400 to 499) with the same `error`, or with the same
/// body where neither has one. What it must look like is the concern of that step's own rule: one wrong text or status shall turn
/// one rule red, not every rule that refers to it.
pub fn as_refused_in(judge: &Judge<'_>, step: &str, words: &str) -> Acceptable {
    let own = judge.one(step).and_then(|seen| seen.exchange.response.clone());
    outcome(words, move |response| {
        let Some(own) = &own else { return false };
        let (error, own_error) = (field(response, "error"), field(own, "error"));
        let alike = if error.is_some() { error == own_error } else { response.body == own.body };
        (400..500).contains(&response.status) && response.status == own.status && alike
    })
}

/// Sends valid requests with one token until one is not served, [`EXHAUSTION_MAX`] at most; all under `label`.
/// Returns the exchanges, the refused one last.
///
/// # Errors
/// [`Stop::Inconclusive`] if no limit was met.
pub async fn exhaust(g: &mut Gather, label: &str, domain: &mut Domain, token: usize) -> Result<Vec<Exchange>, Stop> {
    let mut sent = Vec::new();
    for _ in 0..EXHAUSTION_MAX {
        let exchange = g.send(valid_with(label, domain, token)).await;
        let served = exchange.is(Api::Rndrkit.accepted_status());
        sent.push(exchange);
        if !served {
            return Ok(sent);
        }
    }
    Err(Stop::Inconclusive(format!("no limit was met within {EXHAUSTION_MAX} requests of one domain")))
}
