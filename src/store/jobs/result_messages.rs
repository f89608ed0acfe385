//! The messages that show a job's result. A message is recorded before it is sent, so that a restart
//! knows that it may exist.

use super::JobId;
use crate::store::{Store, StoreError, id_from_column, id_to_column};

/// One message of a job's result.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ResultMessage {
    /// Position in the result, from 0.
    pub part: u32,
    /// The message id; `None` if it was about to be sent and it is unknown whether it was.
    pub message: Option<u64>,
}

impl Store {
    /// Records that this part of the result is about to be sent.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn record_sending(&self, job: JobId, part: u32) -> Result<(), StoreError> {
        let _writer = self.lock_writer().await;
        sqlx::query("INSERT OR IGNORE INTO post (job, part) VALUES (?, ?)")
            .bind(job.0)
            .bind(part)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Records that this part of the result was sent as `message`.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn record_sent(&self, job: JobId, part: u32, message: u64) -> Result<(), StoreError> {
        let _writer = self.lock_writer().await;
        sqlx::query("INSERT OR REPLACE INTO post (job, part, message) VALUES (?, ?, ?)")
            .bind(job.0)
            .bind(part)
            .bind(id_to_column(message))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Records that this part of the result no longer exists.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn remove_result_message(&self, job: JobId, part: u32) -> Result<(), StoreError> {
        let _writer = self.lock_writer().await;
        sqlx::query("DELETE FROM post WHERE job = ? AND part = ?")
            .bind(job.0)
            .bind(part)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The messages of a job's result, in order.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn result_messages(&self, job: JobId) -> Result<Vec<ResultMessage>, StoreError> {
        let rows: Vec<(u32, Option<i64>)> =
            sqlx::query_as("SELECT part, message FROM post WHERE job = ? ORDER BY part")
                .bind(job.0)
                .fetch_all(&self.pool)
                .await?;
        let result_message = |(part, message): (u32, Option<i64>)| ResultMessage {
            part,
            message: message.map(id_from_column),
        };
        Ok(rows.into_iter().map(result_message).collect())
    }
}
