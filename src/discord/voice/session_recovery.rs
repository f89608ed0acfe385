//! Sessions that another process has left: what nobody has ended goes on where it was last, and the
//! end of the others is told.

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
use super::sessions::{JoinedSession, SlotGuard, StartSessionError, VoiceSessions};
use crate::flow::session::call::{SessionMessage, session_elapsed};
use crate::flow::session::session_end::{self, RecordedEnd};
use crate::flow::session::{SessionEndReason, SessionSetup};
use crate::store::{
    EndedSession, OpenSession, SessionRecord, StoreError, Timestamp, UnfinishedSession,
};
use crate::ui_text::voice_session as words;

/// A session that a killed process left is taken up again within this time of its last sign of
/// life; later it is closed.
const RECOVERY_WINDOW: Duration = Duration::from_secs(120);

/// Between two looks for sessions that nobody goes on with.
const RECOVERY_INTERVAL: Duration = Duration::from_secs(30);

/// How long an end is tried to be told.
const MAX_PUBLISH_AGE: Duration = Duration::from_secs(86_400);

/// Ends that are told at once. The next look finds the others.
const MAX_PUBLISHING_ENDS: usize = 64;

/// An end that is being told. Nobody else tells it meanwhile.
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
    /// A server has come into sight: who is in its calls, and whether another process has left a
    /// session in it.
    pub(in crate::discord) fn on_guild_available(self: &Arc<Self>, guild: &Guild) {
        let seats = guild.voice_states.values().filter_map(|state| {
            let mut seat = manager::to_cached_voice_state(state)?;
            if let Some(member) = guild.members.get(&state.user_id) {
                seat.name = Some(display_name(&member.user, member.nick.as_deref()));
                seat.is_bot = member.user.bot;
            }
            Some((state.user_id.get(), seat))
        });
        let server = guild.id.get();
        self.voice_states.replace_guild(server, seats);
        // Who came and went while the gateway was away, it tells in no other way.
        self.sync_voice_states(server);
        // It may take its time; events of other servers do not wait for it.
        let sessions = Arc::clone(self);
        self.background_tasks.spawn(async move {
            if let Err(error) = sessions.recover_session(server).await {
                log_store_error(error);
            }
        });
    }

    /// These are the servers of a shard that the bot is in. Where it was sent away while it was not
    /// there, nobody tells it any more.
    pub(in crate::discord) async fn on_shard_guilds(
        self: &Arc<Self>,
        (shard, shards): (u32, u32),
        servers: &[GuildId],
    ) {
        let left = match self.reply_context.store.unfinished_sessions().await {
            Ok(left) => left,
            Err(error) => {
                log_store_error(error);
                return;
            }
        };
        let missing: HashSet<u64> = left
            .iter()
            .map(|left| left.session().details.guild)
            .filter(|guild| (guild >> 22) % u64::from(shards.max(1)) == u64::from(shard))
            .filter(|guild| !servers.iter().any(|server| server.get() == *guild))
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

    /// The bot is no longer in a server: neither is its session, and nothing of it is kept.
    pub(in crate::discord) async fn on_removed_from_guild(&self, server: u64) {
        tracing::info!(guild = server, "removed from a server");
        self.voice_states.replace_guild(server, []);
        if let Some(running) = self.running_in_guild(server) {
            running
                .end(
                    self.job_scheduler.runner(),
                    SessionEndReason::RemovedFromCall,
                )
                .await;
        }
        if let Err(error) = self.reply_context.store.forget_guild(server).await {
            log_store_error(error);
        }
    }

    /// A channel is gone. A session that is told there can't go on: nobody would see that it
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

    /// Looks again and again for ends that are not told, and for sessions that nobody goes on with:
    /// their server may never come into sight again.
    pub(in crate::discord) async fn run_recovery_loop(self: Arc<Self>) {
        loop {
            match self.reply_context.store.unfinished_sessions().await {
                Ok(left) => {
                    for left in left {
                        match left {
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

    /// Closes a session that nobody has taken up in time.
    fn close_if_expired(self: &Arc<Self>, open: OpenSession) {
        let session = open.session().clone();
        if self.time_since_last_seen(&session) <= RECOVERY_WINDOW {
            return;
        }
        let Ok(held) = self.reserve_slot(session.details.guild) else {
            return;
        };
        let sessions = Arc::clone(self);
        self.background_tasks.spawn(async move {
            sessions
                .close_unfinished_session(open, SessionEndReason::ProcessDied, held)
                .await;
        });
    }

    /// Tells an end in a task of its own, unless somebody does already.
    fn spawn_publish_end(self: &Arc<Self>, ended: EndedSession) {
        let session = &ended.session;
        let running = self.running_in_guild(session.details.guild);
        // It tells its end by itself.
        if running.is_some_and(|running| running.session.id == session.id) {
            return;
        }
        let held = self.reserve_slot(session.details.guild).ok();
        let sessions = Arc::clone(self);
        self.background_tasks.spawn(async move {
            let noted = RecordedEnd::from(&ended);
            sessions
                .publish_unfinished_end(&ended.session, &noted, held)
                .await;
        });
    }

    /// How long a session's process has been away.
    fn time_since_last_seen(&self, session: &SessionRecord) -> Duration {
        let now = self.now();
        Duration::from_millis(u64::try_from(now.0 - session.last_seen.0).unwrap_or(0))
    }

    async fn recover_session(self: &Arc<Self>, guild: u64) -> Result<(), StoreError> {
        if self.is_shutting_down() {
            return Ok(());
        }
        for left in self
            .reply_context
            .store
            .unfinished_guild_sessions(guild)
            .await?
        {
            match left {
                UnfinishedSession::Ended(ended) => self.spawn_publish_end(ended),
                UnfinishedSession::Open(_) => {}
            }
        }
        let Ok(mut held) = self.reserve_slot(guild) else {
            return Ok(());
        };
        // Once more: whoever held the place may just have begun or ended one.
        let left = self
            .reply_context
            .store
            .unfinished_guild_sessions(guild)
            .await?;
        let open = left.into_iter().find_map(|left| match left {
            UnfinishedSession::Open(open) => Some(open),
            UnfinishedSession::Ended(_) => None,
        });
        let Some(mut open) = open else {
            return Ok(());
        };
        let id = open.session().id;
        if let Some(seat) = self
            .voice_states
            .get(guild, self.reply_context.discord_api.bot_user.get())
            && seat.channel_id != open.session().details.voice_channel
        {
            // Somebody has moved it while nobody was there to see it.
            self.reply_context
                .store
                .record_session_move(id, seat.channel_id)
                .await?;
            match self.reply_context.store.joinable_session(id).await? {
                Some(moved) => open = moved,
                None => return Ok(()),
            }
        }
        if let Err(ending) = self.resume_session(&open, &mut held).await {
            let session = open.session().clone();
            let noted =
                session_end::record_abandoned_end(self.job_scheduler.runner(), open, ending).await;
            // Where it was about to go in, nobody has told yet that it sits there.
            self.voice_gateway(&session).leave().await;
            self.publish_unfinished_end(&session, &noted, Some(held))
                .await;
        }
        Ok(())
    }

    /// Goes on with a session, if that can be. Else why it ends.
    async fn resume_session(
        self: &Arc<Self>,
        open: &OpenSession,
        held: &mut SlotGuard,
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
        tracing::info!(session = id, ?away, again, "a session was left");
        if !again {
            return Err(SessionEndReason::ProcessDied);
        }
        let wire = &self.reply_context.discord_api;
        if let Some(ending) =
            permissions::unusable_voice_channel(wire, session.details.voice_channel).await
        {
            return Err(match ending {
                SessionEndReason::MovedToStage => SessionEndReason::MovedToStage,
                _ => SessionEndReason::ProcessDied,
            });
        }
        let may_write = permissions::check_text_channel(
            wire,
            GuildId::new(guild),
            session.details.text_channel,
            None,
        )
        .await;
        if may_write.is_err() {
            return Err(SessionEndReason::RecordingNoticeFailed);
        }
        let now = self.now();
        let entered = self
            .join_call(open, setup.clone(), session_elapsed(session, now), held)
            .await;
        let entered = entered.map_err(|error| {
            tracing::warn!(session = id, %error, "not taken up again");
            SessionEndReason::ProcessDied
        })?;
        let post = if open.is_notice_posted() {
            OutgoingMessage::text(words::SESSION_RESUMED)
        } else {
            let asked_by = self.fetch_member(guild, session.details.requested_by).await;
            let name = asked_by.map_or_else(|| words::SOMEBODY.to_owned(), |(name, _)| name);
            self.compose_recording_notice(&name, session, &setup).await
        };
        let JoinedSession { running, clock } = entered;
        let from = session_elapsed(session, session.last_seen);
        let from = open
            .interrupted_since_ms()
            .map_or(from, |since| from.min(Duration::from_millis(since)));
        match self.announce_and_listen(&running, &post).await {
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
                tracing::warn!(session = id, %error, "taken up, and nobody could be told");
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

    /// Ends a session that nobody goes on with, and tells it.
    async fn close_unfinished_session(
        self: &Arc<Self>,
        open: OpenSession,
        ending: SessionEndReason,
        held: SlotGuard,
    ) {
        let session = open.session().clone();
        let noted =
            session_end::record_abandoned_end(self.job_scheduler.runner(), open, ending).await;
        self.publish_unfinished_end(&session, &noted, Some(held))
            .await;
    }

    /// Tells the end of a session that another process has left.
    async fn publish_unfinished_end(
        self: &Arc<Self>,
        session: &SessionRecord,
        noted: &RecordedEnd,
        held: Option<SlotGuard>,
    ) {
        let Some(_telling) = self.claim_publish_end(session) else {
            return;
        };
        if let Some(held) = &held {
            held.set_closing();
            let me = self.reply_context.discord_api.bot_user.get();
            if self.voice_states.get(session.details.guild, me).is_some() {
                // The process that ended it did not come to leave the call.
                self.voice_gateway(session).leave().await;
            }
            nickname_mark::remove_leftover_mark(
                &self.reply_context.discord_api,
                session.details.guild,
            )
            .await;
        }
        let board = self.new_transcript_view(
            (session.id.0, session.details.text_channel),
            session.started,
        );
        let told = session_end::publish_result(
            &self.job_scheduler,
            &*board,
            session,
            noted,
            (self.bot_name(), None),
        )
        .await;
        if !told && self.is_publish_expired(noted) {
            tracing::error!(
                session = session.id.0,
                "an end is given up that nobody takes"
            );
            if let Err(error) = self.reply_context.store.close_session(session.id).await {
                log_store_error(error);
            }
        }
    }

    fn is_publish_expired(&self, noted: &RecordedEnd) -> bool {
        noted.ended_at() < self.now().earlier_by(MAX_PUBLISH_AGE)
    }

    /// Somebody begins to tell an end. None if it is being told, or too many are.
    fn claim_publish_end(self: &Arc<Self>, session: &SessionRecord) -> Option<PublishEndGuard> {
        let session = session.id.0;
        let mut telling = self.lock_publishing_ends();
        if telling.len() >= MAX_PUBLISHING_ENDS || !telling.insert(session) {
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

    /// Ends the session of a server, also one that is just being taken up. False if there is none.
    pub(in crate::discord) async fn end_session(self: &Arc<Self>, guild: u64) -> bool {
        let workshop = self.job_scheduler.runner();
        if let Some(running) = self.running_in_guild(guild) {
            if !running.is_ending() {
                running.end(workshop, SessionEndReason::Requested).await;
            }
            running.finished.cancelled().await;
            return true;
        }
        let left = match self
            .reply_context
            .store
            .unfinished_guild_sessions(guild)
            .await
        {
            Ok(left) => left,
            Err(error) => {
                log_store_error(error);
                return false;
            }
        };
        let mut ended = false;
        for left in left {
            if let UnfinishedSession::Open(open) = left {
                let session = open.session().clone();
                let noted =
                    session_end::record_abandoned_end(workshop, open, SessionEndReason::Requested)
                        .await;
                ended = true;
                // Whoever is about to go in finds that it has ended, and tells the end.
                if let Ok(held) = self.reserve_slot(guild) {
                    self.publish_unfinished_end(&session, &noted, Some(held))
                        .await;
                }
            }
        }
        ended
    }
}
