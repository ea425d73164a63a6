//! Which of two errors wins where one request provokes both.

use rand::RngExt as _;
use serde_json::json;

use super::super::observer;
use super::super::reading::{retry_after, said};
use super::{MALFORMED, ready, wrongly_signed};
use crate::api::Api;
use crate::checks::craftkit::{example_manifest, fresh_body, hook, hook_at, is_accepted, send_first};
use crate::checks::{Check, Needs};
use crate::gather::{Gather, Stop, Template};
use crate::target::http::Request;
use crate::target::protocol::Method;

/// The observers of this topic.
pub const OBSERVERS: &[Check] = &[ORDER, OUTAGE];

const ORDER: Check = observer!(
    "observe/craftkit/order",
    Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather_order,
    {
        "craftkit.observe.order-token-signature" => said,
        "craftkit.observe.order-token-json" => said,
        "craftkit.observe.order-signature-json" => said,
        "craftkit.observe.order-signature-version" => said,
        "craftkit.observe.order-signature-input" => said,
        "craftkit.observe.order-json-version" => said,
    }
);

const OUTAGE: Check = observer!(
    "observe/craftkit/outage",
    Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate, Method::QueueSet]).alone(),
    gather_outage,
    {
        "craftkit.observe.order-token-queue" => said,
        "craftkit.observe.order-signature-queue" => said,
        "craftkit.observe.order-json-queue" => said,
        "craftkit.observe.order-version-queue" => said,
        "craftkit.observe.order-input-queue" => said,
        "craftkit.observe.retry-after" => |evidence, _| retry_after(evidence, DOWN),
    }
);

/// A body that is JSON and fails the manifest.
const UNFIT: &str = "{\"customer\":{},\"items\":[{\"name\":\"Widget\",\"qty\":5,\"price\":9.99}],\"total\":49.95}";
/// The step that shows that the queue is away.
const DOWN: &str = "down";
/// Status while the queue is away.
const UNAVAILABLE: u16 = 503;

/// A template without a published version, known to the target.
async fn unpublished(g: &mut Gather) -> Result<Template, Stop> {
    let template = g.template(&example_manifest(), json!({"published": false})).await?;
    let body = fresh_body(g);
    g.settled(hook("unpublished", &template, body), |exchange| !exchange.is(404)).await;
    Ok(template)
}

fn unknown(g: &mut Gather, label: &str, body: &str) -> Request {
    let token = hex::encode(g.rng().random::<[u8; 16]>());
    hook_at(label, &token, body)
}

async fn gather_order(g: &mut Gather) -> Result<(), Stop> {
    let template = ready(g).await?;
    let unpublished = unpublished(g).await?;
    let bodies = [fresh_body(g), fresh_body(g)];
    let requests = [
        wrongly_signed(unknown(g, "order-token-signature", &bodies[0])),
        unknown(g, "order-token-json", MALFORMED),
        wrongly_signed(hook("order-signature-json", &template, MALFORMED)),
        wrongly_signed(hook("order-signature-version", &unpublished, bodies[1].clone())),
        wrongly_signed(hook("order-signature-input", &template, UNFIT)),
        hook("order-json-version", &unpublished, MALFORMED),
    ];
    for request in requests {
        g.send(request).await;
    }
    Ok(())
}

async fn gather_outage(g: &mut Gather) -> Result<(), Stop> {
    let template = ready(g).await?;
    let unpublished = unpublished(g).await?;
    let bodies = [fresh_body(g), fresh_body(g), fresh_body(g), fresh_body(g)];
    g.set_queue(false).await?;
    let down = g.settled(hook(DOWN, &template, bodies[0].clone()), |exchange| exchange.is(UNAVAILABLE)).await;
    if !is_accepted(&down) {
        let requests = [
            unknown(g, "order-token-queue", &bodies[1]),
            wrongly_signed(hook("order-signature-queue", &template, bodies[2].clone())),
            hook("order-json-queue", &template, MALFORMED),
            hook("order-version-queue", &unpublished, bodies[3].clone()),
            hook("order-input-queue", &template, UNFIT),
        ];
        for request in requests {
            g.send(request).await;
        }
    }
    g.set_queue(true).await?;
    // Whoever comes next shall find the queue back.
    let body = fresh_body(g);
    let back = send_first(g, hook("back", &template, body.clone())).await;
    if !is_accepted(&back) {
        g.settled(hook("back", &template, body), is_accepted).await;
    }
    Ok(())
}
