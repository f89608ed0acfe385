//! The ledger: jobs and their progress, conversations, voice sessions, usage and settings.
//!
//! One SQLite file in a folder that one process uses at a time. Everything people said or wrote is
//! encrypted ([`StoreCipher`]); ids, times and counts are not. When a method returns, its change is
//! on disk. Times are arguments: nothing here reads the clock. Start with [`Store`]; each file adds
//! the methods for one kind of record.

mod cipher;
mod consents;
mod error;
mod forget;
mod guilds;
mod inspect;
mod jobs;
mod paid_calls;
mod session_end;
mod sessions;
mod transcript_lines;
mod turns;
mod usage;

#[cfg(test)]
mod operator_tests;
#[cfg(test)]
mod session_end_tests;
#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::SecretString;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, SqliteConnection};
use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard};

pub use cipher::StoreCipher;
pub use consents::Consent;
pub use error::StoreError;
pub use forget::{CATCH_UP_WINDOW, DeletedCounts};
pub use inspect::StoreInspection;
pub use jobs::{
    AcceptOutcome, FinishedJob, Job, JobDetails, JobId, JobState, MessageReference, ResultMessage,
};
pub use paid_calls::{PaidCallId, UsageAccount, UsageEntry};
pub use session_end::{EndMessage, EndedSession};
pub use sessions::{
    NoticePosted, OpenSession, SessionDetails, SessionId, SessionRecord, UnfinishedSession,
};
pub use transcript_lines::{AddLineOutcome, LineKind, MAX_LINES, TranscriptLine};
pub use turns::{StoredTurn, TurnRole};
pub use usage::{Usage, UsageScope, UsageStage};

/// Connections in the pool. SQLite allows one writer; the others read.
const MAX_CONNECTIONS: u32 = 4;

/// How long a statement waits for a lock held by another connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

const DATABASE_FILE: &str = "talkback.db";
const LOCK_FILE: &str = "talkback.lock";
const KEY_FILE: &str = "talkback.key";

/// Known plaintext that shows whether the key is right.
const KEY_PROOF: &str = "talkback";

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// Milliseconds since 1970-01-01, UTC.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The current system time.
    #[must_use]
    pub fn now() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(now.map_or(0, |it| i64::try_from(it.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The UTC day, counted from 1970-01-01.
    pub fn day(self) -> i64 {
        self.0.div_euclid(86_400_000)
    }

    /// The time `span` earlier.
    pub fn earlier_by(self, span: Duration) -> Self {
        Self(self.0 - i64::try_from(span.as_millis()).unwrap_or(i64::MAX / 2))
    }
}

/// Where the encryption key came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeySource {
    /// From the settings.
    Configured,
    /// From this file.
    File(PathBuf),
    /// Newly generated and written to this file. Whoever has the file can read the stored content,
    /// and without it nobody can: the operator should know.
    Generated(PathBuf),
}

/// The ledger. Clones share one connection pool.
#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
    cipher: StoreCipher,
    /// Writers queue here for each other: SQLite alone would make them sleep and poll.
    writer_lock: Arc<Mutex<()>>,
    /// Held while the process lives: two processes would run every job twice. `None` if opened only
    /// for reading.
    _lock: Option<Arc<File>>,
}

impl Store {
    /// Opens the ledger in `folder`, creating both if they don't exist.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] if another process uses it, [`StoreError::WrongKey`] if it was written
    /// with another key, and errors of disk and database.
    pub async fn open(
        folder: &Path,
        key: Option<&SecretString>,
    ) -> Result<(Self, KeySource), StoreError> {
        private_folder(folder).map_err(|error| StoreError::disk(folder, error))?;
        let lock = lock_file(&folder.join(LOCK_FILE))?;
        let database = folder.join(DATABASE_FILE);
        let is_blank = is_blank_database(&database);
        let (cipher, source) = match key {
            Some(key) => (StoreCipher::from_base64(key)?, KeySource::Configured),
            None => StoreCipher::from_file(&folder.join(KEY_FILE), is_blank)?,
        };
        let options = SqliteConnectOptions::new()
            .filename(&database)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // In WAL mode, only this puts a commit on disk before it returns.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            // Overwrite what is deleted.
            .pragma("secure_delete", "ON");
        let pool = SqlitePoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .connect_with(options)
            .await?;
        MIGRATIONS.run(&pool).await?;
        let store = Self {
            pool,
            cipher,
            writer_lock: Arc::default(),
            _lock: Some(Arc::new(lock)),
        };
        store.verify_or_write_key_proof().await?;
        Ok((store, source))
    }

    /// Checks the whole database file.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if it is inconsistent.
    pub async fn check_integrity(&self) -> Result<(), StoreError> {
        let result: String = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_one(&self.pool)
            .await?;
        if result == "ok" {
            Ok(())
        } else {
            Err(StoreError::Damaged)
        }
    }

    /// Writes what is pending and closes the files.
    pub async fn close(self) {
        self.pool.close().await;
    }

    /// Checks the key against the stored proof, or stores one.
    async fn verify_or_write_key_proof(&self) -> Result<(), StoreError> {
        let sealed = self.cipher.seal("seal", 1, KEY_PROOF)?;
        sqlx::query("INSERT OR IGNORE INTO seal (id, proof) VALUES (1, ?)")
            .bind(sealed)
            .execute(&self.pool)
            .await?;
        let proof: Vec<u8> = sqlx::query_scalar("SELECT proof FROM seal WHERE id = 1")
            .fetch_one(&self.pool)
            .await?;
        match self.cipher.open("seal", 1, &proof) {
            Ok(text) if text == KEY_PROOF => Ok(()),
            _ => Err(StoreError::WrongKey),
        }
    }

    /// Begins a transaction with the write lock held from the start: one that upgrades later can
    /// fail instead of waiting.
    async fn begin_write(&self) -> Result<WriteTransaction, StoreError> {
        let writer_lock = Arc::clone(&self.writer_lock).lock_owned().await;
        let mut write = WriteTransaction {
            connection: self.pool.acquire().await?,
            committed: false,
            _writer_lock: writer_lock,
        };
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *write).await?;
        Ok(write)
    }

    /// Takes the write lock for a single statement outside a transaction.
    async fn lock_writer(&self) -> MutexGuard<'_, ()> {
        self.writer_lock.lock().await
    }
}

/// The transaction of the only writer. If it is dropped uncommitted, its connection is closed,
/// which rolls back: where SQLite has rolled back by itself, as on a full disk, sqlx would still
/// count an open transaction.
struct WriteTransaction {
    connection: PoolConnection<Sqlite>,
    committed: bool,
    _writer_lock: OwnedMutexGuard<()>,
}

impl WriteTransaction {
    /// Commits the transaction to disk.
    async fn commit(mut self) -> Result<(), StoreError> {
        sqlx::query("COMMIT").execute(&mut *self.connection).await?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for WriteTransaction {
    fn drop(&mut self) {
        if !self.committed {
            self.connection.close_on_drop();
        }
    }
}

impl Deref for WriteTransaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for WriteTransaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

/// Whether a ledger was never written to: it does not exist, or the process died right after
/// creating it.
fn is_blank_database(database: &Path) -> bool {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let is_empty = |path: &Path| std::fs::metadata(path).is_ok_and(|it| it.len() == 0);
    let no_log = !Path::new(&log).exists() || is_empty(Path::new(&log));
    !database.exists() || (is_empty(database) && no_log)
}

fn lock_file(path: &Path) -> Result<File, StoreError> {
    let file = open_private_file(path).map_err(|error| StoreError::disk(path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(std::fs::TryLockError::Error(error)) => Err(StoreError::disk(path, error)),
    }
}

#[cfg(unix)]
fn private_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(not(unix))]
fn private_folder(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Opens a file for writing that only its owner can read.
fn open_private_file(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Whether only its owner can read a file.
#[cfg(unix)]
fn private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|it| it.permissions().mode() & 0o077 == 0)
}

#[cfg(not(unix))]
fn private(_: &Path) -> bool {
    true
}

/// A Discord id as stored in a column.
fn id_to_column(id: u64) -> i64 {
    id.cast_signed()
}

/// A Discord id from a column.
fn id_from_column(column: i64) -> u64 {
    column.cast_unsigned()
}
