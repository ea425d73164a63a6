//! Deviations of RndrKit's webhook refresh, one file a topic.

mod limits;
mod texts;

use super::Deviation;

/// The lists of all topics.
pub(super) const TOPICS: &[&[Deviation]] = &[limits::DEVIATIONS, texts::DEVIATIONS];
