//! The jitter buffer: packets get their order back.
//!
//! Nothing is played to anybody here, so a packet whose turn it is never waits. Only one behind a
//! hole does: as long as the missing one may still be under way, which is learned from how much
//! the packets' times of travel differ.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::speaker_decoder::packet_samples;
use super::{SpeakerReceiverSettings, VoicePacket, timeline_position};
use crate::opus_stream::OPUS_RATE;
use crate::pcm::{SAMPLE_RATE, duration_to_samples};

/// 48 kHz ticks of an RTP timestamp to one sample of ours.
pub(super) const RTP_TICKS_PER_SAMPLE: u32 = OPUS_RATE / SAMPLE_RATE;

/// So many packets wait at most: 5 s of usual ones, should nobody have had time for them.
const MAX_BUFFERED_PACKETS: usize = 256;

/// And so many bytes of Opus.
const MAX_BUFFERED_BYTES: usize = 128 * 1024;

/// No packet has more bytes: six frames of 20 ms at their longest (RFC 6716, 3.2.1).
const MAX_PACKET_BYTES: usize = 6 * 1_275 + 32;

/// A hole of more packets than this is none: a new stream has begun (as in RFC 3550, A.1).
const MAX_SEQUENCE_GAP: i64 = 3_000;

/// The shortest packet, 2.5 ms in samples. A hole needs at least that long for each packet.
const MIN_PACKET_SAMPLES: u64 = 40;

/// How much sooner than their time of speaking packets may come, in samples: 1 s. A stalled
/// network gives up all that it has at once.
pub(super) const MAX_BURST_SAMPLES: u64 = 16_000;

/// So far back it is remembered which packets came. Older ones are of no known stream.
const HISTORY_PACKETS: i64 = 128;

/// A packet out of sequence is the first of a new stream if another one this near follows.
const NEW_STREAM_DISTANCE: i64 = 16;

/// The wait to begin with, before anything is known of the network.
const INITIAL_WAIT: Duration = Duration::from_millis(100);

/// What a packet that was missing has been late by is waited for with this much to spare, in
/// samples: 10 ms.
const LATE_MARGIN_SAMPLES: u64 = 160;

/// A packet with its place in the order.
pub(super) struct BufferedPacket {
    /// The sequence number without its wraparound, over all streams.
    pub(super) extended_sequence: i64,
    pub(super) timestamp: u32,
    pub(super) opus: Bytes,
    /// When it came, in samples.
    pub(super) received: u64,
    /// How many samples it holds; 0 if it is no Opus.
    pub(super) length: u64,
}

/// What comes next.
pub(super) struct FrontPacket<'a> {
    pub(super) packet: &'a BufferedPacket,
    /// How many packets are missing before it.
    pub(super) missing_before: u64,
    /// Whether a stream begins with it.
    pub(super) starts_stream: bool,
    /// When no longer anything is waited for, in samples.
    pub(super) ready_at: u64,
    /// The same if there are doubts about its place: a little later.
    pub(super) ready_at_if_provisional: u64,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Arrival {
    /// It waits for its turn.
    Buffered,
    /// It may begin a new stream; another packet will tell. The one of whom that was thought
    /// before was nothing.
    OutOfSequence {
        dropped_previous: bool,
    },
    Late,
    Duplicate,
    /// There is no room; it will be missed.
    BufferFull,
}

pub(super) struct JitterBuffer {
    min_wait: u64,
    max_wait: u64,
    /// How long is waited for now.
    wait: u64,
    /// How much times of travel differ, in samples (RFC 3550, 6.4.1).
    jitter: f64,
    packets: VecDeque<BufferedPacket>,
    bytes: usize,
    /// The position whose turn it is.
    next_sequence: i64,
    /// The stream that is being received begins here or later; those before it are over.
    stream_start: i64,
    /// Bit `i`: whether the packet at `next - 1 - i` came.
    received_mask: u128,
    /// The highest position so far, and that packet's sequence number and time.
    newest: Option<(i64, u16, u64)>,
    /// The timestamp and the time of the packet that came last.
    previous_arrival: Option<(u32, u64)>,
    new_stream_candidate: Option<VoicePacket>,
}

impl JitterBuffer {
    pub(super) fn new(settings: &SpeakerReceiverSettings) -> Self {
        let min_wait = duration_to_samples(settings.min_jitter_delay);
        let max_wait = duration_to_samples(settings.max_jitter_delay).max(min_wait);
        Self {
            min_wait,
            max_wait,
            wait: duration_to_samples(INITIAL_WAIT).clamp(min_wait, max_wait),
            jitter: 0.0,
            packets: VecDeque::new(),
            bytes: 0,
            next_sequence: 0,
            stream_start: 0,
            received_mask: 0,
            newest: None,
            previous_arrival: None,
            new_stream_candidate: None,
        }
    }

    /// Takes a packet in.
    pub(super) fn push(&mut self, packet: VoicePacket) -> Arrival {
        let received = timeline_position(packet.received);
        let Some((newest, sequence, when)) = self.newest else {
            self.start_stream(&packet);
            return self.insert(self.stream_start + NEW_STREAM_DISTANCE, packet);
        };
        let ahead = i64::from(packet.sequence.wrapping_sub(sequence) as i16);
        let position = newest + ahead;
        let elapsed = received.saturating_sub(when);
        let fits = if ahead > 0 {
            ahead < MAX_SEQUENCE_GAP
                && ahead as u64 * MIN_PACKET_SAMPLES <= elapsed + MAX_BURST_SAMPLES
        } else {
            ahead > -HISTORY_PACKETS
                && elapsed <= 2 * MAX_BURST_SAMPLES
                && position >= self.stream_start
        };
        if !fits {
            return self.push_out_of_sequence(packet);
        }
        if position < self.next_sequence {
            let bit =
                1_u128.checked_shl(u32::try_from(self.next_sequence - 1 - position).unwrap_or(128));
            let bit = bit.unwrap_or(0);
            if self.received_mask & bit != 0 {
                return Arrival::Duplicate;
            }
            self.received_mask |= bit;
            self.wait = (self.wait + self.wait / 2).min(self.max_wait);
            return Arrival::Late;
        }
        self.insert(position, packet)
    }

    /// A packet that has no place in the stream: if another one joins it, they are a new stream.
    fn push_out_of_sequence(&mut self, packet: VoicePacket) -> Arrival {
        let Some(first) = self.new_stream_candidate.take() else {
            self.new_stream_candidate = Some(packet);
            return Arrival::OutOfSequence {
                dropped_previous: false,
            };
        };
        let apart = i64::from(packet.sequence.wrapping_sub(first.sequence) as i16);
        if apart == 0 && packet.timestamp == first.timestamp {
            self.new_stream_candidate = Some(first);
            return Arrival::Duplicate;
        }
        if apart == 0 || apart.abs() > NEW_STREAM_DISTANCE {
            self.new_stream_candidate = Some(packet);
            return Arrival::OutOfSequence {
                dropped_previous: true,
            };
        }
        self.start_stream(&first);
        let position = self.stream_start + NEW_STREAM_DISTANCE;
        self.insert(position, first);
        self.insert(position + apart, packet)
    }

    /// From now on positions count from a new stream's `first` packet, behind all that is there.
    /// Others of its beginning may still come: there is room for them before it.
    fn start_stream(&mut self, first: &VoicePacket) {
        self.stream_start = self.newest.map_or(0, |(newest, ..)| newest + 1);
        let position = self.stream_start + NEW_STREAM_DISTANCE;
        self.newest = Some((position, first.sequence, timeline_position(first.received)));
        self.previous_arrival = None;
    }

    fn insert(&mut self, position: i64, packet: VoicePacket) -> Arrival {
        let at = self
            .packets
            .partition_point(|other| other.extended_sequence < position);
        let behind = self.packets.get(at);
        if behind.is_some_and(|other| other.extended_sequence == position) {
            return Arrival::Duplicate;
        }
        let received = timeline_position(packet.received);
        let opus = if packet.opus.len() > MAX_PACKET_BYTES {
            Bytes::new()
        } else {
            packet.opus
        };
        if self.packets.len() >= MAX_BUFFERED_PACKETS
            || self.bytes + opus.len() > MAX_BUFFERED_BYTES
        {
            return Arrival::BufferFull;
        }
        if at < self.packets.len() {
            let late = received.saturating_sub(self.earliest_received(at));
            self.wait = self
                .wait
                .max(late + late / 4 + LATE_MARGIN_SAMPLES)
                .min(self.max_wait);
        }
        self.update_jitter(packet.timestamp, received);
        if self.newest.is_none_or(|(newest, ..)| position > newest) {
            self.newest = Some((position, packet.sequence, received));
        }
        self.bytes += opus.len();
        let packet = BufferedPacket {
            extended_sequence: position,
            timestamp: packet.timestamp,
            length: packet_samples(&opus),
            opus,
            received,
        };
        self.packets.insert(at, packet);
        Arrival::Buffered
    }

    /// Measures the network: the wait grows at once where packets come unevenly, and shrinks
    /// over some ten seconds.
    fn update_jitter(&mut self, timestamp: u32, received: u64) {
        if let Some((timestamp_before, received_before)) = self.previous_arrival {
            let ticks = timestamp.wrapping_sub(timestamp_before) as i32;
            let sent = i64::from(ticks / RTP_TICKS_PER_SAMPLE as i32);
            let came = received as i64 - received_before as i64;
            let apart = (came - sent).unsigned_abs();
            // More than that is a pause over which the timestamps stood still.
            if apart <= self.max_wait {
                self.jitter += (apart as f64 - self.jitter) / 16.0;
            }
        }
        self.previous_arrival = Some((timestamp, received));
        let wanted = ((4.0 * self.jitter) as u64).clamp(self.min_wait, self.max_wait);
        if wanted > self.wait {
            self.wait = wanted;
        } else {
            let over = self.wait - wanted;
            self.wait -= (over / 512).max(1).min(over);
        }
    }

    /// When the first of those came that wait at `from` or behind.
    fn earliest_received(&self, from: usize) -> u64 {
        let times = self.packets.iter().skip(from).map(|packet| packet.received);
        times.min().unwrap_or_default()
    }

    pub(super) fn front(&self) -> Option<FrontPacket<'_>> {
        let packet = self.packets.front()?;
        let since = self.earliest_received(0);
        let first = self.next_sequence <= self.stream_start
            && packet.extended_sequence >= self.stream_start;
        let missing = match packet.extended_sequence - self.next_sequence {
            missing if missing > 0 && !first => missing as u64,
            _ => 0,
        };
        let ready_in_doubt = since.saturating_add(self.min_wait);
        let ready = if first {
            ready_in_doubt
        } else if missing > 0 {
            since.saturating_add(self.wait)
        } else {
            since
        };
        Some(FrontPacket {
            packet,
            missing_before: missing,
            starts_stream: first,
            ready_at: ready,
            ready_at_if_provisional: ready_in_doubt.max(ready),
        })
    }

    /// Those that wait, in their order.
    pub(super) fn packets(&self) -> impl Iterator<Item = &BufferedPacket> {
        self.packets.iter()
    }

    /// Takes out the front.
    pub(super) fn pop(&mut self) -> Option<BufferedPacket> {
        let packet = self.packets.pop_front()?;
        self.bytes -= packet.opus.len();
        let over =
            u32::try_from(packet.extended_sequence + 1 - self.next_sequence).unwrap_or(u32::MAX);
        self.received_mask = self.received_mask.checked_shl(over).unwrap_or(0) | 1;
        self.next_sequence = packet.extended_sequence + 1;
        Some(packet)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Nothing waits any more, and whatever comes next is a new stream. Tells whether there was
    /// a packet of no stream.
    pub(super) fn reset(&mut self) -> bool {
        self.next_sequence = 0;
        self.stream_start = 0;
        self.received_mask = 0;
        self.newest = None;
        self.previous_arrival = None;
        self.packets.clear();
        self.bytes = 0;
        self.new_stream_candidate.take().is_some()
    }

    /// The bytes it holds.
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        let stranger = self
            .new_stream_candidate
            .as_ref()
            .map_or(0, |packet| packet.opus.len());
        self.bytes + stranger + self.packets.capacity() * size_of::<BufferedPacket>()
    }
}
