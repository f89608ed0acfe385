//! Submits messages as jobs, and tells their authors why one is refused.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use serenity::all::Message;

use super::super::attachments;
use super::super::channel_cache::ChannelInfo;
use super::super::discord_api::OutgoingMessage;
use super::super::guild_cache::EventMember;
use super::super::message_delivery::DeliveryRequest;
use super::super::message_parser::{self, AuthorKind, BotIdentity, MessageTrigger};
use super::super::proxy_tracker::{self, OriginalMessage};
use super::super::snowflake;
use super::{BotContext, log_store_error};
use crate::flow::access::MemberAccess;
use crate::flow::guild_settings::GuildSettings;
use crate::flow::job_scheduler::{CarriedOver, JobSubmission, SubmitError};
use crate::store::StoreError;
use crate::ui_text::bot as words;

/// Minimum time before a user sees the same refusal again in the same channel: fifty voice notes at
/// once get one sentence.
const NOTICE_COOLDOWN: Duration = Duration::from_secs(20);

/// How long to keep trying to deliver a refusal.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(120);

/// How many recent refusals to remember.
const MAX_RECENT_NOTICES: usize = 10_000;

/// Why a message that addresses the bot does not become a job.
enum MessageRejection {
    UserNotice(String),
    Store(StoreError),
}

impl From<StoreError> for MessageRejection {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl BotContext {
    /// Submits a message as a job if it is meant for the bot. Returns whether it may have been.
    pub(in crate::discord) async fn handle_message(&self, message: &Message) -> bool {
        let bot = self.bot_identity(message).await;
        let Some(trigger) = message_parser::detect_trigger(message, &bot) else {
            return false;
        };
        if !trigger.is_addressed() && attachments::voice_notes(message).is_empty() {
            return false;
        }
        if trigger.author_kind == AuthorKind::User && self.is_proxied(message).await {
            return false;
        }
        // Before anything slow: the deletion of the original is about to be reported.
        let original = match trigger.author_kind {
            AuthorKind::User => None,
            AuthorKind::Webhook => self.proxy_tracker.match_original(message),
        };
        let result = self
            .submit_message(message, &trigger, &bot, original.as_ref())
            .await;
        if let Some(original) = original {
            self.withdraw_jobs_about(original.message_id).await;
        }
        let sentence = match result {
            Ok(()) => return true,
            Err(MessageRejection::UserNotice(sentence)) => sentence,
            Err(MessageRejection::Store(error)) => words::request_refused(&log_store_error(error)),
        };
        self.send_notice(message, &sentence).await;
        true
    }

    /// Who the bot is in the server of this message.
    pub(in crate::discord) async fn bot_identity(&self, message: &Message) -> BotIdentity {
        let api = &self.reply_context.discord_api;
        let role = match message.guild_id {
            // Roles matter only if the message mentions one.
            Some(guild) if !message.mention_roles.is_empty() => {
                self.reply_context.guild_cache.bot_role(api, guild).await
            }
            _ => None,
        };
        BotIdentity {
            user_id: api.bot_user,
            application_id: api.http.application_id(),
            role_id: role,
        }
    }

    /// Whether a proxy bot repeats this message, in which case the repeat is answered instead.
    /// Waits for the repeat if the author is known to use a proxy bot.
    async fn is_proxied(&self, message: &Message) -> bool {
        let Some(guild) = message.guild_id else {
            return false;
        };
        self.proxy_tracker.record_message(message);
        let author = message.author.id.get();
        if self.proxy_tracker.is_proxied_user(guild.get(), author) {
            let age = snowflake::age(message.id.get());
            tokio::time::sleep(proxy_tracker::PROXY_WAIT.saturating_sub(age)).await;
        }
        self.proxy_tracker.is_proxied(message.id.get())
    }

    async fn submit_message(
        &self,
        message: &Message,
        trigger: &MessageTrigger,
        bot: &BotIdentity,
        original: Option<&OriginalMessage>,
    ) -> Result<(), MessageRejection> {
        let consents = &self.scheduler.runner().consents;
        let author = original.map_or(message.author.id.get(), |original| original.author_id);
        let consent_grant = consents.current_grant(author);
        let guild = message.guild_id.map(serenity::all::GuildId::get);
        let channel = message.channel_id.get();
        let settings = GuildSettings::load(&self.reply_context.store, guild).await?;
        let channel_info = match guild {
            Some(_) => {
                self.channel_cache
                    .channel_info(&self.reply_context.discord_api, channel)
                    .await
            }
            None => ChannelInfo::default(),
        };
        if !trigger.is_addressed()
            && !message_parser::voice_notes_enabled(&settings, channel, channel_info)
        {
            return Ok(());
        }
        let access = self
            .author_access(message, trigger, original, &settings)
            .await;
        let Some(grant) = access.authorize(&settings) else {
            // A message that does not address the bot needs no refusal.
            if !trigger.is_addressed() {
                return Ok(());
            }
            let sentence = words::request_refused(&SubmitError::NoAccess);
            return Err(MessageRejection::UserNotice(sentence));
        };
        let recordings = if trigger.mentions_bot {
            attachments::recordings_or_replied_to(message)
        } else if trigger.is_addressed() {
            attachments::recordings(message)
        } else {
            attachments::voice_notes(message)
        };
        let question = message_parser::question_text(message, bot);
        if recordings.is_empty() && question.is_none() {
            let sentence = match attachments::attachments_with_voice_flag(message).next() {
                None => words::NOTHING_ASKED,
                Some(_) => words::UNSUPPORTED_ATTACHMENT,
            };
            return Err(MessageRejection::UserNotice(sentence.to_owned()));
        }
        let parent = match message_parser::replied_to_id(message) {
            Some(parent) => Some(self.first_reply_message(parent.get()).await?),
            None => None,
        };
        let conversation = match self.voice_conversation_in(guild, channel).await? {
            Some(conversation) => conversation,
            None => message_parser::conversation_for(channel, channel_info, parent),
        };
        let spec = message_parser::build_job_spec(message, recordings, question, conversation);
        let carried_over = match original {
            Some(original) => self.hand_over_original(original).await?,
            None => CarriedOver::default(),
        };
        let request = JobSubmission {
            source: message.id.get(),
            guild,
            channel,
            author,
            spec,
            access: grant,
            carried_over,
        };
        match self.scheduler.submit(consent_grant.wrap(request)).await {
            Ok(_) => Ok(()),
            Err(SubmitError::Store(error)) => Err(MessageRejection::Store(error)),
            Err(refused) => Err(MessageRejection::UserNotice(words::request_refused(
                &refused,
            ))),
        }
    }

    /// The author's access in the server. A webhook has none unless the user it speaks for is
    /// known.
    async fn author_access(
        &self,
        message: &Message,
        trigger: &MessageTrigger,
        original: Option<&OriginalMessage>,
        settings: &GuildSettings,
    ) -> MemberAccess {
        if settings.required_role.is_none() {
            // Roles are not needed.
            return MemberAccess::default();
        }
        let member = match (trigger.author_kind, original) {
            (_, Some(original)) => EventMember {
                user: original.author_id.into(),
                roles: original.roles.as_deref(),
                permissions: None,
            },
            (AuthorKind::Webhook, None) => EventMember {
                user: message.author.id,
                roles: Some(&[]),
                permissions: Some(serenity::all::Permissions::empty()),
            },
            // Messages fetched over REST do not carry their author's roles.
            (AuthorKind::User, None) => EventMember {
                user: message.author.id,
                roles: message.member.as_ref().map(|it| it.roles.as_slice()),
                permissions: None,
            },
        };
        let context = &self.reply_context;
        context
            .guild_cache
            .resolve_access(&context.discord_api, message.guild_id, member)
            .await
    }

    /// Carries over what was done for a message that a proxy bot repeats, and deletes the messages
    /// that show it.
    async fn hand_over_original(
        &self,
        original: &OriginalMessage,
    ) -> Result<CarriedOver, StoreError> {
        let (carried_over, shown) = self.scheduler.hand_over_job(original.message_id).await?;
        if let Some((channel, messages)) = shown {
            self.delete_messages(channel, &messages).await;
        }
        Ok(carried_over)
    }

    /// Replies with a sentence, unless the author got the same one a moment ago.
    async fn send_notice(&self, message: &Message, sentence: &str) {
        let (channel, author) = (message.channel_id.get(), message.author.id.get());
        // What follows the first full stop may be a changing time.
        let beginning = sentence.split('.').next().unwrap_or_default().to_owned();
        let key = (channel, author, beginning);
        {
            let mut recent = self
                .recent_notices
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if recent.len() >= MAX_RECENT_NOTICES {
                recent.retain(|_, at| at.elapsed() < NOTICE_COOLDOWN);
            }
            let previous = recent.get(&key);
            if previous.is_some_and(|at| at.elapsed() < NOTICE_COOLDOWN)
                || recent.len() >= MAX_RECENT_NOTICES
            {
                return;
            }
            recent.insert(key, Instant::now());
        }
        let source = message.id.get();
        let outgoing = OutgoingMessage::text(sentence);
        let request = DeliveryRequest {
            channel,
            reply_to: Some(source),
            dm_recipient: message.guild_id.map(|_| author),
            nonce: &format!("s{source}"),
            message: &outgoing,
            no_files_notice: words::CANNOT_ATTACH_FILES,
            is_still_wanted: &|| true,
        };
        if let Err(error) = self
            .reply_context
            .discord_api
            .deliver(&request, NOTICE_TIMEOUT)
            .await
        {
            tracing::warn!(source, channel, trouble = %error, "a sentence was not delivered");
        }
    }
}
