//! Polling a render: whose key opens it, and what it says.

use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use super::hook::has_authorization;
use super::{example_manifest, fresh_body, hook, own_error, send_first, success, turn_into_refusal};
use crate::api::Api;
use crate::checks::judge::{Judge, actual, not_success, outcome, status};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Evidence, Exchange};
use crate::gather::{Gather, Stop, Template};
use crate::target::http::Request;
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[POLL];

const FOUND: u16 = 200;
const NOWHERE: u16 = 404;
/// States of a render.
const STATES: [&str; 4] = ["queued", "rendering", "succeeded", "failed"];
/// States of a render that has ended.
const ENDED: [&str; 2] = ["succeeded", "failed"];
/// How long a render may take: fixtures promise that renders finish soon in real time.
const FINISH_TIME_MAX: Duration = Duration::from_secs(15);

const POLL: Check = Check {
    id: "craftkit/poll/keys",
    rules: &[
        "craftkit.poll.requires-key",
        "craftkit.poll.own-key",
        "craftkit.poll.shape",
        "craftkit.poll.foreign-key",
        "craftkit.poll.finishes",
    ],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_poll(g)),
    judge: judge_poll,
    sabotages: &[
        Sabotage {
            defect: "shows a render to anybody who knows its id",
            turns_red: &["craftkit.poll.requires-key"],
            apply: |evidence| show(evidence, "no-key"),
        },
        Sabotage {
            defect: "finds no render by the project's own key",
            turns_red: &["craftkit.poll.own-key"],
            apply: |evidence| turn_into_refusal(evidence, "own-key", 404, "not_found"),
        },
        Sabotage {
            defect: "shows the render of another request",
            turns_red: &["craftkit.poll.shape"],
            apply: |evidence| {
                evidence.edit_json("own-key", |body| body["id"] = json!("0193c2c3-7a10-7bbb-8ccc-0123456789ab"));
            },
        },
        Sabotage {
            defect: "names states as the queue does",
            turns_red: &["craftkit.poll.shape"],
            apply: |evidence| evidence.edit_json("own-key", |body| body["status"] = json!("processing")),
        },
        Sabotage {
            defect: "shows a render to every project",
            turns_red: &["craftkit.poll.foreign-key"],
            apply: |evidence| show(evidence, "foreign-key"),
        },
        Sabotage {
            defect: "tells another project that there is a render",
            turns_red: &["craftkit.poll.foreign-key"],
            apply: |evidence| turn_into_refusal(evidence, "foreign-key", 403, "forbidden"),
        },
        Sabotage {
            defect: "never renders",
            turns_red: &["craftkit.poll.finishes"],
            apply: |evidence| evidence.edit_json("end", |body| body["status"] = json!("queued")),
        },
    ],
};

/// Answers a step like the poll with the right key; for sabotages.
fn show(evidence: &mut Evidence, step: &str) {
    let shown = evidence.step("own-key").find_map(|(_, exchange)| exchange.response.clone());
    evidence.edit(step, |exchange| exchange.response = shown.clone());
}

async fn gather_poll(g: &mut Gather) -> Result<(), Stop> {
    let template = g.template(&example_manifest(), json!({})).await?;
    let stranger = g.template(&example_manifest(), json!({})).await?;
    let body = fresh_body(g);
    let accepted = send_first(g, hook("accepted", &template, body)).await;
    let Some(keyless) = poll(g, &accepted, &template).await else { return Ok(()) };
    g.send(with_key(keyless.clone().label("own-key"), &template)).await;
    if stranger.project != template.project {
        g.send(with_key(keyless.clone().label("foreign-key"), &stranger)).await;
    }
    g.send(keyless.clone().label("no-key")).await;
    let ended =
        |exchange: &Exchange| !exchange.is(FOUND) || state_of(exchange).is_some_and(|state| ENDED.contains(&&*state));
    g.repeated(with_key(keyless.label("end"), &template), FINISH_TIME_MAX, ended).await;
    Ok(())
}

/// A poll without a key for the render of an accepted request: path and query of its `pollUrl` at the origin of the base URL, so
/// that no key ever goes elsewhere. A `pollUrl` that is no URL is judged elsewhere; the documented path by the `id` stands in for it.
pub(crate) async fn poll(g: &mut Gather, accepted: &Exchange, template: &Template) -> Option<Request> {
    let body = accepted.json()?;
    let base_url = g.world().clients.get(&Api::Craftkit)?.base_url();
    let (path, place) = poll_path(base_url, &body)?;
    let mut request = Request::new("poll", Api::Craftkit, "GET", path);
    if place == Place::Outside {
        // Something in front of the target may add the base URL's path, which the target then knows nothing of.
        let looked = with_key(request.clone().label("poll/place"), template);
        let below = looked.clone().label("poll/place-below");
        request.from_origin =
            !g.send(Request { from_origin: true, ..looked }).await.is(NOWHERE) || g.send(below).await.is(NOWHERE);
    }
    Some(request)
}

/// Where a poll's URL lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Below the base URL.
    Below,
    /// At another path of its origin.
    Outside,
}

/// The key as the documentation says: a bearer token.
pub(super) fn with_key(request: Request, template: &Template) -> Request {
    request.header("Authorization", format!("Bearer {}", template.api_key.expose()))
}

/// The part of a poll's URL that follows the base URL, or all of its path if it lies elsewhere.
fn poll_path(base_url: &str, body: &Value) -> Option<(String, Place)> {
    let named = body.get("pollUrl").and_then(Value::as_str).and_then(|url| Url::parse(url).ok());
    let Some(url) = named.filter(Url::has_host) else {
        let id = body.get("id")?.as_str()?;
        let plain = |character: char| character.is_ascii_alphanumeric() || character == '-';
        return id.chars().all(plain).then(|| (format!("/v1/renders/{id}"), Place::Below));
    };
    let base = Url::parse(base_url).ok()?;
    let prefix = base.path().trim_end_matches('/');
    let below = url.path().strip_prefix(prefix).filter(|rest| rest.starts_with('/'));
    let path = below.unwrap_or(url.path());
    let place = if below.is_some() { Place::Below } else { Place::Outside };
    Some((url.query().map_or(path.to_owned(), |query| format!("{path}?{query}")), place))
}

fn state_of(exchange: &Exchange) -> Option<String> {
    exchange.json()?.get("status")?.as_str().map(str::to_owned)
}

fn judge_poll(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let found = status(FOUND);
    judge.rule("craftkit.poll.own-key").control_fits("accepted", &success()).expects("own-key", &[found]);

    let rule = "craftkit.poll.requires-key";
    let keyless = judge.one("no-key").is_none_or(|seen| !has_authorization(seen.exchange));
    judge
        .rule(rule)
        .control_fits("end", &status(FOUND))
        .provided(keyless, "the target file adds an `Authorization` header to every request")
        .expects("no-key", &[not_success()]);

    let id = judge.one("accepted").and_then(|seen| id_of(&seen.exchange.json()?));
    let known = id.is_some();
    let same =
        outcome("a body with the `id` of the 202", move |response| response.json().and_then(|body| id_of(&body)) == id);
    let rule = "craftkit.poll.shape";
    judge
        .rule(rule)
        .control_fits("own-key", &status(FOUND))
        .provided(known, "the 202 has no `id` to compare with")
        .expects("own-key", &[same]);
    let states = outcome("a body whose `status` is `queued`, `rendering`, `succeeded` or `failed`", |response| {
        let body = response.json().unwrap_or_default();
        body.get("status").and_then(Value::as_str).is_some_and(|state| STATES.contains(&state))
    });
    judge.rule(rule).control_fits("own-key", &status(FOUND)).expects("own-key", &[states]);

    let foreign = own_error(404, "not_found");
    judge.rule("craftkit.poll.foreign-key").control_fits("end", &status(FOUND)).expects("foreign-key", &[foreign]);
    judge_end(&mut judge);
    judge.findings()
}

fn judge_end(judge: &mut Judge<'_>) {
    let rule = "craftkit.poll.finishes";
    let Some(end) = judge.one("end") else {
        return judge.rule(rule).inconclusive("no render was polled");
    };
    let state = state_of(end.exchange);
    let known = state.as_ref().is_some_and(|state| STATES.contains(&&**state));
    let ended = state.as_ref().is_some_and(|state| ENDED.contains(&&**state));
    let expected = format!("`status` `succeeded` or `failed` within {} s", FINISH_TIME_MAX.as_secs());
    judge
        .rule(rule)
        .control_fits("end", &status(FOUND))
        .provided(known, "the poll names no documented state, which craftkit.poll.shape judges")
        .that(ended, expected, actual(end.exchange), Some(end.at));
}

fn id_of(body: &Value) -> Option<String> {
    body.get("id")?.as_str().map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(base_url: &str, body: &Value, expected: Option<(&str, Place)>) {
        let found = poll_path(base_url, body);
        assert_eq!(found.as_ref().map(|(path, place)| (path.as_str(), *place)), expected);
    }

    #[test]
    fn a_poll_goes_to_the_base_urls_origin_whatever_host_is_named() {
        let body = json!({"id": "1-2", "pollUrl": "https://api.craftkit.dev/v1/renders/1-2?a=b"});
        check("http://127.0.0.1:9", &body, Some(("/v1/renders/1-2?a=b", Place::Below)));
        check("http://127.0.0.1:9/inner", &body, Some(("/v1/renders/1-2?a=b", Place::Outside)));
    }

    #[test]
    fn a_path_of_the_base_url_is_not_repeated() {
        let body = json!({"pollUrl": "http://127.0.0.1:9/inner/v1/renders/1-2"});
        check("http://127.0.0.1:9/inner", &body, Some(("/v1/renders/1-2", Place::Below)));
        check("http://127.0.0.1:9/inner/", &body, Some(("/v1/renders/1-2", Place::Below)));
        check("http://127.0.0.1:9/in", &body, Some(("/inner/v1/renders/1-2", Place::Outside)));
    }

    #[test]
    fn without_a_usable_url_the_id_leads_to_the_render() {
        check(
            "http://127.0.0.1:9",
            &json!({"id": "1-2", "pollUrl": "/v1/renders/1-2"}),
            Some(("/v1/renders/1-2", Place::Below)),
        );
        check("http://127.0.0.1:9", &json!({"id": "1-2"}), Some(("/v1/renders/1-2", Place::Below)));
        check("http://127.0.0.1:9", &json!({"id": "../x"}), None);
        check("http://127.0.0.1:9", &json!({"id": 7}), None);
        check("http://127.0.0.1:9", &json!([]), None);
    }
}
