//! The model that answers: whether it is there, does answer, and how long it will.

use std::time::Instant;

use futures_util::StreamExt;
use tokio::time::timeout;

use super::CHECK_LIMIT;
use super::clock::Clock;
use super::report::Report;
use crate::app::{self, App};
use crate::chat::{ChatError, Conversation, Emptiness, Probe, Role, Turn, openai, shutdown};
use crate::config::Config;
use crate::flow::admission::Permit;
use crate::flow::paid::PaidModel;
use crate::words;

pub(super) async fn check(app: &App, config: &Config, clock: &Clock) -> Report {
    let mut report = Report::default();
    let chat = &app.pipeline.chat;
    let card = chat.card();
    let name = words::model(&card.model, &card.host);
    let started = Instant::now();
    let probe = match timeout(CHECK_LIMIT, chat.probe()).await {
        Ok(Ok(probe)) => probe,
        // Servers of people's own need not list their models; the question itself will tell.
        Ok(Err(ChatError::UnknownModel(_))) => Probe::default(),
        Ok(Err(error)) => {
            report.broken(&name, &words::chat(&error));
            return report;
        }
        Err(_) => {
            report.broken(&name, &words::no_answer_within(CHECK_LIMIT));
            return report;
        }
    };
    // OpenAI lists every model it has, and knows what time it is.
    let is_openai = openai::is_openai(&card.host);
    clock.saw(&card.host, probe.skew, is_openai);
    if probe.listed == Some(false) {
        // Servers of people's own answer under any name, OpenAI does not.
        let is_needed = is_openai || config.chat.is_gateway();
        let sentence = words::doctor::not_listed(config.chat.model_setting());
        report.graded(is_needed, &name, &sentence);
    }
    let brief = match app::brief(config) {
        Ok(brief) => brief,
        Err(error) => {
            report.broken(&name, &words::start(&error));
            return report;
        }
    };
    let answered = match &brief {
        Some(model) => timeout(CHECK_LIMIT, answers(model)).await,
        None => Ok(Ok(())),
    };
    match answered {
        Ok(Ok(())) => {
            let took = started.elapsed();
            report.ok(&name, &words::doctor::answers(took, brief.is_some()));
        }
        Ok(Err(error)) => report.broken(&name, &words::chat(&error)),
        Err(_) => report.broken(&name, &words::no_answer_within(CHECK_LIMIT)),
    }
    if let Some(notice) = shutdown::notice(&probe, shutdown::today()) {
        report.warn(
            &name,
            &words::shutdown(&notice, config.chat.model_setting()),
        );
    }
    if let Some(notice) = card.notice {
        report.warn(&name, notice);
    }
    report
}

/// Asks for the smallest answer there is: a model that is listed may still refuse, for one when
/// the account is empty.
async fn answers(model: &PaidModel) -> Result<(), ChatError> {
    let turn = Turn {
        role: Role::User,
        speaker: None,
        text: "Say ok".to_owned(),
    };
    let question = Conversation {
        system: String::new(),
        turns: vec![turn],
    };
    let permit = Permit::unmetered();
    let mut answer = match model.answer(&permit, &question).await {
        // A model that thinks has no word within so few tokens, and works.
        Err(ChatError::Empty(Emptiness::OutOfTokens)) => return Ok(()),
        answer => answer?,
    };
    while let Some(piece) = answer.next().await {
        piece?;
    }
    Ok(())
}
