//! How judges speak: a rule, its positive control, what is acceptable, what came. Pure.

use serde_json::Value;

use crate::api::Api;
use crate::catalogue::{self, Level};
use crate::evidence::{Body, Evidence, Exchange, Response};
use crate::verdict::{Finding, Status};

/// Error texts of RndrKit that the documentation lists; another text in a 429 or 503 comes from something in front.
pub const RNDRKIT_ERRORS: [&str; 8] = [
    crate::checks::rndrkit::text::BODY,
    crate::checks::rndrkit::text::PATHS,
    crate::checks::rndrkit::text::HEADER,
    crate::checks::rndrkit::text::TOKEN,
    crate::checks::rndrkit::text::INACTIVE,
    crate::checks::rndrkit::text::PLAN,
    crate::checks::rndrkit::text::QUOTA,
    crate::checks::rndrkit::text::RATE,
];

/// Error codes of CraftKit's hook that the documentation lists.
pub const CRAFTKIT_CODES: [&str; 6] = [
    "invalid_json",
    "invalid_input_data",
    "invalid_signature",
    "invalid_token",
    "no_published_version",
    "queue_unavailable",
];

/// How much of a body a finding shows, in characters.
const BODY_SHOWN_MAX: usize = 240;

/// Recognises an answer.
type Recognizer = Box<dyn Fn(&Response) -> bool>;

/// One acceptable outcome: how it reads, and how it is recognised.
pub struct Acceptable {
    text: String,
    fits: Recognizer,
    /// Answers that do not fit because of something that another rule judges.
    left: Vec<(&'static str, Recognizer)>,
}

impl Acceptable {
    /// Leaves answers of this kind to another rule: the finding is then inconclusive, so that one defect turns one rule red.
    pub fn leaving(mut self, rule: &'static str, kind: impl Fn(&Response) -> bool + 'static) -> Acceptable {
        self.left.push((rule, Box::new(kind)));
        self
    }

    fn left_to(&self, response: &Response) -> Option<&'static str> {
        self.left.iter().find(|(_, kind)| kind(response)).map(|(rule, _)| *rule)
    }
}

/// An outcome described in words. Keep the words complete: they are all a reader of the report sees.
pub fn outcome(text: impl Into<String>, fits: impl Fn(&Response) -> bool + 'static) -> Acceptable {
    Acceptable { text: text.into(), fits: Box::new(fits), left: Vec::new() }
}

/// An answer with this status.
pub fn status(status: u16) -> Acceptable {
    outcome(status.to_string(), move |response| response.status == status)
}

/// Any answer that is neither a success nor a server error.
pub fn refused() -> Acceptable {
    outcome("a refusal: 400 to 499", |response| (400..500).contains(&response.status))
}

/// Any answer but a success. A server error is not accepted.
pub fn not_accepted() -> Acceptable {
    outcome("an answer that is neither 2xx nor 5xx", |response| !response.is_success() && !response.is_server_error())
}

/// Any answer but a success; a server error is none, either.
pub fn not_success() -> Acceptable {
    outcome("any answer but 2xx", |response| !response.is_success())
}

/// Any answer but 500 to 599.
pub fn no_server_error() -> Acceptable {
    outcome("any answer but 5xx", |response| !response.is_server_error())
}

/// A RndrKit error: status and exact text under `error`. Other keys are the concern of `rndrkit.errors.closed`, a body with no
/// string under `error` that of `rndrkit.errors.shape`, and one that is not JSON that of `rndrkit.http.json`.
pub fn rndrkit_error(status: u16, error: &str) -> Acceptable {
    let error = error.to_owned();
    outcome(format!("{status} {}", serde_json::json!({ "error": error })), move |response| {
        response.status == status
            && response.json().is_some_and(|body| body.get("error") == Some(&Value::from(&*error)))
    })
    .leaving("rndrkit.http.json", move |response| response.status == status && response.json().is_none())
    .leaving("rndrkit.errors.shape", move |response| {
        let error = response.json().and_then(|body| body.get("error").cloned());
        response.status == status && !error.is_some_and(|error| error.is_string())
    })
}

/// A CraftKit error: status and `code`, at the top level or inside `error`. A JSON body with no code at all is the concern of
/// `craftkit.errors.code`, and one that is not JSON that of `craftkit.http.json`.
pub fn craftkit_error(status: u16, code: &str) -> Acceptable {
    let code = code.to_owned();
    outcome(format!("{status} with code `{code}`"), move |response| {
        response.status == status
            && response.json().is_some_and(|body| craftkit_codes(&body).any(|found| found == code))
    })
    .leaving("craftkit.http.json", move |response| response.status == status && response.json().is_none())
    .leaving("craftkit.errors.code", move |response| {
        response.status == status && response.json().is_some_and(|body| craftkit_code(&body).is_none())
    })
}

/// The `code` of a CraftKit error body, at the top level or inside `error`; if both have one, the documented one.
pub fn craftkit_code(body: &Value) -> Option<&str> {
    craftkit_codes(body).find(|code| CRAFTKIT_CODES.contains(code)).or_else(|| craftkit_codes(body).next())
}

/// Texts named `code` in both places. A number at the top level, say, is an extra key and hides nothing.
fn craftkit_codes(body: &Value) -> impl Iterator<Item = &str> {
    [body.pointer("/error/code"), body.get("code")].into_iter().flatten().filter_map(Value::as_str)
}

/// The `issues` of a CraftKit error body, at the top level or inside `error`; if both have some, the ones of the documented form.
pub fn craftkit_issues(body: &Value) -> Option<&Value> {
    let found = || [body.get("issues"), body.pointer("/error/issues")].into_iter().flatten();
    let documented = found().find(|issues| issues.get("fieldErrors").is_some_and(Value::is_object));
    documented.or_else(|| found().find(|issues| issues.is_object())).or_else(|| found().next())
}

/// Reads evidence and collects findings.
pub struct Judge<'a> {
    evidence: &'a Evidence,
    findings: Vec<Finding>,
}

/// An exchange and its place in the evidence.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// Position in the evidence.
    pub at: usize,
    /// The exchange.
    pub exchange: &'a Exchange,
}

/// A finding about one rule in the making.
#[must_use]
pub struct RuleJudge<'j, 'a> {
    judge: &'j mut Judge<'a>,
    rule: &'static str,
    should_part: bool,
    provoked: bool,
    /// Why nothing can follow, if a control was not accepted.
    blocked: Option<String>,
}

impl<'a> Judge<'a> {
    /// A judge of this evidence.
    pub fn new(evidence: &'a Evidence) -> Judge<'a> {
        Judge { evidence, findings: Vec::new() }
    }

    /// The findings.
    pub fn findings(self) -> Vec<Finding> {
        self.findings
    }

    /// The evidence.
    pub fn evidence(&self) -> &'a Evidence {
        self.evidence
    }

    /// The exchange of a step that has one.
    pub fn one(&self, label: &str) -> Option<Seen<'a>> {
        let mut exchanges = self.evidence.exchanges.iter().enumerate();
        exchanges.find(|(_, exchange)| exchange.label == label).map(|(at, exchange)| Seen { at, exchange })
    }

    /// All exchanges of a step, in order of sending.
    pub fn all(&self, label: &str) -> Vec<Seen<'a>> {
        let exchanges = self.evidence.exchanges.iter().enumerate();
        exchanges.filter(|(_, exchange)| exchange.label == label).map(|(at, exchange)| Seen { at, exchange }).collect()
    }

    /// Begins a finding about a rule.
    pub fn rule<'j>(&'j mut self, rule: &'static str) -> RuleJudge<'j, 'a> {
        RuleJudge { judge: self, rule, should_part: false, provoked: false, blocked: None }
    }
}

impl<'a> RuleJudge<'_, 'a> {
    /// The finding is about the part of a must rule that is only a should: broken, it warns.
    pub fn should_part(mut self) -> Self {
        self.should_part = true;
        self
    }

    /// A 429 or 503 was provoked by the check, so its body is judged like any other.
    pub fn provoked(mut self) -> Self {
        self.provoked = true;
        self
    }

    /// Every exchange of this step must have been accepted; otherwise nothing follows from a refusal elsewhere.
    pub fn control(self, label: &str) -> Self {
        let accepted = api_of(self.rule).accepted_status();
        self.control_fits(label, &status(accepted))
    }

    /// As [`RuleJudge::control`], with an outcome of its own.
    pub fn control_fits(mut self, label: &str, acceptable: &Acceptable) -> Self {
        let controls = self.judge.all(label);
        if controls.is_empty() {
            self.blocked.get_or_insert(format!("the control `{label}` was not sent"));
        }
        for seen in controls {
            let fits = seen.exchange.response.as_ref().is_some_and(|response| (acceptable.fits)(response));
            if !fits {
                let found = actual(seen.exchange);
                let why = format!("the control `{label}` was not answered with {} but with: {found}", acceptable.text);
                self.blocked.get_or_insert(why);
            }
        }
        self
    }

    /// A condition without which nothing follows.
    pub fn provided(mut self, holds: bool, otherwise: impl Into<String>) -> Self {
        if !holds {
            self.blocked.get_or_insert(otherwise.into());
        }
        self
    }

    /// Every exchange of a step must fit one of the acceptable outcomes; one finding for each.
    pub fn expects(self, label: &str, acceptable: &[Acceptable]) {
        let seen = self.judge.all(label);
        if seen.is_empty() {
            let why = format!("the step `{label}` was not sent");
            return self.inconclusive(why);
        }
        let RuleJudge { judge, rule, should_part, provoked, blocked } = self;
        for seen in seen {
            let next = RuleJudge { judge: &mut *judge, rule, should_part, provoked, blocked: blocked.clone() };
            next.expects_of(seen, acceptable);
        }
    }

    /// One exchange must fit one of the acceptable outcomes.
    pub fn expects_of(self, seen: Seen<'a>, acceptable: &[Acceptable]) {
        let expected: Vec<String> = acceptable.iter().map(|outcome| outcome.text.clone()).collect();
        let found = actual(seen.exchange);
        let Some(response) = &seen.exchange.response else {
            return self.push(Status::Inconclusive, expected, found, Some(seen.at));
        };
        if !self.provoked && stands_in_front(api_of(self.rule), response) {
            let why = format!("something in front of the API answered: {found}");
            return self.push(Status::Inconclusive, expected, why, Some(seen.at));
        }
        if !self.provoked && limited_unasked(self.rule, response) {
            let why = format!("the hourly limit answered, although the check had not used it up: {found}");
            return self.push(Status::Inconclusive, expected, why, Some(seen.at));
        }
        let holds = acceptable.iter().any(|outcome| (outcome.fits)(response));
        let left_to = acceptable.iter().find_map(|outcome| outcome.left_to(response)).filter(|_| !holds);
        if let Some(other) = left_to {
            let why = format!("this is for {other} to judge: {found}");
            return self.push(Status::Inconclusive, expected, why, Some(seen.at));
        }
        let at = Some(seen.at);
        if holds { self.holds(expected, found, at) } else { self.broken(expected, found, at) }
    }

    /// The rule holds if `holds`, otherwise it is broken; for what no single answer shows.
    pub fn that(self, holds: bool, expected: impl Into<String>, actual: impl Into<String>, at: Option<usize>) {
        let expected = vec![expected.into()];
        if holds { self.holds(expected, actual.into(), at) } else { self.broken(expected, actual.into(), at) }
    }

    /// What was seen fits both a conforming and a broken implementation.
    pub fn inconclusive(self, why: impl Into<String>) {
        self.push(Status::Inconclusive, Vec::new(), why.into(), None);
    }

    /// The rule's condition does not hold for this target.
    pub fn not_applicable(self, why: impl Into<String>) {
        self.push(Status::NotApplicable, Vec::new(), why.into(), None);
    }

    fn holds(self, expected: Vec<String>, actual: String, at: Option<usize>) {
        match self.blocked.clone() {
            Some(why) => self.push(Status::Inconclusive, expected, why, at),
            None => self.push(Status::Pass, expected, actual, at),
        }
    }

    fn broken(self, expected: Vec<String>, actual: String, at: Option<usize>) {
        let level = catalogue::find(self.rule).map(|rule| rule.level);
        let status = match (level, self.should_part) {
            (Some(Level::Must), false) => Status::Fail,
            (Some(Level::Should), _) | (Some(Level::Must), true) | (None, _) => Status::Warn,
        };
        match self.blocked.clone() {
            Some(why) => self.push(Status::Inconclusive, expected, format!("{actual}; but {why}"), at),
            None => self.push(status, expected, actual, at),
        }
    }

    fn push(self, status: Status, expected: Vec<String>, actual: String, exchange: Option<usize>) {
        self.judge.findings.push(Finding { rule: self.rule.to_owned(), status, expected, actual, exchange });
    }
}

fn api_of(rule: &str) -> Api {
    Api::ALL
        .into_iter()
        .find(|api| rule.split('.').next() == Some(api.name()))
        .expect("every rule id begins with the name of its API")
}

/// True for a 429 that only the rules about the hourly limit judge: the check has not spent the domain's ten requests.
fn limited_unasked(rule: &str, response: &Response) -> bool {
    const TOO_MANY_REQUESTS: u16 = 429;
    response.status == TOO_MANY_REQUESTS && rule.starts_with("rndrkit.") && !rule.starts_with("rndrkit.rate.")
}

/// True for a 429 or 503 whose body is not a documented one: a proxy, a firewall, a platform.
fn stands_in_front(api: Api, response: &Response) -> bool {
    if !matches!(response.status, 429 | 503) {
        return false;
    }
    let Some(body) = response.json() else { return true };
    let documented = match api {
        Api::Rndrkit => body.get("error").and_then(Value::as_str).is_some_and(|error| RNDRKIT_ERRORS.contains(&error)),
        Api::Craftkit => craftkit_code(&body).is_some_and(|code| CRAFTKIT_CODES.contains(&code)),
    };
    !documented
}

/// An answer in one line: status and the beginning of the body, control characters made visible.
pub fn actual(exchange: &Exchange) -> String {
    match (&exchange.response, &exchange.error) {
        (Some(response), _) => {
            let body = match &response.body {
                Body::Text(text) => visible(text),
                Body::Base64(text) => format!("(base64) {}", visible(text)),
                Body::Cut { length, first, .. } => format!("({length} bytes) {}…", visible(first)),
            };
            format!("{} {body}", response.status).trim_end().to_owned()
        }
        (None, Some(error)) => format!("no answer: {error}"),
        (None, None) => "no answer".to_owned(),
    }
}

fn visible(text: &str) -> String {
    let mut characters = text.chars();
    let mut shown = String::new();
    for character in characters.by_ref().take(BODY_SHOWN_MAX) {
        if character.is_control() { shown.extend(character.escape_default()) } else { shown.push(character) }
    }
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn issues_are_found_in_either_place_whatever_stands_in_the_other() {
        let issues = json!({"fieldErrors": {}});
        let check = |body: Value, expected: Option<&Value>| assert_eq!(craftkit_issues(&body), expected, "{body}");
        check(json!({"issues": issues}), Some(&issues));
        check(json!({"error": {"issues": issues}}), Some(&issues));
        check(json!({"error": {"issues": issues}, "issues": null}), Some(&issues));
        check(json!({"error": {"issues": issues}, "issues": []}), Some(&issues));
        check(json!({"issues": issues, "error": {"issues": "none"}}), Some(&issues));
        check(json!({"issues": {}, "error": {"issues": issues}}), Some(&issues));
        check(json!({"issues": []}), Some(&json!([])));
        check(json!({"error": {}}), None);
    }
}
