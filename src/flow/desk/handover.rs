//! What was asked once more in another message goes on there.

use std::time::Duration;

use super::Desk;
use crate::flow::order::Note;
use crate::flow::work;
use crate::store::{JobId, StoreError};

/// How long work that is paid for already is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What there is of a job that goes on as another one.
#[derive(Debug, Default)]
pub struct Carried {
    pub(super) notes: Vec<Note>,
    pub(super) answer: Option<String>,
}

/// Messages of ours, and the channel that they are in.
pub type Shown = (u64, Vec<u64>);

impl Desk {
    /// Writes down what there is of a job before anybody works on it.
    pub(super) async fn carry(&self, id: JobId, carried: &Carried) -> Result<(), StoreError> {
        let store = &self.workshop.store;
        if !carried.notes.is_empty() {
            let notes = serde_json::to_string(&carried.notes).map_err(|_| StoreError::Damaged)?;
            store.heard(id, &notes, None).await?;
        }
        if let Some(answer) = &carried.answer {
            store.answered(id, answer, None).await?;
        }
        Ok(())
    }

    /// Lets the work for a message come to its end, so that nothing is paid for twice, and takes
    /// all of it back. Gives what came out, and the messages that showed it.
    ///
    /// # Errors
    ///
    /// If the ledger fails.
    pub async fn hand_over(&self, source: u64) -> Result<(Carried, Option<Shown>), StoreError> {
        let store = &self.workshop.store;
        let Some(job) = store.job_of_source(source).await? else {
            // It may be accepted any moment.
            let shown = self.withdraw(source).await?;
            return Ok((Carried::default(), shown));
        };
        self.ended(job.id, PATIENCE).await;
        let carried = match store.job(job.id).await? {
            None => Carried::default(),
            Some(job) => Carried {
                notes: work::notes(&job),
                answer: job.answer,
            },
        };
        // The same person asks the same: that is no haste.
        self.state().last_order.remove(&job.order.author);
        let shown = self.withdraw(source).await?;
        Ok((carried, shown))
    }
}
