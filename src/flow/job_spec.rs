//! What somebody asks for, as it is written into the ledger before any work begins.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::conversation_history::ConversationRef;
use crate::speech::subtitles::TranscriptFormat;

/// A request, whole: with it and the ledger the work can be begun, or begun again.
#[derive(Clone, Deserialize, Serialize)]
pub struct JobSpec {
    /// What is wanted.
    #[serde(rename = "wish")]
    pub output: OutputKind,
    /// The name of the person in the place where they ask.
    #[serde(rename = "name")]
    pub requester_name: String,
    /// What is to be heard, in order.
    pub recordings: Vec<Attachment>,
    /// What was typed.
    pub question: Option<String>,
    /// What it goes on with.
    pub conversation: ConversationRef,
    /// How it came, and so how it is answered.
    #[serde(rename = "via")]
    pub reply_target: ReplyTarget,
    /// What of it is somebody else's than who asks.
    #[serde(default, rename = "borrowed")]
    pub referenced: Option<ReferencedMessage>,
}

/// What stands in a message that is not the request itself, mostly somebody else's, and is answered
/// or written down for who asks. Both can take it back, and so does deleting that message.
#[derive(Clone, Deserialize, Serialize)]
pub struct ReferencedMessage {
    /// The message it stands in.
    pub message: u64,
    /// Whose message that is; 0 where nobody can tell.
    pub author: u64,
    /// Their name.
    pub name: String,
    /// What is typed in it. The recordings of the order are theirs too.
    pub text: Option<String>,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum OutputKind {
    /// An answer.
    Answer,
    /// The words of the recordings.
    Transcript(TranscriptFormat),
}

/// How an order came.
#[derive(Clone, Deserialize, Serialize)]
pub enum ReplyTarget {
    /// As a message. The answer replies to it.
    Message,
    /// By a command. The answer takes the place of its response as long as the token lives.
    Command {
        /// What the response is edited with.
        token: String,
        /// Whether only its user sees the answer.
        private: bool,
        /// Whether the bot can write nothing in the channel but this response: it was added by
        /// a person, not by the server.
        #[serde(rename = "alone")]
        interaction_only: bool,
        /// The interaction that the token is of, where that is not the command itself: a button
        /// was pressed later.
        #[serde(default, rename = "pressed")]
        button_interaction: Option<u64>,
    },
    /// Spoken in a call. The answer stands in the session's channel, under what was asked.
    Spoken,
}

/// A recording where it lies.
#[derive(Clone, Deserialize, Serialize)]
pub struct Attachment {
    /// Its id.
    pub id: u64,
    /// Its file name.
    pub name: String,
    /// Where it is fetched, for some hours.
    pub url: String,
    /// Its size as it was announced.
    pub bytes: u64,
    /// How long it plays, where that was announced, in seconds.
    pub seconds: Option<f64>,
    /// The message it hangs on, where a fresh address can be had; none for a command's.
    pub message: Option<u64>,
    /// Who made it, where that is known: not always who asks.
    #[serde(default)]
    pub author: Option<u64>,
}

impl Attachment {
    /// How long it plays, where that is known. Nonsense counts as unknown.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.seconds?).ok()
    }
}

impl JobSpec {
    /// How long the recordings play together that come after the first `heard`, as far as it is
    /// known before they are fetched.
    #[must_use]
    pub fn untranscribed_duration(&self, heard: usize) -> Duration {
        self.recordings
            .iter()
            .skip(heard)
            .filter_map(Attachment::duration)
            .fold(Duration::ZERO, Duration::saturating_add)
    }

    /// The name of whoever speaks in the recordings.
    #[must_use]
    pub fn speaker_name(&self) -> &str {
        let others = self.referenced.as_ref().filter(|it| it.author != 0);
        others.map_or(&self.requester_name, |it| &it.name)
    }

    /// The interaction whose response shows the answer. `source` is the order's own.
    #[must_use]
    pub fn interaction_id(&self, source: u64) -> u64 {
        match self.reply_target {
            ReplyTarget::Command {
                button_interaction: pressed,
                ..
            } => pressed.unwrap_or(source),
            ReplyTarget::Message | ReplyTarget::Spoken => source,
        }
    }

    /// Whether nobody but its author may see the answer.
    #[must_use]
    pub fn is_private(&self) -> bool {
        matches!(
            self.reply_target,
            ReplyTarget::Command { private: true, .. }
        )
    }
}

impl std::fmt::Debug for JobSpec {
    /// What people ask never reaches a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Order")
            .field("wish", &self.output)
            .field("recordings", &self.recordings.len())
            .field("question", &self.question.as_ref().map(String::len))
            .field("private", &self.is_private())
            .finish_non_exhaustive()
    }
}

/// One recording of an order, written down.
#[derive(Clone, Deserialize, Serialize)]
pub struct RecordingTranscript {
    /// The recording's file name.
    pub name: String,
    /// What is said in it.
    pub text: String,
    /// How long it plays, in milliseconds.
    pub millis: u64,
    /// The transcript in the form that was asked for, if one was.
    pub file: Option<(TranscriptFormat, String)>,
}

impl std::fmt::Debug for RecordingTranscript {
    /// Speech never reaches a log: only its size does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Note({} ms, {} bytes)", self.millis, self.text.len())
    }
}
