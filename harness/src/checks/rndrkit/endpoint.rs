//! The endpoint: `POST` is served, and `GET` starts nothing.

use serde_json::{Value, json};

use super::{NOT_SERVED, PATH, announces_refresh, offers, queued_paths, refresh, text, urls, valid, with_bearer};
use crate::api::Api;
use crate::checks::judge::{Judge, outcome};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::Evidence;
use crate::gather::{DomainWish, Gather, Stop};
use crate::target::http::Request;
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[POST_ONLY];

/// A path that only the GET names. It is not a known one, so that no refresh of the whole domain can bring it into the queue.
const PATH_OF_GET: &str = "/asked-for-by-get";

const POST_ONLY: Check = Check {
    id: "rndrkit/endpoint/post-only",
    rules: &["rndrkit.endpoint.post"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_post_only(g)),
    judge: judge_post_only,
    sabotages: &[
        Sabotage {
            defect: "does not serve the path",
            turns_red: &["rndrkit.endpoint.post"],
            apply: |evidence| evidence.answer("post", 404, &json!({"error": "Not found"})),
        },
        Sabotage {
            defect: "treats GET with a body like POST",
            turns_red: &["rndrkit.endpoint.post"],
            apply: |evidence| {
                evidence.answer("get", 200, &json!({"message": text::QUEUED, "domain": "d", "pagesQueued": 1}));
            },
        },
        Sabotage {
            defect: "starts a full refresh by GET and a query",
            turns_red: &["rndrkit.endpoint.post"],
            apply: |evidence| evidence.answer("get-query", 200, &json!({"message": text::STARTED, "domain": "d"})),
        },
        Sabotage {
            defect: "answers GET with an error and queues the page all the same",
            turns_red: &["rndrkit.endpoint.post"],
            apply: |evidence| {
                evidence.edit_fixture("queue-after-post", |result| {
                    let queue = result["queued_paths"].as_array_mut().expect("the reference lists the queue");
                    queue.push(Value::from(PATH_OF_GET));
                });
            },
        },
        Sabotage {
            defect: "answers GET with an error and refreshes the whole domain all the same",
            turns_red: &["rndrkit.endpoint.post"],
            apply: |evidence| {
                evidence
                    .edit_fixture("queue-after-get", |result| result["queued_paths"] = json!(["/page-1", "/page-2"]));
            },
        },
    ],
};

async fn gather_post_only(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default().pages(2)).await?;
    let inspects = offers(g, Method::DomainInspect);
    if inspects {
        g.inspect_domain("queue-untouched", &domain).await?;
    }
    let mut get = refresh("get", &domain.tokens[0], &urls(&[PATH_OF_GET.to_owned()]));
    get.method = "GET";
    // A server that leaves the body of a GET unread must not take it for the connection's next request.
    g.send(get.header("Connection", "close")).await;
    let query = Request::new("get-query", Api::Rndrkit, "GET", format!("{PATH}?all=true"));
    g.send(with_bearer(query, &domain.tokens[0])).await;
    if inspects {
        g.inspect_domain("queue-after-get", &domain).await?;
    }
    g.send(valid("post", &mut domain)).await;
    if inspects {
        // What the GETs had queued would stand before what the POST queues.
        let page = Value::from(&*domain.pages()[0]);
        let shows_page = |state: &Value| state["queued_paths"].as_array().is_some_and(|queue| queue.contains(&page));
        let bound = g.world().settle;
        g.inspected("queue-after-post", &domain, bound, shows_page).await?;
    }
    Ok(())
}

fn judge_post_only(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let rule = "rndrkit.endpoint.post";
    let served = outcome("any answer but 404, 405 and 501", |response| !NOT_SERVED.contains(&response.status));
    judge.rule(rule).expects("post", &[served]);
    for step in ["get", "get-query"] {
        let announces = announces_refresh(evidence, &["post"]);
        let silent = outcome("any answer that does not announce a refresh", move |response| !announces(response));
        judge.rule(rule).control("post").expects(step, &[silent]);
    }
    let queue = |inspection| queued_paths(evidence, inspection);
    if let (Some(before), Some(after)) = (queue("queue-untouched"), queue("queue-after-get")) {
        let expected = format!("the queue as it was before the GETs: {before:?}");
        judge.rule(rule).control("post").that(before == after, expected, format!("the queue {after:?}"), None);
    }
    if let Some(after) = queue("queue-after-post") {
        let expected = format!("a queue without `{PATH_OF_GET}`, which only a GET has named");
        let clean = !after.iter().any(|path| path == PATH_OF_GET);
        judge.rule(rule).control("post").that(clean, expected, format!("the queue {after:?}"), None);
    }
    judge.findings()
}
