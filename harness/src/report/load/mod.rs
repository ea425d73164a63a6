//! The report of a load run, format `hookproof.load/1`: one value from which every format and the exit code are rendered.
//!
//! The verdict on the limits comes from the recorded history alone; the counts of the load generator are only laid beside it.
//! Times are real ones of the machine that sent, in microseconds. `harness/schema/load-1.schema.json` describes the JSON.

pub mod junit;
pub mod markdown;
pub mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{NotDeleted, Target};
use crate::histories::audited::{Assumptions, Open, Violation};
use crate::secret::SecretFilter;
use crate::target::protocol::Implementation;
use crate::verdict::Status;

/// Name and version of the format.
pub const SCHEMA: &str = "hookproof.load/1";

/// What a load run showed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// [`SCHEMA`].
    pub schema: String,
    /// This program.
    pub tool: Implementation,
    /// What was loaded.
    pub target: Target,
    /// Seed of every random choice.
    pub seed: u64,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The scenarios that were asked for by name; empty: all that the target allows.
    pub named: Vec<String>,
    /// A broken should rule counts like a must rule.
    pub strict: bool,
    /// What it amounts to.
    pub verdict: LoadVerdict,
    /// Why the target could not be prepared, if it could not; nothing was sent then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unprepared: Option<String>,
    /// One entry for each scenario in scope, in the order in which they ran.
    pub scenarios: Vec<ScenarioReport>,
    /// Scenarios that nobody named and the target does not allow, with the reasons.
    pub skipped: Vec<Skipped>,
    /// The thresholds as given, and what became of each.
    pub thresholds: Vec<ThresholdReport>,
    /// What was made at the target and could not be deleted.
    pub not_deleted: Vec<NotDeleted>,
    /// Defects of this program that showed.
    pub defects: Vec<String>,
    /// Number of the signal that ended the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted_by: Option<i32>,
}

/// What a load run amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadVerdict {
    /// Every scenario in scope was judged, and no limit and no threshold was broken.
    Holds,
    /// A limit or a threshold was broken.
    Fails,
    /// Nothing was seen broken, but something in scope could not be judged.
    Incomplete,
    /// Ended by a signal.
    Interrupted,
}

impl LoadVerdict {
    /// The verdict in words.
    pub fn words(self) -> &'static str {
        match self {
            LoadVerdict::Holds => "holds",
            LoadVerdict::Fails => "fails",
            LoadVerdict::Incomplete => "incomplete",
            LoadVerdict::Interrupted => "interrupted",
        }
    }
}

/// A scenario that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its name.
    pub scenario: String,
    /// What is missing.
    pub reason: String,
}

/// One scenario's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScenarioReport {
    /// Its name.
    pub name: String,
    /// What it proves, in one line.
    pub proves: String,
    /// `pass`, `fail`, `warn` (a should rule), `inconclusive` or `not_run`.
    pub status: Status,
    /// Why it did not simply pass.
    pub reasons: Vec<String>,
    /// Hash of the schedule: the same seed and options give the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Real time, in milliseconds.
    pub duration_ms: u64,
    /// Requests by kind of operation.
    pub operations: Vec<OperationReport>,
    /// Whether the load was what it claims to be; absent if it was not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub honesty: Option<HonestyReport>,
    /// Where its history was kept; absent if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<String>,
    /// What the history says about the limits; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditReport>,
}

impl ScenarioReport {
    /// A scenario that was not run.
    pub fn not_run(name: &str, proves: &str, reason: String) -> ScenarioReport {
        ScenarioReport {
            name: name.to_owned(),
            proves: proves.to_owned(),
            status: Status::NotRun,
            reasons: vec![reason],
            plan: None,
            duration_ms: 0,
            operations: Vec::new(),
            honesty: None,
            history: None,
            audit: None,
        }
    }
}

/// The requests of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationReport {
    /// `refresh`, `flood`, `render` or `poll`.
    pub name: String,
    /// Requests sent.
    pub requests: u64,
    /// Requests that could not be sent, because no connection came about; they are in no history.
    pub unsent: u64,
    /// Complete answers by HTTP status.
    pub statuses: BTreeMap<String, u64>,
    /// Requests whose outcome is unknown: no complete answer came.
    pub unknown: u64,
    /// From the moment a request was due to the last byte of its answer; absent without a sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Latency>,
    /// From sending a request to the last byte of its answer; absent without a sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Latency>,
    /// From the moment a request was due to sending it; absent without a sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lateness: Option<Latency>,
}

/// Percentiles of a duration, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Half are at most this.
    pub p50_us: u64,
    /// Nine of ten are at most this.
    pub p90_us: u64,
    /// 99 of a hundred are at most this.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// Facts that tell whether the load was what it claims to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HonestyReport {
    /// Requests of the plan.
    pub planned: u64,
    /// Requests sent.
    pub sent: u64,
    /// Requests that were never begun.
    pub dropped: u64,
    /// Requests that could not be sent, because no connection came about.
    pub unsent: u64,
    /// Requests sent too late.
    pub late: u64,
    /// Users that sent them.
    pub users: u64,
    /// Share of all processors' time that this program used, from 0 to 1; absent where the system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_share: Option<f64>,
    /// Writes of the history that held requests up.
    pub recorder_stalls: u64,
    /// Requests of one key that were really under way together; absent where nothing depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<OverlapReport>,
    /// Requests that the load generator counted, laid beside the history's; absent if it was cut short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator_total: Option<u64>,
    /// Requests in the history.
    pub history_total: u64,
}

/// How many requests of one key were under way together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverlapReport {
    /// So many are needed.
    pub needed: u64,
    /// Keys that had volleys.
    pub keys: u64,
    /// Keys with at least as many as needed.
    pub reached: u64,
    /// The most that any key had.
    pub max: u64,
}

/// What the history says about the limits of one scenario's domains and templates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditReport {
    /// What the verdicts rest on, as in a report of `hookproof audit`.
    pub assumptions: Assumptions,
    /// Domains and templates.
    pub keys: u64,
    /// Requests on them.
    pub requests: u64,
    /// Promises that got a verdict: a rate limit, a quota, renders or a revocation of one key.
    pub judged: u64,
    /// What a correct server cannot have done.
    pub violations: Vec<Violation>,
    /// What could not be judged, and why.
    pub open: Vec<Open>,
}

/// What became of a threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThresholdReport {
    /// As given.
    pub expression: String,
    /// `pass`, `fail`, or `inconclusive` where the load was not what it claims to be.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// Over how many requests.
    pub samples: u64,
}

impl LoadReport {
    /// A report of a run in which nothing has happened yet.
    pub fn begun(target: String, started_at: String) -> LoadReport {
        LoadReport {
            schema: SCHEMA.to_owned(),
            tool: Implementation { name: "hookproof".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
            target: Target { name: target, implementation: Implementation::default() },
            seed: 0,
            started_at,
            duration_ms: 0,
            named: Vec::new(),
            strict: false,
            verdict: LoadVerdict::Incomplete,
            unprepared: None,
            scenarios: Vec::new(),
            skipped: Vec::new(),
            thresholds: Vec::new(),
            not_deleted: Vec::new(),
            defects: Vec::new(),
            interrupted_by: None,
        }
    }

    /// True if a limit or a threshold was broken.
    pub fn fails(&self) -> bool {
        let broken = |scenario: &ScenarioReport| {
            scenario.status == Status::Fail || (self.strict && scenario.status == Status::Warn)
        };
        self.scenarios.iter().any(broken) || self.thresholds.iter().any(|threshold| threshold.status == Status::Fail)
    }

    /// True if something in scope could not be judged.
    pub fn is_open(&self) -> bool {
        let open = |status: Status| matches!(status, Status::NotRun | Status::Inconclusive);
        self.unprepared.is_some()
            || self.scenarios.iter().any(|scenario| open(scenario.status))
            || self.thresholds.iter().any(|threshold| open(threshold.status))
    }

    /// True if at least one scenario was judged.
    pub fn judged_anything(&self) -> bool {
        self.scenarios.iter().any(|scenario| matches!(scenario.status, Status::Pass | Status::Warn | Status::Fail))
    }

    /// The verdict that follows from the rest of the report.
    pub fn amounts_to(&self) -> LoadVerdict {
        if self.interrupted_by.is_some() {
            LoadVerdict::Interrupted
        } else if self.fails() {
            LoadVerdict::Fails
        } else if self.is_open() || !self.judged_anything() || !self.defects.is_empty() {
            LoadVerdict::Incomplete
        } else {
            LoadVerdict::Holds
        }
    }

    /// The same with the verdict that follows.
    pub fn summed_up(mut self) -> LoadReport {
        self.verdict = self.amounts_to();
        self
    }

    /// The same without secrets, whoever said them.
    pub fn cleaned(self, filter: &SecretFilter) -> LoadReport {
        let value = serde_json::to_value(&self).expect("a report has only text keys");
        serde_json::from_value(filter.value(&value)).expect("cleaning changes texts only")
    }

    /// As JSON, indented, with nothing in it that steers a terminal.
    pub fn to_json(&self) -> String {
        super::json_text(self)
    }
}
