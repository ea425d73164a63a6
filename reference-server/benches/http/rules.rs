//! The rules without a server: plain hyper, and for each request what the documents ask of any implementation.
//!
//! Beside it the server's own share shows: limits on everything, parts that can be replaced, a way to the store.

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::LazyLock;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode};
use reference_server::craftkit::manifest::{Manifest, validate};
use reference_server::craftkit::{signature, wire as craftkit};
use reference_server::http::Answer;
use reference_server::rndrkit::wire as rndrkit;
use reference_server::secret::digest;
use uuid::Uuid;

use crate::absent::SECRET;
use crate::load;

static MANIFEST: LazyLock<Manifest> = LazyLock::new(|| Manifest::parse(&load::manifest()).unwrap());

/// Answers as the server does.
pub(crate) async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    // A client here never breaks a request off.
    let body = body.collect().await.unwrap().to_bytes();
    let answer = match head.uri.path().strip_prefix("/v1/hooks/") {
        Some(token) => hook(token, &head.headers, &body),
        None => refresh(&head.headers, &body),
    };
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The token's hash is what a template would be looked up by, and the data what would be stored.
fn hook(token: &str, headers: &HeaderMap, body: &[u8]) -> Answer {
    black_box(digest(token.as_bytes()));
    assert!(signature::verify(SECRET, body, headers["x-craftkit-signature"].as_bytes()));
    let data = validate(&MANIFEST, &serde_json::from_slice(body).unwrap()).unwrap();
    black_box(data.to_string());
    let host = headers[header::HOST].to_str().unwrap();
    craftkit::queued(Uuid::now_v7(), &format!("http://{host}"))
}

fn refresh(headers: &HeaderMap, body: &[u8]) -> Answer {
    let Some(bearer) = headers.get(header::AUTHORIZATION) else {
        return rndrkit::refuse(&rndrkit::Refusal::NoBearer);
    };
    black_box(digest(bearer.as_bytes()));
    match rndrkit::read(headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes), body) {
        Ok(rndrkit::Asked::Paths(paths)) => {
            rndrkit::Accepted::selective("site-0123456789abcdef.example".to_owned(), black_box(paths).len()).answer()
        }
        other => Answer::json(StatusCode::BAD_REQUEST, &format!("{other:?}")),
    }
}
