//! A connection whose bytes the edge, if there is one, sees first, and that is not closed on a client still sending.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::parts::Edge;

/// How long a client that was answered before it had sent all may go on sending; what it sends is thrown away.
///
/// Closing with unread bytes resets the connection, and the reset can overtake the answer (RFC 9112, section 9.6).
pub(super) const LINGER_TIME: Duration = Duration::from_secs(2);

/// The connection; without an edge, and for all that is written, nothing but that.
pub(super) struct Watched {
    stream: TcpStream,
    edge: Option<Arc<dyn Edge>>,
    unread: Unread,
    lingering: Option<Pin<Box<Sleep>>>,
}

/// Whether a request of a connection was answered before all of it was read.
#[derive(Clone, Default)]
pub(super) struct Unread(Arc<AtomicBool>);

impl Unread {
    /// Says that there is more to come from the client than was read.
    pub(super) fn left(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Watched {
    pub(super) fn new(stream: TcpStream, edge: Option<Arc<dyn Edge>>, unread: Unread) -> Watched {
        Watched { stream, edge, unread, lingering: None }
    }

    /// Ready once the client has stopped sending, or has had its time.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let lingering = self.lingering.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER_TIME)));
        let mut thrown_away = [0; 16 * 1024];
        while lingering.as_mut().poll(context).is_pending() {
            let mut read = ReadBuf::new(&mut thrown_away);
            // A connection that broke has no answer left to lose.
            let read_on = ready!(Pin::new(&mut self.stream).poll_read(context, &mut read)).is_ok();
            if !read_on || read.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(())
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.get_mut().stream)
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, read: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = read.filled().len();
        ready!(self.as_mut().stream().poll_read(context, read))?;
        if let Some(edge) = &self.edge {
            edge.received(&mut read.filled_mut()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().stream().poll_shutdown(context))?;
        if self.unread.0.load(Ordering::Relaxed) {
            ready!(self.poll_linger(context));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
