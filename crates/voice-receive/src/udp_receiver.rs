//! The half that hears: a thread that empties the socket, and nothing else. A socket that is not
//! emptied in time loses packets, and nothing tells it; so neither the gateway nor anybody's work
//! stands in its way.

use std::net::UdpSocket as StdSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::depacketizer::Depacketizer;
use super::event::{OpusPacket, VoiceEvent};
use super::stats::{PacketOutcome, ReceiveCounters};
use super::transport_cipher::TransportCipher;

/// The largest datagram that is read; Discord's fit into one Ethernet frame.
const MAX_DATAGRAM_BYTES: usize = 2_048;

/// Datagrams that are read in a row before anything else is looked at.
const MAX_BATCH: usize = 256;

/// If something comes again this soon, some datagrams are let gather, so that a full call does not
/// wake the thread for each of them; and again as long as more than one comes of it. One who talks
/// sends one every 20 ms.
const BUSY_PERIOD: Duration = Duration::from_millis(16);

/// How long they gather. The system's buffer has room for some five times of this in a call of
/// hundreds.
const COALESCING_DELAY: Duration = Duration::from_millis(16);

/// The same in a full call, where so many come in this time that they are worth it: a processor that
/// is woken has forgotten how it is done.
const LONG_COALESCING_DELAY: Duration = Duration::from_millis(40);

/// That many are worth it; more than a batch would not be read at once.
const LONG_COALESCING_BATCHES: std::ops::RangeInclusive<u128> = 128..=MAX_BATCH as u128;

/// The longest the thread sleeps.
const MAX_SLEEP: Duration = Duration::from_millis(200);

/// While somebody else has the keys in hand.
const BACKLOG_SLEEP: Duration = Duration::from_millis(1);

/// Room that packets leave for what else is heard of a call.
const RESERVED_EVENTS: usize = 64;

/// What the receiver is told.
pub(super) enum ReceiverCommand {
    /// Datagrams come from here, under this key.
    Listen(StdSocket, TransportCipher),
    /// Whose a stream is.
    MapSsrc { ssrc: u32, user_id: u64 },
    /// Somebody has left.
    UserLeft { user_id: u64 },
    /// Keys have changed.
    KeysChanged,
}

/// Signs of life, in milliseconds since something.
#[derive(Debug)]
pub(super) struct Liveness {
    origin: Instant,
    gateway: AtomicU64,
    receiver: AtomicU64,
    /// The last packet that was heard.
    last_packet: AtomicU64,
}

impl Liveness {
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
            gateway: AtomicU64::new(0),
            receiver: AtomicU64::new(0),
            last_packet: AtomicU64::new(0),
        }
    }

    fn elapsed_millis(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn mark_gateway(&self) {
        self.gateway.store(self.elapsed_millis(), Ordering::Relaxed);
    }

    fn mark_receiver(&self) {
        self.receiver
            .store(self.elapsed_millis(), Ordering::Relaxed);
    }

    fn mark_packet(&self) {
        self.last_packet
            .store(self.elapsed_millis(), Ordering::Relaxed);
    }

    /// When both halves last lived.
    pub(super) fn last_alive(&self) -> Instant {
        let gateway = self.gateway.load(Ordering::Relaxed);
        let receiver = self.receiver.load(Ordering::Relaxed);
        self.origin + Duration::from_millis(gateway.min(receiver))
    }

    /// When a packet was heard last.
    pub(super) fn last_packet(&self) -> Instant {
        self.origin + Duration::from_millis(self.last_packet.load(Ordering::Relaxed))
    }
}

/// The receiver, before it has a thread.
pub(super) struct UdpReceiver {
    pub(super) depacketizer: Depacketizer,
    pub(super) commands: mpsc::Receiver<ReceiverCommand>,
    pub(super) events: mpsc::Sender<VoiceEvent>,
    pub(super) counters: Arc<ReceiveCounters>,
    pub(super) liveness: Arc<Liveness>,
}

impl UdpReceiver {
    /// Runs until nobody gives orders any more.
    ///
    /// # Errors
    ///
    /// If the system gives no thread.
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
        let mut looked = Instant::now();
        let mut last_read = looked;
        let mut gathered = false;
        loop {
            let nap = if self.depacketizer.has_backlog() {
                BACKLOG_SLEEP
            } else {
                MAX_SLEEP
            };
            let mut read = 0;
            tokio::select! {
                biased;
                order = self.commands.recv() => match order {
                    Some(ReceiverCommand::Listen(new, transport)) => {
                        self.depacketizer.set_transport(transport);
                        socket = UdpSocket::from_std(new).ok();
                    }
                    Some(order) => self.handle_command(&order, &mut packets),
                    None => return,
                },
                () = readable(socket.as_ref()) => {
                    if let Some(socket) = &socket {
                        read = self.read_batch(socket, &mut datagram, &mut packets);
                    }
                }
                () = sleep(nap) => self.depacketizer.try_drain_backlog(&mut packets),
            }
            self.deliver(&mut packets);
            self.liveness.mark_receiver();
            let now = Instant::now();
            if now >= looked + MAX_SLEEP {
                looked = now;
                self.depacketizer.advance(now);
            }
            if read > 0 {
                let period = now.saturating_duration_since(last_read);
                last_read = now;
                let is_busy = if gathered {
                    read > 1
                } else {
                    period < BUSY_PERIOD
                };
                gathered = is_busy && read < MAX_BATCH;
                if gathered {
                    // The runtime would wake up for each of them, and nothing else runs on it.
                    std::thread::sleep(coalescing_delay(read, period));
                }
            }
        }
    }

    fn handle_command(&mut self, order: &ReceiverCommand, packets: &mut Vec<OpusPacket>) {
        let now = Instant::now();
        match *order {
            ReceiverCommand::MapSsrc {
                ssrc,
                user_id: user,
            } => self.depacketizer.map_ssrc(ssrc, user, now, packets),
            ReceiverCommand::UserLeft { user_id: user } => self.depacketizer.user_left(user),
            ReceiverCommand::KeysChanged => self.depacketizer.keys_changed(now, packets),
            ReceiverCommand::Listen(..) => {}
        }
    }

    /// Reads what is there, and says how much that was.
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
                        .datagram(&mut datagram[..length], received, packets)
                }
                // Nothing more is there, or the port was closed at a time, which the next keepalive
                // may find mended.
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
        let has_room = self.events.capacity() > RESERVED_EVENTS;
        if !has_room || self.events.try_send(packets).is_err() {
            self.counters.count(PacketOutcome::Overrun, count);
        }
    }
}

/// How long datagrams are let gather, if `read` of them came within `period`.
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
                // It would be so at once again.
                sleep(MAX_SLEEP).await;
            }
        }
        None => std::future::pending().await,
    }
}
