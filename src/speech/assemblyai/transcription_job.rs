//! A job at the provider: created, polled, and deleted in the end.

use std::time::Duration;

use reqwest::Method;

use super::api_client::{ApiClient, send_checked, send_discarding_body};
use super::wire::{CreateJobRequest, CreateJobResponse, TranscriptResponse, is_plausible_id};
use net::{
    ErrorCause, MAX_BODY, NetError, RetryAdvice, RetryPolicy, loggable_id, read_body, read_json,
    with_retries,
};

/// A job that exists at the provider. Dropping it deletes it in a detached task, unless it is to be
/// kept or was already deleted.
pub(super) struct TranscriptionJob {
    client: TranscriptionJobClient,
    id: String,
    keep_on_drop: bool,
}

/// What all requests about a job need. Cheap to clone.
#[derive(Clone)]
pub(super) struct TranscriptionJobClient {
    pub(super) api: ApiClient,
    pub(super) retry: RetryPolicy,
    /// Time limit of one request.
    pub(super) request_timeout: Duration,
    /// Time limit of a deletion with its retries.
    pub(super) cleanup_timeout: Duration,
    pub(super) keep_transcripts: bool,
}

impl TranscriptionJobClient {
    /// Creates a job (`POST /v2/transcript`).
    ///
    /// The request runs as a task of its own. If the caller is dropped meanwhile, the job is still
    /// deleted: the task's unclaimed result is dropped.
    pub(super) async fn create(
        &self,
        body: CreateJobRequest,
    ) -> Result<TranscriptionJob, NetError> {
        let client = self.clone();
        let task = tokio::spawn(async move {
            let created: CreateJobResponse =
                with_retries(&client.retry, NetError::retry_advice, || client.post(&body)).await?;
            if !is_plausible_id(&created.id) {
                return Err(NetError::Malformed {
                    what: "the job id is invalid".into(),
                });
            }
            Ok(TranscriptionJob {
                keep_on_drop: client.keep_transcripts,
                id: created.id,
                client,
            })
        });
        task.await.unwrap_or_else(|error| {
            Err(NetError::Malformed {
                what: ErrorCause::from_error(&error),
            })
        })
    }

    async fn post(&self, body: &CreateJobRequest) -> Result<CreateJobResponse, NetError> {
        let request = self
            .api
            .request(Method::POST, &["v2", "transcript"], self.request_timeout)?
            .json(body);
        let response = async { read_json(send_checked(request).await?).await }.await;
        if let Err(error) = &response
            && error.http_status().is_none()
            && !matches!(error, NetError::Connect(_) | NetError::InvalidKeyHeader)
        {
            tracing::warn!(%error, "a job may exist at AssemblyAI whose id never arrived");
        }
        response
    }
}

impl TranscriptionJob {
    /// The job's id, for the log.
    pub(super) fn loggable_id(&self) -> String {
        id_or_length(&self.id)
    }

    /// The job's current state. A failed poll is retried within the retry policy, and so is one
    /// that timed out.
    pub(super) async fn poll(&self) -> Result<TranscriptResponse, NetError> {
        let retry_advice = |error: &NetError| match error {
            NetError::TimedOut(_) => RetryAdvice::WithBackoff,
            error => error.retry_advice(),
        };
        let body = with_retries(&self.client.retry, retry_advice, || async {
            let request = self.client.api.request(
                Method::GET,
                &["v2", "transcript", &self.id],
                self.client.request_timeout,
            )?;
            read_body(send_checked(request).await?, MAX_BODY).await
        })
        .await?;
        // Hours of speech are megabytes of JSON.
        tokio::task::spawn_blocking(move || {
            serde_json::from_slice(&body).map_err(|error| NetError::malformed(&error))
        })
        .await
        .unwrap_or_else(|error| {
            Err(NetError::Malformed {
                what: ErrorCause::from_error(&error),
            })
        })
    }

    /// Deletes transcript and upload (`DELETE /v2/transcript/{id}`), unless they are to be kept. A
    /// failure is only logged: the transcript has already been received.
    pub(super) async fn finish(mut self) {
        if !self.keep_on_drop {
            // Only now may the drop guard skip the deletion: if this future is dropped earlier, the
            // guard deletes instead.
            delete_transcript(&self.client, &self.id).await;
            self.keep_on_drop = true;
        }
    }
}

impl Drop for TranscriptionJob {
    fn drop(&mut self) {
        if self.keep_on_drop {
            return;
        }
        let (client, id) = (self.client.clone(), std::mem::take(&mut self.id));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(async move { delete_transcript(&client, &id).await });
            }
            Err(_) => tracing::warn!(
                id = id_or_length(&id),
                "transcript left at AssemblyAI: no runtime to delete it"
            ),
        }
    }
}

/// The id if it looks like one of AssemblyAI's; otherwise only its length may be logged.
fn id_or_length(id: &str) -> String {
    loggable_id(id).unwrap_or_else(|| format!("{} bytes", id.len()))
}

async fn delete_transcript(client: &TranscriptionJobClient, id: &str) {
    let attempts = with_retries(&client.retry, NetError::retry_advice, || async {
        let request = client.api.request(
            Method::DELETE,
            &["v2", "transcript", id],
            client.request_timeout,
        )?;
        send_discarding_body(request).await
    });
    let outcome = tokio::time::timeout(client.cleanup_timeout, attempts).await;
    let id = id_or_length(id);
    match outcome {
        Ok(Ok(())) => tracing::debug!(%id, "transcript deleted at AssemblyAI"),
        Ok(Err(error)) => {
            tracing::warn!(%id, %error, "transcript left at AssemblyAI: it can't be deleted");
        }
        Err(_) => tracing::warn!(%id, "transcript left at AssemblyAI: no answer in time"),
    }
}
