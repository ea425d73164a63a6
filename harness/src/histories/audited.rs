//! What an audit found: one value from which the text, the reports and the exit code are rendered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api::Api;
use crate::target::protocol::Implementation;

/// Name and version of the JSON report of an audit.
pub const SCHEMA: &str = "hookproof.audit/1";

/// An audit of one or several histories, format [`SCHEMA`].
///
/// As JSON it is an object with exactly these fields, named as here. Times that end in `_ns` are nanoseconds on one time axis
/// for all operations: the recorder's own clock where one recorder wrote everything, nanoseconds since 1970 where several did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Audited {
    /// [`SCHEMA`].
    pub schema: String,
    /// This program.
    pub tool: Implementation,
    /// What it amounts to.
    pub verdict: AuditVerdict,
    /// Violations of should rules count like those of must rules.
    pub strict: bool,
    /// The histories read.
    pub files: Vec<FileFacts>,
    /// What the verdicts rest on.
    pub assumptions: Assumptions,
    /// Counts over all keys.
    pub totals: Totals,
    /// Every domain and template, by API and name.
    pub keys: Vec<KeyReport>,
    /// What a correct server cannot have done, must rules first.
    pub violations: Vec<Violation>,
    /// What could not be judged, and why.
    pub open: Vec<Open>,
}

/// What an audit amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditVerdict {
    /// A correct server can have produced all of it.
    Consistent,
    /// No correct server can have produced it.
    Inconsistent,
    /// Nothing contradicts a correct server, but something could not be judged.
    Inconclusive,
    /// There was nothing to judge.
    NothingJudged,
}

impl AuditVerdict {
    /// The verdict for a person.
    pub fn words(self) -> &'static str {
        match self {
            AuditVerdict::Consistent => "consistent with a correct server",
            AuditVerdict::Inconsistent => "not consistent with a correct server",
            AuditVerdict::Inconclusive => "inconclusive",
            AuditVerdict::NothingJudged => "nothing was judged",
        }
    }
}

/// A history as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Its path.
    pub path: String,
    /// Who wrote it.
    pub recorders: Vec<RecorderFacts>,
    /// Lines read.
    pub lines: u64,
    /// Operations in it, controls included.
    pub operations: u64,
    /// Operations that were invoked and never completed: their outcomes are unknown.
    pub unfinished: u64,
    /// A last line that was cut off and left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<TruncatedTail>,
    /// Lines of an access log that are about other requests and were left out.
    pub skipped: u64,
}

/// A recorder, as its header introduces it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecorderFacts {
    /// Its name.
    pub name: String,
    /// When its clock stood at zero, in milliseconds since 1970.
    pub unix_ms: u64,
    /// By how much that may be wrong, either way.
    pub skew_ms: u64,
}

/// A last line that was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TruncatedTail {
    /// Its number, from 1.
    pub line: u64,
    /// What there is of it.
    pub bytes: u64,
}

/// What the verdicts rest on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assumptions {
    /// Requests a domain is served in a window.
    pub limit: u64,
    /// The shortest window that is accepted.
    pub window_min_ms: u64,
    /// The longest window that is accepted.
    pub window_max_ms: u64,
    /// Whose clock the windows are measured on.
    pub clock: ClockKind,
    /// By how much the recorders' clocks may be wrong, the worst of them.
    pub skew_ms: u64,
    /// When a quota refuses: `reached` or `exceed`.
    pub quota: String,
    /// Whether accepted requests are taken to use the quota up at once, and why.
    pub charging: Charging,
    /// How long a revocation or an outage may take to be seen.
    pub settle_ms: u64,
}

/// Whose clock windows are measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockKind {
    /// That of the one recorder.
    Recorder,
    /// Those of several recorders, each as right as it says.
    Recorders,
    /// The target's own, which somebody drove and whose readings stand in the history.
    Target,
}

/// Whether acceptance uses the quota up at once, or only rendering does; the documents leave it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Charging {
    /// The user says at once.
    AtOnceStated,
    /// The history shows it: somewhere a 403 came right after the request that must have used up the last render.
    AtOnceShown,
    /// Neither, so that requests served beyond the quota prove nothing.
    Unknown,
}

/// Counts over all keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Refresh requests.
    pub refreshes: u64,
    /// Of these, surely counted by the limit.
    pub counted: u64,
    /// Of these, refused by the limit.
    pub refused: u64,
    /// Of these, perhaps counted: other answers, or none.
    pub perhaps: u64,
    /// Answers 429 with the error of somebody else; they are not taken for refusals of the limit.
    pub foreign_refusals: u64,
    /// Calls of the render hook.
    pub renders: u64,
    /// Of these, acknowledged with an id.
    pub acknowledged: u64,
    /// Of these, found by a poll.
    pub found: u64,
    /// Of these, polled to their end.
    pub finished: u64,
    /// Polls.
    pub polls: u64,
    /// Controls: clock, queue, revocations, quotas.
    pub controls: u64,
    /// Domains whose rate limit got a verdict.
    pub rate_judged: u64,
    /// Quotas that got a verdict.
    pub quotas_judged: u64,
    /// Revoked tokens that were used afterwards.
    pub revocations_judged: u64,
}

/// What was seen of a domain or a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyReport {
    /// Its API.
    pub api: Api,
    /// Its name.
    pub key: String,
    /// Whether it was known to be unused before.
    pub fresh: bool,
    /// Requests on it.
    pub requests: u64,
    /// How many requests got which answer; `none` counts those without.
    pub answers: BTreeMap<String, u64>,
    /// The most requests that were under way at one instant.
    pub overlap_max: u64,
    /// Whether the rate limit held.
    pub rate: Judged,
    /// Whether the quota held.
    pub quota: Judged,
    /// Whether acknowledged renders were found again.
    pub renders: Judged,
    /// Whether revoked tokens were refused.
    pub revocation: Judged,
}

/// What is known about one promise and one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judged {
    /// It can have held.
    Consistent,
    /// It cannot have held.
    Inconsistent,
    /// It could not be judged; `open` says why.
    Inconclusive,
    /// Nothing here is about it.
    #[default]
    NotConcerned,
}

/// Whether a violation counts by itself or only with `--strict`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditLevel {
    /// It makes the audit fail.
    Must,
    /// It is a warning; with `--strict` it counts.
    Should,
}

/// Something that a correct server cannot have done, with the fewest operations that show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// The rule of the catalogue that is broken.
    pub rule: String,
    /// Whether it counts.
    pub level: AuditLevel,
    /// The API.
    pub api: Api,
    /// The domain or template.
    pub key: String,
    /// A stable word for its kind, such as `over-admission`.
    pub kind: String,
    /// Why, in words.
    pub explanation: String,
    /// Whether the explanation alone can be checked by hand; otherwise the facts together are contradictory and the auditor vouches for it.
    pub proof: bool,
    /// The instant from which the explanation counts: the first request of the key, or of the facts.
    pub origin_ns: i64,
    /// The operations that show it, by start.
    pub facts: Vec<Fact>,
    /// Spans of time that the explanation speaks of.
    pub spans: Vec<Span>,
}

/// An operation that shows a violation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// The file it stands in.
    pub file: String,
    /// The line that tells its end, or its invocation if it never ended.
    pub line: u64,
    /// Its recorder.
    pub recorder: String,
    /// Its number there.
    pub n: u64,
    /// The name of its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What was asked.
    pub asked: String,
    /// What came.
    pub answer: String,
    /// Before its first byte was sent.
    pub start_ns: i64,
    /// After its last byte was received; none: it was never answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_ns: Option<i64>,
    /// What the auditor takes it for: `counted`, `refused`, `perhaps` or `shown`.
    pub role: String,
}

/// A span of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// What it is.
    pub label: String,
    /// Its start.
    pub from_ns: i64,
    /// Its end.
    pub to_ns: i64,
}

/// Something that could not be judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Whether it keeps the audit from being complete.
    pub level: AuditLevel,
    /// The API.
    pub api: Api,
    /// The domain or template.
    pub key: String,
    /// What is open: `rate`, `quota`, `renders` or `revocation`.
    pub about: String,
    /// Why.
    pub reason: String,
}

impl Audited {
    /// Violations that make the audit fail.
    pub fn failing(&self) -> impl Iterator<Item = &Violation> {
        self.violations.iter().filter(|violation| self.counts(violation.level))
    }

    /// Violations of should rules that do not count here.
    pub fn warnings(&self) -> impl Iterator<Item = &Violation> {
        self.violations.iter().filter(|violation| !self.counts(violation.level))
    }

    /// What keeps the audit from being complete.
    pub fn incomplete(&self) -> impl Iterator<Item = &Open> {
        self.open.iter().filter(|open| self.counts(open.level))
    }

    /// Whether anything at all got a verdict.
    pub fn judged_anything(&self) -> bool {
        let judged = |state: Judged| matches!(state, Judged::Consistent | Judged::Inconsistent);
        self.keys.iter().any(|key| [key.rate, key.quota, key.renders, key.revocation].into_iter().any(judged))
    }

    /// The most requests that were under way at one instant for one key.
    pub fn overlap_max(&self) -> u64 {
        self.keys.iter().map(|key| key.overlap_max).max().unwrap_or(0)
    }

    /// The JSON report.
    pub fn to_json(&self) -> String {
        crate::report::json_text(self)
    }

    /// Sums up what was found.
    pub(super) fn sum_up(&self) -> AuditVerdict {
        if self.failing().next().is_some() {
            AuditVerdict::Inconsistent
        } else if !self.judged_anything() {
            AuditVerdict::NothingJudged
        } else if self.incomplete().next().is_some() {
            AuditVerdict::Inconclusive
        } else {
            AuditVerdict::Consistent
        }
    }

    fn counts(&self, level: AuditLevel) -> bool {
        self.strict || level == AuditLevel::Must
    }
}
