//! Consent to being recorded in voice channels.

use std::collections::HashMap;

use super::{Store, StoreError, Timestamp, id_from_column, id_to_column};

/// A user's decision about being recorded in a guild's voice channels.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Consent {
    /// They may be recorded.
    Yes,
    /// They may not be recorded.
    No,
}

impl Consent {
    fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
        }
    }
}

impl Store {
    /// Stores a user's decision, replacing an earlier one. A no also deletes their lines in
    /// sessions whose end is not fully announced, so that these don't appear in the transcript
    /// file. `still_allowed` is checked with the write lock held; nothing is changed if it returns
    /// false.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written; nothing is then changed.
    pub async fn set_consent(
        &self,
        guild: u64,
        user: u64,
        consent: Consent,
        at: Timestamp,
        still_allowed: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), StoreError> {
        let mut write = self.begin_write().await?;
        if !still_allowed() {
            return write.commit().await;
        }
        sqlx::query("INSERT OR REPLACE INTO consent VALUES (?, ?, ?, ?)")
            .bind(id_to_column(guild))
            .bind(id_to_column(user))
            .bind(consent.as_str())
            .bind(at.0)
            .execute(&mut *write)
            .await?;
        let mut deleted = 0;
        if consent == Consent::No {
            let lines = sqlx::query(
                "DELETE FROM line WHERE author = ?1 AND session IN
                     (SELECT id FROM session WHERE guild = ?2 AND ended IS NULL)",
            )
            .bind(id_to_column(user))
            .bind(id_to_column(guild))
            .execute(&mut *write)
            .await?;
            deleted = lines.rows_affected();
            // Report and summary of an unannounced end may contain their name or words; they are
            // made again.
            sqlx::query(
                "UPDATE session SET report = NULL, summary = NULL
                 WHERE guild = ? AND ended IS NULL AND ending IS NOT NULL",
            )
            .bind(id_to_column(guild))
            .execute(&mut *write)
            .await?;
        }
        write.commit().await?;
        if deleted > 0 {
            self.truncate_wal().await?;
        }
        Ok(())
    }

    /// The decisions of a guild's members. Members who have not decided are absent.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn consents(&self, guild: u64) -> Result<HashMap<u64, Consent>, StoreError> {
        let rows: Vec<(i64, String)> =
            sqlx::query_as("SELECT author, consent FROM consent WHERE guild = ?")
                .bind(id_to_column(guild))
                .fetch_all(&self.pool)
                .await?;
        rows.into_iter()
            .map(|(user, consent)| {
                [Consent::Yes, Consent::No]
                    .into_iter()
                    .find(|known| known.as_str() == consent)
                    .map(|consent| (id_from_column(user), consent))
                    .ok_or(StoreError::Damaged)
            })
            .collect()
    }
}
