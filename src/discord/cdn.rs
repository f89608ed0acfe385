//! Downloads recordings from Discord's CDN, and from nowhere else.

use std::time::Duration;

use futures_util::StreamExt;
use url::Url;

use super::api_error::ApiError;
use super::attachments;
use super::discord_api::DiscordApi;
use crate::flow::frontend::FetchError;
use crate::flow::job_spec::Attachment;
use crate::store::Job;
use audio::{AudioError, Recording, Spool};
use net::{self, NetError, RetryPolicy};

/// Hosts that serve attachments.
const CDN_HOSTS: [&str; 2] = ["cdn.discordapp.com", "media.discordapp.net"];

/// Time limit without receiving a byte.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Downloads `recording`, at most `limit` bytes of it. An expired URL is renewed once, from the
/// message that the recording is attached to.
pub(super) async fn fetch_recording(
    http: &reqwest::Client,
    api: &DiscordApi,
    job: &Job,
    recording: &Attachment,
    limit: u64,
) -> Result<Recording, FetchError> {
    if recording.bytes > limit {
        return Err(FetchError::TooLarge(limit));
    }
    match download(http, &recording.url, &recording.name, limit).await {
        Err(FetchError::Gone) => {
            let url = refreshed_url(api, job, recording)
                .await
                .ok_or(FetchError::Gone)?;
            tracing::info!(job = job.id.0, attachment = recording.id, "address renewed");
            download(http, &url, &recording.name, limit).await
        }
        other => other,
    }
}

async fn refreshed_url(api: &DiscordApi, job: &Job, recording: &Attachment) -> Option<String> {
    let message = match api
        .get_message(job.details.channel, recording.message?)
        .await
    {
        Ok(message) => message,
        Err(ApiError::NotFound(_)) => return None,
        Err(error) => {
            tracing::warn!(job = job.id.0, trouble = %error, "no fresh address");
            return None;
        }
    };
    attachments::attachments_with_voice_flag(&message)
        .find(|(attached, _)| attached.id.get() == recording.id)
        .map(|(attached, _)| attached.url.clone())
}

async fn download(
    http: &reqwest::Client,
    url: &str,
    name: &str,
    limit: u64,
) -> Result<Recording, FetchError> {
    let url = Url::parse(url).map_err(|_| FetchError::NotCdnUrl)?;
    let is_cdn_host = url.host_str().is_some_and(|host| CDN_HOSTS.contains(&host));
    if url.scheme() != "https" || !is_cdn_host || url.port().is_some() {
        return Err(FetchError::NotCdnUrl);
    }
    // A failed write to disk is no reason to retry the request, so that error is passed through
    // `Ok`.
    let fetched = net::with_retries(&RetryPolicy::default(), NetError::retry_advice, || {
        download_to_spool(http, &url, name, limit)
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

async fn download_to_spool(
    http: &reqwest::Client,
    url: &Url,
    name: &str,
    limit: u64,
) -> Result<Result<Recording, FetchError>, NetError> {
    let response = http.get(url.clone()).send().await?;
    let response = net::check_status(response).await?;
    if response
        .content_length()
        .is_some_and(|length| length > limit)
    {
        return Ok(Err(FetchError::TooLarge(limit)));
    }
    let mut spool = match Spool::new(limit) {
        Ok(spool) => spool,
        Err(error) => return Ok(Err(spool_error(error))),
    };
    let mut bytes = response.bytes_stream();
    while let Some(chunk) = bytes.next().await {
        if let Err(error) = spool.write(&chunk?) {
            return Ok(Err(spool_error(error)));
        }
    }
    Ok(spool.finish(name).map_err(spool_error))
}

fn spool_error(error: AudioError) -> FetchError {
    match error {
        AudioError::TooManyBytes { limit } => FetchError::TooLarge(limit),
        AudioError::Unreadable(error) => FetchError::Disk(error),
        other => FetchError::Disk(std::io::Error::other(other)),
    }
}
