//! What the control plane was asked and has made, for defects that concern more than one request.

use serde_json::Value;

use crate::http::{Answer, Inbound};

const CONTROL: &str = "/_control";

/// A template as the control plane has just made it.
pub(super) struct Created {
    result: Value,
}

impl Created {
    /// A text of the result; empty if there is none.
    pub(super) fn text(&self, field: &str) -> String {
        self.result[field].as_str().unwrap_or_default().to_owned()
    }
}

/// The templates that an answer of the control plane tells of.
pub(super) fn created(request: &Inbound, answer: &Answer) -> Vec<Created> {
    let results = messages(request, &answer.body).into_iter().map(|mut message| message["result"].take());
    results.filter(|result| result.get("inbound_token").is_some()).map(|result| Created { result }).collect()
}

/// Whether a request begins (false) or ends (true) an outage of the queue.
pub(super) fn queue_set(request: &Inbound) -> Option<bool> {
    let calls = messages(request, &request.body);
    calls.iter().rfind(|call| call["method"] == "queue.set").map(|call| call["params"]["available"] == true)
}

/// A message of the control plane, or those of a batch.
fn messages(request: &Inbound, body: &[u8]) -> Vec<Value> {
    if request.uri.path() != CONTROL {
        return Vec::new();
    }
    match serde_json::from_slice(body) {
        Ok(Value::Array(messages)) => messages,
        Ok(message) => vec![message],
        Err(_) => Vec::new(),
    }
}
