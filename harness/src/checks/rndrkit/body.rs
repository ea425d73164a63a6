//! Bodies that ask for nothing, or not in the documented form.

use serde_json::json;

use super::{announces_refresh, as_refused_in, field, refresh, refresh_raw, text, urls, valid};
use crate::api::Api;
use crate::checks::judge::{Judge, not_accepted, outcome, rndrkit_error, status};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::Evidence;
use crate::gather::{DomainWish, Gather, Stop};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[NOTHING_ASKED, URLS_OF_ANOTHER_TYPE, MALFORMED_JSON];

const BAD_REQUEST: u16 = 400;

const NOTHING_ASKED: Check = Check {
    id: "rndrkit/body/nothing-asked",
    rules: &[
        "rndrkit.body.empty",
        "rndrkit.body.empty-object",
        "rndrkit.body.all-false",
        "rndrkit.body.all-false-with-urls",
    ],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_nothing_asked(g)),
    judge: judge_nothing_asked,
    sabotages: &[
        Sabotage {
            defect: "words the error for a missing body otherwise, wherever it is due",
            turns_red: &["rndrkit.body.empty"],
            apply: |evidence| {
                for step in ["empty", "empty-object", "all-false"] {
                    evidence.answer(step, BAD_REQUEST, &json!({"error": "Provide 'urls' array or 'all': true"}));
                }
            },
        },
        Sabotage {
            defect: "fails when there is no body",
            turns_red: &["rndrkit.body.empty"],
            apply: |evidence| evidence.answer("empty", 500, &json!({"error": "Server error"})),
        },
        Sabotage {
            defect: "takes no body for a wish to refresh everything",
            turns_red: &["rndrkit.body.empty"],
            apply: |evidence| evidence.answer("empty", 200, &json!({"message": text::STARTED, "domain": "d"})),
        },
        Sabotage {
            defect: "takes an object without keys for a wish to refresh everything",
            turns_red: &["rndrkit.body.empty-object"],
            apply: |evidence| evidence.answer("empty-object", 200, &json!({"message": text::STARTED, "domain": "d"})),
        },
        Sabotage {
            defect: "answers an object without keys like a list without paths",
            turns_red: &["rndrkit.body.empty-object"],
            apply: |evidence| evidence.answer("empty-object", BAD_REQUEST, &json!({"error": text::PATHS})),
        },
        Sabotage {
            defect: "looks only whether `all` is there",
            turns_red: &["rndrkit.body.all-false"],
            apply: |evidence| evidence.answer("all-false", 200, &json!({"message": text::STARTED, "domain": "d"})),
        },
        Sabotage {
            defect: "answers `all: false` like a list without paths",
            turns_red: &["rndrkit.body.all-false"],
            apply: |evidence| evidence.answer("all-false", BAD_REQUEST, &json!({"error": text::PATHS})),
        },
        Sabotage {
            defect: "refuses every body with `all: false`",
            turns_red: &["rndrkit.body.all-false-with-urls"],
            apply: |evidence| evidence.answer("all-false-with-urls", BAD_REQUEST, &json!({"error": text::BODY})),
        },
        Sabotage {
            defect: "refreshes everything if `all` is there, whatever it says",
            turns_red: &["rndrkit.body.all-false-with-urls"],
            apply: |evidence| {
                evidence.answer("all-false-with-urls", 200, &json!({"message": text::STARTED, "domain": "d"}));
            },
        },
    ],
};

async fn gather_nothing_asked(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default()).await?;
    g.send(valid("control", &mut domain)).await;
    g.send(refresh("full", &domain.tokens[0], &json!({"all": true}))).await;
    let mut empty = refresh("empty", &domain.tokens[0], &json!({}));
    empty.body = None;
    g.send(empty).await;
    g.send(refresh("empty-object", &domain.tokens[0], &json!({}))).await;
    g.send(refresh("all-false", &domain.tokens[0], &json!({"all": false}))).await;
    let beside = json!({"all": false, "urls": domain.fresh_pages(1)});
    g.send(refresh("all-false-with-urls", &domain.tokens[0], &beside)).await;
    Ok(())
}

fn judge_nothing_asked(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let documented = || rndrkit_error(BAD_REQUEST, text::BODY);
    judge.rule("rndrkit.body.empty").control("control").expects("empty", &[documented()]);
    let as_empty = as_refused_in(&judge, "empty", "the same refusal as with no body");
    judge.rule("rndrkit.body.empty-object").control("control").expects("empty-object", &[documented(), as_empty]);

    let announces = announces_refresh(evidence, &["control", "full"]);
    let silent = outcome("any answer that does not announce a refresh", move |response| !announces(response));
    judge.rule("rndrkit.body.all-false").control("control").expects("all-false", &[silent]);
    let as_empty = as_refused_in(&judge, "empty", "the same refusal as with no body");
    let as_object = as_refused_in(&judge, "empty-object", "the same refusal as with `{}`");
    let should = judge.rule("rndrkit.body.all-false").should_part().control("control");
    should.expects("all-false", &[documented(), as_empty, as_object]);

    let message = judge.one("control").and_then(|seen| field(seen.exchange.response.as_ref()?, "message"));
    let as_list = outcome("200 with the `message` of the same list without `all`", move |response| {
        response.status == Api::Rndrkit.accepted_status() && field(response, "message") == message
    });
    judge.rule("rndrkit.body.all-false-with-urls").control("control").expects("all-false-with-urls", &[as_list]);
    judge.findings()
}

const URLS_OF_ANOTHER_TYPE: Check = Check {
    id: "rndrkit/body/urls-of-another-type",
    rules: &["rndrkit.body.urls-not-array", "rndrkit.body.urls-empty"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_urls_of_another_type(g)),
    judge: judge_urls_of_another_type,
    sabotages: &[
        Sabotage {
            defect: "takes a string for a list of one path",
            turns_red: &["rndrkit.body.urls-not-array"],
            apply: |evidence| {
                evidence.answer("string", 200, &json!({"message": text::QUEUED, "domain": "d", "pagesQueued": 1}));
            },
        },
        Sabotage {
            defect: "fails on an object where it expects a list",
            turns_red: &["rndrkit.body.urls-not-array"],
            apply: |evidence| evidence.answer("object", 500, &json!({"error": "urls.filter is not a function"})),
        },
        Sabotage {
            defect: "answers a number where it expects a list with 422",
            turns_red: &["rndrkit.body.urls-not-array"],
            apply: |evidence| evidence.answer("number", 422, &json!({"error": text::BODY})),
        },
        Sabotage {
            defect: "accepts an empty list and does nothing",
            turns_red: &["rndrkit.body.urls-empty"],
            apply: |evidence| {
                evidence.answer("no-entry", 200, &json!({"message": text::QUEUED, "domain": "d", "pagesQueued": 0}));
            },
        },
    ],
};

const NOT_ARRAYS: [&str; 3] = ["string", "object", "number"];

async fn gather_urls_of_another_type(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default()).await?;
    g.send(valid("control", &mut domain)).await;
    let page = domain.fresh_pages(1).remove(0);
    let values = [json!(page), json!({"0": page}), json!(1)];
    for (label, value) in NOT_ARRAYS.into_iter().zip(values) {
        g.send(refresh(label, &domain.tokens[0], &json!({"urls": value}))).await;
    }
    g.send(refresh("no-entry", &domain.tokens[0], &urls(&[]))).await;
    g.send(refresh("nothing", &domain.tokens[0], &json!({}))).await;
    Ok(())
}

fn judge_urls_of_another_type(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    for step in NOT_ARRAYS {
        let rule = "rndrkit.body.urls-not-array";
        judge.rule(rule).control("control").expects(step, &[not_accepted()]);
        let as_nothing = as_refused_in(&judge, "nothing", "the same refusal as with `{}`");
        let documented = rndrkit_error(BAD_REQUEST, text::BODY);
        judge.rule(rule).should_part().control("control").expects(step, &[documented, as_nothing]);
    }
    // The status of a body that asks for nothing is the concern of `rndrkit.body.empty`.
    let own = judge.one("nothing").and_then(|seen| seen.exchange.status());
    let as_nothing = outcome("the status with which `{}` is refused", move |response| {
        (400..500).contains(&response.status) && Some(response.status) == own
    });
    let rule = judge.rule("rndrkit.body.urls-empty").control("control");
    rule.expects("no-entry", &[status(BAD_REQUEST), as_nothing]);
    judge.findings()
}

const MALFORMED_JSON: Check = Check {
    id: "rndrkit/body/malformed-json",
    rules: &["rndrkit.body.malformed-json"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_malformed_json(g)),
    judge: judge_malformed_json,
    sabotages: &[
        Sabotage {
            defect: "fails on a body that ends too early",
            turns_red: &["rndrkit.body.malformed-json"],
            apply: |evidence| evidence.answer("cut", 500, &json!({"error": "Unexpected end of JSON input"})),
        },
        Sabotage {
            defect: "forgives a comma at the end",
            turns_red: &["rndrkit.body.malformed-json"],
            apply: |evidence| {
                evidence.answer("comma", 200, &json!({"message": text::QUEUED, "domain": "d", "pagesQueued": 1}));
            },
        },
        Sabotage {
            defect: "takes words that are not JSON for a wish to refresh everything",
            turns_red: &["rndrkit.body.malformed-json"],
            apply: |evidence| evidence.answer("words", 200, &json!({"message": text::STARTED, "domain": "d"})),
        },
    ],
};

async fn gather_malformed_json(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default()).await?;
    g.send(valid("control", &mut domain)).await;
    let page = domain.fresh_pages(1).remove(0);
    let bodies = [
        ("cut", format!(r#"{{"urls": ["{page}""#)),
        ("comma", format!(r#"{{"urls": ["{page}"],}}"#)),
        ("quotes", format!("{{'urls': ['{page}']}}")),
        ("words", "refresh everything".to_owned()),
    ];
    for (label, body) in &bodies {
        g.send(refresh_raw(label, &domain.tokens[0], body)).await;
    }
    Ok(())
}

fn judge_malformed_json(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    for step in ["cut", "comma", "quotes", "words"] {
        judge.rule("rndrkit.body.malformed-json").control("control").expects(step, &[not_accepted()]);
    }
    judge.findings()
}
