//! What a check asks the fixtures for.

use serde_json::{Value, json};

use super::made::{Domain, DomainWish, Leftover, Subscription, Template, Token};
use super::{Gather, Stop};
use crate::secret::{SECRET_LENGTH_MAX, SECRET_LENGTH_MIN, Secret};
use crate::target::fixtures::{FixtureError, read_result};
use crate::target::protocol::{
    CreatedDomain, CreatedSubscription, CreatedTemplate, CreatedToken, InspectedDomain, InspectedRender, Method,
};

impl Gather {
    /// Makes a domain.
    ///
    /// # Errors
    /// [`Stop::NotRun`] if the fixtures cannot.
    pub async fn domain(&mut self, wish: DomainWish) -> Result<Domain, Stop> {
        let asked = wish.params.get("tokens").and_then(Value::as_u64);
        let result = self.call(Method::DomainCreate.name(), Method::DomainCreate, Value::Object(wish.params)).await?;
        let created: CreatedDomain = read_result(Method::DomainCreate, &result)?;
        self.domains += 1;
        let number = self.domains;
        let mut domain = Domain { name: created.domain, tokens: Vec::new(), number, pages: wish.pages, pages_named: 0 };
        // Checks name tokens by their place, so a missing one must be noticed here.
        let (given, asked) = (created.tokens.len(), asked.unwrap_or(1));
        for token in created.tokens.into_iter().take(usize::try_from(asked).unwrap_or(usize::MAX)) {
            self.add_token(Method::DomainCreate, &mut domain, token)?;
        }
        if u64::try_from(given) != Ok(asked) {
            return Err(Stop::NotRun(format!("domain.create was asked for {asked} tokens and gave {given}")));
        }
        Ok(domain)
    }

    /// Makes one more token for a domain, through the implementation's own way of creating tokens.
    ///
    /// # Errors
    /// [`FixtureError::Refused`] at the sixth.
    pub async fn token(&mut self, label: &str, domain: &mut Domain) -> Result<(), FixtureError> {
        let params = json!({"domain": domain.name});
        let result = self.call(label, Method::TokenCreate, params).await?;
        let created: CreatedToken = read_result(Method::TokenCreate, &result)?;
        self.add_token(Method::TokenCreate, domain, created)
    }

    fn add_token(&mut self, method: Method, domain: &mut Domain, created: CreatedToken) -> Result<(), FixtureError> {
        let name = format!("token:d{}.{}", domain.number, domain.tokens.len() + 1);
        let value = self.secret(method, created.token, &name)?;
        given(method, &value)?;
        domain.tokens.push(Token { id: created.id, value });
        Ok(())
    }

    /// A secret that the fixtures made, put down under a name.
    fn secret(&mut self, method: Method, value: String, name: &str) -> Result<Secret, FixtureError> {
        let value = checked_secret(method, value)?;
        self.book.add(&value, name);
        Ok(value)
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// [`Stop::NotRun`] if the fixtures cannot.
    pub async fn revoke(&mut self, domain: &Domain, token: &Token) -> Result<(), Stop> {
        let params = json!({"domain": domain.name, "id": token.id});
        self.call(Method::TokenRevoke.name(), Method::TokenRevoke, params).await?;
        Ok(())
    }

    /// Changes a domain; `changes` are parameters of `domain.update`.
    ///
    /// # Errors
    /// [`Stop::NotRun`] if the fixtures cannot.
    pub async fn update_domain(&mut self, domain: &Domain, mut changes: Value) -> Result<(), Stop> {
        changes["domain"] = json!(domain.name);
        self.call(Method::DomainUpdate.name(), Method::DomainUpdate, changes).await?;
        Ok(())
    }

    /// Reads a domain's state as evidence under `label`.
    ///
    /// # Errors
    /// [`Stop::NotRun`] if the fixtures cannot.
    pub async fn inspect_domain(&mut self, label: &str, domain: &Domain) -> Result<Value, Stop> {
        let state = self.call(label, Method::DomainInspect, json!({"domain": domain.name})).await?;
        read_result::<InspectedDomain>(Method::DomainInspect, &state)?;
        Ok(state)
    }

    /// Reads a render as evidence under `label`.
    ///
    /// # Errors
    /// [`Stop::NotRun`] if the fixtures cannot.
    pub async fn inspect_render(&mut self, label: &str, id: &str) -> Result<Value, Stop> {
        let render = self.call(label, Method::RenderInspect, json!({"id": id})).await?;
        read_result::<InspectedRender>(Method::RenderInspect, &render)?;
        Ok(render)
    }

    /// Makes a template; `options` are parameters of `template.create` besides the manifest.
    ///
    /// # Errors
    /// [`Stop::NotRun`] if the fixtures cannot.
    pub async fn template(&mut self, manifest: &Value, options: Value) -> Result<Template, Stop> {
        let template = self.template_as_made(manifest, options).await?;
        for credential in [&template.inbound_token, &template.inbound_secret, &template.api_key] {
            given(Method::TemplateCreate, credential)?;
        }
        Ok(template)
    }

    /// As [`Gather::template`], be its credentials empty or not.
    ///
    /// # Errors
    /// [`Stop::NotRun`] if the fixtures cannot.
    pub async fn template_as_made(&mut self, manifest: &Value, mut options: Value) -> Result<Template, Stop> {
        options["manifest"] = manifest.clone();
        let result = self.call(Method::TemplateCreate.name(), Method::TemplateCreate, options).await?;
        let created: CreatedTemplate = read_result(Method::TemplateCreate, &result)?;
        self.templates += 1;
        let name = format!("t{}", self.templates);
        let method = Method::TemplateCreate;
        let inbound_token = self.secret(method, created.inbound_token, &format!("inbound-token:{name}"))?;
        let inbound_secret = self.secret(method, created.inbound_secret, &format!("inbound-secret:{name}"))?;
        let api_key = self.secret(method, created.api_key, &format!("api-key:{name}"))?;
        Ok(Template {
            template_id: created.template_id,
            slug: created.slug,
            inbound_token,
            inbound_secret,
            project: created.project,
            api_key,
            name,
        })
    }

    /// Changes a template; `changes` are parameters of `template.update`.
    ///
    /// # Errors
    /// [`Stop::NotRun`] if the fixtures cannot.
    pub async fn update_template(&mut self, template: &Template, mut changes: Value) -> Result<(), Stop> {
        changes["slug"] = json!(template.slug);
        self.call(Method::TemplateUpdate.name(), Method::TemplateUpdate, changes).await?;
        Ok(())
    }

    /// Subscribes a URL to a project's outgoing webhooks.
    ///
    /// # Errors
    /// [`Stop::NotRun`] if the fixtures cannot.
    pub async fn subscription(&mut self, project: &str, url: &str, events: &[&str]) -> Result<Subscription, Stop> {
        let params = json!({"project": project, "url": url, "events": events});
        let result = self.call(Method::SubscriptionCreate.name(), Method::SubscriptionCreate, params).await?;
        let created: CreatedSubscription = read_result(Method::SubscriptionCreate, &result)?;
        self.subscriptions += 1;
        let name = format!("subscription-secret:s{}", self.subscriptions);
        let secret = self.secret(Method::SubscriptionCreate, created.secret, &name)?;
        given(Method::SubscriptionCreate, &secret)?;
        Ok(Subscription { id: created.id, secret })
    }

    /// Takes the render queue down or brings it back. Only for checks that need exclusivity.
    ///
    /// # Errors
    /// [`Stop::NotRun`] if the fixtures cannot.
    pub async fn set_queue(&mut self, available: bool) -> Result<(), Stop> {
        let outage = Leftover { method: Method::QueueSet, parameter: "available", value: "true".to_owned() };
        if !available {
            // Noted before the call: an interruption in the middle of it must not leave the queue down.
            self.leftovers.push(outage.clone());
        }
        self.call(Method::QueueSet.name(), Method::QueueSet, json!({"available": available})).await?;
        if available {
            self.leftovers.retain(|leftover| *leftover != outage);
        }
        Ok(())
    }
}

/// Complains of an empty secret: nobody could judge by it what a target does with the one it really made.
fn given(method: Method, secret: &Secret) -> Result<(), FixtureError> {
    if secret.expose().is_empty() {
        let expected = "the secret that was made".to_owned();
        return Err(FixtureError::Broken { method: method.name(), expected, found: "an empty one".to_owned() });
    }
    Ok(())
}

/// A secret that the fixtures made. Too short a one could not be told from ordinary text in a report, and what it takes to look for
/// one grows with its length. An empty one has nothing to hide; a rule may judge it.
///
/// # Errors
/// [`FixtureError::Broken`] for any other.
pub fn checked_secret(method: Method, value: String) -> Result<Secret, FixtureError> {
    let length = value.len();
    let fits = length == 0 || (SECRET_LENGTH_MIN..=SECRET_LENGTH_MAX).contains(&length);
    if !fits || value.chars().any(char::is_control) {
        let expected =
            format!("a secret of {SECRET_LENGTH_MIN} to {SECRET_LENGTH_MAX} bytes without control characters");
        let found = format!("another one of {length} bytes");
        return Err(FixtureError::Broken { method: method.name(), expected, found });
    }
    Ok(Secret::new(value))
}
