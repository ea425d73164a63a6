//! `kill -9` of a served reference in the middle of load: what it acknowledged is there when it starts again.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::cli::{CONTROL_TOKEN, Served, folder, text};

/// Kills, each followed by a start on the same file.
const ROUNDS: usize = 30;
/// Seeds the moments of the kills.
const SEED: u64 = 9;
/// A kill comes after this many answers, give or take what is under way.
const ANSWERS_BEFORE_KILL: std::ops::Range<usize> = 5..120;
/// Requests under way at once.
const CONCURRENCY: usize = 8;
/// Domains made in each round; they are loaded in that round and in the next.
const DOMAINS_A_ROUND: usize = 3;
/// Tokens of a domain, as many as it may have ("Creating a Webhook Token").
const TOKENS: usize = 5;
/// Refreshes a domain is served an hour ("Rate Limits").
const REFRESHES_A_WINDOW: usize = 10;
/// How long renders may take to finish once the last server runs undisturbed.
const FINISH_TIME_MAX: Duration = Duration::from_secs(20);

/// A domain and the paths whose refresh was answered with 200.
struct Domain {
    name: String,
    tokens: Vec<String>,
    accepted: Vec<String>,
}

/// What a server acknowledged.
enum Acknowledged {
    /// A hook's 202.
    Render { id: String },
    /// A refresh's 200.
    Refresh { domain: usize, path: String },
}

/// A template, and the renders whose hook was answered with 202.
struct Template {
    token: String,
    key: String,
    renders: Vec<String>,
}

/// A running server and a client for it.
struct Session {
    served: Served,
    client: Client,
}

impl Session {
    fn start(folder: &Path) -> Session {
        let served = Served::start(folder, &["--store", "store.db", "--clock", "system"]);
        Session { served, client: Client::builder().no_proxy().build().unwrap() }
    }

    async fn control(&self, method: &str, params: Value) -> Value {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let url = format!("{}/_control", self.served.base_url);
        let sent = self.client.post(url).bearer_auth(CONTROL_TOKEN).body(message.to_string()).send().await.unwrap();
        let mut answer: Value = serde_json::from_slice(&sent.bytes().await.unwrap()).unwrap();
        assert!(answer.get("result").is_some(), "{method}: {answer}");
        answer["result"].take()
    }

    async fn make_domain(&self) -> Domain {
        let made = self.control("domain.create", json!({ "tokens": TOKENS })).await;
        let tokens = made["tokens"].as_array().unwrap().iter().map(|token| string(&token["token"])).collect();
        Domain { name: string(&made["domain"]), tokens, accepted: Vec::new() }
    }

    async fn make_template(&self) -> Template {
        let made = self.control("template.create", json!({"manifest": {"variables": [], "loops": []}})).await;
        Template { token: string(&made["inbound_token"]), key: string(&made["api_key"]), renders: Vec::new() }
    }

    /// The status of a render, which has to be there.
    async fn status(&self, key: &str, id: &str) -> String {
        let url = format!("{}/v1/renders/{id}", self.served.base_url);
        let sent = self.client.get(url).bearer_auth(key).send().await.unwrap();
        assert_eq!(sent.status(), StatusCode::OK, "the acknowledged render {id} is lost");
        let body: Value = serde_json::from_slice(&sent.bytes().await.unwrap()).unwrap();
        assert_eq!(body["id"], id);
        string(&body["status"])
    }

    /// Everything acknowledged is there, what belongs together is there together, and the limit holds across all starts.
    async fn check(&self, domains: &[Domain], template: &Template, renders: &[String]) {
        for id in renders {
            self.status(&template.key, id).await;
        }
        for domain in domains {
            let seen = self.control("domain.inspect", json!({ "domain": domain.name })).await;
            let queued: BTreeSet<String> = seen["queued_paths"].as_array().unwrap().iter().map(string).collect();
            for path in &domain.accepted {
                assert!(queued.contains(path), "the acknowledged refresh of {path} is lost: {seen}");
            }
            // Each refresh has one path of its own.
            assert_eq!(seen["renders_used"], queued.len(), "{seen}");
            assert!(queued.len() <= REFRESHES_A_WINDOW, "more than {REFRESHES_A_WINDOW} were served: {seen}");
        }
    }

    /// Loads the server until it is killed, which happens after so many answers.
    async fn load_and_kill(
        mut self,
        round: usize,
        domains: &[Domain],
        template: &Template,
        kill_after: usize,
    ) -> Vec<Acknowledged> {
        let enough = Arc::new(Notify::new());
        let answers = Arc::new(AtomicUsize::new(0));
        let targets: Arc<Vec<String>> =
            Arc::new(domains.iter().flat_map(|domain| domain.tokens.iter().cloned()).collect());
        let mut senders = JoinSet::new();
        for sender in 0..CONCURRENCY {
            let (client, base_url) = (self.client.clone(), self.served.base_url.clone());
            let (enough, answers, targets) = (Arc::clone(&enough), Arc::clone(&answers), Arc::clone(&targets));
            let hook = template.token.clone();
            senders.spawn(async move {
                let mut acknowledged = Vec::new();
                for number in sender.. {
                    let target = number % targets.len();
                    let path = format!("/{round}/{sender}/{number}");
                    let sent = if number % 2 == 0 {
                        client.post(format!("{base_url}/v1/hooks/{hook}")).body("{}").send().await
                    } else {
                        let request = client.post(format!("{base_url}/api/webhook/refresh"));
                        let request = request.bearer_auth(&targets[target]).header("content-type", "application/json");
                        request.body(json!({"urls": [path]}).to_string()).send().await
                    };
                    // The server is gone; only what was read whole counts as acknowledged.
                    let Ok(answer) = sent else { break };
                    let status = answer.status();
                    let Ok(body) = answer.bytes().await else { break };
                    if answers.fetch_add(1, Ordering::SeqCst) + 1 == kill_after {
                        enough.notify_one();
                    }
                    match status {
                        StatusCode::ACCEPTED => {
                            let body: Value = serde_json::from_slice(&body).unwrap();
                            acknowledged.push(Acknowledged::Render { id: string(&body["id"]) });
                        }
                        StatusCode::OK => acknowledged.push(Acknowledged::Refresh { domain: target / TOKENS, path }),
                        StatusCode::TOO_MANY_REQUESTS => {}
                        other => panic!("{other}: {}", text(&body)),
                    }
                }
                acknowledged
            });
        }
        enough.notified().await;
        self.served.kill();
        senders.join_all().await.into_iter().flatten().collect()
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9_in_the_middle_of_load() {
    let folder = folder();
    let mut rng = StdRng::seed_from_u64(SEED);
    let mut session = Session::start(folder.path());
    let mut template = session.make_template().await;
    let mut domains: Vec<Domain> = Vec::new();
    for round in 0..ROUNDS {
        for _ in 0..DOMAINS_A_ROUND {
            domains.push(session.make_domain().await);
        }
        let loaded = domains.len().saturating_sub(2 * DOMAINS_A_ROUND);
        let kill_after = rng.random_range(ANSWERS_BEFORE_KILL);
        let acknowledged = session.load_and_kill(round, &domains[loaded..], &template, kill_after).await;
        let earlier = template.renders.len();
        for one in acknowledged {
            match one {
                Acknowledged::Render { id } => template.renders.push(id),
                Acknowledged::Refresh { domain, path } => domains[loaded + domain].accepted.push(path),
            }
        }
        session = Session::start(folder.path());
        session.check(&domains[loaded..], &template, &template.renders[earlier..]).await;
    }
    session.check(&domains, &template, &template.renders).await;
    assert!(domains.iter().any(|domain| !domain.accepted.is_empty()) && !template.renders.is_empty());
    let began = Instant::now();
    for id in &template.renders {
        while session.status(&template.key, id).await != "succeeded" {
            assert!(began.elapsed() < FINISH_TIME_MAX, "the render {id} is not finished");
        }
    }
}
