//! The journal table: changes that are committed and not yet in their tables.
//!
//! A commit that changes rows of several tables writes a page of the file for each of them, and one for each
//! index. In the journal the same changes fill a page or a few, whatever they are about, and nothing else
//! changes: its rows are as long as a page holds and are overwritten in place.

use std::borrow::Cow;
use std::fmt::Display;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::failed;
use crate::clock::Millis;
use crate::store::records::{Refresh, Render, RenderStatus, Usage, Write};
use crate::store::{Read, StoreError};

/// Length of a row's content: the longest that leaves a row alone on a page of 4,096 bytes and on no other.
pub(super) const CONTENT_BYTES: usize = 4056;

/// What comes before the changes: the page's number and how many bytes of changes follow.
const HEAD_BYTES: usize = 8 + 2;

/// Bytes of changes that a page holds.
const CHANGE_BYTES: usize = CONTENT_BYTES - HEAD_BYTES;

/// Pages that are kept for being overwritten; those beyond, which huge changes needed, are given back.
const KEPT_PAGES: i64 = 1024;

/// A change as it stands in the journal. The order of the variants and of their fields is part of the file's format.
#[derive(Serialize, Deserialize)]
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
        id: [u8; 16],
        project: Cow<'a, str>,
        template: [u8; 16],
        slug: Cow<'a, str>,
        version: u32,
        idempotency_key: Option<Cow<'a, str>>,
        created_at: Millis,
        data: Cow<'a, str>,
    },
    Outcome {
        render: [u8; 16],
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
                id: render.id.into_bytes(),
                project: (&render.project).into(),
                template: render.template_id.into_bytes(),
                slug: (&render.slug).into(),
                version: render.version,
                idempotency_key: render.idempotency_key.as_ref().map(Into::into),
                created_at: render.created_at,
                data: (&*render.data).into(),
            }),
            Write::FinishRender { id, status, completed_at } => Some(Entry::Outcome {
                render: id.into_bytes(),
                status: status.name().into(),
                completed_at: *completed_at,
            }),
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
                    id: Uuid::from_bytes(id),
                    project: project.into_owned(),
                    template_id: Uuid::from_bytes(template),
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
                let status = found.ok_or_else(|| corrupt(format_args!("`{status}` is no status of a render")))?;
                Write::FinishRender { id: Uuid::from_bytes(render), status, completed_at }
            }
        })
    }
}

const READING: &str = "reading the journal";

/// The changes of one commit on their way into the journal.
#[derive(Default)]
pub(super) struct Changeset {
    bytes: Vec<u8>,
}

impl Changeset {
    /// Adds a change; false for one that has to be made to its table at once.
    pub(super) fn add(&mut self, write: &Write) -> bool {
        let Some(entry) = Entry::of(write) else { return false };
        let mut bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() == 0 {
            bytes.reserve(CONTENT_BYTES);
        }
        self.bytes = postcard::to_extend(&entry, bytes).expect("entries are plain values, and memory only grows");
        true
    }
}

/// Where the journal goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Pages in use, from the first.
    pub(super) pages: i64,
    /// The number of the last page written; numbers rise by one from page to page, over folds and restarts.
    number: i64,
}

impl Position {
    /// Writes a commit's changes; gives the position after them.
    pub(super) fn append(mut self, connection: &Connection, changes: &Changeset) -> Read<Position> {
        let step = failed("writing to the journal");
        let mut content = [0; CONTENT_BYTES];
        for part in changes.bytes.chunks(CHANGE_BYTES) {
            self.pages += 1;
            self.number += 1;
            let length = u16::try_from(part.len()).expect("a page's part is shorter than a page");
            content[..8].copy_from_slice(&self.number.to_le_bytes());
            content[8..HEAD_BYTES].copy_from_slice(&length.to_le_bytes());
            content[HEAD_BYTES..HEAD_BYTES + part.len()].copy_from_slice(part);
            content[HEAD_BYTES + part.len()..].fill(0);
            // An update that changes no length overwrites in place.
            let overwrite = "UPDATE journal SET content = ?2 WHERE page = ?1";
            let add = "INSERT INTO journal (page, content) VALUES (?1, ?2)";
            let values = params![self.pages, &content[..]];
            let mut statement = connection.prepare_cached(overwrite).map_err(&step)?;
            if statement.execute(values).map_err(&step)? == 0 {
                connection.prepare_cached(add).map_err(&step)?.execute(values).map_err(&step)?;
            }
        }
        Ok(self)
    }

    /// Notes that everything in the journal is in its tables; gives the position from which it is overwritten.
    pub(super) fn clear(self, connection: &Connection) -> Read<Position> {
        let step = failed("clearing the journal");
        let note = "INSERT INTO setting (name, value) VALUES ('journal', ?1) \
                    ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        connection.prepare_cached(note).map_err(&step)?.execute([self.number]).map_err(&step)?;
        if self.pages > KEPT_PAGES {
            let shorten = "DELETE FROM journal WHERE page > ?1";
            connection.prepare_cached(shorten).map_err(&step)?.execute([KEPT_PAGES]).map_err(&step)?;
        }
        Ok(Position { pages: 0, ..self })
    }
}

/// Everything that the journal holds, in order, and the position after it.
pub(super) fn read(connection: &Connection) -> Read<(Vec<Write>, Position)> {
    let step = failed(READING);
    let folded = "SELECT value FROM setting WHERE name = 'journal'";
    let folded = connection.query_row(folded, [], |row| row.get(0)).optional().map_err(&step)?;
    let mut position = Position { pages: 0, number: folded.unwrap_or(0) };
    let mut statement = connection.prepare("SELECT content FROM journal ORDER BY page").map_err(&step)?;
    let contents = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).map_err(&step)?;
    let mut bytes = Vec::new();
    for content in contents {
        let content = content.map_err(&step)?;
        let (number, part) = page(&content).ok_or_else(|| corrupt("a page is cut off"))?;
        // From here on there is what an earlier round has left.
        if number <= position.number {
            break;
        }
        position = Position { pages: position.pages + 1, number: position.number + 1 };
        if number != position.number {
            return Err(corrupt(format_args!("page {} is missing, there is {number} instead", position.number)));
        }
        bytes.extend_from_slice(part);
    }
    let mut writes = Vec::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (entry, after) = postcard::take_from_bytes::<Entry<'_>>(rest).map_err(corrupt)?;
        writes.push(entry.into_write()?);
        rest = after;
    }
    Ok((writes, position))
}

fn corrupt(cause: impl Display) -> StoreError {
    failed(READING)(cause)
}

/// A page's number and changes; none if it is shorter than it says.
fn page(content: &[u8]) -> Option<(i64, &[u8])> {
    let (number, rest) = content.split_first_chunk()?;
    let (length, changes) = rest.split_first_chunk()?;
    Some((i64::from_le_bytes(*number), changes.get(..usize::from(u16::from_le_bytes(*length)))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes are the file's format: what an earlier version has left must be read.
    #[track_caller]
    fn check(write: &Write, expected: &str) {
        let mut changeset = Changeset::default();
        assert!(changeset.add(write));
        assert_eq!(hex::encode(&changeset.bytes), expected);
        let (entry, rest) = postcard::take_from_bytes::<Entry<'_>>(&changeset.bytes).expect("an entry");
        assert!(rest.is_empty());
        assert_eq!(&entry.into_write().expect("a change"), write);
    }

    #[test]
    fn each_change_of_a_decision_is_read_back_as_it_was_written() {
        check(&Write::PutWindow { key: "a".to_owned(), state: vec![-1, 2] }, "000161020104");
        check(
            &Write::SetUsage { domain: "a".to_owned(), usage: Usage { renders_used: u64::MAX, period_start: 7 } },
            "010161ffffffffffffffffff010e",
        );
        let paths = vec!["/ü".to_owned(), "/\"\u{0}".to_owned()];
        check(
            &Write::AppendRefresh(Refresh { domain: "a".to_owned(), accepted_at: 3, full: true, paths }),
            "020161060102032fc3bc032f2200",
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
            "030000000000000000000000000000000101700000000000000000000000000000000201730301016b08077b2261223a317d",
        );
        check(
            &Write::FinishRender { id: Uuid::from_u128(1), status: RenderStatus::Failed, completed_at: 5 },
            "0400000000000000000000000000000001066661696c65640a",
        );
    }

    #[test]
    fn what_the_control_plane_changes_is_not_for_the_journal() {
        let mut changeset = Changeset::default();
        assert!(!changeset.add(&Write::DeleteDomain("a".to_owned())));
        assert!(changeset.bytes.is_empty());
    }
}
