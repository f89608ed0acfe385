//! A guild's settings, and what it has been told.

use super::{Store, StoreError, id_to_column};

impl Store {
    /// A guild's settings in the caller's format, if it has any.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn guild_settings(&self, guild: u64) -> Result<Option<String>, StoreError> {
        let guild = id_to_column(guild);
        let sealed: Option<Option<Vec<u8>>> =
            sqlx::query_scalar("SELECT settings FROM guild WHERE id = ?")
                .bind(guild)
                .fetch_optional(&self.pool)
                .await?;
        sealed
            .flatten()
            .map(|sealed| self.cipher.open("guild.settings", guild, &sealed))
            .transpose()
    }

    /// Changes a guild's settings: `change` gets the current ones and returns the new ones, or
    /// `None` to leave them. This is atomic, so no concurrent change is lost. Settings are stored
    /// encrypted: a prompt or key term may reveal more than people would publish.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read or written; the settings are then unchanged.
    pub async fn update_guild_settings(
        &self,
        guild: u64,
        change: impl FnOnce(Option<String>) -> Result<Option<String>, StoreError> + Send,
    ) -> Result<(), StoreError> {
        let guild = id_to_column(guild);
        let mut write = self.begin_write().await?;
        let sealed: Option<Option<Vec<u8>>> =
            sqlx::query_scalar("SELECT settings FROM guild WHERE id = ?")
                .bind(guild)
                .fetch_optional(&mut *write)
                .await?;
        let before = sealed
            .flatten()
            .map(|sealed| self.cipher.open("guild.settings", guild, &sealed))
            .transpose()?;
        let Some(after) = change(before)? else {
            return write.commit().await;
        };
        let sealed = self.cipher.seal("guild.settings", guild, &after)?;
        sqlx::query(
            "INSERT INTO guild (id, settings) VALUES (?, ?)
             ON CONFLICT (id) DO UPDATE SET settings = excluded.settings",
        )
        .bind(guild)
        .bind(sealed)
        .execute(&mut *write)
        .await?;
        write.commit().await
    }

    /// Claims the one notice that tells a guild what happens to recordings. True only for the first
    /// caller.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn claim_guild_notice(&self, guild: u64) -> Result<bool, StoreError> {
        let _writer = self.lock_writer().await;
        let updated = sqlx::query(
            "INSERT INTO guild (id, noticed) VALUES (?, 1)
             ON CONFLICT (id) DO UPDATE SET noticed = 1 WHERE noticed = 0",
        )
        .bind(id_to_column(guild))
        .execute(&self.pool)
        .await?;
        Ok(updated.rows_affected() > 0)
    }

    /// Deletes everything stored about a guild that removed the bot. Usage stays, since it was paid
    /// for.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written; nothing is then deleted.
    pub async fn forget_guild(&self, guild: u64) -> Result<(), StoreError> {
        let guild = id_to_column(guild);
        let known: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM job WHERE guild = ?1)
                 OR EXISTS (SELECT 1 FROM turn WHERE guild = ?1)
                 OR EXISTS (SELECT 1 FROM session WHERE guild = ?1)
                 OR EXISTS (SELECT 1 FROM consent WHERE guild = ?1)
                 OR EXISTS (SELECT 1 FROM guild WHERE id = ?1)",
        )
        .bind(guild)
        .fetch_one(&self.pool)
        .await?;
        if !known {
            return Ok(());
        }
        let mut write = self.begin_write().await?;
        for delete in [
            "DELETE FROM job WHERE guild = ?",
            "DELETE FROM turn WHERE guild = ?",
            "DELETE FROM session WHERE guild = ?",
            "DELETE FROM consent WHERE guild = ?",
            "DELETE FROM guild WHERE id = ?",
        ] {
            sqlx::query(delete).bind(guild).execute(&mut *write).await?;
        }
        write.commit().await?;
        self.truncate_wal().await
    }

    /// The direct-message channels with the latest jobs, latest first: places where recordings may
    /// have been missed.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn recent_direct_channels(&self, limit: u32) -> Result<Vec<u64>, StoreError> {
        let channels: Vec<i64> = sqlx::query_scalar(
            "SELECT channel FROM job WHERE guild IS NULL
             GROUP BY channel ORDER BY max(id) DESC LIMIT ?",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        Ok(channels.into_iter().map(super::id_from_column).collect())
    }
}
