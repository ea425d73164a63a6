//! Gets a case's response from a reference server of its own.

use std::collections::BTreeMap;

use reference_server::{Config, ControlToken, Parts, start};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cases::{Case, Request};

const CONTROL: &str = "control-token-of-the-snapshots";

/// The headers a client acts on. Others (`date`, `content-length`) say nothing about the API.
const HEADERS: [&str; 6] = ["allow", "cache-control", "content-type", "location", "retry-after", "www-authenticate"];

/// What a snapshot holds.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

/// What the fixtures made, by the name that stands for it.
type Made = BTreeMap<&'static str, String>;

/// Prepares what the case needs, sends its request and gives the answer without what differs from run
/// to run.
pub(crate) async fn provoke(case: &Case) -> Response {
    let server =
        start(Config::ephemeral(ControlToken::new(CONTROL)), Parts::reference()).await.expect("the server starts");
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let api = Api { base: server.base_url(), client: client.build().expect("a client") };
    let mut made = Made::new();
    for (method, params) in &case.given {
        made.extend(named(&api.call(method, params).await));
    }
    for _ in 0..case.served_before {
        let response = api.send(&case.request, &made).await;
        assert_eq!(response.status, 200, "{}: {response:?}", case.rule);
    }
    let mut response = api.send(&case.request, &made).await;
    redact(&mut response.body, &api.base, &made);
    drop(api);
    server.stop().await.expect("the server stops");
    response
}

/// The parts of a fixture's result that requests and answers refer to.
fn named(result: &Value) -> impl Iterator<Item = (&'static str, String)> {
    let parts = [
        ("<domain>", &result["domain"]),
        ("<webhook token>", &result["tokens"][0]["token"]),
        ("<inbound token>", &result["inbound_token"]),
        ("<inbound secret>", &result["inbound_secret"]),
        ("<api key>", &result["api_key"]),
    ];
    let texts = parts.map(|(name, value)| value.as_str().map(|text| (name, text.to_owned())));
    texts.into_iter().flatten()
}

/// Replaces each volatile value by its type, once it has the form of that type and is the value that
/// was to come. Nothing the fixtures made is left in the end.
fn redact(body: &mut Value, base: &str, made: &Made) {
    if let Some(domain) = body.get_mut("domain") {
        assert_eq!(domain.as_str(), made.get("<domain>").map(String::as_str), "the token's own domain");
        assert!(domain.as_str().is_some_and(is_host_name), "no host name: {domain}");
        *domain = json!("<domain>");
    }
    if let Some(id) = body.get("id").cloned() {
        let text = id.as_str().unwrap_or_default();
        let version = uuid::Uuid::try_parse(text).ok().map(|id| id.get_version_num());
        assert_eq!((version, text.len()), (Some(7), "00000000-0000-7000-8000-000000000000".len()), "no UUIDv7: {id}");
        assert_eq!(body["pollUrl"], json!(format!("{base}/v1/renders/{text}")), "the URL of the same render");
        body["pollUrl"] = json!("<base url>/v1/renders/<uuid v7>");
        body["id"] = json!("<uuid v7>");
    }
    let text = body.to_string();
    for (name, value) in made {
        assert!(!text.contains(value.as_str()), "{name} is left in {text}");
    }
}

/// Labels of letters, digits and inner hyphens, at least two of them.
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        plain && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    text.contains('.') && text.split('.').all(label)
}

/// A server and a client for it.
struct Api {
    base: String,
    client: reqwest::Client,
}

impl Api {
    /// Calls a method of the fixture protocol and gives its result.
    async fn call(&self, method: &str, params: &Value) -> Value {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = self.client.post(format!("{}/_control", self.base)).bearer_auth(CONTROL);
        let response = request.body(call.to_string()).send().await.expect("an answer");
        let text = response.text().await.expect("a body");
        let mut response: Value = serde_json::from_str(&text).expect("a JSON-RPC response");
        assert!(response.get("result").is_some(), "{method} {params} failed: {response}");
        response["result"].take()
    }

    async fn send(&self, request: &Request, made: &Made) -> Response {
        let fill = |text: &str| made.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
        let method = request.method.parse().expect("a method");
        let mut sent = self.client.request(method, fill(&format!("{}{}", self.base, request.path)));
        for (name, value) in &request.headers {
            sent = sent.header(*name, fill(value));
        }
        let response = sent.body(request.body).send().await.expect("an answer");
        let kept = |name: &&str| {
            let value = response.headers().get(*name)?.to_str().expect("a header in ASCII");
            Some(((*name).to_owned(), value.to_owned()))
        };
        let (status, headers) = (response.status().as_u16(), HEADERS.iter().filter_map(kept).collect());
        let text = response.text().await.expect("a body");
        // A body that is no JSON is shown as the text it is.
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Response { status, headers, body }
    }
}
