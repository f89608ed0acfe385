//! Starts sessions: joins the call, posts the recording notice and spawns the session's tasks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::super::discord_api::{Buttons, OutgoingMessage};
use super::super::text;
use super::connection::VoiceConnection;
use super::nickname_mark;
use super::recording_notice;
use super::running_session::RunningSession;
use super::sessions::{SlotGuard, VoiceSessions};
use super::start_error::StartSessionError;
use crate::flow::guild_settings::GuildSettings;
use crate::flow::session::actor::{self, MAX_MESSAGES, SessionActor};
use crate::flow::session::audio_worker;
use crate::flow::session::clock::SessionClock;
use crate::flow::session::transcript_view::TranscriptView;
use crate::flow::session::wake_word::BotNames;
use crate::flow::session::{SessionEndReason, SessionSetup, session_end};
use crate::store::{OpenSession, SessionDetails, SessionRecord, StoreError};
use crate::ui_text::voice_session as words;

/// Queued voice updates per session.
const MAX_CALL_UPDATES: usize = 64;

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
            text_channel: request.text_channel,
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
        let target = (session.id.0, session.details.text_channel);
        let transcript_view = self.new_transcript_view(target, session.started);
        let nickname =
            nickname_mark::mark_nickname(&self.reply_context.discord_api, guild, &self.bot_name)
                .await;
        let names = BotNames::new([nickname.name(), self.bot_name.as_str()]);
        let stopped_listening = CancellationToken::new();
        let receive_counts = microphone.counts_reader();
        let (call, audio_events) = SessionActor::open(actor::SessionParts {
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
}
