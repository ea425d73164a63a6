//! The render quota: what is charged, when, and when its month begins.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::reading::{NOT_ASKED, is_accepted, last, said};
use super::super::{ask_first, observer};
use crate::api::Api;
use crate::checks::rndrkit::limit::is_served;
use crate::checks::rndrkit::{pages_queued, refresh, text, urls, valid};
use crate::checks::{Check, Needs};
use crate::evidence::{Evidence, Exchange};
use crate::gather::{DomainWish, Gather, Stop};
use crate::target::protocol::Method;

/// The observers of this topic.
pub const OBSERVERS: &[Check] = &[ACCEPTANCE, CHARGE, PERIOD];

const ACCEPTANCE: Check = observer!(
    "observe/rndrkit/quota",
    Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather_acceptance,
    {
        "rndrkit.observe.quota-overshoot" => overshoot,
        "rndrkit.observe.full-no-known-paths" => super::body::kind,
    }
);

const CHARGE: Check = observer!(
    "observe/rndrkit/charge",
    Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate, Method::DomainInspect]),
    gather_charge,
    {
        "rndrkit.observe.quota-unit-list" => |evidence, _| unit(evidence, "list", LIST as u64),
        "rndrkit.observe.quota-unit-full" => |evidence, _| unit(evidence, "full", KNOWN as u64),
        "rndrkit.observe.quota-charge-time" => |evidence, _| charge_time(evidence),
    }
);

const PERIOD: Check = observer!(
    "observe/rndrkit/period",
    Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate, Method::ClockAdvance]).passing(LOOKED_MAX_MS),
    gather_period,
    {
        "rndrkit.observe.quota-period" => |evidence, _| period(evidence),
    }
);

/// Renders left of a domain that is asked for more.
const LEFT: u64 = 3;
/// Pages in a list whose charge is looked at.
const LIST: usize = 5;
/// Known paths of a domain whose full refresh's charge is looked at; another number than that of the list.
const KNOWN: usize = 7;

const DAY_MS: u64 = 86_400_000;
/// Where the calendar's month begins depends on the time zone; a look is this far away from it in UTC.
const ZONES_MS: u64 = 15 * 3_600_000;
/// The domain is made on this day of a month, so that no month of its own ends near the calendar's.
const START_DAY: i8 = 10;
/// Days after the start at which no month that began there has ended, and at which all have.
const MONTH_DAYS: (u64, u64) = (27, 32);
/// Days after the start at which the month has surely changed, however it is counted.
const SURELY_DAYS: u64 = 62;
/// From the run's time to the start day takes a month at most.
const LOOKED_MAX_MS: u64 = (32 + SURELY_DAYS) * DAY_MS;

async fn gather_acceptance(g: &mut Gather) -> Result<(), Stop> {
    let mut few = g.domain(DomainWish::default().with("monthly_render_limit", LEFT)).await?;
    let list = urls(&few.fresh_pages(LIST));
    ask_first(g, refresh("quota-overshoot", &few.tokens[0], &list)).await?;
    let unknown = g.domain(DomainWish::default().pages(0)).await?;
    g.send(refresh("full-no-known-paths", &unknown.tokens[0], &json!({"all": true}))).await;
    Ok(())
}

async fn gather_charge(g: &mut Gather) -> Result<(), Stop> {
    let settle = g.world().settle;
    let wish = DomainWish::default().with("monthly_render_limit", 1000);
    let mut listed = g.domain(wish.clone()).await?;
    let whole = g.domain(wish.pages(KNOWN)).await?;
    let list = urls(&listed.fresh_pages(LIST));
    ask_first(g, refresh("list", &listed.tokens[0], &list)).await?;
    g.inspect_domain("list/at once", &listed).await?;
    g.send(refresh("full", &whole.tokens[0], &json!({"all": true}))).await;
    g.inspect_domain("full/at once", &whole).await?;
    for (step, domain, pages) in [("list", &listed, LIST), ("full", &whole, KNOWN)] {
        // Whoever charges by the request on acceptance is done at once and would only be waited for.
        let at_once = inspected(g.evidence(), &format!("{step}/at once"));
        let bound = if at_once == Some(0) { settle } else { Duration::ZERO };
        let all_charged = |seen: &Value| renders(seen).is_some_and(|used| used >= pages as u64);
        g.inspected(&format!("{step}/later"), domain, bound, all_charged).await?;
    }
    Ok(())
}

async fn gather_period(g: &mut Gather) -> Result<(), Stop> {
    let mut anchor = g.domain(DomainWish::default()).await?;
    let sent = ask_first(g, valid("anchor", &mut anchor)).await?;
    let told = g.call("now", Method::ClockAdvance, json!({"ms": 0})).await?;
    let now = told.get("now").and_then(Value::as_str).and_then(|now| now.parse::<jiff::Timestamp>().ok());
    let now = now.ok_or_else(|| Stop::NotRun("clock.advance told no time".to_owned()))?;
    let (to_start, to_month) =
        until_start(now).ok_or_else(|| Stop::NotRun("the target's clock is far off".to_owned()))?;
    g.wait_after(&sent, to_start).await?;
    let mut domain = g.domain(DomainWish::default().quota(5, 5)).await?;
    let start = g.send(valid("start", &mut domain)).await;
    let looks = [
        ("before the calendar's month", to_month.saturating_sub(ZONES_MS)),
        ("in the calendar's month", to_month + ZONES_MS),
        ("within a month", MONTH_DAYS.0 * DAY_MS),
        ("after a month", MONTH_DAYS.1 * DAY_MS),
        ("surely", SURELY_DAYS * DAY_MS),
    ];
    for (label, ms) in looks {
        g.wait_after(&start, ms).await?;
        let look = g.send(valid(label, &mut domain)).await;
        if is_served(&look) {
            break;
        }
    }
    Ok(())
}

/// Milliseconds from now to the next start day, and from there to the next month.
fn until_start(now: jiff::Timestamp) -> Option<(u64, u64)> {
    let now = now.to_zoned(jiff::tz::TimeZone::UTC);
    let this = now.date().with().day(START_DAY).build().ok()?;
    let start = if now.date() < this { this } else { this.checked_add(jiff::Span::new().months(1)).ok()? };
    let month = start.checked_add(jiff::Span::new().months(1)).ok()?.first_of_month();
    let at = |date: jiff::civil::Date| Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond());
    let (now, start, month) = (now.timestamp().as_millisecond(), at(start)?, at(month)?);
    Some((u64::try_from(start - now).ok()?, u64::try_from(month - start).ok()?))
}

fn renders(inspection: &Value) -> Option<u64> {
    inspection.get("renders_used").and_then(Value::as_u64)
}

fn inspected(evidence: &Evidence, label: &str) -> Option<u64> {
    renders(evidence.fixture(label)?.result.as_ref()?)
}

fn overshoot(evidence: &Evidence, slug: &str) -> String {
    let queued = last(evidence, slug)
        .and_then(|exchange| exchange.response.as_ref())
        .filter(|response| response.is_success())
        .and_then(pages_queued);
    match queued {
        Some(pages) if pages == LIST as f64 => "accepted in full".to_owned(),
        Some(pages) if pages == LEFT as f64 => "cut to the renders left".to_owned(),
        Some(pages) => format!("unknown: {pages} of {LIST} queued, {LEFT} left"),
        None => said(evidence, slug),
    }
}

/// By what an accepted refresh is charged.
fn unit(evidence: &Evidence, step: &str, pages: u64) -> String {
    if !is_accepted(evidence, step) {
        return said(evidence, step);
    }
    match inspected(evidence, &format!("{step}/later")) {
        Some(0) => "nothing charged while the suite waited".to_owned(),
        Some(1) => "by the request".to_owned(),
        Some(used) if used == pages => "by the page".to_owned(),
        Some(used) => format!("unknown: {used} for {pages} pages"),
        None => NOT_ASKED.to_owned(),
    }
}

/// A renderer that is quicker than the look at the quota cannot be told from a charge on acceptance.
fn charge_time(evidence: &Evidence) -> String {
    if !is_accepted(evidence, "list") {
        return said(evidence, "list");
    }
    match (inspected(evidence, "list/at once"), inspected(evidence, "list/later")) {
        (Some(0), Some(0)) => "unknown: nothing charged while the suite waited".to_owned(),
        (Some(0), Some(_)) => "later".to_owned(),
        (Some(_), _) => "on acceptance".to_owned(),
        (None, _) => NOT_ASKED.to_owned(),
    }
}

/// The first look at which the quota was there again says which month ended.
fn period(evidence: &Evidence) -> String {
    let quota =
        |exchange: &Exchange| exchange.json().is_some_and(|body| body.get("error") == Some(&Value::from(text::QUOTA)));
    let Some(start) = last(evidence, "start") else { return NOT_ASKED.to_owned() };
    if !quota(start) {
        return "unknown: the quota did not refuse at the start".to_owned();
    }
    let after = evidence.exchanges.iter().skip_while(|exchange| exchange.label != "start");
    let served = after.into_iter().find(|exchange| is_served(exchange)).map(|exchange| exchange.label.as_str());
    let words = match served {
        Some("before the calendar's month" | "within a month") => "sooner than after a month",
        Some("in the calendar's month") => "with the calendar's month",
        Some("after a month") => "with the domain: its own month, from when it was made or first used",
        Some(_) => "unknown: later than after a month",
        None => "unknown: not within two months",
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_ahead_and_the_month_after_it_is_within_it() {
        for (now, start_days) in
            [("2026-11-09T12:00:00Z", 0.5), ("2026-11-10T00:00:00Z", 30.0), ("2026-12-31T00:00:00Z", 10.0)]
        {
            let (to_start, to_month) = until_start(now.parse().expect("a time")).expect("in range");
            assert!((to_start as f64 / DAY_MS as f64 - start_days).abs() < 0.01, "{now}: {to_start}");
            assert!((18 * DAY_MS..=22 * DAY_MS).contains(&to_month), "{now}: {to_month}");
        }
    }
}
