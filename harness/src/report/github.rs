//! Failures as annotations of a GitHub job: workflow commands on stdout.

use super::Report;
use super::load::LoadReport;
use crate::verdict::Status;

/// One line for each new failure, for a rule that could not be judged although it counts, and for a stale known failure.
pub fn annotations(report: &Report) -> String {
    let mut text = String::new();
    for rule in &report.rules {
        let level = if report.is_new_failure(rule) {
            "error"
        } else if rule.status.is_red() || report.is_open(rule) {
            "warning"
        } else {
            continue;
        };
        let said = format!("{} ({}): {}", rule.status.name(), rule.level, rule.reason);
        text.push_str(&command(level, &rule.id, &said));
    }
    for known in report.known_failures.iter().filter(|known| known.state.is_failure()) {
        text.push_str(&command("error", &known.entry.rule, &super::terminal::stale_words(known)));
    }
    for (title, said) in report.snapshots.iter().flat_map(super::snapshots::failures) {
        text.push_str(&command("error", &title, &said));
    }
    text
}

/// One line for each scenario and each threshold of a load run that fails or could not be judged.
pub fn load_annotations(report: &LoadReport) -> String {
    let scenarios = report.scenarios.iter().map(|one| {
        let violations = one.audit.iter().flat_map(|audit| &audit.violations);
        let said: Vec<&str> =
            one.reasons.iter().chain(violations.map(|violation| &violation.explanation)).map(String::as_str).collect();
        (one.status, &one.name, said.join("; "))
    });
    let thresholds = report.thresholds.iter().map(|one| (one.status, &one.expression, one.found.clone()));
    let mut text = String::new();
    for (status, title, said) in scenarios.chain(thresholds) {
        let level = match status {
            Status::Fail => "error",
            Status::Warn if report.strict => "error",
            Status::Pass => continue,
            _ => "warning",
        };
        text.push_str(&command(level, title, &format!("{}: {said}", status.name())));
    }
    text
}

fn command(level: &str, title: &str, message: &str) -> String {
    format!("::{level} title={}::{}\n", property(title), data(message))
}

/// Escapes the data of a workflow command.
fn data(text: &str) -> String {
    super::terminal::printable(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_cannot_add_a_command_of_its_own() {
        let line = command("error", "a,b:c", "x\n::set-output name=y::z %");
        assert_eq!(line, "::error title=a%2Cb%3Ac::x\\u{a}::set-output name=y::z %25\n");
    }
}
