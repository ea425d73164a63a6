//! What the hook does with bodies.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{EXAMPLE, Running, Template, ephemeral, text};

/// Sends a body and gives the keys of `fieldErrors`, or nothing if it was accepted.
async fn offenders(run: &Running, template: &Template, body: &Value) -> Option<Vec<String>> {
    let reply = run.hook(&template.token, &body.to_string()).await;
    if reply.status == 202 {
        return None;
    }
    reply.coded(400, "invalid_input_data");
    let issues = &reply.json()["error"]["issues"];
    assert!(issues["formErrors"].is_array(), "{reply:?}");
    let fields = issues["fieldErrors"].as_object().expect("fieldErrors");
    assert!(fields.values().all(Value::is_array));
    Some(fields.keys().cloned().collect())
}

fn with(pointer: &str, value: Value) -> Value {
    let mut body: Value = serde_json::from_str(EXAMPLE).expect("JSON");
    *body.pointer_mut(pointer).expect("a place") = value;
    body
}

#[tokio::test]
async fn bodies_that_are_no_json_get_invalid_json() {
    let run = ephemeral().await;
    let template = run.template(json!({})).await;
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let bodies = [
        "",
        "{",
        r#"{"customer":"#,
        "{'a':1}",
        r#"{"a":1,}"#,
        r#"{"a":NaN}"#,
        "\u{feff}{}",
        &deep,
        r#"{"a":1e999}"#,
        r#"{"a":"\ud800"}"#,
    ];
    for body in bodies {
        run.hook(&template.token, body).await.coded(400, "invalid_json");
    }
    let request = run.post(&format!("/v1/hooks/{}", template.token));
    let reply = run.send(request.body(b"{\"a\":\"\xff\"}".to_vec())).await;
    reply.coded(400, "invalid_json");
    run.stop().await;
}

#[tokio::test]
async fn other_json_than_objects_gets_form_errors() {
    let run = ephemeral().await;
    let template = run.template(json!({})).await;
    for body in ["[]", "null", "true", "3", r#""x""#] {
        let reply = run.hook(&template.token, body).await;
        reply.coded(400, "invalid_input_data");
        let errors = &reply.json()["error"]["issues"]["formErrors"];
        assert!(errors.as_array().is_some_and(|errors| !errors.is_empty()), "{reply:?}");
    }
    run.stop().await;
}

#[tokio::test]
async fn offending_fields_are_named_all_of_them() {
    let run = ephemeral().await;
    let template = run.template(json!({})).await;
    let check = async |body: Value, expected: Option<&[&str]>| {
        let found = offenders(&run, &template, &body).await;
        let expected = expected.map(|keys| keys.iter().map(ToString::to_string).collect());
        assert_eq!(found, expected, "{body}");
    };
    check(json!({}), Some(&["customer", "total"])).await;
    check(json!({"customer.name": "x", "total": 1}), Some(&["customer"])).await;
    check(json!({"data": serde_json::from_str::<Value>(EXAMPLE).expect("JSON")}), Some(&["customer", "total"])).await;
    check(with("/customer/name", json!({})), Some(&["customer"])).await;
    check(with("/customer/name", json!(5)), Some(&["customer"])).await;
    check(with("/total", json!("abc")), Some(&["total"])).await;
    check(with("/total", json!("49.95")), None).await;
    check(with("/items", json!({})), Some(&["items"])).await;
    check(with("/items", json!("x")), Some(&["items"])).await;
    check(with("/items/0", json!(3)), Some(&["items"])).await;
    check(with("/items/0/qty", json!("many")), Some(&["items"])).await;
    check(with("/items/0", json!({"name": "x"})), Some(&["items"])).await;
    check(with("/items", json!([])), None).await;
    check(json!({"customer": {"name": "x"}, "total": 1}), None).await;
    run.stop().await;
}

#[tokio::test]
async fn what_the_manifest_does_not_name_is_stripped_at_every_level() {
    let run = ephemeral().await;
    let template = run.template(json!({})).await;
    let body = json!({
        "customer": {"name": "A", "vat": 1}, "total": "5", "jobId": "x", "options": {}, "extra": [1],
        "items": [{"name": "w", "qty": 1, "colour": "red"}],
    });
    let id = text(&run.hook(&template.token, &body.to_string()).await.json()["id"]);
    let seen = run.control("render.inspect", json!({ "id": id })).await;
    let expected = json!({
        "customer": {"name": "A"}, "total": 5, "items": [{"name": "w", "qty": 1}],
    });
    assert_eq!(seen["data"], expected);
    run.stop().await;
}

#[tokio::test]
async fn hostile_keys_are_harmless() {
    let run = ephemeral().await;
    let template = run.template(json!({"manifest": {"variables": [], "loops": []}})).await;
    let body = r#"{"__proto__":{"a":1},"constructor":{"prototype":{}},"a":1,"a":2}"#;
    let id = text(&run.hook(&template.token, body).await.json()["id"]);
    let seen = run.control("render.inspect", json!({ "id": id })).await;
    assert_eq!(seen["data"], json!({}));
    run.stop().await;
}

#[tokio::test]
async fn a_loop_takes_ten_thousand_items_and_no_more() {
    let run = ephemeral().await;
    let template = run.template(json!({})).await;
    let item = json!({"name": "x".repeat(280), "qty": 1, "price": 9.99});
    let body = |n: usize| with("/items", Value::Array(vec![item.clone(); n]));
    let began = Instant::now();
    assert_eq!(offenders(&run, &template, &body(10_000)).await, None);
    assert_eq!(offenders(&run, &template, &body(10_001)).await, Some(vec!["items".to_owned()]));
    println!("two full loops took {:?}", began.elapsed());
    run.stop().await;
}

#[tokio::test]
async fn the_content_type_makes_no_difference() {
    let run = ephemeral().await;
    let template = run.template(json!({})).await;
    let path = format!("/v1/hooks/{}", template.token);
    assert_eq!(run.send(run.post(&path).body(EXAMPLE)).await.status, 202);
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=x"] {
        let request = run.post(&path).header("content-type", kind).body(EXAMPLE);
        assert_eq!(run.send(request).await.status, 202);
    }
    run.stop().await;
}
