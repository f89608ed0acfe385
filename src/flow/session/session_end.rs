//! Ends a session: the reason is stored before anything else happens. Then the result is published:
//! transcript, summary and reception report.

use super::billed_summary::load_or_create_summary;
use super::clock::session_elapsed;
use super::report::ReceptionReport;
use super::transcript_history::permitted_lines;
use super::transcript_view::{SessionResult, TranscriptView};
use super::{AnswerMode, SessionEndReason, SessionSetup, transcript_history};
use crate::flow::consent::{ConsentGrant, ConsentGrants, PersonalData};
use crate::flow::job_runner::JobRunner;
use crate::flow::job_scheduler::JobScheduler;
use crate::store::{
    EndedSession, LineKind, OpenSession, SessionId, SessionRecord, StoreError, Timestamp,
    TranscriptLine,
};

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
    runner: &JobRunner,
    session: SessionId,
    reason: SessionEndReason,
) -> RecordedEnd {
    let recorded = RecordedEnd {
        session,
        reason,
        ended_at: (runner.clock)(),
    };
    match persist_end(runner, &recorded).await {
        Ok(Some(ended)) => RecordedEnd::from(&ended),
        // Already published, or deleted with its guild.
        Ok(None) => recorded,
        Err(error) => {
            log_store_error("can't store the end of the session", &error);
            recorded
        }
    }
}

async fn persist_end(
    runner: &JobRunner,
    recorded: &RecordedEnd,
) -> Result<Option<EndedSession>, StoreError> {
    let reason = serde_json::to_string(&recorded.reason).map_err(|_| StoreError::Damaged)?;
    runner
        .store
        .end_session(recorded.session, &reason, recorded.ended_at)
        .await
}

/// Ends a session that was left behind by a dead process and is not resumed.
pub async fn record_abandoned_end(
    runner: &JobRunner,
    abandoned: OpenSession,
    reason: SessionEndReason,
) -> RecordedEnd {
    let id = abandoned.session().id;
    if let Some(since) = abandoned.interrupted_since_ms()
        && let Err(error) = record_interruption(runner, abandoned.session(), since).await
    {
        log_store_error("can't store the last interruption", &error);
    }
    record_end(runner, id, reason).await
}

/// Adds a line for an interruption that was in progress when the process died.
async fn record_interruption(
    runner: &JobRunner,
    session: &SessionRecord,
    since: u64,
) -> Result<(), StoreError> {
    let store = &runner.store;
    let lines = store.lines(session.id).await?;
    let until = session_elapsed(session, session.last_seen).as_millis();
    let line = TranscriptLine {
        number: lines.iter().map(|line| line.number).max().unwrap_or(0) + 1,
        author: 0,
        name: String::new(),
        start_ms: since,
        end_ms: u64::try_from(until).unwrap_or(u64::MAX).max(since),
        kind: LineKind::Interrupted,
        text: String::new(),
    };
    store
        .add_line(session.id, &line, session.last_seen, &|| true)
        .await?;
    store.record_session_interruption(session.id, None).await
}

/// Publishes the result of an ended session. Does so only once, even across processes. Returns
/// false if it has to be retried.
pub async fn publish_result(
    scheduler: &JobScheduler,
    view: &dyn TranscriptView,
    session: &SessionRecord,
    recorded: &RecordedEnd,
    (bot, report): (&str, Option<ReceptionReport>),
) -> bool {
    let runner = scheduler.runner();
    let stored = match persist_end(runner, recorded).await {
        Ok(Some(stored)) => Some(stored),
        Ok(None) => return true,
        Err(error) => {
            // The members still get the result.
            log_store_error("can't store the end of the session", &error);
            None
        }
    };
    let ended = SessionRecord {
        ended: Some(recorded.ended_at),
        ..session.clone()
    };
    let setup: Option<SessionSetup> = serde_json::from_str(&session.details.payload).ok();
    if let Err(error) = runner.load_guild_consents(session.details.guild).await {
        log_store_error("can't read the consents of the guild", &error);
    }
    // Show all pending lines first, so that the result is the last message.
    view.flush().await;
    let lines =
        match transcript_history::all_lines(&runner.consents, &runner.store, &ended, bot).await {
            Ok(lines) => lines,
            Err(error) => {
                log_store_error("can't read the transcript", &error);
                Vec::new()
            }
        };
    // A stored report or summary may contain data that could not be deleted yet.
    let stored = stored.filter(|_| !runner.consents.has_unwritten());
    let report = load_or_keep_report(runner, stored.as_ref(), report, &lines).await;
    let wants_summary = setup
        .as_ref()
        .is_some_and(|it| it.answers != AnswerMode::Never);
    let summary = match wants_summary && view.is_available() {
        true => load_or_create_summary(scheduler, session, stored.as_ref(), &lines).await,
        false => None,
    };
    let (summary, summary_grants) = summary
        .map_or_else(Default::default, |(summary, summary_grants)| {
            (Some(summary), summary_grants)
        });
    let consents = runner.consents.for_guild(session.details.guild);
    let speakers = report.speakers.into_iter();
    let result = SessionResult {
        end_reason: recorded.reason,
        title: setup.map(|it| it.title).unwrap_or_default(),
        started: session.started,
        ended: recorded.ended_at,
        speaker_reports: speakers
            .filter_map(|speaker| Some(consents.current_grant(speaker.person)?.wrap(speaker)))
            .collect(),
        interrupted_for: report.interrupted_for,
        lines,
        summary,
        summary_grants,
    };
    if !view.show_result(&result).await {
        return false;
    }
    match runner.store.close_session(session.id).await {
        Ok(_) => true,
        Err(error) => {
            log_store_error("can't close the session", &error);
            false
        }
    }
}

/// The stored report, so that all processes publish the same one; otherwise creates and stores it.
async fn load_or_keep_report(
    runner: &JobRunner,
    stored: Option<&EndedSession>,
    counted: Option<ReceptionReport>,
    lines: &[PersonalData<TranscriptLine>],
) -> ReceptionReport {
    let json = stored.and_then(|stored| stored.report.as_deref());
    if let Some(report) = json.and_then(|json| serde_json::from_str(json).ok()) {
        return report;
    }
    let report = counted.unwrap_or_else(|| ReceptionReport::from_lines(&permitted_lines(lines)));
    let Some(stored) = stored else {
        return report;
    };
    let consents = runner.consents.for_guild(stored.session.details.guild);
    let speakers = report.speakers.iter();
    let grants: Option<Vec<ConsentGrant>> = speakers
        .map(|it| consents.current_grant(it.person))
        .collect();
    // A report that names a user without an active grant is not stored, but created again.
    if let (Some(grants), Ok(json)) = (grants, serde_json::to_string(&report)) {
        let grants: ConsentGrants = grants.into_iter().collect();
        let (store, id) = (&runner.store, stored.session.id);
        if let Err(error) = store
            .save_end_report(id, &json, &|| grants.all_active())
            .await
        {
            log_store_error("can't store the report", &error);
        }
    }
    report
}

fn log_store_error(message: &'static str, error: &StoreError) {
    tracing::error!(error = error as &dyn std::error::Error, "{message}");
}
