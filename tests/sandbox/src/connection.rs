//! A TCP connection that a handler can break.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

const ALIVE: u8 = 0;
const CLOSED: u8 = 1;
const RESET: u8 = 2;

/// What a handler holds of the connection its request came by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection(Arc<AtomicU8>);

impl Connection {
    /// The connection ends at the next write, with FIN.
    pub(crate) fn close(&self) {
        self.0.store(CLOSED, Ordering::Relaxed);
    }

    /// The connection ends at the next write, with RST.
    pub(crate) fn reset(&self) {
        self.0.store(RESET, Ordering::Relaxed);
    }

    fn state(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn check(&self) -> io::Result<()> {
        match self.state() {
            ALIVE => Ok(()),
            _ => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

/// The socket under the HTTP layer.
pub(crate) struct Socket {
    stream: TcpStream,
    connection: Connection,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> (Self, Connection) {
        let connection = Connection::default();
        let socket = Self {
            stream,
            connection: connection.clone(),
        };
        (socket, connection)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.connection.state() == RESET {
            // Then the close below sends RST. A socket that is gone already needs none.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.connection.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.check()?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.connection.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
