//! The report of a run: one value from which every format and the exit code are rendered.

pub mod assemble;
pub mod audit;
pub mod compare;
pub mod events;
pub mod github;
pub mod junit;
pub mod load;
pub mod markdown;
pub mod matrix;
pub mod rules;
pub mod snapshots;
pub mod terminal;
pub mod verify;

use serde::{Deserialize, Serialize};

use crate::api::Api;
use crate::evidence::Evidence;
use crate::known::{KnownFailure, KnownState};
use crate::profile::limiter::Fingerprint;
use crate::profile::observe::Observation;
use crate::runner::Stopped;
use crate::runner::select::Exclusion;
use crate::snapshots::review::Review;
use crate::target::protocol::Implementation;
use crate::verdict::{Finding, Status, Verdict};

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
    /// Why the target could not be prepared, if it could not; nothing was judged then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unprepared: Option<String>,
    /// Rules by status.
    pub summary: Summary,
    /// Failures that the target file lists as known, and what became of each.
    #[serde(default)]
    pub known_failures: Vec<KnownReport>,
    /// Every rule of the target's APIs, in the catalogue's order.
    pub rules: Vec<RuleReport>,
    /// Every check that ran, in the catalogue's order.
    pub checks: Vec<CheckReport>,
    /// Behaviour that the documents leave open.
    pub observations: Vec<Observation>,
    /// The limiter that the target was seen to have; absent if nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limiter: Option<Fingerprint>,
    /// What became of a comparison with accepted answers; absent if none was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<Review>,
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
    pub excluded: Vec<Exclusion>,
    /// How many cases of each property were generated; absent from reports of versions that generated none.
    #[serde(default)]
    pub cases: u32,
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
    /// Why it was not judged, if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
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

/// A known failure and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownReport {
    /// The entry of the target file.
    pub entry: KnownFailure,
    /// What became of it.
    pub state: KnownState,
}

impl Report {
    /// Rules without a check.
    pub fn pending(&self) -> Vec<&RuleReport> {
        self.rules.iter().filter(|rule| rule.reason == PENDING).collect()
    }

    /// True if the rule counts and is broken, and that is not known.
    pub fn is_new_failure(&self, rule: &RuleReport) -> bool {
        rule.status == Status::Fail || (self.strict && rule.status == Status::Warn)
    }

    /// True if a rule that counts could not be judged.
    pub fn is_open(&self, rule: &RuleReport) -> bool {
        let counts = self.strict || rule.level == crate::catalogue::Level::Must.name();
        counts && matches!(rule.status, Status::NotRun | Status::Inconclusive)
    }

    /// True if anything fails: a rule that is not known to, or the list of known failures itself.
    pub fn fails(&self) -> bool {
        self.rules.iter().any(|rule| self.is_new_failure(rule))
            || self.known_failures.iter().any(|known| known.state.is_failure())
    }

    /// True if at least one rule was judged.
    pub fn judged_anything(&self) -> bool {
        let judged =
            |rule: &RuleReport| matches!(rule.status, Status::Pass | Status::Warn | Status::Fail | Status::Known);
        self.rules.iter().any(judged)
    }

    /// The finding that decided a rule's status, with the check it came from.
    pub fn deciding(&self, rule: &RuleReport) -> Option<(&CheckReport, &Finding)> {
        let decides = |finding: &Finding| match rule.status {
            Status::Known => finding.status.is_red(),
            other => finding.status == other,
        };
        let findings = self.checks.iter().flat_map(|check| check.findings.iter().map(move |finding| (check, finding)));
        findings.into_iter().find(|(_, finding)| finding.rule == rule.id && decides(finding))
    }

    /// As JSON, indented.
    pub fn to_json(&self) -> String {
        json_text(self)
    }
}

/// A report as indented JSON.
pub(crate) fn json_text(report: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(report).expect("a report has only text keys");
    // JSON need not escape all that steers a terminal. Outside of its texts there is none of that but the ends of lines.
    let mut safe = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        if character != '\n' && terminal::steers(character) {
            safe.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            safe.push(character);
        }
    }
    safe.push('\n');
    safe
}
