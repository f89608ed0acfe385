//! Paid calls: known before they begin, booked once when they are over.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{JobId, SessionId, Stage, Store, StoreError, Used, column, id};

/// The number of a paid call in this ledger. None is given twice.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct CallId(i64);

/// What a call is made for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Account {
    /// A job.
    Job {
        /// Its number.
        job: JobId,
        /// Which of its runs.
        generation: u32,
    },
    /// A voice session.
    Session(SessionId),
}

/// What a call used, or may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Booking {
    /// The call, where the ledger knew of it before; it is booked once then, however often it is
    /// written.
    pub call: Option<CallId>,
    /// What it was made for.
    pub account: Account,
    /// Which part of that.
    pub stage: Stage,
    /// Where; none in a direct message.
    pub guild: Option<u64>,
    /// For whom; 0 for nobody alone.
    pub author: u64,
    /// The day whose caps it counts against ([`Timestamp::day`](super::Timestamp::day)).
    pub day: i64,
    /// How much.
    pub used: Used,
}

/// The largest amount a column holds.
fn amount(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// Adds to the row of a job's run, stage and day, or begins it. Sums stop at what a column holds.
const BOOK_JOB: &str = "INSERT INTO usage
         (job, generation, stage, day, guild, author, audio_ms, tokens_in, tokens_out, micros)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
     ON CONFLICT (job, generation, stage, day) DO UPDATE SET
         audio_ms = min(audio_ms, 9223372036854775807 - ?7) + ?7,
         tokens_in = min(tokens_in, 9223372036854775807 - ?8) + ?8,
         tokens_out = min(tokens_out, 9223372036854775807 - ?9) + ?9,
         micros = min(micros, 9223372036854775807 - ?10) + ?10";

/// Adds to the row of a session's member, stage and day. People who are forgotten may leave several
/// rows of the same look; one of them grows.
const GROW: &str = "UPDATE session_usage SET
         audio_ms = min(audio_ms, 9223372036854775807 - ?7) + ?7,
         tokens_in = min(tokens_in, 9223372036854775807 - ?8) + ?8,
         tokens_out = min(tokens_out, 9223372036854775807 - ?9) + ?9,
         micros = min(micros, 9223372036854775807 - ?10) + ?10
     WHERE id = (SELECT min(id) FROM session_usage
         WHERE session = ?1 AND author = ?6 AND stage = ?3 AND day = ?4 AND guild = ?5)";

/// Begins such a row.
const BEGIN: &str = "INSERT INTO session_usage
         (session, author, stage, day, audio_ms, tokens_in, tokens_out, micros, guild)
     VALUES (?1, ?6, ?3, ?4, ?7, ?8, ?9, ?10, ?5)";

/// Writes what a call used. One that the ledger knew of and knows no more is booked already.
pub(super) async fn book(
    write: &mut SqliteConnection,
    booking: &Booking,
) -> Result<(), StoreError> {
    if let Some(call) = booking.call {
        let known = sqlx::query("DELETE FROM paid_call WHERE id = ?")
            .bind(call.0)
            .execute(&mut *write)
            .await?;
        if known.rows_affected() == 0 {
            return Ok(());
        }
    }
    if booking.used.is_nothing() {
        return Ok(());
    }
    let (number, generation, statements): (i64, u32, &[&'static str]) = match booking.account {
        Account::Job { job, generation } => (job.0, generation, &[BOOK_JOB]),
        Account::Session(session) => (session.0, 0, &[GROW, BEGIN]),
    };
    for statement in statements.iter().copied() {
        let done = sqlx::query(statement)
            .bind(number)
            .bind(generation)
            .bind(booking.stage.text())
            .bind(booking.day)
            .bind(booking.guild.map(column))
            .bind(column(booking.author))
            .bind(amount(booking.used.audio_ms))
            .bind(amount(booking.used.tokens_in))
            .bind(amount(booking.used.tokens_out))
            .bind(amount(booking.used.micros))
            .execute(&mut *write)
            .await?;
        if done.rows_affected() > 0 {
            break;
        }
    }
    Ok(())
}

impl Store {
    /// Writes down that a call is about to be made, and what it may use: if this process is
    /// killed, it counts as used.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written: then it knows nothing of the call.
    pub async fn begin_call(&self, booking: &Booking) -> Result<CallId, StoreError> {
        let (job, session, generation) = match booking.account {
            Account::Job { job, generation } => (Some(job.0), None, generation),
            Account::Session(session) => (None, Some(session.0), 0),
        };
        let _turn = self.turn().await;
        let call = sqlx::query_scalar(
            "INSERT INTO paid_call (job, session, generation, stage, day, guild, author,
                 audio_ms, tokens_in, tokens_out, micros)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        )
        .bind(job)
        .bind(session)
        .bind(generation)
        .bind(booking.stage.text())
        .bind(booking.day)
        .bind(booking.guild.map(column))
        .bind(column(booking.author))
        .bind(amount(booking.used.audio_ms))
        .bind(amount(booking.used.tokens_in))
        .bind(amount(booking.used.tokens_out))
        .bind(amount(booking.used.micros))
        .fetch_one(&self.pool)
        .await?;
        Ok(CallId(call))
    }

    /// Books what a call used, in addition to what was booked for the same part before.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written: then nothing is booked.
    pub async fn book(&self, booking: &Booking) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        book(&mut write, booking).await?;
        write.commit().await
    }

    /// Books the calls that an earlier process had begun as if they had used all they might.
    /// Returns how many there were.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written: then nothing is booked.
    pub async fn book_left_calls(&self) -> Result<usize, StoreError> {
        let mut write = self.write().await?;
        let rows = sqlx::query("SELECT * FROM paid_call")
            .fetch_all(&mut *write)
            .await?;
        for row in &rows {
            let booking = read_call(row)?;
            book(&mut write, &booking).await?;
        }
        write.commit().await?;
        Ok(rows.len())
    }
}

fn read_call(row: &SqliteRow) -> Result<Booking, StoreError> {
    let job: Option<i64> = row.try_get("job")?;
    let session: Option<i64> = row.try_get("session")?;
    let account = match (job, session) {
        (Some(job), None) => Account::Job {
            job: JobId(job),
            generation: row.try_get("generation")?,
        },
        (None, Some(session)) => Account::Session(SessionId(session)),
        _ => return Err(StoreError::Damaged),
    };
    let amount = |field: &str| -> Result<u64, StoreError> {
        let amount: i64 = row.try_get(field)?;
        Ok(u64::try_from(amount).unwrap_or(0))
    };
    Ok(Booking {
        call: Some(CallId(row.try_get("id")?)),
        account,
        stage: Stage::from_text(&row.try_get::<String, _>("stage")?)?,
        guild: row.try_get::<Option<i64>, _>("guild")?.map(id),
        author: id(row.try_get("author")?),
        day: row.try_get("day")?,
        used: Used {
            audio_ms: amount("audio_ms")?,
            tokens_in: amount("tokens_in")?,
            tokens_out: amount("tokens_out")?,
            micros: amount("micros")?,
        },
    })
}
