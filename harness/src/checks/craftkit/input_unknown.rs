//! Keys that the manifest does not know: they change nothing and are not kept.

use serde_json::{Value, json};

use super::bodies::{
    CODE, REFUSED, is_refusal, manifest, refusals, send_bodies, send_control, turn_accepted, turn_refused, with,
    without,
};
use super::{ACCEPTED, expect_acceptance, hook, repeated, variable};
use crate::api::Api;
use crate::checks::judge::{Judge, refused};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Evidence, Exchange};
use crate::gather::{Gather, Stop};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[TOP_LEVEL, NESTED, STORED];

const STRIPPED: &str = "craftkit.input.unknown-stripped";
const DEEPER: &str = "craftkit.input.unknown-nested";
const KEPT: &str = "craftkit.input.stripped-stored";
const FLAT: &str = "craftkit.input.flat";

const TOP_LEVEL: Check = Check {
    id: "craftkit/input/unknown",
    rules: &[STRIPPED, FLAT],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_top_level(g)),
    judge: judge_top_level,
    sabotages: &[
        Sabotage {
            defect: "refuses bodies with unknown keys",
            turns_red: &[STRIPPED],
            apply: |evidence| turn_refused(evidence, "fits/text", "campaign"),
        },
        Sabotage {
            defect: "lets no objects pass under unknown keys",
            turns_red: &[STRIPPED],
            apply: |evidence| turn_refused(evidence, "fits/object", "campaign"),
        },
        Sabotage {
            defect: "refuses bodies with many unknown keys",
            turns_red: &[STRIPPED],
            apply: |evidence| turn_refused(evidence, "fits/many", "extra1"),
        },
        Sabotage {
            defect: "accepts any body that has unknown keys",
            turns_red: &[STRIPPED],
            apply: |evidence| turn_accepted(evidence, "lacks/text"),
        },
        Sabotage {
            defect: "answers a faulty body with another status once it has unknown keys",
            turns_red: &[STRIPPED],
            apply: |evidence| evidence.answer("lacks/text", 422, &json!({"error": {"code": CODE}})),
        },
        Sabotage {
            defect: "finds variables inside an unknown object",
            turns_red: &[STRIPPED],
            apply: |evidence| turn_accepted(evidence, "lacks/object"),
        },
        Sabotage {
            defect: "unwraps what is under data",
            turns_red: &[FLAT],
            apply: |evidence| turn_accepted(evidence, "wrapped"),
        },
        Sabotage {
            defect: "answers a wrapped body with the code of a bad envelope",
            turns_red: &[FLAT],
            apply: |evidence| evidence.answer("wrapped", REFUSED, &json!({"error": {"code": "invalid_request"}})),
        },
    ],
};

/// Kinds of unknown keys; each is sent with a body that fits and with one that does not.
const KINDS: [&str; 7] = ["text", "number", "boolean", "null", "array", "object", "many"];

/// Unknown keys in the body that has many of them.
const MANY: usize = 30;

async fn gather_top_level(g: &mut Gather) -> Result<(), Stop> {
    let variables = [variable("title", "text", true), variable("note", "text", false)];
    let template = g.template(&manifest(&variables, &[]), json!({})).await?;
    let fits = json!({"title": "Spring sale", "note": "plain"});
    let lacks = without(&fits, "/title");
    send_control(g, "control", &template, &fits).await;
    let mut cases = vec![("lacks".to_owned(), lacks.clone()), ("wrapped".to_owned(), json!({ "data": fits.clone() }))];
    for kind in KINDS {
        cases.push((format!("fits/{kind}"), with_unknown(&fits, kind)));
        cases.push((format!("lacks/{kind}"), with_unknown(&lacks, kind)));
    }
    let cases: Vec<(&str, Value)> = cases.iter().map(|(label, body)| (label.as_str(), body.clone())).collect();
    send_bodies(g, &template, &cases).await;
    Ok(())
}

/// The body with an unknown key of a kind. The object holds what the body may lack, so that looking into it would show.
fn with_unknown(body: &Value, kind: &str) -> Value {
    let value = match kind {
        "text" => json!("spring"),
        "number" => json!(7),
        "boolean" => json!(true),
        "null" => Value::Null,
        "array" => json!([1, "two"]),
        "object" => json!({"title": "Autumn sale", "inner": {"depth": 2}}),
        _ => {
            let numbers = 1..=MANY;
            return numbers.fold(body.clone(), |body, number| with(&body, &format!("/extra{number}"), json!(number)));
        }
    };
    with(body, "/campaign", value)
}

fn judge_top_level(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    for kind in KINDS {
        expect_acceptance(&mut judge, STRIPPED, &format!("fits/{kind}"), "control");
        // If even the bare faulty body is accepted, the outcome with the key says nothing.
        let acceptable = refusals(&judge, "lacks");
        let step = format!("lacks/{kind}");
        judge.rule(STRIPPED).control("control").control_fits("lacks", &refused()).expects(&step, &acceptable);
    }
    let acceptable = refusals(&judge, "lacks");
    judge.rule(FLAT).control("control").control_fits("lacks", &refused()).expects("wrapped", &acceptable);
    judge.findings()
}

const NESTED: Check = Check {
    id: "craftkit/input/unknown-nested",
    rules: &[DEEPER],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_nested(g)),
    judge: judge_nested,
    sabotages: &[
        Sabotage {
            defect: "refuses groups with unknown keys",
            turns_red: &[DEEPER],
            apply: |evidence| turn_refused(evidence, "fits/group", "customer"),
        },
        Sabotage {
            defect: "refuses items with unknown keys",
            turns_red: &[DEEPER],
            apply: |evidence| turn_refused(evidence, "fits/item", "rows"),
        },
        Sabotage {
            defect: "does not judge an item that has unknown keys",
            turns_red: &[DEEPER],
            apply: |evidence| turn_accepted(evidence, "lacks/item"),
        },
    ],
};

/// The manifest of a body that has a group and a loop.
fn nested_manifest() -> Value {
    manifest(
        &[variable("title", "text", true), variable("customer.name", "text", true)],
        &[repeated("rows", &[variable("label", "text", true), variable("qty", "number", true)])],
    )
}

fn nested_body() -> Value {
    let rows = json!([{"label": "One", "qty": 1}, {"label": "Two", "qty": 2}]);
    json!({"title": "Stock", "customer": {"name": "Acme Corp"}, "rows": rows})
}

async fn gather_nested(g: &mut Gather) -> Result<(), Stop> {
    let template = g.template(&nested_manifest(), json!({})).await?;
    let fits = nested_body();
    let lacks_in_group = without(&fits, "/customer/name");
    let lacks_in_item = without(&fits, "/rows/1/label");
    send_control(g, "control", &template, &fits).await;
    let in_group = |body: &Value| with(body, "/customer/campaign", json!("spring"));
    let in_item = |body: &Value| with(body, "/rows/1/campaign", json!({"name": "spring"}));
    let cases = [
        ("fits/group", in_group(&fits)),
        ("fits/item", in_item(&fits)),
        ("fits/both", in_item(&in_group(&fits))),
        ("bare/group", lacks_in_group.clone()),
        ("lacks/group", in_group(&lacks_in_group)),
        ("bare/item", lacks_in_item.clone()),
        ("lacks/item", in_item(&lacks_in_item)),
    ];
    send_bodies(g, &template, &cases).await;
    Ok(())
}

fn judge_nested(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    for step in ["fits/group", "fits/item", "fits/both"] {
        expect_acceptance(&mut judge, DEEPER, step, "control");
    }
    for (step, bare) in [("lacks/group", "bare/group"), ("lacks/item", "bare/item")] {
        let acceptable = refusals(&judge, bare);
        judge.rule(DEEPER).control("control").control_fits(bare, &refused()).expects(step, &acceptable);
    }
    judge.findings()
}

const STORED: Check = Check {
    id: "craftkit/input/stored",
    rules: &[KEPT],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate, Method::RenderInspect]),
    gather: |g| Box::pin(gather_stored(g)),
    judge: judge_stored,
    sabotages: &[
        Sabotage {
            defect: "stores the body as it came",
            turns_red: &[KEPT],
            apply: |evidence| evidence.edit_fixture("top", |render| render["data"]["campaign"] = json!("spring")),
        },
        Sabotage {
            defect: "strips the top level only and keeps unknown keys of groups",
            turns_red: &[KEPT],
            apply: |evidence| {
                evidence.edit_fixture("group", |render| render["data"]["customer"]["campaign"] = json!("spring"));
            },
        },
        Sabotage {
            defect: "keeps unknown keys of items",
            turns_red: &[KEPT],
            apply: |evidence| {
                evidence.edit_fixture("item", |render| render["data"]["rows"][1]["campaign"] = json!("spring"));
            },
        },
    ],
};

/// Bodies with one unknown key each, by where it is.
const PLACES: [(&str, &str); 3] = [("top", "/campaign"), ("group", "/customer/campaign"), ("item", "/rows/1/campaign")];

/// The unknown key. No key of the manifest has it as a part, in whichever way the stored data spells paths.
const UNKNOWN: &str = "campaign";

/// A key of the manifest that every body has: stored data without it show nothing.
const KNOWN: &str = "title";

async fn gather_stored(g: &mut Gather) -> Result<(), Stop> {
    let template = g.template(&nested_manifest(), json!({})).await?;
    send_control(g, "control", &template, &nested_body()).await;
    for (place, pointer) in PLACES {
        let body = with(&nested_body(), pointer, json!("spring"));
        let sent = g.send(hook(place, &template, body.to_string())).await;
        if let Some(id) = id_of(&sent) {
            g.inspect_render(place, &id).await?;
        }
    }
    Ok(())
}

fn id_of(exchange: &Exchange) -> Option<String> {
    exchange.json()?.get("id")?.as_str().map(str::to_owned)
}

fn judge_stored(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    for (place, _) in PLACES {
        let stored = evidence.fixture(place).and_then(|call| call.result.as_ref()?.get("data"));
        let at = judge.one(place).map(|seen| seen.at);
        let control_accepted = judge.one("control").is_some_and(|seen| seen.exchange.is(ACCEPTED));
        let refused = judge.one(place).and_then(|seen| seen.exchange.response.as_ref()).is_some_and(is_refusal);
        let rule = judge.rule(KEPT).control("control").control(place);
        if control_accepted && refused {
            // That it should have been accepted is the concern of the rules about unknown keys.
            rule.not_applicable("the body with the unknown key was refused, so nothing of it is stored");
            continue;
        }
        let Some(data) = stored.filter(|data| has_key(data, KNOWN)) else {
            rule.inconclusive(format!("`render.inspect` showed no stored data with the key `{KNOWN}`"));
            continue;
        };
        let kept = has_key(data, UNKNOWN);
        let expected = format!("stored data without the key `{UNKNOWN}`, which only the body had");
        rule.that(!kept, expected, format!("stored data {data}"), at);
    }
    judge.findings()
}

/// True if a key at any level is this name or a path with it.
fn has_key(value: &Value, name: &str) -> bool {
    match value {
        Value::Object(entries) => entries.iter().any(|(key, item)| key.contains(name) || has_key(item, name)),
        Value::Array(items) => items.iter().any(|item| has_key(item, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
