//! Data judged wrongly where no example of the documents looks.

use serde_json::Value;

use super::loops::{by_fields, refusing_loops, sample, with_rows};
use super::scalars::{is_number, is_text, objecting, tolerating};
use crate::craftkit::manifest::{DataType, Loop};
use crate::deviations::Deviation;

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        name: "deep-types-unchecked",
        defect: "checks types three levels down and no further",
        why: "the types of deeper values were to be inferred",
        turns_red: &["craftkit.input.dot-path"],
        consequences: &[],
        change: |parts| tolerating(parts, |variable, _| variable.key.split('.').count() > 3),
    },
    Deviation {
        name: "text-of-digits-is-a-number",
        defect: "refuses a text that looks like a number or a boolean",
        why: "the data is read by a parser that guesses types",
        turns_red: ACCEPTED,
        consequences: &[],
        change: |parts| {
            objecting(parts, |variable, value| {
                is_text(variable.data_type) && matches!(value.as_str(), Some("0" | "true" | "null"))
            })
        },
    },
    Deviation {
        name: "text-outside-the-first-plane-refused",
        defect: "refuses texts with characters beyond the basic plane",
        why: "the database's column holds three bytes a character",
        turns_red: ACCEPTED,
        consequences: &[],
        change: |parts| {
            objecting(parts, |_, value| {
                value.as_str().is_some_and(|text| text.chars().any(|character| u32::from(character) > 0xffff))
            })
        },
    },
    Deviation {
        name: "fractions-refused",
        defect: "wants whole numbers",
        why: "numbers were thought of as counts",
        turns_red: ACCEPTED,
        consequences: &[],
        change: |parts| {
            objecting(parts, |variable, value| {
                variable.data_type == DataType::Number && value.as_f64().is_some_and(|number| number.fract() != 0.0)
            })
        },
    },
    Deviation {
        name: "leap-day-refused",
        defect: "knows no 29 February",
        why: "dates are checked against a table of the months' lengths",
        turns_red: ACCEPTED,
        consequences: &[],
        change: |parts| {
            objecting(parts, |variable, value| {
                let leaps = value.as_str().is_some_and(|text| text.contains("-02-29"));
                matches!(variable.data_type, DataType::Date | DataType::DateTime) && leaps
            })
        },
    },
    Deviation {
        name: "item-missing-number-is-zero",
        defect: "takes a missing number of an item for zero",
        why: "rows are read into a structure whose fields have defaults",
        turns_red: ITEM,
        consequences: &[],
        change: |parts| by_fields(parts, |field| field.required &= !is_number(field.data_type)),
    },
    Deviation {
        name: "item-booleans-unchecked",
        defect: "accepts anything for a boolean of an item",
        why: "they are only ever asked whether they are there",
        turns_red: ITEM,
        consequences: &[],
        change: |parts| with_rows(parts, |declared, rows| tolerate(declared, rows, DataType::Boolean)),
    },
    Deviation {
        name: "item-dates-unchecked",
        defect: "accepts anything for a date of an item",
        why: "a date that cannot be read is shown as it came",
        turns_red: ITEM,
        consequences: &[],
        change: |parts| with_rows(parts, |declared, rows| tolerate(declared, rows, DataType::Date)),
    },
    Deviation {
        name: "item-beyond-hundred-and-fifty-unjudged",
        defect: "judges the first hundred and fifty items of a loop only",
        why: "a table's first page is what anyone looks at",
        turns_red: ITEM,
        consequences: &[],
        change: |parts| with_rows(parts, |_, rows| rows.truncate(150)),
    },
    Deviation {
        name: "second-item-unjudged",
        defect: "does not judge the second item of a loop",
        why: "a heading was thought to be the first row, and one was skipped after it",
        turns_red: ITEM,
        consequences: &[],
        change: |parts| {
            with_rows(parts, |_, rows| {
                if rows.len() > 1 {
                    rows.remove(1);
                }
            })
        },
    },
    Deviation {
        name: "loop-of-hundred-and-thirty-rows",
        defect: "refuses a loop of more than 130 rows",
        why: "the layout has room for as many on one page",
        turns_red: &["craftkit.input.loop"],
        // Ten thousand rows are more.
        consequences: &["craftkit.input.loop-cap"],
        change: |parts| {
            refusing_loops(parts, |rows| rows.and_then(Value::as_array).is_some_and(|rows| rows.len() > 130))
        },
    },
];

const ACCEPTED: &[&str] = &["craftkit.hook.accepted"];
const ITEM: &[&str] = &["craftkit.input.loop-item"];

/// Puts something that fits in the place of whatever is sent for fields of one type in items.
fn tolerate(declared: &Loop, rows: &mut [Value], data_type: DataType) {
    for row in rows.iter_mut().filter_map(Value::as_object_mut) {
        for field in declared.item_fields.iter().filter(|field| field.data_type == data_type) {
            if let Some(value) = row.get_mut(&field.key) {
                *value = sample(data_type);
            }
        }
    }
}
