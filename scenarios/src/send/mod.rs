//! Sending one request and reading its answer, with the instants at which things happened.
//!
//! `http` goes over a connection of the user's own, driven by the user's own task: it is open before a volley begins, it follows no redirect, knows
//! no proxy and repeats nothing. `https` goes through one shared client that is told the same.

mod direct;
mod marks;
mod shared;
#[cfg(test)]
mod tests;

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::InvalidUri;
use hyper::{Method, Uri};

use crate::grounds::Site;
use crate::run::{LoadError, Stopwatch};

/// Of an answer's body this much is kept; an answer of these APIs is far smaller.
const BODY_KEPT: usize = 64 * 1024;

/// After this much the rest of a body is not waited for.
const BODY_READ: usize = 1024 * 1024;

/// What is sent.
pub(crate) type Request = hyper::Request<Full<Bytes>>;

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) times: Times,
}

/// When things happened, on the recorder's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    /// Before the first byte was written.
    pub(crate) begun_ns: u64,
    /// When all of it was with the operating system; for `https`, when it was begun.
    pub(crate) sent_ns: u64,
    /// When the first byte of the answer was read; for `https`, when its headers were complete.
    pub(crate) first_byte_ns: u64,
    /// After the last byte was read.
    pub(crate) ended_ns: u64,
}

/// Why there is no complete answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Not a byte of the request was written: it was not sent.
    NotSent(String),
    /// It took too long. Whether it had an effect is unknown.
    TimedOut,
    /// The connection broke, or the answer was none. Whether the request had an effect is unknown.
    Lost(String),
}

impl Failure {
    /// What a history says of it.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Failure::NotSent(_) => "not sent",
            Failure::TimedOut => "timeout",
            Failure::Lost(_) => "connection lost",
        }
    }
}

/// A site, resolved and ready to be connected to.
#[derive(Debug)]
pub(crate) struct Door {
    base: url::Url,
    headers: HeaderMap,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Direct(direct::Address),
    Shared(reqwest::Client),
}

impl Door {
    /// Prepares sending to a site.
    ///
    /// # Errors
    /// [`LoadError::Site`] when its URL, headers or certificate cannot be used.
    pub(crate) fn new(site: &Site) -> Result<Door, LoadError> {
        let wrong = |reason: String| LoadError::Site { base_url: site.base_url.to_string(), reason };
        let mut headers = HeaderMap::new();
        for (name, value) in &site.headers {
            let name = HeaderName::try_from(name).map_err(|_| wrong(format!("`{name}` is no header name")))?;
            let value = HeaderValue::try_from(value.reveal());
            let mut value = value.map_err(|_| wrong(format!("the value of `{name}` cannot be a header's")))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let host = site.base_url.host_str().ok_or_else(|| wrong("it names no host".into()))?;
        let way = match site.base_url.scheme() {
            "http" => {
                let port = site.base_url.port_or_known_default().expect("http has a default port");
                let shown = site.base_url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
                let shown = HeaderValue::try_from(shown).map_err(|_| wrong("its host cannot be a header's".into()))?;
                headers.entry(HOST).or_insert(shown);
                // A URL shows an IPv6 address in brackets, a resolver wants none.
                Way::Direct(direct::Address { host: host.trim_matches(['[', ']']).to_owned(), port })
            }
            "https" => Way::Shared(shared::client(site.root.as_deref()).map_err(wrong)?),
            other => return Err(wrong(format!("`{other}` is neither http nor https"))),
        };
        Ok(Door { base: site.base_url.clone(), headers, way })
    }

    /// Where a path of the API is.
    pub(crate) fn uri(&self, path: &str) -> Result<Uri, InvalidUri> {
        self.uri_at_origin(&format!("{}{path}", self.base.path().trim_end_matches('/')))
    }

    /// Where a path is that begins where the site's origin ends.
    pub(crate) fn uri_at_origin(&self, path: &str) -> Result<Uri, InvalidUri> {
        match self.way {
            Way::Direct(_) => path.parse(),
            Way::Shared(_) => format!("{}{path}", self.base.origin().ascii_serialization()).parse(),
        }
    }

    /// A request with the site's headers.
    pub(crate) fn request(&self, method: Method, uri: Uri, body: Bytes) -> Request {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// One user's way through a [`Door`].
pub(crate) struct Line<'d> {
    door: &'d Door,
    stopwatch: Stopwatch,
    request_time: Duration,
    connection: Option<direct::Connection>,
}

impl<'d> Line<'d> {
    pub(crate) fn new(door: &'d Door, stopwatch: Stopwatch, request_time: Duration) -> Line<'d> {
        Line { door, stopwatch, request_time, connection: None }
    }

    /// Sees to it that a connection is open, so that the next request is written at once.
    ///
    /// # Errors
    /// [`Failure::NotSent`].
    pub(crate) async fn connect(&mut self) -> Result<(), Failure> {
        let Way::Direct(address) = &self.door.way else { return Ok(()) };
        if let Some(connection) = &mut self.connection
            && connection.is_open().await
        {
            return Ok(());
        }
        self.connection = None;
        let connecting = direct::Connection::open(address, self.stopwatch);
        let connection = match tokio::time::timeout(self.request_time, connecting).await {
            Ok(connected) => connected.map_err(|error| Failure::NotSent(error.to_string()))?,
            Err(_) => return Err(Failure::NotSent(format!("no connection within {:?}", self.request_time))),
        };
        self.connection = Some(connection);
        Ok(())
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// [`Failure`]. A request is never sent twice; one of which not a byte had been written when the server closed an idle
    /// connection goes over a new one.
    pub(crate) async fn send(&mut self, request: Request) -> Result<Answer, Failure> {
        let limit = self.request_time;
        match tokio::time::timeout(limit, self.send_unbounded(request)).await {
            Ok(answered) => answered,
            Err(_) => {
                // An answer that comes now must not be taken for the next one's.
                self.connection = None;
                Err(Failure::TimedOut)
            }
        }
    }

    async fn send_unbounded(&mut self, request: Request) -> Result<Answer, Failure> {
        if let Way::Shared(client) = &self.door.way {
            return shared::send(client, request, self.stopwatch).await;
        }
        if self.connection.is_none() {
            self.connect().await?;
        }
        let connection = self.connection.as_mut().expect("connected above");
        let (unsent, failure) = match connection.send(request).await {
            Ok(answer) => return Ok(answer),
            Err((unsent, failure)) => (unsent, failure),
        };
        self.connection = None;
        let Some(request) = unsent else { return Err(failure) };
        self.connect().await?;
        let connection = self.connection.as_mut().expect("connected above");
        connection.send(request).await.map_err(|(_, failure)| {
            self.connection = None;
            failure
        })
    }
}
