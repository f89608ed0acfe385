//! Words while they are spoken: each speaker has a line to the live transcriber, and whatever does
//! not come from there is written down like any other utterance.

use std::collections::HashMap;

use tokio::sync::mpsc;

use super::in_order::Ticket;
use crate::audio::Utterance;
use crate::flow::admission::{Payer, Permit};
use crate::flow::paid::PaidLive;
use crate::speech::Hints;
use crate::speech::live::{LiveEvent, LiveSender};
use crate::store::Account;

/// Speakers with a line of their own at once. Others are written down utterance by utterance.
const MAX_LINES: usize = 32;

/// Events of all speakers that wait.
const MAX_EVENTS: usize = 1_024;

/// An utterance whose words are to come.
pub(super) struct Awaited {
    pub(super) ticket: Ticket,
    pub(super) utterance: Utterance,
}

/// What came of a live utterance.
pub(super) enum Spoken {
    /// So far.
    Partial(String),
    /// The words.
    Words(Box<Awaited>, Box<crate::speech::Transcript>),
    /// Those of these utterances will not come from there.
    Failed(Vec<Awaited>),
    /// Nothing to be done.
    Nothing,
}

/// All lines of a session.
pub(super) struct Lines {
    transcriber: PaidLive,
    lines: HashMap<u64, Line>,
    events: mpsc::Sender<LineEvent>,
    made: u64,
}

struct Line {
    /// Tells lines of the same person apart.
    number: u64,
    sender: LiveSender,
    /// The utterance that is being spoken, or will be next.
    utterance: u64,
    /// It has begun.
    speaking: bool,
    /// Not all of its samples were taken.
    broken: bool,
    awaited: HashMap<u64, Awaited>,
    /// The speaker has left; the line goes with its last words.
    retired: bool,
}

/// An event with the person and the line it is from; none: the line is over.
pub(super) type LineEvent = (u64, u64, Option<LiveEvent>);

impl Lines {
    pub(super) fn new(transcriber: PaidLive) -> (Self, mpsc::Receiver<LineEvent>) {
        let (events, heard) = mpsc::channel(MAX_EVENTS);
        let lines = Self {
            transcriber,
            lines: HashMap::new(),
            events,
            made: 0,
        };
        (lines, heard)
    }

    /// Whether somebody has a line already.
    pub(super) fn has(&self, person: u64) -> bool {
        self.lines.contains_key(&person)
    }

    /// A line for somebody who begins to speak, if there is room.
    pub(super) fn open(
        &mut self,
        person: u64,
        (permit, books): (Permit, (Payer, Account)),
        hints: Hints,
    ) {
        if self.lines.len() >= MAX_LINES {
            return;
        }
        self.made += 1;
        let number = self.made;
        let (sender, mut heard) = self.transcriber.listen(permit, books, hints).split();
        let events = self.events.clone();
        tokio::spawn(async move {
            while let Some(event) = heard.next().await {
                if events.send((person, number, Some(event))).await.is_err() {
                    return;
                }
            }
            // Nobody waits any more where this is not taken.
            let _ = events.send((person, number, None)).await;
        });
        self.lines.insert(
            person,
            Line {
                number,
                sender,
                utterance: 0,
                speaking: false,
                broken: false,
                awaited: HashMap::new(),
                retired: false,
            },
        );
    }

    /// More of what somebody says.
    pub(super) fn push(&mut self, person: u64, samples: &[f32]) {
        if let Some(line) = self.lines.get_mut(&person)
            && !line.broken
        {
            line.speaking = true;
            line.broken = !line.sender.push(line.utterance, samples);
        }
    }

    /// An utterance is over. Gives it back if its words will not come from here.
    pub(super) fn end(
        &mut self,
        person: u64,
        ticket: Ticket,
        utterance: Utterance,
    ) -> Option<Utterance> {
        let Some(line) = self.lines.get_mut(&person) else {
            return Some(utterance);
        };
        let number = line.utterance;
        line.utterance += 1;
        line.speaking = false;
        line.sender.end(number);
        if std::mem::take(&mut line.broken) {
            if line.is_done() {
                self.lines.remove(&person);
            }
            return Some(utterance);
        }
        let awaited = Awaited { ticket, utterance };
        line.awaited.insert(number, awaited);
        None
    }

    /// What was being said was nothing.
    pub(super) fn dismiss(&mut self, person: u64) {
        if let Some(line) = self.lines.get_mut(&person) {
            line.sender.end(line.utterance);
            line.utterance += 1;
            line.speaking = false;
            line.broken = false;
            if line.is_done() {
                self.lines.remove(&person);
            }
        }
    }

    /// Somebody has left: their line is closed once the last words are here.
    pub(super) fn retire(&mut self, person: u64) {
        if let Some(line) = self.lines.get_mut(&person) {
            line.retired = true;
            if line.is_done() {
                self.lines.remove(&person);
            }
        }
    }

    /// Somebody is heard no more. What is still awaited of them is given back.
    pub(super) fn close(&mut self, person: u64) -> Vec<Awaited> {
        let line = self.lines.remove(&person);
        line.map_or_else(Vec::new, |line| line.awaited.into_values().collect())
    }

    /// Nobody is heard any more. What is still awaited is given back.
    pub(super) fn close_all(&mut self) -> Vec<Awaited> {
        let lines = self.lines.drain();
        lines
            .flat_map(|(_, line)| line.awaited.into_values())
            .collect()
    }

    /// What an event means.
    pub(super) fn heard(&mut self, (person, number, event): LineEvent) -> Spoken {
        let line = self.lines.get_mut(&person);
        let Some(line) = line.filter(|line| line.number == number) else {
            return Spoken::Nothing;
        };
        let Some(event) = event else {
            return Spoken::Failed(self.close(person));
        };
        let spoken = line.heard(event);
        if line.is_done() {
            self.lines.remove(&person);
        }
        spoken
    }
}

impl Line {
    /// Whether its speaker has left, and nothing of theirs is still to come.
    fn is_done(&self) -> bool {
        self.retired && !self.speaking && self.awaited.is_empty()
    }

    fn heard(&mut self, event: LiveEvent) -> Spoken {
        match event {
            LiveEvent::Partial { text, .. } => Spoken::Partial(text),
            LiveEvent::Final {
                utterance,
                transcript,
            } => match self.awaited.remove(&utterance) {
                Some(awaited) => Spoken::Words(Box::new(awaited), Box::new(transcript)),
                None => Spoken::Nothing,
            },
            LiveEvent::Failed { utterance, error } => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "live words failed"
                );
                if self.utterance == utterance {
                    self.broken = true;
                }
                match self.awaited.remove(&utterance) {
                    Some(awaited) => Spoken::Failed(vec![awaited]),
                    None => Spoken::Nothing,
                }
            }
        }
    }
}
