//! Servers that are wrong in one way turn exactly the rules red that the defect breaks.

use std::collections::BTreeSet;

use hookproof::verdict::{Finding, worst};
use reference_server::deviations;

use crate::judge;

/// The rules that a whole run finds broken.
async fn broken_rules(parts: reference_server::Parts) -> BTreeSet<String> {
    let (_, run) = judge(parts, &[], 1).await;
    let findings: Vec<&Finding> = run.results.iter().flat_map(|result| &result.findings).collect();
    let rules: BTreeSet<&str> = findings.iter().map(|finding| finding.rule.as_str()).collect();
    rules
        .into_iter()
        .filter(|rule| {
            let of_rule = findings.iter().copied().filter(|finding| finding.rule == *rule);
            worst(of_rule).is_some_and(|finding| finding.status.is_red())
        })
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_deviation_turns_exactly_its_rules_red() {
    for deviation in deviations::all() {
        let expected: BTreeSet<String> = deviation.turns_red.iter().map(|rule| (*rule).to_owned()).collect();
        assert_eq!(broken_rules(deviation.parts()).await, expected, "deviation {}", deviation.name);
    }
}
