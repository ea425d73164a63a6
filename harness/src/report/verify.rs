//! `hookproof verify`: judges the evidence in a report again and compares. Pure.
//!
//! It proves the judgement: that these findings follow from this evidence, and the verdict from these findings. It does not prove that the
//! evidence was gathered honestly.

use std::collections::BTreeSet;

use thiserror::Error;

use super::assemble::conclude;
use super::{CONTRACT, CheckReport, Report, SCHEMA};
use crate::checks;
use crate::known::KnownFailure;
use crate::profile;
use crate::runner::select::{Narrowing, SelectError, Selection, select};

/// Why a report cannot be judged again at all.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// It is no report.
    #[error("expected a report of format {SCHEMA}, found: {0}")]
    NoReport(#[from] serde_json::Error),
    /// It is another format.
    #[error("expected a report of format {SCHEMA}, found `{0}`")]
    Schema(String),
    /// It was judged by other rules.
    #[error("expected contract {CONTRACT}, found `{0}`: use the hookproof that wrote the report")]
    Contract(String),
    /// Its scope makes no sense.
    #[error("the scope of the report: {0}")]
    Scope(#[from] SelectError),
}

/// A place where the report says something that does not follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where in the report.
    pub place: String,
    /// What follows from the evidence.
    pub follows: String,
    /// What the report says.
    pub says: String,
}

/// Reads a report.
///
/// # Errors
/// [`VerifyError`] if it is none that this version can judge.
pub fn read(text: &str) -> Result<Report, VerifyError> {
    let value: serde_json::Value = serde_json::from_str(text)?;
    let field = |name: &str| value.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    if field("schema") != SCHEMA {
        return Err(VerifyError::Schema(field("schema")));
    }
    if field("contract") != CONTRACT {
        return Err(VerifyError::Contract(field("contract")));
    }
    Ok(serde_json::from_value(value)?)
}

/// Judges a report again. No difference means that it says what follows from its evidence.
///
/// # Errors
/// [`VerifyError`] if its scope cannot be understood.
pub fn verify(report: &Report) -> Result<Vec<Difference>, VerifyError> {
    let narrowing = Narrowing {
        only: report.scope.only.clone(),
        skip: report.scope.skip.clone(),
        api: report.scope.api,
        exclusions: report.scope.excluded.clone(),
        no_cases: report.scope.cases == 0,
    };
    let selection = select(&narrowing, &report.scope.apis)?;
    let mut differences = missing_and_stray(report, &selection);
    let mut again = report.clone();
    for check in &mut again.checks {
        judge_again(check);
    }
    let known: Vec<KnownFailure> = report.known_failures.iter().map(|known| known.entry.clone()).collect();
    conclude(&mut again, &selection, &known, narrowing.is_narrow());
    differences.extend(compare(report, &again));
    Ok(differences)
}

/// Every selected check must be there once, unless the run was interrupted, and no other.
fn missing_and_stray(report: &Report, selection: &Selection) -> Vec<Difference> {
    let mut differences = Vec::new();
    let ended_early = report.interrupted_by.is_some() || report.unprepared.is_some();
    let selected: BTreeSet<&str> = selection.checks.iter().map(|check| check.id).collect();
    for id in &selected {
        let times = report.checks.iter().filter(|check| check.id == *id).count();
        if times != 1 && !(times == 0 && ended_early) {
            differences.push(difference(&format!("checks: {id}"), "once", &format!("{times} times")));
        }
    }
    for check in report.checks.iter().filter(|check| !selected.contains(check.id.as_str())) {
        differences.push(difference(&format!("checks: {}", check.id), "not in scope", "present"));
    }
    differences
}

fn judge_again(report: &mut CheckReport) {
    let Some(check) = checks::all().chain(profile::PROBES).find(|check| check.id == report.id) else {
        // Reported as stray already.
        report.findings.clear();
        return;
    };
    report.findings = match &report.stopped {
        Some(stopped) => stopped.findings(check),
        None => (check.judge)(&report.evidence),
    };
}

fn compare(report: &Report, again: &Report) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut check = |place: String, follows: String, says: String| {
        if follows != says {
            differences.push(Difference { place, follows, says });
        }
    };
    for (said, follows) in report.checks.iter().zip(&again.checks) {
        check(format!("checks: {}: findings", said.id), json(&follows.findings), json(&said.findings));
    }
    let ids = |report: &Report| report.rules.iter().map(|rule| rule.id.clone()).collect::<Vec<String>>().join(", ");
    check("rules".to_owned(), ids(again), ids(report));
    for follows in &again.rules {
        if let Some(said) = report.rules.iter().find(|rule| rule.id == follows.id) {
            check(format!("rules: {}", said.id), json(follows), json(said));
        }
    }
    check("known_failures".to_owned(), json(&again.known_failures), json(&report.known_failures));
    check("limiter".to_owned(), json(&again.limiter), json(&report.limiter));
    check("summary".to_owned(), json(&again.summary), json(&report.summary));
    check("verdict".to_owned(), again.verdict.words().to_owned(), report.verdict.words().to_owned());
    differences
}

fn difference(place: &str, follows: &str, says: &str) -> Difference {
    Difference { place: place.to_owned(), follows: follows.to_owned(), says: says.to_owned() }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("reports have only text keys")
}
