//! Reading a manifest: every way in which one can be wrong, and where.
//!
//! Properties that are not read here are let pass and dropped: the documented definitions carry
//! more of them (`format`, `previewData`) than judging a body needs. The two lists themselves
//! must be there, since a misspelt name would otherwise publish a template that takes anything.

use std::collections::HashSet;

use serde_json::{Map, Value};
use thiserror::Error;

use super::{DataType, Loop, Manifest, Variable, kind_of};

/// Most dot-separated segments of a key.
///
/// `serde_json` reads 127 levels of nesting and no more, so a value further down could not be
/// sent; the rest is room for what a body is wrapped in, such as a loop's array and row.
pub const MAX_KEY_SEGMENTS: usize = 120;

/// Why a manifest is refused, and at which field.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {problem}")]
pub struct ManifestError {
    field: String,
    problem: ManifestProblem,
}

impl ManifestError {
    /// The path of the field at fault, such as `loops[0].itemFields[2].dataType`; `manifest` for
    /// the whole.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What is wrong there.
    pub fn problem(&self) -> &ManifestProblem {
        &self.problem
    }

    /// What is wrong there, in words and without the path.
    pub fn message(&self) -> String {
        self.problem.to_string()
    }

    fn new(field: impl Into<String>, problem: ManifestProblem) -> Self {
        let field = field.into();
        Self { field, problem }
    }
}

/// What is wrong with a field of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ManifestProblem {
    /// A field that has no default is not there.
    #[error("missing")]
    Missing,
    /// A field has another JSON type than it must have.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// The JSON type it must have, with its article.
        expected: &'static str,
        /// The JSON type it has.
        found: &'static str,
    },
    /// The data type is none of [`DataType::ALL`].
    #[error("unknown data type `{0}`, expected one of {names}", names = data_type_names())]
    UnknownDataType(String),
    /// A key is empty, or has nothing before, between or after its dots.
    #[error("`{0}` has an empty segment")]
    EmptySegment(String),
    /// A key nests deeper than a body can.
    #[error("{0} segments, at most {MAX_KEY_SEGMENTS} are allowed")]
    TooDeep(usize),
    /// A key is used twice in one list.
    #[error("`{0}` is used twice")]
    DuplicateKey(String),
    /// A key leads through another one, which therefore would be a value and an object.
    #[error("`{key}` leads through `{prefix}`, which is a value itself")]
    ThroughValue {
        /// The longer key.
        key: String,
        /// The shorter key.
        prefix: String,
    },
    /// A loop's key has a dot, but loops are top-level.
    #[error("`{0}` has a dot, and a loop's key must be top-level")]
    DottedLoopKey(String),
    /// A loop's key is also the first segment of a variable's key.
    #[error("`{0}` is also the top-level key of a variable")]
    LoopOverVariable(String),
    /// A loop has no fields.
    #[error("a loop needs at least one field")]
    NoItemFields,
}

fn data_type_names() -> String {
    DataType::ALL.map(DataType::name).join(", ")
}

impl Manifest {
    /// Reads a manifest from its JSON form and refuses it at the first fault.
    ///
    /// # Errors
    ///
    /// Every [`ManifestProblem`], each with the path of its field.
    pub fn parse(value: &Value) -> Result<Self, ManifestError> {
        let object = object_at(value, "manifest")?;
        let variables = parse_variables(list_in(object, "", "variables")?, "variables")?;
        let loops = list_in(object, "", "loops")?
            .iter()
            .enumerate()
            .map(|(at, value)| parse_loop(value, &format!("loops[{at}]")))
            .collect::<Result<Vec<_>, _>>()?;
        check_top_level(&variables, &loops)?;
        Ok(Self { variables, loops })
    }
}

impl TryFrom<Value> for Manifest {
    type Error = ManifestError;

    fn try_from(value: Value) -> Result<Self, ManifestError> {
        Self::parse(&value)
    }
}

impl TryFrom<Value> for Variable {
    type Error = ManifestError;

    fn try_from(value: Value) -> Result<Self, ManifestError> {
        parse_variable(&value, "variable")
    }
}

impl TryFrom<Value> for Loop {
    type Error = ManifestError;

    fn try_from(value: Value) -> Result<Self, ManifestError> {
        parse_loop(&value, "loop")
    }
}

fn parse_variables(values: &[Value], path: &str) -> Result<Vec<Variable>, ManifestError> {
    let variables = values
        .iter()
        .enumerate()
        .map(|(at, value)| parse_variable(value, &format!("{path}[{at}]")))
        .collect::<Result<Vec<_>, _>>()?;
    check_keys(&variables, path)?;
    Ok(variables)
}

fn parse_variable(value: &Value, path: &str) -> Result<Variable, ManifestError> {
    let object = object_at(value, path)?;
    let key = string_in(object, path, "key")?;
    check_segments(key, path)?;
    let name = string_in(object, path, "dataType")?;
    let data_type = DataType::ALL.into_iter().find(|data_type| data_type.name() == name).ok_or_else(|| {
        let problem = ManifestProblem::UnknownDataType(name.to_owned());
        ManifestError::new(join(path, "dataType"), problem)
    })?;
    let required = match object.get("required") {
        None => false,
        Some(Value::Bool(required)) => *required,
        Some(other) => return Err(wrong_type(join(path, "required"), "a boolean", other)),
    };
    Ok(Variable { key: key.to_owned(), label: label_in(object, path, key)?, data_type, required })
}

fn parse_loop(value: &Value, path: &str) -> Result<Loop, ManifestError> {
    let object = object_at(value, path)?;
    let key = string_in(object, path, "key")?;
    if key.contains('.') {
        let problem = ManifestProblem::DottedLoopKey(key.to_owned());
        return Err(ManifestError::new(join(path, "key"), problem));
    }
    check_segments(key, path)?;
    let fields = list_in(object, path, "itemFields")?;
    let fields_path = join(path, "itemFields");
    if fields.is_empty() {
        let problem = ManifestProblem::NoItemFields;
        return Err(ManifestError::new(fields_path, problem));
    }
    Ok(Loop {
        key: key.to_owned(),
        label: label_in(object, path, key)?,
        item_fields: parse_variables(fields, &fields_path)?,
    })
}

fn check_segments(key: &str, path: &str) -> Result<(), ManifestError> {
    let depth = key.split('.').count();
    let problem = if key.split('.').any(str::is_empty) {
        ManifestProblem::EmptySegment(key.to_owned())
    } else if depth > MAX_KEY_SEGMENTS {
        ManifestProblem::TooDeep(depth)
    } else {
        return Ok(());
    };
    Err(ManifestError::new(join(path, "key"), problem))
}

/// Refuses keys of one list that are the same, or of which one leads through another.
fn check_keys(variables: &[Variable], path: &str) -> Result<(), ManifestError> {
    let fault = |at: usize, problem| ManifestError::new(format!("{path}[{at}].key"), problem);
    let mut keys = HashSet::new();
    for (at, variable) in variables.iter().enumerate() {
        if !keys.insert(variable.key.as_str()) {
            let problem = ManifestProblem::DuplicateKey(variable.key.clone());
            return Err(fault(at, problem));
        }
    }
    for (at, variable) in variables.iter().enumerate() {
        let key = variable.key.as_str();
        let mut prefixes = key.match_indices('.').map(|(dot, _)| &key[..dot]);
        if let Some(prefix) = prefixes.find(|prefix| keys.contains(prefix)) {
            let problem = ManifestProblem::ThroughValue { key: key.to_owned(), prefix: prefix.to_owned() };
            return Err(fault(at, problem));
        }
    }
    Ok(())
}

/// Refuses two meanings of one top-level key.
fn check_top_level(variables: &[Variable], loops: &[Loop]) -> Result<(), ManifestError> {
    let of_variables: HashSet<_> = variables.iter().filter_map(|variable| variable.key.split('.').next()).collect();
    let mut of_loops = HashSet::new();
    for (at, item) in loops.iter().enumerate() {
        let key = item.key.as_str();
        let problem = if of_variables.contains(key) {
            ManifestProblem::LoopOverVariable(key.to_owned())
        } else if !of_loops.insert(key) {
            ManifestProblem::DuplicateKey(key.to_owned())
        } else {
            continue;
        };
        return Err(ManifestError::new(format!("loops[{at}].key"), problem));
    }
    Ok(())
}

/// The path of a member; those of the manifest itself are named without it.
fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    }
}

fn wrong_type(field: impl Into<String>, expected: &'static str, value: &Value) -> ManifestError {
    let found = kind_of(value);
    ManifestError::new(field, ManifestProblem::WrongType { expected, found })
}

fn object_at<'v>(value: &'v Value, path: &str) -> Result<&'v Map<String, Value>, ManifestError> {
    value.as_object().ok_or_else(|| wrong_type(path, "an object", value))
}

fn member<'v>(object: &'v Map<String, Value>, path: &str, name: &str) -> Result<&'v Value, ManifestError> {
    object.get(name).ok_or_else(|| ManifestError::new(join(path, name), ManifestProblem::Missing))
}

fn list_in<'v>(object: &'v Map<String, Value>, path: &str, name: &str) -> Result<&'v [Value], ManifestError> {
    let value = member(object, path, name)?;
    value.as_array().map(Vec::as_slice).ok_or_else(|| wrong_type(join(path, name), "an array", value))
}

fn string_in<'v>(object: &'v Map<String, Value>, path: &str, name: &str) -> Result<&'v str, ManifestError> {
    let value = member(object, path, name)?;
    value.as_str().ok_or_else(|| wrong_type(join(path, name), "a string", value))
}

fn label_in(object: &Map<String, Value>, path: &str, otherwise: &str) -> Result<String, ManifestError> {
    let label = if object.contains_key("label") { string_in(object, path, "label")? } else { otherwise };
    Ok(label.to_owned())
}

#[cfg(test)]
mod tests;
