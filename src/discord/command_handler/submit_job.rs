//! Submits the job that a command requests.

use serenity::all::{AuthorizingIntegrationOwner, CommandInteraction, InteractionContext};

use super::super::bot_context::{BotContext, log_store_error};
use super::super::message_parser;
use super::{
    complete_response, defer, invoker_access, load_guild_settings, respond_privately,
    truncated_message,
};
use crate::flow::conversation_history::ConversationRef;
use crate::flow::guild_settings::GuildSettings;
use crate::flow::job_scheduler::{CarriedOver, JobSubmission, SubmitError};
use crate::flow::job_spec::{Attachment, JobSpec, OutputKind, ReferencedMessage, ReplyTarget};
use crate::ui_text::bot as words;

/// A job requested by a command, before access and settings are known.
pub(super) struct CommandJob {
    pub(super) output: OutputKind,
    pub(super) recordings: Vec<Attachment>,
    pub(super) question: Option<String>,
    pub(super) is_private: Option<bool>,
    /// The message whose conversation it continues.
    pub(super) reply_parent: Option<u64>,
    /// The part of somebody's message that it is about.
    pub(super) referenced: Option<ReferencedMessage>,
}

/// Submits a job. The deferral runs at the same time as the access check and the database work.
pub(super) async fn submit_job(
    bot: &BotContext,
    interaction: &CommandInteraction,
    job: CommandJob,
) {
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
