//! CraftKit's inbound hook and the poll route: tokens, signatures, versions, the queue.

use std::collections::BTreeSet;

use base64::Engine as _;
use reference_server::craftkit::signature::sign;
use serde_json::json;

use crate::support::{EXAMPLE, ephemeral, text};

#[tokio::test]
async fn the_documented_example_is_queued_and_pollable() {
    let run = ephemeral().await;
    let template = run.template(json!({})).await;
    let reply = run.hook(&template.token, EXAMPLE).await;
    assert_eq!(reply.status, 202);
    assert_eq!(reply.headers["content-type"], "application/json");
    let id = text(&reply.json()["id"]);
    let poll_url = format!("{}/v1/renders/{id}", run.base);
    assert_eq!(reply.json(), json!({"id": id, "status": "queued", "pollUrl": poll_url}));
    assert_eq!(id.as_bytes()[14], b'7');
    let done = run.finished(&id, &template.key).await;
    assert_eq!(done.as_object().map(serde_json::Map::len), Some(8));
    assert_eq!(done["id"], id);
    assert_eq!(done["pollUrl"], poll_url);
    assert!(done["downloadUrl"].is_null() && done["errorMessage"].is_null());
    assert!(text(&done["createdAt"]).ends_with('Z') && text(&done["completedAt"]).len() == 24);
    assert!(done["durationMs"].is_u64());
    run.stop().await;
}

#[tokio::test]
async fn every_accepted_request_is_a_render_of_its_own() {
    let run = ephemeral().await;
    let template = run.template(json!({})).await;
    let mut ids = BTreeSet::new();
    for _ in 0..5 {
        let request = run.post(&format!("/v1/hooks/{}", template.token));
        let repeated = request.header("idempotency-key", "same").body(EXAMPLE);
        ids.insert(text(&run.send(repeated).await.json()["id"]));
    }
    assert_eq!(ids.len(), 5);
    run.stop().await;
}

#[tokio::test]
async fn only_an_inbound_token_opens_the_hook() {
    let run = ephemeral().await;
    let template = run.template(json!({})).await;
    let wrong = [&template.slug, &template.id, &template.secret, &template.key, "unknown"];
    for token in wrong {
        run.hook(token, EXAMPLE).await.coded(404, "invalid_token");
        run.hook(token, "{").await.coded(404, "invalid_token");
    }
    let keyed = run.post(&format!("/v1/hooks/{}", template.token)).bearer_auth("ck_live_wrong");
    assert_eq!(run.send(keyed.body(EXAMPLE)).await.status, 202);
    run.control("template.delete", json!({ "slug": template.slug })).await;
    run.hook(&template.token, EXAMPLE).await.coded(404, "invalid_token");
    run.stop().await;
}

#[tokio::test]
async fn a_signature_that_is_present_must_match() {
    let run = ephemeral().await;
    let template = run.template(json!({})).await;
    let other = run.template(json!({})).await;
    let good = sign(&template.secret, EXAMPLE.as_bytes());
    assert_eq!(run.signed(&template.token, EXAMPLE, &good).await.status, 202);
    let digest = hex::decode(&good).expect("hexadecimal");
    let decoded_key = hex::decode(&template.secret).expect("hexadecimal");
    let mut flipped = good.clone();
    let digit = if flipped.ends_with('0') { "1" } else { "0" };
    flipped.replace_range(63.., digit);
    let wrong = [
        String::new(),
        "0".repeat(64),
        good[..63].to_owned(),
        format!("{good}0"),
        "z".repeat(64),
        "a".repeat(1024),
        format!("sha256={good}"),
        good.to_ascii_uppercase(),
        base64::engine::general_purpose::STANDARD.encode(digest),
        sign(&other.secret, EXAMPLE.as_bytes()),
        sign(&String::from_utf8_lossy(&decoded_key), EXAMPLE.as_bytes()),
        flipped,
    ];
    for signature in &wrong {
        run.signed(&template.token, EXAMPLE, signature).await.coded(401, "invalid_signature");
    }
    let tampered = EXAMPLE.replace("Acme", "Acne");
    run.signed(&template.token, &tampered, &good).await.coded(401, "invalid_signature");
    let twice = run.post(&format!("/v1/hooks/{}", template.token));
    let twice = twice.header("x-craftkit-signature", &good).header("x-craftkit-signature", &good);
    run.send(twice.body(EXAMPLE)).await.coded(401, "invalid_signature");
    let upper = run.post(&format!("/v1/hooks/{}", template.token));
    let upper = upper.header("X-CRAFTKIT-SIGNATURE", &good).body(EXAMPLE);
    assert_eq!(run.send(upper).await.status, 202);
    run.stop().await;
}

#[tokio::test]
async fn the_bytes_sent_are_what_is_signed() {
    let run = ephemeral().await;
    let template = run.template(json!({})).await;
    let spaced = EXAMPLE.replace(',', ", ").replace(':', ": ");
    let odd = format!("\n {spaced}\t");
    for body in [&spaced, &odd] {
        let own = sign(&template.secret, body.as_bytes());
        assert_eq!(run.signed(&template.token, body, &own).await.status, 202);
        let other = sign(&template.secret, EXAMPLE.as_bytes());
        run.signed(&template.token, body, &other).await.coded(401, "invalid_signature");
    }
    run.stop().await;
}

#[tokio::test]
async fn enforcement_refuses_unsigned_requests() {
    let run = ephemeral().await;
    let template = run.template(json!({"require_signature": true})).await;
    run.hook(&template.token, EXAMPLE).await.coded(401, "invalid_signature");
    let good = sign(&template.secret, EXAMPLE.as_bytes());
    assert_eq!(run.signed(&template.token, EXAMPLE, &good).await.status, 202);
    let off = json!({"slug": template.slug, "require_signature": false});
    run.control("template.update", off).await;
    assert_eq!(run.hook(&template.token, EXAMPLE).await.status, 202);
    run.stop().await;
}

#[tokio::test]
async fn the_checks_come_in_their_order() {
    let run = ephemeral().await;
    let template = run.template(json!({"published": false})).await;
    run.control("queue.set", json!({"available": false})).await;
    run.signed(&template.token, "{", "bad").await.coded(401, "invalid_signature");
    run.hook(&template.token, "{").await.coded(400, "invalid_json");
    run.hook(&template.token, "{}").await.coded(409, "no_published_version");
    run.control("template.update", json!({"slug": template.slug, "published": true})).await;
    run.hook(&template.token, "{}").await.coded(400, "invalid_input_data");
    run.hook(&template.token, EXAMPLE).await.coded(503, "queue_unavailable");
    run.control("queue.set", json!({"available": true})).await;
    assert_eq!(run.hook(&template.token, EXAMPLE).await.status, 202);
    run.stop().await;
}

#[tokio::test]
async fn a_render_keeps_the_version_that_was_current() {
    let run = ephemeral().await;
    let template = run.template(json!({})).await;
    let accepted = async |body: &str| text(&run.hook(&template.token, body).await.json()["id"]);
    let first = accepted(EXAMPLE).await;
    let manifest = json!({
        "variables": [{"key": "code", "label": "Code", "dataType": "text", "required": true}],
        "loops": [],
    });
    run.control("template.update", json!({"slug": template.slug, "manifest": manifest})).await;
    run.hook(&template.token, EXAMPLE).await.coded(400, "invalid_input_data");
    let second = accepted(r#"{"code":"x","total":1}"#).await;
    let one = run.control("render.inspect", json!({ "id": first })).await;
    assert_eq!((&one["version"], &one["slug"]), (&json!(1), &json!(template.slug)));
    let two = run.control("render.inspect", json!({ "id": second })).await;
    assert_eq!((&two["version"], &two["data"]), (&json!(2), &json!({"code": "x"})));
    run.stop().await;
}

#[tokio::test]
async fn nothing_accepted_is_lost_in_an_outage() {
    let run = ephemeral().await;
    let template = run.template(json!({})).await;
    let mut ids = Vec::new();
    for available in [true, false, true] {
        run.control("queue.set", json!({ "available": available })).await;
        let reply = run.hook(&template.token, EXAMPLE).await;
        if available {
            ids.push(text(&reply.json()["id"]));
        } else {
            reply.coded(503, "queue_unavailable");
        }
    }
    for id in ids {
        run.finished(&id, &template.key).await;
    }
    run.stop().await;
}

#[tokio::test]
async fn polling_needs_a_key_of_the_render_s_project() {
    let run = ephemeral().await;
    let template = run.template(json!({})).await;
    let other = run.template(json!({})).await;
    let sibling = run.template(json!({ "project": template.project })).await;
    let id = text(&run.hook(&template.token, EXAMPLE).await.json()["id"]);
    let path = format!("/v1/renders/{id}");
    run.send(run.get(&path)).await.coded(401, "unauthorized");
    run.poll(&id, "ck_live_unknown").await.coded(401, "unauthorized");
    run.poll(&id, &other.key).await.coded(404, "not_found");
    run.poll("no-uuid", &template.key).await.coded(404, "not_found");
    let unknown = "01890000-0000-7000-8000-000000000000";
    run.poll(unknown, &template.key).await.coded(404, "not_found");
    for key in [&template.key, &sibling.key] {
        assert_eq!(run.poll(&id, key).await.status, 200);
    }
    // A template may go, its renders stay.
    run.control("template.delete", json!({ "slug": template.slug })).await;
    assert_eq!(run.poll(&id, &template.key).await.status, 200);
    run.stop().await;
}

#[tokio::test]
async fn ids_carry_the_server_s_time() {
    let run = ephemeral().await;
    let template = run.template(json!({})).await;
    let millis = async || {
        let id = text(&run.hook(&template.token, EXAMPLE).await.json()["id"]).replace('-', "");
        i64::from_str_radix(&id[..12], 16).expect("hexadecimal")
    };
    let before = millis().await;
    run.advance(86_400_000).await;
    assert_eq!(millis().await - before, 86_400_000);
    run.stop().await;
}

#[tokio::test]
async fn only_post_queues_and_only_get_polls() {
    let run = ephemeral().await;
    let template = run.template(json!({})).await;
    let path = format!("/v1/hooks/{}", template.token);
    let reply = run.send(run.get(&path)).await;
    reply.coded(405, "method_not_allowed");
    assert_eq!(reply.headers["allow"], "POST");
    let id = text(&run.hook(&template.token, EXAMPLE).await.json()["id"]);
    let reply = run.send(run.post(&format!("/v1/renders/{id}"))).await;
    assert_eq!((reply.status, &reply.headers["allow"]), (405, &"GET, HEAD".parse().expect("value")));
    for path in ["/v1/hooks", "/v1/hooks/", "/v1", "/v1/nothing"] {
        run.send(run.post(path).body(EXAMPLE)).await.coded(404, "not_found");
    }
    run.stop().await;
}
