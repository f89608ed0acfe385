//! Jobs: accepted once, checkpointed at each step, finished once.

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite};

use super::{Store, StoreError, StoredTurn, Timestamp, UsageEntry, id_from_column, id_to_column};

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
    pub fn text(self) -> &'static str {
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
            .find(|state| state.text() == text)
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
        write!(f, "NewJob({}, {} bytes)", self.source, self.payload.len())
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

/// One message of a job's result.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ResultMessage {
    /// Position in the result, from 0.
    pub part: u32,
    /// The message id; `None` if it was about to be sent and it is unknown whether it was.
    pub message: Option<u64>,
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
            let known = sqlx::query_scalar("SELECT id FROM job WHERE source = ?")
                .bind(source)
                .fetch_one(&mut *write)
                .await?;
            write.commit().await?;
            return Ok(AcceptOutcome::Duplicate(JobId(known)));
        };
        sqlx::query("INSERT INTO post (job, part) VALUES (?, 0)")
            .bind(added)
            .execute(&mut *write)
            .await?;
        if let Some(borrowed) = job.referenced {
            sqlx::query("INSERT INTO borrowed VALUES (?, ?, ?)")
                .bind(added)
                .bind(id_to_column(borrowed.message))
                .bind(id_to_column(borrowed.author))
                .execute(&mut *write)
                .await?;
        }
        write.commit().await?;
        Ok(AcceptOutcome::New(JobId(added)))
    }

    /// The job with this id.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn job(&self, job: JobId) -> Result<Option<Job>, StoreError> {
        let row = sqlx::query("SELECT * FROM whole_job WHERE id = ?")
            .bind(job.0)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| self.read_job(&row)).transpose()
    }

    /// The job that this message or interaction asked for.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn job_by_source(&self, source: u64) -> Result<Option<Job>, StoreError> {
        let row = sqlx::query("SELECT * FROM whole_job WHERE source = ?")
            .bind(id_to_column(source))
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| self.read_job(&row)).transpose()
    }

    /// The sources of all jobs that refer to this message, apart from a job that the message itself
    /// asked for.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn sources_referencing(&self, message: u64) -> Result<Vec<u64>, StoreError> {
        let sources: Vec<i64> = sqlx::query_scalar(
            "SELECT source FROM job JOIN borrowed ON borrowed.job = job.id
             WHERE borrowed.message = ? AND source <> borrowed.message ORDER BY id",
        )
        .bind(id_to_column(message))
        .fetch_all(&self.pool)
        .await?;
        Ok(sources.into_iter().map(id_from_column).collect())
    }

    /// The jobs in which one user asked about another's message and `person` is one of the two:
    /// their results are deleted when either is forgotten.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn jobs_shared_with(&self, person: u64) -> Result<Vec<Job>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM whole_job WHERE borrowed_message IS NOT NULL
             AND borrowed_author <> author AND (author = ?1 OR borrowed_author = ?1) ORDER BY id",
        )
        .bind(id_to_column(person))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| self.read_job(row)).collect()
    }

    /// The job whose result includes this message.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn job_by_result_message(&self, message: u64) -> Result<Option<Job>, StoreError> {
        let row = sqlx::query(
            "SELECT job.* FROM whole_job AS job JOIN post ON post.job = job.id
             WHERE post.message = ?",
        )
        .bind(id_to_column(message))
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| self.read_job(&row)).transpose()
    }

    /// Ids of up to `limit` unfinished jobs, oldest first, after `after`.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn waiting_jobs(
        &self,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<JobId>, StoreError> {
        let ids: Vec<i64> = sqlx::query_scalar(
            "SELECT id FROM job WHERE state = 'waiting' AND id > ? ORDER BY id LIMIT ?",
        )
        .bind(after.map_or(i64::MIN, |job| job.0))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        Ok(ids.into_iter().map(JobId).collect())
    }

    /// The latest finished jobs by id, latest first.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn finished_jobs(&self, limit: u32) -> Result<Vec<FinishedJob>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, state, created, finished FROM job WHERE state <> 'waiting'
             ORDER BY id DESC LIMIT ?",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let state: String = row.try_get("state")?;
                let created = row.try_get("created")?;
                let finished: Option<i64> = row.try_get("finished")?;
                Ok(FinishedJob {
                    id: JobId(row.try_get("id")?),
                    state: JobState::parse(&state)?,
                    created: Timestamp(created),
                    finished: Timestamp(finished.unwrap_or(created)),
                })
            })
            .collect()
    }

    /// Counts an attempt before it starts, so that a job that kills the process gives itself away.
    /// Returns the new count.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn count_attempt(&self, job: JobId) -> Result<u32, StoreError> {
        let _turn = self.lock_writer().await;
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
        let _turn = self.lock_writer().await;
        sqlx::query("UPDATE job SET attempts = max(attempts - 1, 0) WHERE id = ?")
            .bind(job.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The job without its encrypted content, for a job that can't be decrypted.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn job_without_payload(&self, job: JobId) -> Result<Option<Job>, StoreError> {
        let row = sqlx::query("SELECT * FROM whole_job WHERE id = ?")
            .bind(job.0)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| read_job_columns(&row, String::new()))
            .transpose()
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
        let done = sqlx::query(
            "UPDATE job SET state = ?, finished = ? WHERE id = ? AND state = 'waiting'",
        )
        .bind(state.text())
        .bind(now.0)
        .bind(job.0)
        .execute(&mut *write)
        .await?;
        if done.rows_affected() == 0 {
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
        let _turn = self.lock_writer().await;
        let done = sqlx::query(
            "UPDATE job SET state = 'waiting', attempts = 0, generation = generation + 1,
                 answer = NULL, transcript = iif(?, transcript, NULL), due = ?, finished = NULL
             WHERE id = ? AND state <> 'waiting'",
        )
        .bind(keep_transcript)
        .bind(now.0)
        .bind(job.0)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The unfinished job whose result begins with this message, if any.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn waiting_job_by_first_message(
        &self,
        message: u64,
    ) -> Result<Option<JobId>, StoreError> {
        let job = sqlx::query_scalar(
            "SELECT job.id FROM post JOIN job ON job.id = post.job
             WHERE post.message = ? AND post.part IN (0, 100) AND job.state = 'waiting'",
        )
        .bind(id_to_column(message))
        .fetch_optional(&self.pool)
        .await?;
        Ok(job.map(JobId))
    }

    /// Replaces the stored request of a job.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn update_job_payload(&self, job: &Job, payload: &str) -> Result<(), StoreError> {
        let source = id_to_column(job.details.source);
        let payload = self.cipher.seal("job.payload", source, payload)?;
        let _turn = self.lock_writer().await;
        sqlx::query("UPDATE job SET payload = ? WHERE id = ?")
            .bind(payload)
            .bind(job.id.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Records that this part of the result is about to be sent.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn record_sending(&self, job: JobId, part: u32) -> Result<(), StoreError> {
        let _turn = self.lock_writer().await;
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
        let _turn = self.lock_writer().await;
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
        let _turn = self.lock_writer().await;
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
        let post = |(part, message): (u32, Option<i64>)| ResultMessage {
            part,
            message: message.map(id_from_column),
        };
        Ok(rows.into_iter().map(post).collect())
    }

    fn read_job(&self, row: &SqliteRow) -> Result<Job, StoreError> {
        let number: i64 = row.try_get("id")?;
        let source: i64 = row.try_get("source")?;
        let open = |name: &str, field: &str, key: i64| -> Result<Option<String>, StoreError> {
            let sealed: Option<Vec<u8>> = row.try_get(field)?;
            sealed
                .map(|sealed| self.cipher.open(name, key, &sealed))
                .transpose()
        };
        let payload = open("job.payload", "payload", source)?.ok_or(StoreError::Damaged)?;
        Ok(Job {
            transcript: open("job.transcript", "transcript", number)?,
            answer: open("job.answer", "answer", number)?,
            ..read_job_columns(row, payload)?
        })
    }
}

/// Reads the unencrypted columns of a job.
fn read_job_columns(row: &SqliteRow, payload: String) -> Result<Job, StoreError> {
    let state: String = row.try_get("state")?;
    Ok(Job {
        id: JobId(row.try_get("id")?),
        details: JobDetails {
            source: id_from_column(row.try_get("source")?),
            guild: row.try_get::<Option<i64>, _>("guild")?.map(id_from_column),
            channel: id_from_column(row.try_get("channel")?),
            author: id_from_column(row.try_get("author")?),
            payload,
            referenced: match row.try_get::<Option<i64>, _>("borrowed_message")? {
                Some(message) => Some(MessageReference {
                    message: id_from_column(message),
                    author: id_from_column(row.try_get("borrowed_author")?),
                }),
                None => None,
            },
        },
        transcript: None,
        answer: None,
        state: JobState::parse(&state)?,
        attempts: row.try_get("attempts")?,
        generation: row.try_get("generation")?,
        created: Timestamp(row.try_get("created")?),
        queued_at: Timestamp(row.try_get("due")?),
    })
}
