//! Refreshing a whole domain.

use serde_json::{Value, json};

use super::auth::UNAUTHORIZED;
use super::{accepted, created_domains, field, queued_paths, refresh, refresh_raw, text, valid};
use crate::api::Api;
use crate::checks::judge::{Judge, outcome};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::Evidence;
use crate::gather::{DomainWish, Gather, Stop};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[ANSWER, QUEUES_KNOWN_PATHS];

/// The bodies of the document's examples, byte for byte: from curl and JavaScript.
const EXAMPLE_BODIES: [&str; 2] = [r#"{"all": true}"#, r#"{"all":true}"#];

const ANSWER: Check = Check {
    id: "rndrkit/full/answer",
    rules: &["rndrkit.full.accepted", "rndrkit.full.no-pages-queued"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_answer(g)),
    judge: judge_answer,
    sabotages: &[
        Sabotage {
            defect: "answers a full refresh with the message of a list",
            turns_red: &["rndrkit.full.accepted"],
            apply: |evidence| evidence.edit_json("full", |body| body["message"] = json!(text::QUEUED)),
        },
        Sabotage {
            defect: "names another domain",
            turns_red: &["rndrkit.full.accepted"],
            apply: |evidence| evidence.edit_json("full", |body| body["domain"] = json!("example.com")),
        },
        Sabotage {
            defect: "takes lists only",
            turns_red: &["rndrkit.full.accepted"],
            apply: |evidence| evidence.answer("full", 400, &json!({"error": text::BODY})),
        },
        Sabotage {
            defect: "counts the pages of a full refresh",
            turns_red: &["rndrkit.full.no-pages-queued"],
            apply: |evidence| evidence.edit_json("full", |body| body["pagesQueued"] = json!(6)),
        },
    ],
};

async fn gather_answer(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default().pages(6)).await?;
    // The target may come to know a new token a little later.
    let list = valid("list", &mut domain);
    g.settled_sparingly(list, |exchange| !exchange.is(UNAUTHORIZED)).await;
    for body in EXAMPLE_BODIES {
        g.send(refresh_raw("full", &domain.tokens[0], body)).await;
    }
    Ok(())
}

fn judge_answer(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let name = created_domains(evidence).into_iter().next().unwrap_or_default();
    // How the target names the domain is the concern of `rndrkit.auth.domain-scope`; here it must name it as for a list.
    let listed = judge.one("list").and_then(|seen| seen.exchange.response.clone()).filter(|answer| answer.is_success());
    let expected = format!("200 with the `message` `{}` and the token's domain as `domain`", text::STARTED);
    let documented = accepted(expected, move |response| {
        let domain = field(response, "domain");
        let own = domain.as_ref().and_then(Value::as_str).is_some_and(|found| found.eq_ignore_ascii_case(&name));
        let as_listed = listed.as_ref().is_some_and(|listed| field(listed, "domain") == domain);
        field(response, "message") == Some(json!(text::STARTED)) && (own || as_listed)
    });
    judge.rule("rndrkit.full.accepted").expects("full", &[documented]);
    let without = outcome("an answer without `pagesQueued`", |response| field(response, "pagesQueued").is_none())
        .leaving("rndrkit.http.json", |response| response.json().is_none());
    judge.rule("rndrkit.full.no-pages-queued").control("full").expects("full", &[without]);
    judge.findings()
}

const QUEUES_KNOWN_PATHS: Check = Check {
    id: "rndrkit/full/queues-known-paths",
    rules: &["rndrkit.full.queues-known-paths"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate, Method::DomainInspect]),
    gather: |g| Box::pin(gather_queues_known_paths(g)),
    judge: judge_queues_known_paths,
    sabotages: &[
        Sabotage {
            defect: "queues the first page only",
            turns_red: &["rndrkit.full.queues-known-paths"],
            apply: |evidence| evidence.edit_fixture("queue", |result| result["queued_paths"] = json!(["/"])),
        },
        Sabotage {
            defect: "cuts a full refresh off like a list, at twenty pages",
            turns_red: &["rndrkit.full.queues-known-paths"],
            apply: |evidence| {
                evidence.edit_fixture("queue", |result| {
                    result["queued_paths"].as_array_mut().expect("the reference lists the queue").truncate(20);
                });
            },
        },
    ],
};

/// Known pages besides `/`: more than a list may name, so that a full refresh cannot pass for a list.
const KNOWN_PAGES: usize = 24;

async fn gather_queues_known_paths(g: &mut Gather) -> Result<(), Stop> {
    let domain = g.domain(DomainWish::default().root_and_pages(KNOWN_PAGES)).await?;
    g.send(refresh("full", &domain.tokens[0], &json!({"all": true}))).await;
    let pages: Vec<Value> = domain.pages().iter().map(|page| Value::from(&**page)).collect();
    let bound = g.world().settle;
    let shows_all = |state: &Value| {
        state["queued_paths"].as_array().is_some_and(|queue| pages.iter().all(|page| queue.contains(page)))
    };
    g.inspected("queue", &domain, bound, shows_all).await?;
    Ok(())
}

fn judge_queues_known_paths(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let rule = "rndrkit.full.queues-known-paths";
    let created = evidence.fixture(Method::DomainCreate.name());
    let known = created.and_then(|call| call.params.get("known_paths")?.as_array().cloned());
    let (Some(known), Some(queue)) = (known, queued_paths(evidence, "queue")) else {
        judge.rule(rule).inconclusive("the queue was not seen");
        return judge.findings();
    };
    let known: Vec<&str> = known.iter().filter_map(Value::as_str).collect();
    let missing: Vec<&str> = known.iter().filter(|path| !queue.iter().any(|queued| queued == *path)).copied().collect();
    let expected = format!("all {} known paths in the queue", known.len());
    let actual = match missing.as_slice() {
        [] => expected.clone(),
        _ => {
            format!("{} of {} known paths in the queue, without {missing:?}", known.len() - missing.len(), known.len())
        }
    };
    let at = judge.one("full").map(|seen| seen.at);
    judge.rule(rule).control("full").that(missing.is_empty(), expected, actual, at);
    judge.findings()
}
