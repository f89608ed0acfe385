//! What a session asks of the place where it is shown.

use std::time::Duration;

use async_trait::async_trait;

use super::SessionEndReason;
use super::report::{ReceptionReport, SpeakerReception};
use super::summary::{SessionSummary, SummaryError};
use super::transcript_export::SessionInfo;
use crate::flow::access::MemberAccess;
use crate::flow::consent::{ConsentGrants, PersonalData};
use crate::flow::job_scheduler::SubmitError;
use crate::flow::usage_rules::AdmissionDecision;
use crate::store::{Timestamp, TranscriptLine};

/// Where one session's transcript and sentences appear. How often anything is drawn is the
/// board's business, and so are the words.
#[async_trait]
pub trait TranscriptView: Send + Sync {
    /// More of the transcript, in order. It is opened anew each time it is shown. Never waits.
    fn lines(&self, lines: Vec<PersonalData<TranscriptLine>>);

    /// What somebody seems to be saying at the moment, with their name; empty once it is a line or
    /// nothing. Never waits.
    fn show_partial(&self, partial: PersonalData<PartialTranscript>);

    /// Tells everybody in the channel, after all lines so far. Never waits.
    fn post_notice(&self, remark: SessionNotice<'_>);

    /// Whether anything can be shown there, as far as is known. Nobody is paid for what can't.
    fn is_available(&self) -> bool {
        true
    }

    /// Waits until all there is so far is shown; for some time only.
    async fn flush(&self);

    /// A new id for a request that was spoken, later than all ids so far.
    fn next_request_id(&self) -> u64;

    /// What somebody is in the server of the session.
    async fn member_access(&self, guild: u64, person: u64) -> MemberAccess;

    /// Shows the end, after all lines that are still to be shown; once, however often it is asked
    /// to. Returns false if the place takes nothing at the moment.
    async fn show_result(&self, remains: &SessionResult) -> bool;
}

/// What somebody seems to be saying.
#[derive(Clone)]
pub struct PartialTranscript {
    /// Their name.
    pub speaker_name: String,
    /// The words so far.
    pub text: String,
}

/// Something that everybody should know.
#[derive(Clone, Copy, Debug)]
pub enum SessionNotice<'a> {
    /// What is said can't be written down at the moment.
    TranscriptionFailing,
    /// What this person says is not written down any more today.
    CapReached {
        /// Who.
        person: u64,
        /// Whose cap it is.
        verdict: AdmissionDecision,
    },
    /// What somebody asked is not answered.
    QuestionRefused(&'a SubmitError),
    /// Nobody is heard.
    CannotHear(CannotHearReason),
    /// People are heard again.
    CanHearAgain,
    /// The process ends, and the next one goes on.
    Restarting,
}

/// Why nobody is heard although there is a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CannotHearReason {
    /// A moderator has deafened the bot.
    Deafened,
    /// The bot has no right to speak, and Discord may keep from it what is said.
    Suppressed,
}

/// What is left of a session. Whoever shows it asks anew each time what of it may still be shown.
#[derive(Debug)]
pub struct SessionResult {
    /// Why it is over.
    pub end_reason: SessionEndReason,
    /// What it was.
    pub title: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How everybody was heard.
    pub speaker_reports: Vec<PersonalData<SpeakerReception>>,
    /// The time in which nobody could be heard.
    pub interrupted_for: Duration,
    /// All that was said.
    pub lines: Vec<PersonalData<TranscriptLine>>,
    /// What it was about; none where there is nothing to sum up, or the model may not know.
    pub summary: Option<Result<SessionSummary, SummaryError>>,
    /// Those whose words the summary rests on.
    pub summary_grants: ConsentGrants,
}

impl SessionResult {
    /// What it was, and how everybody was heard who still wants that told.
    #[must_use]
    pub fn session_info(&self) -> SessionInfo {
        let speakers = self.speaker_reports.iter().filter_map(PersonalData::get);
        SessionInfo {
            title: self.title.clone(),
            started: self.started,
            ended: Some(self.ended),
            report: ReceptionReport {
                speakers: speakers.cloned().collect(),
                interrupted_for: self.interrupted_for,
            },
        }
    }

    /// What may be shown of what was said.
    #[must_use]
    pub fn lines(&self) -> Vec<TranscriptLine> {
        let lines = self.lines.iter().filter_map(PersonalData::get);
        lines.cloned().collect()
    }

    /// The summary, as long as all that it rests on may be shown.
    #[must_use]
    pub fn permitted_summary(&self) -> Option<Result<&SessionSummary, &SummaryError>> {
        let summary = self.summary.as_ref()?.as_ref();
        Some(match summary {
            Ok(_) if !self.summary_grants.all_active() => Err(&SummaryError::Withdrawn),
            summary => summary,
        })
    }

    /// All on whose leave it rests that it is shown as it is now.
    #[must_use]
    pub fn active_grants(&self) -> ConsentGrants {
        let lines = self.lines.iter().map(PersonalData::grant);
        let speakers = self.speaker_reports.iter().map(PersonalData::grant);
        let holding = lines.chain(speakers).filter(|stamp| stamp.is_active());
        holding.cloned().collect()
    }
}
