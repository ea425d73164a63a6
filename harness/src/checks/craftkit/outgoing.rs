//! The outgoing webhook that follows an inbound render: that it comes, what it looks like, and that it comes again.
//!
//! That none comes may have two reasons: the target sends none, or it cannot reach the receiver, in a network of its own or behind a
//! guard that keeps it from loopback. So a webhook must come for a render that was started in the other way before its absence is held
//! against the target.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::bodies::manifest;
use super::pipeline::render;
use super::poll::{poll, with_key};
use super::{ACCEPTED, fresh, hook, send_first, variable};
use crate::api::Api;
use crate::checks::judge::{Judge, actual};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Body, Delivery, DeliverySignature, Evidence, Exchange, Response};
use crate::gather::{Gather, Stop, Subscription, Template};
use crate::target::protocol::Method;
use crate::target::receiver::{Answering, Receiver};
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[OUTGOING, RETRY];

const COMES: &str = "craftkit.pipeline.outgoing-webhook";
const FORM: &str = "craftkit.pipeline.webhook-form";

/// Step of the hook request that the webhook follows.
const HOOK: &str = "hook";
/// Step of the poll that shows whether the render has ended.
const POLL: &str = "poll";
/// Status of a poll that shows a render.
const POLLED: u16 = 200;
/// Label of what reached the receiver.
const DELIVERY: &str = "delivery";
/// Step of a render that was not started through the hook.
const OTHER: &str = "other";
/// An id for that render in sabotages.
const OTHER_ID: &str = "0190c5f2-7b1e-7c7e-9c3a-000000000001";
/// Label of what reached the receiver after that render was started.
const OTHER_DELIVERY: &str = "other-delivery";

/// The documented events of renders.
const EVENTS: [&str; 2] = ["render.succeeded", "render.failed"];
/// The statuses of a render that has ended.
const ENDED: [&str; 2] = ["succeeded", "failed"];
/// The documented keys of a webhook's body.
const KEYS: [&str; 8] =
    ["event", "renderId", "templateId", "status", "downloadUrl", "errorMessage", "createdAt", "completedAt"];

const EVENT_HEADER: &str = "x-craftkit-event";
const TIMESTAMP_HEADER: &str = "x-craftkit-timestamp";
const DELIVERY_ID: &str = "x-craftkit-delivery-id";
/// The documented user agent of deliveries.
const USER_AGENT: &str = "Craftkit-Webhook/1.0";

/// Seconds since 1970 are below this until the year 5138; milliseconds have been above it since 1973.
const UNIX_SECONDS_BELOW: u64 = 100_000_000_000;

/// Real time allowed for a render to end, and then for its webhook to come.
const TIME_MAX: Duration = Duration::from_secs(10);

const OUTGOING: Check = Check {
    id: "craftkit/pipeline/outgoing-webhook",
    rules: &[COMES, FORM],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate, Method::SubscriptionCreate]),
    gather: |g| Box::pin(gather_outgoing(g)),
    judge: judge_outgoing,
    sabotages: &[
        Sabotage {
            defect: "sends no webhooks for inbound renders",
            turns_red: &[COMES],
            apply: |evidence| {
                // The webhook that came becomes that of a render of the other route.
                let hook = evidence.exchanges.iter().find(|exchange| exchange.label == HOOK);
                let mut other = hook.expect("a good run has a hook request").clone();
                other.label = OTHER.to_owned();
                evidence.exchanges.push(other);
                evidence.answer(OTHER, ACCEPTED, &json!({"id": OTHER_ID}));
                edit_body(evidence, |body| body["renderId"] = json!(OTHER_ID));
                evidence.edit_deliveries(DELIVERY, |delivery| delivery.label = OTHER_DELIVERY.to_owned());
            },
        },
        Sabotage {
            defect: "names the event of another product",
            turns_red: &[FORM],
            apply: |evidence| {
                set_header(evidence, EVENT_HEADER, Some("render.completed"));
                edit_body(evidence, |body| body["event"] = json!("render.completed"));
            },
        },
        Sabotage {
            defect: "names one event in the header and another in the body",
            turns_red: &[FORM],
            apply: |evidence| edit_body(evidence, |body| body["event"] = json!("render.queued")),
        },
        Sabotage {
            defect: "signs with another secret, or another text than is sent",
            turns_red: &[FORM],
            apply: |evidence| evidence.edit_deliveries(DELIVERY, |one| one.signature = DeliverySignature::Differs),
        },
        Sabotage {
            defect: "does not sign",
            turns_red: &[FORM],
            apply: |evidence| evidence.edit_deliveries(DELIVERY, |one| one.signature = DeliverySignature::Absent),
        },
        Sabotage {
            defect: "gives the time in milliseconds",
            turns_red: &[FORM],
            apply: |evidence| set_header(evidence, TIMESTAMP_HEADER, Some("1773480413000")),
        },
        Sabotage {
            defect: "gives the time as a date",
            turns_red: &[FORM],
            apply: |evidence| set_header(evidence, TIMESTAMP_HEADER, Some("2026-03-14T09:26:53Z")),
        },
        Sabotage {
            defect: "gives deliveries no id",
            turns_red: &[FORM],
            apply: |evidence| set_header(evidence, DELIVERY_ID, None),
        },
        Sabotage {
            defect: "keeps the user agent of its HTTP client",
            turns_red: &[FORM],
            apply: |evidence| set_header(evidence, "user-agent", Some("node")),
        },
        Sabotage {
            defect: "does not say that the body is JSON",
            turns_red: &[FORM],
            apply: |evidence| set_header(evidence, "content-type", Some("text/plain")),
        },
        Sabotage {
            defect: "spells keys with underscores",
            turns_red: &[FORM],
            apply: |evidence| {
                edit_body(evidence, |body| {
                    body["render_id"] = body["renderId"].take();
                    body.as_object_mut().expect("a good webhook is an object").remove("renderId");
                });
            },
        },
        Sabotage {
            defect: "leaves out keys that have no value",
            turns_red: &[FORM],
            apply: |evidence| {
                edit_body(evidence, |body| {
                    body.as_object_mut().expect("a good webhook is an object").remove("errorMessage");
                });
            },
        },
    ],
};

fn set_header(evidence: &mut Evidence, name: &str, value: Option<&str>) {
    evidence.edit_deliveries(DELIVERY, |delivery| {
        delivery.headers.retain(|(found, _)| found != name);
        delivery.headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    });
}

fn edit_body(evidence: &mut Evidence, change: impl Fn(&mut Value)) {
    evidence.edit_deliveries(DELIVERY, |delivery| {
        let mut body = delivery.json().expect("a good webhook is JSON");
        change(&mut body);
        delivery.body = Body::Text(body.to_string());
    });
}

async fn gather_outgoing(g: &mut Gather) -> Result<(), Stop> {
    let receiver = g.receiver(Answering::Accept).await?;
    let (template, subscription) = subscribed(g, &receiver).await?;
    // A second render if need be: a subscription made a moment ago may not have been known yet when the first one ended.
    for bound in [g.world().settle, TIME_MAX] {
        let sent = send_fresh(g, &template).await;
        let Some(id) = id_of(&sent) else { return Ok(()) };
        if let Some(keyless) = poll(g, &sent, &template).await {
            let poll = with_key(keyless.label(POLL), &template);
            // Where polls fail, which other rules are about, waiting for the end would only take time.
            g.repeated(poll, TIME_MAX, |exchange| has_ended(exchange).is_some() || !exchange.is(POLLED)).await;
        }
        let come = |deliveries: &[Delivery]| deliveries.iter().any(|delivery| is_about(delivery, &id));
        if g.deliveries(DELIVERY, &receiver, &subscription, bound, come).await {
            return Ok(());
        }
    }
    if !g.evidence().deliveries.is_empty() {
        // The target can reach the receiver.
        return Ok(());
    }
    gather_other(g, &receiver, &template, &subscription).await
}

/// Whether anything comes for a render that was started through the render route.
async fn gather_other(
    g: &mut Gather,
    receiver: &Receiver,
    template: &Template,
    subscription: &Subscription,
) -> Result<(), Stop> {
    let body = json!({ "title": fresh(g) });
    let sent = g.send(render(OTHER, template, &body)).await;
    let come = match id_of(&sent).filter(|_| is_success(&sent)) {
        Some(id) => {
            let come = move |deliveries: &[Delivery]| deliveries.iter().any(|delivery| is_about(delivery, &id));
            g.deliveries(OTHER_DELIVERY, receiver, subscription, TIME_MAX, come).await
        }
        None => false,
    };
    let ended = g.evidence().step(POLL).last().is_some_and(|(_, poll)| has_ended(poll).is_some());
    if come || !ended || !g.evidence().deliveries.is_empty() {
        return Ok(());
    }
    Err(Stop::NotRun(format!(
        "nothing came to {}, for whatever render: either the target sends no outgoing webhooks, or it cannot reach the suite's receiver on \
         loopback, which the fixture protocol asks for (a target in a network of its own, or one that refuses loopback addresses)",
        receiver.url()
    )))
}

fn is_success(exchange: &Exchange) -> bool {
    exchange.response.as_ref().is_some_and(Response::is_success)
}

/// A template whose project has subscribed the receiver to the events of renders.
async fn subscribed(g: &mut Gather, receiver: &Receiver) -> Result<(Template, Subscription), Stop> {
    let template = g.template(&manifest(&[variable("title", "text", true)], &[]), json!({})).await?;
    let subscription = g.subscription(&template.project, receiver.url(), &EVENTS).await?;
    Ok((template, subscription))
}

async fn send_fresh(g: &mut Gather, template: &Template) -> Exchange {
    let body = json!({ "title": fresh(g) });
    send_first(g, hook(HOOK, template, body.to_string())).await
}

fn id_of(exchange: &Exchange) -> Option<String> {
    exchange.json()?.get("id")?.as_str().map(str::to_ascii_lowercase)
}

/// The status that a polled render ended with.
fn has_ended(exchange: &Exchange) -> Option<String> {
    let body = exchange.json()?;
    body.get("status")?.as_str().filter(|status| ENDED.contains(status)).map(str::to_owned)
}

/// True if the delivery names the render, wherever in its body.
fn is_about(delivery: &Delivery, id: &str) -> bool {
    delivery.body.text().is_some_and(|text| text.to_ascii_lowercase().contains(id))
}

fn judge_outgoing(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let hooks = judge.all(HOOK);
    let first_ns = hooks.first().map_or(u64::MAX, |seen| seen.exchange.start_ns);
    let ids: Vec<String> = hooks.iter().filter_map(|seen| id_of(seen.exchange)).collect();
    let named = evidence.deliveries.iter().find(|delivery| ids.iter().any(|id| is_about(delivery, id)));
    // What the body must look like is the other rule's concern, so that one which names no render counts too.
    let other = judge.one(OTHER).and_then(|seen| id_of(seen.exchange));
    let is_other = |delivery: &Delivery| other.as_ref().is_some_and(|id| is_about(delivery, id));
    let unnamed = |delivery: &&Delivery| delivery.received_ns > first_ns && !is_other(delivery);
    let come = named.or_else(|| evidence.deliveries.iter().find(unnamed));
    let at = hooks.last().map(|seen| seen.at);
    let expected = "a request to the subscribed URL after the render has ended";
    let rule = judge.rule(COMES).control(HOOK);
    match come {
        Some(delivery) => {
            rule.that(true, expected, shown(delivery), at);
            judge_form(&mut judge, delivery, &ids, at);
        }
        None => {
            let ended = judge.all(POLL).last().and_then(|seen| has_ended(seen.exchange));
            let reached = evidence.deliveries.iter().any(is_other);
            judge_absence(&mut judge, ended, reached, expected, at);
        }
    }
    judge.findings()
}

fn judge_absence(judge: &mut Judge<'_>, ended: Option<String>, reached: bool, expected: &str, at: Option<usize>) {
    let receivers = judge.evidence().fixtures.iter().filter(|call| call.method == Method::SubscriptionCreate.name());
    let urls: Vec<String> = receivers.map(|call| call.params["url"].to_string()).collect();
    let otherwise = match judge.all(POLL).last() {
        Some(seen) => format!("the render was not seen to end: {}", actual(seen.exchange)),
        None => "the render could not be polled".to_owned(),
    };
    let found = format!(
        "the render ended as `{}`, and nothing came for it to {} within {} s, where the webhook of a render of the render route came",
        ended.as_deref().unwrap_or("unknown"),
        urls.join(", "),
        TIME_MAX.as_secs()
    );
    let rule = judge.rule(COMES).control(HOOK).provided(ended.is_some(), otherwise);
    rule.provided(reached, "nothing came for any other render, either").that(false, expected, found, at);
    let form = judge.rule(FORM);
    if ended.is_some() {
        form.not_applicable("no outgoing webhook came, so there is none to look at");
    } else {
        form.inconclusive("no outgoing webhook came");
    }
}

/// Judges each part of a webhook for itself, so that a report names everything that is wrong with it.
fn judge_form(judge: &mut Judge<'_>, delivery: &Delivery, ids: &[String], at: Option<usize>) {
    let body = delivery.json().unwrap_or_default();
    let header = |name: &str| delivery.header(name).unwrap_or("(none)").to_owned();
    let mut part = |holds: bool, expected: String, found: String| {
        judge.rule(FORM).control(HOOK).that(holds, expected, found, at);
    };
    let event = header(EVENT_HEADER);
    part(
        EVENTS.contains(&event.as_str()) && body["event"] == json!(event),
        format!("`{EVENT_HEADER}` and `event` in the body alike, one of {}", EVENTS.join(", ")),
        format!("header {event}, body {}", body["event"]),
    );
    part(
        header("user-agent") == USER_AGENT,
        format!("`user-agent: {USER_AGENT}`"),
        format!("user-agent: {}", header("user-agent")),
    );
    part(
        header("content-type").split(';').next().is_some_and(|kind| kind.trim() == "application/json"),
        "`content-type: application/json`".to_owned(),
        format!("content-type: {}", header("content-type")),
    );
    part(
        header(TIMESTAMP_HEADER).parse::<u64>().is_ok_and(|seconds| seconds < UNIX_SECONDS_BELOW),
        format!("`{TIMESTAMP_HEADER}` in whole seconds since 1970"),
        format!("{TIMESTAMP_HEADER}: {}", header(TIMESTAMP_HEADER)),
    );
    part(
        Uuid::try_parse(&header(DELIVERY_ID)).is_ok(),
        format!("a UUID in `{DELIVERY_ID}`"),
        format!("{DELIVERY_ID}: {}", header(DELIVERY_ID)),
    );
    let words = match delivery.signature {
        DeliverySignature::Matches => "it matches",
        DeliverySignature::Differs => "it does not match",
        DeliverySignature::Absent => "there is none",
    };
    part(
        delivery.signature == DeliverySignature::Matches,
        "`x-craftkit-signature` as the bare hexadecimal HMAC-SHA256 of the body under the subscription's secret"
            .to_owned(),
        words.to_owned(),
    );
    let lacking: Vec<&str> = KEYS.into_iter().filter(|key| body.get(key).is_none()).collect();
    part(
        lacking.is_empty(),
        format!("a JSON object with the keys {}", KEYS.join(", ")),
        if lacking.is_empty() { "all of them".to_owned() } else { format!("without {}", lacking.join(", ")) },
    );
    // A missing key is judged above.
    if let Some(named) = body.get("renderId") {
        let holds = named.as_str().is_some_and(|named| ids.contains(&named.to_ascii_lowercase()));
        part(holds, "`renderId` as the `id` of the 202".to_owned(), format!("renderId: {named}"));
    }
}

/// A delivery in one line.
fn shown(delivery: &Delivery) -> String {
    const SHOWN_MAX: usize = 200;
    let text = delivery.body.text().unwrap_or("(a body that is not text)");
    let beginning: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    format!("{} with {beginning}", delivery.method)
}

/// When the target's time has passed so far after the hook (ms), a look is taken whether the refused delivery came again: just
/// after the shortest delay the vendor's pages name, after a minute, and after the longest delay they name.
const RETRY_LOOKS_MS: [u64; 3] = [6_000, 60_000, 310_000];
/// Real time of a look: enough for a target that sends what is due at once.
const LOOK: Duration = Duration::from_millis(150);
/// Real time of the last look: a target may count the delay between attempts in real time.
const LAST_LOOK: Duration = Duration::from_secs(10);

const RETRY: Check = Check {
    id: "craftkit/pipeline/webhook-retry",
    rules: &[FORM],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate, Method::SubscriptionCreate])
        .passing(RETRY_LOOKS_MS[RETRY_LOOKS_MS.len() - 1]),
    gather: |g| Box::pin(gather_retry(g)),
    judge: judge_retry,
    sabotages: &[Sabotage {
        defect: "gives every attempt an id of its own",
        turns_red: &[FORM],
        apply: |evidence| {
            let ids = [Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3)].into_iter().cycle();
            for (delivery, id) in evidence.deliveries.iter_mut().zip(ids) {
                delivery.headers.retain(|(name, _)| name != DELIVERY_ID);
                delivery.headers.push((DELIVERY_ID.to_owned(), id.to_string()));
            }
        },
    }],
};

async fn gather_retry(g: &mut Gather) -> Result<(), Stop> {
    let receiver = g.receiver(Answering::RefuseFirst { told_apart_by: DELIVERY_ID }).await?;
    let (template, subscription) = subscribed(g, &receiver).await?;
    let sent = send_fresh(g, &template).await;
    if !sent.is(ACCEPTED) {
        return Ok(());
    }
    let first = |deliveries: &[Delivery]| !deliveries.is_empty();
    if !g.deliveries(DELIVERY, &receiver, &subscription, TIME_MAX, first).await {
        return Ok(());
    }
    let again = |deliveries: &[Delivery]| came_again(deliveries).is_some();
    for passed_ms in RETRY_LOOKS_MS {
        g.wait_after(&sent, passed_ms).await?;
        if g.deliveries(DELIVERY, &receiver, &subscription, LOOK, again).await {
            return Ok(());
        }
    }
    g.deliveries(DELIVERY, &receiver, &subscription, LAST_LOOK, again).await;
    Ok(())
}

/// The first refused delivery, and a later one about the same thing: with its id, or with the same body.
fn came_again(deliveries: &[Delivery]) -> Option<(&Delivery, &Delivery)> {
    let at = deliveries.iter().position(is_refused)?;
    let (first, later) = deliveries.get(at..)?.split_first()?;
    let same_id =
        |one: &&Delivery| one.header(DELIVERY_ID).is_some() && one.header(DELIVERY_ID) == first.header(DELIVERY_ID);
    let again = later.iter().find(same_id).or_else(|| later.iter().find(|one| one.body == first.body))?;
    Some((first, again))
}

fn is_refused(delivery: &Delivery) -> bool {
    !(200..300).contains(&delivery.answered)
}

fn judge_retry(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let at = judge.one(HOOK).map(|seen| seen.at);
    let hook_accepted = judge.one(HOOK).is_some_and(|seen| seen.exchange.is(ACCEPTED));
    let rule = judge.rule(FORM).control(HOOK);
    let first = evidence.deliveries.iter().find(|delivery| is_refused(delivery));
    match (first.and_then(|first| first.header(DELIVERY_ID)), came_again(&evidence.deliveries)) {
        (Some(_), Some((first, again))) => {
            let id = |delivery: &Delivery| delivery.header(DELIVERY_ID).unwrap_or("(none)").to_owned();
            let expected =
                format!("after the reply {}, the delivery again with the same `{DELIVERY_ID}`", first.answered);
            let found = format!("first {}, then {}", id(first), id(again));
            rule.that(id(first) == id(again), expected, found, at);
        }
        (Some(_), None) => rule.inconclusive("the refused delivery did not come again while it was waited for"),
        // Both are judged where the delivery is looked at.
        (None, _) if first.is_some() => {
            rule.not_applicable(format!("the delivery has no `{DELIVERY_ID}` to come again with"))
        }
        (None, _) if hook_accepted => rule.not_applicable("no outgoing webhook came, so none could come again"),
        (None, _) => rule.inconclusive("no outgoing webhook came"),
    }
    judge.findings()
}
