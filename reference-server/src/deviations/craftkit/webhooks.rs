//! What inbound renders share with others: how bodies are judged, and the webhook that announces them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use uuid::Uuid;

use super::scalars::at;
use super::wraps::JudgedBy;
use crate::clock::Millis;
use crate::craftkit::courier::DocumentedWebhooks;
use crate::craftkit::manifest::{Issues, Manifest, validate};
use crate::craftkit::rules::{
    Decision, DocumentedOrder, HookCommand, HookRules, HookState, Judges, RenderCommand, RenderState,
};
use crate::deviations::Deviation;
use crate::parts::{Outgoing, Parts, Posted, Settled};
use crate::store::records::{Delivery, QueuedRender, RenderStatus, Subscription};

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        name: "render-route-lenient",
        defect: "does not miss required scalars on the render route",
        why: "each route has a validator of its own",
        turns_red: &["craftkit.pipeline.same-validation"],
        consequences: &[],
        change: |parts| render_route_judged_by(parts, without_required),
    },
    Deviation {
        name: "render-route-strict",
        defect: "refuses unknown keys on the render route only",
        why: "the hook strips them before the shared validator, which is strict",
        turns_red: &["craftkit.pipeline.same-validation"],
        consequences: &[],
        change: |parts| render_route_judged_by(parts, without_unknown),
    },
    Deviation {
        name: "webhook-never-sent",
        defect: "sends no webhooks for inbound renders",
        why: "deliveries are planned by the render route",
        turns_red: &["craftkit.pipeline.outgoing-webhook"],
        consequences: &[],
        change: |parts| {
            let inbound = Inbound::default();
            let hook_rules = Arc::new(NotesInbound { rules: parts.hook_rules.clone(), inbound: inbound.clone() });
            Parts { hook_rules, outgoing: Arc::new(SilentOnInbound(inbound)), ..parts }
        },
    },
    Deviation {
        name: "webhook-of-another-event",
        defect: "announces the event `render.completed`",
        why: "another product's webhooks have it",
        turns_red: &["craftkit.pipeline.webhook-form"],
        consequences: &[],
        change: |parts| sending(parts, Webhooks { event: |_| Some("render.completed"), ..Webhooks::DOCUMENTED }),
    },
    Deviation {
        name: "webhook-signature-prefixed",
        defect: "puts `sha256=` in front of the webhook's signature",
        why: "another product's webhooks have it",
        turns_red: &["craftkit.pipeline.webhook-form"],
        consequences: &[],
        change: |parts| {
            sending(
                parts,
                Webhooks {
                    post: |posted| replace(posted, "x-craftkit-signature", |digest| Some(format!("sha256={digest}"))),
                    ..Webhooks::DOCUMENTED
                },
            )
        },
    },
    Deviation {
        name: "webhook-unsigned",
        defect: "does not sign its webhooks",
        why: "signing was left for later",
        turns_red: &["craftkit.pipeline.webhook-form"],
        consequences: &[],
        change: |parts| {
            sending(
                parts,
                Webhooks { post: |posted| replace(posted, "x-craftkit-signature", |_| None), ..Webhooks::DOCUMENTED },
            )
        },
    },
    Deviation {
        name: "webhook-signed-before-it-was-written",
        defect: "signs another spelling of the webhook's body than it sends",
        why: "the object is serialized once for the signature and once for sending",
        turns_red: &["craftkit.pipeline.webhook-form"],
        consequences: &[],
        change: |parts| sending(parts, Webhooks { post: |posted| posted.body.push('\n'), ..Webhooks::DOCUMENTED }),
    },
    Deviation {
        name: "webhook-agent-of-the-client",
        defect: "sends its webhooks under the name of its HTTP client",
        why: "nobody set the header",
        turns_red: &["craftkit.pipeline.webhook-form"],
        consequences: &[],
        change: |parts| {
            sending(
                parts,
                Webhooks {
                    post: |posted| replace(posted, "user-agent", |_| Some("axios/1.7.9".to_owned())),
                    ..Webhooks::DOCUMENTED
                },
            )
        },
    },
    Deviation {
        name: "webhook-time-in-milliseconds",
        defect: "gives the time of a webhook in milliseconds",
        why: "that is the language's clock",
        turns_red: &["craftkit.pipeline.webhook-form"],
        consequences: &[],
        change: |parts| {
            sending(
                parts,
                Webhooks {
                    post: |posted| replace(posted, "x-craftkit-timestamp", |seconds| Some(format!("{seconds}000"))),
                    ..Webhooks::DOCUMENTED
                },
            )
        },
    },
    Deviation {
        name: "webhook-keys-snake-case",
        defect: "spells the keys of a webhook's body with underscores",
        why: "the serializer writes field names as the language has them",
        turns_red: &["craftkit.pipeline.webhook-form"],
        consequences: &[],
        change: |parts| {
            sending(
                parts,
                Webhooks {
                    body: |body| {
                        let id = body["renderId"].take();
                        body["render_id"] = id;
                        body.as_object_mut().map(|entries| entries.remove("renderId"));
                    },
                    ..Webhooks::DOCUMENTED
                },
            )
        },
    },
    Deviation {
        name: "webhook-without-nulls",
        defect: "leaves keys without a value out of a webhook's body",
        why: "the serializer is told to skip what is null",
        turns_red: &["craftkit.pipeline.webhook-form"],
        consequences: &[],
        change: |parts| {
            sending(
                parts,
                Webhooks {
                    body: |body| {
                        if let Value::Object(entries) = body {
                            entries.retain(|_, value| !value.is_null());
                        }
                    },
                    ..Webhooks::DOCUMENTED
                },
            )
        },
    },
    Deviation {
        name: "webhook-id-of-the-attempt",
        defect: "gives every attempt of a delivery an id of its own",
        why: "the id is made where the request is sent",
        turns_red: &["craftkit.pipeline.webhook-form"],
        consequences: &[],
        change: |parts| {
            sending(
                parts,
                Webhooks {
                    post: |posted| replace(posted, "x-craftkit-delivery-id", |_| Some(Uuid::new_v4().to_string())),
                    ..Webhooks::DOCUMENTED
                },
            )
        },
    },
];

fn without_required(manifest: &Manifest, data: &Value) -> Result<Value, Issues> {
    let mut manifest = manifest.clone();
    manifest.variables.iter_mut().for_each(|variable| variable.required = false);
    validate(&manifest, data)
}

fn without_unknown(manifest: &Manifest, data: &Value) -> Result<Value, Issues> {
    let kept = validate(manifest, data)?;
    let unknown = data.as_object().and_then(|entries| entries.keys().find(|key| kept.get(key).is_none()));
    unknown.map_or(Ok(json!(kept)), |key| Err(at(key, "Unrecognized key")))
}

type Validate = fn(&Manifest, &Value) -> Result<Value, Issues>;

fn render_route_judged_by(parts: Parts, validate: Validate) -> Parts {
    Parts { hook_rules: Arc::new(RenderRoute(validate)), ..parts }
}

/// Judges data sent to the render route otherwise than data sent to the hook.
struct RenderRoute(Validate);

impl HookRules for RenderRoute {
    fn hook(&self, judges: &Judges, state: &HookState, command: &HookCommand, now: Millis) -> Decision {
        DocumentedOrder.hook(judges, state, command, now)
    }

    fn render(&self, judges: &Judges, state: &RenderState, command: &RenderCommand, now: Millis) -> Decision {
        let judges = Judges { manifest: Arc::new(JudgedBy(self.0)), ..judges.clone() };
        DocumentedOrder.render(&judges, state, command, now)
    }
}

/// Ids that calls of the hook gave to renders.
type Inbound = Arc<Mutex<HashSet<Uuid>>>;

/// Notes which renders come from the hook.
struct NotesInbound {
    rules: Arc<dyn HookRules>,
    inbound: Inbound,
}

impl HookRules for NotesInbound {
    fn hook(&self, judges: &Judges, state: &HookState, command: &HookCommand, now: Millis) -> Decision {
        self.inbound.lock().expect("no holder of this lock panics").insert(command.render_id);
        self.rules.hook(judges, state, command, now)
    }

    fn render(&self, judges: &Judges, state: &RenderState, command: &RenderCommand, now: Millis) -> Decision {
        self.rules.render(judges, state, command, now)
    }
}

/// Announces the renders of the render route only.
struct SilentOnInbound(Inbound);

impl Outgoing for SilentOnInbound {
    fn event(&self, to: &Subscription, render: &QueuedRender, status: RenderStatus) -> Option<&'static str> {
        let inbound = self.0.lock().expect("no holder of this lock panics").contains(&render.id);
        if inbound { None } else { DocumentedWebhooks.event(to, render, status) }
    }

    fn body(&self, event: &str, render: &QueuedRender, status: RenderStatus, completed: Millis) -> String {
        DocumentedWebhooks.body(event, render, status, completed)
    }

    fn compose(&self, delivery: &Delivery, now: Millis) -> Posted {
        DocumentedWebhooks.compose(delivery, now)
    }

    fn settle(&self, delivery: &Delivery, answered: bool, now: Millis) -> Settled {
        DocumentedWebhooks.settle(delivery, answered, now)
    }
}

fn sending(parts: Parts, webhooks: Webhooks) -> Parts {
    Parts { outgoing: Arc::new(webhooks), ..parts }
}

/// Changes a header, or takes it away.
fn replace(posted: &mut Posted, name: &str, change: fn(&str) -> Option<String>) {
    let headers = std::mem::take(&mut posted.headers).into_iter();
    let changed = headers.filter_map(|(found, value)| {
        let value = if found == name { change(&value)? } else { value };
        Some((found, value))
    });
    posted.headers = changed.collect();
}

/// The reference's webhooks with changes.
struct Webhooks {
    event: fn(&'static str) -> Option<&'static str>,
    body: fn(&mut Value),
    post: fn(&mut Posted),
}

impl Webhooks {
    const DOCUMENTED: Webhooks = Webhooks { event: Some, body: |_| (), post: |_| () };
}

impl Outgoing for Webhooks {
    fn event(&self, to: &Subscription, render: &QueuedRender, status: RenderStatus) -> Option<&'static str> {
        DocumentedWebhooks.event(to, render, status).and_then(self.event)
    }

    fn body(&self, event: &str, render: &QueuedRender, status: RenderStatus, completed: Millis) -> String {
        let text = DocumentedWebhooks.body(event, render, status, completed);
        let mut body = serde_json::from_str(&text).expect("the reference writes JSON");
        (self.body)(&mut body);
        body.to_string()
    }

    fn compose(&self, delivery: &Delivery, now: Millis) -> Posted {
        let mut posted = DocumentedWebhooks.compose(delivery, now);
        (self.post)(&mut posted);
        posted
    }

    fn settle(&self, delivery: &Delivery, answered: bool, now: Millis) -> Settled {
        DocumentedWebhooks.settle(delivery, answered, now)
    }
}
