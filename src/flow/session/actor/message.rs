//! Messages to a session, and the replies to them.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::flow::session::report::ReceptionReport;
use crate::flow::session::session_end::RecordedEnd;
use crate::flow::session::transcript_view::SessionNotice;

/// The messages that a session handles.
#[derive(Debug)]
pub enum SessionMessage {
    /// A member is in the call.
    Joined {
        /// Their user id.
        person: u64,
        /// Their display name in the guild.
        name: String,
    },
    /// This member has left the call.
    Left(u64),
    /// The complete list of members in the call, with their display names.
    Participants(Vec<(u64, String)>),
    /// This user's consent has changed, or they were forgotten. [`GuildConsents`](crate::flow::consent::GuildConsents) has the change
    /// already.
    ConsentChanged(u64),
    /// No audio has been received since this time of the session.
    InterruptedSince(Duration),
    /// No audio was received between these times of the session.
    Interruption(Duration, Duration),
    /// A member asks whether the bot can hear them. The reply has the text of their next utterance.
    CheckHearing {
        /// Their user id.
        person: u64,
        /// Receives the result.
        reply: oneshot::Sender<HearingCheckResult>,
    },
    /// Requests the reception report and the cost so far.
    GetReport(oneshot::Sender<(ReceptionReport, SessionCost)>),
    /// Posts a notice in the channel.
    PostNotice(SessionNotice<'static>),
    /// Ends the session.
    End(RecordedEnd),
    /// The process shuts down, and the next one resumes the session.
    Restart,
}

/// What a session has cost so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SessionCost {
    /// How long the session has run.
    pub length: Duration,
    /// Transcription cost so far, in millionths of the currency unit.
    pub micros: u64,
}

/// The answer to "can you hear me?".
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HearingCheckResult {
    /// The member was heard, and said this.
    Heard(String),
    /// The member has not agreed to be transcribed.
    NoConsent,
    /// The member is not in the call.
    NotInCall,
    /// Audio was heard, but no words were recognized.
    NoSpeech,
}
