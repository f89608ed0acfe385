//! Words while they are spoken: each speaker has a line to the live transcriber, and whatever does
//! not come from there is written down like any other utterance.

use std::collections::HashMap;

use tokio::sync::mpsc;

use super::recognition_context::RecognitionContext;
use super::transcription::PendingUtterance;
use crate::flow::admission::{Payer, Permit};
use crate::flow::consent::{ConsentGrant, PersonalData};
use crate::flow::paid_providers::PaidLiveTranscriber;
use crate::speech::live::{LiveAudioSender, LiveEvent};
use crate::store::UsageAccount;

/// Speakers with a line of their own at once. Others are written down utterance by utterance.
const MAX_STREAMS: usize = 32;

/// Events of all speakers that wait.
const MAX_EVENTS: usize = 1_024;

/// What came of a live utterance.
pub(super) enum LiveOutcome {
    /// So far.
    Partial(PersonalData<String>),
    /// The words.
    Final(Box<PendingUtterance>, Box<crate::speech::Transcript>),
    /// Those of these utterances will not come from there.
    Failed(Vec<PendingUtterance>),
    /// Nothing to be done.
    Nothing,
}

/// All lines of a session.
pub(super) struct LiveStreams {
    transcriber: PaidLiveTranscriber,
    streams: HashMap<u64, LiveStream>,
    events: mpsc::Sender<LiveStreamEvent>,
    opened_count: u64,
}

struct LiveStream {
    /// Tells lines of the same person apart.
    stream_id: u64,
    /// It is cut when this ends.
    grant: ConsentGrant,
    sender: LiveAudioSender,
    /// The utterance that is being spoken, or will be next.
    utterance_index: u64,
    /// It has begun.
    is_speaking: bool,
    /// Not all of its samples were taken.
    is_incomplete: bool,
    pending: HashMap<u64, PendingUtterance>,
    /// The speaker has left; the line goes with its last words.
    speaker_left: bool,
    /// The assistant's last message when it was opened.
    last_answer_id: Option<u64>,
}

/// An event with the person and the line it is from; none: the line is over.
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

    /// Whether somebody has a line already.
    pub(super) fn contains(&self, stamp: &ConsentGrant) -> bool {
        let line = self.streams.get(&stamp.person());
        line.is_some_and(|line| line.grant.is_same_grant(stamp))
    }

    /// Whether nothing is under way on somebody's line.
    pub(super) fn is_idle(&self, stamp: &ConsentGrant) -> bool {
        let line = self.streams.get(&stamp.person());
        line.is_some_and(|line| !line.is_speaking && line.pending.is_empty())
    }

    /// Closes somebody's line, unless it was opened with this answer of the assistant's.
    pub(super) fn close_if_answer_changed(&mut self, stamp: &ConsentGrant, answered: Option<u64>) {
        let line = self.streams.get(&stamp.person());
        if line.is_some_and(|line| line.last_answer_id != answered) {
            self.streams.remove(&stamp.person());
        }
    }

    /// A line for somebody who begins to speak, if there is room. It is cut, with all that waits on
    /// it, the moment they take back what they say; also when somebody whose name the provider was
    /// told takes that back, since it would be told again whenever the line is made anew.
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
                while let Some(event) = heard.next_event().await {
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
            // Nothing more is sent once nobody listens.
            drop(heard);
            // Nobody waits any more where this is not taken.
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

    /// More of what somebody says.
    pub(super) fn push(&mut self, samples: &PersonalData<&Vec<f32>>) {
        if let Some(line) = self.stream_for(samples.grant())
            && !line.is_incomplete
            && let Some(samples) = samples.get()
        {
            line.is_speaking = true;
            line.is_incomplete = !line.sender.push(line.utterance_index, samples);
        }
    }

    /// An utterance is over. Gives it back if its words will not come from here.
    pub(super) fn end_utterance(&mut self, awaited: PendingUtterance) -> Option<PendingUtterance> {
        let person = awaited.utterance.grant().person();
        let Some(line) = self.stream_for(awaited.utterance.grant()) else {
            return Some(awaited);
        };
        let number = line.utterance_index;
        line.utterance_index += 1;
        line.is_speaking = false;
        line.sender.end_utterance(number);
        if std::mem::take(&mut line.is_incomplete) {
            if line.is_done() {
                self.streams.remove(&person);
            }
            return Some(awaited);
        }
        line.pending.insert(number, awaited);
        None
    }

    /// The line on which this was begun.
    fn stream_for(&mut self, stamp: &ConsentGrant) -> Option<&mut LiveStream> {
        let line = self.streams.get_mut(&stamp.person());
        line.filter(|line| line.grant.is_same_grant(stamp))
    }

    /// What was being said was nothing.
    pub(super) fn dismiss_utterance(&mut self, stamp: &ConsentGrant) {
        if let Some(line) = self.stream_for(stamp) {
            line.sender.end_utterance(line.utterance_index);
            line.utterance_index += 1;
            line.is_speaking = false;
            line.is_incomplete = false;
            if line.is_done() {
                self.streams.remove(&stamp.person());
            }
        }
    }

    /// Somebody has left: their line is closed once the last words are here.
    pub(super) fn close_when_done(&mut self, person: u64) {
        if let Some(line) = self.streams.get_mut(&person) {
            line.speaker_left = true;
            if line.is_done() {
                self.streams.remove(&person);
            }
        }
    }

    /// Lines of people who are heard no more are gone. What is still awaited of them is given back.
    pub(super) fn close_withdrawn(&mut self) -> Vec<PendingUtterance> {
        let gone = self.streams.extract_if(|_, line| !line.grant.is_active());
        gone.flat_map(|(_, line)| line.pending.into_values())
            .collect()
    }

    /// Nobody is heard any more. What is still awaited is given back.
    pub(super) fn close_all(&mut self) -> Vec<PendingUtterance> {
        let lines = self.streams.drain();
        lines
            .flat_map(|(_, line)| line.pending.into_values())
            .collect()
    }

    /// What an event means.
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
    /// Whether its speaker has left, and nothing of theirs is still to come.
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
