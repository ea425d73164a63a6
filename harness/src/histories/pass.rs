//! One pass over the files: one thread reads, several judge, each its own keys.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use scenarios::history::{Action, Event, Operation, Outcome};

use super::clock::Newest;
use super::domain::{Domain, succeeded};
use super::operation::{Again, Findings, Found, Horizon, Told};
use super::outage::Outages;
use super::plan::{PlaceError, Plan};
use super::renders::Template;
use super::source::Source;
use super::{AuditError, FileFacts, Options};
use crate::audit::Shape;

/// Events that are handed over at once.
const BATCH: usize = 512;
/// Batches that may wait for a thread.
const WAITING_MAX: usize = 8;
/// The most threads that judge.
const THREADS_MAX: usize = 16;

/// What one pass found.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) files: Vec<FileFacts>,
    pub(super) findings: Vec<Findings>,
    pub(super) outages: Vec<(String, Found)>,
    /// Controls that concern no key.
    pub(super) controls: u64,
}

impl Passed {
    /// Whether a violation needs operations that were forgotten.
    pub(super) fn is_distant(&self) -> bool {
        let distant = |found: &Found| found.kind == Shape::Distant.name();
        self.findings.iter().any(|findings| findings.found.iter().any(distant))
    }
}

/// Why a pass ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// Read again, and look at all first.
    LookAtAll,
    /// Read again, with more patience or more questions.
    Again(Again),
    /// Nothing helps.
    Failed(AuditError),
}

impl From<AuditError> for Stop {
    fn from(error: AuditError) -> Stop {
        Stop::Failed(error)
    }
}

struct Batch {
    told: Vec<Told>,
    /// As it was when the first of these was read: what was read since may be far ahead of the others.
    horizon: Horizon,
}

/// Reads all files once and judges every key.
pub(super) fn run(
    paths: &[PathBuf],
    plan: &Plan,
    options: &Options,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Passed, Stop> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let (again, moved) = (OnceLock::new(), AtomicBool::new(false));
    thread::scope(|scope| {
        let (mut senders, mut workers) = (Vec::new(), Vec::new());
        for _ in 0..threads {
            let (sender, receiver) = sync_channel(WAITING_MAX);
            senders.push(sender);
            let (again, moved) = (&again, &moved);
            workers.push(scope.spawn(move || judge(plan, &receiver, again, moved)));
        }
        let mut reading = Reading::new(plan, senders);
        let read = reading.read(paths, options, &again, stop);
        moved.store(reading.moved, Ordering::SeqCst);
        let (outages, controls) = (reading.outages, reading.controls);
        // Without its sender a worker ends.
        drop(reading.senders);
        let mut findings = Vec::new();
        for worker in workers {
            findings.extend(worker.join().expect("a worker does not panic"));
        }
        let files = read?;
        if let Some(why) = again.get() {
            return Err(Stop::Again(*why));
        }
        Ok(Passed { files, findings, outages: outages.finish(), controls })
    })
}

/// The reading side of a pass.
struct Reading<'p> {
    plan: &'p Plan,
    senders: Vec<SyncSender<Batch>>,
    batches: Vec<Batch>,
    hasher: BuildHasherDefault<DefaultHasher>,
    newest: Newest,
    outages: Outages,
    controls: u64,
    /// Whether the target's clock was moved without saying where to.
    moved: bool,
}

impl<'p> Reading<'p> {
    fn new(plan: &'p Plan, senders: Vec<SyncSender<Batch>>) -> Reading<'p> {
        let newest = plan.newest();
        let horizon = plan.horizon(&newest);
        let batches = senders.iter().map(|_| Batch { told: Vec::with_capacity(BATCH), horizon }).collect();
        let outages = Outages::new(plan.terms.settle);
        let hasher = BuildHasherDefault::default();
        Reading { plan, senders, batches, hasher, newest, outages, controls: 0, moved: false }
    }

    fn read(
        &mut self,
        paths: &[PathBuf],
        options: &Options,
        again: &OnceLock<Again>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Vec<FileFacts>, Stop> {
        let mut sources = Vec::new();
        for (file, path) in paths.iter().enumerate() {
            sources.push(Source::open(file, path, &options.format)?);
        }
        let mut events = 0_usize;
        while let Some(at) = self.earliest(&sources) {
            let source = &mut sources[at];
            let Some((event, line)) = source.take()? else { continue };
            self.take(source, event, line)?;
            events += 1;
            if events.is_multiple_of(BATCH) {
                if stop() {
                    return Err(Stop::Failed(AuditError::Interrupted));
                }
                if let Some(why) = again.get() {
                    return Err(Stop::Again(*why));
                }
            }
        }
        for at in 0..self.batches.len() {
            self.hand_over(at);
        }
        Ok(sources.into_iter().map(Source::into_facts).collect())
    }

    /// The file whose next event is the earliest.
    fn earliest(&self, sources: &[Source]) -> Option<usize> {
        match sources {
            [one] => one.peek().map(|_| 0),
            several => {
                let next = several.iter().enumerate().filter_map(|(at, source)| Some((at, source.peek()?)));
                next.min_by_key(|(at, event)| self.plan.instant(*at, event)).map(|(at, _)| at)
            }
        }
    }

    fn take(&mut self, source: &Source, event: Event, line: u64) -> Result<(), Stop> {
        let file = source.file;
        let instant = self.plan.instant(file, &event);
        let (operation, outcome) = match event {
            Event::Header(_) => return Ok(()),
            Event::Invoked(operation) => (operation, None),
            Event::Completed(operation, outcome) => (operation, Some(outcome)),
        };
        self.newest.tell(instant);
        let placed = match self.plan.place(file, operation, outcome.as_ref()) {
            Ok(placed) => placed,
            Err(PlaceError::UnknownRecorder | PlaceError::SuddenlyDriven) if !self.plan.is_whole() => {
                return Err(Stop::LookAtAll);
            }
            Err(error) => {
                return Err(Stop::Failed(AuditError::Place { path: source.path().to_owned(), line, error }));
            }
        };
        match &placed.invocation.action {
            Action::Advance { .. } => {
                self.moved |= !self.plan.driven();
                self.controls += u64::from(outcome.is_some());
                return Ok(());
            }
            Action::Queue { available } => {
                let done = succeeded(outcome.as_ref());
                self.outages.change(placed.id, placed.real, *available, done);
                self.controls += u64::from(outcome.is_some());
                return Ok(());
            }
            Action::Render { template, .. } => {
                let accepted = outcome.as_ref().is_some_and(|outcome| outcome.status == Some(202));
                if accepted {
                    self.outages.acknowledged(template, placed.id, placed.real);
                }
            }
            Action::Refresh { .. } | Action::Poll { .. } | Action::Revoke { .. } | Action::Quota { .. } => {}
        }
        let key = placed.invocation.action.key().unwrap_or_default();
        let at = usize::try_from(self.hasher.hash_one(key)).unwrap_or(0) % self.batches.len();
        let batch = &mut self.batches[at];
        if batch.told.is_empty() {
            batch.horizon = self.plan.horizon(&self.newest);
        }
        batch.told.push(match outcome {
            None => Told::Invoked(placed),
            Some(outcome) => Told::Completed(placed, outcome),
        });
        if batch.told.len() == BATCH {
            self.hand_over(at);
        }
        Ok(())
    }

    fn hand_over(&mut self, at: usize) {
        let batch = &mut self.batches[at];
        let told = std::mem::replace(&mut batch.told, Vec::with_capacity(BATCH));
        // A worker that has given up takes nothing more; why is asked elsewhere.
        let _ = self.senders[at].send(Batch { told, horizon: batch.horizon });
    }
}

/// What one thread does: judges the keys that it is told of.
fn judge(plan: &Plan, batches: &Receiver<Batch>, again: &OnceLock<Again>, moved: &AtomicBool) -> Vec<Findings> {
    let (mut domains, mut templates): (HashMap<String, Domain>, HashMap<String, Template>) = Default::default();
    for Batch { told, horizon } in batches {
        for told in told {
            let (Told::Invoked(placed) | Told::Completed(placed, _)) = &told;
            let action = &placed.invocation.action;
            let Some(key) = action.key() else { continue };
            if matches!(action, Action::Render { .. } | Action::Poll { .. }) {
                if !templates.contains_key(key) {
                    templates.insert(key.to_owned(), Template::new(key));
                }
                let template = templates.get_mut(key).expect("it was inserted if it was missing");
                template.take(told, horizon.told);
                continue;
            }
            if !domains.contains_key(key) {
                domains.insert(key.to_owned(), Domain::new(key, plan.known(key), plan.terms_of(key)));
            }
            let domain = domains.get_mut(key).expect("it was inserted if it was missing");
            if let Err(why) = domain.take(told, horizon) {
                // One reason is enough; another shows the next time.
                let _ = again.set(why);
                return Vec::new();
            }
        }
    }
    if again.get().is_some() {
        return Vec::new();
    }
    let moved = moved.load(Ordering::SeqCst);
    let mut findings = Vec::new();
    for domain in domains.into_values() {
        match domain.finish(moved) {
            Ok(found) => findings.push(found),
            Err(why) => {
                let _ = again.set(why);
                return Vec::new();
            }
        }
    }
    findings.extend(templates.into_values().map(Template::finish));
    findings
}

/// Finds operations again by their names, with their lines.
pub(super) fn find(
    paths: &[PathBuf],
    plan: &Plan,
    options: &Options,
    wanted: &std::collections::HashSet<u64>,
) -> Result<HashMap<u64, Sighting>, AuditError> {
    let mut found = HashMap::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    for (file, path) in paths.iter().enumerate() {
        let mut source = Source::open(file, path, &options.format)?;
        while let Some((event, line)) = source.take()? {
            let (operation, outcome) = match event {
                Event::Header(_) => continue,
                Event::Invoked(operation) => (operation, None),
                Event::Completed(operation, outcome) => (operation, Some(outcome)),
            };
            let Some(id) = plan.name(file, &operation).filter(|id| wanted.contains(id)) else { continue };
            found.insert(id, Sighting { file, line, operation, outcome });
        }
    }
    Ok(found)
}

/// An operation as it stands in its file.
#[derive(Debug)]
pub(super) struct Sighting {
    pub(super) file: usize,
    /// The line of its end, or of its invocation if there is no other.
    pub(super) line: u64,
    pub(super) operation: Operation,
    pub(super) outcome: Option<Outcome>,
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const HEADER: &str = r#"{"v":1,"header":true,"recorder":"a","unix_ms":0,"skew_ms":0,"limit":10,"window_ms":3600000,"tolerance_ms":2000,"quota":"reached","keys":{}}"#;
    const MINUTE: u64 = 60_000_000_000;
    const SERVED: u16 = 200;
    const REFUSED: u16 = 429;

    /// Refreshes of one domain that start at these instants, in this order, each answered so within a microsecond. The first pass over
    /// them ends like this; one with more patience takes them all.
    #[track_caller]
    fn check(starts: impl Iterator<Item = u64>, status: u16, first: Result<u64, Again>) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut lines = format!("{HEADER}\n");
        let mut told = 0;
        for start in starts {
            told += 1;
            let end = start + 1_000;
            lines += &format!(
                "{{\"v\":1,\"n\":{told},\"api\":\"rndrkit\",\"key\":\"d1\",\"op\":\"refresh\",\"start_ns\":{start},\"end_ns\":{end},\"status\":{status}}}\n"
            );
        }
        file.write_all(lines.as_bytes()).unwrap();
        let (paths, options) = ([file.path().to_owned()], Options::default());
        let plan = Plan::new(&paths, &options, false).unwrap();
        let read = |plan: &Plan| match run(&paths, plan, &options, &|| false) {
            Ok(passed) => Ok(passed.findings.iter().map(|findings| findings.report.requests).sum::<u64>()),
            Err(Stop::Again(why)) => Err(why),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(read(&plan), first);
        assert_eq!(read(&plan.with_more_patience().unwrap()), Ok(told));
    }

    #[test]
    fn time_that_passes_in_leaps_makes_nobody_late() {
        // Each batch is told within many times the span in which the earliest may still come.
        check((0..3_000).map(|at| at * 10 * MINUTE), SERVED, Ok(3_000));
    }

    #[test]
    fn one_that_many_others_overtook_is_read_for_with_more_patience() {
        const OTHERS: u64 = 80_000;
        // All within a tenth of a second; the last told started first.
        let overtaken = (1..=OTHERS).map(|at| at * 1_000).chain([0]);
        check(overtaken, REFUSED, Err(Again::Late));
    }
}
