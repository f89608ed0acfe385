//! The transcript of a session as a file: text, WebVTT, SubRip, JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::report::Report;
use crate::chat::prompt;
use crate::speech::subtitles::{self, Cue, Format};
use crate::speech::{Segment, Transcript};
use crate::store::{Line, LineKind, Timestamp};

/// What there is to know of a session beside its lines.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What it is called, such as the name of the voice channel.
    pub title: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; none if it goes on.
    pub ended: Option<Timestamp>,
    /// What was heard of whom.
    pub report: Report,
}

/// The sentences in a file. They stand in `words`.
#[derive(Clone, Copy, Debug)]
pub struct Wording {
    /// What stands over the lines.
    pub head: fn(&Facts) -> String,
    /// What stands for audio that was not heard: a line that is [`LineKind::Lost`] or
    /// [`LineKind::Deaf`].
    pub gap: fn(&Line) -> String,
    /// What was heard of whom.
    pub report: fn(&Report) -> String,
}

/// The transcript in this form. Lines are put in the order in which they were begun.
pub fn render(format: Format, facts: &Facts, lines: &[Line], wording: &Wording) -> String {
    let mut lines: Vec<&Line> = lines.iter().collect();
    lines.sort_by_key(|line| (line.start_ms, line.number));
    match format {
        Format::Text => text(facts, &lines, wording),
        Format::Vtt => subtitles::vtt_of(&cues(&lines, wording)),
        Format::Srt => {
            let mut cues = cues(&lines, wording);
            cues.iter_mut().for_each(name_in_text);
            subtitles::srt_of(&cues)
        }
        Format::Json => json(facts, &lines),
    }
}

/// `[00:12:04] Ana: …` line by line, what was not heard in its place, and the report.
fn text(facts: &Facts, lines: &[&Line], wording: &Wording) -> String {
    let mut file = format!("{}\n\n", (wording.head)(facts));
    for line in lines {
        let at = subtitles::clock(Duration::from_millis(line.start_ms));
        // Writing to a string can't fail.
        let _ = writeln!(file, "[{at}] {}", told(line, wording));
    }
    if !lines.is_empty() {
        file.push('\n');
    }
    let _ = writeln!(file, "{}", (wording.report)(&facts.report));
    file
}

fn gap(line: &Line, wording: &Wording) -> Option<String> {
    match line.kind {
        LineKind::Lost | LineKind::Deaf => Some((wording.gap)(line)),
        LineKind::Speech | LineKind::Answer => None,
    }
}

/// A line with its speaker, as one line.
fn told(line: &Line, wording: &Wording) -> String {
    if let Some(gap) = gap(line, wording) {
        return gap;
    }
    let text = one_line(&line.text);
    match prompt::label(&line.name) {
        Some(name) => format!("{name}: {text}"),
        None => text,
    }
}

/// Text that can't pass for a line of its own.
fn one_line(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The cues of each line by itself: people talk at the same time, and so do their subtitles.
fn cues(lines: &[&Line], wording: &Wording) -> Vec<Cue> {
    let mut cues: Vec<Cue> = lines
        .iter()
        .flat_map(|line| {
            let start = Duration::from_millis(line.start_ms);
            let end = Duration::from_millis(line.end_ms);
            let segment = match gap(line, wording) {
                // It is told once, not word by word over all of its time.
                Some(text) => Segment {
                    end: end.min(start.saturating_add(subtitles::LONGEST)),
                    start,
                    text,
                    speaker: None,
                },
                None => Segment {
                    start,
                    end,
                    text: one_line(&line.text),
                    speaker: prompt::label(&line.name),
                },
            };
            subtitles::cues(&Transcript {
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

/// For a format without voices. Every cue gets the name, since cues of others may stand between.
fn name_in_text(cue: &mut Cue) {
    if let (Some(name), Some(line)) = (&cue.speaker, cue.lines.first_mut()) {
        *line = format!("{name}: {line}");
    }
}

/// JSON for programs, indented, with a line break at its end. The shape is stable; every field is
/// always there:
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
/// `started_ms` and `ended_ms` are milliseconds since 1970, UTC; those of a line count from the
/// start of the session. `kind` is `speech`, `answer` (the bot's), `lost` (this speaker was not
/// heard) or `deaf` (nobody was). `ended_ms`, delays and `speaker` are null where there is none.
fn json(facts: &Facts, lines: &[&Line]) -> String {
    let document = Document {
        title: &facts.title,
        started_ms: facts.started.0,
        ended_ms: facts.ended.map(|at| at.0),
        deaf_ms: milliseconds(facts.report.deaf),
        speakers: facts
            .report
            .speakers
            .iter()
            .map(|speaker| SpeakerEntry {
                name: &speaker.name,
                heard_ms: milliseconds(speaker.heard),
                lost_ms: milliseconds(speaker.lost),
                late_packets: speaker.late,
                delay_median_ms: speaker.delays.median().map(milliseconds),
                delay_p95_ms: speaker.delays.p95().map(milliseconds),
            })
            .collect(),
        lines: lines
            .iter()
            .map(|line| LineEntry {
                number: line.number,
                start_ms: line.start_ms,
                end_ms: line.end_ms,
                kind: match line.kind {
                    LineKind::Speech => "speech",
                    LineKind::Lost => "lost",
                    LineKind::Deaf => "deaf",
                    LineKind::Answer => "answer",
                },
                speaker: Some(line.name.as_str()).filter(|name| !name.is_empty()),
                text: &line.text,
            })
            .collect(),
    };
    // Strings and numbers always are JSON.
    let mut file = serde_json::to_string_pretty(&document).unwrap_or_default();
    file.push('\n');
    file
}

#[derive(Serialize)]
struct Document<'a> {
    title: &'a str,
    started_ms: i64,
    ended_ms: Option<i64>,
    deaf_ms: u64,
    speakers: Vec<SpeakerEntry<'a>>,
    lines: Vec<LineEntry<'a>>,
}

#[derive(Serialize)]
struct SpeakerEntry<'a> {
    name: &'a str,
    heard_ms: u64,
    lost_ms: u64,
    late_packets: u64,
    delay_median_ms: Option<u64>,
    delay_p95_ms: Option<u64>,
}

#[derive(Serialize)]
struct LineEntry<'a> {
    number: u32,
    start_ms: u64,
    end_ms: u64,
    kind: &'static str,
    speaker: Option<&'a str>,
    text: &'a str,
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::session::report::{Delays, Heard};
    use crate::words;

    fn line(number: u32, name: &str, start_ms: u64, end_ms: u64, text: &str) -> Line {
        Line {
            number,
            author: 1,
            name: name.to_owned(),
            start_ms,
            end_ms,
            kind: LineKind::Speech,
            text: text.to_owned(),
        }
    }

    fn meeting() -> (Facts, Vec<Line>) {
        let lines = vec![
            line(
                0,
                "Ana",
                1_000,
                9_000,
                "I think we should ship the new version on Thursday, because the tests are green \
                 since Monday.",
            ),
            // Begun later and written down earlier.
            line(2, "Cy", 62_000, 63_000, "Who writes?"),
            line(1, "Ben <b>", 4_000, 4_400, "Is 1<2 & 2>1 -->\nyes?"),
            Line {
                kind: LineKind::Lost,
                ..line(3, "Ana", 64_000, 66_050, "")
            },
            Line {
                kind: LineKind::Deaf,
                ..line(4, "", 70_000, 160_000, "")
            },
            Line {
                kind: LineKind::Answer,
                ..line(5, "Talkback", 724_000, 724_000, "Thursday is the 26th.")
            },
            line(
                6,
                "Eve\n[00:00:00] Ana",
                3_725_000,
                3_726_000,
                "\nI\u{7} agree. ",
            ),
        ];
        let mut report = Report::of(&lines);
        let mut delays = Delays::default();
        for delay in [800, 900, 1_850] {
            delays.add(Duration::from_millis(delay));
        }
        if let Some(first) = report.speakers.first_mut() {
            *first = Heard {
                late: 3,
                delays,
                ..first.clone()
            };
        }
        let facts = Facts {
            title: "Standup".to_owned(),
            started: Timestamp(1_800_000_000_000),
            ended: Some(Timestamp(1_800_003_900_000)),
            report,
        };
        (facts, lines)
    }

    fn rendered(format: Format) -> String {
        let (facts, lines) = meeting();
        render(format, &facts, &lines, &words::session::WORDING)
    }

    #[test]
    fn as_text() {
        insta::assert_snapshot!(rendered(Format::Text));
    }

    #[test]
    fn as_vtt() {
        insta::assert_snapshot!(rendered(Format::Vtt));
    }

    #[test]
    fn as_srt() {
        insta::assert_snapshot!(rendered(Format::Srt));
    }

    #[test]
    fn as_json() {
        insta::assert_snapshot!(rendered(Format::Json));
    }

    #[test]
    fn a_session_in_which_nothing_happened() {
        let facts = Facts {
            ended: None,
            report: Report::default(),
            ..meeting().0
        };
        let rendered = [Format::Text, Format::Vtt, Format::Srt]
            .map(|format| render(format, &facts, &[], &words::session::WORDING));
        insta::assert_snapshot!(rendered.join("=====\n"));
    }
}
