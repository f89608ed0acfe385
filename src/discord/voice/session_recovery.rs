//! Sessions that another process left behind: open ones are resumed where they were, and the end of
//! ended ones is published.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serenity::all::{Guild, GuildId};

use super::super::api_error::ApiError;
use super::super::bot_context::log_store_error;
use super::super::discord_api::OutgoingMessage;
use super::super::message_parser::display_name;
use super::manager;
use super::nickname_mark;
use super::permissions;
use super::recording_notice::RecordingNoticeError;
use super::session_start::JoinedSession;
use super::sessions::{SlotGuard, VoiceSessions};
use super::start_error::StartSessionError;
use crate::flow::session::actor::SessionMessage;
use crate::flow::session::clock::session_elapsed;
use crate::flow::session::session_end::{self, RecordedEnd};
use crate::flow::session::{SessionEndReason, SessionSetup};
use crate::store::{
    EndedSession, OpenSession, SessionRecord, StoreError, Timestamp, UnfinishedSession,
};
use crate::ui_text::voice_session as words;

/// A session of a killed process is resumed within this time of its last sign of life, and closed
/// later than that.
const RECOVERY_WINDOW: Duration = Duration::from_secs(120);

/// Time between two searches for abandoned sessions.
const RECOVERY_INTERVAL: Duration = Duration::from_secs(30);

/// How long publishing an end is retried.
const MAX_PUBLISH_AGE: Duration = Duration::from_secs(86_400);

/// Ends to publish concurrently. The next search finds the rest.
const MAX_PUBLISHING_ENDS: usize = 64;

/// Claim on publishing one end, so that it is published only once.
struct PublishEndGuard {
    sessions: Arc<VoiceSessions>,
    session_id: i64,
}

impl Drop for PublishEndGuard {
    fn drop(&mut self) {
        self.sessions
            .lock_publishing_ends()
            .remove(&self.session_id);
    }
}

impl VoiceSessions {
    /// A server became available: caches who is in its calls and recovers a session that another
    /// process left in it.
    pub(in crate::discord) fn on_guild_available(self: &Arc<Self>, guild: &Guild) {
        let states = guild.voice_states.values().filter_map(|state| {
            let mut cached = manager::to_cached_voice_state(state)?;
            if let Some(member) = guild.members.get(&state.user_id) {
                cached.name = Some(display_name(&member.user, member.nick.as_deref()));
                cached.is_bot = member.user.bot;
            }
            Some((state.user_id.get(), cached))
        });
        let guild_id = guild.id.get();
        self.voice_states.replace_guild(guild_id, states);
        // GUILD_CREATE is the only source for changes during a gateway outage.
        self.sync_voice_states(guild_id);
        // Recovery may take long; events of other servers must not wait for it.
        let sessions = Arc::clone(self);
        self.background_tasks.spawn(async move {
            if let Err(error) = sessions.recover_session(guild_id).await {
                log_store_error(error);
            }
        });
    }

    /// Handles the list of servers on a shard. There is no event for a removal while the bot was
    /// offline, so a server with an unfinished session that is missing from the list is checked.
    pub(in crate::discord) async fn on_shard_guilds(
        self: &Arc<Self>,
        (shard, shards): (u32, u32),
        present: &[GuildId],
    ) {
        let unfinished = match self.reply_context.store.unfinished_sessions().await {
            Ok(unfinished) => unfinished,
            Err(error) => {
                log_store_error(error);
                return;
            }
        };
        let missing: HashSet<u64> = unfinished
            .iter()
            .map(|unfinished| unfinished.session().details.guild)
            .filter(|guild| (guild >> 22) % u64::from(shards.max(1)) == u64::from(shard))
            .filter(|guild| !present.iter().any(|id| id.get() == *guild))
            .collect();
        for guild in missing {
            let known = self
                .reply_context
                .discord_api
                .get_guild(GuildId::new(guild))
                .await;
            if matches!(known, Err(ApiError::NotFound(_) | ApiError::Forbidden(_))) {
                self.on_removed_from_guild(guild).await;
            }
        }
    }

    /// The bot was removed from a server: ends its session and deletes the server's data.
    pub(in crate::discord) async fn on_removed_from_guild(&self, guild_id: u64) {
        tracing::info!(guild = guild_id, "removed from a server");
        self.voice_states.replace_guild(guild_id, []);
        if let Some(running) = self.running_in_guild(guild_id) {
            running
                .end(
                    self.job_scheduler.runner(),
                    SessionEndReason::RemovedFromCall,
                )
                .await;
        }
        if let Err(error) = self.reply_context.store.forget_guild(guild_id).await {
            log_store_error(error);
        }
    }

    /// A channel was deleted. A session that posts there must end, because nobody could see that it
    /// listens.
    pub(in crate::discord) async fn on_channel_deleted(&self, channel: u64) {
        for running in self.running_sessions() {
            if running.session.details.text_channel == channel {
                running.microphone.close();
                running
                    .end(
                        self.job_scheduler.runner(),
                        SessionEndReason::RecordingNoticeFailed,
                    )
                    .await;
            }
        }
    }

    /// Periodically publishes overdue ends and closes expired sessions. Their server may never
    /// become available again.
    pub(in crate::discord) async fn run_recovery_loop(self: Arc<Self>) {
        loop {
            match self.reply_context.store.unfinished_sessions().await {
                Ok(unfinished) => {
                    for unfinished in unfinished {
                        match unfinished {
                            UnfinishedSession::Ended(ended) => self.spawn_publish_end(ended),
                            UnfinishedSession::Open(open) => self.close_if_expired(open),
                        }
                    }
                }
                Err(error) => {
                    log_store_error(error);
                }
            }
            tokio::time::sleep(RECOVERY_INTERVAL).await;
        }
    }

    /// Closes a session that nobody resumed in time.
    fn close_if_expired(self: &Arc<Self>, open: OpenSession) {
        let session = open.session().clone();
        if self.time_since_last_seen(&session) <= RECOVERY_WINDOW {
            return;
        }
        let Ok(slot) = self.reserve_slot(session.details.guild) else {
            return;
        };
        let sessions = Arc::clone(self);
        self.background_tasks.spawn(async move {
            sessions
                .close_unfinished_session(open, SessionEndReason::ProcessDied, slot)
                .await;
        });
    }

    /// Publishes an end in a background task, unless that is under way.
    fn spawn_publish_end(self: &Arc<Self>, ended: EndedSession) {
        let session = &ended.session;
        let running = self.running_in_guild(session.details.guild);
        // A running session publishes its own end.
        if running.is_some_and(|running| running.session.id == session.id) {
            return;
        }
        let slot = self.reserve_slot(session.details.guild).ok();
        let sessions = Arc::clone(self);
        self.background_tasks.spawn(async move {
            let recorded_end = RecordedEnd::from(&ended);
            sessions
                .publish_unfinished_end(&ended.session, &recorded_end, slot)
                .await;
        });
    }

    /// How long ago the session's process gave its last sign of life.
    fn time_since_last_seen(&self, session: &SessionRecord) -> Duration {
        let now = self.now();
        Duration::from_millis(u64::try_from(now.0 - session.last_seen.0).unwrap_or(0))
    }

    async fn recover_session(self: &Arc<Self>, guild: u64) -> Result<(), StoreError> {
        if self.is_shutting_down() {
            return Ok(());
        }
        for unfinished in self
            .reply_context
            .store
            .unfinished_guild_sessions(guild)
            .await?
        {
            match unfinished {
                UnfinishedSession::Ended(ended) => self.spawn_publish_end(ended),
                UnfinishedSession::Open(_) => {}
            }
        }
        let Ok(mut slot) = self.reserve_slot(guild) else {
            return Ok(());
        };
        // Query again: the previous holder of the slot may just have started or ended a session.
        let unfinished = self
            .reply_context
            .store
            .unfinished_guild_sessions(guild)
            .await?;
        let open = unfinished
            .into_iter()
            .find_map(|unfinished| match unfinished {
                UnfinishedSession::Open(open) => Some(open),
                UnfinishedSession::Ended(_) => None,
            });
        let Some(mut open) = open else {
            return Ok(());
        };
        let id = open.session().id;
        if let Some(state) = self
            .voice_states
            .get(guild, self.reply_context.discord_api.bot_user.get())
            && state.channel_id != open.session().details.voice_channel
        {
            // The bot was moved while no process was watching.
            self.reply_context
                .store
                .record_session_move(id, state.channel_id)
                .await?;
            match self.reply_context.store.joinable_session(id).await? {
                Some(moved) => open = moved,
                None => return Ok(()),
            }
        }
        if let Err(end_reason) = self.resume_session(&open, &mut slot).await {
            let session = open.session().clone();
            let recorded_end =
                session_end::record_abandoned_end(self.job_scheduler.runner(), open, end_reason)
                    .await;
            // Leave the call that the failed attempt may have joined.
            self.voice_gateway(&session).leave().await;
            self.publish_unfinished_end(&session, &recorded_end, Some(slot))
                .await;
        }
        Ok(())
    }

    /// Resumes a session if possible; otherwise returns the reason with which it ends.
    async fn resume_session(
        self: &Arc<Self>,
        open: &OpenSession,
        slot: &mut SlotGuard,
    ) -> Result<(), SessionEndReason> {
        let session = open.session();
        let (id, guild) = (session.id.0, session.details.guild);
        let setup: SessionSetup = serde_json::from_str(&session.details.payload)
            .map_err(|_| SessionEndReason::ProcessDied)?;
        let away = self.time_since_last_seen(session);
        let people = self
            .voice_states
            .humans_in_channel(guild, session.details.voice_channel);
        let again = away <= RECOVERY_WINDOW && !people.is_empty();
        tracing::info!(session = id, ?away, again, "found an abandoned session");
        if !again {
            return Err(SessionEndReason::ProcessDied);
        }
        let discord_api = &self.reply_context.discord_api;
        if let Some(end_reason) =
            permissions::unusable_voice_channel(discord_api, session.details.voice_channel).await
        {
            return Err(match end_reason {
                SessionEndReason::MovedToStage => SessionEndReason::MovedToStage,
                _ => SessionEndReason::ProcessDied,
            });
        }
        let may_write = permissions::check_text_channel(
            discord_api,
            GuildId::new(guild),
            session.details.text_channel,
            None,
        )
        .await;
        if may_write.is_err() {
            return Err(SessionEndReason::RecordingNoticeFailed);
        }
        let now = self.now();
        let joined = self
            .join_call(open, setup.clone(), session_elapsed(session, now), slot)
            .await;
        let joined = joined.map_err(|error| {
            tracing::warn!(session = id, %error, "could not resume a session");
            SessionEndReason::ProcessDied
        })?;
        let notice = if open.is_notice_posted() {
            OutgoingMessage::text(words::SESSION_RESUMED)
        } else {
            let requester = self.fetch_member(guild, session.details.requested_by).await;
            let name = requester.map_or_else(|| words::SOMEBODY.to_owned(), |(name, _)| name);
            self.compose_recording_notice(&name, session, &setup).await
        };
        let JoinedSession { running, clock } = joined;
        let from = session_elapsed(session, session.last_seen);
        let from = open
            .interrupted_since_ms()
            .map_or(from, |since| from.min(Duration::from_millis(since)));
        match self.announce_and_listen(&running, &notice).await {
            Ok(()) => {
                let gap = SessionMessage::Interruption(from, clock.elapsed());
                let _ = running.messages.send(gap).await;
            }
            Err(StartSessionError::RecordingNotice(RecordingNoticeError::SessionEnded)) => {
                running
                    .end(self.job_scheduler.runner(), SessionEndReason::ProcessDied)
                    .await;
            }
            Err(error) => {
                tracing::warn!(session = id, %error, "resumed a session, but could not post its notice");
                running
                    .end(
                        self.job_scheduler.runner(),
                        SessionEndReason::RecordingNoticeFailed,
                    )
                    .await;
            }
        }
        Ok(())
    }

    /// Ends an abandoned session and publishes its end.
    async fn close_unfinished_session(
        self: &Arc<Self>,
        open: OpenSession,
        end_reason: SessionEndReason,
        slot: SlotGuard,
    ) {
        let session = open.session().clone();
        let recorded_end =
            session_end::record_abandoned_end(self.job_scheduler.runner(), open, end_reason).await;
        self.publish_unfinished_end(&session, &recorded_end, Some(slot))
            .await;
    }

    /// Publishes the end of a session that another process left.
    async fn publish_unfinished_end(
        self: &Arc<Self>,
        session: &SessionRecord,
        recorded_end: &RecordedEnd,
        slot: Option<SlotGuard>,
    ) {
        let Some(_telling) = self.claim_publish_end(session) else {
            return;
        };
        if let Some(slot) = &slot {
            slot.set_closing();
            let me = self.reply_context.discord_api.bot_user.get();
            if self.voice_states.get(session.details.guild, me).is_some() {
                // The process that ended the session did not get to leave the call.
                self.voice_gateway(session).leave().await;
            }
            nickname_mark::remove_leftover_mark(
                &self.reply_context.discord_api,
                session.details.guild,
            )
            .await;
        }
        let transcript_view = self.new_transcript_view(
            (session.id.0, session.details.text_channel),
            session.started,
        );
        let is_published = session_end::publish_result(
            &self.job_scheduler,
            &*transcript_view,
            session,
            recorded_end,
            (self.bot_name(), None),
        )
        .await;
        if !is_published && self.is_publish_expired(recorded_end) {
            tracing::error!(
                session = session.id.0,
                "giving up on publishing the end of a session"
            );
            if let Err(error) = self.reply_context.store.close_session(session.id).await {
                log_store_error(error);
            }
        }
    }

    fn is_publish_expired(&self, recorded_end: &RecordedEnd) -> bool {
        recorded_end.ended_at() < self.now().earlier_by(MAX_PUBLISH_AGE)
    }

    /// Claims the publication of an end. `None` if it is claimed already, or if too many are.
    fn claim_publish_end(self: &Arc<Self>, session: &SessionRecord) -> Option<PublishEndGuard> {
        let session = session.id.0;
        let mut publishing = self.lock_publishing_ends();
        if publishing.len() >= MAX_PUBLISHING_ENDS || !publishing.insert(session) {
            return None;
        }
        Some(PublishEndGuard {
            sessions: Arc::clone(self),
            session_id: session,
        })
    }

    fn lock_publishing_ends(&self) -> std::sync::MutexGuard<'_, HashSet<i64>> {
        self.publishing_ends
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.job_scheduler.runner().clock)()
    }

    /// Ends the session of a server, including one that is being resumed. Returns false if there is
    /// none.
    pub(in crate::discord) async fn end_session(self: &Arc<Self>, guild: u64) -> bool {
        let job_runner = self.job_scheduler.runner();
        if let Some(running) = self.running_in_guild(guild) {
            if !running.is_ending() {
                running.end(job_runner, SessionEndReason::Requested).await;
            }
            running.finished.cancelled().await;
            return true;
        }
        let unfinished = match self
            .reply_context
            .store
            .unfinished_guild_sessions(guild)
            .await
        {
            Ok(unfinished) => unfinished,
            Err(error) => {
                log_store_error(error);
                return false;
            }
        };
        let mut ended = false;
        for unfinished in unfinished {
            if let UnfinishedSession::Open(open) = unfinished {
                let session = open.session().clone();
                let recorded_end = session_end::record_abandoned_end(
                    job_runner,
                    open,
                    SessionEndReason::Requested,
                )
                .await;
                ended = true;
                // If the slot is taken, its holder will find the session ended and publish the end.
                if let Ok(slot) = self.reserve_slot(guild) {
                    self.publish_unfinished_end(&session, &recorded_end, Some(slot))
                        .await;
                }
            }
        }
        ended
    }
}
