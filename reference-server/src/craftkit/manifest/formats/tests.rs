use DataType::*;
use serde_json::{Value, json};

use super::super::DataType;
use super::{MAX_LABEL_BYTES, MAX_LOCAL_PART_BYTES, is_email, read};

#[track_caller]
fn check_kept(data_type: DataType, values: &[Value]) {
    for value in values {
        assert_eq!(read(data_type, value).as_ref(), Ok(value), "{data_type:?}");
    }
}

#[track_caller]
fn check_texts(data_type: DataType, message: Option<&str>, texts: &[&str]) {
    for text in texts {
        let expected = match message {
            Some(message) => Err(message.to_owned()),
            None => Ok(json!(text)),
        };
        assert_eq!(read(data_type, &json!(text)), expected, "{text:?}");
    }
}

#[track_caller]
fn check_refused(data_type: DataType, value: &Value, message: &str) {
    assert_eq!(read(data_type, value), Err(message.to_owned()), "{value}");
}

#[test]
fn text_and_longtext_take_any_string() {
    for data_type in [Text, LongText] {
        check_texts(data_type, None, &["", " ", "Acme", "é\n\u{0}", "5", "null"]);
    }
}

#[test]
fn every_type_refuses_null_naming_what_it_expects() {
    for data_type in DataType::ALL {
        let expected = match data_type {
            Number | Currency => "Expected number, received null",
            Boolean => "Expected boolean, received null",
            _ => "Expected string, received null",
        };
        check_refused(data_type, &Value::Null, expected);
    }
}

#[test]
fn every_type_refuses_objects_and_arrays() {
    for data_type in DataType::ALL {
        for value in [json!({}), json!([]), json!(["true"]), json!({"a": 1})] {
            assert!(read(data_type, &value).is_err(), "{data_type:?} {value}");
        }
    }
}

#[test]
fn string_types_refuse_numbers_and_booleans() {
    for data_type in [Text, LongText, Date, DateTime, Image, Url, Email] {
        check_refused(data_type, &json!(5), "Expected string, received number");
        check_refused(data_type, &json!(true), "Expected string, received boolean");
    }
}

#[test]
fn numbers_are_kept_as_sent() {
    for data_type in [Number, Currency] {
        let values = [json!(0), json!(-3), json!(49.95), json!(u64::MAX)];
        check_kept(data_type, &values);
    }
}

#[test]
fn numeric_strings_become_numbers() {
    let cases = [
        ("49.95", json!(49.95)),
        ("5", json!(5)),
        ("-5", json!(-5)),
        ("+5", json!(5)),
        ("007", json!(7)),
        (".5", json!(0.5)),
        ("1e3", json!(1000.0)),
        ("18446744073709551615", json!(u64::MAX)),
    ];
    for (text, expected) in cases {
        assert_eq!(read(Currency, &json!(text)), Ok(expected), "{text}");
    }
}

#[test]
fn strings_that_spell_no_finite_number_are_refused() {
    let texts = [
        "",
        " ",
        "abc",
        "12abc",
        " 5",
        "5 ",
        "0x10",
        "1,5",
        "1 000",
        "Infinity",
        "-infinity",
        "nan",
        "1_000",
        "inf",
        "NaN",
        "1e400",
        "-1e400",
        "-",
        ".",
        "e5",
        "1e",
        "1.2.3",
        "٥",
        "$5",
        "true",
    ];
    check_texts(Number, Some("Expected number, received string"), &texts);
}

#[test]
fn booleans_are_no_numbers() {
    check_refused(Number, &json!(true), "Expected number, received boolean");
}

#[test]
fn booleans_are_kept_and_their_spellings_become_them() {
    check_kept(Boolean, &[json!(true), json!(false)]);
    assert_eq!(read(Boolean, &json!("true")), Ok(json!(true)));
    assert_eq!(read(Boolean, &json!("false")), Ok(json!(false)));
}

#[test]
fn nothing_else_is_a_boolean() {
    let texts = ["maybe", "", "True", "TRUE", " true", "1", "0", "yes"];
    check_texts(Boolean, Some("Expected boolean, received string"), &texts);
    check_refused(Boolean, &json!(1), "Expected boolean, received number");
}

#[test]
fn a_date_is_a_day_of_the_calendar() {
    let good = ["2026-01-31", "2024-02-29", "2000-02-29", "1970-01-01"];
    check_texts(Date, None, &good);
    let bad = [
        "",
        "2026-02-30",
        "2026-02-29",
        "1900-02-29",
        "2026-13-01",
        "2026-00-10",
        "2026-01-00",
        "2026-1-1",
        "20260131",
        "2026-W05-6",
        "2026-031",
        "31/01/2026",
        "01-31-2026",
        "today",
        " 2026-01-31",
        "2026-01-31 ",
        "+002026-01-31",
        "-2026-01-31",
        "2026-01",
        "2026/01/31",
        "2026-01-31[Europe/Paris]",
        "２０26-01-31",
    ];
    check_texts(Date, Some("Invalid date"), &bad);
}

#[test]
fn a_date_may_carry_a_time() {
    check_texts(Date, None, &["2026-01-31T00:00:00.000Z"]);
    let bad = ["2026-02-30T00:00:00Z", "2026-01-31T25:00:00Z"];
    check_texts(Date, Some("Invalid date"), &bad);
}

#[test]
fn a_datetime_is_a_date_and_a_time() {
    let good = [
        "2026-01-31T09:30:00Z",
        "2026-01-31T09:30:00.123Z",
        "2026-01-31T09:30:00.123456789Z",
        "2026-01-31T09:30:00+02:00",
        "2026-01-31T09:30:00-0530",
        "2026-01-31T09:30:00",
        "2026-01-31T09:30",
        "2026-01-31T23:59:59Z",
        "2024-02-29T00:00:00Z",
    ];
    check_texts(DateTime, None, &good);
    let bad = [
        "",
        "2026-01-31",
        "2026-01-31 09:30:00",
        "2026-01-31T",
        "2026-01-31T09",
        "2026-02-30T09:30:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T09:60:00Z",
        "2026-01-31T09:30:60Z",
        "2026-01-31T9:30:00Z",
        "2026-01-31T09:30:00z",
        "2026-01-31t09:30:00Z",
        "2026-01-31T09:30:00.Z",
        "2026-01-31T09:30.5Z",
        "2026-01-31T09:30:00.1234567890Z",
        "2026-01-31T09:30:00,5Z",
        "2026-01-31T09:30:00+2",
        "2026-01-31T09:30:00+24:00",
        "2026-01-31T09:30:00+02:60",
        "2026-01-31T09:30:00+",
        "2026-01-31T09:30:00ZZ",
        "2026-01-31T09:30:00+02:00:00",
        "2026-01-31T09:30:00:00Z",
        "2026-01-31T09:30:00Z[UTC]",
        "2026-01-31T+9:30",
        "1767225600",
        "2026-01-31T09:30é",
        "2026-01-31T09:30:00+é00",
    ];
    check_texts(DateTime, Some("Invalid datetime"), &bad);
}

#[test]
fn a_url_or_image_is_http_or_https() {
    let good = [
        "https://example.com",
        "http://example.com/a.png?b=c#d",
        "HTTPS://EXAMPLE.COM/",
        "http://127.0.0.1:8080/x",
        "http://[::1]/x",
        "https://bücher.example/ü",
        "https://user@example.com/",
        "https://example.com/a b.png",
    ];
    let bad = [
        "",
        "abc",
        "example.com",
        "//example.com/a",
        "/a.png",
        "ftp://example.com/a",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "mailto:a@example.com",
        "http:example.com",
        "http://",
        "https:///example.com",
        "http:\\\\example.com",
        " https://example.com",
        "https://example.com\n",
        "https://example.com ",
        "https://example.com\u{a0}",
        "https://exa\nmple.com",
        "https://example.com:99999/",
        "https://exa mple.com/",
        "http://?q",
        "httpé://x",
        "https://[::1",
    ];
    for data_type in [Url, Image] {
        check_texts(data_type, None, &good);
        check_texts(data_type, Some("Invalid url"), &bad);
    }
}

#[test]
fn an_email_is_a_local_part_and_a_domain() {
    let good = [
        "a@example.com",
        "first.last+tag@mail.example.co.uk",
        "o'brien@example.com",
        "x_y-z@xn--bcher-kva.example",
        "1@2.example",
    ];
    check_texts(Email, None, &good);
    let bad = [
        "",
        "abc",
        "@example.com",
        "a@",
        "a@example",
        "a@@example.com",
        "a@b@example.com",
        ".a@example.com",
        "a.@example.com",
        "a..b@example.com",
        "a b@example.com",
        "a@exa mple.com",
        "a@-example.com",
        "a@example-.com",
        "a@example..com",
        "a@.example.com",
        "a@example.com.",
        "a@127.0.0.1",
        "a@example.c",
        " a@example.com",
        "a@example.com ",
        "a@example.com\n",
        "A <a@example.com>",
        "mailto:a@example.com",
        "é@example.com",
        "a@exämple.com",
    ];
    check_texts(Email, Some("Invalid email"), &bad);
}

#[test]
fn an_email_has_limited_parts() {
    let local = |length| format!("{}@example.com", "a".repeat(length));
    assert!(is_email(&local(MAX_LOCAL_PART_BYTES)));
    assert!(!is_email(&local(MAX_LOCAL_PART_BYTES + 1)));
    let label = |length| format!("a@{}.com", "b".repeat(length));
    assert!(is_email(&label(MAX_LABEL_BYTES)));
    assert!(!is_email(&label(MAX_LABEL_BYTES + 1)));
    let whole = |labels| format!("a@{}com", "b.".repeat(labels));
    assert!(is_email(&whole(124)));
    assert!(!is_email(&whole(125)));
}
