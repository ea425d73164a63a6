//! Drains the render queue: takes renders under a lease, finishes them, announces them.
//!
//! There is nothing to draw, so a render is finished one step after it was taken. Leases run in real
//! time: a standing clock holds nothing up, and a worker that dies loses its renders to the next one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use crate::clock::{Millis, real_now};
use crate::parts::Parts;
use crate::server::App;
use crate::store::records::{Delivery, DeliveryState, QueuedRender, Subscription, Write};
use crate::store::{Read, View, transact};

/// Renders taken in one step.
const BATCH: u32 = 256;

/// How long a taken render stays out of other workers' reach, in real time.
const LEASE: Millis = 30_000;

/// How often the queue is looked at unasked, for leases that ran out.
const IDLE: Duration = Duration::from_secs(1);

/// Pause after a step that the store failed.
const PAUSE: Duration = Duration::from_millis(50);

/// Works until `stop` changes.
pub(crate) async fn run(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let mut taken = Vec::new();
    loop {
        let nap = match step(&app, taken.clone()).await {
            Ok(next) => {
                taken = next;
                Some(IDLE).filter(|_| taken.is_empty())
            }
            Err(error) => {
                tracing::warn!(%error, "a step of the render worker failed");
                Some(PAUSE)
            }
        };
        let Some(nap) = nap else { continue };
        tokio::select! {
            () = app.queue.work_waits() => {}
            () = tokio::time::sleep(nap) => {}
            _ = stop.wait_for(|stopping| *stopping) => return,
        }
    }
}

/// Finishes what was taken and takes what waits, in one transaction.
async fn step(app: &Arc<App>, taken: Vec<QueuedRender>) -> Read<Vec<QueuedRender>> {
    let working = app.clone();
    let (next, announced) = transact(&*app.store, move |view| {
        let now = working.clock.now();
        let mut writes = finish(&working.parts, view, &taken, now)?;
        let announced = writes.iter().any(|write| matches!(write, Write::InsertDelivery(_)));
        let real_now = real_now();
        let next = view.waiting_renders(real_now, BATCH)?;
        if next.len() < BATCH as usize {
            // Everything accepted before this transaction is visible in it, so this count is exact.
            working.queue.recount(view.queue_length()?.saturating_sub(taken.len()));
        } else {
            working.queue.shrank(taken.len());
        }
        let until = real_now + LEASE;
        writes.extend(next.last().map(|last| Write::LeaseRenders { up_to: last.id, real_now, until }));
        Ok(((next, announced), writes))
    })
    .await?;
    if announced {
        app.courier.notify_one();
    }
    Ok(next)
}

fn finish(parts: &Parts, view: &dyn View, taken: &[QueuedRender], now: Millis) -> Read<Vec<Write>> {
    let mut writes = Vec::new();
    let mut audiences: HashMap<&str, Vec<Subscription>> = HashMap::new();
    for render in taken {
        let Some(status) = parts.renderer.finish(render) else { continue };
        writes.push(Write::FinishRender { id: render.id, status, completed_at: now });
        if !audiences.contains_key(render.project.as_str()) {
            audiences.insert(&render.project, view.subscriptions(&render.project)?);
        }
        let audience = audiences.get(render.project.as_str()).map(Vec::as_slice).unwrap_or_default();
        for to in audience {
            let Some(event) = parts.outgoing.event(to, render, status) else { continue };
            let body = parts.outgoing.body(event, render, status, now);
            writes.push(Write::InsertDelivery(delivery(to, event, body, now)));
        }
    }
    Ok(writes)
}

fn delivery(to: &Subscription, event: &str, body: String, now: Millis) -> Delivery {
    Delivery {
        id: Uuid::new_v4(),
        subscription: to.id,
        url: to.url.clone(),
        secret: to.secret.clone(),
        event: event.to_owned(),
        body,
        attempts: 0,
        due_at: now,
        state: DeliveryState::Pending,
    }
}
