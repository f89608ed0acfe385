//! A recording that has been listened to once.

use std::time::Duration;

use super::pcm::Pcm;
use super::recording::Recording;

/// A recording whose length is known and which holds speech, ready for a transcriber.
///
/// A short one carries its samples; of a long one only the original is kept, to be sent as it
/// is or decoded again as a stream. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Clip {
    recording: Option<Recording>,
    pcm: Option<Pcm>,
    duration: Duration,
}

impl Clip {
    /// Something that was never a file: a finished utterance of a voice session.
    pub fn from_pcm(pcm: Pcm) -> Self {
        Self {
            recording: None,
            duration: pcm.duration(),
            pcm: Some(pcm),
        }
    }

    /// A file that decodes to `duration`, with its samples if they are few enough to keep.
    pub fn from_recording(original: Recording, duration: Duration, pcm: Option<Pcm>) -> Self {
        Self {
            recording: Some(original),
            pcm,
            duration,
        }
    }

    /// The bytes as somebody made them.
    pub fn recording(&self) -> Option<&Recording> {
        self.recording.as_ref()
    }

    /// The samples, if they are held in memory.
    pub fn pcm(&self) -> Option<&Pcm> {
        self.pcm.as_ref()
    }

    /// How long it plays, by the samples that were decoded, not by what the file claims.
    pub fn duration(&self) -> Duration {
        self.duration
    }
}
