//! A receiver for the target's outgoing webhooks: an HTTP server on loopback that keeps what reaches its one path.
//! Whoever sends to it is not trusted: time, sizes, connections and the number of kept requests are all bounded.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinHandle, JoinSet};

/// Bytes of a body that are read; a longer one is answered with 413 and not kept.
const BODY_MAX: usize = 256 * 1024;
/// Bytes of a request's head.
const HEAD_MAX: usize = 64 * 1024;
/// Time allowed for the head of a request, and again for its body.
const READ_TIME_MAX: Duration = Duration::from_secs(5);
/// Connections at a time; further ones are closed at once.
const CONNECTIONS_MAX: usize = 16;
/// Requests kept; further ones are answered and forgotten.
const KEPT_MAX: usize = 64;
/// Pause after a failed accept: out of descriptors, trying again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How a receiver answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answering {
    /// 200 to everything.
    Accept,
    /// 500 to a delivery that was not seen before, told apart by this header, and 200 when it comes again.
    RefuseFirst {
        /// Name of the header, in lower case.
        told_apart_by: &'static str,
    },
}

/// A request that was received whole.
#[derive(Clone)]
pub struct Received {
    /// Method.
    pub method: String,
    /// Headers in the order of arrival, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// Nanoseconds since the run began, after the last byte was received.
    pub received_ns: u64,
    /// The status it was answered with.
    pub answered: u16,
}

/// Receives until it is dropped; open connections end with it.
pub struct Receiver {
    url: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    path: String,
    answering: Answering,
    began: Instant,
    kept: Mutex<Kept>,
    arrived: Notify,
}

#[derive(Default)]
struct Kept {
    requests: Vec<Received>,
    /// Deliveries that were refused once.
    refused: HashSet<Vec<u8>>,
}

impl Receiver {
    /// Listens on a free port of 127.0.0.1 for requests to `path`, which begins with `/`. Instants are counted from `began`.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn open(path: &str, answering: Answering, began: Instant) -> std::io::Result<Receiver> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}{path}", listener.local_addr()?);
        let kept = Mutex::new(Kept::default());
        let shared = Arc::new(Shared { path: path.to_owned(), answering, began, kept, arrived: Notify::new() });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Receiver { url, shared, accepting })
    }

    /// Where to send.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What was received so far, in the order of arrival.
    pub fn received(&self) -> Vec<Received> {
        self.shared.kept().requests.clone()
    }

    /// Waits until `done` says so of what was received, or `bound` is over.
    pub async fn until(&self, bound: Duration, done: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let deadline = tokio::time::Instant::now() + bound;
        loop {
            // Asked for before looking: what arrives between the look and the wait wakes it.
            let arrived = self.shared.arrived.notified();
            let received = self.received();
            if done(&received) || tokio::time::timeout_at(deadline, arrived).await.is_err() {
                return received;
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no holder of this lock panics")
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).expect("a run lasts less than 584 years")
    }

    /// Keeps a request and says how it is answered.
    fn keep(&self, method: &str, headers: &HeaderMap, body: Vec<u8>) -> StatusCode {
        let received_ns = self.now_ns();
        let mut kept = self.kept();
        if kept.requests.len() >= KEPT_MAX {
            return StatusCode::OK;
        }
        let status = match self.answering {
            Answering::Accept => StatusCode::OK,
            Answering::RefuseFirst { told_apart_by } => {
                let delivery = headers.get(told_apart_by).map_or(&b""[..], |value| value.as_bytes());
                let first = kept.refused.insert(delivery.to_vec());
                if first { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }
            }
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        kept.requests.push(Received {
            method: method.to_owned(),
            headers: headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes()))).collect(),
            body,
            received_ns,
            answered: status.as_u16(),
        });
        drop(kept);
        self.arrived.notify_waiters();
        status
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: trying again at once would spin.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        // An answer is one small write: waiting to fill a packet only adds delay.
        let _ = stream.set_nodelay(true);
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else { continue };
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            serve(stream, shared).await;
            drop(seat);
        });
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(&shared, request).await) }
    });
    // A connection that ends early is the sender's affair: what it did not send whole is not evidence.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_TIME_MAX)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Response<Empty<Bytes>> {
    let (head, body) = request.into_parts();
    let status = if head.uri.path() != shared.path {
        StatusCode::NOT_FOUND
    } else if body.size_hint().lower() > BODY_MAX as u64 {
        // It says so itself, so it need not be read.
        StatusCode::PAYLOAD_TOO_LARGE
    } else {
        match tokio::time::timeout(READ_TIME_MAX, Limited::new(body, BODY_MAX).collect()).await {
            Ok(Ok(read)) => shared.keep(head.method.as_str(), &head.headers, read.to_bytes().to_vec()),
            Ok(Err(_)) => StatusCode::PAYLOAD_TOO_LARGE,
            Err(_) => StatusCode::REQUEST_TIMEOUT,
        }
    };
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const ID: Answering = Answering::RefuseFirst { told_apart_by: "x-id" };
    const BOUND: Duration = Duration::from_secs(10);

    async fn open(answering: Answering) -> Receiver {
        Receiver::open("/in", answering, Instant::now()).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Sends raw bytes on a connection of their own and returns the status line of the answer.
    async fn send(receiver: &Receiver, raw: &[u8]) -> String {
        let address = receiver.url().trim_start_matches("http://").trim_end_matches("/in").to_owned();
        let talk = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(raw).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            std::io::Result::Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
        };
        talk.await.unwrap_or_else(|error| panic!("{error}"))
    }

    fn post(path: &str, id: &str, body: &str) -> Vec<u8> {
        let length = body.len();
        format!("POST {path} HTTP/1.1\r\nHost: h\r\nX-Id: {id}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
            .into_bytes()
    }

    #[tokio::test]
    async fn a_request_is_kept_as_it_was_sent() {
        let receiver = open(Answering::Accept).await;
        assert_eq!(send(&receiver, &post("/in", "a", "{ \"b\" : 1 }")).await, "HTTP/1.1 200 OK");
        let received = receiver.until(BOUND, |received| !received.is_empty()).await;
        assert_eq!(received.len(), 1);
        assert_eq!((received[0].method.as_str(), received[0].body.as_slice()), ("POST", &b"{ \"b\" : 1 }"[..]));
        assert!(received[0].headers.contains(&("x-id".to_owned(), "a".to_owned())));
    }

    #[tokio::test]
    async fn each_delivery_is_refused_once() {
        let receiver = open(ID).await;
        for (id, status) in [("a", "500"), ("b", "500"), ("a", "200"), ("a", "200")] {
            assert!(send(&receiver, &post("/in", id, "{}")).await.contains(status), "{id}");
        }
        let answered: Vec<u16> = receiver.received().iter().map(|received| received.answered).collect();
        assert_eq!(answered, [500, 500, 200, 200]);
    }

    #[tokio::test]
    async fn another_path_is_not_kept() {
        let receiver = open(Answering::Accept).await;
        assert_eq!(send(&receiver, &post("/other", "a", "{}")).await, "HTTP/1.1 404 Not Found");
        assert!(receiver.received().is_empty());
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_not_kept() {
        let receiver = open(Answering::Accept).await;
        let raw =
            format!("POST /in HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", BODY_MAX + 1);
        assert_eq!(send(&receiver, raw.as_bytes()).await, "HTTP/1.1 413 Payload Too Large");
        assert!(receiver.received().is_empty());
    }

    #[tokio::test]
    async fn the_port_is_free_again_when_the_receiver_goes() {
        let receiver = open(Answering::Accept).await;
        let address = receiver.url().trim_start_matches("http://").trim_end_matches("/in").to_owned();
        drop(receiver);
        let deadline = Instant::now() + BOUND;
        while TcpStream::connect(&address).await.is_ok() {
            assert!(Instant::now() < deadline, "still listening");
            tokio::task::yield_now().await;
        }
    }
}
