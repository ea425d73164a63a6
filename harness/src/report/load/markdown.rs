//! A load report as Markdown, what is broken first; also for the summary of a GitHub job.

use std::fmt::Write as _;

use super::{LoadReport, ScenarioReport, text};
use crate::report::audit::text::timeline_lines;
use crate::report::markdown::{escaped, fence};
use crate::verdict::Status;

macro_rules! say {
    ($text:expr, $($rest:tt)*) => {
        writeln!($text, $($rest)*).expect("writing to a string does not fail")
    };
}

/// Renders the report.
pub fn render(report: &LoadReport) -> String {
    let mut text = String::new();
    say!(text, "# hookproof load: {} {}\n", escaped(&report.target.name), report.verdict.words());
    let implementation = &report.target.implementation;
    say!(
        text,
        "Target: {} ({} {}), seed {}, {} ms\n",
        escaped(&report.target.name),
        escaped(&implementation.name),
        escaped(&implementation.version),
        report.seed,
        report.duration_ms
    );
    if let Some(reason) = &report.unprepared {
        say!(text, "Nothing was sent: {}\n", escaped(reason));
    }
    table(&mut text, report);
    thresholds(&mut text, report);
    for scenario in report.scenarios.iter().filter(|scenario| scenario.status != Status::Pass) {
        details(&mut text, scenario);
    }
    for skipped in &report.skipped {
        say!(text, "- skipped: `{}`: {}", skipped.scenario, escaped(&skipped.reason));
    }
    for left in &report.not_deleted {
        say!(text, "- left behind: {} {}: {}", left.method, escaped(&left.value), escaped(&left.reason));
    }
    for defect in &report.defects {
        say!(text, "- defect of hookproof: {}", escaped(defect));
    }
    text
}

fn table(text: &mut String, report: &LoadReport) {
    if report.scenarios.is_empty() {
        return;
    }
    say!(text, "| scenario | result | requests | response |");
    say!(text, "|---|---|---|---|");
    for scenario in &report.scenarios {
        let requests: Vec<String> =
            scenario.operations.iter().map(|one| format!("{} {}", one.name, text::counts(one))).collect();
        let response: Vec<String> =
            scenario.operations.iter().filter_map(|one| one.response.as_ref().map(text::latency)).collect();
        say!(
            text,
            "| {} | {} | {} | {} |",
            scenario.name,
            scenario.status.name(),
            escaped(&requests.join("; ")),
            escaped(&response.join("; "))
        );
    }
    say!(text, "");
}

fn thresholds(text: &mut String, report: &LoadReport) {
    if report.thresholds.is_empty() {
        return;
    }
    say!(text, "| threshold | result | found |");
    say!(text, "|---|---|---|");
    for threshold in &report.thresholds {
        let (expression, found) = (escaped(&threshold.expression), escaped(&threshold.found));
        say!(text, "| {expression} | {} | {found} |", threshold.status.name());
    }
    say!(text, "");
}

fn details(text: &mut String, scenario: &ScenarioReport) {
    say!(text, "## `{}`: {}\n", scenario.name, scenario.status.name());
    say!(text, "{}\n", escaped(&scenario.proves));
    for reason in &scenario.reasons {
        say!(text, "- {}", escaped(reason));
    }
    if let Some(honesty) = &scenario.honesty {
        say!(text, "- load: {}", escaped(&text::honest(honesty)));
    }
    if let Some(path) = &scenario.history {
        say!(text, "- history: {}", escaped(path));
    }
    let Some(audit) = &scenario.audit else {
        say!(text, "");
        return;
    };
    say!(text, "- audit: {}", escaped(&text::audited(audit)));
    for violation in &audit.violations {
        say!(text, "- {}", escaped(&text::sentence(violation)));
    }
    for open in &audit.open {
        say!(text, "- {} {}: {}", escaped(&open.key), open.about, escaped(&open.reason));
    }
    say!(text, "");
    if let Some(violation) = audit.violations.first() {
        let lines = timeline_lines(violation).join("\n");
        let fence = fence(&lines);
        say!(
            text,
            "<details><summary>Timeline of {}</summary>\n\n{fence}text\n{lines}\n{fence}\n\n</details>\n",
            escaped(&violation.key)
        );
    }
}
