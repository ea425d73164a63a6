//! Wrong authentication: where a token is taken from, which tokens live, whose they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use serde_json::Value;

use super::tokens::Issued;
use super::wrap::{answering, deciding, edit, fields, looking, receiving};
use crate::deviations::Deviation;
use crate::http::{Answer, Inbound};
use crate::parts::{Parts, TokenLookup};
use crate::rndrkit::wire::{Refusal, refuse};
use crate::secret::{Digest, digest};
use crate::store::records::{Domain, Template, Token};
use crate::store::{Read, View};

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    ANY_SCHEME,
    NO_SCHEME,
    SCHEME_TEXT,
    EMPTY_FAILS,
    EMPTY_STATUS,
    PREFIX,
    CUT,
    FOREIGN_FAILS,
    FOREIGN_TEXT,
    REVOKED_LIVES,
    REVOKED_CACHED,
    REVOKED_INACTIVE,
    REVOKES_ALL,
    API_KEY_HEADER,
    QUERY,
    BODY,
    DOMAIN_OF_BODY,
    DOMAIN_CONSTANT,
    DOMAIN_ABSENT,
];

const SCHEME: &[&str] = &["rndrkit.auth.scheme-not-bearer"];
const EMPTY: &[&str] = &["rndrkit.auth.token-empty"];
const UNKNOWN: &[&str] = &["rndrkit.auth.token-unknown"];
const FOREIGN: &[&str] = &["rndrkit.auth.token-foreign"];
const REVOKED: &[&str] = &["rndrkit.auth.token-revoked"];
const PLACEMENT: &[&str] = &["rndrkit.auth.token-placement"];
const SCOPE: &[&str] = &["rndrkit.auth.domain-scope"];

const BEARER: &str = "Bearer ";

const ANY_SCHEME: Deviation = Deviation {
    name: "scheme-any",
    defect: "takes the second word of the header for the token, whatever the first says",
    why: "the header is split at the space and its first half never looked at",
    turns_red: SCHEME,
    consequences: &[],
    change: |parts| {
        receiving(parts, |request| {
            if let Some((_, token)) = authorization(request).as_deref().and_then(|value| value.split_once(' ')) {
                authorize(request, token);
            }
        })
    },
};

const NO_SCHEME: Deviation = Deviation {
    name: "scheme-none",
    defect: "takes a header without a scheme for the token",
    why: "`Bearer ` is taken off where it is found, and nobody minds where it is not",
    turns_red: SCHEME,
    consequences: &[],
    change: |parts| {
        receiving(parts, |request| {
            if let Some(token) = authorization(request).filter(|value| value.starts_with("rk_wh_")) {
                authorize(request, &token);
            }
        })
    },
};

const SCHEME_TEXT: Deviation = Deviation {
    name: "scheme-text",
    defect: "answers another scheme like an unknown token",
    why: "only the absence of the header is looked at, and the whole value is then looked up",
    turns_red: SCHEME,
    consequences: &[],
    change: |parts| {
        receiving(parts, |request| {
            if authorization(request).is_some_and(|value| !value.starts_with(BEARER.trim_end())) {
                authorize(request, "no-token-that-was-ever-issued");
            }
        })
    },
};

/// The header, as text.
fn authorization(request: &Inbound) -> Option<String> {
    request.headers.get(header::AUTHORIZATION)?.to_str().ok().map(str::to_owned)
}

/// Makes a request one that carries this token as documented.
fn authorize(request: &mut Inbound, token: &str) {
    if let Ok(value) = HeaderValue::from_str(&format!("{BEARER}{token}")) {
        request.headers.insert(header::AUTHORIZATION, value);
    }
}

const EMPTY_FAILS: Deviation = Deviation {
    name: "token-empty-fails",
    defect: "answers `Bearer` and nothing with 500",
    why: "the second half of the split header is used without a look at whether there is one",
    turns_red: EMPTY,
    consequences: &[],
    change: |parts| answering(parts, |request, answer| empty_token(request, answer, StatusCode::INTERNAL_SERVER_ERROR)),
};

const EMPTY_STATUS: Deviation = Deviation {
    name: "token-empty-status",
    defect: "answers `Bearer` and nothing with 400",
    why: "a header that cannot be parsed counts as a malformed request",
    turns_red: EMPTY,
    consequences: &[],
    change: |parts| answering(parts, |request, answer| empty_token(request, answer, StatusCode::BAD_REQUEST)),
};

fn empty_token(request: &Inbound, answer: &mut Answer, status: StatusCode) {
    if authorization(request).is_some_and(|value| value.trim() == BEARER.trim_end()) {
        *answer = Answer::fixed(status, r#"{"error":"Malformed Authorization header"}"#);
    }
}

const PREFIX: Deviation = Deviation {
    name: "token-prefix-compared",
    defect: "accepts a live token with something behind it",
    why: "the column is shorter than what can be sent, and the value is cut down to it",
    turns_red: UNKNOWN,
    consequences: &[],
    change: |parts| alike(parts, |live, presented| presented.starts_with(live)),
};

const CUT: Deviation = Deviation {
    name: "token-cut-accepted",
    defect: "accepts a live token whose end is missing",
    why: "tokens are found by the part that the dashboard shows, and the rest is not compared",
    turns_red: UNKNOWN,
    consequences: &[],
    change: |parts| alike(parts, |live, presented| live.starts_with(presented) && presented.len() > live.len() / 2),
};

fn alike(parts: Parts, alike: fn(&[u8], &[u8]) -> bool) -> Parts {
    let issued = Arc::new(Issued::before(parts.issuer.clone()));
    let lookup = Alike { inner: parts.tokens.clone(), issued: issued.clone(), alike };
    looked_up(Parts { issuer: issued, ..parts }, lookup)
}

/// Finds the owner of a token that is like the one presented.
struct Alike {
    inner: Arc<dyn TokenLookup>,
    issued: Arc<Issued>,
    alike: fn(&[u8], &[u8]) -> bool,
}

impl WebhookLookup for Alike {
    fn webhook(&self, view: &dyn View, presented: &[u8]) -> Read<Option<(Token, Domain)>> {
        match self.issued.find(|live| (self.alike)(live.as_bytes(), presented)) {
            Some(live) => self.inner.webhook(view, live.as_bytes()),
            None => self.inner.webhook(view, presented),
        }
    }

    fn inner(&self) -> &dyn TokenLookup {
        &*self.inner
    }
}

/// A lookup that finds only webhook tokens in another way.
pub(super) trait WebhookLookup: Send + Sync {
    /// As [`TokenLookup::webhook`].
    fn webhook(&self, view: &dyn View, presented: &[u8]) -> Read<Option<(Token, Domain)>>;

    /// What finds everything else.
    fn inner(&self) -> &dyn TokenLookup;
}

/// The parts with webhook tokens looked up in another way.
pub(super) fn looked_up(parts: Parts, lookup: impl WebhookLookup + 'static) -> Parts {
    Parts { tokens: Arc::new(Lookup(lookup)), ..parts }
}

struct Lookup<L>(L);

impl<L: WebhookLookup> TokenLookup for Lookup<L> {
    fn webhook(&self, view: &dyn View, presented: &[u8]) -> Read<Option<(Token, Domain)>> {
        self.0.webhook(view, presented)
    }

    fn inbound(&self, view: &dyn View, presented: &[u8]) -> Read<Option<Template>> {
        self.0.inner().inbound(view, presented)
    }

    fn project(&self, view: &dyn View, presented: &[u8]) -> Read<Option<String>> {
        self.0.inner().project(view, presented)
    }
}

const FOREIGN_FAILS: Deviation = Deviation {
    name: "token-foreign-fails",
    defect: "answers a token of another kind with 500",
    why: "the prefix is taken off without a look at whether it is there",
    turns_red: FOREIGN,
    consequences: &[],
    change: |parts| {
        answering(parts, |request, answer| {
            if is_foreign(request) {
                *answer = Answer::fixed(StatusCode::INTERNAL_SERVER_ERROR, r#"{"error":"Server error"}"#);
            }
        })
    },
};

const FOREIGN_TEXT: Deviation = Deviation {
    name: "token-foreign-text",
    defect: "answers a token of another kind like a missing header",
    why: "the header is matched with a pattern that has the tokens' prefix in it",
    turns_red: FOREIGN,
    consequences: &[],
    change: |parts| {
        answering(parts, |request, answer| {
            if is_foreign(request) && answer.status == StatusCode::UNAUTHORIZED {
                *answer = refuse(&Refusal::NoBearer);
            }
        })
    },
};

fn is_foreign(request: &Inbound) -> bool {
    let token = authorization(request).and_then(|value| value.strip_prefix(BEARER).map(str::to_owned));
    token.is_some_and(|token| !token.is_empty() && !token.starts_with("rk_wh_"))
}

const REVOKED_LIVES: Deviation = Deviation {
    name: "token-revoked-lives",
    defect: "goes on serving revoked tokens",
    why: "the time of revocation is stored and never looked at",
    turns_red: REVOKED,
    consequences: &[],
    change: |parts| {
        looking(parts, |state| {
            if let Some((token, _)) = &mut state.owner {
                token.revoked = false;
            }
        })
    },
};

const REVOKED_CACHED: Deviation = Deviation {
    name: "token-revoked-cached",
    defect: "goes on serving a revoked token that was used before",
    why: "tokens are cached once they were found, and revoking one leaves the cache alone",
    turns_red: REVOKED,
    consequences: &[],
    change: |parts| {
        let cached = Cached { inner: parts.tokens.clone(), tokens: Mutex::default() };
        looked_up(parts, cached)
    },
};

/// Keeps tokens as they were when first used; their domains are read anew.
struct Cached {
    inner: Arc<dyn TokenLookup>,
    tokens: Mutex<HashMap<Digest, Token>>,
}

impl WebhookLookup for Cached {
    fn webhook(&self, view: &dyn View, presented: &[u8]) -> Read<Option<(Token, Domain)>> {
        let found = self.inner.webhook(view, presented)?;
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(found.map(|(token, domain)| (tokens.entry(digest(presented)).or_insert(token).clone(), domain)))
    }

    fn inner(&self) -> &dyn TokenLookup {
        &*self.inner
    }
}

const REVOKED_INACTIVE: Deviation = Deviation {
    name: "token-revoked-inactive",
    defect: "answers a revoked token like a deactivated domain",
    why: "tokens and domains have the same flag, and one query looks at both",
    turns_red: REVOKED,
    consequences: &[],
    change: |parts| {
        deciding(parts, |state, _, decision| {
            if state.owner.as_ref().is_some_and(|(token, _)| token.revoked) {
                decision.reply = Err(Refusal::DomainInactive);
            }
        })
    },
};

const REVOKES_ALL: Deviation = Deviation {
    name: "token-revokes-all",
    defect: "refuses all tokens of a domain once one is revoked",
    why: "revocation is looked up by the domain",
    turns_red: REVOKED,
    consequences: &[],
    change: |parts| {
        let all = AllRevoked(parts.tokens.clone());
        looked_up(parts, all)
    },
};

struct AllRevoked(Arc<dyn TokenLookup>);

impl WebhookLookup for AllRevoked {
    fn webhook(&self, view: &dyn View, presented: &[u8]) -> Read<Option<(Token, Domain)>> {
        let Some((token, domain)) = self.0.webhook(view, presented)? else { return Ok(None) };
        let revoked = view.tokens(&domain.name)?.iter().any(|token| token.revoked);
        Ok(Some((Token { revoked, ..token }, domain)))
    }

    fn inner(&self) -> &dyn TokenLookup {
        &*self.0
    }
}

const API_KEY_HEADER: Deviation = Deviation {
    name: "token-in-api-key-header",
    defect: "takes a token from X-Api-Key where there is no Authorization",
    why: "the product's other API takes its keys there, and both share the code",
    turns_red: PLACEMENT,
    consequences: &[],
    change: |parts| {
        receiving(parts, |request| {
            let key = request.headers.get("x-api-key").and_then(|value| value.to_str().ok()).map(str::to_owned);
            authorize_instead(request, key);
        })
    },
};

const QUERY: Deviation = Deviation {
    name: "token-in-query",
    defect: "takes a token from the query where there is no Authorization",
    why: "content systems that can set no headers asked for it",
    turns_red: PLACEMENT,
    consequences: &[],
    change: |parts| {
        receiving(parts, |request| {
            let query = request.uri.query().unwrap_or_default().as_bytes();
            let token = url::form_urlencoded::parse(query).find(|(name, _)| name == "token");
            let token = token.map(|(_, value)| value.into_owned());
            authorize_instead(request, token);
        })
    },
};

const BODY: Deviation = Deviation {
    name: "token-in-body",
    defect: "takes a token from the body where there is no Authorization",
    why: "content systems that can set no headers asked for it",
    turns_red: PLACEMENT,
    consequences: &[],
    change: |parts| {
        receiving(parts, |request| {
            let token = fields(&request.body).get("token").and_then(Value::as_str).map(str::to_owned);
            authorize_instead(request, token);
        })
    },
};

fn authorize_instead(request: &mut Inbound, token: Option<String>) {
    if let Some(token) = token.filter(|_| authorization(request).is_none()) {
        authorize(request, &token);
    }
}

const DOMAIN_OF_BODY: Deviation = Deviation {
    name: "domain-of-body",
    defect: "acts for the domain that the body names, as its answer says",
    why: "the body's `domain` is laid over the token's, as the other API's requests need",
    turns_red: SCOPE,
    consequences: &[],
    change: |parts| {
        answering(parts, |request, answer| {
            if let Some(domain) = fields(&request.body).remove("domain") {
                name_domain(answer, Some(domain));
            }
        })
    },
};

const DOMAIN_CONSTANT: Deviation = Deviation {
    name: "domain-constant",
    defect: "names the document's example in every answer",
    why: "the answer was copied from the document",
    turns_red: SCOPE,
    consequences: &[],
    change: |parts| answering(parts, |_, answer| name_domain(answer, Some("example.com".into()))),
};

const DOMAIN_ABSENT: Deviation = Deviation {
    name: "domain-absent",
    defect: "names no domain in its answers",
    why: "the caller knows whose token it is",
    turns_red: SCOPE,
    consequences: &[],
    change: |parts| answering(parts, |_, answer| name_domain(answer, None)),
};

/// Puts another domain, or none, into an accepted answer.
fn name_domain(answer: &mut Answer, domain: Option<Value>) {
    if answer.status == StatusCode::OK {
        edit(answer, |fields| match domain {
            Some(domain) => drop(fields.insert("domain".to_owned(), domain)),
            None => drop(fields.remove("domain")),
        });
    }
}
