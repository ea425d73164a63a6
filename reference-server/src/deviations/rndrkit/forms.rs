//! Answers of a wrong form: not JSON, not the documented object, with more in it than documented.

use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use serde_json::{Value, json};

use super::wrap::{answering, edit};
use crate::deviations::Deviation;
use crate::http::Answer;
use crate::parts::Parts;

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    ERROR_NESTED,
    ERROR_LIST,
    ERROR_STRING,
    ERROR_OTHER_KEY,
    ERROR_PAGE,
    ERROR_PLAIN,
    SUCCESS_WORD,
    TYPE_TEXT,
    ERROR_EXTRA,
    SUCCESS_EXTRA,
];

const SHAPE: &[&str] = &["rndrkit.errors.shape"];
const JSON: &[&str] = &["rndrkit.http.json"];

const ERROR_NESTED: Deviation = Deviation {
    name: "error-nested",
    defect: "wraps the text of an error into an object",
    why: "the other API of the house does",
    turns_red: SHAPE,
    consequences: &[],
    change: |parts| errors(parts, |text| json!({"error": {"message": text}})),
};

const ERROR_LIST: Deviation = Deviation {
    name: "error-list",
    defect: "answers errors with a list of them",
    why: "the framework collects errors",
    turns_red: SHAPE,
    consequences: &[],
    change: |parts| errors(parts, |text| json!([{ "error": text }])),
};

const ERROR_STRING: Deviation = Deviation {
    name: "error-string",
    defect: "answers errors with the bare text as a JSON string",
    why: "the framework's exceptions are written out so",
    turns_red: SHAPE,
    consequences: &[],
    change: |parts| errors(parts, Value::from),
};

const ERROR_OTHER_KEY: Deviation = Deviation {
    name: "error-other-key",
    defect: "gives the text of an error under `message`",
    why: "the framework's exceptions are written out so",
    turns_red: SHAPE,
    consequences: &[],
    change: |parts| errors(parts, |text| json!({ "message": text })),
};

const ERROR_PAGE: Deviation = Deviation {
    name: "error-page",
    defect: "answers errors with a page",
    why: "the framework's error handler is meant for browsers",
    turns_red: JSON,
    consequences: &[],
    change: |parts| {
        answering(parts, |_, answer| {
            if answer.status.is_client_error() {
                write(answer, "text/html", format!("<!DOCTYPE html><pre>{}</pre>", answer.status));
            }
        })
    },
};

const ERROR_PLAIN: Deviation = Deviation {
    name: "error-plain",
    defect: "answers errors with their plain text",
    why: "the handler returns the text, and the framework knows nothing better",
    turns_red: JSON,
    consequences: &[],
    change: |parts| {
        answering(parts, |_, answer| {
            if let Some(text) = error_of(answer) {
                write(answer, "text/plain", text);
            }
        })
    },
};

const SUCCESS_WORD: Deviation = Deviation {
    name: "success-word",
    defect: "answers accepted requests with a word",
    why: "hooks of other products are answered so",
    turns_red: JSON,
    consequences: &[],
    change: |parts| {
        answering(parts, |_, answer| {
            if answer.status.is_success() {
                write(answer, "text/plain", "OK".to_owned());
            }
        })
    },
};

const TYPE_TEXT: Deviation = Deviation {
    name: "json-as-text",
    defect: "says of its JSON that it is plain text",
    why: "the body is written by hand, and the framework knows nothing better",
    turns_red: JSON,
    consequences: &[],
    change: |parts| {
        answering(parts, |_, answer| {
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            write(answer, "text/plain", body);
        })
    },
};

const ERROR_EXTRA: Deviation = Deviation {
    name: "error-extra-key",
    defect: "adds the status to the body of an error",
    why: "the framework's exceptions are written out so",
    turns_red: &["rndrkit.errors.closed"],
    consequences: &[],
    change: |parts| {
        answering(parts, |_, answer| {
            let status = answer.status;
            if status.is_client_error() {
                edit(answer, |fields| drop(fields.insert("statusCode".to_owned(), status.as_u16().into())));
            }
        })
    },
};

const SUCCESS_EXTRA: Deviation = Deviation {
    name: "success-extra-key",
    defect: "adds an id to the body of an accepted request",
    why: "the queue gives one, and support asks for it",
    turns_red: &["rndrkit.success.closed"],
    consequences: &[],
    change: |parts| {
        answering(parts, |_, answer| {
            if answer.status.is_success() {
                edit(answer, |fields| drop(fields.insert("jobId".to_owned(), "17".into())));
            }
        })
    },
};

/// The parts with another body for every error.
fn errors(parts: Parts, body: fn(String) -> Value) -> Parts {
    answering(parts, move |_, answer| {
        if let Some(text) = error_of(answer) {
            answer.body = Bytes::from(body(text).to_string());
        }
    })
}

/// The text of an error.
fn error_of(answer: &Answer) -> Option<String> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    body.get("error")?.as_str().map(str::to_owned)
}

/// Replaces an answer's body and its type.
fn write(answer: &mut Answer, kind: &'static str, body: String) {
    answer.headers.retain(|(name, _)| *name != header::CONTENT_TYPE);
    answer.headers.push((header::CONTENT_TYPE, HeaderValue::from_static(kind)));
    answer.body = Bytes::from(body);
}
