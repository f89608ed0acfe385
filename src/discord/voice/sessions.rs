//! All voice sessions of this process, at most one per server: found, asked, and paused at
//! shutdown.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use songbird::Songbird;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::reply_context::ReplyContext;
use super::keyed_queue::KeyedQueue;
use super::running_session::RunningSession;
use super::start_error::StartSessionError;
use super::transcript_view::ChannelTranscriptView;
use super::voice_gateway::VoiceGateway;
use super::voice_state_cache::{VoiceStateCache, VoiceStateChange, VoiceStateQueueKey};
use crate::config::VoiceDriver;
use crate::discord::health::VoiceSessionStatus;
use crate::flow::consent::ConsentRule;
use crate::flow::job_scheduler::JobScheduler;
use crate::flow::paid_providers::PaidLiveTranscriber;
use crate::flow::session::actor::{SessionLimits, SessionMessage};
use crate::store::{Consent, SessionId, SessionRecord, StoreError, Timestamp};
use audio::SpeakerReceiverSettings;

/// Longest time that shutdown waits for sessions to stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(8);

/// Settings of all voice sessions.
#[derive(Clone)]
pub struct VoiceSettings {
    /// How audio is turned into utterances.
    pub speaker_receiver: SpeakerReceiverSettings,
    /// How long sessions may last.
    pub limits: SessionLimits,
    /// Transcribes while people speak; without it, each utterance is transcribed as a whole.
    pub live_transcriber: Option<PaidLiveTranscriber>,
    /// Which driver receives audio.
    pub driver: VoiceDriver,
}

/// The session registry.
pub(in crate::discord) struct VoiceSessions {
    songbird: Arc<Songbird>,
    pub(super) job_scheduler: Arc<JobScheduler>,
    pub(super) reply_context: Arc<ReplyContext>,
    pub(super) settings: VoiceSettings,
    /// The bot's global name.
    pub(super) bot_name: String,
    pub(super) voice_states: VoiceStateCache,
    slots: Mutex<HashMap<u64, SessionSlot>>,
    /// Voice state changes to apply in order.
    pub(super) voice_state_queue: Arc<KeyedQueue<VoiceStateQueueKey, VoiceStateChange>>,
    /// IDs of sessions of other processes whose end is being published.
    pub(super) publishing_ends: Mutex<HashSet<i64>>,
    /// Tasks that recover sessions and publish ends; awaited at shutdown.
    pub(super) background_tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// What occupies a server's slot.
pub(super) enum SessionSlot {
    /// A session is being started or recovered.
    Starting,
    /// A session that another process left is being closed.
    Closing,
    Running(Box<RunningSession>),
}

impl VoiceSessions {
    pub(in crate::discord) fn new(
        songbird: Arc<Songbird>,
        job_scheduler: Arc<JobScheduler>,
        reply_context: Arc<ReplyContext>,
        settings: VoiceSettings,
        bot_name: String,
    ) -> Arc<Self> {
        Arc::new(Self {
            songbird,
            job_scheduler,
            reply_context,
            settings,
            bot_name,
            voice_states: VoiceStateCache::default(),
            slots: Mutex::default(),
            voice_state_queue: Arc::default(),
            publishing_ends: Mutex::default(),
            background_tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        })
    }

    /// Access to the call of a session.
    pub(super) fn voice_gateway(&self, session: &SessionRecord) -> VoiceGateway {
        VoiceGateway::new(
            Arc::clone(&self.songbird),
            self.settings.driver,
            self.reply_context.store.clone(),
            session,
        )
    }

    /// Reserves a server's slot, so that two concurrent requests can't both start a session.
    pub(super) fn reserve_slot(
        self: &Arc<Self>,
        guild: u64,
    ) -> Result<SlotGuard, StartSessionError> {
        let mut slots = self.lock_slots();
        match slots.get(&guild) {
            Some(SessionSlot::Running(running)) if running.is_ending() => {
                Err(StartSessionError::StillEnding)
            }
            Some(SessionSlot::Running(running)) => Err(StartSessionError::AlreadyRunning(Some(
                running.voice_channel,
            ))),
            Some(SessionSlot::Closing) => Err(StartSessionError::StillEnding),
            Some(SessionSlot::Starting) => Err(StartSessionError::AlreadyRunning(None)),
            None => {
                slots.insert(guild, SessionSlot::Starting);
                Ok(SlotGuard {
                    sessions: Arc::clone(self),
                    guild,
                    is_filled: false,
                })
            }
        }
    }

    /// The running session of a server.
    pub(in crate::discord) fn running_in_guild(&self, guild: u64) -> Option<RunningSession> {
        match self.lock_slots().get(&guild) {
            Some(SessionSlot::Running(running)) => Some(running.as_ref().clone()),
            _ => None,
        }
    }

    /// The session whose transcript goes to this channel.
    pub(in crate::discord) fn session_id_in_channel(
        &self,
        guild: Option<u64>,
        channel: u64,
    ) -> Option<SessionId> {
        let running = self.running_in_guild(guild?)?;
        (running.session.details.text_channel == channel).then_some(running.session.id)
    }

    /// Records a user's consent in a server. A refusal takes effect even if storing it fails.
    pub(in crate::discord) async fn decide_consent(
        &self,
        guild: u64,
        person: u64,
        consent: Consent,
    ) -> Result<(), StoreError> {
        let job_runner = self.job_scheduler.runner();
        let (store, now) = (&self.reply_context.store, (job_runner.clock)());
        let deciding = job_runner
            .consents
            .record_decision(store, (guild, person), consent, now);
        let decided = deciding.await;
        if let Some(running) = self.running_in_guild(guild) {
            let _ = running
                .messages
                .send(SessionMessage::ConsentChanged(person))
                .await;
        }
        decided
    }

    /// Applies a server's new consent rule to its running session.
    pub(in crate::discord) async fn apply_consent_rule(&self, guild: u64, rule: ConsentRule) {
        self.job_scheduler
            .runner()
            .consents
            .for_guild(guild)
            .tighten_rule(rule);
        if let Some(running) = self.running_in_guild(guild) {
            let _ = running
                .messages
                .send(SessionMessage::ConsentChanged(0))
                .await;
        }
    }

    /// Makes all sessions drop what they hold of a forgotten user. The user is already gone from
    /// the consents in memory.
    pub(in crate::discord) async fn on_user_forgotten(&self, person: u64) {
        for running in self.running_sessions() {
            let _ = running
                .messages
                .send(SessionMessage::ConsentChanged(person))
                .await;
        }
    }

    pub(super) fn update_running(&self, guild: u64, change: impl FnOnce(&mut RunningSession)) {
        if let Some(SessionSlot::Running(running)) = self.lock_slots().get_mut(&guild) {
            change(running);
        }
    }

    pub(super) fn is_shutting_down(&self) -> bool {
        self.shutdown.is_cancelled()
    }

    /// Shutdown: pauses all sessions, for the next process to resume.
    pub(in crate::discord) async fn shut_down(&self) {
        self.shutdown.cancel();
        let running = self.running_sessions();
        let ends = running.iter().map(RunningSession::pause_for_restart);
        self.background_tasks.close();
        let all = async {
            tokio::join!(
                futures_util::future::join_all(ends),
                self.background_tasks.wait()
            )
        };
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, all).await.is_err() {
            tracing::warn!("not all sessions stopped in time");
        }
    }

    /// The running sessions, for the status page.
    pub(in crate::discord) fn snapshot(&self) -> Vec<VoiceSessionStatus> {
        let mut statuses: Vec<_> = self
            .running_sessions()
            .iter()
            .map(RunningSession::snapshot)
            .collect();
        statuses.sort_by_key(|session| session.id);
        statuses
    }

    pub(super) fn running_sessions(&self) -> Vec<RunningSession> {
        let slots = self.lock_slots();
        let all = slots.values().filter_map(|slot| match slot {
            SessionSlot::Running(running) => Some(running.as_ref().clone()),
            SessionSlot::Starting | SessionSlot::Closing => None,
        });
        all.collect()
    }

    pub(super) fn new_transcript_view(
        &self,
        target: (i64, u64),
        started: Timestamp,
    ) -> Arc<ChannelTranscriptView> {
        let max_duration = self.settings.limits.max_length;
        ChannelTranscriptView::new(
            Arc::clone(&self.reply_context),
            target,
            started,
            max_duration,
        )
    }

    pub(super) fn lock_slots(&self) -> MutexGuard<'_, HashMap<u64, SessionSlot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn job_scheduler(&self) -> &Arc<JobScheduler> {
        &self.job_scheduler
    }

    pub(super) fn bot_name(&self) -> &str {
        &self.bot_name
    }
}

/// A server's reserved slot. Freed on drop unless a session runs in it.
pub(super) struct SlotGuard {
    sessions: Arc<VoiceSessions>,
    guild: u64,
    is_filled: bool,
}

impl SlotGuard {
    /// Fills the slot: it stays taken until the session is over.
    pub(super) fn set_running(&mut self, running: RunningSession) {
        let mut slots = self.sessions.lock_slots();
        slots.insert(self.guild, SessionSlot::Running(Box::new(running)));
        self.is_filled = true;
    }

    /// Keeps the slot taken until the end of the previous session is published.
    pub(super) fn set_closing(&self) {
        self.sessions
            .lock_slots()
            .insert(self.guild, SessionSlot::Closing);
    }
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        if !self.is_filled {
            self.sessions.lock_slots().remove(&self.guild);
        }
    }
}
