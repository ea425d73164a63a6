//! Failures that are known and accepted for now, checked both ways: one that no longer fails, or is past its date, is a failure. Pure.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::catalogue;
use crate::verdict::Status;

/// An entry `[[known_failures]]` of a target file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownFailure {
    /// Rule id.
    pub rule: String,
    /// Why it is accepted for now.
    pub reason: String,
    /// Where it is tracked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The last day (year-month-day) on which it is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EntryProblem {
    /// No such rule.
    #[error("`rule`: expected the id of a rule, found `{found}`{hint}")]
    Rule {
        /// As written.
        found: String,
        /// `, did you mean …?` or nothing.
        hint: String,
    },
    /// No reason.
    #[error("`reason` of `{0}`: expected why it is accepted, found nothing")]
    Reason(String),
    /// No date.
    #[error("`expires` of `{rule}`: expected a date such as 2027-03-01, found `{found}`")]
    Expires {
        /// The rule.
        rule: String,
        /// As written.
        found: String,
    },
    /// Listed twice.
    #[error("`rule`: expected each rule once, found `{0}` twice")]
    Twice(String),
}

/// What became of an entry in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KnownState {
    /// It fails, as known.
    Fails,
    /// It holds: the entry must go.
    Holds,
    /// It does not hold, as far as is known, and its last day is over.
    Expired,
    /// Nothing was learnt about it.
    NotJudged,
}

impl KnownState {
    /// True if the entry itself makes the run fail.
    pub fn is_failure(self) -> bool {
        match self {
            KnownState::Holds | KnownState::Expired => true,
            KnownState::Fails | KnownState::NotJudged => false,
        }
    }
}

/// Checks entries before anything is sent.
///
/// # Errors
/// The first [`EntryProblem`].
pub fn validate(entries: &[KnownFailure]) -> Result<(), EntryProblem> {
    for (position, entry) in entries.iter().enumerate() {
        if catalogue::find(&entry.rule).is_none() {
            let hint =
                catalogue::nearest(&entry.rule).map_or(String::new(), |nearest| format!(", did you mean `{nearest}`?"));
            return Err(EntryProblem::Rule { found: entry.rule.clone(), hint });
        }
        if entry.reason.trim().is_empty() {
            return Err(EntryProblem::Reason(entry.rule.clone()));
        }
        if let Some(found) = entry.expires.as_ref().filter(|date| date.parse::<Date>().is_err()) {
            return Err(EntryProblem::Expires { rule: entry.rule.clone(), found: found.clone() });
        }
        if entries[..position].iter().any(|earlier| earlier.rule == entry.rule) {
            return Err(EntryProblem::Twice(entry.rule.clone()));
        }
    }
    Ok(())
}

/// What became of an entry whose rule has this status, on this day.
pub fn state(entry: &KnownFailure, status: Option<Status>, today: Date) -> KnownState {
    let last_day = entry.expires.as_ref().and_then(|date| date.parse::<Date>().ok());
    match status {
        Some(Status::Excluded) | None => KnownState::NotJudged,
        Some(Status::Pass) => KnownState::Holds,
        // The day is over whether or not this run could judge the rule.
        Some(_) if last_day.is_some_and(|day| day < today) => KnownState::Expired,
        Some(Status::Fail | Status::Warn | Status::Known) => KnownState::Fails,
        Some(Status::NotApplicable | Status::NotRun | Status::Inconclusive) => KnownState::NotJudged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(rule: &str, reason: &str, expires: Option<&str>) -> KnownFailure {
        KnownFailure {
            rule: rule.to_owned(),
            reason: reason.to_owned(),
            url: None,
            expires: expires.map(str::to_owned),
        }
    }

    const RULE: &str = "craftkit.input.loop-cap";

    #[test]
    fn entries_need_a_rule_a_reason_and_a_real_date() {
        assert_eq!(validate(&[entry(RULE, "later", Some("2027-03-01"))]), Ok(()));
        assert!(
            matches!(validate(&[entry("craftkit.input.loop-cup", "x", None)]), Err(EntryProblem::Rule { hint, .. }) if hint.contains(RULE))
        );
        assert!(matches!(validate(&[entry(RULE, " ", None)]), Err(EntryProblem::Reason(_))));
        assert!(matches!(validate(&[entry(RULE, "x", Some("2027-02-30"))]), Err(EntryProblem::Expires { .. })));
        assert!(matches!(validate(&[entry(RULE, "x", None), entry(RULE, "y", None)]), Err(EntryProblem::Twice(_))));
    }

    #[test]
    fn an_entry_is_checked_both_ways() {
        let day = |text: &str| text.parse::<Date>().unwrap();
        let dated = entry(RULE, "later", Some("2027-03-01"));
        assert_eq!(state(&dated, Some(Status::Fail), day("2027-03-01")), KnownState::Fails);
        assert_eq!(state(&dated, Some(Status::Fail), day("2027-03-02")), KnownState::Expired);
        assert_eq!(state(&dated, Some(Status::Pass), day("2027-03-01")), KnownState::Holds);
        for unjudged in [Status::Inconclusive, Status::NotRun, Status::NotApplicable] {
            assert_eq!(state(&dated, Some(unjudged), day("2027-03-01")), KnownState::NotJudged);
            assert_eq!(state(&dated, Some(unjudged), day("2027-03-02")), KnownState::Expired);
        }
        assert_eq!(state(&dated, Some(Status::Excluded), day("2027-03-02")), KnownState::NotJudged);
        assert_eq!(state(&dated, None, day("2027-03-01")), KnownState::NotJudged);
    }
}
