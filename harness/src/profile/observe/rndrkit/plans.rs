//! What a plan is worth once it was cancelled.

use super::super::reading::said;
use super::super::{ask_first, observer};
use crate::api::Api;
use crate::checks::rndrkit::valid;
use crate::checks::{Check, Needs};
use crate::gather::{DomainWish, Gather, Stop};
use crate::target::protocol::Method;

/// The observers of this topic.
pub const OBSERVERS: &[Check] = &[CANCELLED];

const CANCELLED: Check = observer!(
    "observe/rndrkit/plans",
    Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather_cancelled,
    {
        "rndrkit.observe.plan-cancelled" => said,
    }
);

/// `Agency+`, cancelled, within the time still paid for. Fixtures need not know it, and refuse it then like any plan that there is not.
const CANCELLED_PLAN: &str = "agency_plus_cancelled";
/// A plan that there is not.
const NO_PLAN: &str = "platinum";

async fn gather_cancelled(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default()).await?;
    ask_first(g, valid("control", &mut domain)).await?;
    let Ok(mut cancelled) = g.domain(DomainWish::default().plan(CANCELLED_PLAN)).await else {
        return Err(Stop::NotRun(format!("the fixtures make no domain on the plan `{CANCELLED_PLAN}`")));
    };
    if g.domain(DomainWish::default().plan(NO_PLAN)).await.is_ok() {
        // Nobody knows what they made of it, then.
        return Err(Stop::NotRun("the fixtures take any text for a plan".to_owned()));
    }
    g.send(valid("plan-cancelled", &mut cancelled)).await;
    Ok(())
}
