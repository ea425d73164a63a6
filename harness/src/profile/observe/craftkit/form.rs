//! The form of `issues`.

use serde_json::{Value, json};

use super::super::observer;
use super::super::reading::{NOT_ASKED, joined, last, stable};
use super::ready;
use crate::api::Api;
use crate::checks::craftkit::hook;
use crate::checks::judge::craftkit_issues;
use crate::checks::{Check, Needs};
use crate::evidence::Evidence;
use crate::gather::{Gather, Stop};
use crate::target::protocol::Method;

/// The observers of this topic.
pub const OBSERVERS: &[Check] = &[FORM];

const FORM: Check = observer!(
    "observe/craftkit/form",
    Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather_form,
    {
        "craftkit.observe.form-errors" => |evidence, _| {
            let said = [MISSING, ARRAY].map(|label| form_errors(evidence, label));
            joined(&["a field", "the whole body"], &said)
        },
        "craftkit.observe.field-errors-keys" => |evidence, _| keys(evidence),
        "craftkit.observe.field-errors-wording" => |evidence, _| {
            let said = [MISSING, WRONG].map(|label| wording(evidence, label));
            joined(&["missing text", "text for a number"], &said)
        },
    }
);

/// A nested required text is missing.
const MISSING: &str = "missing";
/// A number is a word.
const WRONG: &str = "wrong";
/// The whole body is an array.
const ARRAY: &str = "array";
/// The field's top-level key, and its path in the manifest.
const NESTED: (&str, &str) = ("customer", "customer.name");

async fn gather_form(g: &mut Gather) -> Result<(), Stop> {
    let template = ready(g).await?;
    let rows = json!([{"name": "Widget", "qty": 5, "price": 9.99}]);
    let missing = json!({"customer": {}, "items": rows, "total": 49.95});
    let wrong = json!({"customer": {"name": "Acme Corp"}, "items": rows, "total": "abc"});
    for (label, body) in [(MISSING, missing), (WRONG, wrong), (ARRAY, json!([]))] {
        g.send(hook(label, &template, body.to_string())).await;
    }
    Ok(())
}

fn issues(evidence: &Evidence, label: &str) -> Option<Value> {
    last(evidence, label)?.json().as_ref().and_then(craftkit_issues).cloned()
}

fn form_errors(evidence: &Evidence, label: &str) -> String {
    let Some(issues) = issues(evidence, label) else { return "no issues".to_owned() };
    match issues.get("formErrors") {
        None => "absent".to_owned(),
        Some(Value::Array(errors)) if errors.is_empty() => "empty".to_owned(),
        Some(Value::Array(errors)) if errors.iter().all(Value::is_string) => "filled".to_owned(),
        Some(_) => "no list of texts".to_owned(),
    }
}

fn field_errors(evidence: &Evidence, label: &str) -> Option<serde_json::Map<String, Value>> {
    issues(evidence, label)?.get("fieldErrors")?.as_object().cloned()
}

fn keys(evidence: &Evidence) -> String {
    let Some(errors) = field_errors(evidence, MISSING) else { return NOT_ASKED.to_owned() };
    let (top, whole) = NESTED;
    match (errors.contains_key(top), errors.contains_key(whole)) {
        (true, false) => "its top-level key".to_owned(),
        (false, true) => "its whole path".to_owned(),
        (true, true) => "both".to_owned(),
        (false, false) => "neither".to_owned(),
    }
}

fn wording(evidence: &Evidence, label: &str) -> String {
    let errors = field_errors(evidence, label);
    let first = errors.and_then(|errors| errors.values().next()?.as_array()?.first()?.as_str().map(stable));
    first.unwrap_or_else(|| "no message".to_owned())
}
