//! The handle that packets are pushed into. It checks who may be heard.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::{AudioCommand, MAX_QUEUED_PACKETS, MAX_SPEAKERS, SpeakerCountsReader};
use crate::flow::consent::{ConsentGrant, GuildConsents};
use crate::flow::session::clock::SessionClock;
use crate::store::NoticePosted;
use audio::{SpeakerStats, VoicePacket};

/// Counts of packets and events that were dropped, by reason.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DroppedPackets {
    /// Packets of users who may not be heard, dropped before decoding.
    pub not_permitted: u64,
    /// Packets of users beyond [`MAX_SPEAKERS`].
    pub too_many_speakers: u64,
    /// Packets and commands that found the queue full.
    pub overrun: u64,
    /// Events that found the session's channel full.
    pub events_lost: u64,
}

#[derive(Debug, Default)]
pub(super) struct DropCounters {
    pub(super) not_permitted: AtomicU64,
    pub(super) too_many_speakers: AtomicU64,
    pub(super) overrun: AtomicU64,
    pub(super) events_lost: AtomicU64,
}

/// Handle that a call's packets are pushed into. Cheap to clone; no method blocks or panics. It is
/// closed until the notice has been posted in the call.
#[derive(Clone)]
pub struct AudioInput {
    pub(super) sender: SyncSender<AudioCommand>,
    /// Session time at which it was opened; `None` while closed.
    pub(super) open_since: Arc<RwLock<Option<Duration>>>,
    /// Packets in the queue.
    pub(super) queued_packets: Arc<AtomicUsize>,
    /// Who may be heard.
    pub(super) consents: GuildConsents,
    /// Users in the call who may be heard, and since when.
    pub(super) allowed_since: Arc<RwLock<HashMap<u64, Duration>>>,
    pub(super) drop_counters: Arc<DropCounters>,
    pub(super) counts: SpeakerCountsReader,
    pub(super) clock: SessionClock,
}

impl std::fmt::Debug for AudioInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AudioInput")
    }
}

impl AudioInput {
    /// Queues packets, each with the user it came from. Packets may be delayed, so those received
    /// before the user's consent are dropped.
    pub fn push_packets(&self, packets: impl IntoIterator<Item = (u64, VoicePacket)>) {
        let (mut accepted, mut rejected) = (Vec::new(), 0);
        let opened = *self
            .open_since
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        {
            let allowed = self
                .allowed_since
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            for (person, packet) in packets {
                let since = allowed.get(&person).zip(opened);
                let since = since.map(|(since, opened)| opened.max(*since));
                let grant = since.and_then(|since| self.grant_at(person, since, packet.received));
                match grant {
                    Some(grant) => accepted.push((grant, packet)),
                    None => rejected += 1,
                }
            }
        }
        self.drop_counters
            .not_permitted
            .fetch_add(rejected, Ordering::Relaxed);
        let capacity = self.reserve_capacity(accepted.len());
        self.count_overrun(accepted.len() - capacity);
        accepted.truncate(capacity);
        if capacity > 0 && !self.try_send(AudioCommand::Packets(accepted)) {
            self.queued_packets.fetch_sub(capacity, Ordering::Relaxed);
            self.count_overrun(capacity);
        }
    }

    /// Starts to accept packets. The notice proves that the members have been notified.
    pub fn open(&self, _: NoticePosted) {
        let mut opened = self
            .open_since
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        opened.get_or_insert(self.clock.elapsed());
    }

    /// Drops all packets until it is opened again.
    pub fn close(&self) {
        *self
            .open_since
            .write()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A grant for a packet received at `said`. `None` if the user could not be heard at that time.
    fn grant_at(&self, person: u64, since: Duration, received: Duration) -> Option<ConsentGrant> {
        let (grant, agreed_at) = self.consents.current_grant_with_start(person)?;
        let agreed_at = agreed_at.map(|agreed_at| self.clock.elapsed_at(agreed_at));
        (received >= since && agreed_at.is_none_or(|agreed_at| received >= agreed_at))
            .then_some(grant)
    }

    /// Reserves queue capacity for up to `packets`, and returns how many fit.
    fn reserve_capacity(&self, packets: usize) -> usize {
        let before = self.queued_packets.fetch_add(packets, Ordering::Relaxed);
        let capacity = MAX_QUEUED_PACKETS.saturating_sub(before).min(packets);
        self.queued_packets
            .fetch_sub(packets - capacity, Ordering::Relaxed);
        capacity
    }

    /// Ends the current utterance of a user who has left.
    pub fn finish_speaker(&self, person: u64) {
        self.send_or_count(AudioCommand::FinishSpeaker(person));
    }

    /// Whether this user is heard.
    #[must_use]
    pub fn is_allowed(&self, person: u64) -> bool {
        let allowed = self
            .allowed_since
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        allowed.contains_key(&person) && self.consents.is_allowed(person)
    }

    /// Sets whether a user in the call is heard, as far as their consent allows it. If not, the
    /// current utterance is discarded.
    pub fn set_allowed(&self, person: u64, allow: bool) {
        let changed = {
            let mut allowed = self
                .allowed_since
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            if allow {
                // A user who is heard already keeps their place.
                if allowed.len() < MAX_SPEAKERS {
                    let now = self.clock.elapsed();
                    allowed.entry(person).or_insert(now);
                }
                false
            } else {
                allowed.remove(&person).is_some()
            }
        };
        if changed {
            self.send_or_count(AudioCommand::DiscardSpeaker(person));
        }
    }

    /// Counts of dropped packets and events so far.
    #[must_use]
    pub fn dropped_packets(&self) -> DroppedPackets {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        DroppedPackets {
            not_permitted: read(&self.drop_counters.not_permitted),
            too_many_speakers: read(&self.drop_counters.too_many_speakers),
            overrun: read(&self.drop_counters.overrun),
            events_lost: read(&self.drop_counters.events_lost),
        }
    }

    /// The current reception counts by user.
    #[must_use]
    pub fn counts(&self) -> HashMap<u64, SpeakerStats> {
        self.counts.snapshot()
    }

    /// A reader of the reception counts that does not keep the worker alive.
    #[must_use]
    pub fn counts_reader(&self) -> SpeakerCountsReader {
        self.counts.clone()
    }

    fn send_or_count(&self, command: AudioCommand) {
        if !self.try_send(command) {
            self.count_overrun(1);
        }
    }

    fn try_send(&self, command: AudioCommand) -> bool {
        self.sender.try_send(command).is_ok()
    }

    fn count_overrun(&self, count: usize) {
        let overrun = &self.drop_counters.overrun;
        overrun.fetch_add(count as u64, Ordering::Relaxed);
    }
}
