//! Targets that close connections without saying so, as some servers do after each answer and many once a connection has been idle: a
//! request is never lost with its connection, so nothing becomes inconclusive.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use hookproof::profile::limiter::{Observed, Scope};
use hookproof::verdict::Verdict;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harm::{changed, kept_alive};
use crate::measured::Ran;
use crate::middle::{Answering, Asked, Middle, Plan};

/// A connection that nobody uses for so long is closed.
const IDLE_MAX: Duration = Duration::from_millis(3);

/// Enough for a whole run on a busy machine.
const WHOLE: [&str; 4] = ["--run-time", "10min", "--settle", "5s"];

/// The right answer, and the end of its connection.
fn closing_after_each() -> Answering {
    changed(|answer| kept_alive(&answer))
}

/// The right answer, and the end of its connection if no other request follows soon.
fn closing_when_idle() -> Answering {
    Arc::new(|stream: &mut TcpStream, asked: Asked| -> BoxFuture<'_, std::io::Result<bool>> {
        Box::pin(async move {
            let answer = kept_alive(&asked.honest_answer().await?);
            stream.write_all(&answer).await?;
            Ok(tokio::time::timeout(IDLE_MAX, stream.readable()).await.is_ok())
        })
    })
}

/// Runs everything on such a target and demands the verdict that the reference deserves.
async fn check(api: Answering, control: Answering) {
    let middle = Middle::start(Plan { api, control }).await;
    let target = middle.target_file("");
    let ran = tokio::task::spawn_blocking(move || Ran::check(&target, &WHOLE)).await.unwrap();
    let report = ran.report();
    assert_eq!((ran.code, report.verdict), (Some(0), Verdict::Conforms), "{}", ran.stdout);
    let summary = &report.summary;
    assert_eq!((summary.inconclusive, summary.not_run, summary.warn), (0, 0, 0), "{}", ran.stdout);
    let limiter = report.limiter.expect("a whole run names the limiter");
    assert_eq!((limiter.observed, limiter.scope), (Observed::FixedFromFirst, Some(Scope::Domain)), "{limiter:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_closes_after_each_answer_without_saying_so_conforms() {
    check(closing_after_each(), closing_after_each()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_closes_idle_connections_without_saying_so_conforms() {
    check(closing_when_idle(), closing_when_idle()).await;
}
