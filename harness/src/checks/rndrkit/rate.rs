//! The hourly limit within one window: how many, for whom, and what counts.

use serde_json::{Value, json};

use super::limit::{
    Answer, Measured, Refusal, TOKENS, all_inconclusive, confirm, count_served, find_limit, in_numbers, is_served,
    leading, measured, served, spend, surely_in_one_window,
};
use super::{EXHAUSTION_MAX, LIMIT, anonymous, refresh, text, urls, valid, valid_with};
use crate::api::Api;
use crate::checks::judge::{Judge, Seen, actual, rndrkit_error};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Evidence, Response};
use crate::gather::{Domain, DomainWish, Gather, Stop};
use crate::target::http::Request;
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[COUNT, SHARED, INVALID];

const UNAUTHORIZED: u16 = 401;
const TOO_MANY: u16 = 429;

/// Client errors that say something of the request's content, and not of its sender, its address or its frequency.
const NOT_ABOUT_CONTENT: [u16; 6] = [401, 403, 404, 405, 408, 429];

/// A body with neither `urls` nor `all`.
fn nothing_asked() -> Value {
    json!({})
}

/// A body whose paths all lack the slash.
fn no_valid_path() -> Value {
    urls(&["about".to_owned(), "pricing".to_owned()])
}

fn refuse(evidence: &mut Evidence, label: &str, at: usize) {
    answer_at(evidence, label, at, TOO_MANY, &json!({"error": text::RATE}));
}

fn serve(evidence: &mut Evidence, label: &str, at: usize) {
    answer_at(evidence, label, at, Api::Rndrkit.accepted_status(), &json!({"message": text::QUEUED}));
}

/// Replaces one answer of a step that has several.
fn answer_at(evidence: &mut Evidence, label: &str, at: usize, status: u16, body: &Value) {
    let mut position = 0;
    evidence.edit(label, |exchange| {
        if position == at {
            exchange.response = Some(Response::json_of(status, body));
        }
        position += 1;
    });
    assert!(at < position, "a sabotage names request {at} of `{label}`, which has {position}");
}

const COUNT: Check = Check {
    id: "rndrkit/rate/count",
    rules: &[
        "rndrkit.rate.ten-per-hour",
        "rndrkit.rate.exceeded-response",
        "rndrkit.rate.independent-domains",
        "rndrkit.rate.before-validation",
    ],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_count(g)),
    judge: judge_count,
    sabotages: &[
        Sabotage {
            defect: "serves eleven requests an hour",
            turns_red: &["rndrkit.rate.ten-per-hour"],
            apply: |evidence| {
                serve(evidence, "burst", LIMIT);
                evidence.exchanges.push(last_of(evidence, "other"));
                serve(evidence, "other", LIMIT - 1);
            },
        },
        Sabotage {
            defect: "serves nine requests an hour",
            turns_red: &["rndrkit.rate.ten-per-hour"],
            apply: |evidence| {
                refuse(evidence, "burst", LIMIT - 1);
                refuse(evidence, "other", LIMIT - 2);
            },
        },
        Sabotage {
            defect: "has no limit",
            turns_red: &["rndrkit.rate.ten-per-hour"],
            apply: |evidence| {
                for step in ["burst", "other"] {
                    evidence.answer(step, 200, &json!({"message": text::QUEUED}));
                }
            },
        },
        Sabotage {
            defect: "forgets the count when one worker hands over to another",
            turns_red: &["rndrkit.rate.ten-per-hour"],
            apply: |evidence| serve(evidence, "burst", EXHAUSTION_MAX - 1),
        },
        Sabotage {
            defect: "words the refusal otherwise",
            turns_red: &["rndrkit.rate.exceeded-response"],
            apply: |evidence| reword(evidence, TOO_MANY, "Too many requests"),
        },
        Sabotage {
            defect: "refuses with 403",
            turns_red: &["rndrkit.rate.exceeded-response"],
            apply: |evidence| reword(evidence, 403, text::RATE),
        },
        Sabotage {
            defect: "has one count for all domains",
            turns_red: &["rndrkit.rate.independent-domains"],
            apply: |evidence| {
                evidence.answer("witness", TOO_MANY, &json!({"error": text::RATE}));
                evidence.exchanges.retain(|exchange| exchange.label != "other");
            },
        },
        Sabotage {
            defect: "counts half of the requests for one domain against another",
            turns_red: &["rndrkit.rate.independent-domains"],
            apply: |evidence| refuse(evidence, "other", LIMIT / 2),
        },
        Sabotage {
            defect: "judges the body before the limit",
            turns_red: &["rndrkit.rate.before-validation"],
            apply: |evidence| evidence.answer("beyond-body", 400, &json!({"error": text::BODY})),
        },
        Sabotage {
            defect: "judges the paths before the limit",
            turns_red: &["rndrkit.rate.before-validation"],
            apply: |evidence| evidence.answer("beyond-paths", 400, &json!({"error": text::PATHS})),
        },
    ],
};

fn last_of(evidence: &Evidence, label: &str) -> crate::evidence::Exchange {
    evidence.step(label).last().expect("a sabotage names a step that the evidence has").1.clone()
}

/// Gives every refusal of the limit another form.
fn reword(evidence: &mut Evidence, status: u16, error: &str) {
    let refused = evidence.exchanges.iter_mut().filter(|exchange| exchange.is(TOO_MANY));
    for exchange in refused {
        exchange.response = Some(Response::json_of(status, &json!({ "error": error })));
    }
}

async fn gather_count(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default()).await?;
    // On past the first refusal, at last over several connections: a count that workers keep apart serves again later.
    for _ in 0..EXHAUSTION_MAX {
        g.send(valid("burst", &mut domain)).await;
    }
    confirm(g, "burst", &mut domain).await;
    g.send(refresh("beyond-body", &domain.tokens[0], &nothing_asked())).await;
    g.send(refresh("beyond-paths", &domain.tokens[0], &no_valid_path())).await;
    let mut other = g.domain(DomainWish::default()).await?;
    let first = g.send(valid("witness", &mut other)).await;
    if is_served(&first) {
        spend(g, "other", &mut other).await;
    }
    Ok(())
}

fn judge_count(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let burst = judge.all("burst");
    judge_ten(&mut judge, &burst);
    judge_exceeded(&mut judge, &burst);
    judge_independent(&mut judge, &burst);
    judge_beyond(&mut judge, &burst);
    judge.findings()
}

/// Only here it matters that the limit is ten.
fn judge_ten(judge: &mut Judge<'_>, burst: &[Seen<'_>]) {
    let evidence = judge.evidence();
    let rule = judge
        .rule("rndrkit.rate.ten-per-hour")
        // Where a domain of which nothing was asked is refused, too, the refusals above are not about this domain's count.
        .control_fits("witness", &served())
        .provided(surely_in_one_window(evidence, burst), "the requests may have taken longer than a window");
    let refusal = Refusal::rate();
    let (first, rest) = burst.split_at(LIMIT.min(burst.len()));
    let Some(eleventh) = rest.first() else { return rule.inconclusive("fewer than eleven requests were sent") };
    let unclear = first.iter().find(|seen| refusal.read(seen.exchange) == Answer::Unclear);
    let unanswered = eleventh.exchange.response.is_none().then_some(eleventh);
    if let Some(seen) = unclear.or(unanswered) {
        return rule.inconclusive(format!("a request was neither served nor limited: {}", actual(seen.exchange)));
    }
    let refused_early = first.iter().find(|seen| !is_served(seen.exchange));
    let served_late = rest.iter().find(|seen| is_served(seen.exchange));
    let wrong = refused_early.or(served_late);
    let expected = format!("the first {LIMIT} requests of a window served, and none of those after them");
    let shown = wrong.map_or(eleventh.at, |seen| seen.at);
    rule.that(wrong.is_none(), expected, in_numbers(burst), Some(shown));
}

fn judge_exceeded<'a>(judge: &mut Judge<'a>, burst: &[Seen<'a>]) {
    let (first, rest) = burst.split_at(LIMIT.min(burst.len()));
    let clean = first.iter().all(|seen| Refusal::rate().read(seen.exchange) != Answer::Unclear);
    let rule = judge
        .rule("rndrkit.rate.exceeded-response")
        .provided(clean, "among the first ten requests some were neither served nor limited");
    match rest.iter().find(|seen| !is_served(seen.exchange)) {
        Some(refused) => rule.provoked().expects_of(*refused, &[rndrkit_error(TOO_MANY, text::RATE)]),
        None => rule.inconclusive(format!("no request was refused: {}", in_numbers(burst))),
    }
}

fn judge_independent(judge: &mut Judge<'_>, burst: &[Seen<'_>]) {
    let limit = measured(judge, "burst");
    let refusal = limit.as_ref().map_or(Refusal::rate(), |limit| limit.refusal);
    let other: Vec<Seen<'_>> = [judge.all("witness"), judge.all("other")].concat();
    let rule = judge.rule("rndrkit.rate.independent-domains");
    let (one, another) = (leading(burst), leading(&other));
    let Some(spent) = burst.get(one) else {
        return rule.inconclusive(format!("no limit was met for the first domain: {}", in_numbers(burst)));
    };
    let unclear = [Some(spent), other.get(another)].into_iter().flatten();
    let mut unclear = unclear.filter(|seen| refusal.read(seen.exchange) == Answer::Unclear);
    if let Some(seen) = unclear.next() {
        return rule.inconclusive(format!("a request was neither served nor limited: {}", actual(seen.exchange)));
    }
    if other.is_empty() {
        return rule.inconclusive("nothing was asked of the second domain");
    }
    let limited = other.get(another);
    // A first request can be refused only for the sake of others; a later one also where the first domain got more than its own.
    let disturbed = limited.is_some() && (another == 0 || (limit.is_ok() && another < one));
    let expected = "as many requests served for a second domain as for the first, whose own are used up";
    let found = format!("first domain: {}; second domain: {}", in_numbers(burst), in_numbers(&other));
    rule.that(!disturbed, expected, found, limited.or(other.first()).map(|seen| seen.at));
}

fn judge_beyond(judge: &mut Judge<'_>, burst: &[Seen<'_>]) {
    let evidence = judge.evidence();
    let limit = measured(judge, "burst");
    for step in ["beyond-body", "beyond-paths"] {
        let beyond = judge.one(step);
        let rule = judge.rule("rndrkit.rate.before-validation");
        let (limit, beyond) = match (&limit, beyond) {
            (Err(why), _) => return rule.inconclusive(why),
            (_, None) => return rule.inconclusive(format!("the step `{step}` was not sent")),
            (Ok(limit), Some(beyond)) => (limit, beyond),
        };
        let spent = burst.last().is_some_and(|seen| limit.refusal.read(seen.exchange) == Answer::Refused);
        let within = surely_in_one_window(evidence, &[burst, &[beyond]].concat());
        let rule = rule
            .provided(spent, "the request before it was not limited")
            .provided(within, "it may have come after the window");
        let found = actual(beyond.exchange);
        // An unknown 429 comes from something in front of the API.
        let judged = matches!(beyond.exchange.status(), Some(400..=499)) && !beyond.exchange.is(TOO_MANY);
        match limit.refusal.read(beyond.exchange) {
            Answer::Unclear if !judged => rule.inconclusive(found),
            Answer::Served => rule.inconclusive(format!("the invalid body was accepted: {found}")),
            answer => {
                let expected = "the limit's refusal, as for a valid request";
                rule.that(answer == Answer::Refused, expected, found, Some(beyond.at));
            }
        }
    }
}

const SHARED: Check = Check {
    id: "rndrkit/rate/tokens",
    rules: &["rndrkit.rate.shared-across-tokens", "rndrkit.rate.unauthenticated-free"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_tokens(g)),
    judge: judge_tokens,
    sabotages: &[
        Sabotage {
            defect: "keeps a count for each token",
            turns_red: &["rndrkit.rate.shared-across-tokens"],
            apply: |evidence| evidence.answer("spread", 200, &json!({"message": text::QUEUED})),
        },
        Sabotage {
            defect: "shares one count among all tokens but one",
            turns_red: &["rndrkit.rate.shared-across-tokens"],
            apply: |evidence| serve(evidence, "spread", EXHAUSTION_MAX - 1),
        },
        Sabotage {
            defect: "counts requests whose credentials it refuses",
            turns_red: &["rndrkit.rate.unauthenticated-free"],
            apply: |evidence| refuse(evidence, "after-unauthenticated", 0),
        },
        Sabotage {
            defect: "counts one kind of request whose credentials it refuses",
            turns_red: &["rndrkit.rate.unauthenticated-free"],
            apply: |evidence| refuse(evidence, "after-unauthenticated", LIMIT - EACH_UNAUTHENTICATED),
        },
    ],
};

/// How often each kind of wrong credentials is sent; with four kinds, more than a window admits.
const EACH_UNAUTHENTICATED: usize = 3;

async fn gather_tokens(g: &mut Gather) -> Result<(), Stop> {
    let mut alone = g.domain(DomainWish::default()).await?;
    find_limit(g, "single", &mut alone).await;
    let mut shared = g.domain(DomainWish::default().tokens(TOKENS)).await?;
    for number in 0..EXHAUSTION_MAX {
        let token = number % shared.tokens.len();
        g.send(valid_with("spread", &mut shared, token)).await;
    }
    let mut strange = g.domain(DomainWish::default()).await?;
    for _ in 0..EACH_UNAUTHENTICATED {
        for request in unauthenticated(&mut strange) {
            g.send(request).await;
        }
    }
    spend(g, "after-unauthenticated", &mut strange).await;
    let mut witness = g.domain(DomainWish::default()).await?;
    g.send(valid("witness", &mut witness)).await;
    Ok(())
}

/// Requests that have something of a live token, so that a careless limiter can tell its domain, and yet authenticate nobody.
fn unauthenticated(domain: &mut Domain) -> [Request; 4] {
    let body = urls(&domain.fresh_pages(1));
    let live = domain.tokens[0].value.expose();
    let cut: String = live.chars().take(live.chars().count().saturating_sub(1)).collect();
    let request = |authorization: String| anonymous("unauthenticated", &body).header("Authorization", authorization);
    [
        anonymous("unauthenticated", &body),
        request(format!("Basic {live}")),
        request(format!("Bearer {cut}")),
        request(format!("Bearer {live}0")),
    ]
}

fn judge_tokens(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let limit = match measured(&judge, "single") {
        Ok(limit) => limit,
        Err(why) => {
            all_inconclusive(&mut judge, SHARED.rules, &why);
            return judge.findings();
        }
    };
    judge_shared(&mut judge, &limit);
    judge_unauthenticated(&mut judge, &limit);
    judge.findings()
}

fn judge_shared(judge: &mut Judge<'_>, limit: &Measured<'_>) {
    let spread = judge.all("spread");
    let within = surely_in_one_window(judge.evidence(), &spread);
    let rule = judge
        .rule("rndrkit.rate.shared-across-tokens")
        .provided(within, "the requests may have taken longer than a window")
        .provided(leading(&spread) > 0, "not even the first request for a fresh domain was served");
    let found = format!("spread over five tokens: {}; one token alone: {} served", in_numbers(&spread), limit.served);
    let expected = "no more requests served over all tokens of a domain than over one";
    let too_many = spread.iter().filter(|seen| is_served(seen.exchange)).nth(limit.served);
    let unclear = spread.iter().find(|seen| limit.refusal.read(seen.exchange) == Answer::Unclear);
    match (too_many, unclear) {
        (Some(seen), _) => rule.that(false, expected, found, Some(seen.at)),
        (None, Some(seen)) => {
            rule.inconclusive(format!("a request was neither served nor limited: {}", actual(seen.exchange)))
        }
        (None, None) if count_served(&spread) < limit.served => rule.inconclusive(found),
        (None, None) => rule.that(true, expected, found, spread.first().map(|seen| seen.at)),
    }
}

fn judge_unauthenticated(judge: &mut Judge<'_>, limit: &Measured<'_>) {
    let refused = judge.all("unauthenticated");
    let all_401 = !refused.is_empty() && refused.iter().all(|seen| seen.exchange.is(UNAUTHORIZED));
    let after = judge.all("after-unauthenticated");
    let rule = judge
        .rule("rndrkit.rate.unauthenticated-free")
        .control_fits("witness", &served())
        .provided(all_401, "not every request with wrong credentials was answered with 401");
    let first = leading(&after);
    let Some(end) = after.get(first).or(after.last()) else {
        return rule.inconclusive("nothing was asked after the requests with wrong credentials");
    };
    if limit.refusal.read(end.exchange) == Answer::Unclear {
        return rule.inconclusive(format!("a request was neither served nor limited: {}", actual(end.exchange)));
    }
    let expected = format!("{} requests served after {} that were answered with 401", limit.served, refused.len());
    rule.that(first >= limit.served, expected, in_numbers(&after), Some(end.at));
}

const INVALID: Check = Check {
    id: "rndrkit/rate/invalid",
    rules: &["rndrkit.rate.counts-invalid-body", "rndrkit.rate.counts-invalid-paths"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_invalid(g)),
    judge: judge_invalid,
    sabotages: &[
        Sabotage {
            defect: "counts a request only once its body is found valid",
            turns_red: &["rndrkit.rate.counts-invalid-body"],
            apply: |evidence| lengthen(evidence, "after-body"),
        },
        Sabotage {
            defect: "counts a request only once its paths are found valid",
            turns_red: &["rndrkit.rate.counts-invalid-paths"],
            apply: |evidence| lengthen(evidence, "after-paths"),
        },
        Sabotage {
            defect: "counts an invalid body twice",
            turns_red: &["rndrkit.rate.counts-invalid-body"],
            apply: |evidence| refuse(evidence, "after-body", 0),
        },
        Sabotage {
            defect: "counts invalid paths twice",
            turns_red: &["rndrkit.rate.counts-invalid-paths"],
            apply: |evidence| refuse(evidence, "after-paths", 0),
        },
    ],
};

/// Invalid requests sent before the valid ones: enough that none of them is overlooked, few enough that some valid ones remain.
const INVALID_FIRST: usize = 5;

/// As if the invalid requests had not counted: as many more are served.
fn lengthen(evidence: &mut Evidence, label: &str) {
    let (_, one) = evidence.step(label).next().expect("a sabotage names a step that the evidence has");
    let one = one.clone();
    let at = evidence.exchanges.iter().position(|exchange| exchange.label == label).unwrap_or_default();
    for _ in 0..INVALID_FIRST {
        evidence.exchanges.insert(at, one.clone());
    }
}

async fn gather_invalid(g: &mut Gather) -> Result<(), Stop> {
    let mut plain = g.domain(DomainWish::default()).await?;
    find_limit(g, "single", &mut plain).await;
    let kinds = [("invalid-body", "after-body", nothing_asked()), ("invalid-paths", "after-paths", no_valid_path())];
    for (invalid, after, body) in kinds {
        let mut domain = g.domain(DomainWish::default()).await?;
        for _ in 0..INVALID_FIRST {
            g.send(refresh(invalid, &domain.tokens[0], &body)).await;
        }
        spend(g, after, &mut domain).await;
    }
    let mut witness = g.domain(DomainWish::default()).await?;
    g.send(valid("witness", &mut witness)).await;
    Ok(())
}

fn judge_invalid(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    match measured(&judge, "single") {
        Err(why) => all_inconclusive(&mut judge, INVALID.rules, &why),
        Ok(limit) => {
            judge_counts(&mut judge, "rndrkit.rate.counts-invalid-body", &limit, ["invalid-body", "after-body"]);
            judge_counts(&mut judge, "rndrkit.rate.counts-invalid-paths", &limit, ["invalid-paths", "after-paths"]);
        }
    }
    judge.findings()
}

fn judge_counts(
    judge: &mut Judge<'_>,
    rule: &'static str,
    limit: &Measured<'_>,
    [invalid_step, after_step]: [&str; 2],
) {
    let evidence = judge.evidence();
    let (invalid, after) = (judge.all(invalid_step), judge.all(after_step));
    let refused_for_content = |seen: &Seen<'_>| {
        let status = seen.exchange.status().unwrap_or_default();
        (400..500).contains(&status)
            && !NOT_ABOUT_CONTENT.contains(&status)
            && limit.refusal.read(seen.exchange) == Answer::Unclear
    };
    let all_refused = invalid.len() == INVALID_FIRST && invalid.iter().all(refused_for_content);
    let within = surely_in_one_window(evidence, &[&invalid[..], &after[..]].concat());
    let rule = judge
        .rule(rule)
        .control_fits("witness", &served())
        .provided(all_refused, "not every invalid request was refused for what it holds")
        .provided(within, "the requests may have taken longer than a window");
    let left = limit.served.saturating_sub(INVALID_FIRST);
    let first = leading(&after);
    let Some(end) = after.get(first).or(after.last()) else {
        return rule.inconclusive("no valid request was sent after the invalid ones");
    };
    if left == 0 {
        return rule.inconclusive(format!("only {} requests are served in a window", limit.served));
    }
    if limit.refusal.read(end.exchange) == Answer::Unclear {
        return rule.inconclusive(format!("a request was neither served nor limited: {}", actual(end.exchange)));
    }
    let expected =
        format!("{left} valid requests served after {INVALID_FIRST} invalid ones, where {} are without", limit.served);
    rule.that(first == left, expected, in_numbers(&after), Some(end.at));
}
