//! Bounds what a connection may receive before its peer is admitted.
//!
//! A multiplexer accepts data on every stream that the other side opens, up to a window per stream, whether anybody
//! reads it or not. So the bytes are counted below it. What exceeds the quota is not read, until [`Quota::lift`] ends the
//! counting at admission: a dialer that has much to say at once is held up, and so is a stranger, until its time is over.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures::task::AtomicWaker;
use futures::{
    AsyncRead, AsyncWrite,
    future::{MapOk, TryFutureExt},
};
use libp2p::core::{
    StreamMuxer,
    muxing::StreamMuxerEvent,
    upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
};

use crate::limits::UNADMITTED_BYTES_MAX;

/// The bytes that a connection may still receive. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Quota(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    left: AtomicUsize,
    /// Who waits for the quota to be lifted.
    waiting: AtomicWaker,
}

/// Stands for "no bound any more".
const LIFTED: usize = usize::MAX;

impl Quota {
    fn new() -> Self {
        Self(Arc::new(Inner {
            left: AtomicUsize::new(UNADMITTED_BYTES_MAX),
            waiting: AtomicWaker::new(),
        }))
    }

    /// Ends the counting: the peer is admitted.
    pub(crate) fn lift(&self) {
        self.0.left.store(LIFTED, Ordering::Release);
        self.0.waiting.wake();
    }

    /// How many of `bytes` may be received. Reading and counting happen in the connection's own task only, so that
    /// the value can't change between the two.
    fn allowed(&self, bytes: usize) -> usize {
        self.0.left.load(Ordering::Acquire).min(bytes)
    }

    fn count(&self, bytes: usize) {
        let left = self.0.left.load(Ordering::Relaxed);
        if left != LIFTED {
            let left = left.saturating_sub(bytes);
            self.0.left.store(left, Ordering::Relaxed);
        }
    }
}

/// A multiplexer's upgrade whose connections are counted.
#[derive(Debug, Clone)]
pub(crate) struct Counted<U>(pub(crate) U);

/// A multiplexer over a counted connection.
#[derive(Debug)]
pub(crate) struct CountedMuxer<M> {
    muxer: M,
    quota: Quota,
}

/// A connection whose received bytes are counted.
#[derive(Debug)]
pub(crate) struct CountedStream<C> {
    stream: C,
    quota: Quota,
}

impl<M> CountedMuxer<M> {
    /// The multiplexer, and the quota that still holds for it.
    pub(crate) fn into_parts(self) -> (M, Quota) {
        (self.muxer, self.quota)
    }
}

impl<U: UpgradeInfo> UpgradeInfo for Counted<U> {
    type Info = U::Info;
    type InfoIter = U::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.protocol_info()
    }
}

type Wrap<M> = Box<dyn FnOnce(M) -> CountedMuxer<M> + Send>;

fn count<C, M>(stream: C) -> (CountedStream<C>, Wrap<M>) {
    let quota = Quota::new();
    let counted = CountedStream {
        stream,
        quota: quota.clone(),
    };
    (
        counted,
        Box::new(move |muxer| CountedMuxer { muxer, quota }),
    )
}

impl<C, U> InboundConnectionUpgrade<C> for Counted<U>
where
    U: InboundConnectionUpgrade<CountedStream<C>>,
{
    type Output = CountedMuxer<U::Output>;
    type Error = U::Error;
    type Future = MapOk<U::Future, Wrap<U::Output>>;

    fn upgrade_inbound(self, stream: C, info: Self::Info) -> Self::Future {
        let (stream, wrap) = count(stream);
        self.0.upgrade_inbound(stream, info).map_ok(wrap)
    }
}

impl<C, U> OutboundConnectionUpgrade<C> for Counted<U>
where
    U: OutboundConnectionUpgrade<CountedStream<C>>,
{
    type Output = CountedMuxer<U::Output>;
    type Error = U::Error;
    type Future = MapOk<U::Future, Wrap<U::Output>>;

    fn upgrade_outbound(self, stream: C, info: Self::Info) -> Self::Future {
        let (stream, wrap) = count(stream);
        self.0.upgrade_outbound(stream, info).map_ok(wrap)
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for CountedStream<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.quota.0.waiting.register(cx.waker());
        let allowed = self.quota.allowed(buffer.len());
        if allowed == 0 && !buffer.is_empty() {
            return Poll::Pending;
        }
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut buffer[..allowed]);
        if let Poll::Ready(Ok(bytes)) = read {
            self.quota.count(bytes);
        }
        read
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for CountedStream<C> {
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

impl<M: StreamMuxer + Unpin> StreamMuxer for CountedMuxer<M> {
    type Substream = M::Substream;
    type Error = M::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        Pin::new(&mut self.muxer).poll_inbound(cx)
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        Pin::new(&mut self.muxer).poll_outbound(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut self.muxer).poll_close(cx)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        Pin::new(&mut self.muxer).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use futures::{AsyncReadExt, executor::block_on, io::Cursor, task::ArcWake};

    use super::*;

    /// A future that is polled by hand, and whether it was woken.
    struct Spied<F> {
        future: Pin<Box<F>>,
        woken: Arc<Flag>,
    }

    #[derive(Default)]
    struct Flag(AtomicBool);

    impl ArcWake for Flag {
        fn wake_by_ref(flag: &Arc<Self>) {
            flag.0.store(true, Ordering::SeqCst);
        }
    }

    impl<F: Future> Spied<F> {
        fn new(future: F) -> Self {
            Self {
                future: Box::pin(future),
                woken: Arc::default(),
            }
        }

        fn poll(&mut self) -> Poll<F::Output> {
            let waker = futures::task::waker(Arc::clone(&self.woken));
            self.future.as_mut().poll(&mut Context::from_waker(&waker))
        }

        fn is_woken(&self) -> bool {
            self.woken.0.load(Ordering::SeqCst)
        }
    }

    /// Goal: exactly the quota can be received before admission, more only after it, and whoever waits for it is woken.
    #[test]
    fn the_quota_is_exact() {
        let bytes = vec![7; UNADMITTED_BYTES_MAX + 1];
        let quota = Quota::new();
        let mut stream = CountedStream {
            stream: Cursor::new(bytes),
            quota: quota.clone(),
        };
        let mut received = vec![0; UNADMITTED_BYTES_MAX];
        block_on(stream.read_exact(&mut received)).unwrap();
        let mut one = [0];
        let mut reading = Spied::new(stream.read(&mut one));
        assert!(reading.poll().is_pending() && !reading.is_woken());
        quota.lift();
        assert!(reading.is_woken());
        assert!(matches!(reading.poll(), Poll::Ready(Ok(1))));
        assert_eq!(quota.allowed(usize::MAX), LIFTED);
    }
}
