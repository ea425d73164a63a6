//! Reading of named parameters; whatever is wrong is told with the name of the field.

use serde_json::{Map, Value};

use super::CallError;

/// The parameters of one call. Each is taken once; what is left at the end is unknown.
pub(super) struct Params(Map<String, Value>);

/// A parameter that is wrong, and why.
pub(super) fn wrong(field: &str, problem: impl Into<String>) -> CallError {
    CallError::BadParams { field: field.to_owned(), problem: problem.into() }
}

impl Params {
    pub(super) fn new(fields: Map<String, Value>) -> Params {
        Params(fields)
    }

    /// Refuses parameters that nobody asked for: a misspelt option would silently not apply.
    pub(super) fn done(self) -> Result<(), CallError> {
        match self.0.keys().next() {
            Some(unknown) => Err(wrong(unknown, "unknown parameter")),
            None => Ok(()),
        }
    }

    /// A value that may be null, where null has a meaning of its own.
    pub(super) fn nullable(&mut self, field: &str) -> Option<Value> {
        self.0.remove(field)
    }

    /// A value; null stands for absent.
    pub(super) fn value(&mut self, field: &str) -> Option<Value> {
        self.0.remove(field).filter(|value| !value.is_null())
    }

    pub(super) fn required(&mut self, field: &str) -> Result<Value, CallError> {
        self.value(field).ok_or_else(|| wrong(field, "missing"))
    }

    pub(super) fn string(&mut self, field: &str) -> Result<Option<String>, CallError> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(field, "expected a string")),
        }
    }

    pub(super) fn required_string(&mut self, field: &str) -> Result<String, CallError> {
        self.string(field)?.ok_or_else(|| wrong(field, "missing"))
    }

    pub(super) fn bool(&mut self, field: &str) -> Result<Option<bool>, CallError> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(wrong(field, "expected true or false")),
        }
    }

    pub(super) fn required_bool(&mut self, field: &str) -> Result<bool, CallError> {
        self.bool(field)?.ok_or_else(|| wrong(field, "missing"))
    }

    pub(super) fn u64(&mut self, field: &str) -> Result<Option<u64>, CallError> {
        self.value(field).map(|value| whole(field, &value)).transpose()
    }

    pub(super) fn required_u64(&mut self, field: &str) -> Result<u64, CallError> {
        self.u64(field)?.ok_or_else(|| wrong(field, "missing"))
    }

    pub(super) fn strings(&mut self, field: &str) -> Result<Option<Vec<String>>, CallError> {
        let Some(value) = self.value(field) else {
            return Ok(None);
        };
        let Value::Array(items) = value else {
            return Err(wrong(field, "expected a list of strings"));
        };
        let mut strings = Vec::with_capacity(items.len());
        for (place, item) in items.into_iter().enumerate() {
            match item {
                Value::String(text) => strings.push(text),
                _ => return Err(wrong(&format!("{field}[{place}]"), "expected a string")),
            }
        }
        Ok(Some(strings))
    }
}

/// A whole number from 0 up; it must also fit the store's signed 64 bits.
pub(super) fn whole(field: &str, value: &Value) -> Result<u64, CallError> {
    let number = value.as_u64().filter(|number| i64::try_from(*number).is_ok());
    number.ok_or_else(|| wrong(field, "expected a whole number from 0 up"))
}
