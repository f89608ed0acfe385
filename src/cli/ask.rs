//! `talkback ask`: the words of a recording, then the answer as it comes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::arguments::Ask;
use super::exit::Exit;
use super::input::Input;
use super::json;
use super::terminal::{self, TerminalReply};
use crate::app::App;
use crate::chat::shutdown::{self, Notice};
use crate::chat::{EndReason, Role, Turn};
use crate::config::{Chat, Config};
use crate::flow::admission::Permit;
use crate::flow::{Answered, Failure, Heard, Reply, spoken_turn};
use crate::words;

/// What has arrived already may need this long to be noticed.
const ANY_MOMENT: Duration = Duration::from_millis(20);

pub(super) async fn run(ask: &Ask, config: &Config) -> Exit {
    let inputs = match Input::all(&ask.files) {
        Ok(inputs) => inputs,
        Err(sentence) => {
            terminal::complain(sentence);
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
    if !inputs.is_empty() {
        remark_on_speech(config);
    }
    let shutdown = ShutdownWarning::look_for(&app, config);

    let asking = Asking { app: &app, ask };
    let mut exit = Exit::Success;
    if inputs.is_empty() {
        exit = asking.answer_one(None).await;
    }
    for (index, input) in inputs.iter().enumerate() {
        if inputs.len() > 1 && !ask.json {
            let gap = if index > 0 { "\n" } else { "" };
            terminal::print(&format!(
                "{gap}== {} ==\n\n",
                words::printable(&input.label())
            ));
        }
        exit = exit.and(asking.answer_one(Some(input)).await);
    }
    shutdown.tell().await;
    exit
}

/// Says that the local engine listens where that is not what somebody has chosen.
pub(super) fn remark_on_speech(config: &Config) {
    if config.speech.assemblyai.is_none() && !config.speech.chosen {
        terminal::aside(words::NO_KEY);
    }
}

/// Finds out while the answer is made whether its model is about to be switched off.
struct ShutdownWarning {
    look: Option<AbortOnDropHandle<Option<Notice>>>,
    setting: &'static str,
}

impl ShutdownWarning {
    fn look_for(app: &App, config: &Config) -> Self {
        let setting = config.chat.model_setting();
        if matches!(config.chat, Chat::Local(_)) {
            return Self {
                look: None,
                setting,
            };
        }
        let chat = app.pipeline.chat.clone();
        let look = async move {
            let probe = chat.probe().await.ok()?;
            shutdown::notice(&probe, shutdown::today())
        };
        Self {
            look: Some(AbortOnDropHandle::new(tokio::spawn(look))),
            setting,
        }
    }

    /// Warns if there is something to warn of and it is known by now: nobody waits for it.
    async fn tell(self) {
        let Some(look) = self.look else { return };
        if let Ok(Ok(Some(notice))) = timeout(ANY_MOMENT, look).await {
            terminal::complain(&words::shutdown(&notice, self.setting));
        }
    }
}

struct Asking<'a> {
    app: &'a App,
    ask: &'a Ask,
}

impl Asking<'_> {
    /// One recording, or the typed question alone, from question to printed answer.
    async fn answer_one(&self, input: Option<&Input>) -> Exit {
        let shown = Arc::new(if self.ask.json {
            TerminalReply::progress_only()
        } else {
            TerminalReply::live()
        });
        let reply: Arc<dyn Reply> = Arc::clone(&shown) as _;
        let started = Instant::now();
        let (heard, outcome) = self.flow(input, &reply).await;
        terminal::clear();
        shown.release();
        let exit = match &outcome {
            Ok(_) => Exit::Success,
            Err(failure) => Exit::from(failure),
        };
        if self.ask.json {
            let line = json::asked(
                input,
                heard.as_ref(),
                outcome.as_ref(),
                self.app,
                started.elapsed(),
            );
            terminal::print(&format!("{line}\n"));
        } else if let Ok(answered) = &outcome {
            self.finish(answered);
        } else {
            // Whatever part of an answer was shown ends its line before the complaint.
            terminal::end_line();
        }
        if let Err(failure) = &outcome {
            let name = input.map(Input::name);
            tracing::warn!(error = failure as &dyn std::error::Error, "no answer");
            terminal::complain(&words::failure(name.as_deref(), failure));
        }
        exit
    }

    async fn flow(
        &self,
        input: Option<&Input>,
        reply: &Arc<dyn Reply>,
    ) -> (Option<Heard>, Result<Answered, Failure>) {
        let pipeline = &self.app.pipeline;
        let permit = Permit::unmetered();
        let typed = self.ask.text.as_deref();
        let (heard, turn) = match input {
            None => {
                let turn = Turn {
                    role: Role::User,
                    speaker: None,
                    text: typed.unwrap_or_default().to_owned(),
                };
                (None, turn)
            }
            Some(input) => {
                let recording = match input.recording(&pipeline.limits).await {
                    Ok(recording) => recording,
                    Err(error) => return (None, Err(error.into())),
                };
                match pipeline
                    .hear(&permit, recording, &pipeline.hints, reply)
                    .await
                {
                    Ok(heard) => {
                        let turn = spoken_turn(&heard.transcript.text, typed);
                        (Some(heard), turn)
                    }
                    Err(failure) => return (None, Err(failure)),
                }
            }
        };
        let answered = pipeline.answer(&permit, vec![turn], reply).await;
        (heard, answered)
    }

    fn finish(&self, answered: &Answered) {
        terminal::end_line();
        match answered.end.reason {
            EndReason::Complete => {}
            EndReason::Length => terminal::complain(
                "The answer was cut at its longest length; raise CHAT_MAX_TOKENS for more.",
            ),
            EndReason::Filtered => {
                terminal::complain("The provider's content filter cut the answer.");
            }
        }
        if let Some(notice) = self.app.pipeline.chat.card().notice {
            terminal::print(&format!("\n({notice})\n"));
        }
    }
}
