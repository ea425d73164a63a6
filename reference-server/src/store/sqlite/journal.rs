//! The journal table: changes that are committed and not yet in their tables.
//!
//! A commit that changes rows of several tables writes a page for each of them, and one for each index.
//! Appended to one table as text, the same changes fill two or three pages, whatever they are about.

use std::borrow::Cow;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{failed, run};
use crate::clock::Millis;
use crate::store::records::{Refresh, Render, RenderStatus, Usage, Write};
use crate::store::{Read, StoreError};

/// A row that has become this long is followed by another; SQLite's own limit is a thousand times higher.
const ROW_BYTES: usize = 1024 * 1024;

/// A change as it stands in the journal.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry<'a> {
    Window {
        key: Cow<'a, str>,
        state: Cow<'a, [i64]>,
    },
    Usage {
        domain: Cow<'a, str>,
        renders_used: u64,
        period_start: Millis,
    },
    Refresh {
        domain: Cow<'a, str>,
        accepted_at: Millis,
        full: bool,
        paths: Cow<'a, [String]>,
    },
    Render {
        #[serde(with = "uuid_text")]
        id: Uuid,
        project: Cow<'a, str>,
        #[serde(with = "uuid_text")]
        template: Uuid,
        slug: Cow<'a, str>,
        version: u32,
        idempotency_key: Option<Cow<'a, str>>,
        created_at: Millis,
        data: Cow<'a, str>,
    },
    Outcome {
        #[serde(with = "uuid_text")]
        render: Uuid,
        status: Cow<'a, str>,
        completed_at: Millis,
    },
}

impl<'a> Entry<'a> {
    /// The entry of a change; none for changes that are made to their tables at once.
    fn of(write: &'a Write) -> Option<Entry<'a>> {
        match write {
            Write::PutWindow { key, state } => Some(Entry::Window { key: key.into(), state: state.into() }),
            Write::SetUsage { domain, usage } => Some(Entry::Usage {
                domain: domain.into(),
                renders_used: usage.renders_used,
                period_start: usage.period_start,
            }),
            Write::AppendRefresh(refresh) => Some(Entry::Refresh {
                domain: (&refresh.domain).into(),
                accepted_at: refresh.accepted_at,
                full: refresh.full,
                paths: (&refresh.paths).into(),
            }),
            Write::InsertRender(render) => Some(Entry::Render {
                id: render.id,
                project: (&render.project).into(),
                template: render.template_id,
                slug: (&render.slug).into(),
                version: render.version,
                idempotency_key: render.idempotency_key.as_ref().map(Into::into),
                created_at: render.created_at,
                data: (&*render.data).into(),
            }),
            Write::FinishRender { id, status, completed_at } => {
                Some(Entry::Outcome { render: *id, status: status.name().into(), completed_at: *completed_at })
            }
            _ => None,
        }
    }

    fn into_write(self) -> Read<Write> {
        Ok(match self {
            Entry::Window { key, state } => Write::PutWindow { key: key.into_owned(), state: state.into_owned() },
            Entry::Usage { domain, renders_used, period_start } => {
                Write::SetUsage { domain: domain.into_owned(), usage: Usage { renders_used, period_start } }
            }
            Entry::Refresh { domain, accepted_at, full, paths } => Write::AppendRefresh(Refresh {
                domain: domain.into_owned(),
                accepted_at,
                full,
                paths: paths.into_owned(),
            }),
            Entry::Render { id, project, template, slug, version, idempotency_key, created_at, data } => {
                Write::InsertRender(Render {
                    id,
                    project: project.into_owned(),
                    template_id: template,
                    slug: slug.into_owned(),
                    version,
                    status: RenderStatus::Queued,
                    data: data.into(),
                    idempotency_key: idempotency_key.map(Cow::into_owned),
                    created_at,
                    completed_at: None,
                })
            }
            Entry::Outcome { render, status, completed_at } => {
                let found = RenderStatus::named(&status);
                let status = found.ok_or_else(|| failed(READING)(format!("`{status}` is no status of a render")))?;
                Write::FinishRender { id: render, status, completed_at }
            }
        })
    }
}

const READING: &str = "reading the journal";

/// The changes of one commit on their way into the journal.
#[derive(Default)]
pub(super) struct Page {
    rows: Vec<Vec<u8>>,
}

impl Page {
    /// Adds a change; false for one that has to be made to its table at once.
    pub(super) fn add(&mut self, write: &Write) -> bool {
        let Some(entry) = Entry::of(write) else { return false };
        if self.rows.last().is_none_or(|row| row.len() >= ROW_BYTES) {
            self.rows.push(Vec::new());
        }
        let row = self.rows.last_mut().expect("there is a row that is not full");
        row.push(if row.is_empty() { b'[' } else { b',' });
        serde_json::to_writer(row, &entry).expect("entries are plain values with string keys");
        true
    }

    /// Writes the rows; gives their length in bytes.
    pub(super) fn append_to(self, connection: &Connection) -> Read<usize> {
        let step = failed("appending to the journal");
        let mut bytes = 0;
        for mut row in self.rows {
            row.push(b']');
            bytes += row.len();
            let text = String::from_utf8(row).expect("JSON is written as UTF-8");
            let mut statement =
                connection.prepare_cached("INSERT INTO journal (changes) VALUES (?1)").map_err(&step)?;
            statement.execute([text]).map_err(&step)?;
        }
        Ok(bytes)
    }
}

/// Everything that the journal holds, in order.
pub(super) fn read(connection: &Connection) -> Read<Vec<Write>> {
    let step = failed(READING);
    let mut statement = connection.prepare("SELECT changes FROM journal ORDER BY seq").map_err(&step)?;
    let mut rows = statement.query([]).map_err(&step)?;
    let mut writes = Vec::new();
    while let Some(row) = rows.next().map_err(&step)? {
        let text = row.get_ref(0).map_err(&step)?.as_str().map_err(|error| step_failed(&error))?;
        let entries: Vec<Entry<'_>> = serde_json::from_str(text).map_err(|error| step_failed(&error))?;
        for entry in entries {
            writes.push(entry.into_write()?);
        }
    }
    Ok(writes)
}

fn step_failed(cause: &dyn std::fmt::Display) -> StoreError {
    failed(READING)(cause)
}

/// Empties the journal.
pub(super) fn clear(connection: &Connection) -> Read<()> {
    run(connection, "DELETE FROM journal")
}

/// Ids as the text that everybody knows them by.
mod uuid_text {
    use std::borrow::Cow;

    use serde::de::{Deserialize as _, Deserializer, Error as _};
    use serde::ser::Serializer;
    use uuid::Uuid;

    pub(super) fn serialize<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Uuid::try_parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(write: &Write, expected: &str) {
        let mut page = Page::default();
        assert!(page.add(write));
        assert_eq!(page.rows, [format!("[{expected}").into_bytes()]);
        let entry: Entry<'_> = serde_json::from_str(expected).expect("an entry");
        assert_eq!(&entry.into_write().expect("a change"), write);
    }

    #[test]
    fn each_change_of_a_decision_is_read_back_as_it_was_written() {
        check(
            &Write::PutWindow { key: "a".to_owned(), state: vec![-1, 2] },
            r#"{"window":{"key":"a","state":[-1,2]}}"#,
        );
        check(
            &Write::SetUsage { domain: "a".to_owned(), usage: Usage { renders_used: u64::MAX, period_start: 7 } },
            r#"{"usage":{"domain":"a","renders_used":18446744073709551615,"period_start":7}}"#,
        );
        let paths = vec!["/ü".to_owned(), "/\"\u{0}".to_owned()];
        check(
            &Write::AppendRefresh(Refresh { domain: "a".to_owned(), accepted_at: 3, full: true, paths }),
            r#"{"refresh":{"domain":"a","accepted_at":3,"full":true,"paths":["/ü","/\"\u0000"]}}"#,
        );
        let render = Render {
            id: Uuid::from_u128(1),
            project: "p".to_owned(),
            template_id: Uuid::from_u128(2),
            slug: "s".to_owned(),
            version: 3,
            status: RenderStatus::Queued,
            data: r#"{"a":1}"#.into(),
            idempotency_key: Some("k".to_owned()),
            created_at: 4,
            completed_at: None,
        };
        check(
            &Write::InsertRender(render),
            r#"{"render":{"id":"00000000-0000-0000-0000-000000000001","project":"p","template":"00000000-0000-0000-0000-000000000002","slug":"s","version":3,"idempotency_key":"k","created_at":4,"data":"{\"a\":1}"}}"#,
        );
        check(
            &Write::FinishRender { id: Uuid::from_u128(1), status: RenderStatus::Failed, completed_at: 5 },
            r#"{"outcome":{"render":"00000000-0000-0000-0000-000000000001","status":"failed","completed_at":5}}"#,
        );
    }

    #[test]
    fn what_the_control_plane_changes_is_not_for_the_journal() {
        let mut page = Page::default();
        assert!(!page.add(&Write::DeleteDomain("a".to_owned())));
        assert!(page.rows.is_empty());
    }
}
