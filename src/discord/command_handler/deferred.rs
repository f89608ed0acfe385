//! Answers commands that need the ledger or a voice session.

use serenity::all::CommandInteraction;

use super::super::api_error::ApiError;
use super::super::bot_context::{BotContext, log_store_error};
use super::super::command_parser::ApplicationCommand;
use super::super::{settings_command, voice};
use super::usage_report::usage_report;
use super::{
    complete_response, defer, invoker_access, invoker_manages_guild, load_guild_settings,
    respond_privately, truncated_message,
};
use crate::flow::conversation_history::ConversationRef;
use crate::store::StoreError;
use crate::ui_text::bot as words;

/// Answers commands that need the ledger or a voice session. They are deferred, because either can
/// be slow.
pub(super) async fn answer_deferred(
    bot: &BotContext,
    interaction: &CommandInteraction,
    command: ApplicationCommand,
) {
    let restricted = matches!(
        command,
        ApplicationCommand::Join { .. }
            | ApplicationCommand::Leave
            | ApplicationCommand::Session
            | ApplicationCommand::Summary
    );
    if restricted {
        let access = invoker_access(bot, interaction).await;
        let sentence = match load_guild_settings(bot, interaction).await {
            None => Some(words::LEDGER_UNAVAILABLE),
            Some(settings) => match access.authorize(&settings) {
                None => Some(words::NO_ACCESS),
                Some(_) => None,
            },
        };
        if let Some(sentence) = sentence {
            return respond_privately(bot, interaction, sentence).await;
        }
    }
    if let Err(error) = defer(bot, interaction, true).await {
        tracing::warn!(source = interaction.id.get(), trouble = %error, "not deferred");
        // The user will ask again, so only commands that stop or delete something go on. After a
        // transient error Discord may have the deferral, so the answer is tried.
        let ends = matches!(
            command,
            ApplicationCommand::ForgetMe | ApplicationCommand::Reset | ApplicationCommand::Leave
        );
        if !ends && !matches!(error, ApiError::Transient(_)) {
            return;
        }
    }
    if let Some(outgoing) = voice::handle_command(bot, interaction, &command).await {
        return complete_response(bot, interaction, &outgoing).await;
    }
    let sentence = match run_deferred_command(bot, interaction, command).await {
        Ok(sentence) => sentence,
        Err(error) => {
            log_store_error(error);
            words::LEDGER_UNAVAILABLE.to_owned()
        }
    };
    complete_response(bot, interaction, &truncated_message(&sentence)).await;
}

async fn run_deferred_command(
    bot: &BotContext,
    interaction: &CommandInteraction,
    command: ApplicationCommand,
) -> Result<String, StoreError> {
    let store = &bot.reply_context.store;
    let author = interaction.user.id.get();
    let channel = interaction.channel_id.get();
    let guild = interaction.guild_id.map(serenity::all::GuildId::get);
    match command {
        ApplicationCommand::Reset => {
            let whole = match bot.conversation_in(guild, channel).await? {
                ConversationRef::Thread(_) | ConversationRef::Call { .. } => true,
                ConversationRef::New | ConversationRef::RepliesTo(_) => guild.is_none(),
            };
            let only = (!whole).then_some(author);
            bot.scheduler.wait_until_channel_done(channel, only).await;
            let turns = store.forget_channel(channel, only).await?;
            Ok(words::conversation_reset(turns, whole))
        }
        ApplicationCommand::ForgetMe => {
            let runner = bot.scheduler.runner();
            let now = (runner.clock)();
            // Answers about another user's message are deleted when either of the two asks for it.
            let shared_jobs = store.jobs_shared_with(author).await.unwrap_or_default();
            let mut rows_by_job = Vec::new();
            for job in &shared_jobs {
                rows_by_job.push(store.result_messages(job.id).await.unwrap_or_default());
            }
            let forgotten = runner.consents.forget_user(store, author, now).await;
            bot.voice_sessions.on_user_forgotten(author).await;
            bot.proxy_tracker.forget_user(author);
            bot.scheduler.stop_jobs_without_consent().await;
            for (job, rows) in shared_jobs.iter().zip(&rows_by_job) {
                let messages: Vec<u64> = rows.iter().filter_map(|row| row.message).collect();
                bot.delete_job_messages(job, &messages).await;
            }
            tracing::info!(author, written = forgotten.is_ok(), "forgotten");
            Ok(match forgotten {
                Ok(forgotten) => {
                    let pieces = forgotten.turns + forgotten.lines;
                    words::user_data_deleted(forgotten.jobs, pieces)
                }
                Err(error) => {
                    log_store_error(error);
                    words::DELETION_NOT_SAVED.to_owned()
                }
            })
        }
        ApplicationCommand::Settings(change) => match guild {
            Some(guild) if invoker_manages_guild(interaction) => {
                settings_command::change_settings(bot, guild, channel, change).await
            }
            Some(_) => Ok(words::ONLY_MANAGERS.to_owned()),
            None => Ok(words::ONLY_IN_SERVERS.to_owned()),
        },
        ApplicationCommand::Usage { days, member } => {
            usage_report(bot, interaction, guild, days, member).await
        }
        // Handled before.
        _ => Ok(words::UNKNOWN_COMMAND.to_owned()),
    }
}
