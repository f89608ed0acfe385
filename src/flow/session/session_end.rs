//! Ends a session: the reason is stored before anything else happens. Then the result is published:
//! transcript, summary and reception report.

use std::time::Duration;

use async_trait::async_trait;

use super::report::ReceptionReport;
use super::summary::{self, SessionSummary, SummaryError, SummaryLimits, SummaryModel};
use super::transcript_view::{SessionResult, TranscriptView};
use super::{AnswerMode, SessionEndReason, SessionSetup, transcript_history};
use crate::chat::{ChatError, Conversation};
use crate::flow::admission::{AllowedEngines, Payer, PermitRequest};
use crate::flow::chat_request::request_answer as ask_model;
use crate::flow::consent::{ConsentGrant, ConsentGrants, PersonalData};
use crate::flow::job_runner::JobRunner;
use crate::flow::job_scheduler::JobScheduler;
use crate::store::{
    EndedSession, LineKind, OpenSession, SessionId, SessionRecord, TranscriptLine, UsageAccount,
};
use crate::store::{StoreError, Timestamp};

/// Time limit for a summary.
const SUMMARY_TIMEOUT: Duration = Duration::from_secs(300);

/// An end that has been recorded. Acting on an end requires one, and only [`record_end`] and the
/// ledger create it.
#[derive(Clone, Debug)]
pub struct RecordedEnd {
    session: SessionId,
    reason: SessionEndReason,
    ended_at: Timestamp,
}

impl RecordedEnd {
    /// Why the session ended.
    #[must_use]
    pub fn reason(&self) -> SessionEndReason {
        self.reason
    }

    /// When the session ended.
    #[must_use]
    pub fn ended_at(&self) -> Timestamp {
        self.ended_at
    }
}

impl From<&EndedSession> for RecordedEnd {
    fn from(ended: &EndedSession) -> Self {
        Self {
            session: ended.session.id,
            // A newer version may have stored a reason unknown to this one.
            reason: serde_json::from_str(&ended.end_reason)
                .unwrap_or(SessionEndReason::ProcessDied),
            ended_at: ended.ended_at,
        }
    }
}

/// Records the end of a session. If it has already ended, the first reason stands. If the ledger
/// can't be written, the session ends all the same, and [`publish_result`] retries the write.
pub async fn record_end(
    workshop: &JobRunner,
    session: SessionId,
    ending: SessionEndReason,
) -> RecordedEnd {
    let noted = RecordedEnd {
        session,
        reason: ending,
        ended_at: (workshop.clock)(),
    };
    match persist_end(workshop, &noted).await {
        Ok(Some(ended)) => RecordedEnd::from(&ended),
        // Already published, or deleted with its guild.
        Ok(None) => noted,
        Err(error) => {
            log_store_error("the end is not written down", &error);
            noted
        }
    }
}

async fn persist_end(
    workshop: &JobRunner,
    noted: &RecordedEnd,
) -> Result<Option<EndedSession>, StoreError> {
    let reason = serde_json::to_string(&noted.reason).map_err(|_| StoreError::Damaged)?;
    workshop
        .store
        .end_session(noted.session, &reason, noted.ended_at)
        .await
}

/// Ends a session that was left behind by a dead process and is not resumed.
pub async fn record_abandoned_end(
    workshop: &JobRunner,
    left: OpenSession,
    ending: SessionEndReason,
) -> RecordedEnd {
    let id = left.session().id;
    if let Some(since) = left.interrupted_since_ms()
        && let Err(error) = record_interruption(workshop, left.session(), since).await
    {
        log_store_error("what was not heard is not written down", &error);
    }
    record_end(workshop, id, ending).await
}

/// Adds a line for an interruption that was in progress when the process died.
async fn record_interruption(
    workshop: &JobRunner,
    session: &SessionRecord,
    since: u64,
) -> Result<(), StoreError> {
    let store = &workshop.store;
    let lines = store.lines(session.id).await?;
    let until = super::call::session_elapsed(session, session.last_seen).as_millis();
    let line = TranscriptLine {
        number: lines.iter().map(|line| line.number).max().unwrap_or(0) + 1,
        author: 0,
        name: String::new(),
        start_ms: since,
        end_ms: u64::try_from(until).unwrap_or(u64::MAX).max(since),
        kind: LineKind::Interrupted,
        text: String::new(),
    };
    let kept = store.add_line(session.id, &line, session.last_seen, &|| true);
    kept.await?;
    store.record_session_interruption(session.id, None).await
}

/// Publishes the result of an ended session. Does so only once, even across processes. Returns
/// false if it has to be retried.
pub async fn publish_result(
    desk: &JobScheduler,
    board: &dyn TranscriptView,
    session: &SessionRecord,
    noted: &RecordedEnd,
    (bot, report): (&str, Option<ReceptionReport>),
) -> bool {
    let workshop = desk.runner();
    let kept = match persist_end(workshop, noted).await {
        Ok(Some(kept)) => Some(kept),
        Ok(None) => return true,
        Err(error) => {
            // The members still get the result.
            log_store_error("the end is not written down", &error);
            None
        }
    };
    let ended = SessionRecord {
        ended: Some(noted.ended_at),
        ..session.clone()
    };
    let setup: Option<SessionSetup> = serde_json::from_str(&session.details.payload).ok();
    if let Err(error) = workshop.load_guild_consents(session.details.guild).await {
        log_store_error("who may be heard can't be read", &error);
    }
    // Show all pending lines first, so that the result is the last message.
    board.flush().await;
    let lines =
        match transcript_history::all_lines(&workshop.consents, &workshop.store, &ended, bot).await
        {
            Ok(lines) => lines,
            Err(error) => {
                log_store_error("the transcript can't be read", &error);
                Vec::new()
            }
        };
    // A stored report or summary may contain data that could not be deleted yet.
    let kept = kept.filter(|_| !workshop.consents.has_unwritten());
    let report = load_or_keep_report(workshop, kept.as_ref(), report, &lines).await;
    let wanted = setup
        .as_ref()
        .is_some_and(|it| it.answers != AnswerMode::Never);
    let summary = match wanted && board.is_available() {
        true => load_or_create_summary(desk, session, kept.as_ref(), &lines).await,
        false => None,
    };
    let (summary, summed_up) = summary.map_or_else(Default::default, |(summary, summed_up)| {
        (Some(summary), summed_up)
    });
    let book = workshop.consents.for_guild(session.details.guild);
    let speakers = report.speakers.into_iter();
    let remains = SessionResult {
        end_reason: noted.reason,
        title: setup.map(|it| it.title).unwrap_or_default(),
        started: session.started,
        ended: noted.ended_at,
        speaker_reports: speakers
            .filter_map(|heard| Some(book.current_grant(heard.person)?.wrap(heard)))
            .collect(),
        interrupted_for: report.interrupted_for,
        lines,
        summary,
        summary_grants: summed_up,
    };
    if !board.show_result(&remains).await {
        return false;
    }
    match workshop.store.close_session(session.id).await {
        Ok(_) => true,
        Err(error) => {
            log_store_error("the session is not closed", &error);
            false
        }
    }
}

/// The stored report, so that all processes publish the same one; otherwise creates and stores it.
async fn load_or_keep_report(
    workshop: &JobRunner,
    kept: Option<&EndedSession>,
    counted: Option<ReceptionReport>,
    lines: &[PersonalData<TranscriptLine>],
) -> ReceptionReport {
    let known = kept.and_then(|kept| kept.report.as_deref());
    if let Some(report) = known.and_then(|json| serde_json::from_str(json).ok()) {
        return report;
    }
    let report = counted.unwrap_or_else(|| ReceptionReport::from_lines(&permitted_lines(lines)));
    let Some(kept) = kept else {
        return report;
    };
    let book = workshop.consents.for_guild(kept.session.details.guild);
    let speakers = report.speakers.iter();
    let stamps: Option<Vec<ConsentGrant>> =
        speakers.map(|it| book.current_grant(it.person)).collect();
    // A report that names a user without an active grant is not stored, but created again.
    if let (Some(stamps), Ok(json)) = (stamps, serde_json::to_string(&report)) {
        let stamps: ConsentGrants = stamps.into_iter().collect();
        let (store, id) = (&workshop.store, kept.session.id);
        if let Err(error) = store
            .save_end_report(id, &json, &|| stamps.all_active())
            .await
        {
            log_store_error("the report is not kept", &error);
        }
    }
    report
}

/// The stored summary or a new one, and the grants that it depends on. A new summary is stored, so
/// that it is paid for once. `None` if there are no usable lines.
async fn load_or_create_summary(
    desk: &JobScheduler,
    session: &SessionRecord,
    kept: Option<&EndedSession>,
    lines: &[PersonalData<TranscriptLine>],
) -> Option<(Result<SessionSummary, SummaryError>, ConsentGrants)> {
    let known = kept.and_then(|kept| kept.summary.as_deref());
    if let Some(summary) = known.and_then(|json| serde_json::from_str(json).ok()) {
        // When a user withdraws consent, the stored summary is deleted.
        let holding = lines.iter().filter(|line| line.get().is_some());
        let stamps = holding.map(|line| line.grant().clone()).collect();
        return Some((Ok(summary), stamps));
    }
    // The summary is charged to the member who started the session.
    let (made, stamps) =
        summarize_permitted(desk, session, session.details.requested_by, lines).await?;
    if let (Some(kept), Ok(summary)) = (kept, &made)
        && let Ok(json) = serde_json::to_string(summary)
    {
        let (store, id) = (&desk.runner().store, kept.session.id);
        if let Err(error) = store
            .save_end_summary(id, &json, &|| stamps.all_active())
            .await
        {
            log_store_error("the summary is not kept", &error);
        }
    }
    Some((made, stamps))
}

/// Summarizes the session so far; the cost is charged to `author`. `None` if nothing was said.
///
/// # Errors
///
/// If the ledger can't be read.
pub async fn summarize_so_far(
    desk: &JobScheduler,
    session: &SessionRecord,
    author: u64,
    bot: &str,
) -> Result<Option<Result<SessionSummary, SummaryError>>, StoreError> {
    let workshop = desk.runner();
    let lines =
        transcript_history::all_lines(&workshop.consents, &workshop.store, session, bot).await?;
    let made = summarize_permitted(desk, session, author, &lines).await;
    // The grants are not needed: the summary is shown at once.
    Ok(made.map(|(summary, _)| summary))
}

fn permitted_lines(lines: &[PersonalData<TranscriptLine>]) -> Vec<TranscriptLine> {
    lines
        .iter()
        .filter_map(PersonalData::get)
        .cloned()
        .collect()
}

/// Summarizes the lines that may be used, and returns the grants that the summary depends on.
/// `None` if there are no such lines.
async fn summarize_permitted(
    desk: &JobScheduler,
    session: &SessionRecord,
    author: u64,
    lines: &[PersonalData<TranscriptLine>],
) -> Option<(Result<SessionSummary, SummaryError>, ConsentGrants)> {
    loop {
        let holding = lines.iter().filter(|line| line.get().is_some());
        let stamps: ConsentGrants = holding.map(|line| line.grant().clone()).collect();
        let open = permitted_lines(lines);
        if open.is_empty() {
            return None;
        }
        // If a grant is withdrawn meanwhile, summarize again without its lines. This ends: each
        // time there are fewer.
        let work = run_summary(desk, session, author, &open);
        if let Some(made) = stamps.unless_withdrawn(work).await {
            return Some((made, stamps));
        }
    }
}

async fn run_summary(
    desk: &JobScheduler,
    session: &SessionRecord,
    author: u64,
    lines: &[TranscriptLine],
) -> Result<SessionSummary, SummaryError> {
    let model = BilledSummaryModel {
        workshop: desk.runner(),
        payer: Payer {
            guild: Some(session.details.guild),
            author,
        },
        account: UsageAccount::Session(session.id),
    };
    let work = summary::summarize(&model, lines, SummaryLimits::default());
    let made = match tokio::time::timeout(SUMMARY_TIMEOUT, work).await {
        Ok(made) => made,
        Err(_) => Err(ChatError::TimedOut(SUMMARY_TIMEOUT).into()),
    };
    made.inspect_err(|error| {
        tracing::warn!(
            session = session.id.0,
            error = error as &dyn std::error::Error,
            "no summary"
        );
    })
}

/// A chat model whose requests are checked against the caps and charged.
struct BilledSummaryModel<'a> {
    workshop: &'a JobRunner,
    payer: Payer,
    account: UsageAccount,
}

#[async_trait]
impl SummaryModel for BilledSummaryModel<'_> {
    async fn answer(
        &self,
        question: &Conversation,
        limit: Duration,
    ) -> Result<String, SummaryError> {
        let workshop = self.workshop;
        let ask = PermitRequest {
            payer: self.payer,
            account: self.account,
            cost: workshop.pipeline.chat.max_cost(question),
            reservation: None,
            allowed_engines: AllowedEngines::All,
        };
        let permit = workshop.admission.admit(&ask).await?;
        let permit = permit.map_err(SummaryError::NotAllowed)?;
        let chat = match (permit.engines(), &workshop.local_pipeline) {
            (AllowedEngines::LocalOnly, Some(local)) => &local.chat,
            _ => &workshop.pipeline.chat,
        };
        let answered = ask_model((chat, &permit), question, limit, |_| {}).await;
        permit.settle().await;
        Ok(answered?.text.0)
    }
}

fn log_store_error(what: &'static str, error: &StoreError) {
    tracing::error!(error = error as &dyn std::error::Error, "{what}");
}
