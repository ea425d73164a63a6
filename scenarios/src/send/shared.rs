//! `https` through one client for all users.

use std::time::Duration;

use http_body_util::BodyExt as _;

use super::{Answer, BODY_KEPT, BODY_READ, Failure, Request, Times};
use crate::run::Stopwatch;

/// Idle connections are kept longer than any pause of a plan.
const IDLE_TIME: Duration = Duration::from_secs(60);

/// A client that does what it is told and nothing else.
pub(super) fn client(root: Option<&[u8]>) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .pool_idle_timeout(IDLE_TIME)
        .tcp_nodelay(true);
    if let Some(pem) = root {
        let root = reqwest::Certificate::from_pem(pem).map_err(|error| format!("its root certificate: {error}"))?;
        builder = builder.tls_certs_merge([root]);
    }
    builder.build().map_err(|error| error.to_string())
}

pub(super) async fn send(client: &reqwest::Client, request: Request, stopwatch: Stopwatch) -> Result<Answer, Failure> {
    let begun_ns = stopwatch.now_ns();
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await;
    let sending = client.request(head.method, head.uri.to_string()).headers(head.headers).body(body.to_bytes());
    let mut response = sending.send().await.map_err(|error| failure(&error))?;
    let first_byte_ns = stopwatch.now_ns();
    let status = response.status().as_u16();
    let (mut body, mut length) = (Vec::new(), 0);
    while let Some(bytes) = response.chunk().await.map_err(|error| Failure::Lost(error.without_url().to_string()))? {
        length += bytes.len();
        let room = BODY_KEPT - body.len();
        body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if length > BODY_READ {
            break;
        }
    }
    let times = Times { begun_ns, sent_ns: begun_ns, first_byte_ns, ended_ns: stopwatch.now_ns() };
    Ok(Answer { status, body, times })
}

fn failure(error: &reqwest::Error) -> Failure {
    if error.is_connect() || error.is_builder() { Failure::NotSent(shown(error)) } else { Failure::Lost(shown(error)) }
}

/// The causes, without the URL: a hook's URL holds its token.
fn shown(error: &reqwest::Error) -> String {
    use std::error::Error as _;
    let mut cause = error.source();
    let mut text = String::from("the request failed");
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
