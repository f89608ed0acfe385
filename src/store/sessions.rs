//! Voice sessions: opened once a server, alive while somebody says so, ended once.
//!
//! The rule has its place here: whoever wants into a call needs an [`OpenSession`], and only a session
//! that nobody has ended gives one.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::session_end::EndedSession;
use super::{Store, StoreError, Timestamp, id_from_column, id_to_column};

/// The number of a session in this ledger.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId(pub i64);

/// A session to be opened.
#[derive(Clone, Eq, PartialEq)]
pub struct SessionDetails {
    /// The server.
    pub guild: u64,
    /// The voice channel.
    pub voice_channel: u64,
    /// The channel that the transcript and the answers go to.
    pub text: u64,
    /// Who asked for it; 0 once that person asked to be forgotten.
    pub requested_by: u64,
    /// Everything else that is needed to go on with it, in the caller's own form. Stored
    /// encrypted.
    pub payload: String,
}

/// A session as the ledger knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionRecord {
    /// Its number.
    pub id: SessionId,
    /// What it is, with the latest payload.
    pub details: SessionDetails,
    /// When it began.
    pub started: Timestamp,
    /// The last sign of life.
    pub last_seen: Timestamp,
    /// When it ended; none while it goes on, also if its process was killed.
    pub ended: Option<Timestamp>,
}

/// A session that nobody has ended: the right to be in its call. Only the ledger gives it.
#[derive(Debug)]
pub struct OpenSession {
    session: SessionRecord,
    notice_posted: bool,
    interrupted_since_ms: Option<u64>,
}

impl OpenSession {
    /// What it is. Its voice channel is the one where it was last.
    #[must_use]
    pub fn session(&self) -> &SessionRecord {
        &self.session
    }

    /// Whether the people in the call have been told that they are listened to.
    #[must_use]
    pub fn is_notice_posted(&self) -> bool {
        self.notice_posted
    }

    /// Since when nobody could be heard when its process was last there, in milliseconds of the
    /// session.
    #[must_use]
    pub fn interrupted_since_ms(&self) -> Option<u64> {
        self.interrupted_since_ms
    }
}

/// A session that its process has left.
#[derive(Debug)]
pub enum UnfinishedSession {
    /// Nobody has ended it.
    Open(OpenSession),
    /// It has ended, and the end is still to be told.
    Ended(EndedSession),
}

impl UnfinishedSession {
    /// What it is.
    #[must_use]
    pub fn session(&self) -> &SessionRecord {
        match self {
            Self::Open(open) => &open.session,
            Self::Ended(ended) => &ended.session,
        }
    }
}

/// The people in a call have been told in writing that they are listened to. Only the ledger gives
/// it, once it knows the message.
#[derive(Debug)]
pub struct NoticePosted(());

#[cfg(test)]
impl NoticePosted {
    /// For a microphone without a ledger.
    #[must_use]
    pub fn for_test() -> Self {
        Self(())
    }
}

impl std::fmt::Debug for SessionDetails {
    /// What people want never reaches a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = self.payload.len();
        write!(f, "NewSession({}, {bytes} bytes)", self.voice_channel)
    }
}

impl Store {
    /// Opens a session. None if the server has one that goes on: a bot can be in one voice channel
    /// of a server.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written: then there is no session.
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
        .bind(id_to_column(session.text))
        .bind(id_to_column(session.requested_by))
        .bind(at.0)
        .fetch_optional(&mut *write)
        .await?;
        if let Some(added) = added {
            // Sealed for its place, whose number is known only now.
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

    /// The sessions that have no end or whose end is not told, oldest first: those of this process,
    /// and those that another one has left.
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

    /// The same of one server. What goes on comes last.
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

    /// The right to be in a session's call, where it was last. None if it has ended.
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
        let left = row
            .map(|row| self.read_unfinished_session(&row))
            .transpose()?;
        Ok(left.and_then(|left| match left {
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

    /// The session of a server that goes on.
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

    /// The newest session of a server, open or ended.
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

    /// Keeps a newer payload in place of the former one.
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
        let _turn = self.lock_writer().await;
        sqlx::query("UPDATE session SET payload = ? WHERE id = ?")
            .bind(sealed)
            .bind(session.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The session was alive at this time.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn touch_session(&self, session: SessionId, at: Timestamp) -> Result<(), StoreError> {
        let _turn = self.lock_writer().await;
        sqlx::query("UPDATE session SET seen = max(seen, ?) WHERE id = ?")
            .bind(at.0)
            .bind(session.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The session is in another voice channel now. Returns false if it has ended.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn record_session_move(
        &self,
        session: SessionId,
        voice: u64,
    ) -> Result<bool, StoreError> {
        let _turn = self.lock_writer().await;
        let done = sqlx::query(
            "UPDATE session SET voice = ? WHERE id = ? AND ended IS NULL AND ending IS NULL",
        )
        .bind(id_to_column(voice))
        .bind(session.0)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The people in the call are told by this message that they are listened to. None if the
    /// session has ended meanwhile: then nobody may be.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn record_session_notice(
        &self,
        session: SessionId,
        message: u64,
    ) -> Result<Option<NoticePosted>, StoreError> {
        let _turn = self.lock_writer().await;
        let done = sqlx::query(
            "UPDATE session SET notice = ? WHERE id = ? AND ended IS NULL AND ending IS NULL",
        )
        .bind(id_to_column(message))
        .bind(session.0)
        .execute(&self.pool)
        .await?;
        Ok((done.rows_affected() > 0).then_some(NoticePosted(())))
    }

    /// Since when nobody can be heard, in milliseconds of the session; none: people are heard.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn record_session_interruption(
        &self,
        session: SessionId,
        since_ms: Option<u64>,
    ) -> Result<(), StoreError> {
        let _turn = self.lock_writer().await;
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
        let deaf_ms: Option<i64> = row.try_get("deaf_ms")?;
        Ok(UnfinishedSession::Open(OpenSession {
            session: self.read_session(row)?,
            notice_posted: row.try_get::<Option<i64>, _>("notice")?.is_some(),
            interrupted_since_ms: deaf_ms.and_then(|since| u64::try_from(since).ok()),
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
                text: id_from_column(row.try_get("text")?),
                requested_by: id_from_column(row.try_get("asked_by")?),
                payload: self.cipher.open("session.payload", number, &payload)?,
            },
            started: Timestamp(row.try_get("started")?),
            last_seen: Timestamp(row.try_get("seen")?),
            ended: row.try_get::<Option<i64>, _>("ending_at")?.map(Timestamp),
        })
    }
}
