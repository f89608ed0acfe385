//! Places packets on the session timeline.
//!
//! Within a talk spurt the RTP timestamps determine the position. During a pause they may continue
//! with the wall clock (Discord's clients) or stand still (discord.js), so after a pause the
//! arrival time decides where the two disagree. Network delay is told from a pause by the packets
//! that follow: after a stall they all arrive at once.
//!
//! Every pause also corrects earlier errors, such as a spurt that started with a late packet, or
//! clock drift. If a microphone never pauses, the correction is made while there is no speech.

use super::jitter_buffer::{BufferedPacket, MAX_BURST_SAMPLES, RTP_TICKS_PER_SAMPLE};

/// After a pause, timestamps that lag this far behind the arrival time have stood still during it;
/// in samples, 60 ms.
const PAUSE_LAG: i64 = 960;

/// The same if there is no sign of a pause: 300 ms, more than the jitter of a bad network.
const STALL_LAG: i64 = 4_800;

/// A timestamp this far ahead of the arrival time is wrong; in samples, 300 ms.
const MAX_EARLY: i64 = 4_800;

/// A gap in the timestamps that missing packets explain up to this rest contains no pause; in
/// samples, 100 ms.
const MAX_UNEXPLAINED_GAP: u64 = 1_600;

/// Deviation at which the timeline is corrected for a microphone that never pauses; in samples, 60
/// ms.
const MAX_DRIFT: i64 = 960;

/// Minimum number of packets before the least delayed one is used as the clock offset.
const MIN_DELAY_PACKETS: u32 = 10;

/// Packets per measurement of the delay: 5 s at 20 ms each.
const DELAY_WINDOW_PACKETS: u32 = 250;

/// Packets are rejected as a flood if the timeline is this far ahead of their arrival time; in
/// samples, 2.5 s. Less than that may be due to silence filled in for packets that were still
/// buffered elsewhere.
const MAX_AHEAD: u64 = 40_000;

/// The position of a packet, in samples since the start of the session.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Placement {
    /// Position of its first sample.
    pub(super) at: u64,
    /// Start and length of the loss before it.
    pub(super) lost_at: u64,
    pub(super) lost_samples: u64,
    /// Whether the missing packets are known to have been sent.
    pub(super) is_loss_confirmed: bool,
    /// Whether later packets may change this placement.
    pub(super) is_provisional: bool,
    /// Whether its samples are left out, because the timeline is ahead of real time.
    pub(super) is_dropped: bool,
    /// Whether more audio has arrived than time has passed.
    pub(super) is_flood: bool,
}

/// The most recently placed packet.
struct PlacedPacket {
    /// Expected position and timestamp of the next sample.
    next_position: u64,
    timestamp: u32,
    length: u64,
    received: u64,
    is_silence: bool,
}

/// Maps the clock of one speaker to the session timeline.
pub(super) struct SpeakerTimeline {
    last: Option<PlacedPacket>,
    /// Minimum delay of arrival after placement, over the packets counted so far.
    min_delay: i64,
    counted_packets: u32,
    /// Minimum delay over the last [`DELAY_WINDOW_PACKETS`] packets.
    settled_delay: i64,
}

impl SpeakerTimeline {
    pub(super) fn new() -> Self {
        Self {
            last: None,
            min_delay: i64::MAX,
            counted_packets: 0,
            settled_delay: 0,
        }
    }

    /// Duration of the last packet, which is assumed for lost ones.
    pub(super) fn last_packet_samples(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.length)
    }

    /// Forgets the stream; the next packet is unrelated to those before.
    pub(super) fn reset(&mut self) {
        *self = Self::new();
    }

    /// Places `packet`, with `missing` packets missing before it and the timeline filled up to
    /// `end`. `behind` yields the packet and those buffered after it; `quiet` means that there is
    /// no speech at the moment.
    pub(super) fn place<'a>(
        &self,
        packet: &BufferedPacket,
        missing: u64,
        first: bool,
        behind: impl Iterator<Item = &'a BufferedPacket>,
        end: u64,
        quiet: bool,
    ) -> Placement {
        let by_arrival = position_by_arrival(packet, behind);
        let flood = end > by_arrival.saturating_add(MAX_AHEAD);
        let arrival_placement = Placement {
            at: by_arrival.max(end),
            lost_at: end,
            is_provisional: true,
            is_flood: flood,
            ..Placement::default()
        };
        let Some(last) = self.last.as_ref().filter(|_| !first) else {
            return arrival_placement;
        };
        let ticks = packet.timestamp.wrapping_sub(last.timestamp) as i32;
        let elapsed = packet.received.saturating_sub(last.received);
        let max_loss = missing.saturating_mul(last.length.max(packet.length));
        let gap = u32::try_from(ticks).map(|ticks| u64::from(ticks / RTP_TICKS_PER_SAMPLE));
        // Audio can't be sent before it is recorded, and clients rarely change the packet duration.
        let believable =
            |gap: &u64| *gap <= elapsed.saturating_add(MAX_BURST_SAMPLES) && *gap >= max_loss / 4;
        let Some(gap) = gap.ok().filter(believable) else {
            return arrival_placement;
        };
        let (mut lost, pause) = match gap.saturating_sub(max_loss) {
            rest if missing > 0 && rest <= MAX_UNEXPLAINED_GAP => (gap, 0),
            rest => (gap - rest, rest),
        };
        let correction = if pause > 0 {
            self.clock_offset()
        } else if quiet && missing == 0 && self.settled_delay.abs() > MAX_DRIFT {
            self.settled_delay
        } else {
            0
        };
        let by_clock = (last.next_position + gap) as i64 + correction;
        let late = by_arrival as i64 - by_clock;
        let max_lag = if pause > 0 || last.is_silence {
            PAUSE_LAG
        } else {
            STALL_LAG
        };
        let mut provisional = false;
        let at = if late > max_lag {
            provisional = true;
            by_arrival
        } else if late < -MAX_EARLY {
            let room = by_arrival.saturating_sub(last.next_position);
            lost = lost.min(room);
            by_arrival
        } else {
            by_clock.max(0) as u64
        };
        let at = at.max(last.next_position + lost).max(end);
        // A loss around a pause is assumed at the end of the earlier spurt, unless that spurt had
        // ended.
        let lost_at = if last.is_silence && at > last.next_position + lost {
            at - lost
        } else {
            last.next_position
        };
        Placement {
            at,
            lost_at,
            lost_samples: lost,
            is_loss_confirmed: true,
            is_provisional: provisional,
            is_dropped: pause == 0 && correction < -MAX_DRIFT && late >= -MAX_EARLY,
            is_flood: flood,
        }
    }

    /// Current deviation of placements from arrival times.
    fn clock_offset(&self) -> i64 {
        if self.counted_packets >= MIN_DELAY_PACKETS {
            self.min_delay
        } else {
            self.settled_delay
        }
    }

    /// Records that the packet was placed.
    pub(super) fn record_placement(
        &mut self,
        packet: &BufferedPacket,
        placement: &Placement,
        silence: bool,
    ) {
        let moved = self.last.as_ref().is_none_or(|last| {
            placement.at != last.next_position + placement.lost_samples || placement.is_dropped
        });
        if moved {
            self.min_delay = i64::MAX;
            self.counted_packets = 0;
            self.settled_delay = 0;
        }
        let appended = if placement.is_dropped {
            0
        } else {
            packet.length
        };
        let by_arrival = packet.received as i64 - packet.length as i64;
        self.min_delay = self.min_delay.min(by_arrival - placement.at as i64);
        self.counted_packets += 1;
        if self.counted_packets >= DELAY_WINDOW_PACKETS {
            self.settled_delay = self.min_delay;
            self.min_delay = i64::MAX;
            self.counted_packets = 0;
        }
        self.last = Some(PlacedPacket {
            next_position: placement.at + appended,
            timestamp: packet
                .timestamp
                .wrapping_add((packet.length as u32).wrapping_mul(RTP_TICKS_PER_SAMPLE)),
            length: packet.length,
            received: packet.received,
            is_silence: silence,
        });
    }

    /// Records a packet that was placed but could not be decoded, so that its audio is still
    /// missing.
    pub(super) fn record_undecodable(&mut self, packet: &BufferedPacket, placement: &Placement) {
        self.last = Some(PlacedPacket {
            next_position: placement.at,
            timestamp: packet.timestamp,
            length: packet.length,
            received: packet.received,
            is_silence: false,
        });
    }
}

/// Position by arrival time: a packet is sent when its last sample has been recorded. If a later
/// packet had less delay, its position counts instead.
fn position_by_arrival<'a>(
    packet: &BufferedPacket,
    behind: impl Iterator<Item = &'a BufferedPacket>,
) -> u64 {
    let positions = behind.map_while(|other| {
        let later = u64::try_from(other.extended_sequence - packet.extended_sequence).ok()?;
        let ticks = other.timestamp.wrapping_sub(packet.timestamp);
        let offset = u64::from(ticks / RTP_TICKS_PER_SAMPLE);
        // Use only packets of the same spurt, whose timestamps advance with the sequence numbers.
        (offset <= (later + 2) * packet.length.max(1)).then(|| {
            other
                .received
                .saturating_sub(other.length.saturating_add(offset))
        })
    });
    let own = packet.received.saturating_sub(packet.length);
    positions.min().map_or(own, |position| position.min(own))
}
