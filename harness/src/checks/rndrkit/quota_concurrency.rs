//! The render quota when many requests arrive at once.
//!
//! Judged only where requests one after another show that acceptance itself is charged. Otherwise a request that arrives while earlier
//! ones still wait for their rendering is rightly accepted.

use serde_json::json;

use super::limit::{Answer, LIST_MAX, Refusal, in_numbers, is_served, leading};
use super::quota::{MONTHLY, is_refused, refusal, used};
use super::volley::{Ceiling, Flown, Volley, ceiling, change_first, in_numbers as volleys_in_numbers, send_volleys};
use super::{LIMIT, refresh, text, urls, valid};
use crate::api::Api;
use crate::checks::judge::{Judge, Seen, actual};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Evidence, Response};
use crate::gather::{DomainWish, Gather, Stop};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[CONCURRENT];

const CEILING: &str = "rndrkit.quota.concurrent-ceiling";

/// Renders left when a volley arrives.
const LEFT: usize = 4;

/// With the one request afterwards no more than an hour admits, so that the quota alone decides.
const VOLLEY: Volley = Volley { size: LIMIT - 1, overlap_over: LEFT, follow_up: 1 };

/// A renderer may be done in this time, if it is a stub. What is seen charged sooner was charged on acceptance.
const RENDER_MS: u64 = 25;

/// Pairs of single requests, each for a domain with one render left, that look again how soon a charge shows: on a busy machine answers
/// are late now and then, and as many are sent wherever it is, so that two runs with one seed send the same.
const PAIR: &str = "pair";
const PAIRS: usize = 8;

/// Rows of single requests that must show the charge; one could be a coincidence with a fast renderer.
const ROWS: [&str; 3] = ["row-1", "row-2", "row-3"];

const CONCURRENT: Check = Check {
    id: "rndrkit/quota/concurrent",
    rules: &[CEILING],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_concurrent(g)),
    judge: judge_concurrent,
    sabotages: &[
        Sabotage {
            defect: "reads what is used, decides, and adds to it later",
            turns_red: &[CEILING],
            apply: |evidence| {
                answer_soon(evidence);
                let served = Response::json_of(200, &json!({"message": text::QUEUED}));
                change_first(evidence, "volley-2", |exchange| !is_served(exchange), &served);
            },
        },
        Sabotage {
            defect: "loses charges of requests that arrive at once",
            turns_red: &[CEILING],
            apply: |evidence| {
                answer_soon(evidence);
                evidence.answer("volley-5/after", 200, &json!({"message": text::QUEUED}));
            },
        },
    ],
};

/// As if the machine had nothing else to do when the list was charged.
fn answer_soon(evidence: &mut Evidence) {
    const ANSWER_NS: u64 = 1_000_000;
    let mut at_ns = None;
    for label in ["long-list", "after-list"] {
        evidence.edit(label, |exchange| {
            exchange.start_ns = at_ns.unwrap_or(exchange.start_ns);
            exchange.end_ns = exchange.start_ns + ANSWER_NS;
            at_ns = Some(exchange.end_ns);
        });
    }
}

async fn gather_concurrent(g: &mut Gather) -> Result<(), Stop> {
    g.keep_clear_of_month_end().await;
    let few = DomainWish::default().quota(0, LEFT as u64);
    let mut used_up = g.domain(used(MONTHLY)).await?;
    g.send(valid("used-up", &mut used_up)).await;
    for row in ROWS {
        let mut domain = g.domain(few.clone()).await?;
        for _ in 0..=LEFT {
            g.send(valid(row, &mut domain)).await;
        }
    }
    let mut domain = g.domain(DomainWish::default().quota(0, LIST_MAX as u64)).await?;
    let list = urls(&domain.fresh_pages(LIST_MAX));
    g.send(refresh("long-list", &domain.tokens[0], &list)).await;
    g.send(valid("after-list", &mut domain)).await;
    for _ in 0..PAIRS {
        let mut domain = g.domain(DomainWish::default().quota(0, 1)).await?;
        for _ in 0..2 {
            g.send(valid(PAIR, &mut domain)).await;
        }
    }
    if !charges_at_once(&Judge::new(g.evidence())) {
        return Ok(());
    }
    send_volleys(g, &few, &VOLLEY).await
}

/// True if single requests show that each accepted page is charged before the next request is decided.
fn charges_at_once(judge: &Judge<'_>) -> bool {
    let refusal = refusal(judge, "used-up");
    let exact = |row: &&str| {
        let series = judge.all(row);
        let refused = series.get(LEFT).is_some_and(|seen| refusal.read(seen.exchange) == Answer::Refused);
        refused && leading(&series) == LEFT
    };
    // A long list takes a renderer longer than one page does.
    let list = judge.one("long-list").is_some_and(|seen| is_served(seen.exchange));
    let pairs = judge.all(PAIR);
    let mut seconds = pairs.iter().skip(1).step_by(2);
    let pairs_exact = seconds.all(|seen| refusal.read(seen.exchange) == Answer::Refused);
    ROWS.iter().all(exact) && list && is_refused(judge, "after-list", refusal) && pairs_exact
}

/// The shortest time (ms) in which single requests showed a charge, from sending the last one that was served to the answer that
/// refused the next.
fn charged_within_ms(judge: &Judge<'_>) -> u64 {
    const NS_PER_MS: u64 = 1_000_000;
    let rows = ROWS.iter().filter_map(|row| {
        let series = judge.all(row);
        Some((*series.get(LEFT - 1)?, *series.get(LEFT)?))
    });
    let more = judge.all(PAIR);
    let more = more.chunks_exact(2).map(|pair| (pair[0], pair[1]));
    let pairs = rows.chain(judge.one("long-list").zip(judge.one("after-list"))).chain(more);
    let took =
        |(served, refused): (Seen<'_>, Seen<'_>)| refused.exchange.end_ns.saturating_sub(served.exchange.start_ns);
    pairs.map(took).min().unwrap_or(u64::MAX) / NS_PER_MS
}

fn judge_concurrent(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let refusal = refusal(&judge, "used-up");
    if let Some(why) = doubt(&judge, refusal) {
        judge.rule(CEILING).inconclusive(why);
        return judge.findings();
    }
    if !charges_at_once(&judge) {
        let rows: Vec<String> = ROWS.iter().map(|row| in_numbers(&judge.all(row))).collect();
        judge.rule(CEILING).not_applicable(format!(
            "requests one after another do not show that acceptance is charged at once: with {LEFT} renders left {}",
            rows.join("; ")
        ));
        return judge.findings();
    }
    let volleys = Flown::all(&judge);
    let expected = format!("never more than the {LEFT} renders that are left");
    let found = volleys_in_numbers(&volleys);
    let first = volleys.first().and_then(|flown| flown.at_once.first()).map(|seen| seen.at);
    let outcome = ceiling(evidence, &volleys, LEFT, LEFT);
    let within_ms = charged_within_ms(&judge);
    let rule = judge.rule(CEILING);
    match outcome {
        Ceiling::Holds => rule.that(true, expected, found, first),
        Ceiling::Exceeded(_) if within_ms >= RENDER_MS => rule.inconclusive(format!(
            "single requests show a charge only after {within_ms} ms, in which a renderer may have rendered and charged, too; {found}"
        )),
        Ceiling::Exceeded(seen) => rule.that(false, expected, found, Some(seen.at)),
        Ceiling::Unknown(why) => rule.inconclusive(format!("{why}; {found}")),
    }
    judge.findings()
}

/// Why the single requests say neither that acceptance is charged at once nor that it is not.
fn doubt(judge: &Judge<'_>, refusal: Refusal<'_>) -> Option<String> {
    if !is_refused(judge, "used-up", refusal) {
        return Some("a domain with no renders left was not refused for that".to_owned());
    }
    let singles = ROWS.iter().flat_map(|row| judge.all(row));
    let all: Vec<Seen<'_>> = singles.chain(judge.all("long-list")).chain(judge.all("after-list")).collect();
    let sent = ROWS.len() * (LEFT + 1) + 2;
    if all.len() < sent {
        return Some("not all single requests were sent".to_owned());
    }
    let unclear = all.iter().find(|seen| refusal.read(seen.exchange) == Answer::Unclear)?;
    Some(format!("a request was neither served nor refused by the quota: {}", actual(unclear.exchange)))
}
