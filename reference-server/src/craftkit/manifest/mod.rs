//! A template's manifest: which data a render takes, and the judgement of a body against it.
//!
//! [`Manifest::parse`] refuses what could never be filled in unambiguously, so that [`validate`]
//! has only the body to judge. Both are pure: no clock, no store, no network.

mod formats;
mod parse;
mod validation;

#[cfg(test)]
mod properties;

pub use parse::{MAX_KEY_SEGMENTS, ManifestError, ManifestProblem};
pub use validation::{Issues, MAX_LOOP_ITEMS, MAX_MESSAGES_PER_KEY, validate};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a template takes: single values, and lists of rows.
///
/// Reading one from JSON always goes through [`Manifest::parse`]; a stored manifest is checked
/// like a new one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value")]
pub struct Manifest {
    /// Single values, nested by the dots in their keys.
    pub variables: Vec<Variable>,
    /// Lists of rows, each under a top-level key.
    pub loops: Vec<Loop>,
}

/// One value of a body, or of a row of a loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", rename_all = "camelCase")]
pub struct Variable {
    /// Where the value is: `customer.name` is `{"customer":{"name":…}}`.
    pub key: String,
    /// The name shown to people; the key where none was given.
    pub label: String,
    /// What the value has to be.
    pub data_type: DataType,
    /// Whether a body without it is refused.
    pub required: bool,
}

/// A list of rows, all of the same fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", rename_all = "camelCase")]
pub struct Loop {
    /// The top-level key of the list, without a dot.
    pub key: String,
    /// The name shown to people; the key where none was given.
    pub label: String,
    /// The fields of a row, at least one; their keys nest by dots as those of variables do.
    pub item_fields: Vec<Variable>,
}

/// What a value has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataType {
    /// Any string, the empty one too.
    Text,
    /// Any string, the empty one too.
    LongText,
    /// A finite number, or a string that spells one.
    Number,
    /// A finite number, or a string that spells one.
    Currency,
    /// An ISO 8601 calendar date, alone or with a time.
    Date,
    /// An ISO 8601 date with a time.
    DateTime,
    /// `true` or `false`, or a string that spells one of them.
    Boolean,
    /// An http or https URL.
    Image,
    /// An http or https URL.
    Url,
    /// An e-mail address.
    Email,
}

impl DataType {
    /// All of them, in the order in which error messages list them.
    pub const ALL: [Self; 10] = [
        Self::Text,
        Self::LongText,
        Self::Number,
        Self::Currency,
        Self::Date,
        Self::DateTime,
        Self::Boolean,
        Self::Image,
        Self::Url,
        Self::Email,
    ];

    /// The name a manifest uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::LongText => "longtext",
            Self::Number => "number",
            Self::Currency => "currency",
            Self::Date => "date",
            Self::DateTime => "datetime",
            Self::Boolean => "boolean",
            Self::Image => "image",
            Self::Url => "url",
            Self::Email => "email",
        }
    }
}

/// The name of a JSON value's type, as messages spell it.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
