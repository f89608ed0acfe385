//! From datagrams to Opus packets with their user: transport cipher, RTP, attribution, DAVE,
//! duplicates, and buffering of what can't be attributed or decrypted yet.
//!
//! No sockets, no clock, no task: the caller gives datagrams, announcements and the time.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::dave_state::{DaveState, DecryptError, lock_dave, try_lock_dave};
use super::event::{MAX_OPUS_BYTES, OpusPacket};
use super::pending_packets::{EncryptedPacket, PendingPackets};
use super::rtp::{self, DatagramKind, RtpHeader};
use super::ssrc_map::SsrcMap;
use super::stats::{PacketOutcome, ReceiveCounters, ReceiveStats};
use super::transport_cipher::TransportCipher;

/// Packets that are set aside while the DAVE state is locked: a change of a large group takes some
/// ten milliseconds.
const MAX_BACKLOG: usize = 16_384;

/// DAVE keys that may be tried in a second to find the senders of packets. One trial takes about a
/// microsecond.
const MAX_KEY_TRIALS_PER_SECOND: usize = 5_000;

/// DAVE keys that are tried for one packet.
const MAX_KEY_TRIALS_PER_PACKET: usize = 512;

/// Turns datagrams into packets of users.
pub struct Depacketizer {
    transport: Option<TransportCipher>,
    ssrc_map: SsrcMap,
    dave: Arc<Mutex<DaveState>>,
    /// The change count of `dave` with which all pending packets have been tried.
    tried_change_count: u64,
    pending: PendingPackets,
    backlog: Vec<EncryptedPacket>,
    key_trials: KeyTrialBudget,
    counters: Arc<ReceiveCounters>,
    pending_timeout: Duration,
}

impl std::fmt::Debug for Depacketizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Depacketizer")
    }
}

/// How many keys may still be tried in the current second.
struct KeyTrialBudget {
    left: usize,
    window_start: Instant,
}

impl KeyTrialBudget {
    /// Takes as many trials as one packet may use.
    fn reserve(&mut self, now: Instant) -> usize {
        if now.saturating_duration_since(self.window_start) >= Duration::from_secs(1) {
            self.left = MAX_KEY_TRIALS_PER_SECOND;
            self.window_start = now;
        }
        let taken = self.left.min(MAX_KEY_TRIALS_PER_PACKET);
        self.left -= taken;
        taken
    }

    /// Gives back the trials that were not used.
    fn refund(&mut self, tries: usize) {
        self.left += tries;
    }
}

impl Depacketizer {
    /// Nothing is received before [`set_transport`](Self::set_transport). Packets without speaker
    /// or key are buffered for `pending_timeout`.
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

    /// The counters so far.
    #[must_use]
    pub fn stats(&self) -> ReceiveStats {
        self.counters.snapshot()
    }

    /// Sets the cipher of the datagrams to come.
    pub fn set_transport(&mut self, transport: TransportCipher) {
        self.transport = Some(transport);
    }

    /// Takes one datagram, which is decrypted in place. Packets that are ready are appended to
    /// `output`.
    pub fn push_datagram(
        &mut self,
        datagram: &mut [u8],
        received: Instant,
        output: &mut Vec<OpusPacket>,
    ) {
        let header = match rtp::parse(datagram) {
            Some(DatagramKind::Opus(header)) => header,
            Some(DatagramKind::Rtcp | DatagramKind::Other) => {
                return self.counters.count(PacketOutcome::Other, 1);
            }
            // The reply to a keepalive is shorter than an RTP header.
            None if datagram.len() < rtp::FIXED_HEADER_BYTES => {
                return self.counters.count(PacketOutcome::Other, 1);
            }
            None => return self.counters.count(PacketOutcome::Malformed, 1),
        };
        let body = self
            .transport
            .as_ref()
            .and_then(|it| it.decrypt(datagram, header.clear_bytes));
        let Some(body) = body else {
            return self.counters.count(PacketOutcome::Unauthenticated, 1);
        };
        let body = &datagram[body];
        match header.payload_range(body) {
            Some(payload) if payload.len() <= MAX_OPUS_BYTES => {
                self.push_frame(header, &body[payload], received, output);
            }
            _ => self.counters.count(PacketOutcome::Malformed, 1),
        }
    }

    fn push_frame(
        &mut self,
        header: RtpHeader,
        frame: &[u8],
        received: Instant,
        output: &mut Vec<OpusPacket>,
    ) {
        let dave = Arc::clone(&self.dave);
        let Some(mut dave) = try_lock_dave(&dave) else {
            if self.backlog.len() < MAX_BACKLOG {
                self.backlog.push(encrypted_packet(header, frame, received));
            } else {
                self.counters.count(PacketOutcome::BufferFull, 1);
            }
            return;
        };
        if !self.backlog.is_empty() {
            self.drain_backlog(&mut dave, output);
        }
        // Earlier packets of the stream first.
        if self.tried_change_count != dave.change_count() && self.pending.contains(header.ssrc) {
            self.retry_pending(header.ssrc, &mut dave, received, output);
        }
        if !self.try_deliver(&mut dave, header, frame, received, received, output) {
            self.hold(encrypted_packet(header, frame, received));
        }
    }

    /// True if the packet was delivered or is a duplicate; false if it has to wait.
    fn try_deliver(
        &mut self,
        dave: &mut DaveState,
        header: RtpHeader,
        frame: &[u8],
        received: Instant,
        now: Instant,
        output: &mut Vec<OpusPacket>,
    ) -> bool {
        let decrypted = match self.ssrc_map.get_mut(header.ssrc) {
            Some(stream) if stream.has_received(header.sequence) => {
                self.counters.count(PacketOutcome::Duplicate, 1);
                return true;
            }
            Some(stream) => {
                let (user_id, is_proven) = (stream.user_id, stream.is_proven());
                match dave.decrypt(user_id, frame, now) {
                    Ok(opus) => Some((user_id, opus)),
                    Err(DecryptError) if is_proven => None,
                    Err(DecryptError) => self.identify_sender(dave, frame, now),
                }
            }
            None => self.identify_sender(dave, frame, now),
        };
        let Some((user_id, opus)) = decrypted else {
            return false;
        };
        // A different length means that a key decrypted it, which proves the sender.
        if opus.len() != frame.len() {
            self.ssrc_map.prove_user(header.ssrc, user_id);
        }
        if let Some(stream) = self.ssrc_map.get_mut(header.ssrc) {
            stream.record_packet(header.sequence, header.timestamp, received);
        }
        self.counters.count(PacketOutcome::Delivered, 1);
        output.push(OpusPacket {
            user_id,
            ssrc: header.ssrc,
            sequence: header.sequence,
            timestamp: header.timestamp,
            opus,
            received,
        });
        true
    }

    fn identify_sender(
        &mut self,
        dave: &mut DaveState,
        frame: &[u8],
        now: Instant,
    ) -> Option<(u64, Bytes)> {
        let max_trials = self.key_trials.reserve(now);
        let (found, used) = dave.identify_sender(frame, max_trials);
        self.key_trials.refund(max_trials.saturating_sub(used));
        found
    }

    fn hold(&mut self, packet: EncryptedPacket) {
        if !self.pending.push(packet) {
            self.counters.count(PacketOutcome::BufferFull, 1);
        }
    }

    /// The gateway announces which user a stream belongs to.
    pub fn map_ssrc(
        &mut self,
        ssrc: u32,
        user_id: u64,
        now: Instant,
        output: &mut Vec<OpusPacket>,
    ) {
        if self.ssrc_map.announce(ssrc, user_id) && self.pending.contains(ssrc) {
            let dave = Arc::clone(&self.dave);
            self.retry_pending(ssrc, &mut lock_dave(&dave), now, output);
        }
    }

    /// A user has left the call.
    pub fn user_left(&mut self, user_id: u64) {
        self.ssrc_map.mark_user_left(user_id);
    }

    /// The DAVE state has changed: tries all buffered packets again.
    pub fn keys_changed(&mut self, now: Instant, output: &mut Vec<OpusPacket>) {
        let dave = Arc::clone(&self.dave);
        let mut dave = lock_dave(&dave);
        for ssrc in self.pending.ssrcs() {
            self.retry_pending(ssrc, &mut dave, now, output);
        }
        self.tried_change_count = dave.change_count();
        self.drain_backlog(&mut dave, output);
    }

    /// Processes packets that were set aside while the DAVE state was locked, if it no longer is.
    pub fn try_drain_backlog(&mut self, output: &mut Vec<OpusPacket>) {
        let dave = Arc::clone(&self.dave);
        if let Some(mut dave) = try_lock_dave(&dave) {
            self.drain_backlog(&mut dave, output);
        }
    }

    fn drain_backlog(&mut self, dave: &mut DaveState, output: &mut Vec<OpusPacket>) {
        for packet in std::mem::take(&mut self.backlog) {
            let (header, received) = (packet.header, packet.received);
            if !self.try_deliver(dave, header, &packet.frame, received, received, output) {
                self.hold(packet);
            }
        }
    }

    /// Tries the buffered packets of a stream again.
    fn retry_pending(
        &mut self,
        ssrc: u32,
        dave: &mut DaveState,
        now: Instant,
        output: &mut Vec<OpusPacket>,
    ) {
        for packet in self.pending.take_stream(ssrc) {
            let (header, received) = (packet.header, packet.received);
            let before = output.len();
            if !self.try_deliver(dave, header, &packet.frame, received, now, output) {
                self.hold(packet);
            } else if output.len() > before {
                let waited = now.saturating_duration_since(received);
                self.counters.record_wait(waited);
            }
        }
    }

    /// Drops packets that have been buffered for too long, and updates the jitter.
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

    /// Whether packets are set aside until the DAVE state is no longer locked.
    pub(super) fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }
}

fn encrypted_packet(header: RtpHeader, frame: &[u8], received: Instant) -> EncryptedPacket {
    EncryptedPacket {
        header,
        received,
        frame: frame.into(),
    }
}
