//! Conforming targets that chose otherwise than the reference where no document chooses: no rule fails.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use hookproof::verdict::Status;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::measured::Ran;
use crate::middle::{Answering, Asked, Middle, Plan, honest};

/// Judges these rules; `prefix` is the path of CraftKit's base URL.
async fn all_pass(api: Answering, prefix: &str, rules: &[&'static str]) {
    let middle = Middle::start(Plan { api, control: honest() }).await;
    let own = format!("[craftkit]\nbase_url = \"{}", middle.url);
    let target = middle.target_file("").replace(&own, &format!("{own}{prefix}"));
    let mut arguments = vec!["--settle", "5s", "--run-time", "10min", "--cases", "16"];
    arguments.extend(rules.iter().flat_map(|rule| ["--only", rule]));
    let ran = tokio::task::spawn_blocking(move || Ran::check(&target, &arguments)).await.unwrap();
    let judged = ran.report().rules.into_iter().filter(|rule| rule.status != Status::Excluded);
    let statuses: Vec<(String, Status, String)> = judged.map(|rule| (rule.id, rule.status, rule.reason)).collect();
    assert!(!statuses.is_empty() && statuses.iter().all(|(_, status, _)| *status == Status::Pass), "{statuses:#?}");
}

/// The first request with each token is one too early: what a fixture has changed may take the settle time to be seen.
fn knowing_tokens_late() -> Answering {
    let known: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    Arc::new(move |stream: &mut TcpStream, asked: Asked| -> BoxFuture<'_, std::io::Result<bool>> {
        let head = asked.head_text().to_ascii_lowercase();
        let token = head.lines().find_map(|line| line.strip_prefix("authorization: ")).map(str::to_owned);
        let is_new = token.is_some_and(|token| known.lock().unwrap().insert(token));
        Box::pin(async move {
            let answer = if is_new {
                b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 25\r\n\r\n{\"error\":\"Invalid token\"}".to_vec()
            } else {
                asked.honest_answer().await?
            };
            stream.write_all(&answer).await.map(|()| false)
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_may_be_known_a_little_later() {
    all_pass(knowing_tokens_late(), "", &["rndrkit.selective.accepted", "rndrkit.full.accepted"]).await;
}

/// Answers after a while, as a target at the end of a long line does.
fn slow() -> Answering {
    const PAUSE: Duration = Duration::from_millis(200);
    Arc::new(move |stream: &mut TcpStream, asked: Asked| -> BoxFuture<'_, std::io::Result<bool>> {
        Box::pin(async move {
            let answer = asked.honest_answer().await?;
            tokio::time::sleep(PAUSE).await;
            stream.write_all(&answer).await.map(|()| false)
        })
    })
}

/// A driven clock may run besides, so that what comes before a window's end must come the earlier the slower the target is.
#[tokio::test(flavor = "multi_thread")]
async fn the_window_of_a_slow_target_can_be_judged() {
    all_pass(slow(), "", &["rndrkit.rate.window-not-sliding", "rndrkit.rate.window-reanchors"]).await;
}

/// Serves hooks below `/eu` only, and renders at `polled` only. The reference behind it names `/v1/renders/…` as the place to poll.
fn behind_a_prefix(polled: &'static str) -> Answering {
    Arc::new(move |stream: &mut TcpStream, mut asked: Asked| -> BoxFuture<'_, std::io::Result<bool>> {
        const PREFIX: &str = "/eu";
        let path = asked.path();
        let served = path.starts_with("/eu/v1/hooks/") || path.starts_with(polled);
        if let Some(at) = path.starts_with(PREFIX).then(|| asked.head_text().find(PREFIX)).flatten() {
            asked.raw.drain(at..at + PREFIX.len());
            asked.head -= PREFIX.len();
        }
        Box::pin(async move {
            let answer = if served {
                asked.honest_answer().await?
            } else {
                b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec()
            };
            stream.write_all(&answer).await.map(|()| false)
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn renders_may_be_polled_outside_the_base_url() {
    all_pass(behind_a_prefix("/v1/renders/"), "/eu", &["craftkit.poll.*"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn something_in_front_of_a_target_may_add_the_base_urls_path() {
    all_pass(behind_a_prefix("/eu/v1/renders/"), "/eu", &["craftkit.poll.*"]).await;
}
