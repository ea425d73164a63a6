//! A bare reqwest loop that sends a script, and no more: it judges nothing, keeps nothing, waits for nothing but answers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use reference_server::{Config, ControlToken, Parts, Server};
use serde_json::{Value, json};

use crate::script::{Known, Phase, Row, Script, Step, What};

/// The control token of servers that are measured.
const TOKEN: &str = "a-control-token";

/// Starts a server like the suite's own.
pub(crate) async fn server() -> Server {
    let control = ControlToken::new(TOKEN);
    reference_server::start(Config::ephemeral(control), Parts::reference()).await.expect("it starts")
}

/// A client as a loop would make it; without idle connections each request has one of its own, as the suite's have.
pub(crate) fn client(keeps_connections: bool) -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let builder = if keeps_connections { builder } else { builder.pool_max_idle_per_host(0) };
    builder.build().expect("the client can be made")
}

/// One script on its way.
pub(crate) struct Sender {
    pub(crate) client: reqwest::Client,
    pub(crate) base_url: String,
    pub(crate) recorded_url: String,
    /// What each check has learnt.
    pub(crate) known: Vec<Mutex<Known>>,
}

impl Sender {
    pub(crate) fn new(script: &Script, client: reqwest::Client, base_url: &str) -> Sender {
        let known = (0..script.checks).map(|_| Mutex::default()).collect();
        Sender { client, base_url: base_url.to_owned(), recorded_url: script.base_url.clone(), known }
    }

    /// Makes a fixture call.
    pub(crate) async fn call(&self, check: usize, step: &Step) {
        let What::Call { method, params, result: recorded } = &step.what else { return };
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let text = self.fill(check, step, &message.to_string());
        let request = self.client.post(format!("{}/_control", self.base_url)).bearer_auth(TOKEN).body(text);
        let answer = request.send().await.expect("the server answers").bytes().await.expect("its answer is read");
        let answer: Value = serde_json::from_slice(&answer).expect("the control plane answers JSON");
        self.known[check].lock().expect("no holder panics").learn(recorded, &answer["result"]);
    }

    fn fill(&self, check: usize, step: &Step, text: &str) -> String {
        self.known[check].lock().expect("no holder panics").fill(&step.names, text)
    }

    async fn step(&self, check: usize, step: &Step) -> u16 {
        let What::Send { request, body, answer, .. } = &step.what else {
            self.call(check, step).await;
            return 0;
        };
        let path = request.url.strip_prefix(&self.recorded_url).unwrap_or(&request.url);
        let url = format!("{}{}", self.base_url, self.fill(check, step, path));
        // Bodies may hold names and ids, too, but only text can.
        let body =
            std::str::from_utf8(body).map_or_else(|_| body.clone(), |text| self.fill(check, step, text).into_bytes());
        let method = request.method.parse().expect("the suite sends methods that exist");
        let mut outgoing = self.client.request(method, url);
        for (name, value) in &request.headers {
            let known = self.known[check].lock().expect("no holder panics");
            outgoing = outgoing.header(name, known.header(&step.names, [name, value], &step.what, &body));
        }
        let incoming = outgoing.body(body).send().await.expect("the server answers");
        let given = incoming.status().as_u16();
        let bytes = incoming.bytes().await.expect("its answer is read");
        if let Some(recorded) = answer {
            let answer = serde_json::from_slice(&bytes).unwrap_or_default();
            self.known[check].lock().expect("no holder panics").learn(recorded, &answer);
        }
        given
    }

    async fn row(&self, row: &Row) -> usize {
        let mut alike = 0;
        for group in &row.groups {
            let given = futures::future::join_all(group.iter().map(|step| self.step(row.check, step))).await;
            alike += alike_in(group, given);
        }
        alike
    }
}

/// How many requests of a group were answered as when it was recorded. Which of those sent at one time a limit lets through is the
/// server's choice.
fn alike_in(group: &[Step], mut given: Vec<u16>) -> usize {
    let recorded = group.iter().filter_map(|step| match &step.what {
        What::Send { status, .. } => Some(*status),
        What::Call { .. } => None,
    });
    let taken =
        recorded.filter(|status| given.iter().position(|one| one == status).map(|at| given.remove(at)).is_some());
    taken.count()
}

/// Sends a whole script, `jobs` rows at a time; returns how many requests were answered with the same status as in the run.
pub(crate) async fn send(script: &Arc<Script>, client: reqwest::Client, jobs: usize) -> usize {
    let server = server().await;
    let sender = Arc::new(Sender::new(script, client, &server.base_url()));
    let (mut alike, mut advanced_ms) = (0, 0);
    for (number, Phase { advanced_ms: until_ms, rows }) in script.phases.iter().enumerate() {
        if *until_ms > advanced_ms {
            let params = json!({"ms": until_ms - advanced_ms});
            let what = What::Call { method: "clock.advance".to_owned(), params, result: Value::Null };
            sender.call(0, &Step { what, names: Vec::new() }).await;
            advanced_ms = *until_ms;
        }
        let waiting: Arc<Mutex<VecDeque<usize>>> = Arc::new(Mutex::new((0..rows.len()).collect()));
        let tasks: Vec<_> = (0..jobs.min(rows.len()))
            .map(|_| {
                let (script, sender, waiting) = (Arc::clone(script), Arc::clone(&sender), Arc::clone(&waiting));
                tokio::spawn(async move {
                    let mut alike = 0;
                    loop {
                        let next = waiting.lock().expect("no holder panics").pop_front();
                        let Some(next) = next else { return alike };
                        alike += sender.row(&script.phases[number].rows[next]).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            alike += task.await.expect("no request fails");
        }
    }
    server.stop().await.expect("it stops");
    alike
}
