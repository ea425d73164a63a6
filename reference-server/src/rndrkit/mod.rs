//! RndrKit's Webhook Refresh API: `POST /api/webhook/refresh`.
//!
//! Where the page is silent, the choices are these. Requests refused with 401, or with 403 for an
//! inactive domain or a plan, use up nothing of the hourly limit; every later refusal does. A body
//! without `Content-Type: application/json`, malformed JSON and JSON that is no object count as a
//! missing body. Invalid paths are dropped first, then the list is cut to twenty; duplicates count as
//! given. `"all": true` wins over `urls`. A revoked token gives its place among the five free.
//!
//! The server renders no pages. A refresh that was accepted is recorded, path by path, and charged at
//! once: one render a path, and for a full refresh one for each known path (none where none is known).

pub mod limiter;
pub mod quota;
pub mod routes;
pub mod rules;
pub mod wire;
