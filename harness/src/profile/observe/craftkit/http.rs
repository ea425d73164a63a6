//! Other methods, spellings and headers, and what answers besides the hook.

use super::super::observer;
use super::super::reading::{NOT_ASKED, answer, last, refusal, said, statuses};
use super::ready;
use super::signature::repetition;
use crate::api::Api;
use crate::checks::craftkit::poll::poll;
use crate::checks::craftkit::{fresh_body, hook};
use crate::checks::{Check, Needs};
use crate::evidence::Evidence;
use crate::gather::{Gather, Stop};
use crate::target::http::Request;
use crate::target::protocol::Method;

/// The observers of this topic.
pub const OBSERVERS: &[Check] = &[HTTP];

const HTTP: Check = observer!(
    "observe/craftkit/http",
    Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather_http,
    {
        "craftkit.observe.idempotency-key" => |evidence, _| repetition(evidence, FIRST, SECOND),
        "craftkit.observe.methods" => |evidence, slug| statuses(evidence, slug, &METHODS),
        "craftkit.observe.trailing-slash" => said,
        "craftkit.observe.rate-limit" => rate_limit,
        "craftkit.observe.cors" => cors,
        "craftkit.observe.poll-unauthorized" => said,
    }
);

const FIRST: &str = "with-idempotency-key";
const SECOND: &str = "with-idempotency-key-again";
/// Methods besides POST and OPTIONS, which a preflight request is about.
const METHODS: [&str; 5] = ["GET", "HEAD", "PUT", "PATCH", "DELETE"];
/// Requests at once that look for a limit: more than any rule sends to one token, and as many as a limit for a minute often allows.
const BURST: usize = 64;
/// Status of a request beyond a limit.
const LIMITED: u16 = 429;

async fn gather_http(g: &mut Gather) -> Result<(), Stop> {
    let template = ready(g).await?;
    let once = hook(FIRST, &template, fresh_body(g)).header("Idempotency-Key", "one-and-the-same");
    g.send(once.clone()).await;
    g.send(Request { label: SECOND.to_owned(), ..once }).await;
    for method in METHODS {
        let request = hook(&format!("methods/{method}"), &template, fresh_body(g));
        g.send(Request { method, ..request }).await;
    }
    let request = hook("trailing-slash", &template, fresh_body(g));
    let path = format!("{}/", request.path);
    g.send(Request { path: path.clone(), ..request }).await;
    let preflight = Request::new("cors", Api::Craftkit, "OPTIONS", path.trim_end_matches('/'))
        .header("Origin", "https://example.com")
        .header("Access-Control-Request-Method", "POST");
    g.send(preflight).await;
    let polled = hook("polled", &template, fresh_body(g));
    let accepted = g.send(polled).await;
    if let Some(request) = poll(g, &accepted, &template).await {
        g.send(request.label("poll-unauthorized")).await;
    }
    let burst: Vec<Request> = (0..BURST).map(|_| hook("rate-limit", &template, fresh_body(g))).collect();
    g.send_together(&burst).await;
    Ok(())
}

fn rate_limit(evidence: &Evidence, slug: &str) -> String {
    let limited = evidence.step(slug).find(|(_, exchange)| exchange.is(LIMITED));
    match limited.and_then(|(_, exchange)| exchange.response.as_ref()) {
        Some(response) => refusal(response),
        None => format!("not in {BURST} requests at once"),
    }
}

fn cors(evidence: &Evidence, slug: &str) -> String {
    let Some(exchange) = last(evidence, slug) else { return NOT_ASKED.to_owned() };
    let Some(response) = &exchange.response else { return answer(exchange) };
    match response.header("access-control-allow-origin") {
        None => format!("no: {}", response.status),
        Some("*") => format!("yes, to any origin: {}", response.status),
        Some(_) => format!("yes, to the origin that asks: {}", response.status),
    }
}
