//! The thread that decodes packets into audio events.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::mpsc;

use super::input::DropCounters;
use super::{
    AudioCommand, BATCH_SIZE, MAX_SLEEP, MAX_SPEAKERS, SpeakerAudioEvent, SpeakerCountsReader,
};
use crate::flow::consent::ConsentGrant;
use crate::flow::session::clock::SessionClock;
use audio::{SpeakerEvent, SpeakerReceiver, SpeakerReceiverSettings, SpeakerStats, VoicePacket};

pub(super) struct AudioWorker {
    pub(super) settings: SpeakerReceiverSettings,
    pub(super) clock: SessionClock,
    /// One receiver per user, with the grant it receives under.
    pub(super) receivers: HashMap<u64, (ConsentGrant, SpeakerReceiver)>,
    /// Counts of receivers that have been closed.
    pub(super) finished_counts: HashMap<u64, SpeakerStats>,
    pub(super) events: mpsc::Sender<SpeakerAudioEvent>,
    pub(super) queued_packets: Arc<AtomicUsize>,
    pub(super) drop_counters: Arc<DropCounters>,
    pub(super) counts: SpeakerCountsReader,
    pub(super) pending_events: Vec<SpeakerEvent>,
}

impl AudioWorker {
    pub(super) fn run(mut self, commands: &Receiver<AudioCommand>) {
        let mut published_at = Duration::ZERO;
        while !self.events.is_closed() {
            match commands.recv_timeout(self.time_until_due()) {
                Ok(command) => {
                    let mut handled = self.handle_command(command);
                    while handled < BATCH_SIZE
                        && let Ok(command) = commands.try_recv()
                    {
                        handled += self.handle_command(command);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.advance();
            let now = self.clock.elapsed();
            if now.saturating_sub(published_at) >= MAX_SLEEP {
                published_at = now;
                self.publish_counts();
            }
        }
        let now = self.clock.elapsed();
        for person in self.receivers.keys().copied().collect::<Vec<_>>() {
            self.finish_speaker(person, now);
        }
        self.publish_counts();
    }

    /// Closes a user's receiver. The utterance in progress is emitted if the grant is still active.
    fn finish_speaker(&mut self, person: u64, now: Duration) {
        if let Some((grant, mut receiver)) = self.receivers.remove(&person) {
            if grant.is_active() {
                receiver.finish(now, &mut self.pending_events);
            }
            self.keep_counts(person, receiver.stats());
            self.emit_events(&grant);
        }
    }

    /// Time until a receiver has work due, at most [`MAX_SLEEP`].
    fn time_until_due(&self) -> Duration {
        let now = self.clock.elapsed();
        let due = self
            .receivers
            .values()
            .filter_map(|(_, receiver)| receiver.next_deadline())
            .min();
        due.map_or(MAX_SLEEP, |due| due.saturating_sub(now).min(MAX_SLEEP))
    }

    /// Lets receivers do the work that is due.
    fn advance(&mut self) {
        let now = self.clock.elapsed();
        let due: Vec<u64> = self
            .receivers
            .iter()
            .filter(|(_, (_, receiver))| receiver.next_deadline().is_some_and(|due| due <= now))
            .map(|(person, _)| *person)
            .collect();
        for person in due {
            let Some((grant, receiver)) = self.receivers.get_mut(&person) else {
                continue;
            };
            let grant = grant.clone();
            if grant.is_active() {
                receiver.advance(now, &mut self.pending_events);
                self.emit_events(&grant);
            } else {
                self.discard_speaker(person);
            }
        }
    }

    /// Handles a command, and returns its size in packets.
    fn handle_command(&mut self, command: AudioCommand) -> usize {
        match command {
            AudioCommand::Packets(packets) => {
                self.queued_packets
                    .fetch_sub(packets.len(), Ordering::Relaxed);
                let mut handled = 0;
                for (grant, packet) in packets {
                    if handled == BATCH_SIZE {
                        self.advance();
                        handled = 0;
                    }
                    handled += 1;
                    self.push_packet(&grant, packet);
                }
                return handled;
            }
            AudioCommand::FinishSpeaker(person) => {
                self.finish_speaker(person, self.clock.elapsed());
            }
            AudioCommand::DiscardSpeaker(person) => self.discard_speaker(person),
        }
        1
    }

    /// Closes a user's receiver and discards the utterance in progress.
    fn discard_speaker(&mut self, person: u64) {
        if let Some((_, receiver)) = self.receivers.remove(&person) {
            self.keep_counts(person, receiver.stats());
        }
    }

    fn push_packet(&mut self, grant: &ConsentGrant, packet: VoicePacket) {
        // Consent may have been withdrawn, and given again, while the packet was queued.
        if !grant.is_active() {
            self.drop_counters
                .not_permitted
                .fetch_add(1, Ordering::Relaxed);
            return;
        }
        let person = grant.user_id();
        if self
            .receivers
            .get(&person)
            .is_some_and(|(current, _)| !current.is_same_grant(grant))
        {
            self.discard_speaker(person);
        }
        if !self.receivers.contains_key(&person) && !self.add_receiver(grant) {
            self.drop_counters
                .too_many_speakers
                .fetch_add(1, Ordering::Relaxed);
            return;
        }
        if let Some((_, receiver)) = self.receivers.get_mut(&person) {
            receiver.push_packet(packet);
        }
    }

    /// Adds a receiver for a new user. Returns false if there are too many, or it can't be created.
    fn add_receiver(&mut self, grant: &ConsentGrant) -> bool {
        if self.receivers.len() >= MAX_SPEAKERS {
            return false;
        }
        match SpeakerReceiver::new(self.settings.clone()) {
            Ok(receiver) => {
                self.receivers
                    .insert(grant.user_id(), (grant.clone(), receiver));
                true
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "can't create a speaker receiver"
                );
                false
            }
        }
    }

    fn keep_counts(&mut self, person: u64, counts: SpeakerStats) {
        if self.finished_counts.len() < MAX_SPEAKERS * 8
            || self.finished_counts.contains_key(&person)
        {
            let all = self.finished_counts.entry(person).or_default();
            *all = add_counts(*all, counts);
        }
    }

    fn emit_events(&mut self, grant: &ConsentGrant) {
        for event in self.pending_events.drain(..) {
            if self.events.try_send(grant.wrap(event)).is_err() {
                self.drop_counters
                    .events_lost
                    .fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn publish_counts(&self) {
        let mut all = self.finished_counts.clone();
        for (person, (_, receiver)) in &self.receivers {
            let counts = all.entry(*person).or_default();
            *counts = add_counts(*counts, receiver.stats());
        }
        *self.counts.lock() = all;
    }
}

fn add_counts(a: SpeakerStats, b: SpeakerStats) -> SpeakerStats {
    SpeakerStats {
        received: a.received + b.received,
        late: a.late + b.late,
        duplicate: a.duplicate + b.duplicate,
        lost: a.lost + b.lost,
        concealed: a.concealed + b.concealed,
        damaged: a.damaged + b.damaged,
        decoded: a.decoded + b.decoded,
        lost_duration: a.lost_duration + b.lost_duration,
    }
}
