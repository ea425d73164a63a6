//! The wire of CraftKit's API: answers and refusals written.

use hyper::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::manifest::Issues;
use crate::clock::{Millis, rfc3339};
use crate::http::Answer;
use crate::store::records::{QueuedRender, Render, RenderStatus};

/// A refusal, each with a documented code.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// No template has this inbound token.
    InvalidToken,
    /// The signature does not match, or is absent though enforced.
    InvalidSignature,
    /// The body is no JSON.
    InvalidJson,
    /// The envelope of a render request is wrong.
    InvalidRequest {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Nothing was published yet.
    NoPublishedVersion,
    /// The data does not match the manifest.
    InvalidInput(Issues),
    /// The queue is down or full.
    QueueUnavailable,
    /// No project key, or none that opens anything.
    Unauthorized,
    /// The project has no such template.
    TemplateNotFound,
    /// The template has no such version.
    VersionNotFound,
    /// The project has no such render.
    RenderNotFound,
}

impl Refusal {
    /// The documented status, code and a message for people.
    fn parts(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Refusal::InvalidToken => {
                (StatusCode::NOT_FOUND, "invalid_token", "No template matches this inbound token.")
            }
            Refusal::InvalidSignature => {
                (StatusCode::UNAUTHORIZED, "invalid_signature", "The signature does not match the request body.")
            }
            Refusal::InvalidJson => (StatusCode::BAD_REQUEST, "invalid_json", "The request body is not valid JSON."),
            Refusal::InvalidRequest { problem } => (StatusCode::BAD_REQUEST, "invalid_request", problem),
            Refusal::NoPublishedVersion => {
                (StatusCode::CONFLICT, "no_published_version", "The template has no published version yet.")
            }
            Refusal::InvalidInput(_) => {
                (StatusCode::BAD_REQUEST, "invalid_input_data", "Variable data did not match the template manifest.")
            }
            Refusal::QueueUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "queue_unavailable",
                "The render queue is unreachable for now. Try again.",
            ),
            Refusal::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "A valid project API key is required."),
            Refusal::TemplateNotFound => {
                (StatusCode::NOT_FOUND, "template_not_found", "The project has no such template.")
            }
            Refusal::VersionNotFound => {
                (StatusCode::NOT_FOUND, "version_not_found", "The template has no such version.")
            }
            Refusal::RenderNotFound => (StatusCode::NOT_FOUND, "not_found", "The project has no such render."),
        }
    }
}

/// Gives a refusal its status and body (rules `craftkit.errors.envelope`, `craftkit.errors.code`).
pub fn refuse(refusal: &Refusal) -> Answer {
    let (status, code, message) = refusal.parts();
    let error = match refusal {
        Refusal::InvalidInput(issues) => {
            json!({"code": code, "message": message, "issues": issues.to_json()})
        }
        _ => json!({"code": code, "message": message}),
    };
    Answer::json(status, &json!({ "error": error }))
}

/// What the hook answers when it accepts: these three keys (rule `craftkit.hook.closed`).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Queued {
    id: String,
    status: &'static str,
    poll_url: String,
}

/// The hook's 202.
pub fn queued(id: Uuid, base: &str) -> Answer {
    let body = Queued { id: id.to_string(), status: RenderStatus::Queued.name(), poll_url: poll_url(base, id) };
    Answer::json(StatusCode::ACCEPTED, &body)
}

/// What the render route answers, for a new render (202) and a repeated call (200).
pub fn pipeline(status: StatusCode, render: &Render, base: &str) -> Answer {
    Answer::json(
        status,
        &json!({
            "id": render.id.to_string(),
            "status": render.status.name(),
            "pollUrl": poll_url(base, render.id),
            "downloadUrl": null,
            "errorMessage": error_message(render.status),
            "createdAt": rfc3339(render.created_at),
        }),
    )
}

/// What polling answers.
pub fn polled(render: &Render, base: &str) -> Answer {
    Answer::json(
        StatusCode::OK,
        &json!({
            "id": render.id.to_string(),
            "status": render.status.name(),
            "pollUrl": poll_url(base, render.id),
            "downloadUrl": null,
            "errorMessage": error_message(render.status),
            "createdAt": rfc3339(render.created_at),
            "completedAt": render.completed_at.map(rfc3339),
            "durationMs": render.completed_at.map(|end| (end - render.created_at).max(0)),
        }),
    )
}

/// The body of an outgoing webhook.
pub fn event(name: &str, render: &QueuedRender, status: RenderStatus, completed: Millis) -> String {
    json!({
        "event": name,
        "renderId": render.id.to_string(),
        "templateId": render.template_id.to_string(),
        "status": status.name(),
        "downloadUrl": null,
        "errorMessage": error_message(status),
        "createdAt": rfc3339(render.created_at),
        "completedAt": rfc3339(completed),
    })
    .to_string()
}

fn error_message(status: RenderStatus) -> Value {
    match status {
        RenderStatus::Failed => Value::from("The render failed."),
        RenderStatus::Queued | RenderStatus::Rendering | RenderStatus::Succeeded => Value::Null,
    }
}

fn poll_url(base: &str, id: Uuid) -> String {
    format!("{base}/v1/renders/{id}")
}
