//! The replaceable parts of a server.
//!
//! Each part answers one question the documents answer. A server is given its parts when it starts;
//! the path of a request knows only the traits, so a server that is wrong in exactly one way is the
//! reference with one part replaced or wrapped, and the reference contains no switch for it.

use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use crate::clock::{Clock, LATEST, ManualClock, Millis, SystemClock};
use crate::config::ClockKind;
use crate::craftkit::manifest::{Issues, Manifest};
use crate::craftkit::rules::HookRules;
use crate::http::{Answer, Inbound};
use crate::rndrkit::rules::RefreshRules;
use crate::secret::{self, Secret, digest};
use crate::store::records::{
    Delivery, DeliveryState, Domain, QueuedRender, Render, RenderStatus, Subscription, Template, Token, Usage, Write,
};
use crate::store::{Read, SharedStore, View};
use crate::{craftkit, rndrkit};

/// All replaceable parts.
#[derive(Clone)]
pub struct Parts {
    /// Makes the server's clock.
    pub clock: Arc<dyn MakeClock>,
    /// Decides whether a refresh is within the hourly limit.
    pub limiter: Arc<dyn Limiter>,
    /// Decides whether a refresh is within the monthly quota, and charges it.
    pub quota: Arc<dyn Quota>,
    /// Finds who a presented token or key belongs to.
    pub tokens: Arc<dyn TokenLookup>,
    /// Judges the signature of an inbound webhook.
    pub signature: Arc<dyn SignatureCheck>,
    /// Judges a body by a template's manifest.
    pub manifest: Arc<dyn ManifestValidator>,
    /// Writes every refusal.
    pub errors: Arc<dyn ErrorWriter>,
    /// Decides whether a render can be queued, and queues it.
    pub queue: Arc<dyn Queue>,
    /// Makes tokens, secrets and ids.
    pub issuer: Arc<dyn Issuer>,
    /// Finishes renders.
    pub renderer: Arc<dyn Renderer>,
    /// Composes outgoing webhooks and schedules their attempts.
    pub outgoing: Arc<dyn Outgoing>,
    /// The order of checks of RndrKit's refresh, made of the parts above.
    pub refresh_rules: Arc<dyn RefreshRules>,
    /// The order of checks of CraftKit's hook and render route, made of the parts above.
    pub hook_rules: Arc<dyn HookRules>,
    /// Sees whole requests and answers; the reference has none.
    pub edge: Option<Arc<dyn Edge>>,
    /// Puts something in front of the store; the reference has nothing there.
    pub store: Option<fn(SharedStore) -> SharedStore>,
}

impl Parts {
    /// The parts of the reference.
    pub fn reference() -> Parts {
        Parts {
            clock: Arc::new(ReferenceClock),
            limiter: Arc::new(rndrkit::limiter::FixedWindow::documented()),
            quota: Arc::new(rndrkit::quota::PeriodQuota),
            tokens: Arc::new(HashedLookup),
            signature: Arc::new(craftkit::rules::HmacOverRawBody),
            manifest: Arc::new(craftkit::rules::ByManifest),
            errors: Arc::new(ReferenceErrors),
            queue: Arc::new(BoundedQueue),
            issuer: Arc::new(RandomIssuer),
            renderer: Arc::new(NothingToDraw),
            outgoing: Arc::new(craftkit::courier::DocumentedWebhooks),
            refresh_rules: Arc::new(rndrkit::rules::DocumentedOrder),
            hook_rules: Arc::new(craftkit::rules::DocumentedOrder),
            edge: None,
            store: None,
        }
    }
}

/// Makes a clock of the kind asked for.
pub trait MakeClock: Send + Sync {
    /// A clock; `start` is where a manual one begins.
    fn make(&self, kind: ClockKind, start: Millis) -> Arc<dyn Clock>;
}

/// The two clocks as they are.
#[derive(Debug)]
pub struct ReferenceClock;

impl MakeClock for ReferenceClock {
    fn make(&self, kind: ClockKind, start: Millis) -> Arc<dyn Clock> {
        match kind {
            ClockKind::System => Arc::new(SystemClock),
            ClockKind::Manual => Arc::new(ManualClock::new(start)),
        }
    }
}

/// Who tries to refresh, and when.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The host of the token's domain.
    pub domain: &'a str,
    /// The id of the token used.
    pub token: &'a str,
    /// The number of the connection it came over.
    pub connection: u64,
    /// The server's time.
    pub now: Millis,
}

/// What a limiter says to one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// False: 429.
    pub admitted: bool,
    /// What to remember from now on; none: nothing changed.
    pub state: Option<Vec<i64>>,
}

/// Decides whether an attempt is within the limit. It holds no state of its own: what it wants to
/// remember is kept by the store, under the key it names, in the same transaction.
pub trait Limiter: Send + Sync {
    /// The key under which attempts are counted together.
    fn key(&self, attempt: &Attempt<'_>) -> String;

    /// Judges one attempt by what is remembered under its key.
    fn admit(&self, remembered: Option<&[i64]>, attempt: &Attempt<'_>) -> Admission;
}

/// What a refresh would charge.
#[derive(Debug, Clone, Copy)]
pub struct Charge {
    /// Pages it would render.
    pub pages: u64,
    /// True for a refresh of the whole domain.
    pub full: bool,
}

/// Decides whether a domain has renders left, and charges them.
pub trait Quota: Send + Sync {
    /// The usage that counts at `now`: what is stored, or nothing once a new period began.
    fn current(&self, domain: &Domain, now: Millis) -> Usage;

    /// The usage after the charge, or nothing when the limit is reached.
    fn charge(&self, domain: &Domain, charge: Charge, now: Millis) -> Option<Usage>;
}

/// Finds owners of tokens and keys.
pub trait TokenLookup: Send + Sync {
    /// The webhook token and its domain; a revoked one is found, and marked.
    ///
    /// # Errors
    /// Whatever the store failed with.
    fn webhook(&self, view: &dyn View, presented: &[u8]) -> Read<Option<(Token, Domain)>>;

    /// The template of an inbound token.
    ///
    /// # Errors
    /// Whatever the store failed with.
    fn inbound(&self, view: &dyn View, presented: &[u8]) -> Read<Option<Template>>;

    /// The project of an API key.
    ///
    /// # Errors
    /// Whatever the store failed with.
    fn project(&self, view: &dyn View, presented: &[u8]) -> Read<Option<String>>;
}

/// Looks tokens up by their hash.
#[derive(Debug)]
pub struct HashedLookup;

impl TokenLookup for HashedLookup {
    fn webhook(&self, view: &dyn View, presented: &[u8]) -> Read<Option<(Token, Domain)>> {
        view.token(&digest(presented))
    }

    fn inbound(&self, view: &dyn View, presented: &[u8]) -> Read<Option<Template>> {
        view.template_by_token(&digest(presented))
    }

    fn project(&self, view: &dyn View, presented: &[u8]) -> Read<Option<String>> {
        view.project(&digest(presented))
    }
}

/// A signature and what it should cover.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// The template, whose secret is the key.
    pub template: &'a Template,
    /// The body as it arrived.
    pub raw: &'a [u8],
    /// The header's value; several are joined by a comma; none when it is absent.
    pub header: Option<&'a [u8]>,
}

/// Judges signatures of inbound webhooks.
pub trait SignatureCheck: Send + Sync {
    /// True when the request may pass.
    fn passes(&self, signed: &Signed<'_>) -> bool;
}

/// Judges data by a manifest.
pub trait ManifestValidator: Send + Sync {
    /// The data, stripped and coerced.
    ///
    /// # Errors
    /// All that is wrong with it.
    fn validate(&self, manifest: &Manifest, data: &Value) -> Result<Value, Issues>;
}

/// Writes refusals: the one place where a refusal gets its status and body.
pub trait ErrorWriter: Send + Sync {
    /// A refusal of RndrKit.
    fn refresh(&self, refusal: &rndrkit::wire::Refusal) -> Answer;

    /// A refusal of CraftKit.
    fn render(&self, refusal: &craftkit::wire::Refusal) -> Answer;
}

/// The documented statuses and bodies.
#[derive(Debug)]
pub struct ReferenceErrors;

impl ErrorWriter for ReferenceErrors {
    fn refresh(&self, refusal: &rndrkit::wire::Refusal) -> Answer {
        rndrkit::wire::refuse(refusal)
    }

    fn render(&self, refusal: &craftkit::wire::Refusal) -> Answer {
        craftkit::wire::refuse(refusal)
    }
}

/// How the render queue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueState {
    /// False during an outage that the control plane asked for.
    pub available: bool,
    /// Renders on the queue.
    pub length: usize,
    /// Renders that may be on it.
    pub limit: usize,
}

/// Decides whether renders can be queued, and queues them.
pub trait Queue: Send + Sync {
    /// True when one more render can be queued.
    fn admits(&self, state: &QueueState) -> bool;

    /// The changes that queue a render.
    fn enqueue(&self, render: Render) -> Vec<Write>;
}

/// A queue that is refused while it is down or full.
#[derive(Debug)]
pub struct BoundedQueue;

impl Queue for BoundedQueue {
    fn admits(&self, state: &QueueState) -> bool {
        state.available && state.length < state.limit
    }

    fn enqueue(&self, render: Render) -> Vec<Write> {
        vec![Write::InsertRender(render)]
    }
}

/// Makes what identifies and opens things.
pub trait Issuer: Send + Sync {
    /// The value of a new webhook token.
    fn webhook_token(&self) -> Secret;

    /// Live tokens that a domain can have.
    fn tokens_per_domain(&self) -> usize;

    /// The token in the URL of a new template's inbound webhook.
    fn inbound_token(&self) -> Secret;

    /// The key of a new template's or subscription's signatures.
    fn signing_secret(&self) -> Secret;

    /// Both for a new template of that project: of its own, whatever others of the project have.
    fn template_credentials(&self, _project: &str) -> (Secret, Secret) {
        (self.inbound_token(), self.signing_secret())
    }

    /// The value of a new project key.
    fn api_key(&self) -> Secret;

    /// The id of a new render.
    fn render_id(&self, now: Millis) -> Uuid;
}

/// Most live tokens of a domain ("Creating a Webhook Token"). A revoked one frees its place.
const TOKENS_PER_DOMAIN: usize = 5;

/// Random values of the documented forms.
#[derive(Debug)]
pub struct RandomIssuer;

impl Issuer for RandomIssuer {
    fn webhook_token(&self) -> Secret {
        secret::new_webhook_token()
    }

    fn tokens_per_domain(&self) -> usize {
        TOKENS_PER_DOMAIN
    }

    fn inbound_token(&self) -> Secret {
        secret::new_inbound_token()
    }

    fn signing_secret(&self) -> Secret {
        secret::new_signing_secret()
    }

    fn api_key(&self) -> Secret {
        secret::new_api_key()
    }

    /// A UUIDv7 of the server's time (rule `craftkit.hook.id`).
    fn render_id(&self, now: Millis) -> Uuid {
        let millis = u64::try_from(now.clamp(0, LATEST)).expect("the time was just bounded");
        uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid()
    }
}

/// Finishes renders.
pub trait Renderer: Send + Sync {
    /// How a render that the worker took ends; none: it does not, and is taken again once its lease
    /// is over.
    fn finish(&self, render: &QueuedRender) -> Option<RenderStatus>;
}

/// Every render succeeds: there is nothing to draw, so nothing can fail.
#[derive(Debug)]
pub struct NothingToDraw;

impl Renderer for NothingToDraw {
    fn finish(&self, _render: &QueuedRender) -> Option<RenderStatus> {
        Some(RenderStatus::Succeeded)
    }
}

/// One attempt of an outgoing webhook, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: String,
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Attempts that failed so far.
    pub attempts: u32,
    /// When the next is due.
    pub due_at: Millis,
    /// Where the delivery stands.
    pub state: DeliveryState,
}

/// Composes outgoing webhooks and schedules their attempts.
pub trait Outgoing: Send + Sync {
    /// The event that a finished render is announced by, to a subscriber that wants it.
    fn event(&self, to: &Subscription, render: &QueuedRender, status: RenderStatus) -> Option<&'static str>;

    /// The body that announces a finished render.
    fn body(&self, event: &str, render: &QueuedRender, status: RenderStatus, completed: Millis) -> String;

    /// One attempt.
    fn compose(&self, delivery: &Delivery, now: Millis) -> Posted;

    /// What follows from an attempt, answered with 2xx or not.
    fn settle(&self, delivery: &Delivery, answered: bool, now: Millis) -> Settled;
}

/// Sees whole requests before they are routed and whole answers before they leave.
///
/// It exists for servers that are wrong on purpose, and for nothing else.
pub trait Edge: Send + Sync {
    /// May change bytes as they come off a connection, but not their number.
    fn received(&self, _bytes: &mut [u8]) {}

    /// May change a request before anything looks at it.
    fn request(&self, _request: &mut Inbound) {}

    /// May change an answer; `request` is the request as `request` left it.
    fn answer(&self, _request: &Inbound, _answer: &mut Answer) {}
}
