//! State shared by all event, command and button handlers.
//!
//! `submit_message` turns messages into jobs; `withdraw` handles deleted messages.

mod submit_message;
mod withdraw;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::channel_cache::ChannelCache;
use super::message_parser;
use super::proxy_tracker::ProxyTracker;
use super::reply_context::ReplyContext;
use super::voice::VoiceSessions;
use crate::flow::conversation_history::ConversationRef;
use crate::flow::job_scheduler::{JobScheduler, SubmitError};
use crate::flow::session::{AnswerMode, SessionSetup};
use crate::store::StoreError;

/// How many interaction ids to remember for deduplication.
const MAX_SEEN_INTERACTIONS: usize = 1_024;

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

    pub(super) fn is_message_content_enabled(&self) -> bool {
        self.message_content_enabled.load(Ordering::Relaxed)
    }
}

/// Logs a ledger failure and returns the error to tell the user.
pub(super) fn log_store_error(error: StoreError) -> SubmitError {
    tracing::error!(error = &error as &dyn std::error::Error, "the ledger fails");
    SubmitError::Store(error)
}
