//! A load report as JUnit XML: one test case for each scenario and each threshold, and one for the verdict.

use quick_junit::{NonSuccessKind, Report as JunitReport, TestCase, TestCaseStatus, TestSuite};

use super::{LoadReport, ScenarioReport, text};
use crate::exit::Exit;
use crate::report::terminal::printable;
use crate::verdict::Status;

/// Renders the report. `exit` is how the run ends: most viewers show skipped cases as green, so the verdict has a case of its own.
pub fn render(report: &LoadReport, exit: Exit) -> String {
    let mut junit = JunitReport::new(format!("hookproof load: {}", report.target.name));
    junit.set_time(std::time::Duration::from_millis(report.duration_ms));
    let mut scenarios = TestSuite::new("scenarios");
    for scenario in &report.scenarios {
        let mut case = TestCase::new(scenario.name.clone(), outcome(report, scenario));
        case.set_classname("load");
        case.set_time(std::time::Duration::from_millis(scenario.duration_ms));
        scenarios.add_test_case(case);
    }
    for skipped in &report.skipped {
        let mut status = TestCaseStatus::skipped();
        status.set_message(printable(&skipped.reason));
        let mut case = TestCase::new(skipped.scenario.clone(), status);
        case.set_classname("load");
        scenarios.add_test_case(case);
    }
    junit.add_test_suite(scenarios);
    let mut thresholds = TestSuite::new("thresholds");
    for threshold in &report.thresholds {
        let outcome = match threshold.status {
            Status::Pass => TestCaseStatus::success(),
            Status::Fail => failure(&printable(&threshold.found), "threshold"),
            other => {
                let mut skipped = TestCaseStatus::skipped();
                skipped.set_message(format!("{}: {}", other.name(), printable(&threshold.found)));
                skipped
            }
        };
        let mut case = TestCase::new(threshold.expression.clone(), outcome);
        case.set_classname("threshold");
        thresholds.add_test_case(case);
    }
    junit.add_test_suite(thresholds);
    let mut verdict = TestSuite::new("hookproof");
    let outcome = if exit == Exit::Holds {
        TestCaseStatus::success()
    } else {
        failure(&format!("{}, exit code {}", report.verdict.words(), exit.code()), "verdict")
    };
    let mut case = TestCase::new("verdict", outcome);
    case.set_classname("hookproof");
    verdict.add_test_case(case);
    junit.add_test_suite(verdict);
    junit.to_string().expect("a report in memory can be written")
}

fn outcome(report: &LoadReport, scenario: &ScenarioReport) -> TestCaseStatus {
    let said = said(scenario);
    match scenario.status {
        Status::Fail => failure(&said, "must"),
        Status::Warn if report.strict => failure(&said, "should"),
        Status::Pass | Status::Warn => TestCaseStatus::success(),
        Status::NotRun | Status::Inconclusive | Status::NotApplicable | Status::Excluded | Status::Known => {
            let mut skipped = TestCaseStatus::skipped();
            skipped.set_message(format!("{}: {said}", scenario.status.name()));
            skipped
        }
    }
}

/// Reasons and explanations, one a line.
fn said(scenario: &ScenarioReport) -> String {
    let violations = scenario.audit.iter().flat_map(|audit| &audit.violations).map(text::sentence);
    let reasons = scenario.reasons.iter().map(|reason| printable(reason));
    reasons.chain(violations).collect::<Vec<String>>().join("\n")
}

fn failure(said: &str, kind: &str) -> TestCaseStatus {
    let mut outcome = TestCaseStatus::non_success(NonSuccessKind::Failure);
    outcome.set_message(said.lines().next().unwrap_or_default().to_owned());
    outcome.set_type(kind.to_owned());
    outcome.set_description(said.to_owned());
    outcome
}
