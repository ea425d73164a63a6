//! The hook's answer to a body that fits, and who may call it how.

use serde_json::{Value, json};
use url::Url;
use uuid::{Uuid, Variant};

use super::bodies::turn_accepted;
use super::poll::with_key;
use super::{
    ACCEPTED, EXAMPLE_BODY, example_manifest, expect_acceptance, fresh, fresh_body, hook, is_accepted, send_first,
    signed_hook, success, turn_into_refusal, variable,
};
use crate::api::Api;
use crate::checks::judge::{Judge, Seen, actual, outcome, status};
use crate::checks::never_issued::never_issued;
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Body, Evidence, Exchange, Response};
use crate::gather::{Gather, Stop};
use crate::target::http::Request;
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[ANSWER, NO_API_KEY, POST, ANY_CONTENT_TYPE];

/// Keys of the documented 202.
const KEYS: [&str; 3] = ["id", "status", "pollUrl"];
/// `status` of the documented 202.
const QUEUED: &str = "queued";
/// Version of the UUIDs that name renders.
const UUID_VERSION: usize = 7;
/// Characters of a hyphenated UUID, RFC 9562 section 4.
const UUID_CHARS: usize = 36;

const ANSWER: Check = Check {
    id: "craftkit/hook/answer",
    rules: &[
        "craftkit.hook.accepted",
        "craftkit.hook.id",
        "craftkit.hook.status",
        "craftkit.hook.poll-url",
        "craftkit.hook.closed",
    ],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_answer(g)),
    judge: judge_answer,
    sabotages: &[
        Sabotage {
            defect: "answers with 200",
            turns_red: &["craftkit.hook.accepted"],
            apply: |evidence| {
                for step in ["example", "second", "same"] {
                    evidence.edit(step, |exchange| answer_of(exchange).status = 200);
                }
            },
        },
        Sabotage {
            defect: "accepts the documentation's example and nothing else",
            turns_red: &["craftkit.hook.accepted"],
            apply: |evidence| turn_into_refusal(evidence, "second", 400, "invalid_input_data"),
        },
        Sabotage {
            defect: "names renders by random UUIDs (version 4)",
            turns_red: &["craftkit.hook.id"],
            apply: |evidence| rename(evidence, "second", "1b4e28ba-2fa1-4d1a-9f3b-3f2a1b4c5d6e"),
        },
        Sabotage {
            defect: "writes UUIDs without hyphens",
            turns_red: &["craftkit.hook.id"],
            apply: |evidence| rename(evidence, "example", "0193c2c37a107bbb8ccc0123456789ab"),
        },
        Sabotage {
            defect: "names renders by numbers",
            turns_red: &["craftkit.hook.id"],
            apply: |evidence| evidence.edit_json("second", |body| body["id"] = json!(17)),
        },
        Sabotage {
            defect: "takes two requests of one moment for the same",
            turns_red: &["craftkit.hook.id"],
            apply: |evidence| repeat_first(evidence, "second"),
        },
        Sabotage {
            defect: "takes a repeated body for the same render",
            turns_red: &["craftkit.hook.id"],
            apply: |evidence| repeat_first(evidence, "same"),
        },
        Sabotage {
            defect: "calls an accepted render accepted",
            turns_red: &["craftkit.hook.status"],
            apply: |evidence| evidence.edit_json("second", |body| body["status"] = json!("accepted")),
        },
        Sabotage {
            defect: "gives a path instead of a URL",
            turns_red: &["craftkit.hook.poll-url"],
            apply: |evidence| {
                evidence.edit_json("example", |body| {
                    let path = format!("/v1/renders/{}", body["id"].as_str().unwrap_or_default());
                    body["pollUrl"] = json!(path);
                });
            },
        },
        Sabotage {
            defect: "leads to another render",
            turns_red: &["craftkit.hook.poll-url"],
            apply: |evidence| {
                let other = "https://api.craftkit.dev/v1/renders/0193c2c3-7a10-7bbb-8ccc-0123456789ab";
                evidence.edit_json("second", |body| body["pollUrl"] = json!(other));
            },
        },
        Sabotage {
            defect: "spells `pollUrl` with an underscore",
            turns_red: &["craftkit.hook.poll-url", "craftkit.hook.closed"],
            apply: |evidence| {
                evidence.edit_json("example", |body| {
                    let url = body["pollUrl"].take();
                    *body = json!({"id": body["id"], "status": body["status"], "poll_url": url});
                });
            },
        },
        Sabotage {
            defect: "answers with the keys of the render route",
            turns_red: &["craftkit.hook.closed"],
            apply: |evidence| evidence.edit_json("example", |body| body["downloadUrl"] = Value::Null),
        },
    ],
};

/// The answer of an exchange, for sabotages.
fn answer_of(exchange: &mut Exchange) -> &mut Response {
    exchange.response.as_mut().expect("a sabotage edits an answer that was received")
}

fn rename(evidence: &mut Evidence, step: &str, id: &str) {
    evidence.edit_json(step, |body| {
        body["id"] = json!(id);
        body["pollUrl"] = json!(format!("https://api.craftkit.dev/v1/renders/{id}"));
    });
}

fn repeat_first(evidence: &mut Evidence, step: &str) {
    let first: Vec<_> = evidence.step("example").map(|(_, exchange)| exchange.response.clone()).collect();
    evidence.edit(step, |exchange| exchange.response = first.first().cloned().flatten());
}

async fn gather_answer(g: &mut Gather) -> Result<(), Stop> {
    let template = g.template(&example_manifest(), json!({})).await?;
    let example = send_first(g, hook("example", &template, EXAMPLE_BODY)).await;
    if !is_accepted(&example) {
        // Perhaps a signature or a key is all that is missing; then the answer's form can be seen all the same.
        let [signed, keyed] = [fresh_body(g), fresh_body(g)];
        g.send(signed_hook("signed", &template, signed)).await;
        g.send(with_key(hook("keyed", &template, keyed), &template)).await;
    }
    let second = fresh_body(g);
    g.send(hook("second", &template, second)).await;
    g.send(hook("same", &template, EXAMPLE_BODY)).await;
    Ok(())
}

fn judge_answer(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let [signed, keyed] = ["signed", "keyed"].map(|step| judge.one(step).is_some_and(is_success));
    for step in ["example", "second"] {
        judge
            .rule("craftkit.hook.accepted")
            .provided(!signed, "the same is accepted once it is signed, which craftkit.signature.absent judges")
            .provided(!keyed, "the same is accepted with the project's key, which craftkit.hook.no-api-key judges")
            .expects(step, &[status(ACCEPTED)]);
    }
    let successes = ["example", "signed", "keyed", "second"];
    let successes: Vec<Seen<'_>> =
        successes.iter().flat_map(|step| judge.all(step)).filter(|seen| is_success(*seen)).collect();
    if successes.is_empty() {
        for rule in &ANSWER.rules[1..] {
            judge.rule(rule).inconclusive("no request was accepted, so there is no answer to look at");
        }
    }
    for seen in successes {
        judge_form(&mut judge, seen);
    }
    judge_distinct_ids(&mut judge);
    judge.findings()
}

fn is_success(seen: Seen<'_>) -> bool {
    is_accepted(seen.exchange)
}

/// Each part of the answer for itself: a wrong `id` does not make `pollUrl` wrong, and a missing key is no extra one.
fn judge_form(judge: &mut Judge<'_>, seen: Seen<'_>) {
    let body = seen.exchange.json();
    let at = Some(seen.at);
    let found = actual(seen.exchange);
    let is_json = body.is_some();
    let no_json = "the answer is not JSON, which craftkit.http.json judges";
    let body = body.unwrap_or_default();
    let id = body.get("id").and_then(Value::as_str);

    let holds = id.is_some_and(is_render_id);
    let expected = "`id`: a hyphenated UUID of version 7";
    judge.rule("craftkit.hook.id").provided(is_json, no_json).that(holds, expected, found.clone(), at);

    let holds = body.get("status").and_then(Value::as_str) == Some(QUEUED);
    judge.rule("craftkit.hook.status").provided(is_json, no_json).that(holds, "`status`: `queued`", found.clone(), at);

    let holds = body.get("pollUrl").and_then(Value::as_str).is_some_and(|url| leads_to(url, id));
    let expected = "`pollUrl`: an absolute http or https URL whose path ends in `/v1/renders/` and the render's `id`";
    judge.rule("craftkit.hook.poll-url").provided(is_json, no_json).that(holds, expected, found.clone(), at);

    let extra = body.as_object().is_some_and(|keys| keys.keys().any(|key| !KEYS.contains(&key.as_str())));
    let expected = "no other keys than `id`, `status` and `pollUrl`";
    judge.rule("craftkit.hook.closed").provided(is_json, no_json).that(!extra, expected, found, at);
}

fn judge_distinct_ids(judge: &mut Judge<'_>) {
    let first =
        judge.one("example").filter(|seen| is_success(*seen)).and_then(|seen| id_of(seen.exchange.response.as_ref()?));
    let known = first.is_some();
    for (step, should_part) in [("second", false), ("same", true)] {
        let first = first.clone();
        let words = "accepted with an `id` other than that of the first request";
        let other = outcome(words, move |response| {
            let own = id_of(response);
            response.is_success() && (own.is_none() || own != first)
        });
        // A request that is refused has no id; of the two only the repeated body can be refused for what it is.
        if !should_part && !judge.one(step).is_some_and(is_success) {
            continue;
        }
        let about = judge.rule("craftkit.hook.id").provided(known, "the first request got no `id` to compare with");
        let about = if should_part { about.should_part() } else { about };
        about.expects(step, &[other]);
    }
}

/// The `id`, letter case aside: two spellings name one render.
fn id_of(response: &Response) -> Option<String> {
    response.json()?.get("id")?.as_str().map(str::to_ascii_lowercase)
}

fn is_render_id(text: &str) -> bool {
    let Ok(id) = Uuid::try_parse(text) else { return false };
    text.len() == UUID_CHARS && id.get_version_num() == UUID_VERSION && id.get_variant() == Variant::RFC4122
}

/// Where there is no `id`, any last segment will do: what is wrong then is the `id`.
fn leads_to(poll_url: &str, id: Option<&str>) -> bool {
    let Ok(url) = Url::parse(poll_url) else { return false };
    let Some((before, last)) = url.path().rsplit_once('/') else { return false };
    let named = id.map_or(!last.is_empty(), |id| last.eq_ignore_ascii_case(id));
    matches!(url.scheme(), "http" | "https") && before.ends_with("/v1/renders") && named
}

const NO_API_KEY: Check = Check {
    id: "craftkit/hook/no-api-key",
    rules: &["craftkit.hook.no-api-key"],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_no_api_key(g)),
    judge: judge_no_api_key,
    sabotages: &[
        Sabotage {
            defect: "wants the project's key like every other route",
            turns_red: &["craftkit.hook.no-api-key"],
            apply: |evidence| turn_into_refusal(evidence, "no-key", 401, "unauthorized"),
        },
        Sabotage {
            defect: "looks a key up as soon as one is sent",
            turns_red: &["craftkit.hook.no-api-key"],
            apply: |evidence| turn_into_refusal(evidence, "unknown-key", 401, "unauthorized"),
        },
        Sabotage {
            defect: "refuses keys where only tokens are expected",
            turns_red: &["craftkit.hook.no-api-key"],
            apply: |evidence| turn_into_refusal(evidence, "own-key", 400, "invalid_request"),
        },
    ],
};

async fn gather_no_api_key(g: &mut Gather) -> Result<(), Stop> {
    let template = g.template(&example_manifest(), json!({})).await?;
    let unknown = never_issued(g.rng(), template.api_key.expose());
    let body = fresh_body(g);
    send_first(g, hook("no-key", &template, body)).await;
    let [own, other] = [fresh_body(g), fresh_body(g)];
    g.send(with_key(hook("own-key", &template, own), &template)).await;
    g.send(hook("unknown-key", &template, other).header("Authorization", format!("Bearer {unknown}"))).await;
    Ok(())
}

fn judge_no_api_key(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let rule = "craftkit.hook.no-api-key";
    if judge.one("no-key").is_some_and(|seen| has_authorization(seen.exchange)) {
        judge.rule(rule).inconclusive("the target file adds an `Authorization` header to every request");
        return judge.findings();
    }
    expect_acceptance(&mut judge, rule, "no-key", "own-key");
    for step in ["own-key", "unknown-key"] {
        judge.rule(rule).should_part().control_fits("no-key", &success()).expects(step, &[success()]);
    }
    judge.findings()
}

/// True if the target file's headers, for nothing else can, bring credentials with them.
pub(super) fn has_authorization(exchange: &Exchange) -> bool {
    exchange.request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"))
}

const POST: Check = Check {
    id: "craftkit/hook/post",
    rules: &["craftkit.hook.post"],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_post(g)),
    judge: judge_post,
    sabotages: &[
        Sabotage {
            defect: "serves every method alike",
            turns_red: &["craftkit.hook.post"],
            apply: |evidence| turn_accepted(evidence, "get-with-body"),
        },
        Sabotage {
            defect: "renders for a GET with what a query would say",
            turns_red: &["craftkit.hook.post"],
            apply: |evidence| {
                turn_accepted(evidence, "get");
                evidence.edit("get", |exchange| answer_of(exchange).status = 200);
            },
        },
    ],
};

async fn gather_post(g: &mut Gather) -> Result<(), Stop> {
    // Nothing is required, so that a GET without a body is not refused for its body.
    let manifest = json!({"variables": [variable("note", "text", false)], "loops": []});
    let template = g.template(&manifest, json!({})).await?;
    let note = |g: &mut Gather| json!({"note": fresh(g)}).to_string();
    let body = note(g);
    send_first(g, hook("post", &template, body)).await;
    let body = note(g);
    g.send(Request { method: "GET", ..hook("get-with-body", &template, body) }).await;
    g.send(Request { method: "GET", body: None, ..hook("get", &template, "") }.without_header("Content-Type")).await;
    Ok(())
}

fn judge_post(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    for step in ["get-with-body", "get"] {
        let nothing_queued = outcome("any answer that queues no render", |response| !queues_render(response));
        judge.rule("craftkit.hook.post").control_fits("post", &success()).expects(step, &[nothing_queued]);
    }
    judge.findings()
}

/// The status of a GET is free, so a success is only held against it if it speaks of a queued render.
fn queues_render(response: &Response) -> bool {
    let body = response.json().unwrap_or_default();
    let queued = body.get("pollUrl").is_some_and(Value::is_string) || body.get("status") == Some(&json!(QUEUED));
    response.is_success() && (response.status == ACCEPTED || queued)
}

const ANY_CONTENT_TYPE: Check = Check {
    id: "craftkit/hook/any-content-type",
    rules: &["craftkit.hook.any-content-type"],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_any_content_type(g)),
    judge: judge_any_content_type,
    sabotages: &[
        Sabotage {
            defect: "reads no body without a content type",
            turns_red: &["craftkit.hook.any-content-type"],
            apply: |evidence| turn_into_refusal(evidence, "type/none", 400, "invalid_json"),
        },
        Sabotage {
            defect: "answers other content types with 415",
            turns_red: &["craftkit.hook.any-content-type"],
            apply: |evidence| {
                evidence.edit("type/text", |exchange| {
                    *answer_of(exchange) =
                        Response { status: 415, headers: Vec::new(), body: Body::Text("Unsupported".to_owned()) };
                });
            },
        },
        Sabotage {
            defect: "reads a body that is called a form as a form",
            turns_red: &["craftkit.hook.any-content-type"],
            apply: |evidence| turn_into_refusal(evidence, "type/form", 400, "invalid_input_data"),
        },
    ],
};

/// Steps, and the content type that each one names.
const CONTENT_TYPES: [(&str, Option<&str>); 5] = [
    ("type/none", None),
    ("type/charset", Some("application/json; charset=utf-8")),
    ("type/vendor", Some("application/vnd.example+json")),
    ("type/text", Some("text/plain")),
    ("type/form", Some("application/x-www-form-urlencoded")),
];

async fn gather_any_content_type(g: &mut Gather) -> Result<(), Stop> {
    let template = g.template(&example_manifest(), json!({})).await?;
    let body = fresh_body(g);
    send_first(g, hook("control", &template, body)).await;
    let requests: Vec<Request> = CONTENT_TYPES
        .iter()
        .map(|(label, content_type)| {
            let bare = hook(label, &template, fresh_body(g)).without_header("Content-Type");
            content_type.iter().fold(bare, |request, value| request.header("Content-Type", *value))
        })
        .collect();
    g.send_together(&requests).await;
    Ok(())
}

fn judge_any_content_type(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    for (step, _) in CONTENT_TYPES {
        judge.rule("craftkit.hook.any-content-type").control_fits("control", &success()).expects(step, &[success()]);
    }
    judge.findings()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0193c2c3-7a10-7bbb-8ccc-0123456789ab";

    #[test]
    fn only_hyphenated_uuids_of_version_seven_name_renders() {
        assert!(is_render_id(ID));
        assert!(is_render_id(&ID.to_uppercase()));
        let others = [
            "0193c2c3-7a10-4bbb-8ccc-0123456789ab",
            "0193c2c3-7a10-7bbb-cccc-0123456789ab",
            "0193c2c37a107bbb8ccc0123456789ab",
            "{0193c2c3-7a10-7bbb-8ccc-0123456789ab}",
            "urn:uuid:0193c2c3-7a10-7bbb-8ccc-0123456789ab",
            "0193c2c3-7a10-7bbb-8ccc-0123456789a",
            "",
        ];
        for other in others {
            assert!(!is_render_id(other), "{other}");
        }
    }

    #[test]
    fn a_poll_url_is_absolute_and_ends_in_the_render() {
        for base in ["https://api.craftkit.dev", "http://127.0.0.1:8080", "http://localhost/prefix"] {
            assert!(leads_to(&format!("{base}/v1/renders/{ID}"), Some(ID)));
        }
        assert!(leads_to(&format!("https://host/v1/renders/{}", ID.to_uppercase()), Some(ID)));
        assert!(leads_to("https://host/v1/renders/17", None));
        let others = [
            format!("/v1/renders/{ID}"),
            format!("//host/v1/renders/{ID}"),
            format!("host/v1/renders/{ID}"),
            format!("https://host/v2/renders/{ID}"),
            format!("https://host/v1/renders/{ID}/"),
            "https://host/v1/renders/".to_owned(),
            String::new(),
        ];
        for other in others {
            assert!(!leads_to(&other, Some(ID)), "{other}");
        }
    }
}
