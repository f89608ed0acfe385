//! The result of an analysis.

use std::time::Duration;

use super::speech_times::SpeechTimes;
use crate::{AudioInfo, Clip};

/// The result of [`analyze`](crate::analyze).
#[derive(Clone, Debug)]
pub struct AudioAnalysis {
    /// The recording, ready for a recognizer.
    pub clip: Clip,
    /// Total duration of the speech in it.
    pub speech_duration: Duration,
    /// The time ranges that contain speech.
    pub speech_times: SpeechTimes,
    /// Container, codec and declared duration.
    pub info: AudioInfo,
    /// Whether the file ends in the middle of a packet or element.
    pub is_truncated: bool,
}
