//! The text of a session's transcript files, summary and reception report.

use std::fmt::Write as _;
use std::time::Duration;

use super::format_duration;
use crate::chat::model_shutdown::CalendarDay;
use crate::flow::session::report::{ReceptionReport, SpeakerReception};
use crate::flow::session::summary::{Citation, SessionSummary};
use crate::flow::session::transcript_export::{SessionInfo, TranscriptWording};
use crate::speech::subtitles;
use crate::store::{LineKind, Timestamp, TranscriptLine};

/// The wording that transcript files are written with.
pub const TRANSCRIPT_WORDING: TranscriptWording = TranscriptWording {
    header: transcript_header,
    gap: gap_marker,
    report: format_session_report,
};

/// No point of the model's summary cites something that was said.
pub const NO_SUMMARY: &str = "There's no summary: what the model wrote isn't backed by what was \
     said. The transcript has everything.";

/// The title and times above a transcript.
fn transcript_header(session: &SessionInfo) -> String {
    let started = format_date_time(session.started);
    match session.ended {
        Some(ended) => {
            let ended = format_date_time(ended);
            format!("{}\n{started} to {ended} UTC", session.title)
        }
        None => format!("{}\nSince {started} UTC", session.title),
    }
}

/// UTC: `2026-11-24 08:05`.
fn format_date_time(at: Timestamp) -> String {
    let seconds = at.0.div_euclid(1_000);
    let minutes = seconds.rem_euclid(86_400) / 60;
    let day = CalendarDay::from_unix_seconds(seconds);
    format!("{day} {:02}:{:02}", minutes / 60, minutes % 60)
}

/// Marks missing audio in a transcript. Empty for a line of speech.
pub fn gap_marker(line: &TranscriptLine) -> String {
    let span = format_gap_duration(Duration::from_millis(
        line.end_ms.saturating_sub(line.start_ms),
    ));
    let name = line.name.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.kind {
        LineKind::AudioLost if !name.is_empty() => format!("[{span} of {name} not heard]"),
        LineKind::AudioLost => format!("[{span} of somebody not heard]"),
        LineKind::Interrupted => format!("[nobody could be heard for {span}]"),
        LineKind::Speech | LineKind::Answer => String::new(),
    }
}

/// Under a minute in tenths of a second, else in minutes.
fn format_gap_duration(time: Duration) -> String {
    if time < Duration::from_secs(60) {
        format_tenths(time)
    } else {
        format_duration(time)
    }
}

/// Rounded up, so that a gap is never shown as `0.0 s`.
fn format_tenths(time: Duration) -> String {
    let tenths = time.as_millis().div_ceil(100);
    format!("{}.{} s", tenths / 10, tenths % 10)
}

/// How well each speaker was heard, as a table for a monospaced font, and how long reception was
/// interrupted.
pub fn format_session_report(report: &ReceptionReport) -> String {
    let mut text = if report.speakers.is_empty() {
        "Nobody was heard.".to_owned()
    } else {
        speaker_table(&report.speakers)
    };
    let late: u64 = report.speakers.iter().map(|speaker| speaker.late).sum();
    if late > 0 {
        let packets = if late == 1 { "packet" } else { "packets" };
        let _ = write!(text, "\n{late} {packets} arrived too late to be heard.");
    }
    if !report.interrupted_for.is_zero() {
        let span = format_gap_duration(report.interrupted_for);
        let _ = write!(
            text,
            "\nFor {span} nobody could be heard. What was said then is missing."
        );
    }
    text
}

fn speaker_table(speakers: &[SpeakerReception]) -> String {
    // The last two columns: median and 95th percentile of the time from speech to transcript.
    let head = [
        "Speaker",
        "heard",
        "lost",
        "share",
        "half within",
        "95 % within",
    ]
    .map(str::to_owned);
    let rows: Vec<[String; 6]> = speakers.iter().map(speaker_row).collect();
    let all: Vec<&[String; 6]> = std::iter::once(&head).chain(&rows).collect();
    let width = |column: usize| {
        let cells = all.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let lines = all.iter().map(|row| {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = width(column);
            let _ = match column {
                0 => write!(line, "{cell:width$}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn speaker_row(speaker: &SpeakerReception) -> [String; 6] {
    let share = speaker.received_permille().map_or("–".to_owned(), |share| {
        format!("{}.{} %", share / 10, share % 10)
    });
    let delay = |delay: Option<Duration>| delay.map_or("–".to_owned(), format_tenths);
    [
        speaker
            .name
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" "),
        format_tenths(speaker.heard),
        format_tenths(speaker.lost),
        share,
        delay(speaker.delays.median()),
        delay(speaker.delays.p95()),
    ]
}

/// A summary as plain text. The model wrote it, so the caller escapes it for where it is shown.
pub fn summary(summary: &SessionSummary) -> String {
    if summary.is_empty() {
        return NO_SUMMARY.to_owned();
    }
    let mut text = String::new();
    let mut list = |title: &str, points: Vec<String>| {
        if !points.is_empty() {
            let gap = if text.is_empty() { "" } else { "\n\n" };
            let _ = write!(text, "{gap}{title}\n- {}", points.join("\n- "));
        }
    };
    for (title, items) in [
        ("Topics", &summary.topics),
        ("Decisions", &summary.decisions),
    ] {
        let points = items.iter();
        let points = points.map(|item| format!("{} {}", item.text, citation_times(&item.cites)));
        list(title, points.collect());
    }
    let actions = summary.actions.iter().map(|action| {
        let owner = action.owner.as_deref().unwrap_or("unassigned");
        format!("{owner}: {} {}", action.text, citation_times(&action.cites))
    });
    list("To do", actions.collect());
    let unread = summary.unread;
    if unread > 0 {
        let lines = if unread == 1 { "line" } else { "lines" };
        let _ = write!(
            text,
            "\n\nThis summary is incomplete: the model didn't read {unread} {lines}. The \
             transcript has everything."
        );
    }
    let dropped = summary.dropped;
    if dropped > 0 {
        let left_out = match dropped {
            1 => {
                "1 point from the model was left out: nothing that was said supports it.".to_owned()
            }
            _ => format!(
                "{dropped} points from the model were left out: nothing that was said supports \
                 them."
            ),
        };
        let _ = write!(text, "\n\n{left_out}");
    }
    text
}

/// The cited times: `[00:12:04, 00:15:31]`.
fn citation_times(cites: &[Citation]) -> String {
    let times: Vec<String> = cites
        .iter()
        .map(|cite| subtitles::format_hms(Duration::from_millis(cite.start_ms)))
        .collect();
    format!("[{}]", times.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::session::summary::{ActionItem, SummaryItem};

    fn cites(seconds: &[u64]) -> Vec<Citation> {
        let numbered = (1..).zip(seconds);
        let cite = |(number, second): (u32, &u64)| Citation {
            number,
            start_ms: second * 1_000,
        };
        numbered.map(cite).collect()
    }

    fn action(owner: Option<&str>, text: &str) -> ActionItem {
        ActionItem {
            owner: owner.map(str::to_owned),
            text: text.to_owned(),
            cites: cites(&[724]),
        }
    }

    #[test]
    fn summary_text() {
        let item = |text: &str, seconds: &[u64]| SummaryItem {
            text: text.to_owned(),
            cites: cites(seconds),
        };
        let full = SessionSummary {
            topics: vec![item("The release", &[1, 3_725]), item("Lunch", &[60])],
            decisions: vec![item("Ship on Thursday", &[724])],
            actions: vec![
                action(Some("Cy"), "write the release notes"),
                action(None, "order pizza"),
            ],
            dropped: 1,
            unread: 20,
        };
        let short = SessionSummary {
            topics: vec![item("Lunch", &[60])],
            unread: 1,
            ..SessionSummary::default()
        };
        let unsupported = SessionSummary {
            dropped: 7,
            ..SessionSummary::default()
        };
        let texts = [full, short, unsupported].map(|it| summary(&it));
        insta::assert_snapshot!(texts.join("\n=====\n"));
    }

    #[test]
    fn session_report_text() {
        let seconds = Duration::from_secs;
        let mut ana = SpeakerReception {
            name: "Ana".to_owned(),
            heard: seconds(3_600),
            lost: Duration::from_millis(1),
            late: 1,
            ..SpeakerReception::default()
        };
        for delay in 1..=20 {
            ana.delays.record(Duration::from_millis(delay * 100));
        }
        let silent = SpeakerReception {
            name: "Somebody with a long name".to_owned(),
            ..SpeakerReception::default()
        };
        let reports = [
            ReceptionReport::default(),
            ReceptionReport {
                speakers: vec![ana, silent],
                interrupted_for: seconds(192),
            },
        ];
        let texts = reports.map(|it| format_session_report(&it));
        insta::assert_snapshot!(texts.join("\n=====\n"));
    }
}
