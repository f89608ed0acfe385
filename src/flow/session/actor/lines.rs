//! From transcription results to stored transcript lines.

use std::time::Duration;

use metrics::{counter, histogram};

use super::{
    CONTEXT_LINES, HearingCheckResult, MAX_PARTICIPANTS, MIN_REPORTED_LOSS, SessionActor,
    format_context_line, log_store_error,
};
use crate::flow::consent::{ConsentGrant, PersonalData};
use crate::flow::session::transcript_view::SessionNotice;
use crate::flow::session::transcription::{
    TranscribedUtterance, TranscriptionOutcome, UtteranceTimes,
};
use crate::millis::to_millis;
use crate::store::{AddLineOutcome, LineKind, StoreError, TranscriptLine};

impl SessionActor {
    pub(super) async fn handle_transcribed(&mut self, transcribed: TranscribedUtterance) {
        let TranscribedUtterance {
            ticket,
            times,
            outcome,
        } = transcribed;
        let grant = outcome.grant().clone();
        let person = grant.user_id();
        let lost_line = self.new_line(&grant, times, LineKind::AudioLost, String::new());
        let line = match outcome.into_inner() {
            None | Some(TranscriptionOutcome::Withdrawn) => None,
            Some(TranscriptionOutcome::Text { text }) => {
                counter!("talkback_utterances_total", "outcome" => "written").increment(1);
                self.failure_notified = false;
                self.answer_hearing_check(person, HearingCheckResult::Heard(text.clone()));
                Some(self.new_line(&grant, times, LineKind::Speech, text))
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
                    "an utterance could not be transcribed"
                );
                if !std::mem::replace(&mut self.failure_notified, true) {
                    self.view.post_notice(SessionNotice::TranscriptionFailing);
                }
                Some(lost_line)
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
                Some(lost_line)
            }
            Some(TranscriptionOutcome::StoreFailed(error)) => {
                log_store_error("can't check the usage caps for an utterance", &error);
                Some(lost_line)
            }
        };
        self.reorder_buffer.complete(ticket, line);
        self.commit_ready_lines().await;
    }

    /// Stores and shows the lines whose turn has come.
    pub(super) async fn commit_ready_lines(&mut self) {
        let mut shown = Vec::new();
        let mut questions = Vec::new();
        for line in self.reorder_buffer.drain_ready() {
            // Consent may have been withdrawn while the line waited.
            let grant = line.grant().clone();
            let Some(mut line) = line.into_inner() else {
                continue;
            };
            line.number = self.next_line_number;
            match self.store_line(&grant, &line).await {
                Ok(AddLineOutcome::ConsentWithdrawn) => continue,
                Ok(_) => {}
                Err(error) => log_store_error("can't store a transcript line", &error),
            }
            self.next_line_number += 1;
            self.show_partial(&grant, String::new());
            if line.kind == LineKind::Speech {
                let end = Duration::from_millis(line.end_ms);
                let delay = self.clock.elapsed().saturating_sub(end);
                histogram!("talkback_speech_to_line_seconds").record(delay);
                self.latencies.entry(line.author).or_default().record(delay);
                if self.recent_lines.len() >= CONTEXT_LINES {
                    self.recent_lines.remove(0);
                }
                self.recent_lines
                    .push(grant.wrap(format_context_line(&line)));
                let present_count = self.present_count();
                if let Some(question) = self.question_dispatcher.extract_question(
                    &line,
                    self.setup.answers,
                    present_count,
                ) {
                    questions.push(grant.wrap((line.clone(), question)));
                }
            }
            shown.push(grant.wrap(line));
        }
        if !shown.is_empty() {
            self.view.append_lines(shown);
        }
        for question in questions {
            self.question_dispatcher.enqueue(question);
        }
    }

    async fn store_line(
        &mut self,
        grant: &ConsentGrant,
        line: &TranscriptLine,
    ) -> Result<AddLineOutcome, StoreError> {
        let runner = self.scheduler.runner();
        let now = (runner.clock)();
        let (store, id) = (&runner.store, self.session.id);
        let outcome = store.add_line(id, line, now, &|| grant.is_active()).await?;
        if outcome == AddLineOutcome::SessionFull {
            tracing::warn!(session = self.session.id.0, "the transcript is full");
            self.is_transcript_full = true;
        }
        Ok(outcome)
    }

    /// Adds a line for audio lost before the user's next utterance, if it was long enough.
    pub(super) async fn commit_loss_line(&mut self, grant: &ConsentGrant) {
        let Some((at, length)) = self.pending_losses.remove(&grant.user_id()) else {
            return;
        };
        if length >= MIN_REPORTED_LOSS {
            let times = UtteranceTimes::between(at, at + length);
            let line = self.new_line(grant, times, LineKind::AudioLost, String::new());
            let ticket = self.reorder_buffer.reserve(at, line);
            self.reorder_buffer.give_up(ticket);
            self.commit_ready_lines().await;
        }
    }

    pub(super) fn new_line(
        &self,
        grant: &ConsentGrant,
        times: UtteranceTimes,
        kind: LineKind,
        text: String,
    ) -> PersonalData<TranscriptLine> {
        let person = grant.user_id();
        grant.wrap(TranscriptLine {
            number: 0,
            author: person,
            name: self.display_name(person),
            start_ms: to_millis(times.start),
            end_ms: to_millis(times.end),
            kind,
            text,
        })
    }
}
