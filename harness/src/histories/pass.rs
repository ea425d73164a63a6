//! One pass over the files: one thread reads, several judge, each its own keys.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use scenarios::history::{Event, Name, Names, Operation, Outcome};

use super::clock::Newest;
use super::domain::Domain;
use super::noted::{Asked, Noted, NotedOperation};
use super::operation::{Again, Findings, Found, Horizon, Placed, Told};
use super::outage::Outages;
use super::plan::{PlaceError, Plan, Times};
use super::renders::Template;
use super::source::{Lines, Source};
use super::{AuditError, FileFacts, Options};
use crate::audit::Shape;

/// Events that are handed over at once.
const BATCH: usize = 2048;
/// Batches that may wait for a thread.
const WAITING_MAX: usize = 4;
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
    /// Keys that are told of for the first time here; they are numbered on.
    met: Vec<String>,
    /// What is told, each of the key with that number.
    told: Vec<(u32, Told)>,
    /// As it was when the first of these was read: what was read since may be far ahead of the others.
    horizon: Horizon,
}

/// Who judges a key.
#[derive(Clone, Copy)]
struct Seat {
    thread: u32,
    /// The key's number there.
    number: u32,
    /// Whether nothing about its times is uncertain.
    is_exact: bool,
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
    names: Names,
    /// By the key's name.
    seats: Vec<Option<Seat>>,
    /// How many keys have a seat.
    seated: usize,
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
        let batches =
            senders.iter().map(|_| Batch { met: Vec::new(), told: Vec::with_capacity(BATCH), horizon }).collect();
        let outages = Outages::new(plan.terms.settle);
        let names = Names::default();
        Reading {
            plan,
            senders,
            batches,
            names,
            seats: Vec::new(),
            seated: 0,
            newest,
            outages,
            controls: 0,
            moved: false,
        }
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
            sources.push(Source::open(file, path, &options.format, &mut self.names)?);
        }
        let mut events = 0_usize;
        while let Some(at) = self.earliest(&sources) {
            let source = &mut sources[at];
            let file = source.file;
            if let Some((Noted::Operation(operation), line)) = source.next() {
                match self.take(file, operation) {
                    Ok(()) => {}
                    Err(PlaceError::UnknownRecorder | PlaceError::SuddenlyDriven) if !self.plan.is_whole() => {
                        return Err(Stop::LookAtAll);
                    }
                    Err(error) => {
                        let path = source.path().to_owned();
                        return Err(Stop::Failed(AuditError::Place { path, line, error }));
                    }
                }
            }
            source.step(&mut self.names)?;
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

    /// Takes an operation of a file apart and tells of it.
    #[inline]
    fn take(&mut self, file: usize, operation: &mut NotedOperation) -> Result<(), PlaceError> {
        let NotedOperation { n, recorder, key, asked, start_ns, server_start_ms, end } = operation;
        let times = Times {
            file,
            recorder: *recorder,
            n: *n,
            is_refresh: matches!(asked, Asked::Refresh { .. }),
            start_ns: *start_ns,
            server_start_ms: *server_start_ms,
            end: end.as_ref().map(|end| (end.end_ns, end.server_end_ms)),
        };
        let seat = key.map(|key| self.seat(key));
        let (id, time) = self.plan.place(&times, seat.is_some_and(|seat| seat.is_exact))?;
        self.newest.tell(time.seen.end.unwrap_or(time.seen.start));
        let came = end.take().map(|end| end.came);
        match (&*asked, key) {
            (Asked::Advance, _) => {
                self.moved |= !self.plan.driven();
                self.controls += u64::from(came.is_some());
            }
            (Asked::Queue { available }, _) => {
                let done = came.as_ref().is_some_and(|came| came.succeeded);
                self.outages.change(id, time.real(), *available, done);
                self.controls += u64::from(came.is_some());
            }
            (Asked::Render, Some(template)) if came.as_ref().is_some_and(|came| came.status == Some(202)) => {
                self.outages.acknowledged(self.names.text(*template), id, time.real());
            }
            _ => {}
        }
        if let Some(seat) = seat {
            let asked = std::mem::replace(asked, Asked::Advance);
            self.tell(seat, Told { placed: Placed { id, asked, time }, came });
        }
        Ok(())
    }

    /// Who judges a key; a new one gets a seat, on each thread in turn.
    #[inline]
    fn seat(&mut self, key: Name) -> Seat {
        if let Some(Some(seat)) = self.seats.get(key.index()) {
            return *seat;
        }
        let number = |at: usize| u32::try_from(at).expect("there are no more keys than names");
        let text = self.names.text(key);
        let thread = self.seated % self.batches.len();
        let is_exact = self.plan.is_exact(text);
        let seat = Seat { thread: number(thread), number: number(self.seated / self.batches.len()), is_exact };
        self.batches[thread].met.push(text.to_owned());
        self.seated += 1;
        self.seats.resize(self.seats.len().max(key.index() + 1), None);
        self.seats[key.index()] = Some(seat);
        seat
    }

    /// Tells a thread of a key of its.
    #[inline]
    fn tell(&mut self, seat: Seat, told: Told) {
        let at = seat.thread as usize;
        let batch = &mut self.batches[at];
        if batch.told.is_empty() {
            batch.horizon = self.plan.horizon(&self.newest);
        }
        batch.told.push((seat.number, told));
        if batch.told.len() == BATCH {
            self.hand_over(at);
        }
    }

    fn hand_over(&mut self, at: usize) {
        let batch = &mut self.batches[at];
        let next = Batch { met: Vec::new(), told: Vec::with_capacity(BATCH), horizon: batch.horizon };
        // A worker that has given up takes nothing more; why is asked elsewhere.
        let _ = self.senders[at].send(std::mem::replace(batch, next));
    }
}

/// A key that a thread judges: a domain, a template, or one of each that are called the same.
struct Key {
    name: String,
    domain: Option<Box<Domain>>,
    template: Option<Box<Template>>,
}

/// What one thread does: judges the keys that it is told of.
fn judge(plan: &Plan, batches: &Receiver<Batch>, again: &OnceLock<Again>, moved: &AtomicBool) -> Vec<Findings> {
    let mut keys: Vec<Key> = Vec::new();
    for Batch { met, told, horizon } in batches {
        keys.extend(met.into_iter().map(|name| Key { name, domain: None, template: None }));
        for (number, told) in &told {
            let Key { name, domain, template } = &mut keys[*number as usize];
            if matches!(told.placed.asked, Asked::Render | Asked::Poll { .. }) {
                template.get_or_insert_with(|| Box::new(Template::new(name))).take(told, horizon.told);
                continue;
            }
            let domain =
                domain.get_or_insert_with(|| Box::new(Domain::new(name, plan.known(name), plan.terms_of(name))));
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
    for Key { domain, template, .. } in keys {
        findings.extend(template.map(|template| template.finish()));
        match domain.map(|domain| domain.finish(moved)).transpose() {
            Ok(found) => findings.extend(found),
            Err(why) => {
                let _ = again.set(why);
                return Vec::new();
            }
        }
    }
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
        let mut lines = Lines::open(path, &options.format)?;
        let is_wanted = |recorder, n| plan.name(file, recorder, n).is_some_and(|id| wanted.contains(&id));
        while let Some((recorder, event)) = lines.find(is_wanted)? {
            let (operation, outcome) = match event {
                Event::Header(_) => continue,
                Event::Invoked(operation) => (operation, None),
                Event::Completed(operation, outcome) => (operation, Some(outcome)),
            };
            let Some(id) = plan.name(file, recorder, operation.n) else { continue };
            found.insert(id, Sighting { file, recorder, line: lines.line(), operation, outcome });
        }
    }
    Ok(found)
}

/// An operation as it stands in its file.
#[derive(Debug)]
pub(super) struct Sighting {
    pub(super) file: usize,
    /// The place of its recorder among those of the file.
    pub(super) recorder: usize,
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
