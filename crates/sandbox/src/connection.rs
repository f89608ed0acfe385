//! A TCP connection that a handler can break.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long what a client still sends is read after its connection has been closed.
const LINGER: Duration = Duration::from_secs(2);

const ALIVE: u8 = 0;
const CLOSED: u8 = 1;
const RESET: u8 = 2;

/// What a handler holds of the connection its request came by.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionControl(Arc<AtomicU8>);

impl ConnectionControl {
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

    fn check_open(&self) -> io::Result<()> {
        match self.state() {
            ALIVE => Ok(()),
            _ => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

/// The socket under the HTTP layer.
pub(crate) struct BreakableSocket {
    /// None only while it is dropped.
    stream: Option<TcpStream>,
    connection: ConnectionControl,
}

impl BreakableSocket {
    pub(crate) fn new(stream: TcpStream) -> (Self, ConnectionControl) {
        let connection = ConnectionControl::default();
        let socket = Self {
            stream: Some(stream),
            connection: connection.clone(),
        };
        (socket, connection)
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let stream = self.stream.as_mut().map(Pin::new);
        stream.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

/// Closes as web servers do: a close with something unread sends RST, which takes an answer away
/// from a client that is still sending.
async fn linger(mut stream: TcpStream) {
    let unread = async {
        stream.shutdown().await?;
        let mut rest = vec![0; 64 * 1024];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // Whoever sends for longer has had the time to read the answer.
    let _ = timeout(LINGER, unread).await;
}

impl Drop for BreakableSocket {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take() else {
            return;
        };
        match self.connection.state() {
            // Then the close below sends RST. A socket that is gone already needs none.
            RESET => {
                let _ = stream.set_zero_linger();
            }
            ALIVE => {
                if let Ok(runtime) = Handle::try_current() {
                    runtime.spawn(linger(stream));
                }
            }
            _ => {}
        }
    }
}

impl AsyncRead for BreakableSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for BreakableSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.connection.check_open()?;
        self.stream()?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.check_open()?;
        self.stream()?.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.connection.check_open()?;
        self.stream()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        let stream = self.stream.as_ref();
        stream.is_some_and(AsyncWrite::is_write_vectored)
    }
}
