//! The receive thread: empties the UDP socket and passes packets on, and does nothing else.
//!
//! A socket that is not emptied in time loses packets without any error, so neither the gateway nor
//! a busy runtime may hold it up.

use std::net::UdpSocket as StdSocket;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::depacketizer::Depacketizer;
use super::event::{OpusPacket, VoiceEvent};
use super::liveness::Liveness;
use super::stats::{PacketOutcome, ReceiveCounters};
use super::transport_cipher::TransportCipher;

/// The largest datagram that is read; Discord's fit into one Ethernet frame.
const MAX_DATAGRAM_BYTES: usize = 2_048;

/// Datagrams that are read in a row before commands are looked at.
const MAX_BATCH: usize = 256;

/// If datagrams come again this soon, the thread sleeps a little so that several gather, instead of
/// waking for each one in a full call. It goes on doing so while more than one comes per wakeup.
/// One speaker sends a packet every 20 ms.
const BUSY_PERIOD: Duration = Duration::from_millis(16);

/// How long datagrams gather. In a call of hundreds the system's buffer has room for about five
/// times this.
const COALESCING_DELAY: Duration = Duration::from_millis(16);

/// How long they gather in a full call. Fewer wakeups cost less CPU time, because each one starts
/// with cold caches.
const LONG_COALESCING_DELAY: Duration = Duration::from_millis(40);

/// Batch sizes that justify the longer delay. A larger one would not be read at once.
const LONG_COALESCING_BATCHES: RangeInclusive<u128> = 128..=MAX_BATCH as u128;

/// The longest time the thread sleeps.
const MAX_SLEEP: Duration = Duration::from_millis(200);

/// The longest time it sleeps while packets wait for the lock of the DAVE state.
const BACKLOG_SLEEP: Duration = Duration::from_millis(1);

/// Capacity of the event channel that is kept free for events other than packets.
const RESERVED_EVENTS: usize = 64;

/// Commands from the gateway task.
pub(super) enum ReceiverCommand {
    /// Receive from this socket, with this cipher.
    Listen(StdSocket, TransportCipher),
    /// See [`Depacketizer::map_ssrc`].
    MapSsrc { ssrc: u32, user_id: u64 },
    /// See [`Depacketizer::user_left`].
    UserLeft { user_id: u64 },
    /// See [`Depacketizer::keys_changed`].
    KeysChanged,
}

/// The receiver, before its thread starts.
pub(super) struct UdpReceiver {
    pub(super) depacketizer: Depacketizer,
    pub(super) commands: mpsc::Receiver<ReceiverCommand>,
    pub(super) events: mpsc::Sender<VoiceEvent>,
    pub(super) counters: Arc<ReceiveCounters>,
    pub(super) liveness: Arc<Liveness>,
}

impl UdpReceiver {
    /// Starts the thread, which runs until the channel of commands is closed.
    ///
    /// # Errors
    ///
    /// If the system gives no thread, or nothing to wait for I/O with.
    pub(super) fn start(self) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("voice".to_owned())
            .spawn(move || runtime.block_on(self.run()))?;
        Ok(())
    }

    async fn run(mut self) {
        let mut socket: Option<UdpSocket> = None;
        let mut datagram = vec![0; MAX_DATAGRAM_BYTES];
        let mut packets = Vec::new();
        let mut last_advance = Instant::now();
        let mut last_read = last_advance;
        let mut coalesced = false;
        loop {
            let max_sleep = if self.depacketizer.has_backlog() {
                BACKLOG_SLEEP
            } else {
                MAX_SLEEP
            };
            let mut read = 0;
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(ReceiverCommand::Listen(new, transport)) => {
                        self.depacketizer.set_transport(transport);
                        socket = UdpSocket::from_std(new).ok();
                    }
                    Some(command) => self.handle_command(&command, &mut packets),
                    None => return,
                },
                () = readable(socket.as_ref()) => {
                    if let Some(socket) = &socket {
                        read = self.read_batch(socket, &mut datagram, &mut packets);
                    }
                }
                () = sleep(max_sleep) => self.depacketizer.try_drain_backlog(&mut packets),
            }
            self.deliver(&mut packets);
            self.liveness.mark_receiver();
            let now = Instant::now();
            if now >= last_advance + MAX_SLEEP {
                last_advance = now;
                self.depacketizer.advance(now);
            }
            if read > 0 {
                let period = now.saturating_duration_since(last_read);
                last_read = now;
                let is_busy = if coalesced {
                    read > 1
                } else {
                    period < BUSY_PERIOD
                };
                coalesced = is_busy && read < MAX_BATCH;
                if coalesced {
                    // An async sleep would still wake up for every datagram. Nothing else runs on
                    // this runtime.
                    std::thread::sleep(coalescing_delay(read, period));
                }
            }
        }
    }

    fn handle_command(&mut self, command: &ReceiverCommand, packets: &mut Vec<OpusPacket>) {
        let now = Instant::now();
        match *command {
            ReceiverCommand::MapSsrc { ssrc, user_id } => {
                self.depacketizer.map_ssrc(ssrc, user_id, now, packets);
            }
            ReceiverCommand::UserLeft { user_id } => self.depacketizer.user_left(user_id),
            ReceiverCommand::KeysChanged => self.depacketizer.keys_changed(now, packets),
            ReceiverCommand::Listen(..) => {}
        }
    }

    /// Reads the datagrams that are there, at most [`MAX_BATCH`], and returns how many there were.
    fn read_batch(
        &mut self,
        socket: &UdpSocket,
        datagram: &mut [u8],
        packets: &mut Vec<OpusPacket>,
    ) -> usize {
        let received = Instant::now();
        for read in 0..MAX_BATCH {
            match socket.try_recv(datagram) {
                Ok(length) => {
                    self.depacketizer
                        .push_datagram(&mut datagram[..length], received, packets);
                }
                // Nothing more to read, or the server's port was closed for a moment (ICMP), which
                // the next keepalive may find open again.
                Err(_) => return read,
            }
        }
        MAX_BATCH
    }

    fn deliver(&mut self, packets: &mut Vec<OpusPacket>) {
        if packets.is_empty() {
            return;
        }
        self.liveness.mark_packet();
        let count = packets.len() as u64;
        let packets = VoiceEvent::Packets(std::mem::take(packets));
        let has_capacity = self.events.capacity() > RESERVED_EVENTS;
        if !has_capacity || self.events.try_send(packets).is_err() {
            self.counters.count(PacketOutcome::Overrun, count);
        }
    }
}

/// How long to let datagrams gather after `read` of them came within `period`.
fn coalescing_delay(read: usize, period: Duration) -> Duration {
    let nanos = period.as_nanos().max(1);
    let expected = read as u128 * LONG_COALESCING_DELAY.as_nanos() / nanos;
    if LONG_COALESCING_BATCHES.contains(&expected) {
        LONG_COALESCING_DELAY
    } else {
        COALESCING_DELAY
    }
}

async fn readable(socket: Option<&UdpSocket>) {
    match socket {
        Some(socket) => {
            if socket.readable().await.is_err() {
                // The next call would fail at once as well.
                sleep(MAX_SLEEP).await;
            }
        }
        None => std::future::pending().await,
    }
}
