//! What the store keeps, and the vocabulary of changes to it.

use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use crate::clock::Millis;
use crate::craftkit::manifest::Manifest;
use crate::secret::{Digest, Secret};

/// A subscription tier of RndrKit. `Agency+` is a tier of its own, not "Agency or more".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Starter.
    Starter,
    /// Pro.
    Pro,
    /// Agency.
    Agency,
    /// Agency+.
    AgencyPlus,
}

impl Plan {
    /// Every plan, in rising order.
    pub const ALL: [Plan; 4] = [Plan::Starter, Plan::Pro, Plan::Agency, Plan::AgencyPlus];

    /// The name on the fixture protocol and in the store.
    pub fn name(self) -> &'static str {
        match self {
            Plan::Starter => "starter",
            Plan::Pro => "pro",
            Plan::Agency => "agency",
            Plan::AgencyPlus => "agency_plus",
        }
    }

    /// The plan of that name.
    pub fn named(name: &str) -> Option<Plan> {
        Plan::ALL.into_iter().find(|plan| plan.name() == name)
    }
}

/// How many renders a domain has used, and in which period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Renders charged since `period_start`.
    pub renders_used: u64,
    /// When the period began that `renders_used` counts.
    pub period_start: Millis,
}

/// A domain of RndrKit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// The bare host, unique.
    pub name: String,
    /// What its owner pays for.
    pub plan: Plan,
    /// False once deactivated.
    pub active: bool,
    /// Renders a period; none: no limit.
    pub monthly_render_limit: Option<u64>,
    /// Renders used up.
    pub usage: Usage,
    /// When it was created, which anchors its periods.
    pub created_at: Millis,
}

/// A webhook token, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its name on the fixture protocol.
    pub id: String,
    /// The host of its domain.
    pub domain: String,
    /// True once revoked.
    pub revoked: bool,
}

/// An accepted refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    /// The host of the domain.
    pub domain: String,
    /// When it was accepted.
    pub accepted_at: Millis,
    /// True for `{"all": true}`.
    pub full: bool,
    /// The paths queued, in order.
    pub paths: Vec<String>,
}

/// A published manifest and its number, counted from 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Its number.
    pub number: u32,
    /// What it demands.
    pub manifest: Arc<Manifest>,
}

/// A template of CraftKit with its current version.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Its id.
    pub id: Uuid,
    /// Its name in URLs.
    pub slug: String,
    /// The project it belongs to.
    pub project: String,
    /// The hash of its inbound token.
    pub token_hash: Digest,
    /// The key of its signatures.
    pub secret: Secret,
    /// True when a request without a signature is refused.
    pub require_signature: bool,
    /// The version that judges new renders; none while unpublished.
    pub current: Option<Version>,
    /// Counts the template's changes, so that a decision can tell whether it is stale.
    pub revision: u64,
}

/// How far a render has come. `cancelled` is documented and never produced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenderStatus {
    /// Accepted and waiting.
    Queued,
    /// Taken by the worker.
    Rendering,
    /// Finished.
    Succeeded,
    /// Given up.
    Failed,
}

impl RenderStatus {
    /// Every status, in the order a render passes them.
    pub const ALL: [RenderStatus; 4] =
        [RenderStatus::Queued, RenderStatus::Rendering, RenderStatus::Succeeded, RenderStatus::Failed];

    /// The name on the wire and in the store.
    pub fn name(self) -> &'static str {
        match self {
            RenderStatus::Queued => "queued",
            RenderStatus::Rendering => "rendering",
            RenderStatus::Succeeded => "succeeded",
            RenderStatus::Failed => "failed",
        }
    }

    /// The status of that name.
    pub fn named(name: &str) -> Option<RenderStatus> {
        RenderStatus::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// A render of CraftKit.
#[derive(Debug, Clone, PartialEq)]
pub struct Render {
    /// Its id, a UUIDv7.
    pub id: Uuid,
    /// The project whose keys may see it.
    pub project: String,
    /// The template it renders.
    pub template_id: Uuid,
    /// The name of that template.
    pub slug: String,
    /// The version that judged its data.
    pub version: u32,
    /// How far it has come.
    pub status: RenderStatus,
    /// The data that passed the manifest, stripped, as JSON text.
    pub data: Arc<str>,
    /// The caller's key that makes a repeated call the same render.
    pub idempotency_key: Option<String>,
    /// When it was accepted.
    pub created_at: Millis,
    /// When it finished.
    pub completed_at: Option<Millis>,
}

/// A render on the queue, as far as the worker needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedRender {
    /// Its id.
    pub id: Uuid,
    /// The project whose subscribers hear of it.
    pub project: String,
    /// The template it renders.
    pub template_id: Uuid,
    /// When it was accepted.
    pub created_at: Millis,
}

/// Who wants to hear of a project's renders.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// Its id.
    pub id: Uuid,
    /// The project it listens to.
    pub project: String,
    /// Where events are posted.
    pub url: String,
    /// The key that signs them.
    pub secret: Secret,
    /// The events wanted; empty: all.
    pub events: Vec<String>,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// To be sent, first or again.
    Pending,
    /// Answered with 2xx.
    Delivered,
    /// Given up after the last attempt.
    Abandoned,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [DeliveryState; 3] = [DeliveryState::Pending, DeliveryState::Delivered, DeliveryState::Abandoned];

    /// The name in the store.
    pub fn name(self) -> &'static str {
        match self {
            DeliveryState::Pending => "pending",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Abandoned => "abandoned",
        }
    }

    /// The state of that name.
    pub fn named(name: &str) -> Option<DeliveryState> {
        DeliveryState::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// One event on its way to one subscriber.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Its id, the same in every attempt.
    pub id: Uuid,
    /// The subscription it goes to.
    pub subscription: Uuid,
    /// Where it goes.
    pub url: String,
    /// The key that signs it.
    pub secret: Secret,
    /// The event's name.
    pub event: String,
    /// The exact body of every attempt.
    pub body: String,
    /// Attempts that were made and failed.
    pub attempts: u32,
    /// When the next attempt is due, on the server's clock.
    pub due_at: Millis,
    /// Where it stands.
    pub state: DeliveryState,
}

/// One change. A decision is a list of them, applied together or not at all.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Adds a domain and the paths known on it.
    InsertDomain {
        /// The domain.
        domain: Domain,
        /// Its known paths, in order.
        known_paths: Vec<String>,
    },
    /// Replaces plan, activity, limit and usage of a domain.
    UpdateDomain(Domain),
    /// Removes a domain with its tokens, paths and refreshes.
    DeleteDomain(String),
    /// Adds a token.
    InsertToken {
        /// The token.
        token: Token,
        /// The hash of its value.
        hash: Digest,
    },
    /// Ends a token's life.
    RevokeToken(String),
    /// Sets what the limiter remembers under a key.
    PutWindow {
        /// The limiter's key.
        key: String,
        /// Its state, opaque to the store.
        state: Vec<i64>,
    },
    /// Forgets what the limiter remembers under a key.
    DeleteWindow(String),
    /// Sets a domain's usage.
    SetUsage {
        /// The domain's host.
        domain: String,
        /// Its usage from now on.
        usage: Usage,
    },
    /// Adds an accepted refresh.
    AppendRefresh(Refresh),
    /// Adds a template, its current version included.
    InsertTemplate {
        /// The template.
        template: Template,
        /// What will be published when nothing is yet.
        draft: Arc<Manifest>,
    },
    /// Publishes the next version of a template.
    PublishVersion {
        /// The template.
        template: Uuid,
        /// The version.
        version: Version,
    },
    /// Switches enforcement of a template's signatures.
    SetRequireSignature {
        /// The template.
        template: Uuid,
        /// The switch.
        required: bool,
    },
    /// Removes a template; its renders stay.
    DeleteTemplate(Uuid),
    /// Adds a key to a project.
    InsertKey {
        /// The project.
        project: String,
        /// The hash of the key.
        hash: Digest,
    },
    /// Adds a render and puts it on the queue.
    InsertRender(Render),
    /// Gives the renders that wait, up to one of them, to a worker for a while; they are rendering from
    /// then on.
    LeaseRenders {
        /// The last of them.
        up_to: Uuid,
        /// Real time now: renders whose lease is not over stay with whoever has them.
        real_now: Millis,
        /// Until when nobody else takes them, in real time.
        until: Millis,
    },
    /// Finishes a render and takes it off the queue for good.
    FinishRender {
        /// The render.
        id: Uuid,
        /// How it ended.
        status: RenderStatus,
        /// When, on the server's clock.
        completed_at: Millis,
    },
    /// Adds a subscription.
    InsertSubscription(Subscription),
    /// Adds a delivery.
    InsertDelivery(Delivery),
    /// Reserves a delivery for a while, in real time.
    LeaseDelivery {
        /// The delivery.
        id: Uuid,
        /// Until when nobody else sends it, in real time.
        until: Millis,
    },
    /// Records how an attempt ended and ends its lease.
    UpdateDelivery {
        /// The delivery.
        id: Uuid,
        /// Attempts that failed so far.
        attempts: u32,
        /// When the next is due, on the server's clock.
        due_at: Millis,
        /// Where it stands.
        state: DeliveryState,
    },
    /// Remembers how far a manual clock was moved.
    SetClock(Millis),
    /// Ends all leases, when the process that held them is gone; its renders are queued again.
    ReleaseLeases,
}

/// A render's stored input, read back as JSON.
pub fn stored_data(render: &Render) -> Value {
    serde_json::from_str(&render.data).expect("the server stored this text as JSON itself")
}
