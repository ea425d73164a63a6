//! What inbound renders share with the render route: how bodies are judged.

use serde_json::{Value, json};

use super::bodies::{manifest, turn_accepted, turn_refused, with, without};
use super::{hook, repeated, send_first, variable};
use crate::api::Api;
use crate::checks::judge::{Judge, Seen, actual, outcome};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Evidence, Response};
use crate::gather::{Gather, Stop, Template};
use crate::target::http::Request;
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[SAME_VALIDATION];

const RULE: &str = "craftkit.pipeline.same-validation";

/// Statuses of a target without the render route.
pub(crate) const NO_ROUTE: [u16; 2] = [404, 405];
/// Statuses of a body that fails the manifest: the documented one, and the one that an outdated page names.
const REFUSALS: [u16; 2] = [400, 422];

const SAME_VALIDATION: Check = Check {
    id: "craftkit/pipeline/same-validation",
    rules: &[RULE],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_same_validation(g)),
    judge: judge_same_validation,
    sabotages: &[
        Sabotage {
            defect: "refuses every body on the render route",
            turns_red: &[RULE],
            apply: |evidence| turn_refused(evidence, "render/fits", "data"),
        },
        Sabotage {
            defect: "renders without a required scalar on the render route",
            turns_red: &[RULE],
            apply: |evidence| turn_accepted(evidence, "render/lacks-title"),
        },
        Sabotage {
            defect: "refuses unknown keys on the render route only",
            turns_red: &[RULE],
            apply: |evidence| turn_refused(evidence, "render/unknown-key", "campaign"),
        },
        Sabotage {
            defect: "reads numeric strings on the render route only",
            turns_red: &[RULE],
            apply: |evidence| turn_refused(evidence, "hook/numeric-string", "count"),
        },
        Sabotage {
            defect: "judges the items of loops on the hook only",
            turns_red: &[RULE],
            apply: |evidence| turn_accepted(evidence, "render/faulty-item"),
        },
    ],
};

/// Bodies that both routes must judge alike, whichever way: also those whose judgement no document fixes.
fn cases() -> Vec<(&'static str, Value)> {
    let fits = json!({
        "title": "Stock", "count": 3, "mail": "ada@example.com", "rows": [{"label": "One"}, {"label": "Two"}],
    });
    vec![
        (FITS, fits.clone()),
        ("unknown-key", with(&fits, "/campaign", json!("spring"))),
        ("lacks-mail", without(&fits, "/mail")),
        ("lacks-title", without(&fits, "/title")),
        ("word-for-number", with(&fits, "/count", json!("abc"))),
        ("numeric-string", with(&fits, "/count", json!("3"))),
        ("number-for-text", with(&fits, "/title", json!(3))),
        ("no-email", with(&fits, "/mail", json!("ada at example"))),
        ("no-array", with(&fits, "/rows", json!("Widget"))),
        ("no-rows", without(&fits, "/rows")),
        ("faulty-item", without(&fits, "/rows/1/label")),
    ]
}

/// The case that both routes must accept before anything follows from the others.
const FITS: &str = "fits";

async fn gather_same_validation(g: &mut Gather) -> Result<(), Stop> {
    let variables =
        [variable("title", "text", true), variable("count", "number", true), variable("mail", "email", false)];
    let loops = [repeated("rows", &[variable("label", "text", true)])];
    let template = g.template(&manifest(&variables, &loops), json!({})).await?;
    let mut requests = Vec::new();
    for (case, body) in cases() {
        requests.push(hook(&format!("hook/{case}"), &template, body.to_string()));
        requests.push(render(&format!("render/{case}"), &template, &body));
    }
    send_first(g, requests.remove(0)).await;
    g.send_together(&requests).await;
    Ok(())
}

/// A request of the render route, with the key of the template's project.
pub(crate) fn render(label: &str, template: &Template, body: &Value) -> Request {
    Request::new(label, Api::Craftkit, "POST", format!("/v1/templates/{}/render", template.slug))
        .header("Content-Type", "application/json")
        .header("Authorization", format!("Bearer {}", template.api_key.expose()))
        .json(&json!({ "data": body }))
}

fn judge_same_validation(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    for (case, _) in cases() {
        judge_case(&mut judge, case);
    }
    judge.findings()
}

fn judge_case(judge: &mut Judge<'_>, case: &str) {
    let hook = judge.one(&format!("hook/{case}"));
    let render = judge.one(&format!("render/{case}"));
    let no_route = render.and_then(|seen| seen.exchange.status()).filter(|status| NO_ROUTE.contains(status));
    let rule = judge.rule(RULE).control(&format!("hook/{FITS}"));
    if let Some(status) = no_route {
        return rule.not_applicable(format!("the render route answered {status}: the target does not offer it"));
    }
    let found = |seen: Option<Seen<'_>>| seen.map_or("no answer".to_owned(), |seen| actual(seen.exchange));
    let both = format!("hook: {}; render route: {}", found(hook), found(render));
    let (Some(by_hook), Some(by_render)) = (taken(hook), taken(render)) else {
        return rule.inconclusive(format!("`{case}` was neither accepted nor refused for its data: {both}"));
    };
    let accepted = outcome("an acceptance: 200 to 299", Response::is_success);
    let rule = if case == FITS { rule } else { rule.control_fits(&format!("render/{FITS}"), &accepted) };
    let verb = if by_hook { "accepts" } else { "refuses" };
    let expected = format!("the render route {verb} the case `{case}`, as the hook does");
    rule.that(by_hook == by_render, expected, both, render.map(|seen| seen.at));
}

/// Whether the body was accepted; `None` if the answer is about something else than the body.
pub(crate) fn taken(seen: Option<Seen<'_>>) -> Option<bool> {
    let response = seen?.exchange.response.as_ref()?;
    match response.status {
        _ if response.is_success() => Some(true),
        status if REFUSALS.contains(&status) => Some(false),
        _ => None,
    }
}
