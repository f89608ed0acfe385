//! What comes out of an ear.

use std::time::Duration;

use crate::{Clip, Pcm, samples_to_duration};

/// Something about a speaker. Times count from the beginning of the session.
pub enum SpeakerEvent {
    /// Somebody seems to speak. An [`SpeakerEvent::TrackedUtterance`] or [`SpeakerEvent::Dismissed`] follows;
    /// after an utterance that was [cut](Utterance::cut) another one, without a new start.
    SpeechStarted {
        /// Where the first sound of it is.
        at: Duration,
    },
    /// Samples, mono at 16 kHz, of what is going to be an utterance, from its beginning on and
    /// without a hole. Only with [`SpeakerReceiverSettings::live`](super::SpeakerReceiverSettings::live), and only once
    /// it is sure to be speech.
    Audio {
        /// Where the first sample is.
        at: Duration,
        /// Mono f32 at 16 kHz.
        samples: Vec<f32>,
    },
    /// What seemed to be speech was too short or too unsure to be any.
    Dismissed {
        /// Where it began, as in [`SpeakerEvent::SpeechStarted`].
        at: Duration,
    },
    /// Somebody has said something.
    Utterance(Utterance),
    /// Audio of this speaker that never came.
    Lost {
        /// Where it would have begun.
        at: Duration,
        /// How long it was.
        length: Duration,
    },
}

impl std::fmt::Debug for SpeakerEvent {
    /// Speech never reaches a log: only its place does.
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

/// A stretch of speech between two pauses.
#[derive(Clone, PartialEq)]
pub struct Utterance {
    /// Where its first sample is, counted from the beginning of the session.
    pub start: Duration,
    /// Mono f32 at 16 kHz, with some of the silence before and after the speech.
    pub samples: Vec<f32>,
    /// How much of it is sure to be speech.
    pub speech: Duration,
    /// How much of it never came, and is a guess or silence.
    pub lost: Duration,
    /// How much of its end is silence behind the speech.
    pub tail: Duration,
    /// Whether it ends in mid-speech, only because it was getting too long. The next one goes on
    /// with the very next sample.
    pub is_cut: bool,
}

impl Utterance {
    /// Where it ends, counted from the beginning of the session.
    pub fn end(&self) -> Duration {
        self.start
            .saturating_add(samples_to_duration(self.samples.len() as u64))
    }

    /// Where the speech ends, without the silence behind it.
    pub fn speech_end(&self) -> Duration {
        self.end().saturating_sub(self.tail)
    }

    /// What a transcriber takes.
    pub fn into_clip(self) -> Clip {
        Clip::from_pcm(Pcm::from(self.samples))
    }
}

impl std::fmt::Debug for Utterance {
    /// Speech never reaches a log: only its place does.
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
