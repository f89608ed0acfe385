//! A connection that ends when the other side is too slow.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::connection_slots::{ConnectionSlot, SlotPhase};

/// How long somebody may be connected before the first byte, and how long the head of a request may
/// take from its first byte on.
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection is kept for the next request. Proxies keep theirs for a minute at most.
pub(super) const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(75);

/// How long what we say may wait for whoever reads it, in all. What is read gives some of it back.
const MAX_WRITE_BUDGET: Duration = Duration::from_secs(30);

/// Who reads more bytes a second than this is never too slow.
const MIN_BYTES_PER_SECOND: u32 = 4_096;

/// A connection, and the place that it takes.
pub(super) struct TimeoutStream {
    stream: TcpStream,
    slot: ConnectionSlot,
    /// When the first byte of the head came that is being read, and since when it was waited for.
    header_started: Option<(Instant, Instant)>,
    read_timer: Pin<Box<Sleep>>,
    write_budget: WriteBudget,
    write_timer: Pin<Box<Sleep>>,
}

impl TimeoutStream {
    pub(super) fn new(stream: TcpStream, slot: ConnectionSlot) -> Self {
        let now = Instant::now();
        Self {
            stream,
            slot,
            header_started: None,
            read_timer: Box::pin(sleep_until(now)),
            write_budget: WriteBudget::new(),
            write_timer: Box::pin(sleep_until(now)),
        }
    }

    /// By when something must come; none while it is our turn, or while a body comes, whose time is
    /// bounded where it is read.
    fn read_deadline(&self) -> Option<Instant> {
        let (phase, since) = self.slot.phase();
        let begun = self.header_started.filter(|(waited, _)| *waited == since);
        match (phase, begun) {
            (SlotPhase::ReceivingBody | SlotPhase::Responding | SlotPhase::Delayed, _) => None,
            (_, Some((_, begun))) => Some(begun + HEADER_TIMEOUT),
            (SlotPhase::New, None) => Some(since + HEADER_TIMEOUT),
            (SlotPhase::Idle, None) => Some(since + KEEP_ALIVE_TIMEOUT),
        }
    }

    /// Passes an outcome of writing on, unless nobody has read for too long.
    fn enforce_write_timeout(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        match &outcome {
            Poll::Ready(written) => {
                let bytes = written.as_ref().map_or(0, |bytes| *bytes);
                self.write_budget.record_progress(now, bytes);
                outcome
            }
            Poll::Pending => {
                self.write_timer
                    .as_mut()
                    .reset(self.write_budget.deadline(now));
                match self.write_timer.as_mut().poll(context) {
                    Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

impl AsyncRead for TimeoutStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        let (phase, since) = self.slot.phase();
        let waits = matches!(phase, SlotPhase::New | SlotPhase::Idle);
        let is_known = self
            .header_started
            .is_some_and(|(waited, _)| waited == since);
        if waits && !is_known && buffer.filled().len() > before {
            self.header_started = Some((since, Instant::now()));
        }
        let Some(due) = self.read_deadline() else {
            return outcome;
        };
        // Also while bytes come: a drop at a time is no request.
        if outcome.is_ready() && Instant::now() < due {
            return outcome;
        }
        self.read_timer.as_mut().reset(due);
        match self.read_timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => outcome,
        }
    }
}

impl AsyncWrite for TimeoutStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.enforce_write_timeout(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.enforce_write_timeout(context, outcome)
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
struct WriteBudget {
    remaining: Duration,
    waiting_since: Option<Instant>,
}

impl WriteBudget {
    fn new() -> Self {
        Self {
            remaining: MAX_WRITE_BUDGET,
            waiting_since: None,
        }
    }

    /// Nothing more can be written now; by when something must.
    fn deadline(&mut self, now: Instant) -> Instant {
        *self.waiting_since.get_or_insert(now) + self.remaining
    }

    /// So many bytes have been written.
    fn record_progress(&mut self, now: Instant, bytes: usize) {
        if let Some(since) = self.waiting_since.take() {
            self.remaining = self.remaining.saturating_sub(now - since);
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let earned = Duration::from_secs(1) * bytes / MIN_BYTES_PER_SECOND;
        self.remaining = self.remaining.saturating_add(earned).min(MAX_WRITE_BUDGET);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trickling_reader_times_out_and_slow_reader_does_not() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let lasts = |bytes_a_second: usize| {
            let mut patience = WriteBudget::new();
            let mut now = start;
            for seconds in 0..600 {
                let end = patience.deadline(now);
                now += second;
                if now > end {
                    return seconds;
                }
                patience.record_progress(now, bytes_a_second);
            }
            600
        };
        assert!((25..=31).contains(&lasts(1)), "{}", lasts(1));
        assert!(lasts(1_000) < 60);
        assert_eq!(lasts(5_000), 600);
    }
}
