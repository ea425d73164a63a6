//! The ways to read a line, held against each other: the parser of all of JSON decides, and the quick ones find what it finds.

use std::io::{self, BufReader, Read};

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::known::Known;
use super::{Action, Event, Glance, Invocation, Outcome, Problem, ReadError, Reader, Recorder};

const HEADER: &str = r#"{"v":1,"header":true,"recorder":"a","unix_ms":0,"skew_ms":0,"limit":10,"window_ms":3600000,"tolerance_ms":2000,"quota":"reached","keys":{}}"#;

/// Values that fields may have, right and wrong ones.
fn fields() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let number = || select(vec!["0", "1", "2", "3", "12345678", "1234567890123456789", "18446744073709551615"]);
    let odd = || select(vec!["99999999999999999999", "1.0", "-1", "01", "1e3", "null", "\"1\"", "true", "[1]", "{}"]);
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

/// The line with other digits and longer numbers and texts, but with its own version and mostly its own number.
fn changed(line: &str, changes: &[Index]) -> String {
    let mut bytes = line.as_bytes().to_vec();
    for change in changes {
        let places: Vec<usize> = (13..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).collect();
        let Some(at) = (!places.is_empty()).then(|| places[change.index(places.len())]) else { break };
        let digits = b"0123456789";
        let digit = digits[change.index(digits.len())];
        match change.index(3) {
            0 => bytes.insert(at, digit),
            _ => bytes[at] = digit,
        }
    }
    String::from_utf8(bytes).expect("it was text before")
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
    // Other values in a layout that may have come before.
    let whole = (whole, prop::option::of(prop::collection::vec(any::<Index>(), 1..9)));
    let whole =
        whole.prop_map(|(whole, changes)| changes.map_or_else(|| whole.clone(), |changes| changed(&whole, &changes)));
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
                    let fields: Vec<Vec<u8>> = bytes.split(|byte| b"{,}".contains(byte)).map(<[u8]>::to_vec).collect();
                    let end = bytes.len() - 1;
                    let again = [b",", fields[at % fields.len()].as_slice()].concat();
                    bytes.splice(end..end, again);
                }
                _ => bytes.truncate(at),
            }
        }
        // An end of a line stands in none.
        bytes.retain(|byte| *byte != b'\n');
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

/// What one who knows layouts says of a line, with other lines behind it; it learns those that it does not know.
fn tell_by_layout(known: &mut Known, line: &[u8]) -> Result<Event, Problem> {
    let bytes = [line, b"\n", HEADER.as_bytes()].concat();
    match known.tell_known(&bytes, &mut event) {
        Some((length, event)) => {
            assert_eq!(length, line.len() + 1, "the end of {}", String::from_utf8_lossy(line));
            Ok(event)
        }
        None => known.tell(line, event),
    }
}

/// All that a history says, up to what is wrong with it, with the number of that line.
fn whole_history(lines: &[Vec<u8>]) -> (Vec<Event>, Option<(u64, Problem)>) {
    let (mut known, mut events) = (Known::default(), Vec::new());
    for (number, line) in (1..).zip([HEADER.as_bytes()].into_iter().chain(lines.iter().map(Vec::as_slice))) {
        match known.tell_any(line, &mut event) {
            Ok(event) => events.push(event),
            Err(problem) => return (events, Some((number, problem))),
        }
    }
    (events, None)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn every_way_finds_what_the_whole_parser_finds(lines in prop::collection::vec(line(), 1..30)) {
        let (mut quick, mut learning, mut slow) = (after_header(), after_header(), after_header());
        // A line that is wrong leaves all as they are after it: so each can be followed by others here.
        for line in &lines {
            let expected = slow.tell_any(line, &mut event);
            prop_assert_eq!(&quick.tell(line, event), &expected, "{}", String::from_utf8_lossy(line));
            prop_assert_eq!(&tell_by_layout(&mut learning, line), &expected, "{}", String::from_utf8_lossy(line));
        }
        let expected = slow.into_unknown();
        prop_assert_eq!(&quick.into_unknown(), &expected);
        prop_assert_eq!(&learning.into_unknown(), &expected);
    }

}

proptest! {
    #[test]
    fn a_history_says_the_same_wherever_it_is_cut_into_blocks(lines in prop::collection::vec(line(), 1..60), most in 1..400_usize) {
        let history = [HEADER.as_bytes()].into_iter().chain(lines.iter().map(Vec::as_slice));
        let history: Vec<u8> = history.flat_map(|line| [line, b"\n"].concat()).collect();
        let mut reader = Reader::new(BufReader::with_capacity(most, Slices { bytes: &history, most }));
        let (mut events, mut wrong) = (Vec::new(), None);
        for event in &mut reader {
            match event {
                Ok(event) => events.push(event),
                Err(ReadError::Line { line, problem }) => wrong = Some((line, problem)),
                Err(ReadError::Io { .. }) => panic!("memory can be read"),
            }
        }
        prop_assert_eq!((events, wrong), whole_history(&lines));
    }
}

/// Gives so many bytes at most at a time.
struct Slices<'b> {
    bytes: &'b [u8],
    most: usize,
}

impl Read for Slices<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.most);
        self.bytes.read(&mut buffer[..most])
    }
}

/// What a recorder writes of requests of every kind.
fn recorded(n: u64) -> Vec<String> {
    let Ok(Event::Header(header)) = Known::default().tell(HEADER.as_bytes(), event) else { panic!("a header") };
    let recorder = Recorder::new(Vec::new(), &header).unwrap();
    let (key, token) = (|| "example.com".to_owned(), || Some("example.com.1".to_owned()));
    let asked = [
        Action::Refresh { domain: key(), token: token(), pages: Some(3) },
        Action::Refresh { domain: key(), token: None, pages: None },
        Action::Render { template: key(), token: token() },
        Action::Poll { template: key(), token: token(), id: "r1".to_owned() },
    ];
    let ends = [[None, None], [None, None], [Some("r1"), None], [None, Some("failed")]];
    for (action, [id, render_status]) in asked.into_iter().zip(ends) {
        let start_ns = 1_000_000_000_000 + n;
        let invocation = Invocation { action, due_ns: Some(n), start_ns, server_start_ms: Some(5) };
        let ticket = recorder.invoked(&invocation).unwrap();
        let error = Some("Rate limit exceeded (10 requests/hour)".to_owned());
        let [id, render_status] = [id, render_status].map(|text| text.map(str::to_owned));
        let (status, server_end_ms, end_ns) = (Some(429), Some(6), start_ns + 9);
        recorder.completed(ticket, &Outcome { end_ns, server_end_ms, status, error, id, render_status }).unwrap();
    }
    let written = String::from_utf8(recorder.finish().unwrap()).unwrap();
    let lines: Vec<String> = written.lines().skip(1).map(str::to_owned).collect();
    assert_eq!(lines.len(), 8);
    lines
}

/// A line with one byte changed, added or taken away.
fn damaged(line: &str, at: Index, how: u8, byte: u8) -> Vec<u8> {
    let mut bytes = line.as_bytes().to_vec();
    let at = at.index(bytes.len());
    match how {
        0 => bytes[at] = byte,
        1 => bytes.insert(at, byte),
        _ => drop(bytes.remove(at)),
    }
    bytes.retain(|byte| *byte != b'\n');
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    /// Its number is new, so that nothing but the damage can be wrong with it.
    #[test]
    fn a_damaged_line_of_a_known_layout_is_read_as_the_whole_parser_reads_it(
        place in 0..8_usize,
        at in any::<Index>(),
        how in 0..3_u8,
        byte in prop_oneof![any::<u8>(), select(b"\",:{}\\0129e.- \t\x7f".to_vec())],
    ) {
        let known = recorded(1);
        let new: Vec<String> =
            recorded(123_456_789).iter().map(|line| line.replacen("\"n\":", "\"n\":10", 1)).collect();
        let (mut learning, mut slow) = (after_header(), after_header());
        for line in known.iter().chain(&new[..place]) {
            prop_assert_eq!(tell_by_layout(&mut learning, line.as_bytes()), slow.tell_any(line.as_bytes(), &mut event));
        }
        let line = damaged(&new[place], at, how, byte);
        let expected = slow.tell_any(&line, &mut event);
        prop_assert_eq!(tell_by_layout(&mut learning, &line), expected, "{}", String::from_utf8_lossy(&line));
    }
}

#[test]
fn what_a_recorder_writes_of_requests_needs_a_quick_look_only_and_by_then_is_known() {
    let (mut first, mut second) = (after_header(), after_header());
    for (line, later) in recorded(1).iter().zip(recorded(123_456_789)) {
        assert!(first.tell_quickly(line.as_bytes(), &mut |_| ()).is_some(), "{line}");
        assert!(second.tell(line.as_bytes(), |_| ()).is_ok(), "{line}");
        // The same request once more is no new one, but that is not told by its layout.
        assert!(later != *line && second.knows_layout(later.as_bytes()), "{later}");
    }
}

#[test]
fn however_many_layouts_there_are_few_are_kept_and_new_ones_are_learnt() {
    let mut known = after_header();
    for n in 1..20_000_u64 {
        // Each line has more space than any before.
        let blanks = " ".repeat(usize::try_from(n % 700).unwrap());
        let line =
            format!(r#"{{"v":1,"n":{n},{blanks}"api":"rndrkit","key":"d","op":"refresh","start_ns":3,"end_ns":9}}"#);
        assert!(tell_by_layout(&mut known, line.as_bytes()).is_ok());
    }
    let line = recorded(1).remove(0);
    let mut tries = 0;
    while !known.knows_layout(line.as_bytes()) {
        tries += 1;
        assert!(tries < 10_000, "it is not learnt");
        // It is a number that was used, so that nothing but its layout can be learnt.
        assert!(known.tell_quickly(line.as_bytes(), &mut |_| ()).is_none());
    }
}
