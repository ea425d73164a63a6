//! Planted secrets: whatever a target does with them, they appear in no output of the suite.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::cli::{CONTROL_TOKEN, text};
use crate::measured::Ran;
use crate::middle::{Answering, Asked, Middle, Plan};

/// A header value of the target file, with characters that encodings treat in their own ways.
const HEADER_CANARY: &str = "Preview/it's+a=\"Canary\"&<1>";

/// Everything secret that the suite was told, noted as it was told.
pub(crate) type Told = Arc<Mutex<BTreeSet<String>>>;

/// Passes fixture calls on and notes the secrets in the answers.
pub(crate) fn noting(told: &Told) -> Answering {
    let told = Arc::clone(told);
    Arc::new(move |stream: &mut TcpStream, asked: Asked| -> BoxFuture<'_, std::io::Result<bool>> {
        let told = Arc::clone(&told);
        Box::pin(async move {
            let answer = asked.honest_answer().await?;
            let body = answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |head| head + 4);
            let value: Value = serde_json::from_slice(&answer[body..]).unwrap();
            note(&told, &value);
            stream.write_all(&answer).await.map(|()| false)
        })
    })
}

/// Notes the secrets in a fixture's answer.
fn note(told: &Told, answer: &Value) {
    let mut told = told.lock().unwrap();
    let tokens = answer.pointer("/result/tokens").and_then(Value::as_array).into_iter().flatten();
    told.extend(tokens.filter_map(|token| token["token"].as_str()).map(str::to_owned));
    for name in ["token", "inbound_token", "inbound_secret", "api_key", "secret"] {
        told.extend(answer["result"][name].as_str().map(str::to_owned));
    }
}

/// Every spelling of a secret in which it must not appear anywhere.
fn spellings(secret: &str) -> Vec<String> {
    let json = Value::from(secret).to_string();
    let json = &json[1..json.len() - 1];
    let percent: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let mut spellings = vec![
        secret.to_owned(),
        secret.to_uppercase(),
        secret.to_lowercase(),
        hex::encode(secret),
        hex::encode_upper(secret),
        percent.to_lowercase(),
        percent,
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        json.to_owned(),
        json.replace('/', "\\/"),
        secret.bytes().map(|byte| format!("\\u{byte:04x}")).collect(),
        secret.bytes().map(|byte| format!("\\u{byte:04X}")).collect(),
        secret
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;")
            .replace('\'', "&#39;"),
    ];
    for before in ["", "x", "xy"] {
        for engine in [&STANDARD, &URL_SAFE] {
            spellings.push(engine.encode(format!("{before}{secret}z")));
        }
    }
    spellings
}

/// What must be found nowhere: whole spellings, of base64 the part that does not depend on what stands around, three quarters of the
/// value, and what follows its prefix.
pub(crate) fn traces(secret: &str) -> Vec<String> {
    const EDGE: usize = 4;
    let plain = spellings(secret).into_iter().take(13);
    let base64 = ["", "x", "xy"].into_iter().flat_map(|before| {
        let encode = |engine: &base64::engine::GeneralPurpose| engine.encode(format!("{before}{secret}"));
        [encode(&STANDARD), encode(&URL_SAFE)].map(|text| text[EDGE..text.len() - EDGE].to_owned())
    });
    let most = secret.len() - secret.len() / 4;
    let most = secret[..secret.ceil_char_boundary(most)].to_owned();
    let random = secret.strip_prefix("rk_wh_").or(secret.strip_prefix("whsec_")).map(str::to_owned);
    plain.chain(base64).chain([most]).chain(random).collect()
}

/// Says everything that it was told and that every request holds, in every spelling, in headers and in the body.
pub(crate) fn echo(told: &Told, status: &'static str, binary: bool) -> Answering {
    let told = Arc::clone(told);
    Arc::new(move |stream: &mut TcpStream, asked: Asked| -> BoxFuture<'_, std::io::Result<bool>> {
        let request = format!("{}{}", asked.head_text(), asked.body_text());
        let mut secrets: Vec<String> =
            told.lock().unwrap().iter().filter(|secret| request.contains(*secret)).cloned().collect();
        secrets.extend([CONTROL_TOKEN.to_owned(), HEADER_CANARY.to_owned()]);
        Box::pin(async move {
            let mut all: Vec<String> = secrets.iter().flat_map(|secret| spellings(secret)).collect();
            all.extend(secrets.iter().map(|secret| secret[..secret.floor_char_boundary(secret.len() - 1)].to_owned()));
            all.extend(secrets.iter().filter_map(|secret| Some(secret.strip_prefix("rk_wh_")?.to_owned())));
            let headers: String =
                all.iter().take(60).enumerate().map(|(at, text)| format!("x-echo-{at}: {text}\r\n")).collect();
            let issues: Vec<Value> = all.iter().map(|text| json!({"path": text, "message": text})).collect();
            let error = json!({"error": all.join(" "), "code": all[0], "id": all[0], "issues": issues, all[0].clone(): request});
            let utf_16: Vec<u8> = secrets.join(" ").encode_utf16().flat_map(u16::to_le_bytes).collect();
            let mut body = error.to_string().into_bytes();
            if binary {
                body = [&[0xff, 0xfe], utf_16.as_slice(), all.join("\n").as_bytes(), &body].concat();
            }
            let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), &body].concat()).await.map(|()| false)
        })
    })
}

/// What the targets here are judged by.
const ARGUMENTS: [&str; 17] = [
    "--verbose",
    "--settle",
    "50ms",
    "--run-time",
    "15s",
    "--only",
    "rndrkit.auth.*",
    "--only",
    "rndrkit.tokens.*",
    "--only",
    "craftkit.hook.*",
    "--only",
    "craftkit.signature.valid",
    "--only",
    "craftkit.poll.*",
    "--only",
    "craftkit.input.unknown-*",
];

/// A target file for both APIs with a secret header.
fn with_headers(middle: &Middle) -> String {
    let header = format!("[craftkit]\nheaders = {{ \"x-preview\" = {} }}\n", Value::from(HEADER_CANARY));
    let header_too = header.replace("[craftkit]", "[rndrkit]");
    middle.target_file("").replace("[craftkit]\n", &header).replace("[rndrkit]\n", &header_too)
}

/// What finds every trace of the secrets told and of those in the target file.
struct Search {
    traces: Vec<String>,
    searched: AhoCorasick,
}

impl Search {
    fn of(told: &Told) -> Search {
        let told = told.lock().unwrap().clone();
        assert!(told.len() > 3, "only {} secrets were given out", told.len());
        let secrets = told.iter().map(String::as_str).chain([CONTROL_TOKEN, HEADER_CANARY]);
        let traces: Vec<String> = secrets.flat_map(traces).collect();
        let searched = AhoCorasick::builder().ascii_case_insensitive(true).build(&traces).unwrap();
        Search { traces, searched }
    }

    #[track_caller]
    fn assert_nothing_in(&self, place: &str, text: &str) {
        // A report in JSON spells what it quotes once more.
        let unquoted = text.replace("\\\\", "\\").replace("\\\"", "\"");
        for text in [text, unquoted.as_str()] {
            let found = self.searched.find(text).map(|found| &self.traces[found.pattern()]);
            assert_eq!(found, None, "in {place}");
        }
    }
}

/// Judges a target that echoes like this, and finds no secret in any output.
async fn keeps_secrets(status: &'static str, binary: bool) {
    let told = Told::default();
    let middle = Middle::start(Plan { api: echo(&told, status, binary), control: noting(&told) }).await;
    let target = with_headers(&middle);
    let ran = tokio::task::spawn_blocking(move || Ran::check(&target, &ARGUMENTS)).await.unwrap();
    ran.assert_clean(status);
    let search = Search::of(&told);
    let names = ["<token:d1.1>", "<inbound-token:t1", "<control-token", "<header:rndrkit.x-preview"];
    let report = ran.file("report.json");
    for name in names {
        assert!(report.contains(name), "{name} does not stand for anything in the report");
    }
    assert!(ran.stderr.contains("checks done"), "no progress: {}", ran.stderr);
    assert!(ran.file("events.jsonl").contains("check_ended"), "no events");
    for (place, text) in ran.outputs() {
        search.assert_nothing_in(&format!("{place} of a target that answers {status}"), &text);
    }
    for check in &ran.report().checks {
        for exchange in &check.evidence.exchanges {
            assert_no_secret_in_bytes(exchange, &search.searched);
        }
    }
}

/// What a run writes to stderr where that is a terminal.
fn on_a_terminal(target: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("target.toml"), target).unwrap();
    let program = env!("CARGO_BIN_EXE_hookproof");
    let arguments = ARGUMENTS.map(|word| format!("'{word}'")).join(" ");
    let command = format!("'{program}' check --target target.toml {arguments} > said.txt");
    let run = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "typescript.txt"])
        .current_dir(folder.path())
        .env("HOOKPROOF_CONTROL_TOKEN", CONTROL_TOKEN)
        .env("TERM", "xterm-256color")
        .env_remove("GITHUB_ACTIONS")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = std::fs::read_to_string(folder.path().join("said.txt")).unwrap();
    assert!(said.contains("target hostile"), "the run did not come about: {said} {}", text(&run.stdout));
    text(&run.stdout)
}

/// A body that is no text is kept in base64, which must not hide anything either.
fn assert_no_secret_in_bytes(exchange: &hookproof::evidence::Exchange, searched: &AhoCorasick) {
    let body = exchange.response.as_ref().map(|response| &response.body);
    let Some(hookproof::evidence::Body::Base64(text)) = body else { return };
    let bytes = STANDARD.decode(text).unwrap();
    assert!(searched.find(&bytes).is_none(), "{}", exchange.label);
    let narrow: Vec<u8> = bytes.into_iter().filter(|byte| *byte != 0).collect();
    assert!(searched.find(&narrow).is_none(), "{}: UTF-16", exchange.label);
}

/// A bar instead of lines, which is drawn while the checks run: before it is known which secrets there will be.
#[tokio::test(flavor = "multi_thread")]
async fn progress_on_a_terminal_shows_no_secret() {
    let told = Told::default();
    let middle = Middle::start(Plan { api: echo(&told, "400 Bad Request", false), control: noting(&told) }).await;
    let target = with_headers(&middle);
    let shown = tokio::task::spawn_blocking(move || on_a_terminal(&target)).await.unwrap();
    let drawn = shown.contains("\u{1b}[") && shown.contains("rndrkit/auth/");
    assert!(drawn, "no bar with the checks under way: {shown}");
    Search::of(&told).assert_nothing_in("the bar", &shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_echoed_in_refusals_appear_nowhere() {
    keeps_secrets("400 Bad Request", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_echoed_in_accepting_answers_appear_nowhere() {
    keeps_secrets("200 OK", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_echoed_in_bodies_that_are_no_text_appear_nowhere() {
    keeps_secrets("202 Accepted", true).await;
}
