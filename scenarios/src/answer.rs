//! What an answer's body says, as far as a history keeps it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

/// The texts that a history keeps of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Said {
    /// The error's text or code.
    pub(crate) error: Option<String>,
    /// The render's id.
    pub(crate) id: Option<String>,
    /// Where the render can be polled, as it came: see [`poll_path`].
    pub(crate) poll_url: Option<String>,
    /// The render's status.
    pub(crate) status: Option<String>,
}

/// No text of a documented answer is as long.
const TEXT_MAX: usize = 200;

/// No server takes a longer one in a request.
const URL_MAX: usize = 8 * 1024;

/// The fields that are read; whatever else is there is skipped without being built.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(default)]
    error: Option<Value>,
    #[serde(borrow, default)]
    code: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "pollUrl")]
    poll_url: Option<Cow<'a, str>>,
}

/// Reads a body. One that is no JSON object of these types says nothing.
pub(crate) fn read(body: &[u8]) -> Said {
    let Ok(fields) = serde_json::from_slice::<Fields<'_>>(body) else { return Said::default() };
    let error = match fields.error {
        Some(Value::String(text)) => Some(text),
        Some(Value::Object(mut error)) => match error.remove("code") {
            Some(Value::String(code)) => Some(code),
            _ => None,
        },
        _ => fields.code.map(Cow::into_owned),
    };
    Said {
        error: error.map(shortened),
        id: fields.id.map(|id| shortened(id.into_owned())),
        poll_url: fields.poll_url.filter(|url| url.len() <= URL_MAX).map(Cow::into_owned),
        status: fields.status.map(|status| shortened(status.into_owned())),
    }
}

/// Path and query of a URL at which a render can be polled; none if it is no absolute URL. Where it points to is not asked: polls go to the
/// site that was given, and the key with them.
pub(crate) fn poll_path(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    Some(match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    })
}

/// A hostile answer must not fill the history.
fn shortened(mut text: String) -> String {
    if let Some((cut, _)) = text.char_indices().nth(TEXT_MAX) {
        text.truncate(cut);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Said, TEXT_MAX, poll_path, read};

    #[track_caller]
    fn check(body: &str, expected: Said) {
        assert_eq!(read(body.as_bytes()), expected, "{body}");
    }

    #[test]
    fn errors_are_read_in_both_forms() {
        let error = |text: &str| Said { error: Some(text.into()), ..Said::default() };
        check(r#"{"error":"Invalid token"}"#, error("Invalid token"));
        check(r#"{"error":{"code":"invalid_json","message":"…","issues":{}}}"#, error("invalid_json"));
        check(r#"{"code":"invalid_json"}"#, error("invalid_json"));
    }

    #[test]
    fn renders_are_read() {
        let body = r#"{"id":"0198","status":"queued","pollUrl":"http://elsewhere/v1/renders/0198?a=b","more":[1]}"#;
        let expected = Said {
            error: None,
            id: Some("0198".into()),
            poll_url: Some("http://elsewhere/v1/renders/0198?a=b".into()),
            status: Some("queued".into()),
        };
        check(body, expected);
    }

    #[test]
    fn polls_keep_path_and_query_alone() {
        assert_eq!(poll_path("http://elsewhere/v1/renders/0198?a=b#c").as_deref(), Some("/v1/renders/0198?a=b"));
        assert_eq!(poll_path("/v1/renders/0198"), None);
        assert_eq!(poll_path("no url"), None);
    }

    #[test]
    fn whatever_else_comes_says_nothing() {
        for body in ["", "{", "null", "[1]", "\u{feff}{}", r#"{"error":7}"#, r#"{"id":7}"#, r#"{"pollUrl":7}"#] {
            check(body, Said::default());
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        let said = read(format!(r#"{{"error":"{}"}}"#, "ä".repeat(100_000)).as_bytes());
        assert_eq!(said.error.unwrap().chars().count(), TEXT_MAX);
    }
}
