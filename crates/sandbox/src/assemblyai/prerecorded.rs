//! `/v2`: upload, transcribe, ask until it is done.

use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::jobs::{JobStatus, MAX_STORED, StoredJob, TranscriptOutcome, UploadedFile};
use super::{AssemblyAiState, errors, subtitles, transcript_params};
use crate::fault::Fault;
use crate::mock_response::MockResponse;
use crate::recorder::query_param;
use crate::request_handler::BufferedRequest;

/// 2.2 GB.
const MAX_UPLOAD: u64 = 2_200_000_000;

/// The host of uploaded files, which only the service itself can read.
const CDN: &str = "https://cdn.assemblyai.com/upload/";

pub(super) fn upload(state: &AssemblyAiState, request: &BufferedRequest) -> MockResponse {
    let content_type = request.media_type();
    if content_type
        .as_deref()
        .is_some_and(|media_type| media_type.starts_with("multipart/"))
    {
        return errors::api_error(
            StatusCode::BAD_REQUEST,
            "Upload the file as raw bytes, not as a form",
        );
    }
    if request.body.length == 0 {
        return errors::default_api_error(StatusCode::UNPROCESSABLE_ENTITY, None);
    }
    if request.body.length > MAX_UPLOAD {
        return errors::default_api_error(StatusCode::PAYLOAD_TOO_LARGE, None);
    }
    let id = state.next_id();
    let mut store = state.store();
    if store.uploads.len() >= MAX_STORED {
        store.uploads.clear();
    }
    store
        .uploads
        .insert(id.clone(), UploadedFile::from(&request.body));
    MockResponse::ok(&json!({"upload_url": format!("{CDN}{id}")}))
}

pub(super) fn create(
    state: &AssemblyAiState,
    request: &BufferedRequest,
    fault: &Fault,
) -> MockResponse {
    if request.media_type().as_deref() != Some("application/json") {
        return errors::api_error(
            StatusCode::BAD_REQUEST,
            "Content-Type must be application/json",
        );
    }
    let (audio_url, params) = match transcript_params::parse_params(&request.body.bytes) {
        Ok(read) => read,
        Err(refused) => return refused,
    };
    let id = state.next_id();
    let mut script = state.script();
    let mut store = state.store();
    let upload = audio_url.strip_prefix(CDN);
    let end = match upload {
        Some(upload) => match store.uploads.get(upload) {
            Some(upload) => {
                TranscriptOutcome::for_upload(upload, script.clip_duration, || script.next_speech())
            }
            None => return errors::default_api_error(StatusCode::FORBIDDEN, None),
        },
        // Nothing outside is fetched from here.
        None => TranscriptOutcome::Error(format!(
            "Download error, unable to access file at {audio_url}"
        )),
    };
    let end = match fault.job_error_message() {
        Some(message) => TranscriptOutcome::Error(message.to_owned()),
        None => end,
    };
    if let TranscriptOutcome::Transcript { clip, .. } = &end {
        let length = u64::try_from(clip.as_millis()).unwrap_or(0);
        state.billed_ms.fetch_add(length, Ordering::Relaxed);
    }
    let job = StoredJob {
        id: id.clone(),
        upload_id: upload.map(str::to_owned),
        audio_url,
        params,
        created: Instant::now(),
        created_at: state.timestamp(),
        polls_left: script.polls_before_done,
        was_polled: false,
        processing_time: script.processing_time,
        outcome: end,
        language: script.language.clone(),
        model_used: script.model_used.clone(),
        is_deleted: false,
    };
    if store.jobs.len() >= MAX_STORED {
        store.jobs.clear();
        store.order.clear();
    }
    let wire = job.to_json(JobStatus::Queued);
    store.order.push(id.clone());
    store.jobs.insert(id, job);
    MockResponse::ok(&wire)
}

fn not_found() -> MockResponse {
    errors::api_error(
        StatusCode::BAD_REQUEST,
        "Transcript lookup error, transcript id not found",
    )
}

pub(super) fn get(
    state: &AssemblyAiState,
    request: &BufferedRequest,
    fault: &Fault,
) -> MockResponse {
    let mut store = state.store();
    let Some(job) = store.jobs.get_mut(transcript_id(request)) else {
        return not_found();
    };
    if job.is_deleted {
        return MockResponse::ok(&job.deleted_json());
    }
    if let Some(message) = fault.job_error_message() {
        job.outcome = TranscriptOutcome::Error(message.to_owned());
        job.polls_left = 0;
        job.processing_time = std::time::Duration::ZERO;
    }
    let status = job.poll();
    MockResponse::ok(&job.to_json(status))
}

pub(super) fn delete(state: &AssemblyAiState, request: &BufferedRequest) -> MockResponse {
    let mut store = state.store();
    let Some(job) = store.jobs.get_mut(transcript_id(request)) else {
        return not_found();
    };
    let upload = job.upload_id.take();
    job.delete();
    let wire = job.deleted_json();
    if let Some(upload) = upload {
        store.uploads.remove(&upload);
    }
    MockResponse::ok(&wire)
}

pub(super) fn list(state: &AssemblyAiState, request: &BufferedRequest) -> MockResponse {
    let limit = query_param(request.query(), "limit").map_or(Some(10), |limit| limit.parse().ok());
    let Some(limit) = limit.filter(|limit| (1..=200).contains(limit)) else {
        return errors::api_error(StatusCode::BAD_REQUEST, "limit must be from 1 to 200");
    };
    let wanted = query_param(request.query(), "status");
    let store = state.store();
    let transcripts: Vec<Value> = store
        .order
        .iter()
        .rev()
        .filter_map(|id| store.jobs.get(id))
        .filter(|job| {
            wanted
                .as_deref()
                .is_none_or(|wanted| job.status().name() == wanted)
        })
        .take(limit)
        .map(|job| {
            let error = match (&job.outcome, job.status()) {
                (TranscriptOutcome::Error(message), JobStatus::Error) => Some(message),
                _ => None,
            };
            json!({
                "id": job.id,
                "resource_url": format!("https://api.assemblyai.com/v2/transcript/{}", job.id),
                "status": job.status().name(),
                "created": job.created_at,
                "completed": (job.status() == JobStatus::Completed).then_some(&job.created_at),
                "audio_url": job.audio_url,
                "error": error,
            })
        })
        .collect();
    MockResponse::ok(&json!({
        "page_details": {
            "limit": limit,
            "result_count": transcripts.len(),
            "current_url": format!("https://api.assemblyai.com/v2/transcript?limit={limit}"),
            "prev_url": null,
            "next_url": null,
        },
        "transcripts": transcripts,
    }))
}

/// `/{id}/srt`, `/{id}/vtt`, `/{id}/sentences`, `/{id}/paragraphs`.
pub(super) fn export(state: &AssemblyAiState, request: &BufferedRequest) -> MockResponse {
    let store = state.store();
    let Some(job) = store.jobs.get(transcript_id(request)) else {
        return not_found();
    };
    if job.status() != JobStatus::Completed || job.is_deleted {
        return errors::api_error(
            StatusCode::BAD_REQUEST,
            "This transcript has a status that is not \"completed\". Transcripts must be completed.",
        );
    }
    let kind = request.path().rsplit('/').next().unwrap_or_default();
    let most = query_param(request.query(), "chars_per_caption")
        .and_then(|most| most.parse().ok())
        .unwrap_or(subtitles::CHARS_PER_CAPTION);
    let words = job.words();
    match kind {
        "srt" => subtitles::srt(&words, most),
        "vtt" => subtitles::vtt(&words, most),
        _ => subtitles::sentences_or_paragraphs(job, kind),
    }
}

/// The id in `/v2/transcript/{id}…`.
fn transcript_id(request: &BufferedRequest) -> &str {
    request.path().split('/').nth(3).unwrap_or_default()
}
