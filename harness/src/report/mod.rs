//! The report of a run: one value from which every format and the exit code are rendered.

pub mod rules;
pub mod terminal;

use serde::{Deserialize, Serialize};

use crate::api::Api;
use crate::catalogue::{self, Level, Rule};
use crate::evidence::Evidence;
use crate::runner::open::OpenTarget;
use crate::runner::select::{Narrowing, Selection};
use crate::runner::{CheckResult, Run};
use crate::secret::SecretBook;
use crate::target::protocol::Implementation;
use crate::verdict::{Finding, Status, Verdict, worst};

/// Name and version of the report's format.
pub const SCHEMA: &str = "hookproof.report/1";
/// Version of the set of rules.
pub const CONTRACT: &str = "1";
/// Why a rule without a check was not judged.
pub const PENDING: &str = "pending: this version of hookproof has no check for it";

/// A conformance report, format `hookproof.report/1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// [`CONTRACT`].
    pub contract: String,
    /// This program.
    pub tool: Implementation,
    /// What was judged.
    pub target: Target,
    /// Seed of the run.
    pub seed: u64,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// What it was narrowed to.
    pub scope: Scope,
    /// A broken should rule counts like a must rule.
    pub strict: bool,
    /// What it amounts to.
    pub verdict: Verdict,
    /// Rules by status.
    pub summary: Summary,
    /// Every rule of the target's APIs, in the catalogue's order.
    pub rules: Vec<RuleReport>,
    /// Every check that ran, in the catalogue's order.
    pub checks: Vec<CheckReport>,
    /// Behaviour that the documents leave open.
    pub observations: Vec<serde_json::Value>,
    /// What was made at the target and could not be deleted.
    pub not_deleted: Vec<NotDeleted>,
    /// Defects of this program that showed.
    pub defects: Vec<String>,
    /// Number of the signal that ended the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted_by: Option<i32>,
}

/// What was judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// `builtin`, or the name in the target file.
    pub name: String,
    /// What the fixtures' `hello` said.
    pub implementation: Implementation,
}

/// What a run was narrowed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The APIs of the target.
    pub apis: Vec<Api>,
    /// Globs of `--only`.
    pub only: Vec<String>,
    /// Globs of `--skip`.
    pub skip: Vec<String>,
    /// The API of `--api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<Api>,
    /// Rules excluded by the target file, with the reasons.
    pub excluded: Vec<serde_json::Value>,
}

/// How many rules have each status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Judged, and held.
    pub pass: usize,
    /// Must rules broken.
    pub fail: usize,
    /// Should rules, or should parts, broken.
    pub warn: usize,
    /// Ran without a result.
    pub inconclusive: usize,
    /// Could not run.
    pub not_run: usize,
    /// Their condition does not hold.
    pub not_applicable: usize,
    /// Out of scope.
    pub excluded: usize,
    /// Broken, known and accepted for now.
    pub known: usize,
}

/// One rule's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleReport {
    /// Its id.
    pub id: String,
    /// `must` or `should`.
    pub level: String,
    /// The worst of its findings.
    pub status: Status,
    /// What came, or why it was not judged.
    pub reason: String,
    /// The checks that judge it.
    pub checks: Vec<String>,
}

/// One check's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Its id.
    pub id: String,
    /// Real time, in milliseconds.
    pub duration_ms: u64,
    /// What it found.
    pub findings: Vec<Finding>,
    /// What it saw.
    pub evidence: Evidence,
}

/// Something that stays behind at the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotDeleted {
    /// The method that would delete it.
    pub method: String,
    /// Which one.
    pub value: String,
    /// Why it was not deleted.
    pub reason: String,
}

/// What a report says about a run besides its results.
pub struct Frame<'a> {
    /// What was judged.
    pub target: &'a OpenTarget,
    /// Seed of the run.
    pub seed: u64,
    /// When it began.
    pub started_at: jiff::Timestamp,
    /// How long it took.
    pub duration: std::time::Duration,
    /// What it was narrowed to.
    pub narrowing: &'a Narrowing,
    /// A broken should rule counts.
    pub strict: bool,
}

impl Report {
    /// The report of a run. Every secret that any check was given is replaced wherever it shows.
    pub fn of(frame: &Frame<'_>, selection: &Selection, run: Run) -> Report {
        let rules = rule_reports(selection, &run);
        let verdict = verdict(&rules, frame, run.interrupted.is_some());
        let secrets = all_secrets(frame, &run);
        let report = Report {
            schema: SCHEMA.to_owned(),
            contract: CONTRACT.to_owned(),
            tool: Implementation { name: "hookproof".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
            target: Target { name: frame.target.name.clone(), implementation: frame.target.implementation.clone() },
            seed: frame.seed,
            started_at: frame.started_at.to_string(),
            duration_ms: u64::try_from(frame.duration.as_millis()).unwrap_or(u64::MAX),
            scope: Scope {
                apis: crate::runner::apis(&frame.target.world),
                only: frame.narrowing.only.clone(),
                skip: frame.narrowing.skip.clone(),
                api: frame.narrowing.api,
                excluded: Vec::new(),
            },
            strict: frame.strict,
            verdict,
            summary: Summary::of(&rules),
            rules,
            observations: Vec::new(),
            not_deleted: not_deleted(&run.results),
            defects: run.results.iter().filter_map(|result| result.defect.clone()).collect(),
            interrupted_by: run.interrupted.map(|signal| signal.0),
            checks: run.results.into_iter().map(check_report).collect(),
        };
        report.cleaned(&secrets)
    }

    /// The catalogue's rules that were judged without a check, that is: not at all.
    pub fn pending(&self) -> Vec<&RuleReport> {
        self.rules.iter().filter(|rule| rule.reason == PENDING).collect()
    }

    /// The finding that decided a rule's status, with the check it came from.
    pub fn deciding(&self, rule: &RuleReport) -> Option<(&CheckReport, &Finding)> {
        let findings = self.checks.iter().flat_map(|check| check.findings.iter().map(move |finding| (check, finding)));
        let mut of_rule = findings.filter(|(_, finding)| finding.rule == rule.id && finding.status == rule.status);
        of_rule.next()
    }

    /// As JSON, indented.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a report has only text keys");
        text.push('\n');
        text
    }

    /// A secret of one check may show in what another saw, if the target mixes them up; nothing may leave with it.
    fn cleaned(self, secrets: &SecretBook) -> Report {
        let value = serde_json::to_value(&self).expect("a report has only text keys");
        let filtered = secrets.filter().value(&value);
        if filtered == value {
            return self;
        }
        serde_json::from_value(filtered).expect("only texts were replaced")
    }
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
            known: 0,
        }
    }
}

fn all_secrets(frame: &Frame<'_>, run: &Run) -> SecretBook {
    let mut book = SecretBook::default();
    book.merge(&frame.target.world.secrets);
    for result in &run.results {
        book.add_all(&result.book, result.check.id);
    }
    book
}

fn rule_reports(selection: &Selection, run: &Run) -> Vec<RuleReport> {
    let in_scope = selection.rules.iter().map(|rule| judged_rule(rule, run));
    let excluded = selection.excluded.iter().map(|rule| RuleReport {
        id: rule.id.to_owned(),
        level: rule.level.name().to_owned(),
        status: Status::Excluded,
        reason: "left out by --only, --skip or --api".to_owned(),
        checks: Vec::new(),
    });
    let mut reports: Vec<RuleReport> = in_scope.chain(excluded).collect();
    reports.sort_by_key(|report| catalogue::all().position(|rule| rule.id == report.id));
    reports
}

fn judged_rule(rule: &Rule, run: &Run) -> RuleReport {
    let findings = run.results.iter().flat_map(|result| &result.findings).filter(|finding| finding.rule == rule.id);
    let checks: Vec<String> =
        crate::checks::all().filter(|check| check.rules.contains(&rule.id)).map(|check| check.id.to_owned()).collect();
    let (status, reason) = match worst(findings) {
        Some(finding) => (finding.status, finding.actual.clone()),
        None if checks.is_empty() => (Status::NotRun, PENDING.to_owned()),
        None => (Status::NotRun, "the run ended before its check".to_owned()),
    };
    RuleReport { id: rule.id.to_owned(), level: rule.level.name().to_owned(), status, reason, checks }
}

fn check_report(result: CheckResult) -> CheckReport {
    CheckReport {
        id: result.check.id.to_owned(),
        duration_ms: u64::try_from(result.duration.as_millis()).unwrap_or(u64::MAX),
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

fn verdict(rules: &[RuleReport], frame: &Frame<'_>, interrupted: bool) -> Verdict {
    let counts = |rule: &RuleReport| frame.strict || rule.level == Level::Must.name();
    let open = |rule: &&RuleReport| matches!(rule.status, Status::NotRun | Status::Inconclusive) && counts(rule);
    let broken = |rule: &&RuleReport| rule.status == Status::Fail || (frame.strict && rule.status == Status::Warn);
    let judged = |rule: &&RuleReport| matches!(rule.status, Status::Pass | Status::Warn | Status::NotApplicable);
    if interrupted {
        Verdict::Interrupted
    } else if rules.iter().any(|rule| broken(&rule)) {
        Verdict::DoesNotConform
    } else if rules.iter().any(|rule| open(&rule)) || !rules.iter().any(|rule| judged(&rule)) {
        Verdict::Incomplete
    } else if frame.narrowing.is_narrow() {
        Verdict::Partial
    } else {
        Verdict::Conforms
    }
}
