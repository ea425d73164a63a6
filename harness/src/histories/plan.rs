//! How the operations of all files are named and placed on one time axis. Pure but for one look into the files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;
use scenarios::history::{Header, KeyState, Name, Names, QuotaKind};

use super::clock::{BEGINNING, Clock, Interval, Newest, TargetClock, nanoseconds};
use super::noted::{Asked, Noted};
use super::operation::{Horizon, Terms, Time};
use super::source::Source;
use super::{AuditError, ClockKind, Options};
use crate::audit::Window;

/// Bits of an operation's name that tell its recorder, where there are several.
pub(super) const RECORDER_BITS: u32 = 12;

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
    clock: Clock,
}

/// How all files together are read.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    recorders: Vec<Recorder>,
    /// The recorders of each file, in the order of their headers.
    by_file: Vec<Vec<usize>>,
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
            let source = Source::open(file, path, &options.format, &mut survey.names)?;
            survey.read(source, whole)?;
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
        Terms { slack: if self.is_exact(key) { 0 } else { self.terms.slack }, ..self.terms }
    }

    /// Whether nothing about a key's times is uncertain.
    pub(super) fn is_exact(&self, key: &str) -> bool {
        matches!(self.exact.get(key), Some(Some(_)))
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

    /// The recorder that is at a place among those of a file; none: it was not there when the file was first looked at.
    #[inline]
    pub(super) fn recorder(&self, file: usize, place: usize) -> Option<usize> {
        self.by_file.get(file)?.get(place).copied()
    }

    /// An instant of what a line says, as if its recorder's clock were right.
    pub(super) fn instant(&self, file: usize, noted: &Noted) -> i64 {
        let Noted::Operation(operation) = noted else { return BEGINNING };
        let ns = operation.end.as_ref().map_or(operation.start_ns, |end| end.end_ns);
        let recorder = self.recorder(file, operation.recorder).map(|at| &self.recorders[at]);
        recorder.map_or(BEGINNING, |recorder| recorder.clock.instant(ns))
    }

    /// The name of an operation of a recorder, which is at a place among those of a file, among all.
    pub(super) fn name(&self, file: usize, place: usize, n: u64) -> Option<u64> {
        self.id(self.recorder(file, place)?, n)
    }

    /// Names an operation and places it. `is_exact` says that nothing about the times of its key is uncertain.
    #[inline]
    pub(super) fn place(&self, told: &Times, is_exact: bool) -> Result<(u64, Time), PlaceError> {
        let at = self.recorder(told.file, told.recorder).ok_or(PlaceError::UnknownRecorder)?;
        let id = self.id(at, told.n).ok_or(PlaceError::NumberTooLarge)?;
        let clock = self.recorders[at].clock;
        let seen = clock.interval(told.start_ns, told.end.map(|(end_ns, _)| end_ns));
        let driven = match self.target {
            Some(target) if told.is_refresh => Some(Box::new(on_target_clock(target, told, seen)?)),
            None if told.is_refresh && told.server_start_ms.is_some() => return Err(PlaceError::SuddenlyDriven),
            _ => None,
        };
        Ok((id, Time::new(seen, if is_exact { 0 } else { clock.slack }, driven)))
    }

    /// The name of operation `n` of a recorder among all; none if it is too large to be told from others.
    fn id(&self, recorder: usize, n: u64) -> Option<u64> {
        if self.recorders.len() == 1 {
            return Some(n);
        }
        (n >> (u64::BITS - RECORDER_BITS) == 0).then_some((n << RECORDER_BITS) | recorder as u64)
    }
}

/// An operation's number and times as its lines tell them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) file: usize,
    /// The place of its recorder among those of the file.
    pub(super) recorder: usize,
    pub(super) n: u64,
    pub(super) is_refresh: bool,
    pub(super) start_ns: u64,
    pub(super) server_start_ms: Option<u64>,
    /// When it ended, by the recorder's clock and by the target's.
    pub(super) end: Option<(u64, Option<u64>)>,
}

#[cold]
fn on_target_clock(target: TargetClock, told: &Times, seen: Interval) -> Result<Interval, PlaceError> {
    let start = told.server_start_ms.ok_or(PlaceError::NoReading("server_start_ms"))?;
    let end = told.end.map(|(_, server_end_ms)| server_end_ms.ok_or(PlaceError::NoReading("server_end_ms")));
    Ok(target.interval(start, end.transpose()?, seen))
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
    names: Names,
    /// Who used a key: one recorder, as file and place in it, or several.
    users: FxHashMap<Name, Option<(usize, usize)>>,
    driven: Option<bool>,
    /// The first operation's file, recorder's place in it, and start.
    zero: Option<(usize, usize, u64)>,
}

impl Survey {
    /// Reads a file, to its end or to the first refresh.
    fn read(&mut self, mut source: Source, whole: bool) -> Result<(), AuditError> {
        let (file, path) = (source.file, source.path().to_owned());
        let (mut decided, mut looked) = (false, 0_u32);
        while let Some(noted) = source.next(&mut self.names, |noted, _| noted)? {
            looked += 1;
            let operation = match noted {
                Noted::Header(header) => {
                    self.introduce(file, &path, header)?;
                    continue;
                }
                Noted::Operation(operation) => operation,
            };
            if self.zero.is_none() {
                self.zero = Some((file, operation.recorder, operation.start_ns));
            }
            if matches!(operation.asked, Asked::Refresh { .. }) && !decided {
                decided = true;
                let driven = operation.server_start_ms.is_some();
                if *self.driven.get_or_insert(driven) != driven {
                    return Err(AuditError::TwoTimes { path });
                }
            }
            if !whole && (decided || looked > LOOKED_MAX) {
                return Ok(());
            }
            if let Some(key) = operation.key.filter(|_| whole) {
                let user = (file, operation.recorder);
                let known = self.users.entry(key).or_insert(Some(user));
                *known = known.filter(|known| *known == user);
            }
        }
        Ok(())
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
        let recorder = |(_, _, header): &(usize, PathBuf, Header)| {
            let clock = if several { Clock::among_several(header.unix_ms, header.skew_ms) } else { Clock::ALONE };
            Recorder { clock }
        };
        let recorders: Vec<Recorder> = self.headers.iter().map(recorder).collect();
        if recorders.len() >> RECORDER_BITS > 0 {
            return Err(AuditError::TooManyRecorders { most: 1 << RECORDER_BITS });
        }
        let mut by_file: Vec<Vec<usize>> = Vec::new();
        for (at, (file, _, _)) in self.headers.iter().enumerate() {
            by_file.resize(by_file.len().max(file + 1), Vec::new());
            by_file[*file].push(at);
        }
        let at = |file: usize, place: usize| by_file.get(file)?.get(place).copied();
        let exact = self.users.iter().map(|(key, user)| {
            let user = user.and_then(|(file, place)| at(file, place));
            (self.names.text(*key).to_owned(), user)
        });
        let exact = exact.collect();
        let driven = self.driven.unwrap_or(false);
        let zero = self.zero.and_then(|(file, place, ns)| Some(recorders[at(file, place)?].clock.instant(ns)));
        let target = driven.then_some(TargetClock { zero: zero.unwrap_or(0) });
        let slack = recorders.iter().map(|recorder| recorder.clock.slack).max().unwrap_or(0);
        let keys = merged_keys(self.headers.iter().map(|(_, _, header)| header));
        let terms = terms(self.headers.first().map(|(_, _, header)| header), options, driven, slack)?;
        Ok(Plan { recorders, by_file, exact, keys, target, attempt: 0, whole, terms })
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
