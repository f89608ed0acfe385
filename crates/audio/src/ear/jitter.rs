//! The jitter buffer: packets get their order back.
//!
//! Nothing is played to anybody here, so a packet whose turn it is never waits. Only one behind a
//! hole does: as long as the missing one may still be under way, which is learned from how much
//! the packets' times of travel differ.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::decode::packet_length;
use super::{EarSettings, VoicePacket, place};
use crate::opus::OPUS_RATE;
use crate::pcm::{SAMPLE_RATE, duration_to_samples};

/// 48 kHz ticks of an RTP timestamp to one sample of ours.
pub(super) const TICKS: u32 = OPUS_RATE / SAMPLE_RATE;

/// So many packets wait at most: 5 s of usual ones, should nobody have had time for them.
const MAX_WAITING: usize = 256;

/// And so many bytes of Opus.
const MAX_WAITING_BYTES: usize = 128 * 1024;

/// No packet has more bytes: six frames of 20 ms at their longest (RFC 6716, 3.2.1).
const MAX_PACKET_BYTES: usize = 6 * 1_275 + 32;

/// A hole of more packets than this is none: a new stream has begun (as in RFC 3550, A.1).
const MAX_HOLE: i64 = 3_000;

/// The shortest packet, 2.5 ms in samples. A hole needs at least that long for each packet.
const SHORTEST_PACKET: u64 = 40;

/// How much sooner than their time of speaking packets may come, in samples: 1 s. A stalled
/// network gives up all that it has at once.
pub(super) const BURST: u64 = 16_000;

/// So far back it is remembered which packets came. Older ones are of no known stream.
const HISTORY: i64 = 128;

/// A packet out of sequence is the first of a new stream if another one this near follows.
const NEIGHBOURS: i64 = 16;

/// The wait to begin with, before anything is known of the network.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// What a packet that was missing has been late by is waited for with this much to spare, in
/// samples: 10 ms.
const SPARE: u64 = 160;

/// A packet with its place in the order.
pub(super) struct Packet {
    /// The sequence number without its wraparound, over all streams.
    pub(super) position: i64,
    pub(super) timestamp: u32,
    pub(super) opus: Bytes,
    /// When it came, in samples.
    pub(super) received: u64,
    /// How many samples it holds; 0 if it is no Opus.
    pub(super) length: u64,
}

/// What comes next.
pub(super) struct Front<'a> {
    pub(super) packet: &'a Packet,
    /// How many packets are missing before it.
    pub(super) missing: u64,
    /// Whether a stream begins with it.
    pub(super) first: bool,
    /// When no longer anything is waited for, in samples.
    pub(super) ready: u64,
    /// The same if there are doubts about its place: a little later.
    pub(super) ready_in_doubt: u64,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Arrival {
    /// It waits for its turn.
    Waits,
    /// It may begin a new stream; another packet will tell. The one of whom that was thought
    /// before was nothing.
    Strange {
        before: bool,
    },
    Late,
    Duplicate,
    /// There is no room; it will be missed.
    Refused,
}

pub(super) struct Jitter {
    shortest: u64,
    longest: u64,
    /// How long is waited for now.
    wait: u64,
    /// How much times of travel differ, in samples (RFC 3550, 6.4.1).
    jitter: f64,
    waiting: VecDeque<Packet>,
    bytes: usize,
    /// The position whose turn it is.
    next: i64,
    /// The stream that is being received begins here or later; those before it are over.
    begin: i64,
    /// Bit `i`: whether the packet at `next - 1 - i` came.
    came: u128,
    /// The highest position so far, and that packet's sequence number and time.
    newest: Option<(i64, u16, u64)>,
    /// The timestamp and the time of the packet that came last.
    before: Option<(u32, u64)>,
    stranger: Option<VoicePacket>,
}

impl Jitter {
    pub(super) fn new(settings: &EarSettings) -> Self {
        let shortest = duration_to_samples(settings.shortest_wait);
        let longest = duration_to_samples(settings.longest_wait).max(shortest);
        Self {
            shortest,
            longest,
            wait: duration_to_samples(FIRST_WAIT).clamp(shortest, longest),
            jitter: 0.0,
            waiting: VecDeque::new(),
            bytes: 0,
            next: 0,
            begin: 0,
            came: 0,
            newest: None,
            before: None,
            stranger: None,
        }
    }

    /// Takes a packet in.
    pub(super) fn hear(&mut self, packet: VoicePacket) -> Arrival {
        let received = place(packet.received);
        let Some((newest, sequence, when)) = self.newest else {
            self.begin_stream(&packet);
            return self.insert(self.begin + NEIGHBOURS, packet);
        };
        let ahead = i64::from(packet.sequence.wrapping_sub(sequence) as i16);
        let position = newest + ahead;
        let elapsed = received.saturating_sub(when);
        let fits = if ahead > 0 {
            ahead < MAX_HOLE && ahead as u64 * SHORTEST_PACKET <= elapsed + BURST
        } else {
            ahead > -HISTORY && elapsed <= 2 * BURST && position >= self.begin
        };
        if !fits {
            return self.hear_stranger(packet);
        }
        if position < self.next {
            let bit = 1_u128.checked_shl(u32::try_from(self.next - 1 - position).unwrap_or(128));
            let bit = bit.unwrap_or(0);
            if self.came & bit != 0 {
                return Arrival::Duplicate;
            }
            self.came |= bit;
            self.wait = (self.wait + self.wait / 2).min(self.longest);
            return Arrival::Late;
        }
        self.insert(position, packet)
    }

    /// A packet that has no place in the stream: if another one joins it, they are a new stream.
    fn hear_stranger(&mut self, packet: VoicePacket) -> Arrival {
        let Some(first) = self.stranger.take() else {
            self.stranger = Some(packet);
            return Arrival::Strange { before: false };
        };
        let apart = i64::from(packet.sequence.wrapping_sub(first.sequence) as i16);
        if apart == 0 && packet.timestamp == first.timestamp {
            self.stranger = Some(first);
            return Arrival::Duplicate;
        }
        if apart == 0 || apart.abs() > NEIGHBOURS {
            self.stranger = Some(packet);
            return Arrival::Strange { before: true };
        }
        self.begin_stream(&first);
        let position = self.begin + NEIGHBOURS;
        self.insert(position, first);
        self.insert(position + apart, packet)
    }

    /// From now on positions count from a new stream's `first` packet, behind all that is there.
    /// Others of its beginning may still come: there is room for them before it.
    fn begin_stream(&mut self, first: &VoicePacket) {
        self.begin = self.newest.map_or(0, |(newest, ..)| newest + 1);
        let position = self.begin + NEIGHBOURS;
        self.newest = Some((position, first.sequence, place(first.received)));
        self.before = None;
    }

    fn insert(&mut self, position: i64, packet: VoicePacket) -> Arrival {
        let at = self
            .waiting
            .partition_point(|other| other.position < position);
        let behind = self.waiting.get(at);
        if behind.is_some_and(|other| other.position == position) {
            return Arrival::Duplicate;
        }
        let received = place(packet.received);
        let opus = if packet.opus.len() > MAX_PACKET_BYTES {
            Bytes::new()
        } else {
            packet.opus
        };
        if self.waiting.len() >= MAX_WAITING || self.bytes + opus.len() > MAX_WAITING_BYTES {
            return Arrival::Refused;
        }
        if at < self.waiting.len() {
            let late = received.saturating_sub(self.first_received(at));
            self.wait = self.wait.max(late + late / 4 + SPARE).min(self.longest);
        }
        self.learn(packet.timestamp, received);
        if self.newest.is_none_or(|(newest, ..)| position > newest) {
            self.newest = Some((position, packet.sequence, received));
        }
        self.bytes += opus.len();
        let packet = Packet {
            position,
            timestamp: packet.timestamp,
            length: packet_length(&opus),
            opus,
            received,
        };
        self.waiting.insert(at, packet);
        Arrival::Waits
    }

    /// Measures the network: the wait grows at once where packets come unevenly, and shrinks
    /// over some ten seconds.
    fn learn(&mut self, timestamp: u32, received: u64) {
        if let Some((timestamp_before, received_before)) = self.before {
            let ticks = timestamp.wrapping_sub(timestamp_before) as i32;
            let sent = i64::from(ticks / TICKS as i32);
            let came = received as i64 - received_before as i64;
            let apart = (came - sent).unsigned_abs();
            // More than that is a pause over which the timestamps stood still.
            if apart <= self.longest {
                self.jitter += (apart as f64 - self.jitter) / 16.0;
            }
        }
        self.before = Some((timestamp, received));
        let wanted = ((4.0 * self.jitter) as u64).clamp(self.shortest, self.longest);
        if wanted > self.wait {
            self.wait = wanted;
        } else {
            let over = self.wait - wanted;
            self.wait -= (over / 512).max(1).min(over);
        }
    }

    /// When the first of those came that wait at `from` or behind.
    fn first_received(&self, from: usize) -> u64 {
        let times = self.waiting.iter().skip(from).map(|packet| packet.received);
        times.min().unwrap_or_default()
    }

    pub(super) fn front(&self) -> Option<Front<'_>> {
        let packet = self.waiting.front()?;
        let since = self.first_received(0);
        let first = self.next <= self.begin && packet.position >= self.begin;
        let missing = match packet.position - self.next {
            missing if missing > 0 && !first => missing as u64,
            _ => 0,
        };
        let ready_in_doubt = since.saturating_add(self.shortest);
        let ready = if first {
            ready_in_doubt
        } else if missing > 0 {
            since.saturating_add(self.wait)
        } else {
            since
        };
        Some(Front {
            packet,
            missing,
            first,
            ready,
            ready_in_doubt: ready_in_doubt.max(ready),
        })
    }

    /// Those that wait, in their order.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Packet> {
        self.waiting.iter()
    }

    /// Takes out the front.
    pub(super) fn take(&mut self) -> Option<Packet> {
        let packet = self.waiting.pop_front()?;
        self.bytes -= packet.opus.len();
        let over = u32::try_from(packet.position + 1 - self.next).unwrap_or(u32::MAX);
        self.came = self.came.checked_shl(over).unwrap_or(0) | 1;
        self.next = packet.position + 1;
        Some(packet)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Nothing waits any more, and whatever comes next is a new stream. Tells whether there was
    /// a packet of no stream.
    pub(super) fn forget_stream(&mut self) -> bool {
        self.next = 0;
        self.begin = 0;
        self.came = 0;
        self.newest = None;
        self.before = None;
        self.waiting.clear();
        self.bytes = 0;
        self.stranger.take().is_some()
    }

    /// The bytes it holds.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        let stranger = self.stranger.as_ref().map_or(0, |packet| packet.opus.len());
        self.bytes + stranger + self.waiting.capacity() * size_of::<Packet>()
    }
}
