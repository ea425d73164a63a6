//! What the lines of a history say, one after the other: the judge of what may follow what.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use rustc_hash::FxHashMap;

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
    in_flight: FxHashMap<u64, Invocation<Name>>,
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

    /// The operations that were invoked and not completed, in the order of recorders, then of numbers.
    pub(super) fn into_unknown(self) -> Vec<Operation> {
        let mut unknown = Vec::new();
        for recorder in &self.recorders {
            let mut left: Vec<(&u64, &Invocation<Name>)> = recorder.in_flight.iter().collect();
            left.sort_unstable_by_key(|(n, _)| *n);
            let names = &self.names;
            unknown.extend(left.into_iter().map(|(n, invocation)| recorder.sighted(*n, invocation, names).operation()));
        }
        unknown
    }

    /// Reads any line, and says what is wrong with it.
    #[cold]
    fn tell_any<T>(&mut self, line: &[u8], see: &mut impl FnMut(Glance<'_>) -> T) -> Result<T, Problem> {
        let mut record = parse(line)?;
        if record.header.is_some() {
            return self.introduce(record.into_header()?).map(|header| see(Glance::Header(header)));
        }
        let Known { names, recorders, .. } = self;
        let recorder = recorder(recorders, &mut record)?;
        let n = record.n.take().ok_or(Problem::Missing { field: "n", context: "in every operation" })?;
        match (recorder.in_flight.remove(&n), record.end_ns) {
            (Some(invocation), Some(_)) => {
                let outcome = complete(names, &invocation, record)?;
                Ok(see(Glance::Completed(recorder.sighted(n, &invocation, names), &outcome)))
            }
            (Some(_), None) => Err(recorder.duplicate(n)),
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
    fn tell_quickly<T>(&mut self, line: &[u8], see: &mut impl FnMut(Glance<'_>) -> T) -> Option<T> {
        let Known { names, recorders, found } = self;
        let line = &quick::scan(line, found)?;
        line.number(Field::V).filter(|version| *version == VERSION)?;
        let recorder = match line.text(Field::RECORDER) {
            None => recorders.last_mut()?,
            Some(name) => recorders.iter_mut().find(|known| known.name.as_bytes() == name)?,
        };
        let n = line.number(Field::N)?;
        let Recorded { at, name, seen, in_flight, .. } = recorder;
        match in_flight.entry(n) {
            Entry::Occupied(invoked) if line.has_only(COMPLETION) => {
                let outcome = outcome(line)?;
                check(invoked.get(), &outcome).ok()?;
                let invocation = &invoked.remove();
                let sighted = Sighted { n, recorder: *at, recorder_name: name, invocation, names };
                Some(see(Glance::Completed(sighted, &outcome)))
            }
            Entry::Occupied(_) => None,
            Entry::Vacant(free) => {
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
                    None => see(Glance::Invoked(sighted(free.insert(invocation)))),
                    Some(outcome) => see(Glance::Completed(sighted(&invocation), &outcome)),
                })
            }
        }
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
        self.recorders.push(Recorded {
            at,
            name,
            header: bare,
            seen: Seen::default(),
            in_flight: FxHashMap::default(),
        });
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    use super::super::{Event, Recorder};
    use super::*;

    const HEADER: &str = r#"{"v":1,"header":true,"recorder":"a","unix_ms":0,"skew_ms":0,"limit":10,"window_ms":3600000,"tolerance_ms":2000,"quota":"reached","keys":{}}"#;

    /// Values that fields may have, right and wrong ones.
    fn fields() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
        let number = || select(vec!["0", "1", "2", "3", "12345678", "1234567890123456789", "18446744073709551615"]);
        let odd =
            || select(vec!["99999999999999999999", "1.0", "-1", "01", "1e3", "null", "\"1\"", "true", "[1]", "{}"]);
        let any_number = move || prop_oneof![9 => number(), 1 => odd()];
        let text = |texts: &[&'static str]| prop_oneof![9 => select(texts.to_vec()), 1 => select(vec!["\"\"", "null", "1", "\"é\"", "\"\\u0064\"", "\"a\tb\"", "\"abcdefghijklmnop\\\"q\"", "\"open"])];
        let maybe = |name: &'static str, often: f64, value: BoxedStrategy<&'static str>| {
            prop::option::weighted(often, value).prop_map(move |value| value.map(|value| (name, value)))
        };
        let invocation = (
            maybe("api", 0.6, text(&["\"rndrkit\"", "\"rndrkit\"", "\"craftkit\""]).boxed()),
            maybe("key", 0.6, text(&["\"d1\"", "\"d2\"", "\"example-domain.com\""]).boxed()),
            maybe("token", 0.5, text(&["\"d1.1\"", "\"d1.2\""]).boxed()),
            maybe("op", 0.6, text(&["\"refresh\"", "\"refresh\"", "\"render\"", "\"poll\"", "\"control\""]).boxed()),
            maybe("pages", 0.3, any_number().boxed()),
            maybe("due_ns", 0.2, any_number().boxed()),
            maybe("start_ns", 0.6, any_number().boxed()),
            maybe("server_start_ms", 0.2, any_number().boxed()),
        );
        let end = (
            maybe("end_ns", 0.5, any_number().boxed()),
            maybe("server_end_ms", 0.2, any_number().boxed()),
            maybe("status", 0.4, text(&["200", "429", "404", "99", "1000"]).boxed()),
            maybe("error", 0.2, text(&["\"Rate limit exceeded (10 requests/hour)\"", "\"timeout\""]).boxed()),
            maybe("id", 0.2, text(&["\"r1\"", "\"r2\""]).boxed()),
            maybe("render_status", 0.1, text(&["\"succeeded\""]).boxed()),
        );
        let about = (
            maybe("v", 0.98, text(&["1", "1", "1", "1", "1", "1", "1", "1", "2"]).boxed()),
            maybe("n", 0.98, any_number().boxed()),
            maybe("recorder", 0.1, text(&["\"a\"", "\"a\"", "\"b\""]).boxed()),
            maybe("what", 0.05, text(&["\"revoke\""]).boxed()),
        );
        (about, invocation, end).prop_map(|(about, invocation, end)| {
            let (v, n, recorder, what) = about;
            let (api, key, token, op, pages, due, start, server_start) = invocation;
            let (ended, server_end, status, error, id, render_status) = end;
            let all = [
                v,
                n,
                recorder,
                api,
                key,
                token,
                op,
                what,
                pages,
                due,
                start,
                ended,
                server_start,
                server_end,
                status,
                error,
                id,
                render_status,
            ];
            all.into_iter().flatten().collect()
        })
    }

    /// A line that is right more often than not, in any order and with any space; some are damaged.
    fn line() -> impl Strategy<Value = Vec<u8>> {
        let right = select(vec![
            r#"{"v":1,"n":1,"api":"rndrkit","key":"d1","token":"d1.1","op":"refresh","pages":1,"due_ns":2,"start_ns":3}"#,
            r#"{"v":1,"n":2,"api":"craftkit","key":"t1","op":"render","start_ns":3}"#,
            r#"{"v":1,"n":3,"api":"craftkit","key":"t1","op":"poll","id":"r1","start_ns":3}"#,
            r#"{"v":1,"n":1,"end_ns":12345,"status":200}"#,
            r#"{"v":1,"n":2,"end_ns":12345,"status":202,"id":"r1"}"#,
            r#"{"v":1,"n":3,"end_ns":12345,"status":200,"render_status":"succeeded"}"#,
            r#"{"v":1,"n":3,"end_ns":12345,"status":200,"id":"r1"}"#,
            r#"{"v":1,"n":4,"api":"rndrkit","key":"d1","op":"refresh","start_ns":3,"end_ns":9,"status":429,"error":"slow"}"#,
            r#"{"v":1,"n":5,"api":"craftkit","key":"t1","op":"poll","id":"r1","start_ns":3,"end_ns":9,"status":404}"#,
            r#"{"v":1,"n":6,"op":"control","what":"advance","ms":5,"start_ns":1,"end_ns":2}"#,
        ]);
        let made = (fields().prop_shuffle(), select(vec!["", "", " ", "\t"]), select(vec!["", "\r", " ", "}"]));
        let made = made.prop_map(|(fields, blank, end)| {
            let fields: Vec<String> =
                fields.iter().map(|(name, value)| format!("\"{name}\"{blank}:{blank}{value}")).collect();
            format!("{{{}}}{end}", fields.join(&format!("{blank},{blank}")))
        });
        let whole = prop_oneof![3 => right.prop_map(str::to_owned), 1 => made];
        let byte = prop_oneof![any::<u8>(), select(b"\",:{}\\0129e.- \n".to_vec())];
        let damage = prop::option::weighted(0.2, (any::<Index>(), 0..6_u8, byte));
        (whole, damage).prop_map(|(whole, damage)| {
            let mut bytes = whole.into_bytes();
            if let Some((at, how, byte)) = damage {
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    2 => drop(bytes.remove(at)),
                    // A number with a zero in front, perhaps.
                    3 => {
                        let colon = bytes[at..].iter().position(|byte| *byte == b':');
                        bytes.insert(colon.map_or(at, |colon| at + colon + 1), b'0');
                    }
                    // A field that is there twice.
                    4 => {
                        let fields: Vec<Vec<u8>> =
                            bytes.split(|byte| b"{,}".contains(byte)).map(<[u8]>::to_vec).collect();
                        let end = bytes.len() - 1;
                        let again = [b",", fields[at % fields.len()].as_slice()].concat();
                        bytes.splice(end..end, again);
                    }
                    _ => bytes.truncate(at),
                }
            }
            bytes
        })
    }

    fn event(glance: Glance<'_>) -> Event {
        glance.into_event()
    }

    fn after_header() -> Known {
        let mut known = Known::default();
        assert!(known.tell(HEADER.as_bytes(), |_| ()).is_ok());
        known
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn a_quick_look_finds_what_the_whole_parser_finds(lines in prop::collection::vec(line(), 1..12)) {
            let (mut quick, mut slow) = (after_header(), after_header());
            // A line that is wrong leaves both as they are after it: so each can be followed by others here.
            for line in &lines {
                let found = quick.tell(line, event);
                let expected = slow.tell_any(line, &mut event);
                prop_assert_eq!(&found, &expected, "{}", String::from_utf8_lossy(line));
            }
            prop_assert_eq!(quick.into_unknown(), slow.into_unknown());
        }
    }

    #[test]
    fn what_a_recorder_writes_of_requests_needs_a_quick_look_only() {
        let mut known = after_header();
        let Ok(Event::Header(header)) = Known::default().tell(HEADER.as_bytes(), event) else { panic!("a header") };
        let recorder = Recorder::new(Vec::new(), &header).unwrap();
        let (key, token) = (|| "example.com".to_owned(), || Some("example.com.1".to_owned()));
        let asked = [
            Action::Refresh { domain: key(), token: token(), pages: Some(3) },
            Action::Refresh { domain: key(), token: None, pages: None },
            Action::Render { template: key(), token: token() },
            Action::Poll { template: key(), token: token(), id: "r1".to_owned() },
        ];
        for (action, [id, render_status]) in
            asked.into_iter().zip([[None, None], [None, None], [Some("r1"), None], [None, Some("failed")]])
        {
            let invocation =
                Invocation { action, due_ns: Some(1), start_ns: 1_000_000_000_000, server_start_ms: Some(5) };
            let ticket = recorder.invoked(&invocation).unwrap();
            let error = Some("Rate limit exceeded (10 requests/hour)".to_owned());
            let [id, render_status] = [id, render_status].map(|text| text.map(str::to_owned));
            let (status, server_end_ms) = (Some(429), Some(6));
            recorder
                .completed(
                    ticket,
                    &Outcome { end_ns: 1_000_000_000_009, server_end_ms, status, error, id, render_status },
                )
                .unwrap();
        }
        let written = String::from_utf8(recorder.finish().unwrap()).unwrap();
        let lines: Vec<&str> = written.lines().skip(1).collect();
        assert_eq!(lines.len(), 8);
        for line in lines {
            assert!(known.tell_quickly(line.as_bytes(), &mut |_| ()).is_some(), "{line}");
        }
    }
}
