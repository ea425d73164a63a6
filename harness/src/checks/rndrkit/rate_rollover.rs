//! The hourly limit when many requests arrive at once just after a window's end, for a domain that has an old one.
//!
//! A server that counts atomically may still begin windows carelessly: two requests find the old window over, and the second of them
//! sets the count back that the first has begun.

use serde_json::json;

use super::limit::{TOKENS, is_served, measured, spend, surely_after};
use super::rate_concurrency::{CEILING, VOLLEY, judge_ceiling};
use super::volley::{Flown, VOLLEYS_MAX, VOLLEYS_MIN, change_first, send_volley};
use super::{EDGE_MS, WINDOW_MS, text, valid};
use crate::api::Api;
use crate::checks::judge::Judge;
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Evidence, Response};
use crate::gather::{Domain, DomainWish, Gather, Stop};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[ROLLOVER];

/// Just after a window's end, at a moment that the checks of the window share.
const AFTER_END: u64 = WINDOW_MS + EDGE_MS;

const ROLLOVER: Check = Check {
    id: "rndrkit/rate/rollover",
    rules: &[CEILING],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]).passing(AFTER_END).if_possible(),
    gather: |g| Box::pin(gather_rollover(g)),
    judge: judge_rollover,
    sabotages: &[
        Sabotage {
            defect: "sets the count back more than once when a window is over",
            turns_red: &[CEILING],
            apply: |evidence| {
                let served = Response::json_of(200, &json!({"message": text::QUEUED}));
                change_first(evidence, "volley-2", |exchange| !is_served(exchange), &served);
            },
        },
        Sabotage {
            defect: "loses the counts of requests that arrive while a window is begun",
            turns_red: &[CEILING],
            apply: |evidence| evidence.answer("volley-4/after", 200, &json!({"message": text::QUEUED})),
        },
    ],
};

async fn gather_rollover(g: &mut Gather) -> Result<(), Stop> {
    let mut one_by_one = g.domain(DomainWish::default().tokens(TOKENS)).await?;
    spend(g, "sequence", &mut one_by_one).await;
    let mut domains: Vec<Domain> = Vec::new();
    for _ in 0..VOLLEYS_MAX {
        domains.push(g.domain(DomainWish::default().tokens(TOKENS)).await?);
    }
    let mut last = None;
    for domain in &mut domains {
        last = Some(g.send(valid("old-window", domain)).await);
    }
    let Some(last) = last else { return Ok(()) };
    g.wait_after(&last, AFTER_END).await?;
    let mut overlapped = 0;
    for (number, domain) in (1..).zip(&mut domains) {
        overlapped += usize::from(send_volley(g, number, domain, &VOLLEY).await);
        if overlapped == VOLLEYS_MIN {
            break;
        }
    }
    Ok(())
}

fn judge_rollover(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let old = judge.all("old-window");
    let volleys = Flown::all(&judge);
    let begun = !old.is_empty() && old.iter().all(|seen| is_served(seen.exchange));
    let first = volleys.iter().flat_map(|flown| &flown.at_once).min_by_key(|seen| seen.exchange.start_ns);
    let over = first.is_some_and(|first| {
        old.iter().all(|window| surely_after(evidence, window.exchange, first.exchange, WINDOW_MS))
    });
    match measured(&judge, "sequence") {
        Err(why) => judge.rule(CEILING).inconclusive(why),
        Ok(_) if !begun => judge.rule(CEILING).inconclusive("a first request for a fresh domain was not served"),
        Ok(_) if !over => judge.rule(CEILING).inconclusive("the old windows were not surely over"),
        Ok(limit) => judge_ceiling(&mut judge, &limit, &volleys),
    }
    judge.findings()
}
