//! What a run tells when it has ended. Whether limits held is not among it: that is read from the history.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::history::STALL;
use crate::plan::PlanHash;
use crate::scenario::Scenario;

/// A run, as it went.
#[derive(Debug, Clone)]
pub struct Run {
    /// The scenario.
    pub scenario: Scenario,
    /// The plan it followed.
    pub plan: PlanHash,
    /// From the first slot's due time to the last answer.
    pub elapsed: Duration,
    /// What became of the requests of each kind.
    pub operations: BTreeMap<Operation, Tally>,
    /// Whether the numbers can be trusted.
    pub honesty: Honesty,
    /// The domain with the most accepted requests, and how many.
    pub worst_domain: Option<(String, u64)>,
    /// Answers that no working server gives to what was sent, each kind once.
    pub surprises: Vec<Surprise>,
    /// Only in `quota-drain`: whether the target was seen to charge a request as it accepts it, one request after the other. Where it does not,
    /// concurrent requests may rightly get more than the quota.
    pub charges_at_once: Option<bool>,
    /// Whether it was stopped before its plan was done.
    pub interrupted: bool,
}

/// A kind of request, as results and thresholds name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// A refresh request.
    Refresh,
    /// A refresh request of the domain that floods the others.
    Flood,
    /// A call of the inbound hook.
    Render,
    /// A poll of a render.
    Poll,
}

impl Operation {
    /// Every kind.
    pub const ALL: [Operation; 4] = [Operation::Refresh, Operation::Flood, Operation::Render, Operation::Poll];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Refresh => "refresh",
            Operation::Flood => "flood",
            Operation::Render => "render",
            Operation::Poll => "poll",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What became of the requests of one kind. Latencies are in nanoseconds, kept to three digits.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Answers by HTTP status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without a complete answer: they timed out, or their connection broke.
    pub unknown: u64,
    /// Requests that could not be sent at all, as when no connection came about. They are in no history.
    pub unsent: u64,
    /// Those of the answered, unknown and unsent ones that are no answer a working server gives.
    pub errors: u64,
    /// From when a request was due to its last byte, waiting included: what an independent sender would have seen.
    pub response: Histogram<u64>,
    /// From when it was sent to its last byte.
    pub service: Histogram<u64>,
    /// From when it was due to when it was sent.
    pub lateness: Histogram<u64>,
}

impl Tally {
    /// Requests that were sent, answered or not.
    pub fn sent(&self) -> u64 {
        self.statuses.values().sum::<u64>() + self.unknown
    }

    /// Adds another tally of the same kind.
    pub fn add(&mut self, other: &Tally) {
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.unknown += other.unknown;
        self.unsent += other.unsent;
        self.errors += other.errors;
        for (mine, theirs) in [
            (&mut self.response, &other.response),
            (&mut self.service, &other.service),
            (&mut self.lateness, &other.lateness),
        ] {
            mine.add(theirs).expect("all histograms have one range");
        }
    }
}

impl Default for Tally {
    fn default() -> Tally {
        /// Longer than any request may take.
        const LATENCY_MAX_NS: u64 = 3_600_000_000_000;
        const DIGITS: u8 = 3;
        let empty = || Histogram::new_with_bounds(1, LATENCY_MAX_NS, DIGITS).expect("bounds that HDR histograms have");
        Tally {
            statuses: BTreeMap::new(),
            unknown: 0,
            unsent: 0,
            errors: 0,
            response: empty(),
            service: empty(),
            lateness: empty(),
        }
    }
}

/// Facts by which to tell whether the load was what it claims to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Honesty {
    /// Requests in the plan.
    pub planned: u64,
    /// Requests sent.
    pub sent: u64,
    /// Requests never begun, because the run was stopped or its time was over. A closed loop drops none.
    pub dropped: u64,
    /// Requests that could not be sent, because no connection came about.
    pub unsent: u64,
    /// Requests sent more than [`LATE_NS`] after they were due.
    pub late: u64,
    /// Users.
    pub users: usize,
    /// The process's part of all cores' time while it ran, from 0 to 1; none where the system does not tell. A reference server in the
    /// same process is in it.
    pub cpu_share: Option<f64>,
    /// Writes of the history that took longer than [`STALL`].
    pub recorder_stalls: u64,
    /// Real overlap, for scenarios that prove nothing without it.
    pub overlap: Option<Overlap>,
    /// Requests as goose counted them; none if it was cut short.
    pub goose_total: Option<u64>,
    /// Requests as the history has them: all completed and all of unknown outcome.
    pub history_total: u64,
}

/// How many requests of one key were really under way together: wholly handed to the operating system, and nothing of an answer read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    /// So many are needed.
    pub needed: usize,
    /// Keys that had volleys.
    pub keys: usize,
    /// Keys with at least as many as needed.
    pub reached: usize,
    /// The most that any key had.
    pub max: usize,
}

/// A request sent later than this after it was due is late.
pub const LATE_NS: u64 = 50_000_000;

/// An answer that does not fit what was sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Surprise {
    /// What was sent, such as `render, tampered`.
    pub sent: &'static str,
    /// What came: a status, or how the exchange failed.
    pub came: String,
    /// Whether something was accepted that must not be: a tampered or invalid body, or one without the signature that its template asks for.
    pub accepted: bool,
    /// How often.
    pub count: u64,
    /// The number in the history of one of them; none for requests that could not be sent.
    pub example: Option<u64>,
}

/// A reason not to trust a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Doubt {
    /// What it makes worthless.
    pub weakens: Weakens,
    /// Why, in words.
    pub reason: String,
}

/// What a doubt is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakens {
    /// Latencies, so every threshold. What the history shows about limits stands.
    Latencies,
    /// That limits held: the load was not of the kind that could have shown otherwise. A violation that was seen stands.
    Proof,
}

/// Volleys that must have overlapped, if there were as many.
const VOLLEYS_MIN: usize = 5;

/// The part of the planned requests that must have been sent.
const SENT_MIN: f64 = 0.99;

/// The part of the sent requests that may be late.
const LATE_MAX: f64 = 0.01;

/// Beyond this a generator measures itself.
const CPU_SHARE_MAX: f64 = 0.85;

impl Run {
    /// Every reason not to trust it; none for an honest run.
    pub fn doubts(&self) -> Vec<Doubt> {
        let facts = &self.honesty;
        let mut doubts = Vec::new();
        let mut doubt = |weakens, reason: String| doubts.push(Doubt { weakens, reason });
        if facts.sent == 0 {
            doubt(Weakens::Proof, "nothing was sent".into());
        }
        if let Some(overlap) = facts.overlap
            && overlap.reached < VOLLEYS_MIN.min(overlap.keys).max(1)
        {
            let Overlap { needed, keys, reached, max } = overlap;
            doubt(
                Weakens::Proof,
                format!(
                    "no real overlap: {reached} of {keys} keys had {needed} requests under way together (at most {max})"
                ),
            );
        }
        let begun = facts.planned.saturating_sub(facts.dropped);
        if !self.interrupted && (facts.sent as f64) < SENT_MIN * begun as f64 {
            doubt(Weakens::Proof, format!("{} of {begun} requests could not be sent", facts.unsent));
        }
        if facts.planned > 0 && facts.dropped as f64 > (1.0 - SENT_MIN) * facts.planned as f64 {
            doubt(Weakens::Latencies, format!("{} of {} requests were never begun", facts.dropped, facts.planned));
        }
        if facts.late as f64 > LATE_MAX * facts.sent as f64 {
            let bound = Duration::from_nanos(LATE_NS);
            doubt(
                Weakens::Latencies,
                format!("{} of {} requests were sent more than {bound:?} late", facts.late, facts.sent),
            );
        }
        if let Some(share) = facts.cpu_share.filter(|share| self.scenario.is_timed() && *share > CPU_SHARE_MAX) {
            doubt(Weakens::Latencies, format!("this process used {:.0} % of all cores", share * 100.0));
        }
        if facts.recorder_stalls > 0 {
            doubt(
                Weakens::Latencies,
                format!("{} writes of the history took more than {STALL:?}", facts.recorder_stalls),
            );
        }
        if let Some(goose) = facts.goose_total.filter(|goose| *goose != facts.history_total) {
            doubt(
                Weakens::Latencies,
                format!("goose counted {goose} requests, the history has {}", facts.history_total),
            );
        }
        doubts
    }
}
