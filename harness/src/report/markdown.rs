//! The report as Markdown, new failures first; also for the summary of a GitHub job.

use std::fmt::Write as _;

use super::{Report, RuleReport};
use crate::catalogue;
use crate::report::terminal;
use crate::verdict::Status;

macro_rules! say {
    ($text:expr, $($rest:tt)*) => {
        writeln!($text, $($rest)*).expect("writing to a string does not fail")
    };
}

/// Renders the report.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    let implementation = &report.target.implementation;
    say!(text, "# hookproof: {} {}\n", escaped(&report.target.name), report.verdict.words());
    say!(
        text,
        "Target: {} ({} {})\n",
        escaped(&report.target.name),
        escaped(&implementation.name),
        escaped(&implementation.version)
    );
    counts(&mut text, report);
    let new = report.rules.iter().filter(|rule| report.is_new_failure(rule)).collect::<Vec<_>>();
    details(&mut text, report, "Failures", &new);
    stale(&mut text, report);
    if let Some(review) = &report.snapshots {
        super::snapshots::markdown(&mut text, review);
    }
    let of = |status: Status| -> Vec<&RuleReport> {
        report.rules.iter().filter(|rule| rule.status == status && !report.is_new_failure(rule)).collect()
    };
    details(&mut text, report, "Warnings", &of(Status::Warn));
    details(&mut text, report, "Inconclusive", &of(Status::Inconclusive));
    list(&mut text, "Not run", &of(Status::NotRun));
    list(&mut text, "Known failures", &of(Status::Known));
    list(&mut text, "Not applicable", &of(Status::NotApplicable));
    list(&mut text, "Left out of the run", &of(Status::Excluded));
    left_behind(&mut text, report);
    text
}

fn counts(text: &mut String, report: &Report) {
    let summary = &report.summary;
    say!(text, "| passed | failed | warned | inconclusive | not run | not applicable | left out | known |");
    say!(text, "|---|---|---|---|---|---|---|---|");
    say!(
        text,
        "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
        summary.pass,
        summary.fail,
        summary.warn,
        summary.inconclusive,
        summary.not_run,
        summary.not_applicable,
        summary.excluded,
        summary.known
    );
    if let Some(limiter) = &report.limiter {
        say!(text, "Limiter: {}\n", escaped(&limiter.words()));
    }
    let scope = terminal::scope_words(report);
    if !scope.is_empty() {
        say!(text, "Narrowed by {}: nothing is said about the rules left out.\n", escaped(&scope));
    }
}

fn details(text: &mut String, report: &Report, title: &str, rules: &[&RuleReport]) {
    if rules.is_empty() {
        return;
    }
    say!(text, "## {title}\n");
    for rule in rules {
        say!(text, "### `{}`\n", rule.id);
        if let Some(entry) = catalogue::find(&rule.id) {
            say!(text, "{} ({})\n", escaped(entry.demand), escaped(entry.source.text));
        }
        let Some((check, finding)) = report.deciding(rule) else {
            say!(text, "{}\n", escaped(&rule.reason));
            continue;
        };
        for expected in &finding.expected {
            say!(text, "- acceptable: {}", escaped(expected));
        }
        say!(text, "- actual: {}", escaped(&finding.actual));
        say!(text, "- check: `{}`\n", check.id);
        let timeline = terminal::timeline_lines(check, finding);
        let mut evidence: Vec<String> = timeline;
        if let Some(exchange) = finding.exchange.and_then(|at| check.evidence.exchanges.get(at)) {
            evidence.push(String::new());
            evidence.push(terminal::printable(&exchange.curl));
        }
        if !evidence.is_empty() {
            let evidence = evidence.join("\n");
            let fence = fence(&evidence);
            say!(text, "<details><summary>Exchanges</summary>\n\n{fence}text\n{evidence}\n{fence}\n\n</details>\n");
        }
    }
}

fn list(text: &mut String, title: &str, rules: &[&RuleReport]) {
    if rules.is_empty() {
        return;
    }
    say!(text, "## {title}\n");
    for rule in rules {
        say!(text, "- `{}`: {}", rule.id, escaped(&rule.reason));
    }
    say!(text, "");
}

fn stale(text: &mut String, report: &Report) {
    for known in report.known_failures.iter().filter(|known| known.state.is_failure()) {
        say!(text, "- {}\n", escaped(&terminal::stale_words(known)));
    }
}

fn left_behind(text: &mut String, report: &Report) {
    for left in &report.not_deleted {
        say!(text, "- left behind: {} {}: {}", left.method, escaped(&left.value), escaped(&left.reason));
    }
    for defect in &report.defects {
        say!(text, "- defect of hookproof: {}", escaped(defect));
    }
}

/// Text that renders as itself: no markup, no HTML, no mentions, on one line.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in terminal::printable(text).chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            // Would mention a person or a team.
            '@' => safe.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '!' | '~' | '$' => {
                safe.push('\\');
                safe.push(character);
            }
            other => safe.push(other),
        }
    }
    safe
}

/// A fence longer than any run of backticks inside.
pub(super) fn fence(text: &str) -> String {
    const SHORTEST: usize = 3;
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(SHORTEST.max(longest + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_target_says_becomes_markup() {
        assert_eq!(escaped("<img src=x> | `a` @all\n# b"), "&lt;img src=x&gt; \\| \\`a\\` &#64;all\\\\u{a}\\# b");
    }

    #[test]
    fn a_fence_is_longer_than_what_it_holds() {
        assert_eq!(fence("a ```` b"), "`````");
        assert_eq!(fence("plain"), "```");
    }
}
