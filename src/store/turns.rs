//! Conversation turns by message, so that a reply can continue a conversation.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{Store, StoreError, Timestamp, id_from_column, id_to_column};

/// The author's role in a turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TurnRole {
    /// A user.
    User,
    /// The model.
    Assistant,
}

/// One turn of a conversation.
#[derive(Clone)]
pub struct StoredTurn {
    /// The message that holds it.
    pub message: u64,
    /// The message it replies to, if any.
    pub parent: Option<u64>,
    /// The guild; `None` in a direct message.
    pub guild: Option<u64>,
    /// The channel or thread.
    pub channel: u64,
    /// The user who wrote it, or whom the model answers.
    pub author: u64,
    /// Who wrote it.
    pub role: TurnRole,
    /// That user's name. Stored encrypted.
    pub name: String,
    /// The text. Stored encrypted.
    pub text: String,
    /// When it was said.
    pub at: Timestamp,
}

impl std::fmt::Debug for StoredTurn {
    /// Prints only the size: what was said must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredTurn({}, {} bytes)", self.message, self.text.len())
    }
}

impl Store {
    /// Saves a turn, replacing an earlier one of the same message.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn save_turn(&self, turn: &StoredTurn) -> Result<(), StoreError> {
        let mut write = self.begin_write().await?;
        self.insert_turn(&mut write, turn).await?;
        write.commit().await?;
        Ok(())
    }

    pub(super) async fn insert_turn(
        &self,
        write: &mut SqliteConnection,
        turn: &StoredTurn,
    ) -> Result<(), StoreError> {
        let message = id_to_column(turn.message);
        sqlx::query("INSERT OR REPLACE INTO turn VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
            .bind(message)
            .bind(turn.parent.map(id_to_column))
            .bind(turn.guild.map(id_to_column))
            .bind(id_to_column(turn.channel))
            .bind(id_to_column(turn.author))
            .bind(match turn.role {
                TurnRole::User => "user",
                TurnRole::Assistant => "assistant",
            })
            .bind(self.cipher.seal("turn.speaker", message, &turn.name)?)
            .bind(self.cipher.seal("turn.text", message, &turn.text)?)
            .bind(turn.at.0)
            .execute(&mut *write)
            .await?;
        Ok(())
    }

    /// The chain of replies that ends with `message`, oldest first, at most `limit` turns. A cycle
    /// ends the chain. Empty if the message is unknown.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn reply_chain(
        &self,
        message: u64,
        limit: u32,
    ) -> Result<Vec<StoredTurn>, StoreError> {
        let rows = sqlx::query(
            "WITH RECURSIVE chain (message, parent, depth) AS (
                 SELECT message, parent, 1 FROM turn WHERE message = ?1
                 UNION ALL
                 SELECT turn.message, turn.parent, depth + 1 FROM turn
                 JOIN chain ON turn.message = chain.parent WHERE depth < ?2
             )
             SELECT turn.* FROM turn
             JOIN (SELECT message, min(depth) AS depth FROM chain GROUP BY message) AS found
             ON turn.message = found.message ORDER BY found.depth DESC",
        )
        .bind(id_to_column(message))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| self.read_turn(row)).collect()
    }

    /// The last `limit` turns in a channel or thread, oldest first.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn latest_turns(
        &self,
        channel: u64,
        limit: u32,
    ) -> Result<Vec<StoredTurn>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM turn WHERE channel = ? ORDER BY at DESC, message DESC LIMIT ?",
        )
        .bind(id_to_column(channel))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().rev().map(|row| self.read_turn(row)).collect()
    }

    fn read_turn(&self, row: &SqliteRow) -> Result<StoredTurn, StoreError> {
        let message: i64 = row.try_get("message")?;
        let role: String = row.try_get("role")?;
        let decrypt = |name: &str, field: &str| -> Result<String, StoreError> {
            let sealed: Vec<u8> = row.try_get(field)?;
            self.cipher.open(name, message, &sealed)
        };
        Ok(StoredTurn {
            message: id_from_column(message),
            parent: row.try_get::<Option<i64>, _>("parent")?.map(id_from_column),
            guild: row.try_get::<Option<i64>, _>("guild")?.map(id_from_column),
            channel: id_from_column(row.try_get("channel")?),
            author: id_from_column(row.try_get("author")?),
            role: match role.as_str() {
                "user" => TurnRole::User,
                "assistant" => TurnRole::Assistant,
                _ => return Err(StoreError::Damaged),
            },
            name: decrypt("turn.speaker", "speaker")?,
            text: decrypt("turn.text", "text")?,
            at: Timestamp(row.try_get("at")?),
        })
    }
}
