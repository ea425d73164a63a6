//! What a comparison with accepted answers came to, in each of the report's formats.

use std::fmt::Write as _;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::markdown::{escaped, fence};
use super::terminal::printable;
use crate::snapshots::review::{Difference, Review};

macro_rules! say {
    ($text:expr, $($rest:tt)*) => {
        writeln!($text, $($rest)*).expect("writing to a string does not fail")
    };
}

/// The comparison in one line.
pub fn counts(review: &Review) -> String {
    let counts = [
        (review.agree.len(), "as accepted"),
        (review.differences.len(), "to review"),
        (review.unreferenced.len(), "without a rule"),
        (review.not_compared.len(), "not compared"),
    ];
    let said: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")).collect();
    if said.is_empty() { "no rule in scope has an answer under review".to_owned() } else { said.join(", ") }
}

/// What to do about a file that no rule brings about.
fn stray_words(file: &str) -> String {
    format!("{file}: no rule brings about this answer any more; delete it")
}

/// The commands that settle the differences.
fn advice(review: &Review) -> String {
    format!("cargo insta review --workspace-root {}", quoted(&review.folder))
}

/// A word of a shell command.
fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "._/-".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// For a terminal.
pub(super) fn terminal(text: &mut String, review: &Review) {
    say!(text, "\nsnapshots in {}: {}", printable(&review.folder), counts(review));
    for difference in &review.differences {
        say!(text, "  {} {}", difference.rule, difference.kind.words());
        for line in &difference.diff {
            say!(text, "    {}", printable(line));
        }
    }
    for file in &review.unreferenced {
        say!(text, "  {}", printable(&stray_words(file)));
    }
    for left in &review.not_compared {
        say!(text, "  {} not compared: {}", left.rule, printable(&left.reason));
    }
    if !review.differences.is_empty() {
        say!(text, "  review with: {}", printable(&advice(review)));
    }
}

/// For the Markdown report and the summary of a GitHub job.
pub(super) fn markdown(text: &mut String, review: &Review) {
    say!(text, "## Snapshots\n");
    say!(text, "{}: {}\n", escaped(&review.folder), counts(review));
    for difference in &review.differences {
        say!(text, "### `{}` {}\n", difference.rule, difference.kind.words());
        let diff = diff_lines(difference);
        let fence = fence(&diff);
        say!(text, "{fence}diff\n{diff}\n{fence}\n");
    }
    for file in &review.unreferenced {
        say!(text, "- {}", escaped(&stray_words(file)));
    }
    for left in &review.not_compared {
        say!(text, "- `{}` not compared: {}", left.rule, escaped(&left.reason));
    }
    if !review.unreferenced.is_empty() || !review.not_compared.is_empty() {
        say!(text, "");
    }
    if !review.differences.is_empty() {
        let command = printable(&advice(review));
        let fence = fence(&command);
        say!(text, "To review them, where the differences lie as `.snap.new`:\n\n{fence}sh\n{command}\n{fence}\n");
    }
}

fn diff_lines(difference: &Difference) -> String {
    difference.diff.iter().map(|line| printable(line)).collect::<Vec<String>>().join("\n")
}

/// For JUnit: a suite with a case for each answer and each stray file.
pub(super) fn junit(review: &Review) -> TestSuite {
    let mut suite = TestSuite::new("snapshots");
    let mut add = |name: &str, status: TestCaseStatus| {
        let mut case = TestCase::new(printable(name), status);
        case.set_classname("snapshots");
        suite.add_test_case(case);
    };
    for rule in &review.agree {
        add(rule, TestCaseStatus::success());
    }
    for difference in &review.differences {
        let mut failure = TestCaseStatus::non_success(NonSuccessKind::Failure);
        failure.set_message(format!("{} {}", difference.rule, difference.kind.words()));
        failure.set_type("snapshot");
        failure.set_description(diff_lines(difference));
        add(&difference.rule, failure);
    }
    for file in &review.unreferenced {
        let words = printable(&stray_words(file));
        let mut status =
            if review.whole { TestCaseStatus::non_success(NonSuccessKind::Failure) } else { TestCaseStatus::skipped() };
        status.set_message(words);
        add(file, status);
    }
    for left in &review.not_compared {
        let mut skipped = TestCaseStatus::skipped();
        skipped.set_message(format!("not compared: {}", printable(&left.reason)));
        add(&left.rule, skipped);
    }
    suite
}

/// For annotations of a GitHub job: title and message of each failure.
pub(super) fn failures(review: &Review) -> Vec<(String, String)> {
    let differences = review.differences.iter().map(|difference| {
        let said = format!("the answer {}; the summary shows how", difference.kind.words());
        (format!("snapshot {}", difference.rule), said)
    });
    let stray = review.unreferenced.iter().filter(|_| review.whole);
    differences.chain(stray.map(|file| ("snapshot".to_owned(), stray_words(file)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshots::review::DifferenceKind;

    fn hostile() -> Review {
        let diff = vec!["-  \"status\": 403".to_owned(), "+\u{1b}[2J```</script>\u{202e}".to_owned()];
        let rule = "rndrkit.plan.pro".to_owned();
        let file = format!("rndrkit/{rule}.snap");
        Review {
            folder: "set; rm -rf $HOME".to_owned(),
            differences: vec![Difference { rule, file, kind: DifferenceKind::Changed, diff }],
            unreferenced: vec!["rndrkit/<b>\u{1b}.snap".to_owned()],
            whole: true,
            ..Review::default()
        }
    }

    #[test]
    fn nothing_that_a_target_or_a_file_says_steers_a_reader() {
        let (mut text, mut marked) = (String::new(), String::new());
        terminal(&mut text, &hostile());
        markdown(&mut marked, &hostile());
        let junit = {
            let mut report = quick_junit::Report::new("x");
            report.add_test_suite(junit(&hostile()));
            report.to_string().unwrap_or_else(|error| panic!("{error}"))
        };
        for said in [&text, &marked, &junit] {
            assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said}");
        }
        assert!(marked.contains("\n````diff\n"), "the fence is longer than what it holds: {marked}");
        assert!(!marked.contains("<b>") && !junit.contains("</script>"));
        assert!(text.contains("--workspace-root 'set; rm -rf $HOME'"), "{text}");
    }

    #[test]
    fn every_format_shows_the_difference() {
        let (mut text, mut marked) = (String::new(), String::new());
        terminal(&mut text, &hostile());
        markdown(&mut marked, &hostile());
        assert!(text.contains("rndrkit.plan.pro differs") && text.contains("-  \"status\": 403"));
        assert!(marked.contains("-  \"status\": 403"));
        assert_eq!(failures(&hostile()).len(), 2);
    }
}
