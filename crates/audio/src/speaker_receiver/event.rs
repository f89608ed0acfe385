//! The output of a speaker receiver.

use std::time::Duration;

use crate::{Clip, Pcm, samples_to_duration};

/// An event of one speaker. Times are relative to the start of the session.
pub enum SpeakerEvent {
    /// Speech may have started. Followed by [`SpeakerEvent::Utterance`] or
    /// [`SpeakerEvent::Dismissed`]. After an utterance that was [cut](Utterance::is_cut) another
    /// one follows without a new start.
    SpeechStarted {
        /// Position of the first frame of speech.
        at: Duration,
    },
    /// Samples of an ongoing utterance, contiguous from its start. Only with
    /// [`SpeakerReceiverSettings::stream_audio`](super::SpeakerReceiverSettings::stream_audio), and
    /// only once it is confirmed as speech.
    Audio {
        /// Position of the first sample.
        at: Duration,
        /// Mono f32 at 16 kHz.
        samples: Vec<f32>,
    },
    /// What was detected was too short or too uncertain to be speech.
    Dismissed {
        /// Position from its [`SpeakerEvent::SpeechStarted`].
        at: Duration,
    },
    /// A complete utterance.
    Utterance(Utterance),
    /// Audio of this speaker was lost.
    Lost {
        /// Position where the lost audio starts.
        at: Duration,
        /// Duration of the lost audio.
        length: Duration,
    },
}

impl std::fmt::Debug for SpeakerEvent {
    /// Prints positions and lengths only: speech must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SpeechStarted { at } => write!(f, "SpeechStarted({at:?})"),
            Self::Audio { at, samples } => write!(f, "Audio({at:?} + {})", samples.len()),
            Self::Dismissed { at } => write!(f, "Dismissed({at:?})"),
            Self::Utterance(utterance) => utterance.fmt(f),
            Self::Lost { at, length } => write!(f, "Lost({at:?} + {length:?})"),
        }
    }
}

/// Speech between two pauses.
#[derive(Clone, PartialEq)]
pub struct Utterance {
    /// Position of its first sample, relative to the start of the session.
    pub start: Duration,
    /// Mono f32 at 16 kHz, including some silence before and after the speech.
    pub samples: Vec<f32>,
    /// Duration that is confirmed as speech.
    pub speech: Duration,
    /// Duration that was lost, and is concealed or silent.
    pub lost: Duration,
    /// Duration of the silence at the end.
    pub tail: Duration,
    /// Whether speech was split because the utterance was getting too long. The next utterance
    /// continues with the very next sample.
    pub is_cut: bool,
}

impl Utterance {
    /// Position of its end, relative to the start of the session.
    pub fn end(&self) -> Duration {
        self.start
            .saturating_add(samples_to_duration(self.samples.len() as u64))
    }

    /// Position of the end of its speech, without the trailing silence.
    pub fn speech_end(&self) -> Duration {
        self.end().saturating_sub(self.tail)
    }

    /// The samples as a clip, ready for a recognizer.
    pub fn into_clip(self) -> Clip {
        Clip::from_pcm(Pcm::from(self.samples))
    }
}

impl std::fmt::Debug for Utterance {
    /// Prints positions and lengths only: speech must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Utterance({:?} + {} samples, {:?} speech, {:?} lost{})",
            self.start,
            self.samples.len(),
            self.speech,
            self.lost,
            if self.is_cut { ", cut" } else { "" }
        )
    }
}
