//! How the operations of all files are named and placed on one time axis. Pure but for one look into the files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use scenarios::history::{Action, Event, Header, Invocation, KeyState, Operation, Outcome, QuotaKind};

use super::clock::{BEGINNING, Clock, Newest, TargetClock, nanoseconds};
use super::operation::{Horizon, Placed, Terms};
use super::source::Source;
use super::{AuditError, ClockKind, Options};
use crate::audit::Window;

/// Bits of an operation's name that tell its recorder, where there are several.
const RECORDER_BITS: u32 = 12;

/// What is waited for: one attempt after the other.
const PATIENCE: [Patience; 3] = [
    Patience { told: 5 * SECOND, lines: Some(1 << 16), lost: 120 * SECOND },
    Patience { told: 300 * SECOND, lines: Some(1 << 20), lost: 3_600 * SECOND },
    Patience { told: FOREVER, lines: None, lost: FOREVER },
];
const SECOND: i64 = 1_000_000_000;
const FOREVER: i64 = i64::MAX;

/// How many events are looked at for the first refresh of a file.
const LOOKED_MAX: u32 = 1_000;

/// How long an operation may keep one waiting.
struct Patience {
    /// How far back it may begin when it is told for the first time.
    told: i64,
    /// How many lines that began later may be told before it; none: any number. However many operations there are in that time, so
    /// many of them are kept in memory, not more.
    lines: Option<usize>,
    /// How long it may be under way.
    lost: i64,
}

/// A recorder of one of the files.
#[derive(Clone, Debug)]
struct Recorder {
    file: usize,
    name: String,
    clock: Clock,
}

/// How all files together are read.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    recorders: Vec<Recorder>,
    /// Keys that one recorder alone has used: nothing about them is uncertain. Empty where there is one recorder.
    exact: HashMap<String, Option<usize>>,
    keys: HashMap<String, KeyState>,
    target: Option<TargetClock>,
    attempt: usize,
    /// Whether the files were looked at to their ends.
    whole: bool,
    pub(super) terms: Terms,
}

impl Plan {
    /// Looks at the files and decides.
    ///
    /// The beginning of a single file is enough, unless `whole`; several are read to their ends, since what matters is who used which key.
    pub(super) fn new(paths: &[PathBuf], options: &Options, whole: bool) -> Result<Plan, AuditError> {
        let whole = whole || paths.len() > 1;
        let mut survey = Survey::default();
        for (file, path) in paths.iter().enumerate() {
            survey.read(Source::open(file, path, &options.format)?, whole)?;
        }
        survey.plan(options, whole)
    }

    /// Whether the files were looked at to their ends, so that a second look shows nothing new.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// The same once more, with more patience; none if there is no more.
    pub(super) fn with_more_patience(mut self) -> Option<Plan> {
        self.attempt += 1;
        (self.attempt < PATIENCE.len()).then_some(self)
    }

    /// The same once more, asking what should hold, too.
    pub(super) fn with_both_views(self) -> Plan {
        Plan { terms: Terms { both: true, ..self.terms }, ..self }
    }

    /// The same once more, forgetting nothing.
    pub(super) fn with_all_patience(self) -> Plan {
        Plan { attempt: PATIENCE.len() - 1, ..self }
    }

    /// Whether anything may be forgotten before the end.
    pub(super) fn may_forget(&self) -> bool {
        self.attempt + 1 < PATIENCE.len()
    }

    /// What the horizon needs to know of instants, before any is told.
    pub(super) fn newest(&self) -> Newest {
        Newest::new(PATIENCE[self.attempt].lines)
    }

    /// What may be forgotten by those who are told what comes from now on.
    pub(super) fn horizon(&self, newest: &Newest) -> Horizon {
        let Patience { told, lost, .. } = PATIENCE[self.attempt];
        let told = newest.now().saturating_sub(told);
        let told = newest.overtaken().map_or(told, |overtaken| told.max(overtaken));
        Horizon { told, lost: newest.now().saturating_sub(lost) }
    }

    /// What is known of a key at the beginning.
    pub(super) fn known(&self, key: &str) -> Option<&KeyState> {
        self.keys.get(key)
    }

    /// What a key is judged by.
    pub(super) fn terms_of(&self, key: &str) -> Terms {
        let exact = matches!(self.exact.get(key), Some(Some(_)));
        Terms { slack: if exact { 0 } else { self.terms.slack }, ..self.terms }
    }

    /// Whether an operation's number alone does not name it.
    pub(super) fn is_of_several(&self) -> bool {
        self.recorders.len() > 1
    }

    /// Whether the target's own clock is what windows are measured on.
    pub(super) fn driven(&self) -> bool {
        self.terms.driven
    }

    /// Whose clock that is.
    pub(super) fn clock_kind(&self) -> ClockKind {
        match (self.driven(), self.recorders.len()) {
            (true, _) => ClockKind::Target,
            (false, 0 | 1) => ClockKind::Recorder,
            (false, _) => ClockKind::Recorders,
        }
    }

    /// An instant of an event, as if its recorder's clock were right.
    pub(super) fn instant(&self, file: usize, event: &Event) -> i64 {
        let (operation, ns) = match event {
            Event::Header(_) => return BEGINNING,
            Event::Invoked(operation) => (operation, operation.invocation.start_ns),
            Event::Completed(operation, outcome) => (operation, outcome.end_ns),
        };
        let recorder = self.recorder(file, &operation.recorder).map(|at| &self.recorders[at]);
        recorder.map_or(BEGINNING, |recorder| recorder.clock.instant(ns))
    }

    /// The name of an operation among all.
    pub(super) fn name(&self, file: usize, operation: &Operation) -> Option<u64> {
        self.id(self.recorder(file, &operation.recorder)?, operation.n)
    }

    /// Names an operation and places it.
    pub(super) fn place(
        &self,
        file: usize,
        operation: Operation,
        outcome: Option<&Outcome>,
    ) -> Result<Placed, PlaceError> {
        let at = self.recorder(file, &operation.recorder).ok_or(PlaceError::UnknownRecorder)?;
        let Operation { n, invocation, .. } = operation;
        let id = self.id(at, n).ok_or(PlaceError::NumberTooLarge)?;
        let clock = self.recorders[at].clock;
        let seen = clock.interval(invocation.start_ns, outcome.map(|outcome| outcome.end_ns));
        let alone = invocation.action.key().is_some_and(|key| matches!(self.exact.get(key), Some(Some(_))));
        let real = seen.widened(if alone { 0 } else { clock.slack });
        let judged = match (&invocation.action, self.target) {
            (Action::Refresh { .. }, Some(target)) => self.on_target_clock(target, &invocation, outcome, seen)?,
            (Action::Refresh { .. }, None) if invocation.server_start_ms.is_some() => {
                return Err(PlaceError::SuddenlyDriven);
            }
            _ => real,
        };
        Ok(Placed { id, invocation, seen, real, judged })
    }

    fn on_target_clock(
        &self,
        target: TargetClock,
        invocation: &Invocation,
        outcome: Option<&Outcome>,
        seen: super::clock::Interval,
    ) -> Result<super::clock::Interval, PlaceError> {
        let start = invocation.server_start_ms.ok_or(PlaceError::NoReading("server_start_ms"))?;
        let end = outcome.map(|outcome| outcome.server_end_ms.ok_or(PlaceError::NoReading("server_end_ms")));
        Ok(target.interval(start, end.transpose()?, seen))
    }

    /// The name of operation `n` of a recorder among all; none if it is too large to be told from others.
    fn id(&self, recorder: usize, n: u64) -> Option<u64> {
        if self.recorders.len() == 1 {
            return Some(n);
        }
        (n >> (u64::BITS - RECORDER_BITS) == 0).then_some((n << RECORDER_BITS) | recorder as u64)
    }

    fn recorder(&self, file: usize, name: &str) -> Option<usize> {
        self.recorders.iter().position(|recorder| recorder.file == file && recorder.name == name)
    }
}

/// Why an operation has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// A header stands in the middle of the file.
    #[error(
        "expected a recorder that was introduced when the file was first looked at; did the file change meanwhile?"
    )]
    UnknownRecorder,
    /// Numbers of several recorders must leave room for telling them apart.
    #[error("expected `n` below 2^52, since there are several recorders")]
    NumberTooLarge,
    /// Earlier refreshes carry readings of the target's clock.
    #[error(
        "expected `{0}`, as in earlier refreshes: where the target's clock is driven, every refresh must say what it showed"
    )]
    NoReading(&'static str),
    /// Earlier refreshes carry none.
    #[error(
        "expected no `server_start_ms`, since earlier refreshes have none: every refresh must say what the target's clock showed, or none"
    )]
    SuddenlyDriven,
}

/// What a look into the files tells.
#[derive(Debug, Default)]
struct Survey {
    headers: Vec<(usize, PathBuf, Header)>,
    /// Who used a key: one recorder, as file and name, or several.
    users: HashMap<String, Option<(usize, String)>>,
    driven: Option<bool>,
    zero: Option<(usize, String, u64)>,
}

impl Survey {
    /// Reads a file, to its end or to the first refresh.
    fn read(&mut self, mut source: Source, whole: bool) -> Result<(), AuditError> {
        let (file, path) = (source.file, source.path().to_owned());
        let (mut decided, mut looked) = (false, 0_u32);
        while let Some((event, _)) = source.take()? {
            looked += 1;
            let operation = match event {
                Event::Header(header) => {
                    self.introduce(file, &path, header)?;
                    continue;
                }
                Event::Invoked(operation) | Event::Completed(operation, _) => operation,
            };
            if self.zero.is_none() {
                self.zero = Some((file, operation.recorder.to_string(), operation.invocation.start_ns));
            }
            if matches!(operation.invocation.action, Action::Refresh { .. }) && !decided {
                decided = true;
                let driven = operation.invocation.server_start_ms.is_some();
                if *self.driven.get_or_insert(driven) != driven {
                    return Err(AuditError::TwoTimes { path });
                }
            }
            if !whole && (decided || looked > LOOKED_MAX) {
                return Ok(());
            }
            if let Some(key) = operation.invocation.action.key().filter(|_| whole) {
                self.note_user(key, file, &operation.recorder);
            }
        }
        Ok(())
    }

    fn note_user(&mut self, key: &str, file: usize, recorder: &str) {
        match self.users.get_mut(key) {
            Some(user) if user.as_ref().is_some_and(|(known, name)| *known != file || name != recorder) => *user = None,
            Some(_) => {}
            None => {
                self.users.insert(key.to_owned(), Some((file, recorder.to_owned())));
            }
        }
    }

    fn introduce(&mut self, file: usize, path: &Path, header: Header) -> Result<(), AuditError> {
        if let Some((_, first, known)) = self.headers.first() {
            let differs = |field, first: String, found: String| (first != found).then_some((field, first, found));
            let quota = |header: &Header| format!("{:?}", header.quota).to_lowercase();
            let difference = differs("limit", known.limit.to_string(), header.limit.to_string())
                .or_else(|| differs("window_ms", known.window_ms.to_string(), header.window_ms.to_string()))
                .or_else(|| differs("tolerance_ms", known.tolerance_ms.to_string(), header.tolerance_ms.to_string()))
                .or_else(|| differs("quota", quota(known), quota(&header)));
            if let Some((field, expected, found)) = difference {
                return Err(AuditError::HeadersDiffer {
                    path: path.to_owned(),
                    field,
                    expected,
                    found,
                    first: first.clone(),
                });
            }
        }
        let same = |known: &Header| known.recorder == header.recorder && known.unix_ms == header.unix_ms;
        let earlier = self.headers.iter().find(|(at, _, known)| *at != file && header.unix_ms > 0 && same(known));
        if let Some((_, first, _)) = earlier {
            return Err(AuditError::SameRun { path: path.to_owned(), first: first.clone(), recorder: header.recorder });
        }
        self.headers.push((file, path.to_owned(), header));
        Ok(())
    }

    fn plan(self, options: &Options, whole: bool) -> Result<Plan, AuditError> {
        let several = self.headers.len() > 1;
        let recorder = |(file, _, header): &(usize, PathBuf, Header)| {
            let clock = if several { Clock::among_several(header.unix_ms, header.skew_ms) } else { Clock::ALONE };
            Recorder { file: *file, name: header.recorder.clone(), clock }
        };
        let recorders: Vec<Recorder> = self.headers.iter().map(recorder).collect();
        if recorders.len() >> RECORDER_BITS > 0 {
            return Err(AuditError::TooManyRecorders { most: 1 << RECORDER_BITS });
        }
        let at = |file: usize, name: &str| {
            recorders.iter().position(|recorder| recorder.file == file && recorder.name == name)
        };
        let exact =
            self.users.iter().map(|(key, user)| (key.clone(), user.as_ref().and_then(|(file, name)| at(*file, name))));
        let exact = exact.collect();
        let driven = self.driven.unwrap_or(false);
        let zero = self.zero.as_ref().and_then(|(file, name, ns)| Some(recorders[at(*file, name)?].clock.instant(*ns)));
        let target = driven.then_some(TargetClock { zero: zero.unwrap_or(0) });
        let slack = recorders.iter().map(|recorder| recorder.clock.slack).max().unwrap_or(0);
        let keys = merged_keys(self.headers.iter().map(|(_, _, header)| header));
        let terms = terms(self.headers.first().map(|(_, _, header)| header), options, driven, slack)?;
        Ok(Plan { recorders, exact, keys, target, attempt: 0, whole, terms })
    }
}

/// What is known of the keys, where several recorders say something: what they agree on.
fn merged_keys<'h>(headers: impl Iterator<Item = &'h Header>) -> HashMap<String, KeyState> {
    let mut merged: HashMap<String, KeyState> = HashMap::new();
    for (key, state) in headers.flat_map(|header| &header.keys) {
        merged
            .entry(key.clone())
            .and_modify(|known| {
                known.fresh &= state.fresh;
                known.renders_left = known.renders_left.filter(|left| Some(*left) == state.renders_left);
            })
            .or_insert_with(|| state.clone());
    }
    merged
}

/// What every key is judged by: what the user says, else what the recorder says.
fn terms(header: Option<&Header>, options: &Options, driven: bool, slack: i64) -> Result<Terms, AuditError> {
    let ms = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let window_ms = options.window.map(ms).or(header.map(|header| header.window_ms)).unwrap_or(0);
    let tolerance_ms = options.tolerance.map(ms).or(header.map(|header| header.tolerance_ms)).unwrap_or(0);
    let limit = options.limit.or(header.map(|header| header.limit)).unwrap_or(0);
    let granularity = if driven { TargetClock::GRANULARITY } else { 0 };
    let tolerance = nanoseconds(tolerance_ms).saturating_add(granularity);
    let length = nanoseconds(window_ms);
    if limit == 0 {
        return Err(AuditError::NoLimit);
    }
    if length <= tolerance {
        return Err(AuditError::NoWindow { window_ms, tolerance_ms });
    }
    let window =
        Window { limit, shortest: length - tolerance, longest: length.saturating_add(tolerance).min(i64::MAX / 4) };
    let reading = options.quota.or(header.map(|header| header.quota)).unwrap_or(QuotaKind::Reached);
    Ok(Terms { window, settle: nanoseconds(ms(options.settle)), reading, slack, driven, both: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_key_only_what_recorders_agree_on_is_known() {
        let header = |fresh, renders_left| Header {
            recorder: "a".into(),
            unix_ms: 0,
            skew_ms: 0,
            limit: 10,
            window_ms: 1,
            tolerance_ms: 0,
            quota: QuotaKind::Reached,
            keys: [("d1".to_owned(), KeyState { fresh, renders_left })].into(),
        };
        let check = |one, other, expected| {
            let headers = [one, other];
            let merged = merged_keys(headers.iter());
            assert_eq!(merged["d1"], expected);
        };
        let state = |fresh, renders_left| KeyState { fresh, renders_left };
        check(header(true, Some(7)), header(true, Some(7)), state(true, Some(7)));
        check(header(true, Some(7)), header(false, Some(3)), state(false, None));
        check(header(true, None), header(true, Some(3)), state(true, None));
    }
}
