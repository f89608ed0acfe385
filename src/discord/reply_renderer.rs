//! Renders what a reply shows at each moment. Pure: a view goes in, messages come out.

use std::time::Duration;

use super::discord_api::{Buttons, MAX_MESSAGE_CHARS, OutgoingMessage, TextFile};
use super::text;
use crate::flow::PipelineStage;
use crate::flow::frontend::JobOutcome;
use crate::flow::job_spec::RecordingTranscript;
use crate::speech::TranscriptionProgress;
use crate::speech::subtitles::TranscriptFormat;
use crate::store::JobId;
use crate::ui_text::bot as words;

/// Characters of all quotes together; a longer transcript is attached as a file.
const MAX_QUOTE_CHARS: usize = 1_000;

/// Messages per answer; a longer answer is attached as a file.
const MAX_MESSAGES: usize = 4;

/// The state of a reply in progress.
#[derive(Clone, Default)]
pub(super) struct ReplyView {
    /// Display name of the requester.
    pub(super) author_name: String,
    /// The current pipeline stage.
    pub(super) stage: Option<PipelineStage>,
    /// Duration of each recording, where known.
    pub(super) recording_durations: Vec<Option<Duration>>,
    pub(super) progress: Option<TranscriptionProgress>,
    pub(super) transcripts: Vec<RecordingTranscript>,
    /// The answer so far.
    pub(super) partial_answer: String,
    /// Notices to show below the answer.
    pub(super) notices: Vec<String>,
    /// The question, if it was spoken in a voice session.
    pub(super) spoken_question: Option<String>,
}

impl ReplyView {
    /// The transcripts as quotes, and whether any was truncated.
    fn quotes(&self, transcripts: &[RecordingTranscript]) -> (String, bool) {
        match &self.spoken_question {
            Some(spoken) if transcripts.is_empty() => {
                let (quote, cut) = text::quote(&self.author_name, spoken, MAX_QUOTE_CHARS);
                (quote + "\n", cut)
            }
            _ => render_quotes(&self.author_name, transcripts),
        }
    }
}

/// Renders the message while the job runs.
pub(super) fn render_progress(view: &ReplyView) -> OutgoingMessage {
    let (mut content, _) = view.quotes(&view.transcripts);
    if view.partial_answer.trim().is_empty() {
        let number = view.transcripts.len();
        let recording = view.recording_durations.get(number).copied().flatten();
        let position = (number + 1, view.recording_durations.len());
        content.push_str(&words::job_status(
            view.stage,
            recording,
            view.progress,
            Some(position),
        ));
    } else {
        let room = MAX_MESSAGE_CHARS - content.chars().count();
        content.push_str(&text::streaming_preview(
            &text::sanitize_answer(&view.partial_answer),
            room,
        ));
    }
    OutgoingMessage::text(content)
}

/// Renders the final messages. `footers` go below the last one. `single` allows one message only;
/// the rest becomes a file.
pub(super) fn render_outcome(
    view: &ReplyView,
    outcome: &JobOutcome,
    job: Option<JobId>,
    footers: &[String],
    single: bool,
) -> Vec<OutgoingMessage> {
    let transcripts = match outcome {
        JobOutcome::Answered { transcripts, .. }
        | JobOutcome::Transcribed { transcripts }
        | JobOutcome::Failed { transcripts, .. } => transcripts,
        JobOutcome::Superseded => &view.transcripts,
    };
    let mut tail: Vec<String> = view.notices.clone();
    let body = match outcome {
        JobOutcome::Answered {
            answer,
            end_reason,
            model_notice: notice,
            ..
        } => {
            tail.extend(words::finish_note(*end_reason).map(str::to_owned));
            tail.extend(notice.map(|notice| format!("-# {notice}")));
            match text::is_blank(&answer.0) {
                true => words::EMPTY_ANSWER.to_owned(),
                false => text::sanitize_answer(answer.0.trim()),
            }
        }
        JobOutcome::Transcribed { .. } => String::new(),
        JobOutcome::Failed { failure, .. } => render_partial_answer(view, &words::failure(failure)),
        JobOutcome::Superseded => render_partial_answer(view, words::SUPERSEDED),
    };
    tail.extend(footers.iter().cloned());
    let tail = tail.join("\n");

    let (head, cut) = view.quotes(transcripts);
    let mut files = transcript_files(transcripts, cut);
    let room = |head: usize| {
        MAX_MESSAGE_CHARS
            .saturating_sub(head)
            .saturating_sub(tail.chars().count() + 1)
    };
    let max_messages = if single { 1 } else { MAX_MESSAGES };
    let split = text::split_message(&body, room(head.chars().count()), room(0), max_messages);
    if split.is_truncated {
        files.push(TextFile {
            name: "answer.md".to_owned(),
            text: body.clone(),
        });
    }
    let mut parts = split.parts;
    if parts.is_empty() {
        parts.push(String::new());
    }
    let last = parts.len() - 1;
    parts
        .into_iter()
        .enumerate()
        .map(|(index, part)| {
            let mut content = if index == 0 {
                format!("{head}{part}")
            } else {
                part
            };
            if index == last && !tail.is_empty() {
                if !content.is_empty() && !content.ends_with('\n') {
                    content.push('\n');
                }
                content.push_str(&tail);
            }
            OutgoingMessage {
                content: content.trim_end().to_owned(),
                files: if index == last {
                    std::mem::take(&mut files)
                } else {
                    Vec::new()
                },
                buttons: job.filter(|_| index == last).map(Buttons::Answer),
            }
        })
        .collect()
}

/// The part of an answer that arrived before a failure, followed by the reason.
fn render_partial_answer(view: &ReplyView, sentence: &str) -> String {
    let partial = text::sanitize_answer(view.partial_answer.trim());
    if partial.is_empty() {
        return sentence.to_owned();
    }
    format!(
        "{}\n\n{sentence}",
        text::streaming_preview(&partial, 20_000)
    )
}

/// The transcripts as quotes, and whether any was truncated.
fn render_quotes(name: &str, transcripts: &[RecordingTranscript]) -> (String, bool) {
    let mut all = String::new();
    let mut cut = false;
    let each = MAX_QUOTE_CHARS / transcripts.len().max(1);
    for transcript in transcripts {
        let (quote, truncated) = text::quote(name, &transcript.text, each);
        all.push_str(&quote);
        all.push('\n');
        cut |= truncated;
    }
    (all, cut)
}

/// The transcripts that were requested as files or whose quotes were truncated.
fn transcript_files(transcripts: &[RecordingTranscript], cut: bool) -> Vec<TextFile> {
    let stem = |transcript: &RecordingTranscript| match transcript.name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem.to_owned(),
        _ => transcript.name.clone(),
    };
    transcripts
        .iter()
        .filter_map(|transcript| {
            let (extension, text) = match &transcript.file {
                // The message already contains it.
                Some((TranscriptFormat::Text, _)) | None if !cut => return None,
                Some((format, file)) => (format.extension(), file.clone()),
                None => (TranscriptFormat::Text.extension(), transcript.text.clone()),
            };
            Some(TextFile {
                name: format!("{}.{extension}", stem(transcript)),
                text,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::chat::{ChatError, FinishReason};
    use crate::flow::frontend::JobFailure;
    use crate::flow::{AnswerText, PipelineError};

    fn transcript(text: &str) -> RecordingTranscript {
        RecordingTranscript {
            name: "voice-message.ogg".to_owned(),
            text: text.to_owned(),
            millis: 3_000,
            file: None,
        }
    }

    fn view() -> ReplyView {
        ReplyView {
            author_name: "Ana".to_owned(),
            recording_durations: vec![Some(Duration::from_secs(3)), None],
            ..ReplyView::default()
        }
    }

    fn rendered(messages: &[OutgoingMessage]) -> String {
        let mut all = String::new();
        for message in messages {
            let files: Vec<&str> = message.files.iter().map(|it| it.name.as_str()).collect();
            let buttons = if message.buttons.is_some() {
                " [buttons]"
            } else {
                ""
            };
            let content = ::net::shorten(&message.content, 300);
            let _ = writeln!(all, "{content}\n  {files:?}{buttons}\n");
        }
        all
    }

    #[test]
    fn progress_messages() {
        let mut all = vec![render_progress(&view())];
        let mut grown = ReplyView {
            stage: Some(PipelineStage::Transcribing),
            progress: Some(TranscriptionProgress::Queued),
            ..view()
        };
        all.push(render_progress(&grown));
        grown.transcripts.push(transcript("What is\nthis?"));
        grown.progress = None;
        all.push(render_progress(&grown));
        grown.stage = Some(PipelineStage::Answering);
        grown.transcripts.push(transcript("And that?"));
        all.push(render_progress(&grown));
        grown.partial_answer.push_str("It is a bird, and");
        all.push(render_progress(&grown));
        insta::assert_snapshot!(rendered(&all));
    }

    #[test]
    fn outcome_messages() {
        let answered = |text: &str, end_reason| JobOutcome::Answered {
            transcripts: vec![transcript("Why?")],
            answer: AnswerText(text.to_owned()),
            end_reason,
            model_notice: Some("Only a demonstration."),
        };
        let job = Some(JobId(7));
        let footer = ["-# First time here.".to_owned()];
        let mut all = String::new();
        let mut show = |messages: Vec<OutgoingMessage>| all.push_str(&rendered(&messages));
        let whole = answered("Because.", FinishReason::Complete);
        show(render_outcome(&view(), &whole, job, &footer, false));
        let cut = answered(&"A sentence. ".repeat(1_000), FinishReason::Length);
        show(render_outcome(&view(), &cut, job, &[], false));
        show(render_outcome(&view(), &cut, None, &[], true));
        let broken = JobOutcome::Failed {
            transcripts: vec![transcript("Why?")],
            failure: JobFailure::Pipeline(PipelineError::Chat(ChatError::StreamInterrupted {
                reason: "cut".into(),
            })),
        };
        let half = ReplyView {
            partial_answer: "Because of".to_owned(),
            ..view()
        };
        show(render_outcome(&half, &broken, job, &[], false));
        let mut srt = transcript(&"word ".repeat(400));
        srt.file = Some((TranscriptFormat::Srt, "1".to_owned()));
        let files = JobOutcome::Transcribed {
            transcripts: vec![srt, transcript("short")],
        };
        show(render_outcome(&view(), &files, None, &[], true));
        insta::assert_snapshot!(all);
    }
}
