//! A transcript in other forms: SRT, WebVTT, sentences, paragraphs.

use std::fmt::Write;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::jobs::{StoredJob, TranscriptOutcome};
use super::transcript_script::{self, TimedWord};
use crate::mock_response::MockResponse;

/// Characters in a caption unless asked otherwise.
pub(super) const CHARS_PER_CAPTION: usize = 80;

pub(super) fn srt(words: &[TimedWord], most: usize) -> MockResponse {
    let mut out = String::new();
    for (index, caption) in captions(words, most).iter().enumerate() {
        let (start, end) = time_span(caption);
        let _ = write!(
            out,
            "{}\n{} --> {}\n{}\n\n",
            index + 1,
            format_timestamp(start, ','),
            format_timestamp(end, ','),
            join_words(caption)
        );
    }
    MockResponse::new(StatusCode::OK, "text/plain; charset=utf-8", out.into())
}

pub(super) fn vtt(words: &[TimedWord], most: usize) -> MockResponse {
    let mut out = "WEBVTT\n".to_owned();
    for caption in captions(words, most) {
        let (start, end) = time_span(caption);
        let _ = write!(
            out,
            "\n{} --> {}\n{}\n",
            format_timestamp(start, '.'),
            format_timestamp(end, '.'),
            join_words(caption)
        );
    }
    MockResponse::new(StatusCode::OK, "text/plain; charset=utf-8", out.into())
}

/// `sentences` or `paragraphs`; a paragraph is one sentence here.
pub(super) fn sentences_or_paragraphs(job: &StoredJob, kind: &str) -> MockResponse {
    let words = job.words();
    let labels = job.is_enabled("speaker_labels");
    let list: Vec<Value> = words
        .split_inclusive(|word| word.text.ends_with(['.', '?', '!']))
        .map(|sentence| {
            let (start, end) = time_span(sentence);
            json!({
                "text": join_words(sentence),
                "start": start,
                "end": end,
                "confidence": transcript_script::mean_confidence(sentence),
                "words": sentence.iter().map(|word| word.to_json(labels)).collect::<Vec<_>>(),
                "speaker": sentence.first().and_then(|word| word.speaker.as_deref()).filter(|_| labels),
            })
        })
        .collect();
    let duration = match &job.outcome {
        TranscriptOutcome::Transcript { clip, .. } => clip.as_secs_f64(),
        TranscriptOutcome::Error(_) => 0.0,
    };
    MockResponse::ok(&json!({
        "id": job.id,
        "confidence": transcript_script::mean_confidence(&words),
        "audio_duration": duration,
        kind: list,
    }))
}

fn captions(words: &[TimedWord], most: usize) -> Vec<&[TimedWord]> {
    let mut captions = Vec::new();
    let mut start = 0;
    let mut length = 0;
    for (index, word) in words.iter().enumerate() {
        let own = word.text.chars().count();
        if index > start && length + 1 + own > most {
            captions.push(&words[start..index]);
            start = index;
        }
        length = if index == start {
            own
        } else {
            length + 1 + own
        };
    }
    if start < words.len() {
        captions.push(&words[start..]);
    }
    captions
}

fn time_span(words: &[TimedWord]) -> (u64, u64) {
    let start = words.first().map_or(0, |word| word.start);
    let end = words.last().map_or(0, |word| word.end);
    (start, end)
}

fn join_words(words: &[TimedWord]) -> String {
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    texts.join(" ")
}

fn format_timestamp(ms: u64, point: char) -> String {
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}{point}{ms:03}")
}
