//! From datagrams to packets of people. No sockets, no clock, no task: whoever has a datagram gives
//! it, and whoever learns something about streams or keys says so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::dave_state::{DaveState, DecryptError};
use super::event::{MAX_OPUS_BYTES, OpusPacket};
use super::pending_packets::{EncryptedPacket, PendingPackets};
use super::rtp::{self, DatagramKind, RtpHeader};
use super::ssrc_map::SsrcMap;
use super::stats::{PacketOutcome, ReceiveCounters, ReceiveStats};
use super::transport_cipher::TransportCipher;

/// Packets that wait while somebody else has the keys in hand: a change of a large group takes some
/// ten milliseconds.
const MAX_BACKLOG: usize = 16_384;

/// Keys that are tried in a second to learn whose a stream is. One takes about a microsecond.
const MAX_KEY_TRIALS_PER_SECOND: usize = 5_000;

/// Keys that are tried for one packet.
const MAX_KEY_TRIALS_PER_PACKET: usize = 512;

/// Where datagrams go in.
pub struct Depacketizer {
    transport: Option<TransportCipher>,
    ssrc_map: SsrcMap,
    dave: Arc<Mutex<DaveState>>,
    /// The change of keys that everything that waits has been tried with.
    tried_change_count: u64,
    pending: PendingPackets,
    backlog: Vec<EncryptedPacket>,
    key_trials: KeyTrialBudget,
    counters: Arc<ReceiveCounters>,
    pending_timeout: Duration,
}

impl std::fmt::Debug for Depacketizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inbox")
    }
}

/// What is left of the keys that may be tried.
struct KeyTrialBudget {
    left: usize,
    window_start: Instant,
}

impl KeyTrialBudget {
    fn reserve(&mut self, now: Instant) -> usize {
        if now.saturating_duration_since(self.window_start) >= Duration::from_secs(1) {
            self.left = MAX_KEY_TRIALS_PER_SECOND;
            self.window_start = now;
        }
        let taken = self.left.min(MAX_KEY_TRIALS_PER_PACKET);
        self.left -= taken;
        taken
    }

    fn refund(&mut self, tries: usize) {
        self.left += tries;
    }
}

/// Gets the keys, even if somebody has panicked with them in hand.
pub(super) fn lock_dave(keys: &Mutex<DaveState>) -> MutexGuard<'_, DaveState> {
    keys.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Depacketizer {
    /// Nothing is there yet. Packets wait for their speakers and keys as long as `patience` says.
    #[must_use]
    pub fn new(dave: Arc<Mutex<DaveState>>, pending_timeout: Duration, now: Instant) -> Self {
        Self {
            transport: None,
            ssrc_map: SsrcMap::default(),
            dave,
            tried_change_count: 0,
            pending: PendingPackets::default(),
            backlog: Vec::new(),
            key_trials: KeyTrialBudget {
                left: MAX_KEY_TRIALS_PER_SECOND,
                window_start: now,
            },
            counters: Arc::default(),
            pending_timeout,
        }
    }

    pub(super) fn counters(&self) -> Arc<ReceiveCounters> {
        Arc::clone(&self.counters)
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> ReceiveStats {
        self.counters.snapshot()
    }

    /// Datagrams are under this key from now on.
    pub fn set_transport(&mut self, transport: TransportCipher) {
        self.transport = Some(transport);
    }

    /// A datagram has come. It is decrypted in place.
    pub fn datagram(
        &mut self,
        datagram: &mut [u8],
        received: Instant,
        heard: &mut Vec<OpusPacket>,
    ) {
        let head = match rtp::parse(datagram) {
            Some(DatagramKind::Opus(head)) => head,
            Some(DatagramKind::Rtcp | DatagramKind::Other) => {
                return self.counters.count(PacketOutcome::Other, 1);
            }
            // An answer to a keepalive is shorter than a packet.
            None if datagram.len() < rtp::FIXED_HEADER_BYTES => {
                return self.counters.count(PacketOutcome::Other, 1);
            }
            None => return self.counters.count(PacketOutcome::Malformed, 1),
        };
        let opened = self
            .transport
            .as_ref()
            .and_then(|it| it.decrypt(datagram, head.clear_bytes));
        let Some(body) = opened else {
            return self.counters.count(PacketOutcome::Unauthenticated, 1);
        };
        let body = &datagram[body];
        match head.payload_range(body) {
            Some(payload) if payload.len() <= MAX_OPUS_BYTES => {
                self.push_frame(head, &body[payload], received, heard);
            }
            _ => self.counters.count(PacketOutcome::Malformed, 1),
        }
    }

    fn push_frame(
        &mut self,
        head: RtpHeader,
        frame: &[u8],
        received: Instant,
        heard: &mut Vec<OpusPacket>,
    ) {
        let keys = Arc::clone(&self.dave);
        let Some(mut keys) = try_lock_dave(&keys) else {
            if self.backlog.len() < MAX_BACKLOG {
                self.backlog.push(encrypted_packet(head, frame, received));
            } else {
                self.counters.count(PacketOutcome::BufferFull, 1);
            }
            return;
        };
        if !self.backlog.is_empty() {
            self.drain_backlog(&mut keys, heard);
        }
        // What has waited comes first.
        if self.tried_change_count != keys.changes() && self.pending.contains(head.ssrc) {
            self.retry_pending(head.ssrc, &mut keys, received, heard);
        }
        if !self.try_deliver(&mut keys, head, frame, received, received, heard) {
            self.hold(encrypted_packet(head, frame, received));
        }
    }

    /// Says whether a packet is done with: heard, or heard before.
    fn try_deliver(
        &mut self,
        keys: &mut DaveState,
        head: RtpHeader,
        frame: &[u8],
        received: Instant,
        now: Instant,
        heard: &mut Vec<OpusPacket>,
    ) -> bool {
        let opened = match self.ssrc_map.get_mut(head.ssrc) {
            Some(stream) if stream.has_received(head.sequence) => {
                self.counters.count(PacketOutcome::Duplicate, 1);
                return true;
            }
            Some(stream) => {
                let (user, proven) = (stream.user_id, stream.is_proven());
                match keys.decrypt(user, frame, now) {
                    Ok(opus) => Some((user, opus)),
                    Err(DecryptError) if proven => None,
                    Err(DecryptError) => self.identify_sender(keys, frame, now),
                }
            }
            None => self.identify_sender(keys, frame, now),
        };
        let Some((user, opus)) = opened else {
            return false;
        };
        if opus.len() != frame.len() {
            self.ssrc_map.prove_user(head.ssrc, user);
        }
        if let Some(stream) = self.ssrc_map.get_mut(head.ssrc) {
            stream.record_packet(head.sequence, head.timestamp, received);
        }
        self.counters.count(PacketOutcome::Delivered, 1);
        heard.push(OpusPacket {
            user_id: user,
            ssrc: head.ssrc,
            sequence: head.sequence,
            timestamp: head.timestamp,
            opus,
            received,
        });
        true
    }

    fn identify_sender(
        &mut self,
        keys: &mut DaveState,
        frame: &[u8],
        now: Instant,
    ) -> Option<(u64, Bytes)> {
        let tries = self.key_trials.reserve(now);
        let (opened, tried) = keys.identify_sender(frame, tries);
        self.key_trials.refund(tries.saturating_sub(tried));
        opened
    }

    fn hold(&mut self, sealed: EncryptedPacket) {
        if !self.pending.push(sealed) {
            self.counters.count(PacketOutcome::BufferFull, 1);
        }
    }

    /// The gateway says whose a stream is.
    pub fn map_ssrc(&mut self, ssrc: u32, user: u64, now: Instant, heard: &mut Vec<OpusPacket>) {
        if self.ssrc_map.announce(ssrc, user) && self.pending.contains(ssrc) {
            let keys = Arc::clone(&self.dave);
            self.retry_pending(ssrc, &mut lock_dave(&keys), now, heard);
        }
    }

    /// Somebody has left.
    pub fn user_left(&mut self, user: u64) {
        self.ssrc_map.mark_user_left(user);
    }

    /// Keys have changed.
    pub fn keys_changed(&mut self, now: Instant, heard: &mut Vec<OpusPacket>) {
        let keys = Arc::clone(&self.dave);
        let mut keys = lock_dave(&keys);
        for ssrc in self.pending.ssrcs() {
            self.retry_pending(ssrc, &mut keys, now, heard);
        }
        self.tried_change_count = keys.changes();
        self.drain_backlog(&mut keys, heard);
    }

    /// Goes on with what was left aside while somebody else had the keys in hand, if they are free.
    pub fn try_drain_backlog(&mut self, heard: &mut Vec<OpusPacket>) {
        let keys = Arc::clone(&self.dave);
        if let Some(mut keys) = try_lock_dave(&keys) {
            self.drain_backlog(&mut keys, heard);
        }
    }

    fn drain_backlog(&mut self, keys: &mut DaveState, heard: &mut Vec<OpusPacket>) {
        for sealed in std::mem::take(&mut self.backlog) {
            let (head, received) = (sealed.header, sealed.received);
            if !self.try_deliver(keys, head, &sealed.frame, received, received, heard) {
                self.hold(sealed);
            }
        }
    }

    /// Tries again what waits of a stream.
    fn retry_pending(
        &mut self,
        ssrc: u32,
        keys: &mut DaveState,
        now: Instant,
        heard: &mut Vec<OpusPacket>,
    ) {
        for sealed in self.pending.take_stream(ssrc) {
            let (head, received) = (sealed.header, sealed.received);
            let before = heard.len();
            if !self.try_deliver(keys, head, &sealed.frame, received, now, heard) {
                self.hold(sealed);
            } else if heard.len() > before {
                let waited = now.saturating_duration_since(received);
                self.counters.record_wait(waited);
            }
        }
    }

    /// Time passes: what has waited too long is given up.
    pub fn advance(&mut self, now: Instant) {
        for (ssrc, packets) in self.pending.expire(now, self.pending_timeout) {
            let cause = match self.ssrc_map.get_mut(ssrc) {
                Some(_) => PacketOutcome::NoKey,
                None => PacketOutcome::NoSpeaker,
            };
            self.counters.count(cause, packets);
        }
        self.counters.set_jitter(self.ssrc_map.max_jitter(now));
    }

    /// Whether something waits for the keys.
    pub(super) fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }
}

/// The keys, if nobody has them in hand.
fn try_lock_dave(keys: &Mutex<DaveState>) -> Option<MutexGuard<'_, DaveState>> {
    match keys.try_lock() {
        Ok(keys) => Some(keys),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

fn encrypted_packet(head: RtpHeader, frame: &[u8], received: Instant) -> EncryptedPacket {
    EncryptedPacket {
        header: head,
        received,
        frame: frame.into(),
    }
}
