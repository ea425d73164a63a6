//! Loops: rows at their top-level key, each judged by the loop's fields.

use serde_json::{Value, json};

use super::bodies::{
    CODE, REFUSED, is_refusal, manifest, refusals, send_bodies, send_control, turn_accepted, turn_refused, unmarked,
    with, without,
};
use super::{ACCEPTED, expect_acceptance, hook, repeated, variable};
use crate::api::Api;
use crate::checks::judge::{Judge, actual, refused, status};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::Evidence;
use crate::gather::{Gather, Stop};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[ROWS, CAP];

/// The status of a limit on the size of bodies, which no document mentions.
const TOO_LARGE: u16 = 413;

/// Rows of the loop in which faults are planted: enough for a first, a middle and a last that are far apart, and for a target that
/// judges the first hundred only to be found out.
const ROWS_SENT: usize = 121;

/// Most items of a loop that are accepted, as the guide on variables and loops says.
const ITEMS_MAX: usize = 10_000;

const LOOP: &str = "craftkit.input.loop";
const NOT_ARRAY: &str = "craftkit.input.loop-not-array";
const ITEM: &str = "craftkit.input.loop-item";
const DEFAULT: &str = "craftkit.input.loop-default";
const OPTIONAL: &str = "craftkit.input.optional";

const ROWS: Check = Check {
    id: "craftkit/input/loops",
    rules: &[OPTIONAL, LOOP, NOT_ARRAY, ITEM, DEFAULT],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_rows(g)),
    judge: judge_rows,
    sabotages: &[
        Sabotage {
            defect: "takes every field of an item for required",
            turns_red: &[OPTIONAL],
            apply: |evidence| turn_refused(evidence, "item-lacks-optional", "rows"),
        },
        Sabotage {
            defect: "refuses an array where a loop is declared",
            turns_red: &[LOOP],
            apply: |evidence| turn_refused(evidence, "one-row", "rows"),
        },
        Sabotage {
            defect: "takes one row of a loop and no more",
            turns_red: &[LOOP],
            apply: |evidence| turn_refused(evidence, "many-rows", "rows"),
        },
        Sabotage {
            defect: "takes a single object for a list of one",
            turns_red: &[NOT_ARRAY],
            apply: |evidence| turn_accepted(evidence, "object/rows"),
        },
        Sabotage {
            defect: "takes false for a loop that is not there",
            turns_red: &[NOT_ARRAY],
            apply: |evidence| turn_accepted(evidence, "false/rows"),
        },
        Sabotage {
            defect: "checks the first loop of a manifest only",
            turns_red: &[NOT_ARRAY],
            apply: |evidence| turn_accepted(evidence, "text/tags"),
        },
        Sabotage {
            defect: "fails at a text in the place of a loop instead of refusing it",
            turns_red: &[NOT_ARRAY],
            apply: |evidence| evidence.answer("text/rows", 500, &json!({"error": {"code": "internal"}})),
        },
        Sabotage {
            defect: "checks the first item only",
            turns_red: &[ITEM],
            apply: |evidence| {
                for step in ["no-object/middle", "lacks-field/middle", "wrong-type/middle"] {
                    turn_accepted(evidence, step);
                }
                for step in ["no-object/last", "lacks-field/last", "wrong-type/last"] {
                    turn_accepted(evidence, step);
                }
            },
        },
        Sabotage {
            defect: "skips the last item",
            turns_red: &[ITEM],
            apply: |evidence| turn_accepted(evidence, "wrong-type/last"),
        },
        Sabotage {
            defect: "skips the first item",
            turns_red: &[ITEM],
            apply: |evidence| turn_accepted(evidence, "lacks-field/first"),
        },
        Sabotage {
            defect: "drops items that are no objects",
            turns_red: &[ITEM],
            apply: |evidence| turn_accepted(evidence, "no-object/middle"),
        },
        Sabotage {
            defect: "takes an array for an object",
            turns_red: &[ITEM],
            apply: |evidence| turn_accepted(evidence, "array/middle"),
        },
        Sabotage {
            defect: "does not judge the items of the second loop",
            turns_red: &[ITEM],
            apply: |evidence| turn_accepted(evidence, "lacks-field/tags"),
        },
        Sabotage {
            defect: "refuses a body without one of its loops",
            turns_red: &[DEFAULT],
            apply: |evidence| turn_refused(evidence, "absent/rows", "rows"),
        },
        Sabotage {
            defect: "asks for at least one row",
            turns_red: &[DEFAULT],
            apply: |evidence| turn_refused(evidence, "empty/rows", "rows"),
        },
    ],
};

/// What is wrong with the one item that is, and where in the loop it is.
const FAULTS: [&str; 11] = [
    "no-object/first",
    "no-object/middle",
    "no-object/last",
    "array/middle",
    "lacks-field/first",
    "lacks-field/middle",
    "lacks-field/last",
    "wrong-type/first",
    "wrong-type/middle",
    "wrong-type/last",
    "lacks-field/tags",
];

/// What is in the place of a loop that is no array.
const NOT_ARRAYS: [&str; 6] = ["object/rows", "text/rows", "number/rows", "true/rows", "false/rows", "text/tags"];

/// Bodies without rows.
const WITHOUT_ROWS: [&str; 3] = ["absent/rows", "empty/rows", "absent/both"];

async fn gather_rows(g: &mut Gather) -> Result<(), Stop> {
    let title = variable("title", "text", true);
    let flat = g.template(&manifest(std::slice::from_ref(&title), &[]), json!({})).await?;
    let loops = [
        repeated("rows", &[variable("label", "text", true), variable("qty", "number", true), unmarked("note", "text")]),
        repeated("tags", &[variable("word", "text", true)]),
    ];
    let template = g.template(&manifest(&[title, variable("count", "number", true)], &loops), json!({})).await?;
    let one = json!({"title": "Stock", "count": 3, "rows": [row(1)], "tags": [{"word": "blue"}]});
    let many = with(&one, "/rows", (1..=ROWS_SENT).map(row).collect());
    send_control(g, "flat", &flat, &json!({"title": "Stock"})).await;
    send_control(g, "one-row", &template, &one).await;
    let mut cases = vec![
        ("many-rows", many.clone()),
        ("rows-in-both", with(&many, "/tags", json!([{"word": "blue"}, {"word": "red"}, {"word": "green"}]))),
        ("lacks/title", without(&one, "/title")),
        ("wrong/count", with(&one, "/count", json!("abc"))),
        ("item-lacks-optional", without(&many, "/rows/0/note")),
        ("object/rows", with(&one, "/rows", row(1))),
        ("text/rows", with(&one, "/rows", json!("Widget"))),
        ("number/rows", with(&one, "/rows", json!(3))),
        ("true/rows", with(&one, "/rows", json!(true))),
        ("false/rows", with(&one, "/rows", json!(false))),
        ("text/tags", with(&one, "/tags", json!("blue"))),
        ("absent/rows", without(&one, "/rows")),
        ("empty/rows", with(&one, "/rows", json!([]))),
        ("absent/both", json!({"title": "Stock", "count": 3})),
        ("lacks-field/tags", with(&one, "/tags", json!([{"word": "blue"}, {}]))),
    ];
    cases.extend(faulty_items(&many));
    send_bodies(g, &template, &cases).await;
    Ok(())
}

fn row(number: usize) -> Value {
    json!({"label": format!("Widget {number}"), "qty": number, "note": "plain"})
}

/// The body of many rows with one of them at fault.
fn faulty_items(many: &Value) -> Vec<(&'static str, Value)> {
    let [first, middle, last] = [0, ROWS_SENT / 2, ROWS_SENT - 1].map(|at| format!("/rows/{at}"));
    let no_object = |item: &str| with(many, item, json!("Widget"));
    let lacks_field = |item: &str| without(many, &format!("{item}/label"));
    let wrong_type = |item: &str| with(many, &format!("{item}/qty"), json!("abc"));
    vec![
        ("no-object/first", no_object(&first)),
        ("no-object/middle", no_object(&middle)),
        ("no-object/last", no_object(&last)),
        ("array/middle", with(many, &middle, json!(["Widget", 1]))),
        ("lacks-field/first", lacks_field(&first)),
        ("lacks-field/middle", lacks_field(&middle)),
        ("lacks-field/last", lacks_field(&last)),
        ("wrong-type/first", wrong_type(&first)),
        ("wrong-type/middle", wrong_type(&middle)),
        ("wrong-type/last", wrong_type(&last)),
    ]
}

fn judge_rows(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    for step in ["one-row", "many-rows", "rows-in-both"] {
        expect_acceptance(&mut judge, LOOP, step, "flat");
    }
    expect_acceptance(&mut judge, OPTIONAL, "item-lacks-optional", "many-rows");
    for step in NOT_ARRAYS {
        let acceptable = refusals(&judge, "lacks/title");
        judge.rule(NOT_ARRAY).control("one-row").expects(step, &acceptable);
    }
    for step in FAULTS {
        let acceptable = refusals(&judge, "lacks/title");
        let rule = judge.rule(ITEM).control("many-rows").control("rows-in-both");
        // What is not refused outside loops either is the concern of the rules about scalars.
        let rule = match step.split_once('/') {
            Some(("lacks-field", _)) => rule.control_fits("lacks/title", &refused()),
            Some(("wrong-type", _)) => rule.control_fits("wrong/count", &refused()),
            _ => rule,
        };
        rule.expects(step, &acceptable);
    }
    for step in WITHOUT_ROWS {
        expect_acceptance(&mut judge, DEFAULT, step, "one-row");
    }
    judge.findings()
}

const CAP: Check = Check {
    id: "craftkit/input/loop-cap",
    rules: &["craftkit.input.loop-cap"],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_cap(g)),
    judge: judge_cap,
    sabotages: &[
        Sabotage {
            defect: "has no cap",
            turns_red: &["craftkit.input.loop-cap"],
            apply: |evidence| turn_accepted(evidence, "above"),
        },
        Sabotage {
            defect: "has a lower cap",
            turns_red: &["craftkit.input.loop-cap"],
            apply: |evidence| turn_refused(evidence, "at", "rows"),
        },
        Sabotage {
            defect: "answers too many items with the code of broken JSON",
            turns_red: &["craftkit.input.loop-cap"],
            apply: |evidence| evidence.answer("above", REFUSED, &json!({"error": {"code": "invalid_json"}})),
        },
        Sabotage {
            defect: "fails at too many items",
            turns_red: &["craftkit.input.loop-cap"],
            apply: |evidence| evidence.answer("above", 500, &json!({"error": {"code": CODE}})),
        },
    ],
};

async fn gather_cap(g: &mut Gather) -> Result<(), Stop> {
    let loops = [repeated("rows", &[variable("n", "number", true)])];
    let template = g.template(&manifest(&[variable("t", "text", true)], &loops), json!({})).await?;
    send_control(g, "control", &template, &json!({"t": "a", "rows": [{"n": 1}]})).await;
    g.send(hook("lacks/t", &template, json!({"rows": [{"n": 1}]}).to_string())).await;
    g.send(hook("at", &template, items(ITEMS_MAX))).await;
    g.send(hook("above", &template, items(ITEMS_MAX + 1))).await;
    Ok(())
}

/// A body of so many items in as few bytes as a field in each allows: a limit on bodies shall not be met before the cap.
fn items(count: usize) -> String {
    format!(r#"{{"t":"a","rows":[{}]}}"#, vec![r#"{"n":1}"#; count].join(","))
}

fn judge_cap(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let rule = "craftkit.input.loop-cap";
    let refusals = refusals(&judge, "lacks/t");
    for (step, control, acceptable) in [("at", "control", &[status(ACCEPTED)][..]), ("above", "at", &refusals[..])] {
        // A limit on the size of bodies is nobody's fault, and it hides the cap.
        if let Some(seen) = judge.one(step).filter(|seen| seen.exchange.is(TOO_LARGE)) {
            let found = actual(seen.exchange);
            judge.rule(rule).inconclusive(format!("a limit on the size of bodies answered before the cap: {found}"));
        } else if step == "above" && refused_below(&judge) {
            judge.rule(rule).not_applicable(format!("even {ITEMS_MAX} items were refused, so one more shows nothing"));
        } else {
            judge.rule(rule).control(control).expects(step, acceptable);
        }
    }
    judge.findings()
}

/// True if the cap is lower than documented, which the step at the documented cap shows already.
fn refused_below(judge: &Judge<'_>) -> bool {
    let accepted = judge.one("control").is_some_and(|seen| seen.exchange.is(ACCEPTED));
    let at = judge.one("at").and_then(|seen| seen.exchange.response.as_ref());
    accepted && at.is_some_and(|response| is_refusal(response) && response.status != TOO_LARGE)
}
