//! The hourly limit when many requests arrive at once.

use serde_json::json;

use super::limit::{Answer, Measured, TOKENS, all_inconclusive, count_served, is_served, measured, served, spend};
use super::volley::{Ceiling, Flown, VOLLEYS_MIN, Volley, ceiling, change_first, in_numbers, send_volleys};
use super::{EXHAUSTION_MAX, LIMIT, text, valid};
use crate::api::Api;
use crate::checks::judge::{Judge, Seen, actual};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Evidence, Response};
use crate::gather::{DomainWish, Gather, Stop};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[CONCURRENT];

pub(super) const CEILING: &str = "rndrkit.rate.concurrent-ceiling";
const EXACT: &str = "rndrkit.rate.concurrent-exact";

/// More requests at once than an hour admits, and as many afterwards.
pub(super) const VOLLEY: Volley = Volley { size: EXHAUSTION_MAX, overlap_over: LIMIT, follow_up: EXHAUSTION_MAX };

const CONCURRENT: Check = Check {
    id: "rndrkit/rate/concurrent",
    rules: &[CEILING, EXACT],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_concurrent(g)),
    judge: judge_concurrent,
    sabotages: &[
        Sabotage {
            defect: "reads the count, decides, and writes it back",
            turns_red: &[CEILING],
            apply: |evidence| {
                let served = Response::json_of(200, &json!({"message": text::QUEUED}));
                change_first(evidence, "volley-3", |exchange| !is_served(exchange), &served);
            },
        },
        Sabotage {
            defect: "loses counts of requests that arrive at once and serves others in their place",
            turns_red: &[CEILING],
            apply: |evidence| evidence.answer("volley-2/after", 200, &json!({"message": text::QUEUED})),
        },
        Sabotage {
            defect: "refuses a request when two of them meet",
            turns_red: &[EXACT],
            apply: |evidence| {
                let refused = Response::json_of(429, &json!({"error": text::RATE}));
                change_first(evidence, "volley-4", is_served, &refused);
            },
        },
        Sabotage {
            defect: "breaks off a request when two of them meet",
            turns_red: &[EXACT],
            apply: |evidence| {
                let conflict = Response::json_of(500, &json!({"error": "could not serialize access"}));
                change_first(evidence, "volley-1", is_served, &conflict);
            },
        },
    ],
};

async fn gather_concurrent(g: &mut Gather) -> Result<(), Stop> {
    let mut one_by_one = g.domain(DomainWish::default().tokens(TOKENS)).await?;
    spend(g, "sequence", &mut one_by_one).await;
    send_volleys(g, &DomainWish::default(), &VOLLEY).await?;
    let mut witness = g.domain(DomainWish::default()).await?;
    g.send(valid("witness", &mut witness)).await;
    Ok(())
}

fn judge_concurrent(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    // The same requests one after another: a count for each token, or a limit of eleven, is no race.
    match measured(&judge, "sequence") {
        Err(why) => all_inconclusive(&mut judge, CONCURRENT.rules, &why),
        Ok(limit) => {
            let volleys = Flown::all(&judge);
            judge_ceiling(&mut judge, &limit, &volleys);
            judge_exact(&mut judge, &limit, &volleys);
        }
    }
    judge.findings()
}

/// Judges that no volley was served more than a window admits.
pub(super) fn judge_ceiling(judge: &mut Judge<'_>, limit: &Measured<'_>, volleys: &[Flown<'_>]) {
    let most = limit.served.max(LIMIT);
    let expected = format!("never more than {most} requests for a domain served in a window");
    let found = in_numbers(volleys);
    let first = volleys.first().and_then(|flown| flown.at_once.first()).map(|seen| seen.at);
    let outcome = ceiling(judge.evidence(), volleys, most, most);
    let rule = judge.rule(CEILING);
    match outcome {
        Ceiling::Holds => rule.that(true, expected, found, first),
        Ceiling::Exceeded(seen) => rule.that(false, expected, found, Some(seen.at)),
        Ceiling::Unknown(why) => rule.inconclusive(format!("{why}; {found}")),
    }
}

fn judge_exact(judge: &mut Judge<'_>, limit: &Measured<'_>, volleys: &[Flown<'_>]) {
    let least = limit.served.min(LIMIT);
    let evidence = judge.evidence();
    let rule = judge.rule(EXACT).control_fits("witness", &served());
    let overlapping = volleys.iter().filter(|flown| flown.overlaps(least));
    let overlapping: Vec<&Flown<'_>> = overlapping.filter(|flown| flown.is_in_one_window(evidence)).collect();
    if overlapping.len() < VOLLEYS_MIN {
        let count = overlapping.len();
        return rule.inconclusive(format!("only {count} volleys overlapped, and {VOLLEYS_MIN} are needed"));
    }
    let short = |flown: &&Flown<'_>| count_served(&flown.at_once) + unanswered(&flown.at_once) < least;
    let too_few: Vec<&Flown<'_>> = overlapping.into_iter().filter(short).collect();
    // Something in front of the API may have turned requests away.
    let in_front = too_few.iter().flat_map(|flown| &flown.at_once).find(|seen| {
        let away = seen.exchange.is(429) || seen.exchange.is(503);
        away && limit.refusal.read(seen.exchange) == Answer::Unclear
    });
    if let Some(seen) = in_front {
        return rule.inconclusive(format!("a request was neither served nor limited: {}", actual(seen.exchange)));
    }
    let expected = format!("no fewer than {least} of the requests that arrive at once served");
    let at = too_few.first().and_then(|flown| flown.at_once.iter().find(|seen| !is_served(seen.exchange)));
    let any = volleys.first().and_then(|flown| flown.at_once.first());
    rule.that(too_few.is_empty(), expected, in_numbers(volleys), at.or(any).map(|seen| seen.at));
}

fn unanswered(series: &[Seen<'_>]) -> usize {
    series.iter().filter(|seen| seen.exchange.response.is_none()).count()
}
