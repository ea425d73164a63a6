//! Outgoing webhooks: sends what is due, again and later when it fails, and gives up after six attempts.
//!
//! Deliveries are rows with leases, so they survive a restart, and one that was under way when the
//! process died is sent again under the same id. When an attempt is due is a matter of the server's
//! clock; how long it may take, and how long it stays leased, of real time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{signature, wire};
use crate::clock::{Millis, real_now};
use crate::config::ClockKind;
use crate::parts::{Outgoing, Posted, Settled};
use crate::server::App;
use crate::store::records::{Delivery, DeliveryState, QueuedRender, RenderStatus, Subscription, Write};
use crate::store::{Read, transact};

/// Attempts before a delivery is abandoned, as CraftKit's webhook guide says.
const ATTEMPTS: u32 = 6;

/// Delay after the first failed attempt; each further one doubles it: 5, 10, 20, 40, 80 seconds.
const FIRST_DELAY: Millis = 5_000;

/// Attempts under way at once.
const AT_ONCE: u32 = 32;

/// Added to an attempt's time limit to give its lease.
const LEASE_MARGIN: Millis = 30_000;

/// Longest wait for something to become due; leases run out unannounced.
const IDLE: Duration = Duration::from_secs(1);

/// How long attempts under way are waited for when the server stops; then they will be repeated.
const GRACE: Duration = Duration::from_secs(1);

/// Delivers until `stop` changes.
pub(crate) async fn run(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let mut client = None;
    let mut under_way: JoinSet<()> = JoinSet::new();
    loop {
        let nap = match round(&app, &mut client, &mut under_way).await {
            Ok(nap) => nap,
            Err(error) => {
                tracing::warn!(%error, "a round of the courier failed");
                IDLE
            }
        };
        tokio::select! {
            () = app.courier.notified() => {}
            Some(_) = under_way.join_next() => {}
            () = tokio::time::sleep(nap) => {}
            _ = stop.wait_for(|stopping| *stopping) => break,
        }
    }
    let rest = async { while under_way.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(GRACE, rest).await;
}

/// Why a round sent nothing.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// Starts what is due and says how long nothing else will be.
async fn round(
    app: &Arc<App>,
    client: &mut Option<reqwest::Client>,
    under_way: &mut JoinSet<()>,
) -> Result<Duration, RoundError> {
    let busy = u32::try_from(under_way.len()).unwrap_or(AT_ONCE);
    let free = AT_ONCE.saturating_sub(busy);
    if free == 0 {
        return Ok(IDLE);
    }
    let (due, next) = take(app, free).await?;
    if due.is_empty() {
        return Ok(nap(app, next));
    }
    // Made when first needed: most servers never send anything, and loading certificates takes time.
    let client = match client {
        Some(client) => client,
        None => client.insert(build(app)?),
    };
    for delivery in due {
        let (app, client) = (app.clone(), client.clone());
        under_way.spawn(async move { attempt(&app, &client, delivery).await });
    }
    Ok(Duration::ZERO)
}

/// No redirects and no proxy: a delivery goes where its subscription says, or fails.
fn build(app: &App) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(app.limits.webhook)
        .build()
}

/// Leases what is due; also tells when the next delivery will be.
async fn take(app: &Arc<App>, most: u32) -> Read<(Vec<Delivery>, Option<Millis>)> {
    let now = app.clock.now();
    let seen = crate::store::read(&*app.store, |view| {
        Ok((view.due_deliveries(now, real_now(), 1)?.is_empty(), view.next_due(real_now())?))
    })?;
    // Mostly there is nothing, and the writer need not be asked.
    if let (true, next) = seen {
        return Ok((Vec::new(), next));
    }
    let limit = app.limits.webhook.as_millis();
    let lease = Millis::try_from(limit).unwrap_or(Millis::MAX / 4) + LEASE_MARGIN;
    transact(&*app.store, move |view| {
        let until = real_now() + lease;
        let due = view.due_deliveries(now, real_now(), most)?;
        let leases = due.iter().map(|delivery| Write::LeaseDelivery { id: delivery.id, until });
        let writes = leases.collect();
        Ok(((due, None), writes))
    })
    .await
}

fn nap(app: &App, next: Option<Millis>) -> Duration {
    match (app.clock.kind(), next) {
        (ClockKind::System, Some(next)) => {
            let wait = u64::try_from(next - app.clock.now()).unwrap_or(0);
            Duration::from_millis(wait).min(IDLE)
        }
        // A manual clock announces its moves.
        (ClockKind::System | ClockKind::Manual, _) => IDLE,
    }
}

async fn attempt(app: &Arc<App>, client: &reqwest::Client, delivery: Delivery) {
    let posted = app.parts.outgoing.compose(&delivery, app.clock.now());
    let mut request = client.post(&delivery.url);
    for (name, value) in posted.headers {
        request = request.header(name, value);
    }
    let outcome = match request.body(posted.body).send().await {
        Ok(response) if response.status().is_success() => Ok(response.status().as_u16()),
        Ok(response) => Err(format!("status {}", response.status().as_u16())),
        // The URL may carry a secret, so it stays out of the log.
        Err(error) => Err(error.without_url().to_string()),
    };
    let id = delivery.id;
    tracing::info!(delivery = %id, attempt = delivery.attempts + 1, ?outcome, "webhook sent");
    let settled = app.parts.outgoing.settle(&delivery, outcome.is_ok(), app.clock.now());
    let Settled { attempts, due_at, state } = settled;
    let recorded =
        transact(&*app.store, move |_| Ok(((), vec![Write::UpdateDelivery { id, attempts, due_at, state }])));
    if let Err(error) = recorded.await {
        // Its lease runs out, and the attempt is repeated.
        tracing::warn!(delivery = %id, %error, "the outcome of a webhook was not recorded");
    }
}

/// Webhooks as CraftKit's guide describes them.
#[derive(Debug)]
pub struct DocumentedWebhooks;

impl Outgoing for DocumentedWebhooks {
    fn event(&self, to: &Subscription, _render: &QueuedRender, status: RenderStatus) -> Option<&'static str> {
        let event = match status {
            RenderStatus::Succeeded => "render.succeeded",
            RenderStatus::Failed => "render.failed",
            RenderStatus::Queued | RenderStatus::Rendering => return None,
        };
        let wanted = to.events.is_empty() || to.events.iter().any(|name| name == event);
        wanted.then_some(event)
    }

    fn body(&self, event: &str, render: &QueuedRender, status: RenderStatus, completed: Millis) -> String {
        wire::event(event, render, status, completed)
    }

    /// The timestamp tells when the attempt is made and is not signed; the body and the delivery's id
    /// are the same in every attempt.
    fn compose(&self, delivery: &Delivery, now: Millis) -> Posted {
        let signature = signature::sign(delivery.secret.expose(), delivery.body.as_bytes());
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("user-agent", "Craftkit-Webhook/1.0".to_owned()),
            ("x-craftkit-event", delivery.event.clone()),
            ("x-craftkit-delivery-id", delivery.id.to_string()),
            ("x-craftkit-timestamp", (now / 1000).to_string()),
            ("x-craftkit-signature", signature),
        ];
        Posted { headers, body: delivery.body.clone() }
    }

    fn settle(&self, delivery: &Delivery, answered: bool, now: Millis) -> Settled {
        let attempts = delivery.attempts + u32::from(!answered);
        if answered {
            return Settled { attempts, due_at: delivery.due_at, state: DeliveryState::Delivered };
        }
        if attempts >= ATTEMPTS {
            return Settled { attempts, due_at: delivery.due_at, state: DeliveryState::Abandoned };
        }
        let due_at = now + (FIRST_DELAY << (attempts - 1));
        Settled { attempts, due_at, state: DeliveryState::Pending }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::secret::Secret;

    #[track_caller]
    fn check(failed: u32, delivered: bool, expected: (u32, Millis, DeliveryState)) {
        let delivery = Delivery {
            id: Uuid::nil(),
            subscription: Uuid::nil(),
            url: "http://127.0.0.1/".to_owned(),
            secret: Secret::new("s"),
            event: "render.succeeded".to_owned(),
            body: "{}".to_owned(),
            attempts: failed,
            due_at: 7,
            state: DeliveryState::Pending,
        };
        let (attempts, due_at, state) = expected;
        let expected = Settled { attempts, due_at, state };
        assert_eq!(DocumentedWebhooks.settle(&delivery, delivered, 1000), expected);
    }

    #[test]
    fn delays_double_and_the_sixth_failure_is_the_last() {
        check(0, false, (1, 6_000, DeliveryState::Pending));
        check(1, false, (2, 11_000, DeliveryState::Pending));
        check(2, false, (3, 21_000, DeliveryState::Pending));
        check(3, false, (4, 41_000, DeliveryState::Pending));
        check(4, false, (5, 81_000, DeliveryState::Pending));
        check(5, false, (6, 7, DeliveryState::Abandoned));
    }

    #[test]
    fn an_answered_delivery_is_done() {
        check(0, true, (0, 7, DeliveryState::Delivered));
        check(5, true, (5, 7, DeliveryState::Delivered));
    }
}
