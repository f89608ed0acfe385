//! AssemblyAI's pre-recorded API: upload, create a job, poll, delete.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::Method;
use tokio::time::Instant;

use super::api_client::{ApiClient, send_discarding_body};
use super::error_mapping::{audio_request_error, failed_job_error, job_request_error};
use super::file_upload::{
    FileUploadLimits, MAX_UPLOAD_BYTES, UploadAborted, UploadSource, upload_once,
};
use super::hints::{job_key_terms, supported_languages};
use super::poll_schedule::{PollSchedule, job_timeout};
use super::settings::AssemblyAiSettings;
use super::speech_models;
use super::sync;
use super::transcription_job::{TranscriptionJob, TranscriptionJobClient};
use super::wire::{
    CreateJobRequest, LanguageDetectionOptions, TranscriptResponse, TranscriptStatus,
};
use crate::speech::{
    Capabilities, Hints, SpeechError, Transcriber, TranscriberInput, Transcript,
    TranscriptionObserver, TranscriptionProgress,
};
use audio::Clip;
use net::{ErrorCause, NetError, RetryAdvice, with_retries};

const PROVIDER_NAME: &str = "AssemblyAI upload";

/// Transcribes clips of 160 ms to 10 h, up to 2.2 GB, with the asynchronous API (`/v2`).
///
/// The original file is uploaded as it is; a clip that never was a file is sent as WAV. The
/// transcript is deleted at the provider once it was received, if the job failed or timed out, and,
/// from a detached task with a time limit, if the future is dropped. A transcript can be left
/// behind if the process ends at that moment, or if the response to its creation never arrives;
/// both are logged where possible. [`AssemblyAiSettings::keep_transcripts`] turns deletion off.
pub struct PrerecordedTranscriber {
    client: TranscriptionJobClient,
    models: Vec<String>,
    upload_limits: FileUploadLimits,
    poll_schedule: PollSchedule,
    job_base_timeout: Duration,
    capabilities: Capabilities,
}

impl PrerecordedTranscriber {
    /// A transcriber for [`AssemblyAiSettings::api_base`]. Makes no request.
    pub fn new(http: reqwest::Client, settings: &AssemblyAiSettings) -> Self {
        Self {
            client: TranscriptionJobClient {
                api: ApiClient::new(http, &settings.api_base, &settings.key),
                retry: settings.retry.clone(),
                request_timeout: settings.request_timeout,
                cleanup_timeout: settings.cleanup_timeout,
                keep_transcripts: settings.keep_transcripts,
            },
            models: settings.prerecorded_models.clone(),
            upload_limits: FileUploadLimits {
                stall_timeout: settings.upload_stall_timeout,
                min_bytes_per_second: settings.min_upload_bytes_per_second,
            },
            poll_schedule: settings.poll_schedule.clone(),
            job_base_timeout: settings.job_base_timeout,
            capabilities: Capabilities {
                name: PROVIDER_NAME,
                input: TranscriberInput::Either,
                min_duration: Duration::from_millis(160),
                max_duration: Duration::from_secs(10 * 60 * 60),
                word_timestamps: true,
                languages: speech_models::combined_languages(&settings.prerecorded_models),
            },
        }
    }

    /// Uploads the clip; every retry starts again from the first byte.
    async fn upload(
        &self,
        source: &UploadSource,
        observer: &dyn TranscriptionObserver,
    ) -> Result<String, SpeechError> {
        // A 422 for an upload is documented as worth a retry.
        let retry_advice = |error: &NetError| match error.http_status() {
            Some(status) if status.as_u16() == 422 => RetryAdvice::WithBackoff,
            _ => error.retry_advice(),
        };
        let uploaded = with_retries(&self.client.retry, retry_advice, || {
            upload_once(&self.client.api, source, &self.upload_limits, observer)
        })
        .await
        .map_err(|error| audio_request_error(error, self.upload_limits.stall_timeout))?;
        uploaded.map_err(|aborted| match aborted {
            UploadAborted::Stalled => SpeechError::TimedOut(self.upload_limits.stall_timeout),
            UploadAborted::TooLarge => {
                tracing::info!(
                    limit = MAX_UPLOAD_BYTES,
                    "the file is too large for AssemblyAI"
                );
                SpeechError::UnsupportedClip
            }
        })
    }

    fn job_request(&self, audio_url: String, hints: &Hints) -> CreateJobRequest {
        let languages = supported_languages(&hints.languages, self.capabilities.languages);
        let mut request = CreateJobRequest {
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

    /// Logs which model was used, if the response says so: the first on the list, a fallback, or,
    /// if all of them are retired, one that was not requested.
    fn log_model(&self, response: &TranscriptResponse) {
        let Some(used) = response.speech_model_used.as_deref() else {
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

    /// Polls until the job is done. `None`: done, but without any speech.
    async fn wait_for_completion(
        &self,
        job: &TranscriptionJob,
        clip: Duration,
        observer: &dyn TranscriptionObserver,
    ) -> Result<Option<TranscriptResponse>, SpeechError> {
        let limit = job_timeout(self.job_base_timeout, clip);
        let polling = async {
            for poll in 0_u32.. {
                tokio::time::sleep(self.poll_schedule.delay_before_poll(clip, poll)).await;
                let answer = job
                    .poll()
                    .await
                    .map_err(|error| job_request_error(error, self.client.request_timeout))?;
                match answer.status {
                    Some(TranscriptStatus::Queued) => {
                        observer.on_progress(TranscriptionProgress::Queued);
                    }
                    Some(TranscriptStatus::Processing | TranscriptStatus::Unknown) => {
                        observer.on_progress(TranscriptionProgress::Processing);
                    }
                    Some(TranscriptStatus::Completed) => return Ok(Some(answer)),
                    None => {
                        return Err(SpeechError::Unavailable(NetError::Malformed {
                            what: "the response has no status".into(),
                        }));
                    }
                    Some(TranscriptStatus::Error) => {
                        let message = answer.error.unwrap_or_default();
                        return failed_job_error(&message).map_or(Ok(None), Err);
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

    /// Ends within the time limits of [`AssemblyAiSettings`] for the upload, the creation, the job
    /// ([`AssemblyAiSettings::job_base_timeout`] plus half the clip's length) and the deletion.
    async fn transcribe(
        &self,
        clip: &Clip,
        hints: &Hints,
        observer: &dyn TranscriptionObserver,
    ) -> Result<Transcript, SpeechError> {
        if !self.capabilities.accepts(clip) {
            return Err(SpeechError::UnsupportedClip);
        }
        let source = match (clip.recording(), clip.pcm()) {
            (Some(original), _) => UploadSource::File(original.clone()),
            (None, Some(pcm)) => UploadSource::Wav(sync::encode_wav(pcm.clone()).await),
            (None, None) => return Err(SpeechError::UnsupportedClip),
        };
        observer.on_start(PROVIDER_NAME);
        let started = Instant::now();
        let audio_url = self.upload(&source, observer).await?;
        let uploaded = started.elapsed();
        // The provider may complete a job even after the caller gave up on it.
        observer.on_charge();
        let created = self.client.create(self.job_request(audio_url, hints)).await;
        if created.as_ref().is_err_and(NetError::is_unbilled) {
            observer.on_refund();
        }
        let job = created.map_err(|error| job_request_error(error, self.client.request_timeout))?;
        observer.on_progress(TranscriptionProgress::Queued);
        tracing::debug!(
            id = job.loggable_id(),
            ?uploaded,
            "job created at AssemblyAI"
        );
        let response = self
            .wait_for_completion(&job, clip.duration(), observer)
            .await;
        tracing::debug!(id = job.loggable_id(), elapsed = ?started.elapsed(), ok = response.is_ok(), "job over");
        job.finish().await;
        if let Err(
            SpeechError::JobFailed { .. }
            | SpeechError::BadAudio { .. }
            | SpeechError::Refused { .. },
        ) = &response
        {
            // Failed transcripts are not billed.
            observer.on_refund();
        }
        let response = response?.unwrap_or_default();
        self.log_model(&response);
        let duration = clip.duration();
        let transcript =
            tokio::task::spawn_blocking(move || response.into_transcript(PROVIDER_NAME, duration))
                .await;
        transcript.map_err(|error| {
            SpeechError::Unavailable(NetError::Malformed {
                what: ErrorCause::from_error(&error),
            })
        })
    }

    /// Lists one transcript (`GET /v2/transcript?limit=1`), which checks the key, changes nothing
    /// and costs nothing.
    async fn probe(&self) -> Result<(), SpeechError> {
        let limit = self.client.request_timeout;
        let exchange = async {
            let request = self
                .client
                .api
                .request(Method::GET, &["v2", "transcript"], limit)?
                .query(&[("limit", "1")]);
            send_discarding_body(request).await
        };
        match exchange.await {
            Ok(()) => Ok(()),
            Err(error) => Err(job_request_error(error, limit)),
        }
    }
}
