//! What a restart leaves.

use reference_server::ClockKind;
use serde_json::json;

use crate::rndrkit::concurrent_ceiling;
use crate::support::{EXAMPLE, on_file, text};

const ONE: &str = r#"{"urls":["/"]}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_windows_quotas_renders_and_the_clock() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let run = on_file(&path, ClockKind::Manual).await;
    run.advance(40 * 86_400_000).await;
    let (domain, tokens) = run.domain(json!({"known_paths": ["/a", "/b"]})).await;
    let template = run.template(json!({})).await;
    for _ in 0..9 {
        assert_eq!(run.refresh(&tokens[0], ONE).await.status, 200);
    }
    assert_eq!(run.refresh(&tokens[0], "{}").await.status, 400);
    let id = text(&run.hook(&template.token, EXAMPLE).await.json()["id"]);
    let before = run.control("clock.advance", json!({"ms": 0})).await;
    run.stop().await;

    let run = on_file(&path, ClockKind::Manual).await;
    assert_eq!(run.control("clock.advance", json!({"ms": 0})).await, before);
    run.refresh(&tokens[0], ONE).await.refused(429, "Rate limit exceeded (10 requests/hour)");
    let seen = run.control("domain.inspect", json!({ "domain": domain })).await;
    assert_eq!(seen["renders_used"], 9);
    assert_eq!(seen["queued_paths"].as_array().map(Vec::len), Some(9));
    run.finished(&id, &template.key).await;
    assert_eq!(run.hook(&template.token, EXAMPLE).await.status, 202);
    run.advance(3_600_000).await;
    assert_eq!(run.refresh(&tokens[0], r#"{"all":true}"#).await.status, 200);
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_file_too_exactly_ten_of_two_hundred_are_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = on_file(&folder.path().join("store.db"), ClockKind::System).await;
    for _ in 0..5 {
        concurrent_ceiling(&run).await;
    }
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_q_renders_left_at_most_q_are_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = on_file(&folder.path().join("store.db"), ClockKind::Manual).await;
    let (_, tokens) = run.domain(json!({"monthly_render_limit": 4, "tokens": 5})).await;
    let call = |i: usize| run.refresh(&tokens[i % 5], ONE);
    let (a, b, c, d, e) = tokio::join!(call(0), call(1), call(2), call(3), call(4));
    let (f, g, h) = tokio::join!(call(0), call(1), call(2));
    let served = [a, b, c, d, e, f, g, h].iter().filter(|reply| reply.status == 200).count();
    assert_eq!(served, 4);
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_stored_that_can_be_hashed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let run = on_file(&path, ClockKind::Manual).await;
    let (_, tokens) = run.domain(json!({})).await;
    let template = run.template(json!({})).await;
    run.stop().await;
    let mut stored = Vec::new();
    for entry in std::fs::read_dir(folder.path()).expect("a folder") {
        stored.extend(std::fs::read(entry.expect("an entry").path()).expect("a file"));
    }
    let holds = |text: &str| stored.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds(&template.slug));
    assert!(!holds(&tokens[0]) && !holds(&template.key) && !holds(&template.token));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_system_clock_cannot_be_moved() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = on_file(&folder.path().join("store.db"), ClockKind::System).await;
    let hello = run.control("hello", json!({"protocol": 1})).await;
    assert_eq!(hello["clock"], "system");
    let methods = hello["methods"].as_array().expect("methods");
    assert!(!methods.contains(&json!("clock.advance")));
    assert_eq!(run.rpc("clock.advance", json!({"ms": 1})).await["error"]["code"], -32601);
    run.stop().await;
}

/// A manifest with one required text.
fn one_text(key: &str) -> serde_json::Value {
    json!({
        "variables": [{"key": key, "label": "Text", "dataType": "text", "required": true}],
        "loops": [],
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_versions_are_published_each_render_fits_the_version_it_names() {
    const VERSIONS: usize = 20;
    let folder = tempfile::tempdir().expect("a folder");
    let run = on_file(&folder.path().join("store.db"), ClockKind::Manual).await;
    let template = run.template(json!({"manifest": one_text("odd")})).await;
    let publishing = async {
        for number in 2..=VERSIONS {
            let key = if number % 2 == 0 { "even" } else { "odd" };
            let update = json!({"slug": template.slug, "manifest": one_text(key)});
            run.control("template.update", update).await;
        }
    };
    let sending = async || {
        let mut ids = Vec::new();
        for _ in 0..60 {
            let reply = run.hook(&template.token, r#"{"odd":"x","even":"x"}"#).await;
            ids.push(text(&reply.json()["id"]));
        }
        ids
    };
    let ((), one, two) = tokio::join!(publishing, sending(), sending());
    for id in one.into_iter().chain(two) {
        let seen = run.control("render.inspect", json!({ "id": id })).await;
        let even = seen["version"].as_u64().is_some_and(|version| version % 2 == 0);
        let expected = if even { json!({"even": "x"}) } else { json!({"odd": "x"}) };
        assert_eq!(seen["data"], expected, "{seen}");
    }
    // What was acknowledged last judges every later request.
    run.control("template.update", json!({"slug": template.slug, "require_signature": true})).await;
    run.hook(&template.token, r#"{"odd":"x","even":"x"}"#).await.coded(401, "invalid_signature");
    run.stop().await;
}
