//! `POST /v2/upload`: streams the original file in constant memory.

use std::io::{self, Read, Take};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method};
use tokio::sync::watch;
use tokio::time::Instant;

use super::api_client::{ApiClient, send_checked};
use super::poll_schedule::upload_timeout;
use super::wire::UploadResponse;
use crate::speech::{TranscriptionObserver, TranscriptionProgress};
use audio::{FileReader, Recording};
use net::{NetError, read_json};

/// The largest accepted upload: the published 2.2 GB.
pub(super) const MAX_UPLOAD_BYTES: u64 = 2_200_000_000;

/// Bytes read from the file at a time.
const CHUNK: usize = 64 * 1024;

/// What is uploaded.
#[derive(Clone)]
pub(super) enum UploadSource {
    /// The original file.
    File(Recording),
    /// A WAV file encoded from samples.
    Wav(Bytes),
}

/// How slow an upload may be.
pub(super) struct FileUploadLimits {
    pub(super) stall_timeout: Duration,
    pub(super) min_bytes_per_second: u64,
}

/// Why an upload was given up although nothing failed.
pub(super) enum UploadAborted {
    /// No byte was sent for [`FileUploadLimits::stall_timeout`].
    Stalled,
    /// The file is larger than [`MAX_UPLOAD_BYTES`].
    TooLarge,
}

/// Uploads `source` once, from its beginning, and returns the URL that the provider assigned. That
/// URL is only ever passed back to the provider.
pub(super) async fn upload_once(
    api: &ApiClient,
    source: &UploadSource,
    limits: &FileUploadLimits,
    observer: &dyn TranscriptionObserver,
) -> Result<Result<String, UploadAborted>, NetError> {
    let (sent, mut progress) = watch::channel(0_u64);
    let read_error = Arc::new(Mutex::new(None));
    let (body, total) = match source {
        UploadSource::Wav(bytes) => (bytes_body(bytes.clone(), sent), bytes.len() as u64),
        UploadSource::File(recording) => {
            let file = recording.open().map_err(NetError::Upload)?;
            let total = file.length().map_err(NetError::Upload)?;
            if total > MAX_UPLOAD_BYTES {
                return Ok(Err(UploadAborted::TooLarge));
            }
            // A file that grows meanwhile is cut at the announced length.
            let body = file_body(file_chunks(file.take(total)), sent, read_error.clone());
            (body, total)
        }
    };
    let limit = upload_timeout(limits.stall_timeout, total, limits.min_bytes_per_second);
    let request = api
        .request(Method::POST, &["v2", "upload"], limit)?
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_LENGTH, total)
        .body(body);
    let exchange = async { read_json::<UploadResponse>(send_checked(request).await?).await };
    tokio::pin!(exchange);

    observer.on_progress(TranscriptionProgress::Uploading { sent: 0, total });
    let mut deadline = Instant::now() + limits.stall_timeout;
    let mut sending = true;
    loop {
        tokio::select! {
            biased;
            outcome = &mut exchange => {
                if outcome.is_ok() {
                    observer.on_progress(TranscriptionProgress::Uploading { sent: total, total });
                }
                let failed_read = read_error.lock().ok().and_then(|mut slot| slot.take());
                return match (outcome, failed_read) {
                    (Ok(uploaded), _) => Ok(Ok(uploaded.upload_url)),
                    (Err(_), Some(read)) => Err(NetError::Upload(read)),
                    (Err(error), None) => Err(error),
                };
            }
            changed = progress.changed(), if sending => {
                // An error means that the body was dropped: sent, or given up by the HTTP client.
                sending = changed.is_ok();
                let sent = (*progress.borrow_and_update()).min(total);
                observer.on_progress(TranscriptionProgress::Uploading { sent, total });
                deadline = Instant::now() + limits.stall_timeout;
            }
            () = tokio::time::sleep_until(deadline) => return Ok(Err(UploadAborted::Stalled)),
        }
    }
}

fn bytes_body(bytes: Bytes, sent: watch::Sender<u64>) -> Body {
    let chunks = futures_util::stream::unfold(bytes, |mut rest| async move {
        let chunk = rest.split_to(rest.len().min(CHUNK));
        (!chunk.is_empty()).then_some((Ok(chunk), rest))
    });
    Body::wrap_stream(count_sent_bytes(chunks, sent))
}

/// Reads a file in chunks on the blocking thread pool.
fn file_chunks(file: Take<FileReader>) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    futures_util::stream::unfold(Some(file), |file| async move {
        let mut file = file?;
        let read = tokio::task::spawn_blocking(move || {
            let mut chunk = vec![0; CHUNK];
            let length = file.read(&mut chunk)?;
            chunk.truncate(length);
            Ok((Bytes::from(chunk), file))
        });
        match read
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
        {
            Ok((chunk, _)) if chunk.is_empty() => None,
            Ok((chunk, file)) => Some((Ok(chunk), Some(file))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// Keeps a read error in `slot`, since the HTTP client reports only that the request failed.
fn file_body(
    chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    sent: watch::Sender<u64>,
    slot: Arc<Mutex<Option<io::Error>>>,
) -> Body {
    let chunks = chunks.map(move |chunk| {
        chunk.map_err(|error| {
            let kind = error.kind();
            if let Ok(mut slot) = slot.lock() {
                *slot = Some(error);
            }
            io::Error::from(kind)
        })
    });
    Body::wrap_stream(count_sent_bytes(chunks, sent))
}

fn count_sent_bytes(
    chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    sent: watch::Sender<u64>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    chunks.inspect(move |chunk| {
        if let Ok(chunk) = chunk {
            sent.send_modify(|sent| *sent += chunk.len() as u64);
        }
    })
}
