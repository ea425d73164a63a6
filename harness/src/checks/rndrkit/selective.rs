//! Refreshing listed paths: the answer, the count, what is queued.

use rand::RngExt as _;
use serde_json::{Value, json};

use super::auth::UNAUTHORIZED;
use super::{accepted, field, named_paths, offers, pages_queued, queued_paths, refresh, refresh_raw, text, urls};
use crate::api::Api;
use crate::checks::judge::{Judge, outcome, status};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Evidence, Exchange, Response};
use crate::gather::{Domain, DomainWish, Gather, Stop};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[EXAMPLES, COUNTS, OVER_TWENTY, QUEUES_PATHS];

/// Paths that one request can queue ("Selective URL Refresh").
const PATHS_MAX: usize = 20;

/// The bodies of the document's examples, byte for byte: from curl, JavaScript, GitHub Actions and a shell.
const EXAMPLE_BODIES: [&str; 4] = [
    r#"{"urls": ["/", "/blog/new-post", "/pricing"]}"#,
    r#"{"urls":["/","/blog/new-post","/pricing"]}"#,
    r#"{"urls": ["/", "/about", "/pricing", "/blog"]}"#,
    r#"{"urls": ["/", "/about"]}"#,
];

/// The paths that those bodies name.
const EXAMPLE_PATHS: [&str; 5] = ["/", "/blog/new-post", "/pricing", "/about", "/blog"];

const EXAMPLES: Check = Check {
    id: "rndrkit/selective/examples",
    rules: &["rndrkit.selective.accepted"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_examples(g)),
    judge: judge_examples,
    sabotages: &[
        Sabotage {
            defect: "answers with 202, as for work that is not done yet",
            turns_red: &["rndrkit.selective.accepted"],
            apply: |evidence| {
                evidence.answer("example", 202, &json!({"message": text::QUEUED, "domain": "d", "pagesQueued": 3}));
            },
        },
        Sabotage {
            defect: "ends the message with a full stop",
            turns_red: &["rndrkit.selective.accepted"],
            apply: |evidence| evidence.edit_json("example", |body| body["message"] = json!("Cache refresh queued.")),
        },
        Sabotage {
            defect: "reads only compact JSON",
            turns_red: &["rndrkit.selective.accepted"],
            apply: |evidence| {
                let spaced = evidence.exchanges.iter_mut().find(|exchange| exchange.label == "example");
                let spaced = spaced.expect("the examples were sent");
                spaced.response = Some(Response::json_of(400, &json!({"error": text::BODY})));
            },
        },
    ],
};

async fn gather_examples(g: &mut Gather) -> Result<(), Stop> {
    let known: Vec<Value> = EXAMPLE_PATHS.iter().map(|path| Value::from(*path)).collect();
    let domain = g.domain(DomainWish::default().with("known_paths", known)).await?;
    for body in EXAMPLE_BODIES {
        // The target may come to know a new token a little later.
        g.settled_sparingly(refresh_raw("example", &domain.tokens[0], body), |exchange| !exchange.is(UNAUTHORIZED))
            .await;
    }
    Ok(())
}

fn judge_examples(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let documented = accepted(format!("200 with the `message` `{}`", text::QUEUED), |response| {
        field(response, "message") == Some(json!(text::QUEUED))
    });
    judge.rule("rndrkit.selective.accepted").expects("example", &[documented]);
    judge.findings()
}

const COUNTS: Check = Check {
    id: "rndrkit/selective/counts",
    rules: &["rndrkit.selective.pages-queued", "rndrkit.selective.root-path"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_counts(g)),
    judge: judge_counts,
    sabotages: &[
        Sabotage {
            defect: "counts one page too many, whatever the list",
            turns_red: &["rndrkit.selective.pages-queued"],
            apply: |evidence| {
                for step in ["one", "three", "some", "twenty", "root"] {
                    evidence.edit_json(step, |body| {
                        body["pagesQueued"] = json!(1.0 + body["pagesQueued"].as_f64().expect("a number of pages"));
                    });
                }
            },
        },
        Sabotage {
            defect: "gives the count as a string",
            turns_red: &["rndrkit.selective.pages-queued"],
            apply: |evidence| evidence.edit_json("three", |body| body["pagesQueued"] = json!("3")),
        },
        Sabotage {
            defect: "takes no more than nineteen paths",
            turns_red: &["rndrkit.selective.pages-queued"],
            apply: |evidence| evidence.edit_json("twenty", |body| body["pagesQueued"] = json!(19)),
        },
        Sabotage {
            defect: "refuses a list of twenty",
            turns_red: &["rndrkit.selective.pages-queued"],
            apply: |evidence| evidence.answer("twenty", 400, &json!({"error": "Too many paths"})),
        },
        Sabotage {
            defect: "takes `/` for an empty path",
            turns_red: &["rndrkit.selective.root-path"],
            apply: |evidence| evidence.answer("root", 400, &json!({"error": text::PATHS})),
        },
        Sabotage {
            defect: "does not count `/`",
            turns_red: &["rndrkit.selective.root-path"],
            apply: |evidence| evidence.edit_json("root", |body| body["pagesQueued"] = json!(0)),
        },
    ],
};

/// Steps of one list each.
const COUNTED: [&str; 4] = ["one", "three", "some", "twenty"];

async fn gather_counts(g: &mut Gather) -> Result<(), Stop> {
    let some = g.rng().random_range(4..PATHS_MAX);
    let counts = [1, 3, some, PATHS_MAX];
    let mut domain = g.domain(DomainWish::default().root_and_pages(counts.iter().sum())).await?;
    let root = urls(&domain.fresh_pages(1));
    for (label, count) in COUNTED.into_iter().zip(counts) {
        let body = urls(&domain.fresh_pages(count));
        g.send(refresh(label, &domain.tokens[0], &body)).await;
    }
    g.send(refresh("root", &domain.tokens[0], &root)).await;
    Ok(())
}

fn judge_counts(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    for step in COUNTED {
        let named = judge.one(step).map_or(0, |seen| named_paths(seen.exchange).len());
        let counted = accepted(format!("200 with the number {named} as `pagesQueued`"), move |response| {
            pages_queued(response) == Some(named as f64)
        });
        judge.rule("rndrkit.selective.pages-queued").control("one").expects(step, &[counted]);
    }
    // The number itself is the concern of the other rule: here `/` must count like the plain path alone.
    let plain = judge.one("one").and_then(|seen| field(seen.exchange.response.as_ref()?, "pagesQueued"));
    let like_plain = accepted("200 with the same `pagesQueued` as for one plain path", move |response| {
        field(response, "pagesQueued") == plain
    });
    judge.rule("rndrkit.selective.root-path").control("one").expects("root", &[like_plain]);
    judge.findings()
}

const OVER_TWENTY: Check = Check {
    id: "rndrkit/selective/over-twenty",
    rules: &["rndrkit.selective.over-twenty"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_over_twenty(g)),
    judge: judge_over_twenty,
    sabotages: &[
        Sabotage {
            defect: "queues 21 pages",
            turns_red: &["rndrkit.selective.over-twenty"],
            apply: |evidence| {
                let body = json!({"message": text::QUEUED, "domain": "d", "pagesQueued": 21});
                evidence.answer("twenty-one", 200, &body);
            },
        },
        Sabotage {
            defect: "has a limit of its own that is higher",
            turns_red: &["rndrkit.selective.over-twenty"],
            apply: |evidence| {
                evidence.answer("forty", 200, &json!({"message": text::QUEUED, "domain": "d", "pagesQueued": 25}));
            },
        },
        Sabotage {
            defect: "says twenty and queues all",
            turns_red: &["rndrkit.selective.over-twenty"],
            apply: |evidence| {
                let named =
                    evidence.step("twenty-one").flat_map(|(_, exchange)| named_paths(exchange)).collect::<Vec<_>>();
                evidence.edit_fixture("queue", |result| result["queued_paths"] = json!(named));
            },
        },
    ],
};

async fn gather_over_twenty(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default().pages(PATHS_MAX + (PATHS_MAX + 1) + 2 * PATHS_MAX + 1)).await?;
    let twenty = domain.fresh_pages(PATHS_MAX);
    g.send(refresh("twenty", &domain.tokens[0], &urls(&twenty))).await;
    see_queue(g, "queue-of-twenty", &domain, &twenty[PATHS_MAX - 1]).await?;
    for (label, count) in [("twenty-one", PATHS_MAX + 1), ("forty", 2 * PATHS_MAX)] {
        let body = urls(&domain.fresh_pages(count));
        g.send(refresh(label, &domain.tokens[0], &body)).await;
    }
    // What the long lists had queued would stand before this.
    let last = domain.fresh_pages(1);
    g.send(refresh("last", &domain.tokens[0], &urls(&last))).await;
    see_queue(g, "queue", &domain, &last[0]).await
}

/// Inspects a domain, where that is offered, until a path is queued.
async fn see_queue(g: &mut Gather, label: &str, domain: &Domain, path: &str) -> Result<(), Stop> {
    if offers(g, Method::DomainInspect) {
        let path = Value::from(path);
        let shows_path = |state: &Value| state["queued_paths"].as_array().is_some_and(|queue| queue.contains(&path));
        let bound = g.world().settle;
        g.inspected(label, domain, bound, shows_path).await?;
    }
    Ok(())
}

fn judge_over_twenty(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let rule = "rndrkit.selective.over-twenty";
    let most = PATHS_MAX as f64;
    let counts_right = |exchange: &Exchange| exchange.response.as_ref().and_then(pages_queued) == Some(most);
    let trusted = judge.one("twenty").is_some_and(|seen| counts_right(seen.exchange));
    for step in ["twenty-one", "forty"] {
        let within = outcome("a refusal, or an answer whose `pagesQueued` is at most 20", move |response| {
            !response.is_success() || pages_queued(response).is_some_and(|pages| pages <= most)
        });
        // The count is optional where nothing documents it, and then says nothing either way.
        let counted = judge.one(step).and_then(|seen| seen.exchange.response.as_ref());
        let told = counted.is_none_or(|response| !response.is_success() || pages_queued(response).is_some());
        judge
            .rule(rule)
            .control("twenty")
            .provided(trusted, "the `pagesQueued` for twenty paths was not 20 either")
            .provided(told, "the answer does not say how many pages were queued")
            .expects(step, &[within]);
        let queues = queued_paths(evidence, "queue-of-twenty").zip(queued_paths(evidence, "queue"));
        let Some((before, queue)) = queues else { continue };
        let named: Vec<String> = judge.all(step).iter().flat_map(|seen| named_paths(seen.exchange)).collect();
        let queued = named.iter().filter(|path| queue.contains(path)).count();
        let untouched = !named.iter().any(|path| before.contains(path));
        let expected = format!("at most {PATHS_MAX} of the {} named pages in the queue", named.len());
        let actual = format!("{queued} of the {} named pages in the queue", named.len());
        judge.rule(rule).control("twenty").provided(untouched, "the queue held pages before they were named").that(
            queued <= PATHS_MAX,
            expected,
            actual,
            evidence.step(step).next().map(|(at, _)| at),
        );
    }
    judge.findings()
}

const QUEUES_PATHS: Check = Check {
    id: "rndrkit/selective/queues-paths",
    rules: &["rndrkit.selective.queues-paths"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate, Method::DomainInspect]),
    gather: |g| Box::pin(gather_queues_paths(g)),
    judge: judge_queues_paths,
    sabotages: &[
        Sabotage {
            defect: "queues nothing",
            turns_red: &["rndrkit.selective.queues-paths"],
            apply: |evidence| evidence.edit_fixture("queue", |result| result["queued_paths"] = json!([])),
        },
        Sabotage {
            defect: "queues the whole domain",
            turns_red: &["rndrkit.selective.queues-paths"],
            apply: |evidence| {
                evidence.edit_fixture("queue", |result| {
                    let queue = result["queued_paths"].as_array_mut().expect("the reference lists the queue");
                    queue.push(json!("/page-6"));
                });
            },
        },
    ],
};

async fn gather_queues_paths(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default().pages(6)).await?;
    g.inspect_domain("queue-before", &domain).await?;
    let pages = domain.fresh_pages(3);
    g.send(refresh("list", &domain.tokens[0], &urls(&pages))).await;
    let pages: Vec<Value> = pages.into_iter().map(Value::from).collect();
    let bound = g.world().settle;
    let shows_all = |state: &Value| {
        state["queued_paths"].as_array().is_some_and(|queue| pages.iter().all(|page| queue.contains(page)))
    };
    g.inspected("queue", &domain, bound, shows_all).await?;
    Ok(())
}

fn judge_queues_paths(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let rule = "rndrkit.selective.queues-paths";
    let seen = judge.one("list");
    let queues = queued_paths(evidence, "queue-before").zip(queued_paths(evidence, "queue"));
    let (Some(seen), Some((before, after))) = (seen, queues) else {
        judge.rule(rule).inconclusive("the list was not sent or the queue was not seen");
        return judge.findings();
    };
    let named = named_paths(seen.exchange);
    let missing = named.iter().any(|path| !after.contains(path));
    let added = after.iter().any(|path| !named.contains(path) && !before.contains(path));
    let expected = format!("a queue of the named pages and no others: {named:?}");
    let actual = format!("the queue {after:?}");
    let holds = !missing && !added;
    judge.rule(rule).control_fits("list", &status(200)).that(holds, expected, actual, Some(seen.at));
    judge.findings()
}
