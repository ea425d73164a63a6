//! The wire of the Webhook Refresh API: bodies read, answers and refusals written.

use hyper::StatusCode;
use serde::Serialize;
use serde_json::Value;

use crate::http::Answer;

/// Most paths one request queues ("Selective URL Refresh").
pub const MAX_PATHS: usize = 20;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// The whole domain.
    Full,
    /// These paths: valid, and at most twenty.
    Paths(Vec<String>),
}

/// A refusal of the documented table ("Error Responses").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No bearer token was sent.
    NoBearer,
    /// The token was never issued, or was revoked.
    UnknownToken,
    /// The domain is deactivated.
    DomainInactive,
    /// The plan is not Agency+.
    PlanTooSmall,
    /// The hourly limit is used up.
    RateLimited,
    /// Neither `urls` nor `all`, or no readable body.
    NothingAsked,
    /// `urls` holds no valid path.
    NoValidPath,
    /// The monthly limit is used up.
    QuotaReached,
}

/// Gives a refusal its status and its exact body (rule `rndrkit.errors.shape`).
pub fn refuse(refusal: &Refusal) -> Answer {
    let (status, body) = match refusal {
        Refusal::NoBearer => (StatusCode::UNAUTHORIZED, r#"{"error":"Missing or invalid Authorization header"}"#),
        Refusal::UnknownToken => (StatusCode::UNAUTHORIZED, r#"{"error":"Invalid token"}"#),
        Refusal::DomainInactive => (StatusCode::FORBIDDEN, r#"{"error":"Domain is not active"}"#),
        Refusal::PlanTooSmall => (StatusCode::FORBIDDEN, r#"{"error":"Webhook refresh requires Agency+ plan"}"#),
        Refusal::RateLimited => {
            (StatusCode::TOO_MANY_REQUESTS, r#"{"error":"Rate limit exceeded (10 requests/hour)"}"#)
        }
        Refusal::NothingAsked => (StatusCode::BAD_REQUEST, r#"{"error":"Provide \"urls\" array or \"all\": true"}"#),
        Refusal::NoValidPath => (StatusCode::BAD_REQUEST, r#"{"error":"No valid URL paths (must start with /)"}"#),
        Refusal::QuotaReached => (StatusCode::FORBIDDEN, r#"{"error":"Monthly render limit reached"}"#),
    };
    Answer::fixed(status, body)
}

/// An accepted refresh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// What was started.
    pub message: &'static str,
    /// The token's domain.
    pub domain: String,
    /// Paths queued; a full refresh does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pages_queued: Option<usize>,
}

impl Accepted {
    /// The answer to a list of paths.
    pub fn selective(domain: String, pages: usize) -> Accepted {
        Accepted { message: "Cache refresh queued", domain, pages_queued: Some(pages) }
    }

    /// The answer to `{"all": true}`.
    pub fn full(domain: String) -> Accepted {
        Accepted { message: "Full cache refresh started", domain, pages_queued: None }
    }

    /// The answer as it is sent.
    pub fn answer(&self) -> Answer {
        Answer::json(StatusCode::OK, self)
    }
}

/// Reads a body.
///
/// # Errors
/// [`Refusal::NothingAsked`] or [`Refusal::NoValidPath`].
pub fn read(content_type: Option<&[u8]>, body: &[u8]) -> Result<Asked, Refusal> {
    if !content_type.is_some_and(is_json) {
        return Err(Refusal::NothingAsked);
    }
    let value: Value = serde_json::from_slice(body).map_err(|_| Refusal::NothingAsked)?;
    let Value::Object(mut fields) = value else {
        return Err(Refusal::NothingAsked);
    };
    if fields.get("all") == Some(&Value::Bool(true)) {
        return Ok(Asked::Full);
    }
    let Some(Value::Array(urls)) = fields.remove("urls") else {
        return Err(Refusal::NothingAsked);
    };
    if urls.is_empty() {
        return Err(Refusal::NothingAsked);
    }
    let valid = urls.into_iter().filter_map(valid_path);
    let paths: Vec<String> = valid.take(MAX_PATHS).collect();
    if paths.is_empty() {
        return Err(Refusal::NoValidPath);
    }
    Ok(Asked::Paths(paths))
}

/// A path is valid when it is a string that starts with a slash; nothing else is asked of it, and
/// nothing is ever fetched, so `//other.example/` is as harmless as any.
fn valid_path(value: Value) -> Option<String> {
    match value {
        Value::String(path) if path.starts_with('/') => Some(path),
        _ => None,
    }
}

fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// An entry of a list: a path, plain or odd, or none at all; lists are about as long as the limit, or much longer.
    fn entries() -> impl Strategy<Value = Vec<Value>> {
        let entry = prop_oneof![
            4 => "/[a-z0-9/-]{0,12}".prop_map(Value::from),
            2 => "/\\PC{0,12}".prop_map(Value::from),
            2 => "\\PC{0,12}".prop_map(Value::from),
            1 => prop_oneof![
                Just(Value::Null), Just(json!(["/a"])), Just(json!({"/a": 1})), any::<bool>().prop_map(Value::from),
                any::<i64>().prop_map(Value::from)
            ],
        ];
        let length = prop_oneof![0..4_usize, MAX_PATHS - 2..MAX_PATHS + 4, 0..120_usize];
        length.prop_flat_map(move |length| prop::collection::vec(entry.clone(), length))
    }

    proptest! {
        /// Rules `rndrkit.paths.*`, `rndrkit.selective.over-twenty` and `rndrkit.body.urls-empty`, for lists nobody wrote down.
        #[test]
        fn of_every_list_the_first_twenty_paths_are_taken_as_they_are(list in entries(), indented: bool, extra: bool) {
            let mut body = json!({ "urls": list });
            if extra {
                body["unknown"] = json!({"all": true});
            }
            let text = if indented { serde_json::to_string_pretty(&body) } else { serde_json::to_string(&body) };
            let read = read(Some(b"application/json"), text.expect("keys are text").as_bytes());
            let mut wanted: Vec<String> = Vec::new();
            for entry in &list {
                match entry.as_str() {
                    Some(path) if path.as_bytes().first() == Some(&b'/') && wanted.len() < 20 => wanted.push(path.to_owned()),
                    _ => {}
                }
            }
            let expected = match (list.is_empty(), wanted.is_empty()) {
                (true, _) => Err(Refusal::NothingAsked),
                (false, true) => Err(Refusal::NoValidPath),
                (false, false) => Ok(Asked::Paths(wanted)),
            };
            prop_assert_eq!(read, expected);
        }
    }

    #[track_caller]
    fn check(body: &str, expected: Result<Asked, Refusal>) {
        assert_eq!(read(Some(b"application/json"), body.as_bytes()), expected, "{body}");
    }

    fn paths(paths: &[&str]) -> Result<Asked, Refusal> {
        Ok(Asked::Paths(paths.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn lists_are_filtered_then_cut() {
        check(r#"{"urls":["/","/blog/new-post","/pricing"]}"#, paths(&["/", "/blog/new-post", "/pricing"]));
        check(r#"{"urls":["about","/a"," /b",1,null,"/a"]}"#, paths(&["/a", "/a"]));
        let mut many = vec!["x".to_owned()];
        many.extend((0..25).map(|n| format!("/p{n}")));
        let expected = many[1..=MAX_PATHS].to_vec();
        check(&serde_json::json!({ "urls": many }).to_string(), Ok(Asked::Paths(expected)));
    }

    #[test]
    fn only_a_literal_true_asks_for_all() {
        check(r#"{"all":true}"#, Ok(Asked::Full));
        check(r#"{"all":true,"urls":["/a"]}"#, Ok(Asked::Full));
        check(r#"{"all":false,"urls":["/a"]}"#, paths(&["/a"]));
        for other in [r#"{"all":false}"#, r#"{"all":"true"}"#, r#"{"all":1}"#, r#"{"all":{}}"#] {
            check(other, Err(Refusal::NothingAsked));
        }
    }

    #[test]
    fn bodies_that_ask_for_nothing_are_told_so() {
        let deep = format!(r#"{{"urls":{}"#, "[".repeat(5000));
        let bodies = [
            "",
            "{}",
            "[]",
            "null",
            "3",
            r#""x""#,
            r#"{"urls":"#,
            r#"{"urls":"/a"}"#,
            r#"{"urls":{}}"#,
            r#"{"urls":[]}"#,
            r#"{"urls":["/a"],}"#,
            "{\"urls\":[\"\\ud800\"]}",
            "{\"urls\":1e999}",
            &deep,
        ];
        for body in bodies {
            check(body, Err(Refusal::NothingAsked));
        }
        assert_eq!(read(Some(b"application/json"), b"{\"urls\":[\"/\xff\"]}"), Err(Refusal::NothingAsked));
    }

    #[test]
    fn lists_without_a_valid_path_are_told_so() {
        check(r#"{"urls":["about","http://x/"]}"#, Err(Refusal::NoValidPath));
        check(r#"{"urls":[1,null,{}]}"#, Err(Refusal::NoValidPath));
        check(r#"{"urls":[""," /a"]}"#, Err(Refusal::NoValidPath));
    }

    #[test]
    fn the_last_of_two_equal_keys_counts() {
        check(r#"{"urls":["/a"],"urls":["/b"]}"#, paths(&["/b"]));
    }

    #[test]
    fn a_body_of_another_type_counts_as_missing() {
        let body = br#"{"all":true}"#;
        assert_eq!(read(None, body), Err(Refusal::NothingAsked));
        assert_eq!(read(Some(b"text/plain"), body), Err(Refusal::NothingAsked));
        assert_eq!(read(Some(b"Application/JSON; charset=utf-8"), body), Ok(Asked::Full));
    }
}
