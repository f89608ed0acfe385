//! Words while they are spoken: each speaker has a line to the live transcriber, and whatever does
//! not come from there is written down like any other utterance.

use std::collections::HashMap;

use tokio::sync::mpsc;

use super::briefing::Briefing;
use super::writing::Awaited;
use crate::flow::admission::{Payer, Permit};
use crate::flow::consent::{Stamp, Stamped};
use crate::flow::paid::PaidLive;
use crate::speech::live::{LiveEvent, LiveSender};
use crate::store::Account;

/// Speakers with a line of their own at once. Others are written down utterance by utterance.
const MAX_LINES: usize = 32;

/// Events of all speakers that wait.
const MAX_EVENTS: usize = 1_024;

/// What came of a live utterance.
pub(super) enum Spoken {
    /// So far.
    Partial(Stamped<String>),
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
    /// It is cut when this ends.
    stamp: Stamp,
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
    /// The assistant's last message when it was opened.
    answered: Option<u64>,
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
    pub(super) fn has(&self, stamp: &Stamp) -> bool {
        let line = self.lines.get(&stamp.person());
        line.is_some_and(|line| line.stamp.is(stamp))
    }

    /// Whether nothing is under way on somebody's line.
    pub(super) fn is_idle(&self, stamp: &Stamp) -> bool {
        let line = self.lines.get(&stamp.person());
        line.is_some_and(|line| !line.speaking && line.awaited.is_empty())
    }

    /// Closes somebody's line, unless it was opened with this answer of the assistant's.
    pub(super) fn close_unless(&mut self, stamp: &Stamp, answered: Option<u64>) {
        let line = self.lines.get(&stamp.person());
        if line.is_some_and(|line| line.answered != answered) {
            self.lines.remove(&stamp.person());
        }
    }

    /// A line for somebody who begins to speak, if there is room. It is cut, with all that waits on
    /// it, the moment they take back what they say; also when somebody whose name the provider was
    /// told takes that back, since it would be told again whenever the line is made anew.
    pub(super) fn open(
        &mut self,
        stamp: &Stamp,
        (permit, books): (Permit, (Payer, Account)),
        briefing: &Briefing,
    ) {
        if self.lines.len() >= MAX_LINES || self.lines.contains_key(&stamp.person()) {
            return;
        }
        self.made += 1;
        let (person, number) = (stamp.person(), self.made);
        let (hints, others) = briefing.open();
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
            // Nothing more is sent once nobody listens.
            drop(heard);
            // Nobody waits any more where this is not taken.
            let _ = events.send((person, number, None)).await;
        });
        self.lines.insert(
            person,
            Line {
                number,
                stamp: stamp.clone(),
                sender,
                utterance: 0,
                speaking: false,
                broken: false,
                awaited: HashMap::new(),
                retired: false,
                answered: briefing.answered.as_ref().map(|(message, _)| *message),
            },
        );
    }

    /// More of what somebody says.
    pub(super) fn push(&mut self, samples: &Stamped<&Vec<f32>>) {
        if let Some(line) = self.line_of(samples.stamp())
            && !line.broken
            && let Some(samples) = samples.look()
        {
            line.speaking = true;
            line.broken = !line.sender.push(line.utterance, samples);
        }
    }

    /// An utterance is over. Gives it back if its words will not come from here.
    pub(super) fn end(&mut self, awaited: Awaited) -> Option<Awaited> {
        let person = awaited.utterance.stamp().person();
        let Some(line) = self.line_of(awaited.utterance.stamp()) else {
            return Some(awaited);
        };
        let number = line.utterance;
        line.utterance += 1;
        line.speaking = false;
        line.sender.end(number);
        if std::mem::take(&mut line.broken) {
            if line.is_done() {
                self.lines.remove(&person);
            }
            return Some(awaited);
        }
        line.awaited.insert(number, awaited);
        None
    }

    /// The line on which this was begun.
    fn line_of(&mut self, stamp: &Stamp) -> Option<&mut Line> {
        let line = self.lines.get_mut(&stamp.person());
        line.filter(|line| line.stamp.is(stamp))
    }

    /// What was being said was nothing.
    pub(super) fn dismiss(&mut self, stamp: &Stamp) {
        if let Some(line) = self.line_of(stamp) {
            line.sender.end(line.utterance);
            line.utterance += 1;
            line.speaking = false;
            line.broken = false;
            if line.is_done() {
                self.lines.remove(&stamp.person());
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

    /// Lines of people who are heard no more are gone. What is still awaited of them is given back.
    pub(super) fn close_withdrawn(&mut self) -> Vec<Awaited> {
        let gone = self.lines.extract_if(|_, line| !line.stamp.holds());
        gone.flat_map(|(_, line)| line.awaited.into_values())
            .collect()
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
            let awaited = self.lines.remove(&person).map(|line| line.awaited);
            return Spoken::Failed(awaited.into_iter().flat_map(HashMap::into_values).collect());
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
            LiveEvent::Partial { text, .. } => Spoken::Partial(self.stamp.on(text)),
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
