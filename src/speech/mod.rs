//! Speech to text: a [`Transcriber`] turns a [`Clip`] into a [`Transcript`].
//!
//! What a transcriber accepts is described by data ([`Capabilities`]), so that [`Failover`] can try
//! a list of them in order. A provider's wire types stay inside its own module. For speech that is
//! still being spoken, see [`live`] (results per utterance) and [`upload`] (one clip).

pub mod assemblyai;
mod error;
mod failover;
pub mod live;
#[cfg(feature = "local-speech")]
pub mod local;
pub mod segments;
pub mod subtitles;
mod transcript;
pub mod upload;

use std::time::Duration;

use async_trait::async_trait;

use audio::Clip;

pub use error::{FailoverAction, RefusedParameter, SpeechError};
pub use failover::{Failover, FailoverSettings, HealthState, ProviderFault, ProviderHealth};
pub use live::{
    LiveAudioSender, LiveEvent, LiveEventReceiver, LiveMeter, LiveTranscriber, LiveTranscription,
};
pub use transcript::{Segment, Transcript, Word};
pub use upload::{LiveUpload, UploadMeter};

/// Transcribes recorded speech.
#[async_trait]
pub trait Transcriber: Send + Sync {
    /// The transcriber's name and what it accepts. Constant for its lifetime.
    fn capabilities(&self) -> &Capabilities;

    /// Transcribes `clip`.
    ///
    /// Ends within a time limit of its own. Dropping the future cancels the work. A clip without
    /// speech gives a transcript with an empty text, not an error.
    async fn transcribe(
        &self,
        clip: &Clip,
        hints: &Hints,
        observer: &dyn TranscriptionObserver,
    ) -> Result<Transcript, SpeechError>;

    /// Sends the smallest possible request to check that the transcriber works now.
    async fn probe(&self) -> Result<(), SpeechError>;

    /// Starts to recognize a clip that is still being recorded. `None` from engines that do better
    /// with the whole clip, and from paid providers, which offer
    /// [`start_upload`](Self::start_upload) instead.
    fn start_streaming(&self, _hints: &Hints) -> Option<Box<dyn StreamingRecognition>> {
        None
    }

    /// Starts to upload a clip that is still being recorded. `None` if the provider accepts only
    /// complete clips, or has recently refused such an upload.
    fn start_upload(&self, _hints: &Hints) -> Option<LiveUpload> {
        None
    }

    /// Whether [`start_upload`](Self::start_upload) can ever return an upload.
    fn supports_upload(&self) -> bool {
        false
    }

    /// Opens the connection ahead of time, for a clip that is about to come. Any response counts.
    ///
    /// Ends within a time limit of its own, costs nothing, and may be called every time a user
    /// starts to speak. Does nothing where there is no connection to open.
    async fn prewarm(&self) {}
}

/// Recognizes a clip while it is being recorded, so that little work is left when it ends.
/// Dropping it cancels the work.
#[async_trait]
pub trait StreamingRecognition: Send {
    /// The next samples, mono at 16 kHz. Does not block.
    fn push(&mut self, samples: &[f32]);

    /// Ends the clip and returns its transcript: the same as from [`Transcriber::transcribe`],
    /// except that silences are judged on the audio known when each part was recognized.
    async fn finish(
        self: Box<Self>,
        observer: &dyn TranscriptionObserver,
    ) -> Result<Transcript, SpeechError>;
}

/// Suffix of the names of local engines, which run on this machine.
pub const LOCAL_NAME_SUFFIX: &str = "(local)";

/// A transcriber's name and what it accepts.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// Name shown to users, for example "AssemblyAI Sync" or "Moonshine tiny (local)".
    pub name: &'static str,
    /// The form in which it accepts a clip.
    pub input: TranscriberInput,
    /// Clips shorter than this are refused.
    pub min_duration: Duration,
    /// Clips longer than this are refused.
    pub max_duration: Duration,
    /// Whether it returns timestamps for words.
    pub word_timestamps: bool,
    /// ISO 639-1 codes of the supported languages; empty if only the provider knows.
    pub languages: &'static [&'static str],
}

impl Capabilities {
    /// Whether this transcriber accepts the clip's form and duration.
    pub fn accepts(&self, clip: &Clip) -> bool {
        let form = match self.input {
            TranscriberInput::Samples => clip.pcm().is_some(),
            TranscriberInput::Original => clip.recording().is_some(),
            TranscriberInput::Either => true,
        };
        form && (self.min_duration..=self.max_duration).contains(&clip.duration())
    }
}

/// The form in which a transcriber accepts a clip.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TranscriberInput {
    /// Decoded samples held in memory.
    Samples,
    /// The original bytes of the recording.
    Original,
    /// Samples if they are in memory; otherwise the transcriber decodes the original itself.
    Either,
}

/// Hints that improve recognition. A transcriber uses what it supports and ignores the rest.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// Names and terms that may occur.
    pub key_terms: Vec<String>,
    /// ISO 639-1 codes of the languages that may be spoken; empty: detect the language.
    pub languages: Vec<String>,
    /// Earlier utterances of the conversation, oldest first.
    pub context: Vec<String>,
    /// The assistant's last answer, if it is in the conversation: the user's next words are likely
    /// about it.
    pub last_answer: Option<String>,
    /// Whether word timestamps are wanted.
    pub word_timestamps: bool,
}

/// Callbacks about the course of a transcription. They run on the task that does the work: return
/// quickly.
pub trait TranscriptionObserver: Send + Sync {
    /// `provider` starts to work on the clip.
    fn on_start(&self, provider: &'static str) {
        let _ = provider;
    }

    /// The work has progressed.
    fn on_progress(&self, progress: TranscriptionProgress) {
        let _ = progress;
    }

    /// The clip is handed to a provider, which may bill it from here on, whatever the outcome.
    /// Called once each time that happens.
    fn on_charge(&self) {}

    /// The provider certainly does not bill the last charge: it did not process the clip.
    fn on_refund(&self) {}

    /// `provider` failed; `next` is tried instead.
    fn on_fallback(&self, provider: &'static str, error: &SpeechError, next: &'static str) {
        let _ = (provider, error, next);
    }
}

/// An observer that ignores everything.
impl TranscriptionObserver for () {}

/// How far a transcription has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TranscriptionProgress {
    /// The original is being uploaded.
    Uploading {
        /// Bytes sent so far.
        sent: u64,
        /// Bytes in total.
        total: u64,
    },
    /// The provider has the clip but has not started on it.
    Queued,
    /// The provider is processing the clip.
    Processing,
    /// The local engine is working through the clip.
    Recognizing {
        /// Audio recognized so far.
        done: Duration,
        /// Audio in total.
        total: Duration,
    },
}
