//! Summaries of sessions: checks consent and caps, charges the cost, and stores the result.

use std::time::Duration;

use async_trait::async_trait;

use super::summary::{self, SessionSummary, SummaryError, SummaryLimits, SummaryModel};
use super::transcript_history::{self, permitted_lines};
use crate::chat::{ChatError, Conversation};
use crate::flow::admission::{AllowedEngines, Payer, PermitRequest};
use crate::flow::chat_request::request_answer as ask_model;
use crate::flow::consent::{ConsentGrants, PersonalData};
use crate::flow::job_runner::JobRunner;
use crate::flow::job_scheduler::JobScheduler;
use crate::store::{EndedSession, SessionRecord, StoreError, TranscriptLine, UsageAccount};

/// Time limit for a summary.
const SUMMARY_TIMEOUT: Duration = Duration::from_secs(300);

/// The stored summary or a new one, and the grants that it depends on. A new summary is stored, so
/// that it is paid for once. `None` if there are no usable lines.
pub(super) async fn load_or_create_summary(
    scheduler: &JobScheduler,
    session: &SessionRecord,
    stored: Option<&EndedSession>,
    lines: &[PersonalData<TranscriptLine>],
) -> Option<(Result<SessionSummary, SummaryError>, ConsentGrants)> {
    let json = stored.and_then(|stored| stored.summary.as_deref());
    if let Some(summary) = json.and_then(|json| serde_json::from_str(json).ok()) {
        // When a user withdraws consent, the stored summary is deleted.
        let active = lines.iter().filter(|line| line.get().is_some());
        let grants = active.map(|line| line.grant().clone()).collect();
        return Some((Ok(summary), grants));
    }
    // The summary is charged to the member who started the session.
    let (summary, grants) =
        summarize_permitted(scheduler, session, session.details.requested_by, lines).await?;
    if let (Some(stored), Ok(summary)) = (stored, &summary)
        && let Ok(json) = serde_json::to_string(summary)
    {
        let (store, id) = (&scheduler.runner().store, stored.session.id);
        if let Err(error) = store
            .save_end_summary(id, &json, &|| grants.all_active())
            .await
        {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "can't store the summary"
            );
        }
    }
    Some((summary, grants))
}

/// Summarizes the session so far; the cost is charged to `author`. `None` if nothing was said.
///
/// # Errors
///
/// If the ledger can't be read.
pub async fn summarize_so_far(
    scheduler: &JobScheduler,
    session: &SessionRecord,
    author: u64,
    bot: &str,
) -> Result<Option<Result<SessionSummary, SummaryError>>, StoreError> {
    let runner = scheduler.runner();
    let lines =
        transcript_history::all_lines(&runner.consents, &runner.store, session, bot).await?;
    let summary = summarize_permitted(scheduler, session, author, &lines).await;
    // The grants are not needed: the summary is shown at once.
    Ok(summary.map(|(summary, _)| summary))
}

/// Summarizes the lines that may be used, and returns the grants that the summary depends on.
/// `None` if there are no such lines.
async fn summarize_permitted(
    scheduler: &JobScheduler,
    session: &SessionRecord,
    author: u64,
    lines: &[PersonalData<TranscriptLine>],
) -> Option<(Result<SessionSummary, SummaryError>, ConsentGrants)> {
    loop {
        let active = lines.iter().filter(|line| line.get().is_some());
        let grants: ConsentGrants = active.map(|line| line.grant().clone()).collect();
        let permitted = permitted_lines(lines);
        if permitted.is_empty() {
            return None;
        }
        // If a grant is withdrawn meanwhile, summarize again without its lines. This ends: each
        // time there are fewer.
        let work = run_summary(scheduler, session, author, &permitted);
        if let Some(summary) = grants.unless_withdrawn(work).await {
            return Some((summary, grants));
        }
    }
}

async fn run_summary(
    scheduler: &JobScheduler,
    session: &SessionRecord,
    author: u64,
    lines: &[TranscriptLine],
) -> Result<SessionSummary, SummaryError> {
    let model = BilledSummaryModel {
        runner: scheduler.runner(),
        payer: Payer {
            guild: Some(session.details.guild),
            author,
        },
        account: UsageAccount::Session(session.id),
    };
    let work = summary::summarize(&model, lines, SummaryLimits::default());
    let summary = match tokio::time::timeout(SUMMARY_TIMEOUT, work).await {
        Ok(summary) => summary,
        Err(_) => Err(ChatError::TimedOut(SUMMARY_TIMEOUT).into()),
    };
    summary.inspect_err(|error| {
        tracing::warn!(
            session = session.id.0,
            error = error as &dyn std::error::Error,
            "no summary"
        );
    })
}

/// A chat model whose requests are checked against the caps and charged.
struct BilledSummaryModel<'a> {
    runner: &'a JobRunner,
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
        let runner = self.runner;
        let request = PermitRequest {
            payer: self.payer,
            account: self.account,
            cost: runner.pipeline.chat.max_cost(question),
            reservation: None,
            allowed_engines: AllowedEngines::All,
        };
        let permit = runner.admission.admit(&request).await?;
        let permit = permit.map_err(SummaryError::NotAllowed)?;
        let chat = match (permit.engines(), &runner.local_pipeline) {
            (AllowedEngines::LocalOnly, Some(local)) => &local.chat,
            _ => &runner.pipeline.chat,
        };
        let answered = ask_model((chat, &permit), question, limit, |_| {}).await;
        permit.settle().await;
        Ok(answered?.text.0)
    }
}
