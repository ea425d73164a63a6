//! Tokens: their prefix, how many a domain can have, and that their values are never shown again.

use serde_json::{Value, json};

use super::{anonymous, offers, refresh, text, urls, valid, valid_with};
use crate::api::Api;
use crate::checks::judge::{Judge, actual, status};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Body, Evidence, Exchange, FixtureCall, Response};
use crate::gather::{Domain, DomainWish, Gather, Stop};
use crate::target::fixtures::FixtureError;
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[PREFIX, FIVE_PER_DOMAIN, SHOWN_ONCE];

const ACCEPTED: u16 = 200;

/// How every webhook token begins ("Authentication").
const TOKEN_PREFIX: &str = "rk_wh_";

/// Live tokens that a domain can have ("Creating a Webhook Token").
const TOKENS_MAX: usize = 5;

/// Reason with which the fixtures refuse one token too many.
const TOKEN_LIMIT: &str = "token_limit";

const PREFIX: Check = Check {
    id: "rndrkit/tokens/prefix",
    rules: &["rndrkit.tokens.prefix"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_prefix(g)),
    judge: judge_prefix,
    sabotages: &[Sabotage {
        defect: "makes tokens with another prefix",
        turns_red: &["rndrkit.tokens.prefix"],
        apply: |evidence| {
            evidence.edit("beginning", |exchange| {
                for (name, value) in &mut exchange.request.headers {
                    if name.eq_ignore_ascii_case("authorization") {
                        value.clone_from(&bearer(OTHER_BEGINNING));
                    }
                }
            });
        },
    }],
};

/// What is sent in place of the beginning of a token that begins otherwise: of that one nothing may be shown.
const OTHER_BEGINNING: &str = "another-beginning";

fn bearer(beginning: &str) -> String {
    format!("Bearer {beginning}")
}

/// A judge sees no token, so the evidence shows how each begins: as documented or otherwise.
async fn gather_prefix(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default().tokens(2)).await?;
    if offers(g, Method::TokenCreate) {
        g.token("create", &mut domain).await?;
    }
    let body = urls(&domain.fresh_pages(1));
    let requests: Vec<_> = domain
        .tokens
        .iter()
        .map(|token| {
            let documented = token.value.expose().starts_with(TOKEN_PREFIX);
            let beginning = if documented { TOKEN_PREFIX } else { OTHER_BEGINNING };
            anonymous("beginning", &body).header("Authorization", bearer(beginning))
        })
        .collect();
    g.send_together(&requests).await;
    Ok(())
}

fn judge_prefix(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let rule = "rndrkit.tokens.prefix";
    let sent = judge.all("beginning");
    if sent.is_empty() {
        judge.rule(rule).inconclusive("no token was made");
    }
    for seen in sent {
        let headers = &seen.exchange.request.headers;
        let header = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let beginning = header.and_then(|(_, value)| value.strip_prefix("Bearer ")).unwrap_or_default();
        let actual = match beginning {
            TOKEN_PREFIX => format!("a token that begins with `{TOKEN_PREFIX}`"),
            _ => "a token that begins otherwise".to_owned(),
        };
        let expected = format!("a token that begins with `{TOKEN_PREFIX}`");
        judge.rule(rule).that(beginning == TOKEN_PREFIX, expected, actual, Some(seen.at));
    }
    judge.findings()
}

const FIVE_PER_DOMAIN: Check = Check {
    id: "rndrkit/tokens/five-per-domain",
    rules: &["rndrkit.tokens.five-per-domain"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate, Method::TokenCreate]),
    gather: |g| Box::pin(gather_five_per_domain(g)),
    judge: judge_five_per_domain,
    sabotages: &[
        Sabotage {
            defect: "makes a sixth token",
            turns_red: &["rndrkit.tokens.five-per-domain"],
            apply: |evidence| allow(creation(evidence, "sixth")),
        },
        Sabotage {
            defect: "counts only the tokens made one by one",
            turns_red: &["rndrkit.tokens.five-per-domain"],
            apply: |evidence| allow(creation(evidence, "sixth-beside-five")),
        },
        Sabotage {
            defect: "allows four tokens",
            turns_red: &["rndrkit.tokens.five-per-domain"],
            apply: |evidence| {
                let fifth = creation(evidence, "create");
                fifth.result = None;
                fifth.refused = Some(TOKEN_LIMIT.to_owned());
            },
        },
        Sabotage {
            defect: "forgets the oldest token when the fifth is made",
            turns_red: &["rndrkit.tokens.five-per-domain"],
            apply: |evidence| {
                let oldest = evidence.exchanges.iter_mut().find(|exchange| exchange.label == "works");
                let oldest = oldest.expect("the first token was used");
                oldest.response = Some(Response::json_of(401, &json!({"error": text::TOKEN})));
            },
        },
    ],
};

/// The last fixture call of a step; for sabotages.
fn creation<'e>(evidence: &'e mut Evidence, label: &str) -> &'e mut FixtureCall {
    evidence.fixtures.iter_mut().rev().find(|call| call.label == label).expect("the step's tokens were asked for")
}

fn allow(call: &mut FixtureCall) {
    call.refused = None;
    call.result = Some(json!({"id": "sixth", "token": "<token:d1.6>"}));
}

async fn gather_five_per_domain(g: &mut Gather) -> Result<(), Stop> {
    let mut plain = g.domain(DomainWish::default()).await?;
    if !g.send(valid("control", &mut plain)).await.is(ACCEPTED) {
        return Ok(());
    }
    let mut one_by_one = g.domain(DomainWish::default()).await?;
    for _ in one_by_one.tokens.len()..TOKENS_MAX {
        if !ask_for_token(g, "create", &mut one_by_one).await? {
            return Ok(());
        }
    }
    use_all(g, "works", &mut one_by_one).await;
    ask_for_token(g, "sixth", &mut one_by_one).await?;
    let made = g.domain(DomainWish::default().tokens(TOKENS_MAX)).await;
    if was_refused_as_too_many(g) {
        // The call is kept as evidence: five tokens that are refused as too many break the rule.
        return Ok(());
    }
    let mut at_once = made?;
    use_all(g, "works-of-five", &mut at_once).await;
    ask_for_token(g, "sixth-beside-five", &mut at_once).await?;
    Ok(())
}

/// Asks for one more token; false if there may be no more.
async fn ask_for_token(g: &mut Gather, label: &str, domain: &mut Domain) -> Result<bool, Stop> {
    match g.token(label, domain).await {
        Ok(()) => Ok(true),
        Err(FixtureError::Refused { reason, .. }) if reason == TOKEN_LIMIT => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// One request with each token, up to the first that is refused for good.
async fn use_all(g: &mut Gather, label: &str, domain: &mut Domain) {
    for token in 0..domain.tokens.len() {
        let request = valid_with(label, domain, token);
        let answered = g.settled_sparingly(request, |exchange: &Exchange| exchange.is(ACCEPTED)).await;
        if !answered.is(ACCEPTED) {
            return;
        }
    }
}

fn was_refused_as_too_many(g: &Gather) -> bool {
    g.evidence().fixtures.last().is_some_and(|call| call.refused.as_deref() == Some(TOKEN_LIMIT))
}

fn judge_five_per_domain(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let rule = "rndrkit.tokens.five-per-domain";
    let mut creations = evidence.fixtures.iter().filter(|call| !call.label.starts_with("sixth"));
    let refused = creations.find(|call| call.refused.as_deref() == Some(TOKEN_LIMIT));
    if let Some(call) = refused {
        let expected = format!("{TOKENS_MAX} tokens of one domain, made one by one or at once");
        let actual = format!("`{}` was refused with `{TOKEN_LIMIT}` before there were {TOKENS_MAX}", call.method);
        judge.rule(rule).that(false, expected, actual, None);
        return judge.findings();
    }
    let control = judge.one("control").filter(|seen| !seen.exchange.is(ACCEPTED));
    if let Some(seen) = control {
        let found = actual(seen.exchange);
        judge.rule(rule).inconclusive(format!("a domain with one token was not served either: {found}"));
        return judge.findings();
    }
    for step in ["works", "works-of-five"] {
        judge.rule(rule).control("control").expects(step, &[status(ACCEPTED)]);
    }
    for step in ["sixth", "sixth-beside-five"] {
        judge_sixth(&mut judge, step);
    }
    judge.findings()
}

fn judge_sixth(judge: &mut Judge<'_>, step: &str) {
    let call = judge.evidence().fixture(step);
    let rule = judge.rule("rndrkit.tokens.five-per-domain");
    let expected = "`token.create` to refuse a sixth token of one domain with `token_limit`";
    match call {
        Some(FixtureCall { result: Some(_), .. }) => rule.that(false, expected, "a sixth token was made", None),
        Some(FixtureCall { refused: Some(reason), .. }) if reason == TOKEN_LIMIT => {
            rule.that(true, expected, format!("it was refused with `{reason}`"), None);
        }
        Some(_) | None => rule.inconclusive(format!("the step `{step}` has no answer")),
    }
}

const SHOWN_ONCE: Check = Check {
    id: "rndrkit/tokens/shown-once",
    rules: &["rndrkit.tokens.shown-once"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate, Method::DomainInspect]),
    gather: |g| Box::pin(gather_shown_once(g)),
    judge: judge_shown_once,
    sabotages: &[
        Sabotage {
            defect: "lists the values of the tokens",
            turns_red: &["rndrkit.tokens.shown-once"],
            apply: |evidence| {
                evidence.edit_fixture("inspection", |result| result["tokens"] = json!([{"token": "<token:d1.2>"}]))
            },
        },
        Sabotage {
            defect: "stores a token where it shows, in base64",
            turns_red: &["rndrkit.tokens.shown-once"],
            apply: |evidence| {
                evidence.edit_fixture("inspection", |result| result["note"] = json!("x<token:d1.1 as base64>="))
            },
        },
        Sabotage {
            defect: "names the token in an accepted answer",
            turns_red: &["rndrkit.tokens.shown-once"],
            apply: |evidence| evidence.edit_json("list", |body| body["token"] = json!("<token:d1.1>")),
        },
        Sabotage {
            defect: "repeats the header in an error",
            turns_red: &["rndrkit.tokens.shown-once"],
            apply: |evidence| evidence.edit_json("basic", |body| body["received"] = json!("Basic <token:d1.1>")),
        },
    ],
};

async fn gather_shown_once(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default().tokens(2)).await?;
    let list = valid("list", &mut domain);
    let pages = domain.fresh_pages(1);
    let token = &domain.tokens[0];
    let basic = anonymous("basic", &urls(&pages)).header("Authorization", format!("Basic {}", token.value.expose()));
    let full = refresh("full", &domain.tokens[1], &json!({"all": true}));
    let nothing = refresh("nothing", token, &json!({}));
    let no_path = refresh("no-path", token, &json!({"urls": ["about"]}));
    g.send_together(&[list, full, nothing, no_path, basic]).await;
    g.inspect_domain("inspection", &domain).await?;
    Ok(())
}

/// Where a text shows a token's value. Evidence holds a secret's name wherever the target gave its value out, in whatever encoding; that
/// of a part of it is none.
fn first_value(text: &str) -> Option<usize> {
    const MARK: &str = "<token:";
    let is_whole =
        |(at, _): &(usize, &str)| !text[*at..].split('>').next().is_some_and(|name| name.contains(" cut to "));
    text.match_indices(MARK).find(is_whole).map(|(at, _)| at)
}

fn judge_shown_once(evidence: &Evidence) -> Vec<Finding> {
    const EXCERPT_MAX: usize = 40;
    let mut judge = Judge::new(evidence);
    let rule = "rndrkit.tokens.shown-once";
    let expected = "no token's value";
    match evidence.fixture("inspection").and_then(|call| call.result.as_ref()).map(Value::to_string) {
        None => judge.rule(rule).inconclusive("the domain was not inspected"),
        Some(text) => {
            let shown = first_value(&text).map(|found| text[found..].chars().take(EXCERPT_MAX).collect::<String>());
            let actual = match &shown {
                Some(excerpt) => format!("`domain.inspect` shows one: `{excerpt}…`"),
                None => "`domain.inspect` shows none".to_owned(),
            };
            judge.rule(rule).that(shown.is_none(), expected, actual, None);
        }
    }
    for (at, exchange) in evidence.exchanges.iter().enumerate() {
        let Some(response) = &exchange.response else {
            judge.rule(rule).inconclusive(actual(exchange));
            continue;
        };
        let (Body::Text(body) | Body::Base64(body) | Body::Cut { first: body, .. }) = &response.body;
        let (found, shows) = (actual(exchange), first_value(body).is_some());
        if matches!(response.body, Body::Cut { .. }) && !shows {
            judge.rule(rule).inconclusive(format!("only the beginning was kept: {found}"));
        } else {
            judge.rule(rule).that(!shows, expected, found, Some(at));
        }
    }
    judge.findings()
}
