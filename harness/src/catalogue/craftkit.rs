//! The rules of CraftKit's `POST /v1/hooks/:token`, in the contract's order.
//!
//! The primary document does not show where an error's `code` and `issues` sit. Must rules are
//! content with either place, beside `error` or within it; only `craftkit.errors.envelope`, a
//! warning, asks for the nested one.

use super::{Level, Rule, Source, implied, rule, stated, surrounding};
use crate::api::Api;

const fn must(id: &'static str, demand: &'static str, source: Source) -> Rule {
    rule(Api::Craftkit, Level::Must, id, demand, source)
}

const fn should(id: &'static str, demand: &'static str, source: Source) -> Rule {
    rule(Api::Craftkit, Level::Should, id, demand, source)
}

/// Every rule of CraftKit.
pub const RULES: &[Rule] = &[
    must(
        "craftkit.hook.accepted",
        "A body that fits the template's manifest is answered with 202.",
        stated("Inbound webhook, Response"),
    ),
    must(
        "craftkit.hook.id",
        "`id` in the 202 is a hyphenated UUID of version 7, its letters in either case, and two \
         accepted requests with different bodies never get the same one.",
        stated("Inbound webhook, Response"),
    )
    .with_should_part("The same body sent twice gets two ids as well."),
    must("craftkit.hook.status", "`status` in the 202 is `queued`.", stated("Inbound webhook, Response")),
    must(
        "craftkit.hook.poll-url",
        "`pollUrl` in the 202 is an absolute URL whose path ends in `/v1/renders/` and the id of \
         that very render. Its host is free.",
        stated("Inbound webhook, Response and 202 example"),
    ),
    should(
        "craftkit.hook.closed",
        "The body of the 202 has the keys `id`, `status` and `pollUrl` and no others.",
        implied("Inbound webhook, Response and 202 example"),
    ),
    must(
        "craftkit.hook.no-api-key",
        "The token in the URL is enough: a request that carries no API key is accepted.",
        stated("Inbound webhook, Authorization and Path parameters"),
    )
    .with_should_part("An `Authorization` header, right or wrong, changes nothing."),
    must(
        "craftkit.hook.post",
        "A GET on the hook's path never queues a render. Which status it gets is free.",
        implied("Inbound webhook, introduction"),
    ),
    should(
        "craftkit.hook.any-content-type",
        "The body is read as JSON whatever the `Content-Type` says, and also when there is none.",
        implied("Inbound webhook, introduction"),
    ),
    must(
        "craftkit.template.own-credentials",
        "A template is created together with a token and a secret for its hook, and shares \
         neither with another template.",
        stated("Inbound webhook, introduction"),
    ),
    must(
        "craftkit.token.unknown",
        "A token that belongs to no template is answered with 404 `invalid_token`.",
        stated("Inbound webhook, Errors"),
    ),
    must(
        "craftkit.token.not-an-id",
        "A template's slug, its id or its secret in the place of the token is not accepted.",
        implied("Inbound webhook, Path parameters"),
    ),
    must(
        "craftkit.token.selects-template",
        "The token picks the template: each body is judged by the manifest of the template its \
         token belongs to.",
        stated("Inbound webhook, Path parameters and Body"),
    ),
    must(
        "craftkit.signature.valid",
        "A request whose `x-craftkit-signature` is the hexadecimal HMAC-SHA256 of the body's bytes \
         under the template's secret is accepted, whether signatures are enforced or not.",
        stated("Inbound webhook, Authorization"),
    ),
    must(
        "craftkit.signature.absent",
        "Where the template does not enforce signatures, a request without one is accepted.",
        stated("Inbound webhook, Authorization"),
    ),
    must(
        "craftkit.signature.mismatch",
        "A well-formed digest that is not the body's is answered with 401 `invalid_signature`, \
         even where signatures are not enforced.",
        stated("Inbound webhook, Authorization and Errors"),
    ),
    must(
        "craftkit.signature.malformed",
        "A signature of the wrong length, of other characters than hexadecimal digits, or of up to \
         1 KiB is answered with 401 `invalid_signature`, never with a 5xx.",
        implied("Inbound webhook, Errors"),
    ),
    must(
        "craftkit.signature.base64",
        "The right digest written in base64 is answered with 401 `invalid_signature`.",
        implied("Inbound webhook, Authorization"),
    ),
    must(
        "craftkit.signature.raw-body",
        "The signature covers the body byte for byte: one made over the same data with other \
         spacing or another order of keys gets 401, and a body with unusual spacing, signed just \
         as it is, gets 202.",
        stated("Inbound webhook, Authorization"),
    ),
    must(
        "craftkit.signature.tampered",
        "A signed body with one byte changed inside a string, still JSON and still fitting the \
         manifest, gets 401, and so does a digest with one digit replaced by another. Altered in \
         any further way they are not accepted either, the letter case of the digest excepted.",
        implied("Inbound webhook, Authorization and Errors"),
    ),
    must(
        "craftkit.signature.per-template",
        "A body signed with the secret of another template is answered with 401 \
         `invalid_signature`.",
        implied("Inbound webhook, Authorization"),
    ),
    must(
        "craftkit.signature.secret-as-text",
        "The secret is used as the text it is, undecoded. A digest keyed by the bytes that the \
         text would stand for as hex or base64 gets 401; the rule does not apply to a secret that \
         is neither.",
        implied("Inbound webhook, cURL example"),
    ),
    must(
        "craftkit.signature.header-case",
        "The name of the header `x-craftkit-signature` is recognised in any letter case.",
        implied("Inbound webhook, Authorization"),
    ),
    must(
        "craftkit.signature.enforced",
        "Where the template enforces signatures, a request without one is not accepted.",
        implied("Inbound webhook, Authorization"),
    )
    .with_should_part("The refusal of an unsigned request is 401 `invalid_signature`."),
    should(
        "craftkit.signature.prefix",
        "The right digest with `sha256=` in front is answered with 401 `invalid_signature`.",
        implied("Inbound webhook, Authorization and cURL example"),
    ),
    must(
        "craftkit.json.malformed",
        "A body that does not parse as JSON is answered with 400 `invalid_json`.",
        stated("Inbound webhook, Errors"),
    ),
    must("craftkit.json.empty", "An empty body is answered with 400.", implied("Inbound webhook, Body and Errors"))
        .with_should_part("The code for an empty body is `invalid_json`."),
    must(
        "craftkit.json.non-object",
        "A body that is JSON but no object (an array, a string, a number, a boolean, null) is \
         answered with 400.",
        implied("Inbound webhook, Body"),
    )
    .with_should_part("The code for JSON that is no object is `invalid_input_data`."),
    must(
        "craftkit.input.required",
        "A body that lacks a scalar the manifest marks as required is answered with 400 \
         `invalid_input_data`.",
        implied("Inbound webhook, Body and Errors"),
    ),
    must(
        "craftkit.input.optional",
        "A body that lacks a scalar the manifest does not mark as required is answered with 202.",
        implied("Inbound webhook, Body"),
    ),
    must(
        "craftkit.input.wrong-type",
        "A value that neither has nor can become the declared type is answered with 400 \
         `invalid_input_data`: any scalar given an object, a number or currency given `\"abc\"`, \
         a text given an array, a boolean given `\"maybe\"`.",
        implied("Inbound webhook, Body and Errors"),
    )
    .with_should_part(
        "A number for a text and `\"12abc\"` for a number are wrong types too. `true`, `[]`, \
         `\"\"` and `null` for a number are only observed.",
    ),
    must(
        "craftkit.input.dot-path",
        "A scalar with the manifest key `a.b` is read from `{\"a\": {\"b\": …}}`, and so on to any \
         depth.",
        stated("Inbound webhook, Body and cURL example"),
    ),
    should(
        "craftkit.input.dotted-literal",
        "A body key spelled with the dot, `\"a.b\"`, does not supply the scalar `a.b`.",
        implied("Inbound webhook, Body"),
    ),
    must(
        "craftkit.input.loop",
        "The rows of a loop are read from an array of objects at the top level of the body, under \
         the key of the loop.",
        stated("Inbound webhook, Body and cURL example"),
    ),
    must(
        "craftkit.input.loop-not-array",
        "An object, a string, a number or a boolean in the place of a loop is answered with 400 \
         `invalid_input_data`; `null` is only observed.",
        implied("Inbound webhook, Body and Errors"),
    ),
    must(
        "craftkit.input.loop-item",
        "A loop with an item that is no object, lacks a required field or has one of a wrong type \
         is answered with 400 `invalid_input_data`, wherever in the array that item is.",
        implied("Inbound webhook, Body and Errors"),
    ),
    must(
        "craftkit.input.field-errors",
        "In a 400 `invalid_input_data`, `issues.fieldErrors` is an object of arrays of strings \
         with an entry for the offending field. The entry is named by the first part of the path \
         to that field, alone or with `.` or `[` and more after it.",
        stated("Inbound webhook, Body and Errors"),
    ),
    should(
        "craftkit.input.all-offenders",
        "Where several fields offend, each has its entry in `issues.fieldErrors`.",
        implied("Inbound webhook, Body"),
    ),
    must(
        "craftkit.input.unknown-stripped",
        "Top-level keys that the manifest does not know never change the outcome.",
        stated("Inbound webhook, Body"),
    ),
    should(
        "craftkit.input.unknown-nested",
        "Unknown keys further down, in groups and in the items of loops, do not change the \
         outcome.",
        implied("Inbound webhook, Body"),
    ),
    should(
        "craftkit.input.stripped-stored",
        "What is stored of an accepted body, as `render.inspect` shows it, holds at no level a \
         key that the manifest does not know.",
        implied("Inbound webhook, Body"),
    ),
    must(
        "craftkit.input.flat",
        "A body wrapped in `{\"data\": …}` is not unwrapped: what is inside supplies no variable.",
        stated("Inbound webhook, introduction and Body"),
    ),
    should(
        "craftkit.input.coercion",
        "A numeric string for a number, and `\"true\"` or `\"false\"` for a boolean, are accepted.",
        surrounding("https://docs.craftkit.dev/concepts"),
    ),
    should(
        "craftkit.input.formats",
        "A text that is no date, datetime, URL or email address where one is declared, and a \
         data URI for an image, are answered with 400 `invalid_input_data`.",
        surrounding(
            "https://docs.craftkit.dev/concepts and \
             https://docs.craftkit.dev/guides/images-and-signatures",
        ),
    ),
    should(
        "craftkit.input.loop-default",
        "A loop may be left out or be an empty array: either body is accepted.",
        surrounding("https://docs.craftkit.dev/guides/variables-and-loops"),
    ),
    should(
        "craftkit.input.loop-cap",
        "A loop of 10,000 items is accepted and one of 10,001 is answered with 400 \
         `invalid_input_data`.",
        surrounding("https://docs.craftkit.dev/guides/variables-and-loops"),
    ),
    should(
        "craftkit.input.empty-manifest",
        "A template with neither variables nor loops accepts the body `{}`.",
        implied("Inbound webhook, Body"),
    ),
    must(
        "craftkit.input.not-422",
        "A body that fails the manifest is refused with the status 400, never 422.",
        implied("Inbound webhook, Body and Errors"),
    ),
    must(
        "craftkit.version.unpublished",
        "A template that was never published answers a JSON object with 409 \
         `no_published_version`.",
        stated("Inbound webhook, Errors"),
    ),
    must(
        "craftkit.version.published-later",
        "Publishing a template ends its 409: the same request is then accepted.",
        implied("Inbound webhook, Errors"),
    ),
    should(
        "craftkit.version.manifest",
        "After another manifest is published, bodies are judged by it and no more by the old one.",
        implied("Inbound webhook, introduction"),
    ),
    should(
        "craftkit.version.current",
        "A render carries the template version that was current when its request was accepted, as \
         `render.inspect` shows it.",
        implied("Inbound webhook, introduction"),
    ),
    must(
        "craftkit.queue.unavailable",
        "While the render queue cannot be reached, a request that is otherwise right is answered \
         with 503 `queue_unavailable`.",
        stated("Inbound webhook, Errors"),
    ),
    must(
        "craftkit.queue.recovers",
        "An unsigned request refused for the queue's sake is accepted unchanged once the queue is \
         back.",
        implied("Inbound webhook, Errors"),
    ),
    must(
        "craftkit.queue.nothing-lost",
        "An outage of the queue loses no render: whether its 202 came before, within or after the \
         outage, a poll with the key of its project is never answered with 404.",
        implied("Inbound webhook, Response"),
    ),
    must(
        "craftkit.poll.requires-key",
        "A GET of `pollUrl` without a key is not answered with a 2xx.",
        implied("Inbound webhook, Response"),
    ),
    must(
        "craftkit.poll.own-key",
        "A GET of `pollUrl` with the project's key as bearer token is answered with 200.",
        stated("Inbound webhook, Response"),
    ),
    should(
        "craftkit.poll.shape",
        "A poll's body repeats the render's `id`, and its `status` is one of `queued`, \
         `rendering`, `succeeded` and `failed`.",
        surrounding(
            "https://docs.craftkit.dev/api-reference/get-render and \
             https://docs.craftkit.dev/guides/render-lifecycle",
        ),
    ),
    should(
        "craftkit.poll.foreign-key",
        "A poll with the key of another project is answered with 404 `not_found`.",
        surrounding("https://docs.craftkit.dev/api-reference/get-render"),
    ),
    should(
        "craftkit.poll.finishes",
        "A queued render comes to `succeeded` or `failed` in the end.",
        surrounding("https://docs.craftkit.dev/guides/render-lifecycle"),
    ),
    should(
        "craftkit.pipeline.same-validation",
        "`POST /v1/templates/:slug/render` with the project's key and the body under `data` \
         accepts and refuses exactly what the hook does. Where it answers 404 or 405 the rule \
         does not apply.",
        stated("Inbound webhook, introduction"),
    ),
    must(
        "craftkit.pipeline.outgoing-webhook",
        "A render started through the hook sends the outgoing webhook its project subscribed to. That none comes \
         is held against a target only if the webhook of another render, started through the render \
         route, does come: otherwise the target may not reach the suite's receiver on loopback.",
        stated("Inbound webhook, introduction"),
    ),
    should(
        "craftkit.pipeline.webhook-form",
        "The outgoing webhook names `render.succeeded` or `render.failed`, has the documented \
         `x-craftkit-` headers, user agent and body keys, and is signed with the bare hexadecimal \
         HMAC-SHA256 of its bytes under the subscription's secret. After a reply that is not 2xx \
         it comes again with the same `x-craftkit-delivery-id`; how often is free.",
        surrounding("https://docs.craftkit.dev/guides/webhooks"),
    ),
    should(
        "craftkit.errors.envelope",
        "`code` and a non-empty `message` sit in an object under `error`, and `issues` is there \
         for errors of validation and for no others.",
        surrounding("https://docs.craftkit.dev/api-reference/errors"),
    ),
    must(
        "craftkit.errors.code",
        "Each documented error has exactly the documented `code`, at the top level or in `error`.",
        stated("Inbound webhook, Errors"),
    ),
    must(
        "craftkit.http.json",
        "Every documented outcome of the hook, accepted or refused, has a body that parses as \
         JSON.",
        implied("Inbound webhook, Response and Errors"),
    )
    .with_should_part("Documented outcomes of the hook carry `Content-Type: application/json`."),
];
