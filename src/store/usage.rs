//! What was used, booked once, and added up.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{JobId, SessionId, Store, StoreError, Timestamp, column, id};

/// The part of a job or a session that cost something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// Writing down.
    Speech,
    /// Answering.
    Chat,
}

impl Stage {
    fn text(self) -> &'static str {
        match self {
            Self::Speech => "speech",
            Self::Chat => "chat",
        }
    }
}

/// Minutes, tokens and money.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Used {
    /// Milliseconds of recording.
    pub audio_ms: u64,
    /// Tokens to the model.
    pub tokens_in: u64,
    /// Tokens from the model.
    pub tokens_out: u64,
    /// Money, in millionths of the currency.
    pub micros: u64,
}

impl Used {
    /// Both together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            audio_ms: self.audio_ms.saturating_add(other.audio_ms),
            tokens_in: self.tokens_in.saturating_add(other.tokens_in),
            tokens_out: self.tokens_out.saturating_add(other.tokens_out),
            micros: self.micros.saturating_add(other.micros),
        }
    }
}

/// What one stage of one job used.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The job.
    pub job: JobId,
    /// Which of its runs; there is one entry for a job, a run and a stage.
    pub generation: u32,
    /// Which part of it.
    pub stage: Stage,
    /// Where; none in a direct message.
    pub guild: Option<u64>,
    /// For whom.
    pub author: u64,
    /// How much.
    pub used: Used,
    /// When.
    pub at: Timestamp,
}

/// Whose use is added up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// One person's, everywhere.
    Author(u64),
    /// One server's.
    Guild(u64),
    /// All there is.
    Everyone,
}

/// The largest amount a column holds.
fn amount(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// Books an entry in place of what was booked for this stage of this run before: a job that is
/// resumed costs once, and one that costs more as it goes on is booked again with its sum.
pub(super) async fn book(write: &mut SqliteConnection, entry: &Entry) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO usage VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (job, generation, stage) DO UPDATE SET
             audio_ms = ?7, tokens_in = ?8, tokens_out = ?9, micros = ?10",
    )
    .bind(entry.job.0)
    .bind(entry.generation)
    .bind(entry.stage.text())
    .bind(entry.at.day())
    .bind(entry.guild.map(column))
    .bind(column(entry.author))
    .bind(amount(entry.used.audio_ms))
    .bind(amount(entry.used.tokens_in))
    .bind(amount(entry.used.tokens_out))
    .bind(amount(entry.used.micros))
    .execute(&mut *write)
    .await?;
    Ok(())
}

/// Adds to the row of a session's member, stage and day, up to what a column holds. People who are
/// forgotten may leave several rows of the same look; one of them grows.
const GROW: &str = "UPDATE session_usage SET
         audio_ms = min(audio_ms, 9223372036854775807 - ?5) + ?5,
         tokens_in = min(tokens_in, 9223372036854775807 - ?6) + ?6,
         tokens_out = min(tokens_out, 9223372036854775807 - ?7) + ?7,
         micros = min(micros, 9223372036854775807 - ?8) + ?8
     WHERE id = (SELECT min(id) FROM session_usage
         WHERE session = ?1 AND author = ?2 AND stage = ?3 AND day = ?4 AND guild = ?9)";

/// Begins such a row.
const BEGIN: &str = "INSERT INTO session_usage
         (session, author, stage, day, audio_ms, tokens_in, tokens_out, micros, guild)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

impl Store {
    /// Books what a session used for `author` (0: for nobody alone) in addition to what was booked
    /// before. Each amount is booked once by the caller: a session has no steps that are repeated.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written: then nothing is booked.
    pub async fn book_session(
        &self,
        session: SessionId,
        guild: u64,
        author: u64,
        stage: Stage,
        used: Used,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        for statement in [GROW, BEGIN] {
            let done = sqlx::query(statement)
                .bind(session.0)
                .bind(column(author))
                .bind(stage.text())
                .bind(at.day())
                .bind(amount(used.audio_ms))
                .bind(amount(used.tokens_in))
                .bind(amount(used.tokens_out))
                .bind(amount(used.micros))
                .bind(column(guild))
                .execute(&mut *write)
                .await?;
            if done.rows_affected() > 0 {
                break;
            }
        }
        write.commit().await
    }

    /// What was used on a day ([`Timestamp::day`]).
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn used(&self, day: i64, scope: Scope) -> Result<Used, StoreError> {
        let (guild, author) = match scope {
            Scope::Author(author) => (None, Some(author)),
            Scope::Guild(guild) => (Some(guild), None),
            Scope::Everyone => (None, None),
        };
        let row = sqlx::query(
            "SELECT total(audio_ms) AS audio_ms, total(tokens_in) AS tokens_in,
                 total(tokens_out) AS tokens_out, total(micros) AS micros
             FROM used WHERE day = ?1 AND (?2 IS NULL OR guild = ?2)
                 AND (?3 IS NULL OR author = ?3)",
        )
        .bind(day)
        .bind(guild.map(column))
        .bind(author.map(column))
        .fetch_one(&self.pool)
        .await?;
        read_used(&row)
    }

    /// What a server's members used from one day to another, both included: the latest `limit`
    /// pairs of day and member, the dearest members of a day first.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn used_by_member(
        &self,
        guild: u64,
        days: std::ops::RangeInclusive<i64>,
        limit: u32,
    ) -> Result<Vec<(i64, u64, Used)>, StoreError> {
        let rows = sqlx::query(
            "SELECT day, author, total(audio_ms) AS audio_ms, total(tokens_in) AS tokens_in,
                 total(tokens_out) AS tokens_out, total(micros) AS micros
             FROM used WHERE guild = ? AND day BETWEEN ? AND ? GROUP BY day, author
             ORDER BY day DESC, micros DESC, audio_ms DESC, author LIMIT ?",
        )
        .bind(column(guild))
        .bind(*days.start())
        .bind(*days.end())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let author: i64 = row.try_get("author")?;
                Ok((row.try_get("day")?, id(author), read_used(row)?))
            })
            .collect()
    }
}

/// Sums are floating point, since sums of integers could overflow.
fn read_used(row: &SqliteRow) -> Result<Used, StoreError> {
    let sum = |field: &str| -> Result<u64, StoreError> {
        let sum: f64 = row.try_get(field)?;
        Ok(sum as u64)
    };
    Ok(Used {
        audio_ms: sum("audio_ms")?,
        tokens_in: sum("tokens_in")?,
        tokens_out: sum("tokens_out")?,
        micros: sum("micros")?,
    })
}
