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
use crate::flow::session::call::{HEARING_CHECK_TIMEOUT, SessionMessage};
use crate::store::Consent;
use crate::ui_text::{bot, voice_session as words};

/// Handles a button. Returns false if it is none of these.
pub(in crate::discord) async fn handle_button(
    room: &BotContext,
    interaction: &ComponentInteraction,
) -> bool {
    let decision = match interaction.data.custom_id.as_str() {
        CONSENT_BUTTON_ID => Some(Consent::Yes),
        DECLINE_BUTTON_ID => Some(Consent::No),
        HEARING_CHECK_BUTTON_ID => None,
        _ => return false,
    };
    match decision {
        Some(consent) => decide_consent(room, interaction, consent).await,
        None => check_hearing(room, interaction).await,
    }
    true
}

async fn decide_consent(room: &BotContext, interaction: &ComponentInteraction, consent: Consent) {
    let Some(guild) = interaction.guild_id else {
        return respond(room, interaction, bot::ONLY_IN_SERVERS).await;
    };
    // A refusal needs no access.
    if consent == Consent::Yes
        && let Some(sentence) = access_refusal(room, interaction).await
    {
        return respond(room, interaction, sentence).await;
    }
    let person = interaction.user.id.get();
    let decided = room
        .voice_sessions
        .decide_consent(guild.get(), person, consent)
        .await;
    let sentence = match (decided, consent) {
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
    respond(room, interaction, sentence).await;
}

/// Why the user may not use the bot; `None` if they may.
async fn access_refusal(
    room: &BotContext,
    interaction: &ComponentInteraction,
) -> Option<&'static str> {
    match authorize_invoker(room, interaction).await {
        Ok(Some(_)) => None,
        Ok(None) => Some(bot::NO_ACCESS),
        Err(error) => {
            log_store_error(error);
            Some(bot::LEDGER_UNAVAILABLE)
        }
    }
}

async fn check_hearing(room: &BotContext, interaction: &ComponentInteraction) {
    if let Some(sentence) = access_refusal(room, interaction).await {
        return respond(room, interaction, sentence).await;
    }
    let running = interaction
        .guild_id
        .and_then(|guild| room.voice_sessions.running_in_guild(guild.get()));
    let Some(running) = running else {
        return respond(room, interaction, words::NO_SESSION).await;
    };
    respond(room, interaction, words::HEARING_CHECK_PROMPT).await;
    let person = interaction.user.id.get();
    let asked = running.request(|reply| SessionMessage::CheckHearing { person, reply });
    let checked = tokio::time::timeout(HEARING_CHECK_TIMEOUT, asked).await;
    let mut checked = checked.ok().flatten();
    if let Some(crate::flow::session::call::HearingCheckResult::Heard(said)) = &mut checked {
        *said = text::escape(said);
    }
    let sentence: String = words::hearing_check_result(checked.as_ref())
        .chars()
        .take(MAX_MESSAGE_CHARS)
        .collect();
    let responder = InteractionResponder::for_button(&room.reply_context.discord_api, interaction);
    responder
        .complete_deferred(&OutgoingMessage::text(sentence))
        .await;
}

async fn respond(room: &BotContext, interaction: &ComponentInteraction, sentence: &str) {
    let responder = InteractionResponder::for_button(&room.reply_context.discord_api, interaction);
    responder
        .respond_privately(&OutgoingMessage::text(sentence))
        .await;
}
