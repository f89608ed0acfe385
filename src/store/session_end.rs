//! The end of a voice session: first the reason is written down, then it is told, then it is closed.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{
    OpenSession, SessionId, SessionRecord, Store, StoreError, Timestamp, id_from_column,
    id_to_column,
};

/// A session that has ended, with what is to be told of it.
#[derive(Clone)]
pub struct EndedSession {
    /// What it was.
    pub session: SessionRecord,
    /// Why it ended, in the caller's own form.
    pub end_reason: String,
    /// When.
    pub ended_at: Timestamp,
    /// How everybody was heard, once that is kept; in the caller's own form.
    pub report: Option<String>,
    /// What it was about, once that is kept; in the caller's own form.
    pub summary: Option<String>,
}

impl std::fmt::Debug for EndedSession {
    /// What was said never reaches a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "EndedSession({}, {})",
            self.session.id.0, self.end_reason
        )
    }
}

/// A message of an end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EndMessage {
    /// Its place, from 0.
    pub part: u32,
    /// The message; none if it was about to be sent and nobody knows whether it was.
    pub message: Option<u64>,
    /// When it was about to be sent.
    pub sending_at: Timestamp,
}

impl Store {
    /// Ends a session: from now on nobody joins its call any more. If it has ended already, the
    /// first reason stands. None if all of its end is told, or it is not there.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn end_session(
        &self,
        session: SessionId,
        ending: &str,
        at: Timestamp,
    ) -> Result<Option<EndedSession>, StoreError> {
        let mut write = self.begin_write().await?;
        sqlx::query(
            "UPDATE session SET ending = ?1, ending_at = ?2, seen = max(seen, ?2)
             WHERE id = ?3 AND ended IS NULL AND ending IS NULL",
        )
        .bind(ending)
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

    /// Takes back a session in which nobody was ever listened to.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn discard_session(&self, session: OpenSession) -> Result<(), StoreError> {
        let _turn = self.lock_writer().await;
        sqlx::query("DELETE FROM session WHERE id = ?")
            .bind(session.session().id.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Keeps how everybody was heard until the end is told, if it may still be told when it is
    /// written.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn save_end_report(
        &self,
        session: SessionId,
        report: &str,
        still: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), StoreError> {
        let sealed = self.cipher.seal("session.report", session.0, report)?;
        self.save_sealed(
            "UPDATE session SET report = ? WHERE id = ?",
            session,
            sealed,
            still,
        )
        .await
    }

    /// Keeps what it was about until the end is told, if it may still be told when it is written:
    /// it was paid for.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn save_end_summary(
        &self,
        session: SessionId,
        summary: &str,
        still: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), StoreError> {
        let sealed = self.cipher.seal("session.summary", session.0, summary)?;
        self.save_sealed(
            "UPDATE session SET summary = ? WHERE id = ?",
            session,
            sealed,
            still,
        )
        .await
    }

    async fn save_sealed(
        &self,
        statement: &'static str,
        session: SessionId,
        sealed: Vec<u8>,
        still: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), StoreError> {
        let _turn = self.lock_writer().await;
        if !still() {
            return Ok(());
        }
        sqlx::query(statement)
            .bind(sealed)
            .bind(session.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The messages of an end so far, in order.
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

    /// A part of an end is about to be sent.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written: then it must not be sent.
    pub async fn record_sending_end(
        &self,
        session: SessionId,
        part: u32,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let _turn = self.lock_writer().await;
        // A session that is gone, with its server, has nothing that could be told twice.
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

    /// A part of an end has been sent as this message.
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
        let _turn = self.lock_writer().await;
        sqlx::query("UPDATE session_post SET message = ? WHERE session = ? AND part = ?")
            .bind(id_to_column(message))
            .bind(session.0)
            .bind(i64::from(part))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// All of the end is told. Returns false if it was before, if the session goes on, or is not
    /// there.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn close_session(&self, session: SessionId) -> Result<bool, StoreError> {
        let _turn = self.lock_writer().await;
        let done = sqlx::query(
            "UPDATE session SET ended = ending_at, report = NULL, summary = NULL, deaf_ms = NULL
             WHERE id = ? AND ended IS NULL AND ending IS NOT NULL",
        )
        .bind(session.0)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// None if it goes on.
    pub(super) fn read_ended_session(
        &self,
        row: &SqliteRow,
    ) -> Result<Option<EndedSession>, StoreError> {
        let Some(ending) = row.try_get::<Option<String>, _>("ending")? else {
            return Ok(None);
        };
        let session = self.read_session(row)?;
        let number = session.id.0;
        let open = |place: &'static str, column: &'static str| {
            let sealed: Option<Vec<u8>> = row.try_get(column)?;
            sealed
                .map(|sealed| self.cipher.open(place, number, &sealed))
                .transpose()
        };
        Ok(Some(EndedSession {
            end_reason: ending,
            ended_at: session.ended.unwrap_or(session.last_seen),
            report: open("session.report", "report")?,
            summary: open("session.summary", "summary")?,
            session,
        }))
    }
}
