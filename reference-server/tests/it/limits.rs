//! What lies beyond the limits, and requests that belong nowhere.

use std::time::Duration;

use reference_server::{Config, ControlToken, Limits, Parts};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{CONTROL, EXAMPLE, Running, ephemeral, run, text, until};

async fn limited(limits: Limits) -> Running {
    let config = Config { limits, ..Config::ephemeral(ControlToken::new(CONTROL)) };
    run(config, Parts::reference()).await
}

/// Sends bytes over a connection of their own and gives what comes back until it is closed.
async fn raw(run: &Running, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(run.server.address()).await.expect("connected");
    stream.write_all(bytes).await.expect("sent");
    let mut answer = Vec::new();
    // A reset after the answer is as good as an end.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_body_beyond_the_limit_gets_413() {
    let run = limited(Limits { body_bytes: 1000, ..Limits::default() }).await;
    let template = run.template(json!({})).await;
    let fits = format!("{EXAMPLE}{}", " ".repeat(1000 - EXAMPLE.len()));
    assert_eq!(run.hook(&template.token, &fits).await.status, 202);
    run.hook(&template.token, &format!("{fits} ")).await.coded(413, "payload_too_large");
    let chunked = format!(
        "POST /api/webhook/refresh HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n\
         7d0\r\n{}\r\n0\r\n\r\n",
        "x".repeat(2000)
    );
    let answer = raw(&run, chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains(r#"{"error":"Request body is longer than 1000 bytes"}"#), "{answer}");
    run.stop().await;
}

/// A server that closed at once would reset the connection, and whether the client still saw the answer would be luck.
#[tokio::test]
async fn a_client_may_send_its_body_to_the_end_and_then_read_why_it_was_refused() {
    const LENGTH: usize = 16 * 1024 * 1024;
    let run = ephemeral().await;
    for asks_first in [true, false] {
        let mut stream = TcpStream::connect(run.server.address()).await.expect("connected");
        let head = format!("POST /v1/hooks/x HTTP/1.1\r\nhost: x\r\ncontent-length: {LENGTH}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        if asks_first {
            stream.read_to_string(&mut answer).await.expect("an answer");
        }
        stream.write_all(&vec![b' '; LENGTH]).await.expect("nobody closed while the body was on its way");
        stream.read_to_string(&mut answer).await.expect("an answer, and no reset");
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(answer.contains("payload_too_large"), "{answer}");
    }
    run.stop().await;
}

#[tokio::test]
async fn a_client_that_never_ends_its_body_does_not_keep_its_seat() {
    let run = limited(Limits { connections: 1, body_bytes: 1000, ..Limits::default() }).await;
    let mut seated = TcpStream::connect(run.server.address()).await.expect("connected");
    seated.write_all(b"POST /v1/hooks/x HTTP/1.1\r\nhost: x\r\ncontent-length: 2000\r\n\r\n").await.expect("sent");
    until("the seat is free", async || {
        let get = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        raw(&run, get).await.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
    run.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_gets_408() {
    let run = limited(Limits { request: Duration::from_millis(100), ..Limits::default() }).await;
    let head = b"POST /v1/hooks/x HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{";
    let answer = raw(&run, head).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("request_timeout"), "{answer}");
    run.stop().await;
}

#[tokio::test]
async fn a_head_that_does_not_arrive_ends_the_connection() {
    let run = limited(Limits { header_read: Duration::from_millis(100), ..Limits::default() }).await;
    let answer = raw(&run, b"POST /v1/hooks/x HTTP/1.1\r\nhost:").await;
    assert!(!answer.contains(" 200 "), "{answer}");
    run.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_get_503_and_seats_come_free() {
    let run = limited(Limits { connections: 1, ..Limits::default() }).await;
    let seated = TcpStream::connect(run.server.address()).await.expect("connected");
    // The listener takes connections in their order, so the second one finds the seat taken.
    let answer = raw(&run, b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.ends_with(r#"{"error":"Too many connections"}"#), "{answer}");
    drop(seated);
    until("the seat is free", async || {
        let get = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        raw(&run, get).await.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
    run.stop().await;
}

#[tokio::test]
async fn a_full_render_queue_says_so_and_does_not_grow() {
    let run = limited(Limits { queue_length: 0, ..Limits::default() }).await;
    let template = run.template(json!({})).await;
    run.hook(&template.token, EXAMPLE).await.coded(503, "queue_unavailable");
    run.stop().await;
}

#[tokio::test]
async fn unknown_routes_and_the_closed_control_plane_get_404() {
    let config = Config { control_token: None, ..Config::ephemeral(ControlToken::new(CONTROL)) };
    let run = run(config, Parts::reference()).await;
    for path in ["/", "/nothing", "/api/webhook", "/api/webhook/refresh/x", "/_control", "//"] {
        run.send(run.post(path)).await.refused(404, "Not found");
    }
    let health = run.send(run.get("/health")).await;
    assert_eq!((health.status, health.json()), (200, json!({"status": "ok"})));
    run.send(run.post("/health")).await.refused(405, "Method not allowed");
    run.stop().await;
}

#[tokio::test]
async fn what_is_no_http_is_answered_with_400() {
    let run = ephemeral().await;
    let answer = raw(&run, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(run.send(run.get("/health")).await.status, 200);
    run.stop().await;
}

#[tokio::test]
async fn poll_urls_use_the_public_base_and_no_forged_host() {
    let config = Config {
        public_base: Some("https://api.craftkit.dev/".to_owned()),
        ..Config::ephemeral(ControlToken::new(CONTROL))
    };
    let public = run(config, Parts::reference()).await;
    let template = public.template(json!({})).await;
    let reply = public.hook(&template.token, EXAMPLE).await.json();
    let url = format!("https://api.craftkit.dev/v1/renders/{}", text(&reply["id"]));
    assert_eq!(reply["pollUrl"], url);
    public.stop().await;

    let plain = ephemeral().await;
    let template = plain.template(json!({})).await;
    let poll_url = async |host: &str| {
        let request = plain.post(&format!("/v1/hooks/{}", template.token)).header("host", host);
        text(&plain.send(request.body(EXAMPLE)).await.json()["pollUrl"])
    };
    assert!(poll_url("front.example:81").await.starts_with("http://front.example:81/v1/renders/"));
    assert!(poll_url("x@evil.example").await.starts_with(&plain.base));
    plain.stop().await;
}

#[tokio::test]
async fn a_request_in_flight_finishes_while_the_server_stops() {
    let run = ephemeral().await;
    let template = run.template(json!({})).await;
    let mut stream = TcpStream::connect(run.server.address()).await.expect("connected");
    let head = format!(
        "POST /v1/hooks/{} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        template.token,
        EXAMPLE.len()
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    // The interim answer shows that the request is being served.
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.expect("100 Continue");
    let stopping = tokio::spawn(run.stop());
    tokio::task::yield_now().await;
    stream.write_all(EXAMPLE.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    stopping.await.expect("stopped");
}

#[tokio::test]
async fn many_servers_live_in_one_process() {
    let (one, two) = (ephemeral().await, ephemeral().await);
    let (_, tokens) = one.domain(json!({})).await;
    assert_eq!(two.refresh(&tokens[0], r#"{"urls":["/"]}"#).await.status, 401);
    two.advance(1000).await;
    assert_ne!(one.base, two.base);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn connections_that_never_asked_anything_do_not_hold_a_stop_up() {
    let run = ephemeral().await;
    let _silent = TcpStream::connect(run.server.address()).await.expect("connected");
    let mut asked = TcpStream::connect(run.server.address()).await.expect("connected");
    asked.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut first = [0; 12];
    asked.read_exact(&mut first).await.expect("an answer");
    let stopped = tokio::time::timeout(Duration::from_secs(5), run.stop()).await;
    assert!(stopped.is_ok(), "idle connections held the stop up");
}

#[tokio::test]
async fn a_client_that_stops_sending_still_gets_its_answer() {
    let run = ephemeral().await;
    let mut stream = TcpStream::connect(run.server.address()).await.expect("connected");
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    stream.shutdown().await.expect("closed");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.ends_with(r#"{"status":"ok"}"#), "{answer}");
    run.stop().await;
}
