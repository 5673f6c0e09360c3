//! Ends an incoming connection on which nothing is said soon.
//!
//! Whoever dials speaks first and at once, so silence says that nobody is there. A silent connection must not hold its
//! place among those that wait for admission for as long as an honest handshake over a slow link may take.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;

/// A stream whose other side must say its first byte within a time.
#[derive(Debug)]
pub(crate) struct Prompt<C> {
    stream: C,
    /// Goes off when the silence has lasted too long; None once something was said, and where nothing must be.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<C> Prompt<C> {
    /// Bounds the silence at the beginning of `stream`; None where the other side need not speak first.
    ///
    /// Must be called within a tokio runtime.
    pub(crate) fn new(stream: C, silence_max: Option<Duration>) -> Self {
        Self {
            stream,
            alarm: silence_max.map(|limit| Box::pin(tokio::time::sleep(limit))),
        }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Prompt<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.alarm = None;
        } else if let Some(alarm) = &mut self.alarm
            && alarm.as_mut().poll(cx).is_ready()
        {
            let text = "the peer connected and said nothing";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)));
        }
        read
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Prompt<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
