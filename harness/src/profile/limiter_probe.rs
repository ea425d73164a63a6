//! Asks one limiter in many patterns at a few moments that all domains share.
//!
//! ```text
//! minutes   0                        5    10   20   31   45   60−   60+    65−     121  125+
//! spent     10,429, then 429 at every moment, seldom silent for eight minutes, and       10,429 at 60+
//! mixed     ten between those of `spent`
//! age-10 …  ten, then at its own age until refused
//! silent    ten                                                     10,429
//! late      one                                               nine  10,429
//! half      one                                     nine            10,429  429
//! offset                             ten                                    429
//! later                                        ten  429  429                429
//! next      one                                                             10,429  429  10,429
//! tokens    10,429 with one token, then the other
//! invalid   three bodies that are no refresh, then 7,429
//! apart     10,429…, each over a connection of its own
//! ```
//!
//! The domains called `age-…` are silent from the first requests to the one moment in their name: what is served then is how much of the
//! limit had come back. `spent` is never silent for long, so that a count that is forgotten when idle differs from a short window.
//! `later` tells windows of the clock from short ones, `late` and `half` show how long late requests weigh, `next` where the second
//! window begins.
//!
//! All requests but those of `apart` share one connection, which no other check uses, unless the target closes it without saying so.

use std::collections::BTreeMap;

use serde_json::json;

use crate::api::Api;
use crate::checks::rndrkit::limit::is_served;
use crate::checks::rndrkit::{EDGE_MS, WINDOW_MS, refresh, valid_with};
use crate::checks::{Check, Needs};
use crate::evidence::Exchange;
use crate::gather::{Domain, DomainWish, Gather, Stop};
use crate::target::http::{Connection, HttpClient, Request};
use crate::target::protocol::Method;

/// A limit is looked for up to so many requests; without a refusal until then there is none.
pub const NONE_AFTER: usize = 40;

/// Requests over connections of their own, at most: enough to use up a limit of ten in each of five processes.
pub const APART_MAX: usize = 80;

/// Refusals in a row after which nothing is thought to be left.
const APART_REFUSALS: usize = 5;

/// The same where it was seen to depend on the connection whether a request is served.
const APART_REFUSALS_IRREGULAR: usize = 20;

/// Invalid requests of the domain `invalid`.
pub const INVALID: usize = 3;

/// Known pages of every domain: more than any of them is asked for.
const PAGES: usize = 100;

const MINUTE_MS: u64 = 60_000;
/// Just before the end of a window that began with the first requests, with time for a slow machine.
const BEFORE_END: u64 = WINDOW_MS - 10_000;
/// Just after a window's end.
const AFTER_END: u64 = WINDOW_MS + EDGE_MS;
/// After the second of two whole windows in a row, even if each lasts as long as a window can that is over at [`AFTER_END`].
const AFTER_TWO: u64 = 2 * WINDOW_MS + MINUTE_MS;
/// When the window of `offset` begins.
const OFFSET_MS: u64 = 5 * MINUTE_MS;
/// What passes of the target's time in all.
const PASSING_MS: u64 = OFFSET_MS + BEFORE_END + AFTER_END;

/// The probe.
pub const LIMITER: Check = Check {
    id: "rndrkit/profile/limiter",
    rules: &[],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]).passing(PASSING_MS),
    gather: |g| Box::pin(gather_limiter(g)),
    judge: |_| Vec::new(),
    sabotages: &[],
};

/// When the sends of a stage begin.
pub(super) enum Moment {
    /// At once.
    Now,
    /// About so long after the first exchange of a step, not later than need be.
    Until(&'static str, u64),
    /// Surely not sooner than so long after the last exchange of a step.
    After(&'static str, u64),
}

/// How many requests are sent, and which.
#[derive(Clone, Copy)]
pub(super) enum Amount {
    /// Until one is not served; [`NONE_AFTER`] at most.
    Search,
    /// Until one is not served; one more than the limit at most.
    UntilRefused,
    /// The same with the domain's second token.
    OtherToken,
    /// As many as the limit was found to be, less this.
    LimitLess(usize),
    /// One.
    One,
    /// Bodies that are no refresh.
    Invalid,
    /// Over connections of their own, until several in a row are refused.
    Apart,
}

/// Requests of one step; the part of its label before the slash names the domain.
pub(super) struct Send(pub(super) &'static str, pub(super) Amount);

/// The first step, which finds the limit.
pub(super) const SEARCH: &str = "spent/fill";

/// The last requests at the beginning.
const BEGUN: &str = "apart/fill";

/// The whole probe. Where the first step finds no limit, nothing is sent after the first stage.
pub(super) const STAGES: &[(Moment, &[Send])] = &[
    (
        Moment::Now,
        &[
            Send(SEARCH, Amount::Search),
            Send("age-10/fill", Amount::LimitLess(0)),
            Send("age-20/fill", Amount::LimitLess(0)),
            Send("age-31/fill", Amount::LimitLess(0)),
            Send("age-45/fill", Amount::LimitLess(0)),
            Send("silent/fill", Amount::LimitLess(0)),
            Send("late/first", Amount::One),
            Send("half/first", Amount::One),
            Send("next/first", Amount::One),
            Send("tokens/fill", Amount::UntilRefused),
            Send("tokens/other", Amount::OtherToken),
            Send("invalid/invalid", Amount::Invalid),
            Send("invalid/fill", Amount::UntilRefused),
            Send(BEGUN, Amount::Apart),
        ],
    ),
    (Moment::Until(SEARCH, 3 * MINUTE_MS), &[Send("spent/3", Amount::One)]),
    (Moment::Until(SEARCH, OFFSET_MS), &[Send("spent/5", Amount::One), Send("offset/fill", Amount::LimitLess(0))]),
    (
        Moment::Until(SEARCH, 10 * MINUTE_MS),
        &[Send("spent/10", Amount::One), Send("age-10/then", Amount::UntilRefused)],
    ),
    (Moment::Until(SEARCH, 13 * MINUTE_MS), &[Send("spent/13", Amount::One)]),
    (
        Moment::Until(SEARCH, 20 * MINUTE_MS),
        &[
            Send("spent/20", Amount::One),
            Send("age-20/then", Amount::UntilRefused),
            Send("later/fill", Amount::LimitLess(0)),
        ],
    ),
    (Moment::Until(SEARCH, 26 * MINUTE_MS), &[Send("spent/26", Amount::One)]),
    (
        Moment::Until(SEARCH, 31 * MINUTE_MS),
        &[
            Send("spent/31", Amount::One),
            Send("age-31/then", Amount::UntilRefused),
            Send("half/rest", Amount::LimitLess(1)),
            Send("later/31", Amount::One),
        ],
    ),
    (Moment::Until(SEARCH, 38 * MINUTE_MS), &[Send("spent/38", Amount::One)]),
    (
        Moment::Until(SEARCH, 45 * MINUTE_MS),
        &[Send("spent/45", Amount::One), Send("age-45/then", Amount::UntilRefused), Send("later/45", Amount::One)],
    ),
    (Moment::Until(SEARCH, 52 * MINUTE_MS), &[Send("spent/52", Amount::One)]),
    (Moment::Until(SEARCH, BEFORE_END), &[Send("late/rest", Amount::LimitLess(1)), Send("spent/before", Amount::One)]),
    (
        Moment::After(BEGUN, AFTER_END),
        &[
            Send("spent/after", Amount::UntilRefused),
            Send("age-20/after", Amount::UntilRefused),
            Send("silent/after", Amount::UntilRefused),
            Send("late/after", Amount::UntilRefused),
            Send("half/after", Amount::UntilRefused),
        ],
    ),
    (
        Moment::Until("offset/fill", BEFORE_END),
        &[
            Send("offset/before", Amount::One),
            Send("later/65", Amount::One),
            Send("half/65", Amount::UntilRefused),
            Send("next/fill", Amount::UntilRefused),
        ],
    ),
    (Moment::After(BEGUN, AFTER_TWO), &[Send("next/grid", Amount::One)]),
    (Moment::After("next/fill", AFTER_END), &[Send("next/after", Amount::UntilRefused)]),
];

/// Requests for another domain after each request that looks for the limit, so that those do not go round evenly among processes.
pub(super) const MIXED: (&str, [usize; 8]) = ("mixed/fill", [1, 1, 1, 1, 2, 2, 2, 2]);

/// The domain of a step.
pub(super) fn domain_of(label: &str) -> &str {
    label.split('/').next().unwrap_or(label)
}

/// The domains in the order of their first step.
fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = vec![domain_of(MIXED.0)];
    for Send(label, _) in STAGES.iter().flat_map(|(_, sends)| *sends) {
        if !names.contains(&domain_of(label)) {
            names.push(domain_of(label));
        }
    }
    names
}

/// At most so many requests are sent in a step, given the limit.
pub(super) fn at_most(amount: Amount, limit: usize) -> usize {
    match amount {
        Amount::Search => NONE_AFTER,
        Amount::UntilRefused | Amount::OtherToken => limit + 1,
        Amount::LimitLess(less) => limit.saturating_sub(less),
        Amount::One => 1,
        Amount::Invalid => INVALID,
        Amount::Apart => APART_MAX,
    }
}

/// True if a step is over after these answers (true: served).
pub(super) fn is_over(amount: Amount, served: &[bool]) -> bool {
    match amount {
        Amount::Search | Amount::UntilRefused | Amount::OtherToken => served.last() == Some(&false),
        Amount::Apart => {
            let irregular = served.windows(2).any(|pair| pair == [false, true]);
            let enough = if irregular { APART_REFUSALS_IRREGULAR } else { APART_REFUSALS };
            served.iter().rev().take_while(|served| !**served).count() >= enough
        }
        Amount::LimitLess(_) | Amount::One | Amount::Invalid => false,
    }
}

/// The limit that the first step found: 1 where nothing is served, so that every domain is still asked, and none where nothing
/// was refused.
pub(super) fn limit_found(served: &[bool]) -> Option<usize> {
    let found = served.iter().take_while(|served| **served).count();
    (found < served.len()).then_some(found.max(1))
}

async fn gather_limiter(g: &mut Gather) -> Result<(), Stop> {
    let mut domains = Domains::new();
    for name in names() {
        let tokens = if name == "tokens" { 2 } else { 1 };
        domains.insert(name, g.domain(DomainWish::default().pages(PAGES).tokens(tokens)).await?);
    }
    // Until the limit is known nothing is asked whose number depends on it.
    let mut limit = None;
    for (moment, sends) in STAGES {
        if !matches!(moment, Moment::Now) && limit.is_none() {
            return Ok(());
        }
        wait(g, moment).await?;
        for Send(label, amount) in *sends {
            let broke_before = kept_broke(g);
            let served = send_step(g, &mut domains, label, *amount, limit.unwrap_or_default()).await;
            if kept_broke(g) && !broke_before {
                // Nobody knows whether the request that was lost counted. Another attempt does not depend on that connection.
                return Err(Stop::Inconclusive("the connection that the requests shared broke off".to_owned()));
            }
            if *label == SEARCH {
                limit = limit_found(&served);
            }
        }
    }
    Ok(())
}

fn kept_broke(g: &Gather) -> bool {
    g.world().clients.get(&Api::Rndrkit).is_some_and(HttpClient::kept_broke)
}

/// The domains by name.
type Domains = BTreeMap<&'static str, Domain>;

/// Sends the requests of one step and tells which were served.
async fn send_step(g: &mut Gather, domains: &mut Domains, label: &str, amount: Amount, limit: usize) -> Vec<bool> {
    let mut served = Vec::new();
    while served.len() < at_most(amount, limit) && !is_over(amount, &served) {
        let Some(domain) = domains.get_mut(domain_of(label)) else { break };
        let request = request(label, domain, amount);
        served.push(is_served(&g.send(request).await));
        for _ in 0..mixed_after(label, served.len()) {
            let Some(other) = domains.get_mut(domain_of(MIXED.0)) else { break };
            let request = over_the_one(valid_with(MIXED.0, other, 0));
            g.send(request).await;
        }
    }
    served
}

async fn wait(g: &mut Gather, moment: &Moment) -> Result<(), Stop> {
    let of = |g: &Gather, step: &str| -> Vec<Exchange> {
        g.evidence().step(step).map(|(_, exchange)| exchange.clone()).collect()
    };
    match *moment {
        Moment::Now => {}
        Moment::Until(step, ms) => {
            if let Some(first) = of(g, step).first() {
                g.wait_until(first, ms).await?;
            }
        }
        Moment::After(step, ms) => {
            if let Some(last) = of(g, step).last() {
                g.wait_after(last, ms).await?;
            }
        }
    }
    Ok(())
}

/// How many requests for another domain follow a step's request of that number.
pub(super) fn mixed_after(label: &str, number: usize) -> usize {
    if label == SEARCH { MIXED.1.get(number.wrapping_sub(1)).copied().unwrap_or_default() } else { 0 }
}

fn request(label: &str, domain: &mut Domain, amount: Amount) -> Request {
    match amount {
        Amount::OtherToken => over_the_one(valid_with(label, domain, 1)),
        Amount::Invalid => over_the_one(refresh(label, &domain.tokens[0], &json!({}))),
        Amount::Apart => valid_with(label, domain, 0),
        Amount::Search | Amount::UntilRefused | Amount::LimitLess(_) | Amount::One => {
            over_the_one(valid_with(label, domain, 0))
        }
    }
}

/// Sends a request over the connection that only this probe uses.
fn over_the_one(request: Request) -> Request {
    Request { connection: Connection::Kept, ..request }
}
