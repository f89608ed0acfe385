//! `/v2`: upload, transcribe, ask until it is done.

use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::jobs::{End, Job, MAX_KEPT, Status, Upload};
use super::{State, errors, params, subtitles};
use crate::answer::Answer;
use crate::exchange::Request;
use crate::fault::Fault;
use crate::recorder::query_value;

/// 2.2 GB.
const MAX_UPLOAD: u64 = 2_200_000_000;

/// The host of uploaded files, which only the service itself can read.
const CDN: &str = "https://cdn.assemblyai.com/upload/";

pub(super) fn upload(state: &State, request: &Request) -> Answer {
    let content_type = request.media_type();
    if content_type
        .as_deref()
        .is_some_and(|media_type| media_type.starts_with("multipart/"))
    {
        return errors::api(
            StatusCode::BAD_REQUEST,
            "Upload the file as raw bytes, not as a form",
        );
    }
    if request.body.length == 0 {
        return errors::published_api(StatusCode::UNPROCESSABLE_ENTITY, None);
    }
    if request.body.length > MAX_UPLOAD {
        return errors::published_api(StatusCode::PAYLOAD_TOO_LARGE, None);
    }
    let id = state.next_id();
    let mut store = state.store();
    if store.uploads.len() >= MAX_KEPT {
        store.uploads.clear();
    }
    store
        .uploads
        .insert(id.clone(), Upload::from(&request.body));
    Answer::ok(&json!({"upload_url": format!("{CDN}{id}")}))
}

pub(super) fn create(state: &State, request: &Request, fault: &Fault) -> Answer {
    if request.media_type().as_deref() != Some("application/json") {
        return errors::api(
            StatusCode::BAD_REQUEST,
            "Content-Type must be application/json",
        );
    }
    let (audio_url, params) = match params::read(&request.body.bytes) {
        Ok(read) => read,
        Err(refused) => return refused,
    };
    let id = state.next_id();
    let mut script = state.script();
    let mut store = state.store();
    let upload = audio_url.strip_prefix(CDN);
    let end = match upload {
        Some(upload) => match store.uploads.get(upload) {
            Some(upload) => End::of(upload, script.lasts, || script.next()),
            None => return errors::published_api(StatusCode::FORBIDDEN, None),
        },
        // Nothing outside is fetched from here.
        None => End::Error(format!(
            "Download error, unable to access file at {audio_url}"
        )),
    };
    let end = match fault.job_failure() {
        Some(message) => End::Error(message.to_owned()),
        None => end,
    };
    if let End::Transcript { clip, .. } = &end {
        let length = u64::try_from(clip.as_millis()).unwrap_or(0);
        state.billed_ms.fetch_add(length, Ordering::Relaxed);
    }
    let job = Job {
        id: id.clone(),
        upload: upload.map(str::to_owned),
        audio_url,
        params,
        created: Instant::now(),
        created_at: state.timestamp(),
        polls_left: script.polls_before_done,
        polled: false,
        takes: script.takes,
        end,
        language: script.language.clone(),
        model_used: script.model_used.clone(),
        deleted: false,
    };
    if store.jobs.len() >= MAX_KEPT {
        store.jobs.clear();
        store.order.clear();
    }
    let wire = job.wire(Status::Queued);
    store.order.push(id.clone());
    store.jobs.insert(id, job);
    Answer::ok(&wire)
}

fn not_found() -> Answer {
    errors::api(
        StatusCode::BAD_REQUEST,
        "Transcript lookup error, transcript id not found",
    )
}

pub(super) fn get(state: &State, request: &Request, fault: &Fault) -> Answer {
    let mut store = state.store();
    let Some(job) = store.jobs.get_mut(transcript_id(request)) else {
        return not_found();
    };
    if job.deleted {
        return Answer::ok(&job.deleted_wire());
    }
    if let Some(message) = fault.job_failure() {
        job.end = End::Error(message.to_owned());
        job.polls_left = 0;
        job.takes = std::time::Duration::ZERO;
    }
    let status = job.poll();
    Answer::ok(&job.wire(status))
}

pub(super) fn delete(state: &State, request: &Request) -> Answer {
    let mut store = state.store();
    let Some(job) = store.jobs.get_mut(transcript_id(request)) else {
        return not_found();
    };
    let upload = job.upload.take();
    job.delete();
    let wire = job.deleted_wire();
    if let Some(upload) = upload {
        store.uploads.remove(&upload);
    }
    Answer::ok(&wire)
}

pub(super) fn list(state: &State, request: &Request) -> Answer {
    let limit = query_value(request.query(), "limit").map_or(Some(10), |limit| limit.parse().ok());
    let Some(limit) = limit.filter(|limit| (1..=200).contains(limit)) else {
        return errors::api(StatusCode::BAD_REQUEST, "limit must be from 1 to 200");
    };
    let wanted = query_value(request.query(), "status");
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
            let error = match (&job.end, job.status()) {
                (End::Error(message), Status::Error) => Some(message),
                _ => None,
            };
            json!({
                "id": job.id,
                "resource_url": format!("https://api.assemblyai.com/v2/transcript/{}", job.id),
                "status": job.status().name(),
                "created": job.created_at,
                "completed": (job.status() == Status::Completed).then_some(&job.created_at),
                "audio_url": job.audio_url,
                "error": error,
            })
        })
        .collect();
    Answer::ok(&json!({
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
pub(super) fn export(state: &State, request: &Request) -> Answer {
    let store = state.store();
    let Some(job) = store.jobs.get(transcript_id(request)) else {
        return not_found();
    };
    if job.status() != Status::Completed || job.deleted {
        return errors::api(
            StatusCode::BAD_REQUEST,
            "This transcript has a status that is not \"completed\". Transcripts must be completed.",
        );
    }
    let kind = request.path().rsplit('/').next().unwrap_or_default();
    let most = query_value(request.query(), "chars_per_caption")
        .and_then(|most| most.parse().ok())
        .unwrap_or(subtitles::CHARS_PER_CAPTION);
    let words = job.words();
    match kind {
        "srt" => subtitles::srt(&words, most),
        "vtt" => subtitles::vtt(&words, most),
        _ => subtitles::stretches(job, kind),
    }
}

/// The id in `/v2/transcript/{id}…`.
fn transcript_id(request: &Request) -> &str {
    request.path().split('/').nth(3).unwrap_or_default()
}
