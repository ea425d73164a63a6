//! What fixtures make for a check: domains, templates, subscriptions, and what must be deleted afterwards.

use serde_json::{Value, json};

use crate::secret::Secret;
use crate::target::protocol::Method;

/// A domain made for a check.
#[derive(Clone)]
pub struct Domain {
    /// Its name, as the API answers it.
    pub name: String,
    /// Its tokens.
    pub tokens: Vec<Token>,
    pub(super) number: usize,
    /// Known paths, and how many of them were named in a request already.
    pub(super) pages: Vec<String>,
    pub(super) pages_named: usize,
}

impl Domain {
    /// Known paths that no request has named yet, so that neither deduplication nor a cache can change what they cost.
    ///
    /// # Panics
    /// If the check asks for more pages than its wish gave the domain.
    pub fn fresh_pages(&mut self, count: usize) -> Vec<String> {
        let pages = &self.pages[self.pages_named..];
        assert!(count <= pages.len(), "a check asks for {count} fresh pages and its domain has {}", pages.len());
        self.pages_named += count;
        pages[..count].to_vec()
    }

    /// Every known path.
    pub fn pages(&self) -> &[String] {
        &self.pages
    }
}

/// A webhook token.
#[derive(Clone)]
pub struct Token {
    /// Id for revoking it.
    pub id: String,
    /// Value.
    pub value: Secret,
}

/// Known paths of a domain whose wish names no other number: enough for every request of a window to name fresh ones.
const PAGES: usize = 60;

/// What a domain shall be like. The default is a domain that may do everything, with one token and enough known paths.
#[derive(Clone)]
pub struct DomainWish {
    /// Parameters of `domain.create` that differ from the default.
    pub(super) params: serde_json::Map<String, Value>,
    pub(super) pages: Vec<String>,
}

impl Default for DomainWish {
    fn default() -> DomainWish {
        DomainWish { params: serde_json::Map::new(), pages: Vec::new() }.pages(PAGES)
    }
}

impl DomainWish {
    /// Sets one parameter of `domain.create`.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> DomainWish {
        self.params.insert(name.to_owned(), value.into());
        self
    }

    /// How many tokens the domain has from the start.
    pub fn tokens(self, count: usize) -> DomainWish {
        self.with("tokens", count)
    }

    /// How many paths the domain knows: `/page-1`, `/page-2`, …, plain ones.
    pub fn pages(mut self, count: usize) -> DomainWish {
        self.pages = (1..=count).map(|number| format!("/page-{number}")).collect();
        let pages = self.pages.clone();
        self.with("known_paths", pages)
    }

    /// As [`DomainWish::pages`], with `/` as the first.
    pub fn root_and_pages(mut self, count: usize) -> DomainWish {
        self = self.pages(count);
        self.pages.insert(0, "/".to_owned());
        let pages = self.pages.clone();
        self.with("known_paths", pages)
    }

    /// Plan, in the fixture protocol's spelling.
    pub fn plan(self, plan: &str) -> DomainWish {
        self.with("plan", plan)
    }

    /// Quota: what is used and what is allowed in a month.
    pub fn quota(self, used: u64, limit: u64) -> DomainWish {
        self.with("renders_used", used).with("monthly_render_limit", limit)
    }
}

/// A template made for a check.
#[derive(Clone)]
pub struct Template {
    /// Id.
    pub template_id: String,
    /// Slug.
    pub slug: String,
    /// Token in the hook's URL.
    pub inbound_token: Secret,
    /// Key of signatures.
    pub inbound_secret: Secret,
    /// Project.
    pub project: String,
    /// The project's API key.
    pub api_key: Secret,
    /// `t1`, `t2`, … in the order of creation within the check.
    pub name: String,
}

/// A subscription to outgoing webhooks.
#[derive(Clone)]
pub struct Subscription {
    /// Id.
    pub id: String,
    /// Key of the outgoing signatures.
    pub secret: Secret,
}

/// Something that must be deleted afterwards.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leftover {
    /// Deleting method.
    pub method: Method,
    /// Name of its parameter.
    pub parameter: &'static str,
    /// Which one.
    pub value: String,
}

impl Leftover {
    /// The parameters of the call that removes it.
    pub fn params(&self) -> Value {
        match self.method {
            Method::QueueSet => json!({"available": true}),
            _ => json!({ self.parameter: self.value }),
        }
    }
}
