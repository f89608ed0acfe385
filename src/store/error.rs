//! Errors of the ledger.

use std::io;
use std::path::{Path, PathBuf};

/// Why the ledger can't be used. Never contains stored content.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("another process uses this ledger")]
    InUse,
    /// It was written with another key.
    #[error("the ledger was written with another key")]
    WrongKey,
    /// The configured key is not a valid key.
    #[error("the key is not 32 bytes in Base64")]
    BadKey,
    /// The ledger exists, but its key file does not.
    #[error("the key {} is missing", path.display())]
    KeyMissing {
        /// Where the key file should be.
        path: PathBuf,
    },
    /// The key file holds no valid key: it is empty, truncated, or something else.
    #[error("the key {} is none", path.display())]
    KeyUnusable {
        /// Where the key file is.
        path: PathBuf,
    },
    /// No space left on the disk.
    #[error("the disk is full")]
    DiskFull,
    /// A row or the whole file is not what was written.
    #[error("the ledger is damaged")]
    Damaged,
    /// An error of the operating system.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// The system provides no random numbers.
    #[error("no random numbers")]
    NoRandomness,
    /// Any other database error.
    #[error("database: {0}")]
    Database(#[source] sqlx::Error),
    /// The file was written by a newer version, or can't be migrated.
    #[error("migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

/// SQLite's primary result codes, <https://sqlite.org/rescode.html>: the lower byte of an extended
/// code.
const SQLITE_FULL: i32 = 13;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_NOTADB: i32 = 26;

impl StoreError {
    pub(super) fn disk(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull => Self::DiskFull,
            _ => Self::Disk {
                path: path.to_owned(),
                source,
            },
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .and_then(|code| code.parse::<i32>().ok())
            .map(|code| code & 0xff);
        match code {
            Some(SQLITE_FULL) => Self::DiskFull,
            Some(SQLITE_CORRUPT | SQLITE_NOTADB) => Self::Damaged,
            _ => Self::Database(error),
        }
    }
}
