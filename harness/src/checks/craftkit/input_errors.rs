//! What a refusal says about the fields at fault.

use serde_json::{Map, Value, json};

use super::bodies::{CODE, is_refusal, manifest, send_bodies, send_control, with, without};
use super::{repeated, variable};
use crate::api::Api;
use crate::checks::judge::{Judge, Seen, actual, craftkit_code, craftkit_issues};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::Evidence;
use crate::gather::{Gather, Stop};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[FIELD_ERRORS];

const ENTRY: &str = "craftkit.input.field-errors";
const ALL: &str = "craftkit.input.all-offenders";

/// Bodies with one field at fault: the step, and the first part of the path to the field.
const ONE_AT_FAULT: [(&str, &str); 9] = [
    ("lacks/title", "title"),
    ("lacks/customer.name", "customer"),
    ("lacks/order.total", "order"),
    ("wrong/count", "count"),
    ("wrong/order.total", "order"),
    ("no-array/rows", "rows"),
    ("no-object/rows.1", "rows"),
    ("lacks/rows.2.label", "rows"),
    ("wrong/rows.0.qty", "rows"),
];

/// The body with several fields at fault, and the first parts of the paths to them.
const SEVERAL: &str = "several";
const OFFENDERS: [&str; 4] = ["title", "customer", "count", "rows"];

const FIELD_ERRORS: Check = Check {
    id: "craftkit/input/field-errors",
    rules: &[ENTRY, ALL],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_field_errors(g)),
    judge: judge_field_errors,
    sabotages: &[
        Sabotage {
            defect: "refuses a body without saying what is wrong with it",
            turns_red: &[ENTRY],
            apply: |evidence| evidence.answer("lacks/title", 400, &json!({"error": {"code": CODE, "message": "no"}})),
        },
        Sabotage {
            defect: "lists issues without sorting them by field",
            turns_red: &[ENTRY],
            apply: |evidence| {
                evidence.edit_json("wrong/count", |body| body["error"]["issues"] = json!([{"path": ["count"]}]));
            },
        },
        Sabotage {
            defect: "gives one text in the place of a list of texts",
            turns_red: &[ENTRY],
            apply: |evidence| edit_field_errors(evidence, "lacks/title", |fields| fields["title"] = json!("Required")),
        },
        Sabotage {
            defect: "gives objects in the place of texts",
            turns_red: &[ENTRY],
            apply: |evidence| {
                edit_field_errors(evidence, "wrong/count", |fields| fields["count"] = json!([{"message": "wrong"}]));
            },
        },
        Sabotage {
            defect: "names a nested field by the last part of its path",
            turns_red: &[ENTRY],
            apply: |evidence| {
                edit_field_errors(evidence, "lacks/customer.name", |fields| *fields = json!({"name": ["Required"]}));
            },
        },
        Sabotage {
            defect: "names a nested field by a path of slashes",
            turns_red: &[ENTRY],
            apply: |evidence| {
                edit_field_errors(evidence, "lacks/order.total", |fields| {
                    *fields = json!({"/order/total": ["Required"]})
                });
            },
        },
        Sabotage {
            defect: "names another field that begins alike",
            turns_red: &[ENTRY],
            apply: |evidence| {
                edit_field_errors(evidence, "lacks/title", |fields| *fields = json!({"titleLine": ["Required"]}));
            },
        },
        Sabotage {
            defect: "names a loop's item by its number",
            turns_red: &[ENTRY],
            apply: |evidence| {
                edit_field_errors(evidence, "no-object/rows.1", |fields| *fields = json!({"1": ["Expected object"]}));
            },
        },
        Sabotage {
            defect: "stops at the first field at fault",
            turns_red: &[ALL],
            apply: |evidence| {
                edit_field_errors(evidence, SEVERAL, |fields| *fields = json!({"title": ["Required"]}));
            },
        },
        Sabotage {
            defect: "does not look at loops once a scalar is at fault",
            turns_red: &[ALL],
            apply: |evidence| {
                edit_field_errors(evidence, SEVERAL, |fields| {
                    fields.as_object_mut().expect("a good run has entries").retain(|key, _| !names(key, "rows"));
                });
            },
        },
    ],
};

fn edit_field_errors(evidence: &mut Evidence, label: &str, change: impl Fn(&mut Value)) {
    evidence.edit_json(label, |body| {
        let place = if body.get("issues").is_some() { "/issues/fieldErrors" } else { "/error/issues/fieldErrors" };
        change(body.pointer_mut(place).expect("a good run says which fields are at fault"));
    });
}

async fn gather_field_errors(g: &mut Gather) -> Result<(), Stop> {
    let variables = [
        variable("title", "text", true),
        variable("titleLine", "text", false),
        variable("customer.name", "text", true),
        variable("customer.email", "email", false),
        variable("count", "number", true),
        variable("order.number", "text", false),
        variable("order.total", "currency", true),
    ];
    let loops = [repeated("rows", &[variable("label", "text", true), variable("qty", "number", true)])];
    let template = g.template(&manifest(&variables, &loops), json!({})).await?;
    let body = json!({
        "title": "Stock",
        "titleLine": "in spring",
        "customer": {"name": "Acme Corp", "email": "ada@example.com"},
        "count": 3,
        "order": {"number": "A7", "total": 49.95},
        "rows": [{"label": "One", "qty": 1}, {"label": "Two", "qty": 2}, {"label": "Three", "qty": 3}],
    });
    send_control(g, "control", &template, &body).await;
    let several = without(&without(&body, "/title"), "/customer/name");
    let several = with(&with(&several, "/count", json!("abc")), "/rows/1/qty", json!("abc"));
    let cases = [
        ("lacks/title", without(&body, "/title")),
        ("lacks/customer.name", without(&body, "/customer/name")),
        ("lacks/order.total", without(&body, "/order/total")),
        ("wrong/count", with(&body, "/count", json!("abc"))),
        ("wrong/order.total", with(&body, "/order/total", json!("abc"))),
        ("no-array/rows", with(&body, "/rows", json!("Widget"))),
        ("no-object/rows.1", with(&body, "/rows/1", json!("Widget"))),
        ("lacks/rows.2.label", without(&body, "/rows/2/label")),
        ("wrong/rows.0.qty", with(&body, "/rows/0/qty", json!("abc"))),
        (SEVERAL, several),
    ];
    send_bodies(g, &template, &cases).await;
    Ok(())
}

fn judge_field_errors(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let mut all_entered = true;
    for (step, offender) in ONE_AT_FAULT {
        all_entered &= judge_entry(&mut judge, step, offender);
    }
    let seen = judge.one(SEVERAL);
    let entered = seen.and_then(field_errors).unwrap_or_default();
    let lacking: Vec<&str> = OFFENDERS.into_iter().filter(|offender| !has_entry(&entered, offender)).collect();
    let found = format!("no entry for {}, in {}", lacking.join(", "), Value::Object(entered));
    let found = if lacking.is_empty() { "an entry for each of them".to_owned() } else { found };
    judge
        .rule(ALL)
        .control("control")
        .provided(refused_for_its_data(seen), "the body with several fields at fault was not refused for its data")
        .provided(all_entered, "not even a single field at fault has an entry each time")
        .that(lacking.is_empty(), format!("entries for {}", OFFENDERS.join(", ")), found, seen.map(|seen| seen.at));
    judge.findings()
}

/// Judges the entry for one field at fault; false if it is missing or not of the documented form.
fn judge_entry(judge: &mut Judge<'_>, step: &str, offender: &str) -> bool {
    let seen = judge.one(step);
    let fields = seen.and_then(field_errors);
    let holds =
        fields.as_ref().is_some_and(|fields| has_entry(fields, offender) && fields.values().all(is_list_of_texts));
    let expected = format!(
        "`issues.fieldErrors`, at the top level or inside `error`, as an object of arrays of strings with an entry `{offender}` \
         (or that name followed by `.` or `[`)"
    );
    let found = seen.map_or("no answer".to_owned(), |seen| actual(seen.exchange));
    // Whether it is refused, and with which status and code, is the concern of other rules.
    let otherwise = format!("`{step}` was not refused for its data: {found}");
    judge.rule(ENTRY).control("control").provided(refused_for_its_data(seen), otherwise).that(
        holds,
        expected,
        found,
        seen.map(|seen| seen.at),
    );
    holds
}

/// True for a refusal that has the code of a body failing its manifest, or that has issues under whichever code.
pub(crate) fn refused_for_its_data(seen: Option<Seen<'_>>) -> bool {
    let response = seen.and_then(|seen| seen.exchange.response.as_ref()).filter(|response| is_refusal(response));
    let body = response.and_then(|response| response.json());
    body.is_some_and(|body| craftkit_code(&body) == Some(CODE) || craftkit_issues(&body).is_some())
}

/// The entries of `issues.fieldErrors`.
pub(crate) fn field_errors(seen: Seen<'_>) -> Option<Map<String, Value>> {
    let body = seen.exchange.json()?;
    craftkit_issues(&body)?.get("fieldErrors")?.as_object().cloned()
}

/// True for an entry of the documented form.
pub(crate) fn is_list_of_texts(value: &Value) -> bool {
    value.as_array().is_some_and(|texts| texts.iter().all(Value::is_string))
}

/// True if the field with this first part of its path is named.
pub(crate) fn has_entry(fields: &Map<String, Value>, offender: &str) -> bool {
    fields.keys().any(|key| names(key, offender))
}

/// True if a key of `fieldErrors` names the field with this first part of its path, in either of the usual spellings.
fn names(key: &str, offender: &str) -> bool {
    key.strip_prefix(offender).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_named_by_the_first_part_of_its_path() {
        for key in ["rows", "rows.1.qty", "rows[1].qty", "rows.1"] {
            assert!(names(key, "rows"), "{key}");
        }
        for key in ["row", "rowsOfOther", "/rows/1", "1", "qty", "data.rows", ""] {
            assert!(!names(key, "rows"), "{key}");
        }
    }
}
