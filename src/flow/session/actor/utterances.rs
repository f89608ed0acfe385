//! From audio events to transcription.

use std::time::Duration;

use metrics::counter;
use tokio::task::{Id, JoinError};

use super::{MAX_PENDING_UTTERANCES, SessionActor};
use crate::flow::consent::{ConsentGrant, PersonalData};
use crate::flow::paid_upload::PaidUpload;
use crate::flow::session::audio_worker::SpeakerAudioEvent;
use crate::flow::session::transcript_view::PartialTranscript;
use crate::flow::session::transcription::{PendingUtterance, TranscribedUtterance, UtteranceTimes};
use crate::store::LineKind;
use audio::{SpeakerEvent, Utterance};

impl SessionActor {
    pub(super) async fn handle_audio_event(&mut self, audio_event: SpeakerAudioEvent) {
        let grant = audio_event.grant().clone();
        let person = grant.user_id();
        // Consent withdrawn: ignore whatever is still in flight.
        let Some(event) = audio_event.into_inner() else {
            return;
        };
        match event {
            SpeakerEvent::SpeechStarted { .. } => {
                if self.live_streams.is_none() {
                    let transcriber = self.scheduler.runner().pipeline.transcriber.clone();
                    tokio::spawn(async move { transcriber.warm().await });
                }
                if let Some(uploads) = &mut self.uploads {
                    uploads.dismiss_utterance(&grant);
                }
                self.open_live_stream(&grant).await;
            }
            SpeakerEvent::Audio { samples, .. } => {
                if let Some(live) = &mut self.live_streams {
                    live.push(&grant.wrap(&samples));
                }
                self.push_upload(&grant, &samples).await;
            }
            SpeakerEvent::Dismissed { .. } => {
                if let Some(uploads) = &mut self.uploads {
                    uploads.dismiss_utterance(&grant);
                }
                if let Some(live) = &mut self.live_streams {
                    live.dismiss_utterance(&grant);
                }
                self.show_partial(&grant, String::new());
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
                self.start_transcription(grant.wrap(utterance)).await;
            }
        }
    }

    pub(super) async fn start_transcription(
        &mut self,
        personal_utterance: PersonalData<Utterance>,
    ) {
        let grant = personal_utterance.grant().clone();
        self.commit_loss_line(&grant).await;
        let Some(utterance) = personal_utterance.get() else {
            return;
        };
        let times = UtteranceTimes::of_utterance(utterance);
        let uploads = self.uploads.as_mut();
        let upload =
            uploads.and_then(|it| it.take_complete_upload(&grant, utterance.samples.len()));
        let lost_line = self.new_line(&grant, times, LineKind::AudioLost, String::new());
        let ticket = self.reorder_buffer.reserve(times.start, lost_line);
        // The count includes utterances that the live transcriber has.
        if self.reorder_buffer.len() > MAX_PENDING_UTTERANCES {
            counter!("talkback_utterances_total", "outcome" => "overrun").increment(1);
            self.reorder_buffer.give_up(ticket);
            self.commit_ready_lines().await;
            return;
        }
        let pending = PendingUtterance {
            ticket,
            times,
            utterance: personal_utterance,
        };
        let pending = match &mut self.live_streams {
            Some(live) => live.end_utterance(pending),
            None => Some(pending),
        };
        if let Some(pending) = pending {
            self.spawn_transcription(pending, upload).await;
        }
    }

    /// Uploads audio during speech, if the user's caps allow it.
    async fn push_upload(&mut self, grant: &ConsentGrant, samples: &[f32]) {
        let is_available = self.view.is_available();
        let Some(uploads) = &mut self.uploads else {
            return;
        };
        if uploads.is_new_utterance(grant) {
            let person = grant.user_id();
            let permit = if is_available && uploads.has_capacity() {
                self.transcriber.permit_for_upload(person).await
            } else {
                None
            };
            let context = self.recognition_context().await;
            let billing = self.transcriber.billing_for(person);
            if let Some(uploads) = &mut self.uploads {
                uploads.open(grant, permit, billing, &context);
            }
        }
        if let Some(uploads) = &mut self.uploads {
            uploads.push(&grant.wrap(samples));
        }
    }

    /// Starts to transcribe an utterance: from its upload if there is one, otherwise as a whole.
    pub(super) async fn spawn_transcription(
        &mut self,
        pending: PendingUtterance,
        upload: Option<PaidUpload>,
    ) {
        if !self.view.is_available() {
            // Nobody could read the result.
            self.reorder_buffer.give_up(pending.ticket);
            self.commit_ready_lines().await;
            return;
        }
        let context = self.recognition_context().await;
        let (transcriber, ticket) = (self.transcriber.clone(), pending.ticket);
        let task = self
            .transcriptions
            .spawn(transcriber.transcribe_utterance(pending, context, upload));
        self.tickets.insert(task.id(), ticket);
    }

    pub(super) fn show_partial(&self, grant: &ConsentGrant, text: String) {
        let name = self.display_name(grant.user_id());
        self.view.show_partial(grant.wrap(PartialTranscript {
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
            Ok((id, transcribed)) => {
                self.tickets.remove(&id);
                self.handle_transcribed(transcribed).await;
            }
            Err(error) => {
                tracing::error!(
                    session = self.session.id.0,
                    panicked = error.is_panic(),
                    "a transcription task failed"
                );
                if let Some(ticket) = self.tickets.remove(&error.id()) {
                    self.reorder_buffer.give_up(ticket);
                    self.commit_ready_lines().await;
                }
            }
        }
    }
}
