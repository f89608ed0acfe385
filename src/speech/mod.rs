//! Speech to text: a [`Clip`] goes to a [`Transcriber`], a [`Transcript`] comes back.
//!
//! What a transcriber can take is data ([`Capabilities`]), so that a list of them can be tried in
//! order without knowing which is which. A provider's wire types stay inside its own module.

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

/// Turns recorded speech into words.
#[async_trait]
pub trait Transcriber: Send + Sync {
    /// Who this is and what it takes. Constant for the life of the transcriber.
    fn capabilities(&self) -> &Capabilities;

    /// Writes down what is said in `clip`.
    ///
    /// Ends within a time bound of its own. Dropping the future ends the work. A clip with nothing
    /// said in it gives a transcript with an empty text, not an error.
    async fn transcribe(
        &self,
        clip: &Clip,
        hints: &Hints,
        observer: &dyn TranscriptionObserver,
    ) -> Result<Transcript, SpeechError>;

    /// Finds out with the smallest request whether the transcriber would work now.
    async fn probe(&self) -> Result<(), SpeechError>;

    /// Begins to listen to a recording that is still being made. None from whoever does better with
    /// the whole, and from everybody who is paid: those take an [`upload`](Self::upload).
    fn start_streaming(&self, _hints: &Hints) -> Option<Box<dyn StreamingRecognition>> {
        None
    }

    /// Begins to upload a clip that is still being recorded. None from whoever takes only whole ones,
    /// or has just shown that it does not take it.
    fn start_upload(&self, _hints: &Hints) -> Option<LiveUpload> {
        None
    }

    /// Whether [`upload`](Self::upload) may ever give one.
    fn supports_upload(&self) -> bool {
        false
    }

    /// Opens the connection ahead of time, for a clip that is about to come; any answer will do.
    ///
    /// Ends within a time bound of its own, costs nothing, and may be called as often as somebody
    /// begins to speak. Where there is nothing to open, nothing happens.
    async fn prewarm(&self) {}
}

/// Listens to a recording while it is being made, so that little is left to do once it is whole.
/// Dropping it ends the work.
#[async_trait]
pub trait StreamingRecognition: Send {
    /// The next samples, mono at 16 kHz. Does not wait.
    fn push(&mut self, samples: &[f32]);

    /// It is whole: what is said in it, as [`Transcriber::transcribe`] would have written it but
    /// for the silence that was there to hear when it was recognized.
    async fn finish(
        self: Box<Self>,
        observer: &dyn TranscriptionObserver,
    ) -> Result<Transcript, SpeechError>;
}

/// How the names of this machine's own engines end.
pub const LOCAL_NAME_SUFFIX: &str = "(local)";

/// What a transcriber is and what it can take.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// Shown to people: "AssemblyAI Sync", "Moonshine tiny (local)".
    pub name: &'static str,
    /// The form in which it takes the clip.
    pub input: TranscriberInput,
    /// Clips shorter than this are refused.
    pub min_duration: Duration,
    /// Clips longer than this are refused.
    pub max_duration: Duration,
    /// Whether words come with times.
    pub word_timestamps: bool,
    /// ISO 639-1 codes it understands; empty: it says so itself.
    pub languages: &'static [&'static str],
}

impl Capabilities {
    /// Whether a clip can be given to this transcriber at all.
    pub fn accepts(&self, clip: &Clip) -> bool {
        let form = match self.input {
            TranscriberInput::Samples => clip.pcm().is_some(),
            TranscriberInput::Original => clip.recording().is_some(),
            TranscriberInput::Either => true,
        };
        form && (self.min_duration..=self.max_duration).contains(&clip.duration())
    }
}

/// The form in which a transcriber takes a clip.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TranscriberInput {
    /// Decoded samples held in memory.
    Samples,
    /// The bytes as somebody made them.
    Original,
    /// Samples if they are in memory, else it decodes the original itself.
    Either,
}

/// What helps to hear right. A transcriber uses what it can and ignores the rest.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// Names and terms that may be said.
    pub key_terms: Vec<String>,
    /// ISO 639-1 codes of the languages that may be spoken; empty: find out.
    pub languages: Vec<String>,
    /// What was said before, oldest first.
    pub context: Vec<String>,
    /// What the assistant said last, where it answers: what people say next is likely about that.
    pub last_answer: Option<String>,
    /// Whether the times of single words are wanted.
    pub word_timestamps: bool,
}

/// Hears how a transcription goes. Called from wherever the work runs: be quick.
pub trait TranscriptionObserver: Send + Sync {
    /// `provider` now has the clip.
    fn on_start(&self, provider: &'static str) {
        let _ = provider;
    }

    /// How far the work is.
    fn on_progress(&self, progress: TranscriptionProgress) {
        let _ = progress;
    }

    /// From here on a provider may bill the clip, whatever becomes of it: it is given to it. Once
    /// for each time that this happens.
    fn on_charge(&self) {}

    /// The provider does not bill what it was given last: it has surely done nothing with it.
    fn on_refund(&self) {}

    /// `provider` could not do it; `next` is tried instead.
    fn on_fallback(&self, provider: &'static str, error: &SpeechError, next: &'static str) {
        let _ = (provider, error, next);
    }
}

/// Somebody who does not want to know.
impl TranscriptionObserver for () {}

/// How far a transcription is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TranscriptionProgress {
    /// Bytes of the original that have been sent.
    Uploading {
        /// Bytes sent so far.
        sent: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The provider has the clip and has not begun.
    Queued,
    /// The provider is at work.
    Processing,
    /// The local engine is this far into the clip.
    Recognizing {
        /// Audio written down so far.
        done: Duration,
        /// Audio in all.
        total: Duration,
    },
}
