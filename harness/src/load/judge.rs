//! What a load run shows: each scenario's status, from the audit of its history and from how honest its load was. Pure.

use scenarios::outcome::{Doubt, Honesty, Operation, Run, Tally, Weakens};
use scenarios::run::LoadError;
use scenarios::scenario::Scenario;
use scenarios::threshold::Threshold;

use super::{Carried, Outcome};
use crate::histories::audited::{AuditLevel, Audited, Judged, Open, Violation};
use crate::report::load::{
    AuditReport, HonestyReport, Latency, OperationReport, OverlapReport, ScenarioReport, ThresholdReport,
};
use crate::verdict::Status;

/// A scenario's result. What the audit of its history found decides first.
pub fn scenario(carried: &Carried) -> ScenarioReport {
    let mut report = ScenarioReport::not_run(carried.scenario.name(), carried.scenario.proves(), String::new());
    report.reasons.clear();
    report.plan = Some(carried.plan.to_string());
    report.duration_ms = u64::try_from(carried.duration.as_millis()).unwrap_or(u64::MAX);
    report.status = match &carried.outcome {
        Outcome::Unprepared(error) => not_run(&mut report, error.to_string()),
        Outcome::Unrecorded(error) => not_run(&mut report, format!("its history could not be begun: {error}")),
        Outcome::Interrupted => not_run(&mut report, "interrupted before it began".to_owned()),
        Outcome::Broke(error) => {
            report.reasons.push(error.to_string());
            Status::Inconclusive
        }
        Outcome::Ran(run) => {
            report.operations = run.operations.iter().map(|(name, tally)| operation(*name, tally)).collect();
            report.honesty = Some(honesty(&run.honesty));
            of_run(run, &mut report.reasons)
        }
    };
    match &carried.audited {
        None => {}
        Some(Err(error)) => {
            report.reasons.push(format!("its history could not be audited: {error}"));
            report.status = report.status.max(Status::Inconclusive);
        }
        Some(Ok(audited)) => {
            let audit = audit(audited);
            report.status = report.status.max(of_audit(&audit, carried.scenario, &mut report.reasons));
            report.audit = Some(audit);
        }
    }
    report
}

fn not_run(report: &mut ScenarioReport, reason: String) -> Status {
    report.reasons.push(reason);
    Status::NotRun
}

fn audit(audited: &Audited) -> AuditReport {
    let judged = |state: &&Judged| matches!(state, Judged::Consistent | Judged::Inconsistent);
    let promises = audited.keys.iter().flat_map(|key| [key.rate, key.quota, key.renders, key.revocation]);
    AuditReport {
        assumptions: audited.assumptions.clone(),
        keys: audited.keys.len() as u64,
        requests: audited.keys.iter().map(|key| key.requests).sum(),
        judged: promises.filter(|state| judged(&state)).count() as u64,
        violations: audited.violations.clone(),
        open: audited.open.clone(),
    }
}

fn of_audit(audit: &AuditReport, scenario: Scenario, reasons: &mut Vec<String>) -> Status {
    let broken = |level| audit.violations.iter().any(|violation: &Violation| violation.level == level);
    // What a scenario about latency alone leaves open, such as renders that nobody polls, is not what it was run for.
    let matters = |open: &&Open| open.level == AuditLevel::Must && scenario != Scenario::Steady;
    let open: Vec<&Open> = audit.open.iter().filter(matters).collect();
    if broken(AuditLevel::Must) {
        Status::Fail
    } else if let Some(first) = open.first() {
        reasons.push(format!("not judged ({} of {} keys): {}", open.len(), audit.keys, first.reason));
        Status::Inconclusive
    } else if audit.judged == 0 {
        reasons.push("nothing in its history could be judged".to_owned());
        Status::Inconclusive
    } else if broken(AuditLevel::Should) {
        Status::Warn
    } else {
        Status::Pass
    }
}

/// What a run says without its history: reasons not to trust it, and answers that fit nothing that was sent.
fn of_run(run: &Run, reasons: &mut Vec<String>) -> Status {
    let mut status = Status::Pass;
    if run.interrupted {
        reasons.push("interrupted before its plan was done".to_owned());
        status = Status::Inconclusive;
    }
    for Doubt { weakens, reason } in run.doubts() {
        let worthless = weakens == Weakens::Proof || proves_speed(run.scenario);
        reasons.push(match weakens {
            Weakens::Proof => format!("the load proves nothing: {reason}"),
            Weakens::Latencies => format!("latencies cannot be trusted: {reason}"),
        });
        if worthless {
            status = Status::Inconclusive;
        }
    }
    for surprise in &run.surprises {
        let example = surprise.example.map_or(String::new(), |n| format!(", such as operation {n} of the history"));
        let must = if surprise.accepted { ", and must be refused" } else { "" };
        let times = surprise.count;
        reasons.push(format!("{} was answered {}{must} ({times} times{example})", surprise.sent, surprise.came));
        // What else came may be somebody's in front of the target, or its way of saying that it is overloaded.
        status = status.max(if surprise.accepted { Status::Fail } else { Status::Inconclusive });
    }
    status
}

/// True for a scenario that is about latencies, and proves nothing where they cannot be trusted.
fn proves_speed(scenario: Scenario) -> bool {
    matches!(scenario, Scenario::Steady | Scenario::NoisyNeighbour)
}

/// What became of the thresholds.
pub fn thresholds(thresholds: &[Threshold], carried: &[Carried]) -> Vec<ThresholdReport> {
    let runs: Vec<Run> = carried.iter().filter_map(|one| one.outcome.run()).cloned().collect();
    thresholds.iter().map(|threshold| of_threshold(threshold, &runs)).collect()
}

fn of_threshold(threshold: &Threshold, runs: &[Run]) -> ThresholdReport {
    let judged = threshold.judge(runs);
    let concerned = runs.iter().filter(|run| threshold.scenario().is_none_or(|scenario| scenario == run.scenario));
    let doubt = concerned.flat_map(|run| run.doubts().into_iter().map(move |doubt| (run.scenario, doubt))).next();
    let (status, found) = match doubt {
        // A rule without samples fails, whatever kept them away.
        Some((scenario, doubt)) if judged.samples > 0 => {
            (Status::Inconclusive, format!("{}, but {scenario} cannot be trusted: {}", judged.found, doubt.reason))
        }
        _ => (if judged.holds { Status::Pass } else { Status::Fail }, judged.found),
    };
    ThresholdReport { expression: judged.rule, status, found, samples: judged.samples }
}

/// Defects of this program that showed.
pub fn defects(carried: &[Carried]) -> Vec<String> {
    let defect = |one: &Carried| match &one.outcome {
        Outcome::Broke(
            error @ (LoadError::Panicked(_) | LoadError::Hung(_) | LoadError::Goose(_) | LoadError::Grounds { .. }),
        ) => Some(format!("{}: {error}", one.scenario)),
        _ => None,
    };
    carried.iter().filter_map(defect).collect()
}

fn operation(name: Operation, tally: &Tally) -> OperationReport {
    OperationReport {
        name: name.name().to_owned(),
        requests: tally.sent(),
        unsent: tally.unsent,
        statuses: tally.statuses.iter().map(|(status, count)| (status.to_string(), *count)).collect(),
        unknown: tally.unknown,
        response: latency(tally.response.len(), |quantile| tally.response.value_at_quantile(quantile)),
        service: latency(tally.service.len(), |quantile| tally.service.value_at_quantile(quantile)),
        lateness: latency(tally.lateness.len(), |quantile| tally.lateness.value_at_quantile(quantile)),
    }
}

/// `at_ns` gives a quantile in nanoseconds.
fn latency(samples: u64, at_ns: impl Fn(f64) -> u64) -> Option<Latency> {
    const NS_IN_US: u64 = 1000;
    let at = |quantile| at_ns(quantile) / NS_IN_US;
    (samples > 0).then(|| Latency { p50_us: at(0.5), p90_us: at(0.9), p99_us: at(0.99), max_us: at(1.0) })
}

fn honesty(facts: &Honesty) -> HonestyReport {
    HonestyReport {
        planned: facts.planned,
        sent: facts.sent,
        dropped: facts.dropped,
        unsent: facts.unsent,
        late: facts.late,
        users: facts.users as u64,
        cpu_share: facts.cpu_share,
        recorder_stalls: facts.recorder_stalls,
        overlap: facts.overlap.map(|overlap| OverlapReport {
            needed: overlap.needed as u64,
            keys: overlap.keys as u64,
            reached: overlap.reached as u64,
            max: overlap.max as u64,
        }),
        generator_total: facts.goose_total,
        history_total: facts.history_total,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use scenarios::outcome::{Overlap, Surprise};
    use scenarios::plan::{Apis, Plan, Size};

    use super::*;
    use crate::api::Api;
    use crate::histories::audited::{Assumptions, AuditVerdict, Charging, ClockKind, KeyReport, SCHEMA, Totals};
    use crate::load::select::LIMITS;
    use crate::target::protocol::Implementation;

    fn key(rate: Judged) -> KeyReport {
        KeyReport {
            api: Api::Rndrkit,
            key: "d1".to_owned(),
            fresh: true,
            requests: 40,
            answers: BTreeMap::new(),
            overlap_max: 40,
            rate,
            quota: Judged::NotConcerned,
            renders: Judged::NotConcerned,
            revocation: Judged::NotConcerned,
        }
    }

    fn audited(rate: Judged) -> Audited {
        let assumptions = Assumptions {
            limit: 10,
            window_min_ms: 3_598_000,
            window_max_ms: 3_602_000,
            clock: ClockKind::Recorder,
            skew_ms: 0,
            quota: "reached".to_owned(),
            charging: Charging::Unknown,
            settle_ms: 0,
        };
        Audited {
            schema: SCHEMA.to_owned(),
            tool: Implementation::default(),
            verdict: AuditVerdict::Consistent,
            strict: false,
            files: Vec::new(),
            assumptions,
            totals: Totals::default(),
            keys: vec![key(rate)],
            violations: Vec::new(),
            open: Vec::new(),
        }
    }

    fn violation(level: AuditLevel) -> Violation {
        Violation {
            rule: "rndrkit.rate.ten-per-hour".to_owned(),
            level,
            api: Api::Rndrkit,
            key: "d1".to_owned(),
            kind: "over-admission".to_owned(),
            explanation: "eleven were served".to_owned(),
            proof: true,
            origin_ns: 0,
            facts: Vec::new(),
            spans: Vec::new(),
        }
    }

    fn honest(scenario: Scenario) -> Run {
        let apis = Apis { rndrkit: true, craftkit: true };
        let plan = Plan::new(scenario, &Size::default(), 1, &LIMITS, apis).unwrap();
        Run {
            scenario,
            plan: plan.hash(),
            elapsed: Duration::from_secs(1),
            operations: BTreeMap::from([(Operation::Refresh, Tally::default())]),
            honesty: Honesty {
                planned: 40,
                sent: 40,
                dropped: 0,
                unsent: 0,
                late: 0,
                users: 40,
                cpu_share: Some(0.1),
                recorder_stalls: 0,
                overlap: Some(Overlap { needed: 11, keys: 1, reached: 1, max: 40 }),
                goose_total: Some(40),
                history_total: 40,
            },
            worst_domain: None,
            surprises: Vec::new(),
            charges_at_once: None,
            interrupted: false,
        }
    }

    #[track_caller]
    fn check(run: Run, audited: Audited, expected: Status) -> ScenarioReport {
        let carried = Carried {
            scenario: run.scenario,
            plan: run.plan,
            outcome: Outcome::Ran(Box::new(run)),
            audited: Some(Ok(audited)),
            not_deleted: Vec::new(),
            duration: Duration::from_secs(1),
        };
        let report = scenario(&carried);
        assert_eq!(report.status, expected, "{:?}", report.reasons);
        report
    }

    #[test]
    fn an_honest_run_whose_history_contradicts_nothing_passes() {
        let report = check(honest(Scenario::FirstWindow), audited(Judged::Consistent), Status::Pass);
        assert!(report.reasons.is_empty());
    }

    #[test]
    fn what_the_history_contradicts_stands_however_bad_the_load_was() {
        let mut run = honest(Scenario::FirstWindow);
        run.honesty.overlap = Some(Overlap { needed: 11, keys: 1, reached: 0, max: 3 });
        run.interrupted = true;
        let broken = Audited { violations: vec![violation(AuditLevel::Must)], ..audited(Judged::Inconsistent) };
        check(run, broken, Status::Fail);
    }

    #[test]
    fn a_should_rule_only_warns() {
        let broken = Audited { violations: vec![violation(AuditLevel::Should)], ..audited(Judged::Consistent) };
        check(honest(Scenario::FirstWindow), broken, Status::Warn);
    }

    #[test]
    fn without_real_overlap_nothing_is_proven() {
        let mut run = honest(Scenario::FirstWindow);
        run.honesty.overlap = Some(Overlap { needed: 11, keys: 1, reached: 0, max: 3 });
        let report = check(run, audited(Judged::Consistent), Status::Inconclusive);
        assert!(report.reasons[0].starts_with("the load proves nothing: no real overlap"), "{:?}", report.reasons);
    }

    #[test]
    fn late_requests_leave_a_limit_proven_and_a_latency_unproven() {
        for (scenario, expected) in [(Scenario::FirstWindow, Status::Pass), (Scenario::Steady, Status::Inconclusive)] {
            let mut run = honest(scenario);
            run.honesty.late = 20;
            let report = check(run, audited(Judged::Consistent), expected);
            assert!(report.reasons[0].starts_with("latencies cannot be trusted"), "{:?}", report.reasons);
        }
    }

    #[test]
    fn a_history_and_a_generator_that_count_differently_are_told() {
        let mut run = honest(Scenario::Steady);
        run.honesty.goose_total = Some(39);
        let report = check(run, audited(Judged::Consistent), Status::Inconclusive);
        assert!(report.reasons[0].contains("goose counted 39 requests, the history has 40"), "{:?}", report.reasons);
    }

    #[test]
    fn an_answer_that_fits_nothing_leaves_the_run_open_and_an_acceptance_of_what_must_be_refused_fails_it() {
        let surprised = |accepted, came: &str| {
            let surprise =
                Surprise { sent: "render, tampered", came: came.to_owned(), accepted, count: 2, example: Some(7) };
            Run { surprises: vec![surprise], ..honest(Scenario::InboundRenders) }
        };
        let report = check(surprised(false, "500"), audited(Judged::Consistent), Status::Inconclusive);
        let expected = "render, tampered was answered 500 (2 times, such as operation 7 of the history)";
        assert_eq!(report.reasons, [expected]);
        let report = check(surprised(true, "202"), audited(Judged::Consistent), Status::Fail);
        assert!(report.reasons[0].contains("202, and must be refused"), "{:?}", report.reasons);
    }

    #[test]
    fn a_history_in_which_nothing_could_be_judged_is_no_success() {
        check(honest(Scenario::FirstWindow), audited(Judged::NotConcerned), Status::Inconclusive);
        let open = Open {
            level: AuditLevel::Must,
            api: Api::Rndrkit,
            key: "d1".to_owned(),
            about: "rate".to_owned(),
            reason: "too many possible pasts".to_owned(),
        };
        let audited = Audited { open: vec![open], ..audited(Judged::Inconclusive) };
        let report = check(honest(Scenario::FirstWindow), audited, Status::Inconclusive);
        assert_eq!(report.reasons, ["not judged (1 of 1 keys): too many possible pasts"]);
    }

    #[test]
    fn a_threshold_on_a_run_that_cannot_be_trusted_is_inconclusive_and_one_without_samples_fails() {
        let mut tally = Tally::default();
        tally.statuses.insert(200, 1);
        tally.response.record(1_000_000).unwrap();
        let mut run = honest(Scenario::Steady);
        run.operations.insert(Operation::Refresh, tally);
        let threshold = |text: &str| text.parse::<Threshold>().unwrap();
        assert_eq!(of_threshold(&threshold("p99<1s"), &[run.clone()]).status, Status::Pass);
        assert_eq!(of_threshold(&threshold("p99<1us"), &[run.clone()]).status, Status::Fail);
        assert_eq!(of_threshold(&threshold("p99<1s for poll"), &[run.clone()]).status, Status::Fail);
        run.honesty.late = 20;
        assert_eq!(of_threshold(&threshold("p99<1s"), &[run.clone()]).status, Status::Inconclusive);
        assert_eq!(of_threshold(&threshold("p99<1s in revocation"), &[run]).status, Status::Fail);
    }
}
