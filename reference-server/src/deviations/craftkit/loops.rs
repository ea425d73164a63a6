//! Loops of a manifest: what stands for a list of rows, and how far its items are judged.

use serde_json::{Value, json};

use super::scalars::at;
use super::wraps::judged_by;
use crate::craftkit::manifest::{DataType, Loop, MAX_LOOP_ITEMS, Variable, validate};
use crate::deviations::Deviation;
use crate::parts::Parts;

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        name: "item-fields-all-required",
        defect: "takes every field of an item for required",
        why: "items are judged by a schema made of keys and types only",
        turns_red: &["craftkit.input.optional"],
        consequences: &[],
        change: |parts| by_fields(parts, |field| field.required = true),
    },
    Deviation {
        name: "loop-of-one-row",
        defect: "refuses a loop of more than one row",
        why: "the tests never sent two",
        turns_red: &["craftkit.input.loop"],
        // Ten thousand rows are more than one.
        consequences: &["craftkit.input.loop-cap"],
        change: |parts| refusing_loops(parts, |rows| rows.and_then(Value::as_array).is_some_and(|rows| rows.len() > 1)),
    },
    Deviation {
        name: "loop-as-an-object-of-rows",
        defect: "wants rows as an object by number and refuses an array",
        why: "the form library that the schema was made for sends them so",
        turns_red: &["craftkit.input.loop"],
        // The documentation's own example body has a loop.
        consequences: &["craftkit.hook.accepted"],
        change: |parts| refusing_loops(parts, |rows| rows.is_some_and(Value::is_array)),
    },
    Deviation {
        name: "single-object-is-a-loop",
        defect: "takes a single object for a list of one",
        why: "XML-minded senders leave the list out when there is one row",
        turns_red: &["craftkit.input.loop-not-array"],
        consequences: &[],
        change: |parts| {
            with_loops(parts, |rows| {
                if rows.is_object() {
                    *rows = json!([rows.take()]);
                }
                true
            })
        },
    },
    Deviation {
        name: "no-array-no-rows",
        defect: "ignores whatever is in a loop's place and is no array",
        why: "items are judged inside of `if (Array.isArray(rows))`",
        turns_red: &["craftkit.input.loop-not-array"],
        consequences: &[],
        change: |parts| with_loops(parts, |rows| rows.is_array()),
    },
    Deviation {
        name: "false-is-no-loop",
        defect: "takes false for a loop that was not sent",
        why: "`if (rows)` tells a missing loop from one that is there",
        turns_red: &["craftkit.input.loop-not-array"],
        consequences: &[],
        change: |parts| with_loops(parts, |rows| *rows != json!(false)),
    },
    Deviation {
        name: "text-is-a-loop",
        defect: "takes a text in a loop's place",
        why: "a text can be iterated like a list",
        turns_red: &["craftkit.input.loop-not-array"],
        consequences: &[],
        change: |parts| with_loops(parts, |rows| !rows.is_string()),
    },
    Deviation {
        name: "second-loop-unjudged",
        defect: "judges the first loop of a manifest only",
        why: "the validator returns after the first one",
        // Neither the list as such nor its items are looked at.
        turns_red: &["craftkit.input.loop-not-array", "craftkit.input.loop-item"],
        consequences: &[],
        change: |parts| {
            judged_by(parts, |manifest, data| {
                let mut manifest = manifest.clone();
                manifest.loops.truncate(1);
                validate(&manifest, data)
            })
        },
    },
    Deviation {
        name: "first-item-only",
        defect: "judges the first item of a loop only",
        why: "all rows were thought to be alike",
        turns_red: &["craftkit.input.loop-item"],
        consequences: &[],
        change: |parts| with_rows(parts, |_, rows| rows.truncate(1)),
    },
    Deviation {
        name: "last-item-only",
        defect: "judges by what the last item of a loop was",
        why: "each item's verdict overwrites the one before",
        turns_red: &["craftkit.input.loop-item"],
        consequences: &[],
        change: |parts| with_rows(parts, |_, rows| drop(rows.drain(..rows.len().saturating_sub(1)))),
    },
    Deviation {
        name: "last-item-unjudged",
        defect: "does not judge the last item of a loop",
        why: "the loop ends one too early",
        turns_red: &["craftkit.input.loop-item"],
        consequences: &[],
        change: |parts| with_rows(parts, |_, rows| drop(rows.pop())),
    },
    Deviation {
        name: "first-hundred-items-only",
        defect: "judges the first hundred items of a loop only",
        why: "long lists were slow to validate",
        turns_red: &["craftkit.input.loop-item"],
        consequences: &[],
        change: |parts| with_rows(parts, |_, rows| rows.truncate(100)),
    },
    Deviation {
        name: "item-required-ignored",
        defect: "does not miss fields in items",
        why: "`required` is read for scalars only",
        turns_red: &["craftkit.input.loop-item"],
        consequences: &[],
        change: |parts| by_fields(parts, |field| field.required = false),
    },
    Deviation {
        name: "item-types-ignored",
        defect: "does not check types in items",
        why: "items are only asked for their keys",
        turns_red: &["craftkit.input.loop-item"],
        consequences: &[],
        change: |parts| {
            with_rows(parts, |declared, rows| {
                for row in rows.iter_mut().filter_map(Value::as_object_mut) {
                    for field in &declared.item_fields {
                        if let Some(value) = row.get_mut(&field.key) {
                            *value = sample(field.data_type);
                        }
                    }
                }
            })
        },
    },
    Deviation {
        name: "item-no-object-skipped",
        defect: "drops items that are no objects",
        why: "empty rows of a spreadsheet were to be forgiven",
        turns_red: &["craftkit.input.loop-item"],
        consequences: &[],
        change: |parts| with_rows(parts, |_, rows| rows.retain(Value::is_object)),
    },
    Deviation {
        name: "item-array-skipped",
        defect: "takes an array for an item in order",
        why: "the rows of a spreadsheet come as lists",
        turns_red: &["craftkit.input.loop-item"],
        consequences: &[],
        change: |parts| with_rows(parts, |_, rows| rows.retain(|row| !row.is_array())),
    },
    Deviation {
        name: "loop-demanded",
        defect: "refuses a body that lacks a loop",
        why: "arrays are required unless the schema says otherwise",
        turns_red: &["craftkit.input.loop-default"],
        consequences: &[],
        change: |parts| refusing_loops(parts, |rows| rows.is_none()),
    },
    Deviation {
        name: "empty-loop-refused",
        defect: "refuses a loop without rows",
        why: "a table with nothing in it looks broken",
        turns_red: &["craftkit.input.loop-default"],
        consequences: &[],
        change: |parts| refusing_loops(parts, |rows| rows == Some(&json!([]))),
    },
    Deviation {
        name: "loop-cap-one-lower",
        defect: "accepts 9,999 items of a loop and no more",
        why: "the count is compared with >= where > was meant",
        turns_red: &["craftkit.input.loop-cap"],
        consequences: &[],
        change: |parts| {
            refusing_loops(parts, |rows| {
                rows.and_then(Value::as_array).is_some_and(|rows| rows.len() >= MAX_LOOP_ITEMS)
            })
        },
    },
    Deviation {
        name: "loop-cap-one-thousand",
        defect: "accepts 1,000 items of a loop and no more",
        why: "a limit was chosen before the documented one was known",
        turns_red: &["craftkit.input.loop-cap"],
        consequences: &[],
        change: |parts| {
            refusing_loops(parts, |rows| rows.and_then(Value::as_array).is_some_and(|rows| rows.len() > 1000))
        },
    },
    Deviation {
        name: "loop-cut-at-the-cap",
        defect: "cuts loops at 10,000 items instead of refusing them",
        why: "rendering less was thought better than rendering nothing",
        turns_red: &["craftkit.input.loop-cap"],
        consequences: &[],
        change: |parts| {
            with_loops(parts, |rows| {
                rows.as_array_mut().into_iter().for_each(|rows| rows.truncate(MAX_LOOP_ITEMS));
                true
            })
        },
    },
];

/// Judges by a manifest with the fields of its loops changed.
pub(super) fn by_fields(parts: Parts, change: fn(&mut Variable)) -> Parts {
    judged_by(parts, move |manifest, data| {
        let mut manifest = manifest.clone();
        manifest.loops.iter_mut().flat_map(|one| &mut one.item_fields).for_each(change);
        validate(&manifest, data)
    })
}

/// Changes what is in the places of loops, or forgets it, before it is judged.
fn with_loops(parts: Parts, keep: fn(&mut Value) -> bool) -> Parts {
    judged_by(parts, move |manifest, data| {
        let mut data = data.clone();
        if let Value::Object(entries) = &mut data {
            entries.retain(|key, value| !manifest.loops.iter().any(|one| one.key == *key) || keep(value));
        }
        validate(manifest, &data)
    })
}

/// Changes the rows of loops before they are judged; an overlong list is refused as it is.
pub(super) fn with_rows(parts: Parts, change: fn(&Loop, &mut Vec<Value>)) -> Parts {
    judged_by(parts, move |manifest, data| {
        let mut data = data.clone();
        for one in &manifest.loops {
            if let Some(Value::Array(rows)) = data.get_mut(&one.key)
                && rows.len() <= MAX_LOOP_ITEMS
            {
                change(one, rows);
            }
        }
        validate(manifest, &data)
    })
}

/// Refuses bodies for what is in the places of loops.
pub(super) fn refusing_loops(parts: Parts, refuses: fn(Option<&Value>) -> bool) -> Parts {
    judged_by(parts, move |manifest, data| {
        match manifest.loops.iter().find(|one| data.is_object() && refuses(data.get(&one.key))) {
            Some(one) => Err(at(&one.key, "Invalid rows")),
            None => validate(manifest, data),
        }
    })
}

/// A value that has a type.
pub(super) fn sample(data_type: DataType) -> Value {
    match data_type {
        DataType::Number | DataType::Currency => json!(1),
        DataType::Boolean => json!(true),
        DataType::Date => json!("2026-01-31"),
        DataType::DateTime => json!("2026-01-31T00:00:00Z"),
        DataType::Image | DataType::Url => json!("https://example.com"),
        DataType::Email => json!("a@example.com"),
        DataType::Text | DataType::LongText => json!("a"),
    }
}
