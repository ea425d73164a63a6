//! Deviations of CraftKit's inbound render hook, one file a topic.

use super::Deviation;

/// The lists of all topics.
pub(super) const TOPICS: &[&[Deviation]] = &[];
