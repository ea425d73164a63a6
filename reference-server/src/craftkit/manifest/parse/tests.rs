use super::*;
use serde_json::json;

#[track_caller]
fn check_refused(manifest: &Value, field: &str, message: &str) {
    let error = Manifest::parse(manifest).unwrap_err();
    assert_eq!((error.field(), error.message().as_str()), (field, message), "{manifest}");
    assert_eq!(error.to_string(), format!("{field}: {message}"));
}

fn text(key: &str) -> Value {
    json!({"key": key, "dataType": "text"})
}

fn with_variables(keys: &[&str]) -> Value {
    let variables: Vec<_> = keys.iter().map(|key| text(key)).collect();
    json!({"variables": variables, "loops": []})
}

fn with_loop(item: Value) -> Value {
    json!({"variables": [text("a.b")], "loops": [item]})
}

#[test]
fn a_full_manifest_reads_and_writes_back_the_same() {
    let json = json!({
        "variables": [
            {"key": "customer.name", "label": "Customer", "dataType": "text", "required": true},
            {"key": "total", "label": "Total", "dataType": "currency", "required": false},
        ],
        "loops": [{"key": "items", "label": "Items", "itemFields": [
            {"key": "qty", "label": "Qty", "dataType": "number", "required": true},
        ]}],
    });
    let manifest = Manifest::parse(&json).unwrap();
    assert_eq!(manifest.variables[0].key, "customer.name");
    assert_eq!(manifest.variables[1].data_type, DataType::Currency);
    assert!(manifest.loops[0].item_fields[0].required);
    assert_eq!(serde_json::to_value(&manifest).unwrap(), json);
    assert_eq!(serde_json::from_value::<Manifest>(json).unwrap(), manifest);
}

#[test]
fn required_defaults_to_false_and_the_label_to_the_key() {
    let manifest = Manifest::parse(&with_variables(&["a.b"])).unwrap();
    assert!(!manifest.variables[0].required);
    assert_eq!(manifest.variables[0].label, "a.b");
}

#[test]
fn unread_properties_are_dropped_at_every_level() {
    let json = json!({
        "variables": [{"key": "a", "dataType": "currency", "format": "money:EUR"}],
        "loops": [{"key": "l", "previewData": [{}], "itemFields": [
            {"key": "b", "dataType": "number", "integer": true},
        ]}],
        "$schema": "x",
    });
    let written = serde_json::to_string(&Manifest::parse(&json).unwrap()).unwrap();
    for name in ["format", "previewData", "integer", "$schema"] {
        assert!(!written.contains(name), "{name} in {written}");
    }
}

#[test]
fn an_empty_manifest_is_one() {
    let manifest = Manifest::parse(&json!({"variables": [], "loops": []})).unwrap();
    assert!(manifest.variables.is_empty() && manifest.loops.is_empty());
}

#[test]
fn every_data_type_reads_by_the_name_it_is_written_with() {
    for data_type in DataType::ALL {
        let json = json!({"key": "a", "dataType": data_type.name()});
        let variable: Variable = serde_json::from_value(json).unwrap();
        assert_eq!(variable.data_type, data_type);
        assert_eq!(serde_json::to_value(data_type).unwrap(), data_type.name());
    }
}

#[test]
fn reading_through_serde_refuses_what_parse_refuses() {
    let error = serde_json::from_value::<Manifest>(with_variables(&["a", "a"])).unwrap_err();
    assert_eq!(error.to_string(), "variables[1].key: `a` is used twice");
    let item = json!({"key": "a.b", "itemFields": [text("c")]});
    assert!(serde_json::from_value::<Loop>(item).is_err());
    assert!(serde_json::from_value::<Variable>(text("")).is_err());
}

#[test]
fn a_manifest_is_an_object_with_both_lists() {
    check_refused(&json!([]), "manifest", "expected an object, found array");
    check_refused(&json!({"loops": []}), "variables", "missing");
    check_refused(&json!({"variables": []}), "loops", "missing");
    let manifest = json!({"variables": {}, "loops": []});
    check_refused(&manifest, "variables", "expected an array, found object");
    let manifest = json!({"variables": [], "loops": null});
    check_refused(&manifest, "loops", "expected an array, found null");
}

#[test]
fn a_variable_has_a_key_and_a_known_data_type() {
    let cases = [
        (json!("a"), "", "expected an object, found string"),
        (json!({"dataType": "text"}), ".key", "missing"),
        (json!({"key": 1, "dataType": "text"}), ".key", "expected a string, found number"),
        (json!({"key": "a"}), ".dataType", "missing"),
        (json!({"key": "a", "data_type": "text"}), ".dataType", "missing"),
        (json!({"key": "a", "dataType": null}), ".dataType", "expected a string, found null"),
        (
            json!({"key": "a", "dataType": "Text"}),
            ".dataType",
            "unknown data type `Text`, expected one of text, longtext, number, currency, date, \
             datetime, boolean, image, url, email",
        ),
        (json!({"key": "a", "dataType": "text", "required": "true"}), ".required", "expected a boolean, found string"),
        (json!({"key": "a", "dataType": "text", "label": 5}), ".label", "expected a string, found number"),
    ];
    for (variable, field, message) in cases {
        let manifest = json!({"variables": [text("z"), variable], "loops": []});
        check_refused(&manifest, &format!("variables[1]{field}"), message);
        let manifest = with_loop(json!({"key": "l", "itemFields": [variable]}));
        check_refused(&manifest, &format!("loops[0].itemFields[0]{field}"), message);
    }
}

#[test]
fn empty_path_segments_are_refused() {
    for key in ["", ".", "a.", ".a", "a..b"] {
        let message = format!("`{key}` has an empty segment");
        check_refused(&with_variables(&[key]), "variables[0].key", &message);
    }
    let manifest = with_loop(json!({"key": "", "itemFields": [text("c")]}));
    check_refused(&manifest, "loops[0].key", "`` has an empty segment");
}

#[test]
fn duplicate_keys_are_refused() {
    let manifest = with_variables(&["a.b", "c", "a.b"]);
    check_refused(&manifest, "variables[2].key", "`a.b` is used twice");
    let manifest = with_loop(json!({"key": "l", "itemFields": [text("c"), text("c")]}));
    check_refused(&manifest, "loops[0].itemFields[1].key", "`c` is used twice");
    let item = json!({"key": "l", "itemFields": [text("c")]});
    let manifest = json!({"variables": [], "loops": [item, item]});
    check_refused(&manifest, "loops[1].key", "`l` is used twice");
}

#[test]
fn a_key_through_another_is_refused_in_either_order() {
    let message = "`a.b.c` leads through `a`, which is a value itself";
    check_refused(&with_variables(&["a", "a.b.c"]), "variables[1].key", message);
    check_refused(&with_variables(&["a.b.c", "a"]), "variables[0].key", message);
    let manifest = with_loop(json!({"key": "l", "itemFields": [text("a"), text("a.b.c")]}));
    check_refused(&manifest, "loops[0].itemFields[1].key", message);
}

#[test]
fn keys_that_only_look_like_prefixes_are_fine() {
    let manifest = with_variables(&["a.b", "a.bc", "ab", "a.c.d", "b"]);
    assert!(Manifest::parse(&manifest).is_ok());
}

#[test]
fn a_loop_shares_its_field_keys_with_nothing() {
    let manifest = with_loop(json!({"key": "l", "itemFields": [text("a.b"), text("l")]}));
    assert!(Manifest::parse(&manifest).is_ok());
}

#[test]
fn a_dotted_loop_key_is_refused() {
    let manifest = with_loop(json!({"key": "order.items", "itemFields": [text("c")]}));
    let message = "`order.items` has a dot, and a loop's key must be top-level";
    check_refused(&manifest, "loops[0].key", message);
}

#[test]
fn a_loop_over_the_top_level_key_of_a_variable_is_refused() {
    let manifest = with_loop(json!({"key": "a", "itemFields": [text("c")]}));
    let message = "`a` is also the top-level key of a variable";
    check_refused(&manifest, "loops[0].key", message);
}

#[test]
fn a_loop_has_at_least_one_field() {
    let fields = "loops[0].itemFields";
    let manifest = with_loop(json!({"key": "l", "itemFields": []}));
    check_refused(&manifest, fields, "a loop needs at least one field");
    check_refused(&with_loop(json!({"key": "l"})), fields, "missing");
    let manifest = with_loop(json!({"key": "l", "item_fields": [text("c")]}));
    check_refused(&manifest, fields, "missing");
    check_refused(&with_loop(json!(5)), "loops[0]", "expected an object, found number");
}

#[test]
fn a_key_deeper_than_a_body_can_be_is_refused() {
    let key = |segments: usize| vec!["a"; segments].join(".");
    assert!(Manifest::parse(&with_variables(&[&key(MAX_KEY_SEGMENTS)])).is_ok());
    let manifest = with_variables(&[&key(MAX_KEY_SEGMENTS + 1)]);
    check_refused(&manifest, "variables[0].key", "121 segments, at most 120 are allowed");
}
