//! Who may be heard in voice channels.

use std::collections::HashMap;

use super::{Store, StoreError, Timestamp, id_from_column, id_to_column};

/// What a person has said about being heard in the voice channels of a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Consent {
    /// They may be heard.
    Yes,
    /// They may not.
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
    /// Keeps what a person says about being heard, in place of what they said before. With a no
    /// goes what they said in the calls whose end is not written yet: it is for no file any more.
    /// `still` is asked when nobody else writes; if it says no, nothing is done.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written: then nothing is changed.
    pub async fn set_consent(
        &self,
        guild: u64,
        user: u64,
        consent: Consent,
        at: Timestamp,
        still: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), StoreError> {
        let mut write = self.begin_write().await?;
        if !still() {
            return write.commit().await;
        }
        sqlx::query("INSERT OR REPLACE INTO consent VALUES (?, ?, ?, ?)")
            .bind(id_to_column(guild))
            .bind(id_to_column(user))
            .bind(consent.as_str())
            .bind(at.0)
            .execute(&mut *write)
            .await?;
        let mut gone = 0;
        if consent == Consent::No {
            let lines = sqlx::query(
                "DELETE FROM line WHERE author = ?1 AND session IN
                     (SELECT id FROM session WHERE guild = ?2 AND ended IS NULL)",
            )
            .bind(id_to_column(user))
            .bind(id_to_column(guild))
            .execute(&mut *write)
            .await?;
            gone = lines.rows_affected();
            // What is still to be told of an end may hold their name or words; it is made again.
            sqlx::query(
                "UPDATE session SET report = NULL, summary = NULL
                 WHERE guild = ? AND ended IS NULL AND ending IS NOT NULL",
            )
            .bind(id_to_column(guild))
            .execute(&mut *write)
            .await?;
        }
        write.commit().await?;
        if gone > 0 {
            self.truncate_wal().await?;
        }
        Ok(())
    }

    /// What the members of a server have said. Whoever is not in it has said nothing.
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
