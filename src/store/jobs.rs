//! Jobs: accepted once, checkpointed at each step, finished once.

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite};

use super::{Store, StoreError, StoredTurn, Timestamp, UsageEntry, id_from_column, id_to_column};

/// The number of a job in this ledger.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct JobId(pub i64);

/// Something to be done.
#[derive(Clone)]
pub struct JobDetails {
    /// The message or interaction that asks for it.
    pub source: u64,
    /// The server; none in a direct message.
    pub guild: Option<u64>,
    /// Where the answer goes.
    pub channel: u64,
    /// Who asks.
    pub author: u64,
    /// Everything else that is needed to do it, in the caller's own form. Stored encrypted.
    pub payload: String,
    /// Whose words it is about beside those of who asks.
    pub referenced: Option<MessageReference>,
}

/// Where the words of a job come from that are not of who asked for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MessageReference {
    /// The message they stand in. Whoever deletes it deletes the job.
    pub message: u64,
    /// Whose message that is; 0 where nobody can tell. Whoever is forgotten takes the job along.
    pub author: u64,
}

/// Whether a job is new.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AcceptOutcome {
    /// It is on the disk now.
    New(JobId),
    /// It was there already, under this number.
    Duplicate(JobId),
    /// Its answer has been deleted: it is not to come back.
    Withdrawn,
}

/// What has become of a job.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum JobState {
    /// Still to be done, or being done.
    Waiting,
    /// The answer is where it belongs.
    Done,
    /// It ended with a sentence instead.
    Failed,
    /// Nobody wants it any more.
    Cancelled,
}

impl JobState {
    /// What it is called in the ledger and by operators.
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

/// A job that has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FinishedJob {
    /// Its number.
    pub id: JobId,
    /// How.
    pub state: JobState,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
}

/// A job as the ledger knows it.
#[derive(Clone)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// What was asked.
    pub details: JobDetails,
    /// What was heard, once that is known.
    pub transcript: Option<String>,
    /// What is answered, once that is complete.
    pub answer: Option<String>,
    /// What has become of it.
    pub state: JobState,
    /// How often it was begun since it was accepted or reopened.
    pub attempts: u32,
    /// How often it was reopened.
    pub generation: u32,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it was accepted, or reopened last.
    pub queued_at: Timestamp,
}

impl std::fmt::Debug for JobDetails {
    /// What people want never reaches a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewJob({}, {} bytes)", self.source, self.payload.len())
    }
}

impl std::fmt::Debug for Job {
    /// What people said never reaches a log.
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
    /// Its place in the result, from 0.
    pub part: u32,
    /// The message; none if it was about to be sent and nobody knows whether it was.
    pub message: Option<u64>,
}

impl Store {
    /// Takes a job on. It is on the disk when this returns; the same source is taken on once. The
    /// first message of its result counts as about to be sent from here on.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written: then the job is not accepted.
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

    /// The job of this number.
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

    /// The jobs that are about what stands in this message, by their sources, beside the one that
    /// it asked for itself.
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

    /// The jobs in which one person asked for what another one said, and this is one of them: what
    /// is shown of them goes when either is forgotten.
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

    /// The job whose result this message shows.
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

    /// The numbers of up to `limit` jobs that are still to be done, oldest first, after `after`.
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

    /// The latest jobs that have ended, the latest first, by their numbers.
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

    /// Counts one more beginning, before anything is done: a job that kills the process is known
    /// by it. Returns the count.
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

    /// What was heard is not heard again, and what it cost is booked with it.
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

    /// What was answered is not asked again, and what it cost is booked with it.
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

    /// A step and its cost are on the disk together, or neither is.
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

    /// What came of the job could only not be delivered: its last beginning does not count.
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

    /// The job of this number without anything that is sealed: what is left of one that can't be
    /// read.
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

    /// The job is over, and `turns` is what is remembered of it. Returns false if it was over, or
    /// forgotten, before: then nothing is remembered either.
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

    /// The job is to be done once more; what was heard may stay. Returns false if it is not over.
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

    /// The job that is being done, if one is, whose result begins with this message.
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

    /// The order of a job is another one from here on.
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

    /// This part of the result is about to be sent.
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

    /// This part of the result is that message.
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

    /// This part of the result is no more.
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

/// What is not sealed of a job.
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
