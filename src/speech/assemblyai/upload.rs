//! `POST /v2/upload`: the original goes out as a stream, in constant memory.

use std::io::{self, Read, Take};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method};
use tokio::sync::watch;
use tokio::time::Instant;

use super::api::{Api, send};
use super::pace::upload_limit;
use super::wire::Uploaded;
use crate::speech::{Observer, Progress};
use audio::{FileReader, Recording};
use net::{NetError, read_json};

/// The most bytes that are uploaded: the published 2.2 GB.
pub(super) const MAX_UPLOAD: u64 = 2_200_000_000;

/// Bytes read from the file at a time.
const CHUNK: usize = 64 * 1024;

/// What is uploaded.
#[derive(Clone)]
pub(super) enum Source {
    /// A file as somebody made it.
    File(Recording),
    /// A WAV file made from samples.
    Wav(Bytes),
}

/// How long an upload may take.
pub(super) struct UploadLimits {
    pub(super) stall: Duration,
    pub(super) slowest: u64,
}

/// Why there is no result though nothing failed.
pub(super) enum Interrupted {
    /// Nothing moved for [`UploadLimits::stall`].
    Stalled,
    /// The file has more bytes than [`MAX_UPLOAD`].
    TooLarge,
}

/// Uploads `source` once, from its beginning, and returns the address the provider gave it. That
/// address is only ever handed back to the provider.
pub(super) async fn upload(
    api: &Api,
    source: &Source,
    limits: &UploadLimits,
    observer: &dyn Observer,
) -> Result<Result<String, Interrupted>, NetError> {
    let (sent, mut seen) = watch::channel(0_u64);
    let read_error = Arc::new(Mutex::new(None));
    let (body, total) = match source {
        Source::Wav(bytes) => (bytes_body(bytes.clone(), sent), bytes.len() as u64),
        Source::File(recording) => {
            let file = recording.open().map_err(NetError::Upload)?;
            let total = file.length().map_err(NetError::Upload)?;
            if total > MAX_UPLOAD {
                return Ok(Err(Interrupted::TooLarge));
            }
            // A file that grows meanwhile is sent up to the length that was announced.
            let body = file_body(pieces(file.take(total)), sent, read_error.clone());
            (body, total)
        }
    };
    let limit = upload_limit(limits.stall, total, limits.slowest);
    let request = api
        .request(Method::POST, &["v2", "upload"], limit)?
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_LENGTH, total)
        .body(body);
    let exchange = async { read_json::<Uploaded>(send(request).await?).await };
    tokio::pin!(exchange);

    observer.progressed(Progress::Uploading { sent: 0, total });
    let mut deadline = Instant::now() + limits.stall;
    let mut sending = true;
    loop {
        tokio::select! {
            biased;
            outcome = &mut exchange => {
                if outcome.is_ok() {
                    observer.progressed(Progress::Uploading { sent: total, total });
                }
                let failed_read = read_error.lock().ok().and_then(|mut slot| slot.take());
                return match (outcome, failed_read) {
                    (Ok(uploaded), _) => Ok(Ok(uploaded.upload_url)),
                    (Err(_), Some(read)) => Err(NetError::Upload(read)),
                    (Err(error), None) => Err(error),
                };
            }
            changed = seen.changed(), if sending => {
                // An error means that the body is gone: sent, or given up by the exchange.
                sending = changed.is_ok();
                let sent = (*seen.borrow_and_update()).min(total);
                observer.progressed(Progress::Uploading { sent, total });
                deadline = Instant::now() + limits.stall;
            }
            () = tokio::time::sleep_until(deadline) => return Ok(Err(Interrupted::Stalled)),
        }
    }
}

fn bytes_body(bytes: Bytes, sent: watch::Sender<u64>) -> Body {
    let chunks = futures_util::stream::unfold(bytes, |mut rest| async move {
        let chunk = rest.split_to(rest.len().min(CHUNK));
        (!chunk.is_empty()).then_some((Ok(chunk), rest))
    });
    Body::wrap_stream(counted(chunks, sent))
}

/// A file piece by piece, read where reading may block.
fn pieces(file: Take<FileReader>) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    futures_util::stream::unfold(Some(file), |file| async move {
        let mut file = file?;
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; CHUNK];
            let length = file.read(&mut piece)?;
            piece.truncate(length);
            Ok((Bytes::from(piece), file))
        });
        match read
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
        {
            Ok((piece, _)) if piece.is_empty() => None,
            Ok((piece, file)) => Some((Ok(piece), Some(file))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// A failure to read is kept in `slot`, since the HTTP client only reports a broken request.
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
    Body::wrap_stream(counted(chunks, sent))
}

fn counted(
    chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    sent: watch::Sender<u64>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    chunks.inspect(move |chunk| {
        if let Ok(chunk) = chunk {
            sent.send_modify(|sent| *sent += chunk.len() as u64);
        }
    })
}
