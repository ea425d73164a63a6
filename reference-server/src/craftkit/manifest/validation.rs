//! Judging a body against a manifest: what is kept, and what is at fault.
//!
//! The walk follows the manifest and looks each of its keys up in the body. Keys the manifest
//! does not name are therefore never visited, however deep they nest, and a literal `a.b` is such
//! a key (`craftkit.input.dotted-literal`).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::formats::{read, wrong_type};
use super::{Manifest, Variable};

/// Most items of a loop; the documented cap of the shared render pipeline
/// (`craftkit.input.loop-cap`).
pub const MAX_LOOP_ITEMS: usize = 10_000;

/// Most messages kept for one top-level key.
///
/// The same fault in every item of a full loop would otherwise answer a small request with a
/// large response. Which key is at fault is known from the first message on, so those beyond the
/// limit are dropped, and further items of that loop are not looked at.
pub const MAX_MESSAGES_PER_KEY: usize = 100;

/// The message of a value that is not there.
const MISSING: &str = "Required";

/// Everything wrong with a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issues {
    /// What is wrong with the body as a whole: that it is no object.
    pub form_errors: Vec<String>,
    /// The messages by top-level key, one an issue, at most [`MAX_MESSAGES_PER_KEY`]. An issue
    /// further down, in a group or a loop's item, is listed under the key that leads to it.
    pub field_errors: BTreeMap<String, Vec<String>>,
}

impl Issues {
    /// The form in which a response carries them.
    pub fn to_json(&self) -> Value {
        json!({"formErrors": self.form_errors, "fieldErrors": self.field_errors})
    }
}

/// Judges a body, and returns what of it the manifest names.
///
/// Kept data has numeric strings and the strings `true` and `false` turned into what their type
/// asks for, and `[]` for a loop that was not sent. `null` stands for nothing: it is a wrong type
/// for whatever is at its place, required or not.
///
/// # Errors
///
/// All issues, not only the first.
pub fn validate(manifest: &Manifest, body: &Value) -> Result<Value, Issues> {
    let Value::Object(body) = body else {
        return Err(Issues { form_errors: vec![wrong_type("object", body)], ..Issues::default() });
    };
    let mut kept = Map::new();
    let mut issues = Issues::default();
    let mut settle = |key: &str, value: Option<Value>, messages: Messages| {
        if let Some(value) = value {
            kept.insert(key.to_owned(), value);
        }
        if !messages.0.is_empty() {
            issues.field_errors.insert(key.to_owned(), messages.0);
        }
    };
    for (key, node) in &Group::of(&manifest.variables).members {
        let mut messages = Messages::default();
        let value = node.keep(body.get(*key), &mut messages);
        settle(key, value, messages);
    }
    for item in &manifest.loops {
        let mut messages = Messages::default();
        let row = Group::of(&item.item_fields);
        let value = keep_items(&row, body.get(&item.key), &mut messages);
        settle(&item.key, value, messages);
    }
    if issues.field_errors.is_empty() { Ok(Value::Object(kept)) } else { Err(issues) }
}

/// The messages of one top-level key.
#[derive(Default)]
struct Messages(Vec<String>);

impl Messages {
    fn is_full(&self) -> bool {
        self.0.len() >= MAX_MESSAGES_PER_KEY
    }

    fn push(&mut self, message: String) {
        if !self.is_full() {
            self.0.push(message);
        }
    }
}

/// The keys of one object, by segment.
#[derive(Default)]
struct Group<'m> {
    members: BTreeMap<&'m str, Node<'m>>,
    /// How many required values are in it, at any depth. Not counted for the outermost object,
    /// which is never missing.
    required: usize,
}

enum Node<'m> {
    Leaf(&'m Variable),
    Group(Group<'m>),
}

impl<'m> Group<'m> {
    fn of(variables: &'m [Variable]) -> Self {
        let mut root = Self::default();
        for variable in variables {
            root.add(variable);
        }
        root
    }

    fn add(&mut self, variable: &'m Variable) {
        let mut segments = variable.key.split('.');
        let last = segments.next_back().unwrap_or_default();
        let mut group = self;
        for segment in segments {
            let node = group.members.entry(segment).or_insert_with(Node::group);
            // A parsed manifest has no key through a value; in one built by hand the group wins.
            if let Node::Leaf(_) = node {
                *node = Node::group();
            }
            let Node::Group(inner) = node else { return };
            inner.required += usize::from(variable.required);
            group = inner;
        }
        group.members.entry(last).or_insert(Node::Leaf(variable));
    }

    /// The members of an object that are at their place and fit.
    fn keep(&self, object: &Map<String, Value>, messages: &mut Messages) -> Value {
        let members = self.members.iter().filter_map(|(key, node)| {
            let value = node.keep(object.get(*key), messages)?;
            Some(((*key).to_owned(), value))
        });
        Value::Object(members.collect())
    }
}

impl Node<'_> {
    fn group() -> Self {
        Self::Group(Group::default())
    }

    /// Recurses as deep as the manifest's keys, which parsing limits, never as deep as the body.
    fn keep(&self, given: Option<&Value>, messages: &mut Messages) -> Option<Value> {
        match (self, given) {
            (Self::Leaf(variable), None) => {
                if variable.required {
                    messages.push(MISSING.to_owned());
                }
                None
            }
            (Self::Leaf(variable), Some(value)) => {
                read(variable.data_type, value).map_err(|message| messages.push(message)).ok()
            }
            // Without required values the group itself is optional; with some, each is missing.
            (Self::Group(group), None) => {
                for _ in 0..group.required.min(MAX_MESSAGES_PER_KEY) {
                    messages.push(MISSING.to_owned());
                }
                None
            }
            (Self::Group(group), Some(Value::Object(object))) => Some(group.keep(object, messages)),
            (Self::Group(_), Some(other)) => {
                messages.push(wrong_type("object", other));
                None
            }
        }
    }
}

fn keep_items(row: &Group<'_>, given: Option<&Value>, messages: &mut Messages) -> Option<Value> {
    let items = match given {
        None => return Some(json!([])),
        Some(Value::Array(items)) => items,
        Some(other) => {
            messages.push(wrong_type("array", other));
            return None;
        }
    };
    // The items of an overlong list are not judged: their number is what has to change first.
    if items.len() > MAX_LOOP_ITEMS {
        messages.push(format!("Array must contain at most {MAX_LOOP_ITEMS} element(s)"));
        return None;
    }
    let mut kept = Vec::with_capacity(items.len());
    for item in items {
        if messages.is_full() {
            return None;
        }
        match item {
            Value::Object(object) => kept.push(row.keep(object, messages)),
            other => messages.push(wrong_type("object", other)),
        }
    }
    Some(Value::Array(kept))
}

#[cfg(test)]
mod tests;
