//! Fixture calls over either transport: JSON-RPC 2.0 by HTTP, or line by line to an adapter's stdin and stdout.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use thiserror::Error;

use super::command::CommandTransport;
use super::http::{ClientError, Connection, without_redirects};
use super::protocol::Method;
use super::thread::HttpThread;
use crate::secret::{Secret, SecretFilter};

/// Time allowed for one fixture call, unless the user says otherwise.
pub const CALL_TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes of an answer; a longer one is none.
pub const ANSWER_MAX: usize = 1024 * 1024;
/// A connection that nobody has used for so long is not used again.
const POOLED_IDLE_MAX: Duration = Duration::from_secs(1);
/// Values within values in an answer. Deeper ones could be kept in a report, and no reader would read it again.
const DEPTH_MAX: usize = 64;

/// JSON-RPC's code for a method that is not offered.
const METHOD_NOT_FOUND: i64 = -32601;
/// JSON-RPC's code for bad parameters.
const INVALID_PARAMS: i64 = -32602;
/// The protocol's code for a refusal with `data.reason`.
const REFUSED: i64 = -32000;

/// Why a fixture call gave no result. None of these is the implementation's failure.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FixtureError {
    /// The adapter does not offer the method.
    #[error("the fixtures do not offer `{0}`")]
    Missing(&'static str),
    /// The adapter refused, with the protocol's reason.
    #[error("`{method}` was refused: {reason}")]
    Refused {
        /// Method called.
        method: &'static str,
        /// `data.reason`.
        reason: String,
    },
    /// The answer is not what the protocol says.
    #[error("`{method}`: expected {expected}, found {found}")]
    Broken {
        /// Method called.
        method: &'static str,
        /// What the protocol says.
        expected: String,
        /// What came.
        found: String,
    },
    /// No answer came.
    #[error("`{method}` was not answered: {reason}")]
    Unreachable {
        /// Method called.
        method: &'static str,
        /// Why not.
        reason: String,
    },
}

impl FixtureError {
    /// The same without secrets.
    pub fn cleaned(self, filter: &SecretFilter) -> FixtureError {
        match self {
            FixtureError::Missing(method) => FixtureError::Missing(method),
            FixtureError::Refused { method, reason } => {
                FixtureError::Refused { method, reason: filter.beginning(&reason) }
            }
            FixtureError::Broken { method, expected, found } => {
                FixtureError::Broken { method, expected: filter.text(&expected), found: filter.beginning(&found) }
            }
            FixtureError::Unreachable { method, reason } => {
                FixtureError::Unreachable { method, reason: filter.text(&reason) }
            }
        }
    }
}

/// How calls travel.
pub enum Transport {
    /// `POST` with a bearer token.
    Http {
        /// Where the client works.
        thread: HttpThread,
        /// Client without redirects, proxy and retries.
        client: reqwest::Client,
        /// Where to post.
        url: String,
        /// Control token.
        token: Secret,
    },
    /// A child process.
    Command(Box<CommandTransport>),
}

/// The fixtures of a target.
pub struct Fixtures {
    transport: Transport,
    next_id: AtomicU64,
    time_max: Duration,
}

impl Fixtures {
    /// Fixtures over HTTP; a call may take `time_max`.
    ///
    /// # Errors
    /// If the HTTP client cannot be set up.
    pub fn http(url: &str, token: Secret, time_max: Duration) -> Result<Fixtures, ClientError> {
        Fixtures::through(without_redirects(Connection::Own, url), url, token, time_max)
    }

    /// As [`Fixtures::http`], of a server that surely keeps a connection open that was used a moment ago. Of no other: nobody could say
    /// whether a call was made over one that turns out to be closed, and it must not be made twice.
    ///
    /// # Errors
    /// If the HTTP client cannot be set up.
    pub fn http_pooled(url: &str, token: Secret, time_max: Duration) -> Result<Fixtures, ClientError> {
        let client = without_redirects(Connection::Own, url).pool_max_idle_per_host(usize::MAX);
        Fixtures::through(client.pool_idle_timeout(POOLED_IDLE_MAX), url, token, time_max)
    }

    fn through(
        client: reqwest::ClientBuilder,
        url: &str,
        token: Secret,
        time_max: Duration,
    ) -> Result<Fixtures, ClientError> {
        let (client, thread) = (client.build()?, HttpThread::start()?);
        let transport = Transport::Http { thread, client, url: url.to_owned(), token };
        Ok(Fixtures::over(transport, time_max))
    }

    /// Fixtures over a given transport; a call may take `time_max`.
    pub fn over(transport: Transport, time_max: Duration) -> Fixtures {
        Fixtures { transport, next_id: AtomicU64::new(1), time_max }
    }

    /// Makes one call and returns its result.
    ///
    /// # Errors
    /// [`FixtureError`], always the adapter's or the connection's fault.
    pub async fn call(&self, method: Method, params: Value) -> Result<Value, FixtureError> {
        self.call_named(method.name(), params).await
    }

    /// As [`Fixtures::call`], with a method that the protocol may not know.
    ///
    /// # Errors
    /// [`FixtureError`].
    pub async fn call_named(&self, method: &'static str, params: Value) -> Result<Value, FixtureError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let unreachable = |reason: String| FixtureError::Unreachable { method, reason };
        let answer = match &self.transport {
            Transport::Http { thread, client, url, token } => {
                let answered =
                    thread.run(self.time_max, post(client.clone(), url.clone(), token.clone(), message)).await;
                let late = || unreachable(format!("no answer within {:?}", self.time_max));
                answered.ok_or_else(late)?.map_err(|fault| fault.of(method))?
            }
            Transport::Command(command) => command.call(id, &message, self.time_max).await.map_err(unreachable)?,
        };
        read_answer(method, id, &answer)
    }

    /// What an adapter wrote to its stderr, if that is kept. Secrets included.
    pub fn adapter_said(&self) -> String {
        match &self.transport {
            Transport::Http { .. } => String::new(),
            Transport::Command(command) => command.said(),
        }
    }

    /// Ends an adapter that was started for this target: closes its stdin and waits for it.
    pub async fn close(&self) {
        if let Transport::Command(command) = &self.transport {
            command.close().await;
        }
    }
}

/// Why a post gave no JSON-RPC message.
enum Fault {
    Connection(reqwest::Error),
    Answer { expected: String, found: String },
}

impl Fault {
    fn of(self, method: &'static str) -> FixtureError {
        match self {
            Fault::Connection(error) => FixtureError::Unreachable { method, reason: innermost(&error) },
            Fault::Answer { expected, found } => FixtureError::Broken { method, expected, found },
        }
    }
}

impl From<reqwest::Error> for Fault {
    fn from(error: reqwest::Error) -> Fault {
        Fault::Connection(error)
    }
}

async fn post(client: reqwest::Client, url: String, token: Secret, message: Value) -> Result<Value, Fault> {
    let request = client
        .post(&url)
        .header("authorization", format!("Bearer {}", token.expose()))
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&message).expect("a JSON value can be written as JSON"));
    let mut response = request.send().await?;
    let broken = |expected: &str, found: String| Fault::Answer { expected: expected.to_owned(), found };
    if response.status().as_u16() != 200 {
        return Err(broken("HTTP status 200", response.status().as_u16().to_string()));
    }
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if bytes.len() + piece.len() > ANSWER_MAX {
            return Err(broken(&format!("an answer of at most {ANSWER_MAX} bytes"), "a longer one".to_owned()));
        }
        bytes.extend_from_slice(&piece);
    }
    serde_json::from_slice(&bytes)
        .map_err(|_| broken("a JSON-RPC response", format!("{} bytes that are not JSON", bytes.len())))
}

/// Reads a JSON-RPC response. Pure; the adapter check and both transports share it.
pub fn read_answer(method: &'static str, id: u64, answer: &Value) -> Result<Value, FixtureError> {
    let broken =
        |expected: &str| FixtureError::Broken { method, expected: expected.to_owned(), found: outline(answer) };
    if answer.get("jsonrpc") != Some(&json!("2.0")) {
        return Err(broken("`jsonrpc` to be \"2.0\""));
    }
    if answer.get("id") != Some(&json!(id)) {
        return Err(broken(&format!("`id` to be {id}")));
    }
    if is_deeper(answer, DEPTH_MAX) {
        return Err(broken(&format!("values nested at most {DEPTH_MAX} deep")));
    }
    match (answer.get("result"), answer.get("error")) {
        (Some(result), None) => Ok(result.clone()),
        (None, Some(error)) => {
            Err(read_error(method, error).unwrap_or_else(|| broken("an error with a numeric `code`")))
        }
        _ => Err(broken("either `result` or `error`")),
    }
}

fn is_deeper(value: &Value, levels: usize) -> bool {
    let deeper = |item: &Value| levels == 0 || is_deeper(item, levels - 1);
    match value {
        Value::Array(items) => items.iter().any(deeper),
        Value::Object(entries) => entries.values().any(deeper),
        _ => false,
    }
}

fn read_error(method: &'static str, error: &Value) -> Option<FixtureError> {
    let code = error.get("code")?.as_i64()?;
    let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
    let reason = error.pointer("/data/reason").and_then(Value::as_str);
    Some(match (code, reason) {
        (METHOD_NOT_FOUND, _) => FixtureError::Missing(method),
        (REFUSED, Some(reason)) => FixtureError::Refused { method, reason: shortened(reason) },
        (INVALID_PARAMS, _) => FixtureError::Broken {
            method,
            expected: "its parameters to be accepted".to_owned(),
            found: format!("-32602 {}", shortened(message)),
        },
        _ => FixtureError::Broken {
            method,
            expected: "a result or a documented error".to_owned(),
            found: format!("{code} {}", shortened(message)),
        },
    })
}

/// Reads a result into the type the protocol says.
///
/// # Errors
/// [`FixtureError::Broken`] naming the field that is missing or of another type.
pub fn read_result<T: serde::de::DeserializeOwned>(method: Method, result: &Value) -> Result<T, FixtureError> {
    serde_json::from_value(result.clone()).map_err(|error| FixtureError::Broken {
        method: method.name(),
        expected: "the result that the protocol describes".to_owned(),
        found: format!("{} ({})", outline(result), without_quotations(&error.to_string())),
    })
}

/// The structure of a value without its texts: an adapter's answer may hold secrets that nobody has named yet.
fn outline(value: &Value) -> String {
    fn blanked(value: &Value) -> Value {
        match value {
            Value::String(_) => Value::String("…".to_owned()),
            Value::Array(items) => Value::Array(items.iter().map(blanked).collect()),
            Value::Object(entries) => entries.iter().map(|(key, item)| (known(key), blanked(item))).collect(),
            other => other.clone(),
        }
    }
    /// The protocol's own keys are short.
    fn known(key: &str) -> String {
        const KEY_MAX: usize = 40;
        if key.len() > KEY_MAX { "…".to_owned() } else { key.to_owned() }
    }
    cut(&blanked(value).to_string(), ',')
}

/// An error text of serde without the values it quotes between double quotes.
fn without_quotations(text: &str) -> String {
    text.split('"').enumerate().map(|(position, part)| if position % 2 == 0 { part } else { "…" }).collect()
}

fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// At most the first 200 characters of a text, whole words: half a secret would not be recognised.
fn shortened(text: &str) -> String {
    cut(text, ' ')
}

fn cut(text: &str, between: char) -> String {
    const SHOWN_MAX: usize = 200;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..text[..end].rfind(between).unwrap_or(0)]),
        None => text.to_owned(),
    }
}
