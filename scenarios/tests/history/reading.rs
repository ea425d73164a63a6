//! What a reader accepts and what it refuses.

use scenarios::history::{Action, Event, Outcome, QuotaKind, Reader, Truncated};

use crate::{HEADER, read, refresh};

/// The lines after a header, read.
fn after_header(lines: &str) -> Result<Vec<Event>, String> {
    let history = format!("{HEADER}\n{lines}\n");
    let (mut events, _) = read(history.as_bytes()).map_err(|error| error.to_string())?;
    events.remove(0);
    Ok(events)
}

#[track_caller]
fn refused(lines: &str, expected: &str) {
    assert_eq!(after_header(lines), Err(expected.to_owned()), "{lines}");
}

/// The action that a line invokes.
#[track_caller]
fn invokes(fields: &str, expected: Action) {
    let events = after_header(&format!(r#"{{"v":1,"n":1,"start_ns":5,{fields}}}"#)).expect("a good line");
    let [Event::Invoked(operation)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(operation.invocation.action, expected);
}

const INVOKED: &str = r#"{"v":1,"n":1,"api":"rndrkit","key":"d1","op":"refresh","pages":1,"start_ns":5}"#;

#[test]
fn the_header_says_what_the_documentation_shows() {
    let (events, _) = read(format!("{HEADER}\n").as_bytes()).unwrap();
    let [Event::Header(found)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((found.limit, found.quota, found.keys["d1"].renders_left), (10, QuotaKind::Reached, Some(7)));
    assert!(found.keys["d1"].fresh);
}

#[test]
fn each_operation_has_its_fields() {
    let (domain, template) = (|| "d1".to_owned(), || "t1".to_owned());
    let token = || Some("d1.2".to_owned());
    invokes(
        r#""op":"refresh","api":"rndrkit","key":"d1""#,
        Action::Refresh { domain: domain(), token: None, pages: None },
    );
    invokes(
        r#""op":"refresh","api":"rndrkit","key":"d1","token":"d1.2","pages":3"#,
        Action::Refresh { domain: domain(), token: token(), pages: Some(3) },
    );
    invokes(r#""op":"render","api":"craftkit","key":"t1""#, Action::Render { template: template(), token: None });
    invokes(
        r#""op":"poll","api":"craftkit","key":"t1","id":"r""#,
        Action::Poll { template: template(), token: None, id: "r".into() },
    );
    invokes(r#""op":"control","what":"advance","ms":9"#, Action::Advance { ms: 9 });
    invokes(r#""op":"control","what":"queue","available":false"#, Action::Queue { available: false });
    invokes(
        r#""op":"control","what":"revoke","api":"rndrkit","key":"d1","token":"d1.2""#,
        Action::Revoke { domain: domain(), token: "d1.2".into() },
    );
    invokes(
        r#""op":"control","what":"quota","api":"rndrkit","key":"d1","renders_left":0"#,
        Action::Quota { domain: domain(), renders_left: Some(0) },
    );
}

#[test]
fn null_stands_for_absent_and_a_carriage_return_for_nothing() {
    let null = INVOKED.replace(r#""pages":1"#, r#""pages":null"#);
    assert!(after_header(&format!("{null}\r")).is_ok());
}

#[test]
fn a_line_with_both_instants_tells_an_operation_whole() {
    let whole = INVOKED.replace('}', r#","end_ns":9,"status":429,"error":"Rate limit exceeded (10 requests/hour)"}"#);
    let events = after_header(&whole).unwrap();
    let [Event::Completed(operation, outcome)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((operation.n, &operation.invocation), (1, &refresh("d1", 5)));
    let error = Some("Rate limit exceeded (10 requests/hour)".to_owned());
    assert_eq!(*outcome, Outcome { status: Some(429), error, ..Outcome::at(9) });
}

#[test]
fn a_completion_may_repeat_what_was_said() {
    let repeated = INVOKED.replace('}', r#","end_ns":9}"#);
    assert_eq!(after_header(&format!("{INVOKED}\n{repeated}")).unwrap().len(), 2);
}

#[test]
fn a_completion_cannot_say_otherwise() {
    let other = INVOKED.replace('}', r#","end_ns":9}"#).replace("d1", "d2");
    refused(&format!("{INVOKED}\n{other}"), r#"line 3: `key`: expected "d1", as an earlier line says, found "d2""#);
}

#[test]
fn broken_lines_are_refused_with_their_place() {
    refused("{\"v\":1,\n", "line 2: expected a JSON object, found broken JSON at column 7: EOF while parsing a value");
    refused("[1]", "line 2: expected a JSON object, found a list");
    refused(r#"["x"]"#, "line 2: expected a JSON object, found a list");
    refused("3", "line 2: expected a JSON object, found a number");
    refused("{}", "line 2: expected `v` in every line, found none");
    refused(r#"{"v":2,"n":1}"#, "line 2: `v`: expected 1, found 2");
    let twice = INVOKED.replace(r#""pages":1"#, r#""pages":1,"pages":1"#);
    refused(&twice, "line 2: expected one value for each field, found: duplicate field `pages`");
}

#[test]
fn unknown_fields_are_refused_with_the_nearest_known_one() {
    refused(&INVOKED.replace("pages", "pagse"), "line 2: unknown field `pagse`; did you mean `pages`?");
    refused(&INVOKED.replace("pages", "zzz"), "line 2: unknown field `zzz`");
}

#[test]
fn wrong_types_and_values_are_refused() {
    refused(&INVOKED.replace(":5", r#":"5""#), r#"line 2: `start_ns`: expected a whole number from 0 up, found "5""#);
    refused(&INVOKED.replace(":5", ":-5"), "line 2: `start_ns`: expected a whole number from 0 up, found -5");
    refused(&INVOKED.replace(":5", ":5.5"), "line 2: `start_ns`: expected a whole number from 0 up, found 5.5");
    refused(&INVOKED.replace(r#""d1""#, "1"), "line 2: `key`: expected a string, found 1");
    refused(
        &INVOKED.replace(r#""refresh""#, r#""refrsh""#),
        "line 2: `op`: expected `refresh`, `render`, `poll` or `control`, found refrsh",
    );
    refused(&INVOKED.replace("rndrkit", "craftkit"), "line 2: `api`: expected rndrkit, found craftkit");
    let status = INVOKED.replace('}', r#","end_ns":9,"status":42}"#);
    refused(&status, "line 2: `status`: expected an HTTP status from 100 to 999, found 42");
}

#[test]
fn missing_and_misplaced_fields_are_refused() {
    refused(&INVOKED.replace(r#""n":1,"#, ""), "line 2: expected `n` in every operation, found none");
    refused(&INVOKED.replace(r#""key":"d1","#, ""), "line 2: expected `key` in an operation on a key, found none");
    refused(r#"{"v":1,"n":1,"op":"refresh"}"#, "line 2: expected `start_ns` in an invocation, found none");
    refused(&INVOKED.replace('}', r#","status":200}"#), "line 2: `status` means nothing in this invocation");
    refused(&INVOKED.replace("pages", "ms"), "line 2: `ms` means nothing in this invocation");
    let id = INVOKED.replace('}', r#","end_ns":9,"id":"r"}"#);
    refused(&id, "line 2: `id` means nothing at the end of this operation");
    let late = format!("{INVOKED}\n{}", r#"{"v":1,"n":1,"end_ns":9,"due_ns":4}"#);
    refused(&late, "line 3: `due_ns` means nothing in a completion, unless the invocation says the same");
}

#[test]
fn time_does_not_go_backwards_within_an_operation() {
    refused(
        &format!("{INVOKED}\n{}", r#"{"v":1,"n":1,"end_ns":4}"#),
        "line 3: time goes backwards: expected `end_ns` from 5 on, where `start_ns` is, found 4",
    );
    let server = INVOKED.replace('}', r#","server_start_ms":8,"end_ns":9,"server_end_ms":7}"#);
    refused(
        &server,
        "line 2: time goes backwards: expected `server_end_ms` from 8 on, where `server_start_ms` is, found 7",
    );
}

#[test]
fn threads_may_overtake_each_other() {
    let earlier = INVOKED.replace(r#""n":1"#, r#""n":2"#).replace(":5", ":4");
    assert_eq!(after_header(&format!("{INVOKED}\n{earlier}")).unwrap().len(), 2);
}

#[test]
fn numbers_are_used_once() {
    let duplicate = "expected a new `n`, found 1, which recorder `a` has used already";
    refused(&format!("{INVOKED}\n{INVOKED}"), &format!("line 3: {duplicate}"));
    let completed = r#"{"v":1,"n":1,"end_ns":9}"#;
    refused(&format!("{INVOKED}\n{completed}\n{completed}"), &format!("line 4: {duplicate}"));
    refused(&format!("{INVOKED}\n{completed}\n{INVOKED}"), &format!("line 4: {duplicate}"));
}

#[test]
fn what_was_never_invoked_cannot_be_completed() {
    refused(
        r#"{"v":1,"n":3,"end_ns":9}"#,
        "line 2: operation 3 of recorder `a` is completed; expected a line before that says it was invoked, or `start_ns` here",
    );
}

#[test]
fn a_history_begins_with_a_whole_header() {
    let problem = |history: &str| read(history.as_bytes()).err().map(|error| error.to_string());
    let expected = r#"line 1: expected a header, such as {"v":1,"header":true,…}, found "#;
    assert_eq!(problem(""), Some(format!("{expected}nothing")));
    assert_eq!(problem(&format!("{INVOKED}\n")), Some(format!("{expected}an operation")));
    let limitless = HEADER.replace(r#""limit":10,"#, "");
    assert_eq!(problem(&limitless).as_deref(), Some("line 1: expected `limit` in a header, found none"));
    let quota = HEADER.replace("reached", "over");
    assert_eq!(problem(&quota).as_deref(), Some("line 1: `quota`: expected `reached` or `exceed`, found over"));
    let list = HEADER.replace(r#"{"fresh":true,"renders_left":7}"#, "[true,7]");
    assert!(problem(&list).unwrap().ends_with(r#"found {"d1":[true,7]}"#));
    let keys = HEADER.replace("true,\"renders_left\"", "1,\"renders_left\"");
    assert_eq!(
        problem(&keys).as_deref(),
        Some(
            "line 1: `keys`: expected an object of states such as {\"fresh\":true,\"renders_left\":7}, found {\"d1\":{\"fresh\":1,\"renders_left\":7}}"
        )
    );
}

#[test]
fn a_line_that_was_cut_off_at_the_end_is_left_out_and_told() {
    let whole = format!("{HEADER}\n{INVOKED}\n");
    let start = whole.len() - INVOKED.len() - 1;
    for cut in start + 1..whole.len() - 1 {
        let (events, reader) = read(&whole.as_bytes()[..cut]).unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(reader.truncated(), Some(Truncated { line: 2, bytes: cut - start }));
    }
    // Only the end of the line is missing: nothing is lost.
    let (events, reader) = read(&whole.as_bytes()[..whole.len() - 1]).unwrap();
    assert_eq!((events.len(), reader.truncated()), (2, None));
}

#[test]
fn a_wrong_last_line_is_no_cut_off_one() {
    let twice = INVOKED.replace(r#""pages":1"#, r#""pages":1,"pages":1"#);
    assert!(read(format!("{HEADER}\n{twice}").as_bytes()).is_err());
    assert!(read(format!("{HEADER}\n{{\"v\":2}}").as_bytes()).is_err());
}

#[test]
fn reading_ends_with_the_first_error() {
    let history = format!("{HEADER}\n[]\n{INVOKED}\n");
    assert_eq!(Reader::new(history.as_bytes()).count(), 2);
}

#[test]
fn a_line_without_an_end_is_not_read_for_ever() {
    let endless = std::io::BufReader::new(std::io::repeat(b'x'));
    let error = Reader::new(endless).next().and_then(Result::err).unwrap();
    assert_eq!(error.to_string(), "line 1: expected a line of at most 16777216 bytes, found a longer one");
}

#[test]
fn histories_of_several_recorders_can_be_put_one_after_the_other() {
    let other = HEADER.replace(r#""a""#, r#""b""#).replace(r#""skew_ms":5"#, r#""skew_ms":9"#);
    let merged = INVOKED.replace(r#""n":1"#, r#""n":2,"recorder":"a""#);
    let history = format!("{HEADER}\n{INVOKED}\n{other}\n{INVOKED}\n{merged}\n");
    let (_, reader) = read(history.as_bytes()).unwrap();
    let found = reader.into_unknown().into_iter().map(|operation| (operation.recorder.to_string(), operation.n));
    assert_eq!(found.collect::<Vec<_>>(), [("a".to_owned(), 1), ("a".to_owned(), 2), ("b".to_owned(), 1)]);
}

#[test]
fn recorders_must_be_introduced_once_and_agree() {
    let stranger = INVOKED.replace(r#""n":1"#, r#""n":1,"recorder":"b""#);
    refused(&stranger, "line 2: expected a recorder whose header stands above, found `b`");
    refused(HEADER, "line 2: expected the header of another recorder, found a second one of `a`");
    let other = HEADER.replace(r#""a""#, r#""b""#).replace(r#""limit":10"#, r#""limit":11"#);
    refused(&other, "line 2: `limit`: expected 10, as an earlier line says, found 11");
}

#[test]
fn a_hostile_value_is_shown_shortened() {
    let long = INVOKED.replace("rndrkit", &"é".repeat(1000));
    let error = after_header(&long).unwrap_err();
    assert!(error.len() < 300, "{error}");
}
