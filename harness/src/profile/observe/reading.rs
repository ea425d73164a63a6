//! How observers read evidence: short words for answers, the same for every run against the same implementation. Pure.

use serde_json::Value;

use super::SIZES;
use crate::checks::judge::{CRAFTKIT_CODES, craftkit_code};
use crate::evidence::{Evidence, Exchange, Response};

/// The value where a step was not sent, because what it needs was not seen.
pub(super) const NOT_ASKED: &str = "unknown: what it needs could not be brought about";

/// Characters of a text of the target that a value shows.
const TEXT_MAX: usize = 80;

/// The answer to a step in words, the last one if it was sent several times.
pub(super) fn said(evidence: &Evidence, label: &str) -> String {
    last(evidence, label).map_or(NOT_ASKED.to_owned(), answer)
}

/// The last exchange of a step.
pub(super) fn last<'e>(evidence: &'e Evidence, label: &str) -> Option<&'e Exchange> {
    evidence.exchanges.iter().rev().find(|exchange| exchange.label == label)
}

/// `accepted`, or the status with the error's text or code.
pub(super) fn answer(exchange: &Exchange) -> String {
    match &exchange.response {
        None => "no answer".to_owned(),
        Some(response) if response.is_success() => "accepted".to_owned(),
        Some(response) => refusal(response),
    }
}

/// The status with the error's text or code.
pub(super) fn refusal(response: &Response) -> String {
    let body = response.json();
    let text = body.as_ref().and_then(error_text).map(stable);
    match text {
        Some(text) if !text.is_empty() => format!("{} {text}", response.status),
        _ => response.status.to_string(),
    }
}

/// A documented code, or else an error's text under `error`, or else any code.
fn error_text(body: &Value) -> Option<&str> {
    let code = craftkit_code(body);
    let documented = code.filter(|code| CRAFTKIT_CODES.contains(code));
    documented.or_else(|| body.get("error").and_then(Value::as_str)).or(code)
}

/// A text without what may differ from run to run: words with digits, names and whatever is very long. Sentences that the documents
/// fix hold digits, too, and are kept.
pub(super) fn stable(text: &str) -> String {
    const WORD_MAX: usize = 30;
    if crate::checks::judge::RNDRKIT_ERRORS.contains(&text) {
        return text.to_owned();
    }
    let varies = |word: &str| {
        let inside = word.trim_end_matches(['.', ',', ':', ';', ')']);
        word.chars().count() > WORD_MAX
            || word.chars().any(|character| character.is_ascii_digit() || character.is_control())
            || inside.contains(['.', '/', '<'])
    };
    let words: Vec<&str> = text.split_whitespace().map(|word| if varies(word) { "…" } else { word }).collect();
    words.join(" ").chars().take(TEXT_MAX).collect()
}

/// True if a step was sent and accepted.
pub(super) fn is_accepted(evidence: &Evidence, label: &str) -> bool {
    last(evidence, label).and_then(|exchange| exchange.response.as_ref()).is_some_and(Response::is_success)
}

/// Steps `<slug>/<name>` in words: one if they all say the same, else each with its name.
pub(super) fn said_of_each(evidence: &Evidence, slug: &str, names: &[&str]) -> String {
    let said: Vec<String> = names.iter().map(|name| said(evidence, &format!("{slug}/{name}"))).collect();
    joined(names, &said)
}

/// One word if all are the same, else each with its name.
pub(super) fn joined(names: &[&str], values: &[String]) -> String {
    match values.first() {
        Some(first) if values.iter().all(|value| value == first) => first.clone(),
        _ => {
            let each: Vec<String> = names.iter().zip(values).map(|(name, value)| format!("{name}: {value}")).collect();
            each.join("; ")
        }
    }
}

/// Up to which size bodies are accepted, and what the first larger one gets.
pub(super) fn size_limit(evidence: &Evidence, slug: &str) -> String {
    let mut accepted = "none";
    for (words, _) in SIZES {
        let label = format!("{slug}/{words}");
        if !is_accepted(evidence, &label) {
            return format!("accepted: {accepted}; {words}: {}", said(evidence, &label));
        }
        accepted = words;
    }
    format!("accepted: {accepted}")
}

/// `Retry-After` of a step's answer.
pub(super) fn retry_after(evidence: &Evidence, label: &str) -> String {
    /// Room for the time that passes between a request and its answer, in seconds.
    const ROOM_S: u64 = 60;
    const HOUR_S: u64 = 3600;
    let Some(response) = last(evidence, label).and_then(|exchange| exchange.response.as_ref()) else {
        return NOT_ASKED.to_owned();
    };
    match response.header("retry-after").map(|value| (value, value.parse::<u64>())) {
        None => "none".to_owned(),
        Some((_, Ok(seconds))) if (HOUR_S - ROOM_S..=HOUR_S).contains(&seconds) => {
            "seconds: the rest of the hour".to_owned()
        }
        Some((_, Ok(seconds))) if seconds <= ROOM_S => "seconds: a minute or less".to_owned(),
        Some((_, Ok(seconds))) if seconds > HOUR_S => "seconds: more than an hour".to_owned(),
        Some((_, Ok(_))) => "seconds: less than the rest of the hour".to_owned(),
        Some((value, Err(_))) if value.ends_with("GMT") => "a date".to_owned(),
        Some(_) => "neither seconds nor a date".to_owned(),
    }
}

/// Statuses of a path asked with methods it is not documented for.
pub(super) fn statuses(evidence: &Evidence, slug: &str, methods: &[&str]) -> String {
    let status = |method: &&str| match last(evidence, &format!("{slug}/{method}")).map(Exchange::status) {
        Some(Some(status)) => status.to_string(),
        Some(None) => "no answer".to_owned(),
        None => NOT_ASKED.to_owned(),
    };
    let said: Vec<String> = methods.iter().map(status).collect();
    joined(methods, &said)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_that_may_differ_from_run_to_run_are_left_out() {
        assert_eq!(stable("Unknown domain d-17.example, ask again"), "Unknown domain … ask again");
        assert_eq!(stable("Retry in 1799 s"), "Retry in … s");
        let documented = crate::checks::rndrkit::text::RATE;
        assert_eq!(stable(documented), documented);
    }

    #[test]
    fn a_refusal_reads_as_status_and_text_or_code() {
        assert_eq!(refusal(&Response::json_of(401, &json!({"error": "Invalid token"}))), "401 Invalid token");
        assert_eq!(refusal(&Response::json_of(404, &json!({"error": {"code": "invalid_token"}}))), "404 invalid_token");
        assert_eq!(refusal(&Response::json_of(404, &json!([]))), "404");
    }

    #[test]
    fn what_all_say_is_said_once() {
        let same = ["400".to_owned(), "400".to_owned()];
        assert_eq!(joined(&["a", "b"], &same), "400");
        assert_eq!(joined(&["a", "b"], &["400".to_owned(), "401".to_owned()]), "a: 400; b: 401");
    }
}
