use super::*;
use crate::flow::session::report::{LatencySamples, SpeakerReception};
use crate::ui_text;

fn line(number: u32, name: &str, start_ms: u64, end_ms: u64, text: &str) -> TranscriptLine {
    TranscriptLine {
        number,
        author: 1,
        name: name.to_owned(),
        start_ms,
        end_ms,
        kind: LineKind::Speech,
        text: text.to_owned(),
    }
}

fn meeting() -> (SessionInfo, Vec<TranscriptLine>) {
    let lines = vec![
        line(
            0,
            "Ana",
            1_000,
            9_000,
            "I think we should ship the new version on Thursday, because the tests are green \
             since Monday.",
        ),
        // Begins later, but is stored earlier.
        line(2, "Cy", 62_000, 63_000, "Who writes?"),
        line(1, "Ben <b>", 4_000, 4_400, "Is 1<2 & 2>1 -->\nyes?"),
        TranscriptLine {
            kind: LineKind::AudioLost,
            ..line(3, "Ana", 64_000, 66_050, "")
        },
        TranscriptLine {
            kind: LineKind::Interrupted,
            ..line(4, "", 70_000, 160_000, "")
        },
        TranscriptLine {
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
    let mut report = ReceptionReport::from_lines(&lines);
    let mut delays = LatencySamples::default();
    for delay in [800, 900, 1_850] {
        delays.record(Duration::from_millis(delay));
    }
    if let Some(first) = report.speakers.first_mut() {
        *first = SpeakerReception {
            late: 3,
            delays,
            ..first.clone()
        };
    }
    let info = SessionInfo {
        title: "Standup".to_owned(),
        started: Timestamp(1_800_000_000_000),
        ended: Some(Timestamp(1_800_003_900_000)),
        report,
    };
    (info, lines)
}

fn rendered(format: TranscriptFormat) -> String {
    let (info, lines) = meeting();
    render_transcript(
        format,
        &info,
        &lines,
        &ui_text::transcript_file::TRANSCRIPT_WORDING,
    )
}

#[test]
fn as_text() {
    insta::assert_snapshot!(rendered(TranscriptFormat::Text));
}

#[test]
fn as_vtt() {
    insta::assert_snapshot!(rendered(TranscriptFormat::Vtt));
}

#[test]
fn as_srt() {
    insta::assert_snapshot!(rendered(TranscriptFormat::Srt));
}

#[test]
fn as_json() {
    insta::assert_snapshot!(rendered(TranscriptFormat::Json));
}

#[test]
fn a_session_in_which_nothing_happened() {
    let info = SessionInfo {
        ended: None,
        report: ReceptionReport::default(),
        ..meeting().0
    };
    let rendered = [
        TranscriptFormat::Text,
        TranscriptFormat::Vtt,
        TranscriptFormat::Srt,
    ]
    .map(|format| {
        render_transcript(
            format,
            &info,
            &[],
            &ui_text::transcript_file::TRANSCRIPT_WORDING,
        )
    });
    insta::assert_snapshot!(rendered.join("=====\n"));
}
