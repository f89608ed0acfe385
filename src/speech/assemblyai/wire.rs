//! AssemblyAI's JSON over HTTP. Responses are parsed leniently: what may be missing or null is
//! optional, times may be fractions, unknown fields are ignored.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::speech::segments::segments_from_words;
use crate::speech::{Segment, Transcript, Word};

/// The `config` part of a Sync request.
#[derive(Serialize)]
pub(super) struct SyncConfig {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) keyterms_prompt: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) conversation_context: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) language_codes: Vec<String>,
    pub(super) timestamps: bool,
    /// Only for raw PCM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sample_rate: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channels: Option<u32>,
}

/// The body of `POST /v2/transcript`. `punctuate` and `format_text` are left at their default,
/// true.
#[derive(Clone, Serialize)]
pub(super) struct CreateJobRequest {
    pub(super) audio_url: String,
    pub(super) speech_models: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) language_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) language_detection: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) language_detection_options: Option<LanguageDetectionOptions>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) keyterms_prompt: Vec<String>,
}

/// The languages that detection chooses from.
#[derive(Clone, Serialize)]
pub(super) struct LanguageDetectionOptions {
    pub(super) expected_languages: Vec<String>,
}

/// The response to `POST /v2/upload`.
#[derive(Deserialize)]
pub(super) struct UploadResponse {
    pub(super) upload_url: String,
}

/// The response to `POST /v2/transcript`; only the id matters.
#[derive(Deserialize)]
pub(super) struct CreateJobResponse {
    pub(super) id: String,
}

/// The state of a job.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum TranscriptStatus {
    Queued,
    Processing,
    Completed,
    Error,
    /// A status that is not documented yet. It is not a final one, so it counts as processing.
    #[serde(other)]
    Unknown,
}

/// A transcript: the response to `POST /v1/transcribe` and `GET /v2/transcript/{id}`.
#[derive(Default, Deserialize)]
pub(super) struct TranscriptResponse {
    /// Only for a job.
    #[serde(default)]
    pub(super) status: Option<TranscriptStatus>,
    /// Only for a failed job.
    #[serde(default)]
    pub(super) error: Option<String>,
    /// Only for a finished job.
    #[serde(default)]
    pub(super) speech_model_used: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    words: Option<Vec<ResponseWord>>,
    #[serde(default)]
    confidence: Option<f32>,
    #[serde(default)]
    language_code: Option<String>,
}

#[derive(Deserialize)]
struct ResponseWord {
    text: String,
    /// In milliseconds; Sync leaves times out unless they are requested.
    #[serde(default)]
    start: Option<f64>,
    #[serde(default)]
    end: Option<f64>,
    #[serde(default)]
    confidence: Option<f32>,
    #[serde(default)]
    speaker: Option<String>,
}

impl TranscriptResponse {
    /// Whether the response has a `text` at all; without one it is malformed.
    pub(super) fn has_text(&self) -> bool {
        self.text.is_some()
    }

    /// The transcript of a clip of this duration.
    pub(super) fn into_transcript(self, provider: &'static str, duration: Duration) -> Transcript {
        let text = self.text.unwrap_or_default().trim().to_owned();
        let words = self.words.unwrap_or_default();
        // Use word times only if all words have them: a gap would misplace the rest.
        let words: Option<Vec<Word>> = words.into_iter().map(ResponseWord::into_word).collect();
        let words = words.filter(|_| !text.is_empty()).unwrap_or_default();
        let mut segments = segments_from_words(&words);
        if segments.is_empty() && !text.is_empty() {
            segments.push(Segment {
                start: Duration::ZERO,
                end: duration,
                text: text.clone(),
                speaker: None,
            });
        }
        Transcript {
            text,
            segments,
            words,
            language: self.language_code.as_deref().and_then(primary_language),
            confidence: self.confidence.and_then(clamp_confidence),
            provider,
        }
    }
}

impl ResponseWord {
    fn into_word(self) -> Option<Word> {
        let start = duration_from_millis(self.start?);
        Some(Word {
            text: self.text,
            start,
            end: duration_from_millis(self.end?).max(start),
            confidence: self.confidence.and_then(clamp_confidence),
            speaker: self.speaker.filter(|speaker| !speaker.is_empty()),
        })
    }
}

/// `as` saturates and turns NaN into 0.
fn duration_from_millis(value: f64) -> Duration {
    Duration::from_millis(value as u64)
}

fn clamp_confidence(value: f32) -> Option<f32> {
    value.is_finite().then(|| value.clamp(0.0, 1.0))
}

/// The language without its region: `en_us` gives `en`.
fn primary_language(code: &str) -> Option<String> {
    let primary = code.split(['_', '-']).next().unwrap_or_default();
    let plausible =
        (2..=3).contains(&primary.len()) && primary.bytes().all(|byte| byte.is_ascii_alphabetic());
    plausible.then(|| primary.to_ascii_lowercase())
}

/// Whether the id is safe to use as part of a path.
pub(super) fn is_plausible_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(json: &str) -> Transcript {
        let response: TranscriptResponse = serde_json::from_str(json).expect("valid");
        response.into_transcript("test", Duration::from_secs(9))
    }

    #[test]
    fn words_without_times_give_one_segment() {
        let heard = transcript(r#"{"text":" Hi there. ","words":[{"text":"Hi"}],"confidence":2}"#);
        assert_eq!(heard.text, "Hi there.");
        assert!(heard.words.is_empty());
        assert_eq!(heard.segments.len(), 1);
        assert_eq!(heard.segments[0].end, Duration::from_secs(9));
        assert_eq!(heard.confidence, Some(1.0));
    }

    #[test]
    fn implausible_times_are_corrected() {
        let heard = transcript(
            r#"{"text":"Hi.","language_code":"en_us",
                "words":[{"text":"Hi.","start":-5,"end":1e300,"speaker":""}]}"#,
        );
        assert_eq!(heard.words[0].start, Duration::ZERO);
        assert!(heard.words[0].end > Duration::ZERO);
        assert_eq!(heard.words[0].speaker, None);
        assert_eq!(heard.language.as_deref(), Some("en"));
        assert_eq!(transcript(r#"{"text":null,"words":null}"#).text, "");
    }

    #[test]
    fn ids_are_safe_in_paths() {
        assert!(is_plausible_id("f756988d-47e2-4ca3-96ce-04bb168f8f2a"));
        for id in ["", "..", "a/b", "a?b", "a b", "é", &"a".repeat(65)] {
            assert!(!is_plausible_id(id), "{id}");
        }
    }
}
