//! Packet statistics of a speaker.

use std::time::Duration;

use crate::samples_to_duration;

/// Packet statistics of a speaker since the first packet.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SpeakerStats {
    /// Packets received, in whatever state.
    pub received: u64,
    /// Received packets that arrived after their gap had been given up. They also count as `lost`.
    pub late: u64,
    /// Received packets that had been received before.
    pub duplicate: u64,
    /// Packets that did not arrive in time, by sequence number.
    pub lost: u64,
    /// Lost or damaged packets that the decoder concealed.
    pub concealed: u64,
    /// Received packets that were not decodable or belonged to no stream.
    pub damaged: u64,
    /// Duration of decoded audio, including silence that was sent.
    pub decoded: Duration,
    /// Duration of lost audio, by the timestamps around it.
    pub lost_duration: Duration,
}

/// The same statistics with durations in samples, which add up without rounding.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SpeakerCounters {
    pub(super) received: u64,
    pub(super) late: u64,
    pub(super) duplicate: u64,
    pub(super) lost: u64,
    pub(super) concealed: u64,
    pub(super) damaged: u64,
    pub(super) decoded_samples: u64,
    pub(super) lost_samples: u64,
}

impl SpeakerCounters {
    pub(super) fn to_stats(self) -> SpeakerStats {
        SpeakerStats {
            received: self.received,
            late: self.late,
            duplicate: self.duplicate,
            lost: self.lost,
            concealed: self.concealed,
            damaged: self.damaged,
            decoded: samples_to_duration(self.decoded_samples),
            lost_duration: samples_to_duration(self.lost_samples),
        }
    }
}
