//! Entries of `urls` that are no valid paths.

use serde_json::{Value, json};

use super::{as_refused_in, field, pages_queued, refresh, text, urls, valid};
use crate::api::Api;
use crate::checks::judge::{Judge, outcome, rndrkit_error};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Evidence, Response};
use crate::gather::{DomainWish, Gather, Stop};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[INVALID_PATHS, NON_STRING];

const BAD_REQUEST: u16 = 400;

const INVALID_PATHS: Check = Check {
    id: "rndrkit/paths/invalid",
    rules: &["rndrkit.paths.none-valid", "rndrkit.paths.leading-space", "rndrkit.paths.mixed"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_invalid_paths(g)),
    judge: judge_invalid_paths,
    sabotages: &[
        Sabotage {
            defect: "puts the missing slash in front",
            turns_red: &["rndrkit.paths.none-valid"],
            apply: |evidence| {
                evidence.answer("none-of-one", 200, &json!({"message": text::QUEUED, "domain": "d", "pagesQueued": 1}));
            },
        },
        Sabotage {
            defect: "answers lists without a valid path like a missing body",
            turns_red: &["rndrkit.paths.none-valid"],
            apply: |evidence| {
                for step in ["none-of-one", "none-of-several", "leading-space"] {
                    evidence.answer(step, BAD_REQUEST, &json!({"error": text::BODY}));
                }
            },
        },
        Sabotage {
            defect: "takes whole addresses",
            turns_red: &["rndrkit.paths.none-valid"],
            apply: |evidence| {
                let body = json!({"message": text::QUEUED, "domain": "d", "pagesQueued": 1});
                evidence.answer("none-of-several", 200, &body);
            },
        },
        Sabotage {
            defect: "trims paths",
            turns_red: &["rndrkit.paths.leading-space"],
            apply: |evidence| {
                evidence.answer(
                    "leading-space",
                    200,
                    &json!({"message": text::QUEUED, "domain": "d", "pagesQueued": 1}),
                );
            },
        },
        Sabotage {
            defect: "refuses a list for one invalid path",
            turns_red: &["rndrkit.paths.mixed"],
            apply: |evidence| evidence.answer("mixed", BAD_REQUEST, &json!({"error": text::PATHS})),
        },
        Sabotage {
            defect: "counts invalid paths beside valid ones",
            turns_red: &["rndrkit.paths.mixed"],
            apply: |evidence| evidence.edit_json("mixed", |body| body["pagesQueued"] = json!(3)),
        },
    ],
};

/// Entries without a slash in front, some of which careless readers take for paths: the last two begin with other characters that
/// look like one.
const NO_PATHS: [&str; 6] =
    ["blog/new-post", "https://example.com/pricing", "./about", "?page=2", "\\team", "\u{ff0f}contact"];

async fn gather_invalid_paths(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default()).await?;
    let two = urls(&domain.fresh_pages(2));
    let mixed = domain.fresh_pages(2);
    let spaced = format!(" {}", domain.fresh_pages(1).remove(0));
    let bodies = [
        ("two", two),
        ("none-of-one", json!({"urls": ["about"]})),
        ("none-of-several", urls(&NO_PATHS.map(str::to_owned))),
        ("leading-space", json!({"urls": [spaced]})),
        ("mixed", json!({"urls": [mixed[0], "about", mixed[1]]})),
    ];
    for (label, body) in &bodies {
        g.send(refresh(label, &domain.tokens[0], body)).await;
    }
    Ok(())
}

fn judge_invalid_paths(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    for step in ["none-of-one", "none-of-several"] {
        let documented = rndrkit_error(BAD_REQUEST, text::PATHS);
        judge.rule("rndrkit.paths.none-valid").control("two").expects(step, &[documented]);
    }
    let as_none = as_refused_in(&judge, "none-of-one", "the same refusal as for a path without a slash");
    let documented = rndrkit_error(BAD_REQUEST, text::PATHS);
    judge.rule("rndrkit.paths.leading-space").control("two").expects("leading-space", &[documented, as_none]);
    // The number itself is the concern of `rndrkit.selective.pages-queued`.
    let own = judge.one("two").and_then(|seen| field(seen.exchange.response.as_ref()?, "pagesQueued"));
    let dropped = outcome("200 with the same `pagesQueued` as for the two valid paths alone", move |response| {
        response.status == Api::Rndrkit.accepted_status() && field(response, "pagesQueued") == own
    });
    judge.rule("rndrkit.paths.mixed").control("two").expects("mixed", &[dropped]);
    judge.findings()
}

const NON_STRING: Check = Check {
    id: "rndrkit/paths/non-string",
    rules: &["rndrkit.paths.non-string"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_non_string(g)),
    judge: judge_non_string,
    sabotages: &[
        Sabotage {
            defect: "fails on an entry that is no string",
            turns_red: &["rndrkit.paths.non-string"],
            apply: |evidence| evidence.answer("beside", 500, &json!({"error": "path.startsWith is not a function"})),
        },
        Sabotage {
            defect: "counts every entry",
            turns_red: &["rndrkit.paths.non-string"],
            apply: |evidence| evidence.edit_json("beside", |body| body["pagesQueued"] = json!(5)),
        },
        Sabotage {
            defect: "makes a string of a list within the list",
            turns_red: &["rndrkit.paths.non-string"],
            apply: |evidence| evidence.edit_json("nested", |body| body["pagesQueued"] = json!(2)),
        },
        Sabotage {
            defect: "counts entries of a list that holds no string at all",
            turns_red: &["rndrkit.paths.non-string"],
            apply: |evidence| {
                evidence.answer("alone", 200, &json!({"message": text::QUEUED, "domain": "d", "pagesQueued": 2}));
            },
        },
    ],
};

async fn gather_non_string(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default()).await?;
    g.send(valid("one", &mut domain)).await;
    let pages = domain.fresh_pages(4);
    let bodies = [
        ("beside", json!({"urls": [pages[0], 1, Value::Null, true, {}]})),
        ("nested", json!({"urls": [pages[1], [pages[2]]]})),
        ("alone", json!({"urls": [1, Value::Null, {"path": pages[3]}]})),
    ];
    for (label, body) in &bodies {
        g.send(refresh(label, &domain.tokens[0], body)).await;
    }
    Ok(())
}

fn judge_non_string(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let rule = "rndrkit.paths.non-string";
    // The target's own count of one plain path: what a number must look like is the concern of `rndrkit.selective.pages-queued`.
    let own = judge.one("one").and_then(|seen| pages_queued(seen.exchange.response.as_ref()?));
    let counts = move |response: &Response| response.is_success().then(|| pages_queued(response).zip(own)).flatten();
    for step in ["beside", "nested"] {
        let added_nothing =
            outcome("no 5xx, and no greater `pagesQueued` than for the one string in the list", move |response| {
                !response.is_server_error() && counts(response).is_none_or(|(found, one)| found <= one)
            });
        judge.rule(rule).control("one").expects(step, &[added_nothing]);
    }
    let nothing = outcome("no 5xx, and no page queued", move |response| {
        !response.is_server_error() && counts(response).is_none_or(|(found, one)| found < one)
    });
    judge.rule(rule).control("one").expects("alone", &[nothing]);
    judge.findings()
}
