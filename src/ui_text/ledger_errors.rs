//! The ledger and its key.

use std::path::Path;

use super::io_error_cause;
use crate::store::StoreError;

/// A new encryption key was generated.
pub fn key_generated(path: &Path) -> String {
    format!(
        "Stored text is encrypted with a new key in {}. Keep a copy of it away from the ledger: \
         without it, nothing stored can be read again.",
        path.display()
    )
}

/// Why the ledger can't be opened or used.
pub fn ledger_error(error: &StoreError) -> String {
    match error {
        StoreError::InUse => "Another Talkback is using this ledger. Stop it first, or set \
             TALKBACK_DATA to a folder of its own."
            .to_owned(),
        StoreError::WrongKey => "The ledger was written with another key. Set TALKBACK_KEY to the \
             key it was written with, or TALKBACK_DATA to an empty folder."
            .to_owned(),
        StoreError::BadKey => {
            "The ledger's key is not 32 bytes in Base64. Make one with `openssl rand -base64 32`."
                .to_owned()
        }
        StoreError::KeyMissing { path } => format!(
            "The ledger is here, but its key {} is missing. Restore it from your backup, or set \
             TALKBACK_DATA to an empty folder.",
            path.display()
        ),
        StoreError::KeyUnusable { path } => format!(
            "The key of the ledger in {} is empty, cut off or not a key at all. Restore it from \
             your backup: nothing in the ledger can be read without it. If you have no backup, set \
             TALKBACK_DATA to an empty folder.",
            path.display()
        ),
        StoreError::DiskFull => "There is no space left for the ledger. Make room, or set \
             TALKBACK_DATA to another folder."
            .to_owned(),
        StoreError::Damaged => "The ledger is damaged. Restore it from your backup, or set \
             TALKBACK_DATA to an empty folder."
            .to_owned(),
        StoreError::Disk { path, source } => format!(
            "{} can't be used ({}). Check its permissions, or set TALKBACK_DATA to another folder.",
            path.display(),
            io_error_cause(source)
        ),
        StoreError::NoRandomness => "This system can't provide random numbers, so nothing can be \
             encrypted. Check that /dev/urandom exists."
            .to_owned(),
        StoreError::Database(_) => {
            "The ledger can't be used right now. Try again; the log says why.".to_owned()
        }
        StoreError::Migration(_) => "The ledger was written by another version of Talkback. Use \
             that version or a newer one."
            .to_owned(),
    }
}
