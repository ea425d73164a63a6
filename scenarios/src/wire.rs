//! Jobs as requests: bodies, credentials, signatures, and which answers a working server gives.

use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use sha2::Sha256;

use crate::grounds::{Domain, Grounds, Template, path};
use crate::history::Action;
use crate::outcome::Operation;
use crate::plan::{Job, Plan, RefreshBody, RenderForm};
use crate::run::LoadError;
use crate::scenario::Scenario;
use crate::secret::Secret;
use crate::send::{Door, Request};

const REFRESH_PATH: &str = "/api/webhook/refresh";
const HOOK_PATH: &str = "/v1/hooks/";
const SIGNATURE: HeaderName = HeaderName::from_static("x-craftkit-signature");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Everything that requests are made of, prepared once.
pub(crate) struct Wire {
    rndrkit: Option<(Door, Uri)>,
    craftkit: Option<Door>,
    /// By domain and token.
    bearers: Vec<Vec<HeaderValue>>,
    templates: Vec<Sealed>,
    fresh: String,
}

/// A template with what its requests need.
struct Sealed {
    hook: Uri,
    key: HeaderValue,
    mac: Hmac<Sha256>,
}

impl Wire {
    /// Prepares requests for a plan.
    ///
    /// # Errors
    /// [`LoadError`] when something is missing that the plan needs, or cannot be sent.
    pub(crate) fn new(plan: &Plan, grounds: &Grounds) -> Result<Wire, LoadError> {
        complete(plan, grounds)?;
        let unusable = |what: &str| LoadError::Grounds {
            expected: format!("{what} that a header or a URL can hold"),
            found: "one with other characters".to_owned(),
        };
        let rndrkit = grounds.rndrkit.as_ref().map(Door::new).transpose()?;
        let rndrkit = rndrkit.map(|door| door.uri(REFRESH_PATH).map(|uri| (door, uri))).transpose();
        let craftkit = grounds.craftkit.as_ref().map(Door::new).transpose()?;
        let bearer = |token: &Secret| {
            let value = HeaderValue::try_from(format!("Bearer {}", token.reveal()));
            let mut value = value.map_err(|_| unusable("a token"))?;
            value.set_sensitive(true);
            Ok::<_, LoadError>(value)
        };
        let tokens = |domain: &Domain| domain.tokens.iter().map(|token| bearer(&token.value)).collect();
        let seal = |template: &Template| {
            let door = craftkit.as_ref().expect("there are templates only where there is a site");
            let hook = door.uri(&format!("{HOOK_PATH}{}", template.inbound_token.reveal()));
            Ok::<_, LoadError>(Sealed {
                hook: hook.map_err(|_| unusable("an inbound token"))?,
                key: bearer(&template.api_key)?,
                mac: Hmac::new_from_slice(template.secret.reveal().as_bytes()).expect("HMAC takes keys of any length"),
            })
        };
        Ok(Wire {
            bearers: grounds.domains.iter().map(tokens).collect::<Result<_, _>>()?,
            templates: grounds.templates.iter().map(seal).collect::<Result<_, _>>()?,
            rndrkit: rndrkit.map_err(|_| unusable("a base URL"))?,
            craftkit,
            fresh: plan.hash().to_string(),
        })
    }

    pub(crate) fn rndrkit(&self) -> Option<&Door> {
        self.rndrkit.as_ref().map(|(door, _)| door)
    }

    pub(crate) fn craftkit(&self) -> Option<&Door> {
        self.craftkit.as_ref()
    }

    /// The request of a refresh.
    pub(crate) fn refresh(&self, domain: usize, token: usize, body: RefreshBody) -> Request {
        let (door, uri) = self.rndrkit.as_ref().expect("a plan is carried out only where its APIs are");
        let body = match body {
            RefreshBody::Paths { first, count } => {
                let paths: Vec<String> = (first..first + count).map(|index| format!("\"{}\"", path(index))).collect();
                Bytes::from(format!("{{\"urls\":[{}]}}", paths.join(",")))
            }
            RefreshBody::Missing => Bytes::from_static(b"{}"),
            RefreshBody::NoPath => Bytes::from_static(br#"{"urls":["no-path"]}"#),
        };
        let mut request = door.request(Method::POST, uri.clone(), body);
        request.headers_mut().insert(AUTHORIZATION, self.bearers[domain][token].clone());
        request.headers_mut().insert(CONTENT_TYPE, JSON);
        request
    }

    /// The request of a render. `index` makes it a new one.
    pub(crate) fn render(&self, number: usize, template: &Template, form: RenderForm, index: usize) -> Request {
        let door = self.craftkit.as_ref().expect("a plan is carried out only where its APIs are");
        let sealed = &self.templates[number];
        let pattern = match form {
            RenderForm::Invalid => &template.invalid[index % template.invalid.len()],
            _ => &template.valid,
        };
        let body = pattern.filled(&format!("a{}-{index}", self.fresh));
        let signature = match form {
            RenderForm::Unsigned => None,
            RenderForm::Signed | RenderForm::Invalid => Some(sealed.signature(&body)),
            // Another body of the same form and length: all that is wrong is that it is not this one.
            RenderForm::Tampered => Some(sealed.signature(&pattern.filled(&format!("b{}-{index}", self.fresh)))),
        };
        let mut request = door.request(Method::POST, sealed.hook.clone(), Bytes::from(body));
        request.headers_mut().insert(CONTENT_TYPE, JSON);
        if let Some(signature) = signature {
            request.headers_mut().insert(SIGNATURE, signature);
        }
        request
    }

    /// The request of a poll; none if the path cannot be one.
    pub(crate) fn poll(&self, template: usize, poll: &str) -> Option<Request> {
        let door = self.craftkit.as_ref()?;
        let mut request = door.request(Method::GET, door.uri_at_origin(poll).ok()?, Bytes::new());
        request.headers_mut().insert(AUTHORIZATION, self.templates[template].key.clone());
        Some(request)
    }
}

impl Sealed {
    fn signature(&self, body: &str) -> HeaderValue {
        let mut mac = self.mac.clone();
        mac.update(body.as_bytes());
        let digest = hex::encode(mac.finalize().into_bytes());
        HeaderValue::try_from(digest).expect("hexadecimal digits can be a header's value")
    }
}

/// Refuses grounds that lack something.
fn complete(plan: &Plan, grounds: &Grounds) -> Result<(), LoadError> {
    let needs = &plan.needs;
    let lacks = |expected: String, found: String| Err(LoadError::Grounds { expected, found });
    let sites = [
        ("RndrKit's base URL", needs.domains > 0, grounds.rndrkit.is_some()),
        ("CraftKit's base URL", needs.templates > 0, grounds.craftkit.is_some()),
    ];
    if let Some((what, ..)) = sites.iter().find(|(_, needed, there)| *needed && !there) {
        return lacks((*what).to_owned(), "none".to_owned());
    }
    if grounds.domains.len() < needs.domains {
        return lacks(format!("{} domains", needs.domains), grounds.domains.len().to_string());
    }
    if let Some(domain) = grounds.domains.iter().find(|domain| domain.tokens.len() < needs.tokens) {
        return lacks(format!("{} tokens for each domain", needs.tokens), format!("{}", domain.tokens.len()));
    }
    if grounds.templates.len() < needs.templates {
        return lacks(format!("{} templates", needs.templates), grounds.templates.len().to_string());
    }
    if let Some(template) = grounds.templates.iter().find(|template| template.invalid.is_empty()) {
        return lacks("an invalid body for each template".to_owned(), format!("none for {}", template.name));
    }
    let first_enforcing = needs.templates - needs.enforcing;
    for (index, template) in grounds.templates.iter().take(needs.templates).enumerate() {
        let needed = index >= first_enforcing;
        if template.requires_signature != needed {
            let form = |requires| if requires { "that requires signatures" } else { "that requires no signature" };
            return lacks(format!("template {index} {}", form(needed)), format!("one {}", form(!needed)));
        }
    }
    Ok(())
}

/// What the history says a job does; none for those that are no request.
pub(crate) fn action(job: Job, grounds: &Grounds) -> Action {
    match job {
        Job::Refresh { domain, token, body, .. } => {
            let domain = &grounds.domains[domain];
            let pages = match body {
                RefreshBody::Paths { count, .. } => count as u64,
                RefreshBody::Missing | RefreshBody::NoPath => 0,
            };
            let token = Some(domain.tokens[token].name.clone());
            Action::Refresh { domain: domain.name.clone(), token, pages: Some(pages) }
        }
        Job::Render { template, .. } => {
            Action::Render { template: grounds.templates[template].name.clone(), token: None }
        }
        Job::Advance { ms } => Action::Advance { ms },
        Job::Queue { available } => Action::Queue { available },
        Job::Revoke { domain, token } => {
            let domain = &grounds.domains[domain];
            Action::Revoke { domain: domain.name.clone(), token: domain.tokens[token].name.clone() }
        }
    }
}

/// The kind that a job is counted as.
pub(crate) fn operation(job: Job) -> Operation {
    match job {
        Job::Refresh { flood: true, .. } => Operation::Flood,
        Job::Render { .. } => Operation::Render,
        _ => Operation::Refresh,
    }
}

/// What surprises call a job.
pub(crate) fn title(job: Job) -> &'static str {
    match job {
        Job::Refresh { body: RefreshBody::Missing, .. } => "refresh of nothing",
        Job::Refresh { body: RefreshBody::NoPath, .. } => "refresh of no path",
        Job::Refresh { .. } => "refresh",
        Job::Render { form: RenderForm::Signed, .. } => "render, signed",
        Job::Render { form: RenderForm::Unsigned, .. } => "render, unsigned",
        Job::Render { form: RenderForm::Tampered, .. } => "render, tampered with",
        Job::Render { form: RenderForm::Invalid, .. } => "render, invalid",
        Job::Advance { .. } | Job::Queue { .. } | Job::Revoke { .. } => "control",
    }
}

/// Whether a job must not be accepted.
pub(crate) fn must_be_refused(job: Job, template_requires_signature: bool) -> bool {
    match job {
        Job::Refresh { body: RefreshBody::Missing | RefreshBody::NoPath, .. } => true,
        Job::Render { form: RenderForm::Tampered | RenderForm::Invalid, .. } => true,
        Job::Render { form: RenderForm::Unsigned, .. } => template_requires_signature,
        _ => false,
    }
}

/// Whether a working server may answer a job with this status in this scenario. Errors are counted by it; whether limits held is read from the
/// history alone.
pub(crate) fn is_expected(scenario: Scenario, job: Job, template_requires_signature: bool, status: u16) -> bool {
    const REVOKED: u16 = 401;
    const EXHAUSTED: u16 = 403;
    const TOO_MANY: u16 = 429;
    const UNAVAILABLE: u16 = 503;
    let refused = must_be_refused(job, template_requires_signature);
    match job {
        Job::Refresh { .. } => {
            status == if refused { 400 } else { 200 }
                || status == TOO_MANY
                || status == EXHAUSTED && scenario == Scenario::QuotaDrain
                || status == REVOKED && scenario == Scenario::Revocation
        }
        Job::Render { form, .. } => {
            let usual = match form {
                RenderForm::Invalid => 400,
                _ if refused => 401,
                _ => 202,
            };
            status == usual || status == UNAVAILABLE && scenario == Scenario::QueueOutage
        }
        Job::Advance { .. } | Job::Queue { .. } | Job::Revoke { .. } => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNSIGNED: Job = Job::Render { template: 0, form: RenderForm::Unsigned };

    #[test]
    fn what_is_accepted_depends_on_what_was_sent() {
        #[track_caller]
        fn check(scenario: Scenario, job: Job, enforcing: bool, expected: &[u16]) {
            let all = [200, 202, 400, 401, 403, 404, 409, 429, 500, 503];
            let found: Vec<u16> =
                all.into_iter().filter(|status| is_expected(scenario, job, enforcing, *status)).collect();
            assert_eq!(found, expected, "{scenario} {job:?}");
        }
        let refresh = |body| Job::Refresh { domain: 0, token: 0, body, flood: false };
        let paths = refresh(RefreshBody::Paths { first: 0, count: 1 });
        check(Scenario::FirstWindow, paths, false, &[200, 429]);
        check(Scenario::QuotaDrain, paths, false, &[200, 403, 429]);
        check(Scenario::Revocation, paths, false, &[200, 401, 429]);
        check(Scenario::InvalidMix, refresh(RefreshBody::Missing), false, &[400, 429]);
        check(Scenario::InboundRenders, UNSIGNED, false, &[202]);
        check(Scenario::InboundRenders, UNSIGNED, true, &[401]);
        check(Scenario::QueueOutage, UNSIGNED, false, &[202, 503]);
        let tampered = Job::Render { template: 0, form: RenderForm::Tampered };
        check(Scenario::InboundRenders, tampered, false, &[401]);
    }
}
