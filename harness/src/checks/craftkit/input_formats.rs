//! Data types: values that cannot have one, values that can be converted, and the formats of texts.

use serde_json::{Value, json};

use super::bodies::{manifest, refusals, send_bodies, send_control, turn_accepted, turn_refused, with};
use super::{expect_acceptance, variable};
use crate::api::Api;
use crate::checks::judge::Judge;
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::Evidence;
use crate::gather::{Gather, Stop};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[TYPES];

const WRONG_TYPE: &str = "craftkit.input.wrong-type";
const COERCION: &str = "craftkit.input.coercion";
const FORMATS: &str = "craftkit.input.formats";
const FITS: &str = "craftkit.hook.accepted";

const TYPES: Check = Check {
    id: "craftkit/input/types",
    rules: &[FITS, WRONG_TYPE, COERCION, FORMATS],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_types(g)),
    judge: judge_types,
    sabotages: &[
        Sabotage {
            defect: "takes zero for a missing number",
            turns_red: &[FITS],
            apply: |evidence| turn_refused(evidence, "zero/number", "number"),
        },
        Sabotage {
            defect: "takes false for a missing boolean",
            turns_red: &[FITS],
            apply: |evidence| turn_refused(evidence, "false/boolean", "boolean"),
        },
        Sabotage {
            defect: "turns an object for a text into a text",
            turns_red: &[WRONG_TYPE],
            apply: |evidence| turn_accepted(evidence, "object/text"),
        },
        Sabotage {
            defect: "does not check texts of the special formats for being texts",
            turns_red: &[WRONG_TYPE],
            apply: |evidence| turn_accepted(evidence, "object/date"),
        },
        Sabotage {
            defect: "does not check that a currency is a number",
            turns_red: &[WRONG_TYPE],
            apply: |evidence| turn_accepted(evidence, "word/currency"),
        },
        Sabotage {
            defect: "turns an array for a text into a text",
            turns_red: &[WRONG_TYPE],
            apply: |evidence| turn_accepted(evidence, "array/text"),
        },
        Sabotage {
            defect: "takes every non-empty string for true",
            turns_red: &[WRONG_TYPE],
            apply: |evidence| turn_accepted(evidence, "maybe/boolean"),
        },
        Sabotage {
            defect: "fails at an object for a number instead of refusing it",
            turns_red: &[WRONG_TYPE],
            apply: |evidence| evidence.answer("object/number", 500, &json!({"error": {"code": "internal"}})),
        },
        Sabotage {
            defect: "reads the digits that a string begins with as a number",
            turns_red: &[WRONG_TYPE],
            apply: |evidence| turn_accepted(evidence, "digits-and-letters/number"),
        },
        Sabotage {
            defect: "turns a number for a text into a text",
            turns_red: &[WRONG_TYPE],
            apply: |evidence| turn_accepted(evidence, "number/text"),
        },
        Sabotage {
            defect: "does not read numeric strings",
            turns_red: &[COERCION],
            apply: |evidence| turn_refused(evidence, "numeric/currency", "currency"),
        },
        Sabotage {
            defect: "does not read the string false",
            turns_red: &[COERCION],
            apply: |evidence| turn_refused(evidence, "written-false/boolean", "boolean"),
        },
        Sabotage {
            defect: "takes any text for a date",
            turns_red: &[FORMATS],
            apply: |evidence| turn_accepted(evidence, "word/date"),
        },
        Sabotage {
            defect: "checks the pattern of a date, but not the month",
            turns_red: &[FORMATS],
            apply: |evidence| turn_accepted(evidence, "month-13/date"),
        },
        Sabotage {
            defect: "looks at the date of a datetime only",
            turns_red: &[FORMATS],
            apply: |evidence| turn_accepted(evidence, "hour-25/datetime"),
        },
        Sabotage {
            defect: "takes every text with an @ for an address",
            turns_red: &[FORMATS],
            apply: |evidence| turn_accepted(evidence, "nowhere/email"),
        },
        Sabotage {
            defect: "takes a data URI for the URL of an image",
            turns_red: &[FORMATS],
            apply: |evidence| turn_accepted(evidence, "data-uri/image"),
        },
    ],
};

/// Each data type with a value that surely has it. Each is the key of a variable of its own, too.
fn fitting() -> [(&'static str, Value); 10] {
    [
        ("text", json!("Widget")),
        ("longtext", json!("Two plain sentences. Nothing more.")),
        ("number", json!(12)),
        ("currency", json!(49.95)),
        ("date", json!("2026-03-14")),
        ("datetime", json!("2026-03-14T09:26:53Z")),
        ("boolean", json!(true)),
        ("image", json!("https://example.com/photo.png")),
        ("url", json!("https://example.com/page")),
        ("email", json!("ada@example.com")),
    ]
}

/// Types whose fitting values nobody can read in another way; the texts with a format are controls only.
const PLAIN_TYPES: [&str; 5] = ["text", "longtext", "number", "currency", "boolean"];

/// A value sent for a variable of a type, and what it shows.
struct Case {
    /// What the value is; with the type it makes the name of the step.
    what: &'static str,
    data_type: &'static str,
    value: Value,
    shows: Shows,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shows {
    /// The value has the type.
    Fits,
    /// The value cannot have the type.
    Wrong,
    /// The value should not have the type.
    ShouldBeWrong,
    /// The value should be converted.
    ShouldConvert,
    /// The text should lack the format.
    ShouldLackFormat,
}

impl Case {
    fn step(&self) -> String {
        format!("{}/{}", self.what, self.data_type)
    }

    /// The step that differs only in that its value has the type.
    fn control(&self) -> String {
        format!("fits/{}", self.data_type)
    }
}

fn cases() -> Vec<Case> {
    let case = |what, data_type, value, shows| Case { what, data_type, value, shows };
    let mut cases = vec![
        case("zero", "number", json!(0), Shows::Fits),
        case("false", "boolean", json!(false), Shows::Fits),
        case("word", "number", json!("abc"), Shows::Wrong),
        case("word", "currency", json!("abc"), Shows::Wrong),
        case("array", "text", json!(["Widget"]), Shows::Wrong),
        case("maybe", "boolean", json!("maybe"), Shows::Wrong),
        case("number", "text", json!(12), Shows::ShouldBeWrong),
        case("digits-and-letters", "number", json!("12abc"), Shows::ShouldBeWrong),
        case("numeric", "number", json!("12"), Shows::ShouldConvert),
        case("numeric", "currency", json!("49.95"), Shows::ShouldConvert),
        case("written-true", "boolean", json!("true"), Shows::ShouldConvert),
        case("written-false", "boolean", json!("false"), Shows::ShouldConvert),
        case("word", "date", json!("tomorrow"), Shows::ShouldLackFormat),
        case("month-13", "date", json!("2026-13-45"), Shows::ShouldLackFormat),
        case("word", "datetime", json!("tomorrow at noon"), Shows::ShouldLackFormat),
        case("hour-25", "datetime", json!("2026-03-14T25:61:61Z"), Shows::ShouldLackFormat),
        case("word", "url", json!("not a link"), Shows::ShouldLackFormat),
        case("word", "email", json!("ada at example"), Shows::ShouldLackFormat),
        case("nobody", "email", json!("@example.com"), Shows::ShouldLackFormat),
        case("nowhere", "email", json!("ada@"), Shows::ShouldLackFormat),
        case("data-uri", "image", json!("data:image/png;base64,iVBORw0KGgo="), Shows::ShouldLackFormat),
    ];
    for (data_type, _) in fitting() {
        cases.push(case("object", data_type, json!({"inner": "value"}), Shows::Wrong));
    }
    cases
}

async fn gather_types(g: &mut Gather) -> Result<(), Stop> {
    let mut variables = vec![variable("name", "text", true)];
    // Optional, so that a value of one type travels without the nine others.
    variables.extend(fitting().iter().map(|(data_type, _)| variable(data_type, data_type, false)));
    let template = g.template(&manifest(&variables, &[]), json!({})).await?;
    let body = json!({"name": "Acme Corp"});
    send_control(g, "control", &template, &body).await;
    let mut steps = vec![("lacks/name".to_owned(), json!({"text": "Widget"}))];
    for (data_type, value) in fitting() {
        steps.push((format!("fits/{data_type}"), with(&body, &format!("/{data_type}"), value)));
    }
    for case in cases() {
        steps.push((case.step(), with(&body, &format!("/{}", case.data_type), case.value.clone())));
    }
    let steps: Vec<(&str, Value)> = steps.iter().map(|(label, body)| (label.as_str(), body.clone())).collect();
    send_bodies(g, &template, &steps).await;
    Ok(())
}

fn judge_types(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    for data_type in PLAIN_TYPES {
        expect_acceptance(&mut judge, FITS, &format!("fits/{data_type}"), "control");
    }
    for case in cases() {
        let refusals = refusals(&judge, "lacks/name");
        let (step, control) = (case.step(), case.control());
        match case.shows {
            Shows::Fits => expect_acceptance(&mut judge, FITS, &step, &control),
            Shows::Wrong => judge.rule(WRONG_TYPE).control(&control).expects(&step, &refusals),
            Shows::ShouldBeWrong => judge.rule(WRONG_TYPE).should_part().control(&control).expects(&step, &refusals),
            Shows::ShouldConvert => expect_acceptance(&mut judge, COERCION, &step, &control),
            Shows::ShouldLackFormat => judge.rule(FORMATS).control(&control).expects(&step, &refusals),
        }
    }
    judge.findings()
}
