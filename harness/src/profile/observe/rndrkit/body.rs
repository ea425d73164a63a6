//! Bodies and paths that the document does not speak of.

use serde_json::{Value, json};

use super::super::reading::{answer, is_accepted, joined, last, said, said_of_each};
use super::super::{ask_first, observer};
use crate::api::Api;
use crate::checks::rndrkit::{field, pages_queued, refresh, refresh_raw, text, urls};
use crate::checks::{Check, Needs};
use crate::evidence::{Evidence, Response};
use crate::gather::{DomainWish, Gather, Stop};
use crate::target::protocol::Method;

/// The observers of this topic.
pub const OBSERVERS: &[Check] = &[BODIES, PATHS];

const BODIES: Check = observer!(
    "observe/rndrkit/bodies",
    Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather_bodies,
    {
        "rndrkit.observe.urls-empty-text" => said,
        "rndrkit.observe.duplicate-paths" => duplicates,
        "rndrkit.observe.mixed-order" => mixed_order,
        "rndrkit.observe.urls-and-all" => kind,
        "rndrkit.observe.all-string" => kind,
        "rndrkit.observe.all-number" => kind,
        "rndrkit.observe.all-object" => kind,
        "rndrkit.observe.extra-keys" => extra_keys,
        "rndrkit.observe.duplicate-keys" => duplicate_keys,
        "rndrkit.observe.non-object-json" => |evidence, slug| said_of_each(evidence, slug, &NON_OBJECTS),
        "rndrkit.observe.content-type-missing" => kind,
        "rndrkit.observe.content-type-other" => kind,
    }
);

const PATHS: Check = observer!(
    "observe/rndrkit/paths",
    Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather_paths,
    {
        "rndrkit.observe.path-double-slash" => taken,
        "rndrkit.observe.path-query" => taken,
        "rndrkit.observe.path-fragment" => taken,
        "rndrkit.observe.path-dot-segments" => taken,
        "rndrkit.observe.path-spaces" => taken,
        "rndrkit.observe.path-long" => taken,
        "rndrkit.observe.path-non-ascii" => taken,
    }
);

/// JSON texts that are no objects.
const NON_OBJECTS: [&str; 5] = ["[]", "\"/page-1\"", "null", "3", "true"];

/// Length of a very long path, in characters.
const LONG: usize = 4096;

/// Valid paths after invalid ones in a list that is longer than twenty, so that the two orders give two numbers.
const INVALID: usize = 10;
const VALID: usize = 15;
/// Paths that one request may name.
const LIST_MAX: usize = 20;

async fn gather_bodies(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default()).await?;
    let token = domain.tokens[0].clone();
    ask_first(g, refresh("urls-empty-text", &token, &json!({"urls": []}))).await?;
    let page = domain.fresh_pages(1).remove(0);
    g.send(refresh("duplicate-paths", &token, &json!({"urls": [page, page]}))).await;
    let invalid = (1..=INVALID).map(|number| format!("page-{number}"));
    let mixed: Vec<String> = invalid.chain(domain.fresh_pages(VALID)).collect();
    g.send(refresh("mixed-order", &token, &urls(&mixed))).await;
    let both = json!({"urls": domain.fresh_pages(1), "all": true});
    g.send(refresh("urls-and-all", &token, &both)).await;
    for (label, all) in [("all-string", json!("true")), ("all-number", json!(1)), ("all-object", json!({}))] {
        g.send(refresh(label, &token, &json!({"all": all}))).await;
    }
    // No domain makes ten requests here: a limit would answer in the place of what is asked.
    let mut domain = g.domain(DomainWish::default()).await?;
    let token = domain.tokens[0].clone();
    let extra = json!({"urls": domain.fresh_pages(1), "note": "x", "priority": 1});
    g.send(refresh("extra-keys", &token, &extra)).await;
    let pages = domain.fresh_pages(3);
    let twice = format!("{{\"urls\":{},\"urls\":{}}}", json!(pages[..1]), json!(pages[1..]));
    g.send(refresh_raw("duplicate-keys", &token, &twice)).await;
    let missing = refresh("content-type-missing", &token, &urls(&domain.fresh_pages(1)));
    g.send(missing.without_header("Content-Type")).await;
    let other = refresh("content-type-other", &token, &urls(&domain.fresh_pages(1)));
    g.send(other.without_header("Content-Type").header("Content-Type", "text/plain")).await;
    let domain = g.domain(DomainWish::default()).await?;
    for text in NON_OBJECTS {
        g.send(refresh_raw(&format!("non-object-json/{text}"), &domain.tokens[0], text)).await;
    }
    Ok(())
}

async fn gather_paths(g: &mut Gather) -> Result<(), Stop> {
    let domain = g.domain(DomainWish::default()).await?;
    let token = &domain.tokens[0];
    let long = format!("/{}", "a".repeat(LONG));
    let paths = [
        ("path-double-slash", "//example.com/page"),
        ("path-query", "/page-1?a=b"),
        ("path-fragment", "/page-1#part"),
        ("path-dot-segments", "/page-1/../page-2"),
        ("path-spaces", "/a page"),
        ("path-long", &long),
        ("path-non-ascii", "/séité"),
    ];
    for (label, path) in paths {
        g.send(refresh(label, token, &json!({"urls": [path]}))).await;
    }
    Ok(())
}

fn response<'e>(evidence: &'e Evidence, slug: &str) -> Option<&'e Response> {
    last(evidence, slug).and_then(|exchange| exchange.response.as_ref())
}

/// How many pages an accepted list is said to queue.
fn pages(evidence: &Evidence, slug: &str) -> Option<usize> {
    let response = response(evidence, slug).filter(|response| response.is_success())?;
    let said = pages_queued(response)?;
    (1..=LIST_MAX + INVALID).find(|count| u32::try_from(*count).is_ok_and(|count| f64::from(count) == said))
}

fn duplicates(evidence: &Evidence, slug: &str) -> String {
    match pages(evidence, slug) {
        Some(1) => "counted once".to_owned(),
        Some(2) => "counted twice".to_owned(),
        _ => said(evidence, slug),
    }
}

fn mixed_order(evidence: &Evidence, slug: &str) -> String {
    const CUT_FIRST: usize = LIST_MAX - INVALID;
    match pages(evidence, slug) {
        Some(VALID) => "dropped before the cut".to_owned(),
        Some(CUT_FIRST) => "dropped after the cut".to_owned(),
        Some(other) => format!("unknown: {other} of {VALID} valid paths queued"),
        None => said(evidence, slug),
    }
}

/// Which refresh an answer announces.
pub(super) fn kind(evidence: &Evidence, slug: &str) -> String {
    let Some(response) = response(evidence, slug).filter(|response| response.is_success()) else {
        return said(evidence, slug);
    };
    let message = field(response, "message");
    if message == Some(Value::from(text::STARTED)) {
        "full refresh".to_owned()
    } else if message == Some(Value::from(text::QUEUED)) || pages_queued(response).is_some() {
        "selective refresh".to_owned()
    } else {
        said(evidence, slug)
    }
}

fn extra_keys(evidence: &Evidence, slug: &str) -> String {
    if pages(evidence, slug) == Some(1) { "nothing".to_owned() } else { said(evidence, slug) }
}

fn duplicate_keys(evidence: &Evidence, slug: &str) -> String {
    match pages(evidence, slug) {
        Some(1) => "the first".to_owned(),
        Some(2) => "the last".to_owned(),
        Some(3) => "both".to_owned(),
        _ => said(evidence, slug),
    }
}

fn taken(evidence: &Evidence, slug: &str) -> String {
    match (is_accepted(evidence, slug), pages(evidence, slug)) {
        (true, Some(1)) => "taken".to_owned(),
        (true, _) => "accepted, without a page queued for it".to_owned(),
        (false, _) => said(evidence, slug),
    }
}

/// For a refresh asked for in several spellings: each in words.
pub(super) fn kinds(evidence: &Evidence, slug: &str, names: &[&str]) -> String {
    let each = |name: &&str| last(evidence, &format!("{slug}/{name}")).map_or("unknown".to_owned(), answer);
    let said: Vec<String> = names.iter().map(each).collect();
    joined(names, &said)
}
