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

use super::counts::{Outcome, Tallies};
use super::heard::{Heard, Packet};
use super::inbox::Inbox;
use super::transport::Transport;

/// The largest datagram that is read; Discord's fit into one Ethernet frame.
const MAX_DATAGRAM: usize = 2_048;

/// Datagrams that are read in a row before anything else is looked at.
const BATCH: usize = 256;

/// If something comes again this soon, some datagrams are let gather, so that a full call does not
/// wake the thread for each of them; and again as long as more than one comes of it. One who talks
/// sends one every 20 ms.
const BUSY: Duration = Duration::from_millis(16);

/// How long they gather. The system's buffer has room for some five times of this in a call of
/// hundreds.
const GATHER: Duration = Duration::from_millis(16);

/// The same in a full call, where so many come in this time that they are worth it: a processor that
/// is woken has forgotten how it is done.
const GATHER_MANY: Duration = Duration::from_millis(40);

/// That many are worth it; more than a batch would not be read at once.
const MANY: std::ops::RangeInclusive<u128> = 128..=BATCH as u128;

/// The longest the thread sleeps.
const NAP: Duration = Duration::from_millis(200);

/// While somebody else has the keys in hand.
const SHORT_NAP: Duration = Duration::from_millis(1);

/// Room that packets leave for what else is heard of a call.
const RESERVED: usize = 64;

/// What the receiver is told.
pub(super) enum Order {
    /// Datagrams come from here, under this key.
    Listen(StdSocket, Transport),
    /// Whose a stream is.
    Belongs { ssrc: u32, user: u64 },
    /// Somebody has left.
    Left { user: u64 },
    /// Keys have changed.
    Keys,
}

/// Signs of life, in milliseconds since something.
#[derive(Debug)]
pub(super) struct Life {
    origin: Instant,
    gateway: AtomicU64,
    receiver: AtomicU64,
    /// The last packet that was heard.
    packet: AtomicU64,
}

impl Life {
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
            gateway: AtomicU64::new(0),
            receiver: AtomicU64::new(0),
            packet: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn gateway(&self) {
        self.gateway.store(self.now(), Ordering::Relaxed);
    }

    fn receiver(&self) {
        self.receiver.store(self.now(), Ordering::Relaxed);
    }

    fn packet(&self) {
        self.packet.store(self.now(), Ordering::Relaxed);
    }

    /// When both halves last lived.
    pub(super) fn both(&self) -> Instant {
        let gateway = self.gateway.load(Ordering::Relaxed);
        let receiver = self.receiver.load(Ordering::Relaxed);
        self.origin + Duration::from_millis(gateway.min(receiver))
    }

    /// When a packet was heard last.
    pub(super) fn last_packet(&self) -> Instant {
        self.origin + Duration::from_millis(self.packet.load(Ordering::Relaxed))
    }
}

/// The receiver, before it has a thread.
pub(super) struct Receiver {
    pub(super) inbox: Inbox,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) heard: mpsc::Sender<Heard>,
    pub(super) tallies: Arc<Tallies>,
    pub(super) life: Arc<Life>,
}

impl Receiver {
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
        let mut datagram = vec![0; MAX_DATAGRAM];
        let mut packets = Vec::new();
        let mut looked = Instant::now();
        let mut last_read = looked;
        let mut gathered = false;
        loop {
            let nap = if self.inbox.has_backlog() {
                SHORT_NAP
            } else {
                NAP
            };
            let mut read = 0;
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(Order::Listen(new, transport)) => {
                        self.inbox.transport(transport);
                        socket = UdpSocket::from_std(new).ok();
                    }
                    Some(order) => self.take(&order, &mut packets),
                    None => return,
                },
                () = readable(socket.as_ref()) => {
                    if let Some(socket) = &socket {
                        read = self.read(socket, &mut datagram, &mut packets);
                    }
                }
                () = sleep(nap) => self.inbox.settle(&mut packets),
            }
            self.hand_on(&mut packets);
            self.life.receiver();
            let now = Instant::now();
            if now >= looked + NAP {
                looked = now;
                self.inbox.advance(now);
            }
            if read > 0 {
                let period = now.saturating_duration_since(last_read);
                last_read = now;
                let is_busy = if gathered { read > 1 } else { period < BUSY };
                gathered = is_busy && read < BATCH;
                if gathered {
                    // The runtime would wake up for each of them, and nothing else runs on it.
                    std::thread::sleep(gathering(read, period));
                }
            }
        }
    }

    fn take(&mut self, order: &Order, packets: &mut Vec<Packet>) {
        let now = Instant::now();
        match *order {
            Order::Belongs { ssrc, user } => self.inbox.belongs(ssrc, user, now, packets),
            Order::Left { user } => self.inbox.left(user),
            Order::Keys => self.inbox.keys_changed(now, packets),
            Order::Listen(..) => {}
        }
    }

    /// Reads what is there, and says how much that was.
    fn read(
        &mut self,
        socket: &UdpSocket,
        datagram: &mut [u8],
        packets: &mut Vec<Packet>,
    ) -> usize {
        let received = Instant::now();
        for read in 0..BATCH {
            match socket.try_recv(datagram) {
                Ok(length) => self
                    .inbox
                    .datagram(&mut datagram[..length], received, packets),
                // Nothing more is there, or the port was closed at a time, which the next keepalive
                // may find mended.
                Err(_) => return read,
            }
        }
        BATCH
    }

    fn hand_on(&mut self, packets: &mut Vec<Packet>) {
        if packets.is_empty() {
            return;
        }
        self.life.packet();
        let count = packets.len() as u64;
        let packets = Heard::Packets(std::mem::take(packets));
        let has_room = self.heard.capacity() > RESERVED;
        if !has_room || self.heard.try_send(packets).is_err() {
            self.tallies.add(Outcome::Overrun, count);
        }
    }
}

/// How long datagrams are let gather, if `read` of them came within `period`.
fn gathering(read: usize, period: Duration) -> Duration {
    let nanos = period.as_nanos().max(1);
    let expected = read as u128 * GATHER_MANY.as_nanos() / nanos;
    if MANY.contains(&expected) {
        GATHER_MANY
    } else {
        GATHER
    }
}

async fn readable(socket: Option<&UdpSocket>) {
    match socket {
        Some(socket) => {
            if socket.readable().await.is_err() {
                // It would be so at once again.
                sleep(NAP).await;
            }
        }
        None => std::future::pending().await,
    }
}
