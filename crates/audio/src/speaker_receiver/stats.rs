//! An honest account of what was heard of a speaker and what was not.

use std::time::Duration;

use crate::samples_to_duration;

/// What became of a speaker's packets, from the first one on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SpeakerStats {
    /// Packets that came, whatever became of them.
    pub received: u64,
    /// Of those, how many came when their place had been given up. They are among `lost` too.
    pub late: u64,
    /// Of those that came, how many had come before.
    pub duplicate: u64,
    /// Packets that didn't come in time, by their sequence numbers.
    pub lost: u64,
    /// Of the packets that were lost or damaged, how many the decoder made a guess at.
    pub concealed: u64,
    /// Of those that came, how many made no sense: not decodable, or in nobody's sequence.
    pub damaged: u64,
    /// How much was decoded, silence included that was sent as such.
    pub decoded: Duration,
    /// How much is missing, by the timestamps around it.
    pub lost_duration: Duration,
}

/// The same with times in samples, which add up without rounding.
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
    pub(super) fn to_stats(&self) -> SpeakerStats {
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
