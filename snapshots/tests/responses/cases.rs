//! The table: each documented response, where it is documented, and what provokes it.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

/// Requests a domain is served in an hour ("Rate Limits").
const HOURLY_LIMIT: usize = 10;

/// A response, and how to get it.
pub(crate) struct Case {
    /// The rule that demands it.
    pub(crate) rule: &'static str,
    /// Where the demand stands.
    pub(crate) source: &'static str,
    /// Calls of the fixture protocol that prepare for it, in their order.
    pub(crate) given: Vec<(&'static str, Value)>,
    /// How often the same request is served before it.
    pub(crate) served_before: usize,
    /// What provokes it. Names in angle brackets stand for what the fixtures made.
    pub(crate) request: Request,
}

/// A request, as a snapshot shows it.
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) headers: BTreeMap<&'static str, &'static str>,
    pub(crate) body: &'static str,
}

/// As a map: insta reads maps from its files, and finds none equal to a struct.
impl Serialize for Request {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("method", self.method)?;
        map.serialize_entry("path", self.path)?;
        map.serialize_entry("headers", &self.headers)?;
        map.serialize_entry("body", self.body)?;
        map.end()
    }
}

pub(crate) fn cases() -> Vec<Case> {
    rndrkit().into_iter().chain(craftkit()).collect()
}

const BEARER: (&str, &str) = ("authorization", "Bearer <webhook token>");
/// The form of a webhook token; the server issues none that reads so.
const NEVER_ISSUED: (&str, &str) = ("authorization", "Bearer rk_wh_never-issued-never-issued-never-");
const JSON: (&str, &str) = ("content-type", "application/json");

const LIST: &str = r#"{"urls": ["/", "/blog/new-post", "/pricing"]}"#;

fn refresh<const N: usize>(
    rule: &'static str,
    source: &'static str,
    domain: Value,
    headers: [(&'static str, &'static str); N],
    body: &'static str,
) -> Case {
    let request = Request { method: "POST", path: "/api/webhook/refresh", headers: BTreeMap::from(headers), body };
    Case { rule, source, given: vec![("domain.create", domain)], served_before: 0, request }
}

/// The two successes and the eight rows of the error table.
#[rustfmt::skip] // One case, one entry: a table.
fn rndrkit() -> Vec<Case> {
    vec![
        refresh("rndrkit.selective.accepted", "RndrKit, Webhook Refresh API, \"Selective URL Refresh\", Response 200",
            json!({}), [BEARER, JSON], LIST),
        refresh("rndrkit.full.accepted", "RndrKit, Webhook Refresh API, \"Full Domain Refresh\", Response 200",
            json!({"known_paths": ["/", "/pricing"]}), [BEARER, JSON], r#"{"all": true}"#),
        refresh("rndrkit.body.empty", "RndrKit, Webhook Refresh API, \"Error Responses\", 400 for a missing or empty body",
            json!({}), [BEARER, JSON], ""),
        refresh("rndrkit.paths.none-valid", "RndrKit, Webhook Refresh API, \"Error Responses\", 400 for paths that do not start with /",
            json!({}), [BEARER, JSON], r#"{"urls": ["about", "blog/new-post"]}"#),
        refresh("rndrkit.auth.header-missing", "RndrKit, Webhook Refresh API, \"Error Responses\", 401 without a bearer token",
            json!({}), [JSON], LIST),
        refresh("rndrkit.auth.token-unknown", "RndrKit, Webhook Refresh API, \"Error Responses\", 401 for a token not found or revoked",
            json!({}), [NEVER_ISSUED, JSON], LIST),
        refresh("rndrkit.domain.inactive", "RndrKit, Webhook Refresh API, \"Error Responses\", 403 for a deactivated domain",
            json!({"active": false}), [BEARER, JSON], LIST),
        refresh("rndrkit.plan.starter", "RndrKit, Webhook Refresh API, \"Error Responses\", 403 for a plan without webhooks",
            json!({"plan": "starter"}), [BEARER, JSON], LIST),
        refresh("rndrkit.quota.reached", "RndrKit, Webhook Refresh API, \"Error Responses\", 403 for an exhausted render quota",
            json!({"monthly_render_limit": 100, "renders_used": 100}), [BEARER, JSON], LIST),
        Case {
            served_before: HOURLY_LIMIT,
            ..refresh("rndrkit.rate.exceeded-response", "RndrKit, Webhook Refresh API, \"Error Responses\", 429 for too many requests",
                json!({}), [BEARER, JSON], LIST)
        },
    ]
}

/// The body of CraftKit's shell example.
const DATA: &str =
    r#"{"customer":{"name":"Acme Corp"},"items":[{"name":"Widget","qty":5,"price":9.99}],"total":49.95}"#;
/// The form of a signature; nobody knows a body and a key that give it.
const NO_DIGEST: (&str, &str) =
    ("x-craftkit-signature", "0000000000000000000000000000000000000000000000000000000000000000");

const HOOK: &str = "/v1/hooks/<inbound token>";
/// The form of an inbound token; the server issues none that reads so.
const NO_HOOK: &str = "/v1/hooks/never-issued-never-issued-never-";

fn template(options: Value) -> (&'static str, Value) {
    let mut params = options;
    params["manifest"] = json!({
        "variables": [
            {"key": "customer.name", "label": "Customer", "dataType": "text", "required": true},
            {"key": "total", "label": "Total", "dataType": "currency", "required": true},
        ],
        "loops": [{
            "key": "items",
            "label": "Items",
            "itemFields": [
                {"key": "name", "label": "Name", "dataType": "text", "required": true},
                {"key": "qty", "label": "Quantity", "dataType": "number", "required": true},
                {"key": "price", "label": "Price", "dataType": "currency"},
            ],
        }],
    });
    ("template.create", params)
}

fn hook<const N: usize>(
    rule: &'static str,
    source: &'static str,
    given: Vec<(&'static str, Value)>,
    (path, headers, body): (&'static str, [(&'static str, &'static str); N], &'static str),
) -> Case {
    let request = Request { method: "POST", path, headers: BTreeMap::from(headers), body };
    Case { rule, source, given, served_before: 0, request }
}

/// The success and the six codes of the error table.
#[rustfmt::skip] // One case, one entry: a table.
fn craftkit() -> Vec<Case> {
    let published = || vec![template(json!({}))];
    vec![
        hook("craftkit.hook.accepted", "CraftKit, Inbound webhook, \"Response\", 202 when a render is queued",
            published(), (HOOK, [JSON], DATA)),
        hook("craftkit.json.malformed", "CraftKit, Inbound webhook, \"Errors\", 400 invalid_json",
            published(), (HOOK, [JSON], r#"{"customer":{"name":"Acme Corp"}"#)),
        hook("craftkit.input.required", "CraftKit, Inbound webhook, \"Errors\", 400 invalid_input_data, issues included",
            published(), (HOOK, [JSON], r#"{"customer":{"name":"Acme Corp"},"items":[]}"#)),
        hook("craftkit.signature.mismatch", "CraftKit, Inbound webhook, \"Errors\", 401 invalid_signature",
            published(), (HOOK, [JSON, NO_DIGEST], DATA)),
        hook("craftkit.token.unknown", "CraftKit, Inbound webhook, \"Errors\", 404 invalid_token",
            published(), (NO_HOOK, [JSON], DATA)),
        hook("craftkit.version.unpublished", "CraftKit, Inbound webhook, \"Errors\", 409 no_published_version",
            vec![template(json!({"published": false}))], (HOOK, [JSON], DATA)),
        hook("craftkit.queue.unavailable", "CraftKit, Inbound webhook, \"Errors\", 503 queue_unavailable",
            vec![template(json!({})), ("queue.set", json!({"available": false}))], (HOOK, [JSON], DATA)),
    ]
}
