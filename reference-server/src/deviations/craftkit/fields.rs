//! What a refusal says about the fields at fault, and with which status.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::wraps::{edit, judged_by, refusing};
use crate::craftkit::manifest::validate;
use crate::craftkit::wire::Refusal;
use crate::deviations::Deviation;
use crate::http::Answer;
use crate::parts::Parts;

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        name: "input-422",
        defect: "answers a body that fails its manifest with 422",
        why: "that is what many frameworks answer to data that fails its schema",
        turns_red: &["craftkit.input.not-422"],
        consequences: &[],
        change: |parts| unfit_answered(parts, |answer| answer.status = StatusCode::UNPROCESSABLE_ENTITY),
    },
    Deviation {
        name: "input-another-code",
        defect: "gives a body that fails its manifest the code `validation_error`",
        why: "the schema library's name for it shows through",
        turns_red: &["craftkit.input.required"],
        consequences: &[],
        change: |parts| {
            unfit_answered(parts, |answer| edit(answer, |body| body["error"]["code"] = json!("validation_error")))
        },
    },
    Deviation {
        name: "no-issues",
        defect: "refuses a body without saying what is wrong with it",
        why: "the message was thought to be enough",
        turns_red: &["craftkit.input.field-errors"],
        consequences: &[],
        change: |parts| issues_written(parts, |_| None),
    },
    Deviation {
        name: "issues-in-a-list",
        defect: "lists issues with their paths instead of sorting them by field",
        why: "the schema library's own list is passed on",
        turns_red: &["craftkit.input.field-errors"],
        consequences: &[],
        change: |parts| {
            issues_written(parts, |fields| {
                Some(fields.iter().map(|(key, texts)| json!({"path": [key], "message": texts[0]})).collect())
            })
        },
    },
    Deviation {
        name: "field-errors-in-a-list",
        defect: "gives `fieldErrors` as a list of pairs",
        why: "the language's maps are written so",
        turns_red: &["craftkit.input.field-errors"],
        consequences: &[],
        change: |parts| {
            issues_written(parts, |fields| {
                let list: Value = fields.iter().map(|(key, texts)| json!({"field": key, "errors": texts})).collect();
                Some(json!({"formErrors": [], "fieldErrors": list}))
            })
        },
    },
    Deviation {
        name: "field-errors-texts",
        defect: "gives one text for each field instead of a list of texts",
        why: "only the first message of a field is shown anyway",
        turns_red: &["craftkit.input.field-errors"],
        consequences: &[],
        change: |parts| fields_written(parts, |key, texts| (key.to_owned(), texts[0].clone())),
    },
    Deviation {
        name: "field-errors-objects",
        defect: "gives objects with a message instead of texts",
        why: "each message was to have a code one day",
        turns_red: &["craftkit.input.field-errors"],
        consequences: &[],
        change: |parts| fields_written(parts, |key, texts| (key.to_owned(), json!([{"message": texts[0]}]))),
    },
    Deviation {
        name: "field-errors-by-pointer",
        defect: "names fields by JSON pointers",
        why: "the schema library names them so",
        turns_red: &["craftkit.input.field-errors"],
        consequences: &[],
        change: |parts| fields_written(parts, |key, texts| (format!("/{key}"), texts.clone())),
    },
    Deviation {
        name: "field-errors-below-data",
        defect: "names fields by paths that begin with `data.`",
        why: "the schema is that of the render route, where the data is under `data`",
        turns_red: &["craftkit.input.field-errors"],
        consequences: &[],
        change: |parts| fields_written(parts, |key, texts| (format!("data.{key}"), texts.clone())),
    },
    Deviation {
        name: "all-in-form-errors",
        defect: "writes all issues to `formErrors` and leaves `fieldErrors` empty",
        why: "issues without a path belong to the whole, and the paths were lost on the way",
        turns_red: &["craftkit.input.field-errors"],
        consequences: &[],
        change: |parts| {
            issues_written(parts, |fields| {
                let texts: Value = fields.values().map(|texts| texts[0].clone()).collect();
                Some(json!({"formErrors": texts, "fieldErrors": {}}))
            })
        },
    },
    Deviation {
        name: "first-offender-only",
        defect: "names the first field at fault and no other",
        why: "validation stops at the first error",
        turns_red: &["craftkit.input.all-offenders"],
        consequences: &[],
        change: |parts| {
            issues_written(parts, |fields| {
                let first: Map<_, _> = fields.iter().take(1).map(|(key, texts)| (key.clone(), texts.clone())).collect();
                Some(json!({"formErrors": [], "fieldErrors": first}))
            })
        },
    },
    Deviation {
        name: "loops-judged-last",
        defect: "does not look at loops once a scalar is at fault",
        why: "there are two validators, and the second runs when the first is content",
        turns_red: &["craftkit.input.all-offenders"],
        consequences: &[],
        change: |parts| {
            judged_by(parts, |manifest, data| {
                let mut scalars = manifest.clone();
                scalars.loops.clear();
                validate(&scalars, data)?;
                validate(manifest, data)
            })
        },
    },
];

fn unfit_answered(parts: Parts, change: impl Fn(&mut Answer) + Send + Sync + 'static) -> Parts {
    refusing(parts, move |refusal, answer| {
        if matches!(refusal, Refusal::InvalidInput(_)) {
            change(answer);
        }
    })
}

/// Writes the issues of a refusal in another way, if at all.
fn issues_written(parts: Parts, write: impl Fn(&Map<String, Value>) -> Option<Value> + Send + Sync + 'static) -> Parts {
    unfit_answered(parts, move |answer| {
        edit(answer, |body| {
            let Some(error) = body["error"].as_object_mut() else { return };
            let Some(issues) = error.remove("issues") else { return };
            let fields = issues["fieldErrors"].as_object().cloned().unwrap_or_default();
            error.extend(write(&fields).map(|issues| ("issues".to_owned(), issues)));
        });
    })
}

/// Writes each entry of `fieldErrors` in another way.
fn fields_written(parts: Parts, write: fn(&str, &Value) -> (String, Value)) -> Parts {
    issues_written(parts, move |fields| {
        let fields: Map<_, _> = fields.iter().map(|(key, texts)| write(key, texts)).collect();
        Some(json!({"formErrors": [], "fieldErrors": fields}))
    })
}
