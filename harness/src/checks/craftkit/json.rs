//! Bodies that are no JSON, or JSON that is no object.

use serde_json::{Value, json};

use super::bodies::turn_accepted;
use super::{fresh, hook, own_error, same_refusal, send_first, success, turn_into_refusal, variable};
use crate::api::Api;
use crate::checks::judge::{Judge, craftkit_error, status};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::Evidence;
use crate::gather::{Gather, Stop};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[JSON];

const BAD_REQUEST: u16 = 400;
/// Code for a body that is no JSON.
const NO_JSON: &str = "invalid_json";
/// Code for a body that does not fit the manifest.
const UNFIT: &str = "invalid_input_data";

const JSON: Check = Check {
    id: "craftkit/json/bodies",
    rules: &["craftkit.json.malformed", "craftkit.json.empty", "craftkit.json.non-object"],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_json(g)),
    judge: judge_json,
    sabotages: &[
        Sabotage {
            defect: "fails at malformed JSON",
            turns_red: &["craftkit.json.malformed"],
            apply: |evidence| turn_into_refusal(evidence, "malformed/cut", 500, "internal"),
        },
        Sabotage {
            defect: "gives broken JSON a code of its own",
            turns_red: &["craftkit.json.malformed"],
            apply: |evidence| {
                for step in MALFORMED.iter().map(|(step, _)| *step).chain(["empty"]) {
                    turn_into_refusal(evidence, step, BAD_REQUEST, "malformed_json");
                }
            },
        },
        Sabotage {
            defect: "reads one JSON value and leaves the rest of the body unread",
            turns_red: &["craftkit.json.malformed"],
            apply: |evidence| turn_accepted(evidence, "malformed/trailing"),
        },
        Sabotage {
            defect: "reads JSON with a parser for configuration files",
            turns_red: &["craftkit.json.malformed"],
            apply: |evidence| {
                for step in ["malformed/comma", "malformed/comment", "malformed/single-quotes", "malformed/bare-key"] {
                    turn_accepted(evidence, step);
                }
            },
        },
        Sabotage {
            defect: "reads NaN as a number",
            turns_red: &["craftkit.json.malformed"],
            apply: |evidence| turn_into_refusal(evidence, "malformed/nan", BAD_REQUEST, UNFIT),
        },
        Sabotage {
            defect: "takes an empty body for an empty object",
            turns_red: &["craftkit.json.empty"],
            apply: |evidence| turn_accepted(evidence, "empty"),
        },
        Sabotage {
            defect: "answers an empty body as one that does not fit",
            turns_red: &["craftkit.json.empty"],
            apply: |evidence| turn_into_refusal(evidence, "empty", BAD_REQUEST, UNFIT),
        },
        Sabotage {
            defect: "takes an array for an object without keys",
            turns_red: &["craftkit.json.non-object"],
            apply: |evidence| turn_accepted(evidence, "non-object/array"),
        },
        Sabotage {
            defect: "takes null for nothing to fill in",
            turns_red: &["craftkit.json.non-object"],
            apply: |evidence| turn_accepted(evidence, "non-object/null"),
        },
        Sabotage {
            defect: "fails at a text where an object is expected",
            turns_red: &["craftkit.json.non-object"],
            apply: |evidence| turn_into_refusal(evidence, "non-object/string", 500, "internal"),
        },
        Sabotage {
            defect: "renders once for each object of an array",
            turns_red: &["craftkit.json.non-object"],
            apply: |evidence| turn_accepted(evidence, "non-object/array-of-objects"),
        },
        Sabotage {
            defect: "calls a number broken JSON",
            turns_red: &["craftkit.json.non-object"],
            apply: |evidence| turn_into_refusal(evidence, "non-object/number", BAD_REQUEST, NO_JSON),
        },
    ],
};

/// Steps with bodies that are not JSON as RFC 8259 has it.
const MALFORMED: [(&str, &str); 8] = [
    ("malformed/cut", r#"{"note":"#),
    ("malformed/comma", r#"{"note":"x",}"#),
    ("malformed/single-quotes", "{'note':'x'}"),
    ("malformed/bare-key", r#"{note:"x"}"#),
    ("malformed/comment", r#"{"note":"x"/* y */}"#),
    ("malformed/nan", r#"{"note":NaN}"#),
    ("malformed/trailing", r#"{"note":"x"}x"#),
    ("malformed/text", "note=x"),
];

/// Steps with JSON that is no object.
const NON_OBJECTS: [(&str, &str); 7] = [
    ("non-object/array", "[]"),
    ("non-object/array-of-objects", r#"[{"note":"x"}]"#),
    ("non-object/string", r#""note""#),
    ("non-object/number", "5"),
    ("non-object/true", "true"),
    ("non-object/false", "false"),
    ("non-object/null", "null"),
];

async fn gather_json(g: &mut Gather) -> Result<(), Stop> {
    // Nothing is required: what is wrong with a body is then its JSON and nothing else.
    let manifest = json!({"variables": [variable("note", "text", false)], "loops": []});
    let template = g.template(&manifest, json!({})).await?;
    let body = json!({"note": fresh(g)});
    send_first(g, hook("control", &template, body.to_string())).await;
    let unfit: Value = json!({"note": {"text": fresh(g)}});
    let mut requests = vec![hook("unfit", &template, unfit.to_string()), hook("empty", &template, "")];
    let others = MALFORMED.iter().chain(&NON_OBJECTS);
    requests.extend(others.map(|(step, body)| hook(step, &template, *body)));
    g.send_together(&requests).await;
    Ok(())
}

fn judge_json(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    for (step, _) in MALFORMED {
        let documented = craftkit_error(BAD_REQUEST, NO_JSON);
        judge.rule("craftkit.json.malformed").control_fits("control", &success()).expects(step, &[documented]);
    }
    // Which answer broken JSON gets is the concern of `craftkit.json.malformed`, and that of unfit data of the input rules.
    let rule = "craftkit.json.empty";
    let same = same_refusal(&judge, "malformed/cut");
    judge.rule(rule).control_fits("control", &success()).expects("empty", &[status(BAD_REQUEST), same]);
    let same = same_refusal(&judge, "malformed/cut");
    let documented = own_error(BAD_REQUEST, NO_JSON);
    judge.rule(rule).should_part().control_fits("control", &success()).expects("empty", &[documented, same]);

    let rule = "craftkit.json.non-object";
    for (step, _) in NON_OBJECTS {
        let same = same_refusal(&judge, "unfit");
        judge.rule(rule).control_fits("control", &success()).expects(step, &[status(BAD_REQUEST), same]);
        let same = same_refusal(&judge, "unfit");
        let documented = own_error(BAD_REQUEST, UNFIT);
        judge.rule(rule).should_part().control_fits("control", &success()).expects(step, &[documented, same]);
    }
    judge.findings()
}
