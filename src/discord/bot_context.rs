//! State shared by all event, command and button handlers, and what they have in common: submitting
//! a message as a job and explaining a refusal.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serenity::all::Message;

use super::api_error::ApiError;
use super::channel_cache::ChannelCache;
use super::discord_api::OutgoingMessage;
use super::guild_cache::EventMember;
use super::message_delivery::{DeliveryRequest, INITIAL_BACKOFF, MAX_BACKOFF};
use super::message_parser::{self, AuthorKind, BotIdentity, MessageTrigger};
use super::proxy_tracker::{self, OriginalMessage, ProxyTracker};
use super::snowflake;
use super::streaming_reply::ReplyContext;
use super::voice::VoiceSessions;
use crate::flow::access::MemberAccess;
use crate::flow::conversation_history::ConversationRef;
use crate::flow::guild_settings::GuildSettings;
use crate::flow::job_scheduler::{CarriedOver, JobScheduler, JobSubmission, SubmitError};
use crate::flow::job_spec::{JobSpec, ReplyTarget};
use crate::flow::session::{AnswerMode, SessionSetup};
use crate::store::{Job, StoreError};
use crate::ui_text::bot as words;
use net::Backoff;

/// Minimum time before a user sees the same refusal again in the same channel: fifty voice notes at
/// once get one sentence.
const NOTICE_COOLDOWN: Duration = Duration::from_secs(20);

/// How long to keep trying to deliver a refusal.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(120);

/// How many interaction ids to remember for deduplication.
const MAX_SEEN_INTERACTIONS: usize = 1_024;

/// How long to keep trying to delete a message.
const DELETE_TIMEOUT: Duration = Duration::from_secs(3_600);

/// How many recent refusals to remember.
const MAX_RECENT_NOTICES: usize = 10_000;

/// The running bot, as its handlers see it.
pub(super) struct BotContext {
    pub(super) scheduler: Arc<JobScheduler>,
    pub(super) reply_context: Arc<ReplyContext>,
    pub(super) channel_cache: ChannelCache,
    pub(super) voice_sessions: Arc<VoiceSessions>,
    /// Whether messages in servers arrive with their content.
    pub(super) message_content_enabled: AtomicBool,
    /// Users who speak through a proxy bot.
    pub(super) proxy_tracker: ProxyTracker,
    /// Channel, user and first sentence of recent refusals.
    recent_notices: Mutex<HashMap<(u64, u64, String), Instant>>,
    /// Ids of the latest interactions, oldest first.
    seen_interactions: Mutex<VecDeque<u64>>,
}

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
    pub(super) fn new(
        scheduler: Arc<JobScheduler>,
        reply_context: Arc<ReplyContext>,
        voice_sessions: Arc<VoiceSessions>,
    ) -> Self {
        Self {
            scheduler,
            reply_context,
            voice_sessions,
            channel_cache: ChannelCache::default(),
            proxy_tracker: ProxyTracker::default(),
            message_content_enabled: AtomicBool::new(true),
            recent_notices: Mutex::new(HashMap::new()),
            seen_interactions: Mutex::default(),
        }
    }

    /// Whether this interaction has not been seen before. Remembers it.
    pub(super) fn is_new_interaction(&self, interaction: u64) -> bool {
        let mut known = self
            .seen_interactions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if known.contains(&interaction) {
            return false;
        }
        if known.len() >= MAX_SEEN_INTERACTIONS {
            known.pop_front();
        }
        known.push_back(interaction);
        true
    }

    /// Submits a message as a job if it is meant for the bot. Returns whether it may have been.
    pub(super) async fn handle_message(&self, message: &Message) -> bool {
        let bot = self.bot_identity(message).await;
        let Some(trigger) = message_parser::detect_trigger(message, &bot) else {
            return false;
        };
        if !trigger.is_addressed() && message_parser::voice_notes(message).is_empty() {
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
    pub(super) async fn bot_identity(&self, message: &Message) -> BotIdentity {
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
            None => super::channel_cache::ChannelInfo::default(),
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
            message_parser::recordings_or_replied_to(message)
        } else if trigger.is_addressed() {
            message_parser::recordings(message)
        } else {
            message_parser::voice_notes(message)
        };
        let question = message_parser::question_text(message, bot);
        if recordings.is_empty() && question.is_none() {
            let sentence = match message_parser::attachments_with_voice_flag(message).next() {
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

    /// The conversation that a command continues: the voice session or thread it is used in, or a
    /// new one.
    pub(super) async fn conversation_in(
        &self,
        guild: Option<u64>,
        channel: u64,
    ) -> Result<ConversationRef, StoreError> {
        if guild.is_none() {
            return Ok(ConversationRef::New);
        }
        if let Some(conversation) = self.voice_conversation_in(guild, channel).await? {
            return Ok(conversation);
        }
        let channel_info = self
            .channel_cache
            .channel_info(&self.reply_context.discord_api, channel)
            .await;
        Ok(message_parser::conversation_for(
            channel,
            channel_info,
            None,
        ))
    }

    /// The conversation of the voice session whose transcript goes to this channel, unless the
    /// session keeps what is said from the model.
    async fn voice_conversation_in(
        &self,
        guild: Option<u64>,
        channel: u64,
    ) -> Result<Option<ConversationRef>, StoreError> {
        let Some(running) = self.voice_sessions.session_id_in_channel(guild, channel) else {
            return Ok(None);
        };
        let Some(session) = self.reply_context.store.session(running).await? else {
            return Ok(None);
        };
        let setup: SessionSetup =
            serde_json::from_str(&session.details.payload).map_err(|_| StoreError::Damaged)?;
        Ok(
            (setup.answers != AnswerMode::Never).then_some(ConversationRef::Call {
                session: running.0,
                before: None,
            }),
        )
    }

    /// The message that stands for a reply in its conversation: the reply's first message.
    pub(super) async fn first_reply_message(&self, message: u64) -> Result<u64, StoreError> {
        let store = &self.reply_context.store;
        let Some(job) = store.job_by_result_message(message).await? else {
            return Ok(message);
        };
        self.scheduler.wait_until_done(job.id).await;
        let rows = store.result_messages(job.id).await?;
        let first = rows.iter().find_map(|row| row.message);
        Ok(first.unwrap_or(message))
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

    /// Handles the deletion of a message: withdraws its job, and jobs of others that quote it.
    pub(super) async fn handle_message_deleted(&self, message: u64) {
        if let Err(error) = self.scheduler.on_reply_deleted(message).await {
            log_store_error(error);
        }
        if self.proxy_tracker.is_proxied(message) {
            // The job for the repeated message withdraws this one.
            return;
        }
        self.withdraw_jobs_about(message).await;
    }

    /// Withdraws the job for a message, and jobs of others that quote it.
    async fn withdraw_jobs_about(&self, message: u64) {
        if let Err(error) = self.try_withdraw_jobs_about(message).await {
            log_store_error(error);
        }
    }

    async fn try_withdraw_jobs_about(&self, message: u64) -> Result<(), StoreError> {
        let store = &self.reply_context.store;
        // The message itself first, so that no new job about it starts.
        let own_job = store.job_by_source(message).await?;
        let withdrawn = self.scheduler.withdraw(message).await?;
        if let Some((job, (_, messages))) = own_job.zip(withdrawn) {
            self.delete_job_messages(&job, &messages).await;
        }
        for source in store.sources_referencing(message).await? {
            let job = store.job_by_source(source).await?;
            let withdrawn = self.scheduler.withdraw(source).await?;
            if let Some((job, (_, messages))) = job.zip(withdrawn) {
                self.delete_job_messages(&job, &messages).await;
            }
        }
        Ok(())
    }

    /// Deletes the messages that show the answer to a job. A command's private response can be
    /// deleted only while its token is valid.
    pub(super) async fn delete_job_messages(&self, job: &Job, messages: &[u64]) {
        let spec = serde_json::from_str::<JobSpec>(&job.details.payload);
        let mut messages = messages;
        if let Ok(JobSpec {
            reply_target: ReplyTarget::Command { token, .. },
            ..
        }) = spec
            && let [first, rest @ ..] = messages
        {
            match self
                .reply_context
                .discord_api
                .delete_response_message(&token, *first)
                .await
            {
                Ok(()) => messages = rest,
                Err(error) => {
                    tracing::debug!(job = job.id.0, trouble = %error, "a response is not deleted");
                }
            }
        }
        self.delete_messages(job.details.channel, messages).await;
    }

    /// Deletes the bot's own messages. Retries in the background those that Discord can't delete
    /// right now.
    pub(super) async fn delete_messages(&self, channel: u64, messages: &[u64]) {
        for message in messages.iter().copied() {
            let Err(error) = self
                .reply_context
                .discord_api
                .delete_message(channel, message)
                .await
            else {
                continue;
            };
            tracing::warn!(channel, message, trouble = %error, "not deleted");
            if let ApiError::Transient(_) = error {
                let context = Arc::clone(&self.reply_context);
                tokio::spawn(async move { retry_delete(&context, channel, message).await });
            }
        }
    }

    pub(super) fn is_message_content_enabled(&self) -> bool {
        self.message_content_enabled.load(Ordering::Relaxed)
    }
}

/// Deletes a message once Discord is reachable again. The ledger no longer knows it, so nothing
/// else would.
async fn retry_delete(context: &ReplyContext, channel: u64, message: u64) {
    let started = Instant::now();
    let mut backoff = Backoff::new(INITIAL_BACKOFF, MAX_BACKOFF);
    while started.elapsed() < DELETE_TIMEOUT {
        tokio::time::sleep(backoff.next_delay()).await;
        match context.discord_api.delete_message(channel, message).await {
            Err(ApiError::Transient(_)) => {}
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(channel, message, trouble = %error, "not deleted");
                return;
            }
        }
    }
    tracing::warn!(channel, message, "left where it is");
}

/// Logs a ledger failure and returns the error to tell the user.
pub(super) fn log_store_error(error: StoreError) -> SubmitError {
    tracing::error!(error = &error as &dyn std::error::Error, "the ledger fails");
    SubmitError::Store(error)
}
