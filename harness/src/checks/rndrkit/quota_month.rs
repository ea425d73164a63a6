//! The month of the render quota: a used-up quota stays so for the rest of it, and not for longer.
//!
//! The only check of the quota that lets time pass. When exactly a month ends is open (the calendar's, in some time zone, or a billing
//! period), so it looks early in a calendar month, and again after 62 days, in which every kind of month ends.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::limit::{Answer, Refusal, served};
use super::quota::{MONTHLY, is_refused, refusal, used};
use super::{EDGE_MS, WINDOW_MS, text, valid};
use crate::api::Api;
use crate::checks::judge::{Judge, actual};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{ClockKind, Evidence, Exchange, FixtureCall};
use crate::gather::{Gather, Stop};
use crate::target::protocol::{ClockNow, Method};
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[MONTH];

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// The first look back, at a moment that the checks of the hourly window share.
const AN_HOUR_LATER: u64 = WINDOW_MS + EDGE_MS;

/// The second look back. Past the day by more than a moment, so that a quota of a day has surely been given back.
const A_DAY_LATER: u64 = DAY_MS + HOUR_MS;

/// Two of the longest months.
const TWO_MONTHS_MS: u64 = 62 * DAY_MS;

/// How much earlier or later than in UTC a month can begin in the target's time zone (UTC+14 to UTC-12, rounded up).
const ZONES_MS: u64 = 15 * HOUR_MS;

/// Looks at whether requests are accepted again, so few that the hourly limit does not interfere.
const LOOKS: u32 = 3;

const MONTHLY_RULE: &str = "rndrkit.quota.monthly";

const MONTH: Check = Check {
    id: "rndrkit/quota/month",
    rules: &[MONTHLY_RULE],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate, Method::ClockAdvance]).passing(TWO_MONTHS_MS),
    gather: |g| Box::pin(gather_month(g)),
    judge: judge_month,
    sabotages: &[
        Sabotage {
            defect: "gives the renders back every hour",
            turns_red: &[MONTHLY_RULE],
            apply: |evidence| evidence.answer("hour", 200, &json!({"message": text::QUEUED})),
        },
        Sabotage {
            defect: "gives the renders back every day",
            turns_red: &[MONTHLY_RULE],
            apply: |evidence| evidence.answer("day", 200, &json!({"message": text::QUEUED})),
        },
        Sabotage {
            defect: "never gives the renders back",
            turns_red: &[MONTHLY_RULE],
            apply: |evidence| evidence.answer("later", 403, &json!({"error": text::QUOTA})),
        },
    ],
};

async fn gather_month(g: &mut Gather) -> Result<(), Stop> {
    if g.evidence().clock == ClockKind::System {
        return Ok(());
    }
    let mut control = g.domain(used(0)).await?;
    let sent = g.send(valid("control", &mut control)).await;
    let now = ask_time(g).await?;
    if let Some(wait) = wait_for_room(now) {
        g.wait_after(&sent, wait).await?;
        ask_time(g).await?;
    }
    let mut domain = g.domain(used(MONTHLY)).await?;
    let start = g.send(valid("start", &mut domain)).await;
    g.wait_after(&start, AN_HOUR_LATER).await?;
    g.send(valid("hour", &mut domain)).await;
    g.wait_after(&start, A_DAY_LATER).await?;
    g.send(valid("day", &mut domain)).await;
    g.wait_after(&start, TWO_MONTHS_MS).await?;
    let settle = g.world().settle;
    // A job of the target may have to notice that the month is over.
    g.rounds(LOOKS, settle, |last| {
        let again = last.iter().all(|exchange| !super::limit::is_served(exchange));
        again.then(|| valid("later", &mut domain)).into_iter().collect()
    })
    .await;
    g.send(valid("control-later", &mut control)).await;
    Ok(())
}

/// What the target's clock shows; kept as evidence.
async fn ask_time(g: &mut Gather) -> Result<Timestamp, Stop> {
    let answer = g.call("now", Method::ClockAdvance, json!({"ms": 0})).await?;
    let now: ClockNow = crate::target::fixtures::read_result(Method::ClockAdvance, &answer)?;
    Ok(now.now)
}

/// Milliseconds since the calendar month began in UTC, and until it ends.
fn place_in_month(now: Timestamp) -> Option<(u64, u64)> {
    let day = now.to_zoned(TimeZone::UTC).date();
    let begin = day.first_of_month();
    let next = begin.checked_add(jiff::Span::new().months(1)).ok()?;
    let ms = |date: jiff::civil::Date| Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond());
    let now = now.as_millisecond();
    Some((u64::try_from(now - ms(begin)?).ok()?, u64::try_from(ms(next)? - now).ok()?))
}

/// How long to wait until a day and two hours fit into what is left of the month, in every time zone; `None` if they do already.
fn wait_for_room(now: Timestamp) -> Option<u64> {
    let (since, left) = place_in_month(now)?;
    if since < ZONES_MS {
        Some(ZONES_MS - since)
    } else if left < ZONES_MS + A_DAY_LATER + HOUR_MS {
        Some(left + ZONES_MS)
    } else {
        None
    }
}

/// True if the month that the target's clock showed at `now` surely lasted until `exchange` was answered.
fn is_in_month(now: &FixtureCall, exchange: &Exchange) -> bool {
    const NS_PER_MS: u64 = 1_000_000;
    let shown = now.result.as_ref().and_then(|result| result.get("now")?.as_str());
    let shown = shown.and_then(|shown| shown.parse().ok());
    let Some((since, left)) = shown.and_then(place_in_month) else { return false };
    let advanced = exchange.advanced_ms.saturating_sub(now.advanced_ms);
    let real = exchange.end_ns.saturating_sub(now.start_ns).div_ceil(NS_PER_MS);
    since >= ZONES_MS && left > ZONES_MS + advanced + real
}

fn judge_month(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    if evidence.clock == ClockKind::System {
        judge.rule(MONTHLY_RULE).not_applicable("the suite does not drive this target's clock");
        return judge.findings();
    }
    let refusal = refusal(&judge, "start");
    for (step, later) in [("hour", "an hour"), ("day", "a day")] {
        let expected = format!("still refused {later} later in the same month");
        judge_look(&mut judge, refusal, step, Answer::Refused, expected);
    }
    let expected = "accepted again after 62 days".to_owned();
    judge_look(&mut judge, refusal, "later", Answer::Served, expected);
    judge.findings()
}

fn judge_look(judge: &mut Judge<'_>, refusal: Refusal<'_>, step: &str, asked: Answer, expected: String) {
    let evidence = judge.evidence();
    let refused = is_refused(judge, "start", refusal);
    let control = if asked == Answer::Served { "control-later" } else { "control" };
    let last = judge.all(step).last().copied();
    let rule = judge
        .rule(MONTHLY_RULE)
        .control_fits(control, &served())
        .provided(refused, "a domain with no renders left was not refused for that");
    let Some(seen) = last else { return rule.inconclusive(format!("the step `{step}` was not sent")) };
    let in_month = evidence.fixture("now").is_some_and(|now| is_in_month(now, seen.exchange));
    let rule = rule.provided(in_month || asked == Answer::Served, "the month may have ended before");
    match refusal.read(seen.exchange) {
        Answer::Unclear => rule.inconclusive(actual(seen.exchange)),
        answer => rule.that(answer == asked, expected, actual(seen.exchange), Some(seen.at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[track_caller]
    fn check(now: &str, expected: Option<(u64, u64)>) {
        assert_eq!(place_in_month(time(now)), expected, "{now}");
    }

    #[test]
    fn the_place_in_a_month_is_counted_in_utc() {
        check("2026-02-01T00:00:00Z", Some((0, 28 * DAY_MS)));
        check("2028-02-29T23:00:00.000Z", Some((29 * DAY_MS - HOUR_MS, HOUR_MS)));
        check("2026-12-31T23:30:00-01:00", Some((HOUR_MS / 2, 31 * DAY_MS - HOUR_MS / 2)));
    }

    #[test]
    fn a_day_is_looked_at_only_where_it_fits_the_month_in_every_zone() {
        assert_eq!(wait_for_room(time("2026-11-15T00:00:00Z")), None);
        assert_eq!(wait_for_room(time("2026-11-01T01:00:00Z")), Some(ZONES_MS - HOUR_MS));
        assert_eq!(wait_for_room(time("2026-11-30T23:00:00Z")), Some(HOUR_MS + ZONES_MS));
        assert_eq!(wait_for_room(time("2026-11-29T07:30:00Z")), Some(40 * HOUR_MS + HOUR_MS / 2 + ZONES_MS));
        // After the wait it fits.
        assert_eq!(wait_for_room(time("2026-12-01T15:00:00Z")), None);
    }
}
