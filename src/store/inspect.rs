//! Read-only access to a ledger, even while a bot uses it.

use std::borrow::Cow;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use super::{
    BUSY_TIMEOUT, DATABASE_FILE, KEY_FILE, KEY_PROOF, KeySource, LOCK_FILE, MIGRATIONS, Store,
    StoreCipher,
};
use super::{StoreError, private};

/// A ledger opened for reading, and its condition. Every [`Store`] method that writes fails on it.
#[derive(Debug)]
pub struct StoreInspection {
    /// The ledger.
    pub store: Store,
    /// Whether a running bot uses it.
    pub in_use: bool,
    /// Where its key came from; never generated here.
    pub key_source: KeySource,
    /// Whether other users of this machine can read the key file.
    pub key_exposed: bool,
    /// How many migrations have not been applied: an old ledger may lack tables.
    pub missing_migrations: usize,
}

impl Store {
    /// Opens the ledger in `folder` for reading, and checks its key and that its migrations are
    /// known. `None` if there is no ledger.
    ///
    /// # Errors
    ///
    /// Like [`Store::open`], except that the ledger may be in use.
    pub async fn inspect(
        folder: &Path,
        key: Option<&SecretString>,
    ) -> Result<Option<StoreInspection>, StoreError> {
        let database = folder.join(DATABASE_FILE);
        match std::fs::metadata(&database) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::disk(&database, error)),
        }
        let in_use = is_locked(&folder.join(LOCK_FILE));
        let key_file = folder.join(KEY_FILE);
        let (cipher, key_source) = match key {
            Some(key) => (StoreCipher::from_base64(key)?, KeySource::Configured),
            None => StoreCipher::from_file(&key_file, false)?,
        };
        let key_exposed = matches!(key_source, KeySource::File(_)) && !private(&key_file);
        let options = SqliteConnectOptions::new()
            .filename(&database)
            .read_only(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await?;
        let missing_migrations = count_missing_migrations(&pool).await?;
        let store = Self {
            pool,
            cipher,
            writer_lock: Arc::default(),
            _lock: None,
        };
        if missing_migrations == 0 {
            store.verify_key_proof().await?;
        }
        Ok(Some(StoreInspection {
            store,
            in_use,
            key_source,
            key_exposed,
            missing_migrations,
        }))
    }

    async fn verify_key_proof(&self) -> Result<(), StoreError> {
        let proof: Option<Vec<u8>> = sqlx::query_scalar("SELECT proof FROM seal WHERE id = 1")
            .fetch_optional(&self.pool)
            .await?;
        match proof.map(|proof| self.cipher.open("seal", 1, &proof)) {
            // Nothing was ever written.
            None => Ok(()),
            Some(Ok(text)) if text == KEY_PROOF => Ok(()),
            Some(_) => Err(StoreError::WrongKey),
        }
    }
}

/// Whether another process holds the lock. If not, the lock taken for the test is released at once.
fn is_locked(path: &Path) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    matches!(
        file.try_lock_shared(),
        Err(std::fs::TryLockError::WouldBlock)
    )
}

/// How many migrations the ledger lacks. An unknown one is an error.
async fn count_missing_migrations(pool: &SqlitePool) -> Result<usize, StoreError> {
    let any: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'",
    )
    .fetch_one(pool)
    .await?;
    let known: Vec<(i64, Cow<'_, [u8]>)> = MIGRATIONS
        .iter()
        .map(|it| (it.version, it.checksum.clone()))
        .collect();
    if any == 0 {
        return Ok(known.len());
    }
    let applied: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations WHERE success = TRUE")
            .fetch_all(pool)
            .await?;
    for (version, checksum) in &applied {
        match known.iter().find(|(it, _)| it == version) {
            None => return Err(MigrateError::VersionMissing(*version).into()),
            Some((_, it)) if it.as_ref() != checksum.as_slice() => {
                return Err(MigrateError::VersionMismatch(*version).into());
            }
            Some(_) => {}
        }
    }
    Ok(known.len() - applied.len())
}
