//! Which of two errors wins where one request provokes both.

use rand::RngExt as _;
use serde_json::{Value, json};

use super::super::reading::said;
use super::super::{ask_first, observer};
use super::{LOW_PLAN, MALFORMED, shows, spend};
use crate::api::Api;
use crate::checks::rndrkit::{anonymous, limit::is_served, refresh_raw, valid};
use crate::checks::{Check, Needs};
use crate::gather::{DomainWish, Gather, Stop};
use crate::target::http::Request;
use crate::target::protocol::Method;

/// The observers of this topic.
pub const OBSERVERS: &[Check] = &[FROM_THE_START, CHANGED];

const FROM_THE_START: Check = observer!(
    "observe/rndrkit/order",
    Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather_order,
    {
        "rndrkit.observe.order-header-json" => said,
        "rndrkit.observe.order-header-body" => said,
        "rndrkit.observe.order-header-paths" => said,
        "rndrkit.observe.order-token-json" => said,
        "rndrkit.observe.order-token-body" => said,
        "rndrkit.observe.order-token-paths" => said,
        "rndrkit.observe.order-inactive-plan" => said,
        "rndrkit.observe.order-inactive-json" => said,
        "rndrkit.observe.order-inactive-body" => said,
        "rndrkit.observe.order-inactive-paths" => said,
        "rndrkit.observe.order-inactive-quota" => said,
        "rndrkit.observe.order-plan-json" => said,
        "rndrkit.observe.order-plan-body" => said,
        "rndrkit.observe.order-plan-paths" => said,
        "rndrkit.observe.order-plan-quota" => said,
        "rndrkit.observe.order-quota-json" => said,
        "rndrkit.observe.order-quota-body" => said,
        "rndrkit.observe.order-quota-paths" => said,
    }
);

const CHANGED: Check = observer!(
    "observe/rndrkit/order-at-the-limit",
    Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate, Method::DomainUpdate]),
    gather_changed,
    {
        "rndrkit.observe.order-inactive-rate" => said,
        "rndrkit.observe.order-plan-rate" => said,
        "rndrkit.observe.order-rate-quota" => said,
    }
);

/// Bodies that are refused whatever else holds.
const FAULTS: [(&str, &str); 3] = [("json", MALFORMED), ("body", "{}"), ("paths", "{\"urls\":[\"page-1\"]}")];

fn inactive() -> DomainWish {
    DomainWish::default().with("active", false)
}

fn used_up(wish: DomainWish) -> DomainWish {
    wish.quota(5, 5)
}

fn without_header(fault: &str, body: &str) -> Request {
    anonymous(&format!("order-header-{fault}"), &Value::Null).body(body)
}

async fn gather_order(g: &mut Gather) -> Result<(), Stop> {
    ask_first(g, without_header("json", MALFORMED)).await?;
    for (fault, body) in FAULTS {
        g.send(without_header(fault, body)).await;
        let token = format!("Bearer rk_wh_{}", hex::encode(g.rng().random::<[u8; 16]>()));
        let unknown = without_header(fault, body).label(format!("order-token-{fault}"));
        g.send(unknown.header("Authorization", token)).await;
    }
    let low = DomainWish::default().plan(LOW_PLAN);
    for (state, wish) in [("inactive", inactive()), ("plan", low.clone()), ("quota", used_up(DomainWish::default()))] {
        let domain = g.domain(wish).await?;
        for (fault, body) in FAULTS {
            g.send(refresh_raw(&format!("order-{state}-{fault}"), &domain.tokens[0], body)).await;
        }
    }
    for (label, wish) in [
        ("order-inactive-plan", inactive().plan(LOW_PLAN)),
        ("order-inactive-quota", used_up(inactive())),
        ("order-plan-quota", used_up(low)),
    ] {
        let mut domain = g.domain(wish).await?;
        g.send(valid(label, &mut domain)).await;
    }
    Ok(())
}

/// Each limit is spent first and its domain changed then. A domain changed right after it, whose limit is not spent, tells when such a
/// change is in force; all are changed before the first is looked at, so that slow changes pass side by side.
async fn gather_changed(g: &mut Gather) -> Result<(), Stop> {
    let changes = [
        ("order-inactive-rate", json!({"active": false})),
        ("order-plan-rate", json!({"plan": LOW_PLAN})),
        ("order-rate-quota", json!({"renders_used": 50, "monthly_render_limit": 50})),
    ];
    let mut pairs = Vec::new();
    for (label, change) in changes {
        let (mut domain, twin) = (g.domain(DomainWish::default()).await?, g.domain(DomainWish::default()).await?);
        ask_first(g, valid("spent", &mut domain)).await?;
        spend(g, "spent", &mut domain).await?;
        g.update_domain(&domain, change.clone()).await?;
        g.update_domain(&twin, change).await?;
        pairs.push((label, domain, twin));
    }
    for (label, mut domain, mut twin) in pairs {
        if shows(g, "changed", &mut twin, |exchange| !is_served(exchange)).await {
            g.send(valid(label, &mut domain)).await;
        }
    }
    Ok(())
}
