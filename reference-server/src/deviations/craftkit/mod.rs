//! Deviations of CraftKit's inbound render hook, one file a topic.

mod answers;
mod between;
mod bodies;
mod credentials;
mod errors;
mod fields;
mod fixtures;
mod loops;
mod outages;
mod polls;
mod scalars;
mod signatures;
mod tokens;
mod unknown;
mod versions;
mod webhooks;
mod wraps;

use super::Deviation;

/// Deviations between the documents' examples.
pub(super) const BETWEEN: &[Deviation] = between::DEVIATIONS;

/// The lists of all topics.
pub(super) const TOPICS: &[&[Deviation]] = &[
    answers::DEVIATIONS,
    credentials::DEVIATIONS,
    tokens::DEVIATIONS,
    signatures::DEVIATIONS,
    bodies::DEVIATIONS,
    scalars::DEVIATIONS,
    loops::DEVIATIONS,
    fields::DEVIATIONS,
    unknown::DEVIATIONS,
    versions::DEVIATIONS,
    outages::DEVIATIONS,
    polls::DEVIATIONS,
    webhooks::DEVIATIONS,
    errors::DEVIATIONS,
];
