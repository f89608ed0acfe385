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
        let (events, heard) = mpsc::channel(MAX_EVENTS);
        let lines = Self {
            transcriber,
            streams: HashMap::new(),
            events,
            opened_count: 0,
        };
        (lines, heard)
    }

    /// Whether there is a stream under this grant.
    pub(super) fn contains(&self, stamp: &ConsentGrant) -> bool {
        let line = self.streams.get(&stamp.person());
        line.is_some_and(|line| line.grant.is_same_grant(stamp))
    }

    /// Whether this user's stream has neither speech nor pending transcripts.
    pub(super) fn is_idle(&self, stamp: &ConsentGrant) -> bool {
        let line = self.streams.get(&stamp.person());
        line.is_some_and(|line| !line.is_speaking && line.pending.is_empty())
    }

    /// Closes the user's stream if the assistant's last answer is not the one it was opened with.
    pub(super) fn close_if_answer_changed(&mut self, stamp: &ConsentGrant, answered: Option<u64>) {
        let line = self.streams.get(&stamp.person());
        if line.is_some_and(|line| line.last_answer_id != answered) {
            self.streams.remove(&stamp.person());
        }
    }

    /// Opens a stream for a user who starts to speak, unless there are too many. It is closed, with
    /// all that is pending on it, when the user withdraws consent. The same applies to other users
    /// whose names or lines the provider was given as hints, since the hints would be sent again on
    /// every reconnect.
    pub(super) fn open(
        &mut self,
        stamp: &ConsentGrant,
        (permit, books): (Permit, (Payer, UsageAccount)),
        briefing: &RecognitionContext,
    ) {
        if self.streams.len() >= MAX_STREAMS || self.streams.contains_key(&stamp.person()) {
            return;
        }
        self.opened_count += 1;
        let (person, number) = (stamp.person(), self.opened_count);
        let (hints, others) = briefing.permitted_hints();
        let (sender, mut heard) = self.transcriber.listen(permit, books, hints).split();
        let (events, own) = (self.events.clone(), stamp.clone());
        tokio::spawn(async move {
            let passing = async {
                while let Some(event) = heard.next().await {
                    if events.send((person, number, Some(event))).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                biased;
                () = own.withdrawn() => {}
                () = others.any_withdrawn() => {}
                () = passing => {}
            }
            // Stop sending before the end is reported.
            drop(heard);
            // An error means that the session has ended.
            let _ = events.send((person, number, None)).await;
        });
        self.streams.insert(
            person,
            LiveStream {
                stream_id: number,
                grant: stamp.clone(),
                sender,
                utterance_index: 0,
                is_speaking: false,
                is_incomplete: false,
                pending: HashMap::new(),
                speaker_left: false,
                last_answer_id: briefing.last_answer.as_ref().map(|(message, _)| *message),
            },
        );
    }

    /// Sends more samples of the current utterance.
    pub(super) fn push(&mut self, samples: &PersonalData<&Vec<f32>>) {
        if let Some(line) = self.stream_for(samples.grant())
            && !line.is_incomplete
            && let Some(samples) = samples.get()
        {
            line.is_speaking = true;
            line.is_incomplete = !line.sender.push(line.utterance_index, samples);
        }
    }

    /// Ends an utterance. Returns it if its transcript will not come from the stream.
    pub(super) fn end_utterance(&mut self, awaited: PendingUtterance) -> Option<PendingUtterance> {
        let person = awaited.utterance.grant().person();
        let Some(line) = self.stream_for(awaited.utterance.grant()) else {
            return Some(awaited);
        };
        let number = line.utterance_index;
        line.utterance_index += 1;
        line.is_speaking = false;
        line.sender.end(number);
        if std::mem::take(&mut line.is_incomplete) {
            if line.is_done() {
                self.streams.remove(&person);
            }
            return Some(awaited);
        }
        line.pending.insert(number, awaited);
        None
    }

    /// The user's stream, if it was opened under this grant.
    fn stream_for(&mut self, stamp: &ConsentGrant) -> Option<&mut LiveStream> {
        let line = self.streams.get_mut(&stamp.person());
        line.filter(|line| line.grant.is_same_grant(stamp))
    }

    /// The current audio turned out not to be speech.
    pub(super) fn dismiss_utterance(&mut self, stamp: &ConsentGrant) {
        if let Some(line) = self.stream_for(stamp) {
            line.sender.end(line.utterance_index);
            line.utterance_index += 1;
            line.is_speaking = false;
            line.is_incomplete = false;
            if line.is_done() {
                self.streams.remove(&stamp.person());
            }
        }
    }

    /// The user has left: closes their stream once all pending transcripts have arrived.
    pub(super) fn close_when_done(&mut self, person: u64) {
        if let Some(line) = self.streams.get_mut(&person) {
            line.speaker_left = true;
            if line.is_done() {
                self.streams.remove(&person);
            }
        }
    }

    /// Closes the streams of withdrawn grants, and returns their pending utterances.
    pub(super) fn close_withdrawn(&mut self) -> Vec<PendingUtterance> {
        let gone = self.streams.extract_if(|_, line| !line.grant.is_active());
        gone.flat_map(|(_, line)| line.pending.into_values())
            .collect()
    }

    /// Closes all streams, and returns their pending utterances.
    pub(super) fn close_all(&mut self) -> Vec<PendingUtterance> {
        let lines = self.streams.drain();
        lines
            .flat_map(|(_, line)| line.pending.into_values())
            .collect()
    }

    /// Applies an event to its stream.
    pub(super) fn handle_event(&mut self, (person, number, event): LiveStreamEvent) -> LiveOutcome {
        let line = self.streams.get_mut(&person);
        let Some(line) = line.filter(|line| line.stream_id == number) else {
            return LiveOutcome::Nothing;
        };
        let Some(event) = event else {
            let awaited = self.streams.remove(&person).map(|line| line.pending);
            return LiveOutcome::Failed(
                awaited.into_iter().flat_map(HashMap::into_values).collect(),
            );
        };
        let spoken = line.handle_event(event);
        if line.is_done() {
            self.streams.remove(&person);
        }
        spoken
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
                Some(awaited) => LiveOutcome::Final(Box::new(awaited), Box::new(transcript)),
                None => LiveOutcome::Nothing,
            },
            LiveEvent::Failed { utterance, error } => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "live words failed"
                );
                if self.utterance_index == utterance {
                    self.is_incomplete = true;
                }
                match self.pending.remove(&utterance) {
                    Some(awaited) => LiveOutcome::Failed(vec![awaited]),
                    None => LiveOutcome::Nothing,
                }
            }
        }
    }
}
