//! RndrKit's Webhook Refresh API.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Running, ephemeral, text};

const HOUR: i64 = 3_600_000;
const HEADER: &str = "Missing or invalid Authorization header";
const INVALID: &str = "Invalid token";
const PROVIDE: &str = r#"Provide "urls" array or "all": true"#;
const PATHS: &str = "No valid URL paths (must start with /)";
const INACTIVE: &str = "Domain is not active";
const PLAN: &str = "Webhook refresh requires Agency+ plan";
const RATE: &str = "Rate limit exceeded (10 requests/hour)";
const QUOTA: &str = "Monthly render limit reached";
const ONE: &str = r#"{"urls":["/"]}"#;

#[tokio::test]
async fn the_documented_examples_are_answered_as_documented() {
    let run = ephemeral().await;
    let (domain, tokens) = run.domain(json!({"known_paths": ["/", "/blog"]})).await;
    let listed = run.refresh(&tokens[0], r#"{"urls": ["/", "/blog/new-post", "/pricing"]}"#).await;
    assert_eq!(listed.status, 200);
    assert_eq!(listed.headers["content-type"], "application/json");
    let expected = json!({"message": "Cache refresh queued", "domain": domain, "pagesQueued": 3});
    assert_eq!(listed.json(), expected);
    let full = run.refresh(&tokens[0], r#"{"all": true}"#).await;
    assert_eq!(full.status, 200);
    assert_eq!(full.json(), json!({"message": "Full cache refresh started", "domain": domain}));
    let seen = run.control("domain.inspect", json!({ "domain": domain })).await;
    let queued = json!(["/", "/blog/new-post", "/pricing", "/", "/blog"]);
    assert_eq!(seen["queued_paths"], queued);
    assert_eq!(seen["renders_used"], 5);
    run.stop().await;
}

#[tokio::test]
async fn requests_without_a_good_bearer_token_get_401() {
    let run = ephemeral().await;
    let (_, tokens) = run.domain(json!({})).await;
    let token = &tokens[0];
    let path = "/api/webhook/refresh";
    let json_post = |path: &str| run.post(path).header("content-type", "application/json").body(ONE);
    run.send(json_post(path)).await.refused(401, HEADER);
    for value in ["Basic abc", token, "Bearer", "Bearer "] {
        run.send(json_post(path).header("authorization", value)).await.refused(401, HEADER);
    }
    for value in ["rk_wh_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "rk_live_abc", &token[..token.len() - 1]] {
        run.refresh(value, ONE).await.refused(401, INVALID);
    }
    run.send(json_post(path).header("x-api-key", token)).await.refused(401, HEADER);
    run.send(json_post(&format!("{path}?token={token}"))).await.refused(401, HEADER);
    let in_body = json!({"urls": ["/"], "token": token}).to_string();
    run.send(json_post(path).body(in_body)).await.refused(401, HEADER);
    assert_eq!(run.refresh(token, ONE).await.status, 200);
    let lower = json_post(path).header("authorization", format!("bearer  {token}"));
    assert_eq!(run.send(lower).await.status, 200);
    run.stop().await;
}

#[tokio::test]
async fn a_revoked_token_is_unknown_and_the_others_live_on() {
    let run = ephemeral().await;
    let made = run.control("domain.create", json!({"tokens": 2})).await;
    let (domain, first) = (&made["domain"], &made["tokens"][0]);
    run.control("token.revoke", json!({"domain": domain, "id": first["id"]})).await;
    run.refresh(&text(&first["token"]), ONE).await.refused(401, INVALID);
    assert_eq!(run.refresh(&text(&made["tokens"][1]["token"]), ONE).await.status, 200);
    run.stop().await;
}

#[tokio::test]
async fn a_domain_has_five_tokens_and_not_six() {
    let run = ephemeral().await;
    let (domain, mut tokens) = run.domain(json!({"tokens": 4})).await;
    let fifth = run.control("token.create", json!({ "domain": domain })).await;
    tokens.push(text(&fifth["token"]));
    for token in &tokens {
        assert!(token.starts_with("rk_wh_"), "{token}");
        assert_eq!(run.refresh(token, ONE).await.status, 200);
    }
    let sixth = run.rpc("token.create", json!({ "domain": domain })).await;
    assert_eq!(sixth["error"]["data"]["reason"], "token_limit");
    let seen = run.control("domain.inspect", json!({ "domain": domain })).await.to_string();
    assert!(tokens.iter().all(|token| !seen.contains(token)), "{seen}");
    run.control("token.revoke", json!({"domain": domain, "id": fifth["id"]})).await;
    run.control("token.create", json!({ "domain": domain })).await;
    run.stop().await;
}

#[tokio::test]
async fn a_token_acts_on_its_own_domain() {
    let run = ephemeral().await;
    let (one, of_one) = run.domain(json!({})).await;
    let (two, of_two) = run.domain(json!({})).await;
    assert_eq!(run.refresh(&of_one[0], ONE).await.json()["domain"], one);
    assert_eq!(run.refresh(&of_two[0], ONE).await.json()["domain"], two);
    run.stop().await;
}

#[tokio::test]
async fn lists_are_counted_cut_and_cleaned() {
    let run = ephemeral().await;
    let (domain, tokens) = run.domain(json!({})).await;
    let pages = async |paths: Value| {
        let reply = run.refresh(&tokens[0], &json!({ "urls": paths }).to_string()).await;
        (reply.status, reply.json()["pagesQueued"].clone())
    };
    let many = |n: usize| Value::from((0..n).map(|i| format!("/p{i}")).collect::<Vec<_>>());
    assert_eq!(pages(many(1)).await, (200, json!(1)));
    assert_eq!(pages(many(20)).await, (200, json!(20)));
    assert_eq!(pages(many(21)).await, (200, json!(20)));
    assert_eq!(pages(json!(["/a", "b", 1, null, " /c"])).await, (200, json!(1)));
    let seen = run.control("domain.inspect", json!({ "domain": domain })).await;
    assert_eq!(seen["queued_paths"].as_array().map(Vec::len), Some(42));
    run.refresh(&tokens[0], r#"{"urls":["about","http://x/"]}"#).await.refused(400, PATHS);
    run.refresh(&tokens[0], r#"{"urls":[1,null]}"#).await.refused(400, PATHS);
    run.stop().await;
}

#[tokio::test]
async fn bodies_that_ask_for_nothing_get_400() {
    let run = ephemeral().await;
    let bodies = [
        "",
        "{}",
        r#"{"all":false}"#,
        r#"{"all":"true"}"#,
        r#"{"urls":"/a"}"#,
        r#"{"urls":{}}"#,
        r#"{"urls":[]}"#,
        r#"{"urls":"#,
        "[]",
        "null",
    ];
    let (_, tokens) = run.domain(json!({})).await;
    for body in bodies {
        run.refresh(&tokens[0], body).await.refused(400, PROVIDE);
    }
    // They all counted.
    run.refresh(&tokens[0], ONE).await.refused(429, RATE);
    let (_, tokens) = run.domain(json!({})).await;
    let untyped = run.post("/api/webhook/refresh").bearer_auth(&tokens[0]).body(ONE);
    run.send(untyped).await.refused(400, PROVIDE);
    let both = run.refresh(&tokens[0], r#"{"all":false,"urls":["/a"]}"#).await;
    assert_eq!(both.json()["pagesQueued"], 1);
    run.stop().await;
}

#[tokio::test]
async fn inactive_domains_and_smaller_plans_get_403_and_count_for_nothing() {
    let run = ephemeral().await;
    let (domain, tokens) = run.domain(json!({"active": false, "plan": "starter"})).await;
    for _ in 0..12 {
        run.refresh(&tokens[0], ONE).await.refused(403, INACTIVE);
    }
    run.control("domain.update", json!({"domain": domain, "active": true})).await;
    for plan in ["starter", "pro", "agency"] {
        run.control("domain.update", json!({"domain": domain, "plan": plan})).await;
        run.refresh(&tokens[0], "{}").await.refused(403, PLAN);
    }
    run.control("domain.update", json!({"domain": domain, "plan": "agency_plus"})).await;
    for _ in 0..10 {
        assert_eq!(run.refresh(&tokens[0], ONE).await.status, 200);
    }
    run.refresh(&tokens[0], ONE).await.refused(429, RATE);
    run.stop().await;
}

#[tokio::test]
async fn the_window_is_one_hour_from_its_first_request() {
    let run = ephemeral().await;
    let (_, tokens) = run.domain(json!({"tokens": 2})).await;
    let (_, others) = run.domain(json!({})).await;
    let spend = async |n: usize| {
        for i in 0..n {
            assert_eq!(run.refresh(&tokens[i % 2], ONE).await.status, 200);
        }
    };
    spend(1).await;
    run.advance(HOUR - 1000).await;
    spend(9).await;
    for body in [ONE, "{}"] {
        run.refresh(&tokens[0], body).await.refused(429, RATE);
    }
    assert_eq!(run.refresh(&others[0], ONE).await.status, 200);
    run.refresh("rk_wh_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ONE).await.refused(401, INVALID);
    run.advance(1000).await;
    // The window neither slid nor was put off: all ten are there at once.
    spend(10).await;
    run.refresh(&tokens[0], ONE).await.refused(429, RATE);
    // The next one begins with its own first request, not at a multiple of the hour.
    run.advance(HOUR + HOUR / 2).await;
    spend(10).await;
    run.advance(HOUR - 1).await;
    run.refresh(&tokens[0], ONE).await.refused(429, RATE);
    run.advance(1).await;
    spend(1).await;
    run.stop().await;
}

#[tokio::test]
async fn two_hundred_concurrent_refreshes_over_five_tokens_are_served_ten_times() {
    let run = ephemeral().await;
    concurrent_ceiling(&run).await;
    run.stop().await;
}

pub(crate) async fn concurrent_ceiling(run: &Running) {
    let (domain, tokens) = run.domain(json!({"tokens": 5})).await;
    let requests = (0..200).map(|i| run.refresh(&tokens[i % 5], ONE));
    let mut statuses = Vec::new();
    for reply in join_all(requests).await {
        statuses.push(reply.status);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 10);
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 190);
    let seen = run.control("domain.inspect", json!({ "domain": domain })).await;
    assert_eq!(seen["renders_used"], 10);
}

/// Runs futures side by side on the test's own task.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in &mut waiting {
            if output.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *output = Some(value);
            }
        }
        if waiting.iter().all(|(_, output)| output.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    waiting.into_iter().filter_map(|(_, output)| output).collect()
}

#[tokio::test]
async fn a_reached_quota_refuses_lists_and_full_refreshes_and_charges_nothing() {
    let run = ephemeral().await;
    let params = json!({"monthly_render_limit": 3, "renders_used": 2, "known_paths": ["/a"]});
    let (domain, tokens) = run.domain(params).await;
    assert_eq!(run.refresh(&tokens[0], ONE).await.status, 200);
    run.refresh(&tokens[0], ONE).await.refused(403, QUOTA);
    run.refresh(&tokens[0], r#"{"all":true}"#).await.refused(403, QUOTA);
    let seen = run.control("domain.inspect", json!({ "domain": domain })).await;
    assert_eq!(seen["renders_used"], 3);
    let (_, others) = run.domain(json!({"monthly_render_limit": 3})).await;
    assert_eq!(run.refresh(&others[0], ONE).await.status, 200);
    run.control("domain.update", json!({"domain": domain, "monthly_render_limit": null})).await;
    assert_eq!(run.refresh(&tokens[0], r#"{"all":true}"#).await.status, 200);
    run.stop().await;
}

#[tokio::test]
async fn the_quota_comes_back_with_the_next_period() {
    let run = ephemeral().await;
    let (_, tokens) = run.domain(json!({"monthly_render_limit": 1, "renders_used": 1})).await;
    run.refresh(&tokens[0], ONE).await.refused(403, QUOTA);
    run.advance(HOUR).await;
    run.refresh(&tokens[0], ONE).await.refused(403, QUOTA);
    run.advance(24 * HOUR).await;
    run.refresh(&tokens[0], ONE).await.refused(403, QUOTA);
    run.advance(62 * 24 * HOUR).await;
    assert_eq!(run.refresh(&tokens[0], ONE).await.status, 200);
    run.stop().await;
}

#[tokio::test]
async fn domains_are_distinct_bare_hosts_and_deletable() {
    let run = ephemeral().await;
    let mut names = BTreeSet::new();
    for _ in 0..20 {
        let (name, tokens) = run.domain(json!({})).await;
        assert!(!name.contains(['/', ':']), "{name}");
        run.control("domain.delete", json!({ "domain": name })).await;
        run.refresh(&tokens[0], ONE).await.refused(401, INVALID);
        names.insert(name);
    }
    assert_eq!(names.len(), 20);
    run.stop().await;
}

#[tokio::test]
async fn only_post_refreshes() {
    let run = ephemeral().await;
    let (domain, tokens) = run.domain(json!({})).await;
    for method in [reqwest::Method::GET, reqwest::Method::PUT, reqwest::Method::OPTIONS] {
        let request = run.client.request(method, format!("{}/api/webhook/refresh", run.base));
        let reply = run.send(request.bearer_auth(&tokens[0]).body(ONE)).await;
        reply.refused(405, "Method not allowed");
        assert_eq!(reply.headers["allow"], "POST");
    }
    let seen = run.control("domain.inspect", json!({ "domain": domain })).await;
    assert_eq!(seen["queued_paths"], json!([]));
    run.stop().await;
}
