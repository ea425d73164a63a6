//! Runs against a correct target: they end, are honest, and their histories hold everything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use scenarios::history::{Action, Event};
use scenarios::outcome::{Operation, Run, Weakens};
use scenarios::plan::{Plan, Size};
use scenarios::scenario::Scenario;

use crate::limiter::{APIS, CANARY, LIMITS, Trial};
use crate::server::{Reply, Server};

/// What holds of every run against a correct target.
fn check_run(trial: &Trial, run: &Run) -> Vec<Event> {
    let (text, events, unknown) = trial.history();
    let requests = events.iter().filter(|event| match event {
        Event::Completed(operation, _) => !is_control(&operation.invocation.action),
        _ => false,
    });
    let requests = requests.count() as u64;
    assert_eq!(unknown, 0);
    assert_eq!(run.surprises, vec![]);
    assert_eq!(run.honesty.history_total, requests);
    assert_eq!(run.honesty.goose_total, Some(requests));
    assert_eq!(trial.state.requests.load(Ordering::SeqCst), requests);
    assert_eq!(run.operations.values().map(|tally| tally.sent()).sum::<u64>(), requests);
    assert_eq!((run.honesty.dropped, run.honesty.unsent, run.interrupted), (0, 0, false));
    // How busy this machine is while other tests run says nothing about the code.
    let doubts = run.doubts();
    assert!(doubts.iter().all(|doubt| doubt.weakens == Weakens::Latencies), "{doubts:?}");
    assert!(!text.contains(CANARY));
    let snapshot = trial.live.snapshot();
    assert_eq!((snapshot.begun, snapshot.in_flight), (run.honesty.planned, 0));
    events
}

fn is_control(action: &Action) -> bool {
    !matches!(action, Action::Refresh { .. } | Action::Render { .. } | Action::Poll { .. })
}

/// Accepted refreshes by domain.
fn served(events: &[Event]) -> BTreeMap<String, u64> {
    let mut served = BTreeMap::new();
    for event in events {
        if let Event::Completed(operation, outcome) = event
            && let Action::Refresh { domain, .. } = &operation.invocation.action
            && outcome.status == Some(200)
        {
            *served.entry(domain.clone()).or_default() += 1;
        }
    }
    served
}

#[track_caller]
fn check_served(events: &[Event], domains: usize, each: u64) {
    let served = served(events);
    assert_eq!(served.len(), domains);
    assert!(served.values().all(|count| *count == each), "{served:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_window_overlaps_on_every_domain() {
    let trial = Trial::new();
    let run = trial.run_scenario(Scenario::FirstWindow, 1).await;
    let events = check_run(&trial, &run);
    check_served(&events, 20, 10);
    let overlap = run.honesty.overlap.unwrap();
    assert_eq!((overlap.needed, overlap.keys), (11, 20));
    assert!(overlap.reached >= 5, "{overlap:?}");
    assert_eq!(run.worst_domain, Some(("d0".to_owned(), 10)));
}

/// How many refreshes of each domain overlap no other of it in the history.
fn alone(events: &[Event]) -> Vec<usize> {
    let mut spans: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for event in events {
        if let Event::Completed(operation, outcome) = event
            && let Action::Refresh { domain, .. } = &operation.invocation.action
        {
            spans.entry(domain).or_default().push((operation.invocation.start_ns, outcome.end_ns));
        }
    }
    let count = |spans: &Vec<(u64, u64)>| {
        let meets = |one: &(u64, u64), other: &(u64, u64)| one.0 <= other.1 && other.0 <= one.1;
        // Each meets itself.
        spans.iter().filter(|one| spans.iter().filter(|other| meets(one, other)).count() == 1).count()
    };
    spans.values().map(count).collect()
}

/// Only a refusal of such a one is surely needless.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_requests_around_volleys_overlap_nothing_in_the_history() {
    for (scenario, each) in [(Scenario::FirstWindow, 1), (Scenario::TokenSpread, 2), (Scenario::WindowEdge, 6)] {
        let trial = Trial::new();
        let run = trial.run_scenario(scenario, 1).await;
        let alone = alone(&check_run(&trial, &run));
        assert!(alone.iter().all(|count| *count >= each), "{scenario}: {alone:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_spread_uses_every_token() {
    let trial = Trial::new();
    let run = trial.run_scenario(Scenario::TokenSpread, 1).await;
    let events = check_run(&trial, &run);
    check_served(&events, 8, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_neighbours_of_a_flood_are_told_apart_from_it() {
    let trial = Trial::new();
    let run = trial.run_scenario(Scenario::NoisyNeighbour, 1).await;
    let events = check_run(&trial, &run);
    check_served(&events, 6, 10);
    let neighbours = &run.operations[&Operation::Refresh];
    assert_eq!(neighbours.statuses, BTreeMap::from([(200, 50)]));
    assert!(run.operations[&Operation::Flood].sent() > 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn window_edge_moves_the_clock_under_load_and_stamps_it() {
    let trial = Trial::new();
    let run = trial.run_scenario(Scenario::WindowEdge, 1).await;
    let events = check_run(&trial, &run);
    check_served(&events, 6, 3 * 10);
    let advanced = events.iter().filter(|event| {
        matches!(event, Event::Completed(operation, _) if matches!(operation.invocation.action, Action::Advance { .. }))
    });
    // Twice over an end, and four times to where something is to happen.
    assert_eq!(advanced.count(), 6);
    for event in &events {
        if let Event::Completed(operation, outcome) = event {
            let (start, end) = (operation.invocation.server_start_ms.unwrap(), outcome.server_end_ms.unwrap());
            // A clock that stands between advances is known to the millisecond; one advance may be under way.
            assert!(end - start <= LIMITS.window_ms + 1, "{event:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quota_drain_sees_when_renders_are_charged() {
    let trial = Trial::new();
    let run = trial.run_scenario(Scenario::QuotaDrain, 1).await;
    let events = check_run(&trial, &run);
    check_served(&events, 7, 5);
    assert_eq!(run.charges_at_once, Some(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_mix_has_refused_bodies_among_the_others() {
    let trial = Trial::new();
    let run = trial.run_scenario(Scenario::InvalidMix, 1).await;
    check_run(&trial, &run);
    let statuses = &run.operations[&Operation::Refresh].statuses;
    assert_eq!(statuses[&429], 12 * 30);
    assert_eq!(statuses[&200] + statuses[&400], 12 * 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_accepted_render_is_polled_to_its_end() {
    let trial = Trial::new();
    let run = trial.run_scenario(Scenario::InboundRenders, 1).await;
    let events = check_run(&trial, &run);
    let statuses = &run.operations[&Operation::Render].statuses;
    assert!([202, 400, 401].iter().all(|status| statuses[status] > 0), "{statuses:?}");
    let mut accepted: Vec<String> = Vec::new();
    let mut ended: Vec<String> = Vec::new();
    for event in events {
        let Event::Completed(operation, outcome) = event else { continue };
        accepted.extend(outcome.id);
        if let Action::Poll { id, .. } = operation.invocation.action {
            assert_eq!(outcome.render_status.as_deref(), Some("succeeded"));
            ended.push(id);
        }
    }
    accepted.sort_unstable();
    ended.sort_unstable();
    assert_eq!(accepted, ended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queue_outage_leaves_the_queue_up() {
    let trial = Trial::new();
    let run = trial.run_scenario(Scenario::QueueOutage, 1).await;
    check_run(&trial, &run);
    let statuses = &run.operations[&Operation::Render].statuses;
    assert!(statuses[&202] > 0 && statuses[&503] > 0, "{statuses:?}");
    assert!(!trial.state.queue_is_down());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_revokes_under_load() {
    let trial = Trial::new();
    let run = trial.run_scenario(Scenario::Revocation, 1).await;
    let events = check_run(&trial, &run);
    check_served(&events, 6, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steady_uses_both_apis() {
    let trial = Trial::new();
    let run = trial.run_scenario(Scenario::Steady, 1).await;
    check_run(&trial, &run);
    assert_eq!(run.operations[&Operation::Refresh].sent(), 250);
    assert_eq!(run.operations[&Operation::Render].sent(), 250);
    // After everything else, so that the rate stays as it is; a render that nobody asks for may be lost without a trace.
    assert_eq!(run.operations[&Operation::Poll].sent(), 250);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_loop_ends_with_its_time_and_drops_nothing() {
    let trial = Trial::new();
    let state = Arc::clone(&trial.state);
    let server = Server::start(move |received| state.answer(received)).await;
    let size = Size { users: Some(4), duration: Some(Duration::from_millis(200)), ..Size::default() };
    let plan = Plan::new(Scenario::Steady, &size, 1, &LIMITS, APIS).unwrap();
    let planned = plan.requests() as u64;
    let run = trial.run(plan, &server).await.unwrap();
    check_run(&trial, &run);
    assert!(run.honesty.sent > 0 && run.honesty.sent < planned);
    assert!(run.operations.values().all(|tally| tally.lateness.is_empty()));
}

/// What a closed loop hides: while the server stands still nobody sends, so nobody is seen to wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_shows_in_the_response_time_and_not_in_the_service_time() {
    const STALL_FROM: u64 = 40;
    let trial = Trial::new();
    let state = Arc::clone(&trial.state);
    let server = Server::start(move |received| {
        let reply = state.answer(received);
        let stalled = (STALL_FROM..STALL_FROM + 2).contains(&state.requests.load(Ordering::SeqCst));
        Reply { delay: Duration::from_millis(if stalled { 400 } else { 1 }), ..reply }
    })
    .await;
    // Two users: while both are held up, what is due waits.
    let size = Size { rate: Some(200.0), users: Some(2), count: Some(200), ..Size::default() };
    let plan = Plan::new(Scenario::Steady, &size, 1, &LIMITS, APIS).unwrap();
    let run = trial.run(plan, &server).await.unwrap();
    let refresh = &run.operations[&Operation::Refresh];
    let p90 = |latencies: &hdrhistogram::Histogram<u64>| latencies.value_at_quantile(0.9);
    assert!(p90(&refresh.response) > 2 * p90(&refresh.service), "{} {}", p90(&refresh.response), p90(&refresh.service));
    assert!(run.honesty.late > 0);
    assert!(run.doubts().iter().any(|doubt| doubt.reason.contains("late")), "{:?}", run.doubts());
}
