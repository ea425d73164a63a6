//! How generated cases are tried at a target: those kept from earlier runs first, then new ones, then ever smaller ones of what failed.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use proptest::strategy::Strategy;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::draw::{Seed, Shrinking, drawn, seed};
use crate::checks::Check;
use crate::evidence::{Evidence, GeneratedCase, Response};
use crate::gather::{Gather, Stop};
use crate::verdict::{Finding, Status, worst};

/// Smaller cases tried for one failure.
const STEPS_MAX: usize = 60;

/// Failures that smaller cases are looked for. A target that is wrong throughout fails in more ways than anyone reads.
const FAILURES_SHRUNK_MAX: usize = 4;

/// What holds for every case.
pub(super) trait Property {
    /// A case; it says all that is sent, but for what a target chooses.
    type Case: Serialize + DeserializeOwned + Clone + Send + Sync;

    /// The check that tries it.
    const CHECK: &'static str;

    /// How many of the run's cases this property takes, where one costs much.
    fn share(cases: u32) -> u32 {
        cases
    }

    /// The cases.
    fn strategy() -> impl Strategy<Value = Self::Case>;

    /// Tries cases under their labels and keeps each as evidence.
    fn try_cases(g: &mut Gather, cases: &[(String, Self::Case)]) -> impl Future<Output = Result<(), Stop>> + Send;

    /// What the steps of one case show. A case of which nothing can be said gives no finding.
    fn judge(evidence: &Evidence, label: &str, case: &Self::Case, control: &str) -> Vec<Finding>;
}

/// Labels of generated cases with what they were drawn from.
type Seeds = Vec<(String, Seed)>;

fn seed_of(seeds: &Seeds, label: &str) -> Option<Seed> {
    seeds.iter().find(|(known, _)| known == label).map(|(_, seed)| *seed)
}

/// The gather step of a property's check.
pub(super) async fn gather<P: Property>(g: &mut Gather) -> Result<(), Stop> {
    let of_check = g.world().kept_cases.iter().filter(|kept| kept.check == P::CHECK);
    let kept: Vec<P::Case> = of_check.filter_map(|kept| serde_json::from_value(kept.case.clone()).ok()).collect();
    let kept = kept.into_iter().enumerate().map(|(at, case)| (format!("kept-{}", at + 1), case));
    let run = g.world().seed;
    let numbers = 1..=P::share(g.world().cases);
    let seeds: Seeds = numbers.map(|number| (format!("case-{number}"), seed(run, P::CHECK, number))).collect();
    let new = seeds.iter().map(|(label, seed)| (label.clone(), drawn(&P::strategy(), *seed)));
    let cases: Vec<(String, P::Case)> = kept.chain(new).collect();
    P::try_cases(g, &cases).await?;
    shrink_failures::<P>(g, &seeds).await
}

/// Looks for the smallest case of each way of failing, and keeps that one in the place of all that failed so.
async fn shrink_failures<P: Property>(g: &mut Gather, seeds: &Seeds) -> Result<(), Stop> {
    let mut ways: BTreeMap<(Reverse<Status>, String), Vec<String>> = BTreeMap::new();
    for case in &g.evidence().cases {
        for finding in of_case::<P>(g.evidence(), case).into_iter().filter(|finding| finding.status.is_red()) {
            let labels = ways.entry((Reverse(finding.status), finding.rule)).or_default();
            if labels.last() != Some(&case.label) {
                labels.push(case.label.clone());
            }
        }
    }
    let mut replaced: Vec<String> = Vec::new();
    for (number, ((Reverse(status), rule), labels)) in ways.into_iter().take(FAILURES_SHRUNK_MAX).enumerate() {
        let drawn = labels.iter().find_map(|label| Some((label, seed_of(seeds, label)?)));
        // A kept case is small already.
        let Some((label, seed)) = drawn else { continue };
        let fails = |findings: &[Finding]| {
            findings.iter().any(|finding| finding.status == status && (status == Status::Fail || finding.rule == rule))
        };
        let smallest = shrink::<P>(g, label, seed, &format!("smallest-{}", number + 1), fails).await?;
        g.let_stand_for(&smallest, labels.len());
        replaced.extend(labels.into_iter().filter(|label| *label != smallest && seed_of(seeds, label).is_some()));
    }
    replaced.iter().for_each(|label| g.forget_case(label));
    Ok(())
}

/// The label of the smallest case found that fails; what else was tried on the way is forgotten.
async fn shrink<P: Property>(
    g: &mut Gather,
    first: &str,
    seed: Seed,
    name: &str,
    fails: impl Fn(&[Finding]) -> bool,
) -> Result<String, Stop> {
    let mut smallest = first.to_owned();
    let mut shrinking = Shrinking::from(seed);
    while shrinking.steps() < STEPS_MAX {
        let Some(case) = next_case::<P>(&shrinking) else { break };
        let label = format!("{name}.{}", shrinking.steps() + 1);
        P::try_cases(g, &[(label.clone(), case)]).await?;
        let tried = g.evidence().cases.iter().find(|case| case.label == label);
        let failed = tried.is_some_and(|case| fails(&of_case::<P>(g.evidence(), case)));
        shrinking.tell(failed);
        let gone = if failed { std::mem::replace(&mut smallest, label) } else { label };
        if gone != first {
            g.forget_case(&gone);
        }
    }
    Ok(smallest)
}

/// A function of its own, since no strategy may be held while a request is under way.
fn next_case<P: Property>(shrinking: &Shrinking) -> Option<P::Case> {
    shrinking.next(&P::strategy())
}

fn of_case<P: Property>(evidence: &Evidence, kept: &GeneratedCase) -> Vec<Finding> {
    let Ok(case) = serde_json::from_value::<P::Case>(kept.case.clone()) else { return Vec::new() };
    P::judge(evidence, &kept.label, &case, kept.control.as_deref().unwrap_or_default())
}

/// The findings of a property's check: of each rule what is worst, once in short if every case that says something of it holds.
pub(super) fn judge<P: Property>(check: &Check, evidence: &Evidence) -> Vec<Finding> {
    let mut by_rule: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
    for case in &evidence.cases {
        for mut finding in of_case::<P>(evidence, case) {
            if finding.status.is_red() && case.stands_for > 1 {
                finding.actual =
                    format!("{} (the smallest of {} generated cases that fail)", finding.actual, case.stands_for);
            }
            by_rule.entry(finding.rule.clone()).or_default().push(finding);
        }
    }
    check.rules.iter().flat_map(|rule| summed(rule, by_rule.remove(*rule).unwrap_or_default())).collect()
}

/// Puts an answer in the place of the first one of a status where that shows the rule broken, and no other. For sabotages.
///
/// # Panics
/// If there is no such place: the sabotage would show nothing.
pub(super) fn turn_one<P: Property>(check: &Check, evidence: &mut Evidence, from: u16, turned: &Response, rule: &str) {
    for at in 0..evidence.exchanges.len() {
        if !evidence.exchanges[at].is(from) {
            continue;
        }
        let honest = evidence.exchanges[at].response.replace(turned.clone());
        let findings = judge::<P>(check, evidence);
        let red: Vec<&str> = findings.iter().filter(|one| one.status.is_red()).map(|one| one.rule.as_str()).collect();
        if !red.is_empty() && red.iter().all(|found| *found == rule) {
            return;
        }
        evidence.exchanges[at].response = honest;
    }
    panic!("no answer with {from} shows `{rule}` alone once it is {}", turned.status);
}

/// Findings of one rule that a reader needs.
fn summed(rule: &str, findings: Vec<Finding>) -> Vec<Finding> {
    const SHOWN_MAX: usize = 3;
    let short = |status, actual: String| {
        vec![Finding { rule: rule.to_owned(), status, expected: Vec::new(), actual, exchange: None }]
    };
    let Some(Finding { status, .. }) = worst(&findings) else {
        return short(Status::NotApplicable, "no generated case says anything about it".to_owned());
    };
    match *status {
        Status::Pass => short(Status::Pass, format!("{} generated steps, as demanded", findings.len())),
        Status::NotApplicable => findings.into_iter().take(1).collect(),
        status => findings.into_iter().filter(|finding| finding.status == status).take(SHOWN_MAX).collect(),
    }
}
