//! A load report for a person at a terminal.

use std::fmt::Write as _;

use super::{AuditReport, HonestyReport, Latency, LoadReport, LoadVerdict, OperationReport, ScenarioReport};
use scenarios::scenario::Scenario;

use crate::histories::audited::{Assumptions, AuditLevel, Violation};
use crate::report::audit::text::timeline_lines;
use crate::report::terminal::{Manner, Paint, printable};
use crate::verdict::Status;

/// Promises that could not be judged and are named; more are only counted.
const OPEN_SHOWN: usize = 5;
/// Broken promises that are explained with their timelines; of more only the sentences are shown.
const TIMELINES_SHOWN: usize = 3;
/// Broken promises that are shown at all.
const VIOLATIONS_SHOWN: usize = 20;

macro_rules! say {
    ($text:expr, $($rest:tt)*) => {
        writeln!($text, $($rest)*).expect("writing to a string does not fail")
    };
}

/// The first line of a run.
pub fn opening(target: &str, implementation: &str) -> String {
    format!("hookproof load: target {} ({})", printable(target), printable(implementation))
}

/// Every scenario with what it proves, for `--list`.
pub fn list() -> String {
    let mut text = String::new();
    for scenario in Scenario::ALL {
        say!(text, "{scenario:<16} {}", scenario.proves());
    }
    text
}

/// The whole report as text.
pub fn render(report: &LoadReport, manner: Manner) -> String {
    let paint = Paint(manner.color);
    let mut text = String::new();
    for one in &report.scenarios {
        if !manner.quiet || one.status != Status::Pass {
            scenario(&mut text, one, paint);
        }
    }
    skipped(&mut text, report);
    thresholds(&mut text, report, manner);
    remains(&mut text, report, manner);
    closing(&mut text, report, paint);
    text
}

fn scenario(text: &mut String, scenario: &ScenarioReport, paint: Paint) {
    say!(text, "\n{} {}: {}", paint.status(scenario.status), scenario.name, scenario.proves);
    for reason in &scenario.reasons {
        say!(text, "  {}", printable(reason));
    }
    for operation in &scenario.operations {
        say!(text, "  {:<9} {}", operation.name, counts(operation));
        if let Some(response) = &operation.response {
            say!(text, "  {:<9} {} from the moment it was due", "response", latency(response));
        }
        if let Some(service) = operation.service.as_ref().filter(|_| operation.response.is_some()) {
            say!(text, "  {:<9} {} from sending it", "service", latency(service));
        }
    }
    if let Some(honesty) = &scenario.honesty {
        say!(text, "  {:<9} {}", "load", honest(honesty));
    }
    if let Some(audit) = &scenario.audit {
        say!(text, "  {:<9} {}", "audit", audited(audit));
        explain(text, audit);
    }
    if let Some(path) = &scenario.history {
        say!(text, "  {:<9} {}", "history", printable(path));
    }
}

/// Requests and answers of one kind of operation, in words.
pub(super) fn counts(operation: &OperationReport) -> String {
    let mut parts: Vec<String> =
        operation.statuses.iter().map(|(status, count)| format!("{} × {count}", printable(status))).collect();
    if operation.unknown > 0 {
        parts.push(format!("outcome unknown × {}", operation.unknown));
    }
    if operation.unsent > 0 {
        parts.push(format!("could not be sent × {}", operation.unsent));
    }
    let answers = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    format!("{}{answers}", counted(operation.requests, "request"))
}

/// A number of things.
fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Percentiles on one line.
pub(super) fn latency(latency: &Latency) -> String {
    format!(
        "p50 {}, p90 {}, p99 {}, longest {}",
        time(latency.p50_us),
        time(latency.p90_us),
        time(latency.p99_us),
        time(latency.max_us)
    )
}

fn time(us: u64) -> String {
    const MS: u64 = 1_000;
    const S: u64 = 1_000_000;
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let shown = |unit: u64| us as f64 / unit as f64;
    match us {
        0..MS => format!("{us} µs"),
        MS..S => format!("{:.1} ms", shown(MS)),
        _ => format!("{:.2} s", shown(S)),
    }
}

/// Whether the load was what it claims to be, in words.
pub(super) fn honest(facts: &HonestyReport) -> String {
    let mut parts = vec![format!("{} of {} requests sent by {} users", facts.sent, facts.planned, facts.users)];
    let counts = [
        (facts.late, "sent late"),
        (facts.dropped, "never begun"),
        (facts.unsent, "could not be sent"),
        (facts.recorder_stalls, "times held up by the history"),
    ];
    parts.extend(counts.iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")));
    if let Some(overlap) = &facts.overlap {
        parts.push(format!(
            "{} of {} keys had {} requests under way together (at most {})",
            overlap.reached, overlap.keys, overlap.needed, overlap.max
        ));
    }
    if let Some(share) = facts.cpu_share {
        parts.push(format!("{:.0} % of the processors used", share * 100.0));
    }
    if let Some(total) = facts.generator_total.filter(|total| *total != facts.history_total) {
        parts.push(format!("goose counted {total} requests, the history holds {}", facts.history_total));
    }
    parts.join(", ")
}

/// What the history says, in one line.
pub(super) fn audited(audit: &AuditReport) -> String {
    let mut found = Vec::new();
    if !audit.violations.is_empty() {
        found.push(format!("{} broken", audit.violations.len()));
    }
    if !audit.open.is_empty() {
        found.push(format!("{} could not be judged", audit.open.len()));
    }
    let found = if found.is_empty() { "nothing contradicts a correct server".to_owned() } else { found.join(", ") };
    let Assumptions { limit, window_min_ms, window_max_ms, .. } = audit.assumptions;
    format!(
        "{}, {}, {}: {found} (at most {limit} in a window of {window_min_ms} to {window_max_ms} ms)",
        counted(audit.requests, "request"),
        counted(audit.keys, "key"),
        counted(audit.judged, "promise") + " judged"
    )
}

fn explain(text: &mut String, audit: &AuditReport) {
    for (at, violation) in audit.violations.iter().take(VIOLATIONS_SHOWN).enumerate() {
        say!(text, "    {}", sentence(violation));
        for line in timeline_lines(violation).iter().take(if at < TIMELINES_SHOWN { usize::MAX } else { 0 }) {
            say!(text, "      {line}");
        }
    }
    if let Some(more) = audit.violations.len().checked_sub(VIOLATIONS_SHOWN).filter(|more| *more > 0) {
        say!(text, "    … and {more} more");
    }
    for open in audit.open.iter().take(OPEN_SHOWN) {
        say!(text, "    {} {}: {}", printable(&open.key), open.about, printable(&open.reason));
    }
    if let Some(more) = audit.open.len().checked_sub(OPEN_SHOWN).filter(|more| *more > 0) {
        say!(text, "    … and {more} more that could not be judged");
    }
}

/// A broken promise in one line.
pub(super) fn sentence(violation: &Violation) -> String {
    let level = if violation.level == AuditLevel::Must { "" } else { " (should)" };
    format!("{} {}{level}: {}", printable(&violation.key), violation.rule, printable(&violation.explanation))
}

fn skipped(text: &mut String, report: &LoadReport) {
    if report.skipped.is_empty() {
        return;
    }
    say!(text, "\nskipped, since this target does not allow them");
    for skipped in &report.skipped {
        say!(text, "  {}: {}", skipped.scenario, printable(&skipped.reason));
    }
}

fn thresholds(text: &mut String, report: &LoadReport, manner: Manner) {
    let shown: Vec<_> =
        report.thresholds.iter().filter(|threshold| !manner.quiet || threshold.status != Status::Pass).collect();
    if shown.is_empty() {
        return;
    }
    say!(text, "\nthresholds");
    let paint = Paint(manner.color);
    for threshold in shown {
        let samples = threshold.samples;
        say!(
            text,
            "  {} {}: {} ({samples} requests)",
            paint.status(threshold.status),
            printable(&threshold.expression),
            printable(&threshold.found)
        );
    }
}

fn remains(text: &mut String, report: &LoadReport, manner: Manner) {
    if !report.not_deleted.is_empty() {
        say!(text, "\nleft behind at the target");
        for left in &report.not_deleted {
            say!(text, "  {} {}: {}", left.method, printable(&left.value), printable(&left.reason));
        }
    }
    for defect in &report.defects {
        say!(text, "\ndefect of hookproof, please report it: {}", printable(defect));
    }
    let sent = report.scenarios.iter().any(|scenario| scenario.honesty.is_some());
    let kept = report.scenarios.iter().any(|scenario| scenario.history.is_some());
    if !manner.quiet && sent {
        let words = if kept {
            "`hookproof audit FILE` judges a history again"
        } else {
            "histories: not kept; --history FILE keeps them"
        };
        say!(text, "\n{words}");
    }
}

fn closing(text: &mut String, report: &LoadReport, paint: Paint) {
    let of = |status: Status| report.scenarios.iter().filter(|scenario| scenario.status == status).count();
    let counts = [
        (of(Status::Pass), "passed"),
        (of(Status::Fail), "failed"),
        (of(Status::Warn), "warned"),
        (of(Status::Inconclusive), "inconclusive"),
        (of(Status::NotRun), "not run"),
        (report.skipped.len(), "skipped"),
    ];
    let mut said: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if !report.thresholds.is_empty() {
        let held = report.thresholds.iter().filter(|threshold| threshold.status == Status::Pass).count();
        said.push(format!("{held} of {} thresholds hold", report.thresholds.len()));
    }
    let requests: u64 = report.scenarios.iter().flat_map(|one| &one.operations).map(|one| one.requests).sum();
    say!(
        text,
        "\n{}: {} ({}, {} ms, seed {})",
        counted((report.scenarios.len() + report.skipped.len()) as u64, "scenario"),
        said.join(", "),
        counted(requests, "request"),
        report.duration_ms,
        report.seed
    );
    let color = match report.verdict {
        LoadVerdict::Holds => 32,
        LoadVerdict::Fails => 31,
        LoadVerdict::Incomplete | LoadVerdict::Interrupted => 33,
    };
    say!(text, "target {}: {}", printable(&report.target.name), paint.paint(report.verdict.words(), color));
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_are_shown_in_their_own_unit() {
        assert_eq!([999, 1_000, 250_049, 1_000_000].map(time), ["999 µs", "1.0 ms", "250.0 ms", "1.00 s"]);
    }
}
