//! Outgoing webhooks, received by a server of the test's own.

use reference_server::ClockKind;
use reference_server::craftkit::signature::sign;
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::support::{EXAMPLE, Running, Template, ephemeral, on_file, text, until};

async fn receiver(statuses: &[u16]) -> MockServer {
    let server = MockServer::start().await;
    let (last, first) = statuses.split_last().expect("a status");
    let mount = async |status: u16, times: u64| {
        let mock = Mock::given(method("POST")).and(path("/hook"));
        let mock = mock.respond_with(ResponseTemplate::new(status));
        mock.up_to_n_times(times).mount(&server).await;
    };
    for status in first {
        mount(*status, 1).await;
    }
    mount(*last, u64::MAX).await;
    server
}

/// Subscribes the receiver and gives the key of its signatures.
async fn subscribe(run: &Running, template: &Template, to: &MockServer, events: Value) -> String {
    let url = format!("{}/hook", to.uri());
    let params = json!({"project": template.project, "url": url, "events": events});
    text(&run.control("subscription.create", params).await["secret"])
}

async fn received(server: &MockServer, count: usize) -> Vec<Request> {
    until("the webhooks arrive", async || server.received_requests().await.filter(|requests| requests.len() >= count))
        .await
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    request.headers[name].to_str().expect("text")
}

#[tokio::test]
async fn a_finished_render_is_announced_in_the_documented_form() {
    let run = ephemeral().await;
    let receiver = receiver(&[200]).await;
    let template = run.template(json!({})).await;
    let secret = subscribe(&run, &template, &receiver, json!([])).await;
    let id = text(&run.hook(&template.token, EXAMPLE).await.json()["id"]);
    let request = received(&receiver, 1).await.remove(0);
    assert_eq!(header(&request, "x-craftkit-event"), "render.succeeded");
    assert_eq!(header(&request, "x-craftkit-signature"), sign(&secret, &request.body));
    assert!(header(&request, "x-craftkit-timestamp").parse::<u64>().is_ok());
    assert_eq!(header(&request, "x-craftkit-delivery-id").len(), 36);
    assert_eq!(header(&request, "user-agent"), "Craftkit-Webhook/1.0");
    assert_eq!(header(&request, "content-type"), "application/json");
    let done = run.finished(&id, &template.key).await;
    let expected = json!({
        "event": "render.succeeded",
        "renderId": id,
        "templateId": template.id,
        "status": "succeeded",
        "downloadUrl": null,
        "errorMessage": null,
        "createdAt": done["createdAt"],
        "completedAt": done["completedAt"],
    });
    assert_eq!(serde_json::from_slice::<Value>(&request.body).expect("JSON"), expected);
    run.stop().await;
}

#[tokio::test]
async fn only_the_project_s_subscribers_of_the_event_are_told() {
    let run = ephemeral().await;
    let (told, untold) = (receiver(&[204]).await, receiver(&[204]).await);
    let template = run.template(json!({})).await;
    let other = run.template(json!({})).await;
    subscribe(&run, &template, &told, json!(["render.succeeded"])).await;
    subscribe(&run, &template, &untold, json!(["render.failed"])).await;
    subscribe(&run, &other, &untold, json!([])).await;
    for _ in 0..3 {
        run.hook(&template.token, EXAMPLE).await;
    }
    assert_eq!(received(&told, 3).await.len(), 3);
    assert_eq!(untold.received_requests().await.map(|requests| requests.len()), Some(0));
    run.stop().await;
}

#[tokio::test]
async fn six_attempts_are_made_with_growing_delays_and_no_seventh() {
    let run = ephemeral().await;
    let receiver = receiver(&[500, 302, 404, 500]).await;
    let template = run.template(json!({})).await;
    subscribe(&run, &template, &receiver, json!([])).await;
    run.hook(&template.token, EXAMPLE).await;
    for (made, seconds) in [(1, 5), (2, 10), (3, 20), (4, 40), (5, 80)] {
        received(&receiver, made).await;
        // The clock is moved step by step: the outcome of an attempt may still be on its way to the
        // store, and what is recorded later is due later.
        until("the next attempt is made", async || {
            run.advance(seconds * 1000).await;
            receiver.received_requests().await.filter(|requests| requests.len() > made)
        })
        .await;
    }
    let requests = received(&receiver, 6).await;
    let ids: Vec<&str> = requests.iter().map(|request| header(request, "x-craftkit-delivery-id")).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let stamp = |request| header(request, "x-craftkit-timestamp").parse::<i64>().expect("seconds");
    let elapsed = stamp(&requests[5]) - stamp(&requests[0]);
    assert!(elapsed >= 5 + 10 + 20 + 40 + 80, "{elapsed}");
    // A later render's webhook arrives; the abandoned one does not come again.
    run.advance(10_000_000).await;
    run.hook(&template.token, EXAMPLE).await;
    let seventh = received(&receiver, 7).await.remove(6);
    assert_ne!(header(&seventh, "x-craftkit-delivery-id"), ids[0]);
    run.stop().await;
}

#[tokio::test]
async fn an_attempt_that_is_answered_ends_the_delivery() {
    let run = ephemeral().await;
    let receiver = receiver(&[503, 200]).await;
    let template = run.template(json!({})).await;
    subscribe(&run, &template, &receiver, json!([])).await;
    run.hook(&template.token, EXAMPLE).await;
    received(&receiver, 1).await;
    until("the second attempt is made", async || {
        run.advance(5_000).await;
        receiver.received_requests().await.filter(|requests| requests.len() > 1)
    })
    .await;
    run.advance(10_000_000).await;
    run.hook(&template.token, EXAMPLE).await;
    let requests = received(&receiver, 3).await;
    let ids: Vec<&str> = requests.iter().map(|request| header(request, "x-craftkit-delivery-id")).collect();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[1], ids[2]);
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_survives_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("store.db");
    let receiver = receiver(&[500, 200]).await;
    let run = on_file(&file, ClockKind::Manual).await;
    let template = run.template(json!({})).await;
    subscribe(&run, &template, &receiver, json!([])).await;
    run.hook(&template.token, EXAMPLE).await;
    received(&receiver, 1).await;
    run.stop().await;
    let run = on_file(&file, ClockKind::Manual).await;
    let requests = until("the second attempt is made", async || {
        run.advance(5_000).await;
        receiver.received_requests().await.filter(|requests| requests.len() > 1)
    })
    .await;
    let id = |request| header(request, "x-craftkit-delivery-id");
    assert_eq!(id(&requests[0]), id(&requests[1]));
    run.stop().await;
}
