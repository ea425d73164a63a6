//! The HTTP client: a request in, an exchange with its instants out. It follows no redirect, uses no proxy and never retries,
//! since every request counts against a limit.

use std::time::{Duration, Instant};

use thiserror::Error;

use crate::api::Api;
use crate::evidence::{Body, BodyReader, Exchange, Response, SentRequest, Signed};

/// Time allowed for opening a connection.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Time allowed for one exchange, from the first byte sent to the last received, unless the user says otherwise.
pub const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(15);
/// Bytes of an answer's body; a longer one is no answer: its rest is left unread and the connection closed.
pub const BODY_READ_MAX: usize = 1024 * 1024;
/// Bytes of all header names and values of an answer; one with more is no answer. The client itself refuses more than 100 headers.
pub const HEAD_MAX: usize = 32 * 1024;
/// Idle connections kept open to a target, so that a volley finds its connections opened.
const IDLE_CONNECTIONS_MAX: usize = 128;

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
    /// Headers in order; values are sent as they are.
    pub headers: Vec<(String, String)>,
    /// Body; `None` sends none.
    pub body: Option<Vec<u8>>,
    /// What a signature was made of.
    pub signed: Option<Signed>,
    /// Send header names with capital first letters instead of lower case.
    pub title_case: bool,
}

impl Request {
    /// A request without headers and body.
    pub fn new(label: impl Into<String>, api: Api, method: &'static str, path: impl Into<String>) -> Request {
        Request {
            label: label.into(),
            api,
            method,
            path: path.into(),
            headers: Vec::new(),
            body: None,
            signed: None,
            title_case: false,
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
        self.body = Some(bytes.into());
        self
    }

    /// Sets the body to compact JSON.
    pub fn json(self, value: &serde_json::Value) -> Request {
        self.body(value.to_string())
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
    lower_case: reqwest::Client,
    title_case: reqwest::Client,
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
        let builder = || {
            let builder = reqwest::Client::builder()
                .user_agent(concat!("hookproof/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .http1_only()
                .tcp_nodelay(true)
                .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
                .connect_timeout(CONNECT_TIME_MAX)
                .timeout(time_max);
            match &root {
                Some(certificate) => builder.tls_certs_merge([certificate.clone()]),
                None => builder,
            }
        };
        Ok(HttpClient {
            lower_case: builder().build()?,
            title_case: builder().http1_title_case_headers().build()?,
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

    /// Asks whether anybody is there: the head of any HTTP answer will do.
    ///
    /// # Errors
    /// Why none came.
    pub async fn greet(&self) -> Result<(), String> {
        let mut outgoing = self.lower_case.get(format!("{}/", self.base_url));
        for (name, value) in &self.headers {
            outgoing = outgoing.header(name, value);
        }
        outgoing.send().await.map(|_| ()).map_err(|error| self.describe(&error))
    }

    /// Sends one request and reads its answer within the limits. A failure is part of the exchange, not an error.
    pub async fn send(&self, request: &Request, advanced_ms: u64) -> Exchange {
        let url = format!("{}{}", self.base_url, request.path);
        let mut headers: Vec<(String, String)> = self.headers.iter().chain(&request.headers).cloned().collect();
        if request.method == "POST" && request.body.as_ref().is_none_or(Vec::is_empty) {
            // Left to itself the client sends no length here, and a server may insist on one (411).
            headers.push(("content-length".to_owned(), "0".to_owned()));
        }
        let client = if request.title_case { &self.title_case } else { &self.lower_case };
        let mut outgoing = client.request(method(request.method), &url);
        for (name, value) in &headers {
            outgoing = outgoing.header(name, value);
        }
        if let Some(body) = &request.body {
            outgoing = outgoing.body(body.clone());
        }
        let start_ns = self.now_ns();
        let answered = match outgoing.send().await {
            Ok(incoming) => self.read_answer(incoming).await,
            Err(error) => Err(self.describe(&error)),
        };
        let end_ns = self.now_ns();
        let (response, error) = match answered {
            Ok(response) => (Some(response), None),
            Err(error) => (None, Some(error)),
        };
        Exchange {
            label: request.label.clone(),
            curl: curl_line(request, &url, &headers),
            request: SentRequest {
                method: request.method.to_owned(),
                url,
                headers,
                body: request.body.as_deref().map(Body::keep),
                signed: request.signed.clone(),
            },
            response,
            error,
            start_ns,
            end_ns,
            advanced_ms,
        }
    }

    /// Nanoseconds since the run began.
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).expect("a run lasts less than 584 years")
    }

    async fn read_answer(&self, mut incoming: reqwest::Response) -> Result<Response, String> {
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
        while let Some(chunk) = incoming.chunk().await.map_err(|error| self.describe(&error))? {
            reader.read(&chunk);
            if reader.length() > BODY_READ_MAX {
                return Err(format!("an answer {status} whose body is longer than {BODY_READ_MAX} bytes"));
            }
        }
        // In a compressed body nobody could find the secrets that must not be kept.
        let encoded = headers.iter().any(|(name, value)| name == "content-encoding" && value.trim() != "identity");
        Ok(Response { status, headers, body: if encoded { reader.outline() } else { reader.keep() } })
    }

    /// The innermost cause says most: "connection refused" rather than "error sending request".
    fn describe(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() {
            let limit = if error.is_connect() { CONNECT_TIME_MAX.min(self.time_max) } else { self.time_max };
            return format!("no complete answer within {limit:?}");
        }
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        cause.to_string()
    }
}

fn method(name: &str) -> reqwest::Method {
    reqwest::Method::from_bytes(name.as_bytes()).expect("checks name methods made of letters")
}

/// A shell command that repeats the request; secrets in it are replaced later, with the rest of the evidence.
fn curl_line(request: &Request, url: &str, headers: &[(String, String)]) -> String {
    let mut words = vec!["curl".to_owned(), "-i".to_owned(), "-X".to_owned(), request.method.to_owned(), quoted(url)];
    for (name, value) in headers {
        words.push("-H".to_owned());
        // curl drops a header with nothing after the colon; a semicolon sends it empty.
        words.push(quoted(&if value.is_empty() { format!("{name};") } else { format!("{name}: {value}") }));
    }
    match request.body.as_deref().map(Body::keep) {
        None => {}
        Some(Body::Text(text)) => {
            words.push("--data-binary".to_owned());
            words.push(quoted(&text));
        }
        Some(Body::Base64(text)) => {
            words.insert(0, format!("printf %s {} | base64 -d |", quoted(&text)));
            words.push("--data-binary @-".to_owned());
        }
        Some(Body::Cut { length, sha256, .. }) => {
            words.push("--data-binary @FILE".to_owned());
            words.push(format!("# FILE: {length} bytes, SHA-256 {sha256}"));
        }
    }
    words.join(" ")
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curl_line_quotes_what_a_shell_would_read() {
        let request = Request::new("a", Api::Rndrkit, "POST", "/x").header("a", "it's").body("{\"b\": \"$HOME\"}");
        let line = curl_line(&request, "http://127.0.0.1:1/x", &request.headers);
        assert_eq!(line, r#"curl -i -X POST 'http://127.0.0.1:1/x' -H 'a: it'\''s' --data-binary '{"b": "$HOME"}'"#);
    }
}
