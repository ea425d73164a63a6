//! Bodies that differ in one thing, and what a body that fails its manifest may be answered with.

use serde_json::{Value, json};

use super::{ACCEPTED, hook, same_refusal, send_first};
use crate::checks::judge::{Acceptable, Judge, craftkit_error};
use crate::evidence::{Evidence, Exchange, Response};
use crate::gather::{Gather, Template};

/// Status of the documented refusal of a body that fails the manifest.
pub const REFUSED: u16 = 400;
/// Code of that refusal.
pub const CODE: &str = "invalid_input_data";

/// A manifest of these variables and loops.
pub fn manifest(variables: &[Value], loops: &[Value]) -> Value {
    json!({"variables": variables, "loops": loops})
}

/// A variable that may be missing because its definition does not say `required` at all.
pub fn unmarked(key: &str, data_type: &str) -> Value {
    json!({"key": key, "label": key, "dataType": data_type})
}

/// The body with another value at a JSON pointer, or a value added there.
///
/// # Panics
/// If what is to hold the value is not in the body: the check would not send what it says.
pub fn with(body: &Value, pointer: &str, value: Value) -> Value {
    let mut changed = body.clone();
    let (holder, last) = holder_of(&mut changed, pointer);
    match holder {
        Value::Array(items) => items[position(last)] = value,
        other => other[last] = value,
    }
    changed
}

/// The body without what is at a JSON pointer; the group around it stays, be it empty.
///
/// # Panics
/// If nothing is there: the check would not send what it says.
pub fn without(body: &Value, pointer: &str) -> Value {
    let mut changed = body.clone();
    let (holder, last) = holder_of(&mut changed, pointer);
    let removed = holder.as_object_mut().and_then(|entries| entries.remove(last));
    assert!(removed.is_some(), "a check removes `{pointer}`, which its body lacks");
    changed
}

fn holder_of<'v, 'p>(body: &'v mut Value, pointer: &'p str) -> (&'v mut Value, &'p str) {
    let (holder, last) = pointer.rsplit_once('/').expect("a pointer begins with a slash");
    let holder = body.pointer_mut(holder).expect("a check changes bodies where they have something");
    (holder, last)
}

fn position(segment: &str) -> usize {
    segment.parse().expect("a pointer into an array ends in a position")
}

/// Sends a body that must be accepted before anything follows from refusals.
pub async fn send_control(g: &mut Gather, label: &str, template: &Template, body: &Value) -> Exchange {
    send_first(g, hook(label, template, body.to_string())).await
}

/// Sends bodies all at once: none of them can change what another one gets.
pub async fn send_bodies(g: &mut Gather, template: &Template, cases: &[(&str, Value)]) {
    let requests: Vec<_> = cases.iter().map(|(label, body)| hook(label, template, body.to_string())).collect();
    g.send_together(&requests).await;
}

/// What a body that fails its manifest may be answered with: the documented refusal, or the target's own answer at `step` to the
/// plainest of such bodies, one that lacks a scalar. How *that* one reads is the concern of `craftkit.input.required` and
/// `craftkit.errors.code`: one wrong status or code shall turn its own rule red, and not every rule about bodies.
pub fn refusals(judge: &Judge<'_>, step: &str) -> [Acceptable; 2] {
    [craftkit_error(REFUSED, CODE), same_refusal(judge, step)]
}

/// True for an answer that refuses a request for its own sake.
pub fn is_refusal(response: &Response) -> bool {
    (400..500).contains(&response.status)
}

/// Makes a step look accepted; for sabotages.
pub fn turn_accepted(evidence: &mut Evidence, label: &str) {
    const ID: &str = "0193c2c3-0000-7000-8000-000000000000";
    let poll_url = format!("http://127.0.0.1/v1/renders/{ID}");
    let body = json!({"id": ID, "status": "queued", "pollUrl": poll_url});
    evidence.answer(label, ACCEPTED, &body);
}

/// Makes a step look refused for its body, with one field at fault; for sabotages.
pub fn turn_refused(evidence: &mut Evidence, label: &str, field: &str) {
    let issues = json!({"formErrors": [], "fieldErrors": {field: ["Required"]}});
    let error =
        json!({"code": CODE, "message": "Variable data did not match the template manifest.", "issues": issues});
    evidence.answer(label, REFUSED, &json!({"error": error}));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_body_differs_in_one_thing() {
        let body = json!({"a": {"b": 1, "c": 2}, "rows": [{"d": 3}, {"d": 4}]});
        assert_eq!(without(&body, "/a/b"), json!({"a": {"c": 2}, "rows": [{"d": 3}, {"d": 4}]}));
        assert_eq!(with(&body, "/rows/1", json!("x")), json!({"a": {"b": 1, "c": 2}, "rows": [{"d": 3}, "x"]}));
        assert_eq!(with(&body, "/a/e", json!(5)), json!({"a": {"b": 1, "c": 2, "e": 5}, "rows": [{"d": 3}, {"d": 4}]}));
    }
}
