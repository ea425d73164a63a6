//! Servers that are wrong on purpose, each in one way.
//!
//! They prove that the suite notices: every one turns the named rules red. All are made of the
//! reference by replacing or wrapping a part; the reference knows nothing of them.

mod craftkit;
mod rndrkit;

use crate::parts::Parts;

/// A server that is wrong in one way.
#[derive(Debug)]
pub struct Deviation {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is wrong, in one sentence.
    pub defect: &'static str,
    /// Why an implementer would make it so.
    pub why: &'static str,
    /// The rules that this defect breaks: each must be found broken.
    pub turns_red: &'static [&'static str],
    /// Rules that may be found broken beside them, because the defect cannot be had without.
    pub consequences: &'static [&'static str],
    change: fn(Parts) -> Parts,
}

impl Deviation {
    /// The reference's parts with the defect in them.
    pub fn parts(&self) -> Parts {
        (self.change)(Parts::reference())
    }
}

/// Every deviation.
pub fn all() -> impl Iterator<Item = &'static Deviation> {
    rndrkit::TOPICS.iter().chain(craftkit::TOPICS).copied().flatten().chain(between_examples())
}

/// Deviations that no example of a document comes across: only other data show them.
pub fn between_examples() -> impl Iterator<Item = &'static Deviation> {
    rndrkit::BETWEEN.iter().chain(craftkit::BETWEEN)
}

/// The deviation of that name.
pub fn named(name: &str) -> Option<&'static Deviation> {
    all().find(|deviation| deviation.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        let names: BTreeSet<_> = all().map(|deviation| deviation.name).collect();
        assert_eq!(names.len(), all().count());
        for name in names {
            assert_eq!(named(name).map(|deviation| deviation.name), Some(name));
        }
        assert!(named("none-such").is_none());
    }

    #[test]
    fn every_deviation_says_what_it_breaks() {
        for deviation in all() {
            assert!(!deviation.turns_red.is_empty(), "{}", deviation.name);
            assert!(!deviation.defect.is_empty() && !deviation.why.is_empty());
        }
    }
}
