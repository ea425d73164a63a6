//! The form of answers, for every documented outcome: JSON, errors of one string, no undocumented keys.

use serde_json::json;

use super::{anonymous, exhaust, field, refresh, text, urls, valid};
use crate::api::Api;
use crate::checks::judge::{Acceptable, Judge, RuleJudge, Seen, outcome};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Body, Evidence, Response};
use crate::gather::{DomainWish, Gather, Stop};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[DOCUMENTED_OUTCOMES];

/// Steps that are accepted.
const ACCEPTED: [&str; 2] = ["list", "full"];

/// Steps that are refused, each with the status the document gives ("Error Responses").
const REFUSED: [(&str, u16); 10] = [
    ("empty", 400),
    ("nothing", 400),
    ("no-path", 400),
    ("missing", 401),
    ("basic", 401),
    ("unknown", 401),
    ("inactive", 403),
    ("starter", 403),
    ("quota", 403),
    ("limit", 429),
];

/// Keys of an accepted answer ("Selective URL Refresh"). That a full refresh has no `pagesQueued` is a rule of its own.
const SUCCESS_KEYS: [&str; 3] = ["message", "domain", "pagesQueued"];

const DOCUMENTED_OUTCOMES: Check = Check {
    id: "rndrkit/responses/documented-outcomes",
    rules: &["rndrkit.errors.shape", "rndrkit.errors.closed", "rndrkit.success.closed", "rndrkit.http.json"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_documented_outcomes(g)),
    judge: judge_documented_outcomes,
    sabotages: &[
        Sabotage {
            defect: "gives the error under another key",
            turns_red: &["rndrkit.errors.shape"],
            apply: |evidence| evidence.answer("no-path", 400, &json!({"message": text::PATHS})),
        },
        Sabotage {
            defect: "nests the error",
            turns_red: &["rndrkit.errors.shape"],
            apply: |evidence| evidence.answer("limit", 429, &json!({"error": {"message": text::RATE}})),
        },
        Sabotage {
            defect: "answers with a bare string",
            turns_red: &["rndrkit.errors.shape"],
            apply: |evidence| evidence.answer("unknown", 401, &json!(text::TOKEN)),
        },
        Sabotage {
            defect: "adds a code to errors",
            turns_red: &["rndrkit.errors.closed"],
            apply: |evidence| evidence.edit_json("starter", |body| body["code"] = json!("plan_required")),
        },
        Sabotage {
            defect: "adds an id to accepted answers",
            turns_red: &["rndrkit.success.closed"],
            apply: |evidence| evidence.edit_json("full", |body| body["jobId"] = json!("17")),
        },
        Sabotage {
            defect: "answers errors with a page",
            turns_red: &["rndrkit.http.json"],
            apply: |evidence| set_body(evidence, "empty", "<!DOCTYPE html><pre>Bad Request</pre>"),
        },
        Sabotage {
            defect: "answers an accepted request with a word",
            turns_red: &["rndrkit.http.json"],
            apply: |evidence| set_body(evidence, "list", "OK"),
        },
        Sabotage {
            defect: "calls its JSON text",
            turns_red: &["rndrkit.http.json"],
            apply: |evidence| {
                evidence.edit("quota", |exchange| {
                    let response = exchange.response.as_mut().expect("the reference answers");
                    response.headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
                });
            },
        },
    ],
};

fn set_body(evidence: &mut Evidence, step: &str, body: &str) {
    evidence.edit(step, |exchange| {
        let response = exchange.response.as_mut().expect("the reference answers");
        response.body = Body::Text(body.to_owned());
    });
}

async fn gather_documented_outcomes(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default()).await?;
    g.send(valid("list", &mut domain)).await;
    let body = urls(&domain.fresh_pages(1));
    let token = &domain.tokens[0];
    let mut empty = refresh("empty", token, &json!({}));
    empty.body = None;
    let requests = [
        refresh("full", token, &json!({"all": true})),
        empty,
        refresh("nothing", token, &json!({})),
        refresh("no-path", token, &json!({"urls": ["about"]})),
        anonymous("missing", &body),
        anonymous("basic", &body).header("Authorization", format!("Basic {}", token.value.expose())),
        anonymous("unknown", &body).header("Authorization", "Bearer rk_wh_0000000000000000000000000never1"),
    ];
    // One after the other: what a domain does with requests that arrive at once is the concern of the rules about its limit.
    for request in requests {
        g.send(request).await;
    }
    let wishes = [
        ("inactive", DomainWish::default().with("active", false)),
        ("starter", DomainWish::default().plan("starter")),
        ("quota", DomainWish::default().quota(5, 5)),
    ];
    g.keep_clear_of_month_end().await;
    for (label, wish) in wishes {
        let mut domain = g.domain(wish).await?;
        g.send(valid(label, &mut domain)).await;
    }
    let mut limited = g.domain(DomainWish::default()).await?;
    match exhaust(g, "limit", &mut limited, 0).await {
        // Without a limit there is no answer to judge the form of; the rest is judged all the same.
        Ok(_) | Err(Stop::Inconclusive(_)) => Ok(()),
        Err(stop) => Err(stop),
    }
}

fn judge_documented_outcomes(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    for (step, documented) in REFUSED {
        judge_outcome(
            &mut judge,
            step,
            documented,
            &[("rndrkit.errors.shape", shaped), ("rndrkit.errors.closed", closed)],
        );
    }
    for step in ACCEPTED {
        judge_outcome(&mut judge, step, Api::Rndrkit.accepted_status(), &[("rndrkit.success.closed", only_shown_keys)]);
    }
    judge.findings()
}

/// A rule about the form of an answer, and what it accepts.
type Form = (&'static str, fn() -> Acceptable);

/// Judges the form of one documented outcome: that it is JSON, and what else is asked of it.
fn judge_outcome(judge: &mut Judge<'_>, step: &str, documented: u16, forms: &[Form]) {
    let json: [Form; 1] = [("rndrkit.http.json", is_json)];
    // Of the requests that look for the limit, the last one met it.
    let last = judge.all(step).last().copied();
    let Some(seen) = last else {
        for (rule, _) in json.iter().chain(forms) {
            judge.rule(rule).inconclusive(format!("the step `{step}` was not sent"));
        }
        return;
    };
    if let Some(other) = answered_otherwise(seen, documented) {
        for (rule, _) in json.iter().chain(forms) {
            let why = format!("`{step}` got {other} and not {documented}, which the rule about that answer judges");
            judge.rule(rule).not_applicable(why);
        }
        return;
    }
    for (rule, form) in json.iter().chain(forms) {
        about(judge, rule, seen, documented).expects_of(seen, &[form()]);
    }
    about(judge, "rndrkit.http.json", seen, documented).should_part().expects_of(seen, &[has_json_type()]);
}

/// The status in place of the documented one, if it is an answer of the API itself. The form of such an answer is nothing
/// documented.
fn answered_otherwise(seen: Seen<'_>, documented: u16) -> Option<u16> {
    const TOO_MANY_REQUESTS: u16 = 429;
    let status = seen.exchange.status().filter(|status| *status != documented && *status != TOO_MANY_REQUESTS)?;
    (200..500).contains(&status).then_some(status)
}

/// Begins a finding about the form of an answer.
fn about<'j, 'a>(judge: &'j mut Judge<'a>, rule: &'static str, seen: Seen<'a>, documented: u16) -> RuleJudge<'j, 'a> {
    let came = seen.exchange.is(documented);
    // Also the 429 was provoked: the check has spent the domain's requests.
    judge.rule(rule).provoked().control("list").provided(came, format!("the documented {documented} did not come"))
}

fn is_json() -> Acceptable {
    outcome("a body that parses as JSON", |response| response.json().is_some())
}

fn has_json_type() -> Acceptable {
    outcome("`Content-Type: application/json`", |response| {
        let essence = response.header("content-type").and_then(|value| value.split(';').next());
        essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
    })
}

fn has_error_text(response: &Response) -> bool {
    field(response, "error").is_some_and(|error| error.is_string())
}

fn shaped() -> Acceptable {
    outcome("a JSON object whose `error` is a string", has_error_text).leaving("rndrkit.http.json", is_no_json)
}

fn closed() -> Acceptable {
    outcome("a JSON object with no key but `error`", |response| has_only_keys(response, &["error"]))
        .leaving("rndrkit.http.json", is_no_json)
        .leaving("rndrkit.errors.shape", |response| !has_error_text(response))
}

fn only_shown_keys() -> Acceptable {
    outcome("a JSON object with no keys but `message`, `domain` and `pagesQueued`", |response| {
        has_only_keys(response, &SUCCESS_KEYS)
    })
    .leaving("rndrkit.http.json", is_no_json)
}

fn is_no_json(response: &Response) -> bool {
    response.json().is_none()
}

/// True of an object with none but these keys; what is no object has no keys.
fn has_only_keys(response: &Response, keys: &[&str]) -> bool {
    let body = response.json().unwrap_or_default();
    body.as_object().is_none_or(|object| object.keys().all(|key| keys.contains(&key.as_str())))
}
