//! The reference server's documented responses are the reviewed ones.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use hookproof::commands::snapshots::{answers, compare};
use hookproof::report::Report;
use hookproof::runner::open::{self, RunSettings};
use hookproof::runner::{Pace, RUN_TIME_MAX};
use hookproof::snapshots::files;
use hookproof::snapshots::take::{self, Taken};
use insta::{Settings, assert_snapshot};
use reference_server::Parts;

/// The set is this package.
const SET: &str = env!("CARGO_MANIFEST_DIR");

/// A run of the checks that bring the responses about, on a server of its own.
fn report() -> Report {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let target = open::builtin(Parts::reference(), RunSettings::default()).await.unwrap();
        let pace = Pace { patience: Duration::ZERO, run_time: RUN_TIME_MAX };
        let (_sender, uninterrupted) = tokio::sync::watch::channel(None);
        let report = answers(&target, None, pace, &uninterrupted).await.unwrap();
        target.close().await;
        report
    })
}

/// Compares as insta's users do: contents decide.
fn assert_reviewed(taken: &Taken, set: &Path) {
    let mut settings = Settings::new();
    let file = set.join(&taken.file);
    settings.set_snapshot_path(file.parent().unwrap());
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_description(&taken.description);
    settings.set_info(&taken.request);
    settings.bind(|| assert_snapshot!(taken.rule, taken.contents));
}

#[test]
fn every_response_is_the_reviewed_one() {
    // All are compared, so that one run shows, and one review settles, all differences.
    let mut different = Vec::new();
    for (shot, answer) in take::of_report(&report()) {
        let taken = answer.unwrap_or_else(|why| panic!("no answer for {}: {why}", shot.rule));
        if catch_unwind(AssertUnwindSafe(|| assert_reviewed(&taken, Path::new(SET)))).is_err() {
            different.push(shot.rule);
        }
    }
    assert!(different.is_empty(), "not as reviewed: {different:#?}");
}

#[test]
fn requests_and_sources_are_the_reviewed_ones_and_every_file_belongs_to_a_rule() {
    let accepted = files::read(Path::new(SET)).unwrap();
    let mut report = report();
    // The run took the rules with a response, and they are all there are.
    report.scope.only.clear();
    let (review, _) = compare(&report, Path::new(SET), &accepted);
    assert!(!review.fails() && review.not_compared.is_empty(), "{review:#?}");
    assert_eq!(review.agree.len(), accepted.len());
}

#[test]
fn a_missing_snapshot_fails_and_is_not_written() {
    if std::env::var_os("INSTA_UPDATE").is_some() {
        return; // Whoever sets it asks for another behaviour.
    }
    let empty = tempfile::tempdir().unwrap();
    let (_, answer) = take::of_report(&report()).remove(0);
    let taken = answer.unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| assert_reviewed(&taken, empty.path()))).is_err());
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}
