//! Which rules are in scope and which checks judge them. Pure.

use std::collections::BTreeSet;

use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::api::Api;
use crate::catalogue::{self, Rule};
use crate::checks::{self, Check};
use crate::profile;

/// What the user narrowed the run to.
#[derive(Clone, Debug, Default)]
pub struct Narrowing {
    /// Globs over rule ids; empty means all.
    pub only: Vec<String>,
    /// Globs over rule ids to leave out.
    pub skip: Vec<String>,
    /// One API only.
    pub api: Option<Api>,
    /// Rules that the target file excludes.
    pub exclusions: Vec<Exclusion>,
    /// No cases are generated.
    pub no_cases: bool,
}

/// A rule, or a glob over rule ids, that a target file excludes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exclusion {
    /// Rule id or glob.
    pub rule: String,
    /// Why.
    pub reason: String,
}

impl Narrowing {
    /// True if the run leaves anything out.
    pub fn is_narrow(&self) -> bool {
        let filtered = !self.only.is_empty() || !self.skip.is_empty() || !self.exclusions.is_empty();
        filtered || self.api.is_some() || self.no_cases
    }
}

/// Why a narrowing cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SelectError {
    /// The glob cannot be read.
    #[error(
        "{option} {pattern}: expected a glob over rule ids such as `rndrkit.rate.*`, found one that cannot be read: {reason}"
    )]
    Pattern {
        /// The option it was given with.
        option: &'static str,
        /// As typed.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The glob matches no rule.
    #[error(
        "{option} {pattern}: expected a glob that matches a rule, found none that it matches{hint}; `hookproof rules` lists them"
    )]
    NoMatch {
        /// The option it was given with.
        option: &'static str,
        /// As typed.
        pattern: String,
        /// `, did you mean …?` or nothing.
        hint: String,
    },
    /// All filters together leave nothing.
    #[error(
        "expected --only, --skip, --api and [[exclude]] to leave at least one rule of the target's APIs, found none left"
    )]
    Nothing,
}

/// Rules in scope and out of it, and the checks that run.
pub struct Selection {
    /// Rules to judge, in the catalogue's order.
    pub rules: Vec<&'static Rule>,
    /// Rules of the target's APIs that were left out, with the reason.
    pub excluded: Vec<(&'static Rule, String)>,
    /// Checks that judge at least one rule in scope, then probes that describe what such rules are about.
    pub checks: Vec<&'static Check>,
}

impl Selection {
    /// Rules in scope that no check judges.
    pub fn pending(&self) -> Vec<&'static Rule> {
        let judged: BTreeSet<&str> = checks::all().flat_map(|check| check.rules).copied().collect();
        self.rules.iter().copied().filter(|rule| !judged.contains(rule.id)).collect()
    }
}

/// Selects rules of the given APIs and their checks.
///
/// # Errors
/// [`SelectError`] for a filter that matches nothing.
pub fn select(narrowing: &Narrowing, apis: &[Api]) -> Result<Selection, SelectError> {
    let only = compile("--only", &narrowing.only)?;
    let skip = compile("--skip", &narrowing.skip)?;
    let exclusions = narrowing
        .exclusions
        .iter()
        .map(|exclusion| Ok((compile_one("[[exclude]] rule =", &exclusion.rule)?, exclusion.reason.as_str())))
        .collect::<Result<Vec<(GlobMatcher, &str)>, SelectError>>()?;
    let left_out = |rule: &Rule| -> Option<String> {
        if let Some((_, reason)) = exclusions.iter().find(|(glob, _)| glob.is_match(rule.id)) {
            return Some(format!("excluded by the target file: {reason}"));
        }
        let wanted = only.is_empty() || only.iter().any(|glob| glob.is_match(rule.id));
        let api_wanted = narrowing.api.is_none_or(|api| api == rule.api);
        let kept = wanted && api_wanted && !skip.iter().any(|glob| glob.is_match(rule.id));
        (!kept).then(|| "left out by --only, --skip or --api".to_owned())
    };
    let (mut rules, mut excluded) = (Vec::new(), Vec::new());
    for rule in catalogue::all().filter(|rule| apis.contains(&rule.api)) {
        match left_out(rule) {
            Some(reason) => excluded.push((rule, reason)),
            None => rules.push(rule),
        }
    }
    if rules.is_empty() {
        return Err(SelectError::Nothing);
    }
    let in_scope: BTreeSet<&str> = rules.iter().map(|rule| rule.id).collect();
    let wanted = |check: &&Check| !(narrowing.no_cases && check.needs.generated);
    let judging = checks::all().filter(wanted).filter(|check| check.rules.iter().any(|rule| in_scope.contains(rule)));
    let checks = judging.chain(profile::probes_for(in_scope.iter().copied())).collect();
    Ok(Selection { rules, excluded, checks })
}

fn compile(option: &'static str, patterns: &[String]) -> Result<Vec<GlobMatcher>, SelectError> {
    patterns.iter().map(|pattern| compile_one(option, pattern)).collect()
}

fn compile_one(option: &'static str, pattern: &str) -> Result<GlobMatcher, SelectError> {
    let glob = GlobBuilder::new(pattern).build().map_err(|error| SelectError::Pattern {
        option,
        pattern: pattern.to_owned(),
        reason: error.kind().to_string(),
    })?;
    let matcher = glob.compile_matcher();
    if catalogue::all().any(|rule| matcher.is_match(rule.id)) {
        return Ok(matcher);
    }
    let hint = catalogue::nearest(pattern).map_or(String::new(), |nearest| format!(", did you mean `{nearest}`?"));
    Err(SelectError::NoMatch { option, pattern: pattern.to_owned(), hint })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowed(only: &[&str], skip: &[&str], api: Option<Api>) -> Result<Vec<&'static str>, SelectError> {
        let owned = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        let narrowing = Narrowing { only: owned(only), skip: owned(skip), api, ..Narrowing::default() };
        select(&narrowing, &Api::ALL).map(|selection| selection.rules.iter().map(|rule| rule.id).collect())
    }

    #[test]
    fn without_filters_every_rule_is_in_scope() {
        assert_eq!(narrowed(&[], &[], None).map(|rules| rules.len()), Ok(catalogue::all().count()));
    }

    #[test]
    fn only_and_skip_work_on_rule_ids() {
        assert_eq!(
            narrowed(&["rndrkit.plan.*"], &["*.pro"], None),
            Ok(vec!["rndrkit.plan.starter", "rndrkit.plan.agency"])
        );
    }

    #[test]
    fn a_filter_that_matches_nothing_names_the_nearest_rule() {
        let error = narrowed(&["rndrkit.plan.start"], &[], None).err();
        assert!(error.is_some_and(|error| error.to_string().contains("did you mean `rndrkit.plan.starter`")));
    }

    #[test]
    fn filters_that_leave_nothing_are_refused() {
        assert_eq!(narrowed(&["rndrkit.*"], &[], Some(Api::Craftkit)), Err(SelectError::Nothing));
    }

    #[test]
    fn a_rule_without_a_check_is_pending() {
        let selection = select(&Narrowing::default(), &Api::ALL).unwrap_or_else(|error| panic!("{error}"));
        let judged: BTreeSet<&str> = checks::all().flat_map(|check| check.rules).copied().collect();
        assert_eq!(selection.pending().len(), catalogue::all().filter(|rule| !judged.contains(rule.id)).count());
    }
}
