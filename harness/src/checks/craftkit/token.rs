//! The token in the URL, and the credentials that every template has of its own.

use serde_json::{Value, json};

use super::bodies::turn_accepted;
use super::{
    example_manifest, expect_acceptance, fresh, fresh_body, hook, hook_at, send_first, success, turn_into_refusal,
    variable,
};
use crate::api::Api;
use crate::checks::judge::{Judge, craftkit_error, not_success, refused};
use crate::checks::never_issued::never_issued;
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Evidence, FixtureCall};
use crate::gather::{Gather, Stop, Template};
use crate::target::http::Request;
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[OWN_CREDENTIALS, UNKNOWN, NOT_AN_ID, SELECTS_TEMPLATE];

const OWN_CREDENTIALS: Check = Check {
    id: "craftkit/template/own-credentials",
    rules: &["craftkit.template.own-credentials"],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_own_credentials(g)),
    judge: judge_own_credentials,
    sabotages: &[
        Sabotage {
            defect: "signs for all templates of a project with one secret",
            turns_red: &["craftkit.template.own-credentials"],
            apply: |evidence| share(evidence, "inbound_secret", 1),
        },
        Sabotage {
            defect: "gives the templates of a project one token",
            turns_red: &["craftkit.template.own-credentials"],
            apply: |evidence| share(evidence, "inbound_token", 1),
        },
        Sabotage {
            defect: "has one secret for everybody",
            turns_red: &["craftkit.template.own-credentials"],
            apply: |evidence| share(evidence, "inbound_secret", 2),
        },
        Sabotage {
            defect: "makes the secret only when a template is published",
            turns_red: &["craftkit.template.own-credentials"],
            apply: |evidence| {
                evidence.edit_fixture(Method::TemplateCreate.name(), |result| result["inbound_secret"] = json!(""));
            },
        },
    ],
};

/// The credentials that a template is created with.
const CREDENTIALS: [(&str, &str); 2] = [("inbound_token", "token"), ("inbound_secret", "secret")];

/// Gives a later template the credential of the first.
fn share(evidence: &mut Evidence, credential: &str, template: usize) {
    let mut created = evidence.fixtures.iter_mut().filter_map(|call| call.result.as_mut());
    let first = created.next().expect("a good run has made a template")[credential].clone();
    created.nth(template - 1).expect("a good run has made three templates")[credential] = first;
}

async fn gather_own_credentials(g: &mut Gather) -> Result<(), Stop> {
    let first = g.template_as_made(&example_manifest(), json!({})).await?;
    g.template_as_made(&example_manifest(), json!({"project": first.project})).await?;
    g.template_as_made(&example_manifest(), json!({"published": false})).await?;
    Ok(())
}

/// Credentials appear by their names, one name for one value, so those of two templates are told apart as well as by their values.
fn judge_own_credentials(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let is_creation = |call: &&FixtureCall| call.method == Method::TemplateCreate.name();
    let created: Vec<&Value> =
        evidence.fixtures.iter().filter(is_creation).filter_map(|call| call.result.as_ref()).collect();
    let rule = "craftkit.template.own-credentials";
    for (credential, words) in CREDENTIALS {
        let values: Vec<&str> = created.iter().filter_map(|result| result.get(credential)?.as_str()).collect();
        if values.len() < 2 {
            judge.rule(rule).inconclusive("fewer than two templates were made");
            continue;
        }
        let absent = values.iter().filter(|value| value.is_empty()).count();
        let shared = (1..values.len()).filter(|&at| values[..at].contains(&values[at])).count();
        let expected =
            format!("a {words} of its own for every template, be it in the same project or not published yet");
        let count = values.len();
        let actual = format!("of {count} templates {absent} had no {words} and {shared} had that of an earlier one");
        judge.rule(rule).that(absent == 0 && shared == 0, expected, actual, None);
    }
    judge.findings()
}

const UNKNOWN: Check = Check {
    id: "craftkit/token/unknown",
    rules: &["craftkit.token.unknown"],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_unknown(g)),
    judge: judge_unknown,
    sabotages: &[
        Sabotage {
            defect: "answers an unknown token with 401",
            turns_red: &["craftkit.token.unknown"],
            apply: |evidence| evidence.answer("unknown", 401, &json!({"error": {"code": "invalid_token"}})),
        },
        Sabotage {
            defect: "answers an unknown token with the code of a missing template",
            turns_red: &["craftkit.token.unknown"],
            apply: |evidence| evidence.answer("unknown", 404, &json!({"error": {"code": "template_not_found"}})),
        },
        Sabotage {
            defect: "compares only the beginning of a token",
            turns_red: &["craftkit.token.unknown"],
            apply: |evidence| turn_accepted(evidence, "lengthened"),
        },
        Sabotage {
            defect: "finds a template by the beginning of its token",
            turns_red: &["craftkit.token.unknown"],
            apply: |evidence| turn_accepted(evidence, "cut"),
        },
    ],
};

async fn gather_unknown(g: &mut Gather) -> Result<(), Stop> {
    let template = g.template(&example_manifest(), json!({})).await?;
    let body = fresh_body(g);
    send_first(g, hook("control", &template, body)).await;
    let live = template.inbound_token.expose();
    let mut cut = live.to_owned();
    cut.pop();
    let tokens = [("unknown", never_issued(g.rng(), live)), ("cut", cut), ("lengthened", format!("{live}0"))];
    for (label, token) in tokens.iter().filter(|(_, token)| !token.is_empty()) {
        let body = fresh_body(g);
        g.send(hook_at(label, token, body)).await;
    }
    Ok(())
}

fn judge_unknown(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let rule = "craftkit.token.unknown";
    judge.rule(rule).control_fits("control", &success()).expects("unknown", &[craftkit_error(404, "invalid_token")]);
    for step in ["cut", "lengthened"] {
        // What has not even a token's form may be refused for that.
        judge.rule(rule).control_fits("control", &success()).expects(step, &[refused()]);
    }
    judge.findings()
}

const NOT_AN_ID: Check = Check {
    id: "craftkit/token/not-an-id",
    rules: &["craftkit.token.not-an-id"],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_not_an_id(g)),
    judge: judge_not_an_id,
    sabotages: &[
        Sabotage {
            defect: "finds a template by its slug as well",
            turns_red: &["craftkit.token.not-an-id"],
            apply: |evidence| turn_accepted(evidence, "slug"),
        },
        Sabotage {
            defect: "finds a template by its id as well",
            turns_red: &["craftkit.token.not-an-id"],
            apply: |evidence| turn_accepted(evidence, "id"),
        },
        Sabotage {
            defect: "takes the secret for the token",
            turns_red: &["craftkit.token.not-an-id"],
            apply: |evidence| turn_accepted(evidence, "secret"),
        },
    ],
};

async fn gather_not_an_id(g: &mut Gather) -> Result<(), Stop> {
    let template = g.template(&example_manifest(), json!({})).await?;
    let body = fresh_body(g);
    send_first(g, hook("control", &template, body)).await;
    for (label, value) in others_of(&template) {
        // Fixtures that know no id or slug may give the token in its place; then there is nothing else to send.
        if !value.is_empty() && value != template.inbound_token.expose() {
            let body = fresh_body(g);
            g.send(hook_at(label, &path_segment(value), body)).await;
        }
    }
    Ok(())
}

fn others_of(template: &Template) -> [(&'static str, &str); 3] {
    [("slug", &template.slug), ("id", &template.template_id), ("secret", template.inbound_secret.expose())]
}

/// A text as one segment of a path, with all that could end it escaped.
fn path_segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn judge_not_an_id(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    for step in ["slug", "id", "secret"] {
        judge.rule("craftkit.token.not-an-id").control_fits("control", &success()).expects(step, &[not_success()]);
    }
    judge.findings()
}

const SELECTS_TEMPLATE: Check = Check {
    id: "craftkit/token/selects-template",
    rules: &["craftkit.token.selects-template"],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_selects_template(g)),
    judge: judge_selects_template,
    sabotages: &[
        Sabotage {
            defect: "judges by the project's first manifest",
            turns_red: &["craftkit.token.selects-template"],
            apply: |evidence| {
                turn_into_refusal(evidence, "second/own", 400, "invalid_input_data");
                turn_accepted(evidence, "second/other");
            },
        },
        Sabotage {
            defect: "judges by the project's newest manifest",
            turns_red: &["craftkit.token.selects-template"],
            apply: |evidence| {
                turn_into_refusal(evidence, "first/own", 400, "invalid_input_data");
                turn_accepted(evidence, "first/other");
            },
        },
        Sabotage {
            defect: "is content with any manifest of the project",
            turns_red: &["craftkit.token.selects-template"],
            apply: |evidence| turn_accepted(evidence, "first/other"),
        },
    ],
};

async fn gather_selects_template(g: &mut Gather) -> Result<(), Stop> {
    let asking_for = |key: &str| json!({"variables": [variable(key, "text", true)], "loops": []});
    let first = g.template(&asking_for("alpha"), json!({})).await?;
    let second = g.template(&asking_for("beta"), json!({"project": first.project})).await?;
    let mut requests: Vec<Request> = Vec::new();
    for (name, template, own, other) in [("first", &first, "alpha", "beta"), ("second", &second, "beta", "alpha")] {
        let both = json!({own: fresh(g), other: fresh(g)});
        send_first(g, hook(&format!("{name}/both"), template, both.to_string())).await;
        for (step, key) in [("own", own), ("other", other), ("neither", "gamma")] {
            let body = json!({key: fresh(g)});
            requests.push(hook(&format!("{name}/{step}"), template, body.to_string()));
        }
    }
    g.send_together(&requests).await;
    Ok(())
}

fn judge_selects_template(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let rule = "craftkit.token.selects-template";
    for name in ["first", "second"] {
        let [both, own, other, neither] = ["both", "own", "other", "neither"].map(|step| format!("{name}/{step}"));
        expect_acceptance(&mut judge, rule, &own, &both);
        // A server that asks for no field at all says nothing about whose manifest it reads.
        judge
            .rule(rule)
            .control_fits(&both, &success())
            .control_fits(&neither, &refused())
            .expects(&other, &[refused()]);
    }
    judge.findings()
}
