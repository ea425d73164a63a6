//! Credentials that templates share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use super::wraps::signed_by;
use crate::clock::Millis;
use crate::craftkit::signature::verify;
use crate::deviations::Deviation;
use crate::parts::{Issuer, Parts, RandomIssuer};
use crate::secret::Secret;

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        name: "secret-per-project",
        defect: "gives all templates of a project one secret",
        why: "secrets were made to belong to the account, as API keys do",
        turns_red: &["craftkit.template.own-credentials"],
        consequences: &[],
        change: |parts| issued_by(parts, |(token, _), (_, first)| (token, first)),
    },
    Deviation {
        name: "token-per-project",
        defect: "gives all templates of a project one token",
        why: "the token is derived from the project alone",
        turns_red: &["craftkit.template.own-credentials"],
        // Two templates behind one token cannot both judge a body.
        consequences: &["craftkit.token.selects-template"],
        change: |parts| issued_by(parts, |(_, secret), (first, _)| (first, secret)),
    },
    Deviation {
        name: "secret-for-everybody",
        defect: "gives all templates of all projects one secret",
        why: "the secret is an environment variable of the server",
        turns_red: &["craftkit.template.own-credentials"],
        consequences: &[],
        change: |parts| {
            let secret = RandomIssuer.signing_secret();
            issued_by(parts, move |(token, _), _| (token, secret.clone()))
        },
    },
    Deviation {
        name: "any-secret-signs",
        defect: "accepts a signature under the secret of whichever template",
        why: "the secret is looked up by trying all, since the handler does not know the template yet",
        turns_red: &["craftkit.signature.per-template"],
        consequences: &[],
        change: |parts| {
            let known: Arc<Mutex<Vec<Secret>>> = Arc::default();
            let noting = known.clone();
            let parts = issued_by(parts, move |own, _| {
                noting.lock().unwrap_or_else(PoisonError::into_inner).push(own.1.clone());
                own
            });
            signed_by(parts, move |signed| match signed.header {
                Some(header) => {
                    let known = known.lock().unwrap_or_else(PoisonError::into_inner);
                    known.iter().any(|secret| verify(secret.expose(), signed.raw, header))
                }
                None => !signed.template.require_signature,
            })
        },
    },
];

/// Token and secret of a template.
type Credentials = (Secret, Secret);

/// Makes the credentials of a template out of its own and those of the project's first template.
fn issued_by(parts: Parts, choose: impl Fn(Credentials, Credentials) -> Credentials + Send + Sync + 'static) -> Parts {
    Parts { issuer: Arc::new(IssuedBy { choose, first: Mutex::default() }), ..parts }
}

struct IssuedBy<F> {
    choose: F,
    first: Mutex<HashMap<String, Credentials>>,
}

impl<F: Fn(Credentials, Credentials) -> Credentials + Send + Sync> Issuer for IssuedBy<F> {
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

    fn template_credentials(&self, project: &str) -> Credentials {
        let own = RandomIssuer.template_credentials(project);
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let first = first.entry(project.to_owned()).or_insert_with(|| own.clone());
        (self.choose)(own, first.clone())
    }

    fn api_key(&self) -> Secret {
        RandomIssuer.api_key()
    }

    fn render_id(&self, now: Millis) -> Uuid {
        RandomIssuer.render_id(now)
    }
}
