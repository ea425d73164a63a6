//! A signal at an unlucky moment: what is being made is deleted all the same, and the report says what is known.

use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use hookproof::verdict::Verdict;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::cli::{CONTROL_TOKEN, folder, report};
use crate::harm::endless;
use crate::middle::{Answering, Asked, Middle, Plan, honest};

/// For what must happen on the way; nothing takes so long.
const BOUND: Duration = Duration::from_secs(30);

/// Fixture calls by their methods, in the order of arrival.
type Heard = Arc<Mutex<Vec<String>>>;

/// Passes fixture calls on, each only once `gate` is open for its method.
fn gated(held: &'static str, heard: &Heard, came: &watch::Sender<bool>, gate: &watch::Receiver<bool>) -> Answering {
    let (heard, came, gate) = (Arc::clone(heard), came.clone(), gate.clone());
    Arc::new(move |stream: &mut TcpStream, asked: Asked| -> BoxFuture<'_, std::io::Result<bool>> {
        let (heard, came, mut gate) = (Arc::clone(&heard), came.clone(), gate.clone());
        Box::pin(async move {
            let message: serde_json::Value = serde_json::from_str(&asked.body_text())?;
            let method = message["method"].as_str().unwrap_or_default().to_owned();
            heard.lock().unwrap().push(method.clone());
            let answer = asked.honest_answer().await?;
            if method == held {
                came.send_replace(true);
                gate.wait_for(|open| *open).await.unwrap();
            }
            stream.write_all(&answer).await.map(|()| false)
        })
    })
}

fn start(folder: &std::path::Path, target: &str) -> Child {
    std::fs::write(folder.join("target.toml"), target).unwrap();
    Command::new(env!("CARGO_BIN_EXE_hookproof"))
        .args(["check", "--target", "target.toml", "--only", "rndrkit.auth.*", "--report", "json=report.json"])
        .current_dir(folder)
        .env("HOOKPROOF_CONTROL_TOKEN", CONTROL_TOKEN)
        .env_remove("GITHUB_ACTIONS")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn signal(process: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &process.id().to_string()]).status().unwrap().success());
}

async fn ended(mut process: Child) -> Option<i32> {
    let waiting = tokio::task::spawn_blocking(move || process.wait().unwrap().code());
    tokio::time::timeout(BOUND, waiting).await.unwrap().unwrap()
}

/// Interrupts a run while this call is under way, lets the call end, and returns the exit code and what was called.
async fn interrupted_during(held: &'static str, name: &str, folder: &std::path::Path) -> (Option<i32>, Vec<String>) {
    let heard = Heard::default();
    let (came, mut arrived) = watch::channel(false);
    let (open, gate) = watch::channel(false);
    let middle = Middle::start(Plan { api: honest(), control: gated(held, &heard, &came, &gate) }).await;
    let process = start(folder, &middle.target_file(""));
    tokio::time::timeout(BOUND, arrived.wait_for(|came| *came)).await.unwrap().unwrap();
    signal(&process, name);
    open.send_replace(true);
    let code = ended(process).await;
    let heard = heard.lock().unwrap().clone();
    (code, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_made_when_a_signal_comes_is_deleted() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let folder = folder();
        let (ended, heard) = interrupted_during("domain.create", name, folder.path()).await;
        assert_eq!(ended, Some(code));
        let count = |method: &str| heard.iter().filter(|heard| *heard == method).count();
        assert!(count("domain.create") > 0, "{heard:?}");
        assert_eq!(count("domain.create"), count("domain.delete"), "{heard:?}");
        let report = report(&folder.path().join("report.json"));
        assert_eq!((report.verdict, report.not_deleted.len()), (Verdict::Interrupted, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_during_the_first_call_or_the_last_ends_the_run_with_its_code() {
    for held in ["hello", "domain.delete"] {
        let folder = folder();
        let (ended, heard) = interrupted_during(held, "-TERM", folder.path()).await;
        assert_eq!(ended, Some(143), "{held}: {heard:?}");
    }
}

/// Whoever asks who is there and gets no answer can be told to stop at once, whatever the command.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_every_command_that_waits_for_hello() {
    for command in [
        &["adapter", "check"][..],
        &["snapshots", "init", "set"],
        &["load", "first-window", "--report", "json=report.json"],
    ] {
        let folder = folder();
        let heard = Heard::default();
        let (came, mut arrived) = watch::channel(false);
        let (_closed, gate) = watch::channel(false);
        let middle = Middle::start(Plan { api: honest(), control: gated("hello", &heard, &came, &gate) }).await;
        std::fs::write(folder.path().join("target.toml"), middle.target_file("")).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_hookproof"))
            .args(command)
            .args(["--target", "target.toml"])
            .current_dir(folder.path())
            .env("HOOKPROOF_CONTROL_TOKEN", CONTROL_TOKEN)
            .env_remove("GITHUB_ACTIONS")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::timeout(BOUND, arrived.wait_for(|came| *came)).await.unwrap().unwrap();
        signal(&process, "-TERM");
        assert_eq!(ended(process).await, Some(143), "{command:?}");
        if command[0] == "load" {
            let report = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
            let report: serde_json::Value = serde_json::from_str(&report).unwrap();
            assert_eq!(report["interrupted_by"], 15, "{report}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_run_that_waits_for_an_answer() {
    let folder = folder();
    let heard = Heard::default();
    let (came, mut arrived) = watch::channel(false);
    let (_open, gate) = watch::channel(true);
    let api = endless("HTTP/1.1 200 OK\r\n\r\n", "a");
    let middle = Middle::start(Plan { api, control: gated("domain.create", &heard, &came, &gate) }).await;
    let process = start(folder.path(), &middle.target_file(""));
    tokio::time::timeout(BOUND, arrived.wait_for(|came| *came)).await.unwrap().unwrap();
    signal(&process, "-INT");
    assert_eq!(ended(process).await, Some(130));
    let count = |method: &str| heard.lock().unwrap().iter().filter(|heard| *heard == method).count();
    assert_eq!(count("domain.create"), count("domain.delete"));
}
