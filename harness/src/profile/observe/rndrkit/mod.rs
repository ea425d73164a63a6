//! What RndrKit's document leaves open.

pub mod body;
pub mod cost;
pub mod http;
pub mod order;
pub mod plans;
pub mod quota;
pub mod revoked;
pub mod tokens;

use crate::checks::Check;
use crate::checks::rndrkit::{exhaust, valid};
use crate::evidence::Exchange;
use crate::gather::{Domain, Gather, Stop};

/// The lists of all topics.
pub const OBSERVERS: &[&[Check]] = &[
    order::OBSERVERS,
    cost::OBSERVERS,
    revoked::OBSERVERS,
    body::OBSERVERS,
    tokens::OBSERVERS,
    plans::OBSERVERS,
    quota::OBSERVERS,
    http::OBSERVERS,
];

/// A plan without webhooks, in the fixture protocol's spelling.
const LOW_PLAN: &str = "starter";

/// JSON that breaks off.
const MALFORMED: &str = "{\"urls\": [\"/page-1\"";

/// Waits until a change made through a fixture shows at a domain that was changed last; what was changed before it shows by then, too.
async fn shows(g: &mut Gather, label: &str, domain: &mut Domain, done: impl Fn(&Exchange) -> bool) -> bool {
    let request = valid(label, domain);
    let last = g.settled_sparingly(request, &done).await;
    done(&last)
}

/// Spends a domain's hourly limit.
async fn spend(g: &mut Gather, label: &str, domain: &mut Domain) -> Result<Vec<Exchange>, Stop> {
    exhaust(g, label, domain, 0).await
}
