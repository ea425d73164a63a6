//! Values of which the document does not say whether they fit.

use serde_json::{Value, json};

use super::super::observer;
use super::super::reading::said;
use super::send_control;
use crate::api::Api;
use crate::checks::craftkit::{hook, is_accepted, repeated, variable};
use crate::checks::{Check, Needs};
use crate::gather::{Gather, Stop};
use crate::target::protocol::Method;

/// The observers of this topic.
pub const OBSERVERS: &[Check] = &[VALUES];

const VALUES: Check = observer!(
    "observe/craftkit/values",
    Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather_values,
    {
        "craftkit.observe.number-true" => said,
        "craftkit.observe.number-array" => said,
        "craftkit.observe.number-empty-string" => said,
        "craftkit.observe.number-null" => said,
        "craftkit.observe.boolean-one" => said,
        "craftkit.observe.text-empty" => said,
        "craftkit.observe.optional-null" => said,
        "craftkit.observe.loop-null" => said,
        "craftkit.observe.url-ftp" => said,
        "craftkit.observe.group-absent" => said,
    }
);

fn manifest() -> Value {
    json!({
        "variables": [
            variable("count", "number", true),
            variable("paid", "boolean", true),
            variable("title", "text", true),
            variable("link", "url", true),
            variable("remark", "text", false),
            variable("extra.color", "text", false),
            variable("extra.size", "text", false),
        ],
        "loops": [repeated("rows", &[variable("name", "text", true)])],
    })
}

/// A body that fits, with one value changed; `None` leaves the key out.
fn body(key: &str, value: Option<Value>) -> String {
    let mut body = json!({
        "count": 5,
        "paid": true,
        "title": "Invoice",
        "link": "https://example.com/a",
        "remark": "none",
        "extra": {"color": "red", "size": "large"},
        "rows": [{"name": "Widget"}],
    });
    match (body.as_object_mut(), value) {
        (Some(entries), Some(value)) => {
            entries.insert(key.to_owned(), value);
        }
        (Some(entries), None) => {
            entries.remove(key);
        }
        (None, _) => {}
    }
    body.to_string()
}

async fn gather_values(g: &mut Gather) -> Result<(), Stop> {
    let template = g.template(&manifest(), json!({})).await?;
    let control = send_control(g, hook("control", &template, body("title", Some(json!("Control"))))).await;
    if !is_accepted(&control) {
        return Err(Stop::Inconclusive("a body that fits its manifest was not accepted".to_owned()));
    }
    for (label, key, value) in [
        ("number-true", "count", Some(json!(true))),
        ("number-array", "count", Some(json!([]))),
        ("number-empty-string", "count", Some(json!(""))),
        ("number-null", "count", Some(Value::Null)),
        ("boolean-one", "paid", Some(json!("1"))),
        ("text-empty", "title", Some(json!(""))),
        ("optional-null", "remark", Some(Value::Null)),
        ("loop-null", "rows", Some(Value::Null)),
        ("url-ftp", "link", Some(json!("ftp://example.com/a"))),
        ("group-absent", "extra", None),
    ] {
        g.send(hook(label, &template, body(key, value))).await;
    }
    Ok(())
}
