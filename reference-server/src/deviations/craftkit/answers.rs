//! The hook's 202, and who may call it how.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::{Method, StatusCode, header};
use serde_json::{Value, json};
use uuid::Uuid;

use super::wraps::{accepting, answering, decided_by, edged, hook_token, polled_id, receiving, redirect, unstored};
use crate::clock::Millis;
use crate::craftkit::rules::{Accepted, HookCommand, decide_hook};
use crate::deviations::Deviation;
use crate::http::{Answer, Inbound};
use crate::parts::{Edge, Issuer, Parts, RandomIssuer};
use crate::secret::Secret;
use crate::store::records::{Render, Template};

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        name: "hook-answers-200",
        defect: "answers what it accepts with 200",
        why: "200 is what the framework sends when nobody says otherwise",
        turns_red: &["craftkit.hook.accepted"],
        consequences: &[],
        change: |parts| {
            answering(parts, |request, answer| {
                if hook_token(request).is_some() && answer.status == StatusCode::ACCEPTED {
                    answer.status = StatusCode::OK;
                }
            })
        },
    },
    Deviation {
        name: "render-id-version-four",
        defect: "names renders by random UUIDs of version 4",
        why: "that is what most languages' standard libraries make",
        turns_red: &["craftkit.hook.id"],
        consequences: &[],
        change: |parts| Parts { issuer: Arc::new(NamedBy(|_| Uuid::new_v4())), ..parts },
    },
    Deviation {
        name: "render-id-sequential",
        defect: "numbers renders and writes the number in the form of a UUID",
        why: "the ids come from a column that used to be a counter",
        turns_red: &["craftkit.hook.id"],
        consequences: &[],
        change: |parts| {
            let next = Mutex::new(0);
            Parts { issuer: Arc::new(NamedBy(move |_| numbered(&next))), ..parts }
        },
    },
    Deviation {
        name: "render-id-of-an-earlier-body",
        defect: "gives a body sent again the id of the first time",
        why: "deduplication by content was thought to be a service to senders that retry",
        turns_red: &["craftkit.hook.id"],
        consequences: &[],
        change: |parts| deduplicating(parts, |_, command| command.raw.to_vec()),
    },
    Deviation {
        name: "render-id-of-an-earlier-request",
        defect: "gives every request for a version of a template the id of the first",
        why: "the queue drops jobs of a name it knows, and the name is made of template and version only",
        turns_red: &["craftkit.hook.id"],
        consequences: &[],
        change: |parts| {
            deduplicating(parts, |template, _| {
                template.current.iter().flat_map(|version| version.number.to_be_bytes()).collect()
            })
        },
    },
    Deviation {
        name: "hook-status-accepted",
        defect: "calls an accepted render `accepted`",
        why: "the word stands for the status 202 everywhere else",
        turns_red: &["craftkit.hook.status"],
        consequences: &[],
        change: |parts| accepting(parts, |body| body["status"] = json!("accepted")),
    },
    Deviation {
        name: "hook-status-pending",
        defect: "calls an accepted render `pending`",
        why: "the queue's own name for the state shows through",
        turns_red: &["craftkit.hook.status"],
        consequences: &[],
        change: |parts| accepting(parts, |body| body["status"] = json!("pending")),
    },
    Deviation {
        name: "poll-url-relative",
        defect: "gives the path of the poll instead of its URL",
        why: "the server does not know its public address",
        turns_red: &["craftkit.hook.poll-url"],
        consequences: &[],
        change: |parts| accepting(parts, |body| body["pollUrl"] = json!(format!("/v1/renders/{}", id_of(body)))),
    },
    Deviation {
        name: "poll-url-of-the-job",
        defect: "ends the poll's URL in the id of the job, which is another than the render's",
        why: "job and render are two rows with an id each",
        turns_red: &["craftkit.hook.poll-url"],
        consequences: &[],
        change: |parts| edged(parts, PolledByJob),
    },
    Deviation {
        name: "poll-url-of-another-path",
        defect: "has renders polled under `/v1/jobs/`",
        why: "the route was renamed and the hook was forgotten",
        turns_red: &["craftkit.hook.poll-url"],
        consequences: &[],
        change: |parts| edged(parts, PolledUnderJobs),
    },
    Deviation {
        name: "poll-url-snake-case",
        defect: "spells the key `poll_url`",
        why: "the serializer writes field names as the language has them",
        // The rule about other keys is about this one, too.
        turns_red: &["craftkit.hook.poll-url", "craftkit.hook.closed"],
        consequences: &[],
        change: |parts| {
            accepting(parts, |body| {
                let url = body["pollUrl"].take();
                *body = json!({"id": body["id"], "status": body["status"], "poll_url": url});
            })
        },
    },
    Deviation {
        name: "hook-answers-the-whole-render",
        defect: "answers with all keys that a poll has",
        why: "one serializer serves both routes",
        turns_red: &["craftkit.hook.closed"],
        consequences: &[],
        change: |parts| {
            accepting(parts, |body| {
                body["downloadUrl"] = Value::Null;
                body["errorMessage"] = Value::Null;
            })
        },
    },
    Deviation {
        name: "hook-demands-a-key",
        defect: "refuses requests to the hook that carry no `Authorization` header",
        why: "the middleware that guards all of `/v1` guards the hook, too",
        turns_red: &["craftkit.hook.no-api-key"],
        consequences: &[],
        change: |parts| receiving(parts, |request| guard(request, |authorized| !authorized)),
    },
    Deviation {
        name: "hook-refuses-keys",
        defect: "refuses requests to the hook that carry an `Authorization` header",
        why: "whoever sends a key to a route that takes none has mistaken the route, it was thought",
        turns_red: &["craftkit.hook.no-api-key"],
        consequences: &[],
        change: |parts| receiving(parts, |request| guard(request, |authorized| authorized)),
    },
    Deviation {
        name: "hook-serves-get",
        defect: "queues a render for a GET with a body",
        why: "the route was registered for every method",
        turns_red: &["craftkit.hook.post"],
        consequences: &[],
        change: |parts| {
            receiving(parts, |request| {
                if request.method == Method::GET && hook_token(request).is_some() {
                    request.method = Method::POST;
                }
            })
        },
    },
    Deviation {
        name: "hook-renders-a-query",
        defect: "queues a render for a GET, with the query for its data",
        why: "a form handler reads parameters from wherever they are",
        turns_red: &["craftkit.hook.post"],
        consequences: &[],
        change: |parts| {
            receiving(parts, |request| {
                if request.method == Method::GET && hook_token(request).is_some() {
                    request.method = Method::POST;
                    request.body = "{}".into();
                }
            })
        },
    },
    Deviation {
        name: "content-type-decides",
        defect: "takes a body for `{}` unless its content type is `application/json`",
        why: "the body parser leaves other types alone, and nobody asks whether it ran",
        turns_red: &["craftkit.hook.any-content-type"],
        consequences: &[],
        change: |parts| {
            receiving(parts, |request| {
                let named = request.header(&header::CONTENT_TYPE).unwrap_or_default();
                if hook_token(request).is_some() && !named.starts_with(b"application/json") {
                    request.body = "{}".into();
                }
            })
        },
    },
];

fn id_of(body: &Value) -> String {
    body["id"].as_str().unwrap_or_default().to_owned()
}

/// Names renders its own way; all else is the reference's.
struct NamedBy<F>(F);

impl<F: Fn(Millis) -> Uuid + Send + Sync> Issuer for NamedBy<F> {
    fn webhook_token(&self) -> Secret {
        RandomIssuer.webhook_token()
    }

    fn tokens_per_domain(&self) -> usize {
        RandomIssuer.tokens_per_domain()
    }

    fn inbound_token(&self) -> Secret {
        RandomIssuer.inbound_token()
    }

    fn signing_secret(&self) -> Secret {
        RandomIssuer.signing_secret()
    }

    fn api_key(&self) -> Secret {
        RandomIssuer.api_key()
    }

    fn render_id(&self, now: Millis) -> Uuid {
        (self.0)(now)
    }
}

fn numbered(next: &Mutex<u128>) -> Uuid {
    let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
    *next += 1;
    Uuid::from_u128(*next)
}

/// Answers a request with the render of an earlier one that has the same key at the same template.
fn deduplicating(parts: Parts, key: fn(&Template, &HookCommand) -> Vec<u8>) -> Parts {
    let known: Mutex<HashMap<(Uuid, Vec<u8>), Render>> = Mutex::default();
    decided_by(parts, move |judges, state, command, now| {
        let decision = decide_hook(judges, state, command, now);
        let (Some(template), Ok(Accepted::New(render))) = (&state.template, &decision.reply) else { return decision };
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let first = known.entry((template.id, key(template, command))).or_insert_with(|| render.clone());
        // A decision made anew for the same request is no repetition.
        if first.id == render.id { decision } else { unstored(Accepted::Earlier(first.clone())) }
    })
}

/// Sends requests to the hook where keys are asked for.
fn guard(request: &mut Inbound, turns_away: fn(bool) -> bool) {
    let authorized = request.headers.contains_key(header::AUTHORIZATION);
    if hook_token(request).is_some() && turns_away(authorized) {
        request.method = Method::GET;
        request.headers.remove(header::AUTHORIZATION);
        redirect(request, "/v1/renders/none");
    }
}

/// The id of a render's job, and that of a job's render.
fn counterpart(id: &str) -> Option<Uuid> {
    const LAST_DIGITS: u128 = 0xffff;
    Uuid::try_parse(id).ok().map(|id| Uuid::from_u128(id.as_u128() ^ LAST_DIGITS))
}

struct PolledByJob;

impl Edge for PolledByJob {
    fn request(&self, request: &mut Inbound) {
        if let Some(render) = polled_id(request).and_then(counterpart) {
            redirect(request, &format!("/v1/renders/{render}"));
        }
    }

    fn answer(&self, request: &Inbound, answer: &mut Answer) {
        replace_poll_url(request, answer, |url| {
            let (before, id) = url.rsplit_once('/')?;
            Some(format!("{before}/{}", counterpart(id)?))
        });
    }
}

struct PolledUnderJobs;

impl Edge for PolledUnderJobs {
    fn request(&self, request: &mut Inbound) {
        if let Some(id) = request.uri.path().strip_prefix("/v1/jobs/") {
            redirect(request, &format!("/v1/renders/{id}"));
        }
    }

    fn answer(&self, request: &Inbound, answer: &mut Answer) {
        replace_poll_url(request, answer, |url| Some(url.replace("/v1/renders/", "/v1/jobs/")));
    }
}

fn replace_poll_url(request: &Inbound, answer: &mut Answer, change: fn(&str) -> Option<String>) {
    if hook_token(request).is_none() || answer.status != StatusCode::ACCEPTED {
        return;
    }
    super::wraps::edit(answer, |body| {
        body["pollUrl"] = body["pollUrl"].as_str().and_then(change).into();
    });
}
