//! An honest account of what was heard of a speaker and what was not.

use std::time::Duration;

/// What became of a speaker's packets, from the first one on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
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
    pub heard: Duration,
    /// How much is missing, by the timestamps around it.
    pub lost_time: Duration,
}
