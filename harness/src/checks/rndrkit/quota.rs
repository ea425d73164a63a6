//! The monthly render quota: when it refuses, whom it concerns, what it leaves alone.

use serde_json::{Value, json};

use super::limit::{Answer, Refusal, is_served, served};
use super::{EXHAUSTION_MAX, NOT_SERVED, anonymous, as_refused_in, refresh, text, urls, valid, with_bearer};
use crate::api::Api;
use crate::checks::judge::{Judge, Seen, actual, rndrkit_error};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::Evidence;
use crate::gather::{Domain, DomainWish, Gather, Stop};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[REACHED, REJECTED];

/// Renders a month of the domains that are not used up by requests: more than a full refresh of all their pages takes.
pub(super) const MONTHLY: u64 = 100;

const REFUSED: u16 = 403;

/// A domain of whose renders so many are used.
pub(super) fn used(renders: u64) -> DomainWish {
    DomainWish::default().quota(renders, MONTHLY)
}

/// How the target words the quota's refusal: as documented, or as in this step, for a domain with no renders left.
pub(super) fn refusal<'a>(judge: &Judge<'a>, step: &str) -> Refusal<'a> {
    let own = judge.one(step).and_then(|seen| seen.exchange.response.as_ref());
    // A 429 or 503 has another cause, in the API or in front of it; and what is not served refuses everything.
    let is_refusal = |status: u16| (400..500).contains(&status) && status != 429 && !NOT_SERVED.contains(&status);
    match own.filter(|own| is_refusal(own.status)) {
        Some(own) => Refusal::quota().or_like(own),
        None => Refusal::quota(),
    }
}

/// True if a step was answered with the quota's refusal.
pub(super) fn is_refused(judge: &Judge<'_>, step: &str, refusal: Refusal<'_>) -> bool {
    judge.one(step).is_some_and(|seen| refusal.read(seen.exchange) == Answer::Refused)
}

/// Reads a domain's state, where the fixtures can; what it costs is not asked for where they cannot.
async fn inspect_if_offered(g: &mut Gather, label: &str, domain: &Domain) -> Result<(), Stop> {
    if g.world().methods.contains(&Method::DomainInspect) {
        g.inspect_domain(label, domain).await?;
    }
    Ok(())
}

/// What an inspection shows as used.
fn renders_used(evidence: &Evidence, inspection: &str) -> Option<u64> {
    evidence.fixture(inspection)?.result.as_ref()?.get("renders_used")?.as_u64()
}

const REACHED: Check = Check {
    id: "rndrkit/quota/reached",
    rules: &[
        "rndrkit.quota.reached",
        "rndrkit.quota.below-limit",
        "rndrkit.quota.full-refresh",
        "rndrkit.quota.per-domain",
    ],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_reached(g)),
    judge: judge_reached,
    sabotages: &[
        Sabotage {
            defect: "refuses only above the limit",
            turns_red: &["rndrkit.quota.reached"],
            apply: |evidence| {
                evidence.answer("at", 200, &json!({"message": text::QUEUED}));
                evidence.answer("at-full", 200, &json!({"message": text::STARTED}));
            },
        },
        Sabotage {
            defect: "refuses only at the very limit",
            turns_red: &["rndrkit.quota.reached"],
            apply: |evidence| evidence.answer("above", 200, &json!({"message": text::QUEUED})),
        },
        Sabotage {
            defect: "words the refusal otherwise",
            turns_red: &["rndrkit.quota.reached"],
            apply: |evidence| {
                for step in ["at", "above", "at-full"] {
                    evidence.answer(step, REFUSED, &json!({"error": "Render limit reached"}));
                }
            },
        },
        Sabotage {
            defect: "refuses with 402",
            turns_red: &["rndrkit.quota.reached"],
            apply: |evidence| {
                for step in ["at", "above", "at-full"] {
                    evidence.answer(step, 402, &json!({"error": text::QUOTA}));
                }
            },
        },
        Sabotage {
            defect: "refuses the last render of the month",
            turns_red: &["rndrkit.quota.below-limit"],
            apply: |evidence| evidence.answer("below", REFUSED, &json!({"error": text::QUOTA})),
        },
        Sabotage {
            defect: "looks at the quota for lists only",
            turns_red: &["rndrkit.quota.full-refresh"],
            apply: |evidence| evidence.answer("at-full", 200, &json!({"message": text::STARTED})),
        },
        Sabotage {
            defect: "answers a full refresh with another text",
            turns_red: &["rndrkit.quota.full-refresh"],
            apply: |evidence| evidence.answer("at-full", REFUSED, &json!({"error": "Limit reached"})),
        },
        Sabotage {
            defect: "refuses every domain once one has no renders left",
            turns_red: &["rndrkit.quota.per-domain"],
            apply: |evidence| evidence.answer("neighbour-after", REFUSED, &json!({"error": text::QUOTA})),
        },
        Sabotage {
            defect: "adds up the renders of all domains",
            turns_red: &["rndrkit.quota.per-domain"],
            apply: |evidence| {
                for step in ["neighbour-before", "neighbour-after", "below", "full-control"] {
                    evidence.answer(step, REFUSED, &json!({"error": text::QUOTA}));
                }
            },
        },
    ],
};

async fn gather_reached(g: &mut Gather) -> Result<(), Stop> {
    g.keep_clear_of_month_end().await;
    let mut neighbour = g.domain(used(0)).await?;
    inspect_if_offered(g, "neighbour", &neighbour).await?;
    g.send(valid("neighbour-before", &mut neighbour)).await;
    let full_control = g.domain(used(0)).await?;
    g.send(refresh("full-control", &full_control.tokens[0], &everything())).await;
    for (label, renders) in [("below", MONTHLY - 1), ("above", MONTHLY + MONTHLY / 2)] {
        let mut domain = g.domain(used(renders)).await?;
        g.send(valid(label, &mut domain)).await;
    }
    let mut domain = g.domain(used(MONTHLY)).await?;
    g.send(valid("at", &mut domain)).await;
    g.send(refresh("at-full", &domain.tokens[0], &everything())).await;
    g.send(valid("neighbour-after", &mut neighbour)).await;
    Ok(())
}

/// The body of a full refresh.
pub(super) fn everything() -> Value {
    json!({"all": true})
}

fn judge_reached(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let documented = || rndrkit_error(REFUSED, text::QUOTA);
    for step in ["at", "above"] {
        judge.rule("rndrkit.quota.reached").control_fits("neighbour-before", &served()).expects(step, &[documented()]);
    }
    judge.rule("rndrkit.quota.below-limit").control_fits("neighbour-before", &served()).expects("below", &[served()]);
    let refusal = refusal(&judge, "at");
    let refused = is_refused(&judge, "at", refusal);
    let otherwise = "a list for a domain with no renders left was not refused for that";
    let same = as_refused_in(&judge, "at", "the same refusal as a list gets");
    judge
        .rule("rndrkit.quota.full-refresh")
        .control_fits("full-control", &served())
        .provided(refused, otherwise)
        .expects("at-full", &[documented(), same]);
    judge_neighbour(&mut judge, refusal, refused);
    judge.findings()
}

fn judge_neighbour(judge: &mut Judge<'_>, refusal: Refusal<'_>, refused: bool) {
    let unused = renders_used(judge.evidence(), "neighbour") == Some(0);
    let rule = judge.one("neighbour-before").zip(judge.one("neighbour-after"));
    let Some((before, after)) = rule else {
        return judge.rule("rndrkit.quota.per-domain").inconclusive("not all requests were sent");
    };
    let rule = judge.rule("rndrkit.quota.per-domain");
    let rule = rule.provided(refused, "no other domain was refused for having no renders left");
    let expected = format!("a request served for a domain that has used none of its {MONTHLY} renders");
    let read = |seen: Seen<'_>| refusal.read(seen.exchange);
    match (read(before), read(after)) {
        (Answer::Served, answer @ (Answer::Served | Answer::Refused)) => {
            rule.that(answer == Answer::Served, expected, actual(after.exchange), Some(after.at));
        }
        // Its own renders are all there, as the fixtures show: what refuses it can only be those of others.
        (Answer::Refused, _) if unused => rule.that(false, expected, actual(before.exchange), Some(before.at)),
        _ => rule.inconclusive(format!("{}, then {}", actual(before.exchange), actual(after.exchange))),
    }
}

const REJECTED: Check = Check {
    id: "rndrkit/quota/rejected",
    rules: &["rndrkit.quota.rejected-free"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_rejected(g)),
    judge: judge_rejected,
    sabotages: &[
        Sabotage {
            defect: "charges before it looks at the body",
            turns_red: &["rndrkit.quota.rejected-free"],
            apply: |evidence| evidence.answer("after", REFUSED, &json!({"error": text::QUOTA})),
        },
        Sabotage {
            defect: "charges requests that the hourly limit refuses",
            turns_red: &["rndrkit.quota.rejected-free"],
            apply: |evidence| evidence.edit_fixture("limited", |state| state["renders_used"] = json!(1)),
        },
        Sabotage {
            defect: "charges requests that the quota refuses",
            turns_red: &["rndrkit.quota.rejected-free"],
            apply: |evidence| evidence.edit_fixture("used-up", |state| state["renders_used"] = json!(MONTHLY + 1)),
        },
    ],
};

async fn gather_rejected(g: &mut Gather) -> Result<(), Stop> {
    g.keep_clear_of_month_end().await;
    let mut domain = g.domain(used(MONTHLY - 1)).await?;
    let token = domain.tokens[0].clone();
    let body = urls(&domain.fresh_pages(1));
    let invalid = urls(&["about".to_owned(), "pricing".to_owned()]);
    for _ in 0..2 {
        g.send(refresh("refused", &token, &json!({}))).await;
        g.send(refresh("refused", &token, &invalid)).await;
        g.send(anonymous("refused", &body)).await;
        g.send(anonymous("refused", &body).header("Authorization", format!("Basic {}", token.value.expose()))).await;
    }
    g.send(with_bearer(anonymous("after", &body), &token)).await;
    let mut untouched = g.domain(used(MONTHLY - 1)).await?;
    g.send(valid("control", &mut untouched)).await;
    if !g.world().methods.contains(&Method::DomainInspect) {
        return Ok(());
    }
    let mut used_up = g.domain(used(MONTHLY)).await?;
    g.send(valid("used-up/refused", &mut used_up)).await;
    g.inspect_domain("used-up", &used_up).await?;
    let mut limited = g.domain(used(0)).await?;
    // Invalid requests use the hour up without using renders.
    for _ in 0..EXHAUSTION_MAX {
        let sent = g.send(refresh("limited/spent", &limited.tokens[0], &json!({}))).await;
        if sent.is(429) {
            break;
        }
    }
    g.send(valid("limited/refused", &mut limited)).await;
    g.inspect_domain("limited", &limited).await?;
    Ok(())
}

fn judge_rejected(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let rule = "rndrkit.quota.rejected-free";
    let refused = judge.all("refused");
    let all_refused =
        !refused.is_empty() && refused.iter().all(|seen| matches!(seen.exchange.status(), Some(400..=499)));
    match judge.one("after") {
        None => judge.rule(rule).inconclusive("no valid request was sent after the refused ones"),
        Some(after) => {
            let finding = judge.rule(rule).control_fits("control", &served());
            let finding = finding.provided(all_refused, "not every one of the requests before it was refused");
            let expected = "the last render of the month still there after refused requests: a success (2xx)";
            match Refusal::quota().read(after.exchange) {
                Answer::Unclear => finding.inconclusive(actual(after.exchange)),
                answer => finding.that(answer == Answer::Served, expected, actual(after.exchange), Some(after.at)),
            }
        }
    }
    for (inspection, step, before) in [("used-up", "used-up/refused", MONTHLY), ("limited", "limited/refused", 0)] {
        // Only where the fixtures show the charge.
        let (Some(shown), Some(seen)) = (renders_used(evidence, inspection), judge.one(step)) else { continue };
        let was_refused = matches!(seen.exchange.status(), Some(400..=499)) && !is_served(seen.exchange);
        let finding = judge.rule(rule).provided(was_refused, "the request was not refused");
        let expected = format!("`renders_used` is {before} after a refused request, as before it");
        finding.that(shown == before, expected, format!("`renders_used` is {shown}"), Some(seen.at));
    }
    judge.findings()
}
