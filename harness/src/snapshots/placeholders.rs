//! Replaces what differs from run to run by its type, once it has the form of that type. Pure.
//!
//! What has another form than the usual one stays as it is or is described as what it is, so that a wrong form is a difference.

use serde_json::Value;
use uuid::{Uuid, Variant};

use crate::evidence::Evidence;
use crate::target::protocol::Method;

/// Shorter names may stand in a text by chance, so they are left alone.
const NAME_LENGTH_MIN: usize = 6;
/// Hexadecimal digits that a check draws to make a body new.
const FRESH_DIGITS: usize = 12;
/// Length of a UUID with its hyphens.
const UUID_LENGTH: usize = 36;

/// Known volatile values of one answer and the names that stand for them.
#[derive(Default)]
pub struct Placeholders {
    /// Value → name, longest value first.
    known: Vec<(String, String)>,
    /// UUIDs met so far: equal ones get the same number, so that a body that names one thing twice shows it.
    uuids: Vec<Uuid>,
}

impl Placeholders {
    /// What the fixtures of a check made, named as secrets are: by the number of the domain or template.
    pub fn of_fixtures(evidence: &Evidence) -> Placeholders {
        let mut placeholders = Placeholders::default();
        let parts = [
            (Method::DomainCreate, "d", ["domain"].as_slice()),
            (Method::TemplateCreate, "t", ["slug", "template_id", "project"].as_slice()),
        ];
        for (method, letter, fields) in parts {
            let calls = evidence.fixtures.iter().filter(|call| call.method == method.name());
            let results = calls.filter_map(|call| call.result.as_ref());
            for (position, result) in results.enumerate() {
                for field in fields {
                    if let Some(value) = result.get(*field).and_then(Value::as_str) {
                        let name = format!("<{}:{letter}{}>", field.replace('_', "-"), position + 1);
                        placeholders.know(value, &name);
                    }
                }
            }
        }
        placeholders
    }

    /// Adds a value; the first name of a value stays.
    pub fn know(&mut self, value: &str, name: &str) {
        if value.len() >= NAME_LENGTH_MIN && self.known.iter().all(|(known, _)| known != value) {
            self.known.push((value.to_owned(), name.to_owned()));
            self.known.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        }
    }

    /// The text with known values, UUIDs and instants replaced.
    pub fn text(&mut self, text: &str) -> String {
        let mut replaced = String::with_capacity(text.len());
        let mut rest = text;
        let mut before = ' ';
        while let Some(character) = rest.chars().next() {
            let begins = !before.is_ascii_alphanumeric();
            let found = self.known_at(rest).or_else(|| if begins { self.value_at(rest) } else { None });
            match found {
                Some((length, name)) => {
                    replaced.push_str(&name);
                    before = rest[..length].chars().last().unwrap_or(before);
                    rest = &rest[length..];
                }
                None => {
                    replaced.push(character);
                    before = character;
                    rest = &rest[character.len_utf8()..];
                }
            }
        }
        replaced
    }

    fn known_at(&self, rest: &str) -> Option<(usize, String)> {
        let (value, name) = self.known.iter().find(|(value, _)| rest.starts_with(value.as_str()))?;
        Some((value.len(), name.clone()))
    }

    fn value_at(&mut self, rest: &str) -> Option<(usize, String)> {
        if let Some(uuid) = uuid_at(rest) {
            return Some((UUID_LENGTH, self.uuid_name(uuid)));
        }
        instant_at(rest).map(|length| (length, "<time>".to_owned()))
    }

    fn uuid_name(&mut self, uuid: Uuid) -> String {
        let number = self.uuids.iter().position(|known| *known == uuid).unwrap_or_else(|| {
            self.uuids.push(uuid);
            self.uuids.len() - 1
        });
        match uuid.get_variant() {
            Variant::RFC4122 => format!("<uuid v{} {}>", uuid.get_version_num(), number + 1),
            _ => format!("<uuid of another variant {}>", number + 1),
        }
    }

    /// An identifier: where its form is not known, only its length is shown.
    fn id(&mut self, id: &str) -> String {
        let replaced = self.text(id);
        if replaced == id { format!("<text of {} characters>", id.chars().count()) } else { replaced }
    }

    /// A JSON value with its texts and keys replaced, keys in order, and numbers that tell times replaced by what they are.
    pub fn value(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => Value::Array(items.iter().map(|item| self.value(item)).collect()),
            Value::Object(entries) => {
                let mut entries: Vec<(&String, &Value)> = entries.iter().collect();
                entries.sort_unstable_by_key(|(key, _)| *key);
                let replaced = entries.into_iter().map(|(key, item)| {
                    let item = match item {
                        Value::Number(_) if tells_time(key) => Value::String("<number>".to_owned()),
                        Value::String(id) if names_one(key) => Value::String(self.id(id)),
                        other => self.value(other),
                    };
                    (self.text(key), item)
                });
                Value::Object(replaced.collect())
            }
            other => other.clone(),
        }
    }
}

/// A header's value that tells how long to wait: in seconds, or until when.
pub fn delay(value: &str) -> String {
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        "<seconds>".to_owned()
    } else if value.ends_with(" GMT") {
        "<date>".to_owned()
    } else {
        value.to_owned()
    }
}

/// A signature as a request carries it: only its form.
pub fn signature(value: &str) -> String {
    let (prefix, digest) = value.split_once('=').filter(|(_, digest)| digest.len() > 1).unwrap_or(("", value));
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}=") };
    let kind = if digest.bytes().all(|byte| byte.is_ascii_hexdigit()) { "hexadecimal digits" } else { "characters" };
    format!("{prefix}<{} {kind}>", digest.len())
}

/// A request's body in which what was drawn to make it new is named.
pub fn without_fresh_digits(body: &str) -> String {
    let mut replaced = String::with_capacity(body.len());
    let mut words = body.split(' ');
    replaced.push_str(words.next().unwrap_or_default());
    for word in words {
        replaced.push(' ');
        let digits = word.bytes().take_while(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).count();
        if digits == FRESH_DIGITS {
            replaced.push_str("<fresh>");
            replaced.push_str(&word[digits..]);
        } else {
            replaced.push_str(word);
        }
    }
    replaced
}

fn tells_time(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["retry", "reset", "expires", "timestamp", "duration", "elapsed"].iter().any(|word| key.contains(word))
}

/// True for keys such as `id`, `requestId` and `trace_id`, whose values are drawn anew for each answer.
fn names_one(key: &str) -> bool {
    ["Id", "ID", "_id", "-id"].iter().any(|end| key.ends_with(end)) || key.eq_ignore_ascii_case("id")
}

fn uuid_at(rest: &str) -> Option<Uuid> {
    let text = rest.get(..UUID_LENGTH)?;
    let ends = !rest[UUID_LENGTH..].starts_with(|next: char| next.is_ascii_alphanumeric());
    // Only the form with hyphens has this length.
    Uuid::try_parse(text).ok().filter(|_| ends && text.as_bytes()[8] == b'-')
}

/// The length of the RFC 3339 time that the text begins with.
fn instant_at(rest: &str) -> Option<usize> {
    if !rest.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let belongs = |byte: &u8| byte.is_ascii_digit() || b"T:.Z+-".contains(byte);
    let longest = rest.bytes().take_while(belongs).count();
    let written = rest[..longest].trim_end_matches(['.', ':', '+', '-']);
    let is_time = written.contains('T') && written.parse::<jiff::Timestamp>().is_ok();
    is_time.then_some(written.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut placeholders = Placeholders::default();
        placeholders.know("site-1.example", "<domain:d1>");
        placeholders.know("http://127.0.0.1:9", "<base url>");
        assert_eq!(placeholders.text(text), expected);
    }

    #[test]
    fn known_values_are_replaced_wherever_they_stand() {
        check("for site-1.example", "for <domain:d1>");
        check("http://127.0.0.1:9/v1/renders/x", "<base url>/v1/renders/x");
        check("for site-2.example", "for site-2.example");
    }

    #[test]
    fn a_uuid_is_replaced_by_its_version_and_equal_ones_look_equal() {
        check("0193e0a0-0000-7000-8000-000000000001", "<uuid v7 1>");
        check(
            "0193E0A0-0000-7000-8000-000000000001 0193e0a0-0000-7000-8000-000000000002 \
             0193e0a0-0000-7000-8000-000000000001",
            "<uuid v7 1> <uuid v7 2> <uuid v7 1>",
        );
    }

    #[test]
    fn a_value_of_another_form_is_not_taken_for_the_usual_one() {
        check("0193e0a0-0000-4000-8000-000000000001", "<uuid v4 1>");
        check("0193e0a0-0000-7000-0000-000000000001", "<uuid of another variant 1>");
        for other in [
            "0193e0a0-0000-7000-8000-00000000000",
            "0193e0a0-0000-7000-8000-0000000000012",
            "0193e0a000007000800000000000000g",
        ] {
            check(other, other);
        }
    }

    #[test]
    fn instants_are_replaced_and_other_dates_are_not() {
        check("at 2026-11-21T22:29:11.377Z.", "at <time>.");
        check("2026-11-21T22:29:11+01:00", "<time>");
        check("2026-13-21T22:29:11Z", "2026-13-21T22:29:11Z");
        check("2026-11-21", "2026-11-21");
    }

    #[test]
    fn numbers_that_tell_times_are_replaced_and_others_are_not() {
        let value = json!({"retryAfter": 17, "durationMs": 0, "pagesQueued": 3, "resetAt": "soon"});
        let expected = json!({"retryAfter": "<number>", "durationMs": "<number>", "pagesQueued": 3, "resetAt": "soon"});
        assert_eq!(Placeholders::default().value(&value), expected);
    }

    #[test]
    fn identifiers_show_their_form_only() {
        let value = json!({"requestId": "e9490263", "trace_id": "a b", "paid": "e9490263", "id": 7});
        let expected = json!({
            "requestId": "<text of 8 characters>", "trace_id": "<text of 3 characters>", "paid": "e9490263", "id": 7
        });
        assert_eq!(Placeholders::default().value(&value), expected);
    }

    #[test]
    fn a_waiting_time_is_replaced_only_if_it_is_one() {
        assert_eq!((delay("3600"), delay("Sat, 21 Nov 2026 22:29:12 GMT")), ("<seconds>".into(), "<date>".into()));
        assert_eq!(delay("later"), "later");
    }

    #[test]
    fn signatures_show_their_form_only() {
        assert_eq!(signature(&"0a".repeat(32)), "<64 hexadecimal digits>");
        assert_eq!(signature(&format!("sha256={}", "0a".repeat(32))), "sha256=<64 hexadecimal digits>");
        assert_eq!(signature("q83vEjRWeJA="), "<12 characters>");
    }

    #[test]
    fn what_makes_a_body_new_is_named() {
        assert_eq!(without_fresh_digits(r#"{"a":"Acme Corp 0123456789ab"}"#), r#"{"a":"Acme Corp <fresh>"}"#);
        assert_eq!(without_fresh_digits("a 0123456789abc  b"), "a 0123456789abc  b");
    }
}
