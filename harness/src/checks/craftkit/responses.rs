//! The form of documented answers: JSON, a code where it can be found, the envelope around it.
//!
//! Three layers, each with a rule of its own, so that one defect turns one rule red. `craftkit.http.json`: the body is JSON.
//! `craftkit.errors.code`: the JSON of an error has a text named `code`, at the top level or inside `error`. *Which* code it is
//! belongs to the rule about that very error, such as `craftkit.token.unknown`; and those rules leave answers that have no code, or
//! are no JSON, to the two rules here. `craftkit.errors.envelope`: the code sits where the documents' error pages show it.

use serde_json::{Value, json};

use super::signature::{mismatched, wrong_digest};
use super::{example_manifest, fresh_body, hook, hook_at, is_accepted, send_first};
use crate::api::Api;
use crate::checks::judge::{Judge, RuleJudge, craftkit_code, outcome};
use crate::checks::never_issued::never_issued;
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Body, Evidence, Response};
use crate::gather::{Gather, Stop};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[FORM];

const ENVELOPE: &str = "craftkit.errors.envelope";
const CODE: &str = "craftkit.errors.code";
const JSON: &str = "craftkit.http.json";
/// Code of a body that fails the manifest.
const UNFIT: &str = "invalid_input_data";
/// The documented server error.
const UNAVAILABLE: u16 = 503;

const FORM: Check = Check {
    id: "craftkit/errors/form",
    rules: &[ENVELOPE, CODE, JSON],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_form(g)),
    judge: judge_form,
    sabotages: &[
        Sabotage {
            defect: "answers unknown tokens with the framework's page",
            turns_red: &[JSON],
            apply: |evidence| with_body(evidence, "token", "<h1>Not Found</h1>"),
        },
        Sabotage {
            defect: "refuses a wrong signature without a body",
            turns_red: &[JSON],
            apply: |evidence| with_body(evidence, "signature", ""),
        },
        Sabotage {
            defect: "accepts with a bare word",
            turns_red: &[JSON],
            apply: |evidence| with_body(evidence, "accepted", "Accepted"),
        },
        Sabotage {
            defect: "calls its JSON plain text",
            turns_red: &[JSON],
            apply: |evidence| {
                evidence.edit("malformed", |exchange| {
                    let response = exchange.response.as_mut().expect("a good run has an answer");
                    response.headers = vec![("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())];
                });
            },
        },
        Sabotage {
            defect: "writes the code as the error itself",
            turns_red: &[CODE],
            apply: |evidence| evidence.answer("token", 404, &json!({"error": "invalid_token"})),
        },
        Sabotage {
            defect: "writes the status where the code belongs",
            turns_red: &[CODE],
            apply: |evidence| evidence.answer("unpublished", 409, &json!({"error": {"code": 409, "message": "No."}})),
        },
        Sabotage {
            defect: "names the code `type`",
            turns_red: &[CODE],
            apply: |evidence| {
                evidence.answer("signature", 401, &json!({"error": {"type": "invalid_signature", "message": "No."}}));
            },
        },
        Sabotage {
            defect: "writes errors without an envelope",
            turns_red: &[ENVELOPE],
            apply: |evidence| evidence.answer("token", 404, &json!({"code": "invalid_token", "message": "No."})),
        },
        Sabotage {
            defect: "has nothing to say about an error",
            turns_red: &[ENVELOPE],
            apply: |evidence| {
                evidence.answer("malformed", 400, &json!({"error": {"code": "invalid_json", "message": ""}}));
            },
        },
        Sabotage {
            defect: "gives every error `issues`",
            turns_red: &[ENVELOPE],
            apply: |evidence| {
                evidence.edit_json("signature", |body| body["error"]["issues"] = json!({"formErrors": []}))
            },
        },
        Sabotage {
            defect: "puts `issues` beside the error",
            turns_red: &[ENVELOPE],
            apply: |evidence| {
                evidence.edit_json("unfit", |body| {
                    let issues = body["error"]["issues"].take();
                    body["issues"] = issues;
                });
            },
        },
    ],
};

fn with_body(evidence: &mut Evidence, step: &str, text: &str) {
    evidence.edit(step, |exchange| {
        exchange.response.as_mut().expect("a good run has an answer").body = Body::Text(text.to_owned());
    });
}

async fn gather_form(g: &mut Gather) -> Result<(), Stop> {
    let template = g.template(&example_manifest(), json!({})).await?;
    let unpublished = g.template(&example_manifest(), json!({"published": false})).await?;
    let body = fresh_body(g);
    send_first(g, hook("accepted", &template, body)).await;
    let requests = [
        hook("malformed", &template, r#"{"customer":"#),
        hook("unfit", &template, fresh_body(g).replace("total", "sum")),
        mismatched(hook("signature", &template, fresh_body(g)), &wrong_digest(g)),
        hook_at("token", &never_issued(g.rng(), template.inbound_token.expose()), fresh_body(g)),
        hook("unpublished", &unpublished, fresh_body(g)),
    ];
    g.send_together(&requests).await;
    Ok(())
}

fn judge_form(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let accepted = judge.one("accepted").is_some_and(|seen| is_accepted(seen.exchange));
    judge_json(&mut judge, "accepted", |about| about.provided(accepted, "the request was not accepted"));
    for step in ["malformed", "signature", "token", "unpublished"] {
        judge_error_form(&mut judge, step, ErrorKind::Other, false);
    }
    judge_error_form(&mut judge, "unfit", ErrorKind::Validation, false);
    judge.findings()
}

/// Whether an error comes with `issues`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorKind {
    /// The body fails the manifest.
    Validation,
    /// Any other.
    Other,
}

/// Findings about the form of a documented error. Its status is not looked at: a wrong one belongs to that error's own rule.
pub(super) fn judge_error_form(judge: &mut Judge<'_>, step: &str, kind: ErrorKind, provoked: bool) {
    let response = judge.one(step).and_then(|seen| seen.exchange.response.as_ref());
    // A server error is no documented outcome, but for the one that the check has provoked.
    let refused = response
        .is_some_and(|response| (400..500).contains(&response.status) || (provoked && response.status == UNAVAILABLE));
    let body = response.and_then(Response::json);
    let is_json = body.is_some();
    let has_code = body.as_ref().and_then(craftkit_code).is_some();
    judge_json(judge, step, |about| {
        as_provoked(about, provoked).provided(refused, "the request was not refused as documented")
    });

    let code = outcome("a text named `code`, at the top level or inside `error`", |response| {
        response.json().as_ref().and_then(craftkit_code).is_some()
    });
    as_provoked(judge.rule(CODE), provoked)
        .provided(refused, "the request was not refused as documented")
        .provided(is_json, "the body is not JSON, which craftkit.http.json judges")
        .expects(step, &[code]);

    let words = match kind {
        ErrorKind::Validation => {
            "an object `error` with `code`, a non-empty `message` and, there if anywhere, `issues`"
        }
        ErrorKind::Other => "an object `error` with `code` and a non-empty `message`, and `issues` nowhere",
    };
    let envelope = outcome(words, move |response| response.json().is_some_and(|body| is_enveloped(&body, kind)));
    as_provoked(judge.rule(ENVELOPE), provoked)
        .provided(refused, "the request was not refused as documented")
        .provided(has_code, "the error has no code to look for, which craftkit.errors.code judges")
        .expects(step, &[envelope]);
}

fn as_provoked<'j, 'a>(about: RuleJudge<'j, 'a>, provoked: bool) -> RuleJudge<'j, 'a> {
    if provoked { about.provoked() } else { about }
}

fn judge_json(
    judge: &mut Judge<'_>,
    step: &str,
    conditions: impl for<'j, 'a> Fn(RuleJudge<'j, 'a>) -> RuleJudge<'j, 'a>,
) {
    let json = outcome("a body that parses as JSON", |response| response.json().is_some());
    conditions(judge.rule(JSON)).expects(step, &[json]);
    let is_json = judge.one(step).is_some_and(|seen| seen.exchange.json().is_some());
    let typed = outcome("the header `Content-Type: application/json`, with parameters or without", |response| {
        let essence = response.header("content-type").and_then(|value| value.split(';').next());
        essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
    });
    conditions(judge.rule(JSON).should_part()).provided(is_json, "the body is not JSON at all").expects(step, &[typed]);
}

/// `issues` that are missing from an error of validation belong to `craftkit.input.field-errors`.
fn is_enveloped(body: &Value, kind: ErrorKind) -> bool {
    let Some(error) = body.get("error").and_then(Value::as_object) else { return false };
    let is_text = |key: &str| error.get(key).and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty());
    let has_issues = |issues: Option<&Value>| issues.is_some_and(|issues| !issues.is_null());
    let misplaced = has_issues(body.get("issues"));
    // Where another error was due, the target's own code tells an error of validation; that it is the wrong one is judged elsewhere.
    let is_validation = kind == ErrorKind::Validation || craftkit_code(body) == Some(UNFIT);
    let unasked = !is_validation && has_issues(error.get("issues"));
    is_text("code") && is_text("message") && !misplaced && !unasked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: ErrorKind, body: Value, expected: bool) {
        assert_eq!(is_enveloped(&body, kind), expected, "{body}");
    }

    #[test]
    fn an_envelope_may_hold_more_than_it_must() {
        check(ErrorKind::Other, json!({"error": {"code": "a", "message": "b", "more": 1}, "requestId": "c"}), true);
        check(ErrorKind::Other, json!({"error": {"code": "a", "message": "b", "issues": null}}), true);
        check(ErrorKind::Validation, json!({"error": {"code": "a", "message": "b", "issues": {}}}), true);
        check(ErrorKind::Validation, json!({"error": {"code": "a", "message": "b"}}), true);
        check(ErrorKind::Other, json!({"error": {"code": UNFIT, "message": "b", "issues": {}}}), true);
    }

    #[test]
    fn what_sits_elsewhere_is_not_enveloped() {
        check(ErrorKind::Other, json!({"code": "a", "message": "b"}), false);
        check(ErrorKind::Other, json!({"error": {"code": "a"}, "message": "b"}), false);
        check(ErrorKind::Other, json!({"error": {"code": "a", "message": " "}}), false);
        check(ErrorKind::Other, json!({"error": {"code": "a", "message": "b", "issues": {}}}), false);
        check(ErrorKind::Validation, json!({"error": {"code": "a", "message": "b"}, "issues": {}}), false);
        check(ErrorKind::Other, json!(null), false);
    }
}
