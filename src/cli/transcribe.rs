//! `talkback transcribe`: the words of recordings, as text, subtitles or JSON.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::arguments::Transcribe;
use super::ask::remark_on_speech;
use super::exit::Exit;
use super::input::{Input, output_path};
use super::output::write_whole;
use super::terminal::{self, TerminalReply};
use crate::app::App;
use crate::config::Config;
use crate::flow::admission::Permit;
use crate::flow::{Failure, Heard, Reply};
use crate::speech::Hints;
use crate::speech::subtitles::Format;
use crate::words;

pub(super) async fn run(transcribe: &Transcribe, config: &Config) -> Exit {
    let inputs = match prepare(transcribe) {
        Ok(inputs) => inputs,
        Err(sentence) => {
            terminal::complain(&sentence);
            return Exit::Usage;
        }
    };
    let app = match App::new(config) {
        Ok(app) => app,
        Err(error) => {
            terminal::complain(&words::start(&error));
            return Exit::Failure;
        }
    };
    remark_on_speech(config);
    let mut exit = Exit::Success;
    for (index, input) in inputs.iter().enumerate() {
        let outcome = hear(&app, input, transcribe.format).await;
        terminal::clear();
        exit = exit.and(match outcome {
            Ok(heard) => {
                let content = transcribe.format.render(&heard.transcript);
                deliver(transcribe, input, index, inputs.len(), &content)
            }
            Err(failure) => {
                tracing::warn!(error = &failure as &dyn std::error::Error, "no transcript");
                terminal::complain(&words::failure(Some(&input.name()), &failure));
                Exit::from(&failure)
            }
        });
    }
    exit
}

/// Finds every fault that can be found before work begins.
fn prepare(transcribe: &Transcribe) -> Result<Vec<Input>, String> {
    let inputs = Input::all(&transcribe.files)?;
    let Some(folder) = &transcribe.output_dir else {
        if inputs.len() > 1 && matches!(transcribe.format, Format::Srt | Format::Vtt) {
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
            "The folder {} can't be made ({}). Choose another --output-dir.",
            folder.display(),
            words::cause(&error)
        )
    })?;
    Ok(inputs)
}

async fn hear(app: &App, input: &Input, format: Format) -> Result<Heard, Failure> {
    let pipeline = &app.pipeline;
    let reply: Arc<dyn Reply> = Arc::new(TerminalReply::progress_only());
    let hints = Hints {
        word_times: format != Format::Text,
        ..pipeline.hints.clone()
    };
    let recording = input.recording(&pipeline.limits).await?;
    let permit = Permit::unmetered();
    pipeline.hear(&permit, recording, &hints, &reply).await
}

fn deliver(transcribe: &Transcribe, input: &Input, index: usize, of: usize, content: &str) -> Exit {
    if let Some(folder) = &transcribe.output_dir {
        let path = output_path(folder, input, transcribe.format.extension());
        return write(&path, content);
    }
    if of > 1 && transcribe.format == Format::Text {
        let gap = if index > 0 { "\n" } else { "" };
        terminal::print(&format!(
            "{gap}== {} ==\n\n",
            words::printable(&input.label())
        ));
    }
    terminal::print(&words::printable(content));
    if !content.ends_with('\n') {
        terminal::print("\n");
    }
    Exit::Success
}

fn write(path: &Path, content: &str) -> Exit {
    match write_whole(path, content) {
        Ok(()) => {
            terminal::aside(&path.display().to_string());
            Exit::Success
        }
        Err(error) => {
            terminal::complain(&format!(
                "{} can't be written ({}). Nothing was left behind.",
                path.display(),
                words::cause(&error)
            ));
            Exit::Failure
        }
    }
}
