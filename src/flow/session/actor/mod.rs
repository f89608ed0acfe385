//! The actor that owns a session. It receives everything that happens in a call as messages, and is
//! the only one to change the session's state. It awaits nothing slower than the ledger.

mod context;
mod drain;
mod interruption;
mod lines;
mod live;
mod message;
mod open;
mod participants;
mod utterances;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::DropGuard;

pub use message::{HearingCheckResult, SessionCost, SessionMessage};
pub use open::{SessionLimits, SessionParts};

use super::audio_worker::{AudioInput, SpeakerAudioEvent};
use super::clock::SessionClock;
use super::live_streams::{LiveStreamEvent, LiveStreams};
use super::question_dispatcher::QuestionDispatcher;
use super::reorder_buffer::{ReorderBuffer, Ticket};
use super::report::{self, LatencySamples, ReceptionReport};
use super::session_end::{self, RecordedEnd};
use super::transcript_view::{SessionNotice, TranscriptView};
use super::transcription::{TranscribedUtterance, UtteranceTranscriber};
use super::utterance_uploads::UtteranceUploads;
use super::{SessionEndReason, SessionSetup};
use crate::flow::consent::{GuildConsents, PersonalData};
use crate::flow::job_scheduler::JobScheduler;
use crate::store::{SessionRecord, StoreError, TranscriptLine};

/// Capacity of the session's message channel.
pub const MAX_MESSAGES: usize = 1_024;

/// Utterances that may be in transcription at once. Those beyond it are recorded as lost audio.
const MAX_PENDING_UTTERANCES: usize = 256;

/// Members whose names one session remembers.
const MAX_PARTICIPANTS: usize = 1_000;

/// Previous lines passed to the recognizer as context.
const CONTEXT_LINES: usize = 10;

/// Shorter audio losses get no line in the transcript.
const MIN_REPORTED_LOSS: Duration = Duration::from_millis(300);

/// How long to wait for pending transcriptions when a session ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait for them when the process shuts down.
const RESTART_DRAIN_TIMEOUT: Duration = Duration::from_secs(4);

/// How long the audio worker may take for each remaining event at the end.
const AUDIO_DRAIN_TIMEOUT: Duration = Duration::from_millis(400);

/// How long to wait for a member to speak after they ask "can you hear me?".
pub const HEARING_CHECK_TIMEOUT: Duration = Duration::from_secs(20);

/// Why the actor stops.
enum ActorStop {
    End(RecordedEnd),
    Restart,
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
    /// `None` if the transcriber takes no uploads, or `live_streams` is used instead.
    uploads: Option<UtteranceUploads>,
    question_dispatcher: QuestionDispatcher,
    bot_name: String,
    participants: HashMap<u64, Participant>,
    reorder_buffer: ReorderBuffer<PersonalData<TranscriptLine>>,
    next_line_number: u32,
    /// The ledger takes no more lines of this session.
    is_transcript_full: bool,
    recent_lines: Vec<PersonalData<String>>,
    hearing_checks: HashMap<u64, (oneshot::Sender<HearingCheckResult>, Duration)>,
    /// Lost audio per user that has no line yet: start and total length.
    pending_losses: HashMap<u64, (Duration, Duration)>,
    latencies: HashMap<u64, LatencySamples>,
    /// Users for whom a usage cap notice was posted.
    cap_notified: Vec<u64>,
    failure_notified: bool,
    /// Dropped packets and events that have been counted in the metric.
    overrun_reported: u64,
    alone_since: Option<Duration>,
    interrupted_for: Duration,
    /// Set while no audio is received.
    interrupted_since: Option<Duration>,
    transcriptions: JoinSet<TranscribedUtterance>,
    /// Reorder slots of the running transcriptions, by task.
    tickets: HashMap<Id, Ticket>,
    listening_guard: Option<DropGuard>,
}

#[derive(Clone, Debug)]
struct Participant {
    name: String,
    is_present: bool,
}

impl SessionActor {
    /// Runs until the session ends, and returns the reason; `None` if the process shuts down and
    /// another one will resume the session.
    pub async fn run(
        mut self,
        mut audio_events: mpsc::Receiver<SpeakerAudioEvent>,
        mut messages: mpsc::Receiver<SessionMessage>,
    ) -> Option<SessionEndReason> {
        gauge!("talkback_sessions").increment(1.0);
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(SessionMessage::End(recorded)) => break ActorStop::End(recorded),
                    Some(SessionMessage::Restart) | None => break ActorStop::Restart,
                    Some(message) => self.handle_message(message).await,
                },
                Some(event) = audio_events.recv() => self.handle_audio_event(event).await,
                Some(done) = self.transcriptions.join_next_with_id() => self.on_transcription_finished(done).await,
                Some(event) = self.live_events.recv() => self.handle_live_event(event).await,
                _ = tick.tick() => {
                    if let Some(reason) = self.tick().await {
                        let runner = self.scheduler.runner();
                        break ActorStop::End(session_end::record_end(runner, self.session.id, reason).await);
                    }
                }
            }
        };
        let (reason, limit) = match &stop {
            ActorStop::End(recorded) => (Some(recorded.reason()), DRAIN_TIMEOUT),
            ActorStop::Restart => (None, RESTART_DRAIN_TIMEOUT),
        };
        tracing::info!(session = self.session.id.0, ending = ?reason, "session ends");
        drop(self.listening_guard.take());
        self.drain(&mut audio_events, &mut messages, limit).await;
        // Pending requests fail now: their reply channels are dropped.
        drop(messages);
        match stop {
            ActorStop::Restart => {
                self.view.post_notice(SessionNotice::Restarting);
                self.view.flush().await;
            }
            ActorStop::End(recorded) => {
                let bot_and_report = (self.bot_name.as_str(), Some(self.report()));
                session_end::publish_result(
                    &self.scheduler,
                    &*self.view,
                    &self.session,
                    &recorded,
                    bot_and_report,
                )
                .await;
            }
        }
        gauge!("talkback_sessions").decrement(1.0);
        reason
    }

    async fn handle_message(&mut self, message: SessionMessage) {
        match message {
            SessionMessage::Joined { person, name } => self.on_joined(person, name),
            SessionMessage::Left(person) => self.on_left(person),
            SessionMessage::Participants(present) => {
                let left: Vec<u64> = self
                    .participants
                    .iter()
                    .filter(|(id, member)| {
                        member.is_present && !present.iter().any(|(other, _)| other == *id)
                    })
                    .map(|(id, _)| *id)
                    .collect();
                for person in left {
                    self.on_left(person);
                }
                for (person, name) in present {
                    self.on_joined(person, name);
                }
            }
            SessionMessage::ConsentChanged(person) => self.on_consent_changed(person).await,
            SessionMessage::InterruptedSince(since) => self.begin_interruption(since).await,
            SessionMessage::Interruption(from, to) => self.end_interruption(from, to).await,
            SessionMessage::PostNotice(notice) => self.view.post_notice(notice),
            SessionMessage::CheckHearing { person, reply } => {
                self.start_hearing_check(person, reply);
            }
            SessionMessage::GetReport(reply) => {
                // The receiver may be gone by now.
                let admission = &self.scheduler.runner().admission;
                let micros = admission.session_cost_micros(self.session.id).await;
                let cost = SessionCost {
                    length: self.clock.elapsed(),
                    micros: micros.unwrap_or_else(|error| {
                        log_store_error("can't read the cost of the session", &error);
                        0
                    }),
                };
                let _ = reply.send((self.report(), cost));
            }
            SessionMessage::End(_) | SessionMessage::Restart => {}
        }
    }

    /// Runs once a second: updates the session's heartbeat and returns a reason to end, if there is
    /// one.
    async fn tick(&mut self) -> Option<SessionEndReason> {
        let now = self.clock.elapsed();
        self.hearing_checks
            .retain(|_, (_, started)| now.saturating_sub(*started) < HEARING_CHECK_TIMEOUT);
        let runner = self.scheduler.runner();
        let (id, at) = (self.session.id, (runner.clock)());
        if let Err(error) = runner.store.touch_session(id, at).await {
            log_store_error("can't update the heartbeat of the session", &error);
        }
        let dropped = self.audio_input.dropped_packets();
        let overrun = dropped.overrun + dropped.events_lost;
        let reported = std::mem::replace(&mut self.overrun_reported, overrun);
        counter!("talkback_packets_overrun_total").increment(overrun.saturating_sub(reported));
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
        let ongoing = self.interrupted_since;
        let ongoing = ongoing.map(|since| self.clock.elapsed().saturating_sub(since));
        ReceptionReport {
            speakers: speakers.collect(),
            interrupted_for: self.interrupted_for + ongoing.unwrap_or_default(),
        }
    }
}

/// Formats a line as context for the recognizer.
fn format_context_line(line: &TranscriptLine) -> String {
    format!("{}: {}", line.name, line.text)
}

fn log_store_error(message: &'static str, error: &StoreError) {
    tracing::error!(error = error as &dyn std::error::Error, "{message}");
}
