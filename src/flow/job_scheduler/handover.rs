//! Moves a job's results to a new message with the same request, so that nothing is paid for twice.

use std::time::Duration;

use super::JobScheduler;
use crate::flow::job_runner;
use crate::flow::job_spec::RecordingTranscript;
use crate::store::{JobId, StoreError};

/// How long a handover waits for work that is already paid for.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(60);

/// Results of an earlier job that a new one starts with.
#[derive(Debug, Default)]
pub struct CarriedOver {
    pub(super) transcripts: Vec<RecordingTranscript>,
    pub(super) answer: Option<String>,
}

/// A channel, and the bot's messages in it.
pub type ReplyMessages = (u64, Vec<u64>);

impl JobScheduler {
    /// Saves results carried over from another job before the new job starts.
    pub(super) async fn save_carried_over(
        &self,
        id: JobId,
        carried_over: &CarriedOver,
    ) -> Result<(), StoreError> {
        let store = &self.runner.store;
        if !carried_over.transcripts.is_empty() {
            let transcripts = serde_json::to_string(&carried_over.transcripts)
                .map_err(|_| StoreError::Damaged)?;
            store.save_transcript(id, &transcripts, None).await?;
        }
        if let Some(answer) = &carried_over.answer {
            store.save_answer(id, answer, None).await?;
        }
        Ok(())
    }

    /// Lets the job of `source` finish, so that nothing is paid for twice, then withdraws it.
    /// Returns its results, and the messages that showed them.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read or written.
    pub async fn hand_over_job(
        &self,
        source: u64,
    ) -> Result<(CarriedOver, Option<ReplyMessages>), StoreError> {
        let store = &self.runner.store;
        let Some(job) = store.job_by_source(source).await? else {
            // It may be about to be accepted.
            let messages = self.withdraw(source).await?;
            return Ok((CarriedOver::default(), messages));
        };
        self.wait_until_finished(job.id, HANDOVER_TIMEOUT).await;
        let carried_over = match store.job(job.id).await? {
            None => CarriedOver::default(),
            Some(job) => CarriedOver {
                transcripts: job_runner::saved_transcripts(&job),
                answer: job.answer,
            },
        };
        // The same request again must not run into the cooldown.
        self.state().last_request.remove(&job.details.author);
        let messages = self.withdraw(source).await?;
        Ok((carried_over, messages))
    }
}
