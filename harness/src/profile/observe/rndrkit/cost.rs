//! What refusals cost, and where an hour ends.

use serde_json::json;

use super::super::reading::{NOT_ASKED, is_accepted, last, retry_after, said};
use super::super::{ask_first, observer};
use super::{LOW_PLAN, MALFORMED, shows, spend};
use crate::api::Api;
use crate::checks::rndrkit::limit::is_served;
use crate::checks::rndrkit::{WINDOW_MS, anonymous, refresh_raw, urls, valid};
use crate::checks::{Check, Needs};
use crate::evidence::{Evidence, Exchange};
use crate::gather::{DomainWish, Gather, Stop};
use crate::target::protocol::Method;

/// The observers of this topic.
pub const OBSERVERS: &[Check] = &[LIMIT, REFUSALS, BOUNDARY];

/// Status of a request beyond the limit.
const LIMITED: u16 = 429;
/// Refused requests whose cost is looked for.
const REFUSED: usize = 3;
/// The step that finds how many requests an hour allows.
pub(super) const BASELINE: &str = "baseline";

const LIMIT: Check = observer!(
    "observe/rndrkit/limit",
    Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather_limit,
    {
        "rndrkit.observe.order-rate-json" => said,
        "rndrkit.observe.cost-malformed-json" => cost,
        "rndrkit.observe.retry-after" => |evidence, _| retry_after(evidence, BASELINE),
        "rndrkit.observe.rate-limit-headers" => |evidence, _| limit_headers(evidence),
        "rndrkit.observe.www-authenticate" => challenge,
    }
);

const REFUSALS: Check = observer!(
    "observe/rndrkit/cost",
    Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate, Method::DomainUpdate]),
    gather_refusals,
    {
        "rndrkit.observe.cost-inactive" => cost,
        "rndrkit.observe.cost-plan" => cost,
        "rndrkit.observe.cost-quota" => cost,
    }
);

const BOUNDARY: Check = observer!(
    "observe/rndrkit/boundary",
    Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]).passing(WINDOW_MS),
    gather_boundary,
    {
        "rndrkit.observe.window-boundary" => boundary,
    }
);

async fn gather_limit(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default()).await?;
    let anonymous = anonymous("www-authenticate", &urls(&domain.fresh_pages(1)));
    ask_first(g, anonymous).await?;
    spend(g, BASELINE, &mut domain).await?;
    g.send(refresh_raw("order-rate-json", &domain.tokens[0], MALFORMED)).await;
    let mut domain = g.domain(DomainWish::default()).await?;
    for _ in 0..REFUSED {
        g.send(refresh_raw("cost-malformed-json/refused", &domain.tokens[0], MALFORMED)).await;
    }
    spend(g, "cost-malformed-json/after", &mut domain).await?;
    Ok(())
}

async fn gather_refusals(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default()).await?;
    ask_first(g, anonymous("anonymous", &json!({}))).await?;
    spend(g, BASELINE, &mut domain).await?;
    let mut changed = Vec::new();
    for (slug, wish, change) in [
        ("cost-inactive", DomainWish::default().with("active", false), json!({"active": true})),
        ("cost-plan", DomainWish::default().plan(LOW_PLAN), json!({"plan": "agency_plus"})),
        ("cost-quota", DomainWish::default().quota(5, 5), json!({"monthly_render_limit": 1000})),
    ] {
        let mut domain = g.domain(wish).await?;
        for _ in 0..REFUSED {
            g.send(valid(&format!("{slug}/refused"), &mut domain)).await;
        }
        g.update_domain(&domain, change).await?;
        changed.push((slug, domain));
    }
    for (slug, mut domain) in changed {
        if shows(g, &format!("{slug}/back"), &mut domain, is_served).await {
            spend(g, &format!("{slug}/after"), &mut domain).await?;
        }
    }
    Ok(())
}

async fn gather_boundary(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default()).await?;
    let first = ask_first(g, valid("spent", &mut domain)).await?;
    spend(g, "spent", &mut domain).await?;
    g.wait_until(&first, WINDOW_MS - 1).await?;
    g.send(valid("a millisecond before", &mut domain)).await;
    g.wait_until(&first, WINDOW_MS).await?;
    g.send(valid("window-boundary", &mut domain)).await;
    Ok(())
}

/// What refused requests cost, from how many were served of a domain's hour in which some were refused for another reason.
pub(super) fn cost(evidence: &Evidence, slug: &str) -> String {
    let prefix = format!("{slug}/");
    let ours = |exchange: &&Exchange| exchange.label.starts_with(&prefix);
    let series: Vec<&Exchange> = evidence.exchanges.iter().filter(ours).collect();
    let allowed = evidence.step(BASELINE).filter(|(_, exchange)| is_served(exchange)).count();
    let until = series.iter().position(|exchange| exchange.is(LIMITED));
    let (Some(until), Some(_)) = (until, last(evidence, BASELINE)) else { return NOT_ASKED.to_owned() };
    let served = series[..until].iter().filter(|exchange| is_served(exchange)).count();
    let refused = until - served;
    match (refused, served) {
        (0, _) => "unknown: nothing was refused".to_owned(),
        (_, served) if served == allowed => "free".to_owned(),
        (refused, served) if served + refused == allowed => "counts".to_owned(),
        (refused, served) => format!("unknown: {served} of {allowed} served after {refused} refusals"),
    }
}

/// Where exactly the old hour ends. On a clock that runs on between two moves the moment cannot be met exactly.
fn boundary(evidence: &Evidence, slug: &str) -> String {
    let window = |label: &str| match last(evidence, label) {
        Some(exchange) if is_served(exchange) => "new window",
        Some(exchange) if exchange.is(LIMITED) => "old window",
        Some(_) | None => "unknown",
    };
    match (window("a millisecond before"), window(slug)) {
        ("old window", at_the_moment) => format!("in the {at_the_moment}"),
        _ => "unknown: the clock runs on, or the hour ends before".to_owned(),
    }
}

/// Names of headers about the limit, of answers within it and beyond it.
fn limit_headers(evidence: &Evidence) -> String {
    let names = |exchange: &Exchange| -> Vec<String> {
        let headers = exchange.response.iter().flat_map(|response| &response.headers);
        let about = |name: &&String| name.starts_with("x-ratelimit") || name.starts_with("ratelimit");
        headers.map(|(name, _)| name).filter(about).cloned().collect()
    };
    let mut found: Vec<String> = evidence.step(BASELINE).flat_map(|(_, exchange)| names(exchange)).collect();
    found.sort();
    found.dedup();
    if found.is_empty() { "none".to_owned() } else { found.join(", ") }
}

/// The scheme that a 401 asks for.
fn challenge(evidence: &Evidence, slug: &str) -> String {
    let Some(response) = last(evidence, slug).and_then(|exchange| exchange.response.as_ref()) else {
        return NOT_ASKED.to_owned();
    };
    if is_accepted(evidence, slug) {
        return "unknown: it was accepted".to_owned();
    }
    let scheme = response.header("www-authenticate").and_then(|value| value.split_whitespace().next());
    scheme.unwrap_or("none").to_owned()
}
