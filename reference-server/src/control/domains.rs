//! Control of RndrKit's domains and tokens.

use std::sync::Arc;

use serde_json::{Value, json};

use super::params::{Params, whole, wrong};
use super::{CallError, Called};
use crate::clock::Millis;
use crate::parts::Attempt;
use crate::secret::{Secret, digest, random_name};
use crate::server::App;
use crate::store::records::{Domain, Plan, Token, Usage, Write};
use crate::store::{self, Read, View, transact};

/// The outcome of a decision inside a transaction: the store's failures are not the caller's.
type Decided<T> = (Result<T, CallError>, Vec<Write>);

fn refused<T>(error: CallError) -> Read<Decided<T>> {
    Ok((Err(error), Vec::new()))
}

fn token_limit(most: usize) -> CallError {
    let message = format!("a domain has at most {most} tokens");
    CallError::Refused { reason: "token_limit", message }
}

fn plan(params: &mut Params) -> Result<Option<Plan>, CallError> {
    let Some(name) = params.string("plan")? else {
        return Ok(None);
    };
    let unknown = || {
        let names = Plan::ALL.map(Plan::name).join(", ");
        wrong("plan", format!("expected one of {names}, found `{name}`"))
    };
    Plan::named(&name).map(Some).ok_or_else(unknown)
}

/// Null stands for no limit.
fn limit(params: &mut Params) -> Result<Option<Option<u64>>, CallError> {
    const FIELD: &str = "monthly_render_limit";
    match params.nullable(FIELD) {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(value) => whole(FIELD, &value).map(|limit| Some(Some(limit))),
    }
}

/// A token and its value, which is told this once.
struct NewToken {
    record: Token,
    value: Secret,
}

impl NewToken {
    fn of(app: &App, domain: &str) -> NewToken {
        let id = format!("tok_{}", random_name());
        let record = Token { id, domain: domain.to_owned(), revoked: false };
        NewToken { record, value: app.parts.issuer.webhook_token() }
    }

    fn write(&self) -> Write {
        let hash = digest(self.value.expose().as_bytes());
        Write::InsertToken { token: self.record.clone(), hash }
    }

    fn to_json(&self) -> Value {
        json!({"id": self.record.id, "token": self.value.expose()})
    }
}

pub(super) async fn create(app: &Arc<App>, mut params: Params) -> Called {
    let plan = plan(&mut params)?.unwrap_or(Plan::AgencyPlus);
    let active = params.bool("active")?.unwrap_or(true);
    let monthly_render_limit = limit(&mut params)?.flatten();
    let renders_used = params.u64("renders_used")?.unwrap_or(0);
    let known_paths = params.strings("known_paths")?.unwrap_or_default();
    let tokens = params.u64("tokens")?.unwrap_or(1);
    params.done()?;
    let most = app.parts.issuer.tokens_per_domain();
    let tokens = usize::try_from(tokens).ok().filter(|tokens| *tokens <= most);
    let tokens = tokens.ok_or_else(|| token_limit(most))?;
    let now = app.clock.now();
    let name = format!("site-{}.example", random_name());
    let domain = Domain {
        name: name.clone(),
        plan,
        active,
        monthly_render_limit,
        usage: Usage { renders_used, period_start: now },
        created_at: now,
    };
    let tokens: Vec<NewToken> = (0..tokens).map(|_| NewToken::of(app, &name)).collect();
    let mut writes = vec![Write::InsertDomain { domain, known_paths }];
    writes.extend(tokens.iter().map(NewToken::write));
    transact(&*app.store, move |_| Ok(((), writes.clone()))).await?;
    let tokens: Vec<Value> = tokens.iter().map(NewToken::to_json).collect();
    Ok(json!({"domain": name, "tokens": tokens}))
}

pub(super) async fn update(app: &Arc<App>, mut params: Params) -> Called {
    let name = params.required_string("domain")?;
    let plan = plan(&mut params)?;
    let active = params.bool("active")?;
    let limit = limit(&mut params)?;
    let renders_used = params.u64("renders_used")?;
    params.done()?;
    let deciding = app.clone();
    transact(&*app.store, move |view| {
        let Some(mut domain) = view.domain(&name)? else {
            return refused(CallError::not_found("domain", &name));
        };
        domain.plan = plan.unwrap_or(domain.plan);
        domain.active = active.unwrap_or(domain.active);
        domain.monthly_render_limit = limit.unwrap_or(domain.monthly_render_limit);
        domain.usage = deciding.parts.quota.current(&domain, deciding.clock.now());
        domain.usage.renders_used = renders_used.unwrap_or(domain.usage.renders_used);
        Ok((Ok(json!({})), vec![Write::UpdateDomain(domain)]))
    })
    .await?
}

pub(super) fn inspect(app: &App, mut params: Params) -> Called {
    let name = params.required_string("domain")?;
    params.done()?;
    store::read(&*app.store, |view| {
        let Some(domain) = view.domain(&name)? else {
            return Ok(Err(CallError::not_found("domain", &name)));
        };
        let usage = app.parts.quota.current(&domain, app.clock.now());
        let live = live(view, &name)?;
        let tokens: Vec<Value> = live.iter().map(|token| json!({"id": token.id})).collect();
        Ok(Ok(json!({
            "domain": domain.name,
            "plan": domain.plan.name(),
            "active": domain.active,
            "monthly_render_limit": domain.monthly_render_limit,
            "renders_used": usage.renders_used,
            "queued_paths": view.queued_paths(&name)?,
            "tokens": tokens,
        })))
    })?
}

fn live(view: &dyn View, domain: &str) -> Read<Vec<Token>> {
    Ok(view.tokens(domain)?.into_iter().filter(|token| !token.revoked).collect())
}

pub(super) async fn delete(app: &Arc<App>, mut params: Params) -> Called {
    let name = params.required_string("domain")?;
    params.done()?;
    let deciding = app.clone();
    transact(&*app.store, move |view| {
        if view.domain(&name)?.is_none() {
            return refused(CallError::not_found("domain", &name));
        }
        let windows = windows(&deciding, view, &name, deciding.clock.now())?;
        let mut writes = vec![Write::DeleteDomain(name.clone())];
        writes.extend(windows.into_iter().map(Write::DeleteWindow));
        Ok((Ok(json!({})), writes))
    })
    .await?
}

/// The keys under which the limiter may remember something about a domain.
fn windows(app: &App, view: &dyn View, domain: &str, now: Millis) -> Read<Vec<String>> {
    let tokens = view.tokens(domain)?;
    let key = |token: &Token| app.parts.limiter.key(&Attempt { domain, token: &token.id, connection: 0, now });
    Ok(tokens.iter().map(key).collect())
}

pub(super) async fn create_token(app: &Arc<App>, mut params: Params) -> Called {
    let name = params.required_string("domain")?;
    params.done()?;
    let issuing = app.clone();
    transact(&*app.store, move |view| {
        if view.domain(&name)?.is_none() {
            return refused(CallError::not_found("domain", &name));
        }
        // rndrkit.tokens.five-per-domain
        let most = issuing.parts.issuer.tokens_per_domain();
        if live(view, &name)?.len() >= most {
            return refused(token_limit(most));
        }
        let token = NewToken::of(&issuing, &name);
        Ok((Ok(token.to_json()), vec![token.write()]))
    })
    .await?
}

pub(super) async fn revoke_token(app: &Arc<App>, mut params: Params) -> Called {
    let name = params.required_string("domain")?;
    let id = params.required_string("id")?;
    params.done()?;
    transact(&*app.store, move |view| {
        if view.domain(&name)?.is_none() {
            return refused(CallError::not_found("domain", &name));
        }
        if !live(view, &name)?.iter().any(|token| token.id == id) {
            return refused(CallError::not_found("live token", &id));
        }
        Ok((Ok(json!({})), vec![Write::RevokeToken(id.clone())]))
    })
    .await?
}
