//! The rules of RndrKit's `POST /api/webhook/refresh`, in the contract's order.

use super::{Level, Rule, Source, implied, rule, stated, surrounding};
use crate::api::Api;

const fn must(id: &'static str, demand: &'static str, source: Source) -> Rule {
    rule(Api::Rndrkit, Level::Must, id, demand, source)
}

const fn should(id: &'static str, demand: &'static str, source: Source) -> Rule {
    rule(Api::Rndrkit, Level::Should, id, demand, source)
}

/// Every rule of RndrKit.
pub const RULES: &[Rule] = &[
    must(
        "rndrkit.endpoint.post",
        "`POST /api/webhook/refresh` is served, and a GET on that path never starts a refresh. \
         Which status the GET gets is free.",
        stated("Webhook Refresh API, Endpoint"),
    ),
    must(
        "rndrkit.auth.header-missing",
        "Without an `Authorization` header the answer is 401 with exactly \
         `{\"error\": \"Missing or invalid Authorization header\"}`.",
        stated("Webhook Refresh API, Error Responses"),
    ),
    must(
        "rndrkit.auth.scheme-not-bearer",
        "An `Authorization` header with another scheme than `Bearer`, or with a live token and no \
         scheme, is answered like a missing one: 401 `Missing or invalid Authorization header`.",
        stated("Webhook Refresh API, Authentication and Error Responses"),
    ),
    must(
        "rndrkit.auth.token-empty",
        "`Bearer` followed by nothing is answered with 401. Either of the two documented 401 texts \
         fits, so the text is free.",
        implied("Webhook Refresh API, Error Responses"),
    ),
    must(
        "rndrkit.auth.token-unknown",
        "A bearer value shaped like a webhook token that was never issued is answered with 401 \
         `Invalid token`. So is a live token cut short or lengthened, with any text.",
        stated("Webhook Refresh API, Error Responses"),
    ),
    must(
        "rndrkit.auth.token-foreign",
        "A bearer value of another kind than a webhook token, such as an API key, is answered \
         with 401.",
        implied("Webhook Refresh API, Overview and Error Responses"),
    )
    .with_should_part("The text of that 401 is `Invalid token`."),
    must(
        "rndrkit.auth.token-revoked",
        "A revoked token is answered with 401 `Invalid token`, while the other tokens of its \
         domain go on working.",
        stated("Webhook Refresh API, Error Responses"),
    ),
    must(
        "rndrkit.auth.token-placement",
        "A live token authenticates from the `Authorization` header only: sent in `X-Api-Key`, in \
         the query or in the body it starts no refresh.",
        implied("Webhook Refresh API, Authentication and Error Responses"),
    ),
    must(
        "rndrkit.auth.domain-scope",
        "A token acts on the domain it was created for and on no other, and `domain` in the answer \
         names that domain.",
        stated("Webhook Refresh API, Overview and Selective URL Refresh"),
    ),
    should(
        "rndrkit.tokens.prefix",
        "The value of every webhook token starts with `rk_wh_`.",
        implied("Webhook Refresh API, Authentication"),
    ),
    must(
        "rndrkit.tokens.five-per-domain",
        "A domain can have five live tokens, each of which works, and the creation of a sixth is \
         refused.",
        stated("Webhook Refresh API, Creating a Webhook Token"),
    ),
    must(
        "rndrkit.tokens.shown-once",
        "Once created, a token's value is never given out again: neither the raw text of a \
         `domain.inspect` reply nor the body of any answer of the API holds it.",
        stated("Webhook Refresh API, Creating a Webhook Token"),
    ),
    must(
        "rndrkit.selective.accepted",
        "A list of valid paths in `urls` is answered with 200 and with `Cache refresh queued` as \
         its `message`, to the letter.",
        stated("Webhook Refresh API, Selective URL Refresh"),
    ),
    must(
        "rndrkit.selective.pages-queued",
        "For one to twenty valid and distinct paths, `pagesQueued` is their number, as a JSON \
         number.",
        implied("Webhook Refresh API, Selective URL Refresh"),
    ),
    must(
        "rndrkit.selective.root-path",
        "`/` is a valid path and counts as a page like any other.",
        stated("Webhook Refresh API, Selective URL Refresh"),
    ),
    must(
        "rndrkit.selective.over-twenty",
        "A request with 21 or more paths never queues more than 20 pages. Whether the rest is cut \
         off or the whole request refused is free.",
        stated("Webhook Refresh API, Selective URL Refresh"),
    ),
    should(
        "rndrkit.selective.queues-paths",
        "The pages queued for an accepted list are the very paths it named, as `domain.inspect` \
         shows them.",
        implied("Webhook Refresh API, Selective URL Refresh"),
    ),
    must(
        "rndrkit.full.accepted",
        "`{\"all\": true}` is answered with 200, `message` exactly `Full cache refresh started`, \
         and the token's domain in `domain`.",
        stated("Webhook Refresh API, Full Domain Refresh"),
    ),
    should(
        "rndrkit.full.no-pages-queued",
        "The answer to a full refresh has no key `pagesQueued`.",
        implied("Webhook Refresh API, Full Domain Refresh"),
    ),
    should(
        "rndrkit.full.queues-known-paths",
        "A full refresh queues every path the domain is known to have, as `domain.inspect` shows.",
        stated("Webhook Refresh API, Full Domain Refresh"),
    ),
    must(
        "rndrkit.body.empty",
        "A request without a body is answered with 400 and exactly \
         `{\"error\": \"Provide \\\"urls\\\" array or \\\"all\\\": true\"}`.",
        stated("Webhook Refresh API, Error Responses"),
    ),
    must(
        "rndrkit.body.empty-object",
        "The body `{}` is answered like no body: 400 with the text \
         `Provide \"urls\" array or \"all\": true`.",
        stated("Webhook Refresh API, Error Responses"),
    ),
    must(
        "rndrkit.body.all-false",
        "`all: false` with no `urls` beside it never starts a refresh.",
        implied("Webhook Refresh API, Full Domain Refresh and Error Responses"),
    )
    .with_should_part(
        "`all: false` alone is answered with 400 and the text \
         `Provide \"urls\" array or \"all\": true`.",
    ),
    should(
        "rndrkit.body.all-false-with-urls",
        "`all: false` does not disturb valid `urls` beside it: those paths are refreshed.",
        implied("Webhook Refresh API, Selective URL Refresh and Full Domain Refresh"),
    ),
    must(
        "rndrkit.body.urls-not-array",
        "`urls` that is anything but an array (a string, an object, a number) is not accepted, and \
         is not answered with a 5xx.",
        implied("Webhook Refresh API, Selective URL Refresh and Error Responses"),
    )
    .with_should_part(
        "`urls` of another type is answered with 400 and the text \
         `Provide \"urls\" array or \"all\": true`.",
    ),
    should(
        "rndrkit.body.urls-empty",
        "An empty `urls` array is answered with 400. Either documented 400 text fits, so the text \
         is only observed.",
        implied("Webhook Refresh API, Error Responses"),
    ),
    must(
        "rndrkit.body.malformed-json",
        "A body that is not JSON is not accepted, and is not answered with a 5xx. Status and body \
         of the refusal are otherwise free.",
        implied("Webhook Refresh API, Rate Limits and Error Responses"),
    ),
    must(
        "rndrkit.paths.none-valid",
        "When `urls` holds strings and not one of them is a path, because none begins with `/` \
         even after white space, the answer is 400 with exactly `{\"error\": \"No valid URL paths \
         (must start with /)\"}`.",
        stated("Webhook Refresh API, Selective URL Refresh and Error Responses"),
    ),
    should(
        "rndrkit.paths.leading-space",
        "A path with a space before its `/` is invalid: it is not trimmed into a valid one.",
        implied("Webhook Refresh API, Selective URL Refresh"),
    ),
    should(
        "rndrkit.paths.mixed",
        "In a list that mixes valid and invalid paths the invalid ones are dropped: the answer is \
         200 and `pagesQueued` counts the valid ones.",
        implied("Webhook Refresh API, Error Responses"),
    ),
    must(
        "rndrkit.paths.non-string",
        "Entries of `urls` that are not strings add nothing to `pagesQueued` and never lead to a \
         5xx.",
        implied("Webhook Refresh API, Selective URL Refresh"),
    ),
    must(
        "rndrkit.domain.inactive",
        "A domain that was created inactive, or was in use and then deactivated, is refused with \
         403 `Domain is not active`.",
        stated("Webhook Refresh API, Error Responses"),
    )
    .with_should_part("A domain that is activated again is served again."),
    must(
        "rndrkit.plan.starter",
        "A domain on the plan `Starter` is refused with 403 \
         `Webhook refresh requires Agency+ plan`.",
        stated("Webhook Refresh API, Overview and Error Responses"),
    ),
    must(
        "rndrkit.plan.pro",
        "A domain on the plan `Pro` is refused with 403 `Webhook refresh requires Agency+ plan`.",
        stated("Webhook Refresh API, Overview and Error Responses"),
    ),
    should(
        "rndrkit.plan.agency",
        "A domain on the plan `Agency` is refused with 403 \
         `Webhook refresh requires Agency+ plan`, because `Agency+` is a plan of its own above it.",
        surrounding("https://rndrkit.io/docs/api-reference/authentication"),
    ),
    must(
        "rndrkit.rate.ten-per-hour",
        "In a window of one hour a domain's first ten requests are served and the eleventh is \
         not.",
        stated("Webhook Refresh API, Rate Limits"),
    ),
    must(
        "rndrkit.rate.exceeded-response",
        "A request over the limit is answered with 429 and exactly \
         `{\"error\": \"Rate limit exceeded (10 requests/hour)\"}`.",
        stated("Webhook Refresh API, Rate Limits and Error Responses"),
    ),
    must(
        "rndrkit.rate.shared-across-tokens",
        "All tokens of a domain draw on one count of ten, so that another token brings no further \
         requests.",
        stated("Webhook Refresh API, Rate Limits"),
    ),
    must(
        "rndrkit.rate.independent-domains",
        "Every domain has a count of its own: requests for one never use up the ten of another.",
        stated("Webhook Refresh API, Rate Limits"),
    ),
    must(
        "rndrkit.rate.counts-invalid-body",
        "A request refused with 400 for having neither `urls` nor `all` uses up one of the ten.",
        stated("Webhook Refresh API, Rate Limits"),
    ),
    must(
        "rndrkit.rate.counts-invalid-paths",
        "A request refused with 400 because none of its paths is valid uses up one of the ten.",
        stated("Webhook Refresh API, Rate Limits"),
    ),
    should(
        "rndrkit.rate.before-validation",
        "An invalid body sent when the ten are used up is answered with 429 and not with 400.",
        implied("Webhook Refresh API, Rate Limits"),
    ),
    must(
        "rndrkit.rate.window-anchored",
        "A window starts with its first request and lasts one hour from there, wherever the hours \
         of the clock begin.",
        stated("Webhook Refresh API, Rate Limits"),
    ),
    must(
        "rndrkit.rate.window-not-sliding",
        "When the window is over all ten requests are there again at once, however late in the old \
         window its requests came.",
        implied("Webhook Refresh API, Rate Limits"),
    ),
    must(
        "rndrkit.rate.window-not-extended",
        "Requests answered with 429 never put off the moment the window ends.",
        implied("Webhook Refresh API, Rate Limits"),
    ),
    must(
        "rndrkit.rate.window-reanchors",
        "The next window starts with the first request after the last one ended, and not a whole \
         number of hours after the first window's start.",
        implied("Webhook Refresh API, Rate Limits"),
    ),
    should(
        "rndrkit.rate.unauthenticated-free",
        "Requests answered with 401 use up none of a domain's ten.",
        implied("Webhook Refresh API, Authentication and Rate Limits"),
    ),
    must(
        "rndrkit.rate.concurrent-ceiling",
        "However many requests for a domain are in flight at once, spread over its tokens and over \
         connections, at most ten are served in a window.",
        implied("Webhook Refresh API, Rate Limits"),
    ),
    should(
        "rndrkit.rate.concurrent-exact",
        "When more than ten requests for a fresh domain are in flight at once, no fewer than ten \
         are served.",
        implied("Webhook Refresh API, Rate Limits"),
    ),
    must(
        "rndrkit.quota.reached",
        "A domain whose `renders_used` equals or exceeds its `monthly_render_limit` is refused \
         with 403 and exactly `{\"error\": \"Monthly render limit reached\"}`.",
        stated("Webhook Refresh API, Render Quota and Error Responses"),
    ),
    must(
        "rndrkit.quota.below-limit",
        "With one render left in the month, a request for one path is answered with 200.",
        implied("Webhook Refresh API, Render Quota"),
    ),
    must(
        "rndrkit.quota.counts-refreshes",
        "Accepted refreshes, of lists and of whole domains, use up the render quota until requests \
         get its 403. The charge may come at once or with the rendering; if nothing is rendered \
         while the suite waits, that is inconclusive.",
        stated("Webhook Refresh API, Render Quota"),
    ),
    must(
        "rndrkit.quota.full-refresh",
        "`{\"all\": true}` for a domain with no renders left is refused with the same 403 \
         `Monthly render limit reached` as a list.",
        implied("Webhook Refresh API, Render Quota"),
    ),
    must(
        "rndrkit.quota.per-domain",
        "When one domain's renders are used up, requests for other domains are served as before.",
        implied("Webhook Refresh API, Render Quota"),
    ),
    must(
        "rndrkit.quota.concurrent-ceiling",
        "When more single-path requests are in flight at once than renders are left, no more are \
         served than were left. This applies only to an implementation that was first seen, by \
         single requests in a row, to charge for acceptance itself.",
        implied("Webhook Refresh API, Render Quota"),
    ),
    should(
        "rndrkit.quota.rejected-free",
        "A request that is refused, for whatever reason, uses up no renders.",
        implied("Webhook Refresh API, Render Quota"),
    ),
    should(
        "rndrkit.quota.monthly",
        "A used-up quota keeps refusing for the rest of its month, looked at after one hour and \
         after one day, and requests are accepted again 62 days on. Judged only where the suite \
         drives the clock.",
        implied("Webhook Refresh API, Render Quota"),
    ),
    must(
        "rndrkit.errors.shape",
        "The body of every documented error is a JSON object whose `error` is exactly the \
         documented string.",
        stated("Webhook Refresh API, Error Responses"),
    ),
    should(
        "rndrkit.errors.closed",
        "The body of a documented error has no key but `error`.",
        implied("Webhook Refresh API, Error Responses"),
    ),
    should(
        "rndrkit.success.closed",
        "The body of a 200 has no key that the document does not show: `message`, `domain` and, \
         for a list, `pagesQueued`.",
        implied("Webhook Refresh API, Selective URL Refresh and Full Domain Refresh"),
    ),
    must(
        "rndrkit.http.json",
        "Every documented outcome, accepted or refused, has a body that parses as JSON.",
        implied("Webhook Refresh API, Selective URL Refresh, Full Domain Refresh and Error Responses"),
    )
    .with_should_part("The `Content-Type` of a documented outcome is `application/json`."),
];
