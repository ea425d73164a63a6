use super::super::MAX_KEY_SEGMENTS;
use super::*;

/// The documented manifest to which the documented example body fits.
fn example() -> Manifest {
    manifest(json!({
        "variables": [
            {"key": "customer.name", "label": "Customer", "dataType": "text", "required": true},
            {"key": "customer.email", "label": "Email", "dataType": "email"},
            {"key": "total", "label": "Total", "dataType": "currency", "required": true},
        ],
        "loops": [{"key": "items", "label": "Items", "itemFields": [
            {"key": "name", "label": "Name", "dataType": "text", "required": true},
            {"key": "qty", "label": "Qty", "dataType": "number", "required": true},
            {"key": "price", "label": "Price", "dataType": "currency"},
        ]}],
    }))
}

fn manifest(json: Value) -> Manifest {
    Manifest::parse(&json).unwrap()
}

/// One variable, required or not.
fn single(key: &str, data_type: &str, required: bool) -> Manifest {
    let variable = json!({"key": key, "dataType": data_type, "required": required});
    manifest(json!({"variables": [variable], "loops": []}))
}

/// One loop `rows` with a required number `n` in each row and an optional text `deep.note`.
fn looped() -> Manifest {
    let fields = json!([
        {"key": "n", "dataType": "number", "required": true},
        {"key": "deep.note", "dataType": "text"},
    ]);
    manifest(json!({"variables": [], "loops": [{"key": "rows", "itemFields": fields}]}))
}

#[track_caller]
fn check_kept(manifest: &Manifest, body: Value, expected: Value) {
    assert_eq!(validate(manifest, &body), Ok(expected), "{body}");
}

#[track_caller]
fn check_same(manifest: &Manifest, body: Value) {
    check_kept(manifest, body.clone(), body);
}

/// The expected `fieldErrors`.
#[track_caller]
fn check_refused(manifest: &Manifest, body: Value, expected: Value) {
    let issues = validate(manifest, &body).unwrap_err();
    let expected = json!({"formErrors": [], "fieldErrors": expected});
    assert_eq!(issues.to_json(), expected, "{body}");
}

#[test]
fn the_documented_example_body_is_kept_as_it_is() {
    let body = json!({
        "customer": {"name": "Acme Corp"},
        "items": [{"name": "Widget", "qty": 5, "price": 9.99}],
        "total": 49.95,
    });
    check_same(&example(), body);
}

#[test]
fn a_body_that_is_no_object_is_an_error_of_the_form() {
    let cases = [
        (json!([]), "array"),
        (json!([{"total": 1}]), "array"),
        (json!("{}"), "string"),
        (json!(5), "number"),
        (json!(true), "boolean"),
        (Value::Null, "null"),
    ];
    for (body, found) in cases {
        let issues = validate(&example(), &body).unwrap_err().to_json();
        let message = format!("Expected object, received {found}");
        assert_eq!(issues, json!({"formErrors": [message], "fieldErrors": {}}));
    }
}

#[test]
fn a_missing_required_value_is_required() {
    let total = single("total", "currency", true);
    check_refused(&total, json!({}), json!({"total": ["Required"]}));
}

#[test]
fn a_missing_optional_value_is_no_issue_and_stays_missing() {
    check_same(&single("total", "currency", false), json!({}));
}

#[test]
fn null_is_a_wrong_type_for_required_and_optional_values() {
    for required in [true, false] {
        let total = single("total", "number", required);
        let expected = json!({"total": ["Expected number, received null"]});
        check_refused(&total, json!({"total": null}), expected);
    }
}

#[test]
fn an_empty_string_fills_a_required_text_but_no_number() {
    check_same(&single("name", "text", true), json!({"name": ""}));
    let expected = json!({"total": ["Expected number, received string"]});
    check_refused(&single("total", "number", true), json!({"total": ""}), expected);
}

#[test]
fn numeric_strings_and_spelt_booleans_are_stored_as_what_they_spell() {
    let total = single("a.total", "currency", true);
    check_kept(&total, json!({"a": {"total": "49.95"}}), json!({"a": {"total": 49.95}}));
    check_kept(&single("paid", "boolean", true), json!({"paid": "true"}), json!({"paid": true}));
    let body = json!({"rows": [{"n": "5"}]});
    check_kept(&looped(), body, json!({"rows": [{"n": 5}]}));
}

#[test]
fn every_offender_has_its_entry() {
    let body = json!({"customer": {"email": "x"}, "items": [{"name": 5}], "total": "abc"});
    let expected = json!({
        "customer": ["Invalid email", "Required"],
        "items": ["Expected string, received number", "Required"],
        "total": ["Expected number, received string"],
    });
    check_refused(&example(), body, expected);
}

#[test]
fn a_missing_group_lacks_each_of_its_required_members() {
    let variables = json!([
        {"key": "a.b", "dataType": "text", "required": true},
        {"key": "a.c.d", "dataType": "text", "required": true},
        {"key": "a.e", "dataType": "text"},
    ]);
    let nested = manifest(json!({"variables": variables, "loops": []}));
    check_refused(&nested, json!({}), json!({"a": ["Required", "Required"]}));
    let body = json!({"a": {"b": ""}});
    check_refused(&nested, body, json!({"a": ["Required"]}));
}

#[test]
fn a_missing_group_of_optional_members_is_no_issue() {
    let optional = single("a.b.c", "text", false);
    for body in [json!({}), json!({"a": {}}), json!({"a": {"b": {}}})] {
        check_same(&optional, body);
    }
}

#[test]
fn a_group_that_is_no_object_is_a_wrong_type_even_when_optional() {
    let cases = [
        (json!("x"), "string"),
        (json!([]), "array"),
        (json!(1), "number"),
        (json!(false), "boolean"),
        (Value::Null, "null"),
    ];
    for (value, found) in cases {
        let expected = json!({"a": [format!("Expected object, received {found}")]});
        for required in [true, false] {
            let nested = single("a.b.c", "text", required);
            check_refused(&nested, json!({"a": {"b": value}}), expected.clone());
            check_refused(&nested, json!({"a": value}), expected.clone());
        }
    }
}

#[test]
fn the_deepest_key_of_a_loop_is_reached_through_json_text() {
    let key = vec!["a"; MAX_KEY_SEGMENTS].join(".");
    let fields = json!([{"key": key, "dataType": "text", "required": true}]);
    let deep = json!({"variables": [], "loops": [{"key": "l", "itemFields": fields}]});
    let row = |leaf: &str| {
        let (open, close) = ("{\"a\":".repeat(MAX_KEY_SEGMENTS), "}".repeat(MAX_KEY_SEGMENTS));
        let text = format!("{{\"l\":[{open}{leaf}{close}]}}");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    check_same(&manifest(deep.clone()), row("\"x\""));
    let expected = json!({"l": ["Expected string, received number"]});
    check_refused(&manifest(deep), row("1"), expected);
}

#[test]
fn a_literal_dotted_key_does_not_stand_for_a_nested_one() {
    let nested = single("customer.name", "text", true);
    let body = json!({"customer.name": "x"});
    check_refused(&nested, body, json!({"customer": ["Required"]}));
    let optional = single("customer.name", "text", false);
    check_kept(&optional, json!({"customer.name": 5}), json!({}));
}

#[test]
fn a_data_wrapper_is_not_unwrapped() {
    let body = json!({"data": {"total": 5}});
    let expected = json!({"total": ["Required"]});
    check_refused(&single("total", "number", true), body, expected);
}

#[test]
fn unknown_keys_are_stripped_at_every_level() {
    let body = json!({
        "customer": {"name": "Acme", "phone": "1", "deep": {"er": []}},
        "items": [{"name": "Widget", "qty": 5, "sku": {"x": 1}}],
        "total": 1, "jobId": "j", "options": {"sync": true},
    });
    let expected = json!({
        "customer": {"name": "Acme"}, "items": [{"name": "Widget", "qty": 5}], "total": 1,
    });
    check_kept(&example(), body, expected);
}

#[test]
fn an_empty_manifest_keeps_nothing_of_any_object() {
    let empty = manifest(json!({"variables": [], "loops": []}));
    check_same(&empty, json!({}));
    check_kept(&empty, json!({"a": {"b": [1]}}), json!({}));
}

#[test]
fn prototype_keys_are_keys_like_others() {
    for key in ["__proto__", "constructor", "prototype", "toString"] {
        let body = json!({"rows": [{"n": 1, key: {"n": "x"}}], key: {"rows": 5}});
        check_kept(&looped(), body, json!({"rows": [{"n": 1}]}));
        // They give a body nothing it does not have.
        check_refused(&single(key, "text", true), json!({}), json!({key: ["Required"]}));
        check_same(&single(key, "text", true), json!({key: "x"}));
    }
}

#[test]
fn unknown_values_are_not_walked_however_deep_they_nest() {
    // Far deeper than a stack could follow, so built and taken apart level by level.
    let mut deep = json!(1);
    for _ in 0..200_000 {
        deep = Value::Array(vec![deep]);
    }
    let body = json!({"a": "x", "unknown": 0});
    let Value::Object(mut object) = body else { unreachable!() };
    object.insert("unknown".to_owned(), deep);
    let mut body = Value::Object(object);
    check_verdict(&body, "text", true);
    body["a"] = body["unknown"].take();
    check_verdict(&body, "text", false);
    let mut rest = body["a"].take();
    while let Value::Array(mut items) = rest {
        rest = items.pop().unwrap_or_default();
    }
}

fn check_verdict(body: &Value, data_type: &str, expected: bool) {
    assert_eq!(validate(&single("a", data_type, true), body).is_ok(), expected);
}

#[test]
fn a_loop_not_supplied_is_empty() {
    check_kept(&looped(), json!({}), json!({"rows": []}));
    check_same(&looped(), json!({"rows": []}));
}

#[test]
fn a_loop_that_is_no_array_is_a_wrong_type() {
    let cases = [
        (json!({"n": 1}), "object"),
        (json!("x"), "string"),
        (json!(1), "number"),
        (json!(true), "boolean"),
        (Value::Null, "null"),
    ];
    for (value, found) in cases {
        let expected = json!({"rows": [format!("Expected array, received {found}")]});
        check_refused(&looped(), json!({"rows": value}), expected);
    }
}

#[test]
fn a_faulty_item_is_found_wherever_it_is() {
    let cases = [
        (json!("x"), "Expected object, received string"),
        (Value::Null, "Expected object, received null"),
        (json!([1]), "Expected object, received array"),
        (json!({}), "Required"),
        (json!({"n": "abc"}), "Expected number, received string"),
        (json!({"n": 1, "deep": 1}), "Expected object, received number"),
        (json!({"n": 1, "deep": {"note": 1}}), "Expected string, received number"),
    ];
    for (item, message) in cases {
        for at in [0, 1, MAX_LOOP_ITEMS - 1] {
            let mut items = vec![json!({"n": 1}); MAX_LOOP_ITEMS];
            items[at] = item.clone();
            let issues = validate(&looped(), &json!({"rows": items})).unwrap_err();
            let expected = BTreeMap::from([("rows".to_owned(), vec![message.to_owned()])]);
            assert_eq!(issues.field_errors, expected, "{item} at {at}");
        }
    }
}

#[test]
fn fields_of_items_nest_by_their_dots() {
    check_same(&looped(), json!({"rows": [{"n": 1, "deep": {"note": "x"}}, {"n": 2}]}));
}

#[test]
fn a_loop_takes_ten_thousand_items_and_not_one_more() {
    let items = |count| json!({"rows": vec![json!({"n": 1}); count]});
    check_same(&looped(), items(10_000));
    let expected = json!({"rows": ["Array must contain at most 10000 element(s)"]});
    check_refused(&looped(), items(10_001), expected);
}

#[test]
fn ten_thousand_faults_of_one_loop_are_a_hundred_messages() {
    let body = json!({"rows": vec![json!({}); MAX_LOOP_ITEMS]});
    let expected = vec!["Required"; MAX_MESSAGES_PER_KEY];
    check_refused(&looped(), body, json!({"rows": expected}));
}

#[test]
fn the_limit_of_messages_is_of_each_key() {
    let group: Vec<_> = (0..=MAX_MESSAGES_PER_KEY)
        .map(|at| json!({"key": format!("g.k{at}"), "dataType": "text", "required": true}))
        .chain([json!({"key": "z", "dataType": "text", "required": true})])
        .collect();
    let wide = manifest(json!({"variables": group, "loops": []}));
    let hundred = vec!["Required"; MAX_MESSAGES_PER_KEY];
    for body in [json!({}), json!({"g": {}})] {
        check_refused(&wide, body, json!({"g": hundred, "z": ["Required"]}));
    }
}

#[test]
fn a_manifest_built_by_hand_with_a_key_through_another_does_not_panic() {
    let through = |keys: [&str; 2]| {
        let variables = keys.map(|key| single(key, "text", true).variables.remove(0));
        Manifest { variables: variables.into(), loops: Vec::new() }
    };
    for keys in [["a", "a.b"], ["a.b", "a"]] {
        check_same(&through(keys), json!({"a": {"b": "x"}}));
    }
}
