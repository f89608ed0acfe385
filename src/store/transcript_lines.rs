//! Lines of a voice session's transcript: who said what, and what was not heard.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{SessionId, Store, StoreError, Timestamp, id_from_column, id_to_column};

/// Most lines of a session: a busy day of talk without a pause.
pub const MAX_LINES: u32 = 20_000;

/// What a line stands for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum LineKind {
    /// Somebody said this.
    Speech,
    /// Audio of this person was lost.
    AudioLost,
    /// No audio was received from anyone.
    Interrupted,
    /// The bot's answer.
    Answer,
}

impl LineKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Speech => "speech",
            Self::AudioLost => "lost",
            Self::Interrupted => "deaf",
            Self::Answer => "answer",
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        [
            Self::Speech,
            Self::AudioLost,
            Self::Interrupted,
            Self::Answer,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .ok_or(StoreError::Damaged)
    }
}

/// One line of a session's transcript.
#[derive(Clone, Eq, PartialEq)]
pub struct TranscriptLine {
    /// Its number in the session, below [`MAX_LINES`].
    pub number: u32,
    /// The speaker, or the person whom the bot answers: forgetting that person deletes the line. 0
    /// for nobody.
    pub author: u64,
    /// The speaker's name. Stored encrypted.
    pub name: String,
    /// Start, in milliseconds since the session began.
    pub start_ms: u64,
    /// End, in milliseconds since the session began.
    pub end_ms: u64,
    /// What the line stands for.
    pub kind: LineKind,
    /// The text; empty where nothing was heard. Stored encrypted.
    pub text: String,
}

impl std::fmt::Debug for TranscriptLine {
    /// Prints only the size: what was said must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (number, kind, bytes) = (self.number, self.kind, self.text.len());
        write!(f, "TranscriptLine({number}, {kind:?}, {bytes} bytes)")
    }
}

/// Result of adding a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AddLineOutcome {
    /// It is on disk now.
    Added,
    /// A line with this number exists already and is unchanged.
    Duplicate,
    /// Not stored: the session has [`MAX_LINES`] lines.
    SessionFull,
    /// Not stored: the session does not exist, or no longer does.
    SessionGone,
    /// Not stored: the speaker has withdrawn consent.
    ConsentWithdrawn,
}

/// Milliseconds as stored in a column.
fn to_millis_column(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds).unwrap_or(i64::MAX)
}

/// Binds encrypted text to its line.
fn cipher_column(field: &str, number: u32) -> String {
    format!("line.{field}.{number}")
}

impl Store {
    /// Adds a line, which also shows that its session is alive. Adding a line again is harmless:
    /// its number identifies it.
    ///
    /// `still_allowed` is checked with the write lock held, so that no line is written after its
    /// own deletion.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn add_line(
        &self,
        session: SessionId,
        line: &TranscriptLine,
        at: Timestamp,
        still_allowed: &(dyn Fn() -> bool + Sync),
    ) -> Result<AddLineOutcome, StoreError> {
        if line.number >= MAX_LINES {
            return Ok(AddLineOutcome::SessionFull);
        }
        let seal = |field: &str, text: &str| {
            self.cipher
                .seal(&cipher_column(field, line.number), session.0, text)
        };
        let (name, text) = (seal("name", &line.name)?, seal("text", &line.text)?);
        let mut write = self.begin_write().await?;
        if !still_allowed() {
            write.commit().await?;
            return Ok(AddLineOutcome::ConsentWithdrawn);
        }
        let alive = sqlx::query("UPDATE session SET seen = max(seen, ?) WHERE id = ?")
            .bind(at.0)
            .bind(session.0)
            .execute(&mut *write)
            .await?;
        if alive.rows_affected() == 0 {
            write.commit().await?;
            return Ok(AddLineOutcome::SessionGone);
        }
        let added = sqlx::query(
            "INSERT INTO line VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (session, number) DO NOTHING",
        )
        .bind(session.0)
        .bind(line.number)
        .bind(id_to_column(line.author))
        .bind(name)
        .bind(to_millis_column(line.start_ms))
        .bind(to_millis_column(line.end_ms))
        .bind(line.kind.as_str())
        .bind(text)
        .bind(at.0)
        .execute(&mut *write)
        .await?;
        write.commit().await?;
        if added.rows_affected() == 0 {
            return Ok(AddLineOutcome::Duplicate);
        }
        Ok(AddLineOutcome::Added)
    }

    /// The highest line number of a session; 0 if it has no lines.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn last_line_number(&self, session: SessionId) -> Result<u32, StoreError> {
        let last =
            sqlx::query_scalar("SELECT coalesce(max(number), 0) FROM line WHERE session = ?")
                .bind(session.0)
                .fetch_one(&self.pool)
                .await?;
        Ok(last)
    }

    /// The lines of a session by number, at most [`MAX_LINES`].
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn lines(&self, session: SessionId) -> Result<Vec<TranscriptLine>, StoreError> {
        let rows = sqlx::query("SELECT * FROM line WHERE session = ? ORDER BY number LIMIT ?")
            .bind(session.0)
            .bind(MAX_LINES)
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| self.read_line(session, row))
            .collect()
    }

    fn read_line(&self, session: SessionId, row: &SqliteRow) -> Result<TranscriptLine, StoreError> {
        let number: u32 = row.try_get("number")?;
        let kind: String = row.try_get("kind")?;
        let decrypt = |field: &str| -> Result<String, StoreError> {
            let sealed: Vec<u8> = row.try_get(field)?;
            self.cipher
                .open(&cipher_column(field, number), session.0, &sealed)
        };
        let span = |field: &str| -> Result<u64, StoreError> {
            u64::try_from(row.try_get::<i64, _>(field)?).map_err(|_| StoreError::Damaged)
        };
        Ok(TranscriptLine {
            number,
            author: id_from_column(row.try_get("author")?),
            name: decrypt("name")?,
            start_ms: span("start_ms")?,
            end_ms: span("end_ms")?,
            kind: LineKind::parse(&kind)?,
            text: decrypt("text")?,
        })
    }
}
