//! Connections: how many there are, and how long one may leave unread what it is sent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// Accepts while there is room, and lets go of what comes beyond that.
#[derive(Clone)]
pub(super) struct Bounded {
    pub room: Arc<Semaphore>,
    /// How long a client may take nothing of what waits for it. One that never reads would otherwise keep its
    /// connection, and its place among those who subscribe, for ever.
    pub patience: Duration,
}

impl<S> Accept<TcpStream, S> for Bounded {
    type Stream = Held;
    type Service = S;
    type Future = std::future::Ready<io::Result<(Held, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        std::future::ready(match self.room.clone().try_acquire_owned() {
            Ok(permit) => stream.set_nodelay(true).map(|()| (self.held(stream, permit), service)),
            Err(_) => Err(io::Error::other("there are as many connections as max_connections allows")),
        })
    }
}

/// A connection that counts until it is dropped.
pub(super) struct Held {
    stream: TcpStream,
    patience: Duration,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    _permit: OwnedSemaphorePermit,
}

impl Bounded {
    fn held(&self, stream: TcpStream, permit: OwnedSemaphorePermit) -> Held {
        Held { stream, patience: self.patience, stalled: None, _permit: permit }
    }
}

impl Held {
    /// What came of a write, unless the client has taken nothing for too long.
    fn patiently(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read what it is sent")))
    }
}

impl AsyncRead for Held {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Held {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.patiently(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.patiently(cx, written)
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(300);

    /// A connection that has been written to until nothing more goes through, and its other end.
    async fn full() -> (Held, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("its address")).await.expect("a connection");
        let (server, _) = listener.accept().await.expect("a connection");
        let bounded = Bounded { room: Arc::new(Semaphore::new(1)), patience: PATIENCE };
        let permit = bounded.room.clone().try_acquire_owned().expect("a permit");
        let mut held = bounded.held(server, permit);
        while tokio::time::timeout(PATIENCE / 3, held.write(&[0; 64 * 1024])).await.is_ok() {}
        (held, client)
    }

    #[tokio::test]
    async fn who_does_not_read_is_let_go() {
        let (mut held, _client) = full().await;
        let error = held.write(&[0]).await.expect_err("nobody reads it");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_reads_again_in_time_is_kept() {
        let (mut held, mut client) = full().await;
        for _ in 0..3 {
            // More than two thirds of the patience together.
            assert!(tokio::time::timeout(PATIENCE / 3, held.write(&[0])).await.is_err(), "there is no room");
            let mut read = vec![0; 4 << 20];
            let reading = tokio::time::timeout(PATIENCE / 3, client.read_exact(&mut read));
            let (written, _) = tokio::join!(held.write(&[0]), reading);
            written.expect("there is room");
            while tokio::time::timeout(PATIENCE / 3, held.write(&[0; 64 * 1024])).await.is_ok() {}
        }
    }
}
