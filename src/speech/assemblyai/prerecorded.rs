//! AssemblyAI pre-recorded: upload, job, poll, delete.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::Method;
use tokio::time::Instant;

use super::api::{Api, send_only};
use super::errors::{job_failure, job_request_error, speech_error};
use super::hints::{job_key_terms, languages};
use super::job::{Job, JobClient};
use super::models;
use super::pace::{PollPace, job_limit};
use super::upload::{Interrupted, MAX_UPLOAD, Source, UploadLimits, upload};
use super::wire::{Heard, JobRequest, LanguageDetectionOptions, Status};
use super::{Settings, sync};
use crate::speech::{
    Capabilities, Hints, Input, Observer, Progress, SpeechError, Transcriber, Transcript,
};
use audio::Clip;
use net::{Cause, NetError, Retry, retrying};

const NAME: &str = "AssemblyAI upload";

/// Transcribes clips of 160 ms to 10 h, up to 2.2 GB, with the asynchronous API (`/v2`).
///
/// The original is uploaded as it is; a clip that never was a file goes as WAV. The transcript
/// is deleted at the provider when it is here, when the job failed or took too long, and, from a
/// detached task of bounded length, when the future is dropped. Two things can leave one behind:
/// a process that ends at that very moment, and an answer to the creation that never arrives.
/// Both are logged where there is still somebody to log. [`Settings::keep_transcripts`] turns
/// deletion off.
pub struct PrerecordedTranscriber {
    client: JobClient,
    models: Vec<String>,
    upload: UploadLimits,
    pace: PollPace,
    job_allowance: Duration,
    capabilities: Capabilities,
}

impl PrerecordedTranscriber {
    /// A transcriber that talks to [`Settings::api_base`]. Makes no request.
    pub fn new(http: reqwest::Client, settings: &Settings) -> Self {
        Self {
            client: JobClient {
                api: Api::new(http, &settings.api_base, &settings.key),
                retry: settings.retry.clone(),
                request: settings.request,
                cleanup: settings.cleanup,
                keep: settings.keep_transcripts,
            },
            models: settings.prerecorded_models.clone(),
            upload: UploadLimits {
                stall: settings.upload_stall,
                slowest: settings.slowest_upload,
            },
            pace: settings.poll.clone(),
            job_allowance: settings.job_allowance,
            capabilities: Capabilities {
                name: NAME,
                input: Input::Either,
                shortest: Duration::from_millis(160),
                longest: Duration::from_secs(10 * 60 * 60),
                word_times: true,
                languages: models::languages_of_all(&settings.prerecorded_models),
            },
        }
    }

    /// Sends the clip; every try begins with its first byte.
    async fn upload(
        &self,
        source: &Source,
        observer: &dyn Observer,
    ) -> Result<String, SpeechError> {
        // A 422 at the upload is published as worth another try.
        let worth_it = |error: &NetError| match error.http_status() {
            Some(status) if status.as_u16() == 422 => Retry::WithBackoff,
            _ => error.retry(),
        };
        let uploaded = retrying(&self.client.retry, worth_it, || {
            upload(&self.client.api, source, &self.upload, observer)
        })
        .await
        .map_err(|error| speech_error(error, self.upload.stall))?;
        uploaded.map_err(|interrupted| match interrupted {
            Interrupted::Stalled => SpeechError::TimedOut(self.upload.stall),
            Interrupted::TooLarge => {
                tracing::info!(limit = MAX_UPLOAD, "the file is too large for AssemblyAI");
                SpeechError::Unsuitable
            }
        })
    }

    fn request(&self, audio_url: String, hints: &Hints) -> JobRequest {
        let languages = languages(&hints.languages, self.capabilities.languages);
        let mut request = JobRequest {
            audio_url,
            speech_models: self.models.clone(),
            language_code: None,
            language_detection: None,
            language_detection_options: None,
            keyterms_prompt: job_key_terms(&hints.key_terms),
        };
        if let [language] = &languages[..] {
            request.language_code = Some(language.clone());
        } else {
            request.language_detection = Some(true);
            request.language_detection_options =
                (!languages.is_empty()).then_some(LanguageDetectionOptions {
                    expected_languages: languages,
                });
        }
        request
    }

    /// Which model was at work, where it says: the first on the list, one that stands in for it, or,
    /// once all of them are retired, one that nobody asked for.
    fn log_model(&self, heard: &Heard) {
        let Some(used) = heard.speech_model_used.as_deref() else {
            return;
        };
        match self.models.iter().find(|model| *model == used) {
            Some(model) => tracing::debug!(%model, "written down at AssemblyAI"),
            None => tracing::warn!(
                "AssemblyAI used none of the models in ASSEMBLYAI_PRERECORDED_MODELS, as it does \
                 when they are retired"
            ),
        }
    }

    /// Asks until the job is done. `None`: done, and there was nothing to hear.
    async fn wait(
        &self,
        job: &Job,
        clip: Duration,
        observer: &dyn Observer,
    ) -> Result<Option<Heard>, SpeechError> {
        let limit = job_limit(self.job_allowance, clip);
        let polling = async {
            for poll in 0_u32.. {
                tokio::time::sleep(self.pace.wait(clip, poll)).await;
                let answer = job
                    .poll()
                    .await
                    .map_err(|error| job_request_error(error, self.client.request))?;
                match answer.status {
                    Some(Status::Queued) => observer.progressed(Progress::Queued),
                    Some(Status::Processing | Status::Unknown) => {
                        observer.progressed(Progress::Processing);
                    }
                    Some(Status::Completed) => return Ok(Some(answer)),
                    None => {
                        return Err(SpeechError::Unavailable(NetError::Malformed {
                            what: "no status in it".into(),
                        }));
                    }
                    Some(Status::Error) => {
                        let message = answer.error.unwrap_or_default();
                        return job_failure(&message).map_or(Ok(None), Err);
                    }
                }
            }
            Err(SpeechError::TimedOut(limit))
        };
        tokio::time::timeout(limit, polling)
            .await
            .unwrap_or(Err(SpeechError::TimedOut(limit)))
    }
}

#[async_trait]
impl Transcriber for PrerecordedTranscriber {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Ends within the time limits of [`Settings`]: the upload's, the creation's, the job's
    /// ([`Settings::job_allowance`] and half the clip's length) and the deletion's.
    async fn transcribe(
        &self,
        clip: &Clip,
        hints: &Hints,
        observer: &dyn Observer,
    ) -> Result<Transcript, SpeechError> {
        if !self.capabilities.takes(clip) {
            return Err(SpeechError::Unsuitable);
        }
        let source = match (clip.original(), clip.pcm()) {
            (Some(original), _) => Source::File(original.clone()),
            (None, Some(pcm)) => Source::Wav(sync::wav(pcm.clone()).await),
            (None, None) => return Err(SpeechError::Unsuitable),
        };
        observer.started(NAME);
        let begun = Instant::now();
        let audio_url = self.upload(&source, observer).await?;
        let uploaded = begun.elapsed();
        // A job that nobody waits for any more may still be done.
        observer.charged();
        let created = self.client.create(self.request(audio_url, hints)).await;
        if created.as_ref().is_err_and(NetError::did_nothing) {
            observer.refunded();
        }
        let job = created.map_err(|error| job_request_error(error, self.client.request))?;
        observer.progressed(Progress::Queued);
        tracing::debug!(id = job.id(), ?uploaded, "job created at AssemblyAI");
        let heard = self.wait(&job, clip.duration(), observer).await;
        tracing::debug!(id = job.id(), elapsed = ?begun.elapsed(), ok = heard.is_ok(), "job over");
        job.finish().await;
        if let Err(
            SpeechError::Failed { .. } | SpeechError::BadAudio { .. } | SpeechError::Refused { .. },
        ) = &heard
        {
            // Transcripts with an error are not billed.
            observer.refunded();
        }
        let heard = heard?.unwrap_or_default();
        self.log_model(&heard);
        let duration = clip.duration();
        let made = tokio::task::spawn_blocking(move || heard.into_transcript(NAME, duration)).await;
        made.map_err(|error| {
            SpeechError::Unavailable(NetError::Malformed {
                what: Cause::of(&error),
            })
        })
    }

    /// Lists one transcript (`GET /v2/transcript?limit=1`): this checks the key, changes
    /// nothing and costs nothing.
    async fn probe(&self) -> Result<(), SpeechError> {
        let limit = self.client.request;
        let exchange = async {
            let request = self
                .client
                .api
                .request(Method::GET, &["v2", "transcript"], limit)?
                .query(&[("limit", "1")]);
            send_only(request).await
        };
        match exchange.await {
            Ok(()) => Ok(()),
            Err(error) => Err(job_request_error(error, limit)),
        }
    }
}
