//! From what a check saw to what a snapshot says: the request, and of the answer status, headers that matter, and body. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::placeholders::{self, Placeholders};
use super::table::{SHOTS, Shot};
use crate::catalogue;
use crate::checks::craftkit::SIGNATURE;
use crate::evidence::{Body, Evidence, Exchange, Response, Signed};
use crate::report::{Report, json_text, terminal};
use crate::verdict::Status;

/// Headers of an answer that a client acts on. Others, such as `date`, say nothing about the API.
const ANSWER_HEADERS: [&str; 6] =
    ["allow", "cache-control", "content-type", "location", "retry-after", "www-authenticate"];
/// Headers of a request that belong to the API. Others come from the target file.
const REQUEST_HEADERS: [&str; 3] = ["authorization", "content-type", SIGNATURE];
/// Where a path of the APIs begins in a URL.
const PATHS: [&str; 3] = [crate::checks::rndrkit::PATH, "/v1/hooks/", "/v1/renders/"];

/// An answer as a snapshot shows it; the same in every run of the same implementation.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// The rule that demands it.
    pub rule: &'static str,
    /// Its file, from the folder of the set.
    pub file: String,
    /// The rule and where its demand stands.
    pub description: String,
    /// What was sent.
    pub request: RequestShown,
    /// Status, headers and body as JSON, indented.
    pub contents: String,
}

/// A request, as a snapshot shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RequestShown {
    /// Method.
    pub method: String,
    /// Path and query behind the base URL.
    pub path: String,
    /// Headers of the API, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Body, if one was sent; of a long one length and digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// What a signature was made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
}

/// An answer, as a snapshot shows it.
#[derive(Serialize, Deserialize)]
pub(super) struct ResponseShown {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Value,
}

impl ResponseShown {
    /// From what a snapshot holds, if that is an answer at all.
    pub(super) fn read(contents: &str) -> Option<ResponseShown> {
        serde_json::from_str(contents).ok()
    }

    /// As a snapshot holds it.
    pub(super) fn write(&self) -> String {
        json_text(self).trim_end().to_owned()
    }
}

/// Takes every answer under review whose rule is in the scope of a run; where there is none, says why.
pub fn of_report(report: &Report) -> Vec<(&'static Shot, Result<Taken, String>)> {
    let in_scope = SHOTS.iter().filter_map(|shot| {
        let rule = report.rules.iter().find(|rule| rule.id == shot.rule)?;
        match rule.status {
            Status::Excluded => None,
            // What came may be of something in front, or of a moment that says nothing.
            Status::NotRun | Status::Inconclusive => Some((shot, Err(rule.reason.clone()))),
            _ => Some((shot, of_checks(shot, report))),
        }
    });
    in_scope.collect()
}

fn of_checks(shot: &Shot, report: &Report) -> Result<Taken, String> {
    let check = report.checks.iter().find(|check| check.id == shot.check);
    let check = check.ok_or_else(|| format!("the check {} did not run", shot.check))?;
    match &check.stopped {
        Some(stopped) => Err(stopped.reason.clone()),
        None => take(shot, &check.evidence),
    }
}

/// Takes an answer from the cleaned evidence of its check.
///
/// # Errors
/// Says in words why there is no answer.
pub fn take(shot: &Shot, evidence: &Evidence) -> Result<Taken, String> {
    let exchange = evidence.step(shot.step).nth(shot.after).map(|(_, exchange)| exchange);
    let exchange = exchange.ok_or_else(|| format!("the step `{}` of {} was not sent", shot.step, shot.check))?;
    let no_answer = || exchange.error.clone().unwrap_or_else(|| "no answer came".to_owned());
    let response = exchange.response.as_ref().ok_or_else(no_answer)?;
    let rule = catalogue::find(shot.rule).ok_or_else(|| format!("the catalogue has no rule {}", shot.rule))?;

    let mut placeholders = Placeholders::of_fixtures(evidence);
    let (base_url, path) = base_and_path(&exchange.request.url);
    placeholders.know(base_url, "<base url>");
    let request = request_shown(exchange, path, &mut placeholders);
    Ok(Taken {
        rule: shot.rule,
        file: shot.file(),
        description: format!("{} ({}): {}", rule.id, rule.level.name(), rule.source.text),
        request,
        contents: contents(response, &mut placeholders),
    })
}

/// Where the base URL of a target ends: before the last path of an API.
fn base_and_path(url: &str) -> (&str, &str) {
    let begins = PATHS.iter().filter_map(|path| url.rfind(path)).max();
    url.split_at(begins.unwrap_or(url.len()))
}

fn request_shown(exchange: &Exchange, path: &str, placeholders: &mut Placeholders) -> RequestShown {
    let request = &exchange.request;
    let kept = request.headers.iter().filter_map(|(name, value)| {
        let name = name.to_ascii_lowercase();
        let value = match name.as_str() {
            SIGNATURE => placeholders::signature(value),
            "authorization" => never_issued_credential(value),
            _ => value.clone(),
        };
        REQUEST_HEADERS.contains(&name.as_str()).then(|| (name, terminal::printable(&value)))
    });
    let headers = kept.collect();
    let body = request.body.as_ref().map(|body| match body {
        Body::Text(text) => placeholders::without_fresh_digits(&placeholders.text(text)),
        other => outline(other),
    });
    RequestShown {
        method: request.method.clone(),
        path: terminal::printable(&never_issued_token(&placeholders.text(path))),
        headers,
        body,
        signed: request.signed.clone(),
    }
}

/// Values that fixtures made are in angle brackets by now; any other was made up by the check.
fn never_issued_credential(header: &str) -> String {
    const PREFIXES: [&str; 2] = ["rk_wh_", "rk_live_"];
    let Some((scheme, value)) = header.split_once(' ').filter(|(_, value)| !value.is_empty() && !value.contains('<'))
    else {
        return header.to_owned();
    };
    let prefix = PREFIXES.into_iter().find(|prefix| value.starts_with(prefix)).unwrap_or_default();
    format!("{scheme} {prefix}<never issued>")
}

fn never_issued_token(path: &str) -> String {
    match path.strip_prefix("/v1/hooks/") {
        Some(token) if !token.contains('<') => "/v1/hooks/<never issued>".to_owned(),
        _ => path.to_owned(),
    }
}

fn contents(response: &Response, placeholders: &mut Placeholders) -> String {
    let body = match (&response.body, response.json()) {
        (_, Some(body)) => {
            describe_id(&body, placeholders);
            placeholders.value(&body)
        }
        // A body that is no JSON is shown as the text it is.
        (Body::Text(text), None) => Value::String(placeholders.text(text)),
        (other, None) => Value::String(outline(other)),
    };
    let kept = ANSWER_HEADERS.iter().filter_map(|name| {
        let value = response.header(name)?;
        let value = if *name == "retry-after" { placeholders::delay(value) } else { placeholders.text(value) };
        Some(((*name).to_owned(), value))
    });
    let headers = kept.collect();
    ResponseShown { status: response.status, headers, body }.write()
}

/// An `id` that is no UUID is volatile all the same. Its form is all that is shown, also where it is repeated.
fn describe_id(body: &Value, placeholders: &mut Placeholders) {
    if let Some(id) = body.get("id").and_then(Value::as_str)
        && uuid::Uuid::try_parse(id).is_err()
    {
        placeholders.know(id, &format!("<text of {} characters>", id.chars().count()));
    }
}

fn outline(body: &Body) -> String {
    match body {
        Body::Text(text) => text.clone(),
        Body::Base64(text) => format!("base64:{text}"),
        Body::Cut { length, sha256, .. } => format!("<{length} bytes, SHA-256 {sha256}>"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::evidence::{FixtureCall, SentRequest};
    use crate::snapshots::table;

    fn evidence(step: &str, answer: Response) -> Evidence {
        let request = SentRequest {
            method: "POST".to_owned(),
            url: "http://127.0.0.1:9/inner/v1/hooks/<inbound-token:t1>".to_owned(),
            headers: vec![
                ("X-Preview".to_owned(), "one".to_owned()),
                ("Content-Type".to_owned(), "application/json".to_owned()),
            ],
            body: Some(Body::Text(r#"{"name":"Acme Corp 0123456789ab"}"#.to_owned())),
            signed: None,
        };
        let call = FixtureCall {
            label: "template.create".to_owned(),
            method: "template.create".to_owned(),
            params: json!({}),
            result: Some(json!({"slug": "template-1"})),
            refused: None,
            start_ns: 0,
            end_ns: 0,
            advanced_ms: 0,
        };
        let exchange = Exchange {
            label: step.to_owned(),
            request,
            response: Some(answer),
            error: None,
            start_ns: 0,
            end_ns: 1,
            advanced_ms: 0,
            curl: String::new(),
        };
        Evidence { exchanges: vec![exchange], fixtures: vec![call], ..Evidence::default() }
    }

    fn accepted(id: &str, poll: &str) -> Taken {
        let shot = table::of_rule("craftkit.hook.accepted").expect("the hook's success is under review");
        let url = format!("http://127.0.0.1:9/inner/v1/renders/{poll}");
        let answer = Response::json_of(202, &json!({"id": id, "status": "queued", "pollUrl": url}));
        take(shot, &evidence(shot.step, answer)).unwrap_or_else(|why| panic!("{why}"))
    }

    const ONE: &str = "0193e0a0-0000-7000-8000-000000000001";
    const OTHER: &str = "0193e0a0-0000-7000-8000-000000000002";

    #[test]
    fn two_answers_of_one_implementation_look_the_same() {
        assert_eq!(accepted(ONE, ONE), accepted(OTHER, OTHER));
        let contents = accepted(ONE, ONE).contents;
        assert!(contents.contains("<base url>/v1/renders/<uuid v7 1>"), "{contents}");
    }

    #[test]
    fn an_id_of_another_form_or_of_another_render_is_a_difference() {
        let usual = accepted(ONE, ONE);
        let version_4 = "0193e0a0-0000-4000-8000-000000000001";
        for (id, poll) in [(version_4, version_4), (ONE, OTHER), ("render-17", "render-17")] {
            assert_ne!(accepted(id, poll).contents, usual.contents, "{id} {poll}");
        }
        assert!(accepted("render-17", "render-17").contents.contains("/v1/renders/<text of 9 characters>"));
    }

    #[test]
    fn a_request_shows_what_belongs_to_the_api() {
        let request = accepted(ONE, ONE).request;
        assert_eq!(request.path, "/v1/hooks/<inbound-token:t1>");
        assert_eq!(request.body.as_deref(), Some(r#"{"name":"Acme Corp <fresh>"}"#));
        assert_eq!(request.headers.keys().collect::<Vec<&String>>(), ["content-type"]);
    }

    #[test]
    fn values_that_a_check_made_up_are_named_as_such() {
        assert_eq!(never_issued_credential("Bearer rk_wh_abc"), "Bearer rk_wh_<never issued>");
        assert_eq!(never_issued_credential("Bearer <token:d1.1>"), "Bearer <token:d1.1>");
        assert_eq!(never_issued_credential("Bearer "), "Bearer ");
        assert_eq!(never_issued_token("/v1/hooks/abc"), "/v1/hooks/<never issued>");
        assert_eq!(never_issued_token("/v1/hooks/<slug:t1>"), "/v1/hooks/<slug:t1>");
    }

    #[test]
    fn nothing_that_steers_a_terminal_is_in_a_snapshot() {
        let shot = table::of_rule("craftkit.json.malformed").expect("it is under review");
        let answer =
            Response { status: 400, headers: Vec::new(), body: Body::Text("\u{1b}[2J\u{202e}\u{9b}".to_owned()) };
        let taken = take(shot, &evidence(shot.step, answer)).unwrap_or_else(|why| panic!("{why}"));
        assert!(taken.contents.contains(r"\u001b[2J\u202e\u009b"), "{}", taken.contents);
    }

    #[test]
    fn a_step_without_an_answer_says_why() {
        let shot = table::of_rule("craftkit.hook.accepted").expect("the hook's success is under review");
        let mut gathered = evidence(shot.step, Response::json_of(202, &json!({})));
        gathered.exchanges[0].response = None;
        gathered.exchanges[0].error = Some("timed out".to_owned());
        assert_eq!(take(shot, &gathered), Err("timed out".to_owned()));
    }
}
