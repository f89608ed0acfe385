//! From datagrams to packets of people. No sockets, no clock, no task: whoever has a datagram gives
//! it, and whoever learns something about streams or keys says so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::counts::{Counts, Outcome, Tallies};
use super::heard::{MAX_OPUS, Packet};
use super::keys::{Keys, Shut};
use super::rtp::{self, Head, Kind};
use super::streams::Streams;
use super::transport::Transport;
use super::waiting::{Sealed, Waiting};

/// Packets that wait while somebody else has the keys in hand: a change of a large group takes some
/// ten milliseconds.
const MAX_BACKLOG: usize = 16_384;

/// Keys that are tried in a second to learn whose a stream is. One takes about a microsecond.
const TRIES: usize = 5_000;

/// Keys that are tried for one packet.
const TRIES_OF_PACKET: usize = 512;

/// Where datagrams go in.
pub struct Inbox {
    transport: Option<Transport>,
    streams: Streams,
    keys: Arc<Mutex<Keys>>,
    /// The change of keys that everything that waits has been tried with.
    tried: u64,
    waiting: Waiting,
    backlog: Vec<Sealed>,
    tries: Tries,
    tallies: Arc<Tallies>,
    patience: Duration,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inbox")
    }
}

/// What is left of the keys that may be tried.
struct Tries {
    left: usize,
    since: Instant,
}

impl Tries {
    fn take(&mut self, now: Instant) -> usize {
        if now.saturating_duration_since(self.since) >= Duration::from_secs(1) {
            self.left = TRIES;
            self.since = now;
        }
        let taken = self.left.min(TRIES_OF_PACKET);
        self.left -= taken;
        taken
    }

    fn give_back(&mut self, tries: usize) {
        self.left += tries;
    }
}

/// Gets the keys, even if somebody has panicked with them in hand.
pub(super) fn locked(keys: &Mutex<Keys>) -> MutexGuard<'_, Keys> {
    keys.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inbox {
    /// Nothing is there yet. Packets wait for their speakers and keys as long as `patience` says.
    #[must_use]
    pub fn new(keys: Arc<Mutex<Keys>>, patience: Duration, now: Instant) -> Self {
        Self {
            transport: None,
            streams: Streams::default(),
            keys,
            tried: 0,
            waiting: Waiting::default(),
            backlog: Vec::new(),
            tries: Tries {
                left: TRIES,
                since: now,
            },
            tallies: Arc::default(),
            patience,
        }
    }

    pub(super) fn tallies(&self) -> Arc<Tallies> {
        Arc::clone(&self.tallies)
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.tallies.read()
    }

    /// Datagrams are under this key from now on.
    pub fn transport(&mut self, transport: Transport) {
        self.transport = Some(transport);
    }

    /// A datagram has come. It is decrypted in place.
    pub fn datagram(&mut self, datagram: &mut [u8], received: Instant, heard: &mut Vec<Packet>) {
        let head = match rtp::read(datagram) {
            Some(Kind::Speech(head)) => head,
            Some(Kind::Control | Kind::Other) => return self.tallies.add(Outcome::Other, 1),
            // An answer to a keepalive is shorter than a packet.
            None if datagram.len() < rtp::FIXED => return self.tallies.add(Outcome::Other, 1),
            None => return self.tallies.add(Outcome::Malformed, 1),
        };
        let opened = self
            .transport
            .as_ref()
            .and_then(|it| it.open(datagram, head.clear));
        let Some(body) = opened else {
            return self.tallies.add(Outcome::Forged, 1);
        };
        let body = &datagram[body];
        match head.payload(body) {
            Some(payload) if payload.len() <= MAX_OPUS => {
                self.frame(head, &body[payload], received, heard);
            }
            _ => self.tallies.add(Outcome::Malformed, 1),
        }
    }

    fn frame(&mut self, head: Head, frame: &[u8], received: Instant, heard: &mut Vec<Packet>) {
        let keys = Arc::clone(&self.keys);
        let Some(mut keys) = free(&keys) else {
            if self.backlog.len() < MAX_BACKLOG {
                self.backlog.push(sealed(head, frame, received));
            } else {
                self.tallies.add(Outcome::NoRoom, 1);
            }
            return;
        };
        if !self.backlog.is_empty() {
            self.catch_up(&mut keys, heard);
        }
        // What has waited comes first.
        if self.tried != keys.changes() && self.waiting.has(head.ssrc) {
            self.again(head.ssrc, &mut keys, received, heard);
        }
        if !self.hears(&mut keys, head, frame, received, received, heard) {
            self.wait(sealed(head, frame, received));
        }
    }

    /// Says whether a packet is done with: heard, or heard before.
    fn hears(
        &mut self,
        keys: &mut Keys,
        head: Head,
        frame: &[u8],
        received: Instant,
        now: Instant,
        heard: &mut Vec<Packet>,
    ) -> bool {
        let opened = match self.streams.of(head.ssrc) {
            Some(stream) if stream.has_heard(head.sequence) => {
                self.tallies.add(Outcome::Repeated, 1);
                return true;
            }
            Some(stream) => {
                let (user, proven) = (stream.user, stream.is_proven());
                match keys.open(user, frame, now) {
                    Ok(opus) => Some((user, opus)),
                    Err(Shut) if proven => None,
                    Err(Shut) => self.whose(keys, frame, now),
                }
            }
            None => self.whose(keys, frame, now),
        };
        let Some((user, opus)) = opened else {
            return false;
        };
        if opus.len() != frame.len() {
            self.streams.proven(head.ssrc, user);
        }
        if let Some(stream) = self.streams.of(head.ssrc) {
            stream.hears(head.sequence, head.timestamp, received);
        }
        self.tallies.add(Outcome::Heard, 1);
        heard.push(Packet {
            user,
            ssrc: head.ssrc,
            sequence: head.sequence,
            timestamp: head.timestamp,
            opus,
            received,
        });
        true
    }

    fn whose(&mut self, keys: &mut Keys, frame: &[u8], now: Instant) -> Option<(u64, Bytes)> {
        let tries = self.tries.take(now);
        let (opened, tried) = keys.whose(frame, tries);
        self.tries.give_back(tries.saturating_sub(tried));
        opened
    }

    fn wait(&mut self, sealed: Sealed) {
        if !self.waiting.put(sealed) {
            self.tallies.add(Outcome::NoRoom, 1);
        }
    }

    /// The gateway says whose a stream is.
    pub fn belongs(&mut self, ssrc: u32, user: u64, now: Instant, heard: &mut Vec<Packet>) {
        if self.streams.told(ssrc, user) && self.waiting.has(ssrc) {
            let keys = Arc::clone(&self.keys);
            self.again(ssrc, &mut locked(&keys), now, heard);
        }
    }

    /// Somebody has left.
    pub fn left(&mut self, user: u64) {
        self.streams.left(user);
    }

    /// Keys have changed.
    pub fn keys_changed(&mut self, now: Instant, heard: &mut Vec<Packet>) {
        let keys = Arc::clone(&self.keys);
        let mut keys = locked(&keys);
        for ssrc in self.waiting.streams() {
            self.again(ssrc, &mut keys, now, heard);
        }
        self.tried = keys.changes();
        self.catch_up(&mut keys, heard);
    }

    /// Goes on with what was left aside while somebody else had the keys in hand, if they are free.
    pub fn settle(&mut self, heard: &mut Vec<Packet>) {
        let keys = Arc::clone(&self.keys);
        if let Some(mut keys) = free(&keys) {
            self.catch_up(&mut keys, heard);
        }
    }

    fn catch_up(&mut self, keys: &mut Keys, heard: &mut Vec<Packet>) {
        for sealed in std::mem::take(&mut self.backlog) {
            let (head, received) = (sealed.head, sealed.received);
            if !self.hears(keys, head, &sealed.frame, received, received, heard) {
                self.wait(sealed);
            }
        }
    }

    /// Tries again what waits of a stream.
    fn again(&mut self, ssrc: u32, keys: &mut Keys, now: Instant, heard: &mut Vec<Packet>) {
        for sealed in self.waiting.take(ssrc) {
            let (head, received) = (sealed.head, sealed.received);
            let before = heard.len();
            if !self.hears(keys, head, &sealed.frame, received, now, heard) {
                self.wait(sealed);
            } else if heard.len() > before {
                let waited = now.saturating_duration_since(received);
                self.tallies.waited(waited);
            }
        }
    }

    /// Time passes: what has waited too long is given up.
    pub fn advance(&mut self, now: Instant) {
        for (ssrc, packets) in self.waiting.expire(now, self.patience) {
            let cause = match self.streams.of(ssrc) {
                Some(_) => Outcome::NoKey,
                None => Outcome::NoSpeaker,
            };
            self.tallies.add(cause, packets);
        }
        self.tallies.jitter(self.streams.jitter(now));
    }

    /// Whether something waits for the keys.
    pub(super) fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }
}

/// The keys, if nobody has them in hand.
fn free(keys: &Mutex<Keys>) -> Option<MutexGuard<'_, Keys>> {
    match keys.try_lock() {
        Ok(keys) => Some(keys),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

fn sealed(head: Head, frame: &[u8], received: Instant) -> Sealed {
    Sealed {
        head,
        received,
        frame: frame.into(),
    }
}
