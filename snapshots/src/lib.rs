//! One reviewed response for each error and each success that the two APIs document.
//!
//! An error response is an interface: clients match on its status and its text, so a person should see a
//! change to it before it ships. The tests of this package start the reference server, provoke each
//! response once and compare it with a file: `rndrkit/RULE.snap` or `craftkit/RULE.snap`, named by the id of the
//! rule that demands it. A file says where the demand stands (`description`), what was sent (`info`), and
//! what came back: status, the headers that a client acts on, and body. The code is in `tests/responses`:
//! a table of cases, what provokes them, and the one function that replaces values that differ from run
//! to run by their type, such as `<uuid v7>`, after it has checked that they have that form.
//!
//! `cargo test -p snapshots` fails on a difference, on a missing file and on a file that no case
//! refers to, and never writes. When a change is wanted, review it in one of two ways:
//!
//! - With [cargo-insta](https://insta.rs/docs/cli/): `cargo insta test -p snapshots`, then
//!   `cargo insta review`, which shows each difference and asks.
//! - Without it: `INSTA_UPDATE=always cargo test -p snapshots`, which rewrites the files; then read
//!   `git diff snapshots`, and `git status snapshots` for new ones.
//!
//! Either way, hold the new text against the API's own page, not against the old text, and commit it
//! together with the change that caused it.
