//! Hurl, the fastest of the tools that send requests written down in files, with the requests of the suite: one file for each check.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::bare::{Sender, client, server};
use crate::script::{Script, What};

/// How many files it may send at a time; the best of them counts.
const JOBS: [&str; 3] = ["1", "2", "16"];

/// Calls that make what the requests name. Nothing else is done between them: Hurl has no say in the target's time.
const MAKING: [&str; 4] = ["domain.create", "token.create", "template.create", "subscription.create"];

/// What Hurl took for one request at best, and how many it sent; nothing if there is no Hurl.
pub(crate) async fn best(script: &Script) -> Option<(Duration, usize)> {
    let silent = || (Stdio::null(), Stdio::null());
    let (stdout, stderr) = silent();
    Command::new("hurl").arg("--version").stdout(stdout).stderr(stderr).status().ok()?;
    let mut best: Option<Duration> = None;
    let mut count = 0;
    for jobs in JOBS {
        let server = server().await;
        let folder = std::env::temp_dir().join(format!("hookproof-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for files can be made");
        let (files, requests) = written(script, &server.base_url(), &folder).await;
        let (stdout, stderr) = silent();
        let began = Instant::now();
        let mut hurl = Command::new("hurl");
        hurl.args(["--test", "--no-output", "--jobs", jobs]).args(&files).stdout(stdout).stderr(stderr);
        let status = hurl.status().expect("it was there a moment ago");
        let took = began.elapsed();
        assert!(status.success(), "hurl refuses the files in {}", folder.display());
        std::fs::remove_dir_all(&folder).expect("the folder is ours");
        server.stop().await.expect("it stops");
        count = requests;
        let each = took / u32::try_from(requests).expect("some thousand requests");
        best = Some(best.map_or(each, |best| best.min(each)));
    }
    best.map(|best| (best, count))
}

/// Makes what the requests name on this server and writes a file for each check.
async fn written(script: &Script, base_url: &str, folder: &Path) -> (Vec<PathBuf>, usize) {
    let sender = Sender::new(script, client(true), base_url);
    let mut texts = vec![String::new(); script.checks];
    let mut ids: Vec<String> = Vec::new();
    let mut requests = 0;
    for row in script.phases.iter().flat_map(|phase| &phase.rows) {
        for step in row.groups.iter().flatten() {
            match &step.what {
                What::Call { method, .. } if MAKING.contains(&method.as_str()) => sender.call(row.check, step).await,
                What::Call { .. } => {}
                What::Send { request, body, answer, .. } => {
                    let id = answer.as_ref().and_then(|answer| answer["id"].as_str());
                    ids.extend(id.map(str::to_owned));
                    // A poll asks for what an earlier request gave.
                    if ids.iter().any(|id| request.url.contains(id)) {
                        continue;
                    }
                    let known = sender.known[row.check].lock().expect("no holder panics");
                    let path = request.url.strip_prefix(&script.base_url).unwrap_or_default();
                    let body = std::str::from_utf8(body)
                        .map_or(body.clone(), |text| known.fill(&step.names, text).into_bytes());
                    let text = &mut texts[row.check];
                    *text += &format!("{} {base_url}{}\n", request.method, escaped(&known.fill(&step.names, path)));
                    for (name, value) in &request.headers {
                        let value = known.header(&step.names, [name, value], &step.what, &body);
                        *text += &format!("{name}: {}\n", escaped(&value));
                    }
                    if !body.is_empty() {
                        *text += &format!("base64,{};\n", STANDARD.encode(&body));
                    }
                    text.push('\n');
                    requests += 1;
                }
            }
        }
    }
    let texts = texts.into_iter().enumerate().filter(|(_, text)| !text.is_empty());
    let write = |(number, text): (usize, String)| {
        let path = folder.join(format!("{number}.hurl"));
        std::fs::write(&path, text).expect("the file can be written");
        path
    };
    (texts.map(write).collect(), requests)
}

/// A text as Hurl's files spell what is not plain.
fn escaped(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || " /-_.=:,;+*()?&%<>@\"'".contains(character);
    text.chars().map(|one| if plain(one) { one.to_string() } else { format!("\\u{{{:x}}}", u32::from(one)) }).collect()
}
