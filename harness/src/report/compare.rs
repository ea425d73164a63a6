//! `hookproof compare`: two reports side by side. Pure.
//!
//! Rules are compared by status, probes by value, checks by being there. A regression is what somebody who relied on the first report
//! must know: a must rule that passed and no longer does, or something that is no longer looked at.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::terminal::printable;
use super::{Report, RuleReport};
use crate::catalogue::Level;
use crate::verdict::Status;

/// What differs between two reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Must rules that passed and do not pass any more, and rules that are not in the second report.
    pub regressions: Vec<RuleChange>,
    /// Rules whose status is another one, and rules that are new.
    pub changes: Vec<RuleChange>,
    /// Checks of the first report that the second lacks; each is a regression.
    pub checks_gone: Vec<String>,
    /// Checks that only the second report has.
    pub checks_new: Vec<String>,
    /// Probes with another value.
    pub behaviours: Vec<BehaviourChange>,
    /// The limiter, as both reports describe it, if it is another one.
    pub limiter: Option<(String, String)>,
}

/// A rule with two statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleChange {
    /// The rule.
    pub id: String,
    /// Its level.
    pub level: String,
    /// What the first report says of it.
    pub before: Option<Status>,
    /// What the second says.
    pub after: Option<Status>,
    /// Why, in the second report's words.
    pub reason: String,
}

/// A probe with two values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BehaviourChange {
    /// The probe.
    pub id: String,
    /// What the first report observed.
    pub before: Option<String>,
    /// What the second did.
    pub after: Option<String>,
}

impl Comparison {
    /// True if the second report is worse in a way that counts.
    pub fn regressed(&self) -> bool {
        !self.regressions.is_empty() || !self.checks_gone.is_empty()
    }
}

/// Lays two reports side by side.
pub fn compare(before: &Report, after: &Report) -> Comparison {
    let mut comparison = Comparison::default();
    for change in rule_changes(before, after) {
        let list = if is_regression(&change) { &mut comparison.regressions } else { &mut comparison.changes };
        list.push(change);
    }
    comparison.checks_gone = only_in_first(before, after);
    comparison.checks_new = only_in_first(after, before);
    comparison.behaviours = behaviours(before, after);
    comparison.limiter = limiter(before, after);
    comparison
}

/// Rules in the order of the first report, new ones after them.
fn rule_changes(before: &Report, after: &Report) -> Vec<RuleChange> {
    let of = |report: &Report, id: &str| report.rules.iter().find(|rule| rule.id == id).cloned();
    let known = before.rules.iter().map(|rule| change(Some(rule), of(after, &rule.id).as_ref()));
    let new = after.rules.iter().filter(|rule| of(before, &rule.id).is_none()).map(|rule| change(None, Some(rule)));
    known.chain(new).filter(|change| change.before != change.after).collect()
}

fn change(before: Option<&RuleReport>, after: Option<&RuleReport>) -> RuleChange {
    let text = |of: fn(&RuleReport) -> &String| after.or(before).map(of).cloned().unwrap_or_default();
    RuleChange {
        id: text(|rule| &rule.id),
        level: before.or(after).map(|rule| rule.level.clone()).unwrap_or_default(),
        before: before.map(|rule| rule.status),
        after: after.map(|rule| rule.status),
        reason: after.map_or("it is not in the report".to_owned(), |rule| rule.reason.clone()),
    }
}

/// A known failure is accepted where it is known; whoever compares wants to hear of it all the same.
fn is_regression(change: &RuleChange) -> bool {
    let held = change.level == Level::Must.name() && change.before == Some(Status::Pass);
    match change.after {
        None => true,
        Some(Status::Fail | Status::Known | Status::NotRun | Status::Inconclusive) => held,
        Some(Status::Pass | Status::Warn | Status::NotApplicable | Status::Excluded) => false,
    }
}

fn only_in_first(first: &Report, second: &Report) -> Vec<String> {
    let lacks = |id: &&String| !second.checks.iter().any(|check| check.id == **id);
    first.checks.iter().map(|check| &check.id).filter(lacks).cloned().collect()
}

fn behaviours(before: &Report, after: &Report) -> Vec<BehaviourChange> {
    let mut found: BTreeMap<&str, (Option<&str>, Option<&str>)> = BTreeMap::new();
    for observation in &before.observations {
        found.entry(&observation.id).or_default().0 = Some(&observation.value);
    }
    for observation in &after.observations {
        found.entry(&observation.id).or_default().1 = Some(&observation.value);
    }
    let differing = found.into_iter().filter(|(_, (before, after))| before != after);
    let owned = |text: Option<&str>| text.map(str::to_owned);
    differing
        .map(|(id, (before, after))| BehaviourChange { id: id.to_owned(), before: owned(before), after: owned(after) })
        .collect()
}

fn limiter(before: &Report, after: &Report) -> Option<(String, String)> {
    let words = |report: &Report| report.limiter.as_ref().map_or("not looked at".to_owned(), |limiter| limiter.words());
    (before.limiter != after.limiter).then(|| (words(before), words(after)))
}

macro_rules! say {
    ($text:expr, $($rest:tt)*) => {
        writeln!($text, $($rest)*).expect("writing to a string does not fail")
    };
}

/// The comparison for a person, worst first.
pub fn render(comparison: &Comparison, before: &Report, after: &Report) -> String {
    let mut text = String::new();
    for (word, report) in [("before", before), ("after ", after)] {
        let (target, by) = (&report.target, &report.target.implementation);
        let name = format!("{} ({} {}), {}", target.name, by.name, by.version, report.started_at);
        say!(text, "{word}  {}: {}", printable(&name), report.verdict.words());
    }
    rules(&mut text, "regressions", &comparison.regressions);
    list(&mut text, "checks that are gone", &comparison.checks_gone);
    rules(&mut text, "other rules that changed", &comparison.changes);
    list(&mut text, "checks that are new", &comparison.checks_new);
    behaviour_lines(&mut text, comparison, before, after);
    if let Some((before, after)) = &comparison.limiter {
        say!(text, "\nlimiter\n  {}\n  now: {}", printable(before), printable(after));
    }
    say!(text, "\n{}", closing(comparison));
    text
}

fn rules(text: &mut String, heading: &str, changes: &[RuleChange]) {
    if changes.is_empty() {
        return;
    }
    say!(text, "\n{heading}");
    let name = |status: Option<Status>| status.map_or("not there", Status::name);
    for change in changes {
        say!(
            text,
            "  {} ({}): {} → {}",
            printable(&change.id),
            printable(&change.level),
            name(change.before),
            name(change.after)
        );
        if change.after != Some(Status::Pass) {
            say!(text, "    {}", printable(&change.reason));
        }
    }
}

fn list(text: &mut String, heading: &str, ids: &[String]) {
    if ids.is_empty() {
        return;
    }
    say!(text, "\n{heading}");
    for id in ids {
        say!(text, "  {}", printable(id));
    }
}

/// A report of a narrowed run has no behaviours at all, which is one difference and not a hundred.
fn behaviour_lines(text: &mut String, comparison: &Comparison, before: &Report, after: &Report) {
    if comparison.behaviours.is_empty() {
        return;
    }
    say!(text, "\nbehaviours that differ");
    for (report, word) in [(before, "first"), (after, "second")] {
        if report.observations.is_empty() {
            return say!(text, "  the {word} report observed none");
        }
    }
    for change in &comparison.behaviours {
        let shown = |value: &Option<String>| value.as_deref().map_or("not there".to_owned(), printable);
        say!(text, "  {}\n    {}\n    now: {}", printable(&change.id), shown(&change.before), shown(&change.after));
    }
}

fn closing(comparison: &Comparison) -> String {
    let regressions = comparison.regressions.len() + comparison.checks_gone.len();
    let changes = comparison.changes.len() + comparison.checks_new.len();
    let behaviours = comparison.behaviours.len();
    let limiter = if comparison.limiter.is_some() { ", another limiter" } else { "" };
    format!("{regressions} regressions, {changes} other changes, {behaviours} behaviours that differ{limiter}")
}
