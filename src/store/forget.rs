//! Deletion: removes data from the tables, the free pages and the write-ahead log.

use std::time::Duration;

use super::{Store, StoreError, Timestamp, id_to_column};

/// How long usage is kept: a year and a month, to compare with last year.
const USAGE_RETENTION_DAYS: i64 = 400;

/// How far back missed recordings are read at startup, and so how long withdrawn sources are
/// remembered.
pub const CATCH_UP_WINDOW: Duration = Duration::from_secs(24 * 3_600);

/// How much was deleted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DeletedCounts {
    /// Jobs, with their transcripts and answers.
    pub jobs: u64,
    /// Conversation turns.
    pub turns: u64,
    /// Lines of voice sessions.
    pub lines: u64,
    /// Usage entries that were deleted or made anonymous.
    pub usage: u64,
}

impl Store {
    /// Deletes what is stored about a user: their jobs, jobs of others about their messages, their
    /// turns and lines with the answers to them, and their consent. Usage before today becomes
    /// anonymous. Today's usage keeps the name until [`Store::delete_expired`] runs on another day,
    /// since being forgotten must not refill a daily budget.
    ///
    /// Deletes unfinished jobs too; the caller must stop running ones.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written; nothing is then deleted.
    pub async fn forget_author(
        &self,
        author: u64,
        now: Timestamp,
    ) -> Result<DeletedCounts, StoreError> {
        let author = id_to_column(author);
        let mut write = self.begin_write().await?;
        // Jobs of a forgotten user must not be accepted again when old messages are read back.
        sqlx::query(
            "INSERT OR IGNORE INTO withdrawn (source)
             SELECT source FROM job WHERE created >= ?2 AND (author = ?1 OR id IN
                 (SELECT job FROM borrowed WHERE borrowed.author = ?1))",
        )
        .bind(author)
        .bind(now.earlier_by(CATCH_UP_WINDOW).0)
        .execute(&mut *write)
        .await?;
        let jobs = sqlx::query(
            "DELETE FROM job WHERE author = ?1 OR id IN
                 (SELECT job FROM borrowed WHERE borrowed.author = ?1)",
        )
        .bind(author)
        .execute(&mut *write)
        .await?;
        let turns = sqlx::query(
            "DELETE FROM turn WHERE author = ?1 OR message IN
                 (SELECT turn FROM turn_borrowed WHERE person = ?1)",
        )
        .bind(author)
        .execute(&mut *write)
        .await?;
        let lines = sqlx::query("DELETE FROM line WHERE author = ?")
            .bind(author)
            .execute(&mut *write)
            .await?;
        for statement in [
            "DELETE FROM consent WHERE author = ?",
            "UPDATE session SET asked_by = 0 WHERE asked_by = ?",
        ] {
            sqlx::query(statement)
                .bind(author)
                .execute(&mut *write)
                .await?;
        }
        // Report and summary of an unannounced end may contain their name or words; they are made
        // again.
        sqlx::query(
            "UPDATE session SET report = NULL, summary = NULL
             WHERE ended IS NULL AND ending IS NOT NULL",
        )
        .execute(&mut *write)
        .await?;
        let mut usage = 0;
        for statement in [
            "UPDATE usage SET author = 0 WHERE author = ? AND day < ?",
            "UPDATE session_usage SET author = 0 WHERE author = ? AND day < ?",
            "UPDATE paid_call SET author = 0 WHERE author = ? AND day < ?",
        ] {
            let updated = sqlx::query(statement)
                .bind(author)
                .bind(now.day())
                .execute(&mut *write)
                .await?;
            usage += updated.rows_affected();
        }
        // Remembers whose usage to make anonymous tomorrow; then deleted too.
        sqlx::query("INSERT OR REPLACE INTO forgotten (author, day) VALUES (?, ?)")
            .bind(author)
            .bind(now.day())
            .execute(&mut *write)
            .await?;
        write.commit().await?;
        self.truncate_wal().await?;
        Ok(DeletedCounts {
            jobs: jobs.rows_affected(),
            turns: turns.rows_affected(),
            lines: lines.rows_affected(),
            usage,
        })
    }

    /// Deletes what is stored about one message or interaction: its job, its turns and the answer.
    /// Returns the messages that showed the answer. Nothing is stored about most messages that get
    /// deleted: those cost two index lookups, and don't wait for writers.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written; nothing is then deleted.
    pub async fn forget_source(&self, source: u64) -> Result<Vec<u64>, StoreError> {
        let source = id_to_column(source);
        let known: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM job WHERE source = ?1)
                 OR EXISTS (SELECT 1 FROM turn WHERE message = ?1)
                 OR EXISTS (SELECT 1 FROM turn_borrowed WHERE message = ?1)",
        )
        .bind(source)
        .fetch_one(&self.pool)
        .await?;
        if !known {
            return Ok(Vec::new());
        }
        let mut write = self.begin_write().await?;
        let messages: Vec<i64> = sqlx::query_scalar(
            "SELECT message FROM post JOIN job ON post.job = job.id
             WHERE job.source = ? AND message IS NOT NULL ORDER BY part",
        )
        .bind(source)
        .fetch_all(&mut *write)
        .await?;
        for message in messages.iter().chain([&source]) {
            sqlx::query(
                "DELETE FROM turn WHERE message = ?1 OR message IN
                     (SELECT turn FROM turn_borrowed WHERE turn_borrowed.message = ?1)",
            )
            .bind(message)
            .execute(&mut *write)
            .await?;
        }
        // A deleted message must not be accepted again when old messages are read back.
        sqlx::query(
            "INSERT OR IGNORE INTO withdrawn (source) SELECT source FROM job WHERE source = ?",
        )
        .bind(source)
        .execute(&mut *write)
        .await?;
        sqlx::query("DELETE FROM job WHERE source = ?")
            .bind(source)
            .execute(&mut *write)
            .await?;
        write.commit().await?;
        self.truncate_wal().await?;
        Ok(messages.into_iter().map(super::id_from_column).collect())
    }

    /// Forgets withdrawn sources with ids below `before`: messages that old are no longer read
    /// back.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn prune_withdrawn(&self, before: u64) -> Result<(), StoreError> {
        let _writer = self.lock_writer().await;
        sqlx::query("DELETE FROM withdrawn WHERE source < ?")
            .bind(id_to_column(before))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Deletes the turns of a channel or thread, either all or those of one author with the answers
    /// to them: the conversation starts over.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn forget_channel(
        &self,
        channel: u64,
        author: Option<u64>,
    ) -> Result<u64, StoreError> {
        let (channel, author) = (id_to_column(channel), author.map(id_to_column));
        let known: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM turn
             WHERE channel = ?1 AND (?2 IS NULL OR author = ?2))",
        )
        .bind(channel)
        .bind(author)
        .fetch_one(&self.pool)
        .await?;
        if !known {
            return Ok(0);
        }
        let mut write = self.begin_write().await?;
        let deleted =
            sqlx::query("DELETE FROM turn WHERE channel = ?1 AND (?2 IS NULL OR author = ?2)")
                .bind(channel)
                .bind(author)
                .execute(&mut *write)
                .await?;
        write.commit().await?;
        self.truncate_wal().await?;
        Ok(deleted.rows_affected())
    }

    /// Deletes finished jobs, turns, lines and closed sessions older than `retention`, and usage
    /// older than 400 days. Makes past usage of forgotten users anonymous.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written; nothing is then deleted.
    pub async fn delete_expired(
        &self,
        now: Timestamp,
        retention: Duration,
    ) -> Result<DeletedCounts, StoreError> {
        let oldest = now.earlier_by(retention).0;
        let mut write = self.begin_write().await?;
        let jobs = sqlx::query("DELETE FROM job WHERE state <> 'waiting' AND finished < ?")
            .bind(oldest)
            .execute(&mut *write)
            .await?;
        let turns = sqlx::query("DELETE FROM turn WHERE at < ?")
            .bind(oldest)
            .execute(&mut *write)
            .await?;
        // Delete lines before their sessions, so that they are counted. A session without an end
        // may never get one, so its lines expire on their own.
        let lines = sqlx::query("DELETE FROM line WHERE at < ?")
            .bind(oldest)
            .execute(&mut *write)
            .await?;
        sqlx::query("DELETE FROM session WHERE ended < ?")
            .bind(oldest)
            .execute(&mut *write)
            .await?;
        let mut usage = 0;
        for statement in [
            "DELETE FROM usage WHERE day < ?",
            "DELETE FROM session_usage WHERE day < ?",
        ] {
            let updated = sqlx::query(statement)
                .bind(now.day() - USAGE_RETENTION_DAYS)
                .execute(&mut *write)
                .await?;
            usage += updated.rows_affected();
        }
        for statement in [
            "UPDATE usage SET author = 0 WHERE day < ?1 AND EXISTS
                 (SELECT 1 FROM forgotten WHERE forgotten.author = usage.author
                  AND usage.day <= forgotten.day)",
            "UPDATE session_usage SET author = 0 WHERE day < ?1 AND EXISTS
                 (SELECT 1 FROM forgotten WHERE forgotten.author = session_usage.author
                  AND session_usage.day <= forgotten.day)",
            "UPDATE paid_call SET author = 0 WHERE day < ?1 AND EXISTS
                 (SELECT 1 FROM forgotten WHERE forgotten.author = paid_call.author
                  AND paid_call.day <= forgotten.day)",
        ] {
            let updated = sqlx::query(statement)
                .bind(now.day())
                .execute(&mut *write)
                .await?;
            usage += updated.rows_affected();
        }
        sqlx::query("DELETE FROM forgotten WHERE day < ?")
            .bind(now.day())
            .execute(&mut *write)
            .await?;
        write.commit().await?;
        self.truncate_wal().await?;
        Ok(DeletedCounts {
            jobs: jobs.rows_affected(),
            turns: turns.rows_affected(),
            lines: lines.rows_affected(),
            usage,
        })
    }

    /// Empties the write-ahead log, whose pages still hold what the tables no longer do. If a
    /// reader is in the way, the next call empties it.
    pub(super) async fn truncate_wal(&self) -> Result<(), StoreError> {
        let _writer = self.lock_writer().await;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
