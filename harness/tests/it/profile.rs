//! The behaviour profile of the reference: complete, the same every time, and reviewed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hookproof::api::Api;
use hookproof::catalogue::observed;
use hookproof::profile::observe::{self, Profile};
use hookproof::runner::{self, Pace, open};
use hookproof::target::protocol::Method;
use reference_server::Parts;

use crate::cli::CONTROL_TOKEN;
use crate::middle::{Answering, Middle, Plan as MiddlePlan, honest};
use crate::{settings, uninterrupted};

/// Requests that observing both APIs may take, so that a run stays quick.
const REQUESTS_MAX: usize = 600;

const RENEW: &str = "HOOKPROOF_RENEW_PROFILE=1 cargo test -p hookproof --test it profile";

async fn profile(api: Option<Api>, seed: u64) -> Profile {
    let target = open::builtin(Parts::reference(), settings(seed)).await.unwrap();
    let pace = Pace { patience: Duration::ZERO, run_time: runner::RUN_TIME_MAX };
    let profile = observe::run(&target.world, api, pace, &uninterrupted()).await;
    target.close().await;
    assert!(profile.defects.is_empty(), "{:?}", profile.defects);
    assert!(profile.not_deleted.is_empty(), "{:?}", profile.not_deleted);
    profile
}

fn lines(profile: &Profile) -> String {
    profile.observations.iter().map(|observation| format!("{}: {}\n", observation.id, observation.value)).collect()
}

/// Two runs with one seed say the same, and so does one with another seed: a value says nothing about its run.
#[tokio::test(flavor = "multi_thread")]
async fn the_profile_of_the_reference_is_the_reviewed_one_every_time() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/profile/reference.txt");
    let first = profile(None, 1).await;
    assert!(first.requests <= REQUESTS_MAX, "{} requests", first.requests);
    if std::env::var_os("HOOKPROOF_RENEW_PROFILE").is_some() {
        std::fs::write(path, lines(&first)).unwrap();
    }
    let reviewed = std::fs::read_to_string(path).unwrap();
    for seed in [1, 2] {
        let again = lines(&profile(None, seed).await);
        assert_eq!(lines(&first), again, "with seed {seed} the reference says something else");
    }
    assert_eq!(lines(&first), reviewed, "if the reference shall behave like this from now on: {RENEW}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_probe_has_exactly_one_value() {
    let seen: Vec<String> = profile(None, 1).await.observations.into_iter().map(|seen| seen.id).collect();
    let listed: Vec<&str> = observed::RNDRKIT.iter().chain(observed::CRAFTKIT).map(|probe| probe.id).collect();
    assert_eq!(seen, listed);
}

/// What the fixtures cannot do is said in the place of a value, with the method that is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_probe_whose_fixtures_are_missing_says_which() {
    let mut target = open::builtin(Parts::reference(), settings(1)).await.unwrap();
    let world = Arc::get_mut(&mut target.world).unwrap();
    for method in [Method::QueueSet, Method::TokenRevoke, Method::ClockAdvance] {
        world.methods.remove(&method);
    }
    let pace = Pace { patience: Duration::ZERO, run_time: runner::RUN_TIME_MAX };
    let profile = observe::run(&target.world, None, pace, &uninterrupted()).await;
    target.close().await;
    for (id, value) in [
        ("craftkit.observe.order-input-queue", "not observed: queue.set"),
        ("rndrkit.observe.cost-revoked-token", "not observed: token.revoke"),
        ("rndrkit.observe.window-boundary", "not observed: clock.advance"),
        ("rndrkit.observe.duplicate-paths", "counted twice"),
    ] {
        let found = profile.observations.iter().find(|observation| observation.id == id).unwrap();
        assert_eq!(found.value, value, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_api_alone_is_observed_alone() {
    let seen = profile(Some(Api::Craftkit), 1).await;
    let ids: BTreeSet<&str> = seen.observations.iter().map(|seen| seen.id.as_str()).collect();
    assert_eq!(ids, observed::CRAFTKIT.iter().map(|probe| probe.id).collect());
}

/// Passes fixture calls on with a plan that the reference knows in the place of this one.
fn taking(plan: &'static str, for_plan: &'static str) -> Answering {
    Arc::new(move |stream, mut asked| {
        Box::pin(async move {
            // As long as before, so that the head stays true.
            let (unknown, known) = (format!("\"{plan}\""), format!("\"{for_plan}\""));
            let known = format!("{known:<width$}", width = unknown.len());
            asked.raw = String::from_utf8(asked.raw).unwrap().replace(&unknown, &known).into_bytes();
            honest()(stream, asked).await
        })
    })
}

/// What is observed of cancelled plans through fixtures like these.
async fn cancelled_plan(control: Answering) -> String {
    let middle = Middle::start(MiddlePlan { api: honest(), control }).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("target.toml");
    std::fs::write(&path, middle.target_file("")).unwrap();
    let config = hookproof::config::read(&path, false, |_| Some(CONTROL_TOKEN.to_owned())).unwrap();
    let target = open::configured(config, settings(1)).await.unwrap();
    let pace = Pace { patience: Duration::ZERO, run_time: runner::RUN_TIME_MAX };
    let profile = observe::run(&target.world, Some(Api::Rndrkit), pace, &uninterrupted()).await;
    target.close().await;
    let found = profile.observations.into_iter().find(|seen| seen.id == "rndrkit.observe.plan-cancelled");
    found.unwrap().value
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_plan_is_observed_only_where_fixtures_know_it_from_one_that_there_is_not() {
    const CANCELLED: &str = "agency_plus_cancelled";
    assert_eq!(cancelled_plan(taking(CANCELLED, "agency_plus")).await, "accepted");
    let refused = cancelled_plan(taking(CANCELLED, "starter")).await;
    assert_eq!(refused, "403 Webhook refresh requires Agency+ plan");
    let (known, any) = (taking(CANCELLED, "agency_plus"), taking("platinum", "pro"));
    let both: Answering = Arc::new(move |stream, asked| {
        let is_cancelled = asked.body_text().contains(CANCELLED);
        if is_cancelled { known(stream, asked) } else { any(stream, asked) }
    });
    assert_eq!(cancelled_plan(both).await, "not observed: the fixtures take any text for a plan");
}
