//! The control plane: every example message of the fixture protocol, and who may speak to it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{CONTROL, Running, ephemeral, text};

/// The examples, shared with the suite's own tests of the protocol.
fn examples() -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../harness/tests/protocol/messages.json");
    let contents = std::fs::read_to_string(file).expect("the examples");
    serde_json::from_str(&contents).expect("a list")
}

/// The values that placeholders stand for so far.
type Kept = BTreeMap<String, Value>;

/// Type and name of a placeholder.
fn placeholder(value: &Value) -> Option<(&str, Option<&str>)> {
    let inner = value.as_str()?.strip_prefix('<')?.strip_suffix('>')?;
    match inner.split_once(':') {
        Some((kind, name)) => Some((kind, Some(name))),
        None => Some((inner, None)),
    }
}

/// Replaces named placeholders by the values they stand for.
fn filled(value: &Value, kept: &Kept) -> Value {
    if let Some((_, Some(name))) = placeholder(value) {
        return kept.get(name).unwrap_or_else(|| panic!("nothing kept as {name}")).clone();
    }
    match value {
        Value::Array(items) => items.iter().map(|item| filled(item, kept)).collect(),
        Value::Object(fields) => fields.iter().map(|(key, item)| (key.clone(), filled(item, kept))).collect(),
        other => other.clone(),
    }
}

fn is_of(kind: &str, value: &Value) -> bool {
    let string = value.as_str().unwrap_or_default();
    match kind {
        "string" | "id" => !string.is_empty(),
        "host" => !string.is_empty() && !string.contains(['/', ':']),
        "token" => string.starts_with("rk_wh_"),
        "url" => string.starts_with("http") && !string.ends_with('/'),
        "time" => string.len() == 24 && string.ends_with('Z'),
        "status" => ["queued", "rendering", "succeeded", "failed"].contains(&string),
        "clock" => ["manual", "system"].contains(&string),
        "methods" => value.as_array().is_some_and(|methods| methods.contains(&json!("hello"))),
        other => panic!("no such type of placeholder: {other}"),
    }
}

/// Compares an answer with an example and keeps what its placeholders stand for.
#[track_caller]
fn compare(name: &str, expected: &Value, found: &Value, kept: &mut Kept) {
    if let Some((kind, label)) = placeholder(expected) {
        match label.and_then(|label| kept.get(label)) {
            Some(value) => assert_eq!(found, value, "{name}"),
            None => assert!(is_of(kind, found), "{name}: {found} is no {kind}"),
        }
        if let Some(label) = label {
            kept.insert(label.to_owned(), found.clone());
        }
        return;
    }
    match (expected, found) {
        (Value::Object(fields), Value::Object(_)) => {
            for (key, item) in fields {
                compare(&format!("{name}: {key}"), item, &found[key], kept);
            }
        }
        (Value::Array(items), Value::Array(others)) => {
            assert_eq!(items.len(), others.len(), "{name}: {found}");
            for (item, other) in items.iter().zip(others) {
                compare(name, item, other, kept);
            }
        }
        _ => assert_eq!(found, expected, "{name}"),
    }
}

/// Queues a render through the hook of the template made last.
async fn queue_render(run: &Running, inbound_token: &str) -> Value {
    let reply = run.hook(inbound_token, "{}").await;
    assert_eq!(reply.status, 202, "{reply:?}");
    reply.json()["id"].clone()
}

#[tokio::test]
async fn every_example_message_is_answered_as_shown() {
    let run = ephemeral().await;
    let mut kept = Kept::from([("url".to_owned(), json!("http://127.0.0.1:9/hook"))]);
    let mut inbound_token = String::new();
    for example in examples() {
        let name = text(&example["name"]);
        let Some(request) = example.get("request") else { continue };
        if request.to_string().contains("<given:render>") {
            kept.insert("render".to_owned(), queue_render(&run, &inbound_token).await);
        }
        let message = match request {
            Value::String(message) => message.clone(),
            other => filled(other, &kept).to_string(),
        };
        let reply = run.message(&message).await;
        if example["response"].is_null() {
            assert_eq!((reply.status, reply.text.as_str()), (204, ""), "{name}");
            continue;
        }
        assert_eq!(reply.status, 200, "{name}: {reply:?}");
        let found = reply.json();
        if let Some(token) = found["result"]["inbound_token"].as_str() {
            token.clone_into(&mut inbound_token);
        }
        compare(&name, &example["response"], &found, &mut kept);
    }
    run.stop().await;
}

#[tokio::test]
async fn the_examples_cover_every_method() {
    let run = ephemeral().await;
    let hello = run.control("hello", json!({"protocol": 1})).await;
    let shown: Vec<Value> = examples().iter().map(|example| example["request"]["method"].clone()).collect();
    for method in hello["methods"].as_array().expect("methods") {
        assert!(shown.contains(method), "no example of {method}");
    }
    assert_eq!(hello["implementation"]["name"], "hookproof reference server");
    assert_eq!(hello["rndrkit"]["base_url"], run.base);
    assert_eq!(hello["craftkit"]["base_url"], run.base);
    run.stop().await;
}

#[tokio::test]
async fn nobody_controls_without_the_control_token() {
    let run = ephemeral().await;
    let (_, tokens) = run.domain(json!({})).await;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":1}}"#;
    run.send(run.post("/_control").body(call)).await.refused(401, "Invalid control token");
    for token in [&tokens[0], &CONTROL[1..], "x"] {
        let request = run.post("/_control").bearer_auth(token).body(call);
        run.send(request).await.refused(401, "Invalid control token");
    }
    let get = run.get("/_control").bearer_auth(CONTROL);
    run.send(get).await.refused(405, "Method not allowed");
    run.stop().await;
}

#[tokio::test]
async fn the_clock_stops_before_the_end_of_time() {
    let run = ephemeral().await;
    let far = run.rpc("clock.advance", json!({"ms": i64::MAX})).await;
    assert_eq!(far["error"]["data"]["field"], "ms");
    let huge = run.rpc("clock.advance", json!({"ms": 1e300})).await;
    assert_eq!(huge["error"]["code"], -32602);
    run.stop().await;
}
