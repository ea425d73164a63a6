//! The reviewed responses of the reference server: one for each error and each success that the two APIs document.
//!
//! An error response is an interface: clients match on its status and its text, so a person should see a
//! change to it before it ships. A file, `rndrkit/RULE.snap` or `craftkit/RULE.snap`, is named by the id of the
//! rule that demands the response. It says where the demand stands (`description`), what was sent (`info`), and
//! what came back: status, the headers that a client acts on, and body. Values that differ from run to run are
//! replaced by their type, such as `<uuid v7 1>`, if they have the form of that type.
//!
//! `cargo test -p snapshots` compares the reference with them, by insta's own macros and by the program's own
//! comparison, which also looks at description and request. It fails on a difference, on a missing file and on a
//! file that no rule refers to, and never writes. When a change is wanted:
//!
//! 1. `cargo run -- check --target builtin --snapshots snapshots` writes each difference as `.snap.new`.
//! 2. `cargo insta review --workspace-root snapshots` shows each and asks ([cargo-insta](https://insta.rs/docs/cli/));
//!    without it, rename the files that you accept, and read `git diff snapshots`.
//! 3. Hold the new text against the API's own page, not against the old text, and commit it together with the
//!    change that caused it.
