//! Exports a session's transcript as a file: text, WebVTT, SubRip, JSON.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::report::ReceptionReport;
use crate::chat::prompt;
use crate::millis::to_millis;
use crate::speech::subtitles::{self, Cue, TranscriptFormat};
use crate::speech::{Segment, Transcript};
use crate::store::{LineKind, Timestamp, TranscriptLine};

/// What an export has besides the lines.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// The session's title: the name of the voice channel.
    pub title: String,
    /// When the session began.
    pub started: Timestamp,
    /// When the session ended; `None` while it is running.
    pub ended: Option<Timestamp>,
    /// Reception statistics.
    pub report: ReceptionReport,
}

/// The texts in an exported file; [`crate::ui_text`] has them.
#[derive(Clone, Copy, Debug)]
pub struct TranscriptWording {
    /// The header above the lines.
    pub header: fn(&SessionInfo) -> String,
    /// The text for missing audio: a line that is [`LineKind::AudioLost`] or
    /// [`LineKind::Interrupted`].
    pub gap: fn(&TranscriptLine) -> String,
    /// The reception report below the lines.
    pub report: fn(&ReceptionReport) -> String,
}

/// Renders the transcript in this format. Lines are sorted by start time.
pub fn render_transcript(
    format: TranscriptFormat,
    info: &SessionInfo,
    lines: &[TranscriptLine],
    wording: &TranscriptWording,
) -> String {
    let mut lines: Vec<&TranscriptLine> = lines.iter().collect();
    lines.sort_by_key(|line| (line.start_ms, line.number));
    match format {
        TranscriptFormat::Text => render_text(info, &lines, wording),
        TranscriptFormat::Vtt => subtitles::cues_to_vtt(&line_cues(&lines, wording)),
        TranscriptFormat::Srt => {
            let mut cues = line_cues(&lines, wording);
            cues.iter_mut().for_each(prefix_speaker_name);
            subtitles::cues_to_srt(&cues)
        }
        TranscriptFormat::Json => render_json(info, &lines),
    }
}

/// Renders one line per utterance, such as `[00:12:04] Ana: …`, gaps where audio is missing, and
/// the report.
fn render_text(
    info: &SessionInfo,
    lines: &[&TranscriptLine],
    wording: &TranscriptWording,
) -> String {
    let mut file = format!("{}\n\n", (wording.header)(info));
    for line in lines {
        let at = subtitles::format_hms(Duration::from_millis(line.start_ms));
        // Writing to a `String` can't fail.
        let _ = writeln!(file, "[{at}] {}", format_line(line, wording));
    }
    if !lines.is_empty() {
        file.push('\n');
    }
    let _ = writeln!(file, "{}", (wording.report)(&info.report));
    file
}

fn gap_text(line: &TranscriptLine, wording: &TranscriptWording) -> Option<String> {
    match line.kind {
        LineKind::AudioLost | LineKind::Interrupted => Some((wording.gap)(line)),
        LineKind::Speech | LineKind::Answer => None,
    }
}

/// Speaker and text on a single line.
fn format_line(line: &TranscriptLine, wording: &TranscriptWording) -> String {
    if let Some(gap) = gap_text(line, wording) {
        return gap;
    }
    let text = one_line(&line.text);
    match prompt::sanitize_speaker_name(&line.name) {
        Some(name) => format!("{name}: {text}"),
        None => text,
    }
}

/// Removes line breaks and control characters, so that the text can't pass for another line.
fn one_line(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Cues of each line by itself, sorted by start: speakers overlap, and so do their cues.
fn line_cues(lines: &[&TranscriptLine], wording: &TranscriptWording) -> Vec<Cue> {
    let mut cues: Vec<Cue> = lines
        .iter()
        .flat_map(|line| {
            let start = Duration::from_millis(line.start_ms);
            let end = Duration::from_millis(line.end_ms);
            let segment = match gap_text(line, wording) {
                // Show the notice once, not throughout the gap.
                Some(text) => Segment {
                    end: end.min(start.saturating_add(subtitles::MAX_CUE_DURATION)),
                    start,
                    text,
                    speaker: None,
                },
                None => Segment {
                    start,
                    end,
                    text: one_line(&line.text),
                    speaker: prompt::sanitize_speaker_name(&line.name),
                },
            };
            subtitles::build_cues(&Transcript {
                text: segment.text.clone(),
                segments: vec![segment],
                words: Vec::new(),
                language: None,
                confidence: None,
                provider: "",
            })
        })
        .collect();
    cues.sort_by_key(|cue| cue.start);
    cues
}

/// For a format without speaker tags. Every cue gets the name, since cues of other speakers may
/// come between.
fn prefix_speaker_name(cue: &mut Cue) {
    if let (Some(name), Some(line)) = (&cue.speaker, cue.lines.first_mut()) {
        *line = format!("{name}: {line}");
    }
}

/// Renders indented JSON with a final line break. The format is stable, and every field is always
/// present:
///
/// ```json
/// {
///   "title": "Standup",
///   "started_ms": 1800000000000,
///   "ended_ms": 1800003600000,
///   "deaf_ms": 0,
///   "speakers": [{
///     "name": "Ana", "heard_ms": 61000, "lost_ms": 2100, "late_packets": 3,
///     "delay_median_ms": 900, "delay_p95_ms": 1800
///   }],
///   "lines": [{
///     "number": 0, "start_ms": 0, "end_ms": 900, "kind": "speech", "speaker": "Ana",
///     "text": "Hello there."
///   }]
/// }
/// ```
///
/// `started_ms` and `ended_ms` of the document are milliseconds since 1970, UTC; times of a line
/// count from the start of the session. `kind` is `speech`, `answer` (of the bot), `lost` (audio of
/// this speaker is missing) or `deaf` (no audio was received). `ended_ms`, delays and `speaker` are
/// null where there is no value.
fn render_json(info: &SessionInfo, lines: &[&TranscriptLine]) -> String {
    let document = TranscriptJson {
        title: &info.title,
        started_ms: info.started.0,
        ended_ms: info.ended.map(|at| at.0),
        deaf_ms: to_millis(info.report.interrupted_for),
        speakers: info
            .report
            .speakers
            .iter()
            .map(|speaker| SpeakerJson {
                name: &speaker.name,
                heard_ms: to_millis(speaker.heard),
                lost_ms: to_millis(speaker.lost),
                late_packets: speaker.late,
                delay_median_ms: speaker.delays.median().map(to_millis),
                delay_p95_ms: speaker.delays.p95().map(to_millis),
            })
            .collect(),
        lines: lines
            .iter()
            .map(|line| LineJson {
                number: line.number,
                start_ms: line.start_ms,
                end_ms: line.end_ms,
                kind: match line.kind {
                    LineKind::Speech => "speech",
                    LineKind::AudioLost => "lost",
                    LineKind::Interrupted => "deaf",
                    LineKind::Answer => "answer",
                },
                speaker: Some(line.name.as_str()).filter(|name| !name.is_empty()),
                text: &line.text,
            })
            .collect(),
    };
    // Strings and numbers always serialize.
    let mut file = serde_json::to_string_pretty(&document).unwrap_or_default();
    file.push('\n');
    file
}

#[derive(Serialize)]
struct TranscriptJson<'a> {
    title: &'a str,
    started_ms: i64,
    ended_ms: Option<i64>,
    deaf_ms: u64,
    speakers: Vec<SpeakerJson<'a>>,
    lines: Vec<LineJson<'a>>,
}

#[derive(Serialize)]
struct SpeakerJson<'a> {
    name: &'a str,
    heard_ms: u64,
    lost_ms: u64,
    late_packets: u64,
    delay_median_ms: Option<u64>,
    delay_p95_ms: Option<u64>,
}

#[derive(Serialize)]
struct LineJson<'a> {
    number: u32,
    start_ms: u64,
    end_ms: u64,
    kind: &'static str,
    speaker: Option<&'a str>,
    text: &'a str,
}
