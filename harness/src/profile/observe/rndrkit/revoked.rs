//! What a revoked token meets, costs and makes room for.

use super::super::reading::{NOT_ASKED, said};
use super::super::{ask_first, observer};
use super::cost::{BASELINE, cost};
use super::{LOW_PLAN, spend};
use crate::api::Api;
use crate::checks::rndrkit::limit::is_served;
use crate::checks::rndrkit::{valid, valid_with};
use crate::checks::{Check, Needs};
use crate::evidence::Evidence;
use crate::gather::{Domain, DomainWish, Gather, Stop};
use crate::target::fixtures::FixtureError;
use crate::target::protocol::Method;

/// The observers of this topic.
pub const OBSERVERS: &[Check] = &[REVOKED, SLOT];

const REVOKED: Check = observer!(
    "observe/rndrkit/revoked",
    Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate, Method::TokenRevoke]),
    gather_revoked,
    {
        "rndrkit.observe.order-revoked-inactive" => said,
        "rndrkit.observe.order-revoked-plan" => said,
        "rndrkit.observe.order-revoked-rate" => said,
        "rndrkit.observe.order-revoked-quota" => said,
        "rndrkit.observe.cost-revoked-token" => cost,
    }
);

const SLOT: Check = observer!(
    "observe/rndrkit/slot",
    Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate, Method::TokenCreate, Method::TokenRevoke]),
    gather_slot,
    {
        "rndrkit.observe.revoked-frees-slot" => frees_slot,
    }
);

/// Requests with the revoked token whose cost is looked for.
const REFUSED: usize = 3;
/// Tokens that a domain may have.
const TOKENS_MAX: usize = 5;

async fn gather_revoked(g: &mut Gather) -> Result<(), Stop> {
    let mut spent = g.domain(DomainWish::default()).await?;
    let mut domains = vec![
        ("order-revoked-inactive", g.domain(DomainWish::default().with("active", false)).await?),
        ("order-revoked-plan", g.domain(DomainWish::default().plan(LOW_PLAN)).await?),
        ("order-revoked-quota", g.domain(DomainWish::default().quota(5, 5)).await?),
    ];
    let mut counted = g.domain(DomainWish::default().tokens(2)).await?;
    ask_first(g, valid(BASELINE, &mut spent)).await?;
    spend(g, BASELINE, &mut spent).await?;
    domains.push(("order-revoked-rate", spent));
    for (_, domain) in &domains {
        g.revoke(domain, &domain.tokens[0]).await?;
    }
    g.revoke(&counted, &counted.tokens[1]).await?;
    if !is_out(g, "cost-revoked-token/out", &mut counted, 1).await {
        return Ok(());
    }
    for (label, domain) in &mut domains {
        g.send(valid(label, domain)).await;
    }
    for _ in 0..REFUSED {
        g.send(valid_with("cost-revoked-token/refused", &mut counted, 1)).await;
    }
    spend(g, "cost-revoked-token/after", &mut counted).await?;
    Ok(())
}

/// Waits until a token that was revoked last is refused; those revoked before it are by then, too.
async fn is_out(g: &mut Gather, label: &str, domain: &mut Domain, token: usize) -> bool {
    let request = valid_with(label, domain, token);
    let last = g.settled_sparingly(request, |exchange| !is_served(exchange)).await;
    !is_served(&last)
}

async fn gather_slot(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default().tokens(TOKENS_MAX)).await?;
    ask_first(g, valid("control", &mut domain)).await?;
    g.revoke(&domain, &domain.tokens[TOKENS_MAX - 1].clone()).await?;
    if is_out(g, "revoked", &mut domain, TOKENS_MAX - 1).await {
        match g.token("sixth", &mut domain).await {
            Ok(()) | Err(FixtureError::Refused { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn frees_slot(evidence: &Evidence, _: &str) -> String {
    match evidence.fixture("sixth").map(|call| call.result.is_some()) {
        None => NOT_ASKED.to_owned(),
        Some(true) => "yes".to_owned(),
        Some(false) => "no".to_owned(),
    }
}
