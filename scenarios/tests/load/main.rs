//! Load, from outside: plans, and runs against small servers that do as they are told.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod limiter;
mod plans;
mod runs;
mod server;
mod trouble;

/// Two versions of the client would be two sets of connections, settings and TLS stacks, of which goose sees one.
#[test]
fn there_is_one_http_client() {
    let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock")).unwrap();
    for client in ["reqwest", "hyper", "goose"] {
        let entry = format!("name = \"{client}\"");
        assert_eq!(lock.lines().filter(|line| *line == entry).count(), 1, "{client}");
    }
}
