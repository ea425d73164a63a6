//! Signatures that the document does not speak of.

use super::super::observer;
use super::super::reading::{NOT_ASKED, answer, is_accepted, last, said};
use super::ready;
use crate::api::Api;
use crate::checks::craftkit::{EXAMPLE_BODY, SIGNATURE, fresh_body, hook, sign, signed_hook};
use crate::checks::{Check, Needs};
use crate::evidence::Evidence;
use crate::gather::{Gather, Stop, Template};
use crate::target::http::Request;
use crate::target::protocol::Method;

/// The observers of this topic.
pub const OBSERVERS: &[Check] = &[SIGNATURES];

const SIGNATURES: Check = observer!(
    "observe/craftkit/signature",
    Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather_signatures,
    {
        "craftkit.observe.signature-empty" => said,
        "craftkit.observe.signature-upper-case" => said,
        "craftkit.observe.signature-repeated" => said,
        "craftkit.observe.signature-invalid-utf8" => said,
        "craftkit.observe.signature-replay" => |evidence, _| repetition(evidence, FIRST, REPLAY),
        "craftkit.observe.signature-empty-body" => said,
    }
);

const FIRST: &str = "replayed";
const REPLAY: &str = "replay";

async fn gather_signatures(g: &mut Gather) -> Result<(), Stop> {
    let template = ready(g).await?;
    let body = fresh_body(g);
    g.send(hook("signature-empty", &template, body).header(SIGNATURE, "")).await;
    let body = fresh_body(g);
    let upper = digest(&template, body.as_bytes()).to_uppercase();
    g.send(hook("signature-upper-case", &template, body).header(SIGNATURE, upper)).await;
    let body = fresh_body(g);
    let twice = signed_hook("signature-repeated", &template, body.clone());
    g.send(twice.header(SIGNATURE, digest(&template, body.as_bytes()))).await;
    g.send(signed_hook("signature-invalid-utf8", &template, with_invalid_byte())).await;
    let body = fresh_body(g);
    let replayed = signed_hook(FIRST, &template, body);
    g.send(replayed.clone()).await;
    g.send(Request { label: REPLAY.to_owned(), ..replayed }).await;
    g.send(signed_hook("signature-empty-body", &template, "")).await;
    Ok(())
}

fn digest(template: &Template, body: &[u8]) -> String {
    sign(template.inbound_secret.expose().as_bytes(), body)
}

/// The documentation's example with a byte in a text that UTF-8 knows nowhere.
fn with_invalid_byte() -> Vec<u8> {
    const INVALID: u8 = 0xff;
    let mut bytes = EXAMPLE_BODY.as_bytes().to_vec();
    let at = EXAMPLE_BODY.find("Acme").unwrap_or_default();
    bytes[at] = INVALID;
    bytes
}

/// What the second of two equal requests gets.
pub(super) fn repetition(evidence: &Evidence, first: &str, second: &str) -> String {
    let id = |label: &str| last(evidence, label)?.json()?.get("id")?.as_str().map(str::to_owned);
    match (is_accepted(evidence, first), last(evidence, second)) {
        (_, None) => NOT_ASKED.to_owned(),
        (false, Some(_)) => format!("unknown: the first got {}", said(evidence, first)),
        (true, Some(_)) if is_accepted(evidence, second) && id(first) == id(second) => {
            "accepted, the same render".to_owned()
        }
        (true, Some(_)) if is_accepted(evidence, second) => "accepted, another render".to_owned(),
        (true, Some(exchange)) => answer(exchange),
    }
}
