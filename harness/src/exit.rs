//! Exit codes, one sentence each, and which of them a report amounts to. Pure.

use std::process::ExitCode;

use crate::histories::audited::{AuditVerdict, Audited};
use crate::report::Report;
use crate::report::load::LoadReport;
use crate::snapshots::review::Review;
use crate::verdict::Status;

/// How the program ends. A signal's code wins over all, then 70, 1, 3, 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything in scope that counts was judged and holds: must rules, with `--strict` also should rules.
    Holds,
    /// A must rule (with `--strict` also a should rule), a threshold or the audit fails, accepted answers differ, a known failure is none
    /// any more or past its date, or what a command compares or tries is not as it should be.
    Fails,
    /// Bad usage or configuration.
    Usage,
    /// The target could not be reached or prepared, so nothing can be said.
    Unprepared,
    /// Nothing failed, but something in scope that counts could not be judged.
    Incomplete,
    /// A defect of hookproof itself.
    Defect,
    /// Ended by a signal, after cleaning up and writing what is known.
    Signal(i32),
}

impl Exit {
    /// The code that the operating system sees.
    pub fn code(self) -> u8 {
        /// Shells add this to the number of the signal that ended a program.
        const SIGNAL_BASE: i32 = 128;
        match self {
            Exit::Holds => 0,
            Exit::Fails => 1,
            Exit::Usage => 2,
            Exit::Unprepared => 3,
            Exit::Incomplete => 4,
            Exit::Defect => 70,
            Exit::Signal(number) => u8::try_from(SIGNAL_BASE + number).unwrap_or(u8::MAX),
        }
    }
}

impl Exit {
    /// The exit of a run that has something to say and could not write all of it: what it found counts for more.
    #[must_use]
    pub fn with_output_lost(self) -> Exit {
        match self {
            Exit::Holds | Exit::Incomplete => Exit::Usage,
            other => other,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// The exit of a conformance run.
pub fn of_report(report: &Report, allow_incomplete: bool) -> Exit {
    if let Some(signal) = report.interrupted_by {
        return Exit::Signal(signal);
    }
    if !report.defects.is_empty() {
        return Exit::Defect;
    }
    let review = report.snapshots.as_ref();
    let open = report.rules.iter().any(|rule| report.is_open(rule)) || review.is_some_and(Review::is_open);
    if report.fails() || review.is_some_and(Review::fails) {
        Exit::Fails
    } else if !report.judged_anything() {
        // Whatever the user allows, a run that judged nothing proves nothing.
        if report.rules.iter().any(|rule| rule.status == Status::NotRun) { Exit::Unprepared } else { Exit::Incomplete }
    } else if open && !allow_incomplete {
        Exit::Incomplete
    } else {
        Exit::Holds
    }
}

/// The exit of a load run.
pub fn of_load(report: &LoadReport, allow_incomplete: bool) -> Exit {
    if let Some(signal) = report.interrupted_by {
        return Exit::Signal(signal);
    }
    let ran = report.scenarios.iter().any(|scenario| scenario.status != Status::NotRun);
    if !report.defects.is_empty() {
        Exit::Defect
    } else if report.fails() {
        Exit::Fails
    } else if !ran {
        Exit::Unprepared
    } else if !report.judged_anything() || (report.is_open() && !allow_incomplete) {
        Exit::Incomplete
    } else {
        Exit::Holds
    }
}

/// The exit of an audit.
pub fn of_audit(audited: &Audited, allow_incomplete: bool) -> Exit {
    match audited.verdict {
        AuditVerdict::Inconsistent => Exit::Fails,
        AuditVerdict::Consistent => Exit::Holds,
        AuditVerdict::Inconclusive if allow_incomplete => Exit::Holds,
        // Whatever the user allows, an audit that judged nothing proves nothing.
        AuditVerdict::Inconclusive | AuditVerdict::NothingJudged => Exit::Incomplete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::load::ScenarioReport;

    /// A load report with scenarios of these statuses.
    fn loaded(statuses: &[Status]) -> LoadReport {
        let scenario =
            |status: &Status| ScenarioReport { status: *status, ..ScenarioReport::not_run("a", "", String::new()) };
        let begun = LoadReport::begun("x".to_owned(), String::new());
        LoadReport { scenarios: statuses.iter().map(scenario).collect(), ..begun }
    }

    #[track_caller]
    fn check(report: &LoadReport, allow_incomplete: bool, expected: Exit) {
        assert_eq!(of_load(report, allow_incomplete), expected);
    }

    #[test]
    fn a_load_run_in_which_everything_was_judged_and_holds_ends_with_0() {
        check(&loaded(&[Status::Pass, Status::Warn]), false, Exit::Holds);
    }

    #[test]
    fn what_could_not_be_judged_makes_a_load_run_incomplete_unless_that_is_allowed() {
        for open in [Status::Inconclusive, Status::NotRun] {
            check(&loaded(&[Status::Pass, open]), false, Exit::Incomplete);
            check(&loaded(&[Status::Pass, open]), true, Exit::Holds);
        }
    }

    #[test]
    fn a_load_run_that_judged_nothing_is_never_a_success() {
        check(&loaded(&[Status::Inconclusive]), true, Exit::Incomplete);
        check(&loaded(&[Status::NotRun]), true, Exit::Unprepared);
        check(&loaded(&[]), true, Exit::Unprepared);
    }

    #[test]
    fn a_broken_limit_wins_over_what_is_open_and_a_signal_over_all() {
        let mut report = loaded(&[Status::Fail, Status::Inconclusive]);
        check(&report, true, Exit::Fails);
        report.defects = vec!["it panicked".to_owned()];
        check(&report, true, Exit::Defect);
        report.interrupted_by = Some(15);
        check(&report, true, Exit::Signal(15));
    }

    #[test]
    fn a_should_rule_fails_a_load_run_only_when_strict() {
        let report = LoadReport { strict: true, ..loaded(&[Status::Warn]) };
        check(&report, false, Exit::Fails);
    }
}
