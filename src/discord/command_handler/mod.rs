//! Answers application commands. Every response is private, except for jobs that are to be public.

mod deferred;
mod submit_job;
mod usage_report;

use std::time::Duration;

use serenity::all::{CommandInteraction, Message};

use self::deferred::answer_deferred;
use self::submit_job::{CommandJob, submit_job};
use super::api_error::ApiError;
use super::attachments;
use super::bot_context::{BotContext, log_store_error};
use super::command_parser::ApplicationCommand;
use super::discord_api::{MAX_MESSAGE_CHARS, OutgoingMessage};
use super::guild_cache::{self, EventMember};
use super::interaction_responder::InteractionResponder;
use super::message_parser;
use crate::flow::access::MemberAccess;
use crate::flow::guild_settings::GuildSettings;
use crate::flow::job_spec::OutputKind;
use crate::ui_text::bot as words;

/// Time limit for loading a server's settings before the command is answered without them: Discord
/// waits three seconds for a response.
const LOOKUP_TIMEOUT: Duration = Duration::from_millis(1_000);

pub(super) async fn handle_command(bot: &BotContext, interaction: &CommandInteraction) {
    let Some(command) = ApplicationCommand::parse(interaction) else {
        return respond_privately(bot, interaction, words::UNKNOWN_COMMAND).await;
    };
    let job = match command {
        ApplicationCommand::Ask {
            question,
            audio,
            private,
        } => CommandJob {
            output: OutputKind::Answer,
            recordings: audio.into_iter().collect(),
            question,
            is_private: private,
            reply_parent: None,
            referenced: None,
        },
        ApplicationCommand::Transcribe {
            audio,
            format,
            private,
        } => CommandJob {
            output: OutputKind::Transcript(format),
            recordings: vec![audio],
            question: None,
            is_private: private,
            reply_parent: None,
            referenced: None,
        },
        ApplicationCommand::TranscribeMessage(message) => {
            let message = with_forwarded_content(bot, *message).await;
            CommandJob {
                output: OutputKind::Transcript(crate::speech::subtitles::TranscriptFormat::Text),
                recordings: attachments::recordings(&message),
                question: None,
                is_private: Some(true),
                reply_parent: None,
                referenced: Some(message_parser::to_referenced_message(&message, None)),
            }
        }
        ApplicationCommand::AnswerMessage(message) => {
            let mut message = with_forwarded_content(bot, *message).await;
            // Discord leaves the server out of a message command's target.
            message.guild_id = interaction.guild_id;
            let identity = bot.bot_identity(&message).await;
            CommandJob {
                output: OutputKind::Answer,
                recordings: attachments::recordings(&message),
                question: None,
                referenced: Some(message_parser::to_referenced_message(
                    &message,
                    message_parser::question_text(&message, &identity),
                )),
                is_private: None,
                reply_parent: message_parser::replied_to_id(&message)
                    .map(serenity::all::MessageId::get),
            }
        }
        ApplicationCommand::Help => {
            let voice_notes_on = voice_notes_enabled_here(bot, interaction).await;
            return respond_privately(bot, interaction, &words::help(voice_notes_on)).await;
        }
        ApplicationCommand::Privacy => {
            return respond_privately(
                bot,
                interaction,
                &words::privacy(&bot.reply_context.data_handling),
            )
            .await;
        }
        command => return answer_deferred(bot, interaction, command).await,
    };
    submit_job(bot, interaction, job).await;
}

/// The target of a message command. If it forwards a message and Discord left that out, fetches it
/// again.
async fn with_forwarded_content(bot: &BotContext, message: Message) -> Message {
    if !message_parser::is_forward(&message) || !message.message_snapshots.is_empty() {
        return message;
    }
    let (channel, id) = (message.channel_id.get(), message.id.get());
    let read = bot.reply_context.discord_api.get_message(channel, id);
    match tokio::time::timeout(LOOKUP_TIMEOUT, read).await {
        Ok(Ok(whole)) => whole,
        Ok(Err(error)) => {
            tracing::debug!(channel, message = id, trouble = %error, "what is forwarded can't be read");
            message
        }
        Err(_) => message,
    }
}

fn invoker_manages_guild(interaction: &CommandInteraction) -> bool {
    let permissions = interaction.member.as_ref().and_then(|it| it.permissions);
    permissions.is_some_and(guild_cache::can_manage_guild)
}

/// The invoker's access in the server.
async fn invoker_access(bot: &BotContext, interaction: &CommandInteraction) -> MemberAccess {
    let member = interaction.member.as_ref();
    let member = EventMember {
        user: interaction.user.id,
        roles: Some(member.map_or(&[], |member| member.roles.as_slice())),
        permissions: Some(member.and_then(|it| it.permissions).unwrap_or_default()),
    };
    let context = &bot.reply_context;
    let guild = interaction.guild_id;
    context
        .guild_cache
        .resolve_access(&context.discord_api, guild, member)
        .await
}

/// The server's settings; `None` if the ledger fails or is too slow.
async fn load_guild_settings(
    bot: &BotContext,
    interaction: &CommandInteraction,
) -> Option<GuildSettings> {
    let guild = interaction.guild_id.map(serenity::all::GuildId::get);
    let load = GuildSettings::load(&bot.reply_context.store, guild);
    match tokio::time::timeout(LOOKUP_TIMEOUT, load).await {
        Ok(Ok(settings)) => Some(settings),
        Ok(Err(error)) => {
            log_store_error(error);
            None
        }
        Err(_) => None,
    }
}

async fn voice_notes_enabled_here(bot: &BotContext, interaction: &CommandInteraction) -> bool {
    if interaction.guild_id.is_none() {
        return true;
    }
    let Some(settings) = load_guild_settings(bot, interaction).await else {
        return false;
    };
    let channel = interaction.channel_id.get();
    let channel_info = bot
        .channel_cache
        .channel_info(&bot.reply_context.discord_api, channel);
    let channel_info = tokio::time::timeout(LOOKUP_TIMEOUT, channel_info).await;
    let channel_info = channel_info.unwrap_or_default();
    bot.is_message_content_enabled()
        && message_parser::voice_notes_enabled(&settings, channel, channel_info)
}

/// Defers the response.
async fn defer(
    bot: &BotContext,
    interaction: &CommandInteraction,
    private: bool,
) -> Result<(), ApiError> {
    let responder = InteractionResponder::for_command(&bot.reply_context.discord_api, interaction);
    responder.defer(private).await
}

/// Responds at once, visible only to the invoker.
async fn respond_privately(bot: &BotContext, interaction: &CommandInteraction, sentence: &str) {
    let responder = InteractionResponder::for_command(&bot.reply_context.discord_api, interaction);
    responder
        .respond_privately(&OutgoingMessage::text(sentence))
        .await;
}

fn truncated_message(sentence: &str) -> OutgoingMessage {
    OutgoingMessage::text(sentence.chars().take(MAX_MESSAGE_CHARS).collect::<String>())
}

/// Edits the deferred response.
async fn complete_response(
    bot: &BotContext,
    interaction: &CommandInteraction,
    outgoing: &OutgoingMessage,
) {
    let responder = InteractionResponder::for_command(&bot.reply_context.discord_api, interaction);
    responder.complete_deferred(outgoing).await;
}
