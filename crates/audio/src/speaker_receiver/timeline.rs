//! Where a packet's samples belong on the session's timeline.
//!
//! Within a spurt of speech the RTP timestamps say it. Over a pause they may go on by the wall
//! clock (Discord's clients) or stand still (discord.js), so there the time of arrival decides
//! where they disagree. What the network delays is told from a pause by the packets behind it:
//! after a stall they come all at once.
//!
//! Each pause also mends what has gone wrong before it: a spurt that began with a late packet,
//! clocks that don't agree. A microphone that never pauses is mended while nobody speaks.

use super::jitter_buffer::{BufferedPacket, MAX_BURST_SAMPLES, RTP_TICKS_PER_SAMPLE};

/// Timestamps that lag behind the arrival by more than this have stood still over a pause, in
/// samples: 60 ms. For where a pause is known to be.
const PAUSE_LAG: i64 = 960;

/// The same where nothing tells of a pause: 300 ms, more than a bad network's jitter.
const STALL_LAG: i64 = 4_800;

/// A packet whose timestamp puts it this much later than it came has a wrong one: 300 ms.
const MAX_EARLY: i64 = 4_800;

/// With a hole whose packets explain the gap in the timestamps but for this, there is no pause
/// in it: 100 ms in samples.
const MAX_UNEXPLAINED_GAP: u64 = 1_600;

/// The timeline is moved under a microphone that never pauses if it is this far off: 60 ms.
const MAX_DRIFT: i64 = 960;

/// Of so many packets the least delayed one shows how far the timeline is off...
const MIN_DELAY_PACKETS: u32 = 10;

/// ...and after so many (5 s) the count begins again.
const DELAY_WINDOW_PACKETS: u32 = 250;

/// A decoder's worth of samples that came without their time passing is refused: 2.5 s ahead.
/// Less may be owed to silence that was put where packets belong that had to wait elsewhere.
const MAX_AHEAD: u64 = 40_000;

/// Where a packet goes. All in samples since the session began.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Placement {
    /// Its first sample.
    pub(super) at: u64,
    /// Where samples are missing before it, and how many.
    pub(super) lost_at: u64,
    pub(super) lost_samples: u64,
    /// Whether the missing packets are known to have been sent.
    pub(super) is_loss_confirmed: bool,
    /// Whether packets yet to come might change this.
    pub(super) is_provisional: bool,
    /// Whether its samples are left out, for the timeline is ahead of the time.
    pub(super) is_dropped: bool,
    /// Whether more came than time has passed.
    pub(super) is_flood: bool,
}

/// The packet that was placed last.
struct PlacedPacket {
    /// Where the next sample is expected, and the timestamp it has.
    next_position: u64,
    timestamp: u32,
    length: u64,
    received: u64,
    is_silence: bool,
}

/// One speaker's clock against the session's.
pub(super) struct SpeakerTimeline {
    last: Option<PlacedPacket>,
    /// How late packets are, compared with their places: the least of those counted.
    min_delay: i64,
    counted_packets: u32,
    /// The least of the last [`DELAY_WINDOW_PACKETS`].
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

    /// How long the last packet was: what one that is lost is taken for.
    pub(super) fn last_packet_samples(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.length)
    }

    /// Whatever comes next has nothing to do with what came before.
    pub(super) fn reset(&mut self) {
        *self = Self::new();
    }

    /// Where `packet` goes if `missing` packets are missing before it and the timeline is filled
    /// up to `end`. `behind` are it and those that wait behind it, `quiet` says that nobody
    /// speaks.
    pub(super) fn place<'a>(
        &self,
        packet: &BufferedPacket,
        missing: u64,
        first: bool,
        behind: impl Iterator<Item = &'a BufferedPacket>,
        end: u64,
        quiet: bool,
    ) -> Placement {
        let came = position_by_arrival(packet, behind);
        let flood = end > came.saturating_add(MAX_AHEAD);
        let by_arrival_alone = Placement {
            at: came.max(end),
            lost_at: end,
            is_provisional: true,
            is_flood: flood,
            ..Placement::default()
        };
        let Some(last) = self.last.as_ref().filter(|_| !first) else {
            return by_arrival_alone;
        };
        let ticks = packet.timestamp.wrapping_sub(last.timestamp) as i32;
        let elapsed = packet.received.saturating_sub(last.received);
        let most = missing.saturating_mul(last.length.max(packet.length));
        let gap = u32::try_from(ticks).map(|ticks| u64::from(ticks / RTP_TICKS_PER_SAMPLE));
        // Nothing is sent before it is spoken, and packets hardly ever change their length.
        let believable =
            |gap: &u64| *gap <= elapsed.saturating_add(MAX_BURST_SAMPLES) && *gap >= most / 4;
        let Some(gap) = gap.ok().filter(believable) else {
            return by_arrival_alone;
        };
        let (mut lost, pause) = match gap.saturating_sub(most) {
            rest if missing > 0 && rest <= MAX_UNEXPLAINED_GAP => (gap, 0),
            rest => (gap - rest, rest),
        };
        let off = if pause > 0 {
            self.clock_offset()
        } else if quiet && missing == 0 && self.settled_delay.abs() > MAX_DRIFT {
            self.settled_delay
        } else {
            0
        };
        let by_clock = (last.next_position + gap) as i64 + off;
        let late = came as i64 - by_clock;
        let patience = if pause > 0 || last.is_silence {
            PAUSE_LAG
        } else {
            STALL_LAG
        };
        let mut doubtful = false;
        let at = if late > patience {
            doubtful = true;
            came
        } else if late < -MAX_EARLY {
            let room = came.saturating_sub(last.next_position);
            lost = lost.min(room);
            came
        } else {
            by_clock.max(0) as u64
        };
        let at = at.max(last.next_position + lost).max(end);
        // What was lost around a pause is taken for the end of what came before it, unless that
        // had come to its end.
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
            is_provisional: doubtful,
            is_dropped: pause == 0 && off < -MAX_DRIFT && late >= -MAX_EARLY,
            is_flood: flood,
        }
    }

    /// How far the places of the latest packets are off.
    fn clock_offset(&self) -> i64 {
        if self.counted_packets >= MIN_DELAY_PACKETS {
            self.min_delay
        } else {
            self.settled_delay
        }
    }

    /// The packet has been placed there.
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
        let taken = if placement.is_dropped {
            0
        } else {
            packet.length
        };
        let came = packet.received as i64 - packet.length as i64;
        self.min_delay = self.min_delay.min(came - placement.at as i64);
        self.counted_packets += 1;
        if self.counted_packets >= DELAY_WINDOW_PACKETS {
            self.settled_delay = self.min_delay;
            self.min_delay = i64::MAX;
            self.counted_packets = 0;
        }
        self.last = Some(PlacedPacket {
            next_position: placement.at + taken,
            timestamp: packet
                .timestamp
                .wrapping_add((packet.length as u32).wrapping_mul(RTP_TICKS_PER_SAMPLE)),
            length: packet.length,
            received: packet.received,
            is_silence: silence,
        });
    }

    /// The same of a packet that turned out not to be decodable: it has been waited for, but
    /// is still missing.
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

/// Where a packet belongs by its arrival: it was sent when its last sample had been spoken. If
/// one behind it was faster, by that one's.
fn position_by_arrival<'a>(
    packet: &BufferedPacket,
    behind: impl Iterator<Item = &'a BufferedPacket>,
) -> u64 {
    let places = behind.map_while(|other| {
        let later = u64::try_from(other.extended_sequence - packet.extended_sequence).ok()?;
        let ticks = other.timestamp.wrapping_sub(packet.timestamp);
        let offset = u64::from(ticks / RTP_TICKS_PER_SAMPLE);
        // Only of the same spurt, where timestamps go with the packets.
        (offset <= (later + 2) * packet.length.max(1)).then(|| {
            other
                .received
                .saturating_sub(other.length.saturating_add(offset))
        })
    });
    let own = packet.received.saturating_sub(packet.length);
    places.min().map_or(own, |place| place.min(own))
}
