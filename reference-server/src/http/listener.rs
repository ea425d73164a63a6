//! Accepts connections, reads requests within the limits, writes answers.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::router::{self, Fault, Route, route};
use super::watched::{LINGER_TIME, Unread, Watched};
use super::{Answer, Inbound};
use crate::server::App;

/// Serves until `stop` changes, then lets the requests in flight finish.
pub(crate) async fn serve(app: Arc<App>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let graceful = GracefulShutdown::new();
    let seats = Arc::new(Semaphore::new(app.limits.connections));
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_AT_ONCE));
    let numbers = AtomicU64::new(1);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stopping| *stopping) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                // Out of descriptors: trying again at once would spin.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are one small write each: waiting to fill a packet only adds delay.
        let _ = stream.set_nodelay(true);
        let Ok(seat) = seats.clone().try_acquire_owned() else {
            if let Ok(place) = turned_away.clone().try_acquire_owned() {
                tokio::spawn(async move {
                    turn_away(stream).await;
                    drop(place);
                });
            }
            continue;
        };
        let connection = numbers.fetch_add(1, Ordering::Relaxed);
        let app = app.clone();
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let header_read = app.limits.header_read;
            let unread = Unread::default();
            let stream = Watched::new(stream, app.parts.edge.clone(), unread.clone());
            let service = service_fn(move |request| answer(app.clone(), request, connection, unread.clone()));
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(header_read)
                // A client may close its sending side once it has asked; it still gets its answer.
                .half_close(true)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = watcher.watch(served).await {
                // A client that went away or sent no HTTP; nothing of ours is broken.
                tracing::debug!(connection, %error, "connection ended early");
            }
            drop(seat);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Connections beyond the limit that are told so at once; further ones are dropped without a word.
const TURNED_AWAY_AT_ONCE: usize = 64;

/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

const TOO_MANY_CONNECTIONS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\ncontent-length: 32\r\nconnection: close\r\n\r\n\
    {\"error\":\"Too many connections\"}";

async fn turn_away(mut stream: TcpStream) {
    let talk = async {
        stream.write_all(TOO_MANY_CONNECTIONS).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the connection and take the answer with it.
        let mut unread = [0; 4096];
        while stream.read(&mut unread).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = tokio::time::timeout(LINGER_TIME, talk).await;
}

async fn answer(
    app: Arc<App>,
    request: Request<Incoming>,
    connection: u64,
    unread: Unread,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let began = Instant::now();
    let (head, body) = request.into_parts();
    let (answer, name) = match read_body(body, &app).await {
        Ok(body) => {
            let mut inbound = Inbound { method: head.method, uri: head.uri, headers: head.headers, body, connection };
            handle(&app, &mut inbound).await
        }
        Err(fault) => {
            unread.left();
            let answer = router::fault(head.uri.path(), &fault);
            // The rest of the body is not read, so the connection cannot be used again.
            (answer.with(header::CONNECTION, HeaderValue::from_static("close")), "unread")
        }
    };
    tracing::info!(
        request = app.next_request(),
        connection,
        route = name,
        status = answer.status.as_u16(),
        micros = began.elapsed().as_micros(),
        "answered"
    );
    Ok(respond(answer))
}

async fn handle(app: &Arc<App>, inbound: &mut Inbound) -> (Answer, &'static str) {
    if let Some(edge) = &app.parts.edge {
        edge.request(inbound);
    }
    let found = router::find(app, inbound);
    let name = found.as_ref().map_or("none", Route::name);
    let answered = bounded(pin!(route(app, inbound, found)), app.limits.request).await;
    let mut answer = answered.unwrap_or_else(|| router::fault(inbound.uri.path(), &Fault::TooSlow));
    if let Some(edge) = &app.parts.edge {
        edge.answer(inbound, &mut answer);
    }
    (answer, name)
}

async fn read_body(body: Incoming, app: &App) -> Result<Bytes, Fault> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let limit = app.limits.body_bytes;
    if body.size_hint().lower() > limit as u64 {
        return Err(Fault::BodyTooLong { limit });
    }
    let collected = pin!(Limited::new(body, limit).collect());
    match bounded(collected, app.limits.request).await {
        Some(Ok(collected)) => Ok(collected.to_bytes()),
        Some(Err(error)) if error.is::<LengthLimitError>() => Err(Fault::BodyTooLong { limit }),
        Some(Err(_)) => Err(Fault::BodyBroken),
        None => Err(Fault::BodyLate),
    }
}

/// Awaits a future for a limited time; a timer is only set when the future is not ready at once.
///
/// It takes the future by reference: by value, each caller's future would hold it twice, and those of requests
/// are thousands of bytes that are copied when a request begins.
async fn bounded<F: Future>(mut future: Pin<&mut F>, limit: Duration) -> Option<F::Output> {
    let first = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
    match first {
        Poll::Ready(output) => Some(output),
        Poll::Pending => tokio::time::timeout(limit, future).await.ok(),
    }
}

fn respond(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    for (name, value) in answer.headers {
        response.headers_mut().append(name, value);
    }
    if answer.status == StatusCode::NO_CONTENT {
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    response
}
