//! What load stands on: domains and templates made for one scenario through the fixtures, and deleted after it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::stream::{self, StreamExt as _};
use scenarios::grounds::{self, Grounds, Pattern, Site};
use scenarios::plan::Needs;
use serde_json::{Value, json};

use crate::api::Api;
use crate::gather::{Leftover, World, checked_secret};
use crate::report::NotDeleted;
use crate::runner::Interrupt;
use crate::secret::{Secret, SecretBook};
use crate::target::fixtures::{FixtureError, read_result};
use crate::target::protocol::{CreatedDomain, CreatedTemplate, Method};

/// Fixture calls under way at once. Few, because an adapter may be a small script.
const CALLS_MAX: usize = 8;

/// Makes what scenarios need and remembers what must be deleted.
pub struct Maker {
    world: Arc<World>,
    sites: BTreeMap<Api, Site>,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    leftovers: Vec<Leftover>,
    book: SecretBook,
    /// Domain and a token's name → the token's id, for revoking it.
    token_ids: HashMap<(String, String), String>,
    /// A call failed: nothing more is made.
    failed: bool,
}

/// Why the grounds could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The fixtures failed.
    #[error(transparent)]
    Fixture(#[from] FixtureError),
    /// The fixtures gave another number of tokens than they were asked for.
    #[error("`domain.create`: expected {asked} tokens, found {given}")]
    Tokens {
        /// Asked for.
        asked: usize,
        /// Given.
        given: usize,
    },
    /// A signal came.
    #[error("interrupted while domains and templates were made")]
    Interrupted,
}

impl Maker {
    /// A maker for an open target; `sites` say where its APIs are.
    pub fn new(world: Arc<World>, sites: BTreeMap<Api, Site>) -> Maker {
        Maker { world, sites, made: Mutex::default() }
    }

    /// Makes fresh domains and templates.
    ///
    /// # Errors
    /// [`MakeError`]; what was made by then is deleted by [`Maker::delete`].
    pub async fn make(&self, needs: &Needs, interrupt: &Interrupt) -> Result<Grounds, MakeError> {
        self.made().failed = false;
        let domains = stream::iter(0..needs.domains).map(|_| self.domain(needs, interrupt));
        let domains = domains.buffered(CALLS_MAX);
        let templates = stream::iter(0..needs.templates)
            .map(|at| self.template(at + needs.enforcing >= needs.templates, interrupt));
        let templates = templates.buffered(CALLS_MAX);
        // Each stream is read to its end even after an error: a creation under way must not be left to itself.
        let domains: Vec<Result<grounds::Domain, MakeError>> = domains.collect().await;
        let templates: Vec<Result<grounds::Template, MakeError>> = templates.collect().await;
        Ok(Grounds {
            rndrkit: self.sites.get(&Api::Rndrkit).cloned(),
            craftkit: self.sites.get(&Api::Craftkit).cloned(),
            domains: all(domains)?,
            templates: all(templates)?,
        })
    }

    async fn domain(&self, needs: &Needs, interrupt: &Interrupt) -> Result<grounds::Domain, MakeError> {
        let paths: Vec<String> = (0..needs.paths).map(grounds::path).collect();
        let mut params = json!({"tokens": needs.tokens, "known_paths": paths});
        if let Some(renders_left) = needs.renders_left {
            params["monthly_render_limit"] = json!(renders_left);
        }
        let result = self.call(Method::DomainCreate, params, interrupt).await?;
        let created: CreatedDomain = read_result(Method::DomainCreate, &result)?;
        let mut made = self.made();
        made.leftovers.push(Leftover {
            method: Method::DomainDelete,
            parameter: "domain",
            value: created.domain.clone(),
        });
        let given = created.tokens.len();
        let mut tokens = Vec::new();
        for (at, token) in created.tokens.into_iter().enumerate() {
            let name = format!("{}.{}", created.domain, at + 1);
            let value = checked_secret(Method::DomainCreate, token.token)?;
            made.book.add(&value, &format!("token:{name}"));
            made.token_ids.insert((created.domain.clone(), name.clone()), token.id);
            tokens.push(grounds::Token { name, value: handed_over(&value) });
        }
        if given != needs.tokens {
            return Err(MakeError::Tokens { asked: needs.tokens, given });
        }
        Ok(grounds::Domain { name: created.domain, tokens, renders_left: needs.renders_left })
    }

    async fn template(&self, enforcing: bool, interrupt: &Interrupt) -> Result<grounds::Template, MakeError> {
        let variable = json!({"key": "title", "label": "Title", "dataType": "text", "required": true});
        let params = json!({"manifest": {"variables": [variable], "loops": []}, "require_signature": enforcing});
        let result = self.call(Method::TemplateCreate, params, interrupt).await?;
        let created: CreatedTemplate = read_result(Method::TemplateCreate, &result)?;
        let mut made = self.made();
        made.leftovers.push(Leftover {
            method: Method::TemplateDelete,
            parameter: "slug",
            value: created.slug.clone(),
        });
        let mut secret = |value: String, kind: &str| -> Result<scenarios::Secret, FixtureError> {
            let value = checked_secret(Method::TemplateCreate, value)?;
            made.book.add(&value, &format!("{kind}:{}", created.slug));
            Ok(handed_over(&value))
        };
        Ok(grounds::Template {
            inbound_token: secret(created.inbound_token, "inbound-token")?,
            secret: secret(created.inbound_secret, "inbound-secret")?,
            api_key: secret(created.api_key, "api-key")?,
            name: created.slug,
            requires_signature: enforcing,
            valid: Pattern(format!(r#"{{"title":"{}"}}"#, Pattern::FRESH)),
            // Without the required field, and with an object in the place of a text: refused in either case.
            invalid: vec![
                Pattern(format!(r#"{{"other":"{}"}}"#, Pattern::FRESH)),
                Pattern(format!(r#"{{"title":{{"text":"{}"}}}}"#, Pattern::FRESH)),
            ],
        })
    }

    async fn call(&self, method: Method, params: Value, interrupt: &Interrupt) -> Result<Value, MakeError> {
        if interrupt.borrow().is_some() || self.made().failed {
            return Err(MakeError::Interrupted);
        }
        let called = self.world.fixtures.call(method, params).await;
        self.made().failed |= called.is_err();
        Ok(called?)
    }

    /// The id of a token.
    pub fn token_id(&self, domain: &str, token: &str) -> Option<String> {
        self.made().token_ids.get(&(domain.to_owned(), token.to_owned())).cloned()
    }

    /// Notes something that must be undone, before it is done.
    pub fn note(&self, leftover: Leftover) {
        self.made().leftovers.push(leftover);
    }

    /// Forgets what was undone.
    pub fn forget(&self, undone: &Leftover) {
        self.made().leftovers.retain(|leftover| leftover != undone);
    }

    /// Deletes all that was made and returns what could not be deleted.
    pub async fn delete(&self) -> Vec<NotDeleted> {
        let leftovers = std::mem::take(&mut self.made().leftovers);
        let filter = &self.secrets().filter();
        let deleted = stream::iter(leftovers).map(|leftover| async move {
            let call = self.world.fixtures.call(leftover.method, leftover.params()).await;
            call.err().map(|error| NotDeleted {
                method: leftover.method.name().to_owned(),
                value: filter.text(&leftover.value),
                reason: error.cleaned(filter).to_string(),
            })
        });
        deleted.buffer_unordered(CALLS_MAX).filter_map(std::future::ready).collect().await
    }

    /// Every secret handed out so far, and those of the configuration.
    pub fn secrets(&self) -> SecretBook {
        let mut book = self.made().book.clone();
        book.merge(&self.world.secrets);
        book
    }

    /// The target.
    pub fn world(&self) -> &World {
        &self.world
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All of them, or the error that came first: the others only follow from it.
fn all<T>(made: Vec<Result<T, MakeError>>) -> Result<Vec<T>, MakeError> {
    let mut whole = Vec::new();
    let mut interrupted = false;
    for one in made {
        match one {
            Ok(one) => whole.push(one),
            Err(MakeError::Interrupted) => interrupted = true,
            Err(error) => return Err(error),
        }
    }
    if interrupted { Err(MakeError::Interrupted) } else { Ok(whole) }
}

/// The same secret in the type of the load generator, which cannot be printed either.
pub fn handed_over(secret: &Secret) -> scenarios::Secret {
    scenarios::Secret::new(secret.expose())
}
