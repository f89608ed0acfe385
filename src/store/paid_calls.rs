//! Paid calls: recorded before they begin, and charged once when they are over.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{JobId, SessionId, Store, StoreError, Usage, UsageStage, id_from_column, id_to_column};

/// The number of a paid call in this ledger. Never reused.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct PaidCallId(i64);

/// What a call is made for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum UsageAccount {
    /// A job.
    Job {
        /// Its id.
        job: JobId,
        /// Its generation: how often it was reopened.
        generation: u32,
    },
    /// A voice session.
    Session(SessionId),
}

/// What a call used, or may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UsageEntry {
    /// The recorded call, if there is one: its usage is then written once, however often this is
    /// called.
    pub call: Option<PaidCallId>,
    /// The job or session it was made for.
    pub account: UsageAccount,
    /// The part of the job or session.
    pub stage: UsageStage,
    /// The guild; `None` in a direct message.
    pub guild: Option<u64>,
    /// The user; 0 for nobody in particular.
    pub author: u64,
    /// The day whose caps it counts against, as counted by
    /// [`Timestamp::day`](super::Timestamp::day).
    pub day: i64,
    /// The usage.
    pub usage: Usage,
}

/// An amount as stored in a column, limited to the largest one that fits.
fn to_amount_column(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// Adds to the row for this job, generation, stage and day, or creates it. Sums stop at the
/// column's maximum.
const UPSERT_JOB_USAGE: &str = "INSERT INTO usage
         (job, generation, stage, day, guild, author, audio_ms, tokens_in, tokens_out, micros)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
     ON CONFLICT (job, generation, stage, day) DO UPDATE SET
         audio_ms = min(audio_ms, 9223372036854775807 - ?7) + ?7,
         tokens_in = min(tokens_in, 9223372036854775807 - ?8) + ?8,
         tokens_out = min(tokens_out, 9223372036854775807 - ?9) + ?9,
         micros = min(micros, 9223372036854775807 - ?10) + ?10";

/// Adds to the row for this session, member, stage and day. Forgotten members can leave several
/// equal rows; only one of them is updated.
const UPDATE_SESSION_USAGE: &str = "UPDATE session_usage SET
         audio_ms = min(audio_ms, 9223372036854775807 - ?7) + ?7,
         tokens_in = min(tokens_in, 9223372036854775807 - ?8) + ?8,
         tokens_out = min(tokens_out, 9223372036854775807 - ?9) + ?9,
         micros = min(micros, 9223372036854775807 - ?10) + ?10
     WHERE id = (SELECT min(id) FROM session_usage
         WHERE session = ?1 AND author = ?6 AND stage = ?3 AND day = ?4 AND guild = ?5)";

/// Creates such a row.
const INSERT_SESSION_USAGE: &str = "INSERT INTO session_usage
         (session, author, stage, day, audio_ms, tokens_in, tokens_out, micros, guild)
     VALUES (?1, ?6, ?3, ?4, ?7, ?8, ?9, ?10, ?5)";

/// Writes the usage of a call. A recorded call that no longer exists has been charged already.
pub(super) async fn write_usage(
    write: &mut SqliteConnection,
    entry: &UsageEntry,
) -> Result<(), StoreError> {
    if let Some(call) = entry.call {
        let recorded = sqlx::query("DELETE FROM paid_call WHERE id = ?")
            .bind(call.0)
            .execute(&mut *write)
            .await?;
        if recorded.rows_affected() == 0 {
            return Ok(());
        }
    }
    if entry.usage.is_zero() {
        return Ok(());
    }
    let (number, generation, statements): (i64, u32, &[&'static str]) = match entry.account {
        UsageAccount::Job { job, generation } => (job.0, generation, &[UPSERT_JOB_USAGE]),
        UsageAccount::Session(session) => {
            (session.0, 0, &[UPDATE_SESSION_USAGE, INSERT_SESSION_USAGE])
        }
    };
    for statement in statements.iter().copied() {
        let done = sqlx::query(statement)
            .bind(number)
            .bind(generation)
            .bind(entry.stage.as_str())
            .bind(entry.day)
            .bind(entry.guild.map(id_to_column))
            .bind(id_to_column(entry.author))
            .bind(to_amount_column(entry.usage.audio_ms))
            .bind(to_amount_column(entry.usage.tokens_in))
            .bind(to_amount_column(entry.usage.tokens_out))
            .bind(to_amount_column(entry.usage.micros))
            .execute(&mut *write)
            .await?;
        if done.rows_affected() > 0 {
            break;
        }
    }
    Ok(())
}

impl Store {
    /// Records that a call is about to be made and what it may use: if the process is killed, that
    /// much is charged.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written; the call is then not recorded.
    pub async fn begin_paid_call(&self, entry: &UsageEntry) -> Result<PaidCallId, StoreError> {
        let (job, session, generation) = match entry.account {
            UsageAccount::Job { job, generation } => (Some(job.0), None, generation),
            UsageAccount::Session(session) => (None, Some(session.0), 0),
        };
        let _writer = self.lock_writer().await;
        let call = sqlx::query_scalar(
            "INSERT INTO paid_call (job, session, generation, stage, day, guild, author,
                 audio_ms, tokens_in, tokens_out, micros)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        )
        .bind(job)
        .bind(session)
        .bind(generation)
        .bind(entry.stage.as_str())
        .bind(entry.day)
        .bind(entry.guild.map(id_to_column))
        .bind(id_to_column(entry.author))
        .bind(to_amount_column(entry.usage.audio_ms))
        .bind(to_amount_column(entry.usage.tokens_in))
        .bind(to_amount_column(entry.usage.tokens_out))
        .bind(to_amount_column(entry.usage.micros))
        .fetch_one(&self.pool)
        .await?;
        Ok(PaidCallId(call))
    }

    /// Adds the usage of a call to the total of its job or session.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written; nothing is then charged.
    pub async fn record_usage(&self, entry: &UsageEntry) -> Result<(), StoreError> {
        let mut write = self.begin_write().await?;
        write_usage(&mut write, entry).await?;
        write.commit().await
    }

    /// Charges the calls that an earlier process left open, as if each had used all it was allowed
    /// to. Returns their number.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written; nothing is then charged.
    pub async fn charge_interrupted_calls(&self) -> Result<usize, StoreError> {
        let mut write = self.begin_write().await?;
        let rows = sqlx::query("SELECT * FROM paid_call")
            .fetch_all(&mut *write)
            .await?;
        for row in &rows {
            let entry = read_paid_call(row)?;
            write_usage(&mut write, &entry).await?;
        }
        write.commit().await?;
        Ok(rows.len())
    }
}

fn read_paid_call(row: &SqliteRow) -> Result<UsageEntry, StoreError> {
    let job: Option<i64> = row.try_get("job")?;
    let session: Option<i64> = row.try_get("session")?;
    let account = match (job, session) {
        (Some(job), None) => UsageAccount::Job {
            job: JobId(job),
            generation: row.try_get("generation")?,
        },
        (None, Some(session)) => UsageAccount::Session(SessionId(session)),
        _ => return Err(StoreError::Damaged),
    };
    let amount = |field: &str| -> Result<u64, StoreError> {
        let amount: i64 = row.try_get(field)?;
        Ok(u64::try_from(amount).unwrap_or(0))
    };
    Ok(UsageEntry {
        call: Some(PaidCallId(row.try_get("id")?)),
        account,
        stage: UsageStage::parse(&row.try_get::<String, _>("stage")?)?,
        guild: row.try_get::<Option<i64>, _>("guild")?.map(id_from_column),
        author: id_from_column(row.try_get("author")?),
        day: row.try_get("day")?,
        usage: Usage {
            audio_ms: amount("audio_ms")?,
            tokens_in: amount("tokens_in")?,
            tokens_out: amount("tokens_out")?,
            micros: amount("micros")?,
        },
    })
}
