//! The HTTP client: a request in, an exchange with its instants out. It follows no redirect, uses no proxy and never retries,
//! since every request counts against a limit.
//!
//! Each request has a connection of its own. One that is used again may have been closed meanwhile, which shows only once the next
//! request is on its way, and then nobody knows whether it counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use hyper::body::Bytes;
use thiserror::Error;
use tower::util::MapFutureLayer;

use super::start_line::{self, Place, StartLine};
use super::thread::HttpThread;
use crate::api::Api;
use crate::evidence::{Body, BodyReader, Exchange, Response, SentRequest, Signed};

/// The scheme that needs no certificates.
const PLAIN: &str = "http:";
/// Time allowed for opening a connection.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Time allowed for one exchange, from the first byte sent to the last received, unless the user says otherwise.
pub const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(15);
/// Bytes of an answer's body; a longer one is no answer: its rest is left unread and the connection closed.
pub const BODY_READ_MAX: usize = 1024 * 1024;
/// Bytes of all header names and values of an answer; one with more is no answer. The client itself refuses more than 100 headers.
pub const HEAD_MAX: usize = 32 * 1024;
/// Time allowed for the connections of a volley to open; it leaves with those that are open by then.
const VOLLEY_OPENS_MAX: Duration = Duration::from_secs(1);

/// Which connection a request takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connection {
    /// One of its own, closed afterwards.
    #[default]
    Own,
    /// The one that all of these share while the target keeps it open. For looking at what depends on the connection.
    Kept,
}

/// A request that a check wants sent.
#[derive(Clone)]
pub struct Request {
    /// The step of the check; the judge finds the exchange by it.
    pub label: String,
    /// Whose base URL is used.
    pub api: Api,
    /// Method.
    pub method: &'static str,
    /// Path and query, beginning with `/`.
    pub path: String,
    /// The path is the whole one, instead of following that of the base URL.
    pub from_origin: bool,
    /// Headers in order; values are sent as they are.
    pub headers: Vec<(String, String)>,
    /// Body; `None` sends none.
    pub body: Option<Bytes>,
    /// What a signature was made of.
    pub signed: Option<Signed>,
    /// Send header names with capital first letters instead of lower case, which only connections of their own can.
    pub title_case: bool,
    /// Which connection it takes.
    pub connection: Connection,
}

impl Request {
    /// A request without headers and body.
    pub fn new(label: impl Into<String>, api: Api, method: &'static str, path: impl Into<String>) -> Request {
        Request {
            label: label.into(),
            api,
            method,
            path: path.into(),
            from_origin: false,
            headers: Vec::new(),
            body: None,
            signed: None,
            title_case: false,
            connection: Connection::Own,
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Request {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Removes a header.
    pub fn without_header(mut self, name: &str) -> Request {
        self.headers.retain(|(found, _)| !found.eq_ignore_ascii_case(name));
        self
    }

    /// Sets the body's bytes.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Request {
        self.body = Some(Bytes::from(bytes.into()));
        self
    }

    /// Sets the body to compact JSON.
    pub fn json(self, value: &serde_json::Value) -> Request {
        self.body(serde_json::to_vec(value).expect("a JSON value can be written as JSON"))
    }

    /// Names the step.
    pub fn label(mut self, label: impl Into<String>) -> Request {
        self.label = label.into();
        self
    }
}

/// Why the client could not be made.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The TLS or socket set-up failed.
    #[error("cannot set up the HTTP client: {0}")]
    SetUp(#[from] reqwest::Error),
    /// The client's thread could not be started.
    #[error("cannot start a thread for HTTP: {0}")]
    Thread(#[from] std::io::Error),
    /// The extra root certificate cannot be used.
    #[error("`ca` in [{api}]: expected a PEM certificate in {path}, found: {reason}")]
    Root {
        /// Section of the target file.
        api: &'static str,
        /// The file named there.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Sends requests to one API of the target.
pub struct HttpClient {
    thread: HttpThread,
    own: reqwest::Client,
    title_case: reqwest::Client,
    kept: reqwest::Client,
    /// An exchange over a kept connection broke off.
    kept_broke: AtomicBool,
    base_url: String,
    headers: Vec<(String, String)>,
    began: Instant,
    time_max: Duration,
}

impl HttpClient {
    /// A client for one base URL. `headers` go with every request; instants are counted from `began`, and an exchange may take `time_max`.
    ///
    /// # Errors
    /// [`ClientError`] if TLS cannot be set up.
    pub fn new(
        base_url: &str,
        headers: Vec<(String, String)>,
        root: Option<reqwest::Certificate>,
        began: Instant,
        time_max: Duration,
    ) -> Result<HttpClient, ClientError> {
        let builder = |connections| {
            let builder = without_redirects(connections, base_url)
                .user_agent(concat!("hookproof/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIME_MAX);
            match &root {
                Some(certificate) => builder.tls_certs_merge([certificate.clone()]),
                None => builder,
            }
        };
        let own = || builder(Connection::Own).connector_layer(MapFutureLayer::new(start_line::connected));
        Ok(HttpClient {
            thread: HttpThread::start()?,
            own: own().build()?,
            title_case: own().http1_title_case_headers().build()?,
            kept: builder(Connection::Kept).build()?,
            kept_broke: AtomicBool::new(false),
            base_url: base_url.trim_end_matches('/').to_owned(),
            headers,
            began,
            time_max,
        })
    }

    /// The target's base URL, without a slash at its end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The base URL without its path.
    fn origin(&self) -> &str {
        let authority = self.base_url.find("://").map_or(0, |at| at + "://".len());
        let end = self.base_url[authority..].find('/').map_or(self.base_url.len(), |at| authority + at);
        &self.base_url[..end]
    }

    /// True if an exchange over a kept connection broke off: the target may close such connections without saying so. From then on
    /// each request has one of its own.
    pub fn kept_broke(&self) -> bool {
        self.kept_broke.load(Ordering::Relaxed)
    }

    /// Asks whether anybody is there: the head of any HTTP answer will do.
    ///
    /// # Errors
    /// Why none came.
    pub async fn greet(&self) -> Result<(), String> {
        let mut outgoing = self.own.get(format!("{}/", self.base_url));
        for (name, value) in &self.headers {
            outgoing = outgoing.header(name, value);
        }
        let time_max = self.time_max;
        let greeting = async move { outgoing.send().await.map(|_| ()).map_err(|error| describe(&error, time_max)) };
        self.thread.run(time_max, greeting).await.unwrap_or_else(|| Err(not_within(time_max)))
    }

    /// Sends one request and reads its answer within the limits. A failure is part of the exchange, not an error.
    pub async fn send(&self, request: &Request, advanced_ms: u64) -> Exchange {
        self.exchange(request, advanced_ms, None).await
    }

    /// Sends requests that leave together, once each has a connection that the target has accepted. Exchanges come in the order of
    /// `requests`; one begins when it leaves.
    pub async fn send_volley(&self, requests: &[Request], advanced_ms: u64) -> Vec<Exchange> {
        let mut line = StartLine::new();
        let sending: Vec<_> = requests
            .iter()
            .map(|request| {
                let place = line.place();
                async move {
                    let exchange = self.exchange(request, advanced_ms, Some(Arc::clone(&place))).await;
                    // One that got no connection holds nobody up.
                    place.wait_no_more();
                    exchange
                }
            })
            .collect();
        // Connections are accepted in the order of their opening: when this one, the last, is answered, the others have been.
        let starting = line.start(VOLLEY_OPENS_MAX.min(self.time_max / 4), self.greet());
        join(join_all(sending), starting).await.0
    }

    async fn exchange(&self, request: &Request, advanced_ms: u64, place: Option<Arc<Place>>) -> Exchange {
        let base = if request.from_origin { self.origin() } else { &self.base_url };
        let url = format!("{base}{}", request.path);
        let headers = self.headers_of(request);
        let kept = request.connection == Connection::Kept && !self.kept_broke();
        let client = match request.title_case {
            _ if kept => &self.kept,
            true => &self.title_case,
            false => &self.own,
        };
        let mut outgoing = client.request(method(request.method), &url);
        for (name, value) in &headers {
            outgoing = outgoing.header(name, value);
        }
        if let Some(body) = &request.body {
            outgoing = outgoing.body(body.clone());
        }
        let (asked, time_max) = (Instant::now(), self.time_max);
        let sending = start_line::at(place.clone(), async move {
            let start = Instant::now();
            let answered = answered(outgoing, time_max).await;
            (start, answered, Instant::now())
        });
        let done = self.thread.run(time_max, sending).await;
        let in_time = done.is_some();
        let (start, answered, end) = done.unwrap_or_else(|| (asked, Err(not_within(time_max)), Instant::now()));
        if kept && answered.is_err() && in_time {
            self.kept_broke.store(true, Ordering::Relaxed);
        }
        let left = place.and_then(|place| place.left()).unwrap_or(start);
        let (response, error) = match answered {
            Ok(response) => (Some(response), None),
            Err(error) => (None, Some(error)),
        };
        let body = request.body.as_deref().map(Body::keep);
        Exchange {
            label: request.label.clone(),
            curl: curl_line(request.method, &url, &headers, body.as_ref()),
            request: SentRequest {
                method: request.method.to_owned(),
                url,
                headers,
                body,
                signed: request.signed.clone(),
            },
            response,
            error,
            start_ns: self.ns_at(left),
            end_ns: self.ns_at(end),
            advanced_ms,
        }
    }

    fn headers_of(&self, request: &Request) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = self.headers.iter().chain(&request.headers).cloned().collect();
        if request.method == "POST" && request.body.as_ref().is_none_or(Bytes::is_empty) {
            // Left to itself the client sends no length here, and a server may insist on one (411).
            headers.push(("content-length".to_owned(), "0".to_owned()));
        }
        headers
    }

    /// Nanoseconds from the beginning of the run to an instant.
    fn ns_at(&self, instant: Instant) -> u64 {
        u64::try_from(instant.duration_since(self.began).as_nanos()).expect("a run lasts less than 584 years")
    }
}

/// What every client here has in common; `url` is where its requests go.
pub(super) fn without_redirects(connections: Connection, url: &str) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        // Bodies are kept as they came. Other users of the same library in this program may want them unpacked.
        .no_gzip()
        .no_brotli()
        .no_deflate()
        .no_zstd()
        .http1_only()
        .tcp_nodelay(true);
    // Reading the machine's root certificates takes longer than a hundred requests.
    let plain = url.get(..PLAIN.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(PLAIN));
    let builder = if plain { builder.tls_certs_only([]) } else { builder };
    match connections {
        // How long an exchange may take is watched from another thread, so nothing has to watch the connection.
        Connection::Own => builder
            .tcp_keepalive(None)
            .tcp_keepalive_interval(None)
            .tcp_keepalive_retries(None)
            .tcp_user_timeout(None)
            .pool_max_idle_per_host(0),
        Connection::Kept => builder.pool_max_idle_per_host(1),
    }
}

async fn answered(outgoing: reqwest::RequestBuilder, time_max: Duration) -> Result<Response, String> {
    let failed = |error: reqwest::Error| describe(&error, time_max);
    let mut incoming = outgoing.send().await.map_err(failed)?;
    let status = incoming.status().as_u16();
    let size = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
        name.as_str().len() + value.as_bytes().len()
    };
    if incoming.headers().iter().map(size).sum::<usize>() > HEAD_MAX {
        return Err(format!("an answer {status} whose headers are longer than {HEAD_MAX} bytes"));
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: Vec<(String, String)> =
        incoming.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes()))).collect();
    let mut reader = BodyReader::default();
    while let Some(chunk) = incoming.chunk().await.map_err(failed)? {
        reader.read(&chunk);
        if reader.length() > BODY_READ_MAX {
            return Err(format!("an answer {status} whose body is longer than {BODY_READ_MAX} bytes"));
        }
    }
    // In a compressed body nobody could find the secrets that must not be kept.
    let encoded = headers.iter().any(|(name, value)| name == "content-encoding" && value.trim() != "identity");
    Ok(Response { status, headers, body: if encoded { reader.outline() } else { reader.keep() } })
}

fn not_within(limit: Duration) -> String {
    format!("no complete answer within {limit:?}")
}

/// The innermost cause says most: "connection refused" rather than "error sending request".
fn describe(error: &reqwest::Error, time_max: Duration) -> String {
    if error.is_timeout() {
        return not_within(CONNECT_TIME_MAX.min(time_max));
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn method(name: &str) -> reqwest::Method {
    reqwest::Method::from_bytes(name.as_bytes()).expect("checks name methods made of letters")
}

/// A shell command that repeats the request; secrets in it are replaced later, with the rest of the evidence.
fn curl_line(method: &str, url: &str, headers: &[(String, String)], body: Option<&Body>) -> String {
    let text = body.and_then(Body::text).map_or(0, str::len);
    let mut line = String::with_capacity(url.len() + text + 64 * (headers.len() + 1));
    if let Some(Body::Base64(text)) = body {
        line.extend(["printf %s ", &quoted(text), " | base64 -d | "]);
    }
    line.extend(["curl -i -X ", method, " ", &quoted(url)]);
    for (name, value) in headers {
        // curl drops a header with nothing after the colon; a semicolon sends it empty.
        let sent = if value.is_empty() { format!("{name};") } else { format!("{name}: {value}") };
        line.extend([" -H ", &quoted(&sent)]);
    }
    match body {
        None => {}
        Some(Body::Text(text)) => line.extend([" --data-binary ", &quoted(text)]),
        Some(Body::Base64(_)) => line.push_str(" --data-binary @-"),
        Some(Body::Cut { length, sha256, .. }) => {
            line.push_str(&format!(" --data-binary @FILE # FILE: {length} bytes, SHA-256 {sha256}"));
        }
    }
    line
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curl_line_quotes_what_a_shell_would_read() {
        let request = Request::new("a", Api::Rndrkit, "POST", "/x")
            .header("a", "it's")
            .header("b", "")
            .body("{\"b\": \"$HOME\"}");
        let check = |body: Option<Body>, expected: &str| {
            assert_eq!(curl_line(request.method, "http://127.0.0.1:1/x", &request.headers, body.as_ref()), expected);
        };
        let curl = r"curl -i -X POST 'http://127.0.0.1:1/x' -H 'a: it'\''s' -H 'b;'";
        check(None, curl);
        let kept = request.body.as_deref().map(Body::keep);
        check(kept, &format!(r#"{curl} --data-binary '{{"b": "$HOME"}}'"#));
        let bytes = Body::Base64("/w==".to_owned());
        check(Some(bytes), &format!("printf %s '/w==' | base64 -d | {curl} --data-binary @-"));
        let long = Body::Cut { length: 70_000, sha256: "ab".to_owned(), first: String::new() };
        check(Some(long), &format!("{curl} --data-binary @FILE # FILE: 70000 bytes, SHA-256 ab"));
    }
}
