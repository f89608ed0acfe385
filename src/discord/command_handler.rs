//! Answers application commands. Every response is private, except for jobs that are to be public.

use std::time::Duration;

use serenity::all::{
    AuthorizingIntegrationOwner, CommandInteraction, InteractionContext, Message, Timestamp,
};

use super::api_error::ApiError;
use super::bot_context::{BotContext, log_store_error};
use super::command_parser::ApplicationCommand;
use super::discord_api::{MAX_MESSAGE_CHARS, OutgoingMessage};
use super::guild_cache::{self, EventMember};
use super::interaction_responder::InteractionResponder;
use super::{message_parser, settings_command, voice};
use crate::flow::access::MemberAccess;
use crate::flow::conversation_history::ConversationRef;
use crate::flow::guild_settings::GuildSettings;
use crate::flow::job_scheduler::{CarriedOver, JobSubmission, SubmitError};
use crate::flow::job_spec::{Attachment, JobSpec, OutputKind, ReferencedMessage, ReplyTarget};
use crate::store::{StoreError, Usage};
use crate::ui_text::bot as words;

/// Time limit for loading a server's settings before the command is answered without them: Discord
/// waits three seconds for a response.
const LOOKUP_TIMEOUT: Duration = Duration::from_millis(1_000);

/// How many lines `/usage` shows.
const MAX_USAGE_LINES: u32 = 20;

/// A job requested by a command, before access and settings are known.
struct CommandJob {
    output: OutputKind,
    recordings: Vec<Attachment>,
    question: Option<String>,
    is_private: Option<bool>,
    /// The message whose conversation it continues.
    reply_parent: Option<u64>,
    /// The part of somebody's message that it is about.
    referenced: Option<ReferencedMessage>,
}

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
                recordings: message_parser::recordings(&message),
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
                recordings: message_parser::recordings(&message),
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

/// Submits a job. The deferral runs at the same time as the access check and the database work.
async fn submit_job(bot: &BotContext, interaction: &CommandInteraction, job: CommandJob) {
    let preloaded = load_guild_settings(bot, interaction).await;
    let access = invoker_access(bot, interaction).await;
    if let Some(settings) = &preloaded
        && access.authorize(settings).is_none()
    {
        return respond_privately(bot, interaction, words::NO_ACCESS).await;
    }
    let written = job.referenced.as_ref().and_then(|it| it.text.as_ref());
    let typed = job.question.as_ref().or(written);
    if job.recordings.is_empty() && typed.is_none() {
        let sentence = match job.output {
            OutputKind::Answer => words::NOTHING_ASKED,
            OutputKind::Transcript(_) => words::NO_RECORDING_IN_MESSAGE,
        };
        return respond_privately(bot, interaction, sentence).await;
    }
    // While the settings are unknown, private is the safe default.
    let private = preloaded
        .as_ref()
        .is_none_or(|settings| settings.private_by_default);
    let private = job.is_private.unwrap_or(private);
    let consents = &bot.scheduler.runner().consents;
    let consent_grant = consents.current_grant(interaction.user.id.get());
    let guild = interaction.guild_id.map(serenity::all::GuildId::get);
    let channel = interaction.channel_id.get();
    let prepare = async {
        let settings = match preloaded {
            Some(settings) => settings,
            None => GuildSettings::load(&bot.reply_context.store, guild).await?,
        };
        let Some(grant) = access.authorize(&settings) else {
            return Err(SubmitError::NoAccess);
        };
        let conversation = match job.reply_parent {
            Some(parent) => ConversationRef::RepliesTo(bot.first_reply_message(parent).await?),
            None => bot.conversation_in(guild, channel).await?,
        };
        let nickname = interaction
            .member
            .as_ref()
            .and_then(|member| member.nick.as_deref());
        let spec = JobSpec {
            output: job.output,
            requester_name: message_parser::display_name(&interaction.user, nickname),
            recordings: job.recordings,
            question: job.question,
            conversation,
            reply_target: ReplyTarget::Command {
                token: interaction.token.clone(),
                private,
                interaction_only: is_user_install_only(interaction),
                button_interaction: None,
            },
            referenced: job.referenced,
        };
        let request = JobSubmission {
            source: interaction.id.get(),
            guild,
            channel,
            author: interaction.user.id.get(),
            spec,
            access: grant,
            carried_over: CarriedOver::default(),
        };
        // The job is submitted only after the deferral: the response must exist before it can be
        // edited.
        Ok(request)
    };
    let (deferred, request) = tokio::join!(defer(bot, interaction, private), prepare);
    if let Err(error) = deferred {
        // The answer goes to the channel instead.
        tracing::warn!(source = interaction.id.get(), trouble = %error, "not deferred");
    }
    let refused = match request {
        Ok(request) => match bot.scheduler.submit(consent_grant.wrap(request)).await {
            Ok(_) => return,
            Err(SubmitError::Store(error)) => log_store_error(error),
            Err(refused) => refused,
        },
        Err(SubmitError::Store(error)) => log_store_error(error),
        Err(refused) => refused,
    };
    complete_response(
        bot,
        interaction,
        &truncated_message(&words::request_refused(&refused)),
    )
    .await;
}

/// Answers commands that need the ledger or a voice session. They are deferred, because either can
/// be slow.
async fn answer_deferred(
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

/// Members see their own usage; those who can manage the server see everybody's. In a direct
/// message users see their usage everywhere.
async fn usage_report(
    bot: &BotContext,
    interaction: &CommandInteraction,
    guild: Option<u64>,
    days: i64,
    member: Option<u64>,
) -> Result<String, StoreError> {
    let only = if invoker_manages_guild(interaction) {
        member
    } else {
        Some(interaction.user.id.get())
    };
    let runner = bot.scheduler.runner();
    runner.admission.flush().await;
    let today = (runner.clock)().day();
    let span = today - days + 1..=today;
    let prices = &runner.admission.rules().prices;
    let store = &bot.reply_context.store;
    let own = interaction.user.id.get();
    let (total, latest) = match guild {
        Some(guild) => (
            store.guild_usage(guild, only, span.clone()).await?,
            store
                .guild_usage_by_member(guild, only, span, MAX_USAGE_LINES)
                .await?,
        ),
        None => {
            let used = store.author_usage_by_day(own, span).await?;
            let total = used.iter().fold(Usage::default(), |total, (_, used)| {
                total.saturating_add(used)
            });
            let latest = used.into_iter().map(|(day, used)| (day, own, used));
            (total, latest.collect())
        }
    };
    let mut lines: Vec<String> = latest
        .iter()
        .take(MAX_USAGE_LINES as usize)
        .map(|(day, who, used)| words::daily_usage_line(&format_day(*day), *who, used, prices))
        .collect();
    if lines.is_empty() {
        return Ok(words::no_usage(days));
    }
    lines.insert(0, words::usage_title(days, &total, prices));
    Ok(lines.join("\n"))
}

/// `2026-11-24`
fn format_day(day: i64) -> String {
    Timestamp::from_unix_timestamp(day * 86_400).map_or_else(
        |_| day.to_string(),
        |at| at.to_string().chars().take(10).collect(),
    )
}

fn invoker_manages_guild(interaction: &CommandInteraction) -> bool {
    let permissions = interaction.member.as_ref().and_then(|it| it.permissions);
    permissions.is_some_and(guild_cache::can_manage_guild)
}

/// Whether the bot is present only because the user installed it to their account.
fn is_user_install_only(interaction: &CommandInteraction) -> bool {
    let added = interaction
        .authorizing_integration_owners
        .0
        .iter()
        .any(|owner| matches!(owner, AuthorizingIntegrationOwner::GuildInstall(_)));
    match interaction.context {
        Some(InteractionContext::BotDm) => false,
        Some(InteractionContext::PrivateChannel) => true,
        _ => interaction.guild_id.is_some() && !added,
    }
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
