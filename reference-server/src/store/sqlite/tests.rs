//! What only a file can show: its migrations, its statements, what a killed process leaves in it.

use rusqlite::{OptionalExtension as _, StatementStatus, params};

use super::journal::{Changeset, Position};
use super::*;
use crate::store::contract::{PENDING, domain, see, write};
use crate::store::records::{Refresh, RenderStatus, Usage, Write};
use crate::store::transact;
use uuid::Uuid;

/// Both kinds of values that SQLite would look at: one for an index, one for a limit.
#[test]
fn statements_are_compiled_once_whatever_values_are_bound() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut connection = connect(&folder.path().join("store.db"), READER_CACHE).expect("a file");
    migrate(&mut connection).expect("a schema");
    let sql = "SELECT d.name FROM token t JOIN domain d ON d.name = t.domain WHERE t.hash = ?1 LIMIT ?2";
    let mut statement = connection.prepare(sql).expect("a statement");
    for value in 1_u8..4 {
        let found = statement.query_row(params![[value; 32], value], |row| row.get::<_, String>(0)).optional();
        assert_eq!(found.expect("a query"), None);
    }
    assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
}

/// What the first version of the program left: a domain with two refreshes, a render that a worker had, and
/// one that is finished.
const FIRST_VERSION: &str = "
    INSERT INTO domain VALUES ('a', 'agency_plus', 1, 7, 2, 5, 5, 2);
    INSERT INTO rate_window VALUES ('a', x'05000000000000000200000000000000');
    INSERT INTO refresh VALUES (1, NULL, 'a', 6, 0, '[\"/1\"]'), (2, 1, 'a', 7, 0, '[\"/2\"]');
    INSERT INTO render VALUES (x'00000000000000000000000000000001', 'p', zeroblob(16), 's', 3, 'k', 8, '{}');
    INSERT INTO render VALUES (x'00000000000000000000000000000002', 'p', zeroblob(16), 's', 3, NULL, 8, '{}');
    INSERT INTO render_queue VALUES (x'00000000000000000000000000000001', 9999999999999);
    INSERT INTO render_outcome VALUES (x'00000000000000000000000000000002', 'succeeded', 9);
    PRAGMA user_version = 1;";

#[tokio::test]
async fn a_file_of_the_first_version_is_migrated_with_all_that_is_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let old = connect(&path, READER_CACHE).expect("a file");
    old.execute_batch(MIGRATIONS[0]).expect("the first schema");
    old.execute_batch(FIRST_VERSION).expect("rows");
    drop(old);

    let store = open(&path, PENDING).await.expect("opened");
    let usage = Usage { renders_used: 2, period_start: 5 };
    assert_eq!(see(&store, |view| view.domain("a")).map(|domain| domain.usage), Some(usage));
    assert_eq!(see(&store, |view| view.window("a")), Some(vec![5, 2]));
    // The lease ended with its process.
    let status = |number| see(&store, |view| view.render(Uuid::from_u128(number))).map(|render| render.status);
    assert_eq!((status(1), status(2)), (Some(RenderStatus::Queued), Some(RenderStatus::Succeeded)));
    assert_eq!(see(&store, |view| view.queue_length()), 1);
    assert!(see(&store, |view| view.render_by_key("p", "k")).is_some());
    // What comes now continues what is there.
    let third = Refresh { domain: "a".to_owned(), accepted_at: 8, full: false, paths: vec!["/3".to_owned()] };
    write(&store, vec![Write::AppendRefresh(third)]).await;
    assert_eq!(see(&store, |view| view.queued_paths("a")), ["/1", "/2", "/3"]);
    close(store).await;
    assert_eq!(number(&path, "SELECT user_version FROM pragma_user_version"), 3);
    let store = open(&path, PENDING).await.expect("opened again");
    assert_eq!(see(&store, |view| view.queued_paths("a")), ["/1", "/2", "/3"]);
}

/// A file as the second version left it.
fn second_version(path: &Path, journal: &str) {
    let old = connect(path, READER_CACHE).expect("a file");
    old.execute_batch(MIGRATIONS[0]).expect("the first schema");
    old.execute_batch(MIGRATIONS[1]).expect("the second schema");
    old.execute_batch(journal).expect("rows");
    old.pragma_update(None, "user_version", 2).expect("a version");
}

#[tokio::test]
async fn a_file_of_the_second_version_is_migrated_if_its_journal_is_empty_and_left_alone_otherwise() {
    let folder = tempfile::tempdir().expect("a folder");
    let closed = folder.path().join("closed.db");
    second_version(&closed, "INSERT INTO render_queue VALUES (x'00000000000000000000000000000001')");
    let store = open(&closed, PENDING).await.expect("opened");
    assert_eq!(see(&store, |view| view.queue_length()), 1);
    let killed = folder.path().join("killed.db");
    second_version(&killed, "INSERT INTO journal (changes) VALUES ('[]')");
    let refused = open(&killed, PENDING).await.err().expect("refused");
    assert!(refused.to_string().contains("the version before"), "{refused}");
    assert_eq!(number(&killed, "SELECT user_version FROM pragma_user_version"), 2);
    assert_eq!(number(&killed, "SELECT count(*) FROM journal"), 1);
}

/// One number, as anybody with SQL sees it.
fn number(path: &Path, sql: &str) -> i64 {
    Connection::open(path).expect("a file").query_row(sql, [], |row| row.get(0)).expect("a number")
}

async fn close(store: SharedStore) {
    tokio::task::spawn_blocking(move || store.close()).await.expect("closed");
}

/// A counter and a list that grow by one with each decision, so that any change lost or made twice shows.
async fn count(store: &SharedStore) -> i64 {
    transact(&**store, |view| {
        let count = view.window("a")?.map_or(0, |state| state[0]) + 1;
        let path = format!("/{count}/{}", "x".repeat(1000));
        let refresh = Refresh { domain: "a".to_owned(), accepted_at: count, full: false, paths: vec![path] };
        Ok((count, vec![Write::PutWindow { key: "a".to_owned(), state: vec![count] }, Write::AppendRefresh(refresh)]))
    })
    .await
    .expect("counted")
}

fn check_count(store: &SharedStore, expected: i64) {
    assert_eq!(see(store, |view| view.window("a")), Some(vec![expected]));
    let paths = see(store, |view| view.queued_paths("a"));
    let numbers: Vec<String> = paths.iter().map(|path| path.trim_matches(['/', 'x']).to_owned()).collect();
    assert_eq!(numbers, (1..=expected).map(|number| number.to_string()).collect::<Vec<_>>());
}

/// Refreshes that are in the journal.
fn journaled(connection: &Connection) -> i64 {
    let (writes, _) = journal::read(connection).expect("a journal");
    writes.iter().map(|write| i64::from(matches!(write, Write::AppendRefresh(_)))).sum()
}

#[tokio::test]
async fn a_change_is_in_the_journal_until_it_is_in_its_table_and_never_in_both() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let store = open(&path, PENDING).await.expect("opened");
    write(&store, vec![Write::InsertDomain { domain: domain("a"), known_paths: Vec::new() }]).await;
    let tabled = "SELECT count(*) FROM refresh WHERE domain = 'a'";
    // More than fills the journal, so that it is folded on the way.
    const DECISIONS: i64 = 1_500;
    let mut folded = 0;
    for expected in 1..=DECISIONS {
        assert_eq!(count(&store).await, expected);
        if expected % 100 == 0 {
            // In one transaction, or a fold might come in between.
            let mut reader = Connection::open(&path).expect("a file");
            let seen = reader.transaction().expect("a transaction");
            let in_table: i64 = seen.query_row(tabled, [], |row| row.get(0)).expect("a number");
            assert_eq!(journaled(&seen) + in_table, expected);
            folded = folded.max(in_table);
            check_count(&store, expected);
        }
    }
    assert!(folded > 0, "the journal was never folded");
    close(store).await;
    assert_eq!(journaled(&Connection::open(&path).expect("a file")), 0);
    assert_eq!(number(&path, tabled), DECISIONS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_the_disk_at_any_moment_holds_what_was_acknowledged_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let store = open(&path, PENDING).await.expect("opened");
    write(&store, vec![Write::InsertDomain { domain: domain("a"), known_paths: Vec::new() }]).await;
    for round in 0..6 {
        let mut acknowledged = 0;
        for _ in 0..150 {
            acknowledged = count(&store).await;
        }
        // The log after the file: what the idle writer moves from one to the other meanwhile is still in the log.
        let copied = folder.path().join(format!("{round}.db"));
        for suffix in ["", "-wal"] {
            let name = |path: &Path| format!("{}{suffix}", path.display());
            std::fs::copy(name(&path), name(&copied)).expect("copied");
        }
        let survivor = open(&copied, PENDING).await.expect("opened");
        check_count(&survivor, acknowledged);
        assert_eq!(journaled(&Connection::open(&copied).expect("a file")), 0);
        close(survivor).await;
    }
}

#[tokio::test]
async fn a_render_whose_key_is_taken_fails_alone_and_does_not_get_into_the_journal() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("store.db"), PENDING).await.expect("opened");
    let render = |number| crate::store::contract::render(number, Some("k"));
    write(&store, vec![Write::InsertRender(render(1))]).await;
    for number in [1, 2] {
        let repeated = transact(&*store, move |_| Ok(((), vec![Write::InsertRender(render(number))]))).await;
        assert!(matches!(repeated, Err(StoreError::Database { .. })), "{repeated:?}");
    }
    // Folding works on.
    write(&store, vec![Write::SetClock(1)]).await;
    assert_eq!(see(&store, |view| view.queue_length()), 1);
    let again = transact(&*store, move |_| Ok(((), vec![Write::InsertRender(render(1))]))).await;
    assert!(matches!(again, Err(StoreError::Database { .. })), "{again:?}");
}

/// A journal of its own in memory, with everything that the file's has.
fn empty_journal() -> Connection {
    let connection = Connection::open_in_memory().expect("a database");
    MIGRATIONS.iter().for_each(|migration| connection.execute_batch(migration).expect("a schema"));
    connection
}

fn window(state: i64, length: usize) -> Write {
    Write::PutWindow { key: "k".repeat(length), state: vec![state] }
}

fn changeset(writes: &[Write]) -> Changeset {
    let mut changeset = Changeset::default();
    assert!(writes.iter().all(|write| changeset.add(write)));
    changeset
}

/// Commits of any length come back, in order, from pages that were in use before.
#[test]
fn the_journal_gives_back_what_was_written_since_it_was_cleared_and_nothing_else() {
    let connection = empty_journal();
    let mut position = Position::default();
    for lengths in [vec![1, 2], vec![10_000], vec![4_000, 60, 1], vec![1], vec![9_000, 9_000, 9_000], vec![]] {
        let mut written = Vec::new();
        for (number, length) in (0..).zip(lengths) {
            let writes = [window(number, length), window(-number, 1)];
            position = position.append(&connection, &changeset(&writes)).expect("written");
            written.extend(writes);
        }
        assert_eq!(journal::read(&connection).expect("read"), (written, position));
        position = position.clear(&connection).expect("cleared");
        assert_eq!(journal::read(&connection).expect("read"), (Vec::new(), position));
    }
    assert_eq!(position.pages, 0);
}

#[test]
fn a_journal_with_a_page_missing_or_cut_is_refused() {
    let damages = [
        ("DELETE FROM journal WHERE page = 2", "page 2 is missing"),
        ("UPDATE journal SET content = substr(content, 1, 100) WHERE page = 1", "a page is cut off"),
        ("UPDATE journal SET content = x'00' WHERE page = 3", "a page is cut off"),
        ("UPDATE journal SET content = zeroblob(4056) WHERE page = 3", ""),
    ];
    for (damage, expected) in damages {
        let connection = empty_journal();
        let writes = [window(1, 10_000)];
        Position::default().append(&connection, &changeset(&writes)).expect("written");
        connection.execute_batch(damage).expect("damaged");
        let refused = journal::read(&connection).expect_err("refused").to_string();
        assert!(refused.contains("reading the journal") && refused.contains(expected), "{refused}");
    }
}

#[test]
fn huge_changes_do_not_keep_the_journal_long() {
    let connection = empty_journal();
    let position = Position::default().append(&connection, &changeset(&[window(1, 10_000_000)])).expect("written");
    assert_eq!(position.pages, 2_472);
    position.clear(&connection).expect("cleared");
    let left: i64 = connection.query_row("SELECT count(*) FROM journal", [], |row| row.get(0)).expect("a number");
    assert_eq!(left, 1_024);
}

/// What the journal is for: a commit of several changes to several tables is one page in the log.
#[test]
fn a_commit_over_pages_that_are_there_writes_them_and_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut connection = connect(&folder.path().join("store.db"), WRITER_CACHE).expect("a file");
    migrate(&mut connection).expect("a schema");
    let logged =
        || -> i64 { connection.query_row("PRAGMA wal_checkpoint", [], |row| row.get(1)).expect("a checkpoint") };
    let pages_of = |position: Position, length: usize| {
        run(&connection, "BEGIN IMMEDIATE").expect("begun");
        let next = position.append(&connection, &changeset(&[window(1, length)])).expect("written");
        run(&connection, "COMMIT").expect("committed");
        (next, logged())
    };
    let (position, _) = pages_of(Position::default(), 20_000);
    let position = position.clear(&connection).expect("cleared");
    // The checkpoint has emptied the log, so the next commit begins it anew.
    logged();
    assert_eq!(pages_of(position, 3_000).1, 1);
    assert_eq!(pages_of(position, 10_000).1, 3);
}

#[test]
fn a_log_of_zeros_behind_what_is_in_it_is_no_part_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let one = connect(&path, READER_CACHE).expect("a file");
    one.execute_batch("CREATE TABLE t (n); INSERT INTO t VALUES (1)").expect("a row");
    preallocate(&path).expect("zeros");
    one.execute_batch("INSERT INTO t VALUES (2)").expect("a row");
    let two = connect(&path, READER_CACHE).expect("a second connection");
    let sum: i64 = two.query_row("SELECT sum(n) FROM t", [], |row| row.get(0)).expect("a sum");
    assert_eq!(sum, 3);
    let length = std::fs::metadata(format!("{}-wal", path.display())).expect("a log").len();
    assert_eq!(length, LOG_BYTES);
}
