//! What a generated case did, as a short script for a shell. Pure.

use crate::evidence::{Evidence, GeneratedCase};

/// The generated case that an exchange is a step of.
pub fn case_at(evidence: &Evidence, exchange: usize) -> Option<&GeneratedCase> {
    let label = &evidence.exchanges.get(exchange)?.label;
    evidence.cases.iter().find(|case| is_step(label, &case.label))
}

/// Everything that was done for the case, in order: what a fixture must make as comments, requests as commands with their answers behind
/// them. Secrets are named, not shown.
pub fn script(evidence: &Evidence, case: &GeneratedCase) -> Vec<String> {
    let belongs = |label: &str| {
        is_step(label, &case.label) || case.control.as_ref().is_some_and(|control| is_step(label, control))
    };
    let calls = evidence.fixtures.iter().filter(|call| belongs(&call.label));
    let calls = calls.map(|call| (call.start_ns, format!("# {} {}", call.method, call.params)));
    let requests = evidence.exchanges.iter().filter(|exchange| belongs(&exchange.label));
    let requests = requests.map(|exchange| {
        let status = exchange.status().map_or("no answer".to_owned(), |status| status.to_string());
        (exchange.start_ns, format!("{}  # {}: {status}", exchange.curl, exchange.label))
    });
    let mut lines: Vec<(u64, String)> = calls.chain(requests).collect();
    lines.sort_by_key(|(start_ns, _)| *start_ns);
    lines.into_iter().map(|(_, line)| line).collect()
}

fn is_step(label: &str, of: &str) -> bool {
    label.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
