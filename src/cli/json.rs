//! `talkback ask --json`: one line of JSON per recording. Programs rely on the shape: fields are
//! added, never renamed or removed.

use std::time::Duration;

use serde_json::{Value, json};

use super::exit::Exit;
use super::input::InputFile;
use crate::app::App;
use crate::chat::FinishReason;
use crate::flow::{CompletedAnswer, PipelineError, TranscribedRecording};
use crate::speech::subtitles;
use crate::ui_text;

/// The result for one recording.
///
/// `file` (null for a typed question alone), `transcript` (as `talkback transcribe --format json`
/// prints it; null if there is none), `answer` (null if there is none), `finish` (`complete`,
/// `length`, `filtered`), `model`, `host`, `notice`, `usage`, `seconds` (wall clock), and on
/// failure `error` with `exit_code` and `message`.
pub(super) fn ask_result(
    input: Option<&InputFile>,
    heard: Option<&TranscribedRecording>,
    outcome: Result<&CompletedAnswer, &PipelineError>,
    app: &App,
    elapsed: Duration,
) -> Value {
    let card = app.pipeline.chat.card();
    let answered = outcome.ok();
    let error = outcome.err().map(|failure| {
        json!({
            "exit_code": Exit::from(failure).code(),
            "message": ui_text::failure(input.map(InputFile::display_name).as_deref(), failure),
        })
    });
    json!({
        "file": input.map(InputFile::label),
        "duration_seconds": heard.map(|heard| heard.duration.as_secs_f64()),
        "transcript": heard.map(|heard| subtitles::to_json_value(&heard.transcript)),
        "answer": answered.map(|answered| answered.text.0.trim()),
        "finish": answered.map(|answered| match answered.end.reason {
            FinishReason::Complete => "complete",
            FinishReason::Length => "length",
            FinishReason::ContentFilter => "filtered",
        }),
        "model": card.model,
        "host": card.host,
        "notice": card.notice,
        "usage": answered.and_then(|answered| answered.end.usage).map(|usage| json!({
            "prompt_tokens": usage.prompt_tokens,
            "answer_tokens": usage.answer_tokens,
        })),
        "seconds": (elapsed.as_secs_f64() * 1_000.0).round() / 1_000.0,
        "error": error,
    })
}
