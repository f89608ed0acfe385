//! The stored form of a request: what a job needs to start, or to start again after a restart.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::conversation_history::ConversationRef;
use crate::speech::subtitles::TranscriptFormat;

/// A complete request. Together with the ledger it is enough to run the job.
#[derive(Clone, Deserialize, Serialize)]
pub struct JobSpec {
    /// What to produce.
    #[serde(rename = "wish")]
    pub output: OutputKind,
    /// Display name of the requester in the place where they ask.
    #[serde(rename = "name")]
    pub requester_name: String,
    /// The recordings to transcribe, in order.
    pub recordings: Vec<Attachment>,
    /// The typed question.
    pub question: Option<String>,
    /// The conversation it continues.
    pub conversation: ConversationRef,
    /// How the request arrived, and so how it is answered.
    #[serde(rename = "via")]
    pub reply_target: ReplyTarget,
    /// The message of another author that the request is about, if any.
    #[serde(default, rename = "borrowed")]
    pub referenced: Option<ReferencedMessage>,
}

/// A message other than the request itself, usually by somebody else, that is answered or
/// transcribed for the requester. Either of the two can withdraw consent; deleting the message also
/// withdraws the job.
#[derive(Clone, Deserialize, Serialize)]
pub struct ReferencedMessage {
    /// Id of the message.
    pub message: u64,
    /// Its author; 0 if unknown.
    pub author: u64,
    /// Display name of its author.
    pub name: String,
    /// Its text. The recordings of the job belong to it too.
    pub text: Option<String>,
}

/// What a job produces.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum OutputKind {
    /// An answer.
    Answer,
    /// The transcripts of the recordings.
    Transcript(TranscriptFormat),
}

/// Where the result goes.
#[derive(Clone, Deserialize, Serialize)]
pub enum ReplyTarget {
    /// The request was a message; the answer replies to it.
    Message,
    /// The request was a command; the answer replaces its response while the token is valid.
    Command {
        /// The interaction token that edits the response.
        token: String,
        /// Whether only the requester sees the answer.
        private: bool,
        /// Whether this response is all the bot may write in the channel: it was installed by the
        /// user, not in the guild.
        #[serde(rename = "alone")]
        interaction_only: bool,
        /// The interaction that `token` belongs to, if a button was pressed after the command.
        #[serde(default, rename = "pressed")]
        button_interaction: Option<u64>,
    },
    /// The request was spoken in a call; the answer goes to the session's channel, below the
    /// question.
    Spoken,
}

/// A recording attached to a message or command.
#[derive(Clone, Deserialize, Serialize)]
pub struct Attachment {
    /// Attachment id.
    pub id: u64,
    /// File name.
    pub name: String,
    /// Download URL, valid for some hours.
    pub url: String,
    /// Announced size.
    pub bytes: u64,
    /// Announced playing time in seconds, if any.
    pub seconds: Option<f64>,
    /// The message it is attached to, which can give a fresh URL; `None` for a command's
    /// attachment.
    pub message: Option<u64>,
    /// Who recorded it, if known: not always the requester.
    #[serde(default)]
    pub author: Option<u64>,
}

impl Attachment {
    /// Announced playing time. An invalid value counts as unknown.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.seconds?).ok()
    }
}

impl JobSpec {
    /// Announced playing time of all recordings after the first `transcribed`.
    #[must_use]
    pub fn untranscribed_duration(&self, transcribed: usize) -> Duration {
        self.recordings
            .iter()
            .skip(transcribed)
            .filter_map(Attachment::duration)
            .fold(Duration::ZERO, Duration::saturating_add)
    }

    /// Display name of the speaker in the recordings.
    #[must_use]
    pub fn speaker_name(&self) -> &str {
        let others = self.referenced.as_ref().filter(|it| it.author != 0);
        others.map_or(&self.requester_name, |it| &it.name)
    }

    /// The interaction whose response shows the answer. `source` is the job's own.
    #[must_use]
    pub fn interaction_id(&self, source: u64) -> u64 {
        match self.reply_target {
            ReplyTarget::Command {
                button_interaction: button,
                ..
            } => button.unwrap_or(source),
            ReplyTarget::Message | ReplyTarget::Spoken => source,
        }
    }

    /// Whether only the requester may see the answer.
    #[must_use]
    pub fn is_private(&self) -> bool {
        matches!(
            self.reply_target,
            ReplyTarget::Command { private: true, .. }
        )
    }
}

impl std::fmt::Debug for JobSpec {
    /// Leaves out all content: what people ask must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobSpec")
            .field("output", &self.output)
            .field("recordings", &self.recordings.len())
            .field("question", &self.question.as_ref().map(String::len))
            .field("private", &self.is_private())
            .finish_non_exhaustive()
    }
}

/// The transcript of one recording of a job.
#[derive(Clone, Deserialize, Serialize)]
pub struct RecordingTranscript {
    /// File name of the recording.
    pub name: String,
    /// The transcript as plain text.
    pub text: String,
    /// Playing time of the recording, in milliseconds.
    pub millis: u64,
    /// The transcript in the requested file format, if one was requested.
    pub file: Option<(TranscriptFormat, String)>,
}

impl std::fmt::Debug for RecordingTranscript {
    /// Prints only the size: speech must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "RecordingTranscript({} ms, {} bytes)",
            self.millis,
            self.text.len()
        )
    }
}
