//! Requests and answers as the routes see them, and the listener that carries them.
//!
//! The routes know neither hyper's bodies nor its connections: a request has been read whole, within
//! the limits, before it is routed, and an answer is a status and bytes.

pub mod listener;
pub mod router;
mod watched;

use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use serde::Serialize;

/// A request, read whole.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it arrived.
    pub body: Bytes,
    /// The number of the connection it came over, counted from 1.
    pub connection: u64,
}

impl Inbound {
    /// The value of a header that is sent at most once.
    pub fn header(&self, name: &HeaderName) -> Option<&[u8]> {
        self.headers.get(name).map(HeaderValue::as_bytes)
    }

    /// The token of `Authorization: Bearer`, trimmed; none when the header is absent, sent twice, of
    /// another scheme or without a token. The scheme is read in any case (RFC 9110, section 11.1).
    pub fn bearer(&self) -> Option<&[u8]> {
        let mut values = self.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return None;
        };
        let (scheme, token) = value.as_bytes().trim_ascii().split_at_checked(BEARER.len())?;
        let separated = token.first().is_some_and(u8::is_ascii_whitespace);
        (scheme.eq_ignore_ascii_case(BEARER) && separated).then(|| token.trim_ascii())
    }
}

const BEARER: &[u8] = b"Bearer";

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body, JSON unless a header says otherwise; empty for no body.
    pub body: Bytes,
    /// Headers beside those of every answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// The media type of every answer with a body.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl Answer {
    /// A JSON answer from a value.
    pub fn json(status: StatusCode, value: &impl Serialize) -> Answer {
        let body = serde_json::to_vec(value).expect("answers are plain values with string keys");
        Answer::bytes(status, Bytes::from(body))
    }

    /// A JSON answer from text that is JSON already.
    pub fn fixed(status: StatusCode, body: &'static str) -> Answer {
        Answer::bytes(status, Bytes::from_static(body.as_bytes()))
    }

    /// A JSON answer from bytes that are JSON already.
    pub fn bytes(status: StatusCode, body: Bytes) -> Answer {
        Answer { status, body, headers: vec![(header::CONTENT_TYPE, JSON)] }
    }

    /// The same answer with one header more.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Answer {
        self.headers.push((name, value));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_bearer(values: &[&str], expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).expect("value"));
        }
        let request =
            Inbound { method: Method::POST, uri: Uri::from_static("/"), headers, body: Bytes::new(), connection: 1 };
        assert_eq!(request.bearer(), expected.map(str::as_bytes), "{values:?}");
    }

    #[test]
    fn a_bearer_token_is_found_in_any_case_and_trimmed() {
        check_bearer(&["Bearer abc"], Some("abc"));
        check_bearer(&["bearer abc"], Some("abc"));
        check_bearer(&["Bearer   abc "], Some("abc"));
    }

    #[test]
    fn what_is_no_bearer_token_is_none() {
        check_bearer(&[], None);
        check_bearer(&["Basic abc"], None);
        check_bearer(&["abc"], None);
        check_bearer(&["Bearerabc"], None);
        check_bearer(&["Bearer"], None);
        check_bearer(&["Bearer a", "Bearer b"], None);
    }
}
