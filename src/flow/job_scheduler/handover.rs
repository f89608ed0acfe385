//! What was asked once more in another message goes on there.

use std::time::Duration;

use super::JobScheduler;
use crate::flow::job_runner;
use crate::flow::job_spec::RecordingTranscript;
use crate::store::{JobId, StoreError};

/// How long work that is paid for already is waited for.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(60);

/// What there is of a job that goes on as another one.
#[derive(Debug, Default)]
pub struct CarriedOver {
    pub(super) transcripts: Vec<RecordingTranscript>,
    pub(super) answer: Option<String>,
}

/// Messages of ours, and the channel that they are in.
pub type ReplyMessages = (u64, Vec<u64>);

impl JobScheduler {
    /// Writes down what there is of a job before anybody works on it.
    pub(super) async fn save_carried_over(
        &self,
        id: JobId,
        carried: &CarriedOver,
    ) -> Result<(), StoreError> {
        let store = &self.runner.store;
        if !carried.transcripts.is_empty() {
            let notes =
                serde_json::to_string(&carried.transcripts).map_err(|_| StoreError::Damaged)?;
            store.save_transcript(id, &notes, None).await?;
        }
        if let Some(answer) = &carried.answer {
            store.save_answer(id, answer, None).await?;
        }
        Ok(())
    }

    /// Lets the work for a message come to its end, so that nothing is paid for twice, and takes
    /// all of it back. Gives what came out, and the messages that showed it.
    ///
    /// # Errors
    ///
    /// If the ledger fails.
    pub async fn hand_over_job(
        &self,
        source: u64,
    ) -> Result<(CarriedOver, Option<ReplyMessages>), StoreError> {
        let store = &self.runner.store;
        let Some(job) = store.job_by_source(source).await? else {
            // It may be accepted any moment.
            let shown = self.withdraw(source).await?;
            return Ok((CarriedOver::default(), shown));
        };
        self.wait_until_finished(job.id, HANDOVER_TIMEOUT).await;
        let carried = match store.job(job.id).await? {
            None => CarriedOver::default(),
            Some(job) => CarriedOver {
                transcripts: job_runner::saved_transcripts(&job),
                answer: job.answer,
            },
        };
        // The same person asks the same: that is no haste.
        self.state().last_request.remove(&job.details.author);
        let shown = self.withdraw(source).await?;
        Ok((carried, shown))
    }
}
