//! Which path and method leads where, and what everything else is answered.
//!
//! A hand-written match: axum costs about a third more CPU a request than plain hyper, for five routes.

use std::borrow::Cow;
use std::sync::Arc;

use hyper::header::{self, HeaderValue};
use hyper::{Method, StatusCode};

use super::{Answer, Inbound};
use crate::server::App;
use crate::{control, craftkit, rndrkit};

/// A path that is served.
pub(crate) enum Route<'a> {
    Refresh,
    Hook(Cow<'a, [u8]>),
    Render(Cow<'a, [u8]>),
    RenderTemplate(Cow<'a, [u8]>),
    Health,
    Control,
}

impl<'a> Route<'a> {
    /// One trailing slash makes no difference: the documents say nothing, and Express, which RndrKit
    /// names, ignores it.
    fn of(app: &App, path: &'a str) -> Option<Route<'a>> {
        let path = path.strip_prefix('/')?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut segments = path.split('/');
        let first = (segments.next()?, segments.next(), segments.next(), segments.next());
        if segments.next().is_some() {
            return None;
        }
        match first {
            ("api", Some("webhook"), Some("refresh"), None) => Some(Route::Refresh),
            ("v1", Some("hooks"), Some(token), None) => Some(Route::Hook(decoded(token))),
            ("v1", Some("renders"), Some(id), None) => Some(Route::Render(decoded(id))),
            ("v1", Some("templates"), Some(slug), Some("render")) => Some(Route::RenderTemplate(decoded(slug))),
            ("health", None, None, None) => Some(Route::Health),
            ("_control", None, None, None) => app.control.as_ref().map(|_| Route::Control),
            _ => None,
        }
    }

    /// Its name in logs; never its path, which may hold a token.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Route::Refresh => "refresh",
            Route::Hook(_) => "hook",
            Route::Render(_) => "render",
            Route::RenderTemplate(_) => "render_template",
            Route::Health => "health",
            Route::Control => "control",
        }
    }

    fn allow(&self) -> &'static str {
        match self {
            Route::Refresh | Route::Hook(_) | Route::RenderTemplate(_) | Route::Control => "POST",
            Route::Render(_) | Route::Health => "GET, HEAD",
        }
    }

    fn serves(&self, method: &Method) -> bool {
        self.allow().split(", ").any(|allowed| allowed == method.as_str())
    }
}

/// Where a request leads.
pub(crate) fn find<'a>(app: &App, request: &'a Inbound) -> Option<Route<'a>> {
    Route::of(app, request.uri.path())
}

/// Answers a request that leads there.
pub(crate) async fn route(app: &Arc<App>, request: &Inbound, found: Option<Route<'_>>) -> Answer {
    let path = request.uri.path();
    let Some(route) = found else {
        return fault(path, &Fault::NoSuchRoute);
    };
    if !route.serves(&request.method) {
        return fault(path, &Fault::WrongMethod { allow: route.allow() });
    }
    match route {
        Route::Refresh => rndrkit::routes::refresh(app, request).await,
        Route::Hook(token) => craftkit::routes::hook(app, request, &token).await,
        Route::Render(id) => craftkit::routes::render(app, request, &id),
        Route::RenderTemplate(slug) => craftkit::pipeline::render(app, request, &slug).await,
        Route::Health => Answer::fixed(StatusCode::OK, r#"{"status":"ok"}"#),
        Route::Control => control::answer(app, request).await,
    }
}

/// A request that reaches no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is served there.
    NoSuchRoute,
    /// Something is, by another method.
    WrongMethod { allow: &'static str },
    /// The body is longer than allowed.
    BodyTooLong { limit: usize },
    /// The body did not arrive in time.
    BodyLate,
    /// The body's transfer was broken.
    BodyBroken,
    /// No answer was found in time.
    TooSlow,
    /// Too many requests wait for the store.
    Busy,
    /// The store failed.
    Internal,
}

impl Fault {
    fn parts(&self) -> (StatusCode, &'static str, Cow<'static, str>) {
        match self {
            Fault::NoSuchRoute => (StatusCode::NOT_FOUND, "not_found", "Not found".into()),
            Fault::WrongMethod { .. } => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed".into())
            }
            Fault::BodyTooLong { limit } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload_too_large",
                format!("Request body is longer than {limit} bytes").into(),
            ),
            Fault::BodyLate => {
                (StatusCode::REQUEST_TIMEOUT, "request_timeout", "Request body did not arrive in time".into())
            }
            Fault::BodyBroken => (StatusCode::BAD_REQUEST, "bad_request", "Request body is broken off".into()),
            Fault::TooSlow => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "No answer in time".into()),
            Fault::Busy => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Too many requests wait".into()),
            Fault::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error".into()),
        }
    }
}

/// Answers a fault in the shape of the API that the path belongs to: CraftKit's nested error below
/// `/v1`, RndrKit's flat one elsewhere.
pub(crate) fn fault(path: &str, fault: &Fault) -> Answer {
    let (status, code, message) = fault.parts();
    let value = if path.starts_with("/v1") {
        serde_json::json!({"error": {"code": code, "message": message}})
    } else {
        serde_json::json!({ "error": message })
    };
    let answer = Answer::json(status, &value);
    match fault {
        Fault::WrongMethod { allow } => answer.with(header::ALLOW, HeaderValue::from_static(allow)),
        _ => answer,
    }
}

/// A path segment with its percent escapes resolved; a broken escape stands for itself.
fn decoded(segment: &str) -> Cow<'_, [u8]> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment.as_bytes());
    }
    let bytes = segment.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let mut value = [0];
        match escape.map(|digits| hex::decode_to_slice(digits, &mut value)) {
            Some(Ok(())) => {
                plain.push(value[0]);
                at += 3;
            }
            Some(Err(_)) | None => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_escapes_are_resolved_and_broken_ones_kept() {
        assert_eq!(&*decoded("a%2Db"), b"a-b");
        assert_eq!(&*decoded("a%2"), b"a%2");
        assert_eq!(&*decoded("%zz%41"), b"%zzA");
    }

    #[test]
    fn faults_take_the_shape_of_their_api() {
        let nested = fault("/v1/nothing", &Fault::NoSuchRoute);
        assert_eq!(&*nested.body, br#"{"error":{"code":"not_found","message":"Not found"}}"#);
        assert_eq!(&*fault("/api/x", &Fault::NoSuchRoute).body, br#"{"error":"Not found"}"#);
    }
}
