//! What the hourly count must not lose: full refreshes count like lists, and the end of a token gives nothing back.

use serde_json::json;

use super::limit::{
    Answer, Measured, count_served, find_limit, in_numbers, leading, measured, spend, surely_in_one_window,
};
use super::{LIMIT, offers, refresh, text, valid_with};
use crate::api::Api;
use crate::checks::judge::{Judge, Seen, actual};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::Evidence;
use crate::gather::{DomainWish, Gather, Stop};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[KEPT];

const TEN: &str = "rndrkit.rate.ten-per-hour";

/// The domains' tokens, which take turns: a target that counts each apart breaks another rule, not this one.
const TOKENS: usize = 2;

/// Full refreshes before the lists: enough to be seen, few enough that lists remain, and as many with each token.
const FULL_FIRST: usize = LIMIT / 2 / TOKENS * TOKENS;

const KEPT: Check = Check {
    id: "rndrkit/rate/kept",
    rules: &[TEN],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_kept(g)),
    judge: judge_kept,
    sabotages: &[
        Sabotage {
            defect: "does not count full refreshes",
            turns_red: &[TEN],
            apply: |evidence| {
                let (_, one) = evidence.step("after-full").next().expect("lists were sent after the full refreshes");
                let one = one.clone();
                let at = evidence.exchanges.iter().position(|exchange| exchange.label == "after-full");
                evidence.exchanges.insert(at.unwrap_or_default(), one);
            },
        },
        Sabotage {
            defect: "forgets the count when a token is revoked",
            turns_red: &[TEN],
            apply: |evidence| evidence.answer("after-revocation", 200, &json!({"message": text::QUEUED})),
        },
    ],
};

async fn gather_kept(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default().tokens(TOKENS)).await?;
    find_limit(g, "lists", &mut domain).await;
    if offers(g, Method::TokenRevoke) {
        g.revoke(&domain, &domain.tokens[0]).await?;
        g.send(valid_with("after-revocation", &mut domain, 1)).await;
    }
    let mut mixed = g.domain(DomainWish::default().tokens(TOKENS)).await?;
    for turn in 0..FULL_FIRST {
        let full = refresh("full", &mixed.tokens[turn % TOKENS], &json!({"all": true}));
        g.send(full).await;
    }
    spend(g, "after-full", &mut mixed).await;
    Ok(())
}

fn judge_kept(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    match measured(&judge, "lists") {
        Err(why) => judge.rule(TEN).inconclusive(why),
        Ok(limit) => {
            judge_full(&mut judge, &limit);
            judge_spent(&mut judge, &limit, ["lists", "after-revocation"], "a token was revoked");
        }
    }
    judge.findings()
}

/// That the limit is ten is judged elsewhere; here as many must be served as of lists alone.
fn judge_full(judge: &mut Judge<'_>, limit: &Measured<'_>) {
    let (full, after) = (judge.all("full"), judge.all("after-full"));
    let within = surely_in_one_window(judge.evidence(), &[&full[..], &after[..]].concat());
    let rule = judge
        .rule(TEN)
        .provided(full.len() == count_served(&full), "not every full refresh was served")
        .provided(within, "the requests may have taken longer than a window");
    let left = limit.served.saturating_sub(full.len());
    let Some(end) = after.get(leading(&after)).or(after.last()) else {
        return rule.inconclusive("no list was sent after the full refreshes");
    };
    if left == 0 {
        return rule.inconclusive(format!("only {} requests are served in a window", limit.served));
    }
    if limit.refusal.read(end.exchange) == Answer::Unclear {
        return rule.inconclusive(format!("a request was neither served nor limited: {}", actual(end.exchange)));
    }
    let expected =
        format!("{left} lists served after {} full refreshes, where {} are without", full.len(), limit.served);
    rule.that(leading(&after) == left, expected, in_numbers(&after), Some(end.at));
}

/// Once the requests of a window are spent, nothing brings them back in it.
fn judge_spent(judge: &mut Judge<'_>, limit: &Measured<'_>, [spent, after]: [&str; 2], change: &str) {
    let Some(seen) = judge.one(after) else { return };
    let before: Vec<Seen<'_>> = judge.all(spent);
    let is_spent = before.last().is_some_and(|last| limit.refusal.read(last.exchange) == Answer::Refused);
    let within = surely_in_one_window(judge.evidence(), &[&before[..], &[seen]].concat());
    let rule = judge
        .rule(TEN)
        .provided(is_spent, "the requests of the window were not seen to be spent")
        .provided(within, "it may have come after the window");
    match limit.refusal.read(seen.exchange) {
        Answer::Unclear => rule.inconclusive(format!("after {change}: {}", actual(seen.exchange))),
        answer => {
            let expected = format!("no request served once the window's are spent, although {change}");
            rule.that(answer == Answer::Refused, expected, actual(seen.exchange), Some(seen.at));
        }
    }
}
