//! The interface between a session and the place where its transcript is shown.

use std::time::Duration;

use async_trait::async_trait;

use super::SessionEndReason;
use super::report::{ReceptionReport, SpeakerReception};
use super::summary::{SessionSummary, SummaryError};
use super::transcript_export::SessionInfo;
use super::transcript_history::permitted_lines;
use crate::flow::access::MemberAccess;
use crate::flow::consent::{ConsentGrants, PersonalData};
use crate::flow::job_scheduler::SubmitError;
use crate::flow::usage_rules::AdmissionDecision;
use crate::store::{Timestamp, TranscriptLine};

/// Shows one session's transcript and notices. The implementation decides how often to redraw, and
/// on the wording.
#[async_trait]
pub trait TranscriptView: Send + Sync {
    /// Appends lines to the transcript, in order. Each line's grant must be checked whenever it is
    /// shown. Never blocks.
    fn append_lines(&self, lines: Vec<PersonalData<TranscriptLine>>);

    /// Shows the text of an unfinished utterance; an empty text removes it. Never blocks.
    fn show_partial(&self, partial: PersonalData<PartialTranscript>);

    /// Posts a notice in the channel, after all lines so far. Never blocks.
    fn post_notice(&self, notice: SessionNotice<'_>);

    /// Whether the view can show anything, as far as is known. If not, nothing is paid for.
    fn is_available(&self) -> bool {
        true
    }

    /// Waits, for a limited time, until everything so far is shown.
    async fn flush(&self);

    /// A new id for a spoken request, greater than all ids so far.
    fn next_request_id(&self) -> u64;

    /// The access rights of a guild member.
    async fn member_access(&self, guild: u64, person: u64) -> MemberAccess;

    /// Shows the result, after all lines. Shows it only once if called repeatedly. Returns false if
    /// it can't be shown at the moment.
    async fn show_result(&self, result: &SessionResult) -> bool;
}

/// The text of an utterance that is not finished.
#[derive(Clone)]
pub struct PartialTranscript {
    /// The speaker's display name.
    pub speaker_name: String,
    /// The text so far.
    pub text: String,
}

/// A notice to everybody in the channel.
#[derive(Clone, Copy, Debug)]
pub enum SessionNotice<'a> {
    /// Speech can't be transcribed at the moment.
    TranscriptionFailing,
    /// A usage cap stops the transcription of this user's speech for today.
    CapReached {
        /// The user id.
        person: u64,
        /// Which cap was reached.
        verdict: AdmissionDecision,
    },
    /// A spoken question will not be answered.
    QuestionRefused(&'a SubmitError),
    /// No audio is received.
    CannotHear(CannotHearReason),
    /// Audio is received again.
    CanHearAgain,
    /// The process restarts, and the session will be resumed.
    Restarting,
}

/// Why no audio is received in spite of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CannotHearReason {
    /// A moderator has deafened the bot.
    Deafened,
    /// The bot is suppressed (not allowed to speak), in which case Discord may withhold audio.
    Suppressed,
}

/// What is published when a session has ended. Its personal data must be checked whenever it is
/// shown.
#[derive(Debug)]
pub struct SessionResult {
    /// Why the session ended.
    pub end_reason: SessionEndReason,
    /// Name of the voice channel.
    pub title: String,
    /// When the session began.
    pub started: Timestamp,
    /// When the session ended.
    pub ended: Timestamp,
    /// Reception statistics by speaker.
    pub speaker_reports: Vec<PersonalData<SpeakerReception>>,
    /// Total time without any audio.
    pub interrupted_for: Duration,
    /// The whole transcript.
    pub lines: Vec<PersonalData<TranscriptLine>>,
    /// The summary; `None` if nothing was said, or the model may not be used.
    pub summary: Option<Result<SessionSummary, SummaryError>>,
    /// The grants that the summary depends on.
    pub summary_grants: ConsentGrants,
}

impl SessionResult {
    /// Title, times and statistics, without the speakers who have withdrawn consent.
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

    /// The lines that may still be shown.
    #[must_use]
    pub fn permitted_lines(&self) -> Vec<TranscriptLine> {
        permitted_lines(&self.lines)
    }

    /// The summary, or [`SummaryError::Withdrawn`] if one of its grants has ended.
    #[must_use]
    pub fn permitted_summary(&self) -> Option<Result<&SessionSummary, &SummaryError>> {
        let summary = self.summary.as_ref()?.as_ref();
        Some(match summary {
            Ok(_) if !self.summary_grants.all_active() => Err(&SummaryError::Withdrawn),
            summary => summary,
        })
    }

    /// The active grants that the result depends on in its current form.
    #[must_use]
    pub fn active_grants(&self) -> ConsentGrants {
        let lines = self.lines.iter().map(PersonalData::grant);
        let speakers = self.speaker_reports.iter().map(PersonalData::grant);
        let active = lines.chain(speakers).filter(|grant| grant.is_active());
        active.cloned().collect()
    }
}
