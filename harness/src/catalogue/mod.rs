//! The catalogue: every rule the suite judges, as plain data in the contract's order.
//!
//! A rule's id is a public name. Reports, snapshots, target files and scripts use it, so `ids.lock`
//! keeps it: ids are added, never renamed and never removed.
//!
//! Some limits hold for all demands and are not repeated in each:
//! - One request breaks one condition, because no document says which of two errors wins.
//! - After a change made through a fixture, the old answer is still fine until `--settle` is over.
//! - Instants closer than two seconds to the reset of a window are observed, not judged.
//! - A 429 or 503 that no check provoked, with a body no document knows, is put down to something
//!   in front of the implementation: the finding is inconclusive and never failed.
//! - Counts and charges are judged with plain, distinct paths that are new to their domain.
//!
//! This module holds no check and judges nothing.

pub mod craftkit;
pub mod observed;
pub mod rndrkit;
pub mod unjudged;

use crate::api::Api;

/// The primary document of RndrKit: what it says is a must.
pub const RNDRKIT_DOCUMENT: Document =
    Document { title: "Webhook Refresh API", url: "https://rndrkit.io/docs/api-reference/webhook-refresh" };

/// The primary document of CraftKit: what it says is a must.
pub const CRAFTKIT_DOCUMENT: Document =
    Document { title: "Inbound webhook", url: "https://docs.craftkit.dev/api-reference/inbound-webhook" };

/// A page that rules are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document {
    /// The page's title; the text of a stated or implied [`Source`] starts with it.
    pub title: &'static str,
    /// Where the page is published.
    pub url: &'static str,
}

/// What breaking a rule means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// Breaking it is non-conformance.
    Must,
    /// Breaking it is a warning, which counts only with `--strict`.
    Should,
}

impl Level {
    /// The name used in reports: `must` or `should`.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Must => "must",
            Level::Should => "should",
        }
    }
}

/// One demand on an implementation, judged on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The public name, `<api>.<topic>.<slug>`.
    pub id: &'static str,
    /// The API whose contract demands it.
    pub api: Api,
    /// What breaking it means.
    pub level: Level,
    /// What is demanded, readable without the document at hand.
    pub demand: &'static str,
    /// The part of a must rule that the document only suggests: broken, the rule warns and does
    /// not fail.
    pub should_part: Option<&'static str>,
    /// Where the demand comes from.
    pub source: Source,
}

impl Rule {
    /// The same rule with a part that only warns.
    const fn with_should_part(mut self, part: &'static str) -> Rule {
        self.should_part = Some(part);
        self
    }
}

/// Where a reader finds the words behind a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// How firmly the words carry the rule.
    pub kind: SourceKind,
    /// Title and sections of the primary document or, when surrounding, addresses of the pages.
    pub text: &'static str,
}

/// How firmly a document carries a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// The primary document says or shows it.
    Stated,
    /// It follows from the primary document's words or examples.
    Implied,
    /// Only other public pages of the vendor say it.
    Surrounding,
}

impl SourceKind {
    /// The lower-case name for listings.
    pub const fn name(self) -> &'static str {
        match self {
            SourceKind::Stated => "stated",
            SourceKind::Implied => "implied",
            SourceKind::Surrounding => "surrounding",
        }
    }
}

/// Every rule of both APIs, in the contract's order.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    rndrkit::RULES.iter().chain(craftkit::RULES)
}

/// The rule with exactly this id.
pub fn find(id: &str) -> Option<&'static Rule> {
    all().find(|rule| rule.id == id)
}

/// A suggestion may differ from what was typed in one letter of so many; more would only puzzle.
const LETTERS_PER_ERROR: usize = 3;

/// The id nearest to `id` in spelling, for "did you mean"; `None` when no id is near.
///
/// An id typed without its API (`rate.ten-per-hour`) finds its rule too.
pub fn nearest(id: &str) -> Option<&'static str> {
    let distance_to = |rule: &Rule| {
        let short = rule.id.split_once('.').map_or(rule.id, |(_, rest)| rest);
        strsim::osa_distance(id, rule.id).min(strsim::osa_distance(id, short))
    };
    // `min_by_key` keeps the first of equals, in contract order, so the suggestion is stable.
    let (distance, nearest) = all().map(|rule| (distance_to(rule), rule.id)).min_by_key(|(distance, _)| *distance)?;
    (distance <= id.chars().count() / LETTERS_PER_ERROR).then_some(nearest)
}

/// A rule with no part that only warns. Positional, so that the lists stay short enough to read.
const fn rule(api: Api, level: Level, id: &'static str, demand: &'static str, source: Source) -> Rule {
    Rule { id, api, level, demand, should_part: None, source }
}

const fn stated(text: &'static str) -> Source {
    Source { kind: SourceKind::Stated, text }
}

const fn implied(text: &'static str) -> Source {
    Source { kind: SourceKind::Implied, text }
}

const fn surrounding(text: &'static str) -> Source {
    Source { kind: SourceKind::Surrounding, text }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::observed::Probe;
    use super::*;

    const LOCK: &str = include_str!("ids.lock");

    /// The topic of probes; a rule with it could not be told from an observation in a report.
    const OBSERVE: &str = "observe";

    /// The headings of the primary documents, and names for their parts that have none.
    fn sections(api: Api) -> &'static [&'static str] {
        match api {
            Api::Rndrkit => &[
                "Overview",
                "Endpoint",
                "Authentication",
                "Creating a Webhook Token",
                "Selective URL Refresh",
                "Full Domain Refresh",
                "Rate Limits",
                "Render Quota",
                "Error Responses",
            ],
            Api::Craftkit => &[
                "introduction",
                "Authorization",
                "Path parameters",
                "Body",
                "Response",
                "Errors",
                "cURL example",
                "202 example",
            ],
        }
    }

    fn document(api: Api) -> Document {
        match api {
            Api::Rndrkit => RNDRKIT_DOCUMENT,
            Api::Craftkit => CRAFTKIT_DOCUMENT,
        }
    }

    fn probes() -> impl Iterator<Item = &'static Probe> {
        observed::RNDRKIT.iter().chain(observed::CRAFTKIT)
    }

    fn locked() -> Vec<&'static str> {
        LOCK.lines().collect()
    }

    #[track_caller]
    fn assert_sentence(owner: &str, text: &str, end: char) {
        let first = text.chars().next().unwrap_or(' ');
        assert!(
            first == '`' || first.is_uppercase(),
            "{owner}: `{text}` starts neither upper-case nor with a backtick"
        );
        assert!(text.ends_with(end), "{owner}: `{text}` does not end with `{end}`");
        assert!(!text.contains("  "), "{owner}: `{text}` holds two spaces in a row");
        assert!(!text.contains('\n'), "{owner}: `{text}` holds a line break");
        assert!(text.matches('`').count().is_multiple_of(2), "{owner}: `{text}` has an unclosed backtick");
    }

    /// `<api>.<topic>.<slug>` of lower-case letters, digits and hyphens; returns the topic.
    #[track_caller]
    fn assert_id(id: &str, api: &str) -> String {
        let parts: Vec<&str> = id.split('.').collect();
        assert_eq!(parts.len(), 3, "{id} is not <api>.<topic>.<slug>");
        assert_eq!(parts[0], api, "{id} does not start with its API");
        for part in &parts {
            assert!(
                !part.is_empty() && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')),
                "{id} leaves the alphabet a-z 0-9 - ."
            );
        }
        parts[1].to_owned()
    }

    #[test]
    fn ids_are_unique() {
        let mut seen = BTreeSet::new();
        for id in all().map(|rule| rule.id).chain(probes().map(|probe| probe.id)) {
            assert!(seen.insert(id), "{id} is there twice");
        }
    }

    #[test]
    fn ids_have_api_topic_and_slug() {
        for rule in all() {
            let topic = assert_id(rule.id, rule.api.name());
            assert_ne!(topic, OBSERVE, "{} would read as a probe", rule.id);
        }
        for (api, list) in [(Api::Rndrkit, observed::RNDRKIT), (Api::Craftkit, observed::CRAFTKIT)] {
            for probe in list {
                let topic = assert_id(probe.id, api.name());
                assert_eq!(topic, OBSERVE, "{} would read as a rule", probe.id);
            }
        }
    }

    #[test]
    fn each_list_holds_its_own_api_only() {
        assert!(rndrkit::RULES.iter().all(|rule| rule.api == Api::Rndrkit));
        assert!(craftkit::RULES.iter().all(|rule| rule.api == Api::Craftkit));
    }

    #[test]
    fn texts_are_sentences() {
        for rule in all() {
            assert_sentence(rule.id, rule.demand, '.');
            if let Some(part) = rule.should_part {
                assert_sentence(rule.id, part, '.');
            }
        }
        for probe in probes() {
            assert_sentence(probe.id, probe.question, '?');
        }
        for entry in unjudged::UNJUDGED {
            assert_sentence("unjudged", entry.statement, '.');
            assert_sentence("unjudged", entry.reason, '.');
        }
    }

    #[test]
    fn no_two_texts_are_the_same() {
        let mut owners = BTreeMap::new();
        let rules =
            all().flat_map(|rule| std::iter::once(rule.demand).chain(rule.should_part).map(|text| (text, rule.id)));
        for (text, owner) in rules.chain(probes().map(|probe| (probe.question, probe.id))) {
            if let Some(other) = owners.insert(text, owner) {
                panic!("{other} and {owner} share the text `{text}`");
            }
        }
    }

    #[test]
    fn only_must_rules_have_a_should_part() {
        for rule in all().filter(|rule| rule.should_part.is_some()) {
            assert_eq!(rule.level, Level::Must, "{} warns as a whole already", rule.id);
        }
    }

    #[test]
    fn no_must_rests_on_surrounding_pages_alone() {
        for rule in all().filter(|rule| rule.source.kind == SourceKind::Surrounding) {
            assert_eq!(rule.level, Level::Should, "{}", rule.id);
        }
    }

    #[test]
    fn sources_name_a_section_or_an_address() {
        for Rule { id, api, source, .. } in all() {
            assert!(!source.text.is_empty(), "{id} has no source");
            if source.kind == SourceKind::Surrounding {
                for address in source.text.split(" and ") {
                    assert!(address.starts_with("https://"), "{id}: `{address}` is no address");
                    assert!(!address.contains(' '), "{id}: `{address}` is no address");
                    assert_ne!(address, document(*api).url, "{id} names the primary document");
                }
                continue;
            }
            let title = document(*api).title;
            let named = source.text.strip_prefix(title).and_then(|rest| rest.strip_prefix(", "));
            let named = named.unwrap_or_else(|| panic!("{id}: `{}` lacks the title", source.text));
            for section in named.split(", ").flat_map(|part| part.split(" and ")) {
                assert!(sections(*api).contains(&section), "{id}: no section `{section}`");
            }
        }
    }

    #[test]
    fn lock_is_sorted_and_free_of_repetition() {
        let locked = locked();
        assert!(
            locked.windows(2).all(|pair| pair[0] < pair[1]),
            "ids.lock is not in byte order, or holds a line twice: sort it with `LC_ALL=C sort -u`"
        );
    }

    #[test]
    fn no_locked_id_is_missing_from_the_catalogue() {
        for id in locked() {
            assert!(
                find(id).is_some(),
                "{id} is in ids.lock but in no list: reports, target files and scripts of other \
                 people use it, so bring the rule back under this id"
            );
        }
    }

    #[test]
    fn no_id_of_the_catalogue_is_missing_from_the_lock() {
        let locked: BTreeSet<&str> = locked().into_iter().collect();
        for rule in all() {
            assert!(
                locked.contains(rule.id),
                "{0} is a new id: if its name shall stay for good, add the line `{0}` to \
                 harness/src/catalogue/ids.lock, in byte order",
                rule.id
            );
        }
    }

    #[test]
    fn find_takes_whole_ids_only() {
        for rule in all() {
            assert_eq!(find(rule.id), Some(rule));
            assert_eq!(find(&rule.id[..rule.id.len() - 1]), None);
        }
    }

    #[test]
    fn nearest_repairs_a_lost_letter_and_a_swap_at_once() {
        for rule in all() {
            let mut typed: Vec<char> = rule.id.chars().collect();
            typed.remove(typed.len() / 2);
            let last = typed.len() - 1;
            typed.swap(last - 1, last);
            let typed: String = typed.into_iter().collect();
            assert_eq!(nearest(&typed), Some(rule.id), "for `{typed}`");
        }
    }

    #[test]
    fn nearest_repairs_a_lost_api() {
        assert_eq!(nearest("rate.ten-per-hour"), Some("rndrkit.rate.ten-per-hour"));
        assert_eq!(nearest("queue.recover"), Some("craftkit.queue.recovers"));
    }

    #[test]
    fn nearest_is_silent_when_nothing_is_like_it() {
        assert_eq!(nearest(""), None);
        assert_eq!(nearest("zzzz"), None);
    }

    #[test]
    fn levels_have_the_names_of_the_report() {
        assert_eq!(Level::Must.name(), "must");
        assert_eq!(Level::Should.name(), "should");
    }
}
