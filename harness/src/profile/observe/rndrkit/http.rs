//! Other methods, spellings of the endpoint, sizes of bodies.

use serde_json::json;

use super::super::reading::{said, size_limit, statuses};
use super::super::{ask_first, grow_body, observer};
use crate::api::Api;
use crate::checks::rndrkit::{PATH, refresh, valid};
use crate::checks::{Check, Needs};
use crate::gather::{DomainWish, Gather, Stop};
use crate::target::protocol::Method;

/// The observers of this topic.
pub const OBSERVERS: &[Check] = &[HTTP];

const HTTP: Check = observer!(
    "observe/rndrkit/http",
    Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather_http,
    {
        "rndrkit.observe.methods" => |evidence, slug| statuses(evidence, slug, &METHODS),
        "rndrkit.observe.trailing-slash" => said,
        "rndrkit.observe.endpoint-case" => said,
        "rndrkit.observe.body-size" => size_limit,
    }
);

/// Methods besides POST.
const METHODS: [&str; 6] = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"];

async fn gather_http(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default()).await?;
    ask_first(g, valid("control", &mut domain)).await?;
    for method in METHODS {
        let mut request = valid(&format!("methods/{method}"), &mut domain);
        request.method = method;
        g.send(request).await;
    }
    let mut domain = g.domain(DomainWish::default()).await?;
    for (label, path) in [("trailing-slash", format!("{PATH}/")), ("endpoint-case", "/API/Webhook/Refresh".to_owned())]
    {
        let request = valid(label, &mut domain);
        g.send(crate::target::http::Request { path, ..request }).await;
    }
    let mut domain = g.domain(DomainWish::default()).await?;
    let token = domain.tokens[0].clone();
    let page = domain.fresh_pages(1);
    grow_body(g, "body-size", |_, label, bytes| {
        refresh(&label, &token, &json!({"urls": page, "note": "a".repeat(bytes)}))
    })
    .await;
    Ok(())
}
