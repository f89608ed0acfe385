//! The settings of AssemblyAI's APIs and their defaults.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::hosts::{Hosts, Region};
use super::poll_schedule::PollSchedule;
use super::speech_models;
use super::streaming::StreamingSettings;
use net::RetryPolicy;

/// Hosts, key, models and time limits for AssemblyAI.
#[derive(Clone, Debug)]
pub struct AssemblyAiSettings {
    /// The API key.
    pub key: SecretString,
    /// Base URL of the pre-recorded API.
    pub api_base: Url,
    /// Base URL of the Sync API.
    pub sync_base: Url,
    /// The model for Sync (`X-AAI-Model`). Default: [`speech_models::DEFAULT_SYNC_MODEL`].
    pub sync_model: String,
    /// The models for a pre-recorded job, in order of preference.
    /// Default: [`speech_models::DEFAULT_PRERECORDED_MODELS`].
    pub prerecorded_models: Vec<String>,
    /// Whether transcripts stay with AssemblyAI. Default: false; they are deleted (with the upload)
    /// once received. The provider keeps transcripts that aren't deleted for 30 days, or as long as
    /// the account's settings say.
    pub keep_transcripts: bool,
    /// How often a failed request is retried. 500 and 504 from Sync are retried at most once, as
    /// its documentation asks.
    pub retry: RetryPolicy,
    /// Time limit of one Sync request. Default: 45 s; the server's own limit is 30 s, the rest is
    /// for sending up to 3.9 MB.
    pub sync_request_timeout: Duration,
    /// Time limit of one clip through Sync, with retries and waits. Default: 90 s.
    pub sync_total_timeout: Duration,
    /// Time limit of one small request: create, poll, delete, prewarm, probe. Default: 15 s.
    pub request_timeout: Duration,
    /// How long an upload may go without sending a byte, and how long its response may take after
    /// the last byte. Default: 60 s.
    pub upload_stall_timeout: Duration,
    /// The slowest accepted upload, in bytes per second: the whole upload may take
    /// [`upload_stall_timeout`](Self::upload_stall_timeout) plus its size at this speed.
    /// Default: 32 KiB/s.
    pub min_upload_bytes_per_second: u64,
    /// How often a job is polled.
    pub poll_schedule: PollSchedule,
    /// Time limit of a job: this plus half the clip's length. Default: 3 min. The provider needs
    /// about a minute for an hour of audio.
    pub job_base_timeout: Duration,
    /// How long the caller waits for the transcript to be deleted, with retries. Default: 5 s.
    pub cleanup_timeout: Duration,
    /// Settings of live sessions.
    pub streaming: StreamingSettings,
}

impl AssemblyAiSettings {
    /// The defaults, without a region restriction.
    pub fn new(key: SecretString) -> Self {
        Self::in_region(Region::default(), key)
    }

    /// The defaults with the hosts of `region`.
    pub fn in_region(region: Region, key: SecretString) -> Self {
        let hosts = Hosts::for_region(region);
        Self {
            key,
            api_base: hosts.api,
            sync_base: hosts.sync,
            sync_model: speech_models::DEFAULT_SYNC_MODEL.to_owned(),
            prerecorded_models: speech_models::DEFAULT_PRERECORDED_MODELS
                .iter()
                .map(|&model| model.to_owned())
                .collect(),
            keep_transcripts: false,
            retry: RetryPolicy::default(),
            sync_request_timeout: Duration::from_secs(45),
            sync_total_timeout: Duration::from_secs(90),
            request_timeout: Duration::from_secs(15),
            upload_stall_timeout: Duration::from_secs(60),
            min_upload_bytes_per_second: 32 * 1024,
            poll_schedule: PollSchedule::default(),
            job_base_timeout: Duration::from_secs(180),
            cleanup_timeout: Duration::from_secs(5),
            streaming: StreamingSettings::for_base(hosts.streaming),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stays_out_of_debug() {
        let key = "0123456789abcdef";
        let settings = AssemblyAiSettings::new(key.into());
        assert!(!format!("{settings:?}").contains(key));
    }
}
