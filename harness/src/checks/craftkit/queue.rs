//! Outages of the render queue.

use serde_json::json;

use super::bodies::turn_accepted;
use super::poll::{poll, with_key};
use super::responses::{ErrorKind, judge_error_form};
use super::{example_manifest, fresh_body, hook, is_accepted, send_first, success, turn_into_refusal};
use crate::api::Api;
use crate::checks::judge::{Acceptable, Judge, craftkit_error, not_success, outcome};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Body, Evidence, Exchange};
use crate::gather::{Gather, Stop, Template};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[OUTAGE, FORM];

const UNAVAILABLE: u16 = 503;
/// Code while the queue cannot be reached.
const CODE: &str = "queue_unavailable";
const NOT_FOUND: u16 = 404;

const OUTAGE: Check = Check {
    id: "craftkit/queue/outage",
    rules: &["craftkit.queue.unavailable", "craftkit.queue.recovers", "craftkit.queue.nothing-lost"],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate, Method::QueueSet]).alone(),
    gather: |g| Box::pin(gather_outage(g)),
    judge: judge_outage,
    sabotages: &[
        Sabotage {
            defect: "fails when the queue does",
            turns_red: &["craftkit.queue.unavailable"],
            apply: |evidence| turn_into_refusal(evidence, "during", 500, "internal"),
        },
        Sabotage {
            defect: "calls every outage by one code",
            turns_red: &["craftkit.queue.unavailable"],
            apply: |evidence| turn_into_refusal(evidence, "during", UNAVAILABLE, "unavailable"),
        },
        Sabotage {
            defect: "accepts what it cannot queue",
            turns_red: &["craftkit.queue.unavailable"],
            apply: |evidence| turn_accepted(evidence, "during"),
        },
        Sabotage {
            defect: "remembers a request that it refused and takes its repetition for a duplicate",
            turns_red: &["craftkit.queue.recovers"],
            apply: |evidence| turn_into_refusal(evidence, "retried", 409, "duplicate"),
        },
        Sabotage {
            defect: "does not connect to the queue again",
            turns_red: &["craftkit.queue.recovers"],
            apply: |evidence| turn_into_refusal(evidence, "retried", UNAVAILABLE, CODE),
        },
        Sabotage {
            defect: "keeps renders in the queue only and loses them with it",
            turns_red: &["craftkit.queue.nothing-lost"],
            apply: |evidence| turn_into_refusal(evidence, "poll/before", NOT_FOUND, "not_found"),
        },
        Sabotage {
            defect: "gives a repeated request an id that is stored nowhere",
            turns_red: &["craftkit.queue.nothing-lost"],
            apply: |evidence| turn_into_refusal(evidence, "poll/retried", NOT_FOUND, "not_found"),
        },
        Sabotage {
            defect: "looks renders up in the queue",
            turns_red: &["craftkit.queue.nothing-lost"],
            apply: |evidence| turn_into_refusal(evidence, "poll/in-outage", NOT_FOUND, "not_found"),
        },
    ],
};

/// The form of the 503, which only an outage shows; that of all other errors is judged without one.
const FORM: Check = Check {
    id: "craftkit/queue/outage-form",
    rules: &["craftkit.errors.envelope", "craftkit.errors.code", "craftkit.http.json"],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate, Method::QueueSet]).alone().if_possible(),
    gather: |g| Box::pin(gather_outage_form(g)),
    judge: judge_form,
    sabotages: &[
        Sabotage {
            defect: "leaves the 503 to a proxy's page",
            turns_red: &["craftkit.http.json"],
            apply: |evidence| {
                let page = Body::Text("<h1>Service Unavailable</h1>".to_owned());
                evidence.edit("during", |exchange| {
                    exchange.response.as_mut().expect("a good run has an answer").body = page.clone();
                });
            },
        },
        Sabotage {
            defect: "gives the 503 no code",
            turns_red: &["craftkit.errors.code"],
            apply: |evidence| evidence.answer("during", UNAVAILABLE, &json!({"error": {"message": "Try again."}})),
        },
        Sabotage {
            defect: "writes the 503 without an envelope",
            turns_red: &["craftkit.errors.envelope"],
            apply: |evidence| evidence.answer("during", UNAVAILABLE, &json!({"code": CODE, "message": "Try again."})),
        },
    ],
};

async fn gather_outage(g: &mut Gather) -> Result<(), Stop> {
    let template = g.template(&example_manifest(), json!({})).await?;
    let [before, during, after] = [fresh_body(g), fresh_body(g), fresh_body(g)];
    let accepted = send_first(g, hook("before", &template, before)).await;
    if !is_accepted(&accepted) {
        // Nothing would follow from an outage.
        return Ok(());
    }
    poll_with_key(g, &template, "poll/early", &accepted).await;

    g.set_queue(false).await?;
    g.settled(hook("during", &template, during.clone()), is_refused).await;
    poll_with_key(g, &template, "poll/in-outage", &accepted).await;
    g.set_queue(true).await?;

    g.settled(hook("retried", &template, during), is_accepted).await;
    g.settled(hook("after", &template, after), is_accepted).await;
    poll_all(g, &template).await;
    Ok(())
}

async fn gather_outage_form(g: &mut Gather) -> Result<(), Stop> {
    let template = g.template(&example_manifest(), json!({})).await?;
    let [before, during, back] = [fresh_body(g), fresh_body(g), fresh_body(g)];
    if is_accepted(&send_first(g, hook("before", &template, before)).await) {
        g.set_queue(false).await?;
        g.settled(hook("during", &template, during), is_refused).await;
        g.set_queue(true).await?;
        // Whoever comes next shall find the queue back.
        g.settled(hook("back", &template, back), is_accepted).await;
    }
    Ok(())
}

fn is_refused(exchange: &Exchange) -> bool {
    exchange.is(UNAVAILABLE)
}

/// Polls every render that was promised, those included that were accepted while the outage was still spreading.
async fn poll_all(g: &mut Gather, template: &Template) {
    let promised: Vec<Exchange> = g
        .evidence()
        .exchanges
        .iter()
        .filter(|exchange| exchange.request.method == "POST" && is_accepted(exchange))
        .cloned()
        .collect();
    for accepted in promised {
        let step = accepted.label.trim_end_matches("/unsettled");
        poll_with_key(g, template, &format!("poll/{step}"), &accepted).await;
    }
}

async fn poll_with_key(g: &mut Gather, template: &Template, label: &str, accepted: &Exchange) {
    if let Some(request) = poll(g, accepted, template).await {
        g.send(with_key(request.label(label), template)).await;
    }
}

fn judge_outage(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    judge
        .rule("craftkit.queue.unavailable")
        .provoked()
        .control_fits("before", &success())
        .expects("during", &[craftkit_error(UNAVAILABLE, CODE)]);
    judge
        .rule("craftkit.queue.recovers")
        .provoked()
        .control_fits("before", &success())
        .control_fits("during", &not_success())
        .expects("retried", &[success()]);
    judge_polls(&mut judge);
    judge.findings()
}

fn judge_form(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    judge_error_form(&mut judge, "during", ErrorKind::Other, true);
    judge.findings()
}

/// Each poll for itself. What a poll says, and whether the key opens it at all, is the concern of the rules about polling.
fn judge_polls(judge: &mut Judge<'_>) {
    const POLLS: [&str; 5] = ["poll/before", "poll/in-outage", "poll/during", "poll/retried", "poll/after"];
    let rule = "craftkit.queue.nothing-lost";
    let sent: Vec<&str> = POLLS.into_iter().filter(|step| judge.one(step).is_some()).collect();
    if sent.is_empty() {
        judge.rule(rule).inconclusive("no render was accepted, so there is none to lose");
    }
    for step in sent {
        // A poll may need the queue; then it may be refused for that while the queue is away.
        judge.rule(rule).provoked().control_fits("poll/early", &found()).expects(step, &[found()]);
    }
}

fn found() -> Acceptable {
    outcome("any answer but 404", |response| response.status != NOT_FOUND)
}
