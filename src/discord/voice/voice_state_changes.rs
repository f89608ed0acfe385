//! Applies voice state changes to sessions, in the order in which the gateway sends them.
//!
//! Urgent changes take effect at once: the cache, the bot's removal from a call, and muting after a
//! move. Changes that need requests to Discord go through a queue per server, so that servers don't
//! delay each other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serenity::all::{GuildId, UserId};

use super::super::bot_context::log_store_error;
use super::super::discord_api::{Buttons, OutgoingMessage};
use super::super::message_parser::display_name;
use super::connection::CallUpdate;
use super::permissions;
use super::recording_notice::{self, RecordingNoticeError};
use super::running_session::RunningSession;
use super::sessions::VoiceSessions;
use super::voice_state_cache::{CachedVoiceState, VoiceStateChange};
use crate::flow::guild_settings::GuildSettings;
use crate::flow::session::SessionEndReason;
use crate::flow::session::actor::{MAX_MESSAGES, SessionMessage};
use crate::ui_text::voice_session as words;

/// The driver may lose track of a member who comes back within this time.
const REJOIN_WINDOW: Duration = Duration::from_secs(7);

impl VoiceSessions {
    /// The call of a server moved to another voice server.
    pub(super) fn on_voice_server_update(&self, guild_id: u64) {
        if let Some(running) = self.running_in_guild(guild_id) {
            let _ = running
                .call_updates
                .try_send(CallUpdate::ServerOrChannelChanged);
        }
    }

    /// A voice state changed. `before` is the cached one, `None` meaning in no channel.
    pub(super) fn on_voice_state_update(
        self: &Arc<Self>,
        guild_id: u64,
        person: u64,
        before: Option<CachedVoiceState>,
        now: Option<CachedVoiceState>,
    ) {
        if person != self.reply_context.discord_api.bot_user.get() {
            let change = VoiceStateChange::MemberChanged {
                person,
                before,
                now,
            };
            return self.enqueue_voice_state_change(guild_id, change);
        }
        match now {
            Some(state) => self.on_bot_voice_state(guild_id, &state),
            None => self.on_bot_removed_from_call(guild_id),
        }
    }

    /// The bot is in no voice channel of the server.
    pub(super) fn on_bot_removed_from_call(&self, guild_id: u64) {
        if let Some(running) = self.running_in_guild(guild_id) {
            let _ = running.call_updates.try_send(CallUpdate::RemovedFromCall);
        }
    }

    /// The bot's own voice state: notices moves, and whether the bot can hear.
    pub(super) fn on_bot_voice_state(self: &Arc<Self>, guild_id: u64, state: &CachedVoiceState) {
        let mut moved = false;
        self.update_running(guild_id, |running| {
            if running.voice_channel != state.channel_id {
                // The people in the new channel have not been notified yet.
                running.microphone.close();
                running.voice_channel = state.channel_id;
                running.move_count += 1;
                moved = true;
            }
            let _ = running
                .call_updates
                .try_send(CallUpdate::HearingChanged(state.cannot_hear));
        });
        if moved {
            self.enqueue_voice_state_change(guild_id, VoiceStateChange::BotMoved);
        }
    }

    /// Brings a session that has just started up to date with the cache.
    pub(super) fn sync_voice_states(self: &Arc<Self>, guild_id: u64) {
        if let Some(state) = self
            .voice_states
            .get(guild_id, self.reply_context.discord_api.bot_user.get())
        {
            self.on_bot_voice_state(guild_id, &state);
        }
        self.enqueue_voice_state_change(guild_id, VoiceStateChange::SyncMembers);
    }

    /// Queues a change of the server.
    pub(super) fn enqueue_voice_state_change(
        self: &Arc<Self>,
        guild_id: u64,
        change: VoiceStateChange,
    ) {
        let is_bot = matches!(change, VoiceStateChange::BotMoved);
        let overflow = if is_bot {
            VoiceStateChange::BotMoved
        } else {
            VoiceStateChange::SyncMembers
        };
        let sessions = Arc::clone(self);
        self.voice_state_queue
            .enqueue((guild_id, is_bot), change, overflow, move |change| {
                let sessions = Arc::clone(&sessions);
                async move { sessions.apply_voice_state_change(guild_id, change).await }
            });
    }

    async fn apply_voice_state_change(&self, guild_id: u64, change: VoiceStateChange) {
        let Some(running) = self.running_in_guild(guild_id) else {
            return;
        };
        match change {
            VoiceStateChange::SyncMembers => self.send_members_present(&running).await,
            VoiceStateChange::BotMoved => self.apply_bot_move(&running).await,
            VoiceStateChange::MemberChanged {
                person,
                before,
                now,
            } => {
                self.apply_member_change(&running, person, before, now)
                    .await;
            }
        }
    }

    /// Sends the session the list of members in its channel.
    async fn send_members_present(&self, running: &RunningSession) {
        let guild = running.session.details.guild;
        let mut members = Vec::new();
        for (person, name) in self
            .voice_states
            .humans_in_channel(guild, running.voice_channel)
        {
            match name {
                Some(name) => members.push((person, name)),
                // Without a name, the cache does not know either whether this is a bot.
                None => match self.fetch_member(guild, person).await {
                    Some((_, true)) => {}
                    Some((name, false)) => members.push((person, name)),
                    None => members.push((person, words::SOMEBODY.to_owned())),
                },
            }
        }
        let _ = running
            .messages
            .send(SessionMessage::Participants(members))
            .await;
    }

    /// Fetches a member's name and whether it is a bot.
    pub(super) async fn fetch_member(&self, guild: u64, person: u64) -> Option<(String, bool)> {
        let discord_api = &self.reply_context.discord_api;
        let member = discord_api
            .get_member(GuildId::new(guild), UserId::new(person))
            .await;
        let member = member.ok()?;
        let name = display_name(&member.user, member.nick.as_deref());
        Some((name, member.user.bot))
    }

    async fn apply_member_change(
        &self,
        running: &RunningSession,
        person: u64,
        before: Option<CachedVoiceState>,
        now: Option<CachedVoiceState>,
    ) {
        let guild_id = running.session.details.guild;
        let was_here = before.is_some_and(|state| state.channel_id == running.voice_channel);
        let is_here = now
            .as_ref()
            .is_some_and(|state| state.channel_id == running.voice_channel && !state.is_bot);
        if was_here && !is_here {
            self.update_running(guild_id, |running| {
                if running.left_at.len() < MAX_MESSAGES {
                    running.left_at.insert(person, Instant::now());
                }
            });
            let _ = running.messages.send(SessionMessage::Left(person)).await;
        } else if is_here && !was_here {
            let left = running.left_at.get(&person);
            if left.is_some_and(|at| at.elapsed() < REJOIN_WINDOW) {
                let _ = running.call_updates.try_send(CallUpdate::MemberRejoined);
            }
            let known = now.and_then(|state| state.name);
            let known = known.or_else(|| self.voice_states.get(guild_id, person)?.name);
            let name = match known {
                Some(name) => name,
                None => match self.fetch_member(guild_id, person).await {
                    Some((_, true)) => return,
                    Some((name, false)) => name,
                    None => words::SOMEBODY.to_owned(),
                },
            };
            let _ = running
                .messages
                .send(SessionMessage::Joined { person, name })
                .await;
        }
    }

    /// The bot was moved: stores the new channel and posts a notice there before anyone is heard.
    async fn apply_bot_move(&self, running: &RunningSession) {
        let (guild_id, voice) = (running.session.details.guild, running.voice_channel);
        tracing::info!(guild = guild_id, channel = voice, "moved to another call");
        match self
            .reply_context
            .store
            .record_session_move(running.session.id, voice)
            .await
        {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                log_store_error(error);
            }
        }
        let _ = running
            .call_updates
            .try_send(CallUpdate::ServerOrChannelChanged);
        let job_runner = self.job_scheduler.runner();
        if let Some(end_reason) =
            permissions::unusable_voice_channel(&self.reply_context.discord_api, voice).await
        {
            return running.end(job_runner, end_reason).await;
        }
        self.send_members_present(running).await;
        let settings = GuildSettings::load(&self.reply_context.store, Some(guild_id)).await;
        let consent = settings.unwrap_or_default().voice_consent;
        let notice = OutgoingMessage {
            content: words::moved(voice, consent),
            buttons: Some(Buttons::Consent),
            ..OutgoingMessage::default()
        };
        let nonce = running.transcript_view.next_nonce();
        match recording_notice::post_recording_notice(
            &self.reply_context,
            &running.session,
            &nonce,
            &notice,
        )
        .await
        {
            Ok(posted) => self.open_microphone(running, posted),
            Err(RecordingNoticeError::SessionEnded) => {}
            Err(error) => {
                tracing::warn!(guild = guild_id, %error, "could not post the notice after a move");
                running
                    .end(job_runner, SessionEndReason::RecordingNoticeFailed)
                    .await;
            }
        }
    }

    /// Starts to listen now that the notice is posted, unless the bot was moved again in the
    /// meantime.
    pub(super) fn open_microphone(
        &self,
        notified: &RunningSession,
        posted: crate::store::NoticePosted,
    ) {
        self.update_running(notified.session.details.guild, |running| {
            if running.session.id == notified.session.id
                && running.move_count == notified.move_count
            {
                running.microphone.open(posted);
            }
        });
    }
}
