//! What rules are read, and what they come to.

use std::time::Duration;

use super::{Judged, Threshold};
use crate::outcome::{Honesty, Operation, Run, Tally};
use crate::plan::{Apis, Limits, Plan, Size};
use crate::scenario::Scenario;

const LIMITS: Limits = Limits { requests: 10, window_ms: 3_600_000, tolerance_ms: 2_000, tokens: 5 };

/// A run with one operation of `count` answers; each is due `late_ms` before it is sent and takes `service_ms` from then.
fn run(scenario: Scenario, operation: Operation, count: u64, late_ms: u64, service_ms: u64) -> Run {
    let apis = Apis { rndrkit: true, craftkit: true };
    let plan = Plan::new(scenario, &Size::default(), 1, &LIMITS, apis).unwrap().hash();
    let mut tally = Tally::default();
    let ns = |ms: u64| ms * 1_000_000;
    for _ in 0..count {
        *tally.statuses.entry(200).or_default() += 1;
        tally.response.record(ns(late_ms + service_ms)).unwrap();
        tally.service.record(ns(service_ms)).unwrap();
        tally.lateness.record(ns(late_ms)).unwrap();
    }
    let honesty = Honesty {
        planned: count,
        sent: count,
        dropped: 0,
        unsent: 0,
        late: 0,
        users: 1,
        cpu_share: None,
        recorder_stalls: 0,
        overlap: None,
        goose_total: Some(count),
        history_total: count,
    };
    Run {
        scenario,
        plan,
        elapsed: Duration::from_secs(1),
        operations: [(operation, tally)].into(),
        honesty,
        worst_domain: None,
        surprises: Vec::new(),
        charges_at_once: None,
        interrupted: false,
    }
}

fn judged(rule: &str, runs: &[Run]) -> Judged {
    rule.parse::<Threshold>().unwrap().judge(runs)
}

#[test]
fn a_rule_is_kept_or_not() {
    let runs = [run(Scenario::Steady, Operation::Refresh, 100, 40, 10)];
    #[track_caller]
    fn check(runs: &[Run], rule: &str, holds: bool) {
        let judged = judged(rule, runs);
        assert_eq!((judged.holds, judged.samples), (holds, 100), "{rule}: {}", judged.found);
    }
    check(&runs, "p99<60ms", true);
    check(&runs, "p99<45ms", false);
    check(&runs, "service p99<45ms", true);
    check(&runs, "lateness max<=30ms", false);
    check(&runs, "mean < 0.06 s", true);
    check(&runs, "error-ratio<1%", true);
    check(&runs, "late-ratio<1%", true);
    check(&runs, "unknown-ratio<=0%", true);
    check(&runs, "p50 <= 51 ms for refresh in steady", true);
}

#[test]
fn errors_unknown_and_unsent_requests_are_parts_of_all() {
    let mut failing = run(Scenario::Steady, Operation::Refresh, 96, 0, 1);
    let tally = failing.operations.get_mut(&Operation::Refresh).unwrap();
    (tally.unknown, tally.unsent, tally.errors) = (2, 2, 4);
    let runs = [failing];
    assert_eq!(judged("error-ratio<4%", &runs).found, "4.000%");
    assert!(!judged("error-ratio<4%", &runs).holds);
    assert!(judged("error-ratio<=4%", &runs).holds);
    assert_eq!(
        judged("unknown-ratio<3%", &runs),
        Judged { rule: "unknown-ratio<3%".into(), holds: true, found: "2.041%".into(), samples: 98 }
    );
}

#[test]
fn a_late_request_counts() {
    let runs = [run(Scenario::Steady, Operation::Refresh, 10, 80, 1)];
    assert!(!judged("late-ratio<50%", &runs).holds);
}

#[test]
fn a_rule_without_samples_fails() {
    let runs = [run(Scenario::Steady, Operation::Refresh, 10, 0, 1)];
    for rule in ["p99<1s for render", "p99<1s in first-window", "error-ratio<1% for poll"] {
        let judged = judged(rule, &runs);
        assert_eq!((judged.holds, judged.found.as_str(), judged.samples), (false, "no samples", 0), "{rule}");
    }
    assert!(!judged("p99<1s", &[]).holds);
}

#[test]
fn a_rule_is_about_its_operation_and_scenario_alone() {
    let runs = [
        run(Scenario::Steady, Operation::Refresh, 10, 0, 500),
        run(Scenario::Steady, Operation::Render, 10, 0, 5),
        run(Scenario::FirstWindow, Operation::Refresh, 10, 0, 50),
    ];
    assert!(judged("max<6ms for render", &runs).holds);
    assert!(judged("max<60ms in first-window", &runs).holds);
    assert!(!judged("max<60ms for refresh", &runs).holds);
    assert_eq!(judged("max<60ms", &runs).samples, 30);
}

#[test]
fn what_is_no_rule_is_refused_with_what_would_do() {
    #[track_caller]
    fn check(rule: &str, expected: &str) {
        let error = rule.parse::<Threshold>().unwrap_err().to_string();
        assert_eq!(error, format!("threshold `{rule}`: {expected}"));
    }
    check("", "expected `<` or `<=` between what is measured and its bound, as in `p99<250ms`");
    check("p99>1s", "expected `<` or `<=` between what is measured and its bound, as in `p99<250ms`");
    check("p101<1s", "a percentile is above 0 and at most 100, not 101");
    check("p0<1s", "a percentile is above 0 and at most 100, not 0");
    check("p99<-1ms", "nothing is below `-1ms`: a bound is not negative");
    check("p99<0ms", "nothing keeps a bound of `0ms`");
    check("p99<250", "expected a time such as `250ms` (us, ms or s) as the bound, found `250`");
    check("p99<1%", "expected a time such as `250ms` (us, ms or s) as the bound, found `1%`");
    check("p99<infs", "expected a time such as `250ms` (us, ms or s) as the bound, found `infs`");
    check("error-ratio<1ms", "expected a percentage such as `1%` as the bound, found `1ms`");
    check("error-ratio<101%", "a ratio is never above 100 %, so `101%` says nothing");
    check("error-ratio<=100%", "a ratio is never above 100 %, so `100%` says nothing");
    check("error-ratio<0%", "nothing keeps a bound of `0%`");
    check("eror-ratio<1%", "there is no `eror-ratio`; did you mean `error-ratio`?");
    check("servise p9<1s", "expected `response`, `service` or `lateness`, found `servise`; did you mean `service`?");
    check(
        "maxx<1s",
        "expected a percentile such as `p99`, `max`, `mean` or a ratio, found `maxx`; did you mean `max`?",
    );
    check(
        "p9<1s for refesh",
        "there is no operation `refesh` (there are refresh, flood, render, poll); did you mean `refresh`?",
    );
    check("p9<1s in stedy", "there is no scenario `stedy`; did you mean `steady`?");
    check("p9<1s of steady", "expected `for OPERATION` or `in SCENARIO`, once each, found `of`");
    check("p9<1s in steady in steady", "expected `for OPERATION` or `in SCENARIO`, once each, found `in`");
    check("p9<1s for render in first-window", "`first-window` sends no `render`, only refresh");
    check("lateness p9<1s for poll", "a poll has no time at which it is due, so it is never late");
}
