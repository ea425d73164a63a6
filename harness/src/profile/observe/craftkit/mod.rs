//! What CraftKit's document leaves open.

pub mod bodies;
pub mod form;
pub mod http;
pub mod order;
pub mod signature;
pub mod values;

use crate::checks::Check;
use crate::checks::craftkit::{SIGNATURE, example_manifest, fresh_body, hook, is_accepted, sign};
use crate::evidence::Exchange;
use crate::gather::{Gather, Stop, Template};
use crate::target::http::Request;

/// The lists of all topics.
pub const OBSERVERS: &[&[Check]] =
    &[order::OBSERVERS, form::OBSERVERS, signature::OBSERVERS, values::OBSERVERS, bodies::OBSERVERS, http::OBSERVERS];

/// JSON that breaks off.
const MALFORMED: &str = "{\"customer\": {\"name\": \"Acme Corp\"";

/// A template that takes the documentation's example, and is known to take it.
async fn ready(g: &mut Gather) -> Result<Template, Stop> {
    let template = g.template(&example_manifest(), serde_json::json!({})).await?;
    let body = fresh_body(g);
    let accepted = send_control(g, hook("control", &template, body)).await;
    match (is_accepted(&accepted), &accepted.response) {
        (true, _) => Ok(template),
        (false, None) => Err(Stop::Inconclusive("the target did not answer".to_owned())),
        (false, Some(_)) => Err(Stop::Inconclusive("the documentation's example was not accepted".to_owned())),
    }
}

/// Sends the request that others are compared with, again while the target does not know the new template yet, or not yet that the queue
/// is back from an outage of the checks before.
async fn send_control(g: &mut Gather, request: Request) -> Exchange {
    g.settled(request, |exchange| ![404, 409, 503].iter().any(|status| exchange.is(*status))).await
}

/// Adds a well-formed digest that belongs to another key.
fn wrongly_signed(request: Request) -> Request {
    let body = request.body.clone().unwrap_or_default();
    request.header(SIGNATURE, sign(b"a key that is no template's", &body))
}
