//! Voice sessions: opened once a server, alive while somebody says so, closed once.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Store, StoreError, Timestamp, column, id};

/// The number of a session in this ledger.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId(pub i64);

/// A session to be opened.
#[derive(Clone, Eq, PartialEq)]
pub struct NewSession {
    /// The server.
    pub guild: u64,
    /// The voice channel.
    pub voice: u64,
    /// The channel that the transcript and the answers go to.
    pub text: u64,
    /// Who asked for it; 0 once that person asked to be forgotten.
    pub asked_by: u64,
    /// Everything else that is needed to go on with it, in the caller's own form. Stored
    /// encrypted.
    pub payload: String,
}

/// A session as the ledger knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// Its number.
    pub id: SessionId,
    /// What it is, with the latest payload.
    pub of: NewSession,
    /// When it began.
    pub started: Timestamp,
    /// The last sign of life.
    pub seen: Timestamp,
    /// When it ended; none while it is open, also if its process was killed.
    pub ended: Option<Timestamp>,
}

impl std::fmt::Debug for NewSession {
    /// What people want never reaches a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = self.payload.len();
        write!(f, "NewSession({}, {bytes} bytes)", self.voice)
    }
}

impl Store {
    /// Opens a session. None if the server has an open one: a bot can be in one voice channel of
    /// a server.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written: then there is no session.
    pub async fn open_session(
        &self,
        session: &NewSession,
        at: Timestamp,
    ) -> Result<Option<SessionId>, StoreError> {
        let mut write = self.write().await?;
        let added: Option<i64> = sqlx::query_scalar(
            "INSERT INTO session (guild, voice, text, asked_by, payload, started, seen)
             VALUES (?1, ?2, ?3, ?4, x'', ?5, ?5)
             ON CONFLICT (guild) WHERE ended IS NULL DO NOTHING RETURNING id",
        )
        .bind(column(session.guild))
        .bind(column(session.voice))
        .bind(column(session.text))
        .bind(column(session.asked_by))
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
        Ok(added.map(SessionId))
    }

    /// The sessions that have no end, oldest first: those of this process, and after a start
    /// those that a killed one left.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn open_sessions(&self) -> Result<Vec<Session>, StoreError> {
        let rows = sqlx::query("SELECT * FROM session WHERE ended IS NULL ORDER BY id")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| self.read_session(row)).collect()
    }

    /// A session, open or ended.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn session(&self, session: SessionId) -> Result<Option<Session>, StoreError> {
        let row = sqlx::query("SELECT * FROM session WHERE id = ?")
            .bind(session.0)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| self.read_session(&row)).transpose()
    }

    /// The open session of a server.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn session_of(&self, guild: u64) -> Result<Option<Session>, StoreError> {
        let row = sqlx::query("SELECT * FROM session WHERE guild = ? AND ended IS NULL")
            .bind(column(guild))
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| self.read_session(&row)).transpose()
    }

    /// The newest session of a server, open or ended.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn last_session(&self, guild: u64) -> Result<Option<Session>, StoreError> {
        let row = sqlx::query("SELECT * FROM session WHERE guild = ? ORDER BY id DESC LIMIT 1")
            .bind(column(guild))
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| self.read_session(&row)).transpose()
    }

    /// Keeps a newer payload in place of the former one.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn session_payload(
        &self,
        session: SessionId,
        payload: &str,
    ) -> Result<(), StoreError> {
        let sealed = self.cipher.seal("session.payload", session.0, payload)?;
        let _turn = self.turn().await;
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
    pub async fn session_alive(&self, session: SessionId, at: Timestamp) -> Result<(), StoreError> {
        let _turn = self.turn().await;
        sqlx::query("UPDATE session SET seen = max(seen, ?) WHERE id = ?")
            .bind(at.0)
            .bind(session.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The session is over. Returns false if it was before, or is not there.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn close_session(
        &self,
        session: SessionId,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let _turn = self.turn().await;
        let done = sqlx::query(
            "UPDATE session SET ended = ?1, seen = max(seen, ?1) WHERE id = ?2 AND ended IS NULL",
        )
        .bind(at.0)
        .bind(session.0)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    fn read_session(&self, row: &SqliteRow) -> Result<Session, StoreError> {
        let number: i64 = row.try_get("id")?;
        let payload: Vec<u8> = row.try_get("payload")?;
        Ok(Session {
            id: SessionId(number),
            of: NewSession {
                guild: id(row.try_get("guild")?),
                voice: id(row.try_get("voice")?),
                text: id(row.try_get("text")?),
                asked_by: id(row.try_get("asked_by")?),
                payload: self.cipher.open("session.payload", number, &payload)?,
            },
            started: Timestamp(row.try_get("started")?),
            seen: Timestamp(row.try_get("seen")?),
            ended: row.try_get::<Option<i64>, _>("ended")?.map(Timestamp),
        })
    }
}
