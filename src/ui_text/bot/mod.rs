//! What the bot says to members of a server.
//!
//! Members can't change the operator's settings, so these sentences name none of them.

mod failures;
mod privacy;
mod settings;
mod usage;

use std::fmt::Write as _;
use std::time::Duration;

use super::{format_duration, progress};
use crate::chat::FinishReason;
use crate::flow::{PipelineNotice, PipelineStage};
use crate::speech::TranscriptionProgress;

pub use failures::{failure, request_refused};
pub use privacy::{
    AssemblyAiRetention, DELETION_NOT_SAVED, DataHandling, conversation_reset, privacy,
    user_data_deleted,
};
pub use settings::{invalid_language, server_settings, too_many};
pub use usage::{daily_usage_line, format_money, no_usage, usage_title};

/// A mention without a question or a recording.
pub const NOTHING_ASKED: &str = "Ask me something: type it after my name, or send a recording.";

/// The message has only attachments that are not recordings.
pub const UNSUPPORTED_ATTACHMENT: &str =
    "I can listen to recordings and read what you type. Send me one of those.";

/// The server restricts the bot to a role that the member lacks.
pub const NO_ACCESS: &str =
    "In this server, only members with a certain role can use me. Ask the people who manage it.";

/// A button that only the requester or a moderator may press.
pub const NOT_REQUESTER: &str =
    "Only the person who asked, or someone who can manage messages, can do this.";

/// The job behind a button is no longer stored.
pub const NOT_STORED: &str = "I no longer know what this was about. Send it again.";

/// “Try again” was pressed while the job is still running.
pub const STILL_WORKING: &str = "I'm still working on this one. Please wait for the answer.";

/// The ledger failed during a command.
pub const LEDGER_UNAVAILABLE: &str = "I can't look this up right now. Try again later; whoever \
     runs me can find the reason in my log.";

/// A command or a button failed for a reason that the member can't fix.
pub const INTERNAL_ERROR: &str =
    "Something went wrong. Try again; whoever runs me can find the reason in my log.";

/// A command that this version does not have.
pub const UNKNOWN_COMMAND: &str =
    "I no longer have this command. Restart Discord to see my current ones.";

/// The command needs a server.
pub const ONLY_IN_SERVERS: &str = "This only works in a server that has added me.";

/// The command needs the permission to manage the server.
pub const ONLY_MANAGERS: &str = "Only members who manage the server can do this.";

/// A menu command was used on a message without a recording.
pub const NO_RECORDING_IN_MESSAGE: &str = "There is no recording in this message.";

/// The interaction expires before the answer is done (15 minutes), so a message follows.
pub const ANSWER_FOLLOWS_SEPARATELY: &str =
    "This is taking longer than Discord lets me wait. The answer will come as a separate message.";

/// The same for a private answer, which can't be a message.
pub const TOO_LATE: &str =
    "Your private answer took longer than Discord lets me wait. Run the command again.";

/// The interaction is about to expire and the bot may not write in the channel.
pub const RESPONSE_EXPIRED: &str = "This is taking longer than Discord lets me wait, and I can't \
     write here later. Ask for less at once, or send it to me in a direct message.";

/// The member has asked something else meanwhile.
pub const SUPERSEDED: &str = "-# Stopped here for a newer question.";

/// A button's label.
pub const TRY_AGAIN: &str = "Try again";

/// A button's label.
pub const DELETE: &str = "Delete";

/// The bot lacks the permission to attach files.
pub const CANNOT_ATTACH_FILES: &str =
    "-# The rest is missing: I'm not allowed to attach files in this channel.";

/// Discord refused the attachments.
pub const FILES_REFUSED: &str = "-# The files are missing: Discord didn't accept them.";

/// The model's answer has no text.
pub const EMPTY_ANSWER: &str =
    "The model gave an empty answer. Press “Try again”, or rephrase your question.";

/// Discord refused the message for a reason that the member can't fix.
pub const ANSWER_REJECTED: &str = "Discord didn't accept my answer. Press “Try again”; whoever \
     runs me can find the reason in my log.";

/// Why a message could not be sent as it was.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum WithheldReason {
    /// A filter of the server or of Discord blocked it.
    Filtered,
    /// It had no visible text.
    Empty,
    /// Discord refused it for a reason that the member can't fix.
    Rejected,
    /// The bot may not write there.
    NoWriteAccess,
}

/// Replaces a message that could not be sent.
pub fn withheld_message(reason: WithheldReason, channel: u64) -> String {
    match reason {
        WithheldReason::Filtered => {
            "A filter in this server or at Discord blocked my answer. Rephrase your question."
                .to_owned()
        }
        WithheldReason::Empty => EMPTY_ANSWER.to_owned(),
        WithheldReason::Rejected => ANSWER_REJECTED.to_owned(),
        WithheldReason::NoWriteAccess => format!(
            "I can't write in <#{channel}>, so my message there is missing. Ask the people who \
             manage the server to let me, or ask me here."
        ),
    }
}

/// Replaces one of several messages of an answer.
pub fn withheld_part(reason: WithheldReason) -> &'static str {
    match reason {
        WithheldReason::Filtered => {
            "-# A part is missing here: a filter in this server or at Discord blocked it."
        }
        WithheldReason::Empty | WithheldReason::Rejected | WithheldReason::NoWriteAccess => {
            "-# A part is missing here: Discord didn't accept it."
        }
    }
}

/// A daily limit is reached and local models answered instead.
pub const LOCAL_FALLBACK_USED: &str = "-# Today's limit is reached, so smaller models on my own \
     machine did this. The usual ones are back after midnight UTC.";

/// Said once, with the first reply in a server.
pub fn first_reply(transcribers: &str, days: u64) -> String {
    format!(
        "-# First time here: recordings sent to me go to {transcribers}; I keep the words for {days} \
         days, encrypted. More: /privacy"
    )
}

/// The status line of a job in progress, in the message that becomes the answer. `place` is the
/// position among several recordings.
pub fn job_status(
    stage: Option<PipelineStage>,
    recording: Option<Duration>,
    transcription: Option<TranscriptionProgress>,
    place: Option<(usize, usize)>,
) -> String {
    let mut line = "-# ".to_owned();
    match (stage, recording) {
        (Some(PipelineStage::Answering), _) => line.push_str("Thinking"),
        (None, _) => line.push_str("One moment"),
        (Some(PipelineStage::Decoding | PipelineStage::Transcribing), Some(recording)) => {
            let _ = write!(line, "Listening to {}", format_duration(recording));
        }
        (Some(PipelineStage::Decoding | PipelineStage::Transcribing), None) => {
            line.push_str("Listening");
        }
    }
    if stage != Some(PipelineStage::Answering) {
        if let Some((number, of)) = place.filter(|(_, of)| *of > 1) {
            let _ = write!(line, ", {number} of {of}");
        }
        if let Some(transcription) = transcription {
            let _ = write!(line, " · {}", progress(transcription));
        }
    }
    line.push('…');
    line
}

/// A notice that deserves a line in the answer.
pub fn notice(notice: &PipelineNotice<'_>) -> Option<String> {
    match notice {
        PipelineNotice::Truncated => {
            Some("-# The recording is cut off at the end; I used what there is.".to_owned())
        }
        PipelineNotice::ProviderStarted { .. } => None,
        PipelineNotice::ProviderFallback { provider, next, .. } => Some(format!(
            "-# {provider} couldn't do it; {next} listened instead."
        )),
    }
}

/// Why an answer is incomplete.
pub fn finish_note(reason: FinishReason) -> Option<&'static str> {
    match reason {
        FinishReason::Complete => None,
        FinishReason::Length => {
            Some("-# The answer stops here because it reached the length limit.")
        }
        FinishReason::ContentFilter => {
            Some("-# The provider's content filter cut the answer short.")
        }
    }
}

/// The answer to `/help`. `notes`: voice messages in this channel are answered.
pub fn help(notes: bool) -> String {
    let notes = if notes {
        "- Send a voice message here or in a direct message, and I answer it."
    } else {
        "- Send me a voice message directly, and I answer it. In this channel, I only answer when \
         called."
    };
    format!(
        "**Talk, and I answer in writing.**\n{notes}\n\
         - Reply to one of my answers, by voice or typed, to go on with the conversation.\n\
         - Type `/ask`, or mention me with a question.\n\
         - Open the menu of any voice message, then *Apps*: **Transcribe** writes it down just for \
         you, **Answer this** answers it.\n\
         - `/transcribe` turns a file into text or subtitles.\n\
         - `/join` brings me into your voice channel: I write down who says what, answer when you \
         call me by my name, and leave a transcript and a summary. `/leave` ends it.\n\
         - `/reset` starts the conversation over, `/usage` shows what was used, `/privacy` \
         explains what happens to recordings, `/forget-me` deletes what I've stored about you.\n\
         - If you manage the server, choose channels and more with `/settings`."
    )
}
