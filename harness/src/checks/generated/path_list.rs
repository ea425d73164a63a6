//! Generated lists of paths: plain ones, and what may stand among them. Pure.

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Paths that one request can queue.
pub(super) const PATHS_MAX: usize = 20;

/// A list of paths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    /// Entries that are no plain path.
    pub(super) others: Vec<Entry>,
    /// Plain paths beside them.
    pub(super) plain: usize,
    /// `/` is one more.
    pub(super) root: bool,
    /// What plain paths look like.
    pub(super) style: Style,
    /// Where in the list the others stand, from its beginning.
    pub(super) at: usize,
}

/// What plain paths look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Style {
    Page,
    Nested,
    Deep,
    Long,
    Digits,
}

/// An entry that is no plain path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    /// A text that begins with neither a slash nor white space.
    Foreign(String),
    /// So many spaces, then a plain path.
    Spaced(usize),
    /// A text that begins with a slash and goes on in a way that nothing documents.
    Odd(String),
    /// No text.
    NoText(Value),
}

/// What a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Root,
    Long,
    Empty,
    NoneValid,
    Spaced,
    Mixed,
    Odd,
    NoText,
    /// Several things at once: nothing follows.
    Unclear,
}

impl List {
    /// What it shows.
    pub(super) fn kind(&self) -> Kind {
        let has = |sort: fn(&Entry) -> bool| self.others.iter().any(sort);
        let pages = self.plain + usize::from(self.root);
        let (foreign, odd) =
            (has(|entry| matches!(entry, Entry::Foreign(_))), has(|entry| matches!(entry, Entry::Odd(_))));
        let (spaced, no_text) =
            (has(|entry| matches!(entry, Entry::Spaced(_))), has(|entry| matches!(entry, Entry::NoText(_))));
        if !self.others.is_empty() && (self.root || pages + self.others.len() > PATHS_MAX) {
            return Kind::Unclear;
        }
        match (foreign, spaced, odd, no_text) {
            (false, false, false, false) => match (pages, self.root) {
                (0, _) => Kind::Empty,
                (1..=3, true) => Kind::Root,
                (_, true) => Kind::Unclear,
                (1..=PATHS_MAX, false) => Kind::Plain,
                _ => Kind::Long,
            },
            (true, false, false, false) if pages == 0 => Kind::NoneValid,
            (true, false, false, false) => Kind::Mixed,
            (false, true, false, false) if pages == 0 => Kind::Spaced,
            (_, false, true, false) => Kind::Odd,
            (false, false, false, true) => Kind::NoText,
            _ => Kind::Unclear,
        }
    }

    /// Requests that the list takes.
    pub(super) fn requests(&self) -> usize {
        if self.kind() == Kind::Mixed { 3 } else { 1 }
    }

    /// Plain paths that the list names: known to its domain and new to it.
    pub(super) fn needs(&self) -> usize {
        self.plain + self.others.iter().filter(|entry| matches!(entry, Entry::Spaced(_))).count()
    }

    /// The list as it is sent; `pages` are as many plain paths as it needs.
    pub(super) fn urls(&self, pages: &[String]) -> Value {
        let mut pages = pages.iter().cloned();
        let mut page = || pages.next().expect("a list is given the paths it needs");
        let mut urls: Vec<Value> = (0..self.plain).map(|_| Value::from(page())).collect();
        if self.root {
            urls.insert(0, json!("/"));
        }
        let at = self.at.min(urls.len());
        for entry in self.others.iter().rev() {
            let value = match entry {
                Entry::Foreign(text) | Entry::Odd(text) => Value::from(text.as_str()),
                Entry::Spaced(spaces) => Value::from(format!("{}{}", " ".repeat((*spaces).clamp(1, 9)), page())),
                Entry::NoText(value) => value.clone(),
            };
            urls.insert(at, value);
        }
        json!({ "urls": urls })
    }
}

impl Style {
    /// A plain path that no other number has.
    pub(super) fn path(self, number: usize) -> String {
        match self {
            Style::Page => format!("/page-{number}"),
            Style::Nested => format!("/blog/post-{number}"),
            Style::Deep => format!("/docs/{number}/api/v2/reference/index"),
            Style::Long => format!("/a-page-whose-name-is-as-long-as-an-editor-made-it-{number}"),
            Style::Digits => format!("/{number}"),
        }
    }
}

/// Beginnings of texts that careless readers take for the slash of a path, or for something that leads to one.
const BEGINNINGS: [&str; 18] = [
    "",
    "https://example.com/",
    "http://example.com/",
    "./",
    "../",
    "?page=",
    "#",
    "\\",
    "%2F",
    "%2f",
    "\u{ff0f}",
    "\u{2215}",
    "\u{2044}",
    "&#47;",
    "~/",
    "*/",
    "C:/",
    "file:/",
];

/// What such texts go on with.
const WORDS: [&str; 8] = ["about", "blog/new-post", "1", "a b", "Über-uns", "漢字", "index.html", "a?x=1"];

pub(super) fn foreign() -> impl Strategy<Value = Entry> {
    let words = (prop::sample::select(BEGINNINGS.to_vec()), prop::sample::select(WORDS.to_vec()));
    prop_oneof![
        20 => words.prop_map(|(beginning, word)| format!("{beginning}{word}")),
        1 => Just(String::new()),
        1 => (65..300_usize).prop_map(|length| "a".repeat(length)),
    ]
    .prop_map(Entry::Foreign)
}

/// Texts that begin with a slash, of which no document says what becomes of them.
const ODD: [&str; 24] = [
    "/a b",
    "/ü/漢字",
    "/%2e%2e/%00",
    "/%",
    "/%zz",
    "/a?x=1",
    "/a#b",
    "//example.com/a",
    "///",
    "/../..",
    "/./a",
    "/a//b",
    "/a/",
    "/\u{0}",
    "/\u{1}\n\t",
    "/a\\b",
    "/\u{202e}a",
    "/\u{feff}",
    "/ABC",
    "/<script>",
    "/' OR 1=1--",
    "/𝒳",
    "/a;b=c",
    "/*",
];

fn odd() -> impl Strategy<Value = Entry> {
    prop_oneof![
        8 => prop::sample::select(ODD.to_vec()).prop_map(str::to_owned),
        2 => (65..5000_usize).prop_map(|length| format!("/{}", "a".repeat(length))),
    ]
    .prop_map(Entry::Odd)
}

fn no_text() -> impl Strategy<Value = Entry> {
    let values = vec![
        json!(1),
        json!(0),
        json!(-1.5),
        Value::Null,
        json!(true),
        json!(false),
        json!({}),
        json!([]),
        json!({"path": "/nested"}),
        json!(["/nested"]),
        json!([["/nested"]]),
        json!({"0": "/nested", "length": 1}),
    ];
    prop::sample::select(values).prop_map(Entry::NoText)
}

/// Lengths of lists of plain paths: any, and those around a limit.
fn lengths() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 1..=PATHS_MAX, 2 => Just(PATHS_MAX), 1 => Just(PATHS_MAX - 1), 1 => Just(1)]
}

fn long_lengths() -> impl Strategy<Value = usize> {
    prop_oneof![2 => Just(PATHS_MAX + 1), 2 => PATHS_MAX + 1..=2 * PATHS_MAX + 5]
}

fn style() -> impl Strategy<Value = Style> {
    prop::sample::select(vec![Style::Page, Style::Nested, Style::Deep, Style::Long, Style::Digits])
}

/// Entries, plain paths beside them, and whether `/` is one more.
type Parts = (Vec<Entry>, usize, bool);

fn parts() -> impl Strategy<Value = Parts> {
    let some = |entry: proptest::strategy::BoxedStrategy<Entry>| prop::collection::vec(entry, 1..=4);
    prop_oneof![
        6 => lengths().prop_map(|plain| (Vec::new(), plain, false)),
        3 => long_lengths().prop_map(|plain| (Vec::new(), plain, false)),
        2 => (0..=2_usize).prop_map(|plain| (Vec::new(), plain, true)),
        1 => Just((Vec::new(), 0, false)),
        16 => some(foreign().boxed()).prop_map(|others| (others, 0, false)),
        2 => some((1..=3_usize).prop_map(Entry::Spaced).boxed()).prop_map(|others| (others, 0, false)),
        5 => (some(foreign().boxed()), 1..=5_usize).prop_map(|(others, plain)| (others, plain, false)),
        7 => (some(odd().boxed()), 0..=3_usize).prop_map(|(others, plain)| (others, plain, false)),
        8 => (some(no_text().boxed()), 0..=3_usize).prop_map(|(others, plain)| (others, plain, false)),
    ]
}

/// Any list.
pub(super) fn list() -> impl Strategy<Value = List> {
    (parts(), style(), any::<bool>()).prop_map(|((others, plain, root), style, behind)| {
        let at = if behind { plain } else { 0 };
        // What a long or a nested path is taken for has lists of its own.
        let style = if root { Style::Page } else { style };
        List { others, plain, root, style, at }
    })
}
