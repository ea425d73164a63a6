//! A small correct target, and what a run against it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use scenarios::Secret;
use scenarios::grounds::{Domain, Grounds, Pattern, Site, Template, Token};
use scenarios::history::{Event, Header, QuotaKind, ReadError, Reader, Recorder};
use scenarios::live::Live;
use scenarios::outcome::Run;
use scenarios::plan::{Apis, Limits, Plan, Size};
use scenarios::run::{LoadError, Order, Stopwatch, run};
use scenarios::scenario::Scenario;
use scenarios::stop::StopFlag;
use scenarios::world::{Power, Wait, World, WorldError};

use crate::server::{Received, Reply, Server};

pub(crate) const LIMITS: Limits = Limits { requests: 10, window_ms: 3_600_000, tolerance_ms: 2_000, tokens: 5 };
pub(crate) const APIS: Apis = Apis { rndrkit: true, craftkit: true };

/// The value of every secret starts with it, so that leaks show.
pub(crate) const CANARY: &str = "canary";

/// A target's state.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) now_ms: AtomicU64,
    queue_down: Mutex<bool>,
    revoked: Mutex<BTreeSet<String>>,
    /// By domain: when its window began, and how many it has served.
    windows: Mutex<BTreeMap<String, (u64, u64)>>,
    renders_left: Mutex<BTreeMap<String, u64>>,
    pub(crate) renders: AtomicU64,
    pub(crate) requests: AtomicU64,
}

impl State {
    /// Answers as the documents say.
    pub(crate) fn answer(&self, received: &Received) -> Reply {
        self.requests.fetch_add(1, Ordering::SeqCst);
        if received.path == "/api/webhook/refresh" {
            return self.refresh(received);
        }
        if let Some(id) = received.path.strip_prefix("/v1/renders/") {
            assert_eq!(received.header("authorization"), Some("Bearer canary-key"));
            return Reply::json(200, format!(r#"{{"id":"{id}","status":"succeeded"}}"#));
        }
        self.hook(received)
    }

    fn refresh(&self, received: &Received) -> Reply {
        let token = received.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap();
        if self.revoked.lock().unwrap().contains(token) {
            return Reply::json(401, r#"{"error":"Invalid token"}"#);
        }
        // `canary-d3.1` belongs to `d3`.
        let domain = token.split(['-', '.']).nth(1).unwrap().to_owned();
        let now = self.now_ms.load(Ordering::SeqCst);
        let mut windows = self.windows.lock().unwrap();
        let window = windows.entry(domain.clone()).or_insert((now, 0));
        if now >= window.0 + LIMITS.window_ms {
            *window = (now, 0);
        }
        if window.1 >= LIMITS.requests as u64 {
            return Reply::json(429, r#"{"error":"Rate limit exceeded"}"#);
        }
        window.1 += 1;
        let body: serde_json::Value = serde_json::from_slice(&received.body).unwrap();
        if body["urls"][0].as_str().is_none_or(|path| !path.starts_with('/')) {
            return Reply::json(400, r#"{"error":"Bad body"}"#);
        }
        if let Some(left) = self.renders_left.lock().unwrap().get_mut(&domain) {
            if *left == 0 {
                return Reply::json(403, r#"{"error":"Quota reached"}"#);
            }
            *left -= 1;
        }
        Reply::json(200, r#"{"message":"ok"}"#)
    }

    fn hook(&self, received: &Received) -> Reply {
        use hmac::{Hmac, KeyInit as _, Mac as _};
        let enforcing = received.path.ends_with("-enforcing");
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"canary-secret").unwrap();
        mac.update(&received.body);
        let right = hex::encode(mac.finalize().into_bytes());
        match received.header("x-craftkit-signature") {
            Some(digest) if digest != right => return Reply::json(401, r#"{"error":{"code":"invalid_signature"}}"#),
            None if enforcing => return Reply::json(401, r#"{"error":{"code":"invalid_signature"}}"#),
            _ => {}
        }
        let body: serde_json::Value = serde_json::from_slice(&received.body).unwrap();
        if !body["title"].is_string() {
            return Reply::json(400, r#"{"error":{"code":"invalid_input_data"}}"#);
        }
        if *self.queue_down.lock().unwrap() {
            return Reply::json(503, r#"{"error":{"code":"queue_unavailable"}}"#);
        }
        let id = self.renders.fetch_add(1, Ordering::SeqCst);
        let url = format!("http://elsewhere.invalid/v1/renders/r{id}");
        Reply::json(202, format!(r#"{{"id":"r{id}","status":"queued","pollUrl":"{url}"}}"#))
    }
}

/// Changes a [`State`] from outside.
pub(crate) struct Hand(pub(crate) Arc<State>);

impl World for Hand {
    fn can(&self, _: Power) -> bool {
        true
    }

    fn advance(&self, ms: u64) -> Wait<'_, u64> {
        Box::pin(async move { Ok(self.0.now_ms.fetch_add(ms, Ordering::SeqCst) + ms) })
    }

    fn set_queue(&self, available: bool) -> Wait<'_, ()> {
        *self.0.queue_down.lock().unwrap() = !available;
        Box::pin(async { Ok(()) })
    }

    fn revoke<'a>(&'a self, _: &'a str, token: &'a str) -> Wait<'a, ()> {
        self.0.revoked.lock().unwrap().insert(format!("{CANARY}-{token}"));
        Box::pin(async { Ok::<(), WorldError>(()) })
    }
}

impl State {
    pub(crate) fn queue_is_down(&self) -> bool {
        *self.queue_down.lock().unwrap()
    }
}

/// What a plan needs, on one server for both APIs.
pub(crate) fn grounds(plan: &Plan, url: &url::Url, state: &State) -> Grounds {
    let site = Site { base_url: url.clone(), headers: Vec::new(), root: None };
    let needs = &plan.needs;
    let token = |domain: usize, token: usize| {
        let name = format!("d{domain}.{token}");
        Token { value: Secret::new(format!("{CANARY}-{name}")), name }
    };
    let domain = |number: usize| {
        let name = format!("d{number}");
        if let Some(left) = needs.renders_left {
            state.renders_left.lock().unwrap().insert(name.clone(), left);
        }
        Domain {
            name,
            tokens: (0..needs.tokens).map(|index| token(number, index)).collect(),
            renders_left: needs.renders_left,
        }
    };
    let template = |number: usize| {
        let requires_signature = number >= needs.templates - needs.enforcing;
        let inbound = if requires_signature { "canary-token-enforcing" } else { "canary-token" };
        Template {
            name: format!("t{number}"),
            inbound_token: Secret::new(inbound),
            secret: Secret::new("canary-secret"),
            api_key: Secret::new("canary-key"),
            requires_signature,
            valid: Pattern(r#"{"title":"{fresh}"}"#.into()),
            invalid: vec![Pattern(r#"{"other":"{fresh}"}"#.into())],
        }
    };
    Grounds {
        rndrkit: Some(site.clone()),
        craftkit: Some(site),
        domains: (0..needs.domains).map(domain).collect(),
        templates: (0..needs.templates).map(template).collect(),
    }
}

/// A history in a file that goes with it.
pub(crate) struct Trial {
    pub(crate) state: Arc<State>,
    pub(crate) stop: StopFlag,
    pub(crate) live: Arc<Live>,
    pub(crate) request_time: Duration,
    pub(crate) world: Arc<dyn World>,
    folder: tempfile::TempDir,
}

impl Trial {
    pub(crate) fn new() -> Trial {
        let state = Arc::new(State::default());
        state.now_ms.store(1_760_000_000_000, Ordering::SeqCst);
        Trial {
            world: Arc::new(Hand(Arc::clone(&state))),
            state,
            stop: StopFlag::default(),
            live: Arc::default(),
            request_time: Duration::from_secs(10),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("history.jsonl")
    }

    /// Runs a plan against a server.
    pub(crate) async fn run(&self, plan: Plan, server: &Server) -> Result<Run, LoadError> {
        let grounds = grounds(&plan, &server.url(), &self.state);
        let stopwatch = Stopwatch::start();
        let header = Header {
            recorder: "test".into(),
            unix_ms: stopwatch.unix_ms(),
            skew_ms: 0,
            limit: 10,
            window_ms: 3_600_000,
            tolerance_ms: 2_000,
            quota: QuotaKind::Reached,
            keys: grounds.keys(),
        };
        let order = Order {
            plan,
            grounds,
            world: Arc::clone(&self.world),
            recorder: Arc::new(Recorder::create(&self.path(), &header).unwrap()),
            stopwatch,
            request_time: self.request_time,
            clean: Arc::new(|text| text.replace(CANARY, "<secret>")),
            live: Arc::clone(&self.live),
            stop: self.stop.clone(),
        };
        // Far beyond anything these runs take: a run that hangs is a defect, not a wait.
        tokio::time::timeout(Duration::from_secs(60), run(order)).await.expect("the run ends")
    }

    /// Runs a scenario at its default size against the correct target.
    pub(crate) async fn run_scenario(&self, scenario: Scenario, seed: u64) -> Run {
        let state = Arc::clone(&self.state);
        let server = Server::start(move |received| state.answer(received)).await;
        let plan = Plan::new(scenario, &Size::default(), seed, &LIMITS, APIS).unwrap();
        self.run(plan, &server).await.unwrap()
    }

    /// The history as text and as events, with the operations of unknown outcome.
    pub(crate) fn history(&self) -> (String, Vec<Event>, usize) {
        let text = std::fs::read_to_string(self.path()).unwrap();
        let mut reader = Reader::new(text.as_bytes());
        let events = reader.by_ref().collect::<Result<Vec<Event>, ReadError>>().unwrap();
        assert_eq!(reader.truncated(), None);
        let unknown = reader.into_unknown().len();
        std::io::stdout().flush().unwrap();
        (text, events, unknown)
    }
}
