//! Voice sessions: at most one open per guild, refreshed while it runs, ended once.
//!
//! To join a call, the caller needs an [`OpenSession`], and the ledger only gives one for a session
//! that has not ended.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::session_end::EndedSession;
use super::{Store, StoreError, Timestamp, id_from_column, id_to_column};

/// The number of a session in this ledger.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId(pub i64);

/// A session to open.
#[derive(Clone, Eq, PartialEq)]
pub struct SessionDetails {
    /// The guild.
    pub guild: u64,
    /// The voice channel.
    pub voice_channel: u64,
    /// The channel for transcript and answers.
    pub text_channel: u64,
    /// The user who asked for it; 0 once that user was forgotten.
    pub requested_by: u64,
    /// Everything else that is needed to continue it, in the caller's format. Stored encrypted.
    pub payload: String,
}

/// A session as stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionRecord {
    /// Its id.
    pub id: SessionId,
    /// Its details, with the latest payload.
    pub details: SessionDetails,
    /// When it began.
    pub started: Timestamp,
    /// When it was last known to be alive.
    pub last_seen: Timestamp,
    /// When it ended; `None` while it is open, even if its process was killed.
    pub ended: Option<Timestamp>,
}

/// A session that has not ended: the right to join its call. Only the ledger creates one.
#[derive(Debug)]
pub struct OpenSession {
    session: SessionRecord,
    notice_posted: bool,
    interrupted_since_ms: Option<u64>,
}

impl OpenSession {
    /// The session record. Its voice channel is the last one the session was in.
    #[must_use]
    pub fn session(&self) -> &SessionRecord {
        &self.session
    }

    /// Whether the notice that the bot listens has been posted.
    #[must_use]
    pub fn is_notice_posted(&self) -> bool {
        self.notice_posted
    }

    /// Since when audio has been interrupted, in milliseconds since the session began, as last
    /// recorded.
    #[must_use]
    pub fn interrupted_since_ms(&self) -> Option<u64> {
        self.interrupted_since_ms
    }
}

/// A session whose end is not fully recorded and announced.
#[derive(Debug)]
pub enum UnfinishedSession {
    /// It has not ended.
    Open(OpenSession),
    /// It has ended, but the end is not fully announced.
    Ended(EndedSession),
}

impl UnfinishedSession {
    /// The session record.
    #[must_use]
    pub fn session(&self) -> &SessionRecord {
        match self {
            Self::Open(open) => &open.session,
            Self::Ended(ended) => &ended.session,
        }
    }
}

/// Proof that the notice that the bot listens was posted. Only the ledger creates one, once it has
/// stored the message.
#[derive(Debug)]
pub struct NoticePosted(());

#[cfg(test)]
impl NoticePosted {
    /// For tests without a ledger.
    #[must_use]
    pub fn for_test() -> Self {
        Self(())
    }
}

impl std::fmt::Debug for SessionDetails {
    /// Leaves out the payload, which must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = self.payload.len();
        write!(f, "SessionDetails({}, {bytes} bytes)", self.voice_channel)
    }
}

impl Store {
    /// Opens a session. Returns `None` if the guild already has an open one: a bot can be in one
    /// voice channel per guild.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written; no session is then opened.
    pub async fn open_session(
        &self,
        session: &SessionDetails,
        at: Timestamp,
    ) -> Result<Option<OpenSession>, StoreError> {
        let mut write = self.begin_write().await?;
        let added: Option<i64> = sqlx::query_scalar(
            "INSERT INTO session (guild, voice, text, asked_by, payload, started, seen)
             VALUES (?1, ?2, ?3, ?4, x'', ?5, ?5)
             ON CONFLICT (guild) WHERE ended IS NULL AND ending IS NULL DO NOTHING RETURNING id",
        )
        .bind(id_to_column(session.guild))
        .bind(id_to_column(session.voice_channel))
        .bind(id_to_column(session.text_channel))
        .bind(id_to_column(session.requested_by))
        .bind(at.0)
        .fetch_optional(&mut *write)
        .await?;
        if let Some(added) = added {
            // The encryption is bound to the row id, which is only known now.
            let sealed = self
                .cipher
                .seal("session.payload", added, &session.payload)?;
            sqlx::query("UPDATE session SET payload = ? WHERE id = ?")
                .bind(sealed)
                .bind(added)
                .execute(&mut *write)
                .await?;
        }
        write.commit().await?;
        Ok(added.map(|added| OpenSession {
            session: SessionRecord {
                id: SessionId(added),
                details: session.clone(),
                started: at,
                last_seen: at,
                ended: None,
            },
            notice_posted: false,
            interrupted_since_ms: None,
        }))
    }

    /// All sessions without an announced end, oldest first, whichever process opened them.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn unfinished_sessions(&self) -> Result<Vec<UnfinishedSession>, StoreError> {
        let rows = sqlx::query("SELECT * FROM session WHERE ended IS NULL ORDER BY id")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| self.read_unfinished_session(row))
            .collect()
    }

    /// The same for one guild. An open session comes last.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn unfinished_guild_sessions(
        &self,
        guild: u64,
    ) -> Result<Vec<UnfinishedSession>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM session WHERE guild = ? AND ended IS NULL ORDER BY id")
                .bind(id_to_column(guild))
                .fetch_all(&self.pool)
                .await?;
        rows.iter()
            .map(|row| self.read_unfinished_session(row))
            .collect()
    }

    /// The right to join a session's call, in its last channel. `None` if it has ended.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn joinable_session(
        &self,
        session: SessionId,
    ) -> Result<Option<OpenSession>, StoreError> {
        let row = sqlx::query("SELECT * FROM session WHERE id = ? AND ended IS NULL")
            .bind(session.0)
            .fetch_optional(&self.pool)
            .await?;
        let unfinished = row
            .map(|row| self.read_unfinished_session(&row))
            .transpose()?;
        Ok(unfinished.and_then(|unfinished| match unfinished {
            UnfinishedSession::Open(open) => Some(open),
            UnfinishedSession::Ended(_) => None,
        }))
    }

    /// A session, open or ended.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn session(&self, session: SessionId) -> Result<Option<SessionRecord>, StoreError> {
        let row = sqlx::query("SELECT * FROM session WHERE id = ?")
            .bind(session.0)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| self.read_session(&row)).transpose()
    }

    /// The open session of a guild.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn active_session(&self, guild: u64) -> Result<Option<SessionRecord>, StoreError> {
        let row = sqlx::query(
            "SELECT * FROM session WHERE guild = ? AND ended IS NULL AND ending IS NULL",
        )
        .bind(id_to_column(guild))
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| self.read_session(&row)).transpose()
    }

    /// The newest session of a guild, open or ended.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn latest_session(&self, guild: u64) -> Result<Option<SessionRecord>, StoreError> {
        let row = sqlx::query("SELECT * FROM session WHERE guild = ? ORDER BY id DESC LIMIT 1")
            .bind(id_to_column(guild))
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| self.read_session(&row)).transpose()
    }

    /// Replaces the payload of a session.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn update_session_payload(
        &self,
        session: SessionId,
        payload: &str,
    ) -> Result<(), StoreError> {
        let sealed = self.cipher.seal("session.payload", session.0, payload)?;
        let _writer = self.lock_writer().await;
        sqlx::query("UPDATE session SET payload = ? WHERE id = ?")
            .bind(sealed)
            .bind(session.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Records that the session was alive at this time.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn touch_session(&self, session: SessionId, at: Timestamp) -> Result<(), StoreError> {
        let _writer = self.lock_writer().await;
        sqlx::query("UPDATE session SET seen = max(seen, ?) WHERE id = ?")
            .bind(at.0)
            .bind(session.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Records that the session moved to another voice channel. Returns false if it has ended.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn record_session_move(
        &self,
        session: SessionId,
        voice_channel: u64,
    ) -> Result<bool, StoreError> {
        let _writer = self.lock_writer().await;
        let updated = sqlx::query(
            "UPDATE session SET voice = ? WHERE id = ? AND ended IS NULL AND ending IS NULL",
        )
        .bind(id_to_column(voice_channel))
        .bind(session.0)
        .execute(&self.pool)
        .await?;
        Ok(updated.rows_affected() > 0)
    }

    /// Records the message that tells the people in the call that the bot listens. Returns `None`
    /// if the session has ended meanwhile: nobody may be recorded then.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn record_session_notice(
        &self,
        session: SessionId,
        message: u64,
    ) -> Result<Option<NoticePosted>, StoreError> {
        let _writer = self.lock_writer().await;
        let updated = sqlx::query(
            "UPDATE session SET notice = ? WHERE id = ? AND ended IS NULL AND ending IS NULL",
        )
        .bind(id_to_column(message))
        .bind(session.0)
        .execute(&self.pool)
        .await?;
        Ok((updated.rows_affected() > 0).then_some(NoticePosted(())))
    }

    /// Records since when audio is interrupted, in milliseconds since the session began; `None`
    /// when audio is back.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn record_session_interruption(
        &self,
        session: SessionId,
        since_ms: Option<u64>,
    ) -> Result<(), StoreError> {
        let _writer = self.lock_writer().await;
        sqlx::query("UPDATE session SET deaf_ms = ? WHERE id = ?")
            .bind(since_ms.map(|since| i64::try_from(since).unwrap_or(i64::MAX)))
            .bind(session.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    fn read_unfinished_session(&self, row: &SqliteRow) -> Result<UnfinishedSession, StoreError> {
        if let Some(ended) = self.read_ended_session(row)? {
            return Ok(UnfinishedSession::Ended(ended));
        }
        let interrupted_ms: Option<i64> = row.try_get("deaf_ms")?;
        Ok(UnfinishedSession::Open(OpenSession {
            session: self.read_session(row)?,
            notice_posted: row.try_get::<Option<i64>, _>("notice")?.is_some(),
            interrupted_since_ms: interrupted_ms.and_then(|since| u64::try_from(since).ok()),
        }))
    }

    pub(super) fn read_session(&self, row: &SqliteRow) -> Result<SessionRecord, StoreError> {
        let number: i64 = row.try_get("id")?;
        let payload: Vec<u8> = row.try_get("payload")?;
        Ok(SessionRecord {
            id: SessionId(number),
            details: SessionDetails {
                guild: id_from_column(row.try_get("guild")?),
                voice_channel: id_from_column(row.try_get("voice")?),
                text_channel: id_from_column(row.try_get("text")?),
                requested_by: id_from_column(row.try_get("asked_by")?),
                payload: self.cipher.open("session.payload", number, &payload)?,
            },
            started: Timestamp(row.try_get("started")?),
            last_seen: Timestamp(row.try_get("seen")?),
            ended: row.try_get::<Option<i64>, _>("ending_at")?.map(Timestamp),
        })
    }
}
