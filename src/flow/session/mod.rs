//! A group voice session: transcribes what each member of a call says, and answers what is meant
//! for the bot. Has no Discord types.
//!
//! Start with [`actor`], which owns a session. [`audio_worker`] turns packets into utterances,
//! [`supervisor`] handles lost connections, `transcription` and `live_streams` turn utterances into
//! text, [`reorder_buffer`] puts lines in order, and [`wake_word`] finds requests for the bot,
//! which `question_dispatcher` submits. [`session_end`] publishes the result: [`billed_summary`],
//! [`report`] and [`transcript_export`]. [`transcript_view`] is where all of it is shown.

pub mod actor;
pub mod audio_worker;
pub mod billed_summary;
pub mod clock;
mod live_streams;
mod question_dispatcher;
mod recognition_context;
pub mod reorder_buffer;
pub mod report;
pub mod session_end;
pub mod summary;
pub mod supervisor;
pub mod transcript_export;
pub mod transcript_history;
pub mod transcript_view;
mod transcription;
mod utterance_uploads;
pub mod wake_word;

use serde::{Deserialize, Serialize};

/// Which speech in a call the bot answers.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerMode {
    /// Every question or request if one person is alone with the bot; with more people, requests
    /// that name the bot.
    #[default]
    Auto,
    /// Every question or request.
    Always,
    /// Requests that name the bot.
    Name,
    /// No speech, but `/ask` can refer to the transcript.
    Command,
    /// Nothing. The model gets no part of the transcript, so there is no summary either.
    Never,
}

/// Why a session ends. A process shutdown is not an end: the next process resumes the session.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEndReason {
    /// A member ended it.
    #[serde(rename = "asked")]
    Requested,
    /// The bot is alone in the call.
    Alone,
    /// It has reached its maximum length, or its transcript is full.
    TooLong,
    /// The bot was removed from the call, or the channel was deleted.
    #[serde(rename = "taken_out")]
    RemovedFromCall,
    /// The bot was moved to a stage channel.
    #[serde(rename = "stage")]
    MovedToStage,
    /// The bot was moved to a channel that it can't view.
    #[serde(rename = "unseen")]
    ChannelNotVisible,
    /// The notice that the call is transcribed could not be posted.
    #[serde(rename = "no_notice")]
    RecordingNoticeFailed,
    /// Discord refused the connection, with this voice close code.
    Refused(u16),
    /// The connection could not be restored in time.
    Unreachable,
    /// The process died, and was not restarted in time to resume.
    #[serde(rename = "interrupted")]
    ProcessDied,
}

/// Options of a session, stored as JSON with its record.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SessionSetup {
    /// Which speech is answered.
    pub answers: AnswerMode,
    /// Name of the voice channel.
    pub title: String,
    /// ISO 639-1 codes of the spoken languages; if empty, the guild's setting applies.
    pub languages: Vec<String>,
}
