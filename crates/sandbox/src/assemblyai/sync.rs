//! `POST /v1/transcribe`: a clip and its words in one exchange. `/v1/transcribe/live` is answered
//! here too, once all of it is there.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::media::{WavError, WavHeader};
use super::sync_config::SyncRequestConfig;
use super::{AssemblyAiState, errors, sync_live, transcript_script};
use crate::mock_response::MockResponse;
use crate::multipart::{self, FormPart};
use crate::request_handler::BufferedRequest;

const MIN_CLIP_MS: u64 = 80;
pub(super) const MAX_CLIP_MS: u64 = 120_000;
pub(super) const MAX_AUDIO_BYTES: usize = 40 * 1024 * 1024;
const DEADLINE: Duration = Duration::from_secs(30);
const SAMPLE_RATES: &[u32] = &[8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];
const MODELS: &[&str] = &["universal-3-5-pro", "universal-3-6-pro"];

/// Why a request is refused: status, code, words.
pub(super) type SyncRefusal = (StatusCode, &'static str, String);

pub(super) fn bad_request(message: impl Into<String>) -> SyncRefusal {
    (StatusCode::BAD_REQUEST, "bad_request", message.into())
}

fn bad_audio(message: impl Into<String>) -> SyncRefusal {
    (StatusCode::BAD_REQUEST, "bad_audio", message.into())
}

fn unsupported_media(message: impl Into<String>) -> SyncRefusal {
    (
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        message.into(),
    )
}

pub(super) fn audio_too_large(message: impl Into<String>) -> SyncRefusal {
    (
        StatusCode::PAYLOAD_TOO_LARGE,
        "audio_too_large",
        message.into(),
    )
}

/// `is_live`: it was uploaded while it was recorded, so only its last piece takes time.
pub(super) async fn respond(
    state: &AssemblyAiState,
    request: &BufferedRequest,
    is_live: bool,
) -> MockResponse {
    let arrived = Instant::now();
    let problem = state.script().use_rfc9457_errors;
    let (config, clip_ms) = match check_request(request, is_live) {
        Ok(checked) => checked,
        Err((status, code, message)) => {
            return errors::sync_error(status, Some(code), &message, problem);
        }
    };
    let (said, takes) = {
        let mut script = state.script();
        let last_piece = script.last_chunk_processing_time.filter(|_| is_live);
        (
            script.next_speech(),
            last_piece.unwrap_or(script.processing_time),
        )
    };
    if !takes.is_zero() {
        tokio::time::sleep(takes.min(DEADLINE)).await;
    }
    if takes >= DEADLINE {
        return errors::default_sync_error(StatusCode::GATEWAY_TIMEOUT, None, None, problem);
    }
    let words = transcript_script::time_words(&said, clip_ms);
    let wire: Vec<Value> = words
        .iter()
        .map(|word| {
            let mut wire = json!({"text": word.text, "confidence": word.confidence});
            if config.timestamps {
                wire["start"] = word.start.into();
                wire["end"] = word.end.into();
            }
            wire
        })
        .collect();
    MockResponse::ok(&json!({
        "text": said.full_text(),
        "words": wire,
        "confidence": transcript_script::mean_confidence(&words),
        "audio_duration_ms": clip_ms,
        "session_id": state.next_id(),
        "request_time_ms": arrived.elapsed().as_millis() as u64,
    }))
}

/// How long the clip of a request plays that is as it should be.
pub(super) fn clip_duration_ms(request: &BufferedRequest, is_live: bool) -> Option<u64> {
    check_request(request, is_live)
        .ok()
        .map(|(_, clip_ms)| clip_ms)
}

/// The model that a request is routed to.
pub(super) fn check_model(model: Option<&str>) -> Result<(), SyncRefusal> {
    match model {
        Some(model) if MODELS.contains(&model) => Ok(()),
        Some(other) => Err(bad_request(format!("unknown model: {other}"))),
        None => Err(bad_request("missing required header X-AAI-Model")),
    }
}

/// The configuration and the clip's length in milliseconds.
fn check_request(
    request: &BufferedRequest,
    is_live: bool,
) -> Result<(SyncRequestConfig, u64), SyncRefusal> {
    check_model(request.header("x-aai-model"))?;
    if request.media_type().as_deref() != Some("multipart/form-data") {
        return Err(unsupported_media("expected multipart/form-data"));
    }
    if request.body.length > MAX_AUDIO_BYTES as u64 + 64 * 1024 {
        return Err(audio_too_large("file exceeds 40 MB"));
    }
    let content_type = request.header("content-type").unwrap_or_default();
    let parts = multipart::parse_form(content_type, request.body.bytes.clone())
        .map_err(|_| bad_request("malformed multipart body"))?;
    if let Some(unknown) = parts
        .iter()
        .find(|part| part.name != "audio" && part.name != "config")
    {
        return Err(bad_request(format!("unexpected part: {}", unknown.name)));
    }
    if is_live {
        let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        sync_live::check_part_order(&names)?;
    }
    let config = match parts.iter().find(|part| part.name == "config") {
        Some(part) => read_config(part)?,
        None => SyncRequestConfig::default(),
    };
    let audio = parts
        .iter()
        .find(|part| part.name == "audio")
        .ok_or_else(|| bad_request("missing audio part"))?;
    if audio.filename.as_deref().is_none_or(str::is_empty) {
        return Err(bad_request("the audio part has no filename"));
    }
    if audio.body.len() > MAX_AUDIO_BYTES {
        return Err(audio_too_large("file exceeds 40 MB"));
    }
    let clip_ms = match audio.content_type.as_deref() {
        Some("audio/wav" | "audio/x-wav" | "audio/wave") => wav_duration(audio)?,
        Some("audio/pcm") => pcm_duration(audio, &config)?,
        other => {
            let other = other.unwrap_or("none");
            return Err(unsupported_media(format!(
                "unsupported audio format: {other}"
            )));
        }
    };
    match clip_ms {
        0..MIN_CLIP_MS => Err((
            StatusCode::BAD_REQUEST,
            "audio_too_short",
            format!("audio duration {clip_ms} ms is below minimum {MIN_CLIP_MS} ms"),
        )),
        MIN_CLIP_MS..=MAX_CLIP_MS => Ok((config, clip_ms)),
        _ => Err(audio_too_large(format!(
            "audio duration {clip_ms} ms exceeds limit {MAX_CLIP_MS} ms"
        ))),
    }
}

fn read_config(part: &FormPart) -> Result<SyncRequestConfig, SyncRefusal> {
    if let Some(content_type) = part.content_type.as_deref()
        && content_type != "application/json"
    {
        return Err(bad_request("the config part is not application/json"));
    }
    SyncRequestConfig::from_json(&part.body)
}

fn wav_duration(audio: &FormPart) -> Result<u64, SyncRefusal> {
    let wav = WavHeader::parse(&audio.body, true).map_err(|error| {
        bad_audio(match error {
            WavError::NotWav => "not a WAV file",
            WavError::NoFormat => "WAV file without fmt chunk",
            WavError::NoData => "WAV file without data chunk",
            WavError::Truncated => "WAV file is truncated",
        })
    })?;
    if !wav.is_pcm() || wav.bits != 16 {
        return Err(unsupported_media("only 16-bit PCM is supported"));
    }
    check_layout(wav.sample_rate, u64::from(wav.channels))?;
    if !wav.data_bytes.is_multiple_of(2 * usize::from(wav.channels)) {
        return Err(bad_audio("misaligned PCM"));
    }
    debug_assert!(wav.data_start <= audio.body.len());
    Ok(wav.duration_ms())
}

fn pcm_duration(audio: &FormPart, config: &SyncRequestConfig) -> Result<u64, SyncRefusal> {
    let (Some(rate), Some(channels)) = (config.sample_rate, config.channels) else {
        return Err(bad_audio(
            "sample_rate and channels are required for audio/pcm",
        ));
    };
    check_layout(rate, channels)?;
    let bytes = audio.body.len() as u64;
    if !bytes.is_multiple_of(2 * channels) {
        return Err(bad_audio("misaligned PCM"));
    }
    Ok(bytes * 1_000 / (2 * channels * u64::from(rate)))
}

fn check_layout(sample_rate: u32, channels: u64) -> Result<(), SyncRefusal> {
    if !SAMPLE_RATES.contains(&sample_rate) {
        return Err(unsupported_media(format!(
            "unsupported sample rate {sample_rate}"
        )));
    }
    if !(1..=2).contains(&channels) {
        return Err(unsupported_media(format!(
            "unsupported number of channels {channels}"
        )));
    }
    Ok(())
}
