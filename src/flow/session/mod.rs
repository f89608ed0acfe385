//! A group voice session: who says what in a call is written down, and answered when it is meant
//! for the bot. Knows no Discord type.
//!
//! In reading order: [`hearing`] makes utterances of packets on a thread of its own; [`supervisor`]
//! decides what is done about a lost connection; `writing` has utterances written down, `speaking`
//! has it done while they are spoken, `briefing` is what the recognizer is told beside the sound; [`in_order`] puts them in the order of speech, [`evidence`](crate::flow::evidence) drops what was not said; [`addressed`] finds what
//! is meant for the bot and `asking` has it answered; [`call`] is the actor that owns all of it;
//! [`record`] is what was said so far, [`ending`] how it ends, [`summary`], [`report`] and [`files`] what is
//! left then; [`board`] is where it is shown.

pub mod audio_worker;
pub mod call;
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

/// What the bot answers of what is said in a call.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerMode {
    /// Every question or request of somebody who is alone with the bot; with more people, what is
    /// said to it by name.
    #[default]
    Auto,
    /// Every question or request.
    Always,
    /// What is said to it by name.
    Name,
    /// Nothing that is said, but `/ask` knows it.
    Command,
    /// Nothing, and the model gets none of it: there is no summary either.
    Never,
}

/// Who is written down before having said anything about it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentRule {
    /// Nobody.
    #[default]
    Ask,
    /// Everybody but those who said no.
    Notice,
}

/// Why a session ends. The end of a process is none: the next one goes on.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEndReason {
    /// Somebody asked for it.
    #[serde(rename = "asked")]
    Requested,
    /// Nobody is in the call any more.
    Alone,
    /// It has lasted as long as it may.
    TooLong,
    /// The bot was taken out of the call, or the channel is gone.
    #[serde(rename = "taken_out")]
    RemovedFromCall,
    /// The bot was moved onto a stage.
    #[serde(rename = "stage")]
    MovedToStage,
    /// The bot was moved into a channel that it can't look into.
    #[serde(rename = "unseen")]
    ChannelNotVisible,
    /// The people in the call can't be told that they are listened to.
    #[serde(rename = "no_notice")]
    RecordingNoticeFailed,
    /// Discord does not let the bot into the call; with its close code.
    Refused(u16),
    /// There was no connection for too long.
    Unreachable,
    /// The process ended without a word, and was away for too long.
    #[serde(rename = "interrupted")]
    ProcessDied,
}

/// What a session is, as the ledger keeps it beside the ids.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SessionSetup {
    /// What is answered.
    pub answers: AnswerMode,
    /// The voice channel's name.
    pub title: String,
    /// ISO 639-1 codes of the languages that are spoken; empty: those of the server.
    pub languages: Vec<String>,
}
