//! How often which status came. Pure.

use std::collections::BTreeMap;

/// Counts answers by status.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Of few statuses, mostly of the first.
    counts: Vec<(Option<u16>, u64)>,
}

impl Answers {
    /// Counts an answer; none: there was none.
    pub(super) fn count(&mut self, status: Option<u16>) {
        match self.counts.iter_mut().find(|(known, _)| *known == status) {
            Some((_, count)) => *count += 1,
            None => self.counts.push((status, 1)),
        }
    }

    /// The counts by what reports call the statuses.
    pub(super) fn into_named(self) -> BTreeMap<String, u64> {
        let named = |status: Option<u16>| status.map_or("none".to_owned(), |status| status.to_string());
        self.counts.into_iter().map(|(status, count)| (named(status), count)).collect()
    }
}
