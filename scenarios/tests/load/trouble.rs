//! Runs in which something goes wrong: they end, say what it was, and leave a readable history.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use scenarios::history::Event;
use scenarios::outcome::{Operation, Weakens};
use scenarios::plan::{Plan, Size};
use scenarios::run::LoadError;
use scenarios::scenario::Scenario;
use scenarios::world::{Power, Untouchable, Wait, World, WorldError};

use crate::limiter::{APIS, CANARY, Hand, LIMITS, State, Trial};
use crate::server::{Reply, Server};

fn plan(scenario: Scenario, size: Size) -> Plan {
    Plan::new(scenario, &size, 1, &LIMITS, APIS).unwrap()
}

async fn correct(trial: &Trial) -> Server {
    let state = Arc::clone(&trial.state);
    Server::start(move |received| state.answer(received)).await
}

/// A world that does something else once its first outage has begun.
struct Faulty {
    hand: Hand,
    panics: bool,
    failed: AtomicBool,
}

impl World for Faulty {
    fn can(&self, power: Power) -> bool {
        self.hand.can(power)
    }

    fn advance(&self, ms: u64) -> Wait<'_, u64> {
        self.hand.advance(ms)
    }

    fn set_queue(&self, available: bool) -> Wait<'_, ()> {
        // The queue goes down, and what would have said so fails.
        let done = self.hand.set_queue(available);
        if !available && !self.failed.swap(true, Ordering::SeqCst) {
            assert!(!self.panics, "a defect in a fixture");
            return Box::pin(async { Err(WorldError::Failed { power: Power::Queue, reason: "no answer".into() }) });
        }
        done
    }

    fn revoke<'a>(&'a self, domain: &'a str, token: &'a str) -> Wait<'a, ()> {
        self.hand.revoke(domain, token)
    }
}

fn faulty(state: &Arc<State>, panics: bool) -> Arc<dyn World> {
    Arc::new(Faulty { hand: Hand(Arc::clone(state)), panics, failed: AtomicBool::new(false) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_ends_the_run_with_a_readable_history_and_the_queue_up() {
    let mut trial = Trial::new();
    trial.world = faulty(&trial.state, true);
    let server = correct(&trial).await;
    let error = trial.run(plan(Scenario::QueueOutage, Size::default()), &server).await.unwrap_err();
    assert!(matches!(&error, LoadError::Panicked(text) if text == "a defect in a fixture"), "{error}");
    let (_, events, unknown) = trial.history();
    assert!(events.len() > 1);
    assert_eq!(unknown, 1, "the outage");
    assert!(!trial.state.queue_is_down());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_world_that_fails_ends_the_run_with_the_queue_up() {
    let mut trial = Trial::new();
    trial.world = faulty(&trial.state, false);
    let server = correct(&trial).await;
    let error = trial.run(plan(Scenario::QueueOutage, Size::default()), &server).await.unwrap_err();
    let expected = "the target was asked to take its render queue down and failed: no answer";
    assert_eq!(error.to_string(), expected);
    trial.history();
    assert!(!trial.state.queue_is_down());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_plan_needs_and_nobody_has_is_refused_before_the_first_request() {
    let mut trial = Trial::new();
    trial.world = Arc::new(Untouchable);
    let server = correct(&trial).await;
    let error = trial.run(plan(Scenario::Revocation, Size::default()), &server).await.unwrap_err();
    assert_eq!(error.to_string(), "the target cannot revoke a token; leave out the scenarios that need it");
    assert_eq!(trial.state.requests.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_the_run_and_loses_nothing() {
    const STOP_AFTER: u64 = 60;
    let trial = Trial::new();
    let (state, stop) = (Arc::clone(&trial.state), trial.stop.clone());
    let server = Server::start(move |received| {
        let reply = state.answer(received);
        if state.requests.load(Ordering::SeqCst) == STOP_AFTER {
            stop.set();
        }
        reply
    })
    .await;
    let run = trial.run(plan(Scenario::Steady, Size::default()), &server).await.unwrap();
    assert!(run.interrupted);
    assert!(run.honesty.dropped > 0);
    let (_, events, unknown) = trial.history();
    let completed = events.iter().filter(|event| matches!(event, Event::Completed(..))).count() as u64;
    assert_eq!(completed + unknown as u64, trial.state.requests.load(Ordering::SeqCst));
    assert_eq!(run.honesty.history_total, completed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_among_volleys_ends_the_run() {
    let trial = Trial::new();
    let (state, stop) = (Arc::clone(&trial.state), trial.stop.clone());
    let server = Server::start(move |received| {
        stop.set();
        state.answer(received)
    })
    .await;
    let run = trial.run(plan(Scenario::FirstWindow, Size::default()), &server).await.unwrap();
    assert!(run.interrupted);
    let (_, events, unknown) = trial.history();
    assert!(events.len() > 1);
    assert_eq!(unknown, 0);
    assert!(run.honesty.sent <= 40 && run.honesty.sent > 0, "one volley: {}", run.honesty.sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_makes_a_run_that_proves_nothing() {
    let trial = Trial::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server { address: listener.local_addr().unwrap() };
    drop(listener);
    let size = Size { count: Some(20), rate: Some(500.0), ..Size::default() };
    let run = trial.run(plan(Scenario::Steady, size), &server).await.unwrap();
    assert_eq!((run.honesty.sent, run.honesty.unsent), (0, 20));
    assert!(run.doubts().iter().any(|doubt| doubt.weakens == Weakens::Proof), "{:?}", run.doubts());
    let (_, events, unknown) = trial.history();
    assert_eq!((events.len(), unknown), (1, 0), "the header alone: nothing was sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_does_not_come_leaves_the_outcome_unknown() {
    let mut trial = Trial::new();
    trial.request_time = Duration::from_millis(150);
    let state = Arc::clone(&trial.state);
    let server = Server::start(move |received| {
        let reply = state.answer(received);
        let hangs = state.requests.load(Ordering::SeqCst) == 3;
        Reply { delay: Duration::from_secs(if hangs { 600 } else { 0 }), ..reply }
    })
    .await;
    let size = Size { count: Some(10), rate: Some(500.0), ..Size::default() };
    let run = trial.run(plan(Scenario::Steady, size), &server).await.unwrap();
    assert_eq!(run.operations.values().map(|tally| tally.unknown).sum::<u64>(), 1);
    let (_, events, _) = trial.history();
    let timed_out = events.iter().filter(|event| {
        matches!(event, Event::Completed(_, outcome) if outcome.status.is_none() && outcome.error.as_deref() == Some("timeout"))
    });
    assert_eq!(timed_out.count(), 1);
    assert_eq!(run.surprises.iter().filter(|surprise| surprise.came == "timeout").count(), 1);
}

/// A server that closes an idle connection without a word invites a client to send twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_was_closed_costs_no_second_request() {
    let trial = Trial::new();
    let state = Arc::clone(&trial.state);
    let server = Server::start(move |received| Reply { close: true, ..state.answer(received) }).await;
    let size = Size { count: Some(100), rate: Some(200.0), users: Some(4), ..Size::default() };
    let run = trial.run(plan(Scenario::Steady, size), &server).await.unwrap();
    let wire = trial.state.requests.load(Ordering::SeqCst);
    assert_eq!(run.honesty.sent, 100);
    // Between two requests of a user the end of the connection may be noticed too late: then the outcome is unknown, and nothing is repeated.
    assert!(wire <= run.honesty.history_total, "{wire}");
    let answered: u64 = run.operations.values().flat_map(|tally| tally.statuses.values()).sum();
    assert_eq!(answered, wire);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let trial = Trial::new();
    let elsewhere = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&elsewhere);
    let server = Server::start(move |received| {
        if received.path == "/elsewhere" {
            seen.fetch_add(1, Ordering::SeqCst);
        }
        Reply { headers: "location: /elsewhere\r\n", ..Reply::json(307, "{}") }
    })
    .await;
    let size = Size { count: Some(10), rate: Some(500.0), ..Size::default() };
    let run = trial.run(plan(Scenario::Steady, size), &server).await.unwrap();
    assert_eq!(run.operations[&Operation::Refresh].statuses, [(307, 5)].into());
    assert_eq!(elsewhere.load(Ordering::SeqCst), 0);
    assert_eq!(run.operations[&Operation::Refresh].errors, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tampered_render_that_is_accepted_is_told() {
    let trial = Trial::new();
    let server = Server::start(|received| match received.method.as_str() {
        "GET" => Reply::json(200, r#"{"status":"succeeded"}"#),
        _ => Reply::json(202, r#"{"id":"r","status":"queued","pollUrl":"http://h/v1/renders/r"}"#),
    })
    .await;
    let run = trial.run(plan(Scenario::InboundRenders, Size::default()), &server).await.unwrap();
    let accepted: Vec<&str> =
        run.surprises.iter().filter(|surprise| surprise.accepted).map(|surprise| surprise.sent).collect();
    assert_eq!(accepted, ["render, invalid", "render, tampered with", "render, unsigned"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_a_server_echoes_is_not_in_the_history() {
    let trial = Trial::new();
    let server = Server::start(|received| {
        let secret = received.header("authorization").unwrap_or(&received.path);
        Reply::json(418, format!(r#"{{"error":"no {secret}","id":"{secret}","status":"{secret}"}}"#))
    })
    .await;
    let size = Size { count: Some(10), rate: Some(500.0), ..Size::default() };
    let run = trial.run(plan(Scenario::Steady, size), &server).await.unwrap();
    let (text, ..) = trial.history();
    assert!(text.contains("<secret>") && !text.contains(CANARY), "{text}");
    assert!(!format!("{run:?}").contains(CANARY));
}
