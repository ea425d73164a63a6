//! The fixture protocol's methods and the values the suite reads from its answers.

use serde::Deserialize;

use crate::evidence::ClockKind;

/// The version of the protocol that this suite speaks.
pub const PROTOCOL_VERSION: u64 = 1;

/// A method of the fixture protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// Says who is there and what it can do.
    Hello,
    /// Makes a domain with tokens.
    DomainCreate,
    /// Changes plan, activity or quota of a domain.
    DomainUpdate,
    /// Reads a domain's state.
    DomainInspect,
    /// Deletes a domain.
    DomainDelete,
    /// Makes one more token.
    TokenCreate,
    /// Revokes a token.
    TokenRevoke,
    /// Makes a template.
    TemplateCreate,
    /// Changes or publishes a template.
    TemplateUpdate,
    /// Deletes a template.
    TemplateDelete,
    /// Reads a render as stored.
    RenderInspect,
    /// Subscribes to outgoing webhooks.
    SubscriptionCreate,
    /// Takes the render queue down or brings it back.
    QueueSet,
    /// Moves the target's clock.
    ClockAdvance,
}

impl Method {
    /// Every method.
    pub const ALL: [Method; 14] = [
        Method::Hello,
        Method::DomainCreate,
        Method::DomainUpdate,
        Method::DomainInspect,
        Method::DomainDelete,
        Method::TokenCreate,
        Method::TokenRevoke,
        Method::TemplateCreate,
        Method::TemplateUpdate,
        Method::TemplateDelete,
        Method::RenderInspect,
        Method::SubscriptionCreate,
        Method::QueueSet,
        Method::ClockAdvance,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Method::Hello => "hello",
            Method::DomainCreate => "domain.create",
            Method::DomainUpdate => "domain.update",
            Method::DomainInspect => "domain.inspect",
            Method::DomainDelete => "domain.delete",
            Method::TokenCreate => "token.create",
            Method::TokenRevoke => "token.revoke",
            Method::TemplateCreate => "template.create",
            Method::TemplateUpdate => "template.update",
            Method::TemplateDelete => "template.delete",
            Method::RenderInspect => "render.inspect",
            Method::SubscriptionCreate => "subscription.create",
            Method::QueueSet => "queue.set",
            Method::ClockAdvance => "clock.advance",
        }
    }
}

/// Answer to `hello`.
#[derive(Clone, Debug, Deserialize)]
pub struct Hello {
    /// Version of the protocol the adapter speaks.
    pub protocol: u64,
    /// Who is there.
    pub implementation: Implementation,
    /// The methods offered.
    pub methods: Vec<String>,
    /// How the clock moves.
    pub clock: ClockKind,
    /// Where RndrKit's API is, if the adapter knows.
    pub rndrkit: Option<Endpoint>,
    /// Where CraftKit's API is, if the adapter knows.
    pub craftkit: Option<Endpoint>,
}

/// Name and version of an implementation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
pub struct Implementation {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// Where an API is served.
#[derive(Clone, Debug, Deserialize)]
pub struct Endpoint {
    /// Base URL.
    pub base_url: String,
}

/// Answer to `domain.create`.
#[derive(Deserialize)]
pub struct CreatedDomain {
    /// The domain's name.
    pub domain: String,
    /// Its tokens, in order.
    pub tokens: Vec<CreatedToken>,
}

/// A token as `domain.create` and `token.create` answer it.
#[derive(Deserialize)]
pub struct CreatedToken {
    /// Its id.
    pub id: String,
    /// Its value.
    pub token: String,
}

/// Answer to `template.create`.
#[derive(Deserialize)]
pub struct CreatedTemplate {
    /// Id.
    pub template_id: String,
    /// Slug.
    pub slug: String,
    /// Token in the hook's URL.
    pub inbound_token: String,
    /// Key of the signatures.
    pub inbound_secret: String,
    /// The project it belongs to.
    pub project: String,
    /// The project's API key.
    pub api_key: String,
}

/// Answer to `subscription.create`.
#[derive(Deserialize)]
pub struct CreatedSubscription {
    /// Id.
    pub id: String,
    /// Key of the outgoing signatures.
    pub secret: String,
}

/// What checks need of an answer to `domain.inspect`.
#[derive(Deserialize)]
pub struct InspectedDomain {
    /// Paths accepted since it was made, in order.
    pub queued_paths: Vec<String>,
}

/// What checks need of an answer to `render.inspect`.
#[derive(Deserialize)]
pub struct InspectedRender {
    /// The version of the template that it was started with.
    pub version: u64,
    /// Its data as stored.
    pub data: serde_json::Value,
}

/// Answer to `clock.advance`.
#[derive(Deserialize)]
pub struct ClockNow {
    /// The target's time, sent as RFC 3339 text.
    #[serde(deserialize_with = "rfc_3339")]
    pub now: jiff::Timestamp,
}

fn rfc_3339<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<jiff::Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom("`now`: expected an RFC 3339 time"))
}
