//! Opens a session, or resumes one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::DropGuard;

use super::{CONTEXT_LINES, SessionActor, format_context_line};
use crate::flow::consent::GuildConsents;
use crate::flow::job_scheduler::JobScheduler;
use crate::flow::paid_providers::PaidLiveTranscriber;
use crate::flow::session::audio_worker::{AudioInput, SpeakerAudioEvent};
use crate::flow::session::clock::SessionClock;
use crate::flow::session::live_streams::LiveStreams;
use crate::flow::session::question_dispatcher::QuestionDispatcher;
use crate::flow::session::reorder_buffer::ReorderBuffer;
use crate::flow::session::report::ReceptionReport;
use crate::flow::session::transcript_view::TranscriptView;
use crate::flow::session::transcription::UtteranceTranscriber;
use crate::flow::session::utterance_uploads::UtteranceUploads;
use crate::flow::session::wake_word::BotNames;
use crate::flow::session::{SessionSetup, transcript_history};
use crate::store::{SessionRecord, StoreError};

/// How long a session may last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SessionLimits {
    /// Maximum length of a session.
    pub max_length: Duration,
    /// How long the bot stays in a call with nobody else in it.
    pub alone_timeout: Duration,
}

/// What [`SessionActor::open`] needs.
pub struct SessionParts {
    /// The session's record in the ledger.
    pub session: SessionRecord,
    /// Options chosen for the session.
    pub setup: SessionSetup,
    /// Who may be heard.
    pub consents: GuildConsents,
    /// Runs the questions that are asked in the call.
    pub scheduler: Arc<JobScheduler>,
    /// Where the transcript is shown.
    pub view: Arc<dyn TranscriptView>,
    /// Transcribes during speech; if `None`, each utterance is transcribed after it ends.
    pub live_transcriber: Option<PaidLiveTranscriber>,
    /// The bot's display name in the guild.
    pub bot_name: String,
    /// All names that the bot answers to.
    pub bot_names: BotNames,
    /// How long the session may last.
    pub limits: SessionLimits,
    /// Where the call's packets are pushed.
    pub audio_input: AudioInput,
    /// Events from the audio worker.
    pub audio_events: mpsc::Receiver<SpeakerAudioEvent>,
    /// The session's clock.
    pub clock: SessionClock,
    /// Dropped when the session stops listening, before the result is shown.
    pub listening_guard: DropGuard,
}

impl SessionActor {
    /// Opens a new session, or resumes one.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn open(
        parts: SessionParts,
    ) -> Result<(Self, mpsc::Receiver<SpeakerAudioEvent>), StoreError> {
        let store = &parts.scheduler.runner().store;
        let guild = parts.session.details.guild;
        let consents = &parts.scheduler.runner().consents;
        let next_line_number = store.last_line_number(parts.session.id).await? + 1;
        let lines = transcript_history::spoken_lines(consents, store, &parts.session).await?;
        let permitted = transcript_history::permitted_lines(&lines);
        let interrupted_for = ReceptionReport::from_lines(&permitted).interrupted_for;
        let latest = lines.into_iter().rev().take(CONTEXT_LINES).rev();
        let recent_lines = latest
            .map(|line| line.map(|line| format_context_line(&line)))
            .collect();
        let ids = (parts.session.id, guild, parts.session.details.text_channel);
        let question_dispatcher = QuestionDispatcher::new(
            Arc::clone(&parts.scheduler),
            Arc::clone(&parts.view),
            parts.bot_names,
            ids,
        );
        let (live_streams, live_events) = match parts.live_transcriber {
            Some(transcriber) => {
                let (streams, events) = LiveStreams::new(transcriber);
                (Some(streams), events)
            }
            None => (None, mpsc::channel(1).1),
        };
        let transcriber = &parts.scheduler.runner().pipeline.transcriber;
        let uploads = UtteranceUploads::new(transcriber).filter(|_| live_streams.is_none());
        let actor = Self {
            live_streams,
            uploads,
            live_events,
            transcriber: UtteranceTranscriber::new(
                Arc::clone(&parts.scheduler),
                parts.session.id,
                guild,
            ),
            question_dispatcher,
            bot_name: parts.bot_name,
            participants: HashMap::new(),
            reorder_buffer: ReorderBuffer::default(),
            next_line_number,
            is_transcript_full: false,
            recent_lines,
            hearing_checks: HashMap::new(),
            pending_losses: HashMap::new(),
            latencies: HashMap::new(),
            cap_notified: Vec::new(),
            failure_notified: false,
            overrun_reported: 0,
            alone_since: None,
            interrupted_for,
            interrupted_since: None,
            transcriptions: JoinSet::new(),
            tickets: HashMap::new(),
            listening_guard: Some(parts.listening_guard),
            session: parts.session,
            setup: parts.setup,
            consents: parts.consents,
            scheduler: parts.scheduler,
            view: parts.view,
            limits: parts.limits,
            audio_input: parts.audio_input,
            clock: parts.clock,
        };
        Ok((actor, parts.audio_events))
    }
}
