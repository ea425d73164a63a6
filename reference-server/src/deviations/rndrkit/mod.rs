//! Deviations of RndrKit's webhook refresh, one file a topic.

mod answers;
mod auth;
mod between;
mod bodies;
mod counting;
mod domains;
mod forms;
mod limits;
mod paths;
mod quotas;
mod races;
mod texts;
mod tokens;
mod windows;
mod wrap;

use super::Deviation;

/// Deviations between the documents' examples.
pub(super) const BETWEEN: &[Deviation] = between::DEVIATIONS;

/// The lists of all topics, in the order of the rules they break.
pub(super) const TOPICS: &[&[Deviation]] = &[
    auth::DEVIATIONS,
    tokens::DEVIATIONS,
    answers::DEVIATIONS,
    bodies::DEVIATIONS,
    paths::DEVIATIONS,
    domains::DEVIATIONS,
    limits::DEVIATIONS,
    counting::DEVIATIONS,
    windows::DEVIATIONS,
    races::DEVIATIONS,
    quotas::DEVIATIONS,
    texts::DEVIATIONS,
    forms::DEVIATIONS,
];
