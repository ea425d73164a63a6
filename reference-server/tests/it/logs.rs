//! What reaches the log.

use std::io;
use std::sync::{Arc, Mutex};

use reference_server::craftkit::signature::sign;
use serde_json::json;
use tracing::subscriber::NoSubscriber;
use tracing_subscriber::filter::LevelFilter;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{CONTROL, EXAMPLE, ephemeral, text, until};

/// What was logged.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_most_talkative_log_tells_of_requests_and_of_no_secret() {
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // With a single subscriber, tracing asks only the thread that meets a log statement first whether it
    // wants it, and remembers the answer; that may be another test's. With two it asks both.
    let _second = tracing::Dispatch::new(NoSubscriber::new());
    // The test's runtime has this one thread, so the server's tasks log to it too.
    let guard = tracing::subscriber::set_default(subscriber);
    let receiver = MockServer::start().await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(500)).mount(&receiver).await;
    let run = ephemeral().await;
    let (_, tokens) = run.domain(json!({})).await;
    let template = run.template(json!({})).await;
    let url = format!("{}/hook?key=in-the-url", receiver.uri());
    let params = json!({"project": template.project, "url": url, "events": []});
    let secret = text(&run.control("subscription.create", params).await["secret"]);
    run.refresh(&tokens[0], r#"{"all":true}"#).await;
    run.refresh("rk_wh_wrong-value", "{").await;
    let signature = sign(&template.secret, EXAMPLE.as_bytes());
    let reply = run.signed(&template.token, EXAMPLE, &signature).await;
    run.poll(&text(&reply.json()["id"]), &template.key).await;
    let log = || String::from_utf8(written.0.lock().expect("no panic").clone()).expect("text");
    until("the webhook's attempt is logged", async || log().contains("webhook sent").then_some(())).await;
    run.stop().await;
    drop(guard);
    let log = log();
    for told in ["route=\"refresh\"", "route=\"hook\"", "route=\"render\"", "route=\"control\"", "status=202"] {
        assert!(log.contains(told), "{told} is missing in {log}");
    }
    let secrets =
        [CONTROL, &tokens[0], &template.token, &template.secret, &template.key, &secret, &signature, "in-the-url"];
    for hidden in secrets.into_iter().chain(["rk_wh_wrong-value", "Acme Corp"]) {
        assert!(!log.contains(hidden), "{hidden} is in {log}");
    }
}
