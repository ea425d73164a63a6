//! Generated manifests with the data that fits them: scalars at any depth, loops, and what is done to the data. Pure.

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::checks::craftkit::bodies::{manifest, unmarked};
use crate::checks::craftkit::{repeated, variable};

/// The required text that every manifest has at its top level: what is compared with the faults elsewhere lacks it.
pub(super) const TITLE: &str = "title";

/// A manifest, a body that fits it, and what is done to the body. Each fault and each variation is a body of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ManifestCase {
    pub(super) variations: Vec<Variation>,
    pub(super) faults: Vec<Fault>,
    pub(super) loops: Vec<Rows>,
    pub(super) variables: Vec<Scalar>,
    /// The title stands behind all other variables instead of before them.
    pub(super) title_last: bool,
}

/// A scalar of the manifest, and what the body has for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scalar {
    /// Segments of its key; a field of a loop has one, whatever this says.
    depth: usize,
    /// In the second of two groups that share their deeper names.
    second_group: bool,
    /// Its type.
    pub(super) kind: Kind,
    /// It must be there.
    pub(super) required: bool,
    /// It is there, though it need not be.
    given: bool,
    /// Which of its type's values it has.
    value: usize,
}

/// A loop with its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rows {
    pub(super) rows: usize,
    pub(super) fields: Vec<Scalar>,
}

/// One thing wrong with the body, at one place of those where it can be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    pub(super) sort: Sort,
    /// Which of the places.
    pub(super) at: usize,
    /// Which row, in percent of the way from the first to the last.
    pub(super) row: usize,
    /// Which of several ways.
    pub(super) how: usize,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sort {
    /// A required scalar is missing.
    Lacks,
    /// A scalar is of a type that cannot become its own.
    WrongType,
    /// An item lacks a required field.
    ItemLacks,
    /// A field of an item is of a type that cannot become its own.
    ItemWrongType,
    /// An item is no object.
    NoObject,
    /// There is no array in a loop's place.
    NoArray,
    /// A scalar of a group stands at the top level under its last name.
    Misplaced,
    /// A scalar of a group stands at the top level under its whole key, dots and all.
    Dotted,
    /// All is inside of `data`.
    Wrapped,
    /// A text has not the form that its type asks for.
    BadFormat,
    /// A value that strict readers refuse, and others turn into the type.
    NearType,
}

/// A change that a fitting body survives, or that its signature does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Variation {
    /// Keys at the top level that the manifest lacks.
    UnknownKeys(usize),
    /// Such keys in groups and items.
    UnknownNested,
    /// Numbers and booleans are written as texts.
    Coerced,
    /// A loop is missing.
    LoopAbsent,
    /// A loop has no rows.
    LoopEmpty,
    /// Keys in another order, and white space; signed.
    Respelled(usize),
    /// Changed after it was signed.
    Tampered(usize),
    /// Sent to the render route as well.
    Rendered,
}

/// The data types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Text,
    LongText,
    Number,
    Currency,
    Boolean,
    Date,
    DateTime,
    Image,
    Url,
    Email,
}

impl Kind {
    const ALL: [Kind; 10] = [
        Kind::Text,
        Kind::LongText,
        Kind::Number,
        Kind::Currency,
        Kind::Boolean,
        Kind::Date,
        Kind::DateTime,
        Kind::Image,
        Kind::Url,
        Kind::Email,
    ];

    /// The name in manifests.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::LongText => "longtext",
            Kind::Number => "number",
            Kind::Currency => "currency",
            Kind::Boolean => "boolean",
            Kind::Date => "date",
            Kind::DateTime => "datetime",
            Kind::Image => "image",
            Kind::Url => "url",
            Kind::Email => "email",
        }
    }

    /// A value that fits; each number gives one of a few.
    fn value(self, number: usize) -> Value {
        let values = match self {
            Kind::Text | Kind::LongText => {
                json!([
                    "Acme Corp",
                    "naïve café",
                    "漢字 ☃ 𝒳",
                    "a \"quoted\" \\ word",
                    "0",
                    "true",
                    "null",
                    "{\"a\": 1}",
                    "/"
                ])
            }
            Kind::Number => json!([5, 0, 9.99, 1_000_000, 0.5]),
            Kind::Currency => json!([49.95, 0, 1999, 0.01]),
            Kind::Boolean => json!([true, false]),
            Kind::Date => json!(["2026-01-31", "2024-02-29", "1999-12-31"]),
            Kind::DateTime => json!(["2026-01-31T09:30:00Z", "2024-02-29T23:59:59Z"]),
            Kind::Image => json!(["https://example.com/a.png", "http://example.com/b.jpg"]),
            Kind::Url => json!(["https://example.com/", "http://example.com/a?b=c#d"]),
            Kind::Email => json!(["ada@example.com", "ada.lovelace@mail.example.org"]),
        };
        nth(values, number)
    }

    /// A value that is not of the type and cannot become one.
    pub(super) fn wrong(self, number: usize) -> Value {
        let object = json!({"value": self.value(number)});
        let values = match self {
            Kind::Text | Kind::LongText => json!([object, ["Acme Corp"], {}]),
            Kind::Number | Kind::Currency => json!([object, "abc", {}]),
            Kind::Boolean => json!([object, "maybe", {}]),
            Kind::Date | Kind::DateTime | Kind::Image | Kind::Url | Kind::Email => json!([object, {}]),
        };
        nth(values, number)
    }

    /// One of the types with a form that texts must have.
    pub(super) fn formed(number: usize) -> Kind {
        const FORMED: [Kind; 5] = [Kind::Date, Kind::DateTime, Kind::Image, Kind::Url, Kind::Email];
        FORMED[number % FORMED.len()]
    }

    /// One of the types that lenient readers make out of others.
    pub(super) fn made(number: usize) -> Kind {
        const MADE: [Kind; 4] = [Kind::Text, Kind::Number, Kind::Currency, Kind::LongText];
        MADE[number % MADE.len()]
    }

    /// A value that only a lenient reader takes; none for most types.
    pub(super) fn nearly(self) -> Option<Value> {
        match self {
            Kind::Text | Kind::LongText => Some(json!(12)),
            Kind::Number | Kind::Currency => Some(json!("12abc")),
            _ => None,
        }
    }

    /// A text without the form that the type asks for; none where there is no such form.
    pub(super) fn misformed(self, number: usize) -> Option<Value> {
        let values = match self {
            Kind::Date => json!(["2026-02-30", "yesterday", "2026-13-01"]),
            Kind::DateTime => json!(["yesterday", "half past nine"]),
            Kind::Image => json!(["data:image/png;base64,iVBORw0KGgo=", "no address"]),
            Kind::Url => json!(["no address"]),
            Kind::Email => json!(["ada at example", "ada"]),
            _ => return None,
        };
        Some(nth(values, number))
    }
}

/// One of the values of a list, which number it ever is.
fn nth(values: Value, number: usize) -> Value {
    let values = values.as_array().cloned().unwrap_or_default();
    values[number % values.len()].clone()
}

/// Names of groups from the outermost inwards, one for each depth.
const INNER: [&str; 4] = ["shipping", "address", "contact", "line"];

impl Scalar {
    /// The key, unique by the place in its list.
    pub(super) fn key(&self, place: usize) -> String {
        let last = format!("field{}", place + 1);
        if !self.is_nested() {
            return last;
        }
        let outer = if self.second_group { "order" } else { "customer" };
        let inner = INNER.iter().take(self.depth.saturating_sub(2)).copied();
        std::iter::once(outer).chain(inner).chain([last.as_str()]).collect::<Vec<&str>>().join(".")
    }

    /// True if it is in a group.
    pub(super) fn is_nested(&self) -> bool {
        self.depth > 1
    }

    /// True if the body has it.
    pub(super) fn is_there(&self) -> bool {
        self.required || self.given
    }

    fn definition(&self, key: &str) -> Value {
        if !self.required && self.value % 2 == 1 {
            unmarked(key, self.kind.name())
        } else {
            variable(key, self.kind.name(), self.required)
        }
    }
}

/// The name of a field of a loop.
pub(super) fn field_name(place: usize) -> String {
    format!("part{}", place + 1)
}

/// The key of a loop.
pub(super) fn loop_name(place: usize) -> String {
    format!("rows{}", place + 1)
}

/// The pointer to what a dotted key names.
pub(super) fn pointer(key: &str) -> String {
    format!("/{}", key.replace('.', "/"))
}

impl ManifestCase {
    /// The variables with their keys.
    pub(super) fn keyed(&self) -> impl Iterator<Item = (String, &Scalar)> {
        self.variables.iter().enumerate().map(|(place, scalar)| (scalar.key(place), scalar))
    }

    /// The manifest; `beside` are further variables at the top level.
    pub(super) fn manifest(&self, beside: &[Beside]) -> Value {
        let mut variables: Vec<Value> = self.keyed().map(|(key, scalar)| scalar.definition(&key)).collect();
        let beside = beside.iter().map(|beside| variable(&beside.key(), beside.kind.name(), beside.required));
        let at = variables.len() / 2;
        variables.splice(at..at, beside);
        let title = variable(TITLE, "text", true);
        variables.insert(if self.title_last { variables.len() } else { 0 }, title);
        let loops = self.loops.iter().enumerate().map(|(place, one)| {
            let fields: Vec<Value> = one.fields.iter().enumerate().map(field_definition).collect();
            repeated(&loop_name(place), &fields)
        });
        manifest(&variables, &loops.collect::<Vec<Value>>())
    }

    /// A body that fits.
    pub(super) fn body(&self, beside: &[Beside]) -> Value {
        let mut body = Map::new();
        body.insert(TITLE.to_owned(), json!("Stock 1"));
        for beside in beside {
            body.insert(beside.key(), beside.kind.value(0));
        }
        for (key, scalar) in self.keyed() {
            let mut segments: Vec<&str> = key.split('.').collect();
            let last = segments.pop().expect("a key has a segment");
            let group = segments.into_iter().fold(&mut body, |group, segment| {
                let group = group.entry(segment).or_insert_with(|| json!({}));
                group.as_object_mut().expect("no key leads through a scalar")
            });
            if scalar.is_there() {
                group.insert(last.to_owned(), scalar.kind.value(scalar.value));
            }
        }
        for (place, one) in self.loops.iter().enumerate() {
            body.insert(loop_name(place), (0..one.rows).map(|row| one.row(row)).collect());
        }
        Value::Object(body)
    }

    /// Rows of all loops together.
    pub(super) fn rows(&self) -> usize {
        self.loops.iter().map(|one| one.rows).sum()
    }

    /// True if something is left out that may be.
    pub(super) fn leaves_something_out(&self) -> bool {
        let fields = self.loops.iter().flat_map(|one| &one.fields);
        self.variables.iter().chain(fields).any(|scalar| !scalar.is_there())
    }
}

fn field_definition((place, scalar): (usize, &Scalar)) -> Value {
    scalar.definition(&field_name(place))
}

impl Rows {
    fn row(&self, row: usize) -> Value {
        let fields = self.fields.iter().enumerate().filter(|(_, scalar)| scalar.is_there());
        Value::Object(fields.map(|(place, one)| (field_name(place), one.kind.value(one.value + row))).collect())
    }
}

/// A variable at the top level at which the same fault is tried that is planted further down: what is tolerated in both places says
/// nothing about depth or loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beside {
    pub(super) kind: Kind,
    pub(super) required: bool,
}

impl Beside {
    /// Its key.
    pub(super) fn key(self) -> String {
        format!("{}{}", if self.required { "needed" } else { "plain" }, self.kind.name())
    }
}

fn scalar() -> impl Strategy<Value = Scalar> {
    let depth = prop_oneof![2 => Just(1_usize), 3 => 1..=6_usize];
    let kind = prop::sample::select(Kind::ALL.to_vec());
    (depth, any::<bool>(), kind, any::<bool>(), any::<bool>(), 0..10_usize).prop_map(
        |(depth, second_group, kind, optional, left_out, value)| Scalar {
            depth,
            second_group,
            kind,
            required: !optional,
            given: !left_out,
            value,
        },
    )
}

fn rows() -> impl Strategy<Value = Rows> {
    let count = prop_oneof![5 => 1..=4_usize, 1 => 1..=200_usize, 1 => Just(200)];
    (count, prop::collection::vec(scalar(), 1..=3)).prop_map(|(rows, fields)| Rows { rows, fields })
}

fn fault() -> impl Strategy<Value = Fault> {
    let sort = prop_oneof![
        5 => Just(Sort::Lacks),
        6 => Just(Sort::WrongType),
        5 => Just(Sort::ItemLacks),
        5 => Just(Sort::ItemWrongType),
        4 => Just(Sort::NoObject),
        4 => Just(Sort::NoArray),
        2 => Just(Sort::Misplaced),
        2 => Just(Sort::Dotted),
        1 => Just(Sort::Wrapped),
        4 => Just(Sort::BadFormat),
        5 => Just(Sort::NearType),
    ];
    let row = prop_oneof![Just(0_usize), Just(100), 0..=100_usize];
    (sort, 0..20_usize, row, 0..10_usize).prop_map(|(sort, at, row, how)| Fault { sort, at, row, how })
}

fn variation() -> impl Strategy<Value = Variation> {
    prop_oneof![
        3 => (0..3_usize).prop_map(Variation::UnknownKeys),
        2 => Just(Variation::UnknownNested),
        2 => Just(Variation::Coerced),
        1 => Just(Variation::LoopAbsent),
        1 => Just(Variation::LoopEmpty),
        2 => (0..1000_usize).prop_map(Variation::Respelled),
        2 => (0..10_000_usize).prop_map(Variation::Tampered),
        2 => Just(Variation::Rendered),
    ]
}

/// Any case.
pub(super) fn case() -> impl Strategy<Value = ManifestCase> {
    let variations = prop::collection::vec(variation(), 0..=3);
    let faults = prop::collection::vec(fault(), 1..=5);
    let loops = prop::collection::vec(rows(), 0..=2);
    let variables = prop::collection::vec(scalar(), 0..=6);
    (variations, faults, loops, variables, any::<bool>()).prop_map(
        |(variations, faults, loops, variables, title_last)| ManifestCase {
            variations,
            faults,
            loops,
            variables,
            title_last,
        },
    )
}
