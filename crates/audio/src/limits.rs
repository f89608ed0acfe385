//! Limits on the recordings that are accepted.

use std::time::Duration;

/// The shortest recording that can hold a word; also the minimum that AssemblyAI Sync accepts.
pub const MIN_DURATION: Duration = Duration::from_millis(80);

/// Upper bounds on what one recording may cost to decode. All input is untrusted.
#[derive(Clone, Debug)]
pub struct AudioLimits {
    /// Size of the file in bytes. Default: 512 MiB.
    pub bytes: u64,
    /// Playing time, checked against both the declared and the decoded duration. Default: 4 hours.
    pub max_duration: Duration,
    /// Number of tracks in the container. Default: 32.
    pub max_tracks: usize,
    /// Clips up to this long keep their samples in memory, at 64 kB per second of audio. Default:
    /// 120 s, the maximum that AssemblyAI Sync accepts.
    pub max_in_memory: Duration,
}

impl Default for AudioLimits {
    fn default() -> Self {
        Self {
            bytes: 512 * 1024 * 1024,
            max_duration: Duration::from_secs(4 * 60 * 60),
            max_tracks: 32,
            max_in_memory: Duration::from_secs(120),
        }
    }
}
