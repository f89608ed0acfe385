//! What the flow asks of the place where orders come from and answers go.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::order::{Attachment, Note, Order};
use super::rules::Verdict;
use super::{Failure, Reply};
use crate::chat::EndReason;
use crate::store::{Job, StoreError, Turn};
use audio::Recording;
use net::{Cause, NetError};

/// The place where orders come from: Discord.
#[async_trait]
pub trait Front: Send + Sync {
    /// Fetches a recording, at most `limit` bytes of it.
    ///
    /// # Errors
    ///
    /// See [`FetchError`]. What can be mended by trying again has been tried again.
    async fn fetch(
        &self,
        job: &Job,
        recording: &Attachment,
        limit: u64,
    ) -> Result<Recording, FetchError>;

    /// What was said up to `message` where the ledger does not know it: the message itself and
    /// what it replies to, oldest first, as far as it can be read. At most a handful.
    async fn earlier(&self, job: &Job, message: u64) -> Vec<Turn>;

    /// How long from now on the answer to an order has a place, if it is going to lose it.
    fn closes_in(&self, source: u64, order: &Order) -> Option<Duration>;

    /// Takes away what is shown of a job that is not to be done any more.
    async fn take_away(&self, job: &Job, order: &Order);

    /// Where the answer to `job` appears. Whatever of it is there already is gone on with; with
    /// `fresh` nobody can have begun it.
    async fn reply(
        &self,
        job: &Job,
        order: &Order,
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
    async fn stands(&self) -> Result<(), DeliveryError>;

    /// Waits until it turns out that the reply has no place any more, and says why. Never returns
    /// where it has one.
    async fn lost(&self) -> Cause;

    /// A cap is reached, and the engines of this machine do the work.
    fn smaller_engines(&self);

    /// What has been heard so far, recording by recording.
    fn noted(&self, notes: &[Note]);

    /// Puts the outcome in place of everything that was shown, whole. Returns the first message of
    /// it where there is one. It may be called again, also by another process later: what is
    /// there is edited, not doubled.
    ///
    /// # Errors
    ///
    /// See [`DeliveryError`].
    async fn deliver(&self, outcome: &Outcome) -> Result<Option<u64>, DeliveryError>;

    /// Begins anew with the answer: what was shown of it goes.
    fn anew(&self);

    /// Deletes all that was shown, after [`JobReply::abandon`].
    async fn take_away(&self);

    /// Shows nothing more. What is being sent at the moment is sent and written down first.
    async fn abandon(&self);

    /// Finds what was being sent when nothing came back, so that the ledger knows all there is.
    /// Only once it is abandoned.
    ///
    /// # Errors
    ///
    /// See [`DeliveryError`].
    async fn settle(&self) -> Result<(), DeliveryError>;
}

/// How an order ended.
#[derive(Debug)]
pub enum Outcome {
    /// With an answer.
    Answered {
        /// What was heard for it.
        notes: Vec<Note>,
        /// The answer.
        answer: super::Answer,
        /// How the answer ended.
        end: EndReason,
        /// What must accompany every answer of this model.
        notice: Option<&'static str>,
    },
    /// With the words of the recordings.
    Transcribed {
        /// The words.
        notes: Vec<Note>,
    },
    /// With a sentence.
    Failed {
        /// What was heard before.
        notes: Vec<Note>,
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
    Flow(#[from] Failure),
    /// The recording can't be fetched.
    #[error("fetch: {0}")]
    Fetch(#[from] FetchError),
    /// The rules are against it.
    #[error("not allowed: {0:?}")]
    Rules(Verdict),
    /// There is no place for the answer.
    #[error("no place")]
    NoPlace,
    /// There will soon be no place for the answer.
    #[error("out of time")]
    OutOfTime,
    /// The order can't be read any more.
    #[error("the order can't be read")]
    Unreadable,
    /// It was begun too often without coming to an end.
    #[error("begun {0} times")]
    GivenUp(u32),
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
    Elsewhere,
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
    Nowhere(Cause),
    /// The place is there, and does not take this text.
    #[error("not taken: {0}")]
    Refused(Cause),
    /// Whoever asked has deleted the question, and nobody told us.
    #[error("the request is gone")]
    Withdrawn,
    /// It has been tried for long enough for now.
    #[error("not reachable for long: {0}")]
    Later(Cause),
    /// The ledger.
    #[error("ledger: {0}")]
    Store(#[from] StoreError),
}
