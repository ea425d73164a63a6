//! Findings, the worst of them, and what a whole run amounts to. Pure.

use serde::{Deserialize, Serialize};

/// What is said of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Out of scope, by the user's choice.
    Excluded,
    /// Evidence showed that the rule's condition does not hold for this target.
    NotApplicable,
    /// Judged, and it holds.
    Pass,
    /// A should rule, or the should part of a must rule, is broken.
    Warn,
    /// A prerequisite is missing.
    NotRun,
    /// It ran, and what was seen fits both a conforming and a broken implementation.
    Inconclusive,
    /// Broken, and listed as a known failure.
    Known,
    /// A must rule is broken.
    Fail,
}

impl Status {
    /// Every status, best first.
    pub const ALL: [Status; 8] = [
        Status::Excluded,
        Status::NotApplicable,
        Status::Pass,
        Status::Warn,
        Status::NotRun,
        Status::Inconclusive,
        Status::Known,
        Status::Fail,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Status::Excluded => "excluded",
            Status::NotApplicable => "not_applicable",
            Status::Pass => "pass",
            Status::Warn => "warn",
            Status::NotRun => "not_run",
            Status::Inconclusive => "inconclusive",
            Status::Known => "known",
            Status::Fail => "fail",
        }
    }

    /// True if the rule was seen broken.
    pub fn is_red(self) -> bool {
        match self {
            Status::Fail | Status::Warn | Status::Known => true,
            Status::Excluded | Status::NotApplicable | Status::Pass | Status::NotRun | Status::Inconclusive => false,
        }
    }
}

/// One judgement about one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule.
    pub rule: String,
    /// What is said of it.
    pub status: Status,
    /// What would have been acceptable.
    pub expected: Vec<String>,
    /// What came, or why nothing can be said.
    pub actual: String,
    /// Position in the evidence of the exchange that shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<usize>,
}

/// The status of a rule from all findings that name it; `None` without any.
pub fn worst<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Option<&'a Finding> {
    // The first of equally bad ones: reports show the earliest sign.
    findings.into_iter().reduce(|worst, finding| if finding.status > worst.status { finding } else { worst })
}

/// What a run amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every must rule of the APIs in scope was judged and holds, and the run was not narrowed.
    Conforms,
    /// A rule that counts is broken.
    DoesNotConform,
    /// Nothing that counts is broken, but a must rule could not be judged.
    Incomplete,
    /// Narrowed; nothing in scope is broken.
    Partial,
    /// Ended by a signal.
    Interrupted,
}

impl Verdict {
    /// The verdict in words.
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Conforms => "conforms",
            Verdict::DoesNotConform => "does not conform",
            Verdict::Incomplete => "incomplete",
            Verdict::Partial => "partial",
            Verdict::Interrupted => "interrupted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(status: Status) -> Finding {
        Finding { rule: "a".to_owned(), status, expected: Vec::new(), actual: String::new(), exchange: None }
    }

    #[test]
    fn the_order_of_statuses_is_that_of_the_report() {
        use Status::{Fail, Inconclusive, NotRun, Pass, Warn};
        for pair in [Fail, Inconclusive, NotRun, Warn, Pass].windows(2) {
            let findings = [finding(pair[1]), finding(pair[0]), finding(pair[1])];
            assert_eq!(worst(&findings).map(|finding| finding.status), Some(pair[0]));
        }
    }

    #[test]
    fn a_rule_judged_once_and_not_applicable_once_passes() {
        let findings = [finding(Status::Pass), finding(Status::NotApplicable)];
        assert_eq!(worst(&findings).map(|finding| finding.status), Some(Status::Pass));
    }

    #[test]
    fn no_finding_gives_no_status() {
        assert_eq!(worst(&[]), None);
    }
}
