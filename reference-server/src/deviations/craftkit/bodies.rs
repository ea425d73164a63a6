//! Bodies that are no JSON, or JSON that is no object.

use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::wraps::{answering, decided_by, edit, hook_token, refused, refusing};
use crate::craftkit::rules::{HookCommand, decide_hook};
use crate::craftkit::wire::Refusal;
use crate::deviations::Deviation;
use crate::parts::{Parts, Signed};

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        name: "malformed-json-422",
        defect: "answers malformed JSON with 422",
        why: "the framework's extractor answers so",
        turns_red: &["craftkit.json.malformed"],
        consequences: &[],
        change: |parts| {
            refusing(parts, |refusal, answer| {
                if *refusal == Refusal::InvalidJson {
                    answer.status = StatusCode::UNPROCESSABLE_ENTITY;
                }
            })
        },
    },
    Deviation {
        name: "malformed-json-500",
        defect: "fails at malformed JSON",
        why: "the parser throws and nobody catches",
        turns_red: &["craftkit.json.malformed"],
        consequences: &[],
        change: |parts| body_answered(parts, |body| !body.is_empty() && parsed(body).is_none(), 500, "internal"),
    },
    Deviation {
        name: "malformed-json-another-code",
        defect: "gives malformed JSON the code `bad_request`",
        why: "the parser's error handler is the framework's",
        turns_red: &["craftkit.json.malformed"],
        consequences: &[],
        change: |parts| {
            refusing(parts, |refusal, answer| {
                if *refusal == Refusal::InvalidJson {
                    edit(answer, |body| body["error"]["code"] = json!("bad_request"));
                }
            })
        },
    },
    Deviation {
        name: "malformed-json-is-an-empty-object",
        defect: "takes a body that does not parse for `{}`",
        why: "a failed parse leaves the default value",
        turns_red: &["craftkit.json.malformed"],
        consequences: &[],
        change: |parts| read_by(parts, |body| (!body.is_empty() && parsed(body).is_none()).then(empty_object)),
    },
    Deviation {
        name: "json-with-trailing-bytes",
        defect: "reads one JSON value and leaves the rest of the body",
        why: "a streaming decoder stops where the value ends",
        turns_red: &["craftkit.json.malformed"],
        consequences: &[],
        change: |parts| {
            read_by(parts, |body| {
                let mut values = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
                values.next()?.ok().map(|first| first.to_string().into())
            })
        },
    },
    Deviation {
        name: "json-with-trailing-commas",
        defect: "reads JSON with a comma behind the last entry",
        why: "the parser is the one of the configuration files",
        turns_red: &["craftkit.json.malformed"],
        consequences: &[],
        change: |parts| {
            read_by(parts, |body| {
                let text = std::str::from_utf8(body).ok()?;
                Some(text.replace(",}", "}").replace(",]", "]").into())
            })
        },
    },
    Deviation {
        name: "empty-body-is-an-empty-object",
        defect: "takes an empty body for `{}`",
        why: "the body parser gives an empty object when there is nothing to parse",
        turns_red: &["craftkit.json.empty"],
        consequences: &[],
        change: |parts| read_by(parts, |body| body.is_empty().then(empty_object)),
    },
    Deviation {
        name: "empty-body-500",
        defect: "fails at an empty body",
        why: "the body is null then, and its first use throws",
        turns_red: &["craftkit.json.empty"],
        consequences: &[],
        change: |parts| body_answered(parts, <[u8]>::is_empty, 500, "internal"),
    },
    Deviation {
        name: "empty-body-411",
        defect: "answers an empty body with 411",
        why: "a request without a length is refused before it is looked at",
        turns_red: &["craftkit.json.empty"],
        consequences: &[],
        change: |parts| body_answered(parts, <[u8]>::is_empty, 411, "length_required"),
    },
    Deviation {
        name: "empty-body-unfit",
        defect: "gives an empty body the code `invalid_input_data`",
        why: "nothing sent is data that does not fit",
        turns_red: &["craftkit.json.empty"],
        consequences: &[],
        change: |parts| body_answered(parts, <[u8]>::is_empty, 400, "invalid_input_data"),
    },
    Deviation {
        name: "array-is-an-empty-object",
        defect: "takes an array for an object without keys",
        why: "the type of an array is `object` in JavaScript and PHP alike",
        turns_red: &["craftkit.json.non-object"],
        consequences: &[],
        change: |parts| read_by(parts, |body| parsed(body)?.is_array().then(empty_object)),
    },
    Deviation {
        name: "array-stands-for-its-first-item",
        defect: "renders the first object of an array",
        why: "senders that batch were to be helped",
        turns_red: &["craftkit.json.non-object"],
        consequences: &[],
        change: |parts| {
            read_by(parts, |body| {
                let first = parsed(body)?.get(0)?.clone();
                first.is_object().then(|| first.to_string().into())
            })
        },
    },
    Deviation {
        name: "null-is-an-empty-object",
        defect: "takes `null` for `{}`",
        why: "an absent body and a null one are the same after `?? {}`",
        turns_red: &["craftkit.json.non-object"],
        consequences: &[],
        change: |parts| read_by(parts, |body| parsed(body)?.is_null().then(empty_object)),
    },
    Deviation {
        name: "non-object-500",
        defect: "fails at JSON that is no object",
        why: "the first look for a key throws on a text or a number",
        turns_red: &["craftkit.json.non-object"],
        consequences: &[],
        change: |parts| body_answered(parts, is_no_object, 500, "internal"),
    },
    Deviation {
        name: "non-object-422",
        defect: "answers JSON that is no object with 422",
        why: "the schema's first error has a handler of its own",
        turns_red: &["craftkit.json.non-object"],
        consequences: &[],
        change: |parts| body_answered(parts, is_no_object, 422, "unprocessable"),
    },
    Deviation {
        name: "non-object-is-malformed",
        defect: "gives JSON that is no object the code `invalid_json`",
        why: "the body parser is strict and lets only objects pass",
        turns_red: &["craftkit.json.non-object"],
        consequences: &[],
        change: |parts| {
            decided_by(parts, |judges, state, command, now| {
                let decision = decide_hook(judges, state, command, now);
                let unfit = matches!(decision.reply, Err(Refusal::InvalidInput(_)));
                if unfit && is_no_object(&command.raw) { refused(Refusal::InvalidJson) } else { decision }
            })
        },
    },
];

fn parsed(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok()
}

fn is_no_object(body: &[u8]) -> bool {
    parsed(body).is_some_and(|value| !value.is_object())
}

fn empty_object() -> Bytes {
    Bytes::from_static(b"{}")
}

/// Reads some bodies in another way, after their signature was verified.
fn read_by(parts: Parts, read: fn(&[u8]) -> Option<Bytes>) -> Parts {
    decided_by(parts, move |judges, state, command, now| {
        let (Some(template), Some(raw)) = (&state.template, read(&command.raw)) else {
            return decide_hook(judges, state, command, now);
        };
        let signed = Signed { template, raw: &command.raw, header: command.signature.as_deref() };
        if !judges.signature.passes(&signed) {
            return refused(Refusal::InvalidSignature);
        }
        let mut state = state.clone();
        if let Some(template) = &mut state.template {
            template.require_signature = false;
        }
        let command = HookCommand { raw, signature: None, render_id: command.render_id };
        decide_hook(judges, &state, &command, now)
    })
}

/// Answers refused bodies of some kind in another way.
fn body_answered(parts: Parts, is_odd: fn(&[u8]) -> bool, status: u16, code: &'static str) -> Parts {
    answering(parts, move |request, answer| {
        let refused = hook_token(request).is_some() && answer.status == StatusCode::BAD_REQUEST;
        if refused && is_odd(&request.body) {
            answer.status = StatusCode::from_u16(status).expect("a status");
            edit(answer, |body| *body = json!({"error": {"code": code, "message": "The body was not understood."}}));
        }
    })
}
