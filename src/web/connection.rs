//! A connection that ends when the other side is too slow.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::places::{Phase, Place};

/// How long somebody may be connected before the first byte, and how long the head of a request may
/// take from its first byte on.
pub(super) const HEAD: Duration = Duration::from_secs(10);

/// How long a connection is kept for the next request. Proxies keep theirs for a minute at most.
pub(super) const KEPT: Duration = Duration::from_secs(75);

/// How long what we say may wait for whoever reads it, in all. What is read gives some of it back.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who reads more bytes a second than this is never too slow.
const SLOWEST: u32 = 4_096;

/// A connection, and the place that it takes.
pub(super) struct Connection {
    stream: TcpStream,
    place: Place,
    /// When the first byte of the head came that is being read, and since when it was waited for.
    head: Option<(Instant, Instant)>,
    reading: Pin<Box<Sleep>>,
    patience: Patience,
    writing: Pin<Box<Sleep>>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, place: Place) -> Self {
        let now = Instant::now();
        Self {
            stream,
            place,
            head: None,
            reading: Box::pin(sleep_until(now)),
            patience: Patience::new(),
            writing: Box::pin(sleep_until(now)),
        }
    }

    /// By when something must come; none while it is our turn, or while a body comes, whose time is
    /// bounded where it is read.
    fn due(&self) -> Option<Instant> {
        let (phase, since) = self.place.phase();
        let begun = self.head.filter(|(waited, _)| *waited == since);
        match (phase, begun) {
            (Phase::Coming | Phase::Busy | Phase::Held, _) => None,
            (_, Some((_, begun))) => Some(begun + HEAD),
            (Phase::Fresh, None) => Some(since + HEAD),
            (Phase::Kept, None) => Some(since + KEPT),
        }
    }

    /// Passes an outcome of writing on, unless nobody has read for too long.
    fn written(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        match &outcome {
            Poll::Ready(written) => {
                let bytes = written.as_ref().map_or(0, |bytes| *bytes);
                self.patience.went_on(now, bytes);
                outcome
            }
            Poll::Pending => {
                self.writing.as_mut().reset(self.patience.ends(now));
                match self.writing.as_mut().poll(context) {
                    Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        let (phase, since) = self.place.phase();
        let waits = matches!(phase, Phase::Fresh | Phase::Kept);
        let is_known = self.head.is_some_and(|(waited, _)| waited == since);
        if waits && !is_known && buffer.filled().len() > before {
            self.head = Some((since, Instant::now()));
        }
        let Some(due) = self.due() else {
            return outcome;
        };
        // Also while bytes come: a drop at a time is no request.
        if outcome.is_ready() && Instant::now() < due {
            return outcome;
        }
        self.reading.as_mut().reset(due);
        match self.reading.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => outcome,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// How much longer somebody may keep us waiting with what we have to say.
struct Patience {
    left: Duration,
    waiting_since: Option<Instant>,
}

impl Patience {
    fn new() -> Self {
        Self {
            left: PATIENCE,
            waiting_since: None,
        }
    }

    /// Nothing more can be written now; by when something must.
    fn ends(&mut self, now: Instant) -> Instant {
        *self.waiting_since.get_or_insert(now) + self.left
    }

    /// So many bytes have been written.
    fn went_on(&mut self, now: Instant, bytes: usize) {
        if let Some(since) = self.waiting_since.take() {
            self.left = self.left.saturating_sub(now - since);
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let earned = Duration::from_secs(1) * bytes / SLOWEST;
        self.left = self.left.saturating_add(earned).min(PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_drop_by_drop_loses_our_patience_and_who_is_slow_does_not() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let lasts = |bytes_a_second: usize| {
            let mut patience = Patience::new();
            let mut now = start;
            for seconds in 0..600 {
                let end = patience.ends(now);
                now += second;
                if now > end {
                    return seconds;
                }
                patience.went_on(now, bytes_a_second);
            }
            600
        };
        assert!((25..=31).contains(&lasts(1)), "{}", lasts(1));
        assert!(lasts(1_000) < 60);
        assert_eq!(lasts(5_000), 600);
    }
}
