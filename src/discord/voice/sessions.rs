//! All voice sessions of this process, one a server: begun, found, and paused when the process ends.

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

/// How long the end of a session may take when the process ends.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(8);

/// Notices that wait for a connection.
const MAX_CALL_UPDATES: usize = 64;

/// How voice sessions are held.
#[derive(Clone)]
pub struct VoiceSettings {
    /// How people are listened to.
    pub speaker_receiver: SpeakerReceiverSettings,
    /// How long sessions last.
    pub limits: SessionLimits,
    /// Writes down while people speak; none: utterance by utterance.
    pub live_transcriber: Option<PaidLiveTranscriber>,
    /// What hears calls.
    pub driver: VoiceDriver,
}

/// All sessions.
pub(in crate::discord) struct VoiceSessions {
    songbird: Arc<Songbird>,
    pub(super) job_scheduler: Arc<JobScheduler>,
    pub(super) reply_context: Arc<ReplyContext>,
    settings: VoiceSettings,
    /// What the bot is called everywhere.
    bot_name: String,
    pub(super) voice_states: VoiceStateCache,
    slots: Mutex<HashMap<u64, SessionSlot>>,
    /// What is to be done in order with what the gateway tells.
    pub(super) voice_state_queue: Arc<KeyedQueue<VoiceStateQueueKey, VoiceStateChange>>,
    /// Sessions of other processes whose end is being told.
    pub(super) publishing_ends: Mutex<HashSet<i64>>,
    /// Those who tell it.
    pub(super) background_tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// What a server's place holds.
enum SessionSlot {
    /// Somebody is about to begin one.
    Starting,
    /// What another process has left is being closed.
    Closing,
    Running(Box<RunningSession>),
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(in crate::discord) enum StartSessionError {
    /// There is one already, in this voice channel if that is known.
    #[error("there is one already")]
    AlreadyRunning(Option<u64>),
    /// The end of the last one is still being written.
    #[error("the last one is not over yet")]
    StillEnding,
    /// The call can't be joined.
    #[error(transparent)]
    Join(#[from] VoiceJoinError),
    /// The people in the call could not be told.
    #[error(transparent)]
    RecordingNotice(#[from] RecordingNoticeError),
    /// The ledger.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no thread to listen with.
    #[error("no thread: {0}")]
    ThreadSpawn(#[from] std::io::Error),
    /// The process ends.
    #[error("shutting down")]
    ShuttingDown,
}

/// A session to be begun.
pub(in crate::discord) struct SessionRequest {
    pub(in crate::discord) guild: u64,
    pub(in crate::discord) voice_channel: u64,
    pub(in crate::discord) text_channel: u64,
    pub(in crate::discord) requested_by: u64,
    /// What they are called.
    pub(in crate::discord) requester_name: String,
    pub(in crate::discord) setup: SessionSetup,
}

/// A session whose call is joined. Nobody is heard yet.
pub(super) struct JoinedSession {
    pub(super) running: RunningSession,
    pub(super) clock: SessionClock,
}

impl VoiceSessions {
    pub(in crate::discord) fn new(
        songbird: Arc<Songbird>,
        desk: Arc<JobScheduler>,
        means: Arc<ReplyContext>,
        settings: VoiceSettings,
        name: String,
    ) -> Arc<Self> {
        Arc::new(Self {
            songbird,
            job_scheduler: desk,
            reply_context: means,
            settings,
            bot_name: name,
            voice_states: VoiceStateCache::default(),
            slots: Mutex::default(),
            voice_state_queue: Arc::default(),
            publishing_ends: Mutex::default(),
            background_tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        })
    }

    /// Joins a call and begins a session: it is in the ledger first, and nobody is heard before the
    /// notice stands.
    pub(in crate::discord) async fn start_session(
        self: &Arc<Self>,
        wanted: SessionRequest,
    ) -> Result<(), StartSessionError> {
        if self.is_shutting_down() {
            return Err(StartSessionError::ShuttingDown);
        }
        let mut held = self.reserve_slot(wanted.guild)?;
        let store = &self.reply_context.store;
        let payload = serde_json::to_string(&wanted.setup).map_err(|_| StoreError::Damaged)?;
        let new = SessionDetails {
            guild: wanted.guild,
            voice_channel: wanted.voice_channel,
            text_channel: wanted.text_channel,
            requested_by: wanted.requested_by,
            payload,
        };
        let open = store.open_session(&new, self.now()).await?;
        let open = open.ok_or(StartSessionError::AlreadyRunning(None))?;
        let entered = self.join_call(&open, wanted.setup.clone(), Duration::ZERO, &mut held);
        let running = match entered.await {
            Ok(entered) => entered.running,
            Err(error) => {
                self.voice_gateway(open.session()).leave().await;
                store.discard_session(open).await?;
                return Err(error);
            }
        };
        let notice =
            self.compose_recording_notice(&wanted.requester_name, open.session(), &wanted.setup);
        let post = notice.await;
        if let Err(error) = self.announce_and_listen(&running, &post).await {
            // If somebody has ended it meanwhile, their reason stands.
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

    /// Goes into the call of a session that nobody has ended. Nobody is heard yet.
    pub(super) async fn join_call(
        self: &Arc<Self>,
        open: &OpenSession,
        setup: SessionSetup,
        age: Duration,
        held: &mut SlotGuard,
    ) -> Result<JoinedSession, StartSessionError> {
        let session = open.session();
        let clock = SessionClock::starting_at(age);
        let book = self
            .job_scheduler
            .runner()
            .consents
            .for_guild(session.details.guild);
        let (microphone, heard) =
            audio_worker::spawn_audio_worker(self.settings.speaker_receiver.clone(), clock, book)?;
        let line = self.voice_gateway(session);
        let connection = line.connect(open, microphone.clone(), clock).await?;
        let sound = (microphone, heard, clock);
        let running = self.spawn_session(session.clone(), setup, connection, sound, held);
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

    /// Tells the people in the call, and hears them once that stands.
    pub(super) async fn announce_and_listen(
        &self,
        running: &RunningSession,
        post: &OutgoingMessage,
    ) -> Result<(), StartSessionError> {
        // The same for a process that takes it up in this moment.
        let nonce = format!(
            "n{}.{:x}",
            running.session.id.0, running.session.last_seen.0
        );
        let stands = recording_notice::post_recording_notice(
            &self.reply_context,
            &running.session,
            &nonce,
            post,
        )
        .await?;
        self.open_microphone(running, stands);
        Ok(())
    }

    /// What everybody is told when a session begins.
    pub(super) async fn compose_recording_notice(
        &self,
        asked_by: &str,
        session: &SessionRecord,
        setup: &SessionSetup,
    ) -> OutgoingMessage {
        let settings =
            GuildSettings::load(&self.reply_context.store, Some(session.details.guild)).await;
        let consent = settings.unwrap_or_default().voice_consent;
        OutgoingMessage {
            content: words::session_notice(
                &text::escape(asked_by),
                session.details.voice_channel,
                consent,
                setup.answers,
                &self.reply_context.data_handling,
            ),
            buttons: Some(Buttons::Consent),
            ..OutgoingMessage::default()
        }
    }

    /// The way into the call of a session.
    pub(super) fn voice_gateway(&self, session: &SessionRecord) -> VoiceGateway {
        VoiceGateway::new(
            Arc::clone(&self.songbird),
            self.settings.driver,
            self.reply_context.store.clone(),
            session,
        )
    }

    /// Takes a server's place, so that two who ask at once do not both begin.
    pub(super) fn reserve_slot(
        self: &Arc<Self>,
        guild: u64,
    ) -> Result<SlotGuard, StartSessionError> {
        let mut open = self.lock_slots();
        match open.get(&guild) {
            Some(SessionSlot::Running(running)) if running.is_ending() => {
                Err(StartSessionError::StillEnding)
            }
            Some(SessionSlot::Running(running)) => Err(StartSessionError::AlreadyRunning(Some(
                running.voice_channel,
            ))),
            Some(SessionSlot::Closing) => Err(StartSessionError::StillEnding),
            Some(SessionSlot::Starting) => Err(StartSessionError::AlreadyRunning(None)),
            None => {
                open.insert(guild, SessionSlot::Starting);
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
        (microphone, heard, clock): (
            audio_worker::AudioInput,
            mpsc::Receiver<audio_worker::SpeakerAudioEvent>,
            SessionClock,
        ),
        held: &mut SlotGuard,
    ) -> Result<RunningSession, StartSessionError> {
        let guild = session.details.guild;
        let workshop = self.job_scheduler.runner();
        let settings = GuildSettings::load(&workshop.store, Some(guild)).await?;
        let book = workshop.load_guild_consents(guild).await?;
        book.set_rule(settings.voice_consent);
        let place = (session.id.0, session.details.text_channel);
        let board = self.new_transcript_view(place, session.started);
        let marked =
            nickname_mark::mark_nickname(&self.reply_context.discord_api, guild, &self.bot_name)
                .await;
        let names = BotNames::new([marked.name(), self.bot_name.as_str()]);
        let silent = CancellationToken::new();
        let counting = microphone.counts_reader();
        let (call, heard) = SessionActor::open(call::SessionParts {
            session: session.clone(),
            setup,
            consents: book,
            scheduler: Arc::clone(&self.job_scheduler),
            view: Arc::clone(&board) as Arc<dyn TranscriptView>,
            live_transcriber: self.settings.live_transcriber.clone(),
            bot_name: marked.name().to_owned(),
            bot_names: names,
            limits: self.settings.limits,
            audio_input: microphone.clone(),
            audio_events: heard,
            clock,
            listening_guard: silent.clone().drop_guard(),
        })
        .await?;
        let (messages, inbox) = mpsc::channel(MAX_MESSAGES);
        let (notices, noticed) = mpsc::channel(MAX_CALL_UPDATES);
        let running = RunningSession {
            voice_channel: session.details.voice_channel,
            move_count: 0,
            messages: messages.clone(),
            call_updates: notices,
            transcript_view: board,
            microphone,
            receive_counts: counting,
            stopped_listening: silent.clone(),
            finished: CancellationToken::new(),
            left_at: HashMap::new(),
            session,
        };
        // From now on whoever comes and goes is told to it.
        held.set_running(running.clone());
        self.sync_voice_states(guild);
        let workshop = Arc::clone(&self.job_scheduler);
        let connected = connection.run(noticed, messages, workshop, silent.clone());
        let connected = tokio::spawn(connected);
        let called = tokio::spawn(call.run(heard, inbox));
        let (sessions, ended) = (Arc::clone(self), running.clone());
        tokio::spawn(async move {
            let _over = ended.finished.clone().drop_guard();
            silent.cancelled().await;
            marked.remove_mark().await;
            // It fails only if it panicked, and then it is over too.
            let _ = connected.await;
            if called.await.is_err() {
                tracing::error!(session = ended.session.id.0, "a session broke");
                let (desk, name) = (&sessions.job_scheduler, sessions.bot_name.as_str());
                let (id, broke) = (ended.session.id, SessionEndReason::ProcessDied);
                let noted = session_end::record_end(desk.runner(), id, broke).await;
                session_end::publish_result(
                    desk,
                    &*ended.transcript_view,
                    &ended.session,
                    &noted,
                    (name, None),
                )
                .await;
            }
            sessions.lock_slots().remove(&guild);
        });
        Ok(running)
    }

    /// The session of a server.
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

    /// Somebody has decided whether they are written down in a server. A no holds whatever this
    /// returns.
    pub(in crate::discord) async fn decide_consent(
        &self,
        guild: u64,
        person: u64,
        consent: Consent,
    ) -> Result<(), StoreError> {
        let workshop = self.job_scheduler.runner();
        let (store, now) = (&self.reply_context.store, (workshop.clock)());
        let deciding = workshop
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

    /// A server has another rule.
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

    /// Somebody is forgotten, in memory already: no session keeps what nobody can use any more.
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

    /// The process ends: sessions stop, and the next process goes on with them.
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
            tracing::warn!("not all sessions have ended in time");
        }
    }

    /// The sessions that are held, for whoever looks on.
    pub(in crate::discord) fn snapshot(&self) -> Vec<VoiceSessionStatus> {
        let mut seen: Vec<_> = self
            .running_sessions()
            .iter()
            .map(RunningSession::snapshot)
            .collect();
        seen.sort_by_key(|session| session.id);
        seen
    }

    pub(super) fn running_sessions(&self) -> Vec<RunningSession> {
        let open = self.lock_slots();
        let all = open.values().filter_map(|place| match place {
            SessionSlot::Running(running) => Some(running.as_ref().clone()),
            SessionSlot::Starting | SessionSlot::Closing => None,
        });
        all.collect()
    }

    pub(super) fn new_transcript_view(
        &self,
        place: (i64, u64),
        started: Timestamp,
    ) -> Arc<ChannelTranscriptView> {
        let longest = self.settings.limits.max_length;
        ChannelTranscriptView::new(Arc::clone(&self.reply_context), place, started, longest)
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

/// A server's place while a session begins; free again if none does.
pub(super) struct SlotGuard {
    sessions: Arc<VoiceSessions>,
    guild: u64,
    is_filled: bool,
}

impl SlotGuard {
    fn set_running(&mut self, running: RunningSession) {
        let mut open = self.sessions.lock_slots();
        open.insert(self.guild, SessionSlot::Running(Box::new(running)));
        self.is_filled = true;
    }

    /// It is not free before what was left is told.
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
