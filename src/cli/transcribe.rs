//! `talkback transcribe`: writes transcripts of recordings as text, subtitles or JSON.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::args::TranscribeArgs;
use super::ask::note_local_speech;
use super::atomic_file::write_atomically;
use super::exit::Exit;
use super::input::{InputFile, output_path};
use super::terminal::{self, TerminalReply};
use crate::app::App;
use crate::config::Config;
use crate::flow::admission::Permit;
use crate::flow::{PipelineError, Reply, TranscribedRecording};
use crate::speech::Hints;
use crate::speech::subtitles::TranscriptFormat;
use crate::ui_text;

pub(super) async fn run(transcribe: &TranscribeArgs, config: &Config) -> Exit {
    let inputs = match validate_args(transcribe) {
        Ok(inputs) => inputs,
        Err(sentence) => {
            terminal::print_error(&sentence);
            return Exit::Usage;
        }
    };
    let app = match App::new(config) {
        Ok(app) => app,
        Err(error) => {
            terminal::print_error(&ui_text::http_client_error(&error));
            return Exit::Failure;
        }
    };
    note_local_speech(config);
    let mut exit = Exit::Success;
    for (index, input) in inputs.iter().enumerate() {
        let outcome = transcribe_one(&app, input, transcribe.format).await;
        terminal::clear_bar();
        exit = exit.and(match outcome {
            Ok(heard) => {
                let content = transcribe.format.render(&heard.transcript);
                write_transcript(transcribe, input, index, inputs.len(), &content)
            }
            Err(failure) => {
                tracing::warn!(error = &failure as &dyn std::error::Error, "no transcript");
                terminal::print_error(&ui_text::failure(Some(&input.display_name()), &failure));
                Exit::from(&failure)
            }
        });
    }
    exit
}

/// Reports every error that can be found before the work begins.
fn validate_args(transcribe: &TranscribeArgs) -> Result<Vec<InputFile>, String> {
    let inputs = InputFile::parse_all(&transcribe.files)?;
    let Some(folder) = &transcribe.output_dir else {
        if inputs.len() > 1
            && matches!(
                transcribe.format,
                TranscriptFormat::Srt | TranscriptFormat::Vtt
            )
        {
            return Err(
                "Subtitles of several recordings don't fit into one output. Add --output-dir."
                    .to_owned(),
            );
        }
        return Ok(inputs);
    };
    let mut names = HashSet::new();
    for input in &inputs {
        let path = output_path(folder, input, transcribe.format.extension());
        if !names.insert(path.clone()) {
            return Err(format!(
                "Two of the recordings would be written to {}. Rename one, or write them to \
                 different folders.",
                path.display()
            ));
        }
    }
    std::fs::create_dir_all(folder).map_err(|error| {
        format!(
            "The folder {} can't be created ({}). Choose another --output-dir.",
            folder.display(),
            ui_text::io_error_cause(&error)
        )
    })?;
    Ok(inputs)
}

async fn transcribe_one(
    app: &App,
    input: &InputFile,
    format: TranscriptFormat,
) -> Result<TranscribedRecording, PipelineError> {
    let pipeline = &app.pipeline;
    let reply: Arc<dyn Reply> = Arc::new(TerminalReply::progress_only());
    let hints = Hints {
        word_timestamps: format != TranscriptFormat::Text,
        ..pipeline.hints.clone()
    };
    let recording = input.open_recording(&pipeline.limits).await?;
    let permit = Permit::unmetered();
    pipeline
        .transcribe_recording(&permit, recording, &hints, &reply)
        .await
}

fn write_transcript(
    transcribe: &TranscribeArgs,
    input: &InputFile,
    index: usize,
    of: usize,
    content: &str,
) -> Exit {
    if let Some(folder) = &transcribe.output_dir {
        let path = output_path(folder, input, transcribe.format.extension());
        return write_file(&path, content);
    }
    if of > 1 && transcribe.format == TranscriptFormat::Text {
        let gap = if index > 0 { "\n" } else { "" };
        terminal::print(&format!(
            "{gap}== {} ==\n\n",
            ui_text::strip_control_chars(&input.label())
        ));
    }
    terminal::print(&ui_text::strip_control_chars(content));
    if !content.ends_with('\n') {
        terminal::print("\n");
    }
    Exit::Success
}

fn write_file(path: &Path, content: &str) -> Exit {
    match write_atomically(path, content) {
        Ok(()) => {
            terminal::print_note(&path.display().to_string());
            Exit::Success
        }
        Err(error) => {
            terminal::print_error(&format!(
                "{} can't be written ({}). Nothing was left behind.",
                path.display(),
                ui_text::io_error_cause(&error)
            ));
            Exit::Failure
        }
    }
}
