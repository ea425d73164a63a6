//! Ways to answer that no client should suffer from.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::middle::{Answering, Asked};

/// Sends these bytes, and the last ones for ever.
pub(crate) fn endless(first: impl Into<Vec<u8>>, then: impl Into<Vec<u8>>) -> Answering {
    let (first, then) = (first.into(), then.into());
    Arc::new(move |stream, _| {
        let (first, then) = (first.clone(), then.repeat((16 * 1024usize).div_ceil(then.len())));
        Box::pin(async move {
            stream.write_all(&first).await?;
            loop {
                stream.write_all(&then).await?;
            }
        })
    })
}

/// Sends these bytes and closes the connection.
pub(crate) fn once(bytes: impl Into<Vec<u8>>) -> Answering {
    let bytes = bytes.into();
    Arc::new(move |stream, _| {
        let bytes = bytes.clone();
        Box::pin(async move { stream.write_all(&bytes).await.map(|()| false) })
    })
}

/// Sends these bytes, one every few milliseconds.
pub(crate) fn drip(bytes: &str) -> Answering {
    const PAUSE: Duration = Duration::from_millis(40);
    let bytes = bytes.as_bytes().to_vec();
    Arc::new(move |stream, _| {
        let bytes = bytes.clone();
        Box::pin(async move {
            let mut pause = tokio::time::interval(PAUSE);
            for byte in bytes {
                pause.tick().await;
                stream.write_all(&[byte]).await?;
            }
            Ok(false)
        })
    })
}

/// Sends these bytes and resets the connection.
pub(crate) fn reset_after(bytes: &'static str) -> Answering {
    Arc::new(move |stream, _| {
        Box::pin(async move {
            stream.write_all(bytes.as_bytes()).await?;
            stream.set_zero_linger().map(|()| false)
        })
    })
}

/// Sends the right answer, changed.
pub(crate) fn changed(change: impl Fn(Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> Answering {
    let change = Arc::new(change);
    Arc::new(move |stream: &mut TcpStream, asked: Asked| -> BoxFuture<'_, std::io::Result<bool>> {
        let change = Arc::clone(&change);
        Box::pin(async move {
            let answer = asked.honest_answer().await?;
            stream.write_all(&change(answer)).await.map(|()| false)
        })
    })
}

/// An answer as the reference gives it, without the header that says that the connection is closed.
pub(crate) fn kept_alive(answer: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(answer).replace("connection: close\r\n", "").into_bytes()
}

/// An answer with so many spaces more at the end of its body, which do not change the JSON in it.
pub(crate) fn spaced_out(answer: &[u8], spaces: usize) -> Vec<u8> {
    const END: &[u8] = b"\r\n\r\n";
    let body = answer.windows(END.len()).position(|window| window == END).map_or(answer.len(), |end| end + END.len());
    let (head, body) = answer.split_at(body);
    let kept = |line: &&str| !line.to_ascii_lowercase().starts_with("content-length:") && !line.is_empty();
    let head = String::from_utf8_lossy(head);
    let lines: Vec<&str> = head.split("\r\n").filter(kept).collect();
    let length = body.len() + spaces;
    [format!("{}\r\ncontent-length: {length}\r\n\r\n", lines.join("\r\n")).as_bytes(), body, &b" ".repeat(spaces)]
        .concat()
}

/// Holds each answer back until the next request of its connection, so that every answer belongs to another request.
pub(crate) fn one_behind() -> Answering {
    let held = Arc::new(tokio::sync::Mutex::new(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec()));
    Arc::new(move |stream: &mut TcpStream, asked: Asked| -> BoxFuture<'_, std::io::Result<bool>> {
        let held = Arc::clone(&held);
        Box::pin(async move {
            let answer = kept_alive(&asked.honest_answer().await?);
            let earlier = std::mem::replace(&mut *held.lock().await, answer);
            stream.write_all(&earlier).await.map(|()| true)
        })
    })
}

/// Answers with the reference's JSON, changed.
pub(crate) fn edited(change: fn(&mut Value)) -> Answering {
    Arc::new(move |stream, asked| {
        Box::pin(async move {
            let answer = asked.honest_answer().await?;
            let body = answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |head| head + 4);
            let mut value: Value = serde_json::from_slice(&answer[body..]).unwrap();
            change(&mut value);
            let body = value.to_string();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.map(|()| false)
        })
    })
}
