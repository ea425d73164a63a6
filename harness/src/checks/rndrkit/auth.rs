//! Authentication: the header, the token, the domain it belongs to.

use rand::{Rng, RngExt as _};
use serde_json::{Value, json};

use super::{
    PATH, anonymous, as_refused_in, created_domains, field, named_paths, offers, queued_paths, refresh, text, urls,
    valid, valid_with,
};
use crate::api::Api;
use crate::checks::judge::{Judge, actual, not_success, outcome, rndrkit_error, status};
use crate::checks::never_issued::drawn_anew;
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Evidence, Exchange, Response};
use crate::gather::{DomainWish, Gather, Stop};
use crate::target::http::Request;
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[CREDENTIALS, TOKEN_REVOKED, TOKEN_PLACEMENT, DOMAIN_SCOPE];

const ACCEPTED: u16 = 200;
pub(in crate::checks) const UNAUTHORIZED: u16 = 401;

const CREDENTIALS: Check = Check {
    id: "rndrkit/auth/credentials",
    rules: &[
        "rndrkit.auth.header-missing",
        "rndrkit.auth.scheme-not-bearer",
        "rndrkit.auth.token-empty",
        "rndrkit.auth.token-unknown",
        "rndrkit.auth.token-foreign",
    ],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_credentials(g)),
    judge: judge_credentials,
    sabotages: &[
        Sabotage {
            defect: "serves a request without credentials",
            turns_red: &["rndrkit.auth.header-missing"],
            apply: |evidence| evidence.answer("missing", ACCEPTED, &json!({"message": text::QUEUED})),
        },
        Sabotage {
            defect: "answers every request without a bearer token with another text",
            turns_red: &["rndrkit.auth.header-missing"],
            apply: |evidence| {
                for step in ["missing", "basic", "bare", "empty"] {
                    evidence.answer(step, UNAUTHORIZED, &json!({"error": "Unauthorized"}));
                }
            },
        },
        Sabotage {
            defect: "takes the last word of the header whatever the scheme",
            turns_red: &["rndrkit.auth.scheme-not-bearer"],
            apply: |evidence| evidence.answer("basic", ACCEPTED, &json!({"message": text::QUEUED})),
        },
        Sabotage {
            defect: "answers a bare token with the text for unknown tokens",
            turns_red: &["rndrkit.auth.scheme-not-bearer"],
            apply: |evidence| evidence.answer("bare", UNAUTHORIZED, &json!({"error": text::TOKEN})),
        },
        Sabotage {
            defect: "fails on a header with nothing after `Bearer`",
            turns_red: &["rndrkit.auth.token-empty"],
            apply: |evidence| evidence.answer("empty", 500, &json!({"error": "Server error"})),
        },
        Sabotage {
            defect: "answers every unknown token with 403",
            turns_red: &["rndrkit.auth.token-unknown"],
            apply: |evidence| {
                for step in ["unknown", "cut", "lengthened", "foreign"] {
                    evidence.answer(step, 403, &json!({"error": text::TOKEN}));
                }
            },
        },
        Sabotage {
            defect: "compares only the beginning of a token",
            turns_red: &["rndrkit.auth.token-unknown"],
            apply: |evidence| evidence.answer("lengthened", ACCEPTED, &json!({"message": text::QUEUED})),
        },
        Sabotage {
            defect: "compares a token only as far as the one sent goes",
            turns_red: &["rndrkit.auth.token-unknown"],
            apply: |evidence| evidence.answer("cut", ACCEPTED, &json!({"message": text::QUEUED})),
        },
        Sabotage {
            defect: "fails on a token of another kind",
            turns_red: &["rndrkit.auth.token-foreign"],
            apply: |evidence| evidence.answer("foreign", 500, &json!({"error": "Server error"})),
        },
        Sabotage {
            defect: "answers a token of another kind like a missing header",
            turns_red: &["rndrkit.auth.token-foreign"],
            apply: |evidence| evidence.answer("foreign", UNAUTHORIZED, &json!({"error": text::HEADER})),
        },
    ],
};

async fn gather_credentials(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default()).await?;
    g.send(valid("control", &mut domain)).await;
    let live = domain.tokens[0].value.expose().to_owned();
    let mut cut = live.clone();
    cut.pop();
    let unknown = never_issued(g.rng(), &live);
    let foreign = foreign_key(g);
    let body = urls(&domain.fresh_pages(1));
    g.send(anonymous("missing", &body)).await;
    g.send(authorized("basic", &body, format!("Basic {live}"))).await;
    g.send(authorized("bare", &body, live.clone())).await;
    g.send(authorized("empty", &body, "Bearer ".to_owned())).await;
    g.send(authorized("unknown", &body, format!("Bearer {unknown}"))).await;
    g.send(authorized("cut", &body, format!("Bearer {cut}"))).await;
    g.send(authorized("lengthened", &body, format!("Bearer {live}0"))).await;
    g.send(authorized("foreign", &body, format!("Bearer {foreign}"))).await;
    Ok(())
}

fn judge_credentials(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let no_header = rndrkit_error(UNAUTHORIZED, text::HEADER);
    judge.rule("rndrkit.auth.header-missing").control("control").expects("missing", &[no_header]);
    for step in ["basic", "bare"] {
        let same = as_refused_in(&judge, "missing", "the same refusal as with no header at all");
        let documented = rndrkit_error(UNAUTHORIZED, text::HEADER);
        // Where a request with no header is served, nothing follows about the scheme.
        let rule = judge.rule("rndrkit.auth.scheme-not-bearer").control("control");
        rule.control_fits("missing", &not_success()).expects(step, &[documented, same]);
    }
    let as_missing = as_refused_in(&judge, "missing", "the same refusal as with no header at all");
    let as_unknown = as_refused_in(&judge, "unknown", "the same refusal as for a token that was never issued");
    let empty = judge.rule("rndrkit.auth.token-empty").control("control");
    let empty = empty.control_fits("missing", &not_success());
    empty.expects("empty", &[status(UNAUTHORIZED), as_missing, as_unknown]);
    judge_unknown_tokens(&mut judge);
    judge.findings()
}

fn judge_unknown_tokens(judge: &mut Judge<'_>) {
    let unknown = "rndrkit.auth.token-unknown";
    judge.rule(unknown).control("control").expects("unknown", &[rndrkit_error(UNAUTHORIZED, text::TOKEN)]);
    let like_unknown = "the same refusal as for a token that was never issued";
    for step in ["cut", "lengthened"] {
        let same = as_refused_in(judge, "unknown", like_unknown);
        judge.rule(unknown).control("control").expects(step, &[status(UNAUTHORIZED), same]);
    }
    let foreign = "rndrkit.auth.token-foreign";
    let same = as_refused_in(judge, "unknown", like_unknown);
    judge.rule(foreign).control("control").expects("foreign", &[status(UNAUTHORIZED), same]);
    let same = as_refused_in(judge, "unknown", like_unknown);
    let documented = rndrkit_error(UNAUTHORIZED, text::TOKEN);
    judge.rule(foreign).should_part().control("control").expects("foreign", &[documented, same]);
}

/// A value of a live token's form that was never issued: length and prefix kept, every other letter and digit drawn anew. Of a
/// token without the usual prefix the first half is kept, since its form is not known.
fn never_issued(rng: &mut impl Rng, live: &str) -> String {
    const DRAWS_MAX: usize = 8;
    const PREFIX: &str = "rk_wh_";
    let length = live.chars().count();
    let kept = if live.starts_with(PREFIX) { PREFIX.len() } else { length / 2 };
    for _ in 0..DRAWS_MAX {
        let drawn = live.chars().enumerate().map(|(position, character)| match character {
            kept_as_it_is if position < kept => kept_as_it_is,
            other => drawn_anew(rng, other),
        });
        let drawn: String = drawn.collect();
        if drawn != live {
            return drawn;
        }
    }
    format!("{live}-never-issued")
}

/// A value of an API key's form.
fn foreign_key(g: &mut Gather) -> String {
    const LENGTH: usize = 32;
    let rng = g.rng();
    let random: String = (0..LENGTH).map(|_| rng.random_range('a'..='z')).collect();
    format!("rk_live_{random}")
}

fn authorized(label: &str, body: &Value, header: String) -> Request {
    anonymous(label, body).header("Authorization", header)
}

const TOKEN_REVOKED: Check = Check {
    id: "rndrkit/auth/token-revoked",
    rules: &["rndrkit.auth.token-revoked"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate, Method::TokenRevoke]),
    gather: |g| Box::pin(gather_token_revoked(g)),
    judge: judge_token_revoked,
    sabotages: &[
        Sabotage {
            defect: "goes on serving a revoked token",
            turns_red: &["rndrkit.auth.token-revoked"],
            apply: |evidence| evidence.answer("revoked", ACCEPTED, &json!({"message": text::QUEUED})),
        },
        Sabotage {
            defect: "tells a revoked token from an unknown one",
            turns_red: &["rndrkit.auth.token-revoked"],
            apply: |evidence| evidence.answer("revoked", UNAUTHORIZED, &json!({"error": "Token revoked"})),
        },
        Sabotage {
            defect: "revokes all tokens of the domain with one",
            turns_red: &["rndrkit.auth.token-revoked"],
            apply: |evidence| evidence.answer("other", UNAUTHORIZED, &json!({"error": text::TOKEN})),
        },
    ],
};

async fn gather_token_revoked(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default().tokens(2)).await?;
    let body = urls(&domain.fresh_pages(1));
    let live = domain.tokens[0].value.expose().to_owned();
    let unknown = never_issued(g.rng(), &live);
    g.send(authorized("unknown", &body, format!("Bearer {unknown}"))).await;
    g.send(valid("before", &mut domain)).await;
    g.revoke(&domain, &domain.tokens[0]).await?;
    let again = valid_with("revoked", &mut domain, 0);
    g.settled_sparingly(again, |exchange: &Exchange| !exchange.is(ACCEPTED)).await;
    g.send(valid_with("other", &mut domain, 1)).await;
    Ok(())
}

fn judge_token_revoked(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let rule = "rndrkit.auth.token-revoked";
    let same = as_refused_in(&judge, "unknown", "the same refusal as for a token that was never issued");
    let documented = rndrkit_error(UNAUTHORIZED, text::TOKEN);
    judge.rule(rule).control("before").expects("revoked", &[documented, same]);
    // The second token's own control is the first one, accepted in the same state but for the revocation.
    judge.rule(rule).control("before").expects("other", &[status(ACCEPTED)]);
    judge.findings()
}

const TOKEN_PLACEMENT: Check = Check {
    id: "rndrkit/auth/token-placement",
    rules: &["rndrkit.auth.token-placement"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_token_placement(g)),
    judge: judge_token_placement,
    sabotages: &[
        Sabotage {
            defect: "takes a token from the header meant for API keys",
            turns_red: &["rndrkit.auth.token-placement"],
            apply: |evidence| evidence.answer("api-key-header", ACCEPTED, &json!({"message": text::QUEUED})),
        },
        Sabotage {
            defect: "takes a token from the query",
            turns_red: &["rndrkit.auth.token-placement"],
            apply: |evidence| evidence.answer("query", ACCEPTED, &json!({"message": text::QUEUED})),
        },
        Sabotage {
            defect: "takes a token from the body",
            turns_red: &["rndrkit.auth.token-placement"],
            apply: |evidence| evidence.answer("body", ACCEPTED, &json!({"message": text::QUEUED})),
        },
    ],
};

async fn gather_token_placement(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default()).await?;
    g.send(valid("control", &mut domain)).await;
    let token = domain.tokens[0].value.expose().to_owned();
    let pages = domain.fresh_pages(1);
    let body = urls(&pages);
    g.send(anonymous("missing", &body)).await;
    g.send(anonymous("api-key-header", &body).header("X-Api-Key", token.clone())).await;
    // The usual names together: none of them may count, so nothing is lost by asking once.
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("token", &token)
        .append_pair("access_token", &token)
        .append_pair("api_key", &token)
        .finish();
    let mut by_query = anonymous("query", &body);
    by_query.path = format!("{PATH}?{query}");
    g.send(by_query).await;
    g.send(anonymous("body", &json!({"urls": pages, "token": token, "access_token": token}))).await;
    Ok(())
}

fn judge_token_placement(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    for step in ["api-key-header", "query", "body"] {
        let rule = judge.rule("rndrkit.auth.token-placement").control("control");
        rule.control_fits("missing", &not_success()).expects(step, &[not_success()]);
    }
    judge.findings()
}

const DOMAIN_SCOPE: Check = Check {
    id: "rndrkit/auth/domain-scope",
    rules: &["rndrkit.auth.domain-scope"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_domain_scope(g)),
    judge: judge_domain_scope,
    sabotages: &[
        Sabotage {
            defect: "names the same domain whatever the token",
            turns_red: &["rndrkit.auth.domain-scope"],
            apply: |evidence| {
                let first = created_domains(evidence)[0].clone();
                evidence.edit_json("second", |body| body["domain"] = json!(first));
            },
        },
        Sabotage {
            defect: "names no domain",
            turns_red: &["rndrkit.auth.domain-scope"],
            apply: |evidence| {
                for step in ["first", "second", "first-naming-second"] {
                    evidence.edit_json(step, |body| {
                        body.as_object_mut().expect("an accepted request is answered with an object").remove("domain");
                    });
                }
            },
        },
        Sabotage {
            defect: "acts on the domain that the body names",
            turns_red: &["rndrkit.auth.domain-scope"],
            apply: |evidence| {
                let second = created_domains(evidence)[1].clone();
                evidence.edit_json("first-naming-second", |body| body["domain"] = json!(second));
            },
        },
        Sabotage {
            defect: "queues the page for another domain than it says",
            turns_red: &["rndrkit.auth.domain-scope"],
            apply: |evidence| {
                evidence.edit_fixture("queue-of-second", |result| result["queued_paths"] = json!(["/page-2"]))
            },
        },
    ],
};

async fn gather_domain_scope(g: &mut Gather) -> Result<(), Stop> {
    let mut first = g.domain(DomainWish::default().pages(3)).await?;
    let mut second = g.domain(DomainWish::default().pages(1)).await?;
    // The second domain does not know the pages that are asked for with the first one's token.
    first.fresh_pages(1);
    g.send(valid("first", &mut first)).await;
    let pages = first.fresh_pages(1);
    g.send(valid("second", &mut second)).await;
    let naming = json!({"urls": &pages, "domain": second.name});
    g.send(refresh("first-naming-second", &first.tokens[0], &naming)).await;
    if offers(g, Method::DomainInspect) {
        let page = Value::from(&*pages[0]);
        let shows_page = |state: &Value| state["queued_paths"].as_array().is_some_and(|queue| queue.contains(&page));
        let bound = g.world().settle;
        g.inspected("queue-of-first", &first, bound, shows_page).await?;
        g.inspect_domain("queue-of-second", &second).await?;
    }
    Ok(())
}

fn judge_domain_scope(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let rule = "rndrkit.auth.domain-scope";
    let names = created_domains(evidence);
    let [first, second] = names.as_slice() else {
        judge.rule(rule).inconclusive("two domains were not made");
        return judge.findings();
    };
    for (step, name) in [("first", first), ("second", second)] {
        let Some(seen) = judge.one(step) else {
            judge.rule(rule).inconclusive(format!("the step `{step}` was not sent"));
            continue;
        };
        let answer = seen.exchange.response.as_ref();
        let is_json = answer.is_some_and(|answer| answer.json().is_some());
        let holds = answer.is_some_and(domain_is(name));
        let found = format!("{}, where the token belongs to `{name}`", actual(seen.exchange));
        judge
            .rule(rule)
            .control(step)
            .provided(is_json, "the body is not JSON, which is the concern of rndrkit.http.json")
            .that(holds, "an answer whose `domain` is the token's", found, Some(seen.at));
    }
    // A target that names its domains otherwise has been judged by that above.
    let plain = judge.one("first").and_then(|seen| field(seen.exchange.response.as_ref()?, "domain"));
    let own = domain_is(first);
    let kept = outcome("a refusal, or an answer whose `domain` is the token's", move |response| {
        !response.is_success() || own(response) || field(response, "domain") == plain
    });
    judge.rule(rule).control("first").control("second").expects("first-naming-second", &[kept]);
    if let Some(queue) = queued_paths(evidence, "queue-of-second") {
        let of_first: Vec<String> = evidence
            .exchanges
            .iter()
            .filter(|exchange| exchange.label.starts_with("first"))
            .flat_map(named_paths)
            .collect();
        let expected =
            format!("a queue of the other domain without the pages asked for with the first token: {of_first:?}");
        let clean = !queue.iter().any(|path| of_first.contains(path));
        judge.rule(rule).control("first").that(clean, expected, format!("the queue {queue:?}"), None);
    }
    judge.findings()
}

/// Host names are the same in either letter case.
fn domain_is(name: &str) -> impl Fn(&Response) -> bool + 'static {
    let name = name.to_owned();
    move |response| {
        field(response, "domain")
            .as_ref()
            .and_then(Value::as_str)
            .is_some_and(|found| found.eq_ignore_ascii_case(&name))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_token_that_was_never_issued_has_the_form_of_one_that_was() {
        let mut rng = StdRng::seed_from_u64(1);
        let live = "rk_wh_0123456789abcdef0123456789ABCDEF";
        let unknown = never_issued(&mut rng, live);
        assert_ne!(unknown, live);
        assert_eq!(unknown.len(), live.len());
        // A target may look at the form before it looks for the token.
        let random = unknown.strip_prefix("rk_wh_").unwrap();
        assert!(random.chars().all(|character| character.is_ascii_hexdigit()), "{unknown}");
        assert!(never_issued(&mut rng, "tok-0123456789").starts_with("tok-012"));
    }
}
