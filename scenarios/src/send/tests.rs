//! Both ways of sending, against servers that are late, broken or gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(100);

/// A server that answers each request with the same bytes, and counts requests and connections.
struct Parrot {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

/// What a [`Parrot`] does after it has answered.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Stay,
    Close,
}

impl Parrot {
    async fn start(answer: Vec<u8>, then: Then) -> Parrot {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let parrot = Parrot { address, requests: Arc::clone(&requests), connections: Arc::clone(&connections) };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (answer, requests) = (answer.clone(), Arc::clone(&requests));
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    // The requests of these tests are small enough to come in one piece.
                    while stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {
                        requests.fetch_add(1, Ordering::SeqCst);
                        if stream.write_all(&answer).await.is_err() || then == Then::Close {
                            return;
                        }
                    }
                });
            }
        });
        parrot
    }
}

fn site(address: SocketAddr) -> Site {
    Site { base_url: format!("http://{address}/base/").parse().unwrap(), headers: Vec::new(), root: None }
}

/// A door to `address` for each way.
fn doors(address: SocketAddr) -> [Door; 2] {
    let direct = Door::new(&site(address)).unwrap();
    let mut shared = Door::new(&site(address)).unwrap();
    shared.way = Way::Shared(shared::client(None).unwrap());
    [direct, shared]
}

fn request(door: &Door) -> Request {
    door.request(Method::POST, door.uri("/path").unwrap(), Bytes::from_static(b"{}"))
}

fn answer(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

#[tokio::test]
async fn an_answer_comes_with_its_instants_in_order() {
    let parrot = Parrot::start(answer(b"hello"), Then::Stay).await;
    for door in doors(parrot.address) {
        let mut line = Line::new(&door, Stopwatch::start(), LONG);
        let found = line.send(request(&door)).await.unwrap();
        let times = found.times;
        assert_eq!((found.status, found.body.as_slice()), (200, b"hello".as_slice()));
        assert!(times.begun_ns <= times.sent_ns && times.sent_ns <= times.first_byte_ns, "{times:?}");
        assert!(times.first_byte_ns <= times.ended_ns, "{times:?}");
    }
}

#[tokio::test]
async fn a_connection_is_kept() {
    let parrot = Parrot::start(answer(b"{}"), Then::Stay).await;
    let [direct, _] = doors(parrot.address);
    let mut line = Line::new(&direct, Stopwatch::start(), LONG);
    for _ in 0..5 {
        line.connect().await.unwrap();
        line.send(request(&direct)).await.unwrap();
    }
    assert_eq!(parrot.connections.load(Ordering::SeqCst), 1);
}

/// Failure or answer of one request, and how many requests the server saw.
#[track_caller]
fn check(found: Result<Answer, Failure>, expected: fn(&Failure) -> bool) {
    let failure = found.expect_err("no complete answer came");
    assert!(expected(&failure), "{failure:?}");
}

#[tokio::test]
async fn what_breaks_after_the_request_is_unknown_and_not_repeated() {
    let broken: [&[u8]; 5] = [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
        b"not http at all\r\n\r\n",
    ];
    for bytes in broken {
        let parrot = Parrot::start(bytes.to_vec(), Then::Close).await;
        for (index, door) in doors(parrot.address).iter().enumerate() {
            let mut line = Line::new(door, Stopwatch::start(), LONG);
            check(line.send(request(door)).await, |failure| matches!(failure, Failure::Lost(_)));
            assert_eq!(parrot.requests.load(Ordering::SeqCst), index + 1, "{}", String::from_utf8_lossy(bytes));
        }
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let redirect = b"HTTP/1.1 307 X\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n";
    let parrot = Parrot::start(redirect.to_vec(), Then::Stay).await;
    for (index, door) in doors(parrot.address).iter().enumerate() {
        let mut line = Line::new(door, Stopwatch::start(), LONG);
        assert_eq!(line.send(request(door)).await.unwrap().status, 307);
        assert_eq!(parrot.requests.load(Ordering::SeqCst), index + 1);
    }
}

/// The proxy of the environment would see every token, and answer in the target's place.
#[test]
fn a_proxy_in_the_environment_is_not_used() {
    let nobody = "http://127.0.0.1:9";
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        again.env(name, nobody);
    }
    let test = "send::tests::an_answer_comes_with_its_instants_in_order";
    let output = again.args(["--exact", test]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
async fn what_takes_too_long_is_unknown_and_its_connection_is_given_up() {
    let parrot = Parrot::start(Vec::new(), Then::Stay).await;
    for door in doors(parrot.address) {
        let mut line = Line::new(&door, Stopwatch::start(), SHORT);
        check(line.send(request(&door)).await, |failure| *failure == Failure::TimedOut);
        assert!(line.connection.is_none());
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_and_bounded() {
    let parrot = Parrot::start(answer(&vec![b'x'; 3 * BODY_READ]), Then::Stay).await;
    for door in doors(parrot.address) {
        let mut line = Line::new(&door, Stopwatch::start(), LONG);
        for _ in 0..2 {
            let found = line.send(request(&door)).await.unwrap();
            assert_eq!((found.status, found.body.len()), (200, BODY_KEPT));
        }
    }
}

#[tokio::test]
async fn nobody_there_means_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for door in doors(address) {
        let mut line = Line::new(&door, Stopwatch::start(), LONG);
        check(line.send(request(&door)).await, |failure| matches!(failure, Failure::NotSent(_)));
    }
}

/// The server has closed an idle connection: the next request goes over a new one, once.
#[tokio::test]
async fn a_closed_idle_connection_is_replaced_and_nothing_is_sent_twice() {
    const REQUESTS: usize = 20;
    let parrot = Parrot::start(answer(b"{}"), Then::Close).await;
    let [direct, _] = doors(parrot.address);
    let mut line = Line::new(&direct, Stopwatch::start(), LONG);
    let mut answered = 0;
    for _ in 0..REQUESTS {
        // The end of the connection may come before or after the next request is written.
        answered += usize::from(line.send(request(&direct)).await.is_ok());
    }
    assert_eq!(parrot.requests.load(Ordering::SeqCst), answered);
}

#[test]
fn a_site_that_cannot_be_spoken_to_is_refused() {
    #[track_caller]
    fn check(site: &Site, expected: &str) {
        assert_eq!(Door::new(site).unwrap_err().to_string(), expected);
    }
    let site = |url: &str| Site { base_url: url.parse().unwrap(), headers: Vec::new(), root: None };
    check(&site("ftp://h/"), "requests cannot be sent to ftp://h/: `ftp` is neither http nor https");
    let header = ("bad name".to_owned(), crate::Secret::new("v"));
    check(
        &Site { headers: vec![header], ..site("http://h/") },
        "requests cannot be sent to http://h/: `bad name` is no header name",
    );
    let pem = Some(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----".to_vec());
    let refused = Door::new(&Site { root: pem, ..site("https://h/") }).unwrap_err().to_string();
    assert!(refused.starts_with("requests cannot be sent to https://h/: "), "{refused}");
}

#[test]
fn paths_stand_below_the_base_url_and_polls_at_its_origin() {
    let address = SocketAddr::from(([127, 0, 0, 1], 8080));
    let [direct, shared] = doors(address);
    assert_eq!(direct.uri("/path").unwrap(), "/base/path");
    assert_eq!(direct.uri_at_origin("/v1/renders/r?a=b").unwrap(), "/v1/renders/r?a=b");
    assert_eq!(shared.uri("/path").unwrap(), "http://127.0.0.1:8080/base/path");
    assert_eq!(request(&direct).headers()[HOST], "127.0.0.1:8080");
}
