//! Buttons of voice sessions: consent, and the hearing check.

use serenity::all::ComponentInteraction;

use super::super::bot_context::{BotContext, log_store_error};
use super::super::button_handler::authorize_invoker;
use super::super::discord_api::{
    CONSENT_BUTTON_ID, DECLINE_BUTTON_ID, HEARING_CHECK_BUTTON_ID, MAX_MESSAGE_CHARS,
    OutgoingMessage,
};
use super::super::interaction_responder::InteractionResponder;
use super::super::text;
use crate::flow::session::actor::{HEARING_CHECK_TIMEOUT, SessionMessage};
use crate::store::Consent;
use crate::ui_text::{bot, voice_session as words};

/// Handles a button. Returns false if it is none of these.
pub(in crate::discord) async fn handle_button(
    context: &BotContext,
    interaction: &ComponentInteraction,
) -> bool {
    let decision = match interaction.data.custom_id.as_str() {
        CONSENT_BUTTON_ID => Some(Consent::Yes),
        DECLINE_BUTTON_ID => Some(Consent::No),
        HEARING_CHECK_BUTTON_ID => None,
        _ => return false,
    };
    match decision {
        Some(consent) => decide_consent(context, interaction, consent).await,
        None => check_hearing(context, interaction).await,
    }
    true
}

async fn decide_consent(
    context: &BotContext,
    interaction: &ComponentInteraction,
    consent: Consent,
) {
    let Some(guild) = interaction.guild_id else {
        return respond(context, interaction, bot::ONLY_IN_SERVERS).await;
    };
    // A refusal needs no access.
    if consent == Consent::Yes
        && let Some(text) = access_refusal(context, interaction).await
    {
        return respond(context, interaction, text).await;
    }
    let person = interaction.user.id.get();
    let result = context
        .voice_sessions
        .decide_consent(guild.get(), person, consent)
        .await;
    let text = match (result, consent) {
        (Ok(()), Consent::Yes) => words::AGREED,
        (Ok(()), Consent::No) => words::DECLINED,
        (Err(error), Consent::Yes) => {
            log_store_error(error);
            bot::LEDGER_UNAVAILABLE
        }
        (Err(error), Consent::No) => {
            log_store_error(error);
            words::DECLINED_UNWRITTEN
        }
    };
    respond(context, interaction, text).await;
}

/// Why the user may not use the bot; `None` if they may.
async fn access_refusal(
    context: &BotContext,
    interaction: &ComponentInteraction,
) -> Option<&'static str> {
    match authorize_invoker(context, interaction).await {
        Ok(Some(_)) => None,
        Ok(None) => Some(bot::NO_ACCESS),
        Err(error) => {
            log_store_error(error);
            Some(bot::LEDGER_UNAVAILABLE)
        }
    }
}

async fn check_hearing(context: &BotContext, interaction: &ComponentInteraction) {
    if let Some(text) = access_refusal(context, interaction).await {
        return respond(context, interaction, text).await;
    }
    let running = interaction
        .guild_id
        .and_then(|guild| context.voice_sessions.running_in_guild(guild.get()));
    let Some(running) = running else {
        return respond(context, interaction, words::NO_SESSION).await;
    };
    respond(context, interaction, words::HEARING_CHECK_PROMPT).await;
    let person = interaction.user.id.get();
    let request = running.request(|reply| SessionMessage::CheckHearing { person, reply });
    let result = tokio::time::timeout(HEARING_CHECK_TIMEOUT, request).await;
    let mut result = result.ok().flatten();
    if let Some(crate::flow::session::actor::HearingCheckResult::Heard(said)) = &mut result {
        *said = text::escape(said);
    }
    let text: String = words::hearing_check_result(result.as_ref())
        .chars()
        .take(MAX_MESSAGE_CHARS)
        .collect();
    let responder =
        InteractionResponder::for_button(&context.reply_context.discord_api, interaction);
    responder
        .complete_deferred(&OutgoingMessage::text(text))
        .await;
}

async fn respond(context: &BotContext, interaction: &ComponentInteraction, text: &str) {
    let responder =
        InteractionResponder::for_button(&context.reply_context.discord_api, interaction);
    responder
        .respond_privately(&OutgoingMessage::text(text))
        .await;
}
