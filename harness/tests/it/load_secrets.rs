//! Tokens and keys that a target echoes under load: they appear in no history, no report and no output.

use crate::canaries::{Told, echo, noting, traces};
use crate::cli::{CONTROL_TOKEN, folder, hookproof, text};
use crate::middle::{Middle, Plan};

/// Loads a target that echoes all that it is told with this status.
async fn keeps_secrets(status: &'static str, scenario: &'static str) {
    let told = Told::default();
    let middle = Middle::start(Plan { api: echo(&told, status, false), control: noting(&told) }).await;
    let folder = folder();
    std::fs::write(folder.path().join("target.toml"), middle.target_file("")).unwrap();
    let path = folder.path().to_owned();
    let arguments = ["load", scenario, "--target", "target.toml", "--history", "load.jsonl"];
    let reports = ["--report", "json=load.json", "--report", "markdown=load.md", "--report", "junit=load.xml"];
    let all = [&arguments[..], &reports].concat();
    let run = tokio::task::spawn_blocking(move || hookproof(&path, &all)).await.unwrap();
    assert!(matches!(run.status.code(), Some(1 | 4)), "{}", text(&run.stdout));
    let told = told.lock().unwrap().clone();
    assert!(told.len() > 2, "only {} secrets were given out", told.len());
    let secrets = told.iter().map(String::as_str).chain([CONTROL_TOKEN]);
    let traces: Vec<String> = secrets.flat_map(traces).collect();
    let searched = aho_corasick::AhoCorasick::builder().ascii_case_insensitive(true).build(&traces).unwrap();
    let mut outputs = vec![("stdout".to_owned(), text(&run.stdout)), ("stderr".to_owned(), text(&run.stderr))];
    for file in ["load.jsonl", "load.json", "load.md", "load.xml"] {
        let said = std::fs::read_to_string(folder.path().join(file)).unwrap();
        assert!(!said.is_empty());
        outputs.push((file.to_owned(), said));
    }
    for (place, said) in outputs {
        let unquoted = said.replace("\\\\", "\\").replace("\\\"", "\"");
        for said in [said.as_str(), unquoted.as_str()] {
            let found = searched.find(said).map(|found| &traces[found.pattern()]);
            assert_eq!(found, None, "in {place} of {scenario} at a target that answers {status}");
        }
    }
    let history = std::fs::read_to_string(folder.path().join("load.jsonl")).unwrap();
    assert!(history.lines().count() > 10, "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_refusal_echoes_is_written_nowhere() {
    keeps_secrets("400 Bad Request", "token-spread").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_acknowledgement_echoes_is_written_nowhere() {
    keeps_secrets("202 Accepted", "inbound-renders").await;
}
