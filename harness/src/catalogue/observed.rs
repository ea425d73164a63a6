//! Questions that the documents leave open. They are never judged: two implementations that answer
//! them differently can both conform.
//!
//! This is a list of names and questions, and asks nothing itself. That a question is listed does
//! not mean that a run asks it: a report holds an observation for each probe that ran, and an
//! absent one says nothing about the implementation.

/// A question with a stable name, so that two runs can be compared by their answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The public name, `<api>.observe.<slug>`.
    pub id: &'static str,
    /// What an observation under this name answers.
    pub question: &'static str,
}

const fn probe(id: &'static str, question: &'static str) -> Probe {
    Probe { id, question }
}

/// What RndrKit's document leaves open.
pub const RNDRKIT: &[Probe] = &[
    // Which of two errors wins, for each pair that one request can provoke. Not here: the limit
    // against an invalid body, which is the rule `rndrkit.rate.before-validation`.
    probe("rndrkit.observe.order-header-json", "Which answer wins: no `Authorization` header, or malformed JSON?"),
    probe(
        "rndrkit.observe.order-header-body",
        "Which answer wins: no `Authorization` header, or neither `urls` nor `all`?",
    ),
    probe("rndrkit.observe.order-header-paths", "Which answer wins: no `Authorization` header, or no valid path?"),
    probe("rndrkit.observe.order-token-json", "Which answer wins: an unknown token, or malformed JSON?"),
    probe("rndrkit.observe.order-token-body", "Which answer wins: an unknown token, or neither `urls` nor `all`?"),
    probe("rndrkit.observe.order-token-paths", "Which answer wins: an unknown token, or no valid path?"),
    probe("rndrkit.observe.order-revoked-inactive", "Which answer wins: a revoked token, or an inactive domain?"),
    probe("rndrkit.observe.order-revoked-plan", "Which answer wins: a revoked token, or a plan too low?"),
    probe("rndrkit.observe.order-revoked-rate", "Which answer wins: a revoked token, or a used-up rate limit?"),
    probe("rndrkit.observe.order-revoked-quota", "Which answer wins: a revoked token, or a used-up quota?"),
    probe("rndrkit.observe.order-inactive-plan", "Which answer wins: an inactive domain, or a plan too low?"),
    probe("rndrkit.observe.order-inactive-rate", "Which answer wins: an inactive domain, or a used-up rate limit?"),
    probe("rndrkit.observe.order-inactive-json", "Which answer wins: an inactive domain, or malformed JSON?"),
    probe("rndrkit.observe.order-inactive-body", "Which answer wins: an inactive domain, or neither `urls` nor `all`?"),
    probe("rndrkit.observe.order-inactive-paths", "Which answer wins: an inactive domain, or no valid path?"),
    probe("rndrkit.observe.order-inactive-quota", "Which answer wins: an inactive domain, or a used-up quota?"),
    probe("rndrkit.observe.order-plan-rate", "Which answer wins: a plan too low, or a used-up rate limit?"),
    probe("rndrkit.observe.order-plan-json", "Which answer wins: a plan too low, or malformed JSON?"),
    probe("rndrkit.observe.order-plan-body", "Which answer wins: a plan too low, or neither `urls` nor `all`?"),
    probe("rndrkit.observe.order-plan-paths", "Which answer wins: a plan too low, or no valid path?"),
    probe("rndrkit.observe.order-plan-quota", "Which answer wins: a plan too low, or a used-up quota?"),
    probe("rndrkit.observe.order-rate-json", "Which answer wins: a used-up rate limit, or malformed JSON?"),
    probe("rndrkit.observe.order-rate-quota", "Which answer wins: a used-up rate limit, or a used-up quota?"),
    probe("rndrkit.observe.order-quota-json", "Which answer wins: a used-up quota, or malformed JSON?"),
    probe("rndrkit.observe.order-quota-body", "Which answer wins: a used-up quota, or neither `urls` nor `all`?"),
    probe("rndrkit.observe.order-quota-paths", "Which answer wins: a used-up quota, or no valid path?"),
    // What a refusal costs.
    probe("rndrkit.observe.cost-inactive", "Does a 403 for an inactive domain use up one of the ten?"),
    probe("rndrkit.observe.cost-plan", "Does a 403 for the plan use up one of the ten?"),
    probe("rndrkit.observe.cost-quota", "Does a 403 for the quota use up one of the ten?"),
    probe("rndrkit.observe.cost-revoked-token", "Does a 401 for a revoked token use up one of its domain's ten?"),
    probe("rndrkit.observe.cost-malformed-json", "Does malformed JSON use up one of the ten?"),
    probe(
        "rndrkit.observe.window-boundary",
        "Is a request at the very end of the hour counted in the old window or in a new one?",
    ),
    // Bodies.
    probe("rndrkit.observe.urls-empty-text", "Which text does an empty `urls` array get?"),
    probe("rndrkit.observe.duplicate-paths", "Is a path given twice counted once or twice?"),
    probe(
        "rndrkit.observe.mixed-order",
        "In a list of more than twenty, are invalid paths dropped before or after the cut?",
    ),
    probe("rndrkit.observe.urls-and-all", "What do valid `urls` beside `all: true` start?"),
    probe("rndrkit.observe.all-string", "Does `all: \"true\"` start a full refresh?"),
    probe("rndrkit.observe.all-number", "Does `all: 1` start a full refresh?"),
    probe("rndrkit.observe.all-object", "Does `all: {}` start a full refresh?"),
    probe("rndrkit.observe.extra-keys", "What do unknown keys in the body change?"),
    probe("rndrkit.observe.duplicate-keys", "Which of two `urls` keys in one body is used?"),
    probe("rndrkit.observe.non-object-json", "What does JSON get that is no object?"),
    probe("rndrkit.observe.content-type-missing", "What does a body without `Content-Type` get?"),
    probe("rndrkit.observe.content-type-other", "What does a JSON body get whose `Content-Type` says something else?"),
    // Paths that start with a slash and are odd all the same.
    probe("rndrkit.observe.path-double-slash", "Is `//host/page` taken as a path?"),
    probe("rndrkit.observe.path-query", "Is a path with a query taken?"),
    probe("rndrkit.observe.path-fragment", "Is a path with a fragment taken?"),
    probe("rndrkit.observe.path-dot-segments", "Is a path with `..` taken?"),
    probe("rndrkit.observe.path-spaces", "Is a path with a space inside taken?"),
    probe("rndrkit.observe.path-long", "Is a very long path taken?"),
    probe("rndrkit.observe.path-non-ascii", "Is a path with letters beyond ASCII taken?"),
    // Tokens, plans, quota.
    probe("rndrkit.observe.bearer-case", "Is `bearer` in lower case taken as the scheme?"),
    probe("rndrkit.observe.bearer-spaces", "Are spaces around the token forgiven?"),
    probe("rndrkit.observe.revoked-frees-slot", "Does revoking one of five tokens make room for a new one?"),
    probe("rndrkit.observe.plan-cancelled", "Is a plan that was cancelled still served for the time already paid?"),
    probe("rndrkit.observe.quota-overshoot", "Is a list longer than the renders left accepted, cut or refused?"),
    probe("rndrkit.observe.quota-unit-list", "Is a list charged by the page or by the request?"),
    probe("rndrkit.observe.quota-unit-full", "How much is charged for a full refresh?"),
    probe("rndrkit.observe.quota-charge-time", "Is the quota charged on acceptance or when a page is rendered?"),
    probe("rndrkit.observe.quota-period", "When does the month of the quota start?"),
    probe("rndrkit.observe.full-no-known-paths", "What does `all` get where no path is known?"),
    // HTTP.
    probe("rndrkit.observe.methods", "What do methods other than POST get?"),
    probe("rndrkit.observe.trailing-slash", "Is the endpoint served with a slash at its end?"),
    probe("rndrkit.observe.endpoint-case", "Is the endpoint served in another letter case?"),
    probe("rndrkit.observe.body-size", "From which size on is a body refused, and how?"),
    probe("rndrkit.observe.retry-after", "Does a 429 carry `Retry-After`, and which?"),
    probe("rndrkit.observe.rate-limit-headers", "Do answers carry `X-RateLimit-` headers?"),
    probe("rndrkit.observe.www-authenticate", "Does a 401 carry `WWW-Authenticate`?"),
];

/// What CraftKit's document leaves open.
pub const CRAFTKIT: &[Probe] = &[
    // Which of two errors wins, for each pair that one request can provoke.
    probe("craftkit.observe.order-token-signature", "Which answer wins: an unknown token, or a wrong signature?"),
    probe("craftkit.observe.order-token-json", "Which answer wins: an unknown token, or a body that is no JSON?"),
    probe("craftkit.observe.order-token-queue", "Which answer wins: an unknown token, or an unreachable queue?"),
    probe("craftkit.observe.order-signature-json", "Which answer wins: a wrong signature, or a body that is no JSON?"),
    probe(
        "craftkit.observe.order-signature-version",
        "Which answer wins: a wrong signature, or an unpublished template?",
    ),
    probe(
        "craftkit.observe.order-signature-input",
        "Which answer wins: a wrong signature, or a body that fails the manifest?",
    ),
    probe("craftkit.observe.order-signature-queue", "Which answer wins: a wrong signature, or an unreachable queue?"),
    probe(
        "craftkit.observe.order-json-version",
        "Which answer wins: a body that is no JSON, or an unpublished template?",
    ),
    probe("craftkit.observe.order-json-queue", "Which answer wins: a body that is no JSON, or an unreachable queue?"),
    probe(
        "craftkit.observe.order-version-queue",
        "Which answer wins: an unpublished template, or an unreachable queue?",
    ),
    probe(
        "craftkit.observe.order-input-queue",
        "Which answer wins: a body that fails the manifest, or an unreachable queue?",
    ),
    // The form of `issues`.
    probe("craftkit.observe.form-errors", "Is `formErrors` there, and what does it hold?"),
    probe(
        "craftkit.observe.field-errors-keys",
        "Does `fieldErrors` name a nested field by its top-level key or by its whole path?",
    ),
    probe("craftkit.observe.field-errors-wording", "How are the messages in `fieldErrors` worded?"),
    // Signatures.
    probe("craftkit.observe.signature-empty", "What does an empty signature header get?"),
    probe("craftkit.observe.signature-upper-case", "Is a digest in upper case accepted?"),
    probe("craftkit.observe.signature-repeated", "What does a repeated signature header get?"),
    probe("craftkit.observe.signature-invalid-utf8", "What does a body get that is rightly signed and not UTF-8?"),
    probe("craftkit.observe.signature-replay", "Is a signed request accepted a second time?"),
    probe("craftkit.observe.signature-empty-body", "What does an empty body get that is rightly signed?"),
    // Values.
    probe("craftkit.observe.number-true", "Is `true` accepted for a number?"),
    probe("craftkit.observe.number-array", "Is `[]` accepted for a number?"),
    probe("craftkit.observe.number-empty-string", "Is `\"\"` accepted for a number?"),
    probe("craftkit.observe.number-null", "Is `null` accepted for a number?"),
    probe("craftkit.observe.boolean-one", "Is `\"1\"` accepted for a boolean?"),
    probe("craftkit.observe.text-empty", "Is `\"\"` accepted for a required text?"),
    probe("craftkit.observe.optional-null", "Is `null` accepted for an optional scalar?"),
    probe("craftkit.observe.loop-null", "Is `null` accepted for a loop?"),
    probe("craftkit.observe.url-ftp", "Is an `ftp://` address accepted for a URL?"),
    probe("craftkit.observe.group-absent", "May a group be left out when all its scalars are optional?"),
    // Bodies.
    probe("craftkit.observe.prototype-keys", "What do keys such as `__proto__` change?"),
    probe("craftkit.observe.render-option-keys", "Are `jobId` and `options` in the body treated like any other key?"),
    probe("craftkit.observe.duplicate-keys", "Which of two equal keys is used?"),
    probe("craftkit.observe.bom", "What does a byte order mark before the JSON get?"),
    probe("craftkit.observe.lone-surrogates", "What does an unpaired surrogate escape get?"),
    probe("craftkit.observe.deep-nesting", "How deeply may a body be nested?"),
    probe("craftkit.observe.huge-numbers", "What do numbers beyond a double's range get?"),
    probe("craftkit.observe.body-size", "From which size on does a body get refused, and how?"),
    // HTTP.
    probe("craftkit.observe.idempotency-key", "Does `Idempotency-Key` change the outcome?"),
    probe("craftkit.observe.methods", "What do other methods than POST get on the hook?"),
    probe("craftkit.observe.trailing-slash", "Is the hook served with a slash at its end?"),
    probe("craftkit.observe.retry-after", "Does a 503 carry `Retry-After`, and which?"),
    probe("craftkit.observe.rate-limit", "Does the hook ever answer 429, and with what code?"),
    probe("craftkit.observe.cors", "Does the hook answer CORS preflight requests?"),
    probe("craftkit.observe.poll-unauthorized", "Which status and code does a keyless poll get?"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const LOCK: &str = include_str!("probes.lock");

    #[test]
    fn the_names_of_probes_are_locked() {
        let locked: Vec<&str> = LOCK.lines().collect();
        assert!(locked.windows(2).all(|pair| pair[0] < pair[1]), "sort probes.lock with `LC_ALL=C sort -u`");
        let locked: BTreeSet<&str> = locked.into_iter().collect();
        let listed: BTreeSet<&str> = RNDRKIT.iter().chain(CRAFTKIT).map(|probe| probe.id).collect();
        let gone: Vec<&&str> = locked.difference(&listed).collect();
        assert!(gone.is_empty(), "in probes.lock and in no list, though reports of other people name them: {gone:?}");
        let new: Vec<&&str> = listed.difference(&locked).collect();
        assert!(new.is_empty(), "if these names shall stay for good, add them to catalogue/probes.lock: {new:?}");
    }
}
