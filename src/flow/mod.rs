//! What happens to a recording, from the file to the answer.
//!
//! Knows neither Discord nor a terminal: whoever asks gives a [`Reply`] and is told how it goes.

pub mod access;
pub mod admission;
mod along;
mod asking;
pub mod consent;
pub mod desk;
#[cfg(test)]
mod desk_tests;
pub mod evidence;
mod failure;
pub mod front;
pub mod memory;
pub mod order;
pub mod paid;
pub mod paid_upload;
pub mod queue;
mod reply;
pub mod rules;
pub mod server;
pub mod session;
pub mod suspects;
pub mod work;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::chat::{Conversation, End, Role, Turn};
use crate::speech::{Ahead, Hints, Observer, Progress, SpeechError, Transcript};
use crate::store::Account;
use audio::{self, Clip, Limits, Recording, SpeechTimes};

use self::admission::{Payer, Permit};
use self::along::{Along, Held, Uploading};
use self::paid::{PaidModel, PaidTranscriber};
use self::paid_upload::PaidUpload;

pub use failure::Failure;
pub use reply::{Notice, Reply, Stage};

/// Everything a recording passes through.
#[derive(Clone)]
pub struct Pipeline {
    /// What a recording may ask of us.
    pub limits: Limits,
    /// Who writes it down.
    pub transcriber: PaidTranscriber,
    /// Who answers.
    pub chat: PaidModel,
    /// What helps to hear right.
    pub hints: Hints,
    /// How to answer.
    pub system_prompt: String,
    /// The longest time an answer may take, from the question to its last word.
    pub answer_limit: Duration,
}

/// A recording that has been written down.
#[derive(Debug)]
pub struct Heard {
    /// The words. Never empty: silence is a [`Failure`].
    pub transcript: Transcript,
    /// How long the recording plays.
    pub duration: Duration,
}

/// An answer that is complete.
#[derive(Debug)]
pub struct Answered {
    /// All that was said.
    pub text: Answer,
    /// How it ended.
    pub end: End,
}

/// The words of an answer.
pub struct Answer(pub String);

impl std::fmt::Debug for Answer {
    /// Answers never reach a log: only their size does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({} bytes)", self.0.len())
    }
}

/// A recording that has been decoded.
pub struct Decoded {
    clip: Clip,
    spoken: SpeechTimes,
    ahead: Option<Box<dyn Ahead>>,
    upload: Option<PaidUpload>,
}

impl Decoded {
    /// How long it plays.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.clip.duration()
    }
}

impl Pipeline {
    /// Decodes `recording` and writes down what is said in it.
    ///
    /// # Errors
    ///
    /// Why there are no words.
    pub async fn hear(
        &self,
        permit: &Permit,
        recording: Recording,
        hints: &Hints,
        reply: &Arc<dyn Reply>,
    ) -> Result<Heard, Failure> {
        let decoded = self.decode(recording, hints, reply).await?;
        self.write_down(permit, decoded, hints, reply).await
    }

    /// Decodes `recording`: from then on it is known how long it plays. Silence is a failure.
    ///
    /// # Errors
    ///
    /// Why it can't be heard.
    pub async fn decode(
        &self,
        recording: Recording,
        hints: &Hints,
        reply: &Arc<dyn Reply>,
    ) -> Result<Decoded, Failure> {
        // Of a recording that is still being made, what has come can be listened to already, by
        // engines of this machine, which cost nothing.
        let is_growing = recording.is_growing();
        let ahead = is_growing.then(|| self.transcriber.ahead(hints)).flatten();
        let _warming = (is_growing && ahead.is_none()).then(|| self.warming());
        self.decode_along(recording, ahead, Uploading::No, reply)
            .await
    }

    /// Whether a recording that is still being made can be [uploaded](Self::decode_uploading) as it
    /// comes.
    #[must_use]
    pub fn takes_uploads(&self) -> bool {
        self.transcriber.takes_uploads()
    }

    /// As [`decode`](Self::decode), for a recording that is still being made: from the first speech
    /// in it on it is uploaded as it comes. The permit is for the first
    /// [`UPLOAD_SLICE`](paid_upload::UPLOAD_SLICE) of it; further ones are asked for.
    ///
    /// # Errors
    ///
    /// Why it can't be heard.
    pub async fn decode_uploading(
        &self,
        recording: Recording,
        (permit, books): (Permit, (Payer, Account)),
        hints: &Hints,
        reply: &Arc<dyn Reply>,
    ) -> Result<Decoded, Failure> {
        // Whoever listens on this machine costs nothing.
        if let Some(ahead) = self.transcriber.ahead(hints) {
            return self
                .decode_along(recording, Some(ahead), Uploading::No, reply)
                .await;
        }
        let _warming = self.warming();
        let held = Held::new(&self.transcriber, permit, books, hints);
        self.decode_along(recording, None, Uploading::Held(held), reply)
            .await
    }

    /// Opens a connection to whoever is going to listen, until this is dropped.
    fn warming(&self) -> AbortOnDropHandle<()> {
        let transcriber = self.transcriber.clone();
        AbortOnDropHandle::new(tokio::spawn(async move { transcriber.warm().await }))
    }

    async fn decode_along(
        &self,
        recording: Recording,
        ahead: Option<Box<dyn Ahead>>,
        upload: Uploading,
        reply: &Arc<dyn Reply>,
    ) -> Result<Decoded, Failure> {
        let span = tracing::info_span!("decode");
        async {
            reply.stage(Stage::Decoding);
            let listener = Along {
                reply: Arc::clone(reply),
                ahead,
                upload,
            };
            let (survey, along) =
                audio::survey_with(recording, self.limits.clone(), listener).await?;
            let duration = survey.clip.duration();
            tracing::info!(?duration, speech = ?survey.speech, info = ?survey.info, "decoded");
            if survey.truncated {
                reply.notice(Notice::Truncated);
            }
            if survey.speech.is_zero() {
                return Err(audio::AudioError::NoSpeech.into());
            }
            Ok(Decoded {
                clip: survey.clip,
                spoken: survey.spoken,
                ahead: along.ahead,
                upload: along.upload.begun(),
            })
        }
        .instrument(span)
        .await
    }

    /// The words of a recording that was uploaded while it was made, for which its upload has paid.
    /// None if there are none from there; the whole can still be [written down](Self::write_down).
    ///
    /// # Errors
    ///
    /// If nothing was said.
    pub async fn uploaded(
        &self,
        decoded: &mut Decoded,
        reply: &Arc<dyn Reply>,
    ) -> Result<Option<Heard>, Failure> {
        let Some(upload) = decoded.upload.take() else {
            return Ok(None);
        };
        let spoken = decoded.spoken.clone();
        let duration = decoded.duration();
        let span = tracing::info_span!("hear");
        async move {
            reply.stage(Stage::Transcribing);
            let transcript = match upload.finish(&Forward(reply.as_ref())).await {
                Ok(transcript) => transcript,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::info!(error, "an upload failed, and the whole is sent");
                    return Ok(None);
                }
            };
            heard(transcript, &spoken, duration, reply).map(Some)
        }
        .instrument(span)
        .await
    }

    /// Writes down what is said in a decoded recording.
    ///
    /// # Errors
    ///
    /// Why there are no words.
    pub async fn write_down(
        &self,
        permit: &Permit,
        decoded: Decoded,
        hints: &Hints,
        reply: &Arc<dyn Reply>,
    ) -> Result<Heard, Failure> {
        let span = tracing::info_span!("hear");
        async {
            let duration = decoded.duration();
            reply.stage(Stage::Transcribing);
            let observer = Forward(reply.as_ref());
            let early = match decoded.ahead {
                Some(ahead) => ahead.finish(&observer).await.map_err(|error| {
                    let error = &error as &dyn std::error::Error;
                    tracing::info!(error, "not listened ahead");
                }),
                None => Err(()),
            };
            let transcript = match early {
                Ok(transcript) => {
                    permit.heard_here(duration);
                    transcript
                }
                // Whatever kept it from that, the whole may still do.
                Err(()) => {
                    let whole = &decoded.clip;
                    let written = self.transcriber.transcribe(permit, whole, hints, &observer);
                    written.await?
                }
            };
            heard(transcript, &decoded.spoken, duration, reply)
        }
        .instrument(span)
        .await
    }

    /// What the model would be given.
    #[must_use]
    pub fn conversation(&self, turns: Vec<Turn>) -> Conversation {
        Conversation {
            system: self.system_prompt.clone(),
            turns,
        }
    }

    /// Asks the model the last of `turns`; the words stream into `reply` as they come.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub async fn answer(
        &self,
        permit: &Permit,
        turns: Vec<Turn>,
        reply: &Arc<dyn Reply>,
    ) -> Result<Answered, Failure> {
        let span = tracing::info_span!("answer", model = self.chat.card().model);
        async {
            reply.stage(Stage::Answering);
            let conversation = self.conversation(turns);
            let partial = |partial: asking::Partial<'_>| match partial {
                asking::Partial::More(more) => reply.partial(more),
                asking::Partial::TakeBack => reply.take_back(),
            };
            let answered = asking::ask(
                (&self.chat, permit),
                &conversation,
                self.answer_limit,
                partial,
            );
            Ok(answered.await?)
        }
        .instrument(span)
        .await
    }
}

/// Tells the words of a recording that plays for so long.
fn heard(
    transcript: Transcript,
    spoken: &SpeechTimes,
    duration: Duration,
    reply: &Arc<dyn Reply>,
) -> Result<Heard, Failure> {
    let transcript = evidence::of_what_was_said(transcript, spoken, duration);
    if transcript.text.trim().is_empty() {
        return Err(audio::AudioError::NoSpeech.into());
    }
    tracing::info!(?transcript, "transcribed");
    reply.heard(&transcript);
    Ok(Heard {
        transcript,
        duration,
    })
}

/// The turn in which a person says `transcript`, with a typed question about it if there is one.
pub fn spoken_turn(transcript: &str, typed: Option<&str>) -> Turn {
    let text = match typed {
        None => transcript.to_owned(),
        Some(typed) => format!("{typed}\n\nThe recording says:\n{transcript}"),
    };
    Turn {
        role: Role::User,
        speaker: None,
        text,
    }
}

/// A transcriber's reports, passed on.
struct Forward<'a>(&'a dyn Reply);

impl Observer for Forward<'_> {
    fn started(&self, provider: &'static str) {
        self.0.notice(Notice::Listening { provider });
    }

    fn progressed(&self, progress: Progress) {
        self.0.progressed(progress);
    }

    fn fell_back(&self, provider: &'static str, error: &SpeechError, next: &'static str) {
        self.0.notice(Notice::FellBack {
            provider,
            error,
            next,
        });
    }
}
