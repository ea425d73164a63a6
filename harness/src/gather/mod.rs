//! What a check's gather step works with: fixtures, requests, waits. It collects evidence and judges nothing.

mod cases;
pub mod deliveries;
mod fixtures;
pub mod made;
mod month_end;
pub mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

use crate::api::Api;
use crate::checks::generated::KeptCase;
use crate::evidence::room::Room;
use crate::evidence::{Evidence, Exchange, FixtureCall};
use crate::secret::SecretBook;
use crate::target::fixtures::{FixtureError, Fixtures};
use crate::target::http::{HttpClient, Request};
use crate::target::protocol::Method;
pub use fixtures::checked_secret;
pub use made::{Domain, DomainWish, Leftover, Subscription, Template, Token};
use time::{Slot, Timekeeper};

/// First pause between two looks at something that may take a moment.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// Longest pause between two looks.
const PAUSE_MAX: Duration = Duration::from_millis(1500);
/// Bytes of long answers and fixtures' results that one attempt of a check keeps; few good targets have any.
pub const EVIDENCE_MAX: usize = 2 * 1024 * 1024;
/// The same of all checks together, so that no target makes a report that nobody can open.
pub const RUN_EVIDENCE_MAX: usize = 8 * 1024 * 1024;

/// A target, ready to be judged: shared by all checks of a run.
pub struct World {
    /// Clients of the APIs in scope.
    pub clients: BTreeMap<Api, HttpClient>,
    /// The fixtures.
    pub fixtures: Arc<Fixtures>,
    /// Methods that `hello` offers.
    pub methods: BTreeSet<Method>,
    /// The target's time.
    pub timekeeper: Arc<Timekeeper>,
    /// How long a change made through a fixture may take to be seen.
    pub settle: Duration,
    /// Seed of every random choice.
    pub seed: u64,
    /// How many cases of each property are generated.
    pub cases: u32,
    /// Cases that failed in earlier runs; they come first.
    pub kept_cases: Vec<KeptCase>,
    /// Requests a second at most.
    pub pacer: Option<Pacer>,
    /// When the run began; all instants count from here.
    pub began: Instant,
    /// Secrets of the configuration, such as the control token.
    pub secrets: SecretBook,
    /// Room for long answers to all checks.
    pub room: Room,
}

/// Spreads requests so that no more than a given number is sent a second.
pub struct Pacer {
    gap: Duration,
    next: tokio::sync::Mutex<Instant>,
}

impl Pacer {
    /// At most `rate` requests a second; 0 counts as 1.
    pub fn new(rate: u32) -> Pacer {
        Pacer { gap: Duration::from_secs(1) / rate.max(1), next: tokio::sync::Mutex::new(Instant::now()) }
    }

    async fn turn(&self) {
        let mut next = self.next.lock().await;
        // The rate that the user allows (`--rate`).
        tokio::time::sleep_until((*next).into()).await;
        *next = (*next).max(Instant::now()) + self.gap;
    }
}

/// Why a gather step ended early. Neither is a failure of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Something needed is missing or the adapter failed.
    NotRun(String),
    /// It ran, but nothing can be said.
    Inconclusive(String),
}

impl From<FixtureError> for Stop {
    fn from(error: FixtureError) -> Stop {
        Stop::NotRun(error.to_string())
    }
}

/// What one check gathers with.
pub struct Gather {
    world: Arc<World>,
    slot: Slot,
    evidence: Evidence,
    /// Room for long answers to this attempt.
    room: Room,
    book: SecretBook,
    rng: StdRng,
    leftovers: Vec<Leftover>,
    /// A creation under way; it must end before anything can be deleted, even if the check is interrupted.
    creating: Option<(Method, JoinHandle<Result<Value, FixtureError>>)>,
    domains: usize,
    templates: usize,
    subscriptions: usize,
}

/// What a finished or interrupted gather step leaves.
pub struct Gathered {
    /// All that was seen, secrets included.
    pub evidence: Evidence,
    /// The secrets that were handed out.
    pub book: SecretBook,
    /// What must be deleted.
    pub leftovers: Vec<Leftover>,
    /// The slot, for another attempt.
    pub slot: Slot,
}

impl Gather {
    /// Begins the gather step of a check. Random choices depend on the run's seed and the check's id only.
    pub fn new(world: Arc<World>, slot: Slot, check_id: &str) -> Gather {
        let mut hasher = Sha256::new();
        hasher.update(world.seed.to_be_bytes());
        hasher.update(check_id);
        let clock = world.timekeeper.kind();
        Gather {
            world,
            slot,
            evidence: Evidence { clock, ..Evidence::default() },
            room: Room::new("this check", EVIDENCE_MAX),
            book: SecretBook::default(),
            rng: StdRng::from_seed(hasher.finalize().into()),
            leftovers: Vec::new(),
            creating: None,
            domains: 0,
            templates: 0,
            subscriptions: 0,
        }
    }

    /// The target and the settings of the run.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Seeded randomness of this check.
    pub fn rng(&mut self) -> &mut StdRng {
        &mut self.rng
    }

    /// What was seen so far.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// Hands over what was gathered, after a creation under way has ended.
    pub async fn finish(mut self) -> Gathered {
        if let Some((method, creation)) = self.creating.take()
            && let Ok(Ok(result)) = creation.await
        {
            self.remember(method, &result);
        }
        Gathered { evidence: self.evidence, book: self.book, leftovers: self.leftovers, slot: self.slot }
    }

    /// Calls a fixture method and keeps the answer as evidence under `label`.
    ///
    /// # Errors
    /// [`FixtureError`]; a refusal is kept as evidence, too.
    pub async fn call(&mut self, label: &str, method: Method, params: Value) -> Result<Value, FixtureError> {
        let start_ns = self.now_ns();
        let advanced_ms = self.world.timekeeper.advanced_ms();
        let world = Arc::clone(&self.world);
        let sent = params.clone();
        // A task of its own, so that an interruption cannot lose the name of something just created.
        let creation = tokio::spawn(async move { world.fixtures.call(method, sent).await });
        let (_, handle) = self.creating.insert((method, creation));
        let mut answer = handle.await.expect("a fixture call does not panic");
        self.creating = None;
        if let Ok(result) = &answer {
            self.remember(method, result);
            let size = result.to_string().len();
            if let Some(full) = [&self.room, &self.world.room].iter().find(|room| !room.take(size)) {
                let expected = "results that there is room for".to_owned();
                answer = Err(FixtureError::Broken { method: method.name(), expected, found: full.full() });
            }
        }
        let refused = match &answer {
            Err(FixtureError::Refused { reason, .. }) => Some(reason.clone()),
            Ok(_) | Err(_) => None,
        };
        self.evidence.fixtures.push(FixtureCall {
            label: label.to_owned(),
            method: method.name().to_owned(),
            params,
            result: answer.as_ref().ok().map(told),
            refused,
            start_ns,
            end_ns: self.now_ns(),
            advanced_ms,
        });
        answer
    }

    /// Sends one request.
    pub async fn send(&mut self, request: Request) -> Exchange {
        let exchange = self.exchange(&request).await;
        self.keep(exchange)
    }

    /// Keeps an exchange as evidence. A target that says too much is no longer listened to.
    fn keep(&mut self, mut exchange: Exchange) -> Exchange {
        match exchange.response.take().map(|response| response.within(&[&self.room, &self.world.room])) {
            None => {}
            Some(Ok(response)) => exchange.response = Some(response),
            Some(Err(why)) => exchange.error = Some(why),
        }
        self.evidence.exchanges.push(exchange.clone());
        exchange
    }

    /// Sends requests all at once and returns when each has its answer. Exchanges are kept in the order of `requests`.
    pub async fn send_together(&mut self, requests: &[Request]) -> Vec<Exchange> {
        let exchanges = futures::future::join_all(requests.iter().map(|request| self.exchange(request))).await;
        exchanges.into_iter().map(|exchange| self.keep(exchange)).collect()
    }

    /// As [`Gather::send_together`], with connections that are open before the first request leaves, so that all arrive at about one
    /// instant. Under `--rate` they leave one by one. All go to the API of the first.
    pub async fn send_volley(&mut self, requests: &[Request]) -> Vec<Exchange> {
        let client = requests.first().and_then(|first| self.world.clients.get(&first.api));
        let exchanges = match client {
            Some(client) if self.world.pacer.is_none() => {
                client.send_volley(requests, self.world.timekeeper.advanced_ms()).await
            }
            _ => return self.send_together(requests).await,
        };
        exchanges.into_iter().map(|exchange| self.keep(exchange)).collect()
    }

    /// Repeats a request until `done` says so or the settle time is over; the last exchange is kept under the request's label,
    /// earlier ones under the label followed by `/unsettled`. For what a fixture has just changed.
    pub async fn settled(&mut self, request: Request, done: impl Fn(&Exchange) -> bool) -> Exchange {
        let bound = self.world.settle;
        self.repeated(request, bound, done).await
    }

    /// As [`Gather::settled`], with so few looks that a domain's ten requests in an hour suffice for two changes, one after the other:
    /// at once, and then at a 64th, an eighth and the whole of the settle time.
    pub async fn settled_sparingly(&mut self, request: Request, done: impl Fn(&Exchange) -> bool) -> Exchange {
        const PARTS: [u32; 3] = [64, 8, 1];
        let began = Instant::now();
        let mut exchange = self.send(request.clone()).await;
        for part in PARTS {
            if done(&exchange) {
                break;
            }
            let last = self.evidence.exchanges.last_mut().expect("an exchange was just sent");
            last.label.push_str("/unsettled");
            // Nothing tells when a change is seen, and each look costs part of a limit.
            tokio::time::sleep_until((began + self.world.settle / part).into()).await;
            exchange = self.send(request.clone()).await;
        }
        exchange
    }

    /// As [`Gather::settled`], with a bound of its own: for what happens in the target's own time, such as a render's end.
    pub async fn repeated(&mut self, request: Request, bound: Duration, done: impl Fn(&Exchange) -> bool) -> Exchange {
        let deadline = Instant::now() + bound;
        let mut pause = PAUSE_MIN;
        loop {
            let exchange = self.send(request.clone()).await;
            if done(&exchange) || Instant::now() >= deadline {
                return exchange;
            }
            let last = self.evidence.exchanges.last_mut().expect("an exchange was just sent");
            last.label.push_str("/unsettled");
            // Nothing tells when it has happened; to ask without a pause would keep the target from it.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Sends a few rounds of requests, the first at once and the last after `bound`: for looking again and again at what each look costs
    /// part of a limit, where [`Gather::repeated`] would spend it. `next` is given the exchanges of the last round; without requests
    /// from it the rounds end.
    pub async fn rounds(&mut self, rounds: u32, bound: Duration, mut next: impl FnMut(&[Exchange]) -> Vec<Request>) {
        let pause = bound / rounds.saturating_sub(1).max(1);
        let mut last = Vec::new();
        for round in 0..rounds {
            let requests = next(&last);
            if requests.is_empty() {
                return;
            }
            if round > 0 {
                // The looks are spread over the time that the target is given.
                tokio::time::sleep(pause).await;
            }
            last.clear();
            for request in requests {
                last.push(self.send(request).await);
            }
        }
    }

    /// Repeats an inspection of a domain until `done` says so or `bound` is over; every look is kept under `label`.
    ///
    /// # Errors
    /// [`Stop::NotRun`] if the fixtures cannot.
    pub async fn inspected(
        &mut self,
        label: &str,
        domain: &Domain,
        bound: Duration,
        done: impl Fn(&Value) -> bool,
    ) -> Result<Value, Stop> {
        let deadline = Instant::now() + bound;
        let mut pause = PAUSE_MIN;
        loop {
            let seen = self.inspect_domain(label, domain).await?;
            if done(&seen) || Instant::now() >= deadline {
                return Ok(seen);
            }
            self.evidence.fixtures.pop();
            // As in `repeated`.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Waits until surely at least `ms` of the target's time have passed since the target decided on `exchange`.
    ///
    /// # Errors
    /// [`Stop::NotRun`] if the clock cannot be moved.
    pub async fn wait_after(&mut self, exchange: &Exchange, ms: u64) -> Result<(), Stop> {
        Ok(self.slot.wait(exchange.advanced_ms, exchange.end_ns, ms).await?)
    }

    /// Waits until about `ms` of the target's time have passed since `exchange` was sent; whether they surely have not passed
    /// is for the judge to see from the instants. Choose `ms` with room to spare before the edge in question.
    ///
    /// # Errors
    /// [`Stop::NotRun`] if the clock cannot be moved.
    pub async fn wait_until(&mut self, exchange: &Exchange, ms: u64) -> Result<(), Stop> {
        Ok(self.slot.wait(exchange.advanced_ms, exchange.start_ns, ms).await?)
    }

    async fn exchange(&self, request: &Request) -> Exchange {
        if let Some(pacer) = &self.world.pacer {
            pacer.turn().await;
        }
        let client = self.world.clients.get(&request.api).expect("a check runs only when its API is in scope");
        client.send(request, self.world.timekeeper.advanced_ms()).await
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.world.began.elapsed().as_nanos()).expect("a run lasts less than 584 years")
    }

    /// Notes what a creation leaves to be deleted.
    fn remember(&mut self, method: Method, result: &Value) {
        let (deleting, parameter) = match method {
            Method::DomainCreate => (Method::DomainDelete, "domain"),
            Method::TemplateCreate => (Method::TemplateDelete, "slug"),
            Method::Hello
            | Method::DomainUpdate
            | Method::DomainInspect
            | Method::DomainDelete
            | Method::TokenCreate
            | Method::TokenRevoke
            | Method::TemplateUpdate
            | Method::TemplateDelete
            | Method::RenderInspect
            | Method::SubscriptionCreate
            | Method::QueueSet
            | Method::ClockAdvance => return,
        };
        if let Some(value) = result.get(parameter).and_then(Value::as_str) {
            self.leftovers.push(Leftover { method: deleting, parameter, value: value.to_owned() });
        }
    }
}

/// A result as evidence. A stored null would read as no result, and a report must be judged as its run was.
fn told(result: &Value) -> Value {
    if result.is_null() { Value::Object(serde_json::Map::new()) } else { result.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_with_a_result_of_null_has_a_result_in_a_report_too() {
        let call = FixtureCall {
            label: "token.revoke".to_owned(),
            method: "token.revoke".to_owned(),
            params: Value::Null,
            result: Some(told(&Value::Null)),
            refused: None,
            start_ns: 1,
            end_ns: 2,
            advanced_ms: 0,
        };
        let stored = serde_json::to_string(&call).unwrap_or_default();
        assert_eq!(serde_json::from_str::<FixtureCall>(&stored).ok(), Some(call));
    }
}
