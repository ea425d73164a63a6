//! The example adapter answers every example message of the fixture protocol as the protocol says, and a copy of it needs nothing else.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The adapter as a process; its end is waited for when it is dropped.
struct Adapter {
    process: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Adapter {
    fn start(adapter: &Path, arguments: &[&str]) -> Adapter {
        let mut process = Command::new("python3")
            .arg(adapter)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = process.stdin.take();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        Adapter { process, stdin, stdout }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_ref().unwrap(), "{line}").unwrap();
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in: {line}"))
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        self.stdin.take();
        // Nothing is left to be done about one that has ended by itself.
        let _ = self.process.wait();
    }
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/adapter/adapter.py")
}

/// Values kept for placeholders, by what stands between the angle brackets.
type Kept = HashMap<String, Value>;

fn placeholder(value: &Value) -> Option<&str> {
    value.as_str()?.strip_prefix('<')?.strip_suffix('>')
}

/// A request with its placeholders replaced by the values kept.
fn filled(value: &Value, kept: &Kept) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| filled(item, kept)).collect(),
        Value::Object(entries) => entries.iter().map(|(key, item)| (key.clone(), filled(item, kept))).collect(),
        other => placeholder(other).map_or_else(|| other.clone(), |name| kept[name].clone()),
    }
}

fn is_a(kind: &str, value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    match kind {
        "string" | "id" | "given" => !text.is_empty(),
        "host" => !text.is_empty() && !text.contains(['/', ':']),
        "token" => text.starts_with("rk_wh_"),
        "url" => text.starts_with("http") && !text.ends_with('/'),
        "time" => text.parse::<jiff::Timestamp>().is_ok(),
        "status" => ["queued", "rendering", "succeeded", "failed"].contains(&text),
        "clock" => ["manual", "system"].contains(&text),
        "methods" => value.as_array().is_some_and(|methods| methods.contains(&Value::from("hello"))),
        other => panic!("the examples have a placeholder of an unknown type: {other}"),
    }
}

/// What in an answer is not as the example says; named placeholders are kept.
fn differences(place: &str, expected: &Value, found: &Value, kept: &mut Kept) -> Vec<String> {
    match (expected, found) {
        (Value::Object(entries), Value::Object(_)) => entries
            .iter()
            .flat_map(|(key, item)| {
                differences(&format!("{place}.{key}"), item, found.get(key).unwrap_or(&Value::Null), kept)
            })
            .collect(),
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => items
            .iter()
            .zip(others)
            .enumerate()
            .flat_map(|(at, (item, other))| differences(&format!("{place}[{at}]"), item, other, kept))
            .collect(),
        _ => {
            let fits = match placeholder(expected) {
                Some(name) => {
                    let kind = name.split(':').next().unwrap_or_default();
                    let same = kept.get(name).is_none_or(|before| before == found);
                    if name.contains(':') {
                        kept.insert(name.to_owned(), found.clone());
                    }
                    same && is_a(kind, found)
                }
                None => expected == found,
            };
            if fits { Vec::new() } else { vec![format!("{place}: expected {expected}, found {found}")] }
        }
    }
}

/// The id of a render queued through a hook; a template published a moment ago may not be seen yet.
async fn render(hook: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let request = reqwest::Client::new().post(hook).header("content-type", "application/json").body("{}");
        let answer = request.send().await.unwrap();
        if answer.status().as_u16() == 202 {
            let accepted: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            return accepted["id"].clone();
        }
        assert!(Instant::now() < deadline, "no render was accepted: {}", answer.status());
        // Nothing tells when the template is seen; the deadline bounds the looks.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_example_adapter_answers_every_example_of_the_protocol() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocol/messages.json");
    let examples: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    // The variant whose tokens begin as documented, as the examples do.
    let mut adapter = Adapter::start(&example(), &["--variant", "b"]);
    let mut kept = Kept::from([("given:url".to_owned(), Value::from("http://127.0.0.1:9/receiver"))]);
    let (mut base_url, mut token) = (String::new(), String::new());
    let mut problems = Vec::new();
    for example in examples.iter().filter(|example| example.get("request").is_some()) {
        let request = &example["request"];
        if request.to_string().contains("<given:render>") {
            kept.insert("given:render".to_owned(), render(&format!("{base_url}/v1/hooks/{token}")).await);
        }
        // A request that is a string is the message's text, which is no JSON.
        adapter.say(&request.as_str().map_or_else(|| filled(request, &kept).to_string(), str::to_owned));
        if example["response"].is_null() {
            continue;
        }
        let answer = adapter.hear();
        let name = example["name"].as_str().unwrap_or_default();
        problems.extend(differences(name, &example["response"], &answer, &mut kept));
        let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        base_url = text("/result/craftkit/base_url").unwrap_or(base_url);
        token = text("/result/inbound_token").unwrap_or(token);
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// As little as can stand between the rulers.
const STUB: &str = r#"
def start():
    pass


def stop():
    pass


@method("hello", protocol=version_1)
def hello(protocol):
    return {"protocol": PROTOCOL, "methods": list(METHODS)}


@method("domain.delete", domain=text)
def delete_domain(domain):
    raise Refused("not_found", f"no domain {domain}")
"#;

#[test]
fn a_copy_of_the_adapter_starts_elsewhere_once_what_stands_between_its_rulers_is_replaced() {
    let text = std::fs::read_to_string(example()).unwrap();
    let ruler = format!("\n# {}\n", "-".repeat(90));
    let parts: Vec<&str> = text.split(ruler.as_str()).collect();
    let [above, _, below] = parts.as_slice() else { panic!("expected two rulers, found {}", parts.len() - 1) };
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("adapter.py");
    std::fs::write(&copy, format!("{above}\n{STUB}\n{below}")).unwrap();
    let mut adapter = Adapter::start(&copy, &[]);
    let mut call = |method: &str, params: Value| {
        adapter.say(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string());
        adapter.hear()
    };
    assert_eq!(call("hello", json!({"protocol": 1}))["result"]["methods"], json!(["hello", "domain.delete"]));
    assert_eq!(call("domain.delete", json!({"domain": "a"}))["error"]["data"], json!({"reason": "not_found"}));
    assert_eq!(call("domain.create", json!({}))["error"]["code"], json!(-32601));
}
