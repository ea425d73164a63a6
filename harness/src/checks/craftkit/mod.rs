//! Checks of CraftKit's inbound render hook.

pub mod bodies;
pub mod hook;
pub mod input_errors;
pub mod input_formats;
pub mod input_loops;
pub mod input_scalars;
pub mod input_unknown;
pub mod json;
pub mod outgoing;
pub mod pipeline;
pub mod poll;
pub mod queue;
pub mod responses;
pub mod signature;
pub mod signature_body;
pub mod signature_vectors;
pub mod token;
pub mod version;

use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngExt as _;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::api::Api;
use crate::checks::Check;
use crate::checks::judge::{Acceptable, Judge, craftkit_code, outcome};
use crate::evidence::{Evidence, Exchange, Response, Signed};
use crate::gather::{Gather, Template};
use crate::target::http::Request;

/// The lists of all topics, in the order of the catalogue.
pub const TOPICS: &[&[Check]] = &[
    hook::CHECKS,
    token::CHECKS,
    signature::CHECKS,
    signature_body::CHECKS,
    json::CHECKS,
    input_scalars::CHECKS,
    input_formats::CHECKS,
    input_loops::CHECKS,
    input_errors::CHECKS,
    input_unknown::CHECKS,
    version::CHECKS,
    queue::CHECKS,
    poll::CHECKS,
    pipeline::CHECKS,
    outgoing::CHECKS,
    responses::CHECKS,
];

/// The header that carries a signature.
pub const SIGNATURE: &str = "x-craftkit-signature";

/// A variable of a manifest.
pub fn variable(key: &str, data_type: &str, required: bool) -> Value {
    json!({"key": key, "label": key, "dataType": data_type, "required": required})
}

/// A loop of a manifest.
pub fn repeated(key: &str, item_fields: &[Value]) -> Value {
    json!({"key": key, "label": key, "itemFields": item_fields})
}

/// The manifest that the documentation's example body fits.
pub fn example_manifest() -> Value {
    json!({
        "variables": [variable("customer.name", "text", true), variable("total", "currency", true)],
        "loops": [repeated("items", &[
            variable("name", "text", true),
            variable("qty", "number", true),
            variable("price", "currency", true),
        ])],
    })
}

/// The documentation's example body, byte for byte.
pub const EXAMPLE_BODY: &str =
    r#"{"customer":{"name":"Acme Corp"},"items":[{"name":"Widget","qty":5,"price":9.99}],"total":49.95}"#;

/// Status of an accepted hook request.
pub const ACCEPTED: u16 = 202;

/// A text that no earlier request carried, so that neither a replay nor a duplicate can matter.
pub fn fresh(g: &mut Gather) -> String {
    format!("Acme Corp {}", hex::encode(g.rng().random::<[u8; 6]>()))
}

/// A body that fits [`example_manifest`] and was never sent before.
pub fn fresh_body(g: &mut Gather) -> String {
    EXAMPLE_BODY.replace("Acme Corp", &fresh(g))
}

/// Sends the request that others are compared with, again while the target does not know the new template yet.
pub async fn send_first(g: &mut Gather, request: Request) -> Exchange {
    g.settled(request, |exchange| !exchange.is(404) && !exchange.is(409)).await
}

/// Accepts the answer to another step, if that is a refusal: same status, same code. How that one reads is the concern of its own
/// rule: one wrong status or code shall turn one rule red, not every rule that refers to it.
pub fn same_refusal(judge: &Judge<'_>, step: &str) -> Acceptable {
    let refusal = |response: &Response| {
        let code = response.json().as_ref().and_then(craftkit_code).map(str::to_owned);
        (400..500).contains(&response.status).then_some((response.status, code))
    };
    let other = judge.one(step).and_then(|seen| seen.exchange.response.as_ref()).and_then(refusal);
    let words = format!("the target's own refusal at the step `{step}`: the same status and code");
    outcome(words, move |response| other.is_some() && refusal(response) == other)
}

/// An error whose form no other rule judges: unlike one of the documented ones, an answer without any code is simply another answer.
pub fn own_error(status: u16, code: &str) -> Acceptable {
    let code = code.to_owned();
    outcome(format!("{status} with code `{code}`"), move |response| {
        response.status == status && response.json().as_ref().and_then(craftkit_code).is_some_and(|found| found == code)
    })
}

/// Any 2xx. That it is exactly 202 is the concern of `craftkit.hook.accepted` alone.
pub fn success() -> Acceptable {
    outcome("accepted: 200 to 299", Response::is_success)
}

/// True if the request was accepted.
pub fn is_accepted(exchange: &Exchange) -> bool {
    exchange.response.as_ref().is_some_and(Response::is_success)
}

/// A finding that a step was accepted. Its control is asked only when it was not: an acceptance needs no further proof.
pub fn expect_acceptance(judge: &mut Judge<'_>, rule: &'static str, step: &str, control: &str) {
    let accepted = judge.one(step).is_some_and(|seen| is_accepted(seen.exchange));
    let about = judge.rule(rule);
    let about = if accepted { about } else { about.control_fits(control, &success()) };
    about.expects(step, &[success()]);
}

/// Makes a step look refused with a nested error; for sabotages.
pub fn turn_into_refusal(evidence: &mut Evidence, step: &str, status: u16, code: &str) {
    evidence.answer(step, status, &json!({"error": {"code": code, "message": "No."}}));
}

/// An unsigned hook request with these bytes.
pub fn hook(label: &str, template: &Template, body: impl Into<Vec<u8>>) -> Request {
    hook_at(label, template.inbound_token.expose(), body)
}

/// An unsigned hook request to any token.
pub fn hook_at(label: &str, token: &str, body: impl Into<Vec<u8>>) -> Request {
    Request::new(label, Api::Craftkit, "POST", format!("/v1/hooks/{token}"))
        .header("Content-Type", "application/json")
        .body(body)
}

/// A hook request signed over the bytes that are sent.
pub fn signed_hook(label: &str, template: &Template, body: impl Into<Vec<u8>>) -> Request {
    let body = body.into();
    let signature = sign(template.inbound_secret.expose().as_bytes(), &body);
    let mut request = hook(label, template, body).header(SIGNATURE, signature);
    request.signed = Some(Signed {
        key: format!("inbound-secret:{}", template.name),
        over: "the body as sent".to_owned(),
        change: "none".to_owned(),
    });
    request
}

/// Lower-case hexadecimal HMAC-SHA256 of bytes under a key.
pub fn sign(key: &[u8], bytes: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(bytes);
    hex::encode(mac.finalize().into_bytes())
}
