//! The limiter of every server that is wrong about its limit is named as what it is, never as what it resembles.

use hookproof::profile::limiter::{Fingerprint, Observed, Scope, classify};
use hookproof::profile::limiter_probe::LIMITER;
use hookproof::report::terminal::printable;
use hookproof::runner::select::Narrowing;
use hookproof::verdict::Status;
use reference_server::Parts;
use reference_server::deviations;

use crate::{judge, judge_narrowed};

/// What is expected of a server: kind, limit and scope.
type Expected = (Observed, Option<u64>, Option<Scope>);

const TEN: Option<u64> = Some(10);
const DOMAIN: Option<Scope> = Some(Scope::Domain);

/// Deviations by name, with what the probe must say of them.
const DEVIATIONS: &[(&str, Expected)] = &[
    ("limit-eleven", (Observed::FixedFromFirst, Some(11), DOMAIN)),
    ("limit-nine", (Observed::FixedFromFirst, Some(9), DOMAIN)),
    // From outside, counting the first request twice is a limit of nine.
    ("limit-first-twice", (Observed::FixedFromFirst, Some(9), DOMAIN)),
    ("limit-none", (Observed::None, None, None)),
    ("limit-per-token", (Observed::FixedFromFirst, TEN, Some(Scope::Token))),
    ("limit-per-connection", (Observed::FixedFromFirst, TEN, Some(Scope::Connection))),
    ("limit-per-process-of-connection", (Observed::FixedFromFirst, TEN, Some(Scope::Process))),
    ("limit-global", (Observed::Unknown, None, Some(Scope::Global))),
    ("window-clock-hour", (Observed::ClockAligned, TEN, DOMAIN)),
    ("window-59-minutes", (Observed::FixedFromFirst, TEN, DOMAIN)),
    // Windows one after another would explain the same answers.
    ("window-61-minutes", (Observed::Unknown, TEN, DOMAIN)),
    ("window-endless", (Observed::Unknown, TEN, DOMAIN)),
    ("window-token-bucket", (Observed::TokenBucket, TEN, DOMAIN)),
    ("window-with-bucket", (Observed::BucketInsideWindow, TEN, DOMAIN)),
    ("window-forgets-idle", (Observed::ForgetsIdle, TEN, DOMAIN)),
    ("window-sliding-counter", (Observed::SlidingCounter, TEN, DOMAIN)),
    ("window-sliding-counter-anchored", (Observed::SlidingCounter, TEN, DOMAIN)),
    ("window-sliding-log", (Observed::SlidingLog, TEN, DOMAIN)),
    ("window-half-back", (Observed::Unknown, TEN, DOMAIN)),
    ("window-extended-by-refusals", (Observed::ExtendedByRefusals, TEN, DOMAIN)),
    ("window-extended-by-all", (Observed::ExtendedByEvery, TEN, DOMAIN)),
    ("window-grid", (Observed::GridFromFirstEver, TEN, DOMAIN)),
    ("window-carries-over", (Observed::Unknown, TEN, DOMAIN)),
];

async fn limiter_of(parts: Parts, only: &[&str]) -> Fingerprint {
    let only = only.iter().map(|glob| (*glob).to_owned()).collect();
    // Generated cases take longer than the probe, and it reads nothing of them.
    let narrowing = Narrowing { only, no_cases: true, ..Narrowing::default() };
    let (_, run) = judge_narrowed(parts, narrowing, 1).await;
    let probe =
        run.results.iter().find(|result| result.check.id == LIMITER.id).expect("the probe runs with rate rules");
    assert_eq!((&probe.stopped, &probe.defect), (&None, &None));
    classify(&probe.evidence)
}

fn seen(found: &Fingerprint) -> Expected {
    (found.observed, found.limit, found.scope)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limiter_of_the_reference_is_the_documented_one_in_a_whole_run() {
    let found = limiter_of(Parts::reference(), &[]).await;
    assert_eq!(seen(&found), (Observed::FixedFromFirst, TEN, DOMAIN), "{found:#?}");
    assert_eq!((found.window_ms, found.counts.invalid), (Some(3_600_000), Some(true)), "{found:#?}");
    assert_eq!(printable(&found.words()), found.words());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limiter_of_each_deviation_is_named() {
    let mut wrong = Vec::new();
    for (name, expected) in DEVIATIONS {
        let deviation = deviations::named(name).unwrap_or_else(|| panic!("there is no deviation `{name}`"));
        // One small rule besides the probe.
        let found = limiter_of(deviation.parts(), &["rndrkit.rate.ten-per-hour"]).await;
        if seen(&found) != *expected {
            wrong.push(format!("{name}: {:?} instead of {expected:?}: {found:#?}", seen(&found)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Which process gets a request depends on all the others that are under way, so what is seen differs from run to run.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_take_turns_are_never_taken_for_the_documented_limiter() {
    let deviation = deviations::named("limit-per-process-of-request").unwrap();
    let found = limiter_of(deviation.parts(), &["rndrkit.rate.ten-per-hour"]).await;
    assert_ne!((found.observed, found.limit), (Observed::FixedFromFirst, TEN), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_runs_with_the_rate_rules_only() {
    let (selection, _) = judge(Parts::reference(), &["rndrkit.http.*"], 1).await;
    assert!(selection.checks.iter().all(|check| check.id != LIMITER.id));
    let (_, run) = judge(Parts::reference(), &["rndrkit.rate.ten-per-hour"], 1).await;
    assert!(run.results.iter().any(|result| result.check.id == LIMITER.id));
    let findings: Vec<_> = run.results.iter().flat_map(|result| &result.findings).collect();
    let of_rule = |status: Status| {
        let of_rule = findings.iter().filter(|finding| finding.rule == "rndrkit.rate.ten-per-hour");
        of_rule.filter(|finding| finding.status == status).count()
    };
    assert!(of_rule(Status::Pass) > 0);
    // What the same checks find of rules that were not asked for may say nothing, but nothing bad.
    let fine = |status: Status| matches!(status, Status::Pass | Status::NotApplicable);
    assert!(findings.iter().all(|finding| fine(finding.status)), "{findings:#?}");
}
