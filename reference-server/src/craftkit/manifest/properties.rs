//! What holds for every manifest and every body.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{DataType, Manifest, validate};

/// Not a segment any generated manifest uses.
const UNKNOWN: &str = "unknown";

/// Few names, so that generated bodies often hit the keys of generated manifests.
const SEGMENTS: [&str; 4] = ["a", "b", "__proto__", "d"];

fn variable() -> impl Strategy<Value = Value> {
    let segment = prop::sample::select(SEGMENTS.to_vec());
    let key = prop::collection::vec(segment, 1..4).prop_map(|segments| segments.join("."));
    let data_type = prop::sample::select(DataType::ALL.to_vec());
    (key, data_type, any::<bool>())
        .prop_map(|(key, data_type, required)| json!({"key": key, "dataType": data_type, "required": required}))
}

/// Those of the variables that may stand beside each other.
fn compatible(candidates: Vec<Value>) -> Vec<Value> {
    let mut chosen = Vec::new();
    for candidate in candidates {
        chosen.push(candidate);
        if Manifest::parse(&json!({"variables": chosen, "loops": []})).is_err() {
            chosen.pop();
        }
    }
    chosen
}

fn manifest() -> impl Strategy<Value = Manifest> {
    let variables = prop::collection::vec(variable(), 0..6).prop_map(compatible);
    let fields = prop::collection::vec(variable(), 1..4).prop_map(compatible);
    (variables, fields).prop_map(|(variables, fields)| {
        let loops = json!([{"key": "rows", "itemFields": fields}]);
        Manifest::parse(&json!({"variables": variables, "loops": loops})).unwrap()
    })
}

/// Any JSON, of names and values that mean something to a manifest as often as not.
fn body() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        prop::sample::select(vec!["", "5", "true", "2026-01-31", "https://example.com", "a@b.co"])
            .prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        let names = prop::sample::select([&SEGMENTS[..], &["rows", "a.b", "zz"]].concat());
        let object = prop::collection::btree_map(names, inner.clone(), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            object.prop_map(|members| json!(members)),
        ]
    })
}

/// A value that fits, written as its own type or as the string that becomes it.
fn fitting(data_type: DataType, as_string: bool) -> Value {
    match data_type {
        DataType::Text | DataType::LongText => json!(""),
        DataType::Number | DataType::Currency if as_string => json!("-49.95"),
        DataType::Number | DataType::Currency => json!(49.95),
        DataType::Boolean if as_string => json!("false"),
        DataType::Boolean => json!(true),
        DataType::Date => json!("2024-02-29"),
        DataType::DateTime => json!("2024-02-29T09:30:00Z"),
        DataType::Image | DataType::Url => json!("https://example.com/a.png"),
        DataType::Email => json!("a@example.com"),
    }
}

fn put(object: &mut Value, key: &str, value: Value) {
    let mut place = object;
    for segment in key.split('.') {
        place = &mut place[segment];
    }
    *place = value;
}

fn take(object: &mut Value, key: &str) {
    let (path, last) = key.rsplit_once('.').unwrap_or(("", key));
    let mut place = object;
    for segment in path.split('.').filter(|segment| !segment.is_empty()) {
        place = &mut place[segment];
    }
    place.as_object_mut().unwrap().remove(last);
}

/// A body with every variable filled in, and two rows in its loop.
fn full_body(manifest: &Manifest, as_string: bool) -> Value {
    let mut body = json!({});
    for variable in &manifest.variables {
        put(&mut body, &variable.key, fitting(variable.data_type, as_string));
    }
    let mut row = json!({});
    for field in &manifest.loops[0].item_fields {
        put(&mut row, &field.key, fitting(field.data_type, as_string));
    }
    body["rows"] = json!([row, row]);
    body
}

/// The value with one more key in each of its objects, except in unknown ones.
fn with_unknown(value: &Value, extra: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let members = object.iter().map(|(key, value)| (key.clone(), with_unknown(value, extra)));
            let mut members: Map<_, _> = members.collect();
            members.insert(UNKNOWN.to_owned(), extra.clone());
            Value::Object(members)
        }
        Value::Array(items) => items.iter().map(|item| with_unknown(item, extra)).collect(),
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn what_is_kept_is_kept_again_unchanged(manifest in manifest(), body in body()) {
        if let Ok(kept) = validate(&manifest, &body) {
            prop_assert_eq!(validate(&manifest, &kept), Ok(kept));
        }
    }

    #[test]
    fn a_full_body_is_kept_and_kept_again(manifest in manifest(), as_string: bool) {
        let kept = validate(&manifest, &full_body(&manifest, as_string)).unwrap();
        prop_assert_eq!(validate(&manifest, &kept), Ok(kept));
    }

    #[test]
    fn unknown_keys_never_change_the_outcome(
        manifest in manifest(),
        body in body(),
        extra in body(),
        as_string: bool,
    ) {
        for body in [body, full_body(&manifest, as_string)] {
            let outcome = validate(&manifest, &body);
            prop_assert_eq!(validate(&manifest, &with_unknown(&body, &extra)), outcome);
        }
    }

    #[test]
    fn a_required_value_taken_away_is_reported_at_its_top_level_key(manifest in manifest()) {
        let full = full_body(&manifest, false);
        for variable in &manifest.variables {
            let mut body = full.clone();
            take(&mut body, &variable.key);
            let first = variable.key.split('.').next().unwrap();
            check_one_missing(&manifest, &body, variable.required.then_some(first))?;
        }
        for field in &manifest.loops[0].item_fields {
            let mut body = full.clone();
            take(&mut body["rows"][1], &field.key);
            check_one_missing(&manifest, &body, field.required.then_some("rows"))?;
        }
    }

    #[test]
    fn a_refusal_names_only_keys_of_the_manifest(manifest in manifest(), body in body()) {
        let Err(issues) = validate(&manifest, &body) else { return Ok(()) };
        prop_assert_eq!(issues.form_errors.is_empty(), body.is_object());
        prop_assert_eq!(issues.field_errors.is_empty(), !body.is_object());
        for (key, messages) in issues.field_errors {
            let names = |full: &str| full.split('.').next() == Some(key.as_str());
            let known = manifest.variables.iter().any(|variable| names(&variable.key));
            prop_assert!(known || key == "rows");
            prop_assert!(!messages.is_empty());
        }
    }

    #[test]
    fn a_manifest_survives_being_stored(manifest in manifest()) {
        let text = serde_json::to_string(&manifest).unwrap();
        prop_assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), manifest);
    }

    #[test]
    fn no_json_makes_parsing_a_manifest_panic(json in body()) {
        let _ = Manifest::parse(&json);
        let _ = Manifest::parse(&json!({"variables": [json], "loops": [json]}));
    }
}

/// `at` is the key to be reported; without one the body must be taken.
fn check_one_missing(manifest: &Manifest, body: &Value, at: Option<&str>) -> Result<(), TestCaseError> {
    let reported = match validate(manifest, body) {
        Ok(_) => json!({}),
        Err(issues) => json!(issues.field_errors),
    };
    let expected = match at {
        Some(key) => json!({key: ["Required"]}),
        None => json!({}),
    };
    prop_assert_eq!(reported, expected, "{}", body);
    Ok(())
}
