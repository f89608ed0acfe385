//! Jobs: accepted once, checkpointed at each step, finished once.

mod queries;
mod result_messages;

use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;

pub use result_messages::ResultMessage;

use super::{Store, StoreError, StoredTurn, Timestamp, UsageEntry, id_to_column};

/// The number of a job in this ledger.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct JobId(pub i64);

/// A job to accept.
#[derive(Clone)]
pub struct JobDetails {
    /// The message or interaction that asks for it.
    pub source: u64,
    /// The guild; `None` in a direct message.
    pub guild: Option<u64>,
    /// The channel that gets the answer.
    pub channel: u64,
    /// The user who asks.
    pub author: u64,
    /// Everything else that is needed to run it, in the caller's format. Stored encrypted.
    pub payload: String,
    /// The message of another author that the job is about, if any.
    pub referenced: Option<MessageReference>,
}

/// Refers to a message whose content a job uses, other than the request itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MessageReference {
    /// The message. Deleting it deletes the job.
    pub message: u64,
    /// Its author; 0 if unknown. Forgetting the author deletes the job.
    pub author: u64,
}

/// Result of accepting a job.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AcceptOutcome {
    /// It is on disk now.
    New(JobId),
    /// It was accepted before, under this id.
    Duplicate(JobId),
    /// Its source was deleted or its author forgotten: it must not come back.
    Withdrawn,
}

/// State of a job.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum JobState {
    /// Not finished: queued, running, or awaiting a retry.
    Waiting,
    /// The result was delivered.
    Done,
    /// It ended with an error message instead of a result.
    Failed,
    /// It is no longer wanted.
    Cancelled,
}

impl JobState {
    /// The name used in the ledger and shown to operators.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        [Self::Waiting, Self::Done, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(StoreError::Damaged)
    }
}

/// A finished job.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FinishedJob {
    /// Its id.
    pub id: JobId,
    /// How it ended.
    pub state: JobState,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
}

/// A job as stored.
#[derive(Clone)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// The request.
    pub details: JobDetails,
    /// The transcripts so far, if any, in the caller's format.
    pub transcript: Option<String>,
    /// The answer, once it is complete.
    pub answer: Option<String>,
    /// Its state.
    pub state: JobState,
    /// Attempts started since it was accepted or last reopened.
    pub attempts: u32,
    /// How often it was reopened.
    pub generation: u32,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it was accepted or last reopened.
    pub queued_at: Timestamp,
}

impl std::fmt::Debug for JobDetails {
    /// Leaves out the payload: requests must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "JobDetails({}, {} bytes)",
            self.source,
            self.payload.len()
        )
    }
}

impl std::fmt::Debug for Job {
    /// Leaves out transcript and answer: they must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Job({}, {:?}, {:?})",
            self.id.0, self.state, self.details
        )
    }
}

impl Store {
    /// Accepts a job: it is on disk when this returns. Each source is accepted once. From here on,
    /// the first message of its result counts as about to be sent.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written; the job is then not accepted.
    pub async fn accept_job(
        &self,
        job: &JobDetails,
        now: Timestamp,
    ) -> Result<AcceptOutcome, StoreError> {
        let source = id_to_column(job.source);
        let payload = self.cipher.seal("job.payload", source, &job.payload)?;
        let mut write = self.begin_write().await?;
        let withdrawn: Option<i64> =
            sqlx::query_scalar("SELECT source FROM withdrawn WHERE source = ?")
                .bind(source)
                .fetch_optional(&mut *write)
                .await?;
        if withdrawn.is_some() {
            write.commit().await?;
            return Ok(AcceptOutcome::Withdrawn);
        }
        let added: Option<i64> = sqlx::query_scalar(
            "INSERT INTO job (source, guild, channel, author, payload, state, created, due)
             VALUES (?1, ?2, ?3, ?4, ?5, 'waiting', ?6, ?6)
             ON CONFLICT (source) DO NOTHING RETURNING id",
        )
        .bind(source)
        .bind(job.guild.map(id_to_column))
        .bind(id_to_column(job.channel))
        .bind(id_to_column(job.author))
        .bind(payload)
        .bind(now.0)
        .fetch_optional(&mut *write)
        .await?;
        let Some(added) = added else {
            let existing = sqlx::query_scalar("SELECT id FROM job WHERE source = ?")
                .bind(source)
                .fetch_one(&mut *write)
                .await?;
            write.commit().await?;
            return Ok(AcceptOutcome::Duplicate(JobId(existing)));
        };
        sqlx::query("INSERT INTO post (job, part) VALUES (?, 0)")
            .bind(added)
            .execute(&mut *write)
            .await?;
        if let Some(referenced) = job.referenced {
            sqlx::query("INSERT INTO borrowed VALUES (?, ?, ?)")
                .bind(added)
                .bind(id_to_column(referenced.message))
                .bind(id_to_column(referenced.author))
                .execute(&mut *write)
                .await?;
        }
        write.commit().await?;
        Ok(AcceptOutcome::New(JobId(added)))
    }

    /// Counts an attempt before it starts, so that a job that kills the process gives itself away.
    /// Returns the new count.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn count_attempt(&self, job: JobId) -> Result<u32, StoreError> {
        let _writer = self.lock_writer().await;
        let attempts = sqlx::query_scalar(
            "UPDATE job SET attempts = attempts + 1 WHERE id = ? RETURNING attempts",
        )
        .bind(job.0)
        .fetch_one(&self.pool)
        .await?;
        Ok(attempts)
    }

    /// Saves the transcripts so far together with their cost, so that they are not paid for again.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn save_transcript(
        &self,
        job: JobId,
        transcript: &str,
        cost: Option<&UsageEntry>,
    ) -> Result<(), StoreError> {
        let sealed = self.cipher.seal("job.transcript", job.0, transcript)?;
        let update = sqlx::query("UPDATE job SET transcript = ? WHERE id = ?");
        self.save_checkpoint(update.bind(sealed).bind(job.0), cost)
            .await
    }

    /// Saves the answer together with its cost, so that it is not paid for again.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn save_answer(
        &self,
        job: JobId,
        answer: &str,
        cost: Option<&UsageEntry>,
    ) -> Result<(), StoreError> {
        let sealed = self.cipher.seal("job.answer", job.0, answer)?;
        let update = sqlx::query("UPDATE job SET answer = ? WHERE id = ?");
        self.save_checkpoint(update.bind(sealed).bind(job.0), cost)
            .await
    }

    /// Writes a checkpoint and its cost in one transaction.
    async fn save_checkpoint(
        &self,
        update: Query<'_, Sqlite, SqliteArguments>,
        cost: Option<&UsageEntry>,
    ) -> Result<(), StoreError> {
        let mut write = self.begin_write().await?;
        update.execute(&mut *write).await?;
        if let Some(cost) = cost {
            super::paid_calls::write_usage(&mut write, cost).await?;
        }
        write.commit().await?;
        Ok(())
    }

    /// Takes back the last attempt, for a job whose result could only not be delivered.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn uncount_attempt(&self, job: JobId) -> Result<(), StoreError> {
        let _writer = self.lock_writer().await;
        sqlx::query("UPDATE job SET attempts = max(attempts - 1, 0) WHERE id = ?")
            .bind(job.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Finishes a job and saves its `turns`. Returns false, and saves nothing, if it was already
    /// finished or forgotten.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn finish_job(
        &self,
        job: JobId,
        state: JobState,
        turns: &[StoredTurn],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut write = self.begin_write().await?;
        let updated = sqlx::query(
            "UPDATE job SET state = ?, finished = ? WHERE id = ? AND state = 'waiting'",
        )
        .bind(state.as_str())
        .bind(now.0)
        .bind(job.0)
        .execute(&mut *write)
        .await?;
        if updated.rows_affected() == 0 {
            write.commit().await?;
            return Ok(false);
        }
        for turn in turns {
            self.insert_turn(&mut write, turn).await?;
            sqlx::query(
                "INSERT OR IGNORE INTO turn_borrowed
                 SELECT ?1, author, borrowed_message FROM whole_job
                     WHERE id = ?2 AND borrowed_message IS NOT NULL
                 UNION SELECT ?1, borrowed_author, borrowed_message FROM whole_job
                     WHERE id = ?2 AND borrowed_message IS NOT NULL",
            )
            .bind(id_to_column(turn.message))
            .bind(job.0)
            .execute(&mut *write)
            .await?;
        }
        write.commit().await?;
        Ok(true)
    }

    /// Makes a finished job waiting again; its transcript can be kept. Returns false if it is not
    /// finished.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn reopen_job(
        &self,
        job: JobId,
        keep_transcript: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let _writer = self.lock_writer().await;
        let updated = sqlx::query(
            "UPDATE job SET state = 'waiting', attempts = 0, generation = generation + 1,
                 answer = NULL, transcript = iif(?, transcript, NULL), due = ?, finished = NULL
             WHERE id = ? AND state <> 'waiting'",
        )
        .bind(keep_transcript)
        .bind(now.0)
        .bind(job.0)
        .execute(&self.pool)
        .await?;
        Ok(updated.rows_affected() > 0)
    }

    /// Replaces the stored request of a job.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn update_job_payload(&self, job: &Job, payload: &str) -> Result<(), StoreError> {
        let source = id_to_column(job.details.source);
        let payload = self.cipher.seal("job.payload", source, payload)?;
        let _writer = self.lock_writer().await;
        sqlx::query("UPDATE job SET payload = ? WHERE id = ?")
            .bind(payload)
            .bind(job.id.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
