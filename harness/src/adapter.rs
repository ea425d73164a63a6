//! Tries every method of a target's fixtures and says what is wrong with the adapter, before anyone blames the implementation.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::api::Api;
use crate::gather::World;
use crate::runner::Interrupt;
use crate::runner::open::OpenTarget;
use crate::secret::{SecretBook, SecretFilter};
use crate::target::fixtures::{FixtureError, read_result};
use crate::target::http::Request;
use crate::target::protocol::{ClockNow, CreatedDomain, CreatedSubscription, CreatedTemplate, CreatedToken, Method};

/// Tokens a domain can have.
const TOKENS_MAX: usize = 5;

/// What came of trying one method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It does what the protocol says.
    Works,
    /// It is not offered; rules that need it are not run.
    Missing,
    /// It could not be tried, because something it rests on failed.
    Untried(String),
    /// It does something else.
    Wrong(String),
}

/// The methods in the protocol's order, each with what came of it.
pub type Account = Vec<(Method, Outcome)>;

/// What a step found: nothing wrong, or a reason.
type Step = Result<(), Outcome>;

impl From<FixtureError> for Outcome {
    fn from(error: FixtureError) -> Outcome {
        match error {
            FixtureError::Missing(_) => Outcome::Missing,
            other => Outcome::Wrong(other.to_string()),
        }
    }
}

/// Tries every method, until a signal comes. What is made is deleted again as far as the adapter can. The filter knows every secret
/// that the adapter gave out.
pub async fn try_all(target: &OpenTarget, interrupt: &Interrupt) -> (Account, SecretFilter) {
    let mut trial =
        Trial { world: &target.world, secrets: SecretBook::default(), domain: None, template: None, project: None };
    let mut account = Vec::new();
    for method in Method::ALL {
        if deletes(method) || interrupt.borrow().is_some() {
            continue;
        }
        let outcome = trial.try_one(method).await;
        account.push((method, outcome));
    }
    for method in Method::ALL.into_iter().filter(|method| deletes(*method)) {
        let outcome = trial.try_one(method).await;
        account.push((method, outcome));
    }
    account.sort_by_key(|(method, _)| *method);
    let mut secrets = trial.secrets;
    secrets.merge(&target.world.secrets);
    let filter = secrets.filter();
    let account = account.into_iter().map(|(method, outcome)| match outcome {
        Outcome::Wrong(why) => (method, Outcome::Wrong(filter.text(&why))),
        other => (method, other),
    });
    (account.collect(), filter)
}

/// Deleting methods come last: the others need what they delete.
fn deletes(method: Method) -> bool {
    matches!(method, Method::DomainDelete | Method::TemplateDelete)
}

struct Trial<'a> {
    world: &'a World,
    secrets: SecretBook,
    domain: Option<CreatedDomain>,
    template: Option<CreatedTemplate>,
    project: Option<String>,
}

impl Trial<'_> {
    async fn try_one(&mut self, method: Method) -> Outcome {
        if method != Method::Hello && !self.world.methods.contains(&method) {
            return Outcome::Missing;
        }
        let step = match method {
            Method::Hello => self.hello().await,
            Method::DomainCreate => self.domain_create().await,
            Method::DomainUpdate => self.domain_update().await,
            Method::DomainInspect => self.domain_inspect().await,
            Method::DomainDelete => self.domain_delete().await,
            Method::TokenCreate => self.token_create().await,
            Method::TokenRevoke => self.token_revoke().await,
            Method::TemplateCreate => self.template_create().await,
            Method::TemplateUpdate => self.template_update().await,
            Method::TemplateDelete => self.template_delete().await,
            Method::RenderInspect => self.render_inspect().await,
            Method::SubscriptionCreate => self.subscription_create().await,
            Method::QueueSet => self.queue_set().await,
            Method::ClockAdvance => self.clock_advance().await,
        };
        step.err().unwrap_or(Outcome::Works)
    }

    async fn call(&self, method: Method, params: Value) -> Result<Value, FixtureError> {
        self.world.fixtures.call(method, params).await
    }

    /// `hello` itself was answered when the target was opened; here is what no other call shows.
    async fn hello(&self) -> Step {
        const NO_METHOD: &str = "hookproof.no.such.method";
        match self.world.fixtures.call_named(NO_METHOD, json!({})).await {
            Err(FixtureError::Missing(_)) => Ok(()),
            other => wrong("an unknown method to be answered with error -32601", &describe(&other)),
        }
    }

    async fn domain_create(&mut self) -> Step {
        let domain = self.make_domain(json!({"tokens": 2, "known_paths": ["/page-1"]})).await?;
        let values: BTreeSet<&str> = domain.tokens.iter().map(|token| token.token.as_str()).collect();
        if domain.domain.is_empty() || values.len() != 2 {
            return wrong(
                "a name and two different tokens for `tokens: 2`",
                &format!("{} different tokens", values.len()),
            );
        }
        self.domain = Some(domain);
        let default = self.make_domain(json!({})).await?;
        let count = default.tokens.len();
        self.call(Method::DomainDelete, json!({"domain": default.domain})).await.ok();
        if count != 1 {
            return wrong("one token where `tokens` is not given", &format!("{count}"));
        }
        self.refuses(Method::DomainCreate, json!({"tokens": TOKENS_MAX + 1}), "token_limit").await?;
        self.rejects(Method::DomainCreate, json!({"tokens": "two"})).await
    }

    async fn make_domain(&mut self, params: Value) -> Result<CreatedDomain, Outcome> {
        let result = self.call(Method::DomainCreate, params).await?;
        let domain: CreatedDomain = read_result(Method::DomainCreate, &result)?;
        for token in &domain.tokens {
            self.secrets.add(&crate::secret::Secret::new(token.token.clone()), "token");
        }
        Ok(domain)
    }

    fn domain(&self) -> Result<&CreatedDomain, Outcome> {
        self.domain.as_ref().ok_or_else(|| Outcome::Untried("`domain.create` gave no domain".to_owned()))
    }

    async fn inspect(&self) -> Result<Value, Outcome> {
        Ok(self.call(Method::DomainInspect, json!({"domain": self.domain()?.domain})).await?)
    }

    async fn domain_update(&self) -> Step {
        let domain = &self.domain()?.domain;
        let changes =
            json!({"domain": domain, "plan": "pro", "active": false, "monthly_render_limit": 7, "renders_used": 3});
        self.call(Method::DomainUpdate, changes).await?;
        if self.world.methods.contains(&Method::DomainInspect) {
            let seen = self.inspect().await?;
            for (field, value) in [
                ("plan", json!("pro")),
                ("active", json!(false)),
                ("monthly_render_limit", json!(7)),
                ("renders_used", json!(3)),
            ] {
                expect_field(&seen, field, &value)?;
            }
        }
        let back = json!({"domain": domain, "plan": "agency_plus", "active": true, "monthly_render_limit": null, "renders_used": 0});
        self.call(Method::DomainUpdate, back).await?;
        self.refuses(
            Method::DomainUpdate,
            json!({"domain": "hookproof-no-such-domain.example", "plan": "pro"}),
            "not_found",
        )
        .await
    }

    async fn domain_inspect(&self) -> Step {
        let seen = self.inspect().await?;
        let domain = self.domain()?;
        for (field, value) in [
            ("domain", json!(domain.domain)),
            ("plan", json!("agency_plus")),
            ("active", json!(true)),
            ("monthly_render_limit", Value::Null),
            ("renders_used", json!(0)),
            ("queued_paths", json!([])),
        ] {
            expect_field(&seen, field, &value)?;
        }
        let ids = live_ids(&seen);
        let made: BTreeSet<String> = domain.tokens.iter().map(|token| token.id.clone()).collect();
        if ids != made {
            return wrong(
                "`tokens` to list the live tokens' ids",
                &format!("{} of them", ids.intersection(&made).count()),
            );
        }
        Ok(())
    }

    async fn token_create(&mut self) -> Step {
        let domain = self.domain()?.domain.clone();
        let present = self.domain()?.tokens.len();
        for _ in present..TOKENS_MAX {
            let result = self.call(Method::TokenCreate, json!({"domain": domain})).await?;
            let token: CreatedToken = read_result(Method::TokenCreate, &result)?;
            self.secrets.add(&crate::secret::Secret::new(token.token), "token");
        }
        self.refuses(Method::TokenCreate, json!({"domain": domain}), "token_limit").await
    }

    async fn token_revoke(&self) -> Step {
        let domain = self.domain()?;
        let id = &domain.tokens[0].id;
        self.call(Method::TokenRevoke, json!({"domain": domain.domain, "id": id})).await?;
        if self.world.methods.contains(&Method::DomainInspect) && live_ids(&self.inspect().await?).contains(id) {
            return wrong("`domain.inspect` to list live tokens only", "the revoked one, too");
        }
        Ok(())
    }

    async fn domain_delete(&self) -> Step {
        let domain = &self.domain()?.domain;
        self.call(Method::DomainDelete, json!({"domain": domain})).await?;
        if self.world.methods.contains(&Method::DomainInspect) {
            self.refuses(Method::DomainInspect, json!({"domain": domain}), "not_found").await?;
        }
        Ok(())
    }

    async fn template_create(&mut self) -> Step {
        let first = self.make_template(json!({"manifest": manifest("name")})).await?;
        let second = self
            .make_template(json!({"manifest": manifest("name"), "published": false, "require_signature": true}))
            .await?;
        let same = self.make_template(json!({"manifest": manifest("name"), "project": first.project})).await?;
        for extra in [&second, &same] {
            self.call(Method::TemplateDelete, json!({"slug": extra.slug})).await.ok();
        }
        let (projects, joined) = (first.project != second.project, first.project == same.project);
        self.project = Some(first.project.clone());
        self.template = Some(first);
        if !projects {
            return wrong("a new project for each template made without `project`", "the same project twice");
        }
        if !joined {
            return wrong("the project given as `project`", "another one");
        }
        self.rejects(Method::TemplateCreate, json!({"manifest": "none"})).await
    }

    async fn make_template(&mut self, params: Value) -> Result<CreatedTemplate, Outcome> {
        let result = self.call(Method::TemplateCreate, params).await?;
        let template: CreatedTemplate = read_result(Method::TemplateCreate, &result)?;
        for (secret, name) in [
            (&template.inbound_token, "inbound-token"),
            (&template.inbound_secret, "inbound-secret"),
            (&template.api_key, "api-key"),
        ] {
            self.secrets.add(&crate::secret::Secret::new(secret.clone()), name);
        }
        Ok(template)
    }

    fn template(&self) -> Result<&CreatedTemplate, Outcome> {
        self.template.as_ref().ok_or_else(|| Outcome::Untried("`template.create` gave no template".to_owned()))
    }

    async fn template_update(&self) -> Step {
        let slug = &self.template()?.slug;
        self.call(Method::TemplateUpdate, json!({"slug": slug, "manifest": manifest("title")})).await?;
        self.call(Method::TemplateUpdate, json!({"slug": slug, "require_signature": false})).await?;
        self.refuses(
            Method::TemplateUpdate,
            json!({"slug": "hookproof-no-such-template", "published": true}),
            "not_found",
        )
        .await
    }

    async fn template_delete(&self) -> Step {
        self.call(Method::TemplateDelete, json!({"slug": self.template()?.slug})).await?;
        Ok(())
    }

    async fn render_inspect(&self) -> Step {
        const NO_RENDER: &str = "0193c2c3-0000-7000-8000-000000000000";
        self.refuses(Method::RenderInspect, json!({"id": NO_RENDER}), "not_found").await?;
        let Some(client) = self.world.clients.get(&Api::Craftkit) else { return Ok(()) };
        let path = format!("/v1/hooks/{}", self.template()?.inbound_token);
        let body = json!({"name": "a", "title": "a"});
        let request =
            Request::new("render", Api::Craftkit, "POST", path).header("Content-Type", "application/json").json(&body);
        let accepted = client.send(&request, 0).await.json();
        let id = accepted.as_ref().and_then(|body| body.get("id")).and_then(Value::as_str);
        let Some(id) = id else { return Err(Outcome::Untried("the hook accepted no render to look at".to_owned())) };
        let seen = self.call(Method::RenderInspect, json!({"id": id})).await?;
        expect_field(&seen, "id", &json!(id))?;
        expect_field(&seen, "slug", &json!(self.template()?.slug))?;
        if seen.get("version").and_then(Value::as_i64).is_none() || !seen.get("data").is_some_and(Value::is_object) {
            return wrong("`version` (a number) and `data` (an object)", "others");
        }
        Ok(())
    }

    async fn subscription_create(&self) -> Step {
        let Some(project) = &self.project else {
            return Err(Outcome::Untried("`template.create` gave no project".to_owned()));
        };
        let params = json!({"project": project, "url": "http://127.0.0.1:9/", "events": []});
        let result = self.call(Method::SubscriptionCreate, params).await?;
        read_result::<CreatedSubscription>(Method::SubscriptionCreate, &result)?;
        Ok(())
    }

    async fn queue_set(&self) -> Step {
        let down = self.call(Method::QueueSet, json!({"available": false})).await;
        self.call(Method::QueueSet, json!({"available": true})).await?;
        down?;
        self.rejects(Method::QueueSet, json!({"available": "no"})).await
    }

    async fn clock_advance(&self) -> Step {
        const STEP_MS: i64 = 1000;
        let before = self.now(0).await?;
        let after = self.now(STEP_MS).await?;
        let moved_ms = after.as_millisecond() - before.as_millisecond();
        if moved_ms < STEP_MS {
            return wrong(&format!("the clock to move by {STEP_MS} ms"), &format!("{moved_ms} ms"));
        }
        self.rejects(Method::ClockAdvance, json!({"ms": "soon"})).await
    }

    async fn now(&self, ms: i64) -> Result<jiff::Timestamp, Outcome> {
        let result = self.call(Method::ClockAdvance, json!({"ms": ms})).await?;
        let now: ClockNow = read_result(Method::ClockAdvance, &result)?;
        Ok(now.now)
    }

    /// The call must be refused with this `data.reason`.
    async fn refuses(&self, method: Method, params: Value, reason: &str) -> Step {
        match self.call(method, params.clone()).await {
            Err(FixtureError::Refused { reason: found, .. }) if found == reason => Ok(()),
            other => wrong(&format!("error -32000 with `data.reason` {reason:?} for {params}"), &describe(&other)),
        }
    }

    /// The call must be refused for its parameters.
    async fn rejects(&self, method: Method, params: Value) -> Step {
        match self.call(method, params.clone()).await {
            Err(FixtureError::Broken { found, .. }) if found.starts_with("-32602") => Ok(()),
            other => wrong(&format!("error -32602 for {params}"), &describe(&other)),
        }
    }
}

fn manifest(key: &str) -> Value {
    json!({"variables": [{"key": key, "label": key, "dataType": "text", "required": true}], "loops": []})
}

fn live_ids(seen: &Value) -> BTreeSet<String> {
    let tokens = seen.get("tokens").and_then(Value::as_array).into_iter().flatten();
    tokens.filter_map(|token| token.get("id")?.as_str()).map(str::to_owned).collect()
}

fn expect_field(seen: &Value, field: &str, value: &Value) -> Step {
    match seen.get(field) {
        Some(found) if found == value => Ok(()),
        found => wrong(&format!("`{field}` to be {value}"), &found.map_or("nothing".to_owned(), Value::to_string)),
    }
}

fn wrong(expected: &str, found: &str) -> Step {
    Err(Outcome::Wrong(format!("expected {expected}, found {found}")))
}

fn describe(answer: &Result<Value, FixtureError>) -> String {
    match answer {
        Ok(_) => "a result".to_owned(),
        Err(error) => error.to_string(),
    }
}
