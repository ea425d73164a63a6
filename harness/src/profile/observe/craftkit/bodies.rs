//! Bodies that are odd all the same.

use super::super::reading::{NOT_ASKED, is_accepted, joined, last, said, said_of_each, size_limit};
use super::super::{grow_body, observer};
use super::ready;
use crate::api::Api;
use crate::checks::craftkit::{fresh, fresh_body, hook};
use crate::checks::{Check, Needs};
use crate::evidence::Evidence;
use crate::gather::{Gather, Stop};
use crate::target::protocol::Method;

/// The observers of this topic.
pub const OBSERVERS: &[Check] = &[BODIES];

const BODIES: Check = observer!(
    "observe/craftkit/bodies",
    Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather_bodies,
    {
        "craftkit.observe.prototype-keys" => |evidence, slug| nothing_or_said(evidence, slug, &PROTOTYPE_KEYS),
        "craftkit.observe.render-option-keys" => render_options,
        "craftkit.observe.duplicate-keys" => duplicate_keys,
        "craftkit.observe.bom" => said,
        "craftkit.observe.lone-surrogates" => said,
        "craftkit.observe.deep-nesting" => depth_limit,
        "craftkit.observe.huge-numbers" => |evidence, slug| said_of_each(evidence, slug, &HUGE),
        "craftkit.observe.body-size" => size_limit,
    }
);

/// Keys that mean something to some languages' objects.
const PROTOTYPE_KEYS: [&str; 3] = ["__proto__", "constructor", "prototype"];
/// Where a number stands that no double holds.
const HUGE: [&str; 2] = ["a field", "an unknown key"];
const HUGE_NUMBER: &str = "1e400";
/// Values within values, fewest first.
const DEPTHS: [usize; 7] = [16, 32, 64, 128, 256, 1024, 8192];
/// A render's id of a caller's choice.
const OWN_ID: &str = "0193c2c3-0000-7000-8000-000000000001";

async fn gather_bodies(g: &mut Gather) -> Result<(), Stop> {
    let template = ready(g).await?;
    let mut bodies: Vec<(String, String)> = Vec::new();
    for key in PROTOTYPE_KEYS {
        bodies.push((format!("prototype-keys/{key}"), with_key(&fresh_body(g), key, "{\"total\":1}")));
    }
    let options = with_key(&fresh_body(g), "options", "{\"format\":\"png\"}");
    bodies.push(("render-option-keys".to_owned(), with_key(&options, "jobId", &format!("\"{OWN_ID}\""))));
    // One of the two values fits and the other does not, so that the outcome tells which was read.
    let body = fresh_body(g);
    bodies.push(("duplicate-keys/good last".to_owned(), with_key(&body, "total", "\"abc\"")));
    let body = fresh_body(g).replacen("\"total\":49.95", "\"total\":49.95,\"total\":\"abc\"", 1);
    bodies.push(("duplicate-keys/good first".to_owned(), body));
    bodies.push(("bom".to_owned(), format!("\u{feff}{}", fresh_body(g))));
    bodies.push(("lone-surrogates".to_owned(), fresh_body(g).replacen("Acme", "\\ud800", 1)));
    bodies.push((format!("huge-numbers/{}", HUGE[0]), fresh_body(g).replacen("49.95", HUGE_NUMBER, 1)));
    bodies.push((format!("huge-numbers/{}", HUGE[1]), with_key(&fresh_body(g), "unknown", HUGE_NUMBER)));
    for (label, body) in bodies {
        g.send(hook(&label, &template, body)).await;
    }
    for depth in DEPTHS {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let body = with_key(&fresh_body(g), "unknown", &deep);
        let sent = g.send(hook(&format!("deep-nesting/{depth}"), &template, body)).await;
        if !crate::checks::craftkit::is_accepted(&sent) {
            break;
        }
    }
    grow_body(g, "body-size", |g, label, bytes| {
        let padding = format!("\"{} {}\"", fresh(g), "a".repeat(bytes));
        let body = with_key(&fresh_body(g), "unknown", &padding);
        hook(&label, &template, body)
    })
    .await;
    Ok(())
}

/// The body with one more key in front.
fn with_key(body: &str, key: &str, value: &str) -> String {
    body.replacen('{', &format!("{{\"{key}\":{value},"), 1)
}

/// `nothing`, where bodies with such keys are accepted like any other.
fn nothing_or_said(evidence: &Evidence, slug: &str, keys: &[&str]) -> String {
    let each = |key: &&str| {
        let label = format!("{slug}/{key}");
        if is_accepted(evidence, &label) { "nothing".to_owned() } else { said(evidence, &label) }
    };
    let values: Vec<String> = keys.iter().map(each).collect();
    joined(keys, &values)
}

fn render_options(evidence: &Evidence, slug: &str) -> String {
    let Some(exchange) = last(evidence, slug) else { return NOT_ASKED.to_owned() };
    let id = exchange.json().and_then(|body| body.get("id").cloned());
    match (is_accepted(evidence, slug), id == Some(OWN_ID.into())) {
        (true, true) => "no: `jobId` becomes the id".to_owned(),
        (true, false) => "yes".to_owned(),
        (false, _) => said(evidence, slug),
    }
}

fn duplicate_keys(evidence: &Evidence, slug: &str) -> String {
    let accepted = |place: &str| is_accepted(evidence, &format!("{slug}/good {place}"));
    match (accepted("first"), accepted("last")) {
        (false, true) => "the last".to_owned(),
        (true, false) => "the first".to_owned(),
        (true, true) => "unknown: both orders are accepted".to_owned(),
        (false, false) => said(evidence, &format!("{slug}/good last")),
    }
}

fn depth_limit(evidence: &Evidence, slug: &str) -> String {
    let mut accepted = 0;
    for depth in DEPTHS {
        let label = format!("{slug}/{depth}");
        if !is_accepted(evidence, &label) {
            return format!("accepted: {accepted}; {depth}: {}", said(evidence, &label));
        }
        accepted = depth;
    }
    format!("accepted: {accepted}")
}
