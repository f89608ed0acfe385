//! Totals of what was used.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{SessionId, Store, StoreError, id_from_column, id_to_column};

/// The part of a job or session that costs something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UsageStage {
    /// Transcription.
    Speech,
    /// Answers by the chat model.
    Chat,
}

impl UsageStage {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Speech => "speech",
            Self::Chat => "chat",
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, StoreError> {
        [Self::Speech, Self::Chat]
            .into_iter()
            .find(|stage| stage.as_str() == text)
            .ok_or(StoreError::Damaged)
    }
}

/// Usage: recording time, tokens and money.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Milliseconds of recording.
    pub audio_ms: u64,
    /// Prompt tokens.
    pub tokens_in: u64,
    /// Answer tokens.
    pub tokens_out: u64,
    /// Money, in millionths of the currency.
    pub micros: u64,
}

impl Usage {
    /// Adds both.
    #[must_use]
    pub fn saturating_add(&self, other: &Self) -> Self {
        Self {
            audio_ms: self.audio_ms.saturating_add(other.audio_ms),
            tokens_in: self.tokens_in.saturating_add(other.tokens_in),
            tokens_out: self.tokens_out.saturating_add(other.tokens_out),
            micros: self.micros.saturating_add(other.micros),
        }
    }

    /// The larger amount of each field.
    #[must_use]
    pub fn max_each(&self, other: &Self) -> Self {
        Self {
            audio_ms: self.audio_ms.max(other.audio_ms),
            tokens_in: self.tokens_in.max(other.tokens_in),
            tokens_out: self.tokens_out.max(other.tokens_out),
            micros: self.micros.max(other.micros),
        }
    }

    /// Subtracts `other`; no field goes below zero.
    #[must_use]
    pub fn saturating_sub(&self, other: &Self) -> Self {
        Self {
            audio_ms: self.audio_ms.saturating_sub(other.audio_ms),
            tokens_in: self.tokens_in.saturating_sub(other.tokens_in),
            tokens_out: self.tokens_out.saturating_sub(other.tokens_out),
            micros: self.micros.saturating_sub(other.micros),
        }
    }

    /// Whether every field is zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// Whose usage is added up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UsageScope {
    /// One user's, in all guilds.
    Author(u64),
    /// One guild's.
    Guild(u64),
    /// Everyone's.
    Global,
}

impl Store {
    /// Usage on one day, as counted by [`Timestamp::day`](super::Timestamp::day).
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn usage_on_day(&self, day: i64, scope: UsageScope) -> Result<Usage, StoreError> {
        let (guild, author) = match scope {
            UsageScope::Author(author) => (None, Some(author)),
            UsageScope::Guild(guild) => (Some(guild), None),
            UsageScope::Global => (None, None),
        };
        let row = sqlx::query(
            "SELECT total(audio_ms) AS audio_ms, total(tokens_in) AS tokens_in,
                 total(tokens_out) AS tokens_out, total(micros) AS micros
             FROM used WHERE day = ?1 AND (?2 IS NULL OR guild = ?2)
                 AND (?3 IS NULL OR author = ?3)",
        )
        .bind(day)
        .bind(guild.map(id_to_column))
        .bind(author.map(id_to_column))
        .fetch_one(&self.pool)
        .await?;
        read_usage(&row)
    }

    /// Total usage of a guild, or of one member of it, over a range of days.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn guild_usage(
        &self,
        guild: u64,
        only: Option<u64>,
        days: std::ops::RangeInclusive<i64>,
    ) -> Result<Usage, StoreError> {
        let row = sqlx::query(
            "SELECT total(audio_ms) AS audio_ms, total(tokens_in) AS tokens_in,
                 total(tokens_out) AS tokens_out, total(micros) AS micros
             FROM used WHERE guild = ?1 AND day BETWEEN ?2 AND ?3
                 AND (?4 IS NULL OR author = ?4)",
        )
        .bind(id_to_column(guild))
        .bind(*days.start())
        .bind(*days.end())
        .bind(only.map(id_to_column))
        .fetch_one(&self.pool)
        .await?;
        read_usage(&row)
    }

    /// The same by day and member: the latest `limit` pairs, the members with the highest cost of a
    /// day first.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn guild_usage_by_member(
        &self,
        guild: u64,
        only: Option<u64>,
        days: std::ops::RangeInclusive<i64>,
        limit: u32,
    ) -> Result<Vec<(i64, u64, Usage)>, StoreError> {
        let rows = sqlx::query(
            "SELECT day, author, total(audio_ms) AS audio_ms, total(tokens_in) AS tokens_in,
                 total(tokens_out) AS tokens_out, total(micros) AS micros
             FROM used WHERE guild = ?1 AND day BETWEEN ?2 AND ?3
                 AND (?4 IS NULL OR author = ?4)
             GROUP BY day, author
             ORDER BY day DESC, micros DESC, audio_ms DESC, author LIMIT ?5",
        )
        .bind(id_to_column(guild))
        .bind(*days.start())
        .bind(*days.end())
        .bind(only.map(id_to_column))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let author: i64 = row.try_get("author")?;
                Ok((
                    row.try_get("day")?,
                    id_from_column(author),
                    read_usage(row)?,
                ))
            })
            .collect()
    }

    /// One user's usage in all guilds by day, over a range of days, latest first.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn author_usage_by_day(
        &self,
        author: u64,
        days: std::ops::RangeInclusive<i64>,
    ) -> Result<Vec<(i64, Usage)>, StoreError> {
        let rows = sqlx::query(
            "SELECT day, total(audio_ms) AS audio_ms, total(tokens_in) AS tokens_in,
                 total(tokens_out) AS tokens_out, total(micros) AS micros
             FROM used WHERE author = ? AND day BETWEEN ? AND ? GROUP BY day ORDER BY day DESC",
        )
        .bind(id_to_column(author))
        .bind(*days.start())
        .bind(*days.end())
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| Ok((row.try_get("day")?, read_usage(row)?)))
            .collect()
    }

    /// Usage of transcribing a session.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn session_transcription_usage(
        &self,
        session: SessionId,
    ) -> Result<Usage, StoreError> {
        let row = sqlx::query(
            "SELECT total(audio_ms) AS audio_ms, total(tokens_in) AS tokens_in,
                 total(tokens_out) AS tokens_out, total(micros) AS micros
             FROM session_usage WHERE session = ? AND stage = ?",
        )
        .bind(session.0)
        .bind(UsageStage::Speech.as_str())
        .fetch_one(&self.pool)
        .await?;
        read_usage(&row)
    }
}

/// Reads totals; they are floating point, since an integer sum could overflow.
fn read_usage(row: &SqliteRow) -> Result<Usage, StoreError> {
    let sum = |field: &str| -> Result<u64, StoreError> {
        let sum: f64 = row.try_get(field)?;
        Ok(sum as u64)
    };
    Ok(Usage {
        audio_ms: sum("audio_ms")?,
        tokens_in: sum("tokens_in")?,
        tokens_out: sum("tokens_out")?,
        micros: sum("micros")?,
    })
}
