//! A connection with time limits for reading and writing.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::connection_slots::{ConnectionSlot, SlotPhase};

/// How long a client may take until its first byte, and from then on until the head of the request
/// is complete.
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection is kept for the next request. Proxies keep theirs for a minute at most.
pub(super) const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(75);

/// How long writing may be blocked in total. Progress restores some of it.
const MAX_WRITE_BUDGET: Duration = Duration::from_secs(30);

/// A client that reads faster than this never times out, in bytes per second.
const MIN_BYTES_PER_SECOND: u32 = 4_096;

/// A connection and its slot.
pub(super) struct TimeoutStream {
    stream: TcpStream,
    slot: ConnectionSlot,
    /// When the first byte of the current head arrived, and since when it was awaited.
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

    /// By when the next bytes must arrive. `None` while we are writing, or while a body arrives,
    /// whose time limit is applied elsewhere.
    fn read_deadline(&self) -> Option<Instant> {
        let (phase, since) = self.slot.phase();
        let started = self.header_started.filter(|(waited, _)| *waited == since);
        match (phase, started) {
            (SlotPhase::ReceivingBody | SlotPhase::Responding | SlotPhase::Delayed, _) => None,
            (_, Some((_, started_at))) => Some(started_at + HEADER_TIMEOUT),
            (SlotPhase::New, None) => Some(since + HEADER_TIMEOUT),
            (SlotPhase::Idle, None) => Some(since + KEEP_ALIVE_TIMEOUT),
        }
    }

    /// Passes on the result of a write, unless it has been blocked for too long.
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
        let is_waiting = matches!(phase, SlotPhase::New | SlotPhase::Idle);
        let is_known = self
            .header_started
            .is_some_and(|(waited, _)| waited == since);
        if is_waiting && !is_known && buffer.filled().len() > before {
            self.header_started = Some((since, Instant::now()));
        }
        let Some(deadline) = self.read_deadline() else {
            return outcome;
        };
        // The deadline also holds while bytes arrive: a request must not trickle in.
        if outcome.is_ready() && Instant::now() < deadline {
            return outcome;
        }
        self.read_timer.as_mut().reset(deadline);
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

/// How much longer the client may block our writes.
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

    /// A write is blocked. Returns by when it must go on.
    fn deadline(&mut self, now: Instant) -> Instant {
        *self.waiting_since.get_or_insert(now) + self.remaining
    }

    /// This many bytes have been written.
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
            let mut budget = WriteBudget::new();
            let mut now = start;
            for seconds in 0..600 {
                let end = budget.deadline(now);
                now += second;
                if now > end {
                    return seconds;
                }
                budget.record_progress(now, bytes_a_second);
            }
            600
        };
        assert!((25..=31).contains(&lasts(1)), "{}", lasts(1));
        assert!(lasts(1_000) < 60);
        assert_eq!(lasts(5_000), 600);
    }
}
