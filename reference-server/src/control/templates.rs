//! Control of CraftKit's templates, renders and subscriptions.

use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::params::{Params, wrong};
use super::{CallError, Called};
use crate::craftkit::manifest::Manifest;
use crate::secret::{digest, random_name};
use crate::server::App;
use crate::store::records::{Subscription, Template, Version, Write, stored_data};
use crate::store::{self, transact};

/// The events a subscriber can ask for.
const EVENTS: [&str; 2] = ["render.succeeded", "render.failed"];

fn manifest(value: &Value) -> Result<Arc<Manifest>, CallError> {
    Manifest::parse(value).map(Arc::new).map_err(|error| {
        let field = match error.field() {
            "manifest" => "manifest".to_owned(),
            inner => format!("manifest.{inner}"),
        };
        CallError::BadParams { field, problem: error.message() }
    })
}

pub(super) async fn create(app: &Arc<App>, mut params: Params) -> Called {
    let draft = manifest(&params.required("manifest")?)?;
    let published = params.bool("published")?.unwrap_or(true);
    let require_signature = params.bool("require_signature")?.unwrap_or(false);
    let project = params.string("project")?;
    params.done()?;
    let project = project.unwrap_or_else(|| format!("project-{}", random_name()));
    // craftkit.template.own-credentials
    let (inbound_token, inbound_secret) = app.parts.issuer.template_credentials(&project);
    let api_key = app.parts.issuer.api_key();
    let first = Version { number: 1, manifest: draft.clone() };
    let template = Template {
        id: app.parts.issuer.render_id(app.clock.now()),
        slug: format!("template-{}", random_name()),
        project: project.clone(),
        token_hash: digest(inbound_token.expose().as_bytes()),
        secret: inbound_secret.clone(),
        require_signature,
        current: published.then_some(first),
        revision: 0,
    };
    let answer = json!({
        "template_id": template.id.to_string(),
        "slug": template.slug,
        "inbound_token": inbound_token.expose(),
        "inbound_secret": inbound_secret.expose(),
        "project": project,
        "api_key": api_key.expose(),
    });
    let hash = digest(api_key.expose().as_bytes());
    let writes = vec![Write::InsertKey { project, hash }, Write::InsertTemplate { template, draft }];
    transact(&*app.store, move |_| Ok(((), writes.clone()))).await?;
    Ok(answer)
}

pub(super) async fn update(app: &Arc<App>, mut params: Params) -> Called {
    let slug = params.required_string("slug")?;
    let manifest = params.value("manifest").map(|value| manifest(&value)).transpose()?;
    let publish = params.bool("published")?;
    let required = params.bool("require_signature")?;
    params.done()?;
    if publish == Some(false) {
        return Err(wrong("published", "a published template cannot be taken back"));
    }
    transact(&*app.store, move |view| {
        let Some(template) = view.template(&slug)? else {
            return Ok((Err(CallError::not_found("template", &slug)), Vec::new()));
        };
        let mut writes = Vec::new();
        let first = publish.is_some() && template.current.is_none();
        let manifest = match &manifest {
            Some(manifest) => Some(manifest.clone()),
            None if first => view.draft(template.id)?,
            None => None,
        };
        if let Some(manifest) = manifest {
            let number = template.current.as_ref().map_or(1, |current| current.number + 1);
            let version = Version { number, manifest };
            writes.push(Write::PublishVersion { template: template.id, version });
        }
        if let Some(required) = required {
            writes.push(Write::SetRequireSignature { template: template.id, required });
        }
        Ok((Ok(json!({})), writes))
    })
    .await?
}

pub(super) async fn delete(app: &Arc<App>, mut params: Params) -> Called {
    let slug = params.required_string("slug")?;
    params.done()?;
    transact(&*app.store, move |view| match view.template(&slug)? {
        Some(template) => Ok((Ok(json!({})), vec![Write::DeleteTemplate(template.id)])),
        None => Ok((Err(CallError::not_found("template", &slug)), Vec::new())),
    })
    .await?
}

pub(super) fn inspect_render(app: &App, mut params: Params) -> Called {
    let id = params.required_string("id")?;
    params.done()?;
    let Ok(parsed) = Uuid::try_parse(&id) else {
        return Err(CallError::not_found("render", &id));
    };
    let render = store::read(&*app.store, |view| view.render(parsed))?;
    let render = render.ok_or_else(|| CallError::not_found("render", &id))?;
    Ok(json!({
        "id": render.id.to_string(),
        "slug": render.slug,
        "version": render.version,
        "status": render.status.name(),
        "data": stored_data(&render),
    }))
}

pub(super) async fn subscribe(app: &Arc<App>, mut params: Params) -> Called {
    let project = params.required_string("project")?;
    let url = params.required_string("url")?;
    let events = params.strings("events")?.unwrap_or_default();
    params.done()?;
    let parsed = url::Url::parse(&url).map_err(|error| wrong("url", error.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(wrong("url", "expected an http or https URL"));
    }
    if let Some(place) = events.iter().position(|event| !EVENTS.contains(&event.as_str())) {
        let problem = format!("expected one of {}", EVENTS.join(", "));
        return Err(wrong(&format!("events[{place}]"), problem));
    }
    let secret = app.parts.issuer.signing_secret();
    let subscription = Subscription { id: Uuid::new_v4(), project, url, secret: secret.clone(), events };
    let answer = json!({"id": subscription.id.to_string(), "secret": secret.expose()});
    transact(&*app.store, move |_| Ok(((), vec![Write::InsertSubscription(subscription.clone())]))).await?;
    Ok(answer)
}
