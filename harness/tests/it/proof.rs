//! Every check passes on the reference, turns red for exactly what it claims, and judges the same from a stored report.

use std::collections::BTreeSet;

use hookproof::evidence::Evidence;
use hookproof::runner::CheckResult;
use hookproof::verdict::{Finding, Status};
use reference_server::Parts;

use crate::judge;

/// A check with what it saw on the reference.
struct Good(CheckResult);

async fn on_the_reference() -> Vec<Good> {
    let (_, run) = judge(Parts::reference(), &[], 1).await;
    run.results.into_iter().map(Good).collect()
}

fn red(findings: &[Finding]) -> BTreeSet<&str> {
    findings.iter().filter(|finding| finding.status.is_red()).map(|finding| finding.rule.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_check_passes_on_the_reference() {
    let mut problems = Vec::new();
    for Good(result) in on_the_reference().await {
        let id = result.check.id;
        problems.extend(result.defect.map(|defect| format!("{id}: {defect}")));
        problems
            .extend(result.not_deleted.iter().map(|(left, why)| format!("{id}: left {} behind: {why}", left.value)));
        let bad =
            result.findings.iter().filter(|finding| !matches!(finding.status, Status::Pass | Status::NotApplicable));
        problems.extend(bad.map(|finding| {
            format!(
                "{id}: {} is {}: {} (acceptable: {:?})",
                finding.rule,
                finding.status.name(),
                finding.actual,
                finding.expected
            )
        }));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sabotage_turns_exactly_its_rules_red() {
    let mut problems = Vec::new();
    for Good(result) in on_the_reference().await {
        let check = result.check;
        let mut turned = BTreeSet::new();
        for sabotage in check.sabotages {
            let mut evidence = result.evidence.clone();
            let applied = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (sabotage.apply)(&mut evidence)));
            if applied.is_err() {
                problems.push(format!("{}: the sabotage `{}` cannot be applied", check.id, sabotage.defect));
                continue;
            }
            let findings = (check.judge)(&evidence);
            let expected: BTreeSet<&str> = sabotage.turns_red.iter().copied().collect();
            if red(&findings) != expected {
                problems.push(format!(
                    "{}: `{}` turns red {:?}, not {expected:?}",
                    check.id,
                    sabotage.defect,
                    red(&findings)
                ));
            }
            if let [only] = sabotage.turns_red {
                turned.insert(*only);
            }
        }
        let all: BTreeSet<&str> = check.rules.iter().copied().collect();
        problems
            .extend(all.difference(&turned).map(|rule| format!("{}: no sabotage turns `{rule}` red alone", check.id)));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_are_the_same_when_judged_again_from_a_stored_report() {
    for Good(result) in on_the_reference().await {
        let stored = serde_json::to_string(&result.evidence).unwrap();
        let read: Evidence = serde_json::from_str(&stored).unwrap();
        assert_eq!((result.check.judge)(&read), result.findings, "{}", result.check.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn judges_survive_evidence_that_lacks_everything() {
    for Good(result) in on_the_reference().await {
        let check = result.check;
        let empty = Evidence { clock: result.evidence.clock, ..Evidence::default() };
        let findings = (check.judge)(&empty);
        assert_eq!(red(&findings), BTreeSet::new(), "{}: red without any evidence", check.id);
        let passed: Vec<&Finding> = findings.iter().filter(|finding| finding.status == Status::Pass).collect();
        assert!(passed.is_empty(), "{}: passes without any evidence: {passed:?}", check.id);
        for rule in check.rules {
            assert!(findings.iter().any(|finding| finding.rule == *rule), "{}: says nothing about {rule}", check.id);
        }
    }
}

/// What must not differ between two runs with one seed: everything but instants, ids and names that the target chose.
fn essence(results: &[Good]) -> Vec<(&'static str, Vec<Finding>)> {
    let of = |finding: &Finding| Finding { actual: String::new(), ..finding.clone() };
    results.iter().map(|Good(result)| (result.check.id, result.findings.iter().map(of).collect())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_with_one_seed_find_the_same() {
    assert_eq!(essence(&on_the_reference().await), essence(&on_the_reference().await));
}

/// Where the room for long answers is full, later ones are missing: one of them, or all from some moment on.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_there_was_no_room_for_break_no_rule() {
    /// Places tried for each check.
    const PLACES: usize = 20;
    let mut problems = Vec::new();
    for Good(result) in on_the_reference().await {
        let (check, count) = (result.check, result.evidence.exchanges.len());
        for from in (0..count).step_by((count / PLACES).max(1)) {
            for until in [from + 1, count] {
                let mut evidence = result.evidence.clone();
                for exchange in &mut evidence.exchanges[from..until] {
                    exchange.response = None;
                    exchange.error = Some("there is no room for it".to_owned());
                }
                let findings = (check.judge)(&evidence);
                let red = red(&findings);
                if !red.is_empty() {
                    problems.push(format!("{}: without the answers {from} to {until} of {count}: {red:?}", check.id));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// A token may stand in the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_which_only_the_beginning_was_kept_shows_not_that_it_holds_no_token() {
    const RULE: &str = "rndrkit.tokens.shown-once";
    let (_, run) = judge(Parts::reference(), &[RULE], 1).await;
    let result = run.results.into_iter().find(|result| result.check.rules == [RULE]).unwrap();
    let mut evidence = result.evidence;
    let response = evidence.exchanges[0].response.as_mut().unwrap();
    response.body = response.body.clone().shortened();
    let findings = (result.check.judge)(&evidence);
    let worst = hookproof::verdict::worst(&findings).map(|finding| finding.status);
    assert_eq!(worst, Some(Status::Inconclusive), "{findings:#?}");
}
