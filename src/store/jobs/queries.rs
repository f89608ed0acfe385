//! Finds and reads jobs.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{FinishedJob, Job, JobDetails, JobId, JobState, MessageReference};
use crate::store::{Store, StoreError, Timestamp, id_from_column, id_to_column};

impl Store {
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

    fn read_job(&self, row: &SqliteRow) -> Result<Job, StoreError> {
        let number: i64 = row.try_get("id")?;
        let source: i64 = row.try_get("source")?;
        let decrypt = |name: &str, field: &str, key: i64| -> Result<Option<String>, StoreError> {
            let sealed: Option<Vec<u8>> = row.try_get(field)?;
            sealed
                .map(|sealed| self.cipher.open(name, key, &sealed))
                .transpose()
        };
        let payload = decrypt("job.payload", "payload", source)?.ok_or(StoreError::Damaged)?;
        Ok(Job {
            transcript: decrypt("job.transcript", "transcript", number)?,
            answer: decrypt("job.answer", "answer", number)?,
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
