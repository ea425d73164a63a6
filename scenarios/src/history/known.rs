//! What the lines of a history say, one after the other: the judge of what may follow what.

use std::borrow::Cow;
use std::sync::Arc;

use super::in_flight::InFlight;
use super::layout::Layouts;
use super::names::{Name, Names};
use super::quick::{self, Field, Fields, Found, Line};
use super::seen::Seen;
use super::wire::{CRAFTKIT, RNDRKIT, Record, VERSION, check, parse, status_of};
use super::{Action, Glance, Header, Invocation, Operation, Outcome, Problem, Sighted};

/// An outcome in the texts of its line.
type Told<'l> = Outcome<Cow<'l, str>>;

/// What has been read so far, in memory bounded by the operations in flight and the names of keys and tokens.
#[derive(Debug, Default)]
pub(super) struct Known {
    names: Names,
    recorders: Vec<Recorded>,
    layouts: Layouts,
    /// Of the line that is being read.
    found: Found,
}

/// What has been read of one recorder.
#[derive(Debug)]
struct Recorded {
    /// Its place among all.
    at: usize,
    name: Arc<str>,
    /// Without its keys.
    header: Header,
    seen: Seen,
    in_flight: InFlight,
}

impl Known {
    /// Whether no header has been read yet.
    pub(super) fn is_empty(&self) -> bool {
        self.recorders.is_empty()
    }

    /// Reads the next line; `see` sees what it says.
    pub(super) fn tell<T>(&mut self, line: &[u8], mut see: impl FnMut(Glance<'_>) -> T) -> Result<T, Problem> {
        match self.tell_quickly(line, &mut see) {
            Some(seen) => Ok(seen),
            None => self.tell_any(line, &mut see),
        }
    }

    /// Reads the line with which `bytes` begin, and says how long it is, with its end; if it is not like lines before, it is left as it
    /// is, with none.
    #[inline]
    pub(super) fn tell_known<T>(&mut self, bytes: &[u8], see: &mut impl FnMut(Glance<'_>) -> T) -> Option<(usize, T)> {
        let length = self.layouts.read(bytes, &mut self.found)?;
        self.tell_found(bytes, see).map(|seen| (length, seen))
    }

    /// Whether a line is like lines before, whatever it says.
    #[cfg(test)]
    pub(super) fn knows_layout(&mut self, line: &[u8]) -> bool {
        let bytes = [line, b"\n", &[b' '; 64]].concat();
        self.layouts.read(&bytes, &mut self.found) == Some(line.len() + 1)
    }

    /// The operations that were invoked and not completed, in the order of recorders, then of numbers.
    pub(super) fn into_unknown(self) -> Vec<Operation> {
        let mut unknown = Vec::new();
        for recorder in &self.recorders {
            let (left, names) = (recorder.in_flight.sorted(), &self.names);
            unknown.extend(left.into_iter().map(|(n, invocation)| recorder.sighted(n, invocation, names).operation()));
        }
        unknown
    }

    /// Reads any line, and says what is wrong with it.
    #[cold]
    pub(super) fn tell_any<T>(&mut self, line: &[u8], see: &mut impl FnMut(Glance<'_>) -> T) -> Result<T, Problem> {
        let mut record = parse(line)?;
        if record.header.is_some() {
            return self.introduce(record.into_header()?).map(|header| see(Glance::Header(header)));
        }
        let Known { names, recorders, .. } = self;
        let recorder = recorder(recorders, &mut record)?;
        let n = record.n.take().ok_or(Problem::Missing { field: "n", context: "in every operation" })?;
        match (recorder.in_flight.get(n), record.end_ns) {
            (Some(invocation), Some(_)) => {
                let completed = complete(names, invocation, record);
                let seen =
                    completed.map(|outcome| see(Glance::Completed(recorder.sighted(n, invocation, names), &outcome)));
                recorder.in_flight.remove(n);
                seen
            }
            (Some(_), None) => {
                recorder.in_flight.remove(n);
                Err(recorder.duplicate(n))
            }
            (None, end) => {
                let (invocation, outcome) = recorder.invoke(names, n, end, record)?;
                let sighted = recorder.sighted(n, &invocation, names);
                let seen = match &outcome {
                    None => see(Glance::Invoked(sighted)),
                    Some(outcome) => see(Glance::Completed(sighted, outcome)),
                };
                if outcome.is_none() {
                    recorder.in_flight.insert(n, invocation);
                }
                Ok(seen)
            }
        }
    }

    /// Reads a line of a request that is plain and right; any other line is left as it is, with none.
    pub(super) fn tell_quickly<T>(&mut self, line: &[u8], see: &mut impl FnMut(Glance<'_>) -> T) -> Option<T> {
        quick::scan(line, &mut self.found)?;
        self.layouts.learn(line, &self.found);
        self.tell_found(line, see)
    }

    /// Tells what was found in a line, which `bytes` begin with.
    #[inline]
    fn tell_found<T>(&mut self, bytes: &[u8], see: &mut impl FnMut(Glance<'_>) -> T) -> Option<T> {
        let Known { names, recorders, found, .. } = self;
        let line = &Line::new(bytes, found);
        line.number(Field::V).filter(|version| *version == VERSION)?;
        let recorder = match line.text(Field::RECORDER) {
            None => recorders.last_mut()?,
            Some(name) => recorders.iter_mut().find(|known| known.name.as_bytes() == name)?,
        };
        let n = line.number(Field::N)?;
        let Recorded { at, name, seen, in_flight, .. } = recorder;
        if let Some(invocation) = in_flight.get(n) {
            if !line.has_only(COMPLETION) {
                return None;
            }
            let outcome = outcome(line)?;
            check(invocation, &outcome).ok()?;
            let sighted = Sighted { n, recorder: *at, recorder_name: name, invocation, names };
            let seen = see(Glance::Completed(sighted, &outcome));
            in_flight.remove(n);
            return Some(seen);
        }
        let (invocation, fields) = invocation(names, line)?;
        let ended = line.number(Field::END_NS).is_some();
        if !line.has_only(if ended { fields.and(COMPLETION) } else { fields }) {
            return None;
        }
        let outcome = if ended { Some(whole_outcome(&invocation, line)?) } else { None };
        if !seen.insert(n) {
            return None;
        }
        let sighted = |invocation| Sighted { n, recorder: *at, recorder_name: name, invocation, names };
        Some(match outcome {
            None => see(Glance::Invoked(sighted(in_flight.insert(n, invocation)))),
            Some(outcome) => see(Glance::Completed(sighted(&invocation), &outcome)),
        })
    }

    fn introduce(&mut self, header: Header) -> Result<Header, Problem> {
        if self.recorders.iter().any(|known| *known.name == *header.recorder) {
            return Err(Problem::SecondHeader { recorder: header.recorder });
        }
        let bare = Header { keys: [].into(), ..header.clone() };
        if let Some(first) = self.recorders.first() {
            // All recorders saw the same limits; names and clocks are their own.
            let (name, unix_ms, skew_ms) = (first.header.recorder.clone(), first.header.unix_ms, first.header.skew_ms);
            let same = Header { recorder: name, unix_ms, skew_ms, ..bare.clone() };
            Record::of_header(&same).agree(&Record::of_header(&first.header))?;
        }
        let (at, name) = (self.recorders.len(), header.recorder.as_str().into());
        self.recorders.push(Recorded { at, name, header: bare, seen: Seen::default(), in_flight: InFlight::default() });
        Ok(header)
    }
}

/// What the completion of an operation may have.
const COMPLETION: Fields = Fields::of(&[
    Field::V,
    Field::N,
    Field::RECORDER,
    Field::END_NS,
    Field::SERVER_END_MS,
    Field::STATUS,
    Field::ERROR,
    Field::ID,
    Field::RENDER_STATUS,
]);

/// What any request may have.
const REQUEST: Fields = Fields::of(&[
    Field::V,
    Field::N,
    Field::RECORDER,
    Field::API,
    Field::KEY,
    Field::TOKEN,
    Field::OP,
    Field::DUE_NS,
    Field::START_NS,
    Field::SERVER_START_MS,
]);
const REFRESH: Fields = REQUEST.and(Fields::of(&[Field::PAGES]));
const POLL: Fields = REQUEST.and(Fields::of(&[Field::ID]));

/// The request that a plain line invokes, and which fields it may have.
fn invocation(names: &mut Names, line: &Line<'_, '_>) -> Option<(Invocation<Name>, Fields)> {
    let (api, op) = (line.text(Field::API)?, line.text(Field::OP)?);
    let start_ns = line.number(Field::START_NS)?;
    let key = names.number_of_bytes(line.text(Field::KEY)?)?;
    let token = line.text(Field::TOKEN).and_then(|token| names.number_of_bytes(token));
    let (action, fields) = match op {
        b"refresh" if api == RNDRKIT.as_bytes() => {
            (Action::Refresh { domain: key, token, pages: line.number(Field::PAGES) }, REFRESH)
        }
        b"render" if api == CRAFTKIT.as_bytes() => (Action::Render { template: key, token }, REQUEST),
        b"poll" if api == CRAFTKIT.as_bytes() => {
            let id = str::from_utf8(line.text(Field::ID)?).ok()?.to_owned();
            (Action::Poll { template: key, token, id }, POLL)
        }
        _ => return None,
    };
    let (due_ns, server_start_ms) = (line.number(Field::DUE_NS), line.number(Field::SERVER_START_MS));
    Some((Invocation { action, due_ns, start_ns, server_start_ms }, fields))
}

/// How a plain line says that an operation ended.
fn outcome<'l>(line: &Line<'l, '_>) -> Option<Told<'l>> {
    let text = |field: Field| match line.text(field) {
        None => Some(None),
        Some(text) => str::from_utf8(text).ok().map(|text| Some(Cow::Borrowed(text))),
    };
    let status = match line.number(Field::STATUS) {
        None => None,
        Some(status) => Some(status_of(status)?),
    };
    Some(Outcome {
        end_ns: line.number(Field::END_NS)?,
        server_end_ms: line.number(Field::SERVER_END_MS),
        status,
        error: text(Field::ERROR)?,
        id: text(Field::ID)?,
        render_status: text(Field::RENDER_STATUS)?,
    })
}

/// How a plain line that invokes an operation says that it ended, too.
fn whole_outcome<'l>(invocation: &Invocation<Name>, line: &Line<'l, '_>) -> Option<Told<'l>> {
    let outcome = outcome(line)?;
    let outcome = match invocation.action {
        // The id is that which was asked for.
        Action::Poll { .. } => Outcome { id: None, ..outcome },
        _ => outcome,
    };
    check(invocation, &outcome).ok().map(|()| outcome)
}

/// The recorder that a line names, or that of the header above.
fn recorder<'k>(recorders: &'k mut [Recorded], record: &mut Record<'_>) -> Result<&'k mut Recorded, Problem> {
    if recorders.is_empty() {
        return Err(no_header("an operation"));
    }
    match record.recorder.take() {
        None => recorders.last_mut().ok_or_else(|| no_header("an operation")),
        Some(name) => {
            let named = recorders.iter_mut().find(|known| *known.name == *name);
            named.ok_or_else(|| Problem::UnknownRecorder { recorder: name.into_owned() })
        }
    }
}

impl Recorded {
    fn sighted<'g>(&'g self, n: u64, invocation: &'g Invocation<Name>, names: &'g Names) -> Sighted<'g> {
        Sighted { n, recorder: self.at, recorder_name: &self.name, invocation, names }
    }

    fn duplicate(&self, n: u64) -> Problem {
        Problem::Duplicate { n, recorder: self.header.recorder.clone() }
    }

    /// Reads a line about an operation that is not in flight: its invocation, and its outcome if it has ended.
    fn invoke<'l>(
        &mut self,
        names: &mut Names,
        n: u64,
        end: Option<u64>,
        mut record: Record<'l>,
    ) -> Result<(Invocation<Name>, Option<Told<'l>>), Problem> {
        if !self.seen.insert(n) {
            return Err(self.duplicate(n));
        }
        if end.is_some() && record.start_ns.is_none() {
            return Err(Problem::NotInvoked { n, recorder: self.header.recorder.clone() });
        }
        let invocation = record.take_invocation(|text| names.number(&text))?;
        let outcome = end.map(|_| record.take_outcome(&invocation)).transpose()?;
        record.done(if outcome.is_some() { "in this operation" } else { "in this invocation" })?;
        Ok((invocation, outcome))
    }
}

/// Reads a line that completes an operation.
fn complete<'l>(names: &Names, invocation: &Invocation<Name>, mut record: Record<'l>) -> Result<Told<'l>, Problem> {
    if record.tells_invocation() {
        let said = invocation.clone().named(|name| names.text(name).to_owned());
        record.agree(&Record::default().with_invocation(&said))?;
    }
    let outcome = record.take_outcome(invocation)?;
    record.done("in a completion, unless the invocation says the same")?;
    Ok(outcome)
}

/// A history that does not begin as it should.
pub(super) fn no_header(found: &'static str) -> Problem {
    Problem::NoHeader { found }
}
