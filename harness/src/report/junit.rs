//! The report as JUnit XML: one test case for each rule and check, with real `<failure>` and `<skipped>` elements.

use quick_junit::{NonSuccessKind, Report as JunitReport, TestCase, TestCaseStatus, TestSuite};

use super::terminal::{printable, scope_words, stale_words};
use super::{CheckReport, Report, RuleReport};
use crate::catalogue;
use crate::exit::Exit;
use crate::verdict::{Finding, Status, worst};

/// Renders the report. `exit` is how the run ends: a suite of its own holds the verdict, since most viewers show skipped cases as green.
pub fn render(report: &Report, exit: Exit) -> String {
    let mut junit = JunitReport::new(format!("hookproof: {}", report.target.name));
    junit.set_time(std::time::Duration::from_millis(report.duration_ms));
    for api in &report.scope.apis {
        let prefix = format!("{}.", api.name());
        let mut suite = TestSuite::new(api.name());
        for rule in report.rules.iter().filter(|rule| rule.id.starts_with(&prefix)) {
            suite.add_test_cases(cases(report, rule));
        }
        junit.add_test_suite(suite);
    }
    junit.add_test_suites(report.snapshots.as_ref().map(super::snapshots::junit));
    let mut verdict = TestSuite::new("hookproof");
    verdict.add_test_case(verdict_case(report, exit));
    junit.add_test_suite(verdict);
    junit.to_string().expect("a report in memory can be written")
}

fn cases(report: &Report, rule: &RuleReport) -> Vec<TestCase> {
    let checks: Vec<&CheckReport> =
        report.checks.iter().filter(|check| check.findings.iter().any(|finding| finding.rule == rule.id)).collect();
    if checks.is_empty() || rule.status == Status::Excluded {
        return vec![case("no check", rule, rule.status, &rule.reason, report, None)];
    }
    let of_check = |check: &&CheckReport| {
        let finding = worst(check.findings.iter().filter(|finding| finding.rule == rule.id));
        let finding = finding.expect("the check was chosen for a finding about the rule");
        let known = rule.status == Status::Known && finding.status.is_red();
        let status = if known { Status::Known } else { finding.status };
        let mut case = case(&check.id, rule, status, &finding.actual, report, Some(finding));
        case.set_time(std::time::Duration::from_millis(check.duration_ms));
        case
    };
    checks.iter().map(of_check).collect()
}

fn case(
    name: &str,
    rule: &RuleReport,
    status: Status,
    actual: &str,
    report: &Report,
    finding: Option<&Finding>,
) -> TestCase {
    let outcome = match status {
        Status::Fail => failure(rule, actual, finding),
        Status::Warn if report.strict => failure(rule, actual, finding),
        Status::Pass | Status::Warn => TestCaseStatus::success(),
        Status::NotRun | Status::Inconclusive | Status::NotApplicable | Status::Excluded | Status::Known => {
            let mut skipped = TestCaseStatus::skipped();
            skipped.set_message(format!("{}: {}", status.name(), printable(actual)));
            skipped
        }
    };
    let mut case = TestCase::new(name.to_owned(), outcome);
    case.set_classname(rule.id.clone());
    if status == Status::Warn {
        case.set_system_out(format!("warn: {}", printable(actual)));
    }
    case
}

fn failure(rule: &RuleReport, actual: &str, finding: Option<&Finding>) -> TestCaseStatus {
    let mut outcome = TestCaseStatus::non_success(NonSuccessKind::Failure);
    let actual = printable(actual);
    outcome.set_message(actual.clone());
    outcome.set_type(rule.level.clone());
    let mut text = String::new();
    if let Some(entry) = catalogue::find(&rule.id) {
        text = format!("demand: {}\nsource: {}\n", entry.demand, entry.source.text);
    }
    for expected in finding.iter().flat_map(|finding| &finding.expected) {
        text.push_str(&format!("acceptable: {}\n", printable(expected)));
    }
    text.push_str(&format!("actual: {actual}"));
    outcome.set_description(text);
    outcome
}

fn verdict_case(report: &Report, exit: Exit) -> TestCase {
    let outcome = if exit == Exit::Holds {
        TestCaseStatus::success()
    } else {
        let mut outcome = TestCaseStatus::non_success(NonSuccessKind::Failure);
        outcome.set_message(format!("{}, exit code {}", report.verdict.words(), exit.code()));
        let stale = report.known_failures.iter().filter(|known| known.state.is_failure()).map(stale_words);
        let why: Vec<String> = stale.chain(report.unprepared.clone()).map(|why| printable(&why)).collect();
        outcome.set_description(why.join("\n"));
        outcome
    };
    let mut case = TestCase::new("verdict", outcome);
    case.set_classname("hookproof");
    let left = report
        .not_deleted
        .iter()
        .map(|left| format!("left behind: {} {}: {}", left.method, printable(&left.value), printable(&left.reason)));
    let words = scope_words(report);
    let narrowed = (!words.is_empty()).then(|| format!("narrowed by {}", printable(&words)));
    let said: Vec<String> = narrowed.into_iter().chain(left).collect();
    if !said.is_empty() {
        case.set_system_out(said.join("\n"));
    }
    case
}
