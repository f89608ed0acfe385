//! Audio that is ready to be transcribed.

use std::time::Duration;

use super::pcm::Pcm;
use super::recording::Recording;

/// Audio that contains speech and whose exact duration is known, ready for a recognizer.
///
/// A short clip carries its samples. A long one keeps only the original file, which is uploaded as
/// it is or decoded again as a stream. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Clip {
    recording: Option<Recording>,
    pcm: Option<Pcm>,
    duration: Duration,
}

impl Clip {
    /// A clip without a file behind it: a finished utterance of a voice session.
    pub fn from_pcm(pcm: Pcm) -> Self {
        Self {
            recording: None,
            duration: pcm.duration(),
            pcm: Some(pcm),
        }
    }

    /// A file that decodes to `duration`, with its samples if they fit into memory.
    pub fn from_recording(original: Recording, duration: Duration, pcm: Option<Pcm>) -> Self {
        Self {
            recording: Some(original),
            pcm,
            duration,
        }
    }

    /// The original file, unchanged.
    pub fn recording(&self) -> Option<&Recording> {
        self.recording.as_ref()
    }

    /// The samples, if they are kept in memory.
    pub fn pcm(&self) -> Option<&Pcm> {
        self.pcm.as_ref()
    }

    /// Playing time by the number of decoded samples, not by what the file declares.
    pub fn duration(&self) -> Duration {
        self.duration
    }
}
