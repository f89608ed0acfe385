//! Uploads and transcription jobs, as long as they are kept.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::media;
use super::transcript_params;
use super::transcript_script::{self, ScriptedSpeech, TimedWord};
use crate::recorder::RecordedBody;

/// The most uploads and the most jobs that are kept.
pub(super) const MAX_STORED: usize = 10_000;

/// A file somebody uploaded. Of a large one only the beginning is there.
#[derive(Clone, Debug)]
pub(super) struct UploadedFile {
    prefix: Bytes,
    bytes: Option<Bytes>,
    length: u64,
}

impl From<&RecordedBody> for UploadedFile {
    fn from(body: &RecordedBody) -> Self {
        Self {
            prefix: body.prefix.clone(),
            bytes: body.hash.is_none().then(|| body.bytes.clone()),
            length: body.length,
        }
    }
}

impl UploadedFile {
    fn is_media(&self) -> bool {
        media::is_media(&self.prefix)
    }

    fn duration(&self) -> Duration {
        media::duration(&self.prefix, self.bytes.as_deref(), self.length)
    }
}

#[derive(Debug, Default)]
pub(super) struct JobStore {
    pub(super) uploads: HashMap<String, UploadedFile>,
    pub(super) jobs: HashMap<String, StoredJob>,
    /// Ids in the order of creation.
    pub(super) order: Vec<String>,
}

/// One transcription.
#[derive(Clone, Debug)]
pub(super) struct StoredJob {
    pub(super) id: String,
    pub(super) audio_url: String,
    pub(super) upload_id: Option<String>,
    pub(super) params: Map<String, Value>,
    pub(super) created: Instant,
    pub(super) created_at: String,
    pub(super) polls_left: u32,
    pub(super) was_polled: bool,
    pub(super) processing_time: Duration,
    pub(super) outcome: TranscriptOutcome,
    pub(super) language: String,
    pub(super) model_used: Option<String>,
    pub(super) is_deleted: bool,
}

/// What becomes of a job.
#[derive(Clone, Debug)]
pub(super) enum TranscriptOutcome {
    Transcript {
        said: ScriptedSpeech,
        clip: Duration,
    },
    Error(String),
}

/// Where a job is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum JobStatus {
    Queued,
    Processing,
    Completed,
    Error,
}

impl JobStatus {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Error => "error",
        }
    }
}

impl TranscriptOutcome {
    /// What becomes of this upload: its words, or what the service says of a file without sound.
    pub(super) fn for_upload(
        upload: &UploadedFile,
        lasts: Option<Duration>,
        said: impl FnOnce() -> ScriptedSpeech,
    ) -> Self {
        if upload.length == 0 || !upload.is_media() {
            return Self::Error(
                "Transcoding failed. File does not appear to contain audio. File type is application/octet-stream (data).".to_owned(),
            );
        }
        let clip = lasts.unwrap_or_else(|| upload.duration());
        if clip < Duration::from_millis(160) {
            return Self::Error("Audio duration is too short.".to_owned());
        }
        if clip > Duration::from_secs(10 * 3_600) {
            return Self::Error("Audio duration is too long.".to_owned());
        }
        Self::Transcript { said: said(), clip }
    }
}

impl StoredJob {
    /// Where the job is now.
    pub(super) fn status(&self) -> JobStatus {
        if self.polls_left > 0 || self.created.elapsed() < self.processing_time {
            return if self.was_polled {
                JobStatus::Processing
            } else {
                JobStatus::Queued
            };
        }
        match self.outcome {
            TranscriptOutcome::Transcript { .. } => JobStatus::Completed,
            TranscriptOutcome::Error(_) => JobStatus::Error,
        }
    }

    /// One look at the job, which moves the scripted ones on: with `polls_before_done(n)`, the
    /// first `n` looks find it unfinished, the first of several still `queued`.
    pub(super) fn poll(&mut self) -> JobStatus {
        let queued = !self.was_polled && self.polls_left != 1;
        let status = match self.status() {
            JobStatus::Queued | JobStatus::Processing if !queued => JobStatus::Processing,
            status => status,
        };
        self.was_polled = true;
        self.polls_left = self.polls_left.saturating_sub(1);
        status
    }

    pub(super) fn is_enabled(&self, name: &str) -> bool {
        self.params
            .get(name)
            .and_then(Value::as_bool)
            .unwrap_or(false)
    }

    pub(super) fn words(&self) -> Vec<TimedWord> {
        match &self.outcome {
            TranscriptOutcome::Transcript { said, clip } if !self.is_deleted => {
                transcript_script::time_words(said, clip.as_millis() as u64)
            }
            _ => Vec::new(),
        }
    }

    /// The transcript object with this status.
    pub(super) fn to_json(&self, status: JobStatus) -> Value {
        let params = |name: &str| self.params.get(name).cloned().unwrap_or(Value::Null);
        let mut wire = json!({
            "id": self.id,
            "language_model": "assemblyai_default",
            "acoustic_model": "assemblyai_default",
            "language_code": params("language_code"),
            "language_detection": self.is_enabled("language_detection"),
            "language_confidence_threshold": params("language_confidence_threshold"),
            "language_confidence": null,
            "speech_model": null,
            "speech_models": params("speech_models"),
            "speech_model_used": null,
            "status": status.name(),
            "audio_url": self.audio_url,
            "text": null,
            "words": null,
            "utterances": null,
            "confidence": null,
            "audio_duration": null,
            "punctuate": self.params.get("punctuate").cloned().unwrap_or(true.into()),
            "format_text": self.params.get("format_text").cloned().unwrap_or(true.into()),
            "multichannel": null,
            "webhook_url": null,
            "webhook_status_code": null,
            "webhook_auth": false,
            "auto_highlights": false,
            "redact_pii": false,
            "summarization": false,
            "speaker_labels": self.is_enabled("speaker_labels"),
            "keyterms_prompt": params("keyterms_prompt"),
        });
        match (&self.outcome, status) {
            (TranscriptOutcome::Error(message), JobStatus::Error) => {
                wire["error"] = message.as_str().into();
            }
            (TranscriptOutcome::Transcript { said, clip }, JobStatus::Completed) => {
                self.add_transcript(&mut wire, said, *clip);
            }
            _ => {}
        }
        wire
    }

    fn add_transcript(&self, wire: &mut Value, said: &ScriptedSpeech, clip: Duration) {
        let labels = self.is_enabled("speaker_labels");
        let words = self.words();
        let language = match self.params.get("language_code").and_then(Value::as_str) {
            Some(code) => code,
            None => &self.language,
        };
        wire["text"] = said.full_text().into();
        wire["words"] = words.iter().map(|word| word.to_json(labels)).collect();
        wire["confidence"] = transcript_script::mean_confidence(&words).into();
        wire["audio_duration"] = (clip.as_secs_f64().round() as u64).into();
        wire["language_code"] = language.into();
        wire["speech_model_used"] = match &self.model_used {
            Some(model) => model.as_str().into(),
            None => transcript_params::model_for(&self.params, language).into(),
        };
        if self.is_enabled("language_detection") {
            wire["language_confidence"] = 0.98.into();
        }
        if labels {
            wire["utterances"] = utterances(&words);
        }
    }

    /// What is left of it after a deletion, as published.
    pub(super) fn delete(&mut self) {
        self.is_deleted = true;
        self.audio_url = "http://deleted_by_user".to_owned();
        self.upload_id = None;
        self.params.clear();
        self.outcome = match self.outcome {
            TranscriptOutcome::Transcript { clip, .. } => TranscriptOutcome::Transcript {
                said: ScriptedSpeech::default(),
                clip,
            },
            TranscriptOutcome::Error(_) => TranscriptOutcome::Error(String::new()),
        };
        self.polls_left = 0;
        self.processing_time = Duration::ZERO;
    }

    /// The object of a deleted transcript.
    pub(super) fn deleted_json(&self) -> Value {
        let mut wire = self.to_json(JobStatus::Completed);
        for field in [
            "words",
            "utterances",
            "confidence",
            "language_code",
            "punctuate",
            "format_text",
        ] {
            wire[field] = Value::Null;
        }
        wire["text"] = "Deleted by user.".into();
        wire["webhook_url"] = "http://deleted_by_user".into();
        wire
    }
}

/// Stretches of one speaker.
fn utterances(words: &[TimedWord]) -> Value {
    words
        .chunk_by(|one, next| one.speaker == next.speaker)
        .filter_map(|stretch| {
            let (first, last) = (stretch.first()?, stretch.last()?);
            let text: Vec<&str> = stretch.iter().map(|word| word.text.as_str()).collect();
            Some(json!({
                "speaker": first.speaker,
                "text": text.join(" "),
                "start": first.start,
                "end": last.end,
                "confidence": transcript_script::mean_confidence(stretch),
                "words": stretch.iter().map(|word| word.to_json(true)).collect::<Vec<_>>(),
            }))
        })
        .collect()
}
