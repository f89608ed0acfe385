//! The commands `/join`, `/leave`, `/session` and `/summary`.

use serenity::all::{CommandInteraction, GuildId};

use super::super::bot_context::{BotContext, log_store_error};
use super::super::command_parser::ApplicationCommand;
use super::super::discord_api::{Buttons, MAX_MESSAGE_CHARS, OutgoingMessage};
use super::super::message_parser::display_name;
use super::super::settings_command::{is_language_code, parse_list};
use super::super::text;
use super::permissions;
use super::session_start::SessionRequest;
use super::start_error::{StartSessionError, start_error_message};
use crate::flow::guild_settings::{GuildSettings, MAX_LANGUAGES};
use crate::flow::session::actor::SessionMessage;
use crate::flow::session::{AnswerMode, SessionSetup, billed_summary};
use crate::store::StoreError;
use crate::ui_text::{bot, voice_session as words};

/// Handles a voice session command and returns the reply. `None` if it is another command.
pub(in crate::discord) async fn handle_command(
    context: &BotContext,
    interaction: &CommandInteraction,
    command: &ApplicationCommand,
) -> Option<OutgoingMessage> {
    let is_session_command = matches!(
        command,
        ApplicationCommand::Join { .. }
            | ApplicationCommand::Leave
            | ApplicationCommand::Session
            | ApplicationCommand::Summary
    );
    let guild = match interaction.guild_id {
        _ if !is_session_command => return None,
        Some(guild) => guild,
        None => return Some(OutgoingMessage::text(bot::ONLY_IN_SERVERS)),
    };
    let reply = match command {
        ApplicationCommand::Join {
            channel,
            answers,
            languages,
        } => {
            let choice = (*answers, languages.as_deref());
            join(context, interaction, guild, *channel, choice).await
        }
        ApplicationCommand::Leave => Ok(OutgoingMessage::text(leave(context, guild.get()).await)),
        ApplicationCommand::Session => Ok(session_report(context, guild.get()).await),
        ApplicationCommand::Summary => {
            session_summary(context, guild.get(), interaction.user.id.get())
                .await
                .map(OutgoingMessage::text)
        }
        _ => return None,
    };
    Some(reply.unwrap_or_else(|error| {
        log_store_error(error);
        OutgoingMessage::text(bot::LEDGER_UNAVAILABLE)
    }))
}

async fn join(
    context: &BotContext,
    interaction: &CommandInteraction,
    guild: GuildId,
    channel: Option<u64>,
    (answers, languages): (Option<AnswerMode>, Option<&str>),
) -> Result<OutgoingMessage, StoreError> {
    let user = &interaction.user;
    let voice_state = context
        .voice_sessions
        .voice_states
        .get(guild.get(), user.id.get());
    let Some(voice) = channel.or(voice_state.map(|voice_state| voice_state.channel_id)) else {
        return Ok(OutgoingMessage::text(words::NOT_IN_VOICE));
    };
    let languages = parse_list(languages.map(str::to_lowercase).as_deref());
    if let Some(invalid) = languages.iter().find(|code| !is_language_code(code)) {
        return Ok(OutgoingMessage::text(bot::invalid_language(&text::escape(
            invalid,
        ))));
    }
    if languages.len() > MAX_LANGUAGES {
        return Ok(OutgoingMessage::text(bot::too_many(
            "languages",
            MAX_LANGUAGES,
        )));
    }
    if let Some(running) = context.voice_sessions.running_in_guild(guild.get()) {
        return Ok(OutgoingMessage::text(match running.is_ending() {
            true => words::STILL_ENDING.to_owned(),
            false => words::already_in_session(Some(running.voice_channel())),
        }));
    }
    let discord_api = &context.reply_context.discord_api;
    let text = interaction.channel_id.get();
    let voice_channel = match permissions::check_voice_channel(
        discord_api,
        &context.voice_sessions.voice_states,
        guild,
        voice,
    )
    .await
    {
        Ok(voice_channel) => {
            match permissions::check_text_channel(
                discord_api,
                guild,
                text,
                interaction.app_permissions,
            )
            .await
            {
                Ok(()) => voice_channel,
                Err(sentence) => return Ok(OutgoingMessage::text(sentence)),
            }
        }
        Err(sentence) => return Ok(OutgoingMessage::text(sentence)),
    };
    let settings = GuildSettings::load(&context.reply_context.store, Some(guild.get())).await?;
    let setup = SessionSetup {
        answers: answers.unwrap_or(settings.voice_answers),
        title: voice_channel.name.clone(),
        languages,
    };
    let nickname = interaction
        .member
        .as_ref()
        .and_then(|it| it.nick.as_deref());
    let request = SessionRequest {
        guild: guild.get(),
        voice_channel: voice,
        text_channel: text,
        requested_by: user.id.get(),
        requester_name: display_name(user, nickname),
        setup,
    };
    // The recording notice covers what the note under a server's first reply would say.
    context
        .reply_context
        .store
        .claim_guild_notice(guild.get())
        .await?;
    match context.voice_sessions.start_session(request).await {
        Ok(()) => Ok(OutgoingMessage::text(words::session_started(voice))),
        Err(StartSessionError::Store(error)) => Err(error),
        Err(error) => {
            tracing::warn!(
                guild = guild.get(),
                voice,
                error = &error as &dyn std::error::Error,
                "no session"
            );
            Ok(OutgoingMessage::text(start_error_message(&error)))
        }
    }
}

async fn leave(context: &BotContext, guild: u64) -> String {
    if context.voice_sessions.end_session(guild).await {
        words::SESSION_LEFT.to_owned()
    } else {
        words::NO_SESSION.to_owned()
    }
}

async fn session_report(context: &BotContext, guild: u64) -> OutgoingMessage {
    let report = match context.voice_sessions.running_in_guild(guild) {
        Some(running) => running.request(SessionMessage::GetReport).await,
        None => None,
    };
    let Some((report, cost)) = report else {
        return OutgoingMessage::text(words::NO_SESSION);
    };
    let prices = &context.scheduler.runner().admission.rules().prices;
    let report = format!(
        "{}\n{}",
        words::so_far(&cost, prices),
        words::session_report_message(&report)
    );
    let report: String = report.chars().take(MAX_MESSAGE_CHARS).collect();
    OutgoingMessage {
        content: report,
        buttons: Some(Buttons::HearingCheck),
        ..OutgoingMessage::default()
    }
}

async fn session_summary(
    context: &BotContext,
    guild: u64,
    author: u64,
) -> Result<String, StoreError> {
    let Some(session) = context.reply_context.store.active_session(guild).await? else {
        return Ok(words::NO_SESSION.to_owned());
    };
    let setup: Result<SessionSetup, _> = serde_json::from_str(&session.details.payload);
    if setup.is_ok_and(|setup| setup.answers == AnswerMode::Never) {
        return Ok(words::SUMMARY_DISABLED.to_owned());
    }
    let sessions = &context.voice_sessions;
    let result = billed_summary::summarize_so_far(
        sessions.job_scheduler(),
        &session,
        author,
        sessions.bot_name(),
    )
    .await?;
    let Some(summary) = result else {
        return Ok(words::NO_LINES_YET.to_owned());
    };
    let summary = text::sanitize_answer(&words::summary_or_reason(summary.as_ref()));
    Ok(summary.chars().take(MAX_MESSAGE_CHARS).collect())
}
