//! Handles the buttons below an answer: try again, delete.

use serenity::all::{ComponentInteraction, GuildId, Permissions};

use super::api_error::ApiError;
use super::bot_context::{BotContext, log_store_error};
use super::discord_api::{DELETE_BUTTON_PREFIX, OutgoingMessage, RETRY_BUTTON_PREFIX};
use super::guild_cache::EventMember;
use super::interaction_responder::InteractionResponder;
use super::voice;
use crate::flow::access::AccessGrant;
use crate::flow::guild_settings::GuildSettings;
use crate::flow::job_scheduler::SubmitError;
use crate::store::{Job, JobId, StoreError};
use crate::ui_text::bot as words;

/// Runs a button's action, if the user may use it.
pub(super) async fn handle_button(bot: &BotContext, interaction: &ComponentInteraction) {
    if voice::handle_button(bot, interaction).await {
        return;
    }
    let responder = InteractionResponder::for_button(&bot.reply_context.discord_api, interaction);
    let id = interaction.data.custom_id.as_str();
    let number = |prefix| id.strip_prefix(prefix).and_then(|it| it.parse().ok());
    let sentence = if let Some(job) = number(RETRY_BUTTON_PREFIX) {
        retry_job(bot, interaction, JobId(job), &responder).await
    } else if let Some(job) = number(DELETE_BUTTON_PREFIX) {
        delete_answer(bot, interaction, JobId(job), &responder).await
    } else {
        Ok(Some(words::NOT_STORED.to_owned()))
    };
    let sentence = sentence.unwrap_or_else(|error| {
        log_store_error(error);
        Some(words::LEDGER_UNAVAILABLE.to_owned())
    });
    // Without a sentence the message itself shows the result.
    match sentence {
        Some(sentence) => {
            responder
                .respond_privately(&OutgoingMessage::text(sentence))
                .await;
        }
        None => acknowledge_button(&responder).await,
    }
}

async fn acknowledge_button(responder: &InteractionResponder<'_>) {
    if let Err(error) = responder.acknowledge().await {
        tracing::warn!(trouble = %error, "a button was not answered");
    }
}

async fn retry_job(
    bot: &BotContext,
    interaction: &ComponentInteraction,
    id: JobId,
    responder: &InteractionResponder<'_>,
) -> Result<Option<String>, StoreError> {
    let Some(job) = bot.reply_context.store.job(id).await? else {
        return Ok(Some(words::NOT_STORED.to_owned()));
    };
    if !may_control_job(interaction, Some(&job)) {
        return Ok(Some(words::NOT_REQUESTER.to_owned()));
    }
    let Some(grant) = authorize_invoker(bot, interaction).await? else {
        return Ok(Some(words::NO_ACCESS.to_owned()));
    };
    // The button's token can edit the message only after the acknowledgement.
    acknowledge_button(responder).await;
    let pressed = (interaction.id.get(), interaction.token.as_str());
    match bot.scheduler.retry(id, grant, pressed).await {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some(words::STILL_WORKING.to_owned())),
        Err(SubmitError::Store(error)) => Err(error),
        Err(refused) => Ok(Some(words::request_refused(&refused))),
    }
}

/// The access grant of the user who pressed a button, or `None`.
pub(super) async fn authorize_invoker(
    bot: &BotContext,
    interaction: &ComponentInteraction,
) -> Result<Option<AccessGrant>, StoreError> {
    let guild = interaction.guild_id;
    let context = &bot.reply_context;
    let settings = GuildSettings::load(&context.store, guild.map(GuildId::get)).await?;
    let member = interaction.member.as_ref();
    let member = EventMember {
        user: interaction.user.id,
        roles: Some(member.map_or(&[], |member| member.roles.as_slice())),
        permissions: Some(member.and_then(|it| it.permissions).unwrap_or_default()),
    };
    let access = context
        .guild_cache
        .resolve_access(&context.discord_api, guild, member)
        .await;
    Ok(access.authorize(&settings))
}

async fn delete_answer(
    bot: &BotContext,
    interaction: &ComponentInteraction,
    id: JobId,
    responder: &InteractionResponder<'_>,
) -> Result<Option<String>, StoreError> {
    let job = bot.reply_context.store.job(id).await?;
    if !may_control_job(interaction, job.as_ref()) {
        return Ok(Some(words::NOT_REQUESTER.to_owned()));
    }
    // `withdraw` waits for a message that is being sent, which may take longer than Discord waits.
    acknowledge_button(responder).await;
    let shown = interaction.message.id.get();
    let channel = interaction.channel_id.get();
    if let Some(job) = job
        && let Some((channel, messages)) = bot.scheduler.withdraw(job.details.source).await?
    {
        let others: Vec<u64> = messages.into_iter().filter(|it| *it != shown).collect();
        bot.delete_messages(channel, &others).await;
    }
    let api = &bot.reply_context.discord_api;
    match api.delete_message(channel, shown).await {
        // Where the bot is not a member, the button's token still lets it delete its message.
        Err(ApiError::Forbidden(_)) => {
            if let Err(error) = api.delete_original_response(&interaction.token).await {
                tracing::warn!(channel, message = shown, trouble = %error, "not deleted");
            }
        }
        Ok(()) => {}
        Err(_) => bot.delete_messages(channel, &[shown]).await,
    }
    Ok(None)
}

/// Whether the user requested the job, is the author of what it refers to, or may manage messages
/// here. After the job was forgotten, the message still shows whom it replies to.
fn may_control_job(interaction: &ComponentInteraction, job: Option<&Job>) -> bool {
    let user = interaction.user.id;
    let message = &interaction.message;
    let is_requester = match job {
        Some(job) => {
            let referenced_author = job.details.referenced.map(|it| it.author);
            job.details.author == user.get() || referenced_author == Some(user.get())
        }
        None => {
            let replied_to = message.referenced_message.as_ref();
            replied_to.is_some_and(|parent| parent.author.id == user)
                || message
                    .interaction_metadata
                    .as_deref()
                    .is_some_and(|metadata| invoking_user(metadata) == Some(user))
        }
    };
    let permissions = interaction.member.as_ref().and_then(|it| it.permissions);
    let is_moderator = permissions.is_some_and(|it| {
        it.contains(Permissions::MANAGE_MESSAGES) || it.contains(Permissions::ADMINISTRATOR)
    });
    is_requester || is_moderator
}

fn invoking_user(
    metadata: &serenity::all::MessageInteractionMetadata,
) -> Option<serenity::all::UserId> {
    match metadata {
        serenity::all::MessageInteractionMetadata::Command(command) => Some(command.user.id),
        _ => None,
    }
}
