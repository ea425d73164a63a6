//! Targets that cannot offer all that the fixture protocol asks for: what can be judged without it is judged, and the rest is not held
//! against them.

use std::sync::Arc;

use futures::future::BoxFuture;
use hookproof::verdict::Status;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harm::edited;
use crate::measured::Ran;
use crate::middle::{Answering, Asked, Middle, Plan, honest};

const LIMITS: [&str; 4] = ["--settle", "50ms", "--run-time", "2min"];

async fn ran(control: Answering, arguments: &[&'static str]) -> Ran {
    let middle = Middle::start(Plan { api: honest(), control }).await;
    let target = middle.target_file("");
    let arguments = [arguments, &LIMITS[..]].concat();
    tokio::task::spawn_blocking(move || Ran::check(&target, &arguments)).await.unwrap()
}

#[track_caller]
fn check(ran: &Ran, rule: &str, status: Status, reason: &str) {
    let report = ran.report();
    let found = report.rules.iter().find(|found| found.id == rule).expect("the rule is in scope");
    assert_eq!(found.status, status, "{rule}: {}", found.reason);
    assert!(found.reason.contains(reason), "{rule}: {}", found.reason);
}

/// Passes fixture calls on, but subscribes an address that nobody listens at, as a target sees the receiver that cannot reach it.
fn in_a_network_of_its_own() -> Answering {
    Arc::new(|stream: &mut TcpStream, mut asked: Asked| -> BoxFuture<'_, std::io::Result<bool>> {
        Box::pin(async move {
            let mut message: Value = serde_json::from_str(&asked.body_text())?;
            if message["method"] == json!("subscription.create") {
                message["params"]["url"] = json!("http://127.0.0.1:1/receiver");
                let body = message.to_string();
                let head = asked.head_text();
                let kept = head.lines().filter(|line| !line.is_empty() && !line.starts_with("content-length"));
                let head: String = kept.map(|line| format!("{line}\r\n")).collect();
                asked.raw = format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes();
            }
            let answer = asked.honest_answer().await?;
            stream.write_all(&answer).await.map(|()| false)
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_reach_the_receiver_is_not_said_to_send_no_webhooks() {
    let ran = ran(in_a_network_of_its_own(), &["--only", "craftkit.pipeline.*"]).await;
    assert_eq!(ran.code, Some(4), "{}", ran.stdout);
    check(&ran, "craftkit.pipeline.outgoing-webhook", Status::NotRun, "cannot reach the suite's receiver");
    check(&ran, "craftkit.pipeline.same-validation", Status::Pass, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_outages_the_form_of_all_other_errors_is_judged() {
    let without_queue = edited(|answer| {
        if let Some(methods) = answer.pointer_mut("/result/methods").and_then(Value::as_array_mut) {
            methods.retain(|method| method != "queue.set");
        }
    });
    let only = ["--only", "craftkit.errors.*", "--only", "craftkit.http.json", "--only", "craftkit.queue.unavailable"];
    let ran = ran(without_queue, &only).await;
    assert_eq!(ran.code, Some(4), "{}", ran.stdout);
    for rule in ["craftkit.errors.code", "craftkit.errors.envelope", "craftkit.http.json"] {
        check(&ran, rule, Status::Pass, "");
    }
    check(&ran, "craftkit.queue.unavailable", Status::NotRun, "queue.set");
}
