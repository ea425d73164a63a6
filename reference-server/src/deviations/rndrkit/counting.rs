//! What the hourly limit counts, and what makes it forget.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::auth::{WebhookLookup, looked_up};
use super::tokens::Issued;
use super::wrap::deciding;
use crate::clock::Millis;
use crate::deviations::Deviation;
use crate::parts::{Parts, TokenLookup};
use crate::rndrkit::rules::{Command, Decision, Judges, RefreshRules, State, attempt};
use crate::rndrkit::wire::{Asked, Refusal};
use crate::store::records::{Domain, Token, Write};
use crate::store::{Read, SharedStore, Store, StoreError, Transaction, View};

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] =
    &[BODIES_FREE, PATHS_FREE, REFUSALS_FREE, VALIDATED_FIRST, UNAUTHENTICATED_COUNT, FULL_FREE, LOST_WITH_TOKEN];

const BODY: &str = "rndrkit.rate.counts-invalid-body";
const PATHS: &str = "rndrkit.rate.counts-invalid-paths";
const TEN: &[&str] = &["rndrkit.rate.ten-per-hour"];

const BODIES_FREE: Deviation = Deviation {
    name: "invalid-body-free",
    defect: "does not count a request whose body asks for nothing",
    why: "the body is checked by a schema before the limiter runs",
    turns_red: &[BODY],
    consequences: &[],
    change: |parts| uncounted(parts, |_, decision| decision.reply == Err(Refusal::NothingAsked)),
};

const PATHS_FREE: Deviation = Deviation {
    name: "invalid-paths-free",
    defect: "does not count a request none of whose paths is valid",
    why: "the count is given back when there is nothing to queue",
    turns_red: &[PATHS],
    consequences: &[],
    change: |parts| uncounted(parts, |_, decision| decision.reply == Err(Refusal::NoValidPath)),
};

const REFUSALS_FREE: Deviation = Deviation {
    name: "refusals-free",
    defect: "counts only requests that are accepted",
    why: "the limiter is configured to skip failed requests",
    turns_red: &[BODY, PATHS],
    consequences: &[],
    change: |parts| uncounted(parts, |_, decision| decision.reply.is_err()),
};

const FULL_FREE: Deviation = Deviation {
    name: "full-refresh-free",
    defect: "does not count full refreshes",
    why: "they are handled before the limiter runs, which was written for lists",
    turns_red: TEN,
    consequences: &[],
    change: |parts| uncounted(parts, |command, _| command.asked == Ok(Asked::Full)),
};

/// The parts with some requests not counted.
fn uncounted(parts: Parts, which: fn(&Command, &Decision) -> bool) -> Parts {
    deciding(parts, move |_, command, decision| {
        if which(command, decision) {
            decision.writes.retain(|write| !matches!(write, Write::PutWindow { .. }));
        }
    })
}

const VALIDATED_FIRST: Deviation = Deviation {
    name: "validation-before-limit",
    defect: "tells a request beyond the limit what is wrong with its body",
    why: "the body is checked first, and the count is taken in either case",
    turns_red: &["rndrkit.rate.before-validation"],
    consequences: &[],
    change: |parts| {
        deciding(parts, |_, command, decision| {
            if let (Err(Refusal::RateLimited), Err(refusal)) = (&decision.reply, &command.asked) {
                decision.reply = Err(*refusal);
            }
        })
    },
};

const UNAUTHENTICATED_COUNT: Deviation = Deviation {
    name: "unauthenticated-counted",
    defect: "counts requests for a domain whose token is nearly right",
    why: "tokens are found by their first half, and the limiter runs before the whole is compared",
    turns_red: &["rndrkit.rate.unauthenticated-free"],
    consequences: &[],
    change: |parts| {
        let issued = Arc::new(Issued::before(parts.issuer.clone()));
        let lookup = ByHalf { inner: parts.tokens.clone(), issued: issued.clone() };
        let refresh_rules = Arc::new(LimitedFirst(parts.refresh_rules.clone()));
        looked_up(Parts { issuer: issued, refresh_rules, ..parts }, lookup)
    },
};

/// Finds a token by its first half; one that is not wholly right is given out as revoked.
struct ByHalf {
    inner: Arc<dyn TokenLookup>,
    issued: Arc<Issued>,
}

impl WebhookLookup for ByHalf {
    fn webhook(&self, view: &dyn View, presented: &[u8]) -> Read<Option<(Token, Domain)>> {
        let first_half = |live: &str| presented.starts_with(&live.as_bytes()[..live.len() / 2]);
        let Some(live) = self.issued.find(first_half) else { return Ok(None) };
        let found = self.inner.webhook(view, live.as_bytes())?;
        let wrong = live.as_bytes() != presented;
        Ok(found.map(|(token, domain)| (Token { revoked: token.revoked || wrong, ..token }, domain)))
    }

    fn inner(&self) -> &dyn TokenLookup {
        &*self.inner
    }
}

/// Counts a request as soon as its domain is known.
struct LimitedFirst(Arc<dyn RefreshRules>);

impl RefreshRules for LimitedFirst {
    fn read(&self, content_type: Option<&[u8]>, body: &[u8]) -> Result<Asked, Refusal> {
        self.0.read(content_type, body)
    }

    fn decide(&self, judges: &Judges, state: &State, command: &Command, now: Millis) -> Decision {
        let mut decision = self.0.decide(judges, state, command, now);
        if let (Some((token, domain)), Err(Refusal::UnknownToken)) = (&state.owner, &decision.reply) {
            let attempt = attempt(token, domain, command, now);
            let admission = judges.limiter.admit(state.window.as_deref(), &attempt);
            let key = judges.limiter.key(&attempt);
            decision.writes.extend(admission.state.map(|state| Write::PutWindow { key, state }));
        }
        decision
    }
}

const LOST_WITH_TOKEN: Deviation = Deviation {
    name: "count-lost-with-token",
    defect: "forgets a domain's count when one of its tokens is revoked",
    why: "whatever is cached of a domain is dropped then, so that the token surely is",
    turns_red: TEN,
    consequences: &[],
    change: |parts| Parts { store: Some(forgetting_with_tokens), ..parts },
};

fn forgetting_with_tokens(store: SharedStore) -> SharedStore {
    Arc::new(Forgetting { inner: store, memory: Arc::default() })
}

/// A store that forgets a domain's window along with one of its tokens.
struct Forgetting {
    inner: SharedStore,
    memory: Arc<Memory>,
}

#[derive(Default)]
struct Memory {
    /// The domains of tokens.
    domains: Mutex<HashMap<String, String>>,
}

impl Memory {
    /// The windows that end with these changes.
    fn forgotten(&self, writes: &[Write]) -> Vec<Write> {
        let mut domains = self.domains.lock().unwrap_or_else(PoisonError::into_inner);
        for write in writes {
            if let Write::InsertToken { token, .. } = write {
                domains.insert(token.id.clone(), token.domain.clone());
            }
        }
        let forgotten = writes.iter().filter_map(|write| match write {
            Write::RevokeToken(id) => domains.get(id).cloned(),
            _ => None,
        });
        forgotten.map(Write::DeleteWindow).collect()
    }
}

impl Store for Forgetting {
    fn submit(&self, transaction: Box<dyn Transaction>) {
        self.inner.submit(Box::new(Remembering { inner: transaction, memory: self.memory.clone() }));
    }

    fn read(&self, look: &mut dyn FnMut(&dyn View) -> Read<()>) -> Read<()> {
        self.inner.read(look)
    }

    fn close(&self) {
        self.inner.close();
    }
}

struct Remembering {
    inner: Box<dyn Transaction>,
    memory: Arc<Memory>,
}

impl Transaction for Remembering {
    fn decide(&mut self, view: &dyn View) -> Read<Vec<Write>> {
        let mut writes = self.inner.decide(view)?;
        writes.extend(self.memory.forgotten(&writes));
        Ok(writes)
    }

    fn finish(self: Box<Self>, outcome: Result<(), StoreError>) {
        self.inner.finish(outcome);
    }
}
