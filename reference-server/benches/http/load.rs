//! A client that costs little: requests are bytes made beforehand, answers are read for their length.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reference_server::craftkit::signature;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::absent::SECRET;
use crate::child::{CONTROL, Child, Kind};

/// Domains that refreshes are spread over.
const DOMAINS: usize = 100;
/// Templates that hooks are spread over.
const TEMPLATES: usize = 20;

/// The body of the documents' shell example.
const EXAMPLE: &str =
    r#"{"customer":{"name":"Acme Corp"},"items":[{"name":"Widget","qty":5,"price":9.99}],"total":49.95}"#;

/// The body of a refresh.
const TWO_PATHS: &str = r#"{"urls":["/blog/new-post","/pricing"]}"#;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// RndrKit's refresh without a token: everything but the store.
    Refused,
    /// RndrKit's refresh of two paths.
    Refresh,
    /// CraftKit's hook, signed.
    Hook,
}

impl Endpoint {
    pub(crate) const ALL: [Endpoint; 3] = [Endpoint::Refused, Endpoint::Refresh, Endpoint::Hook];

    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Endpoint::Refused => "refused",
            Endpoint::Refresh => "refresh",
            Endpoint::Hook => "hook",
        }
    }

    /// What each request of the load is answered with; by the constant service, with 202.
    pub(crate) fn status(self, kind: Kind) -> u16 {
        match (self, kind) {
            (_, Kind::Hyper) | (Endpoint::Hook, _) => 202,
            (Endpoint::Refused, _) => 401,
            (Endpoint::Refresh, _) => 200,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Refused => {
                write!(f, "POST /api/webhook/refresh without a token, refused with no look at the store")
            }
            Endpoint::Refresh => write!(f, "POST /api/webhook/refresh, two paths, {DOMAINS} domains"),
            Endpoint::Hook => {
                write!(f, "POST /v1/hooks/:token, signed, {} bytes, {TEMPLATES} templates", EXAMPLE.len())
            }
        }
    }
}

/// The requests of a load, after making on the server what they need.
pub(crate) async fn requests(kind: Kind, endpoint: Endpoint, server: SocketAddr) -> Vec<Vec<u8>> {
    match endpoint {
        Endpoint::Refused => vec![post(server, "/api/webhook/refresh", "", TWO_PATHS)],
        Endpoint::Refresh => {
            let tokens = match kind {
                Kind::Hyper | Kind::Rules | Kind::Absent => {
                    vec!["rk_wh_0123456789abcdef0123456789abcdef".to_owned(); DOMAINS]
                }
                Kind::Sqlite | Kind::Pages | Kind::Log | Kind::Memory => {
                    let made = control(server, "domain.create", &json!({}), DOMAINS).await;
                    made.iter().map(|domain| text(&domain["tokens"][0]["token"])).collect()
                }
            };
            tokens.iter().map(|token| refresh(server, token)).collect()
        }
        Endpoint::Hook => {
            let made = match kind {
                Kind::Hyper | Kind::Rules | Kind::Absent => {
                    vec![
                        json!({"inbound_token": "0123456789abcdef0123456789abcdef", "inbound_secret": SECRET});
                        TEMPLATES
                    ]
                }
                Kind::Sqlite | Kind::Pages | Kind::Log | Kind::Memory => {
                    control(server, "template.create", &json!({ "manifest": manifest() }), TEMPLATES).await
                }
            };
            made.iter().map(|template| hook(server, template)).collect()
        }
    }
}

fn refresh(server: SocketAddr, token: &str) -> Vec<u8> {
    post(server, "/api/webhook/refresh", &format!("authorization: Bearer {token}\r\n"), TWO_PATHS)
}

fn hook(server: SocketAddr, template: &Value) -> Vec<u8> {
    let signature = signature::sign(&text(&template["inbound_secret"]), EXAMPLE.as_bytes());
    let path = format!("/v1/hooks/{}", text(&template["inbound_token"]));
    post(server, &path, &format!("x-craftkit-signature: {signature}\r\n"), EXAMPLE)
}

fn post(server: SocketAddr, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {server}\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Calls a method of the control plane so many times, in one batch.
async fn control(server: SocketAddr, method: &str, params: &Value, times: usize) -> Vec<Value> {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let batch = Value::Array(vec![call; times]).to_string();
    let request = post(server, "/_control", &format!("authorization: Bearer {CONTROL}\r\n"), &batch);
    let mut connection = Connection::open(server).await;
    let (_, body) = connection.ask(&request).await;
    let Value::Array(answers) = serde_json::from_slice(&body).unwrap() else { panic!("no batch was answered") };
    answers.into_iter().map(|mut answer| answer["result"].take()).collect()
}

/// Loads a server for a while, which answers with this status: how many requests it answered, and how long it took.
pub(crate) async fn run(
    server: SocketAddr,
    requests: Vec<Vec<u8>>,
    expected: u16,
    connections: usize,
    length: Duration,
) -> (u64, Duration) {
    let requests = Arc::new(requests);
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(server).await);
    }
    let began = Instant::now();
    let mut loads = JoinSet::new();
    for (number, mut connection) in open.into_iter().enumerate() {
        let requests = requests.clone();
        loads.spawn(async move {
            let mut answered = 0;
            let mine = requests.iter().cycle().skip(number * requests.len() / connections);
            for request in mine {
                if began.elapsed() >= length {
                    break;
                }
                let (status, _) = connection.ask(request).await;
                assert_eq!(status, expected, "a request of the load was answered otherwise");
                answered += 1;
            }
            answered
        });
    }
    let answered = loads.join_all().await.into_iter().sum();
    (answered, began.elapsed())
}

/// Loads a server until it is killed in the middle of that.
pub(crate) async fn run_until_killed(server: Child, requests: Vec<Vec<u8>>, connections: usize, length: Duration) {
    let mut loads = JoinSet::new();
    for number in 0..connections {
        let (mut connection, requests) = (Connection::open(server.address).await, requests.clone());
        loads.spawn(async move {
            for request in requests.iter().cycle().skip(number) {
                if connection.stream.write_all(request).await.is_err() {
                    return;
                }
                connection.read.clear();
                // The answers are small and come one at a time; what they say does not matter here.
                if !connection.stream.read_buf(&mut connection.read).await.is_ok_and(|read| read > 0) {
                    return;
                }
            }
        });
    }
    tokio::time::sleep(length).await;
    server.kill();
    loads.join_all().await;
}

/// Asks for something that needs no store of its own, and waits for the answer.
pub(crate) async fn is_answered(server: SocketAddr) {
    let request = format!("GET /health HTTP/1.1\r\nhost: {server}\r\n\r\n").into_bytes();
    let (status, _) = Connection::open(server).await.ask(&request).await;
    assert_eq!(status, 200);
}

struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    async fn open(server: SocketAddr) -> Connection {
        let stream = TcpStream::connect(server).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Connection { stream, read: Vec::with_capacity(4096) }
    }

    /// Sends a request and reads its answer: status and body.
    async fn ask(&mut self, request: &[u8]) -> (u16, Vec<u8>) {
        self.stream.write_all(request).await.unwrap();
        self.read.clear();
        let head = loop {
            assert!(self.stream.read_buf(&mut self.read).await.unwrap() > 0, "the server closed a connection");
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let length = content_length(&self.read[..head]);
        while self.read.len() < head + length {
            assert!(self.stream.read_buf(&mut self.read).await.unwrap() > 0, "the server closed a connection");
        }
        let status = std::str::from_utf8(&self.read[9..12]).unwrap().parse().unwrap();
        (status, self.read[head..head + length].to_vec())
    }
}

/// Both servers write header names in lower case.
fn content_length(head: &[u8]) -> usize {
    const NAME: &str = "content-length: ";
    let head = std::str::from_utf8(head).unwrap();
    let at = head.find(NAME).unwrap() + NAME.len();
    head[at..].lines().next().unwrap().parse().unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// A manifest that the example fits.
pub(crate) fn manifest() -> Value {
    json!({
        "variables": [
            {"key": "customer.name", "label": "Customer", "dataType": "text", "required": true},
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
