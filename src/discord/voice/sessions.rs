//! All voice sessions of this process, at most one per server: found, asked, and paused at
//! shutdown.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use songbird::Songbird;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::discord_api::{Buttons, OutgoingMessage};
use super::super::streaming_reply::ReplyContext;
use super::super::text;
use super::connection::{VoiceConnection, VoiceGateway, VoiceJoinError};
use super::keyed_queue::KeyedQueue;
use super::nickname_mark;
use super::recording_notice::{self, RecordingNoticeError};
use super::running_session::RunningSession;
use super::transcript_view::ChannelTranscriptView;
use super::voice_state_cache::VoiceStateCache;
use super::voice_state_changes::{VoiceStateChange, VoiceStateQueueKey};
use crate::config::VoiceDriver;
use crate::discord::health::VoiceSessionStatus;
use crate::flow::guild_settings::GuildSettings;
use crate::flow::job_scheduler::JobScheduler;
use crate::flow::paid_providers::PaidLiveTranscriber;
use crate::flow::session::audio_worker::{self, SessionClock};
use crate::flow::session::call::{self, MAX_MESSAGES, SessionActor, SessionLimits, SessionMessage};
use crate::flow::session::transcript_view::TranscriptView;
use crate::flow::session::wake_word::BotNames;
use crate::flow::session::{ConsentRule, SessionEndReason, SessionSetup, session_end};
use crate::store::{
    Consent, OpenSession, SessionDetails, SessionId, SessionRecord, StoreError, Timestamp,
};
use crate::ui_text::voice_session as words;
use audio::SpeakerReceiverSettings;

/// Longest time that shutdown waits for sessions to stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(8);

/// Queued voice updates per session.
const MAX_CALL_UPDATES: usize = 64;

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
    settings: VoiceSettings,
    /// The bot's global name.
    bot_name: String,
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
enum SessionSlot {
    /// A session is being started or recovered.
    Starting,
    /// A session that another process left is being closed.
    Closing,
    Running(Box<RunningSession>),
}

/// Why no session was started.
#[derive(Debug, thiserror::Error)]
pub(in crate::discord) enum StartSessionError {
    /// A session is running already, in this voice channel if that is known.
    #[error("there is one already")]
    AlreadyRunning(Option<u64>),
    /// The result of the last session is still being written.
    #[error("the last one is not over yet")]
    StillEnding,
    #[error(transparent)]
    Join(#[from] VoiceJoinError),
    /// The recording notice could not be posted.
    #[error(transparent)]
    RecordingNotice(#[from] RecordingNoticeError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No thread could be spawned for the audio worker.
    #[error("no thread: {0}")]
    ThreadSpawn(#[from] std::io::Error),
    #[error("shutting down")]
    ShuttingDown,
}

/// A session to start.
pub(in crate::discord) struct SessionRequest {
    pub(in crate::discord) guild: u64,
    pub(in crate::discord) voice_channel: u64,
    pub(in crate::discord) text_channel: u64,
    pub(in crate::discord) requested_by: u64,
    /// The display name of `requested_by`.
    pub(in crate::discord) requester_name: String,
    pub(in crate::discord) setup: SessionSetup,
}

/// A session that is in its call. Nobody is heard yet.
pub(super) struct JoinedSession {
    pub(super) running: RunningSession,
    pub(super) clock: SessionClock,
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

    /// Joins a call and starts a session. The session is stored before the call is joined, and
    /// nobody is heard before the recording notice is posted.
    pub(in crate::discord) async fn start_session(
        self: &Arc<Self>,
        request: SessionRequest,
    ) -> Result<(), StartSessionError> {
        if self.is_shutting_down() {
            return Err(StartSessionError::ShuttingDown);
        }
        let mut slot = self.reserve_slot(request.guild)?;
        let store = &self.reply_context.store;
        let payload = serde_json::to_string(&request.setup).map_err(|_| StoreError::Damaged)?;
        let new = SessionDetails {
            guild: request.guild,
            voice_channel: request.voice_channel,
            text: request.text_channel,
            requested_by: request.requested_by,
            payload,
        };
        let open = store.open_session(&new, self.now()).await?;
        let open = open.ok_or(StartSessionError::AlreadyRunning(None))?;
        let joined = self.join_call(&open, request.setup.clone(), Duration::ZERO, &mut slot);
        let running = match joined.await {
            Ok(joined) => joined.running,
            Err(error) => {
                self.voice_gateway(open.session()).leave().await;
                store.discard_session(open).await?;
                return Err(error);
            }
        };
        let notice =
            self.compose_recording_notice(&request.requester_name, open.session(), &request.setup);
        let notice = notice.await;
        if let Err(error) = self.announce_and_listen(&running, &notice).await {
            // If the session was ended in the meantime, that reason is kept.
            running
                .end(
                    self.job_scheduler.runner(),
                    SessionEndReason::RecordingNoticeFailed,
                )
                .await;
            return Err(error);
        }
        Ok(())
    }

    /// Joins the call of a session that is still open. Nobody is heard yet.
    pub(super) async fn join_call(
        self: &Arc<Self>,
        open: &OpenSession,
        setup: SessionSetup,
        age: Duration,
        slot: &mut SlotGuard,
    ) -> Result<JoinedSession, StartSessionError> {
        let session = open.session();
        let clock = SessionClock::starting_at(age);
        let consents = self
            .job_scheduler
            .runner()
            .consents
            .for_guild(session.details.guild);
        let (microphone, audio_events) = audio_worker::spawn_audio_worker(
            self.settings.speaker_receiver.clone(),
            clock,
            consents,
        )?;
        let voice_gateway = self.voice_gateway(session);
        let connection = voice_gateway
            .connect(open, microphone.clone(), clock)
            .await?;
        let audio = (microphone, audio_events, clock);
        let running = self.spawn_session(session.clone(), setup, connection, audio, slot);
        match running.await {
            Ok(running) => Ok(JoinedSession { running, clock }),
            Err(error) => {
                nickname_mark::remove_leftover_mark(
                    &self.reply_context.discord_api,
                    session.details.guild,
                )
                .await;
                Err(error)
            }
        }
    }

    /// Posts the recording notice and starts to listen once it is posted.
    pub(super) async fn announce_and_listen(
        &self,
        running: &RunningSession,
        notice: &OutgoingMessage,
    ) -> Result<(), StartSessionError> {
        // The same nonce as in another process that resumes this session right now.
        let nonce = format!(
            "n{}.{:x}",
            running.session.id.0, running.session.last_seen.0
        );
        let posted = recording_notice::post_recording_notice(
            &self.reply_context,
            &running.session,
            &nonce,
            notice,
        )
        .await?;
        self.open_microphone(running, posted);
        Ok(())
    }

    /// The notice for everyone in the call: who started the session, and what is recorded.
    pub(super) async fn compose_recording_notice(
        &self,
        requester_name: &str,
        session: &SessionRecord,
        setup: &SessionSetup,
    ) -> OutgoingMessage {
        let settings =
            GuildSettings::load(&self.reply_context.store, Some(session.details.guild)).await;
        let consent = settings.unwrap_or_default().voice_consent;
        OutgoingMessage {
            content: words::session_notice(
                &text::escape(requester_name),
                session.details.voice_channel,
                consent,
                setup.answers,
                &self.reply_context.data_handling,
            ),
            buttons: Some(Buttons::Consent),
            ..OutgoingMessage::default()
        }
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

    async fn spawn_session(
        self: &Arc<Self>,
        session: SessionRecord,
        setup: SessionSetup,
        connection: VoiceConnection,
        (microphone, audio_events, clock): (
            audio_worker::AudioInput,
            mpsc::Receiver<audio_worker::SpeakerAudioEvent>,
            SessionClock,
        ),
        slot: &mut SlotGuard,
    ) -> Result<RunningSession, StartSessionError> {
        let guild = session.details.guild;
        let job_runner = self.job_scheduler.runner();
        let settings = GuildSettings::load(&job_runner.store, Some(guild)).await?;
        let consents = job_runner.load_guild_consents(guild).await?;
        consents.set_rule(settings.voice_consent);
        let target = (session.id.0, session.details.text);
        let transcript_view = self.new_transcript_view(target, session.started);
        let nickname =
            nickname_mark::mark_nickname(&self.reply_context.discord_api, guild, &self.bot_name)
                .await;
        let names = BotNames::new([nickname.name(), self.bot_name.as_str()]);
        let stopped_listening = CancellationToken::new();
        let receive_counts = microphone.counts_reader();
        let (call, audio_events) = SessionActor::open(call::SessionParts {
            session: session.clone(),
            setup,
            consents,
            scheduler: Arc::clone(&self.job_scheduler),
            view: Arc::clone(&transcript_view) as Arc<dyn TranscriptView>,
            live_transcriber: self.settings.live_transcriber.clone(),
            bot_name: nickname.name().to_owned(),
            bot_names: names,
            limits: self.settings.limits,
            audio_input: microphone.clone(),
            audio_events,
            clock,
            listening_guard: stopped_listening.clone().drop_guard(),
        })
        .await?;
        let (messages, message_receiver) = mpsc::channel(MAX_MESSAGES);
        let (call_updates, call_update_receiver) = mpsc::channel(MAX_CALL_UPDATES);
        let running = RunningSession {
            voice_channel: session.details.voice_channel,
            move_count: 0,
            messages: messages.clone(),
            call_updates,
            transcript_view,
            microphone,
            receive_counts,
            stopped_listening: stopped_listening.clone(),
            finished: CancellationToken::new(),
            left_at: HashMap::new(),
            session,
        };
        // From now on the session receives voice state changes.
        slot.set_running(running.clone());
        self.sync_voice_states(guild);
        let job_scheduler = Arc::clone(&self.job_scheduler);
        let connection_task = connection.run(
            call_update_receiver,
            messages,
            job_scheduler,
            stopped_listening.clone(),
        );
        let connection_task = tokio::spawn(connection_task);
        let actor_task = tokio::spawn(call.run(audio_events, message_receiver));
        let (sessions, ended) = (Arc::clone(self), running.clone());
        tokio::spawn(async move {
            let _finished = ended.finished.clone().drop_guard();
            stopped_listening.cancelled().await;
            nickname.remove_mark().await;
            // Fails only if the task panicked, in which case the call is over too.
            let _ = connection_task.await;
            if actor_task.await.is_err() {
                tracing::error!(session = ended.session.id.0, "a session task panicked");
                let (job_scheduler, bot_name) =
                    (&sessions.job_scheduler, sessions.bot_name.as_str());
                let (id, reason) = (ended.session.id, SessionEndReason::ProcessDied);
                let recorded_end =
                    session_end::record_end(job_scheduler.runner(), id, reason).await;
                session_end::publish_result(
                    job_scheduler,
                    &*ended.transcript_view,
                    &ended.session,
                    &recorded_end,
                    (bot_name, None),
                )
                .await;
            }
            sessions.lock_slots().remove(&guild);
        });
        Ok(running)
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
        (running.session.details.text == channel).then_some(running.session.id)
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

    fn lock_slots(&self) -> MutexGuard<'_, HashMap<u64, SessionSlot>> {
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
    fn set_running(&mut self, running: RunningSession) {
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
