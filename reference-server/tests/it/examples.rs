//! The documents' own client examples, run with the programs they name.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Running, ephemeral};

/// Runs a program and gives what it printed; it must succeed.
async fn run_program(program: &'static str, arguments: Vec<String>) -> String {
    let output = tokio::task::spawn_blocking(move || {
        Command::new(program).args(arguments).output().expect("the program is installed")
    });
    let output = output.await.expect("no panic");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

/// True when a program can be started at all.
fn installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

async fn server() -> (Running, String) {
    let run = ephemeral().await;
    let (_, mut tokens) = run.domain(json!({"known_paths": ["/"]})).await;
    (run, tokens.remove(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hook_s_shell_example_works_with_openssl() {
    let run = ephemeral().await;
    let template = run.template(json!({"require_signature": true})).await;
    let script = format!(
        r#"
        CRAFTKIT_INBOUND_SECRET={secret}
        CRAFTKIT_INBOUND_TOKEN={token}
        BODY='{{"customer":{{"name":"Acme Corp"}},"items":[{{"name":"Widget","qty":5,"price":9.99}}],"total":49.95}}'
        SIG=$(printf '%s' "$BODY" | openssl dgst -sha256 -hmac "$CRAFTKIT_INBOUND_SECRET" -hex | awk '{{print $2}}')
        curl -sf --noproxy '*' -X POST "{base}/v1/hooks/$CRAFTKIT_INBOUND_TOKEN" \
          -H "x-craftkit-signature: $SIG" \
          -H "Content-Type: application/json" \
          -d "$BODY"
        "#,
        secret = template.secret,
        token = template.token,
        base = run.base,
    );
    let printed = run_program("sh", vec!["-c".to_owned(), script]).await;
    let body: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(body["status"], "queued");
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refresh_s_curl_examples_work() {
    let (run, token) = server().await;
    let script = format!(
        r#"
        curl -sf --noproxy '*' -X POST {base}/api/webhook/refresh \
          -H "Authorization: Bearer {token}" \
          -H "Content-Type: application/json" \
          -d '{{"urls": ["/", "/about"]}}' \
          && echo "Cache refresh queued" \
          || echo "Cache refresh failed"
        "#,
        base = run.base,
    );
    let printed = run_program("sh", vec!["-c".to_owned(), script]).await;
    assert!(printed.ends_with("Cache refresh queued\n"), "{printed}");
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refresh_s_javascript_examples_work_where_node_is() {
    if !installed("node") {
        println!("node is not installed");
        return;
    }
    let (run, token) = server().await;
    let script = format!(
        r#"
        const send = async (body) => {{
          const response = await fetch("{base}/api/webhook/refresh", {{
            method: "POST",
            headers: {{
              "Authorization": "Bearer {token}",
              "Content-Type": "application/json",
            }},
            body: JSON.stringify(body),
          }});
          return response.json();
        }};
        (async () => {{
          const data = await send({{ urls: ["/", "/blog/new-post", "/pricing"] }});
          console.log(`${{data.pagesQueued}} pages queued for ${{data.domain}}`);
          console.log((await send({{ all: true }})).message);
        }})();
        "#,
        base = run.base,
    );
    let printed = run_program("node", vec!["-e".to_owned(), script]).await;
    assert!(printed.starts_with("3 pages queued for site-"), "{printed}");
    assert!(printed.ends_with("Full cache refresh started\n"), "{printed}");
    run.stop().await;
}
