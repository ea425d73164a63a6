//! Answers under review: sets are written, compared, reviewed with insta's own tools, and tell no secrets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use insta::Snapshot;
use serde_json::{Value, json};

use crate::cli::{Served, assert_valid, folder, hookproof, text};
use crate::harm::edited;
use crate::measured::Ran;
use crate::middle::{Middle, Plan, honest};

/// Answers under review; a set of both APIs has as many files.
const SHOTS: usize = hookproof::snapshots::table::SHOTS.len();
const PATHS: &str = "rndrkit/rndrkit.paths.none-valid.snap";
const TOKEN: &str = "craftkit/craftkit.token.unknown.snap";

/// Every file below a folder with its bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

fn pending(set: &Path) -> Vec<String> {
    files(set).into_keys().filter(|name| name.ends_with(".snap.new")).collect()
}

/// A folder with a set `set`: the shipped one, of the reference's answers.
fn with_set() -> (tempfile::TempDir, PathBuf) {
    let folder = folder();
    let set = folder.path().join("set");
    hookproof::snapshots::files::make_reviewable(&set).unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../snapshots");
    for (name, bytes) in files(&shipped).into_iter().filter(|(name, _)| name.ends_with(".snap")) {
        let file = set.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    (folder, set)
}

/// Compares a target's answers, narrowed by globs, with the set.
fn compared(folder: &Path, target: &str, only: &[&str]) -> (Option<i32>, String) {
    let mut arguments = vec!["check", "--target", target, "--snapshots", "set", "--quiet", "--cases", "0"];
    arguments.extend(only.iter().flat_map(|glob| ["--only", glob]));
    arguments.extend(["--report", "json=r.json", "--report", "junit=r.xml", "--report", "markdown=r.md"]);
    let run = hookproof(folder, &arguments);
    (run.status.code(), format!("{}{}", text(&run.stdout), text(&run.stderr)))
}

fn report(folder: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder.join("r.json")).unwrap()).unwrap()
}

/// Changes the accepted answer in a file.
fn edit(file: &Path, from: &str, to: &str) {
    let before = std::fs::read_to_string(file).unwrap();
    assert!(before.contains(from), "{before}");
    std::fs::write(file, before.replace(from, to)).unwrap();
}

#[test]
fn the_reference_gives_the_shipped_answers_and_nothing_is_written() {
    let (folder, set) = with_set();
    let before = files(&set);
    let (code, shown) = compared(folder.path(), "builtin", &[]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains(&format!("snapshots in set: {SHOTS} as accepted\n")), "{shown}");
    assert_eq!(files(&set), before);
    assert_valid(&report(folder.path()).to_string());
}

#[test]
fn a_set_is_written_alike_by_every_run_and_never_over_another() {
    let (folder, set) = with_set();
    let first = files(&set);
    assert_eq!(first.keys().filter(|name| name.ends_with(".snap")).count(), SHOTS);
    // Another server on another port than the one that the shipped set was taken from.
    let served = Served::start(folder.path(), &["--store", "memory", "--clock", "manual"]);
    let target = served.target_file(folder.path());
    let run = hookproof(folder.path(), &["snapshots", "init", "other", "--target", &target]);
    assert_eq!(run.status.code(), Some(0), "{}{}", text(&run.stdout), text(&run.stderr));
    assert_eq!(files(&folder.path().join("other")), first);

    let run = hookproof(folder.path(), &["snapshots", "init", "set", "--target", "builtin"]);
    assert_eq!(run.status.code(), Some(2));
    assert!(text(&run.stderr).contains("check --snapshots set"), "{}", text(&run.stderr));
    assert_eq!(files(&set), first);
}

#[test]
fn a_changed_error_text_is_pending_and_shown_in_every_format() {
    let (folder, set) = with_set();
    let arguments = ["--store", "memory", "--clock", "manual", "--deviation", "paths-text"];
    let served = Served::start(folder.path(), &arguments);
    let target = served.target_file(folder.path());
    let (code, shown) = compared(folder.path(), &target, &["rndrkit.*"]);
    assert_eq!(code, Some(1), "{shown}");
    let accepted = "-    \"error\": \"No valid URL paths (must start with /)\"";
    let markdown = std::fs::read_to_string(folder.path().join("r.md")).unwrap();
    let junit = std::fs::read_to_string(folder.path().join("r.xml")).unwrap();
    assert!(shown.contains(accepted), "{shown}");
    assert!(markdown.contains("```diff\n") && markdown.contains(accepted), "{markdown}");
    assert!(junit.contains("rndrkit.paths.none-valid differs from the accepted answer"), "{junit}");
    let report = report(folder.path());
    assert_valid(&report.to_string());
    let difference = &report["snapshots"]["differences"][0];
    assert_eq!((&difference["file"], &difference["kind"]), (&json!(PATHS), &json!("changed")));
    assert!(difference["diff"].as_array().unwrap().contains(&json!(accepted)), "{difference}");

    let first = files(&set);
    assert!(first.contains_key(&format!("{PATHS}.new")), "{:?}", first.keys());
    let (code, _) = compared(folder.path(), &target, &["rndrkit.*"]);
    assert_eq!((code, files(&set)), (Some(1), first), "two runs write the same bytes");
}

#[test]
fn a_difference_that_no_rule_judges_fails_the_run_by_itself() {
    let (folder, set) = with_set();
    edit(&set.join(TOKEN), "No template matches this inbound token.", "Unknown.");
    let (code, shown) = compared(folder.path(), "builtin", &["craftkit.token.unknown"]);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("-      \"message\": \"Unknown.\"") && shown.contains("1 rule: 1 passed"), "{shown}");
}

#[test]
fn what_agrees_again_is_no_longer_pending() {
    let (folder, set) = with_set();
    let whole = std::fs::read(set.join(TOKEN)).unwrap();
    std::fs::remove_file(set.join(TOKEN)).unwrap();
    let (code, shown) = compared(folder.path(), "builtin", &["craftkit.token.*"]);
    assert_eq!((code, pending(&set)), (Some(1), vec![format!("{TOKEN}.new")]), "{shown}");
    assert!(shown.contains("craftkit.token.unknown has no accepted answer yet"), "{shown}");
    std::fs::write(set.join(TOKEN), whole).unwrap();
    let (code, shown) = compared(folder.path(), "builtin", &["craftkit.token.*"]);
    assert_eq!((code, pending(&set)), (Some(0), Vec::new()), "{shown}");
}

#[test]
fn a_file_without_a_rule_fails_a_whole_run_and_files_out_of_scope_are_left_alone() {
    let (folder, set) = with_set();
    let stray = "rndrkit/rndrkit.plan.gone.snap";
    std::fs::copy(set.join(TOKEN), set.join(stray)).unwrap();
    let (code, shown) = compared(folder.path(), "builtin", &["rndrkit.plan.*"]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("3 as accepted, 1 without a rule") && shown.contains(stray), "{shown}");
    let (code, shown) = compared(folder.path(), "builtin", &[]);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains(stray) && pending(&set).is_empty(), "{shown}");
}

#[test]
fn a_set_that_cannot_be_read_is_refused_before_the_first_request() {
    let (folder, set) = with_set();
    // Nobody listens there: a request would end with 3.
    let target = folder.path().join("nobody.toml");
    let url = "http://127.0.0.1:9";
    let file = format!(
        "[rndrkit]\nbase_url = \"{url}\"\n[fixtures]\nkind = \"http\"\nurl = \"{url}\"\ntoken = \"long-enough-token\"\n"
    );
    std::fs::write(&target, format!("name = \"nobody\"\n{file}")).unwrap();
    let refused = |arguments: &[&str]| -> String {
        let run = hookproof(folder.path(), &[&["check", "--target", "nobody.toml"], arguments].concat());
        assert_eq!(run.status.code(), Some(2), "{}", text(&run.stderr));
        text(&run.stderr)
    };
    assert!(refused(&["--snapshots", "none"]).contains("hookproof snapshots init none"));
    for broken in ["", "no header\n", "---\n[\n---\n{}\n", "---\nextension: png\nsnapshot_kind: binary\n---\n"] {
        std::fs::write(set.join(PATHS), broken).unwrap();
        let said = refused(&["--snapshots", "set"]);
        assert!(said.contains(PATHS), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_did_not_come_are_not_compared_and_leave_the_run_incomplete() {
    let (folder, set) = with_set();
    let before = files(&set);
    let without_revocation = edited(|answer| {
        if let Some(methods) = answer.pointer_mut("/result/methods").and_then(Value::as_array_mut) {
            methods.retain(|method| method != "token.revoke");
        }
    });
    let middle = Middle::start(Plan { api: honest(), control: without_revocation }).await;
    let target = middle.target_file("");
    let named = set.to_string_lossy().into_owned();
    let ran = tokio::task::spawn_blocking(move || {
        Ran::check(&target, &["--only", "rndrkit.auth.*", "--cases", "0", "--snapshots", &named])
    });
    let ran = ran.await.unwrap();
    assert_eq!(files(&set), before, "{}", ran.stdout);
    drop(folder);
    assert_eq!(ran.code, Some(4), "{}", ran.stdout);
    assert!(ran.stdout.contains("rndrkit.auth.token-revoked not compared"), "{}", ran.stdout);
}

#[test]
fn secrets_are_in_no_snapshot() {
    let folder = folder();
    let served = Served::start(
        folder.path(),
        &["--store", "memory", "--clock", "manual", "--deviation", "tokens-shown-in-error"],
    );
    let target = served.target_file(folder.path());
    let run = hookproof(folder.path(), &["snapshots", "init", "set", "--target", &target]);
    assert_eq!(run.status.code(), Some(0), "{}{}", text(&run.stdout), text(&run.stderr));
    let files = files(&folder.path().join("set"));
    let accepted = text(&files["rndrkit/rndrkit.auth.scheme-not-bearer.snap"]);
    let (_, answer) = accepted.split_once("\n---\n").unwrap();
    assert!(answer.contains("<token:d1.1>"), "the deviation shows it, and its name stands there: {answer}");
    for (name, bytes) in files {
        let shown = text(&bytes).replace("rk_wh_<never issued>", "");
        assert!(!shown.contains("rk_wh_"), "{name}: {shown}");
    }
}

/// Accepts as `cargo insta accept` does: reads the pending file, saves it as the accepted one, removes it.
fn accept_by_library(set: &Path) {
    for name in pending(set) {
        let path = set.join(&name);
        let snapshot = Snapshot::from_file(&path).unwrap();
        snapshot.save(&set.join(name.strip_suffix(".new").unwrap())).unwrap();
        std::fs::remove_file(path).unwrap();
    }
}

/// A set with an answer that differs and one that is new, and what accepting them must lead to.
fn with_pending() -> (tempfile::TempDir, PathBuf, BTreeMap<String, Vec<u8>>) {
    let (folder, set) = with_set();
    let accepted = files(&set);
    edit(&set.join(PATHS), "must start with /", "must begin with /");
    std::fs::remove_file(set.join(TOKEN)).unwrap();
    let (code, shown) = compared(folder.path(), "builtin", &["*.token.unknown", "rndrkit.paths.*"]);
    assert_eq!(code, Some(1), "{shown}");
    assert_eq!(pending(&set), [format!("{TOKEN}.new"), format!("{PATHS}.new")]);
    (folder, set, accepted)
}

#[test]
fn what_insta_accepts_is_what_a_new_set_would_be() {
    let (_folder, set, accepted) = with_pending();
    accept_by_library(&set);
    assert_eq!(files(&set), accepted);
}

fn cargo_insta(set: &Path, command: &str) -> Output {
    let run = Command::new("cargo").args(["insta", command, "--workspace-root"]).arg(set).output().unwrap();
    assert!(run.status.success(), "{}{}", text(&run.stdout), text(&run.stderr));
    run
}

/// CI installs cargo-insta and sets this, so that its absence cannot pass for success there. Elsewhere the test before this one
/// proves as much with insta's library.
const REQUIRED: &str = "HOOKPROOF_TEST_CARGO_INSTA";

#[test]
fn cargo_insta_lists_what_is_pending_and_accepts_it() {
    let installed = Command::new("cargo").args(["insta", "--version"]).output().is_ok_and(|run| run.status.success());
    if !installed {
        assert!(std::env::var_os(REQUIRED).is_none(), "cargo insta is missing: cargo install --locked cargo-insta");
        return;
    }
    let (_folder, set, accepted) = with_pending();
    let listed = text(&cargo_insta(&set, "pending-snapshots").stdout);
    assert!(listed.contains(PATHS) && listed.contains(TOKEN), "{listed}");
    cargo_insta(&set, "accept");
    let mut now = files(&set);
    // Written by cargo itself.
    now.remove("Cargo.lock");
    assert_eq!(now, accepted);
}

#[test]
fn differences_are_written_in_ci_too() {
    let (folder, set) = with_set();
    std::fs::remove_file(set.join(TOKEN)).unwrap();
    let summary = folder.path().join("summary.md");
    let run = Command::new(env!("CARGO_BIN_EXE_hookproof"))
        .args([
            "check",
            "--target",
            "builtin",
            "--only",
            "craftkit.token.unknown",
            "--snapshots",
            "set",
            "--cases",
            "0",
        ])
        .current_dir(folder.path())
        .envs([("CI", "true"), ("GITHUB_ACTIONS", "true"), ("INSTA_UPDATE", "no")])
        .env("GITHUB_STEP_SUMMARY", &summary)
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert_eq!(pending(&set), [format!("{TOKEN}.new")]);
    let shown = text(&run.stdout);
    assert!(shown.contains("::error title=snapshot craftkit.token.unknown::"), "{shown}");
    assert!(std::fs::read_to_string(summary).unwrap().contains("+      \"code\": \"invalid_token\""));
}

#[test]
fn a_mask_in_an_accepted_answer_fits_and_stays_when_the_rest_is_accepted() {
    let (folder, set) = with_set();
    edit(&set.join(TOKEN), "\"No template matches this inbound token.\"", "\"<text>\"");
    let (code, shown) = compared(folder.path(), "builtin", &["craftkit.token.unknown"]);
    assert_eq!(code, Some(0), "{shown}");
    edit(&set.join(TOKEN), "\"status\": 404", "\"status\": 410");
    let (code, _) = compared(folder.path(), "builtin", &["craftkit.token.unknown"]);
    assert_eq!(code, Some(1));
    accept_by_library(&set);
    let accepted = std::fs::read_to_string(set.join(TOKEN)).unwrap();
    assert!(accepted.contains("\"status\": 404") && accepted.contains("\"<text>\""), "{accepted}");
}
