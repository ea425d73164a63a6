//! Servers that are wrong on purpose, each in one way.
//!
//! They prove that the suite notices: every one turns the named rules red. All are made of the
//! reference by replacing or wrapping a part; the reference knows nothing of them.

mod limits;
mod texts;

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
    /// The rules that this defect breaks.
    pub turns_red: &'static [&'static str],
    change: fn(Parts) -> Parts,
}

impl Deviation {
    /// The reference's parts with the defect in them.
    pub fn parts(&self) -> Parts {
        (self.change)(Parts::reference())
    }
}

/// Every deviation.
pub fn all() -> &'static [Deviation] {
    &ALL
}

/// The deviation of that name.
pub fn named(name: &str) -> Option<&'static Deviation> {
    ALL.iter().find(|deviation| deviation.name == name)
}

static ALL: [Deviation; 4] = [limits::ELEVEN, limits::NINE, limits::PER_TOKEN, texts::HEADER_MISSING];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        let names: BTreeSet<_> = all().iter().map(|deviation| deviation.name).collect();
        assert_eq!(names.len(), all().len());
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
