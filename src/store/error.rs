//! What can go wrong with the ledger.

use std::io;
use std::path::{Path, PathBuf};

/// Why the ledger can't be used. Never holds anything that is stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("another process uses this ledger")]
    InUse,
    /// It was written with another key.
    #[error("the ledger was written with another key")]
    WrongKey,
    /// The key is no key.
    #[error("the key is not 32 bytes in Base64")]
    BadKey,
    /// The ledger is here, its key is not.
    #[error("the key {} is missing", path.display())]
    KeyMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file of the key holds none: it is empty, cut off, or something else.
    #[error("the key {} is none", path.display())]
    KeyUnusable {
        /// Where it is.
        path: PathBuf,
    },
    /// There is no space left.
    #[error("the disk is full")]
    DiskFull,
    /// A row or the whole file is not what was written.
    #[error("the ledger is damaged")]
    Damaged,
    /// The operating system refuses.
    #[error("{}: {source}", path.display())]
    Disk {
        /// What it refuses.
        path: PathBuf,
        /// How.
        source: io::Error,
    },
    /// The system has no random numbers to give.
    #[error("no random numbers")]
    NoRandomness,
    /// Whatever else the database says.
    #[error("database: {0}")]
    Database(#[source] sqlx::Error),
    /// The file was written by a newer version, or can't be brought up to date.
    #[error("migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

/// SQLite's result codes, <https://sqlite.org/rescode.html>; the lower byte is the primary one.
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
