//! A load run: which scenarios it consists of ([`select`]), what each stands on ([`grounds`], [`driven`]), carrying them out one after
//! the other, each with a history of its own ([`kept`]), and what they show ([`judge`]).

pub mod driven;
pub mod grounds;
pub mod judge;
pub mod kept;
pub mod select;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use scenarios::grounds::Grounds;
use scenarios::history::{Header, QuotaKind, RecordError};
use scenarios::live::Live;
use scenarios::outcome::Run;
use scenarios::plan::{Plan, PlanHash};
use scenarios::run::{LoadError, Order, Stopwatch, run};
use scenarios::scenario::Scenario;
use scenarios::stop::StopFlag;

use crate::histories::audited::Audited;
use crate::histories::{self, AuditError};
use crate::report::NotDeleted;
use crate::runner::Interrupt;
use driven::Driven;
use grounds::{MakeError, Maker};
use kept::HistoryFile;
use select::LIMITS;

/// What all scenarios of a run share.
pub struct Session {
    /// Makes what they stand on.
    pub maker: Arc<Maker>,
    /// The most one request may take.
    pub request_time: Duration,
    /// How long a revocation or an outage may take to be seen.
    pub settle: Duration,
    /// Broken should rules count.
    pub strict: bool,
    /// Says that a signal has come.
    pub interrupt: Interrupt,
}

/// A scenario that was carried out, or was to be.
pub struct Carried {
    /// Which.
    pub scenario: Scenario,
    /// The plan it followed.
    pub plan: PlanHash,
    /// What came of it.
    pub outcome: Outcome,
    /// What its history shows; none if nothing was recorded.
    pub audited: Option<Result<Audited, AuditError>>,
    /// What was made for it and could not be deleted.
    pub not_deleted: Vec<NotDeleted>,
    /// Real time it took.
    pub duration: Duration,
}

/// What came of a scenario.
pub enum Outcome {
    /// It ran.
    Ran(Box<Run>),
    /// It ran into something; the history holds what was sent until then.
    Broke(LoadError),
    /// What it stands on could not be made.
    Unprepared(MakeError),
    /// Its history could not be begun, so nothing was sent.
    Unrecorded(RecordError),
    /// A signal came before it began.
    Interrupted,
}

impl Outcome {
    /// The result, if it came to one.
    pub fn run(&self) -> Option<&Run> {
        match self {
            Outcome::Ran(run) => Some(run),
            Outcome::Broke(_) | Outcome::Unprepared(_) | Outcome::Unrecorded(_) | Outcome::Interrupted => None,
        }
    }
}

/// Something that happened, for whoever shows progress.
pub enum Event {
    /// A scenario begins to send; its counters.
    Began(Scenario, Arc<Live>),
    /// It has sent all.
    Ended(Scenario),
}

impl Session {
    /// Carries one plan out: makes fresh domains and templates, sends, deletes what was made, audits what was recorded.
    pub async fn carry_out(&self, plan: Plan, history: &HistoryFile, tell: impl FnMut(Event)) -> Carried {
        let (scenario, hash) = (plan.scenario, plan.hash());
        let began = Instant::now();
        let outcome = if self.interrupt.borrow().is_some() {
            Outcome::Interrupted
        } else {
            match self.maker.make(&plan.needs, &self.interrupt).await {
                Ok(grounds) => self.send(plan, grounds, history, tell).await,
                Err(error) => Outcome::Unprepared(error),
            }
        };
        // First of all: whatever becomes of the rest, nothing is left behind.
        let not_deleted = self.maker.delete().await;
        let audited = match &outcome {
            Outcome::Ran(_) | Outcome::Broke(_) => Some(self.audit(history.path().to_owned(), &outcome).await),
            Outcome::Unprepared(_) | Outcome::Unrecorded(_) | Outcome::Interrupted => None,
        };
        Carried { scenario, plan: hash, outcome, audited, not_deleted, duration: began.elapsed() }
    }

    async fn send(&self, plan: Plan, grounds: Grounds, history: &HistoryFile, mut tell: impl FnMut(Event)) -> Outcome {
        let scenario = plan.scenario;
        let stopwatch = Stopwatch::start();
        let recorder = match history.recorder(&header(&grounds, stopwatch)) {
            Ok(recorder) => Arc::new(recorder),
            Err(error) => return Outcome::Unrecorded(error),
        };
        let live = Arc::new(Live::default());
        tell(Event::Began(scenario, Arc::clone(&live)));
        let filter = self.maker.secrets().filter();
        let (stop, watching) = stop_at(&self.interrupt);
        let order = Order {
            plan,
            grounds,
            world: Arc::new(Driven::new(Arc::clone(&self.maker))),
            recorder,
            stopwatch,
            request_time: self.request_time,
            clean: Arc::new(move |said| filter.text(said)),
            live,
            stop,
        };
        let result = run(order).await;
        watching.abort();
        tell(Event::Ended(scenario));
        match result {
            Ok(run) => Outcome::Ran(Box::new(run)),
            Err(error) => Outcome::Broke(error),
        }
    }

    /// Audits the history on a thread of its own: it computes. A signal does not end it, since what there is shall be judged.
    async fn audit(&self, path: PathBuf, outcome: &Outcome) -> Result<Audited, AuditError> {
        let options = histories::Options {
            charged_at_once: outcome.run().is_some_and(|run| run.charges_at_once == Some(true)),
            settle: self.settle,
            strict: self.strict,
            ..histories::Options::default()
        };
        let auditing = tokio::task::spawn_blocking(move || histories::audit_files(&[path], &options, &|| false));
        auditing.await.expect("the auditor does not panic")
    }
}

/// The header of a history on these grounds.
fn header(grounds: &Grounds, stopwatch: Stopwatch) -> Header {
    /// Everything is sent and recorded by one process with one clock.
    const SKEW_MS: u64 = 0;
    Header {
        recorder: "hookproof".to_owned(),
        unix_ms: stopwatch.unix_ms(),
        skew_ms: SKEW_MS,
        limit: LIMITS.requests as u64,
        window_ms: LIMITS.window_ms,
        tolerance_ms: LIMITS.tolerance_ms,
        // Where a quota matters each request asks for one page, so either reading comes to the same.
        quota: QuotaKind::Reached,
        keys: grounds.keys(),
    }
}

/// A flag that is set as soon as a signal has come, and the task that sees to it.
fn stop_at(interrupt: &Interrupt) -> (StopFlag, tokio::task::JoinHandle<()>) {
    let stop = StopFlag::default();
    let (flag, mut interrupt) = (stop.clone(), interrupt.clone());
    let watching = tokio::spawn(async move {
        if interrupt.wait_for(Option::is_some).await.is_ok() {
            flag.set();
        }
    });
    (stop, watching)
}

/// The first scenario that was named twice: its histories would want the same file.
pub fn named_twice(named: &[Scenario]) -> Option<Scenario> {
    let mut seen = BTreeSet::new();
    named.iter().copied().find(|scenario| !seen.insert(*scenario))
}
