//! Transcription during speech: each speaker has a stream to the live transcriber. An utterance
//! that fails there is transcribed like any other.

use std::collections::HashMap;

use tokio::sync::mpsc;

use super::recognition_context::RecognitionContext;
use super::transcription::PendingUtterance;
use crate::flow::admission::{Payer, Permit};
use crate::flow::consent::{ConsentGrant, PersonalData};
use crate::flow::paid_providers::PaidLiveTranscriber;
use crate::speech::live::{LiveAudioSender, LiveEvent};
use crate::store::UsageAccount;

/// Streams open at once. Further speakers are transcribed utterance by utterance.
const MAX_STREAMS: usize = 32;

/// Capacity of the channel for the events of all streams.
const MAX_EVENTS: usize = 1_024;

/// The result of an event from a live stream.
pub(super) enum LiveOutcome {
    /// The text of an unfinished utterance so far.
    Partial(PersonalData<String>),
    /// The final transcript of an utterance.
    Final(Box<PendingUtterance>, Box<crate::speech::Transcript>),
    /// The live transcriber failed on these utterances.
    Failed(Vec<PendingUtterance>),
    /// Nothing to do.
    Nothing,
}

/// The live streams of a session, at most one per speaker.
pub(super) struct LiveStreams {
    transcriber: PaidLiveTranscriber,
    streams: HashMap<u64, LiveStream>,
    events: mpsc::Sender<LiveStreamEvent>,
    opened_count: u64,
}

struct LiveStream {
    /// Distinguishes successive streams of the same speaker.
    stream_id: u64,
    /// The stream is closed when this grant ends.
    grant: ConsentGrant,
    sender: LiveAudioSender,
    /// Index of the current utterance, or of the next one between utterances.
    utterance_index: u64,
    /// The current utterance has begun.
    is_speaking: bool,
    /// Some samples of the current utterance were not accepted.
    is_incomplete: bool,
    pending: HashMap<u64, PendingUtterance>,
    /// The speaker has left; close the stream when nothing is pending.
    speaker_left: bool,
    /// Message id of the assistant's last answer when the stream was opened.
    last_answer_id: Option<u64>,
}

/// Speaker, stream id, and event; `None` means that the stream has ended.
pub(super) type LiveStreamEvent = (u64, u64, Option<LiveEvent>);

impl LiveStreams {
    pub(super) fn new(transcriber: PaidLiveTranscriber) -> (Self, mpsc::Receiver<LiveStreamEvent>) {
        let (event_sender, event_receiver) = mpsc::channel(MAX_EVENTS);
        let streams = Self {
            transcriber,
            streams: HashMap::new(),
            events: event_sender,
            opened_count: 0,
        };
        (streams, event_receiver)
    }

    /// Whether there is a stream under this grant.
    pub(super) fn contains(&self, grant: &ConsentGrant) -> bool {
        let stream = self.streams.get(&grant.user_id());
        stream.is_some_and(|stream| stream.grant.is_same_grant(grant))
    }

    /// Whether this user's stream has neither speech nor pending transcripts.
    pub(super) fn is_idle(&self, grant: &ConsentGrant) -> bool {
        let stream = self.streams.get(&grant.user_id());
        stream.is_some_and(|stream| !stream.is_speaking && stream.pending.is_empty())
    }

    /// Closes the user's stream if the assistant's last answer is not the one it was opened with.
    pub(super) fn close_if_answer_changed(
        &mut self,
        grant: &ConsentGrant,
        last_answer_id: Option<u64>,
    ) {
        let stream = self.streams.get(&grant.user_id());
        if stream.is_some_and(|stream| stream.last_answer_id != last_answer_id) {
            self.streams.remove(&grant.user_id());
        }
    }

    /// Opens a stream for a user who starts to speak, unless there are too many. It is closed, with
    /// all that is pending on it, when the user withdraws consent. The same applies to other users
    /// whose names or lines the provider was given as hints, since the hints would be sent again on
    /// every reconnect.
    pub(super) fn open(
        &mut self,
        grant: &ConsentGrant,
        (permit, billing): (Permit, (Payer, UsageAccount)),
        context: &RecognitionContext,
    ) {
        if self.streams.len() >= MAX_STREAMS || self.streams.contains_key(&grant.user_id()) {
            return;
        }
        self.opened_count += 1;
        let (person, stream_id) = (grant.user_id(), self.opened_count);
        let (hints, hint_grants) = context.permitted_hints();
        let (sender, mut live_events) = self.transcriber.listen(permit, billing, hints).split();
        let (session_events, own_grant) = (self.events.clone(), grant.clone());
        tokio::spawn(async move {
            let forward = async {
                while let Some(event) = live_events.next_event().await {
                    if session_events
                        .send((person, stream_id, Some(event)))
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
            };
            tokio::select! {
                biased;
                () = own_grant.withdrawn() => {}
                () = hint_grants.any_withdrawn() => {}
                () = forward => {}
            }
            // Stop sending before the end is reported.
            drop(live_events);
            // An error means that the session has ended.
            let _ = session_events.send((person, stream_id, None)).await;
        });
        self.streams.insert(
            person,
            LiveStream {
                stream_id,
                grant: grant.clone(),
                sender,
                utterance_index: 0,
                is_speaking: false,
                is_incomplete: false,
                pending: HashMap::new(),
                speaker_left: false,
                last_answer_id: context.last_answer.as_ref().map(|(message, _)| *message),
            },
        );
    }

    /// Sends more samples of the current utterance.
    pub(super) fn push(&mut self, samples: &PersonalData<&Vec<f32>>) {
        if let Some(stream) = self.stream_for(samples.grant())
            && !stream.is_incomplete
            && let Some(samples) = samples.get()
        {
            stream.is_speaking = true;
            stream.is_incomplete = !stream.sender.push(stream.utterance_index, samples);
        }
    }

    /// Ends an utterance. Returns it if its transcript will not come from the stream.
    pub(super) fn end_utterance(&mut self, pending: PendingUtterance) -> Option<PendingUtterance> {
        let person = pending.utterance.grant().user_id();
        let Some(stream) = self.stream_for(pending.utterance.grant()) else {
            return Some(pending);
        };
        let utterance_index = stream.utterance_index;
        stream.utterance_index += 1;
        stream.is_speaking = false;
        stream.sender.end_utterance(utterance_index);
        if std::mem::take(&mut stream.is_incomplete) {
            if stream.is_done() {
                self.streams.remove(&person);
            }
            return Some(pending);
        }
        stream.pending.insert(utterance_index, pending);
        None
    }

    /// The user's stream, if it was opened under this grant.
    fn stream_for(&mut self, grant: &ConsentGrant) -> Option<&mut LiveStream> {
        let stream = self.streams.get_mut(&grant.user_id());
        stream.filter(|stream| stream.grant.is_same_grant(grant))
    }

    /// The current audio turned out not to be speech.
    pub(super) fn dismiss_utterance(&mut self, grant: &ConsentGrant) {
        if let Some(stream) = self.stream_for(grant) {
            stream.sender.end_utterance(stream.utterance_index);
            stream.utterance_index += 1;
            stream.is_speaking = false;
            stream.is_incomplete = false;
            if stream.is_done() {
                self.streams.remove(&grant.user_id());
            }
        }
    }

    /// The user has left: closes their stream once all pending transcripts have arrived.
    pub(super) fn close_when_done(&mut self, person: u64) {
        if let Some(stream) = self.streams.get_mut(&person) {
            stream.speaker_left = true;
            if stream.is_done() {
                self.streams.remove(&person);
            }
        }
    }

    /// Closes the streams of withdrawn grants, and returns their pending utterances.
    pub(super) fn close_withdrawn(&mut self) -> Vec<PendingUtterance> {
        let gone = self
            .streams
            .extract_if(|_, stream| !stream.grant.is_active());
        gone.flat_map(|(_, stream)| stream.pending.into_values())
            .collect()
    }

    /// Closes all streams, and returns their pending utterances.
    pub(super) fn close_all(&mut self) -> Vec<PendingUtterance> {
        let streams = self.streams.drain();
        streams
            .flat_map(|(_, stream)| stream.pending.into_values())
            .collect()
    }

    /// Applies an event to its stream.
    pub(super) fn handle_event(
        &mut self,
        (person, stream_id, event): LiveStreamEvent,
    ) -> LiveOutcome {
        let stream = self.streams.get_mut(&person);
        let Some(stream) = stream.filter(|stream| stream.stream_id == stream_id) else {
            return LiveOutcome::Nothing;
        };
        let Some(event) = event else {
            let pending = self.streams.remove(&person).map(|stream| stream.pending);
            return LiveOutcome::Failed(
                pending.into_iter().flat_map(HashMap::into_values).collect(),
            );
        };
        let outcome = stream.handle_event(event);
        if stream.is_done() {
            self.streams.remove(&person);
        }
        outcome
    }
}

impl LiveStream {
    /// Whether the speaker has left and nothing is pending.
    fn is_done(&self) -> bool {
        self.speaker_left && !self.is_speaking && self.pending.is_empty()
    }

    fn handle_event(&mut self, event: LiveEvent) -> LiveOutcome {
        match event {
            LiveEvent::Partial { text, .. } => LiveOutcome::Partial(self.grant.wrap(text)),
            LiveEvent::Final {
                utterance,
                transcript,
            } => match self.pending.remove(&utterance) {
                Some(pending) => LiveOutcome::Final(Box::new(pending), Box::new(transcript)),
                None => LiveOutcome::Nothing,
            },
            LiveEvent::Failed { utterance, error } => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "live transcription failed"
                );
                if self.utterance_index == utterance {
                    self.is_incomplete = true;
                }
                match self.pending.remove(&utterance) {
                    Some(pending) => LiveOutcome::Failed(vec![pending]),
                    None => LiveOutcome::Nothing,
                }
            }
        }
    }
}
