//! The reference server's documented responses are the reviewed ones.

mod cases;
mod provoke;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use insta::{Settings, assert_json_snapshot};

use cases::{Case, cases};
use provoke::{Response, provoke};

/// The folder of an API's snapshots; a rule id starts with its API.
fn folder(rule: &str) -> PathBuf {
    let api = rule.split('.').next().unwrap_or_default();
    Path::new(env!("CARGO_MANIFEST_DIR")).join(api)
}

fn settings(case: &Case, folder: &Path) -> Settings {
    let mut settings = Settings::new();
    settings.set_snapshot_path(folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    // The order of keys in a JSON object means nothing.
    settings.set_sort_maps(true);
    settings.set_description(format!("{}: {}", case.rule, case.source));
    settings.set_info(&case.request);
    settings
}

fn compare(case: &Case, response: &Response, folder: &Path) {
    settings(case, folder).bind(|| assert_json_snapshot!(case.rule, response));
}

#[test]
fn every_response_is_the_reviewed_one() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // All cases are tried, so that one run shows, and one review settles, all differences.
    let differs = |case: &&Case| {
        let response = || runtime.block_on(provoke(case));
        let compared = AssertUnwindSafe(|| compare(case, &response(), &folder(case.rule)));
        catch_unwind(compared).is_err()
    };
    let cases = cases();
    let different: Vec<&str> = cases.iter().filter(differs).map(|case| case.rule).collect();
    assert!(different.is_empty(), "not as reviewed: {different:#?}");
}

#[test]
fn every_snapshot_belongs_to_a_case() {
    let cases = cases();
    let known: BTreeSet<PathBuf> =
        cases.iter().map(|case| folder(case.rule).join(format!("{}.snap", case.rule))).collect();
    assert_eq!(known.len(), cases.len(), "a rule has two cases");
    for folder in cases.iter().map(|case| folder(case.rule)).collect::<BTreeSet<PathBuf>>() {
        // Absent only before the first review, where the other test fails.
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let pending = path.extension().is_some_and(|extension| extension == "new");
            assert!(pending || known.contains(&path), "no case refers to {}", path.display());
        }
    }
}

#[test]
fn a_missing_snapshot_fails_and_is_not_written() {
    if std::env::var_os("INSTA_UPDATE").is_some() {
        return; // Whoever sets it asks for another behaviour.
    }
    let empty = tempfile::tempdir().unwrap();
    let case = &cases()[0];
    let response = Response::default();
    assert!(catch_unwind(AssertUnwindSafe(|| compare(case, &response, empty.path()))).is_err());
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}
