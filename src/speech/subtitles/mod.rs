//! Renders a transcript as a file: SRT, WebVTT, JSON or plain text.

mod cues;

use std::fmt::Write;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::Transcript;
use super::segments::push_word;
use crate::millis::to_millis;

pub use cues::{Cue, MAX_CUE_DURATION, MAX_LINE_CHARS, MAX_LINES, MIN_CUE_DURATION, build_cues};

/// The file formats for a transcript.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
pub enum TranscriptFormat {
    /// Plain text
    Text,
    /// SubRip subtitles
    Srt,
    /// WebVTT subtitles
    Vtt,
    /// Everything known: words, times, language, provider
    Json,
}

impl TranscriptFormat {
    /// Renders the transcript in this format.
    pub fn render(self, transcript: &Transcript) -> String {
        match self {
            Self::Text => to_text(transcript),
            Self::Srt => to_srt(transcript),
            Self::Vtt => to_vtt(transcript),
            Self::Json => to_json(transcript),
        }
    }

    /// The file name extension.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Text => "txt",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Json => "json",
        }
    }
}

/// SubRip: numbered cues, times with a comma, lines end with LF.
///
/// SRT has no escapes. An arrow in the text, which a reader would take for a time line, becomes
/// `→`.
pub fn to_srt(transcript: &Transcript) -> String {
    cues_to_srt(&build_cues(transcript))
}

/// Renders existing cues. They may overlap.
pub(crate) fn cues_to_srt(cues: &[Cue]) -> String {
    let mut file = String::new();
    for (number, cue) in (1_usize..).zip(cues) {
        let text = cue.lines.join("\n").replace("-->", "→");
        let (start, end) = (timestamp(cue.start, ','), timestamp(cue.end, ','));
        // Writing to a string can't fail.
        let _ = write!(file, "{number}\n{start} --> {end}\n{text}\n\n");
    }
    file
}

/// WebVTT (<https://www.w3.org/TR/webvtt1/>), with speakers as voice spans: `<v Name>`.
pub fn to_vtt(transcript: &Transcript) -> String {
    cues_to_vtt(&build_cues(transcript))
}

/// Renders existing cues. They may overlap.
pub(crate) fn cues_to_vtt(cues: &[Cue]) -> String {
    let mut file = String::from("WEBVTT\n\n");
    for cue in cues {
        let text = escape(&cue.lines.join("\n"));
        let voice = cue
            .speaker
            .as_deref()
            .map(voice_span_tag)
            .unwrap_or_default();
        let (start, end) = (timestamp(cue.start, '.'), timestamp(cue.end, '.'));
        let _ = write!(file, "{start} --> {end}\n{voice}{text}\n\n");
    }
    file
}

/// Plain text; if speakers are known, one paragraph per speaker turn, as `Name: …`. Ends with a
/// line break unless empty.
pub fn to_text(transcript: &Transcript) -> String {
    let speakers_known = transcript
        .segments
        .iter()
        .any(|segment| segment.speaker.is_some());
    let mut file = String::new();
    if speakers_known {
        let mut speaking: Option<Option<&str>> = None;
        for segment in &transcript.segments {
            let speaker = segment.speaker.as_deref();
            if speaking == Some(speaker) {
                push_word(&mut file, segment.text.trim());
            } else {
                file.push_str(if speaking.is_none() { "" } else { "\n\n" });
                if let Some(speaker) = speaker {
                    let _ = write!(file, "{speaker}: ");
                }
                file.push_str(segment.text.trim());
                speaking = Some(speaker);
            }
        }
    } else {
        file.push_str(transcript.text.trim());
    }
    if !file.is_empty() {
        file.push('\n');
    }
    file
}

/// Indented JSON for programs, ending with a line break. The shape is stable; every field is always
/// present:
///
/// ```json
/// {
///   "provider": "AssemblyAI Sync",
///   "language": "en",
///   "confidence": 0.97,
///   "text": "Hello there.",
///   "segments": [{"start_ms": 0, "end_ms": 900, "text": "Hello there.", "speaker": null}],
///   "words": [{"start_ms": 0, "end_ms": 400, "text": "Hello", "confidence": 0.99, "speaker": null}]
/// }
/// ```
///
/// Times are whole milliseconds from the start of the recording. `language` (ISO 639-1),
/// `confidence` (0..1) and `speaker` are null if unknown; `words` is empty if the provider gave no
/// word timestamps.
pub fn to_json(transcript: &Transcript) -> String {
    let mut file = serde_json::to_string_pretty(&document(transcript))
        .expect("strings and numbers always are JSON");
    file.push('\n');
    file
}

/// The same document as a JSON value, to embed in another one.
pub fn to_json_value(transcript: &Transcript) -> serde_json::Value {
    serde_json::to_value(document(transcript)).expect("strings and numbers always are JSON")
}

fn document(transcript: &Transcript) -> TranscriptDocument<'_> {
    TranscriptDocument {
        provider: transcript.provider,
        language: transcript.language.as_deref(),
        confidence: transcript.confidence.map(round_confidence),
        text: &transcript.text,
        segments: transcript
            .segments
            .iter()
            .map(|segment| SegmentEntry {
                start_ms: to_millis(segment.start),
                end_ms: to_millis(segment.end),
                text: &segment.text,
                speaker: segment.speaker.as_deref(),
            })
            .collect(),
        words: transcript
            .words
            .iter()
            .map(|word| WordEntry {
                start_ms: to_millis(word.start),
                end_ms: to_millis(word.end),
                text: &word.text,
                confidence: word.confidence.map(round_confidence),
                speaker: word.speaker.as_deref(),
            })
            .collect(),
    }
}

#[derive(Serialize)]
struct TranscriptDocument<'a> {
    provider: &'a str,
    language: Option<&'a str>,
    confidence: Option<f64>,
    text: &'a str,
    segments: Vec<SegmentEntry<'a>>,
    words: Vec<WordEntry<'a>>,
}

#[derive(Serialize)]
struct SegmentEntry<'a> {
    start_ms: u64,
    end_ms: u64,
    text: &'a str,
    speaker: Option<&'a str>,
}

#[derive(Serialize)]
struct WordEntry<'a> {
    start_ms: u64,
    end_ms: u64,
    text: &'a str,
    confidence: Option<f64>,
    speaker: Option<&'a str>,
}

/// Rounds to five decimals, which is about the precision of an f32.
fn round_confidence(confidence: f32) -> f64 {
    (f64::from(confidence) * 1e5).round() / 1e5
}

/// `HH:MM:SS`, `separator` and milliseconds.
fn timestamp(time: Duration, separator: char) -> String {
    format!("{}{separator}{:03}", format_hms(time), time.subsec_millis())
}

/// `HH:MM:SS`
pub(crate) fn format_hms(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
}

/// Escapes cue text. Without `>`, no `-->` can remain either.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The start tag of a voice span. The end tag may be omitted if the span covers the whole cue.
fn voice_span_tag(speaker: &str) -> String {
    let name = speaker.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.is_empty() {
        String::new()
    } else {
        format!("<v {}>", escape(&name))
    }
}

#[cfg(test)]
mod tests;
