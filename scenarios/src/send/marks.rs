//! A stream that notes when bytes went out and came in.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::run::Stopwatch;

/// No such instant yet.
const NEVER: u64 = 0;

/// When bytes of the current exchange moved.
#[derive(Debug, Default)]
pub(super) struct Marks {
    written: AtomicU64,
    read: AtomicU64,
}

impl Marks {
    /// Forgets the exchange before.
    pub(super) fn reset(&self) {
        self.written.store(NEVER, Ordering::Relaxed);
        self.read.store(NEVER, Ordering::Relaxed);
    }

    /// When the operating system took the latest bytes; none: it has taken none.
    pub(super) fn written_ns(&self) -> Option<u64> {
        Some(self.written.load(Ordering::Relaxed)).filter(|ns| *ns != NEVER)
    }

    /// When the first byte came.
    pub(super) fn read_ns(&self) -> Option<u64> {
        Some(self.read.load(Ordering::Relaxed)).filter(|ns| *ns != NEVER)
    }
}

/// A TCP stream whose bytes leave marks.
#[derive(Debug)]
pub(super) struct Marked {
    pub(super) stream: TcpStream,
    pub(super) marks: Arc<Marks>,
    pub(super) stopwatch: Stopwatch,
}

impl Marked {
    fn wrote(&self, result: &Poll<io::Result<usize>>) {
        if matches!(result, Poll::Ready(Ok(1..))) {
            self.marks.written.store(self.stopwatch.now_ns().max(1), Ordering::Relaxed);
        }
    }
}

impl AsyncRead for Marked {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before && self.marks.read.load(Ordering::Relaxed) == NEVER {
            self.marks.read.store(self.stopwatch.now_ns().max(1), Ordering::Relaxed);
        }
        result
    }
}

impl AsyncWrite for Marked {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.wrote(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
