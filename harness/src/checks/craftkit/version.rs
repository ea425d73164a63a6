//! Versions of a template: none yet, the first, a later one.

use serde_json::{Value, json};

use super::bodies::turn_accepted;
use super::{fresh, hook, is_accepted, send_first, success, turn_into_refusal, variable};
use crate::api::Api;
use crate::checks::judge::{Judge, craftkit_error, not_success, refused};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Evidence, Exchange};
use crate::gather::{Gather, Stop, Template};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[UNPUBLISHED, PUBLISHED_LATER, MANIFEST, CURRENT];

const CONFLICT: u16 = 409;
/// Code for a template that was never published.
const UNPUBLISHED_CODE: &str = "no_published_version";

/// The manifest whose one variable is a required text of that name.
fn asking_for(key: &str) -> Value {
    json!({"variables": [variable(key, "text", true)], "loops": []})
}

/// A body with that text and nothing else.
fn body_with(g: &mut Gather, key: &str) -> String {
    json!({key: fresh(g)}).to_string()
}

const UNPUBLISHED: Check = Check {
    id: "craftkit/version/unpublished",
    rules: &["craftkit.version.unpublished"],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_unpublished(g)),
    judge: judge_unpublished,
    sabotages: &[
        Sabotage {
            defect: "renders a draft",
            turns_red: &["craftkit.version.unpublished"],
            apply: |evidence| turn_accepted(evidence, "unpublished"),
        },
        Sabotage {
            defect: "knows no template that was never published",
            turns_red: &["craftkit.version.unpublished"],
            apply: |evidence| turn_into_refusal(evidence, "unpublished", 404, "invalid_token"),
        },
        Sabotage {
            defect: "gives the conflict another code",
            turns_red: &["craftkit.version.unpublished"],
            apply: |evidence| turn_into_refusal(evidence, "unpublished", CONFLICT, "not_ready"),
        },
    ],
};

async fn gather_unpublished(g: &mut Gather) -> Result<(), Stop> {
    let published = g.template(&asking_for("alpha"), json!({})).await?;
    let unpublished = g.template(&asking_for("alpha"), json!({"published": false})).await?;
    let body = body_with(g, "alpha");
    send_first(g, hook("published", &published, body)).await;
    let body = body_with(g, "alpha");
    // A template that is not known yet may look like none at all.
    g.settled(hook("unpublished", &unpublished, body), |exchange| !exchange.is(404)).await;
    Ok(())
}

fn judge_unpublished(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    judge
        .rule("craftkit.version.unpublished")
        .control_fits("published", &success())
        .expects("unpublished", &[craftkit_error(CONFLICT, UNPUBLISHED_CODE)]);
    judge.findings()
}

const PUBLISHED_LATER: Check = Check {
    id: "craftkit/version/published-later",
    rules: &["craftkit.version.published-later"],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate, Method::TemplateUpdate]),
    gather: |g| Box::pin(gather_published_later(g)),
    judge: judge_published_later,
    sabotages: &[
        Sabotage {
            defect: "remembers for good that nothing was published",
            turns_red: &["craftkit.version.published-later"],
            apply: |evidence| turn_into_refusal(evidence, "after", CONFLICT, UNPUBLISHED_CODE),
        },
        Sabotage {
            defect: "gives a template a new token when it is published",
            turns_red: &["craftkit.version.published-later"],
            apply: |evidence| turn_into_refusal(evidence, "after", 404, "invalid_token"),
        },
    ],
};

async fn gather_published_later(g: &mut Gather) -> Result<(), Stop> {
    let sibling = g.template(&asking_for("alpha"), json!({})).await?;
    let template = g.template(&asking_for("alpha"), json!({"published": false})).await?;
    let body = body_with(g, "alpha");
    if !is_accepted(&send_first(g, hook("sibling", &sibling, body)).await) {
        return Ok(());
    }
    let body = body_with(g, "alpha");
    g.send(hook("before", &template, body.clone())).await;
    g.update_template(&template, json!({"published": true})).await?;
    g.settled(hook("after", &template, body), is_accepted).await;
    Ok(())
}

fn judge_published_later(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    judge
        .rule("craftkit.version.published-later")
        .control_fits("sibling", &success())
        .control_fits("before", &not_success())
        .expects("after", &[success()]);
    judge.findings()
}

const MANIFEST: Check = Check {
    id: "craftkit/version/manifest",
    rules: &["craftkit.version.manifest"],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate, Method::TemplateUpdate]),
    gather: |g| Box::pin(gather_manifest(g)),
    judge: judge_manifest,
    sabotages: &[
        Sabotage {
            defect: "goes on judging by the first manifest",
            turns_red: &["craftkit.version.manifest"],
            apply: |evidence| {
                turn_into_refusal(evidence, "after/new", 400, "invalid_input_data");
                turn_accepted(evidence, "after/old");
            },
        },
        Sabotage {
            defect: "is content with any manifest the template ever had",
            turns_red: &["craftkit.version.manifest"],
            apply: |evidence| turn_accepted(evidence, "after/old"),
        },
    ],
};

async fn gather_manifest(g: &mut Gather) -> Result<(), Stop> {
    let template = g.template(&asking_for("alpha"), json!({})).await?;
    let [old, new] = [body_with(g, "alpha"), body_with(g, "beta")];
    if !is_accepted(&send_first(g, hook("before/old", &template, old)).await) {
        return Ok(());
    }
    g.send(hook("before/new", &template, new)).await;
    publish_next(g, &template, "after/new").await?;
    let old = body_with(g, "alpha");
    let refused = |exchange: &Exchange| exchange.response.as_ref().is_some_and(|response| !response.is_success());
    g.settled(hook("after/old", &template, old), refused).await;
    Ok(())
}

/// Publishes a manifest that asks for another text, and waits until a body with that text is accepted.
async fn publish_next(g: &mut Gather, template: &Template, label: &str) -> Result<Exchange, Stop> {
    g.update_template(template, json!({"manifest": asking_for("beta")})).await?;
    let body = body_with(g, "beta");
    Ok(g.settled(hook(label, template, body), is_accepted).await)
}

fn judge_manifest(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let rule = "craftkit.version.manifest";
    for (step, acceptable) in [("after/new", success()), ("after/old", refused())] {
        judge
            .rule(rule)
            .control_fits("before/old", &success())
            .control_fits("before/new", &refused())
            .expects(step, &[acceptable]);
    }
    judge.findings()
}

const CURRENT: Check = Check {
    id: "craftkit/version/current",
    rules: &["craftkit.version.current"],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate, Method::TemplateUpdate, Method::RenderInspect]),
    gather: |g| Box::pin(gather_current(g)),
    judge: judge_current,
    sabotages: &[
        Sabotage {
            defect: "renders everything with the first version",
            turns_red: &["craftkit.version.current"],
            apply: |evidence| {
                let first = version_at(evidence, "render/old").expect("a good run has inspected it");
                evidence.edit_fixture("render/new", |render| render["version"] = json!(first));
            },
        },
        Sabotage {
            defect: "shows every render with the version that is current now",
            turns_red: &["craftkit.version.current"],
            apply: |evidence| {
                let second = version_at(evidence, "render/new").expect("a good run has inspected it");
                evidence.edit_fixture("render/old-again", |render| render["version"] = json!(second));
            },
        },
    ],
};

async fn gather_current(g: &mut Gather) -> Result<(), Stop> {
    let template = g.template(&asking_for("alpha"), json!({})).await?;
    let body = body_with(g, "alpha");
    let old = send_first(g, hook("old", &template, body)).await;
    let Some(old) = id_of(&old) else { return Ok(()) };
    g.inspect_render("render/old", &old).await?;
    let new = publish_next(g, &template, "new").await?;
    let Some(new) = id_of(&new) else { return Ok(()) };
    g.inspect_render("render/new", &new).await?;
    g.inspect_render("render/old-again", &old).await?;
    Ok(())
}

fn id_of(accepted: &Exchange) -> Option<String> {
    accepted.json()?.get("id")?.as_str().map(str::to_owned)
}

fn version_at(evidence: &Evidence, step: &str) -> Option<i64> {
    evidence.fixture(step)?.result.as_ref()?.get("version")?.as_i64()
}

fn judge_current(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let rule = "craftkit.version.current";
    let version = |step| version_at(evidence, step);
    let [Some(old), Some(new), Some(again)] = ["render/old", "render/new", "render/old-again"].map(version) else {
        let why = if judge.one("new").is_some_and(|seen| !is_accepted(seen.exchange)) {
            "nothing that fits the next version was accepted, which craftkit.version.manifest judges"
        } else {
            "no two renders were accepted, one before and one after a publication, and inspected with their versions"
        };
        judge.rule(rule).inconclusive(why);
        return judge.findings();
    };
    let at = judge.one("new").map(|seen| seen.at);
    let expected = format!("a version other than {old} on a render accepted after the next one was published");
    judge.rule(rule).control_fits("old", &success()).control_fits("new", &success()).that(
        new != old,
        expected,
        format!("version {new}"),
        at,
    );
    let at = judge.one("old").map(|seen| seen.at);
    let expected = format!("version {old} as before on a render accepted before the publication");
    judge.rule(rule).control_fits("old", &success()).that(again == old, expected, format!("version {again}"), at);
    judge.findings()
}
