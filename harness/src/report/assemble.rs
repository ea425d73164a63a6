//! From the results of a run to its report: what each rule, and the whole, amounts to. `verify` takes the same way from stored evidence.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::Api;
use crate::catalogue::{self, Rule};
use crate::evidence::Evidence;
use crate::gather::World;
use crate::known::{self, KnownFailure};
use crate::profile;
use crate::report::{
    CONTRACT, CheckReport, KnownReport, NotDeleted, PENDING, Report, RuleReport, SCHEMA, Scope, Summary, Target,
};
use crate::runner::select::{Narrowing, Selection};
use crate::runner::{self, CheckResult, Run};
use crate::secret::{SecretBook, SecretFilter};
use crate::target::protocol::Implementation;
use crate::verdict::{Status, Verdict, worst};

/// What a report says about a run besides its results.
pub struct Frame<'a> {
    /// What was judged.
    pub target: Target,
    /// The APIs that it has.
    pub apis: Vec<Api>,
    /// Why it could not be prepared, if it could not.
    pub unprepared: Option<String>,
    /// Seed of the run.
    pub seed: u64,
    /// How many cases of each property were generated.
    pub cases: u32,
    /// When it began.
    pub started_at: jiff::Timestamp,
    /// How long it took.
    pub duration: std::time::Duration,
    /// What it was narrowed to.
    pub narrowing: &'a Narrowing,
    /// A broken should rule counts.
    pub strict: bool,
    /// Failures that the target file lists as known.
    pub known: &'a [KnownFailure],
}

/// The report of a run, or of one that did not come about. Every secret is replaced wherever it shows.
pub fn report(frame: Frame<'_>, selection: &Selection, mut run: Run, secrets: &SecretBook) -> Report {
    // A secret of one check may show in what another saw, if the target mixes them up; nothing may leave with it.
    let filter = secrets.filter();
    runner::clean(&mut run.results, &filter);
    let mut report = Report {
        schema: SCHEMA.to_owned(),
        contract: CONTRACT.to_owned(),
        tool: Implementation { name: "hookproof".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        target: frame.target,
        seed: frame.seed,
        started_at: frame.started_at.to_string(),
        duration_ms: u64::try_from(frame.duration.as_millis()).unwrap_or(u64::MAX),
        scope: Scope {
            apis: frame.apis,
            only: frame.narrowing.only.clone(),
            skip: frame.narrowing.skip.clone(),
            api: frame.narrowing.api,
            excluded: frame.narrowing.exclusions.clone(),
            cases: frame.cases,
        },
        strict: frame.strict,
        // The conclusions follow from the rest.
        verdict: Verdict::Incomplete,
        unprepared: frame.unprepared,
        summary: Summary::default(),
        known_failures: Vec::new(),
        rules: Vec::new(),
        observations: Vec::new(),
        limiter: None,
        snapshots: None,
        not_deleted: not_deleted(&run.results),
        defects: run.results.iter().filter_map(|result| result.defect.clone()).collect(),
        interrupted_by: run.interrupted.map(|signal| signal.0),
        checks: run.results.into_iter().map(check_report).collect(),
    };
    conclude(&mut report, selection, frame.known, frame.narrowing.is_narrow());
    cleaned(report, &filter)
}

/// Draws the conclusions: rules, known failures, limiter, summary and verdict from what the checks saw and found.
pub fn conclude(report: &mut Report, selection: &Selection, known: &[KnownFailure], narrowed: bool) {
    let mut rules = rule_reports(selection, report);
    let today = report.started_at.parse::<jiff::Timestamp>().unwrap_or_default();
    let today = today.to_zoned(jiff::tz::TimeZone::UTC).date();
    report.known_failures = known
        .iter()
        .map(|entry| {
            let status = rules.iter().find(|rule| rule.id == entry.rule).map(|rule| rule.status);
            // Where nobody was there to be judged, no entry is to blame.
            let status = status.filter(|_| report.unprepared.is_none());
            KnownReport { entry: entry.clone(), state: known::state(entry, status, today) }
        })
        .collect();
    for known in report.known_failures.iter().filter(|known| known.state == known::KnownState::Fails) {
        for rule in rules.iter_mut().filter(|rule| rule.id == known.entry.rule) {
            rule.status = Status::Known;
        }
    }
    report.limiter = profile::limiter_of(&report.checks);
    report.summary = Summary::of(&rules);
    report.rules = rules;
    report.verdict = verdict(report, narrowed);
}

fn verdict(report: &Report, narrowed: bool) -> Verdict {
    if report.interrupted_by.is_some() {
        Verdict::Interrupted
    } else if report.fails() || report.rules.iter().any(|rule| rule.status == Status::Known) {
        Verdict::DoesNotConform
    } else if report.rules.iter().any(|rule| report.is_open(rule)) || !report.judged_anything() {
        Verdict::Incomplete
    } else if narrowed {
        Verdict::Partial
    } else {
        Verdict::Conforms
    }
}

fn rule_reports(selection: &Selection, report: &Report) -> Vec<RuleReport> {
    let in_scope = selection.rules.iter().map(|rule| judged_rule(rule, selection, report));
    let excluded = selection.excluded.iter().map(|(rule, reason)| RuleReport {
        id: rule.id.to_owned(),
        level: rule.level.name().to_owned(),
        status: Status::Excluded,
        reason: reason.clone(),
        checks: Vec::new(),
    });
    let mut reports: Vec<RuleReport> = in_scope.chain(excluded).collect();
    reports.sort_by_key(|report| catalogue::all().position(|rule| rule.id == report.id));
    reports
}

fn judged_rule(rule: &Rule, selection: &Selection, report: &Report) -> RuleReport {
    let findings = report.checks.iter().flat_map(|check| &check.findings).filter(|finding| finding.rule == rule.id);
    let judging: Vec<String> = selection
        .checks
        .iter()
        .filter(|check| check.rules.contains(&rule.id))
        .map(|check| check.id.to_owned())
        .collect();
    let (status, reason) = match worst(findings) {
        Some(finding) => (finding.status, finding.actual.clone()),
        None if judging.is_empty() => (Status::NotRun, PENDING.to_owned()),
        None => {
            let ended = || "the run ended before its check".to_owned();
            (Status::NotRun, report.unprepared.clone().unwrap_or_else(ended))
        }
    };
    RuleReport { id: rule.id.to_owned(), level: rule.level.name().to_owned(), status, reason, checks: judging }
}

fn check_report(result: CheckResult) -> CheckReport {
    CheckReport {
        id: result.check.id.to_owned(),
        duration_ms: u64::try_from(result.duration.as_millis()).unwrap_or(u64::MAX),
        stopped: result.stopped,
        findings: result.findings,
        evidence: result.evidence,
    }
}

fn not_deleted(results: &[CheckResult]) -> Vec<NotDeleted> {
    let left = results.iter().flat_map(|result| &result.not_deleted);
    left.map(|(leftover, reason)| NotDeleted {
        method: leftover.method.name().to_owned(),
        value: leftover.value.clone(),
        reason: reason.clone(),
    })
    .collect()
}

/// Every secret that the run knew: those of the configuration and those of each check.
pub fn all_secrets(world: &World, run: &Run) -> SecretBook {
    let mut book = SecretBook::default();
    book.merge(&world.secrets);
    for result in &run.results {
        book.add_all(&result.book, result.check.id);
    }
    book
}

/// Replaces every secret besides evidence, which has been cleaned, and large.
fn cleaned(mut report: Report, filter: &SecretFilter) -> Report {
    let checks = std::mem::take(&mut report.checks).into_iter().map(|check| {
        let evidence = check.evidence;
        let check = texts_cleaned(CheckReport { evidence: Evidence::default(), ..check }, filter);
        CheckReport { evidence, ..check }
    });
    let checks = checks.collect();
    Report { checks, ..texts_cleaned(report, filter) }
}

fn texts_cleaned<T: Serialize + DeserializeOwned>(part: T, filter: &SecretFilter) -> T {
    let value = serde_json::to_value(&part).expect("a report has only text keys");
    let filtered = filter.value(&value);
    if filtered == value {
        return part;
    }
    serde_json::from_value(filtered).expect("only texts were replaced")
}

impl Summary {
    fn of(rules: &[RuleReport]) -> Summary {
        let count = |status: Status| rules.iter().filter(|rule| rule.status == status).count();
        Summary {
            pass: count(Status::Pass),
            fail: count(Status::Fail),
            warn: count(Status::Warn),
            inconclusive: count(Status::Inconclusive),
            not_run: count(Status::NotRun),
            not_applicable: count(Status::NotApplicable),
            excluded: count(Status::Excluded),
            known: count(Status::Known),
        }
    }
}
