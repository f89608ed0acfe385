//! AssemblyAI: over HTTP [`SyncTranscriber`] for clips up to two minutes, one request each, and
//! [`PrerecordedTranscriber`] for anything longer (upload, job, poll); over WebSockets
//! [`StreamingTranscriber`] for speech while it is spoken.
//!
//! All send the key as `Authorization: <key>`, without `Bearer`, in a header marked sensitive.
//! Wire formats: the published OpenAPI file of the pre-recorded API and the Sync reference
//! (`docs/api-reference/sync-api`).

mod api;
mod errors;
mod hints;
mod hosts;
mod job;
pub mod models;
mod pace;
mod prerecorded;
mod streaming;
mod sync;
mod sync_live;
mod upload;
mod wire;

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use net::RetryPolicy;

pub use hosts::{Hosts, Region};
pub use pace::PollPace;
pub use prerecorded::PrerecordedTranscriber;
pub use streaming::{StreamingSettings, StreamingTranscriber};
pub use sync::SyncTranscriber;

/// Where AssemblyAI is, who asks, and how long anything may take.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The API key.
    pub key: SecretString,
    /// Base of the pre-recorded API.
    pub api_base: Url,
    /// Base of the Sync API.
    pub sync_base: Url,
    /// The model Sync is asked for (`X-AAI-Model`). Default: [`models::SYNC`].
    pub sync_model: String,
    /// The models a pre-recorded job is offered, the preferred one first.
    /// Default: [`models::PRERECORDED`].
    pub prerecorded_models: Vec<String>,
    /// Whether transcripts stay with AssemblyAI. Default: false, they are deleted (with the
    /// upload) once they are here. Undeleted ones are kept by the provider for 30 days, or as long
    /// as the account says.
    pub keep_transcripts: bool,
    /// How often a failed request is tried again. 500 and 504 from Sync are tried once more at
    /// most, as published.
    pub retry: RetryPolicy,
    /// The time limit of one Sync request. Default: 45 s; the server's own limit is 30 s, the
    /// rest is for sending up to 3.9 MB.
    pub sync_request: Duration,
    /// The time limit of one clip through Sync, with retries and waits. Default: 90 s.
    pub sync_total: Duration,
    /// The time limit of one small request: create, poll, delete, warm, probe. Default: 15 s.
    pub request: Duration,
    /// How long an upload may go without a byte being taken, and how long its answer may take
    /// after the last byte. Default: 60 s.
    pub upload_stall: Duration,
    /// The slowest upload that is waited for, in bytes a second: the whole upload may take
    /// [`upload_stall`](Self::upload_stall) and this. Default: 32 KiB/s.
    pub slowest_upload: u64,
    /// How often a job is asked for.
    pub poll: PollPace,
    /// How long a job may take: this and half the clip's length. Default: 3 min. The provider
    /// needs a minute or so for an hour.
    pub job_allowance: Duration,
    /// How long the caller waits for the transcript to be deleted, with retries. Default: 5 s.
    pub cleanup: Duration,
    /// Live sessions.
    pub streaming: StreamingSettings,
}

impl Settings {
    /// The defaults, in no region of our choosing.
    pub fn new(key: SecretString) -> Self {
        Self::in_region(Region::default(), key)
    }

    /// The defaults at the hosts of `region`.
    pub fn in_region(region: Region, key: SecretString) -> Self {
        let hosts = Hosts::of(region);
        Self {
            key,
            api_base: hosts.api,
            sync_base: hosts.sync,
            sync_model: models::SYNC.to_owned(),
            prerecorded_models: models::PRERECORDED
                .iter()
                .map(|&model| model.to_owned())
                .collect(),
            keep_transcripts: false,
            retry: RetryPolicy::default(),
            sync_request: Duration::from_secs(45),
            sync_total: Duration::from_secs(90),
            request: Duration::from_secs(15),
            upload_stall: Duration::from_secs(60),
            slowest_upload: 32 * 1024,
            poll: PollPace::default(),
            job_allowance: Duration::from_secs(180),
            cleanup: Duration::from_secs(5),
            streaming: StreamingSettings::at(hosts.streaming),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stays_out_of_debug() {
        let key = "0123456789abcdef";
        let settings = Settings::new(key.into());
        assert!(!format!("{settings:?}").contains(key));
    }
}
