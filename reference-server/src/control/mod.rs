//! The control plane: JSON-RPC 2.0 over `POST /_control`, through which tests make domains, templates,
//! outages and time.
//!
//! It exists only when a control token is configured. Each call carries the token as a bearer token and
//! is answered with 200 and a JSON-RPC response, a batch with a list of them, and notifications alone
//! with 204. A batch is worked through in its order.

mod domains;
mod params;
mod templates;

use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::{Map, Value, json};

use crate::clock::{Clock, LATEST, rfc3339};
use crate::config::ClockKind;
use crate::craftkit::routes::origin;
use crate::http::{Answer, Inbound};
use crate::server::{App, clock_name};
use crate::store::records::Write;
use crate::store::{StoreError, transact};
use params::Params;

/// The version of the fixture protocol.
const PROTOCOL: u64 = 1;

/// Calls in one batch; more are refused.
const MAX_BATCH: usize = 1000;

/// The methods, as `hello` lists them.
const METHODS: [&str; 14] = [
    "hello",
    "domain.create",
    "domain.update",
    "domain.inspect",
    "domain.delete",
    "token.create",
    "token.revoke",
    "template.create",
    "template.update",
    "template.delete",
    "render.inspect",
    "subscription.create",
    "queue.set",
    ADVANCE,
];

const ADVANCE: &str = "clock.advance";

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The message is no JSON.
    Parse,
    /// The message is no request.
    InvalidRequest { problem: &'static str },
    /// There is no such method.
    NoSuchMethod { method: String },
    /// A parameter is wrong.
    BadParams { field: String, problem: String },
    /// The call makes sense and is refused.
    Refused { reason: &'static str, message: String },
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for CallError {
    fn from(error: StoreError) -> CallError {
        CallError::Store(error)
    }
}

impl CallError {
    /// What was named does not exist.
    fn not_found(what: &str, name: &str) -> CallError {
        CallError::Refused { reason: "not_found", message: format!("no {what} `{name}`") }
    }

    /// The error object (JSON-RPC 2.0, section 5.1).
    fn to_json(&self) -> Value {
        match self {
            CallError::Parse => json!({"code": -32700, "message": "Parse error"}),
            CallError::InvalidRequest { problem } => {
                json!({"code": -32600, "message": format!("Invalid Request: {problem}")})
            }
            CallError::NoSuchMethod { method } => {
                json!({"code": -32601, "message": "Method not found", "data": {"method": method}})
            }
            CallError::BadParams { field, problem } => json!({
                "code": -32602,
                "message": format!("Invalid params: {field}: {problem}"),
                "data": {"field": field},
            }),
            CallError::Refused { reason, message } => {
                json!({"code": -32000, "message": message, "data": {"reason": reason}})
            }
            CallError::Store(error) => {
                tracing::error!(%error, "the store failed a control call");
                json!({"code": -32603, "message": "Internal error"})
            }
        }
    }
}

/// Who calls.
struct Caller<'a> {
    app: &'a Arc<App>,
    /// The origin under which the caller reached the server, and so can reach both APIs.
    origin: &'a str,
}

/// What a method answers.
pub(crate) type Called = Result<Value, CallError>;

/// Answers `POST /_control`.
pub(crate) async fn answer(app: &Arc<App>, request: &Inbound) -> Answer {
    let opens = |bearer| app.control.as_ref().is_some_and(|token| token.matches(bearer));
    if !request.bearer().is_some_and(opens) {
        return Answer::fixed(StatusCode::UNAUTHORIZED, r#"{"error":"Invalid control token"}"#);
    }
    let caller = Caller { app, origin: &origin(app, request) };
    let reply = match serde_json::from_slice(&request.body) {
        Err(_) => Some(response(Value::Null, Err(CallError::Parse))),
        Ok(Value::Array(calls)) => batch(&caller, calls).await,
        Ok(call) => one(&caller, call).await,
    };
    match reply {
        Some(reply) => Answer::json(StatusCode::OK, &reply),
        None => Answer { status: StatusCode::NO_CONTENT, body: Bytes::new(), headers: Vec::new() },
    }
}

async fn batch(caller: &Caller<'_>, calls: Vec<Value>) -> Option<Value> {
    let refused = |problem| Some(response(Value::Null, Err(CallError::InvalidRequest { problem })));
    if calls.is_empty() {
        return refused("an empty batch");
    }
    if calls.len() > MAX_BATCH {
        return refused("more than 1,000 calls in a batch");
    }
    let mut replies = Vec::new();
    for call in calls {
        replies.extend(one(caller, call).await);
    }
    (!replies.is_empty()).then_some(Value::Array(replies))
}

/// Answers one call; a notification is carried out and not answered.
async fn one(caller: &Caller<'_>, call: Value) -> Option<Value> {
    let (id, called) = match read(call) {
        Ok(Call { id, method, params }) => (id, dispatch(caller, &method, params).await),
        Err((id, problem)) => (Some(id), Err(CallError::InvalidRequest { problem })),
    };
    id.map(|id| response(id, called))
}

fn response(id: Value, called: Called) -> Value {
    match called {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(error) => json!({"jsonrpc": "2.0", "id": id, "error": error.to_json()}),
    }
}

struct Call {
    /// None: a notification.
    id: Option<Value>,
    method: String,
    params: Option<Value>,
}

/// Reads a request object (JSON-RPC 2.0, section 4); what fails keeps its id if that can be read.
fn read(call: Value) -> Result<Call, (Value, &'static str)> {
    let Value::Object(mut fields) = call else {
        return Err((Value::Null, "not an object"));
    };
    let id = match fields.remove("id") {
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            return Err((Value::Null, "`id` must be a string, a number or null"));
        }
        id => id,
    };
    let named = id.clone().unwrap_or(Value::Null);
    if fields.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err((named, "`jsonrpc` must be \"2.0\""));
    }
    let Some(Value::String(method)) = fields.remove("method") else {
        return Err((named, "`method` must be a string"));
    };
    let params = fields.remove("params");
    if !matches!(params, None | Some(Value::Array(_) | Value::Object(_))) {
        return Err((named, "`params` must be an object"));
    }
    Ok(Call { id, method, params })
}

async fn dispatch(caller: &Caller<'_>, method: &str, params: Option<Value>) -> Called {
    let app = caller.app;
    if !methods(app).any(|known| known == method) {
        return Err(CallError::NoSuchMethod { method: method.to_owned() });
    }
    let fields = match params {
        None => Map::new(),
        Some(Value::Object(fields)) => fields,
        Some(_) => return Err(params::wrong("params", "expected named parameters")),
    };
    let params = Params::new(fields);
    match method {
        "hello" => hello(caller, params),
        "domain.create" => domains::create(app, params).await,
        "domain.update" => domains::update(app, params).await,
        "domain.inspect" => domains::inspect(app, params),
        "domain.delete" => domains::delete(app, params).await,
        "token.create" => domains::create_token(app, params).await,
        "token.revoke" => domains::revoke_token(app, params).await,
        "template.create" => templates::create(app, params).await,
        "template.update" => templates::update(app, params).await,
        "template.delete" => templates::delete(app, params).await,
        "render.inspect" => templates::inspect_render(app, params),
        "subscription.create" => templates::subscribe(app, params).await,
        "queue.set" => set_queue(app, params),
        ADVANCE => advance(app, params).await,
        other => Err(CallError::NoSuchMethod { method: other.to_owned() }),
    }
}

/// The methods this server offers: a system clock cannot be moved.
fn methods(app: &App) -> impl Iterator<Item = &'static str> + use<> {
    let manual = app.clock.kind() == ClockKind::Manual;
    METHODS.into_iter().filter(move |method| manual || *method != ADVANCE)
}

fn hello(caller: &Caller<'_>, mut params: Params) -> Called {
    let protocol = params.required_u64("protocol")?;
    params.done()?;
    if protocol != PROTOCOL {
        return Err(params::wrong("protocol", "this server speaks version 1"));
    }
    let Caller { app, origin } = caller;
    Ok(json!({
        "protocol": PROTOCOL,
        "implementation": {
            "name": "hookproof reference server",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "methods": methods(app).collect::<Vec<_>>(),
        "clock": clock_name(app.clock.kind()),
        "rndrkit": {"base_url": origin},
        "craftkit": {"base_url": origin},
    }))
}

fn set_queue(app: &App, mut params: Params) -> Called {
    let available = params.required_bool("available")?;
    params.done()?;
    app.queue.set_available(available);
    Ok(json!({}))
}

/// Moves the clock and remembers where to, in one transaction: no request in between is decided at a
/// time that a crash would take back.
async fn advance(app: &Arc<App>, mut params: Params) -> Called {
    let by = params.required_u64("ms")?;
    params.done()?;
    let by = i64::try_from(by).ok().filter(|by| *by <= LATEST - app.clock.now());
    let Some(by) = by else {
        return Err(params::wrong("ms", "the clock would leave the year 9999"));
    };
    let clock: Arc<dyn Clock> = app.clock.clone();
    let mut moved = None;
    let now = transact(&*app.store, move |_| {
        // A transaction may run again; the clock moves once.
        let now = *moved.get_or_insert_with(|| clock.advance(by));
        Ok((now, now.map(Write::SetClock).into_iter().collect()))
    })
    .await?;
    app.courier.notify_one();
    match now {
        Some(now) => Ok(json!({"now": rfc3339(now)})),
        None => Err(CallError::NoSuchMethod { method: ADVANCE.to_owned() }),
    }
}
