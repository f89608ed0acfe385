//! Live speech to text: transcribes while people are still talking.
//!
//! A [`LiveTranscriber`] opens one [`LiveTranscription`] per speaker: samples go in, grouped by
//! utterance, and [`LiveEvent`]s come out. The provider works on the other end of a bounded
//! channel, its [`LiveProviderHandle`]. Neither side blocks the other: pushing never waits, and a
//! newer partial replaces an unread older one.

mod channel;
mod event;
mod provider;
#[cfg(test)]
mod tests;
mod transcription;

use async_trait::async_trait;

use super::{Hints, SpeechError};

pub use channel::{LiveInput, MAX_PENDING_UTTERANCES};
pub use event::LiveEvent;
pub use provider::LiveProviderHandle;
pub use transcription::{LiveAudioSender, LiveEventReceiver, LiveMeter, LiveTranscription};

/// Transcribes speech while it is spoken.
#[async_trait]
pub trait LiveTranscriber: Send + Sync {
    /// Name shown to users, for example "AssemblyAI streaming".
    fn name(&self) -> &'static str;

    /// Starts a stream for one speaker. Connects only when the first samples arrive.
    ///
    /// Must be called inside a Tokio runtime: the stream runs there as a task.
    fn start_stream(&self, hints: Hints) -> LiveTranscription;

    /// Opens the shortest possible session to check that the provider works now.
    ///
    /// # Errors
    ///
    /// Why the provider can't be used.
    async fn probe(&self) -> Result<(), SpeechError>;
}
