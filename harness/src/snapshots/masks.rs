//! Values that vary and whose form nobody knows, such as the number of a request: an accepted answer may say `<text>` or `<number>` in
//! their place, and any text or number fits. Pure.

use serde_json::Value;

use super::take::{ResponseShown, Taken};

const TEXT: &str = "<text>";
const NUMBER: &str = "<number>";

/// The answer with the masks of an accepted one wherever they fit.
pub fn masked(taken: &Taken, accepted: &str) -> Taken {
    let (Some(mut answer), Some(accepted)) = (ResponseShown::read(&taken.contents), ResponseShown::read(accepted))
    else {
        return taken.clone();
    };
    answer.body = fitted(answer.body, &accepted.body);
    for (name, value) in &mut answer.headers {
        if accepted.headers.get(name).is_some_and(|mask| mask == TEXT) {
            TEXT.clone_into(value);
        }
    }
    Taken { contents: answer.write(), ..taken.clone() }
}

fn fitted(value: Value, accepted: &Value) -> Value {
    match (value, accepted) {
        (Value::String(_), Value::String(mask)) if mask == TEXT => accepted.clone(),
        (Value::Number(_), Value::String(mask)) if mask == NUMBER => accepted.clone(),
        (Value::Array(items), Value::Array(others)) => {
            let nothing = Value::Null;
            let pairs = items.into_iter().enumerate();
            Value::Array(pairs.map(|(at, item)| fitted(item, others.get(at).unwrap_or(&nothing))).collect())
        }
        (Value::Object(entries), Value::Object(others)) => {
            let fit = |(key, item): (String, Value)| {
                let item = others.get(&key).map_or(item.clone(), |other| fitted(item, other));
                (key, item)
            };
            Value::Object(entries.into_iter().map(fit).collect())
        }
        (value, _) => value,
    }
}

/// One answer of two that the same request got, with masks for the values in which they differ; `None` if they differ in more.
pub fn common(one: &Taken, other: &Taken) -> Option<Taken> {
    let (mut answer, second) = (ResponseShown::read(&one.contents)?, ResponseShown::read(&other.contents)?);
    answer.body = common_value(&answer.body, &second.body);
    for (name, value) in &mut answer.headers {
        if second.headers.get(name).is_some_and(|other| other != value) {
            TEXT.clone_into(value);
        }
    }
    let common = Taken { contents: answer.write(), ..one.clone() };
    (masked(other, &common.contents) == common).then_some(common)
}

fn common_value(one: &Value, other: &Value) -> Value {
    match (one, other) {
        (Value::String(text), Value::String(different)) if text != different => Value::String(TEXT.to_owned()),
        (Value::Number(number), Value::Number(different)) if number != different => Value::String(NUMBER.to_owned()),
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
            Value::Array(items.iter().zip(others).map(|(item, other)| common_value(item, other)).collect())
        }
        (Value::Object(entries), Value::Object(others)) => {
            let both = entries.iter().map(|(key, item)| {
                let item = others.get(key).map_or(item.clone(), |other| common_value(item, other));
                (key.clone(), item)
            });
            Value::Object(both.collect())
        }
        (one, _) => one.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::snapshots::take::RequestShown;

    fn taken(status: u16, body: Value) -> Taken {
        let request = RequestShown {
            method: "POST".to_owned(),
            path: "/".to_owned(),
            headers: std::collections::BTreeMap::new(),
            body: None,
            signed: None,
        };
        let contents = ResponseShown { status, headers: std::collections::BTreeMap::new(), body }.write();
        Taken { rule: "r", file: "r.snap".to_owned(), description: String::new(), request, contents }
    }

    #[track_caller]
    fn check(body: Value, accepted: Value, expected: bool) {
        let accepted = taken(400, accepted);
        assert_eq!(masked(&taken(400, body), &accepted.contents) == accepted, expected);
    }

    #[test]
    fn a_mask_fits_any_value_of_its_type_and_no_other() {
        check(json!({"trace": "one", "at": [1, 2]}), json!({"trace": TEXT, "at": [NUMBER, 2]}), true);
        check(json!({"trace": 1}), json!({"trace": TEXT}), false);
        check(json!({"count": "1"}), json!({"count": NUMBER}), false);
        check(json!({}), json!({"trace": TEXT}), false);
        check(json!({"trace": "one", "more": 1}), json!({"trace": TEXT}), false);
        check(json!("<text>"), json!("other"), false);
    }

    #[test]
    fn what_differs_between_two_answers_is_masked() {
        let (one, other) = (json!({"a": "x", "n": 1, "same": 2}), json!({"a": "y", "n": 3, "same": 2}));
        let expected = taken(400, json!({"a": TEXT, "n": NUMBER, "same": 2}));
        assert_eq!(common(&taken(400, one), &taken(400, other)), Some(expected));
    }

    #[test]
    fn answers_that_differ_in_form_have_nothing_in_common() {
        assert_eq!(common(&taken(400, json!({"a": 1})), &taken(401, json!({"a": 1}))), None);
        assert_eq!(common(&taken(400, json!({"a": 1})), &taken(400, json!({"a": "1"}))), None);
        assert_eq!(common(&taken(400, json!({"a": 1})), &taken(400, json!({"a": 1, "b": 1}))), None);
        assert_eq!(common(&taken(400, json!([1])), &taken(400, json!([1, 2]))), None);
    }
}
