//! Keys that the manifest does not know, and the envelope that bodies do not have.

use serde_json::Value;

use super::scalars::at;
use super::wraps::judged_by;
use crate::craftkit::manifest::{Issues, Manifest, validate};
use crate::deviations::Deviation;
use crate::parts::Parts;

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        name: "unknown-keys-refused",
        defect: "refuses bodies with unknown keys at their top level",
        why: "the schema is strict",
        turns_red: &["craftkit.input.unknown-stripped"],
        consequences: &[],
        change: |parts| {
            judged_by(parts, |manifest, data| {
                let kept = validate(manifest, data)?;
                top_level(&kept, data).map_or(Ok(kept), |key| Err(at(&key, "Unrecognized key")))
            })
        },
    },
    Deviation {
        name: "unknown-objects-refused",
        defect: "refuses bodies with objects under unknown keys",
        why: "metadata is expected to be flat",
        turns_red: &["craftkit.input.unknown-stripped"],
        consequences: &[],
        change: |parts| {
            judged_by(parts, |manifest, data| {
                let kept = validate(manifest, data)?;
                let found = top_level(&kept, data).filter(|key| data[key].is_object());
                found.map_or(Ok(kept), |key| Err(at(&key, "Unexpected object")))
            })
        },
    },
    Deviation {
        name: "too-many-keys-refused",
        defect: "refuses bodies with more than twenty keys that it does not know",
        why: "a guard against abuse counts keys",
        turns_red: &["craftkit.input.unknown-stripped"],
        consequences: &[],
        change: |parts| {
            const KEYS: usize = 20;
            judged_by(parts, |manifest, data| {
                let kept = validate(manifest, data)?;
                let count = |value: &Value| value.as_object().map_or(0, serde_json::Map::len);
                if count(data) > count(&kept) + KEYS { Err(at("data", "Too many keys")) } else { Ok(kept) }
            })
        },
    },
    Deviation {
        name: "unknown-nested-refused",
        defect: "refuses unknown keys in groups and items",
        why: "only the outermost schema strips them",
        turns_red: &["craftkit.input.unknown-nested"],
        consequences: &[],
        change: |parts| {
            judged_by(parts, |manifest, data| {
                let kept = validate(manifest, data)?;
                if has_more(&known_part(data, &kept), &kept) { Err(at("data", "Unrecognized key")) } else { Ok(kept) }
            })
        },
    },
    Deviation {
        name: "unknown-keys-stored",
        defect: "stores the body as it came",
        why: "the validator answers yes or no, and what it would strip is stored",
        turns_red: &["craftkit.input.stripped-stored"],
        consequences: &[],
        change: |parts| storing(parts, |data, _| data.clone()),
    },
    Deviation {
        name: "unknown-nested-stored",
        defect: "stores unknown keys of groups and items",
        why: "keys are picked at the top level, and what is under them is taken whole",
        turns_red: &["craftkit.input.stripped-stored"],
        consequences: &[],
        change: |parts| storing(parts, known_part),
    },
    Deviation {
        name: "data-unwrapped",
        defect: "unwraps what is under `data`",
        why: "the handler is shared with the render route",
        turns_red: &["craftkit.input.flat"],
        consequences: &[],
        change: |parts| {
            judged_by(parts, |manifest, data| match data.get("data") {
                Some(inner @ Value::Object(_)) => validate(manifest, inner),
                Some(_) | None => validate(manifest, data),
            })
        },
    },
    Deviation {
        name: "data-demanded",
        defect: "wants its data under `data`, as the render route does",
        why: "one handler serves both routes",
        turns_red: &["craftkit.hook.accepted"],
        consequences: &[],
        change: |parts| {
            super::wraps::decided_by(parts, |judges, state, command, now| {
                let manifest = super::wraps::JudgedBy(demand_data);
                let judges =
                    crate::craftkit::rules::Judges { manifest: std::sync::Arc::new(manifest), ..judges.clone() };
                crate::craftkit::rules::decide_hook(&judges, state, command, now)
            })
        },
    },
];

fn demand_data(manifest: &Manifest, data: &Value) -> Result<Value, Issues> {
    match data.get("data") {
        Some(inner) => validate(manifest, inner),
        None => Err(at("data", "Required")),
    }
}

/// The first top-level key of the data that was not kept.
fn top_level(kept: &Value, data: &Value) -> Option<String> {
    let is_unknown = |key: &&String| kept.get(key).is_none();
    data.as_object()?.keys().find(is_unknown).cloned()
}

/// The data with the top-level keys only that were kept.
fn known_part(data: &Value, kept: &Value) -> Value {
    let Value::Object(entries) = data else { return data.clone() };
    let known = entries.iter().filter(|(key, _)| kept.get(key).is_some());
    Value::Object(known.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// True if objects of the data have keys, at any depth, that the kept part has not.
fn has_more(data: &Value, kept: &Value) -> bool {
    match (data, kept) {
        (Value::Object(data), Value::Object(kept)) => {
            data.iter().any(|(key, value)| kept.get(key).is_none_or(|kept| has_more(value, kept)))
        }
        (Value::Array(data), Value::Array(kept)) => data.iter().zip(kept).any(|(data, kept)| has_more(data, kept)),
        _ => false,
    }
}

/// Stores something else than what was kept.
fn storing(parts: Parts, stored: fn(&Value, &Value) -> Value) -> Parts {
    judged_by(parts, move |manifest, data| Ok(stored(data, &validate(manifest, data)?)))
}
