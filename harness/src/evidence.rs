//! What a check saw: exchanges with their instants, and fixture calls. All that a judge may read.

pub mod room;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::secret::SecretFilter;

/// Bodies up to this length (bytes) are kept whole; longer ones as length, SHA-256 and first bytes.
pub const BODY_KEPT_MAX: usize = 64 * 1024;

/// How much (bytes) of a longer body is kept.
const BODY_BEGINNING: usize = 256;

/// How the target's clock moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockKind {
    /// Moved by the suite; between two moves it stands still or runs on.
    Manual,
    /// Real time.
    #[default]
    System,
}

/// Everything one run of one check gathered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// How the target's clock moved.
    pub clock: ClockKind,
    /// Requests and their answers, in the order of their sending.
    pub exchanges: Vec<Exchange>,
    /// Fixture calls whose answers the judge reads.
    pub fixtures: Vec<FixtureCall>,
    /// Outgoing webhooks that reached the suite's receiver, in the order of their arrival.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<Delivery>,
    /// Cases that were generated, in the order of their trial.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cases: Vec<GeneratedCase>,
}

/// A generated case that was tried. Its steps are labelled with its own label, or with that label followed by `/` and more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeneratedCase {
    /// Which one.
    pub label: String,
    /// The case itself, in the form of its property.
    pub case: Value,
    /// The step whose answer the case is judged by, if it shares one with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
    /// How many generated cases failed in the same way, of which this is the smallest; 0 for a case as it was generated.
    #[serde(default)]
    pub stands_for: usize,
}

/// One outgoing webhook of the target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The step of the check.
    pub label: String,
    /// Method.
    pub method: String,
    /// Headers in the order of arrival, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Body,
    /// What its signature was found to be on arrival, since the key is never shown.
    pub signature: DeliverySignature,
    /// Nanoseconds since the run began, after the last byte was received.
    pub received_ns: u64,
    /// The status that the receiver answered with.
    pub answered: u16,
}

/// What the `x-craftkit-signature` of a delivery was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliverySignature {
    /// There was none.
    #[serde(rename = "absent")]
    Absent,
    /// The hexadecimal HMAC-SHA256 of the body as received, with the subscription's secret as key.
    #[serde(rename = "matches the subscription's secret over the raw body")]
    Matches,
    /// Anything else.
    #[serde(rename = "does not match the subscription's secret over the raw body")]
    Differs,
}

/// One request with its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// The step of the check; the judge finds the exchange by it.
    pub label: String,
    /// What was sent.
    pub request: SentRequest,
    /// What came back; absent if no complete answer came.
    pub response: Option<Response>,
    /// Why no complete answer came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Nanoseconds since the run began, before the first byte was sent.
    pub start_ns: u64,
    /// Nanoseconds since the run began, after the last byte was received.
    pub end_ns: u64,
    /// Milliseconds by which the suite had moved the target's clock when this was sent.
    pub advanced_ms: u64,
    /// A command line that repeats the request.
    pub curl: String,
}

/// A request as it was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SentRequest {
    /// Method.
    pub method: String,
    /// Whole URL.
    pub url: String,
    /// Headers set by the check or the target file, in order.
    pub headers: Vec<(String, String)>,
    /// Body; absent when none was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    /// For a signed request: what was meant by the signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
}

/// What a signature was made of, since the key itself is never shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// Whose secret was the key.
    pub key: String,
    /// Which bytes were signed.
    pub over: String,
    /// What was changed afterwards, `none` for an honest signature.
    pub change: String,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Headers in the order of arrival, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Body,
}

/// Bytes of a message, bounded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// Valid UTF-8, whole.
    Text(String),
    /// Any other bytes, whole, in base64.
    Base64(String),
    /// Only the beginning of a long body.
    Cut {
        /// Length in bytes.
        length: u64,
        /// SHA-256 of those bytes, hexadecimal.
        sha256: String,
        /// The first bytes, invalid UTF-8 replaced.
        first: String,
    },
}

/// One call of the fixture protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FixtureCall {
    /// The step of the check.
    pub label: String,
    /// Method of the protocol.
    pub method: String,
    /// Its parameters.
    pub params: Value,
    /// Its result; absent when it was refused.
    pub result: Option<Value>,
    /// The reason of a refusal (`data.reason`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Nanoseconds since the run began, before the call.
    pub start_ns: u64,
    /// Nanoseconds since the run began, after the answer.
    pub end_ns: u64,
    /// Milliseconds by which the suite had moved the target's clock.
    pub advanced_ms: u64,
}

/// Takes a body in piece by piece and never holds more of it than is kept.
#[derive(Default)]
pub struct BodyReader {
    kept: Vec<u8>,
    length: usize,
    /// Of the whole, once it is more than is kept.
    digest: Option<Sha256>,
}

impl BodyReader {
    /// Takes the next piece.
    pub fn read(&mut self, bytes: &[u8]) {
        let room = BODY_KEPT_MAX - self.kept.len();
        let (kept, left_out) = bytes.split_at(bytes.len().min(room));
        self.kept.extend_from_slice(kept);
        self.length += bytes.len();
        if !left_out.is_empty() {
            let digest = self.digest.get_or_insert_with(|| Sha256::new_with_prefix(&self.kept));
            digest.update(left_out);
        }
    }

    /// Bytes taken so far.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The body within the limits of evidence.
    pub fn keep(self) -> Body {
        if self.length > BODY_KEPT_MAX {
            let first = String::from_utf8_lossy(&self.kept[..BODY_BEGINNING]).into_owned();
            return self.cut(first);
        }
        match String::from_utf8(self.kept) {
            Ok(text) => Body::Text(text),
            Err(error) => Body::Base64(STANDARD.encode(error.as_bytes())),
        }
    }

    /// Length and digest only.
    pub fn outline(self) -> Body {
        self.cut(String::new())
    }

    fn cut(self, first: String) -> Body {
        let digest = self.digest.unwrap_or_else(|| Sha256::new_with_prefix(&self.kept)).finalize();
        Body::Cut { length: self.length as u64, sha256: hex::encode(digest), first }
    }
}

/// Length, digest and beginning of bytes.
fn cut(bytes: &[u8]) -> Body {
    let first = String::from_utf8_lossy(&bytes[..bytes.len().min(BODY_BEGINNING)]).into_owned();
    Body::Cut { length: bytes.len() as u64, sha256: hex::encode(Sha256::digest(bytes)), first }
}

/// Bytes that a text takes between its quotes in a report, or a few more.
fn reported_length(text: &str) -> usize {
    const ESCAPED: usize = "\\u0000".len();
    let of = |character: char| match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        // Whatever may steer a terminal is spelled out; nothing else has these places.
        '\u{61c}' | '\u{2000}'..='\u{206f}' => ESCAPED,
        control if control.is_control() => ESCAPED,
        other => other.len_utf8(),
    };
    text.chars().map(of).sum()
}

fn headers_size(headers: &[(String, String)]) -> usize {
    headers.iter().map(|(name, value)| reported_length(name) + reported_length(value)).sum()
}

impl Body {
    /// Keeps bytes within the limits of evidence.
    pub fn keep(bytes: &[u8]) -> Body {
        let mut reader = BodyReader::default();
        reader.read(bytes);
        reader.keep()
    }

    /// Bytes that it takes in a report.
    pub fn size(&self) -> usize {
        let (Body::Text(text) | Body::Base64(text) | Body::Cut { first: text, .. }) = self;
        reported_length(text)
    }

    /// As a body that is too long to be kept whole.
    #[must_use]
    pub fn shortened(self) -> Body {
        match self {
            Body::Text(text) => cut(text.as_bytes()),
            Body::Base64(text) => match STANDARD.decode(&text) {
                Ok(bytes) => cut(&bytes),
                Err(_) => cut(text.as_bytes()),
            },
            already @ Body::Cut { .. } => already,
        }
    }

    /// The text of a body that is whole and valid UTF-8.
    pub fn text(&self) -> Option<&str> {
        match self {
            Body::Text(text) => Some(text),
            Body::Base64(_) | Body::Cut { .. } => None,
        }
    }

    /// The JSON value of the body, if it is one.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_str(self.text()?).ok()
    }
}

impl Response {
    /// An answer with a JSON body, for sabotages and tests.
    pub fn json_of(status: u16, body: &Value) -> Response {
        Response {
            status,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: Body::Text(body.to_string()),
        }
    }

    /// The body as JSON, if it is JSON.
    pub fn json(&self) -> Option<Value> {
        self.body.json()
    }

    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Bytes that it takes in a report.
    pub fn size(&self) -> usize {
        self.body.size() + headers_size(&self.headers)
    }

    /// True for 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// True for 500 to 599.
    pub fn is_server_error(&self) -> bool {
        (500..600).contains(&self.status)
    }
}

impl Exchange {
    /// The status, if an answer came.
    pub fn status(&self) -> Option<u16> {
        self.response.as_ref().map(|response| response.status)
    }

    /// The answer's JSON body, if there is one.
    pub fn json(&self) -> Option<Value> {
        self.response.as_ref().and_then(Response::json)
    }

    /// True if an answer with this status came.
    pub fn is(&self, status: u16) -> bool {
        self.status() == Some(status)
    }
}

impl Delivery {
    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON, if it is JSON.
    pub fn json(&self) -> Option<Value> {
        self.body.json()
    }

    /// Bytes that it takes in a report.
    pub fn size(&self) -> usize {
        self.body.size() + headers_size(&self.headers)
    }

    fn clean(&mut self, filter: &SecretFilter) -> bool {
        filter.clean(&mut self.method) | clean_headers(&mut self.headers, filter) | self.body.clean(filter)
    }
}

fn clean_headers(headers: &mut [(String, String)], filter: &SecretFilter) -> bool {
    headers.iter_mut().fold(false, |found, (name, value)| filter.clean(name) | filter.clean(value) | found)
}

impl Evidence {
    /// The exchanges of a step with their positions, in order.
    pub fn step<'a>(&'a self, label: &'a str) -> impl Iterator<Item = (usize, &'a Exchange)> + 'a {
        self.exchanges.iter().enumerate().filter(move |(_, exchange)| exchange.label == label)
    }

    /// The fixture call of a step, the last one if it was made several times.
    pub fn fixture(&self, label: &str) -> Option<&FixtureCall> {
        self.fixtures.iter().rev().find(|call| call.label == label)
    }

    /// Least and greatest time (ms of the target's clock) that can lie between the decisions on two exchanges.
    ///
    /// A manual clock may stand still or run on between two moves, so the real time between them counts for the upper bound only.
    pub fn elapsed_ms(&self, earlier: &Exchange, later: &Exchange) -> (u64, u64) {
        const NS_PER_MS: u64 = 1_000_000;
        let least = later.start_ns.saturating_sub(earlier.end_ns) / NS_PER_MS;
        let greatest = later.end_ns.saturating_sub(earlier.start_ns).div_ceil(NS_PER_MS);
        let advanced = later.advanced_ms.saturating_sub(earlier.advanced_ms);
        match self.clock {
            ClockKind::System => (least, greatest),
            ClockKind::Manual => (advanced, advanced + greatest),
        }
    }

    /// Replaces every secret by its name; true if there was one. Judges read nothing else.
    pub fn clean(&mut self, filter: &SecretFilter) -> bool {
        let mut found = false;
        for exchange in &mut self.exchanges {
            found |= exchange.clean(filter);
        }
        for call in &mut self.fixtures {
            found |= filter.clean_value(&mut call.params);
            found |= call.result.as_mut().is_some_and(|result| filter.clean_value(result));
            found |= call.refused.as_mut().is_some_and(|reason| filter.clean(reason));
        }
        for delivery in &mut self.deliveries {
            found |= delivery.clean(filter);
        }
        for case in &mut self.cases {
            found |= filter.clean_value(&mut case.case);
        }
        found
    }

    /// Changes every exchange of a step; for sabotages.
    ///
    /// # Panics
    /// If the step does not exist: a sabotage that changes nothing would prove nothing.
    pub fn edit(&mut self, label: &str, mut change: impl FnMut(&mut Exchange)) {
        let mut found = false;
        for exchange in self.exchanges.iter_mut().filter(|exchange| exchange.label == label) {
            found = true;
            change(exchange);
        }
        assert!(found, "a sabotage names the step `{label}`, which the evidence lacks");
    }

    /// Replaces the answer to every exchange of a step; for sabotages.
    pub fn answer(&mut self, label: &str, status: u16, body: &Value) {
        self.edit(label, |exchange| exchange.response = Some(Response::json_of(status, body)));
    }

    /// Changes the JSON body of every answer of a step, keeping its status and headers; for sabotages.
    pub fn edit_json(&mut self, label: &str, mut change: impl FnMut(&mut Value)) {
        self.edit(label, |exchange| {
            let response = exchange.response.as_mut().expect("a sabotage edits a body that was received");
            let mut body = response.json().expect("a sabotage edits a JSON body");
            change(&mut body);
            response.body = Body::Text(body.to_string());
        });
    }

    /// Changes every delivery of a step; for sabotages.
    ///
    /// # Panics
    /// If nothing was delivered: a sabotage that changes nothing would prove nothing.
    pub fn edit_deliveries(&mut self, label: &str, mut change: impl FnMut(&mut Delivery)) {
        let mut found = false;
        for delivery in self.deliveries.iter_mut().filter(|delivery| delivery.label == label) {
            found = true;
            change(delivery);
        }
        assert!(found, "a sabotage names the deliveries `{label}`, which the evidence lacks");
    }

    /// Changes the result of a fixture call; for sabotages.
    pub fn edit_fixture(&mut self, label: &str, change: impl FnOnce(&mut Value)) {
        let call = self.fixtures.iter_mut().rev().find(|call| call.label == label);
        let call =
            call.unwrap_or_else(|| panic!("a sabotage names the fixture call `{label}`, which the evidence lacks"));
        change(call.result.as_mut().expect("a sabotage edits a result that was received"));
    }
}

impl Exchange {
    fn clean(&mut self, filter: &SecretFilter) -> bool {
        let mut found = filter.clean(&mut self.curl) | filter.clean(&mut self.request.url);
        found |= clean_headers(&mut self.request.headers, filter);
        found |= self.request.body.as_mut().is_some_and(|body| body.clean(filter));
        if let Some(response) = &mut self.response {
            found |= clean_headers(&mut response.headers, filter) | response.body.clean(filter);
        }
        found | self.error.as_mut().is_some_and(|error| filter.clean(error))
    }
}

impl Body {
    fn clean(&mut self, filter: &SecretFilter) -> bool {
        let (text, cleaned) = match self {
            Body::Text(text) => return filter.clean(text),
            // What a secret looks like in base64 depends on how it is spelled within, so the bytes themselves are searched.
            Body::Base64(text) => match STANDARD.decode(text.as_bytes()) {
                Ok(bytes) => {
                    let cleaned = STANDARD.encode(filter.bytes(&bytes));
                    (text, cleaned)
                }
                Err(_) => return filter.clean(text),
            },
            Body::Cut { first, .. } => {
                let cleaned = filter.beginning(first);
                (first, cleaned)
            }
        };
        let found = *text != cleaned;
        *text = cleaned;
        found
    }
}
