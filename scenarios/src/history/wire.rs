//! Lines as they are written: one flat record of optional fields, and what it means.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{Action, Header, Invocation, KeyState, Outcome, Problem, QuotaKind};

/// The version of the format.
pub(super) const VERSION: u64 = 1;

/// Statuses have three digits (RFC 9110, section 15).
const STATUSES: std::ops::RangeInclusive<u64> = 100..=999;

/// The type of a field, for error messages.
enum Kind {
    Whole,
    Text,
    Flag,
    Keys,
}

macro_rules! record {
    ($($field:ident: $type:ty, $kind:ident;)*) => {
        /// All fields of the format, in the order in which they are written.
        #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct Record<'a> {
            $(#[serde(default, skip_serializing_if = "Option::is_none")] pub(super) $field: Option<$type>,)*
        }

        const FIELDS: &[(&str, Kind)] = &[$((stringify!($field), Kind::$kind)),*];

        impl Record<'_> {
            /// Says of the first field that is left that it means nothing there.
            pub(super) fn done(&self, context: &'static str) -> Result<(), Problem> {
                $(if self.$field.is_some() {
                    return Err(Problem::Misplaced { field: stringify!($field), context });
                })*
                Ok(())
            }

            /// Takes away what an earlier record says too; what it says otherwise is a contradiction.
            pub(super) fn agree(&mut self, earlier: &Record<'_>) -> Result<(), Problem> {
                $(if let (Some(said), Some(now)) = (&earlier.$field, &self.$field) {
                    if said != now {
                        let (earlier, found) = (format!("{said:?}"), format!("{now:?}"));
                        return Err(Problem::Contradiction { field: stringify!($field), earlier, found });
                    }
                    self.$field = None;
                })*
                Ok(())
            }
        }
    };
}

record! {
    v: u64, Whole;
    header: bool, Flag;
    n: u64, Whole;
    recorder: Cow<'a, str>, Text;
    api: Cow<'a, str>, Text;
    key: Cow<'a, str>, Text;
    token: Cow<'a, str>, Text;
    op: Cow<'a, str>, Text;
    what: Cow<'a, str>, Text;
    ms: u64, Whole;
    available: bool, Flag;
    renders_left: u64, Whole;
    pages: u64, Whole;
    due_ns: u64, Whole;
    start_ns: u64, Whole;
    end_ns: u64, Whole;
    server_start_ms: u64, Whole;
    server_end_ms: u64, Whole;
    status: u64, Whole;
    error: Cow<'a, str>, Text;
    id: Cow<'a, str>, Text;
    render_status: Cow<'a, str>, Text;
    unix_ms: u64, Whole;
    skew_ms: u64, Whole;
    limit: u64, Whole;
    window_ms: u64, Whole;
    tolerance_ms: u64, Whole;
    quota: Cow<'a, str>, Text;
    keys: Cow<'a, BTreeMap<String, KeyState>>, Keys;
}

pub(super) const RNDRKIT: &str = "rndrkit";
pub(super) const CRAFTKIT: &str = "craftkit";

/// Reads a line; whatever is wrong with its fields one by one is found here.
pub(super) fn parse(line: &[u8]) -> Result<Record<'static>, Problem> {
    let line = line.trim_ascii_end();
    let mut record: Record<'static> = match serde_json::from_slice(line) {
        // serde takes a list of values for a record too; this format does not.
        Ok(_) if !line.trim_ascii_start().starts_with(b"{") => return Err(Problem::NoObject { found: "a list" }),
        Ok(record) => record,
        Err(error) => return Err(diagnose(line, &error)),
    };
    match record.v.take() {
        Some(VERSION) => Ok(record),
        Some(other) => Err(wrong("v", "1", &other)),
        None => Err(Problem::Missing { field: "v", context: "in every line" }),
    }
}

/// Looks a second time, slowly, at a line that is wrong, to say what is wrong with it.
fn diagnose(line: &[u8], error: &serde_json::Error) -> Problem {
    let value: Value = match serde_json::from_slice(line) {
        Ok(value) => value,
        Err(error) => return Problem::NotJson { column: error.column(), message: message(&error) },
    };
    let fields = match value {
        Value::Object(fields) => fields,
        Value::Array(_) => return Problem::NoObject { found: "a list" },
        Value::String(_) => return Problem::NoObject { found: "a string" },
        Value::Number(_) => return Problem::NoObject { found: "a number" },
        Value::Bool(_) => return Problem::NoObject { found: "a boolean" },
        Value::Null => return Problem::NoObject { found: "null" },
    };
    for (field, value) in &fields {
        let Some((_, kind)) = FIELDS.iter().find(|(name, _)| name == field) else {
            return Problem::UnknownField { field: shortened(field), nearest: nearest(field) };
        };
        let (fits, expected) = match kind {
            Kind::Whole => (value.is_u64(), "a whole number from 0 up"),
            Kind::Text => (value.is_string(), "a string"),
            Kind::Flag => (value.is_boolean(), "true or false"),
            Kind::Keys => (
                BTreeMap::<String, KeyState>::deserialize(value).is_ok(),
                "an object of states such as {\"fresh\":true,\"renders_left\":7}",
            ),
        };
        if !fits && !value.is_null() {
            return wrong(field, expected, value);
        }
    }
    // Such as a field that is there twice.
    Problem::Unreadable { message: message(error) }
}

/// The parser's message without its place: it counts lines within the line.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned()
}

fn nearest(field: &str) -> Option<&'static str> {
    const LIKE: f64 = 0.8;
    let names = FIELDS.iter().map(|(name, _)| (*name, strsim::jaro_winkler(name, field)));
    let best = names.max_by(|(_, one), (_, other)| one.total_cmp(other));
    best.filter(|(_, likeness)| *likeness >= LIKE).map(|(name, _)| name)
}

fn wrong(field: &str, expected: &'static str, found: &impl ToString) -> Problem {
    Problem::Wrong { field: field.to_owned(), expected, found: shortened(&found.to_string()) }
}

/// A hostile line must not fill the terminal.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

impl<'de> Deserialize<'de> for KeyState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<KeyState, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            fresh: bool,
            renders_left: Option<u64>,
        }
        // By way of an object, because serde takes a list of values for a struct too.
        let object = serde_json::Map::deserialize(deserializer)?;
        let fields = Fields::deserialize(Value::Object(object)).map_err(D::Error::custom)?;
        Ok(KeyState { fresh: fields.fresh, renders_left: fields.renders_left })
    }
}

fn need<T>(value: Option<T>, field: &'static str, context: &'static str) -> Result<T, Problem> {
    value.ok_or(Problem::Missing { field, context })
}

fn text(value: Cow<'_, str>) -> String {
    value.into_owned()
}

impl<'a> Record<'a> {
    pub(super) fn of_header(header: &'a Header) -> Record<'a> {
        let quota = match header.quota {
            QuotaKind::Reached => "reached",
            QuotaKind::Exceed => "exceed",
        };
        Record {
            v: Some(VERSION),
            header: Some(true),
            recorder: Some(header.recorder.as_str().into()),
            unix_ms: Some(header.unix_ms),
            skew_ms: Some(header.skew_ms),
            limit: Some(header.limit),
            window_ms: Some(header.window_ms),
            tolerance_ms: Some(header.tolerance_ms),
            quota: Some(quota.into()),
            keys: Some(Cow::Borrowed(&header.keys)),
            ..Record::default()
        }
    }

    pub(super) fn of_number(n: u64) -> Record<'a> {
        Record { v: Some(VERSION), n: Some(n), ..Record::default() }
    }

    pub(super) fn with_invocation(self, invocation: &'a Invocation) -> Record<'a> {
        let times = Record {
            due_ns: invocation.due_ns,
            start_ns: Some(invocation.start_ns),
            server_start_ms: invocation.server_start_ms,
            ..self
        };
        match &invocation.action {
            Action::Refresh { domain, token, pages } => {
                Record { pages: *pages, ..times.op("refresh").on(RNDRKIT, domain).by(token.as_deref()) }
            }
            Action::Render { template, token } => times.op("render").on(CRAFTKIT, template).by(token.as_deref()),
            Action::Poll { template, token, id } => {
                Record { id: Some(id.into()), ..times.op("poll").on(CRAFTKIT, template).by(token.as_deref()) }
            }
            Action::Advance { ms } => Record { ms: Some(*ms), ..times.control("advance") },
            Action::Queue { available } => Record { available: Some(*available), ..times.control("queue") },
            Action::Revoke { domain, token } => times.control("revoke").on(RNDRKIT, domain).by(Some(token)),
            Action::Quota { domain, renders_left } => {
                Record { renders_left: *renders_left, ..times.control("quota").on(RNDRKIT, domain) }
            }
        }
    }

    /// Whether it has any field of an invocation.
    pub(super) fn tells_invocation(&self) -> bool {
        let texts = [&self.api, &self.key, &self.token, &self.op, &self.what, &self.id];
        let numbers = [self.ms, self.renders_left, self.pages, self.due_ns, self.start_ns, self.server_start_ms];
        texts.iter().any(|text| text.is_some()) || numbers.iter().any(Option::is_some) || self.available.is_some()
    }

    fn op(self, op: &'a str) -> Record<'a> {
        Record { op: Some(op.into()), ..self }
    }

    fn control(self, what: &'a str) -> Record<'a> {
        Record { what: Some(what.into()), ..self.op("control") }
    }

    fn on(self, api: &'a str, key: &'a str) -> Record<'a> {
        Record { api: Some(api.into()), key: Some(key.into()), ..self }
    }

    fn by(self, token: Option<&'a str>) -> Record<'a> {
        Record { token: token.map(Cow::Borrowed), ..self }
    }

    pub(super) fn with_outcome(self, outcome: &'a Outcome) -> Record<'a> {
        Record {
            end_ns: Some(outcome.end_ns),
            server_end_ms: outcome.server_end_ms,
            status: outcome.status.map(u64::from),
            error: outcome.error.as_deref().map(Cow::Borrowed),
            id: outcome.id.as_deref().map(Cow::Borrowed).or(self.id),
            render_status: outcome.render_status.as_deref().map(Cow::Borrowed),
            ..self
        }
    }

    /// Reads a header, whose `header` field has been seen.
    pub(super) fn into_header(mut self) -> Result<Header, Problem> {
        const HERE: &str = "in a header";
        if self.header.take() == Some(false) {
            return Err(wrong("header", "true", &false));
        }
        let quota = need(self.quota.take(), "quota", HERE)?;
        let header = Header {
            recorder: need(self.recorder.take(), "recorder", HERE).map(text)?,
            unix_ms: need(self.unix_ms.take(), "unix_ms", HERE)?,
            skew_ms: need(self.skew_ms.take(), "skew_ms", HERE)?,
            limit: need(self.limit.take(), "limit", HERE)?,
            window_ms: need(self.window_ms.take(), "window_ms", HERE)?,
            tolerance_ms: need(self.tolerance_ms.take(), "tolerance_ms", HERE)?,
            quota: match &*quota {
                "reached" => QuotaKind::Reached,
                "exceed" => QuotaKind::Exceed,
                other => return Err(wrong("quota", "`reached` or `exceed`", &other)),
            },
            keys: self.keys.take().map(Cow::into_owned).unwrap_or_default(),
        };
        self.done(HERE).map(|()| header)
    }

    /// Takes the fields that say what is invoked and when; `name` makes what names of keys and tokens are told as.
    pub(super) fn take_invocation<K>(
        &mut self,
        mut name: impl FnMut(Cow<'a, str>) -> K,
    ) -> Result<Invocation<K>, Problem> {
        Ok(Invocation {
            start_ns: need(self.start_ns.take(), "start_ns", "in an invocation")?,
            due_ns: self.due_ns.take(),
            server_start_ms: self.server_start_ms.take(),
            action: self.take_action(&mut name)?,
        })
    }

    fn take_action<K>(&mut self, name: &mut impl FnMut(Cow<'a, str>) -> K) -> Result<Action<K>, Problem> {
        let op = need(self.op.take(), "op", "in an invocation")?;
        Ok(match &*op {
            "refresh" => Action::Refresh {
                domain: self.take_key(RNDRKIT).map(&mut *name)?,
                token: self.token.take().map(&mut *name),
                pages: self.pages.take(),
            },
            "render" => Action::Render {
                template: self.take_key(CRAFTKIT).map(&mut *name)?,
                token: self.token.take().map(&mut *name),
            },
            "poll" => Action::Poll {
                template: self.take_key(CRAFTKIT).map(&mut *name)?,
                token: self.token.take().map(&mut *name),
                id: need(self.id.take(), "id", "in a `poll`").map(text)?,
            },
            "control" => self.take_control(name)?,
            other => return Err(wrong("op", "`refresh`, `render`, `poll` or `control`", &other)),
        })
    }

    fn take_control<K>(&mut self, name: &mut impl FnMut(Cow<'a, str>) -> K) -> Result<Action<K>, Problem> {
        let what = need(self.what.take(), "what", "in a `control`")?;
        Ok(match &*what {
            "advance" => Action::Advance { ms: need(self.ms.take(), "ms", "in an `advance`")? },
            "queue" => Action::Queue { available: need(self.available.take(), "available", "in a `queue`")? },
            "revoke" => Action::Revoke {
                domain: self.take_key(RNDRKIT).map(&mut *name)?,
                token: need(self.token.take(), "token", "in a `revoke`").map(&mut *name)?,
            },
            "quota" => Action::Quota {
                domain: self.take_key(RNDRKIT).map(&mut *name)?,
                renders_left: self.renders_left.take(),
            },
            other => return Err(wrong("what", "`advance`, `queue`, `revoke` or `quota`", &other)),
        })
    }

    /// Takes `api` and `key`; the operation tells which API it must be.
    fn take_key(&mut self, expected: &'static str) -> Result<Cow<'a, str>, Problem> {
        let api = need(self.api.take(), "api", "in an operation on a key")?;
        if api != expected {
            return Err(wrong("api", expected, &api));
        }
        need(self.key.take(), "key", "in an operation on a key")
    }

    /// Takes the fields that say how `invocation` ended.
    pub(super) fn take_outcome<K>(&mut self, invocation: &Invocation<K>) -> Result<Outcome<Cow<'a, str>>, Problem> {
        let status = self.status.take();
        let bad = |status: u64| wrong("status", "an HTTP status from 100 to 999", &status);
        let outcome = Outcome {
            end_ns: need(self.end_ns.take(), "end_ns", "in a completion")?,
            server_end_ms: self.server_end_ms.take(),
            status: status.map(|status| status_of(status).ok_or_else(|| bad(status))).transpose()?,
            error: self.error.take(),
            id: self.id.take(),
            render_status: self.render_status.take(),
        };
        check(invocation, &outcome).map(|()| outcome)
    }
}

/// A number as a status, if it can be one.
pub(super) fn status_of(number: u64) -> Option<u16> {
    u16::try_from(number).ok().filter(|_| STATUSES.contains(&number))
}

/// Refuses an outcome that its operation cannot have.
pub(super) fn check<K, T>(invocation: &Invocation<K>, outcome: &Outcome<T>) -> Result<(), Problem> {
    if let Some(status) = outcome.status.filter(|status| !STATUSES.contains(&u64::from(*status))) {
        return Err(wrong("status", "an HTTP status from 100 to 999", &status));
    }
    let (before, after) = (invocation.start_ns, outcome.end_ns);
    if after < before {
        return Err(Problem::Backwards { earlier: "start_ns", before, later: "end_ns", after });
    }
    if let (Some(before), Some(after)) = (invocation.server_start_ms, outcome.server_end_ms)
        && after < before
    {
        return Err(Problem::Backwards { earlier: "server_start_ms", before, later: "server_end_ms", after });
    }
    let misplaced = |field| Err(Problem::Misplaced { field, context: "at the end of this operation" });
    match invocation.action {
        Action::Render { .. } if outcome.render_status.is_some() => misplaced("render_status"),
        Action::Poll { .. } if outcome.id.is_some() => misplaced("id"),
        Action::Render { .. } | Action::Poll { .. } => Ok(()),
        _ if outcome.id.is_some() => misplaced("id"),
        _ if outcome.render_status.is_some() => misplaced("render_status"),
        _ => Ok(()),
    }
}
