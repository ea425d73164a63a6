//! How soon a server answers again that was killed under load, with a million renders in its file.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::child::{Child, Kind};
use crate::load::{self, Endpoint};

/// Renders in the file.
pub(crate) const ROWS: u32 = 1_000_000;

/// Makes the file: what a server leaves, and finished renders of long ago.
async fn fill(path: &Path) {
    let server = Child::start(Kind::Sqlite, path);
    load::requests(Kind::Sqlite, Endpoint::Hook, server.address).await;
    server.stop();
    let rows = format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; BEGIN; \
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) \
         INSERT INTO render (id, project, template, slug, version, created_at, data) \
         SELECT unhex(printf('%032x', i)), 'p', zeroblob(16), 's', 1, i, '{{\"customer\":{{\"name\":\"Acme\"}}}}' FROM n; \
         INSERT INTO render_outcome (render, status, completed_at) SELECT id, 'succeeded', created_at FROM render; \
         COMMIT;"
    );
    rusqlite::Connection::open(path).unwrap().execute_batch(&rows).unwrap();
}

/// Milliseconds from starting a process to its first answer, after each of so many kills; and once on a new file.
pub(crate) async fn times(rounds: usize, load_length: Duration, connections: usize) -> (Vec<f64>, f64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let began = Instant::now();
    let new = Child::start(Kind::Sqlite, &folder.path().join("new.db"));
    let on_new = began.elapsed().as_secs_f64() * 1e3;
    new.stop();
    fill(&path).await;
    let mut times = Vec::new();
    let mut server = Child::start(Kind::Sqlite, &path);
    for _ in 0..rounds {
        let requests = load::requests(Kind::Sqlite, Endpoint::Hook, server.address).await;
        load::run_until_killed(server, requests, connections, load_length).await;
        let began = Instant::now();
        server = Child::start(Kind::Sqlite, &path);
        load::is_answered(server.address).await;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    server.stop();
    (times, on_new)
}
