//! Runs checks: schedules them, lets the target's time pass, repeats what was inconclusive, deletes what was made.
//! It tells what happens as events and prints nothing.

pub mod open;
pub mod select;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api::Api;
use crate::checks::Check;
use crate::evidence::{ClockKind, Evidence};
use crate::gather::time::Slot;
use crate::gather::{Gather, Gathered, Leftover, Stop, World};
use crate::secret::{SecretBook, SecretFilter};
use crate::target::protocol::Method;
use crate::verdict::{Finding, Status};
use select::Selection;

/// How often a check is run before an inconclusive finding stands. Each attempt uses fixtures of its own.
const ATTEMPTS_MAX: usize = 3;

/// Real time one attempt may take, not counting waits on a system clock.
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(120);

/// A signal that ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(pub i32);

/// Tells when the run is to end early.
pub type Interrupt = watch::Receiver<Option<Signal>>;

/// What happens during a run.
pub enum Event<'a> {
    /// The checks are about to begin.
    Started {
        /// How many will run.
        checks: usize,
    },
    /// A check began.
    CheckStarted(&'static Check),
    /// A check ended.
    CheckEnded(&'a CheckResult),
}

/// What became of one check.
pub struct CheckResult {
    /// The check.
    pub check: &'static Check,
    /// At least one finding for each of its rules.
    pub findings: Vec<Finding>,
    /// What it saw, cleaned of secrets.
    pub evidence: Evidence,
    /// Real time taken, all attempts and waits included.
    pub duration: Duration,
    /// Secrets it was given.
    pub book: SecretBook,
    /// What could not be deleted, with the reason.
    pub not_deleted: Vec<(Leftover, String)>,
    /// Why the evidence was not judged, if it was not; the findings then say the same of every rule.
    pub stopped: Option<Stopped>,
    /// A defect of this program, if one showed.
    pub defect: Option<String>,
}

/// Why a check was not judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// `not_run` or `inconclusive`; `not_applicable` for a check that only adds to others.
    pub status: Status,
    /// In words.
    pub reason: String,
}

impl Stopped {
    fn not_run(reason: impl Into<String>) -> Stopped {
        Stopped { status: Status::NotRun, reason: reason.into() }
    }

    /// What follows for the rules of the check: the same for each, and never anything good or bad.
    pub fn findings(&self, check: &Check) -> Vec<Finding> {
        let status = match self.status {
            Status::Inconclusive => Status::Inconclusive,
            // Another check judges the same rules; the reason stays in the report.
            Status::NotApplicable if check.needs.extra => Status::NotApplicable,
            _ => Status::NotRun,
        };
        let of = |rule: &&str| Finding {
            rule: (*rule).to_owned(),
            status,
            expected: Vec::new(),
            actual: self.reason.clone(),
            exchange: None,
        };
        check.rules.iter().map(of).collect()
    }
}

/// What became of a run.
pub struct Run {
    /// Results in the order of the selection.
    pub results: Vec<CheckResult>,
    /// The signal that ended it, if one did.
    pub interrupted: Option<Signal>,
}

/// Settings that no fixture or client needs.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Real time that one check may wait for moments on a system clock.
    pub patience: Duration,
    /// Real time for the whole run, besides `patience`.
    pub run_time: Duration,
}

/// Real time for a whole run, unless the user says otherwise.
pub const RUN_TIME_MAX: Duration = Duration::from_secs(30 * 60);

/// When a run ends, whatever has not been judged by then.
#[derive(Clone, Copy)]
struct End {
    at: Instant,
    pace: Pace,
}

impl End {
    fn of(pace: Pace) -> End {
        /// Nobody waits longer, and clocks cannot count for ever.
        const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
        End { at: Instant::now() + pace.run_time.saturating_add(pace.patience).min(CENTURY), pace }
    }

    fn is_over(self) -> bool {
        Instant::now() >= self.at
    }

    fn words(self) -> String {
        format!("the run was over before: --run-time allows {:?}", self.pace.run_time)
    }
}

/// Runs the selected checks: first all that can share the target, then one by one those that need it alone.
pub async fn run(
    world: &Arc<World>,
    selection: &Selection,
    pace: Pace,
    interrupt: &Interrupt,
    mut tell: impl FnMut(Event<'_>),
) -> Run {
    let end = End::of(pace);
    tell(Event::Started { checks: selection.checks.len() });
    let (alone, shared): (Vec<&Check>, Vec<&Check>) =
        selection.checks.iter().copied().partition(|check| check.needs.exclusive);
    let mut results = Vec::new();
    run_side_by_side(world, &shared, end, interrupt, &mut tell, &mut results).await;
    for check in alone {
        run_side_by_side(world, &[check], end, interrupt, &mut tell, &mut results).await;
    }
    let position = |result: &CheckResult| selection.checks.iter().position(|check| check.id == result.check.id);
    results.sort_by_key(position);
    Run { results, interrupted: *interrupt.borrow() }
}

async fn run_side_by_side(
    world: &Arc<World>,
    checks: &[&'static Check],
    end: End,
    interrupt: &Interrupt,
    tell: &mut impl FnMut(Event<'_>),
    results: &mut Vec<CheckResult>,
) {
    let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
    world.timekeeper.announce(checks.len());
    let mut tasks = JoinSet::new();
    for &check in checks {
        tasks.spawn(run_check(Arc::clone(world), check, end, interrupt.clone(), started.clone()));
    }
    drop(started);
    loop {
        tokio::select! {
            biased;
            Some(check) = starts.recv() => tell(Event::CheckStarted(check)),
            ended = tasks.join_next() => match ended {
                Some(result) => {
                    let result = result.expect("a check's panics are caught where they happen");
                    tell(Event::CheckEnded(&result));
                    results.push(result);
                }
                None => break,
            },
        }
    }
}

/// What one attempt came to.
enum Outcome {
    Gathered,
    Stopped(Stop),
    Defect(String),
}

async fn run_check(
    world: Arc<World>,
    check: &'static Check,
    end: End,
    interrupt: Interrupt,
    started: tokio::sync::mpsc::UnboundedSender<&'static Check>,
) -> CheckResult {
    let mut slot = world.timekeeper.begin().await;
    let began = Instant::now();
    // The receiver lives until every check has ended.
    let _ = started.send(check);
    let mut result = CheckResult::of(check);
    if let Some(missing) = missing_prerequisite(&world, check, end.pace) {
        let status = if check.needs.extra { Status::NotApplicable } else { Status::NotRun };
        result.stop(Stopped { status, reason: missing });
        return result;
    }
    for attempt in 1..=ATTEMPTS_MAX {
        let (outcome, gathered) = attempt_once(&world, check, slot, end, &interrupt).await;
        result.not_deleted.extend(delete(&world, gathered.leftovers).await);
        // Whoever waits for a slot, or for the time to move on, need not wait for the judge.
        slot = gathered.slot;
        slot.rest();
        result.book.merge(&gathered.book);
        let mut book = gathered.book;
        book.merge(&world.secrets);
        let filter = book.filter();
        result.evidence = gathered.evidence;
        result.evidence.clean(&filter);
        result.stopped = None;
        match outcome {
            Outcome::Gathered => result.judge(),
            Outcome::Stopped(Stop::NotRun(why)) => result.stop(Stopped::not_run(filter.text(&why))),
            Outcome::Stopped(Stop::Inconclusive(why)) => {
                result.stop(Stopped { status: Status::Inconclusive, reason: filter.text(&why) });
            }
            Outcome::Defect(what) => result.fail_ourselves(&what),
        }
        let inconclusive = result.is_inconclusive();
        let waits_really = check.needs.moments_ms > 0 && world.timekeeper.kind() == ClockKind::System;
        let last = attempt == ATTEMPTS_MAX || interrupt.borrow().is_some() || end.is_over();
        if !inconclusive || waits_really || last {
            break;
        }
        slot.resume().await;
    }
    result.duration = began.elapsed();
    result
}

/// Why the check cannot run at all, if it cannot.
fn missing_prerequisite(world: &World, check: &Check, pace: Pace) -> Option<String> {
    let clock = world.timekeeper.kind();
    let moves_clock = check.needs.moments_ms > 0 && clock == ClockKind::Manual;
    let needed: BTreeSet<&Method> =
        check.needs.methods.iter().chain(moves_clock.then_some(&Method::ClockAdvance)).collect();
    let missing: Vec<&str> =
        needed.into_iter().filter(|method| !world.methods.contains(method)).map(|method| method.name()).collect();
    if !missing.is_empty() {
        return Some(format!("the fixtures do not offer {}", missing.join(", ")));
    }
    let wait = Duration::from_millis(check.needs.moments_ms);
    if clock == ClockKind::System && wait > pace.patience {
        return Some(format!(
            "it takes {} of real time, and --patience allows {}",
            in_words(wait),
            in_words(pace.patience)
        ));
    }
    None
}

/// Real time that the longest of the selected checks will wait for moments; none where the suite moves the clock.
pub fn longest_wait(world: &World, selection: &Selection, pace: Pace) -> Duration {
    if world.timekeeper.kind() == ClockKind::Manual {
        return Duration::ZERO;
    }
    let waits = selection.checks.iter().map(|check| Duration::from_millis(check.needs.moments_ms));
    waits.filter(|wait| *wait <= pace.patience).max().unwrap_or_default()
}

/// A duration as a person would say it, to the second.
pub fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let said: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count} {unit}")).collect();
    if said.is_empty() { "0 s".to_owned() } else { said.join(" ") }
}

async fn attempt_once(
    world: &Arc<World>,
    check: &'static Check,
    slot: Slot,
    end: End,
    interrupt: &Interrupt,
) -> (Outcome, Gathered) {
    let mut gather = Gather::new(Arc::clone(world), slot, check.id);
    let waits = match world.timekeeper.kind() {
        ClockKind::System => Duration::from_millis(check.needs.moments_ms),
        ClockKind::Manual => Duration::ZERO,
    };
    let limit = ATTEMPT_TIME_MAX + waits;
    let mut interrupt = interrupt.clone();
    let outcome = {
        let gathering = AssertUnwindSafe((check.gather)(&mut gather)).catch_unwind();
        tokio::select! {
            biased;
            () = signalled(&mut interrupt) => Outcome::Stopped(Stop::NotRun("interrupted".to_owned())),
            // The end of the whole run (`--run-time`).
            () = tokio::time::sleep_until(end.at.into()) => Outcome::Stopped(Stop::NotRun(end.words())),
            done = tokio::time::timeout(limit, gathering) => match done {
                Ok(Ok(Ok(()))) => Outcome::Gathered,
                Ok(Ok(Err(stop))) => Outcome::Stopped(stop),
                Ok(Err(panic)) => Outcome::Defect(panic_text(panic.as_ref())),
                Err(_) => Outcome::Stopped(Stop::Inconclusive(format!("it did not end within {}", in_words(limit)))),
            },
        }
    };
    (outcome, gather.finish().await)
}

/// Ends when a signal came; never, if none can come any more.
async fn signalled(interrupt: &mut Interrupt) {
    if interrupt.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}

impl CheckResult {
    /// Nothing yet.
    fn of(check: &'static Check) -> CheckResult {
        CheckResult {
            check,
            findings: Vec::new(),
            evidence: Evidence::default(),
            duration: Duration::ZERO,
            book: SecretBook::default(),
            not_deleted: Vec::new(),
            stopped: None,
            defect: None,
        }
    }

    /// Replaces further secrets in the evidence, and judges it again if there were any: what is found must follow from what is kept.
    pub fn clean(&mut self, filter: &SecretFilter) {
        if self.evidence.clean(filter) && self.stopped.is_none() {
            self.judge();
        }
    }

    /// Judges the evidence, and sees to it that each rule of the check gets a finding and no other rule does.
    fn judge(&mut self) {
        let (check, evidence) = (self.check, &self.evidence);
        match std::panic::catch_unwind(AssertUnwindSafe(|| (check.judge)(evidence))) {
            Ok(findings) => self.findings = findings,
            Err(panic) => return self.fail_ourselves(&panic_text(panic.as_ref())),
        }
        if let Some(stray) = self.findings.iter().find(|finding| !check.rules.contains(&finding.rule.as_str())) {
            let what = format!("it judges `{}`, which it does not name", stray.rule);
            return self.fail_ourselves(&what);
        }
        if let Some(rule) = check.rules.iter().find(|rule| !self.findings.iter().any(|finding| finding.rule == **rule))
        {
            self.fail_ourselves(&format!("it says nothing about `{rule}`"));
        }
    }

    /// True if another attempt may show what this one did not. What judges no rule may have been stopped, too.
    fn is_inconclusive(&self) -> bool {
        let stopped = self.stopped.as_ref().map(|stopped| stopped.status);
        let mut found = self.findings.iter().map(|finding| finding.status);
        stopped == Some(Status::Inconclusive) || found.any(|status| status == Status::Inconclusive)
    }

    fn stop(&mut self, stopped: Stopped) {
        self.findings = stopped.findings(self.check);
        self.stopped = Some(stopped);
    }

    fn fail_ourselves(&mut self, what: &str) {
        self.defect = Some(format!("{}: {what}", self.check.id));
        self.stop(Stopped::not_run("hookproof itself failed"));
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "a panic".to_owned())
}

/// Deletes what a check made; returns what could not be deleted.
async fn delete(world: &World, leftovers: Vec<Leftover>) -> Vec<(Leftover, String)> {
    let deleted = leftovers.into_iter().map(|leftover| async {
        let call = world.fixtures.call(leftover.method, leftover.params()).await;
        call.err().map(|error| (leftover, error.to_string()))
    });
    futures::future::join_all(deleted).await.into_iter().flatten().collect()
}

/// Replaces further secrets in what all checks saw, as [`CheckResult::clean`] does; at a run's end nothing else is left to do.
pub fn clean(results: &mut [CheckResult], filter: &SecretFilter) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = results.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        for share in results.chunks_mut(share) {
            scope.spawn(|| share.iter_mut().for_each(|result| result.clean(filter)));
        }
    });
}

/// The APIs a world can be asked about.
pub fn apis(world: &World) -> Vec<Api> {
    world.clients.keys().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::judge::{Judge, outcome};
    use crate::evidence::{Body, Exchange, Response, SentRequest};
    use crate::secret::Secret;

    const RULE: &str = "rndrkit.http.json";

    /// Refuses every answer, and so shows the beginning of its body.
    static REFUSING: Check = Check {
        id: "rndrkit/test/refusing",
        rules: &[RULE],
        needs: crate::checks::Needs::fixtures(Api::Rndrkit, &[]),
        gather: |_| Box::pin(async { Ok(()) }),
        judge: |evidence| {
            let mut judge = Judge::new(evidence);
            judge.rule(RULE).expects("step", &[outcome("nothing", |_| false)]);
            judge.findings()
        },
        sabotages: &[],
    };

    fn answered(body: String) -> Exchange {
        let (method, url) = ("GET".to_owned(), "http://127.0.0.1/".to_owned());
        Exchange {
            label: "step".to_owned(),
            request: SentRequest { method, url, headers: Vec::new(), body: None, signed: None },
            response: Some(Response { status: 200, headers: Vec::new(), body: Body::Text(body) }),
            error: None,
            start_ns: 1,
            end_ns: 2,
            advanced_ms: 0,
            curl: "curl".to_owned(),
        }
    }

    #[test]
    fn of_another_checks_secret_no_finding_keeps_the_beginning_and_what_is_found_follows_from_what_is_kept() {
        let secret = Secret::new("of-another-check-0123456789");
        for before in 200..245 {
            let mut result = CheckResult::of(&REFUSING);
            result.evidence.exchanges.push(answered(format!("{}{} and more", "x".repeat(before), secret.expose())));
            result.judge();
            let mut book = SecretBook::default();
            book.add(&secret, "token:d1.1");
            result.clean(&book.filter());
            assert_eq!(result.findings, (REFUSING.judge)(&result.evidence));
            assert!(!result.findings[0].actual.contains("of-"), "{}", result.findings[0].actual);
        }
    }

    #[test]
    fn what_was_not_judged_is_not_judged_when_it_is_cleaned() {
        let mut result = CheckResult::of(&REFUSING);
        result.evidence.exchanges.push(answered("a-secret-of-another".to_owned()));
        result.stop(Stopped::not_run("nobody was there"));
        let mut book = SecretBook::default();
        book.add(&Secret::new("a-secret-of-another"), "token:d1.1");
        result.clean(&book.filter());
        assert_eq!(result.findings[0].status, Status::NotRun);
        let response = result.evidence.exchanges[0].response.as_ref();
        assert_eq!(response.and_then(|response| response.body.text()), Some("<token:d1.1>"));
    }

    #[test]
    fn durations_are_said_in_their_largest_units() {
        assert_eq!(in_words(Duration::ZERO), "0 s");
        assert_eq!(in_words(Duration::from_secs(3602)), "1 h 2 s");
        assert_eq!(in_words(Duration::from_secs(62 * 86_400)), "62 d");
    }
}
