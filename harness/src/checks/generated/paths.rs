//! Generated lists of paths: their length, and what stands among them.
//!
//! A list spends one of its domain's ten requests, so a few of them share a domain, and one plain path sent first is the control of all.

use proptest::prelude::Strategy;
use serde_json::{Value, json};

use super::path_list::{Kind, List, PATHS_MAX, list};
use super::trial::{Property, gather, judge};
use crate::api::Api;
use crate::checks::judge::{Acceptable, Judge, RuleJudge, Seen, outcome, rndrkit_error};
use crate::checks::rndrkit::{accepted, field, named_paths, offers, pages_queued, queued_paths, refresh, text};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Evidence, GeneratedCase, Response};
use crate::gather::{Domain, DomainWish, Gather, Stop};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// Requests for lists that share a domain with their control: together no more than the ten of a window.
const SHARE: usize = 9;

/// Domains in use at a time.
const DOMAINS: usize = 8;

const COUNT: &str = "rndrkit.selective.pages-queued";
const ROOT: &str = "rndrkit.selective.root-path";
const OVER: &str = "rndrkit.selective.over-twenty";
const EMPTY: &str = "rndrkit.body.urls-empty";
const NONE: &str = "rndrkit.paths.none-valid";
const SPACE: &str = "rndrkit.paths.leading-space";
const MIXED: &str = "rndrkit.paths.mixed";
const NO_TEXT: &str = "rndrkit.paths.non-string";

/// The check.
pub(super) const PATHS: Check = Check {
    id: Lists::CHECK,
    rules: &[COUNT, ROOT, OVER, EMPTY, NONE, SPACE, MIXED, NO_TEXT],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]).generated(),
    gather: |g| Box::pin(gather::<Lists>(g)),
    judge: |evidence| judge::<Lists>(&PATHS, evidence),
    sabotages: &[
        Sabotage {
            defect: "counts one page too many in a list of several",
            turns_red: &[COUNT],
            apply: |evidence| {
                let label = first(evidence, |list| list.kind() == Kind::Plain && list.plain > 1);
                evidence.edit_json(&label, |body| body["pagesQueued"] = json!(46));
            },
        },
        Sabotage {
            defect: "refuses `/`",
            turns_red: &[ROOT],
            apply: |evidence| {
                let label = first(evidence, |list| list.kind() == Kind::Root);
                evidence.answer(&label, 400, &json!({"error": text::PATHS}));
            },
        },
        Sabotage {
            defect: "queues 21 pages",
            turns_red: &[OVER],
            apply: |evidence| {
                let label = first(evidence, |list| list.kind() == Kind::Long);
                evidence.answer(&label, 200, &json!({"message": text::QUEUED, "domain": "d", "pagesQueued": 21}));
            },
        },
        Sabotage {
            defect: "accepts an empty list",
            turns_red: &[EMPTY],
            apply: |evidence| {
                let label = first(evidence, |list| list.kind() == Kind::Empty);
                evidence.answer(&label, 200, &json!({"message": text::QUEUED, "domain": "d", "pagesQueued": 0}));
            },
        },
        Sabotage {
            defect: "takes a text for a path that is none",
            turns_red: &[NONE],
            apply: |evidence| {
                let label = first(evidence, |list| list.kind() == Kind::NoneValid);
                evidence.answer(&label, 200, &json!({"message": text::QUEUED, "domain": "d", "pagesQueued": 1}));
            },
        },
        Sabotage {
            defect: "trims paths",
            turns_red: &[SPACE],
            apply: |evidence| {
                let label = first(evidence, |list| list.kind() == Kind::Spaced);
                evidence.answer(&label, 200, &json!({"message": text::QUEUED, "domain": "d", "pagesQueued": 1}));
            },
        },
        Sabotage {
            defect: "refuses a list for what stands beside its paths",
            turns_red: &[MIXED],
            apply: |evidence| {
                let label = first(evidence, |list| list.kind() == Kind::Mixed);
                evidence.answer(&label, 400, &json!({"error": text::PATHS}));
            },
        },
        Sabotage {
            defect: "fails at a path of odd characters",
            turns_red: &[MIXED],
            apply: |evidence| {
                let label = first(evidence, |list| list.kind() == Kind::Odd);
                evidence.answer(&label, 500, &json!({"error": "URI malformed"}));
            },
        },
        Sabotage {
            defect: "counts what is no text",
            turns_red: &[NO_TEXT],
            apply: |evidence| {
                let label = first(evidence, |list| list.kind() == Kind::NoText);
                evidence.answer(&label, 200, &json!({"message": text::QUEUED, "domain": "d", "pagesQueued": 46}));
            },
        },
    ],
};

/// The label of the first list of that sort; for sabotages.
fn first(evidence: &Evidence, sort: impl Fn(&List) -> bool) -> String {
    let is = |case: &&GeneratedCase| serde_json::from_value(case.case.clone()).is_ok_and(|list: List| sort(&list));
    evidence.cases.iter().find(is).expect("a run generates lists of every sort").label.clone()
}

/// What holds for every list of paths.
pub(super) struct Lists;

impl Property for Lists {
    type Case = List;

    const CHECK: &'static str = "rndrkit/generated/paths";

    /// A list costs one request.
    fn share(cases: u32) -> u32 {
        cases.saturating_mul(2)
    }

    fn strategy() -> impl Strategy<Value = List> {
        list()
    }

    async fn try_cases(g: &mut Gather, cases: &[(String, List)]) -> Result<(), Stop> {
        for shares in shares(cases).chunks(DOMAINS) {
            try_shares(g, shares).await?;
        }
        Ok(())
    }

    fn judge(evidence: &Evidence, label: &str, list: &List, control: &str) -> Vec<Finding> {
        let mut judge = Judge::new(evidence);
        let alone = judge.one(&format!("{label}/{ALONE}"));
        if let Some(alone) = alone {
            about(&mut judge, NONE, control, true).expects_of(alone, &[rndrkit_error(400, text::PATHS)]);
        }
        // What is taken for a path even alone, and paths that are miscounted even alone, are the concern of other rules.
        let taken = alone.is_some_and(|seen| !seen.exchange.is(400));
        let without = judge.one(&format!("{label}/{WITHOUT}"));
        let counted = without.and_then(|seen| pages_queued(seen.exchange.response.as_ref()?));
        let miscounted = without.is_some() && counted != Some(list.plain as f64);
        if let Some(seen) = judge.one(label).filter(|_| !taken && !miscounted) {
            judge_list(&mut judge, seen, list, control);
        }
        judge.findings()
    }
}

/// The cases in shares that one domain has requests for.
fn shares(cases: &[(String, List)]) -> Vec<&[(String, List)]> {
    let (mut shares, mut from, mut requests, mut has_root) = (Vec::new(), 0, 0, false);
    for (at, (_, list)) in cases.iter().enumerate() {
        // No path is named twice in a domain: a target may well count it once.
        if requests + list.requests() > SHARE || (has_root && list.root) {
            shares.push(&cases[from..at]);
            (from, requests, has_root) = (at, 0, false);
        }
        requests += list.requests();
        has_root |= list.root;
    }
    shares.push(&cases[from..]);
    shares.retain(|share| !share.is_empty());
    shares
}

/// Tries a few shares of lists at once, each on a domain of its own and there one after the other.
async fn try_shares(g: &mut Gather, shares: &[&[(String, List)]]) -> Result<(), Stop> {
    let mut domains = Vec::new();
    for share in shares {
        domains.push(domain_of(g, share).await?);
    }
    let controls: Vec<String> = shares.iter().map(|share| format!("control-of-{}", share[0].0)).collect();
    let first = domains
        .iter()
        .zip(&controls)
        .map(|((domain, _), label)| refresh(label, &domain.tokens[0], &json!({"urls": [CONTROL_PATH]})));
    g.send_together(&first.collect::<Vec<_>>()).await;
    for place in 0..SHARE {
        let requests = domains.iter().filter_map(|(domain, bodies)| {
            let (label, body) = bodies.get(place)?;
            Some(refresh(label, &domain.tokens[0], body))
        });
        g.send_together(&requests.collect::<Vec<_>>()).await;
    }
    for ((share, (domain, _)), control) in shares.iter().zip(&domains).zip(&controls) {
        if offers(g, Method::DomainInspect) {
            g.inspect_domain(&format!("{control}/queue"), domain).await?;
        }
        for (label, list) in *share {
            let case = serde_json::to_value(list).expect("a list has only text keys");
            g.keep_case(GeneratedCase { label: label.clone(), case, control: Some(control.clone()), stands_for: 0 });
        }
    }
    Ok(())
}

/// The step that sends what is mixed with paths without them.
const ALONE: &str = "alone";

/// The step that sends as many paths of that sort without it.
const WITHOUT: &str = "without";

/// The path of every domain's first request.
const CONTROL_PATH: &str = "/first";

/// A domain that knows the plain paths of these lists, and labelled bodies that name each of them once.
async fn domain_of(g: &mut Gather, share: &[(String, List)]) -> Result<(Domain, Vec<(String, Value)>), Stop> {
    let (mut known, mut bodies) = (vec![CONTROL_PATH.to_owned(), "/".to_owned()], Vec::new());
    for (label, list) in share {
        if list.kind() == Kind::Mixed {
            let alone = List { plain: 0, ..list.clone() };
            bodies.push((format!("{label}/{ALONE}"), alone.urls(&[])));
            let plain = List { others: Vec::new(), ..list.clone() };
            let pages: Vec<String> = (0..plain.needs()).map(|place| list.style.path(known.len() + place)).collect();
            bodies.push((format!("{label}/{WITHOUT}"), plain.urls(&pages)));
            known.extend(pages);
        }
        let pages: Vec<String> = (0..list.needs()).map(|place| list.style.path(known.len() + place)).collect();
        bodies.push((label.clone(), list.urls(&pages)));
        known.extend(pages);
    }
    let domain = g.domain(DomainWish::default().with("known_paths", known)).await?;
    g.label_last_call(format!("control-of-{}/domain", share[0].0));
    Ok((domain, bodies))
}

fn judge_list<'a>(judge: &mut Judge<'a>, seen: Seen<'a>, list: &List, control: &str) {
    let counted =
        |judge: &Judge<'_>| judge.one(control).and_then(|seen| pages_queued(seen.exchange.response.as_ref()?));
    // What a number must look like, and that one page counts as one, is for the examples to show.
    let trusted = counted(judge) == Some(1.0);
    let plain = list.plain;
    match list.kind() {
        Kind::Plain => {
            let expected = accepted(format!("200 with the number {plain} as `pagesQueued`"), move |response| {
                pages_queued(response) == Some(plain as f64)
            });
            about(judge, COUNT, control, trusted).expects_of(seen, &[expected]);
        }
        Kind::Root => {
            let pages = plain + 1;
            let expected = accepted(format!("200 with the number {pages} as `pagesQueued`"), move |response| {
                pages_queued(response) == Some(pages as f64)
            });
            about(judge, ROOT, control, trusted).expects_of(seen, &[expected]);
        }
        Kind::Long => judge_long(judge, seen, control, trusted),
        Kind::Empty => {
            let refused = outcome("400", |response| response.status == 400);
            about(judge, EMPTY, control, true).expects_of(seen, &[refused]);
        }
        Kind::NoneValid => {
            about(judge, NONE, control, true).expects_of(seen, &[rndrkit_error(400, text::PATHS)]);
        }
        Kind::Spaced => {
            // How the refusal reads is the concern of the rule about lists without a valid path.
            let refused = outcome("400", |response| response.status == 400);
            about(judge, SPACE, control, true).expects_of(seen, &[refused]);
        }
        Kind::Mixed => {
            let expected = accepted(format!("200 with the number {plain} as `pagesQueued`"), move |response| {
                pages_queued(response) == Some(plain as f64)
            });
            about(judge, MIXED, control, trusted).expects_of(seen, &[expected]);
        }
        Kind::Odd => about(judge, MIXED, control, true).expects_of(seen, &[no_failure()]),
        Kind::NoText => {
            let words =
                format!("no 5xx, and no more than {plain} pages queued, as many as there are texts in the list");
            let expected = outcome(words, move |response: &Response| {
                let pages = if response.is_success() { pages_queued(response) } else { None };
                !response.is_server_error() && pages.is_none_or(|pages| pages <= plain as f64)
            });
            about(judge, NO_TEXT, control, trusted).expects_of(seen, &[expected]);
        }
        Kind::Unclear => {}
    }
}

fn no_failure() -> Acceptable {
    outcome("any answer but 5xx, whatever becomes of the paths", |response| !response.is_server_error())
}

fn about<'j, 'a>(judge: &'j mut Judge<'a>, rule: &'static str, control: &str, trusted: bool) -> RuleJudge<'j, 'a> {
    judge
        .rule(rule)
        .control(control)
        .provided(trusted, "the answer to one plain path does not say that one page is queued")
}

/// A long list is refused, or cut: in the answer and in the queue.
fn judge_long<'a>(judge: &mut Judge<'a>, seen: Seen<'a>, control: &str, trusted: bool) {
    let most = PATHS_MAX as f64;
    let told = seen
        .exchange
        .response
        .as_ref()
        .is_none_or(|response| !response.is_success() || field(response, "pagesQueued").is_some());
    let within = outcome("a refusal, or an answer whose `pagesQueued` is at most 20", move |response| {
        !response.is_success() || pages_queued(response).is_some_and(|pages| pages <= most)
    });
    let evidence = judge.evidence();
    if told {
        about(judge, OVER, control, trusted).expects_of(seen, &[within]);
    }
    // Every plain path is new to its domain, so what of the list is queued was queued for it.
    let Some(queue) = queued_paths(evidence, &format!("{control}/queue")) else { return };
    let named = named_paths(seen.exchange);
    let queued = named.iter().filter(|path| queue.contains(path)).count();
    let expected = format!("at most {PATHS_MAX} of the {} named pages in the queue", named.len());
    let actual = format!("{queued} of the {} named pages in the queue", named.len());
    about(judge, OVER, control, trusted).that(queued <= PATHS_MAX, expected, actual, Some(seen.at));
}

/// True if a kept case can be tried.
pub(super) fn understands(case: &Value) -> Result<(), serde_json::Error> {
    serde_json::from_value::<List>(case.clone()).map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::proptest;

    use super::super::path_list::{Entry, foreign};
    use super::*;

    proptest! {
        #[test]
        fn plain_paths_are_plain_and_distinct_in_every_list(list in Lists::strategy(), first in 0..500_usize) {
            let pages: Vec<String> = (0..list.needs()).map(|place| list.style.path(first + place)).collect();
            let distinct: BTreeSet<&String> = pages.iter().collect();
            assert_eq!(distinct.len(), pages.len());
            for page in &pages {
                assert!(page.len() <= 64 && page.starts_with('/') && !page.ends_with('/'), "{page}");
                let plain = |character: char| matches!(character, 'a'..='z' | '0'..='9' | '-' | '/');
                assert!(page.chars().all(plain) && !page.contains("//"), "{page}");
            }
            let urls = list.urls(&pages);
            assert_eq!(urls["urls"].as_array().map(Vec::len), Some(list.plain + usize::from(list.root) + list.others.len()));
        }

        #[test]
        fn what_is_to_be_refused_begins_with_neither_a_slash_nor_white_space(entry in foreign()) {
            let Entry::Foreign(text) = entry else { panic!("another entry") };
            let first = text.chars().next();
            assert!(first.is_none_or(|first| first != '/' && !first.is_whitespace() && !first.is_control()), "{text:?}");
        }

        #[test]
        fn a_list_means_the_same_once_it_was_kept(list in Lists::strategy()) {
            let kept = serde_json::to_value(&list).expect("a list has only text keys");
            assert_eq!(serde_json::from_value::<List>(kept).ok(), Some(list));
        }
    }
}
