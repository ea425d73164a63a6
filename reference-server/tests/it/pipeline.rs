//! The render route, which shares the hook's pipeline.

use serde_json::{Value, json};

use crate::support::{EXAMPLE, Reply, Running, Template, ephemeral, text};

async fn render(run: &Running, slug: &str, key: &str, body: &Value) -> Reply {
    let request = run.post(&format!("/v1/templates/{slug}/render")).bearer_auth(key);
    run.send(request.body(body.to_string())).await
}

fn data() -> Value {
    json!({"data": serde_json::from_str::<Value>(EXAMPLE).expect("JSON")})
}

async fn published(run: &Running) -> Template {
    run.template(json!({})).await
}

#[tokio::test]
async fn a_render_is_queued_with_six_keys() {
    let run = ephemeral().await;
    let template = published(&run).await;
    let reply = render(&run, &template.slug, &template.key, &data()).await;
    assert_eq!(reply.status, 202);
    let body = reply.json();
    let id = text(&body["id"]);
    let expected = json!({
        "id": id,
        "status": "queued",
        "pollUrl": format!("{}/v1/renders/{id}", run.base),
        "downloadUrl": null,
        "errorMessage": null,
        "createdAt": body["createdAt"],
    });
    assert_eq!(body, expected);
    run.finished(&id, &template.key).await;
    run.stop().await;
}

#[tokio::test]
async fn refusals_have_their_documented_codes() {
    let run = ephemeral().await;
    let template = published(&run).await;
    let other = published(&run).await;
    let (slug, key) = (&template.slug, &template.key);
    render(&run, slug, "ck_live_unknown", &data()).await.coded(401, "unauthorized");
    render(&run, slug, &other.key, &data()).await.coded(404, "template_not_found");
    render(&run, "none-such", key, &data()).await.coded(404, "template_not_found");
    let path = format!("/v1/templates/{slug}/render");
    let broken = run.post(&path).bearer_auth(key).body("{");
    run.send(broken).await.coded(400, "invalid_json");
    let envelopes = [
        json!([]),
        json!({}),
        json!({"data": 3}),
        json!({"data": {}, "jobId": 3}),
        json!({"data": {}, "jobId": ""}),
        json!({"data": {}, "jobId": "x".repeat(201)}),
        json!({"data": {}, "options": 3}),
        json!({"data": {}, "options": {"versionNumber": 0}}),
    ];
    for envelope in envelopes {
        render(&run, slug, key, &envelope).await.coded(400, "invalid_request");
    }
    render(&run, slug, key, &json!({"data": {}})).await.coded(400, "invalid_input_data");
    let mut pinned = data();
    pinned["options"] = json!({"versionNumber": 2});
    render(&run, slug, key, &pinned).await.coded(404, "version_not_found");
    run.control("queue.set", json!({"available": false})).await;
    render(&run, slug, key, &data()).await.coded(503, "queue_unavailable");
    let draft = run.template(json!({"published": false})).await;
    render(&run, &draft.slug, &draft.key, &data()).await.coded(409, "no_published_version");
    run.stop().await;
}

#[tokio::test]
async fn an_older_version_can_be_asked_for() {
    let run = ephemeral().await;
    let template = published(&run).await;
    let empty = json!({"variables": [], "loops": []});
    run.control("template.update", json!({"slug": template.slug, "manifest": empty})).await;
    let mut pinned = data();
    pinned["options"] = json!({"versionNumber": 1});
    let reply = render(&run, &template.slug, &template.key, &pinned).await;
    let id = text(&reply.json()["id"]);
    let seen = run.control("render.inspect", json!({ "id": id })).await;
    assert_eq!((&seen["version"], &seen["data"]["total"]), (&json!(1), &json!(49.95)));
    run.stop().await;
}

#[tokio::test]
async fn a_repeated_key_gives_the_first_render_as_it_is_now() {
    let run = ephemeral().await;
    let template = published(&run).await;
    let path = format!("/v1/templates/{}/render", template.slug);
    let keyed = async |key: &str, body: &Value| {
        let request = run.post(&path).bearer_auth(&template.key).header("idempotency-key", key);
        run.send(request.body(body.to_string())).await
    };
    let first = keyed("one", &data()).await;
    assert_eq!(first.status, 202);
    let id = text(&first.json()["id"]);
    run.finished(&id, &template.key).await;
    let again = keyed("one", &json!({"data": {}})).await;
    assert_eq!((again.status, &again.json()["id"]), (200, &json!(id)));
    assert_eq!(again.json()["status"], "succeeded");
    // The header wins over the body's jobId, which is a key too.
    let mut body = data();
    body["jobId"] = json!("one");
    assert_eq!(keyed("two", &body).await.status, 202);
    let by_job = render(&run, &template.slug, &template.key, &body).await;
    assert_eq!((by_job.status, &by_job.json()["id"]), (200, &json!(id)));
    // Another project's keys are its own.
    let other = published(&run).await;
    assert_eq!(render(&run, &other.slug, &other.key, &body).await.status, 202);
    run.stop().await;
}

#[tokio::test]
async fn concurrent_calls_under_one_key_make_one_render() {
    let run = ephemeral().await;
    let template = published(&run).await;
    let mut body = data();
    body["jobId"] = json!("one");
    let call = || render(&run, &template.slug, &template.key, &body);
    let (a, b, c, d) = tokio::join!(call(), call(), call(), call());
    let replies = [a, b, c, d];
    assert_eq!(replies.iter().filter(|reply| reply.status == 202).count(), 1);
    assert!(replies.iter().all(|reply| reply.json()["id"] == replies[0].json()["id"]));
    run.stop().await;
}
