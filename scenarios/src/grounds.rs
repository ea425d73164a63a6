//! What a run stands on: where the APIs are, and domains and templates that its caller has made for it.

use std::collections::BTreeMap;

use crate::history::KeyState;
use crate::secret::Secret;

/// Where one API is served.
#[derive(Debug, Clone)]
pub struct Site {
    /// Scheme, authority and, if any, a path in front of the API's own.
    pub base_url: url::Url,
    /// Headers sent with every request.
    pub headers: Vec<(String, Secret)>,
    /// A root certificate to trust besides the usual ones, as PEM; only for `https`.
    pub root: Option<Vec<u8>>,
}

/// Everything that the operations of a plan use. Domains and templates are counted from 0 in the plan; here they stand in that
/// order. They must be fresh: no request has used them, and none but this run's will.
#[derive(Debug, Clone)]
pub struct Grounds {
    /// RndrKit, if the plan needs it.
    pub rndrkit: Option<Site>,
    /// CraftKit, if the plan needs it.
    pub craftkit: Option<Site>,
    /// As many domains as [`Needs::domains`](crate::plan::Needs::domains) asks for.
    pub domains: Vec<Domain>,
    /// As many templates as [`Needs::templates`](crate::plan::Needs::templates) asks for.
    pub templates: Vec<Template>,
}

/// A domain of RndrKit, on a plan that may refresh, and active. Its known paths contain [`path`]`(0..n)`, with `n` as in
/// [`Needs::paths`](crate::plan::Needs::paths).
#[derive(Debug, Clone)]
pub struct Domain {
    /// Its name: the key in the history.
    pub name: String,
    /// Its tokens, as many as [`Needs::tokens`](crate::plan::Needs::tokens) asks for.
    pub tokens: Vec<Token>,
    /// Renders left in its month; none: unlimited.
    pub renders_left: Option<u64>,
}

/// A webhook token.
#[derive(Debug, Clone)]
pub struct Token {
    /// What the history calls it; never its value.
    pub name: String,
    /// What is sent.
    pub value: Secret,
}

/// A published template of CraftKit.
#[derive(Debug, Clone)]
pub struct Template {
    /// What the history calls it.
    pub name: String,
    /// The token in the hook's URL.
    pub inbound_token: Secret,
    /// The key of signatures.
    pub secret: Secret,
    /// The project's key, for polls.
    pub api_key: Secret,
    /// Whether requests without a signature are refused.
    pub requires_signature: bool,
    /// A body that fits the manifest.
    pub valid: Pattern,
    /// Bodies that are JSON and do not fit it; at least one.
    pub invalid: Vec<Pattern>,
}

/// A body with a place for a text that is new in each request. The place, [`Pattern::FRESH`], stands inside a JSON string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(pub String);

impl Pattern {
    /// What is replaced.
    pub const FRESH: &'static str = "{fresh}";

    /// The body with `fresh` in its place.
    pub fn filled(&self, fresh: &str) -> String {
        self.0.replace(Pattern::FRESH, fresh)
    }
}

/// The known path number `index` of every domain.
pub fn path(index: usize) -> String {
    format!("/load-{index}")
}

impl Grounds {
    /// What a history's header says about the keys.
    pub fn keys(&self) -> BTreeMap<String, KeyState> {
        let domains = self.domains.iter().map(|domain| (domain.name.clone(), domain.renders_left));
        let templates = self.templates.iter().map(|template| (template.name.clone(), None));
        let state = |(name, renders_left)| (name, KeyState { fresh: true, renders_left });
        domains.chain(templates).map(state).collect()
    }
}
