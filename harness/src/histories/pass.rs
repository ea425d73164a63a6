//! One pass over the files: one thread reads, several judge, each its own keys.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use scenarios::history::{Event, Names, Operation, Outcome};

use super::desk::{BATCH, Batch, Desk, End, line};
use super::domain::Domain;
use super::noted::{Asked, Noted};
use super::operation::{Again, Findings, Found};
use super::plan::{PlaceError, Plan};
use super::renders::Template;
use super::source::{Lines, Source};
use super::{AuditError, FileFacts, Options};
use crate::audit::Shape;

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
        let (mut lines, mut workers) = (Vec::new(), Vec::new());
        for _ in 0..threads {
            let (line, end) = line();
            lines.push(line);
            let (again, moved) = (&again, &moved);
            workers.push(scope.spawn(move || judge(plan, &end, again, moved)));
        }
        // An early end drops the desk, and without that a worker ends.
        let mut reading = Reading::open(plan, paths, options, Desk::new(plan, lines))?;
        reading.read(&again, stop)?;
        let Reading { sources, desk, .. } = reading;
        let (outages, controls) = desk.close(&moved);
        let mut findings = Vec::new();
        for worker in workers {
            findings.extend(worker.join().expect("a worker does not panic"));
        }
        if let Some(why) = again.get() {
            return Err(Stop::Again(*why));
        }
        let files = sources.into_iter().map(Source::into_facts).collect();
        Ok(Passed { files, findings, outages, controls })
    })
}

/// The reading side of a pass.
struct Reading<'p> {
    plan: &'p Plan,
    names: Names,
    sources: Vec<Source>,
    desk: Desk<'p>,
}

impl<'p> Reading<'p> {
    fn open(plan: &'p Plan, paths: &[PathBuf], options: &Options, desk: Desk<'p>) -> Result<Reading<'p>, AuditError> {
        let (mut names, mut sources) = (Names::default(), Vec::new());
        for (file, path) in paths.iter().enumerate() {
            sources.push(Source::open(file, path, &options.format, &mut names)?);
        }
        Ok(Reading { plan, names, sources, desk })
    }

    fn read(&mut self, again: &OnceLock<Again>, stop: &dyn Fn() -> bool) -> Result<(), Stop> {
        let mut events = 0_usize;
        while let Some(at) = self.earliest()? {
            let Reading { plan, names, sources, desk } = self;
            let source = &mut sources[at];
            let file = source.file;
            let take = |noted: Noted, names: &Names| match noted {
                Noted::Header(_) => Ok(()),
                Noted::Operation(operation) => desk.take(file, operation, names),
            };
            match source.next(names, take)? {
                None => break,
                Some(Ok(())) => {}
                Some(Err(PlaceError::UnknownRecorder | PlaceError::SuddenlyDriven)) if !plan.is_whole() => {
                    return Err(Stop::LookAtAll);
                }
                Some(Err(error)) => {
                    let (path, line) = (source.path().to_owned(), source.line());
                    return Err(Stop::Failed(AuditError::Place { path, line, error }));
                }
            }
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
        self.desk.hand_over_all();
        Ok(())
    }

    /// The file whose next event is the earliest.
    fn earliest(&mut self) -> Result<Option<usize>, AuditError> {
        // One is read as it comes.
        if self.sources.len() == 1 {
            return Ok(Some(0));
        }
        for source in &mut self.sources {
            source.look_ahead(&mut self.names)?;
        }
        let next = self.sources.iter().enumerate().filter_map(|(at, source)| Some((at, source.peek()?)));
        Ok(next.min_by_key(|(at, noted)| self.plan.instant(*at, noted)).map(|(at, _)| at))
    }
}

/// A key that a thread judges: a domain, a template, or one of each that are called the same.
struct Key {
    name: String,
    domain: Option<Box<Domain>>,
    template: Option<Box<Template>>,
}

impl Key {
    fn domain(&mut self, plan: &Plan) -> &mut Domain {
        let Key { name, domain, .. } = self;
        domain.get_or_insert_with(|| Box::new(Domain::new(name, plan.known(name), plan.terms_of(name))))
    }

    fn template(&mut self) -> &mut Template {
        let Key { name, template, .. } = self;
        template.get_or_insert_with(|| Box::new(Template::new(name)))
    }
}

/// Tells the keys everything in a batch, and leaves it empty.
fn take(plan: &Plan, keys: &mut Vec<Key>, batch: &mut Batch) -> Result<(), Again> {
    let Batch { met, begun, told, horizon } = batch;
    keys.extend(met.drain(..).map(|name| Key { name, domain: None, template: None }));
    for (number, placed) in begun.drain(..) {
        keys[number as usize].domain(plan).begin(placed, *horizon)?;
    }
    for (number, told) in &*told {
        let key = &mut keys[*number as usize];
        match told.placed.asked {
            Asked::Render | Asked::Poll { .. } => key.template().take(told, horizon.told),
            _ => key.domain(plan).take(told, *horizon)?,
        }
    }
    told.clear();
    Ok(())
}

/// What one thread does: judges the keys that it is told of.
fn judge(plan: &Plan, line: &End, again: &OnceLock<Again>, moved: &AtomicBool) -> Vec<Findings> {
    let mut keys: Vec<Key> = Vec::new();
    while let Some(mut batch) = line.next() {
        if let Err(why) = take(plan, &mut keys, &mut batch) {
            // One reason is enough; another shows the next time.
            let _ = again.set(why);
            return Vec::new();
        }
        line.give_back(batch);
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
