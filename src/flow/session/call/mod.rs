//! The actor that owns a session: everything that happens in a call comes to it as a message, and
//! it alone decides what becomes of it. It waits for the ledger and for nothing else.

mod participants;
mod utterances;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::DropGuard;

use super::audio_worker::{AudioInput, SessionClock, SpeakerAudioEvent};
use super::live_streams::{LiveStreamEvent, LiveStreams};
use super::question_dispatcher::QuestionDispatcher;
use super::reorder_buffer::{ReorderBuffer, Ticket};
use super::report::{self, LatencySamples, ReceptionReport};
use super::session_end::{self, RecordedEnd};
use super::transcript_view::{SessionNotice, TranscriptView};
use super::transcription::{TranscribedUtterance, UtteranceTranscriber};
use super::utterance_uploads::UtteranceUploads;
use super::wake_word::BotNames;
use super::{SessionEndReason, SessionSetup, transcript_history};
use crate::flow::consent::{GuildConsents, PersonalData};
use crate::flow::job_scheduler::JobScheduler;
use crate::flow::paid_providers::PaidLiveTranscriber;
use crate::store::{SessionRecord, StoreError, Timestamp, TranscriptLine};

/// Messages that wait for the session.
pub const MAX_MESSAGES: usize = 1_024;

/// Utterances that are on their way to words. What is said beyond them is told as not heard.
const MAX_PENDING_UTTERANCES: usize = 256;

/// People that one session knows by name.
const MAX_PARTICIPANTS: usize = 1_000;

/// Lines that are given to the recognizer as what was said before.
const CONTEXT_LINES: usize = 10;

/// Loss that is worth a line in the transcript.
const MIN_REPORTED_LOSS: Duration = Duration::from_millis(300);

/// How long the words of the last utterances are waited for at the end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// The same when the process ends, which does not wait long.
const RESTART_DRAIN_TIMEOUT: Duration = Duration::from_secs(4);

/// The thread that listens gives what it has within this time.
const AUDIO_DRAIN_TIMEOUT: Duration = Duration::from_millis(400);

/// How long a person who asked "can you hear me?" is waited for.
pub const HEARING_CHECK_TIMEOUT: Duration = Duration::from_secs(20);

/// What happens to a session.
#[derive(Debug)]
pub enum SessionMessage {
    /// Somebody is in the call.
    Joined {
        /// Who.
        person: u64,
        /// Their name in the server.
        name: String,
    },
    /// Somebody is no longer in it.
    Left(u64),
    /// These are in the call, with their names, and nobody else.
    Participants(Vec<(u64, String)>),
    /// Somebody has decided whether they are written down, or wants to be forgotten. The book knows
    /// it already.
    ConsentChanged(u64),
    /// Nobody can be heard since then.
    InterruptedSince(Duration),
    /// Nobody could be heard from then to then.
    Interruption(Duration, Duration),
    /// Somebody asks whether they are heard; told are the words of what they say next.
    CheckHearing {
        /// Who.
        person: u64,
        /// Gets the words.
        reply: oneshot::Sender<HearingCheckResult>,
    },
    /// Somebody wants to know how the session goes.
    GetReport(oneshot::Sender<(ReceptionReport, SessionCost)>),
    /// Tells everybody in the channel.
    PostNotice(SessionNotice<'static>),
    /// The session is over.
    End(RecordedEnd),
    /// The process ends, and the next one goes on.
    Restart,
}

/// Why a call is no longer listened to.
enum ActorStop {
    End(RecordedEnd),
    Restart,
}

/// What a session has cost so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SessionCost {
    /// How long it has gone on.
    pub length: Duration,
    /// What writing it down has cost, in millionths of the currency.
    pub micros: u64,
}

/// What came of "can you hear me?".
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HearingCheckResult {
    /// They were heard to say this.
    Heard(String),
    /// They may not be written down, since they have not agreed.
    NoConsent,
    /// They are not in the call.
    NotInCall,
    /// Something was heard, and no words in it.
    NoSpeech,
}

/// How long sessions last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SessionLimits {
    /// The longest session.
    pub max_length: Duration,
    /// How long the bot stays when nobody else is there.
    pub alone_timeout: Duration,
}

/// What a session is made of.
pub struct SessionParts {
    /// As the ledger knows it.
    pub session: SessionRecord,
    /// What was chosen for it.
    pub setup: SessionSetup,
    /// Who may be heard.
    pub consents: GuildConsents,
    /// Where questions go.
    pub scheduler: Arc<JobScheduler>,
    /// Where it is shown.
    pub view: Arc<dyn TranscriptView>,
    /// Writes down while people speak; none: utterance by utterance.
    pub live_transcriber: Option<PaidLiveTranscriber>,
    /// What the bot is called in the server.
    pub bot_name: String,
    /// All names that people call it by.
    pub bot_names: BotNames,
    /// How long it lasts.
    pub limits: SessionLimits,
    /// Where sound goes in.
    pub audio_input: AudioInput,
    /// What is heard.
    pub audio_events: mpsc::Receiver<SpeakerAudioEvent>,
    /// The time of the session.
    pub clock: SessionClock,
    /// Dropped once nobody is listened to any more, which is before the end is shown.
    pub listening_guard: DropGuard,
}

/// A running session.
pub struct SessionActor {
    session: SessionRecord,
    setup: SessionSetup,
    consents: GuildConsents,
    scheduler: Arc<JobScheduler>,
    view: Arc<dyn TranscriptView>,
    limits: SessionLimits,
    audio_input: AudioInput,
    clock: SessionClock,
    transcriber: UtteranceTranscriber,
    live_streams: Option<LiveStreams>,
    live_events: mpsc::Receiver<LiveStreamEvent>,
    /// None: what people say is sent when it is whole, or as they speak by `live`.
    uploads: Option<UtteranceUploads>,
    question_dispatcher: QuestionDispatcher,
    bot_name: String,
    participants: HashMap<u64, Participant>,
    reorder_buffer: ReorderBuffer<PersonalData<TranscriptLine>>,
    next_line_number: u32,
    /// The ledger takes no more lines.
    is_transcript_full: bool,
    recent_lines: Vec<PersonalData<String>>,
    hearing_checks: HashMap<u64, (oneshot::Sender<HearingCheckResult>, Duration)>,
    /// Loss of a person that has no line yet: where it began, and how much.
    pending_losses: HashMap<u64, (Duration, Duration)>,
    latencies: HashMap<u64, LatencySamples>,
    /// People who have been told that a cap is reached.
    cap_notified: Vec<u64>,
    failure_notified: bool,
    /// Packets of the microphone that found no room, as counted so far.
    overrun_reported: u64,
    alone_since: Option<Duration>,
    interrupted_for: Duration,
    /// Since when nobody can be heard.
    interrupted_since: Option<Duration>,
    transcriptions: JoinSet<TranscribedUtterance>,
    /// The places of what is being written down.
    tickets: HashMap<Id, Ticket>,
    listening_guard: Option<DropGuard>,
}

#[derive(Clone, Debug)]
struct Participant {
    name: String,
    is_present: bool,
}

impl SessionActor {
    /// A session, begun or taken up again.
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
        let next_line = store.last_line_number(parts.session.id).await? + 1;
        let lines = transcript_history::spoken_lines(consents, store, &parts.session).await?;
        let open: Vec<TranscriptLine> = lines
            .iter()
            .filter_map(PersonalData::get)
            .cloned()
            .collect();
        let deaf = ReceptionReport::from_lines(&open).interrupted_for;
        let latest = lines.into_iter().rev().take(CONTEXT_LINES).rev();
        let recent = latest
            .map(|line| line.map(|line| format_context_line(&line)))
            .collect();
        let place = (parts.session.id, guild, parts.session.details.text_channel);
        let asker = QuestionDispatcher::new(
            Arc::clone(&parts.scheduler),
            Arc::clone(&parts.view),
            parts.bot_names,
            place,
        );
        let (live, live_events) = match parts.live_transcriber {
            Some(transcriber) => {
                let (lines, events) = LiveStreams::new(transcriber);
                (Some(lines), events)
            }
            None => (None, mpsc::channel(1).1),
        };
        let transcriber = &parts.scheduler.runner().pipeline.transcriber;
        let uploads = UtteranceUploads::new(transcriber).filter(|_| live.is_none());
        let call = Self {
            live_streams: live,
            uploads,
            live_events,
            transcriber: UtteranceTranscriber::new(
                Arc::clone(&parts.scheduler),
                parts.session.id,
                guild,
            ),
            question_dispatcher: asker,
            bot_name: parts.bot_name,
            participants: HashMap::new(),
            reorder_buffer: ReorderBuffer::default(),
            next_line_number: next_line,
            is_transcript_full: false,
            recent_lines: recent,
            hearing_checks: HashMap::new(),
            pending_losses: HashMap::new(),
            latencies: HashMap::new(),
            cap_notified: Vec::new(),
            failure_notified: false,
            overrun_reported: 0,
            alone_since: None,
            interrupted_for: deaf,
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
        Ok((call, parts.audio_events))
    }

    /// Lives until the session ends. Gives the reason; none if another process goes on with it.
    pub async fn run(
        mut self,
        mut heard: mpsc::Receiver<SpeakerAudioEvent>,
        mut inbox: mpsc::Receiver<SessionMessage>,
    ) -> Option<SessionEndReason> {
        gauge!("talkback_sessions").increment(1.0);
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = loop {
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(SessionMessage::End(noted)) => break ActorStop::End(noted),
                    Some(SessionMessage::Restart) | None => break ActorStop::Restart,
                    Some(message) => self.handle_message(message).await,
                },
                Some(heard) = heard.recv() => self.handle_audio_event(heard).await,
                Some(done) = self.transcriptions.join_next_with_id() => self.on_transcription_finished(done).await,
                Some(event) = self.live_events.recv() => self.handle_live_event(event).await,
                _ = tick.tick() => {
                    if let Some(ending) = self.tick().await {
                        let workshop = self.scheduler.runner();
                        break ActorStop::End(session_end::record_end(workshop, self.session.id, ending).await);
                    }
                }
            }
        };
        let (ending, limit) = match &stop {
            ActorStop::End(noted) => (Some(noted.reason()), DRAIN_TIMEOUT),
            ActorStop::Restart => (None, RESTART_DRAIN_TIMEOUT),
        };
        tracing::info!(session = self.session.id.0, ?ending, "session ends");
        drop(self.listening_guard.take());
        self.drain(&mut heard, &mut inbox, limit).await;
        // Whoever still asks something is told that there is no session.
        drop(inbox);
        match stop {
            ActorStop::Restart => {
                self.view.post_notice(SessionNotice::Restarting);
                self.view.flush().await;
            }
            ActorStop::End(noted) => {
                let told = (self.bot_name.as_str(), Some(self.report()));
                session_end::publish_result(
                    &self.scheduler,
                    &*self.view,
                    &self.session,
                    &noted,
                    told,
                )
                .await;
            }
        }
        gauge!("talkback_sessions").decrement(1.0);
        ending
    }

    async fn handle_message(&mut self, message: SessionMessage) {
        match message {
            SessionMessage::Joined { person, name } => self.on_joined(person, name),
            SessionMessage::Left(person) => self.on_left(person),
            SessionMessage::Participants(there) => {
                let gone: Vec<u64> = self
                    .participants
                    .iter()
                    .filter(|(known, it)| {
                        it.is_present && !there.iter().any(|(id, _)| id == *known)
                    })
                    .map(|(known, _)| *known)
                    .collect();
                for person in gone {
                    self.on_left(person);
                }
                for (person, name) in there {
                    self.on_joined(person, name);
                }
            }
            SessionMessage::ConsentChanged(person) => self.on_consent_changed(person).await,
            SessionMessage::InterruptedSince(since) => self.begin_interruption(since).await,
            SessionMessage::Interruption(from, to) => self.end_interruption(from, to).await,
            SessionMessage::PostNotice(remark) => self.view.post_notice(remark),
            SessionMessage::CheckHearing { person, reply } => {
                self.start_hearing_check(person, reply)
            }
            SessionMessage::GetReport(reply) => {
                // Whoever asked may have gone.
                let admission = &self.scheduler.runner().admission;
                let micros = admission.session_cost_micros(self.session.id).await;
                let cost = SessionCost {
                    length: self.clock.elapsed(),
                    micros: micros.unwrap_or_else(|error| {
                        log_store_error("nobody knows what it costs", &error);
                        0
                    }),
                };
                let _ = reply.send((self.report(), cost));
            }
            SessionMessage::End(_) | SessionMessage::Restart => {}
        }
    }

    /// Once a second: signs of life, and whether it is time to go.
    async fn tick(&mut self) -> Option<SessionEndReason> {
        let now = self.clock.elapsed();
        self.hearing_checks
            .retain(|_, (_, asked)| now.saturating_sub(*asked) < HEARING_CHECK_TIMEOUT);
        let workshop = self.scheduler.runner();
        let (id, at) = (self.session.id, (workshop.clock)());
        if let Err(error) = workshop.store.touch_session(id, at).await {
            log_store_error("no sign of life", &error);
        }
        let tally = self.audio_input.dropped_packets();
        let overrun = tally.overrun + tally.events_lost;
        let told = std::mem::replace(&mut self.overrun_reported, overrun);
        counter!("talkback_packets_overrun_total").increment(overrun.saturating_sub(told));
        if !self.view.is_available() {
            self.close_live_streams().await;
        }
        if now >= self.limits.max_length || self.is_transcript_full {
            return Some(SessionEndReason::TooLong);
        }
        if self.present_count() > 0 {
            self.alone_since = None;
            return None;
        }
        let since = *self.alone_since.get_or_insert(now);
        (now.saturating_sub(since) >= self.limits.alone_timeout).then_some(SessionEndReason::Alone)
    }

    /// Lets what is on its way become lines. Whoever says no meanwhile is still obeyed.
    async fn drain(
        &mut self,
        heard: &mut mpsc::Receiver<SpeakerAudioEvent>,
        inbox: &mut mpsc::Receiver<SessionMessage>,
        limit: Duration,
    ) {
        let deadline = Instant::now() + limit;
        let people: Vec<u64> = self.participants.keys().copied().collect();
        for person in people {
            self.audio_input.finish_speaker(person);
        }
        if let Some(since) = self.interrupted_since {
            self.end_interruption(since, self.clock.elapsed()).await;
        }
        while let Ok(Some(heard)) = timeout(AUDIO_DRAIN_TIMEOUT, heard.recv()).await {
            self.handle_audio_event(heard).await;
        }
        let lost = self
            .pending_losses
            .keys()
            .filter_map(|it| self.consents.current_grant(*it));
        for stamp in lost.collect::<Vec<_>>() {
            self.commit_loss_line(&stamp).await;
        }
        while !self.reorder_buffer.is_empty() {
            tokio::select! {
                () = sleep_until(deadline) => {
                    tracing::warn!(
                        session = self.session.id.0,
                        utterances = self.reorder_buffer.len(),
                        "the last words are missing"
                    );
                    break;
                }
                Some(message) = inbox.recv() => self.handle_message(message).await,
                Some(done) = self.transcriptions.join_next_with_id() => self.on_transcription_finished(done).await,
                Some(event) = self.live_events.recv() => self.handle_live_event(event).await,
                else => break,
            }
        }
        self.transcriptions.abort_all();
        self.reorder_buffer.give_up_all();
        self.commit_ready_lines().await;
    }

    fn report(&self) -> ReceptionReport {
        let mut counts: Vec<_> = self.audio_input.counts().into_iter().collect();
        counts.sort_by_key(|(person, _)| *person);
        let speakers = counts
            .into_iter()
            .filter(|(person, _)| self.may_hear(*person))
            .map(|(person, counts)| report::SpeakerReception {
                person,
                name: self.display_name(person),
                heard: counts.decoded,
                lost: counts.lost_duration,
                late: counts.late,
                delays: self.latencies.get(&person).cloned().unwrap_or_default(),
            });
        let going_on = self.interrupted_since;
        let going_on = going_on.map(|since| self.clock.elapsed().saturating_sub(since));
        ReceptionReport {
            speakers: speakers.collect(),
            interrupted_for: self.interrupted_for + going_on.unwrap_or_default(),
        }
    }
}

/// A line as what was said before.
fn format_context_line(line: &TranscriptLine) -> String {
    format!("{}: {}", line.name, line.text)
}

fn log_store_error(what: &'static str, error: &StoreError) {
    tracing::error!(error = error as &dyn std::error::Error, "{what}");
}

/// How far a session has come by `now`.
#[must_use]
pub fn session_elapsed(session: &SessionRecord, now: Timestamp) -> Duration {
    let millis = now.0.saturating_sub(session.started.0);
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
