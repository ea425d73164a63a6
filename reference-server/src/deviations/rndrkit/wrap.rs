//! Ways to change one part by a function, shared by the topics.

use std::sync::Arc;

use hyper::body::Bytes;
use serde_json::{Map, Value};

use crate::clock::Millis;
use crate::craftkit;
use crate::http::{Answer, Inbound};
use crate::parts::{Admission, Attempt, Edge, ErrorWriter, Limiter, Parts};
use crate::rndrkit::rules::{Command, Decision, Judges, RefreshRules, State};
use crate::rndrkit::wire::{Asked, Refusal};

/// The endpoint, which is all that an edge of these deviations touches.
const PATH: &str = "/api/webhook/refresh";

/// Reads bodies.
pub(super) type ReadBody = fn(Option<&[u8]>, &[u8]) -> Result<Asked, Refusal>;

/// The parts with bodies read in another way.
pub(super) fn reading(parts: Parts, read: ReadBody) -> Parts {
    let refresh_rules = Arc::new(Reading { inner: parts.refresh_rules.clone(), read });
    Parts { refresh_rules, ..parts }
}

struct Reading {
    inner: Arc<dyn RefreshRules>,
    read: ReadBody,
}

impl RefreshRules for Reading {
    fn read(&self, content_type: Option<&[u8]>, body: &[u8]) -> Result<Asked, Refusal> {
        (self.read)(content_type, body)
    }

    fn decide(&self, judges: &Judges, state: &State, command: &Command, now: Millis) -> Decision {
        self.inner.decide(judges, state, command, now)
    }
}

/// The parts with decisions made on what `look` makes of the state.
pub(super) fn looking(parts: Parts, look: impl Fn(&mut State) + Send + Sync + 'static) -> Parts {
    let refresh_rules = Arc::new(Looking { inner: parts.refresh_rules.clone(), look });
    Parts { refresh_rules, ..parts }
}

struct Looking<F> {
    inner: Arc<dyn RefreshRules>,
    look: F,
}

impl<F: Fn(&mut State) + Send + Sync> RefreshRules for Looking<F> {
    fn read(&self, content_type: Option<&[u8]>, body: &[u8]) -> Result<Asked, Refusal> {
        self.inner.read(content_type, body)
    }

    fn decide(&self, judges: &Judges, state: &State, command: &Command, now: Millis) -> Decision {
        let mut state = state.clone();
        (self.look)(&mut state);
        self.inner.decide(judges, &state, command, now)
    }
}

/// The parts with decisions changed after they are made.
pub(super) fn deciding<F>(parts: Parts, change: F) -> Parts
where
    F: Fn(&State, &Command, &mut Decision) + Send + Sync + 'static,
{
    let refresh_rules = Arc::new(Deciding { inner: parts.refresh_rules.clone(), change });
    Parts { refresh_rules, ..parts }
}

struct Deciding<F> {
    inner: Arc<dyn RefreshRules>,
    change: F,
}

impl<F: Fn(&State, &Command, &mut Decision) + Send + Sync> RefreshRules for Deciding<F> {
    fn read(&self, content_type: Option<&[u8]>, body: &[u8]) -> Result<Asked, Refusal> {
        self.inner.read(content_type, body)
    }

    fn decide(&self, judges: &Judges, state: &State, command: &Command, now: Millis) -> Decision {
        let mut decision = self.inner.decide(judges, state, command, now);
        (self.change)(state, command, &mut decision);
        decision
    }
}

/// The parts with some refusals written in another way.
pub(super) fn refusing(parts: Parts, write: impl Fn(&Refusal) -> Option<Answer> + Send + Sync + 'static) -> Parts {
    let errors = Arc::new(Refusing { inner: parts.errors.clone(), write });
    Parts { errors, ..parts }
}

struct Refusing<F> {
    inner: Arc<dyn ErrorWriter>,
    write: F,
}

impl<F: Fn(&Refusal) -> Option<Answer> + Send + Sync> ErrorWriter for Refusing<F> {
    fn refresh(&self, refusal: &Refusal) -> Answer {
        (self.write)(refusal).unwrap_or_else(|| self.inner.refresh(refusal))
    }

    fn render(&self, refusal: &craftkit::wire::Refusal) -> Answer {
        self.inner.render(refusal)
    }
}

/// The parts with requests to the endpoint changed before anything looks at them.
pub(super) fn receiving(parts: Parts, change: fn(&mut Inbound)) -> Parts {
    Parts { edge: Some(Arc::new(Receiving(change))), ..parts }
}

struct Receiving(fn(&mut Inbound));

impl Edge for Receiving {
    fn request(&self, request: &mut Inbound) {
        if request.uri.path() == PATH {
            (self.0)(request);
        }
    }
}

/// The parts with answers of the endpoint changed before they leave.
pub(super) fn answering(parts: Parts, change: impl Fn(&Inbound, &mut Answer) + Send + Sync + 'static) -> Parts {
    Parts { edge: Some(Arc::new(Answering(change))), ..parts }
}

struct Answering<F>(F);

impl<F: Fn(&Inbound, &mut Answer) + Send + Sync> Edge for Answering<F> {
    fn answer(&self, request: &Inbound, answer: &mut Answer) {
        if request.uri.path() == PATH {
            (self.0)(request, answer);
        }
    }
}

/// Changes the object in an answer's body; a body that holds none stays as it is.
pub(super) fn edit(answer: &mut Answer, change: impl FnOnce(&mut Map<String, Value>)) {
    if let Ok(Value::Object(mut fields)) = serde_json::from_slice(&answer.body) {
        change(&mut fields);
        answer.body = Bytes::from(Value::Object(fields).to_string());
    }
}

/// The object in a request's body; without keys if there is none.
pub(super) fn fields(body: &[u8]) -> Map<String, Value> {
    serde_json::from_slice(body).unwrap_or_default()
}

/// Judges an attempt by what is remembered of its domain.
pub(super) type Admit = fn(Option<&[i64]>, &Attempt<'_>) -> Admission;

/// The parts with another limiter, which counts by domain as the documented one does.
pub(super) fn limiting(parts: Parts, admit: Admit) -> Parts {
    Parts { limiter: Arc::new(Limiting(admit)), ..parts }
}

struct Limiting(Admit);

impl Limiter for Limiting {
    fn key(&self, attempt: &Attempt<'_>) -> String {
        attempt.domain.to_owned()
    }

    fn admit(&self, remembered: Option<&[i64]>, attempt: &Attempt<'_>) -> Admission {
        (self.0)(remembered, attempt)
    }
}
