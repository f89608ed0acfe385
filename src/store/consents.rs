//! Who may be heard in voice channels.

use std::collections::HashMap;

use super::{Store, StoreError, Timestamp, column, id};

/// What a person has said about being heard in the voice channels of a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Consent {
    /// They may be heard.
    Yes,
    /// They may not.
    No,
}

impl Consent {
    fn text(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
        }
    }
}

impl Store {
    /// Keeps what a person says about being heard, in place of what they said before.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn set_consent(
        &self,
        guild: u64,
        user: u64,
        consent: Consent,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let _turn = self.turn().await;
        sqlx::query("INSERT OR REPLACE INTO consent VALUES (?, ?, ?, ?)")
            .bind(column(guild))
            .bind(column(user))
            .bind(consent.text())
            .bind(at.0)
            .execute(&self.pool)
            .await?;
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
                .bind(column(guild))
                .fetch_all(&self.pool)
                .await?;
        rows.into_iter()
            .map(|(user, consent)| {
                [Consent::Yes, Consent::No]
                    .into_iter()
                    .find(|known| known.text() == consent)
                    .map(|consent| (id(user), consent))
                    .ok_or(StoreError::Damaged)
            })
            .collect()
    }
}
