//! A plain HTTP/1.1 connection that its user's task drives itself: no task to wake, no pool to ask.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::marks::{Marked, Marks};
use super::{Answer, BODY_KEPT, BODY_READ, Failure, Request, Times};
use crate::run::Stopwatch;

/// Where to connect to.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

/// An open connection.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: http1::Connection<TokioIo<Marked>, Full<Bytes>>,
    marks: Arc<Marks>,
    stopwatch: Stopwatch,
    /// The driver has ended, and must not be polled again.
    closed: bool,
}

/// What a body was, as far as it was read.
struct Body {
    kept: Vec<u8>,
    /// The rest was not waited for.
    cut: bool,
}

impl Connection {
    pub(super) async fn open(address: &Address, stopwatch: Stopwatch) -> io::Result<Connection> {
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
        stream.set_nodelay(true)?;
        let marks = Arc::new(Marks::default());
        let stream = Marked { stream, marks: Arc::clone(&marks), stopwatch };
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        Ok(Connection { sender, driver, marks, stopwatch, closed: false })
    }

    /// Whether it can take a request. Notices if the server has closed it in the meantime.
    pub(super) async fn is_open(&mut self) -> bool {
        poll_fn(|cx| {
            if !self.closed && Pin::new(&mut self.driver).poll(cx).is_ready() {
                self.closed = true;
            }
            Poll::Ready(())
        })
        .await;
        !self.closed && self.sender.is_ready()
    }

    /// Sends a request. On failure it comes back if not a byte of it was written. After a failure the connection is of no use any more.
    pub(super) async fn send(&mut self, request: Request) -> Result<Answer, (Option<Request>, Failure)> {
        self.marks.reset();
        let begun_ns = self.stopwatch.now_ns();
        let exchanged = self.exchange(request).await;
        let ended_ns = self.stopwatch.now_ns();
        match exchanged {
            Ok((status, body)) => {
                // A server that answers before it has the request leaves no moment between.
                let sent_ns = self.marks.written_ns().unwrap_or(ended_ns);
                let first_byte_ns = self.marks.read_ns().unwrap_or(ended_ns);
                self.closed |= body.cut;
                Ok(Answer { status, body: body.kept, times: Times { begun_ns, sent_ns, first_byte_ns, ended_ns } })
            }
            Err((unsent, error)) if self.marks.written_ns().is_none() => {
                Err((unsent, Failure::NotSent(error.to_string())))
            }
            Err((_, error)) => Err((None, Failure::Lost(error.to_string()))),
        }
    }

    async fn exchange(&mut self, request: Request) -> Result<(u16, Body), (Option<Request>, hyper::Error)> {
        let answering = self.sender.try_send_request(request);
        let response = driven(&mut self.driver, &mut self.closed, answering).await;
        let response = response.map_err(|mut error| (error.take_message(), error.into_error()))?;
        let status = response.status().as_u16();
        let body = driven(&mut self.driver, &mut self.closed, read(response.into_body())).await;
        body.map(|body| (status, body)).map_err(|error| (None, error))
    }
}

async fn read(mut body: Incoming) -> Result<Body, hyper::Error> {
    let (mut kept, mut length) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame?.into_data() else { continue };
        length += bytes.len();
        let room = BODY_KEPT - kept.len();
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if length > BODY_READ {
            return Ok(Body { kept, cut: true });
        }
    }
    Ok(Body { kept, cut: false })
}

/// Waits for `wanted` while the connection's driver moves the bytes.
async fn driven<F: Future>(
    driver: &mut http1::Connection<TokioIo<Marked>, Full<Bytes>>,
    closed: &mut bool,
    wanted: F,
) -> F::Output {
    let mut wanted = pin!(wanted);
    poll_fn(|cx| {
        if let Poll::Ready(output) = wanted.as_mut().poll(cx) {
            return Poll::Ready(output);
        }
        if !*closed && Pin::new(&mut *driver).poll(cx).is_ready() {
            *closed = true;
        }
        // Again at once: what the driver did may have been what was waited for.
        wanted.as_mut().poll(cx)
    })
    .await
}
