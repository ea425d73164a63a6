//! What a run of the suite sent, as a script that can be sent again to another server without the suite: the same calls and requests, as
//! many at a time, each after those it followed, and between them the same passing of time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use hookproof::evidence::{Body, Evidence, Exchange, FixtureCall, SentRequest, Signed};
use hookproof::runner::CheckResult;
use hookproof::secret::Secret;
use serde_json::Value;

/// Everything that was sent.
pub(crate) struct Script {
    /// Where it was sent to.
    pub(crate) base_url: String,
    /// One after another.
    pub(crate) phases: Vec<Phase>,
    /// Checks; each row belongs to one of them.
    pub(crate) checks: usize,
}

/// What was sent between two moves of the clock.
pub(crate) struct Phase {
    /// By how much (ms) the clock had been moved since the run began.
    pub(crate) advanced_ms: u64,
    /// Steps one after another, side by side with those of the other checks.
    pub(crate) rows: Vec<Row>,
}

/// What one check sent in a phase.
pub(crate) struct Row {
    /// The check.
    pub(crate) check: usize,
    /// Groups, one after another.
    pub(crate) groups: Vec<Vec<Step>>,
}

/// One call or request, and which of what earlier ones gave it names. That is found out here, so that whoever sends a script loses no
/// time with it.
pub(crate) struct Step {
    /// What is sent.
    pub(crate) what: What,
    /// Texts in it for which others stand on another server.
    pub(crate) names: Vec<String>,
}

/// A call or a request.
pub(crate) enum What {
    /// A fixture call.
    Call {
        /// Method.
        method: String,
        /// Parameters.
        params: Value,
        /// What it gave; what another server gives stands for it.
        result: Value,
    },
    /// A request.
    Send {
        /// As it was sent.
        request: SentRequest,
        /// Its body.
        body: Vec<u8>,
        /// The JSON of its answer, if later steps may need something of it.
        answer: Option<Value>,
        /// Status of its answer.
        status: u16,
    },
}

impl What {
    /// All that a call or a request says.
    fn said(&self) -> String {
        match self {
            What::Call { params, .. } => params.to_string(),
            What::Send { request, body, .. } => {
                let headers = request.headers.iter().map(|(_, value)| value.as_str());
                let body = String::from_utf8_lossy(body);
                headers.chain([request.url.as_str(), body.as_ref()]).collect::<Vec<&str>>().join("\n")
            }
        }
    }
}

/// Every text in a value.
fn texts(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => drop(found.insert(text.clone())),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(entries) => entries.values().for_each(|item| texts(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// When a step was under way, and in which phase.
struct Timed {
    key: (usize, u64),
    start_ns: u64,
    end_ns: u64,
    what: What,
}

impl Script {
    /// The script of a run's results.
    pub(crate) fn of(results: &[CheckResult], base_url: &str) -> Script {
        let mut phases: BTreeMap<(usize, u64), Vec<Row>> = BTreeMap::new();
        let mut alone = 0;
        for (check, result) in results.iter().enumerate() {
            alone += usize::from(result.check.needs.exclusive);
            // Those that need the whole server come after all others, one by one.
            let place = if result.check.needs.exclusive { alone } else { 0 };
            for (key, groups) in grouped(timed(&result.evidence, place)) {
                phases.entry(key).or_default().push(Row { check, groups });
            }
        }
        let phases = phases.into_iter().map(|((_, advanced_ms), rows)| Phase { advanced_ms, rows }).collect();
        Script { base_url: base_url.to_owned(), phases, checks: results.len() }
    }

    /// Every step.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.phases.iter().flat_map(|phase| &phase.rows).flat_map(|row| row.groups.iter().flatten())
    }
}

fn timed(evidence: &Evidence, place: usize) -> Vec<Timed> {
    let sent = evidence.exchanges.iter().map(|exchange| Timed {
        key: (place, exchange.advanced_ms),
        start_ns: exchange.start_ns,
        end_ns: exchange.end_ns,
        what: sending(exchange),
    });
    let called = evidence.fixtures.iter().map(|call| Timed {
        key: (place, call.advanced_ms),
        start_ns: call.start_ns,
        end_ns: call.end_ns,
        what: calling(call),
    });
    let mut steps: Vec<Timed> = called.chain(sent).collect();
    steps.sort_by_key(|step| (step.key, step.start_ns));
    // Everything that was made is deleted in the end, once all answers are there; those calls are no evidence.
    let last = steps.iter().map(|step| (step.key, step.end_ns)).max();
    if let Some((key, end_ns)) = last {
        let deletions: Vec<What> = evidence.fixtures.iter().filter_map(deletion).collect();
        steps.extend(deletions.into_iter().map(|what| Timed { key, start_ns: end_ns, end_ns: end_ns + 1, what }));
    }
    steps
}

/// Steps that were under way at one time are sent at one time.
fn grouped(steps: Vec<Timed>) -> BTreeMap<(usize, u64), Vec<Vec<Step>>> {
    let mut phases: BTreeMap<(usize, u64), Vec<Vec<Step>>> = BTreeMap::new();
    let mut given = BTreeSet::new();
    for step in &steps {
        match &step.what {
            What::Call { result, .. } => texts(result, &mut given),
            What::Send { answer, .. } => answer.iter().for_each(|answer| texts(answer, &mut given)),
        }
    }
    let mut under_way = 0;
    for Timed { key, start_ns, end_ns, what } in steps {
        let said = what.said();
        let mut names: Vec<String> = given.iter().filter(|name| said.contains(name.as_str())).cloned().collect();
        // One may be part of another.
        names.sort_by_key(|name| Reverse(name.len()));
        let step = Step { what, names };
        let groups = phases.entry(key).or_default();
        match groups.last_mut() {
            Some(group) if start_ns < under_way => group.push(step),
            _ => groups.push(vec![step]),
        }
        under_way = under_way.max(end_ns);
    }
    phases
}

fn sending(exchange: &Exchange) -> What {
    let body = match &exchange.request.body {
        None => Vec::new(),
        Some(Body::Text(text)) => text.clone().into_bytes(),
        Some(Body::Base64(text)) => {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.decode(text).expect("evidence holds valid base64")
        }
        Some(Body::Cut { length, .. }) => vec![b' '; usize::try_from(*length).expect("it was in memory")],
    };
    let status = exchange.response.as_ref().map_or(0, |response| response.status);
    // Only an accepted render has anything that is asked for later: its id.
    let answer = (status == 202).then(|| exchange.json()).flatten();
    What::Send { request: exchange.request.clone(), body, answer, status }
}

fn calling(call: &FixtureCall) -> What {
    let result = call.result.clone().unwrap_or_default();
    What::Call { method: call.method.clone(), params: call.params.clone(), result }
}

fn deletion(call: &FixtureCall) -> Option<What> {
    let (method, parameter) = match call.method.as_str() {
        "domain.create" => ("domain.delete", "domain"),
        "template.create" => ("template.delete", "slug"),
        _ => return None,
    };
    let name = call.result.as_ref()?.get(parameter)?;
    Some(What::Call { method: method.to_owned(), params: serde_json::json!({ parameter: name }), result: Value::Null })
}

/// What stands on another server for what the script names: tokens, names and ids.
#[derive(Default)]
pub(crate) struct Known(HashMap<String, String>);

impl Known {
    /// Takes in what a call or a request gave, beside what it had given when it was recorded.
    pub(crate) fn learn(&mut self, recorded: &Value, given: &Value) {
        match (recorded, given) {
            (Value::String(old), Value::String(new)) if old != new => {
                self.0.entry(old.clone()).or_insert_with(|| new.clone());
            }
            (Value::Array(old), Value::Array(new)) => old.iter().zip(new).for_each(|(old, new)| self.learn(old, new)),
            (Value::Object(old), Value::Object(new)) => {
                old.iter().for_each(|(key, old)| self.learn(old, new.get(key).unwrap_or(&Value::Null)));
            }
            _ => {}
        }
    }

    /// A text of the script as it reads on the other server.
    pub(crate) fn fill(&self, names: &[String], text: &str) -> String {
        let known = names.iter().filter_map(|name| Some((name, self.0.get(name)?)));
        known.fold(text.to_owned(), |text, (old, new)| text.replace(old.as_str(), new))
    }

    /// A header's value; a good signature is made anew, with the other server's secret.
    pub(crate) fn header(&self, names: &[String], [name, value]: [&str; 2], step: &What, body: &[u8]) -> String {
        let What::Send { request, .. } = step else { return value.to_owned() };
        let is_good = |signed: &&Signed| signed.over == "the body as sent" && signed.change == "none";
        let signed = request.signed.as_ref().filter(is_good);
        let signed = signed.filter(|_| name.eq_ignore_ascii_case("x-craftkit-signature"));
        let secret = signed.and_then(|signed| self.0.get(&format!("<{}>", signed.key)));
        secret.map_or_else(|| self.fill(names, value), |secret| signature(&Secret::new(secret.clone()), body))
    }
}

fn signature(secret: &Secret, body: &[u8]) -> String {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes any key");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}
