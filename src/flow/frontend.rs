//! What the flow asks of the place where orders come from and answers go.

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

/// The place where orders come from: Discord.
#[async_trait]
pub trait Frontend: Send + Sync {
    /// Fetches a recording, at most `limit` bytes of it.
    ///
    /// # Errors
    ///
    /// See [`FetchError`]. What can be mended by trying again has been tried again.
    async fn fetch_recording(
        &self,
        job: &Job,
        recording: &Attachment,
        limit: u64,
    ) -> Result<Recording, FetchError>;

    /// What was said up to `message` where the ledger does not know it: the message itself and
    /// what it replies to, oldest first, as far as it can be read. At most a handful.
    async fn fetch_earlier_turns(&self, job: &Job, message: u64) -> Vec<StoredTurn>;

    /// How long from now on the answer to an order has a place, if it is going to lose it.
    fn reply_expires_in(&self, source: u64, order: &JobSpec) -> Option<Duration>;

    /// Takes away what is shown of a job that is not to be done any more.
    async fn delete_reply(&self, job: &Job, order: &JobSpec);

    /// Where the answer to `job` appears. Whatever of it is there already is gone on with; with
    /// `fresh` nobody can have begun it.
    async fn open_reply(
        &self,
        job: &Job,
        order: &JobSpec,
        fresh: bool,
    ) -> Result<Arc<dyn JobReply>, StoreError>;
}

/// Where one job's answer appears.
#[async_trait]
pub trait JobReply: Reply {
    /// Waits until the reply has a place: what shows progress stands there. Nobody is paid before.
    ///
    /// # Errors
    ///
    /// That there is no place, or that nobody could find out for a long time.
    async fn wait_until_posted(&self) -> Result<(), DeliveryError>;

    /// Waits until it turns out that the reply has no place any more, and says why. Never returns
    /// where it has one.
    async fn wait_until_lost(&self) -> ErrorCause;

    /// A cap is reached, and the engines of this machine do the work.
    fn notify_local_engines(&self);

    /// What has been heard so far, recording by recording.
    fn show_saved_transcripts(&self, notes: &[RecordingTranscript]);

    /// Puts the outcome in place of everything that was shown, whole. Returns the first message of
    /// it where there is one. It may be called again, also by another process later: what is
    /// there is edited, not doubled.
    ///
    /// # Errors
    ///
    /// See [`DeliveryError`].
    async fn deliver(&self, outcome: &JobOutcome) -> Result<Option<u64>, DeliveryError>;

    /// Begins anew with the answer: what was shown of it goes.
    fn restart_answer(&self);

    /// Deletes all that was shown, after [`JobReply::abandon`].
    async fn delete_messages(&self);

    /// Shows nothing more. What is being sent at the moment is sent and written down first.
    async fn stop_updates(&self);

    /// Finds what was being sent when nothing came back, so that the ledger knows all there is.
    /// Only once it is abandoned.
    ///
    /// # Errors
    ///
    /// See [`DeliveryError`].
    async fn reconcile_sends(&self) -> Result<(), DeliveryError>;
}

/// How an order ended.
#[derive(Debug)]
pub enum JobOutcome {
    /// With an answer.
    Answered {
        /// What was heard for it.
        transcripts: Vec<RecordingTranscript>,
        /// The answer.
        answer: super::AnswerText,
        /// How the answer ended.
        end: FinishReason,
        /// What must accompany every answer of this model.
        model_notice: Option<&'static str>,
    },
    /// With the words of the recordings.
    Transcribed {
        /// The words.
        transcripts: Vec<RecordingTranscript>,
    },
    /// With a sentence.
    Failed {
        /// What was heard before.
        transcripts: Vec<RecordingTranscript>,
        /// Why there is no more.
        failure: JobFailure,
    },
    /// In the middle: whoever asked has asked something else since.
    Superseded,
}

/// Why an order can't be done.
#[derive(Debug, thiserror::Error)]
pub enum JobFailure {
    /// The recording, a provider or the model.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The recording can't be fetched.
    #[error("fetch: {0}")]
    Fetch(#[from] FetchError),
    /// The rules are against it.
    #[error("not allowed: {0:?}")]
    NotAdmitted(AdmissionDecision),
    /// There is no place for the answer.
    #[error("no place")]
    Undeliverable,
    /// There will soon be no place for the answer.
    #[error("out of time")]
    ReplyExpiring,
    /// The order can't be read any more.
    #[error("the order can't be read")]
    Unreadable,
    /// It was begun too often without coming to an end.
    #[error("begun {0} times")]
    TooManyAttempts(u32),
}

/// Why a recording can't be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It is no longer there, or its address has expired and there is no fresh one.
    #[error("the recording is gone")]
    Gone,
    /// It is larger than this.
    #[error("larger than {0} bytes")]
    TooLarge(u64),
    /// It does not lie where recordings lie.
    #[error("not an address of the content network")]
    NotCdnUrl,
    /// The network.
    #[error("network: {0}")]
    Net(#[source] NetError),
    /// The temporary file can't be written.
    #[error("temporary file: {0}")]
    Disk(#[source] std::io::Error),
}

/// Why an outcome is not where it belongs.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// There is no place for it: the channel is gone, the bot may not write there, or somebody has
    /// deleted the reply. It makes no sense to try again.
    #[error("no place for the reply: {0}")]
    TargetGone(ErrorCause),
    /// The place is there, and does not take this text.
    #[error("not taken: {0}")]
    Rejected(ErrorCause),
    /// Whoever asked has deleted the question, and nobody told us.
    #[error("the request is gone")]
    Withdrawn,
    /// It has been tried for long enough for now.
    #[error("not reachable for long: {0}")]
    RetryLater(ErrorCause),
    /// The ledger.
    #[error("ledger: {0}")]
    Store(#[from] StoreError),
}
