//! Scalars of a manifest: which must be there, where they are read, and what fits their types.

use serde_json::{Value, json};

use super::wraps::{judged_by, refusing};
use crate::craftkit::manifest::{DataType, Issues, Manifest, Variable, validate};
use crate::craftkit::wire::Refusal;
use crate::deviations::Deviation;
use crate::parts::Parts;

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        name: "required-ignored",
        defect: "accepts bodies that lack required scalars",
        why: "validation looks at what is there and not at what is not",
        turns_red: &["craftkit.input.required"],
        consequences: &[],
        change: |parts| by_manifest(parts, |variable| variable.required = false),
    },
    Deviation {
        name: "missing-number-is-zero",
        defect: "takes a missing number for zero",
        why: "the data is read into a structure whose fields have defaults",
        turns_red: &["craftkit.input.required"],
        consequences: &[],
        change: |parts| by_manifest(parts, |variable| variable.required &= !is_number(variable.data_type)),
    },
    Deviation {
        name: "missing-boolean-is-false",
        defect: "takes a missing boolean for false",
        why: "a form leaves unticked boxes out",
        turns_red: &["craftkit.input.required"],
        consequences: &[],
        change: |parts| by_manifest(parts, |variable| variable.required &= variable.data_type != DataType::Boolean),
    },
    Deviation {
        name: "falsy-is-missing",
        defect: "takes 0 and false for missing where a scalar is required",
        why: "the test for presence is `if (!value)`",
        turns_red: &["craftkit.hook.accepted"],
        consequences: &[],
        change: |parts| {
            objecting(parts, |variable, value| variable.required && (*value == json!(0) || *value == json!(false)))
        },
    },
    Deviation {
        name: "all-required",
        defect: "takes every scalar for required",
        why: "the schema is made of the manifest's keys and types only",
        turns_red: &["craftkit.input.optional"],
        consequences: &[],
        change: |parts| by_manifest(parts, |variable| variable.required = true),
    },
    Deviation {
        name: "nested-never-required",
        defect: "does not miss scalars in groups",
        why: "required keys are looked for at the top level only",
        turns_red: &["craftkit.input.dot-path"],
        consequences: &[],
        change: |parts| by_manifest(parts, |variable| variable.required &= !variable.key.contains('.')),
    },
    Deviation {
        name: "depth-two",
        defect: "descends two levels into groups and no further",
        why: "the key is split at its first dot",
        turns_red: &["craftkit.input.dot-path"],
        consequences: &[],
        change: |parts| to_depth(parts, 2),
    },
    Deviation {
        name: "depth-three",
        defect: "descends three levels into groups and no further",
        why: "the manifest's editor nests no deeper",
        turns_red: &["craftkit.input.dot-path"],
        consequences: &[],
        change: |parts| to_depth(parts, 3),
    },
    Deviation {
        name: "depth-five",
        defect: "descends five levels into groups and no further",
        why: "a recursion was given a limit",
        turns_red: &["craftkit.input.dot-path"],
        consequences: &[],
        change: |parts| to_depth(parts, 5),
    },
    Deviation {
        name: "dotted-keys-flat",
        defect: "looks for the key `a.b` at the top level, dot and all",
        why: "the manifest's keys are used as they are",
        turns_red: &["craftkit.input.dot-path"],
        // The documentation's own example body has a group.
        consequences: &["craftkit.hook.accepted"],
        change: |parts| {
            judged_by(parts, |manifest, data| {
                let dotless = |key: &str| key.replace('.', "\u{2024}");
                let literal = changed(manifest, |variable| variable.key = dotless(&variable.key));
                let mut data = data.clone();
                if let Value::Object(entries) = &mut data {
                    *entries = entries.iter().map(|(key, value)| (dotless(key), value.clone())).collect();
                }
                validate(&literal, &data)
            })
        },
    },
    Deviation {
        name: "dotted-keys-flat-too",
        defect: "takes the literal key `a.b` for the scalar in the group as well",
        why: "a helper that gets values by path tries the whole path as a key first",
        turns_red: &["craftkit.input.dotted-literal"],
        consequences: &[],
        change: |parts| {
            judged_by(parts, |manifest, data| {
                let kept = |variable: &Variable| !variable.key.contains('.') || data.get(&variable.key).is_none();
                validate(&restricted(manifest, kept), data)
            })
        },
    },
    Deviation {
        name: "last-part-anywhere",
        defect: "finds the scalar `a.b` under `b` at the top level as well",
        why: "the data is flattened by the names of its leaves",
        turns_red: &["craftkit.input.dot-path"],
        consequences: &[],
        change: |parts| {
            judged_by(parts, |manifest, data| {
                let last = |variable: &Variable| variable.key.rsplit_once('.').map(|(_, last)| last.to_owned());
                let kept = |variable: &Variable| last(variable).is_none_or(|last| data.get(last).is_none());
                validate(&restricted(manifest, kept), data)
            })
        },
    },
    Deviation {
        name: "nested-types-unchecked",
        defect: "checks the types of scalars at the top level only",
        why: "the walk into groups looks for presence and nothing else",
        turns_red: &["craftkit.input.dot-path"],
        consequences: &[],
        change: |parts| tolerating(parts, |variable, _| variable.key.contains('.')),
    },
    Deviation {
        name: "text-of-anything",
        defect: "turns whatever is sent for a text into a text",
        why: "`String(value)` never fails",
        turns_red: &["craftkit.input.wrong-type"],
        consequences: &[],
        change: |parts| tolerating(parts, |variable, _| is_text(variable.data_type)),
    },
    Deviation {
        name: "text-of-an-array",
        defect: "joins an array sent for a text",
        why: "form decoders repeat a field by making a list of it",
        turns_red: &["craftkit.input.wrong-type"],
        consequences: &[],
        change: |parts| tolerating(parts, |variable, value| is_text(variable.data_type) && value.is_array()),
    },
    Deviation {
        name: "text-of-a-number",
        defect: "turns a number sent for a text into a text",
        why: "the data goes into a template, where both look alike",
        turns_red: &["craftkit.input.wrong-type"],
        consequences: &[],
        change: |parts| tolerating(parts, |variable, value| is_text(variable.data_type) && value.is_number()),
    },
    Deviation {
        name: "number-unchecked",
        defect: "accepts anything for a number",
        why: "`Number(value)` gives NaN, which is of type number",
        turns_red: &["craftkit.input.wrong-type"],
        consequences: &[],
        change: |parts| tolerating(parts, |variable, _| variable.data_type == DataType::Number),
    },
    Deviation {
        name: "number-of-leading-digits",
        defect: "reads the digits that a text begins with as a number",
        why: "that is what parseFloat does",
        turns_red: &["craftkit.input.wrong-type"],
        consequences: &[],
        change: |parts| {
            tolerating(parts, |variable, value| {
                let digits = value.as_str().is_some_and(|text| text.starts_with(|first: char| first.is_ascii_digit()));
                is_number(variable.data_type) && digits
            })
        },
    },
    Deviation {
        name: "currency-unchecked",
        defect: "accepts anything for a currency",
        why: "amounts are formatted by a library that takes anything",
        turns_red: &["craftkit.input.wrong-type"],
        consequences: &[],
        change: |parts| tolerating(parts, |variable, _| variable.data_type == DataType::Currency),
    },
    Deviation {
        name: "boolean-of-any-text",
        defect: "takes every text for a boolean",
        why: "`Boolean(value)` is true for every text that is not empty",
        turns_red: &["craftkit.input.wrong-type"],
        consequences: &[],
        change: |parts| {
            tolerating(parts, |variable, value| variable.data_type == DataType::Boolean && value.is_string())
        },
    },
    Deviation {
        name: "date-of-an-object",
        defect: "accepts objects for dates",
        why: "the date library reads `{year, month, day}`, and what it cannot read becomes an invalid date",
        turns_red: &["craftkit.input.wrong-type"],
        consequences: &[],
        change: |parts| {
            tolerating(parts, |variable, value| {
                matches!(variable.data_type, DataType::Date | DataType::DateTime) && value.is_object()
            })
        },
    },
    Deviation {
        name: "image-of-an-object",
        defect: "accepts objects for images",
        why: "an upload widget sends `{url, width, height}`",
        turns_red: &["craftkit.input.wrong-type"],
        consequences: &[],
        change: |parts| tolerating(parts, |variable, value| variable.data_type == DataType::Image && value.is_object()),
    },
    Deviation {
        name: "object-for-a-text-500",
        defect: "fails at an object sent for a text",
        why: "the value is trimmed before it is judged, and objects cannot be trimmed",
        turns_red: &["craftkit.input.wrong-type"],
        consequences: &[],
        change: |parts| {
            refusing(parts, |refusal, answer| {
                let Refusal::InvalidInput(issues) = refusal else { return };
                let is_object = |message: &String| message == "Expected string, received object";
                if issues.field_errors.values().flatten().any(is_object) {
                    answer.status = hyper::StatusCode::INTERNAL_SERVER_ERROR;
                }
            })
        },
    },
    Deviation {
        name: "no-coercion",
        defect: "refuses numbers and booleans written as texts",
        why: "the schema library coerces only where it is told to",
        turns_red: &["craftkit.input.coercion"],
        consequences: &[],
        change: |parts| {
            objecting(parts, |variable, value| {
                let coerced = is_number(variable.data_type) || variable.data_type == DataType::Boolean;
                coerced && value.is_string()
            })
        },
    },
    Deviation {
        name: "formats-unchecked",
        defect: "takes any text for a date, a URL or an e-mail address",
        why: "formats are an option of the schema library, and it is off",
        turns_red: &["craftkit.input.formats"],
        consequences: &[],
        change: |parts| {
            by_manifest(parts, |variable| {
                let is_plain = matches!(variable.data_type, DataType::Number | DataType::Currency | DataType::Boolean);
                variable.data_type = if is_plain { variable.data_type } else { DataType::Text };
            })
        },
    },
    Deviation {
        name: "image-of-a-data-uri",
        defect: "accepts a data URI for an image",
        why: "a browser shows it, and it parses as a URL",
        turns_red: &["craftkit.input.formats"],
        consequences: &[],
        change: |parts| {
            tolerating(parts, |variable, value| {
                let data = value.as_str().is_some_and(|text| text.starts_with("data:"));
                variable.data_type == DataType::Image && data
            })
        },
    },
    Deviation {
        name: "date-by-pattern",
        defect: "accepts dates that no calendar has",
        why: "dates are checked by a regular expression",
        turns_red: &["craftkit.input.formats"],
        consequences: &[],
        change: |parts| {
            tolerating(parts, |variable, value| {
                let shaped = value.as_str().is_some_and(|text| text.len() == 10 && text.split('-').count() == 3);
                variable.data_type == DataType::Date && shaped
            })
        },
    },
    Deviation {
        name: "datetime-by-its-date",
        defect: "accepts times of day that no clock shows",
        why: "only what stands before the T is checked",
        turns_red: &["craftkit.input.formats"],
        consequences: &[],
        change: |parts| {
            tolerating(parts, |variable, value| {
                let halves = value.as_str().and_then(|text| text.split_once('T'));
                let dated = halves.is_some_and(|(date, _)| date.parse::<jiff::civil::Date>().is_ok());
                variable.data_type == DataType::DateTime && dated
            })
        },
    },
    Deviation {
        name: "email-by-its-at",
        defect: "accepts every text with an @ for an e-mail address",
        why: "whatever else is wrong will show when a mail is sent",
        turns_red: &["craftkit.input.formats"],
        consequences: &[],
        change: |parts| {
            tolerating(parts, |variable, value| {
                let has_at = value.as_str().is_some_and(|text| text.contains('@'));
                variable.data_type == DataType::Email && has_at
            })
        },
    },
    Deviation {
        name: "empty-manifest-refused",
        defect: "refuses an empty object even where nothing is asked for",
        why: "a body without keys is thought to be a mistake",
        turns_red: &["craftkit.input.empty-manifest"],
        consequences: &[],
        change: |parts| {
            judged_by(parts, |manifest, data| {
                let asks = !manifest.variables.is_empty() || !manifest.loops.is_empty();
                if asks || *data != json!({}) { validate(manifest, data) } else { Err(whole("Expected data")) }
            })
        },
    },
];

/// True for the types of numbers.
pub(super) fn is_number(data_type: DataType) -> bool {
    matches!(data_type, DataType::Number | DataType::Currency)
}

/// True for the types of free text.
pub(super) fn is_text(data_type: DataType) -> bool {
    matches!(data_type, DataType::Text | DataType::LongText)
}

/// The manifest with its variables, not the fields of its loops, changed.
fn changed(manifest: &Manifest, change: impl Fn(&mut Variable)) -> Manifest {
    let mut manifest = manifest.clone();
    manifest.variables.iter_mut().for_each(change);
    manifest
}

/// The manifest with some of its variables.
fn restricted(manifest: &Manifest, keeps: impl Fn(&Variable) -> bool) -> Manifest {
    let mut manifest = manifest.clone();
    manifest.variables.retain(keeps);
    manifest
}

/// Judges by a manifest with its variables changed.
fn by_manifest(parts: Parts, change: fn(&mut Variable)) -> Parts {
    judged_by(parts, move |manifest, data| validate(&changed(manifest, change), data))
}

/// Judges only variables that nest no deeper than this.
fn to_depth(parts: Parts, depth: usize) -> Parts {
    judged_by(parts, move |manifest, data| {
        validate(&restricted(manifest, |variable| variable.key.split('.').count() <= depth), data)
    })
}

/// What is sent for a variable.
fn given<'v>(data: &'v Value, variable: &Variable) -> Option<&'v Value> {
    variable.key.split('.').try_fold(data, |value, segment| value.get(segment))
}

/// Does not judge variables for which some value is sent.
pub(super) fn tolerating(parts: Parts, tolerates: fn(&Variable, &Value) -> bool) -> Parts {
    judged_by(parts, move |manifest, data| {
        let judged = |variable: &Variable| !given(data, variable).is_some_and(|value| tolerates(variable, value));
        validate(&restricted(manifest, judged), data)
    })
}

/// Refuses bodies that fit but have some value.
pub(super) fn objecting(parts: Parts, objects: fn(&Variable, &Value) -> bool) -> Parts {
    judged_by(parts, move |manifest, data| {
        let kept = validate(manifest, data)?;
        let at_fault = |variable: &&Variable| given(data, variable).is_some_and(|value| objects(variable, value));
        match manifest.variables.iter().find(at_fault) {
            Some(variable) => Err(at(&variable.key, "Invalid value")),
            None => Ok(kept),
        }
    })
}

/// An issue with one field.
pub(super) fn at(key: &str, message: &str) -> Issues {
    let top = key.split('.').next().unwrap_or_default();
    Issues { field_errors: [(top.to_owned(), vec![message.to_owned()])].into(), ..Issues::default() }
}

/// An issue with the whole body.
fn whole(message: &str) -> Issues {
    Issues { form_errors: vec![message.to_owned()], ..Issues::default() }
}
