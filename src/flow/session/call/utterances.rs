//! From audio events to stored transcript lines.

use std::time::Duration;

use metrics::{counter, histogram};
use tokio::task::{Id, JoinError};

use super::{
    CONTEXT_LINES, HearingCheckResult, MAX_PARTICIPANTS, MAX_PENDING_UTTERANCES, MIN_REPORTED_LOSS,
    SessionActor, format_context_line, log_store_error,
};
use crate::flow::consent::{ConsentGrant, PersonalData};
use crate::flow::guild_settings::GuildSettings;
use crate::flow::paid_upload::PaidUpload;
use crate::flow::session::audio_worker::SpeakerAudioEvent;
use crate::flow::session::live_streams::{LiveOutcome, LiveStreamEvent, LiveStreams};
use crate::flow::session::recognition_context::RecognitionContext;
use crate::flow::session::transcript_history;
use crate::flow::session::transcript_view::{PartialTranscript, SessionNotice};
use crate::flow::session::transcription::{
    PendingUtterance, TranscribedUtterance, TranscriptionOutcome, UtteranceTimes,
};
use crate::store::{AddLineOutcome, LineKind, StoreError, TranscriptLine};
use audio::{SpeakerEvent, Utterance};

impl SessionActor {
    pub(super) async fn handle_audio_event(&mut self, heard: SpeakerAudioEvent) {
        let stamp = heard.grant().clone();
        let person = stamp.person();
        // Consent withdrawn: ignore whatever is still in flight.
        let Some(event) = heard.into_inner() else {
            return;
        };
        match event {
            SpeakerEvent::SpeechStarted { .. } => {
                if self.live_streams.is_none() {
                    let transcriber = self.scheduler.runner().pipeline.transcriber.clone();
                    tokio::spawn(async move { transcriber.warm().await });
                }
                if let Some(uploads) = &mut self.uploads {
                    uploads.dismiss_utterance(&stamp);
                }
                self.open_live_stream(&stamp).await;
            }
            SpeakerEvent::Audio { samples, .. } => {
                if let Some(live) = &mut self.live_streams {
                    live.push(&stamp.wrap(&samples));
                }
                self.push_upload(&stamp, &samples).await;
            }
            SpeakerEvent::Dismissed { .. } => {
                if let Some(uploads) = &mut self.uploads {
                    uploads.dismiss_utterance(&stamp);
                }
                if let Some(live) = &mut self.live_streams {
                    live.dismiss_utterance(&stamp);
                }
                self.show_partial(&stamp, String::new());
                counter!("talkback_utterances_total", "outcome" => "dismissed").increment(1);
            }
            SpeakerEvent::Lost { at, length } => {
                let lost = self
                    .pending_losses
                    .entry(person)
                    .or_insert((at, Duration::ZERO));
                lost.1 += length;
            }
            SpeakerEvent::Utterance(utterance) => {
                self.start_transcription(stamp.wrap(utterance)).await
            }
        }
    }

    pub(super) async fn start_transcription(&mut self, heard: PersonalData<Utterance>) {
        let stamp = heard.grant().clone();
        self.commit_loss_line(&stamp).await;
        let Some(utterance) = heard.get() else {
            return;
        };
        let times = UtteranceTimes::of_utterance(utterance);
        let uploads = self.uploads.as_mut();
        let upload =
            uploads.and_then(|it| it.take_complete_upload(&stamp, utterance.samples.len()));
        let lost = self.new_line(&stamp, times, LineKind::AudioLost, String::new());
        let ticket = self.reorder_buffer.reserve(times.start, lost);
        // The count includes utterances that the live transcriber has.
        if self.reorder_buffer.len() > MAX_PENDING_UTTERANCES {
            counter!("talkback_utterances_total", "outcome" => "overrun").increment(1);
            self.reorder_buffer.give_up(ticket);
            self.commit_ready_lines().await;
            return;
        }
        let awaited = PendingUtterance {
            ticket,
            times,
            utterance: heard,
        };
        let awaited = match &mut self.live_streams {
            Some(live) => live.end_utterance(awaited),
            None => Some(awaited),
        };
        if let Some(awaited) = awaited {
            self.spawn_transcription(awaited, upload).await;
        }
    }

    /// Uploads audio during speech, if the user's caps allow it.
    async fn push_upload(&mut self, stamp: &ConsentGrant, samples: &[f32]) {
        let stands = self.view.is_available();
        let Some(uploads) = &mut self.uploads else {
            return;
        };
        if uploads.is_new_utterance(stamp) {
            let person = stamp.person();
            let permit = if stands && uploads.has_capacity() {
                self.transcriber.permit_for_upload(person).await
            } else {
                None
            };
            let briefing = self.recognition_context().await;
            let books = self.transcriber.billing_for(person);
            if let Some(uploads) = &mut self.uploads {
                uploads.open(stamp, permit, books, &briefing);
            }
        }
        if let Some(uploads) = &mut self.uploads {
            uploads.push(&stamp.wrap(samples));
        }
    }

    /// Starts to transcribe an utterance: from its upload if there is one, otherwise as a whole.
    pub(super) async fn spawn_transcription(
        &mut self,
        awaited: PendingUtterance,
        upload: Option<PaidUpload>,
    ) {
        if !self.view.is_available() {
            // Nobody could read the result.
            self.reorder_buffer.give_up(awaited.ticket);
            self.commit_ready_lines().await;
            return;
        }
        let briefing = self.recognition_context().await;
        let (writer, ticket) = (self.transcriber.clone(), awaited.ticket);
        let writing = self
            .transcriptions
            .spawn(writer.transcribe_utterance(awaited, briefing, upload));
        self.tickets.insert(writing.id(), ticket);
    }

    fn show_partial(&self, stamp: &ConsentGrant, text: String) {
        let name = self.display_name(stamp.person());
        self.view.show_partial(stamp.wrap(PartialTranscript {
            speaker_name: name,
            text,
        }));
    }

    /// Handles the result of a transcription task.
    pub(super) async fn on_transcription_finished(
        &mut self,
        done: Result<(Id, TranscribedUtterance), JoinError>,
    ) {
        match done {
            Ok((id, written)) => {
                self.tickets.remove(&id);
                self.handle_transcribed(written).await;
            }
            Err(error) => {
                tracing::error!(
                    session = self.session.id.0,
                    panicked = error.is_panic(),
                    "an utterance did not come back"
                );
                if let Some(ticket) = self.tickets.remove(&error.id()) {
                    self.reorder_buffer.give_up(ticket);
                    self.commit_ready_lines().await;
                }
            }
        }
    }

    /// Opens a live transcription stream for a user who starts to speak, if their caps allow it.
    pub(super) async fn open_live_stream(&mut self, stamp: &ConsentGrant) {
        let Some(live) = &self.live_streams else {
            return;
        };
        if live.contains(stamp) {
            // A stream gets the assistant's last answer as context only when it is opened, so an
            // idle stream is reopened after a new answer.
            if live.is_idle(stamp) {
                let answered = self.last_answer().await.map(|(message, _)| message);
                if let Some(live) = &mut self.live_streams {
                    live.close_if_answer_changed(stamp, answered);
                }
            }
            if self
                .live_streams
                .as_ref()
                .is_some_and(|live| live.contains(stamp))
            {
                return;
            }
        }
        if !self.view.is_available() {
            return;
        }
        let person = stamp.person();
        let Some(permit) = self.transcriber.permit_for_live_stream(person).await else {
            return;
        };
        let briefing = self.recognition_context().await;
        let books = self.transcriber.billing_for(person);
        if let Some(live) = &mut self.live_streams {
            live.open(stamp, (permit, books), &briefing);
        }
    }

    /// Stops all uploads and live streams, as the view is not available.
    pub(super) async fn close_live_streams(&mut self) {
        if let Some(uploads) = &mut self.uploads {
            uploads.close_all();
        }
        let closed = self.live_streams.as_mut().map(LiveStreams::close_all);
        for awaited in closed.into_iter().flatten() {
            self.reorder_buffer.give_up(awaited.ticket);
        }
        self.commit_ready_lines().await;
    }

    /// Handles an event from the live transcriber.
    pub(super) async fn handle_live_event(&mut self, event: LiveStreamEvent) {
        let Some(live) = &mut self.live_streams else {
            return;
        };
        match live.handle_event(event) {
            LiveOutcome::Nothing => {}
            LiveOutcome::Partial(partial) => {
                let stamp = partial.grant().clone();
                if let Some(text) = partial.into_inner() {
                    self.show_partial(&stamp, text);
                }
            }
            LiveOutcome::Final(awaited, transcript) => {
                self.handle_transcribed(awaited.with_live_transcript(&transcript))
                    .await;
            }
            LiveOutcome::Failed(failed) => {
                for awaited in failed {
                    self.spawn_transcription(awaited, None).await;
                }
            }
        }
    }

    /// Context for the recognizer: names, terms, and previous lines.
    pub(super) async fn recognition_context(&self) -> RecognitionContext {
        let workshop = self.scheduler.runner();
        let mut hints = workshop.pipeline.hints.clone();
        let guild = Some(self.session.details.guild);
        let settings = GuildSettings::load(&workshop.store, guild).await;
        let settings = settings.unwrap_or_default();
        for languages in [&settings.languages, &self.setup.languages] {
            if !languages.is_empty() {
                hints.languages.clone_from(languages);
            }
        }
        let present = self
            .participants
            .iter()
            .filter(|(_, person)| person.is_present);
        let names = present
            .filter_map(|(id, person)| {
                Some(self.consents.current_grant(*id)?.wrap(person.name.clone()))
            })
            .collect();
        let mut terms: Vec<String> = settings.key_terms;
        terms.push(self.bot_name.clone());
        RecognitionContext {
            hints,
            terms,
            speaker_names: names,
            previous_lines: self.recent_lines.clone(),
            last_answer: self.last_answer().await,
        }
    }

    /// The assistant's last answer in this session, with its message id.
    async fn last_answer(&self) -> Option<(u64, PersonalData<String>)> {
        let workshop = self.scheduler.runner();
        let (consents, store) = (&workshop.consents, &workshop.store);
        let answer = transcript_history::last_answer(consents, store, &self.session).await;
        answer.unwrap_or_else(|error| {
            log_store_error("nobody knows what was answered last", &error);
            None
        })
    }

    pub(super) async fn handle_transcribed(&mut self, written: TranscribedUtterance) {
        let TranscribedUtterance {
            ticket,
            times,
            outcome: words,
        } = written;
        let stamp = words.grant().clone();
        let person = stamp.person();
        let lost = self.new_line(&stamp, times, LineKind::AudioLost, String::new());
        let line = match words.into_inner() {
            None | Some(TranscriptionOutcome::Withdrawn) => None,
            Some(TranscriptionOutcome::Text { text }) => {
                counter!("talkback_utterances_total", "outcome" => "written").increment(1);
                self.failure_notified = false;
                self.answer_hearing_check(person, HearingCheckResult::Heard(text.clone()));
                Some(self.new_line(&stamp, times, LineKind::Speech, text))
            }
            Some(TranscriptionOutcome::NoSpeech) => {
                counter!("talkback_utterances_total", "outcome" => "nothing").increment(1);
                self.answer_hearing_check(person, HearingCheckResult::NoSpeech);
                None
            }
            Some(TranscriptionOutcome::Failed(error)) => {
                counter!("talkback_utterances_total", "outcome" => "failed").increment(1);
                tracing::warn!(
                    session = self.session.id.0,
                    error = &error as &dyn std::error::Error,
                    "an utterance is not written down"
                );
                if !std::mem::replace(&mut self.failure_notified, true) {
                    self.view.post_notice(SessionNotice::TranscriptionFailing);
                }
                Some(lost)
            }
            Some(TranscriptionOutcome::CapReached(verdict)) => {
                counter!("talkback_utterances_total", "outcome" => "spent").increment(1);
                if !self.cap_notified.contains(&person)
                    && self.cap_notified.len() < MAX_PARTICIPANTS
                {
                    self.cap_notified.push(person);
                    self.view
                        .post_notice(SessionNotice::CapReached { person, verdict });
                }
                Some(lost)
            }
            Some(TranscriptionOutcome::StoreFailed(error)) => {
                log_store_error("an utterance is not judged", &error);
                Some(lost)
            }
        };
        self.reorder_buffer.complete(ticket, line);
        self.commit_ready_lines().await;
    }

    /// Stores and shows the lines whose turn has come.
    pub(super) async fn commit_ready_lines(&mut self) {
        let mut shown = Vec::new();
        let mut asked = Vec::new();
        for line in self.reorder_buffer.drain_ready() {
            // Consent may have been withdrawn while the line waited.
            let stamp = line.grant().clone();
            let Some(mut line) = line.into_inner() else {
                continue;
            };
            line.number = self.next_line_number;
            match self.store_line(&stamp, &line).await {
                Ok(AddLineOutcome::ConsentWithdrawn) => continue,
                Ok(_) => {}
                Err(error) => log_store_error("a line is not kept", &error),
            }
            self.next_line_number += 1;
            self.show_partial(&stamp, String::new());
            if line.kind == LineKind::Speech {
                let end = Duration::from_millis(line.end_ms);
                let delay = self.clock.elapsed().saturating_sub(end);
                histogram!("talkback_speech_to_line_seconds").record(delay);
                self.latencies.entry(line.author).or_default().record(delay);
                if self.recent_lines.len() >= CONTEXT_LINES {
                    self.recent_lines.remove(0);
                }
                self.recent_lines
                    .push(stamp.wrap(format_context_line(&line)));
                let people = self.present_count();
                if let Some(question) =
                    self.question_dispatcher
                        .extract_question(&line, self.setup.answers, people)
                {
                    asked.push(stamp.wrap((line.clone(), question)));
                }
            }
            shown.push(stamp.wrap(line));
        }
        if !shown.is_empty() {
            self.view.lines(shown);
        }
        for question in asked {
            self.question_dispatcher.enqueue(question);
        }
    }

    async fn store_line(
        &mut self,
        stamp: &ConsentGrant,
        line: &TranscriptLine,
    ) -> Result<AddLineOutcome, StoreError> {
        let workshop = self.scheduler.runner();
        let now = (workshop.clock)();
        let (store, id) = (&workshop.store, self.session.id);
        let kept = store.add_line(id, line, now, &|| stamp.is_active()).await?;
        if kept == AddLineOutcome::SessionFull {
            tracing::warn!(session = self.session.id.0, "the transcript is full");
            self.is_transcript_full = true;
        }
        Ok(kept)
    }

    /// Adds a line for audio lost before the user's next utterance, if it was long enough.
    pub(super) async fn commit_loss_line(&mut self, stamp: &ConsentGrant) {
        let Some((at, length)) = self.pending_losses.remove(&stamp.person()) else {
            return;
        };
        if length >= MIN_REPORTED_LOSS {
            let times = UtteranceTimes::between(at, at + length);
            let line = self.new_line(stamp, times, LineKind::AudioLost, String::new());
            let ticket = self.reorder_buffer.reserve(at, line);
            self.reorder_buffer.give_up(ticket);
            self.commit_ready_lines().await;
        }
    }

    /// Starts an interruption. It is stored at once, in case this process dies before it ends.
    pub(super) async fn begin_interruption(&mut self, since: Duration) {
        self.interrupted_since = Some(since);
        let since = u64::try_from(since.as_millis()).ok();
        let store = &self.scheduler.runner().store;
        if let Err(error) = store
            .record_session_interruption(self.session.id, since)
            .await
        {
            log_store_error("not kept that nobody is heard", &error);
        }
    }

    pub(super) async fn end_interruption(&mut self, from: Duration, to: Duration) {
        if self.interrupted_since.take().is_some() {
            let store = &self.scheduler.runner().store;
            if let Err(error) = store
                .record_session_interruption(self.session.id, None)
                .await
            {
                log_store_error("not kept that people are heard", &error);
            }
        }
        let length = to.saturating_sub(from);
        self.interrupted_for += length;
        let times = UtteranceTimes::between(from, to);
        let line = self.new_line(
            &ConsentGrant::unowned(),
            times,
            LineKind::Interrupted,
            String::new(),
        );
        let ticket = self.reorder_buffer.reserve(from, line);
        self.reorder_buffer.give_up(ticket);
        self.commit_ready_lines().await;
    }

    pub(super) fn new_line(
        &self,
        stamp: &ConsentGrant,
        times: UtteranceTimes,
        kind: LineKind,
        text: String,
    ) -> PersonalData<TranscriptLine> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let person = stamp.person();
        stamp.wrap(TranscriptLine {
            number: 0,
            author: person,
            name: self.display_name(person),
            start_ms: millis(times.start),
            end_ms: millis(times.end),
            kind,
            text,
        })
    }
}
