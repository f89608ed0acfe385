//! `talkback ask`: prints the transcript of a recording, then streams the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::args::AskArgs;
use super::exit::Exit;
use super::input::InputFile;
use super::json;
use super::terminal::{self, TerminalReply};
use crate::app::App;
use crate::chat::model_shutdown::{self, ShutdownNotice};
use crate::chat::{ChatRole, ChatTurn, FinishReason};
use crate::config::{ChatConfig, Config};
use crate::flow::admission::Permit;
use crate::flow::{CompletedAnswer, PipelineError, Reply, TranscribedRecording, user_turn};
use crate::ui_text;

/// How long to wait for a check that has probably finished already.
const SHUTDOWN_WARNING_WAIT: Duration = Duration::from_millis(20);

pub(super) async fn run(ask: &AskArgs, config: &Config) -> Exit {
    let inputs = match InputFile::parse_all(&ask.files) {
        Ok(inputs) => inputs,
        Err(sentence) => {
            terminal::print_error(sentence);
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
    if !inputs.is_empty() {
        note_local_speech(config);
    }
    let shutdown = ModelShutdownWarning::start_probe(&app, config);

    let runner = AskRunner {
        app: &app,
        args: ask,
    };
    let mut exit = Exit::Success;
    if inputs.is_empty() {
        exit = runner.answer_one(None).await;
    }
    for (index, input) in inputs.iter().enumerate() {
        if inputs.len() > 1 && !ask.json {
            let gap = if index > 0 { "\n" } else { "" };
            terminal::print(&format!(
                "{gap}== {} ==\n\n",
                ui_text::strip_control_chars(&input.label())
            ));
        }
        exit = exit.and(runner.answer_one(Some(input)).await);
    }
    shutdown.print_if_ready().await;
    exit
}

/// Says that the local engine is used, if the settings do not choose it.
pub(super) fn note_local_speech(config: &Config) {
    if config.speech.assemblyai.is_none() && !config.speech.is_explicit {
        terminal::print_note(ui_text::NO_ASSEMBLYAI_KEY);
    }
}

/// Checks in the background whether the model is about to be shut down.
struct ModelShutdownWarning {
    probe_task: Option<AbortOnDropHandle<Option<ShutdownNotice>>>,
    setting: &'static str,
}

impl ModelShutdownWarning {
    fn start_probe(app: &App, config: &Config) -> Self {
        let setting = config.chat.model_setting();
        if matches!(config.chat, ChatConfig::Local(_)) {
            return Self {
                probe_task: None,
                setting,
            };
        }
        let chat = app.pipeline.chat.clone();
        let probe = async move {
            let probe = chat.probe().await.ok()?;
            model_shutdown::shutdown_notice(&probe, model_shutdown::today())
        };
        Self {
            probe_task: Some(AbortOnDropHandle::new(tokio::spawn(probe))),
            setting,
        }
    }

    /// Prints the warning if the check has finished by now. Nothing waits for it.
    async fn print_if_ready(self) {
        let Some(probe) = self.probe_task else { return };
        if let Ok(Ok(Some(notice))) = timeout(SHUTDOWN_WARNING_WAIT, probe).await {
            terminal::print_error(&ui_text::model_shutdown(&notice, self.setting));
        }
    }
}

struct AskRunner<'a> {
    app: &'a App,
    args: &'a AskArgs,
}

impl AskRunner<'_> {
    /// Answers one recording, or the typed question alone.
    async fn answer_one(&self, input: Option<&InputFile>) -> Exit {
        let terminal_reply = Arc::new(if self.args.json {
            TerminalReply::progress_only()
        } else {
            TerminalReply::streaming()
        });
        let reply: Arc<dyn Reply> = Arc::clone(&terminal_reply) as _;
        let started = Instant::now();
        let (heard, outcome) = self.transcribe_and_answer(input, &reply).await;
        terminal::clear_bar();
        terminal_reply.print_buffered_answer();
        let exit = match &outcome {
            Ok(_) => Exit::Success,
            Err(error) => Exit::from(error),
        };
        if self.args.json {
            let line = json::ask_result(
                input,
                heard.as_ref(),
                outcome.as_ref(),
                self.app,
                started.elapsed(),
            );
            terminal::print(&format!("{line}\n"));
        } else if let Ok(answered) = &outcome {
            self.print_closing_notes(answered);
        } else {
            // A partial answer ends its line before the error message.
            terminal::end_line();
        }
        if let Err(error) = &outcome {
            let name = input.map(InputFile::display_name);
            tracing::warn!(error = error as &dyn std::error::Error, "no answer");
            terminal::print_error(&ui_text::failure(name.as_deref(), error));
        }
        exit
    }

    async fn transcribe_and_answer(
        &self,
        input: Option<&InputFile>,
        reply: &Arc<dyn Reply>,
    ) -> (
        Option<TranscribedRecording>,
        Result<CompletedAnswer, PipelineError>,
    ) {
        let pipeline = &self.app.pipeline;
        let permit = Permit::unmetered();
        let typed = self.args.text.as_deref();
        let (heard, turn) = match input {
            None => {
                let turn = ChatTurn {
                    role: ChatRole::User,
                    speaker_name: None,
                    text: typed.unwrap_or_default().to_owned(),
                };
                (None, turn)
            }
            Some(input) => {
                let recording = match input.open_recording(&pipeline.limits).await {
                    Ok(recording) => recording,
                    Err(error) => return (None, Err(error.into())),
                };
                match pipeline
                    .transcribe_recording(&permit, recording, &pipeline.hints, reply)
                    .await
                {
                    Ok(heard) => {
                        let turn = user_turn(&heard.transcript.text, typed);
                        (Some(heard), turn)
                    }
                    Err(error) => return (None, Err(error)),
                }
            }
        };
        let answered = pipeline.answer(&permit, vec![turn], reply).await;
        (heard, answered)
    }

    fn print_closing_notes(&self, answered: &CompletedAnswer) {
        terminal::end_line();
        match answered.end.reason {
            FinishReason::Complete => {}
            FinishReason::Length => terminal::print_error(
                "The answer was cut off at the length limit; raise CHAT_MAX_TOKENS for more.",
            ),
            FinishReason::ContentFilter => {
                terminal::print_error("The provider's content filter cut the answer short.");
            }
        }
        if let Some(notice) = self.app.pipeline.chat.card().notice {
            terminal::print(&format!("\n({notice})\n"));
        }
    }
}
