//! The form of errors, whatever they are about.

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use super::wraps::{answering, edit, hook_token};
use crate::deviations::Deviation;
use crate::http::Answer;
use crate::parts::Parts;

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        name: "errors-without-code",
        defect: "gives its errors no code",
        why: "a message was thought to be enough",
        turns_red: &["craftkit.errors.code"],
        consequences: &[],
        change: |parts| {
            rewritten(parts, |body| {
                body["error"].as_object_mut().map(|error| error.remove("code"));
            })
        },
    },
    Deviation {
        name: "errors-as-texts",
        defect: "writes the code as the error itself",
        why: "the neighbouring API does",
        turns_red: &["craftkit.errors.code"],
        consequences: &[],
        change: |parts| rewritten(parts, |body| *body = json!({"error": body["error"]["code"]})),
    },
    Deviation {
        name: "errors-with-type",
        defect: "names the code `type`",
        why: "problem details name it so",
        turns_red: &["craftkit.errors.code"],
        consequences: &[],
        change: |parts| {
            rewritten(parts, |body| {
                let code = body["error"]["code"].take();
                body["error"]["type"] = code;
            })
        },
    },
    Deviation {
        name: "errors-in-capitals",
        defect: "writes its codes in capitals",
        why: "constants are written so",
        // Each documented code is the concern of the rule about its error.
        turns_red: &[
            "craftkit.token.unknown",
            "craftkit.signature.mismatch",
            "craftkit.json.malformed",
            "craftkit.input.required",
            "craftkit.version.unpublished",
            "craftkit.queue.unavailable",
        ],
        consequences: &[],
        change: |parts| {
            rewritten(parts, |body| {
                let code = body["error"]["code"].as_str().map(str::to_uppercase);
                body["error"]["code"] = json!(code);
            })
        },
    },
    Deviation {
        name: "errors-flat",
        defect: "writes code, message and issues without an envelope",
        why: "the envelope is in no example of the page",
        turns_red: &["craftkit.errors.envelope"],
        consequences: &[],
        change: |parts| rewritten(parts, |body| *body = body["error"].take()),
    },
    Deviation {
        name: "issues-beside-the-error",
        defect: "writes `issues` beside `error` and not inside",
        why: "details are added after the error was made",
        turns_red: &["craftkit.errors.envelope"],
        consequences: &[],
        change: |parts| {
            rewritten(parts, |body| {
                if let Some(issues) = body["error"].as_object_mut().and_then(|error| error.remove("issues")) {
                    body["issues"] = issues;
                }
            })
        },
    },
    Deviation {
        name: "issues-everywhere",
        defect: "gives every error `issues`",
        why: "one structure serves all errors, with empty lists where there is nothing to say",
        turns_red: &["craftkit.errors.envelope"],
        consequences: &[],
        change: |parts| {
            rewritten(parts, |body| {
                if body["error"]["issues"].is_null() {
                    body["error"]["issues"] = json!({"formErrors": [], "fieldErrors": {}});
                }
            })
        },
    },
    Deviation {
        name: "errors-without-message",
        defect: "gives its errors an empty message",
        why: "texts are to be added by the translators",
        turns_red: &["craftkit.errors.envelope"],
        consequences: &[],
        change: |parts| rewritten(parts, |body| body["error"]["message"] = json!("")),
    },
    Deviation {
        name: "errors-in-html",
        defect: "answers what it refuses with a page of HTML",
        why: "the framework's error page was never replaced",
        turns_red: &["craftkit.http.json"],
        consequences: &[],
        change: |parts| {
            replaced(parts, is_refusal, |answer| {
                let text = format!("<!DOCTYPE html><h1>{}</h1>", answer.status);
                written(answer, &text, "text/html; charset=utf-8");
            })
        },
    },
    Deviation {
        name: "unknown-token-page",
        defect: "answers unknown tokens with the router's page",
        why: "the lookup is part of the route, which then does not match",
        turns_red: &["craftkit.http.json"],
        consequences: &[],
        change: |parts| {
            let is_unknown = |status: StatusCode| status == StatusCode::NOT_FOUND;
            replaced(parts, is_unknown, |answer| written(answer, "404 page not found\n", "text/plain"))
        },
    },
    Deviation {
        name: "errors-without-body",
        defect: "answers what it refuses with nothing but a status",
        why: "the status says it all, it was thought",
        turns_red: &["craftkit.http.json"],
        consequences: &[],
        change: |parts| replaced(parts, is_refusal, |answer| written(answer, "", "text/plain")),
    },
    Deviation {
        name: "outage-page",
        defect: "leaves the 503 of an outage to its proxy's page",
        why: "the proxy sees that the server is not well and answers itself",
        turns_red: &["craftkit.http.json"],
        consequences: &[],
        change: |parts| {
            let is_outage = |status: StatusCode| status == StatusCode::SERVICE_UNAVAILABLE;
            replaced(parts, is_outage, |answer| written(answer, "<h1>503</h1>", "text/html"))
        },
    },
    Deviation {
        name: "errors-called-text",
        defect: "calls the JSON of its errors plain text",
        why: "the body is written as a text, and the framework guesses its type",
        turns_red: &["craftkit.http.json"],
        consequences: &[],
        change: |parts| replaced(parts, is_refusal, |answer| named(answer, "text/plain; charset=utf-8")),
    },
    Deviation {
        name: "accepted-called-html",
        defect: "calls the JSON of its 202 HTML",
        why: "that is the framework's default",
        turns_red: &["craftkit.http.json"],
        consequences: &[],
        change: |parts| {
            replaced(parts, |status| status == StatusCode::ACCEPTED, |answer| named(answer, "text/html; charset=utf-8"))
        },
    },
    Deviation {
        name: "accepted-in-a-word",
        defect: "answers what it accepts with the word `Accepted`",
        why: "the status's own phrase is the framework's default body",
        turns_red: &["craftkit.http.json"],
        consequences: &[],
        change: |parts| {
            replaced(parts, |status| status == StatusCode::ACCEPTED, |answer| written(answer, "Accepted", "text/plain"))
        },
    },
];

fn is_refusal(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// Changes answers of the hook.
fn replaced(parts: Parts, chosen: fn(StatusCode) -> bool, change: fn(&mut Answer)) -> Parts {
    answering(parts, move |request, answer| {
        if hook_token(request).is_some() && chosen(answer.status) {
            change(answer);
        }
    })
}

/// Changes the JSON of the hook's errors.
fn rewritten(parts: Parts, change: fn(&mut Value)) -> Parts {
    answering(parts, move |request, answer| {
        if hook_token(request).is_some() && is_refusal(answer.status) {
            edit(answer, change);
        }
    })
}

fn written(answer: &mut Answer, text: &str, kind: &'static str) {
    answer.body = Bytes::from(text.to_owned());
    named(answer, kind);
}

fn named(answer: &mut Answer, kind: &'static str) {
    answer.headers.retain(|(name, _)| name != CONTENT_TYPE);
    answer.headers.push((CONTENT_TYPE, HeaderValue::from_static(kind)));
}
