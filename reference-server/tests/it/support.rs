//! A server on a free port, and short ways to talk to it.

use reference_server::{ClockKind, Config, ControlToken, Parts, Server, start};
use serde_json::{Value, json};

/// The control token of every test server.
pub(crate) const CONTROL: &str = "control-token-of-the-tests";

/// The body of the documents' shell example, byte for byte.
pub(crate) const EXAMPLE: &str =
    r#"{"customer":{"name":"Acme Corp"},"items":[{"name":"Widget","qty":5,"price":9.99}],"total":49.95}"#;

/// A running server and a client for it.
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) base: String,
    pub(crate) client: reqwest::Client,
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Status and error of a RndrKit answer.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, error: &str) {
        assert_eq!((self.status, self.json()), (status, json!({ "error": error })));
    }

    /// Status and code of a CraftKit answer, whose envelope is checked too.
    #[track_caller]
    pub(crate) fn coded(&self, status: u16, code: &str) {
        let body = self.json();
        assert_eq!((self.status, &body["error"]["code"]), (status, &json!(code)), "{self:?}");
        assert!(body["error"]["message"].as_str().is_some_and(|text| !text.is_empty()));
        let with_issues = body["error"].get("issues").is_some();
        assert_eq!(with_issues, code == "invalid_input_data", "{self:?}");
    }
}

pub(crate) async fn ephemeral() -> Running {
    run(Config::ephemeral(ControlToken::new(CONTROL)), Parts::reference()).await
}

pub(crate) async fn on_file(path: &std::path::Path, clock: ClockKind) -> Running {
    let config = Config {
        store: reference_server::StoreKind::File(path.to_owned()),
        clock,
        ..Config::ephemeral(ControlToken::new(CONTROL))
    };
    run(config, Parts::reference()).await
}

pub(crate) async fn run(config: Config, parts: Parts) -> Running {
    let server = start(config, parts).await.expect("the server starts");
    let base = server.base_url();
    let client =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    Running { server, base, client }
}

impl Running {
    pub(crate) async fn stop(self) {
        drop(self.client);
        self.server.stop().await.expect("the server stops");
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.expect("a body");
        Reply { status, headers, text }
    }

    pub(crate) fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.post(format!("{}{path}", self.base))
    }

    pub(crate) fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("{}{path}", self.base))
    }

    /// Sends a message to the control plane as it is.
    pub(crate) async fn message(&self, message: &str) -> Reply {
        self.send(self.post("/_control").bearer_auth(CONTROL).body(message.to_owned())).await
    }

    /// Calls a method and gives the whole response.
    pub(crate) async fn rpc(&self, method: &str, params: Value) -> Value {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let reply = self.message(&call.to_string()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    }

    /// Calls a method that must succeed and gives its result.
    pub(crate) async fn control(&self, method: &str, params: Value) -> Value {
        let response = self.rpc(method, params.clone()).await;
        let result = response.get("result").cloned();
        result.unwrap_or_else(|| panic!("{method} {params} failed: {response}"))
    }

    /// Makes a domain and gives its host and its tokens' values.
    pub(crate) async fn domain(&self, params: Value) -> (String, Vec<String>) {
        let made = self.control("domain.create", params).await;
        let tokens = made["tokens"].as_array().expect("tokens").iter();
        let values = tokens.map(|token| text(&token["token"])).collect();
        (text(&made["domain"]), values)
    }

    /// Makes a template with the manifest that the documents' example fits.
    pub(crate) async fn template(&self, params: Value) -> Template {
        let mut params = params;
        if params.get("manifest").is_none() {
            params["manifest"] = manifest();
        }
        let made = self.control("template.create", params).await;
        Template {
            id: text(&made["template_id"]),
            slug: text(&made["slug"]),
            token: text(&made["inbound_token"]),
            secret: text(&made["inbound_secret"]),
            project: text(&made["project"]),
            key: text(&made["api_key"]),
        }
    }

    pub(crate) async fn refresh(&self, token: &str, body: &str) -> Reply {
        let request = self.post("/api/webhook/refresh").bearer_auth(token);
        self.send(request.header("content-type", "application/json").body(body.to_owned())).await
    }

    pub(crate) async fn hook(&self, token: &str, body: &str) -> Reply {
        let request = self.post(&format!("/v1/hooks/{token}"));
        self.send(request.header("content-type", "application/json").body(body.to_owned())).await
    }

    pub(crate) async fn signed(&self, token: &str, body: &str, signature: &str) -> Reply {
        let request = self.post(&format!("/v1/hooks/{token}"));
        let request = request.header("x-craftkit-signature", signature);
        self.send(request.header("content-type", "application/json").body(body.to_owned())).await
    }

    pub(crate) async fn poll(&self, id: &str, key: &str) -> Reply {
        self.send(self.get(&format!("/v1/renders/{id}")).bearer_auth(key)).await
    }

    pub(crate) async fn advance(&self, ms: i64) {
        self.control("clock.advance", json!({ "ms": ms })).await;
    }

    /// Polls a render until it has finished, and gives the last answer.
    pub(crate) async fn finished(&self, id: &str, key: &str) -> Value {
        until("the render finishes", async || {
            let body = self.poll(id, key).await.json();
            (body["status"] == "succeeded").then_some(body)
        })
        .await
    }
}

/// The credentials of a template.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) id: String,
    pub(crate) slug: String,
    pub(crate) token: String,
    pub(crate) secret: String,
    pub(crate) project: String,
    pub(crate) key: String,
}

/// Tries until something is there; the bound is generous, since the machine may be busy.
pub(crate) async fn until<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    const BOUND: std::time::Duration = std::time::Duration::from_secs(20);
    let began = std::time::Instant::now();
    loop {
        if let Some(found) = attempt().await {
            return found;
        }
        assert!(began.elapsed() < BOUND, "waited in vain until {what}");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// A manifest that the documents' example fits.
pub(crate) fn manifest() -> Value {
    json!({
        "variables": [
            {"key": "customer.name", "label": "Customer", "dataType": "text", "required": true},
            {"key": "customer.email", "label": "Email", "dataType": "email"},
            {"key": "total", "label": "Total", "dataType": "currency", "required": true},
        ],
        "loops": [{
            "key": "items",
            "label": "Items",
            "itemFields": [
                {"key": "name", "label": "Name", "dataType": "text", "required": true},
                {"key": "qty", "label": "Qty", "dataType": "number", "required": true},
                {"key": "price", "label": "Price", "dataType": "currency"},
            ],
        }],
    })
}
