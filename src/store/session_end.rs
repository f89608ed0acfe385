//! The end of a voice session: first the reason is stored, then the end is announced, then the
//! session is closed.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{
    OpenSession, SessionId, SessionRecord, Store, StoreError, Timestamp, id_from_column,
    id_to_column,
};

/// An ended session, with what is to be announced.
#[derive(Clone)]
pub struct EndedSession {
    /// The session.
    pub session: SessionRecord,
    /// Why it ended, in the caller's format.
    pub end_reason: String,
    /// When it ended.
    pub ended_at: Timestamp,
    /// The report on how much of each speaker was received, once it is saved, in the caller's
    /// format.
    pub report: Option<String>,
    /// The summary, once it is saved, in the caller's format.
    pub summary: Option<String>,
}

impl std::fmt::Debug for EndedSession {
    /// Leaves out report and summary: what was said must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "EndedSession({}, {})",
            self.session.id.0, self.end_reason
        )
    }
}

/// One message of a session's end announcement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EndMessage {
    /// Position in the announcement, from 0.
    pub part: u32,
    /// The message id; `None` if it was about to be sent and it is unknown whether it was.
    pub message: Option<u64>,
    /// When it was about to be sent.
    pub sending_at: Timestamp,
}

impl Store {
    /// Ends a session: from now on nobody can join its call. If it has ended before, the first
    /// reason stands. Returns `None` if its end is fully announced, or it does not exist.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn end_session(
        &self,
        session: SessionId,
        end_reason: &str,
        at: Timestamp,
    ) -> Result<Option<EndedSession>, StoreError> {
        let mut write = self.begin_write().await?;
        sqlx::query(
            "UPDATE session SET ending = ?1, ending_at = ?2, seen = max(seen, ?2)
             WHERE id = ?3 AND ended IS NULL AND ending IS NULL",
        )
        .bind(end_reason)
        .bind(at.0)
        .bind(session.0)
        .execute(&mut *write)
        .await?;
        let row = sqlx::query("SELECT * FROM session WHERE id = ? AND ended IS NULL")
            .bind(session.0)
            .fetch_optional(&mut *write)
            .await?;
        write.commit().await?;
        match row {
            Some(row) => self.read_ended_session(&row),
            None => Ok(None),
        }
    }

    /// Deletes a session in which nobody was ever recorded.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn discard_session(&self, session: OpenSession) -> Result<(), StoreError> {
        let _writer = self.lock_writer().await;
        sqlx::query("DELETE FROM session WHERE id = ?")
            .bind(session.session().id.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Saves the reception report until the end is announced. `still_allowed` is checked with the write
    /// lock held; nothing is saved if it returns false.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn save_end_report(
        &self,
        session: SessionId,
        report: &str,
        still_allowed: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), StoreError> {
        let sealed = self.cipher.seal("session.report", session.0, report)?;
        self.save_sealed(
            "UPDATE session SET report = ? WHERE id = ?",
            session,
            sealed,
            still_allowed,
        )
        .await
    }

    /// Saves the summary, which was paid for, until the end is announced. `still_allowed` is
    /// checked with the write lock held; nothing is saved if it returns false.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn save_end_summary(
        &self,
        session: SessionId,
        summary: &str,
        still_allowed: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), StoreError> {
        let sealed = self.cipher.seal("session.summary", session.0, summary)?;
        self.save_sealed(
            "UPDATE session SET summary = ? WHERE id = ?",
            session,
            sealed,
            still_allowed,
        )
        .await
    }

    async fn save_sealed(
        &self,
        statement: &'static str,
        session: SessionId,
        sealed: Vec<u8>,
        still_allowed: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), StoreError> {
        let _writer = self.lock_writer().await;
        if !still_allowed() {
            return Ok(());
        }
        sqlx::query(statement)
            .bind(sealed)
            .bind(session.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The messages of an end announcement so far, in order.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn end_messages(&self, session: SessionId) -> Result<Vec<EndMessage>, StoreError> {
        let rows = sqlx::query("SELECT * FROM session_post WHERE session = ? ORDER BY part")
            .bind(session.0)
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| {
                let part: i64 = row.try_get("part")?;
                Ok(EndMessage {
                    part: u32::try_from(part).map_err(|_| StoreError::Damaged)?,
                    message: row
                        .try_get::<Option<i64>, _>("message")?
                        .map(id_from_column),
                    sending_at: Timestamp(row.try_get("at")?),
                })
            })
            .collect()
    }

    /// Records that a part of the announcement is about to be sent.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written; the part must then not be sent.
    pub async fn record_sending_end(
        &self,
        session: SessionId,
        part: u32,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let _writer = self.lock_writer().await;
        // If the session was deleted with its guild, there is nothing to protect from being sent
        // twice.
        sqlx::query(
            "INSERT INTO session_post (session, part, at)
             SELECT id, ?2, ?3 FROM session WHERE id = ?1
             ON CONFLICT (session, part) DO NOTHING",
        )
        .bind(session.0)
        .bind(i64::from(part))
        .bind(at.0)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Records that a part of the announcement was sent as `message`.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn record_sent_end(
        &self,
        session: SessionId,
        part: u32,
        message: u64,
    ) -> Result<(), StoreError> {
        let _writer = self.lock_writer().await;
        sqlx::query("UPDATE session_post SET message = ? WHERE session = ? AND part = ?")
            .bind(id_to_column(message))
            .bind(session.0)
            .bind(i64::from(part))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Closes a session whose end is fully announced. Returns false if it was closed before, has
    /// not ended, or does not exist.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn close_session(&self, session: SessionId) -> Result<bool, StoreError> {
        let _writer = self.lock_writer().await;
        let updated = sqlx::query(
            "UPDATE session SET ended = ending_at, report = NULL, summary = NULL, deaf_ms = NULL
             WHERE id = ? AND ended IS NULL AND ending IS NOT NULL",
        )
        .bind(session.0)
        .execute(&self.pool)
        .await?;
        Ok(updated.rows_affected() > 0)
    }

    /// `None` if the session has not ended.
    pub(super) fn read_ended_session(
        &self,
        row: &SqliteRow,
    ) -> Result<Option<EndedSession>, StoreError> {
        let Some(end_reason) = row.try_get::<Option<String>, _>("ending")? else {
            return Ok(None);
        };
        let session = self.read_session(row)?;
        let number = session.id.0;
        let decrypt = |field: &'static str, column: &'static str| {
            let sealed: Option<Vec<u8>> = row.try_get(column)?;
            sealed
                .map(|sealed| self.cipher.open(field, number, &sealed))
                .transpose()
        };
        Ok(Some(EndedSession {
            end_reason,
            ended_at: session.ended.unwrap_or(session.last_seen),
            report: decrypt("session.report", "report")?,
            summary: decrypt("session.summary", "summary")?,
            session,
        }))
    }
}
