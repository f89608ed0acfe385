//! Fetches recordings from Discord's content network, and from nowhere else.

use std::time::Duration;

use futures_util::StreamExt;
use url::Url;

use super::intake;
use super::trouble::Trouble;
use super::wire::Wire;
use crate::flow::front::FetchError;
use crate::flow::order::Attachment;
use crate::store::Job;
use audio::{AudioError, Recording, Spool};
use net::{self, NetError, RetryPolicy};

/// Where attachments lie.
const HOSTS: [&str; 2] = ["cdn.discordapp.com", "media.discordapp.net"];

/// The longest time without a byte.
pub(super) const STALL: Duration = Duration::from_secs(30);

/// Fetches `recording`, at most `limit` bytes of it. An address that has expired is renewed once
/// from the message that the recording hangs on.
pub(super) async fn fetch(
    http: &reqwest::Client,
    wire: &Wire,
    job: &Job,
    recording: &Attachment,
    limit: u64,
) -> Result<Recording, FetchError> {
    if recording.bytes > limit {
        return Err(FetchError::TooLarge(limit));
    }
    match download(http, &recording.url, &recording.name, limit).await {
        Err(FetchError::Gone) => {
            let url = fresh_address(wire, job, recording)
                .await
                .ok_or(FetchError::Gone)?;
            tracing::info!(job = job.id.0, attachment = recording.id, "address renewed");
            download(http, &url, &recording.name, limit).await
        }
        other => other,
    }
}

async fn fresh_address(wire: &Wire, job: &Job, recording: &Attachment) -> Option<String> {
    let message = match wire.message(job.order.channel, recording.message?).await {
        Ok(message) => message,
        Err(Trouble::Gone(_)) => return None,
        Err(trouble) => {
            tracing::warn!(job = job.id.0, %trouble, "no fresh address");
            return None;
        }
    };
    intake::attached(&message)
        .find(|(attached, _)| attached.id.get() == recording.id)
        .map(|(attached, _)| attached.url.clone())
}

async fn download(
    http: &reqwest::Client,
    url: &str,
    name: &str,
    limit: u64,
) -> Result<Recording, FetchError> {
    let url = Url::parse(url).map_err(|_| FetchError::Elsewhere)?;
    let known = url.host_str().is_some_and(|host| HOSTS.contains(&host));
    if url.scheme() != "https" || !known || url.port().is_some() {
        return Err(FetchError::Elsewhere);
    }
    // A file that could not be written is nothing that the network can mend, so it travels inside.
    let fetched = net::retrying(&RetryPolicy::default(), NetError::retry, || {
        spool(http, &url, name, limit)
    })
    .await;
    match fetched {
        Ok(inner) => inner,
        Err(error)
            if matches!(
                error.http_status().map(|s| s.as_u16()),
                Some(403 | 404 | 410)
            ) =>
        {
            Err(FetchError::Gone)
        }
        Err(error) => Err(FetchError::Net(error)),
    }
}

async fn spool(
    http: &reqwest::Client,
    url: &Url,
    name: &str,
    limit: u64,
) -> Result<Result<Recording, FetchError>, NetError> {
    let answer = http.get(url.clone()).send().await?;
    let answer = net::check_status(answer).await?;
    if answer.content_length().is_some_and(|length| length > limit) {
        return Ok(Err(FetchError::TooLarge(limit)));
    }
    let mut spool = match Spool::new(limit) {
        Ok(spool) => spool,
        Err(error) => return Ok(Err(not_spooled(error))),
    };
    let mut bytes = answer.bytes_stream();
    while let Some(piece) = bytes.next().await {
        if let Err(error) = spool.write(&piece?) {
            return Ok(Err(not_spooled(error)));
        }
    }
    Ok(spool.finish(name).map_err(not_spooled))
}

fn not_spooled(error: AudioError) -> FetchError {
    match error {
        AudioError::TooManyBytes { limit } => FetchError::TooLarge(limit),
        AudioError::Unreadable(error) => FetchError::Disk(error),
        other => FetchError::Disk(std::io::Error::other(other)),
    }
}
