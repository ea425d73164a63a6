//! Exit codes, one sentence each, and which of them a report amounts to. Pure.

use std::process::ExitCode;

use crate::report::Report;
use crate::verdict::Status;

/// How the program ends. A signal's code wins over all, then 70, 1, 3, 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything in scope was judged and holds.
    Holds,
    /// A must rule (with `--strict` also a should rule), a threshold or the audit fails.
    Fails,
    /// Bad usage or configuration.
    Usage,
    /// The target could not be reached or prepared, so nothing can be said.
    Unprepared,
    /// Nothing failed, but something in scope could not be judged.
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
    let open = report.rules.iter().any(|rule| report.is_open(rule));
    if report.fails() {
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
