//! CraftKit's inbound render hook, and the parts of its API that the hook leads to.
//!
//! `POST /v1/hooks/:token` queues a render, `GET /v1/renders/:id` polls it, and
//! `POST /v1/templates/:slug/render` is the same pipeline with a project key. Finished renders are
//! announced to a project's subscribers by outgoing webhooks.
//!
//! The server draws no pages and no PDFs. A render goes from queued to rendering to succeeded, and its
//! `downloadUrl` is always null.
//!
//! Where the pages are silent, the choices are these. A signature header that is present is judged even
//! when it is empty; sent twice, its values are joined by a comma and so match nothing. The body is
//! JSON whatever `Content-Type` says. Numbers beyond a 64-bit float, lone surrogates, a byte order
//! mark, invalid UTF-8 and nesting beyond 127 levels are invalid JSON. Of equal keys the last counts.
//! `Idempotency-Key` means nothing to the hook. Several keys may open one project: each template made
//! in it brings a key of its own.

pub mod courier;
pub mod manifest;
pub(crate) mod pipeline;
pub mod routes;
pub mod rules;
pub mod signature;
pub mod wire;
pub(crate) mod worker;
