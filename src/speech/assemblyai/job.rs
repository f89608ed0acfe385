//! One job on the provider's side: created, asked for, and removed in the end.

use std::time::Duration;

use reqwest::Method;

use super::api::{Api, send, send_only};
use super::wire::{Created, Heard, JobRequest, plausible_id};
use net::{
    Cause, MAX_BODY, NetError, Retry, RetryPolicy, plain_id, read_body, read_json, retrying,
};

/// A job that exists at the provider. Unless it is kept or has been deleted, dropping it deletes
/// it from a task of its own.
pub(super) struct Job {
    client: JobClient,
    id: String,
    leave: bool,
}

/// What every request about a job needs. Cloning is cheap.
#[derive(Clone)]
pub(super) struct JobClient {
    pub(super) api: Api,
    pub(super) retry: RetryPolicy,
    /// The limit of one request.
    pub(super) request: Duration,
    /// The limit of a deletion with its retries.
    pub(super) cleanup: Duration,
    pub(super) keep: bool,
}

impl JobClient {
    /// Creates a job (`POST /v2/transcript`).
    ///
    /// The request runs as a task of its own, so that a job which comes into being after nobody
    /// wants it any more is deleted too: the task's unclaimed result is dropped.
    pub(super) async fn create(&self, body: JobRequest) -> Result<Job, NetError> {
        let client = self.clone();
        let task = tokio::spawn(async move {
            let created: Created =
                retrying(&client.retry, NetError::retry, || client.post(&body)).await?;
            if !plausible_id(&created.id) {
                return Err(NetError::Malformed {
                    what: "the job's id is not one".into(),
                });
            }
            Ok(Job {
                leave: client.keep,
                id: created.id,
                client,
            })
        });
        task.await.unwrap_or_else(|error| {
            Err(NetError::Malformed {
                what: Cause::of(&error),
            })
        })
    }

    async fn post(&self, body: &JobRequest) -> Result<Created, NetError> {
        let request = self
            .api
            .request(Method::POST, &["v2", "transcript"], self.request)?
            .json(body);
        let answer = async { read_json(send(request).await?).await }.await;
        if let Err(error) = &answer
            && error.http_status().is_none()
            && !matches!(error, NetError::Connect(_) | NetError::KeyUnsendable)
        {
            tracing::warn!(%error, "a job may exist at AssemblyAI whose id never arrived");
        }
        answer
    }
}

impl Job {
    /// The id, for the log.
    pub(super) fn id(&self) -> String {
        for_log(&self.id)
    }

    /// How the job is now. A poll that fails is repeated within the retry policy, also after no
    /// answer came in time.
    pub(super) async fn poll(&self) -> Result<Heard, NetError> {
        let worth_it = |error: &NetError| match error {
            NetError::TimedOut(_) => Retry::WithBackoff,
            error => error.retry(),
        };
        let body = retrying(&self.client.retry, worth_it, || async {
            let request = self.client.api.request(
                Method::GET,
                &["v2", "transcript", &self.id],
                self.client.request,
            )?;
            read_body(send(request).await?, MAX_BODY).await
        })
        .await?;
        // Hours of speech are megabytes of JSON.
        tokio::task::spawn_blocking(move || {
            serde_json::from_slice(&body).map_err(|error| NetError::malformed(&error))
        })
        .await
        .unwrap_or_else(|error| {
            Err(NetError::Malformed {
                what: Cause::of(&error),
            })
        })
    }

    /// Removes transcript and upload (`DELETE /v2/transcript/{id}`), unless they are to be kept.
    /// A failure is logged and no error: the words are here.
    pub(super) async fn finish(mut self) {
        if !self.leave {
            // From here on the drop guard must not delete a second time, unless this future
            // itself is dropped.
            delete(&self.client, &self.id).await;
            self.leave = true;
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if self.leave {
            return;
        }
        let (client, id) = (self.client.clone(), std::mem::take(&mut self.id));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(async move { delete(&client, &id).await });
            }
            Err(_) => tracing::warn!(
                id = for_log(&id),
                "transcript left at AssemblyAI: no runtime to delete it"
            ),
        }
    }
}

/// An id as the log may know it: AssemblyAI's look like ids, and what doesn't may be anything.
fn for_log(id: &str) -> String {
    plain_id(id).unwrap_or_else(|| format!("{} bytes", id.len()))
}

async fn delete(client: &JobClient, id: &str) {
    let attempts = retrying(&client.retry, NetError::retry, || async {
        let request =
            client
                .api
                .request(Method::DELETE, &["v2", "transcript", id], client.request)?;
        send_only(request).await
    });
    let outcome = tokio::time::timeout(client.cleanup, attempts).await;
    let id = for_log(id);
    match outcome {
        Ok(Ok(())) => tracing::debug!(%id, "transcript deleted at AssemblyAI"),
        Ok(Err(error)) => {
            tracing::warn!(%id, %error, "transcript left at AssemblyAI: it can't be deleted");
        }
        Err(_) => tracing::warn!(%id, "transcript left at AssemblyAI: no answer in time"),
    }
}
