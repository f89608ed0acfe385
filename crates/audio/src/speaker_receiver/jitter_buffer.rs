//! The jitter buffer puts packets back into order.
//!
//! Nothing is played back live, so a packet that is next in sequence never waits. A packet after a
//! gap waits for as long as the missing ones may still arrive, which is estimated from the
//! variation of transit times.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::position::timeline_position;
use super::speaker_decoder::packet_samples;
use super::{SpeakerReceiverSettings, VoicePacket};
use crate::decode::opus_stream::OPUS_RATE;
use crate::pcm::{SAMPLE_RATE, duration_to_samples};

/// Ticks of an RTP timestamp (48 kHz) per sample at [`SAMPLE_RATE`].
pub(super) const RTP_TICKS_PER_SAMPLE: u32 = OPUS_RATE / SAMPLE_RATE;

/// Maximum number of buffered packets: 5 s at 20 ms each, in case the receiver is not polled.
const MAX_BUFFERED_PACKETS: usize = 256;

/// Maximum number of buffered bytes of Opus.
const MAX_BUFFERED_BYTES: usize = 128 * 1024;

/// Maximum size of a packet: six frames of 20 ms at their largest (RFC 6716, 3.2.1).
const MAX_PACKET_BYTES: usize = 6 * 1_275 + 32;

/// A larger jump in sequence numbers means that a new stream has begun (as in RFC 3550, A.1).
const MAX_SEQUENCE_GAP: i64 = 3_000;

/// The shortest packet in samples: 2.5 ms. A gap must be at least that long per missing packet.
const MIN_PACKET_SAMPLES: u64 = 40;

/// How much earlier than real time packets may arrive, in samples: 1 s. A stalled network delivers
/// everything it holds at once.
pub(super) const MAX_BURST_SAMPLES: u64 = 16_000;

/// How far back received sequence numbers are remembered. Older packets don't belong to the current
/// stream.
const HISTORY_PACKETS: i64 = 128;

/// A packet out of sequence starts a new stream if another one follows within this distance.
const NEW_STREAM_DISTANCE: i64 = 16;

/// How long to wait for missing packets before the network has been measured.
const INITIAL_WAIT: Duration = Duration::from_millis(100);

/// Margin added to the observed delay of a missing packet, in samples: 10 ms.
const LATE_MARGIN_SAMPLES: u64 = 160;

/// A packet with its position in the sequence.
pub(super) struct BufferedPacket {
    /// Sequence number without wraparound, counted across streams.
    pub(super) extended_sequence: i64,
    pub(super) timestamp: u32,
    pub(super) opus: Bytes,
    /// Arrival time in samples.
    pub(super) received: u64,
    /// Duration in samples; 0 if the packet is not valid Opus.
    pub(super) length: u64,
}

/// The next packet in sequence.
pub(super) struct FrontPacket<'a> {
    pub(super) packet: &'a BufferedPacket,
    /// Number of packets missing before it.
    pub(super) missing_before: u64,
    /// Whether it is the first packet of a stream.
    pub(super) starts_stream: bool,
    /// Time at which it is released without waiting any longer, in samples.
    pub(super) ready_at: u64,
    /// The same if its placement is provisional, which may be a little later.
    pub(super) ready_at_if_provisional: u64,
}

/// The result of pushing a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Arrival {
    /// It is waiting for its turn.
    Buffered,
    /// It may be the first packet of a new stream, which the next packet will tell.
    /// `dropped_previous` means that an earlier candidate was not.
    OutOfSequence {
        dropped_previous: bool,
    },
    Late,
    Duplicate,
    /// The buffer is full, and the packet counts as missing.
    BufferFull,
}

pub(super) struct JitterBuffer {
    min_wait: u64,
    max_wait: u64,
    /// Current wait for missing packets, in samples.
    wait: u64,
    /// Interarrival jitter in samples (RFC 3550, 6.4.1).
    jitter: f64,
    packets: VecDeque<BufferedPacket>,
    bytes: usize,
    /// Extended sequence number of the next packet.
    next_sequence: i64,
    /// Lowest possible extended sequence number of the current stream.
    stream_start: i64,
    /// Bit `i`: whether packet `next_sequence - 1 - i` was received.
    received_mask: u128,
    /// Highest extended sequence number so far, with that packet's sequence number and arrival
    /// time.
    newest: Option<(i64, u16, u64)>,
    /// Timestamp and arrival time of the previous packet.
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

    /// Adds a packet.
    pub(super) fn push(&mut self, packet: VoicePacket) -> Arrival {
        let received = timeline_position(packet.received);
        let Some((newest, newest_sequence, when)) = self.newest else {
            self.start_stream(&packet);
            return self.insert(self.stream_start + NEW_STREAM_DISTANCE, packet);
        };
        let ahead = i64::from(packet.sequence.wrapping_sub(newest_sequence) as i16);
        let sequence = newest + ahead;
        let elapsed = received.saturating_sub(when);
        let fits = if ahead > 0 {
            ahead < MAX_SEQUENCE_GAP
                && ahead as u64 * MIN_PACKET_SAMPLES <= elapsed + MAX_BURST_SAMPLES
        } else {
            ahead > -HISTORY_PACKETS
                && elapsed <= 2 * MAX_BURST_SAMPLES
                && sequence >= self.stream_start
        };
        if !fits {
            return self.push_out_of_sequence(packet);
        }
        if sequence < self.next_sequence {
            let bit =
                1_u128.checked_shl(u32::try_from(self.next_sequence - 1 - sequence).unwrap_or(128));
            let bit = bit.unwrap_or(0);
            if self.received_mask & bit != 0 {
                return Arrival::Duplicate;
            }
            self.received_mask |= bit;
            self.wait = (self.wait + self.wait / 2).min(self.max_wait);
            return Arrival::Late;
        }
        self.insert(sequence, packet)
    }

    /// Handles a packet that doesn't fit into the stream. It starts a new stream if another one
    /// joins it.
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
        let sequence = self.stream_start + NEW_STREAM_DISTANCE;
        self.insert(sequence, first);
        self.insert(sequence + apart, packet)
    }

    /// Starts a new stream, numbered after all buffered packets. Leaves room before `first` for
    /// earlier packets that may still arrive.
    fn start_stream(&mut self, first: &VoicePacket) {
        self.stream_start = self.newest.map_or(0, |(newest, ..)| newest + 1);
        let sequence = self.stream_start + NEW_STREAM_DISTANCE;
        self.newest = Some((sequence, first.sequence, timeline_position(first.received)));
        self.previous_arrival = None;
    }

    fn insert(&mut self, sequence: i64, packet: VoicePacket) -> Arrival {
        let at = self
            .packets
            .partition_point(|other| other.extended_sequence < sequence);
        let behind = self.packets.get(at);
        if behind.is_some_and(|other| other.extended_sequence == sequence) {
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
        if self.newest.is_none_or(|(newest, ..)| sequence > newest) {
            self.newest = Some((sequence, packet.sequence, received));
        }
        self.bytes += opus.len();
        let packet = BufferedPacket {
            extended_sequence: sequence,
            timestamp: packet.timestamp,
            length: packet_samples(&opus),
            opus,
            received,
        };
        self.packets.insert(at, packet);
        Arrival::Buffered
    }

    /// Updates the jitter estimate. The wait grows at once when packets arrive unevenly, and
    /// shrinks over about ten seconds.
    fn update_jitter(&mut self, timestamp: u32, received: u64) {
        if let Some((timestamp_before, received_before)) = self.previous_arrival {
            let ticks = timestamp.wrapping_sub(timestamp_before) as i32;
            let sent = i64::from(ticks / RTP_TICKS_PER_SAMPLE as i32);
            let elapsed = received as i64 - received_before as i64;
            let apart = (elapsed - sent).unsigned_abs();
            // A larger difference is a pause during which the timestamps stood still.
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

    /// Earliest arrival time of the packets from index `from` on.
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
        let ready_if_provisional = since.saturating_add(self.min_wait);
        let ready = if first {
            ready_if_provisional
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
            ready_at_if_provisional: ready_if_provisional.max(ready),
        })
    }

    /// The buffered packets in sequence.
    pub(super) fn packets(&self) -> impl Iterator<Item = &BufferedPacket> {
        self.packets.iter()
    }

    /// Removes the next packet.
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

    /// Drops all packets; the next one starts a new stream. Returns whether a new-stream candidate
    /// was dropped.
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

    /// Heap memory in bytes.
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        let candidate = self
            .new_stream_candidate
            .as_ref()
            .map_or(0, |packet| packet.opus.len());
        self.bytes + candidate + self.packets.capacity() * size_of::<BufferedPacket>()
    }
}
