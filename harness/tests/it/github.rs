//! The workflow and the action, run as GitHub would run their steps: by bash, with the job's variables set.
//!
//! Only `cargo` is replaced: by a script that checks which manifest it is given and puts the program of this very build where a
//! release build would have put it.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::cli::{CONTROL_TOKEN, Served, folder, report, text};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The scripts of a workflow's or an action's `run` steps, in order.
fn scripts(yaml: &str) -> Vec<String> {
    let lines: Vec<&str> = yaml.lines().collect();
    let mut scripts = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(script) = line.trim_start().trim_start_matches("- ").strip_prefix("run: ") else { continue };
        if script != "|" {
            scripts.push(script.to_owned());
            continue;
        }
        let key = line.find("run:").expect("the line has been matched");
        let inside = |line: &&&str| line.is_empty() || line.len() - line.trim_start().len() > key;
        scripts.push(lines[at + 1..].iter().take_while(inside).map(|line| format!("{line}\n")).collect());
    }
    scripts
}

/// A runner's machine: a workspace, a folder for temporary files, and a `cargo` that builds nothing.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Machine {
        let folder = folder();
        let tools = folder.path().join("tools");
        std::fs::create_dir_all(&tools).unwrap();
        let cargo = tools.join("cargo");
        let script = format!(
            r#"#!/usr/bin/env bash
set -eu
case "$1" in
build)
  test "$2 $3 $4" = "--release --locked --manifest-path"
  test "$(realpath "$5")" = "{manifest}"
  test "$6" = --target-dir
  mkdir -p "$7/release"
  ln -s "{program}" "$7/release/hookproof" ;;
run)
  test "$2 $3 $4" = "--release --locked --"
  shift 4
  exec "{program}" "$@" ;;
*) exit 99 ;;
esac
"#,
            manifest = workspace().join("Cargo.toml").display(),
            program = env!("CARGO_BIN_EXE_hookproof"),
        );
        std::fs::write(&cargo, script).unwrap();
        std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).unwrap();
        Machine { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs one step with these variables beside the job's own.
    fn run(&self, script: &str, variables: &[(&str, &str)]) -> Output {
        let path = std::env::var("PATH").unwrap();
        Command::new("bash")
            .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script])
            .current_dir(self.path())
            .env("PATH", format!("{}:{path}", self.path().join("tools").display()))
            .envs([("GITHUB_ACTIONS", "true"), ("CI", "true"), ("HOOKPROOF_CONTROL_TOKEN", CONTROL_TOKEN)])
            .env("GITHUB_ACTION_PATH", workspace().join(".github/actions/check"))
            .env("GITHUB_STEP_SUMMARY", self.path().join("summary.md"))
            .env("RUNNER_TEMP", self.path().join("temp"))
            .env("TMPDIR", self.path())
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    }
}

/// Runs the action's steps on a server and demands this exit code of the last.
#[track_caller]
fn check_action(server: &[&str], expected: i32) -> Machine {
    let machine = Machine::new();
    let served = Served::start(machine.path(), &[&["--store", "memory", "--clock", "manual"], server].concat());
    served.target_file(machine.path());
    let action = std::fs::read_to_string(workspace().join(".github/actions/check/action.yml")).unwrap();
    let steps = scripts(&action);
    assert_eq!(steps.len(), 2, "build and judge: {steps:?}");
    let built = machine.run(&steps[0], &[]);
    assert!(built.status.success(), "{}", text(&built.stderr));
    let inputs =
        [("TARGET", "target.toml"), ("ARGUMENTS", "--only rndrkit.rate.* --jobs 8"), ("REPORTS", "hookproof-report")];
    let judged = machine.run(&steps[1], &inputs);
    assert_eq!(judged.status.code(), Some(expected), "{}{}", text(&judged.stdout), text(&judged.stderr));
    let made = machine.path().join("hookproof-report");
    assert_eq!(report(&made.join("report.json")).summary.fail > 0, expected == 1);
    for name in ["report.xml", "report.md"] {
        assert!(std::fs::metadata(made.join(name)).unwrap().len() > 0, "{name}");
    }
    machine
}

#[test]
fn the_action_passes_on_the_reference_and_hands_over_its_reports() {
    let machine = check_action(&[], 0);
    let summary = std::fs::read_to_string(machine.path().join("summary.md")).unwrap();
    assert!(summary.contains("rules") && !summary.contains("## Failures"), "{summary}");
}

#[test]
fn the_action_fails_on_a_limit_of_eleven_and_says_so_in_the_summary() {
    let machine = check_action(&["--deviation", "limit-eleven"], 1);
    assert!(std::fs::read_to_string(machine.path().join("summary.md")).unwrap().contains("rndrkit.rate.ten-per-hour"));
}

#[test]
fn every_step_of_the_workflow_but_the_whole_test_run_succeeds() {
    let machine = Machine::new();
    symlink(workspace().join("snapshots"), machine.path().join("snapshots")).unwrap();
    let workflow = std::fs::read_to_string(workspace().join(".github/workflows/ci.yml")).unwrap();
    let steps = scripts(&workflow);
    let (whole, others) = steps.split_first().expect("the workflow has steps");
    assert_eq!(whole, ".ci/run");
    assert!(std::fs::metadata(workspace().join(whole)).unwrap().permissions().mode() & 0o100 != 0);
    assert!(!others.is_empty());
    for step in others {
        let run = machine.run(step, &[]);
        assert!(run.status.success(), "{step}: {}{}", text(&run.stdout), text(&run.stderr));
    }
    for artifact in ["report.json", "report.xml"] {
        assert!(machine.path().join(artifact).exists(), "{artifact}");
    }
}
