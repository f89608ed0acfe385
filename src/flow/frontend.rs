//! The interface between the job runner and the place where jobs come from and answers go.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::job_spec::{Attachment, JobSpec, RecordingTranscript};
use super::usage_rules::AdmissionDecision;
use super::{PipelineError, Reply};
use crate::chat::FinishReason;
use crate::store::{Job, StoreError, StoredTurn};
use audio::Recording;
use net::{ErrorCause, NetError};

/// The place where jobs come from: Discord.
#[async_trait]
pub trait Frontend: Send + Sync {
    /// Downloads a recording of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// See [`FetchError`]. Transient failures have been retried already.
    async fn fetch_recording(
        &self,
        job: &Job,
        recording: &Attachment,
        limit: u64,
    ) -> Result<Recording, FetchError>;

    /// Turns up to `message` that the ledger does not know: the message and what it replies to,
    /// oldest first, as far as the bot can read them. At most a handful.
    async fn fetch_earlier_turns(&self, job: &Job, message: u64) -> Vec<StoredTurn>;

    /// How long until the answer can no longer be posted; `None` if there is no such limit.
    fn reply_expires_in(&self, source: u64, spec: &JobSpec) -> Option<Duration>;

    /// Deletes the shown reply of a job that was stopped.
    async fn delete_reply(&self, job: &Job, spec: &JobSpec);

    /// Opens the reply to `job`, continuing one that is already there. `is_new` says that none can
    /// exist yet.
    async fn open_reply(
        &self,
        job: &Job,
        spec: &JobSpec,
        is_new: bool,
    ) -> Result<Arc<dyn JobReply>, StoreError>;
}

/// The reply to one job.
#[async_trait]
pub trait JobReply: Reply {
    /// Waits until the progress message is posted. Nothing is paid for before that.
    ///
    /// # Errors
    ///
    /// If it can't be posted, or that could not be found out for a long time.
    async fn wait_until_posted(&self) -> Result<(), DeliveryError>;

    /// Waits until the reply can no longer be posted, and returns why. Never returns while it can.
    async fn wait_until_lost(&self) -> ErrorCause;

    /// Tells the user that a cap is reached and local engines do the work.
    fn notify_local_engines(&self);

    /// Shows the transcripts so far, one per recording.
    fn show_saved_transcripts(&self, transcripts: &[RecordingTranscript]);

    /// Replaces everything shown so far with the complete outcome. Returns the first message of it,
    /// if there is one. May be called again, even by a later process: existing messages are edited,
    /// not duplicated.
    ///
    /// # Errors
    ///
    /// See [`DeliveryError`].
    async fn deliver(&self, outcome: &JobOutcome) -> Result<Option<u64>, DeliveryError>;

    /// Discards the answer text shown so far: the answer starts over.
    fn restart_answer(&self);

    /// Deletes all messages of the reply. Call [`JobReply::stop_updates`] first.
    async fn delete_messages(&self);

    /// Stops updating the reply. A message that is being sent is completed and recorded first.
    async fn stop_updates(&self);

    /// Looks for messages that were being sent when the connection broke, so that the ledger knows
    /// all of them. Call only after [`JobReply::stop_updates`].
    ///
    /// # Errors
    ///
    /// See [`DeliveryError`].
    async fn reconcile_sends(&self) -> Result<(), DeliveryError>;
}

/// How a job ended.
#[derive(Debug)]
pub enum JobOutcome {
    /// With an answer.
    Answered {
        /// Transcripts of the recordings.
        transcripts: Vec<RecordingTranscript>,
        /// The answer.
        answer: super::AnswerText,
        /// Why the model stopped.
        end_reason: FinishReason,
        /// Notice that must accompany every answer of this model.
        model_notice: Option<&'static str>,
    },
    /// With transcripts only.
    Transcribed {
        /// Transcripts of the recordings.
        transcripts: Vec<RecordingTranscript>,
    },
    /// With an error message.
    Failed {
        /// Transcripts made before the failure.
        transcripts: Vec<RecordingTranscript>,
        /// Why it failed.
        failure: JobFailure,
    },
    /// Stopped because the author has asked something else.
    Superseded,
}

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
pub enum JobFailure {
    /// The recording, a provider or the model.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The recording can't be fetched.
    #[error("fetch: {0}")]
    Fetch(#[from] FetchError),
    /// The usage rules don't allow it.
    #[error("not allowed: {0:?}")]
    NotAdmitted(AdmissionDecision),
    /// The answer can't be posted.
    #[error("the answer can't be posted")]
    Undeliverable,
    /// The answer can soon no longer be posted.
    #[error("the reply is about to expire")]
    ReplyExpiring,
    /// The stored request can't be read.
    #[error("the stored request can't be read")]
    Unreadable,
    /// It was started too often without finishing.
    #[error("begun {0} times")]
    TooManyAttempts(u32),
}

/// Why a recording can't be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It was deleted, or its URL has expired and no fresh one is available.
    #[error("the recording is gone")]
    Gone,
    /// It is larger than this many bytes.
    #[error("larger than {0} bytes")]
    TooLarge(u64),
    /// Its URL is not on Discord's CDN.
    #[error("not a URL of Discord's CDN")]
    NotCdnUrl,
    /// The network failed.
    #[error("network: {0}")]
    Net(#[source] NetError),
    /// The temporary file can't be written.
    #[error("temporary file: {0}")]
    Disk(#[source] std::io::Error),
}

/// Why an outcome was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The channel is gone, the bot may not write there, or the reply was deleted. Retrying makes
    /// no sense.
    #[error("the reply can't be posted: {0}")]
    TargetGone(ErrorCause),
    /// The channel is there, but does not accept this content.
    #[error("rejected: {0}")]
    Rejected(ErrorCause),
    /// The question was deleted, and no event told the bot.
    #[error("the request is gone")]
    Withdrawn,
    /// It was retried for long enough for now.
    #[error("not reachable: {0}")]
    RetryLater(ErrorCause),
    /// The ledger failed.
    #[error("ledger: {0}")]
    Store(#[from] StoreError),
}
