//! Wrong tokens: their form, their number, and who gets to see them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header;
use serde_json::Value;
use uuid::Uuid;

use super::wrap::answering;
use crate::clock::Millis;
use crate::deviations::Deviation;
use crate::http::{Answer, Inbound};
use crate::parts::{Edge, Issuer, Parts};
use crate::secret::{Secret, random_text};

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[OTHER_PREFIX, SIX, FOUR, SHOWN_BY_INSPECTION, SHOWN_IN_ERROR];

const OTHER_PREFIX: Deviation = Deviation {
    name: "token-other-prefix",
    defect: "makes tokens with the prefix of API keys",
    why: "both are made by the same function",
    turns_red: &["rndrkit.tokens.prefix"],
    consequences: &[],
    change: |parts| {
        let token: fn() -> Secret = || Secret::new(format!("rk_live_{}", random_text::<32>()));
        issuing(parts, Issuing { token: Some(token), per_domain: None })
    },
};

const FIVE: &[&str] = &["rndrkit.tokens.five-per-domain"];

const SIX: Deviation = Deviation {
    name: "tokens-six",
    defect: "makes a sixth token for a domain",
    why: "the tokens there are compared with <= where < was meant",
    turns_red: FIVE,
    consequences: &[],
    change: |parts| issuing(parts, Issuing { token: None, per_domain: Some(6) }),
};

const FOUR: Deviation = Deviation {
    name: "tokens-four",
    defect: "makes no fifth token for a domain",
    why: "the token being made is counted with those there are",
    turns_red: FIVE,
    consequences: &[],
    change: |parts| issuing(parts, Issuing { token: None, per_domain: Some(4) }),
};

/// Another form of webhook tokens, or another number of them.
struct Issuing {
    token: Option<fn() -> Secret>,
    per_domain: Option<usize>,
}

fn issuing(parts: Parts, issuing: Issuing) -> Parts {
    let issued = Issued { issuing, ..Issued::before(parts.issuer) };
    Parts { issuer: Arc::new(issued), ..parts }
}

/// An issuer that remembers the values of the webhook tokens it made.
pub(super) struct Issued {
    inner: Arc<dyn Issuer>,
    issuing: Issuing,
    values: Mutex<Vec<String>>,
}

impl Issued {
    /// Puts a memory in front of an issuer.
    pub(super) fn before(inner: Arc<dyn Issuer>) -> Issued {
        Issued { inner, issuing: Issuing { token: None, per_domain: None }, values: Mutex::default() }
    }

    /// The first token made that `which` picks.
    pub(super) fn find(&self, which: impl Fn(&str) -> bool) -> Option<String> {
        let values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.iter().find(|value| which(value)).cloned()
    }
}

impl Issuer for Issued {
    fn webhook_token(&self) -> Secret {
        let token = self.issuing.token.map_or_else(|| self.inner.webhook_token(), |make| make());
        self.values.lock().unwrap_or_else(PoisonError::into_inner).push(token.expose().to_owned());
        token
    }

    fn tokens_per_domain(&self) -> usize {
        self.issuing.per_domain.unwrap_or_else(|| self.inner.tokens_per_domain())
    }

    fn inbound_token(&self) -> Secret {
        self.inner.inbound_token()
    }

    fn signing_secret(&self) -> Secret {
        self.inner.signing_secret()
    }

    fn api_key(&self) -> Secret {
        self.inner.api_key()
    }

    fn render_id(&self, now: Millis) -> Uuid {
        self.inner.render_id(now)
    }
}

const SHOWN_ONCE: &[&str] = &["rndrkit.tokens.shown-once"];

const SHOWN_BY_INSPECTION: Deviation = Deviation {
    name: "tokens-shown-by-inspection",
    defect: "shows the values of a domain's tokens whenever the domain is looked at",
    why: "the record is given out whole",
    turns_red: SHOWN_ONCE,
    consequences: &[],
    change: |parts| Parts { edge: Some(Arc::new(Shown::default())), ..parts },
};

/// Reads on the control plane which value each token got, and adds it wherever the token is named.
#[derive(Default)]
struct Shown(Mutex<HashMap<String, Value>>);

impl Edge for Shown {
    fn answer(&self, request: &Inbound, answer: &mut Answer) {
        if request.uri.path() != "/_control" {
            return;
        }
        if let Ok(mut reply) = serde_json::from_slice(&answer.body) {
            self.show(&mut reply);
            answer.body = Bytes::from(Value::to_string(&reply));
        }
    }
}

impl Shown {
    fn show(&self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.show(item)),
            Value::Object(fields) => {
                let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(id) = fields.get("id").and_then(Value::as_str).map(str::to_owned) {
                    match fields.get("token") {
                        Some(token) => drop(values.insert(id, token.clone())),
                        None => fields.extend(values.get(&id).map(|token| ("token".to_owned(), token.clone()))),
                    }
                }
                drop(values);
                fields.values_mut().for_each(|field| self.show(field));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

const SHOWN_IN_ERROR: Deviation = Deviation {
    name: "tokens-shown-in-error",
    defect: "repeats a header that is no bearer token in the text of the refusal",
    why: "it helps in finding out what went wrong",
    turns_red: SHOWN_ONCE,
    // The text is that of another rule, which is judged by a live token with another scheme or none.
    consequences: &["rndrkit.auth.scheme-not-bearer"],
    change: |parts| {
        answering(parts, |request, answer| {
            let sent = request.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
            if let Some(sent) = sent.filter(|sent| !sent.starts_with("Bearer")) {
                let text = format!("Missing or invalid Authorization header: {sent}");
                *answer = Answer::json(StatusCode::UNAUTHORIZED, &serde_json::json!({ "error": text }));
            }
        })
    },
};
