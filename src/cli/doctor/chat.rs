//! The chat model: whether it is listed, whether it answers, and whether it will be shut down soon.

use std::time::Instant;

use futures_util::StreamExt;
use tokio::time::timeout;

use super::CHECK_TIMEOUT;
use super::clock::ClockCheck;
use super::report::DoctorReport;
use crate::app::{self, App};
use crate::chat::{
    ChatError, ChatProbe, ChatRole, ChatTurn, Conversation, EmptyReason, model_shutdown, openai,
};
use crate::config::Config;
use crate::flow::admission::Permit;
use crate::flow::paid_providers::PaidModel;
use crate::ui_text;

pub(super) async fn check(app: &App, config: &Config, clock: &ClockCheck) -> DoctorReport {
    let mut report = DoctorReport::default();
    let chat = &app.pipeline.chat;
    let card = chat.card();
    let name = ui_text::model_and_host(&card.model, &card.host);
    let started = Instant::now();
    let probe = match timeout(CHECK_TIMEOUT, chat.probe()).await {
        Ok(Ok(probe)) => probe,
        // Self-hosted servers need not list their models; the test question decides.
        Ok(Err(ChatError::UnknownModel(_))) => ChatProbe::default(),
        Ok(Err(error)) => {
            report.fail(&name, &ui_text::chat_error(&error));
            return report;
        }
        Err(_) => {
            report.fail(&name, &ui_text::check_timed_out(CHECK_TIMEOUT));
            return report;
        }
    };
    // OpenAI lists all its models, and its clock is reliable.
    let is_openai = openai::is_openai(&card.host);
    clock.record(&card.host, probe.clock_skew, is_openai);
    if probe.is_listed == Some(false) {
        // Self-hosted servers accept any model name, OpenAI does not.
        let is_needed = is_openai || config.chat.is_llm_gateway();
        let sentence = ui_text::doctor::not_listed(config.chat.model_setting());
        report.fail_or_warn(is_needed, &name, &sentence);
    }
    let short_answer_model = match app::build_short_answer_model(config) {
        Ok(short_answer_model) => short_answer_model,
        Err(error) => {
            report.fail(&name, &ui_text::http_client_error(&error));
            return report;
        }
    };
    let answer = match &short_answer_model {
        Some(model) => timeout(CHECK_TIMEOUT, probe_answer(model)).await,
        None => Ok(Ok(())),
    };
    match answer {
        Ok(Ok(())) => {
            let took = started.elapsed();
            report.ok(
                &name,
                &ui_text::doctor::chat_ready(took, short_answer_model.is_some()),
            );
        }
        Ok(Err(error)) => report.fail(&name, &ui_text::chat_error(&error)),
        Err(_) => report.fail(&name, &ui_text::check_timed_out(CHECK_TIMEOUT)),
    }
    if let Some(notice) = model_shutdown::shutdown_notice(&probe, model_shutdown::today()) {
        report.warn(
            &name,
            &ui_text::model_shutdown(&notice, config.chat.model_setting()),
        );
    }
    if let Some(notice) = card.notice {
        report.warn(&name, notice);
    }
    report
}

/// Asks for the shortest possible answer: a listed model may still refuse, for example when the
/// account is empty.
async fn probe_answer(model: &PaidModel) -> Result<(), ChatError> {
    let turn = ChatTurn {
        role: ChatRole::User,
        speaker_name: None,
        text: "Say ok".to_owned(),
    };
    let question = Conversation {
        system: String::new(),
        turns: vec![turn],
    };
    let permit = Permit::unmetered();
    let mut answer = match model.answer(&permit, &question).await {
        // A reasoning model produces no text within so few tokens. It works all the same.
        Err(ChatError::EmptyAnswer(EmptyReason::OutOfTokens)) => return Ok(()),
        answer => answer?,
    };
    while let Some(piece) = answer.next().await {
        piece?;
    }
    Ok(())
}
