//! Turns packets into utterances, on a thread of its own: decoding takes CPU time, and packets come
//! in bursts that must not block the receiver.
//!
//! Packets are pushed into [`AudioInput`], which drops those of users who may not be heard before
//! they are decoded.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::flow::consent::{ConsentGrant, GuildConsents, PersonalData};
use crate::store::NoticePosted;
use audio::{SpeakerEvent, SpeakerReceiver, SpeakerReceiverSettings, SpeakerStats, VoicePacket};

/// Packets that may be queued for decoding: a few seconds of a full call.
const MAX_QUEUED_PACKETS: usize = 8_192;

/// Channel capacity reserved for commands, so that members can leave or withdraw consent even when
/// the packet queue is full.
const RESERVED_CONTROL_SLOTS: usize = 1_024;

/// Capacity of the event channel to the session.
const MAX_EVENTS: usize = 4_096;

/// Users that can be heard in one call. Later ones are not heard.
pub const MAX_SPEAKERS: usize = 128;

/// Packets handled in a row before receivers are checked for due work: half of what the buffer of
/// one receiver holds.
const BATCH_SIZE: usize = 128;

/// The longest time the thread sleeps.
const MAX_SLEEP: Duration = Duration::from_millis(250);

/// Measures session time. A resumed session continues where it left off.
#[derive(Clone, Copy, Debug)]
pub struct SessionClock {
    origin: Instant,
    offset: Duration,
}

impl SessionClock {
    /// A clock that reads `offset` now.
    #[must_use]
    pub fn starting_at(offset: Duration) -> Self {
        Self {
            origin: Instant::now(),
            offset,
        }
    }

    /// Session time now.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed_at(Instant::now())
    }

    /// Session time at `instant`.
    #[must_use]
    pub fn elapsed_at(&self, instant: Instant) -> Duration {
        match instant.checked_duration_since(self.origin) {
            Some(after) => self.offset.saturating_add(after),
            None => self.offset.saturating_sub(self.origin - instant),
        }
    }
}

/// An audio event of one user.
pub type SpeakerAudioEvent = PersonalData<SpeakerEvent>;

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
struct DropCounters {
    not_permitted: AtomicU64,
    too_many_speakers: AtomicU64,
    overrun: AtomicU64,
    events_lost: AtomicU64,
}

/// Read access to the reception counts of all users.
#[derive(Clone, Debug, Default)]
pub struct SpeakerCountsReader(Arc<Mutex<HashMap<u64, SpeakerStats>>>);

impl SpeakerCountsReader {
    /// The current counts by user.
    #[must_use]
    pub fn snapshot(&self) -> HashMap<u64, SpeakerStats> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, SpeakerStats>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum AudioCommand {
    /// Packets that arrive together are sent together, since each send wakes the thread.
    Packets(Vec<(ConsentGrant, VoicePacket)>),
    FinishSpeaker(u64),
    DiscardSpeaker(u64),
}

/// Handle that a call's packets are pushed into. Cheap to clone; no method blocks or panics. It is
/// closed until the notice has been posted in the call.
#[derive(Clone)]
pub struct AudioInput {
    sender: SyncSender<AudioCommand>,
    /// Session time at which it was opened; `None` while closed.
    open_since: Arc<RwLock<Option<Duration>>>,
    /// Packets in the queue.
    queued_packets: Arc<AtomicUsize>,
    /// Who may be heard.
    consents: GuildConsents,
    /// Users in the call who may be heard, and since when.
    allowed_since: Arc<RwLock<HashMap<u64, Duration>>>,
    drop_counters: Arc<DropCounters>,
    counts: SpeakerCountsReader,
    clock: SessionClock,
}

impl std::fmt::Debug for AudioInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Microphone")
    }
}

impl AudioInput {
    /// Queues packets, each with the user it came from. Packets may be delayed, so those received
    /// before the user's consent are dropped.
    pub fn push_packets(&self, packets: impl IntoIterator<Item = (u64, VoicePacket)>) {
        let (mut heard, mut refused) = (Vec::new(), 0);
        let open = *self
            .open_since
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        {
            let allowed = self
                .allowed_since
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            for (person, packet) in packets {
                let since = allowed.get(&person).zip(open);
                let since = since.map(|(since, open)| open.max(*since));
                let stamp = since.and_then(|since| self.grant_at(person, since, packet.received));
                match stamp {
                    Some(stamp) => heard.push((stamp, packet)),
                    None => refused += 1,
                }
            }
        }
        self.drop_counters
            .not_permitted
            .fetch_add(refused, Ordering::Relaxed);
        let room = self.reserve_capacity(heard.len());
        self.count_overrun(heard.len() - room);
        heard.truncate(room);
        if room > 0 && !self.try_send(AudioCommand::Packets(heard)) {
            self.queued_packets.fetch_sub(room, Ordering::Relaxed);
            self.count_overrun(room);
        }
    }

    /// Starts to accept packets. The notice proves that the members have been notified.
    pub fn open(&self, _: NoticePosted) {
        let mut open = self
            .open_since
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        open.get_or_insert(self.clock.elapsed());
    }

    /// Drops all packets until it is opened again.
    pub fn close(&self) {
        *self
            .open_since
            .write()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A grant for a packet received at `said`. `None` if the user could not be heard at that time.
    fn grant_at(&self, person: u64, since: Duration, said: Duration) -> Option<ConsentGrant> {
        let (stamp, agreed) = self.consents.current_grant_with_start(person)?;
        let agreed = agreed.map(|agreed| self.clock.elapsed_at(agreed));
        (said >= since && agreed.is_none_or(|agreed| said >= agreed)).then_some(stamp)
    }

    /// Reserves queue capacity for up to `packets`, and returns how many fit.
    fn reserve_capacity(&self, packets: usize) -> usize {
        let before = self.queued_packets.fetch_add(packets, Ordering::Relaxed);
        let room = MAX_QUEUED_PACKETS.saturating_sub(before).min(packets);
        self.queued_packets
            .fetch_sub(packets - room, Ordering::Relaxed);
        room
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
    pub fn set_allowed(&self, person: u64, may: bool) {
        let changed = {
            let mut allowed = self
                .allowed_since
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            if may {
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

    fn send_or_count(&self, word: AudioCommand) {
        if !self.try_send(word) {
            self.count_overrun(1);
        }
    }

    fn try_send(&self, sound: AudioCommand) -> bool {
        self.sender.try_send(sound).is_ok()
    }

    fn count_overrun(&self, count: usize) {
        let overrun = &self.drop_counters.overrun;
        overrun.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// Starts the worker thread. It ends when all [`AudioInput`]s are dropped, after the remaining
/// audio has been processed, or when the event receiver is dropped.
///
/// # Errors
///
/// If the thread can't be started.
pub fn spawn_audio_worker(
    settings: SpeakerReceiverSettings,
    clock: SessionClock,
    book: GuildConsents,
) -> std::io::Result<(AudioInput, mpsc::Receiver<SpeakerAudioEvent>)> {
    let (sender, sounds) = sync_channel(MAX_QUEUED_PACKETS + RESERVED_CONTROL_SLOTS);
    let (events, heard) = mpsc::channel(MAX_EVENTS);
    let microphone = AudioInput {
        sender,
        open_since: Arc::default(),
        queued_packets: Arc::default(),
        consents: book,
        allowed_since: Arc::default(),
        drop_counters: Arc::default(),
        counts: SpeakerCountsReader::default(),
        clock,
    };
    let listener = AudioWorker {
        settings,
        clock,
        receivers: HashMap::new(),
        finished_counts: HashMap::new(),
        events,
        queued_packets: Arc::clone(&microphone.queued_packets),
        drop_counters: Arc::clone(&microphone.drop_counters),
        counts: microphone.counts_reader(),
        pending_events: Vec::new(),
    };
    std::thread::Builder::new()
        .name("hearing".to_owned())
        .spawn(move || listener.run(&sounds))?;
    Ok((microphone, heard))
}

struct AudioWorker {
    settings: SpeakerReceiverSettings,
    clock: SessionClock,
    /// One receiver per user, with the grant it receives under.
    receivers: HashMap<u64, (ConsentGrant, SpeakerReceiver)>,
    /// Counts of receivers that have been closed.
    finished_counts: HashMap<u64, SpeakerStats>,
    events: mpsc::Sender<SpeakerAudioEvent>,
    queued_packets: Arc<AtomicUsize>,
    drop_counters: Arc<DropCounters>,
    counts: SpeakerCountsReader,
    pending_events: Vec<SpeakerEvent>,
}

impl AudioWorker {
    fn run(mut self, sounds: &Receiver<AudioCommand>) {
        let mut told = Duration::ZERO;
        while !self.events.is_closed() {
            match sounds.recv_timeout(self.time_until_due()) {
                Ok(sound) => {
                    let mut taken = self.handle_command(sound);
                    while taken < BATCH_SIZE
                        && let Ok(sound) = sounds.try_recv()
                    {
                        taken += self.handle_command(sound);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.advance();
            let now = self.clock.elapsed();
            if now.saturating_sub(told) >= MAX_SLEEP {
                told = now;
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
        if let Some((stamp, mut ear)) = self.receivers.remove(&person) {
            if stamp.is_active() {
                ear.finish(now, &mut self.pending_events);
            }
            self.keep_counts(person, ear.stats());
            self.emit_events(&stamp);
        }
    }

    /// Time until a receiver has work due, at most [`MAX_SLEEP`].
    fn time_until_due(&self) -> Duration {
        let now = self.clock.elapsed();
        let due = self
            .receivers
            .values()
            .filter_map(|(_, ear)| ear.next_deadline())
            .min();
        due.map_or(MAX_SLEEP, |due| due.saturating_sub(now).min(MAX_SLEEP))
    }

    /// Lets receivers do the work that is due.
    fn advance(&mut self) {
        let now = self.clock.elapsed();
        let due: Vec<u64> = self
            .receivers
            .iter()
            .filter(|(_, (_, ear))| ear.next_deadline().is_some_and(|due| due <= now))
            .map(|(person, _)| *person)
            .collect();
        for person in due {
            let Some((stamp, ear)) = self.receivers.get_mut(&person) else {
                continue;
            };
            let stamp = stamp.clone();
            if stamp.is_active() {
                ear.advance(now, &mut self.pending_events);
                self.emit_events(&stamp);
            } else {
                self.discard_speaker(person);
            }
        }
    }

    /// Handles a command, and returns its size in packets.
    fn handle_command(&mut self, sound: AudioCommand) -> usize {
        match sound {
            AudioCommand::Packets(packets) => {
                self.queued_packets
                    .fetch_sub(packets.len(), Ordering::Relaxed);
                let mut taken = 0;
                for (stamp, packet) in packets {
                    if taken == BATCH_SIZE {
                        self.advance();
                        taken = 0;
                    }
                    taken += 1;
                    self.push_packet(&stamp, packet);
                }
                return taken;
            }
            AudioCommand::FinishSpeaker(person) => {
                self.finish_speaker(person, self.clock.elapsed())
            }
            AudioCommand::DiscardSpeaker(person) => self.discard_speaker(person),
        }
        1
    }

    /// Closes a user's receiver and discards the utterance in progress.
    fn discard_speaker(&mut self, person: u64) {
        if let Some((_, ear)) = self.receivers.remove(&person) {
            self.keep_counts(person, ear.stats());
        }
    }

    fn push_packet(&mut self, stamp: &ConsentGrant, packet: VoicePacket) {
        // Consent may have been withdrawn, and given again, while the packet was queued.
        if !stamp.is_active() {
            self.drop_counters
                .not_permitted
                .fetch_add(1, Ordering::Relaxed);
            return;
        }
        let person = stamp.person();
        if self
            .receivers
            .get(&person)
            .is_some_and(|(of, _)| !of.is_same_grant(stamp))
        {
            self.discard_speaker(person);
        }
        if !self.receivers.contains_key(&person) && !self.add_receiver(stamp) {
            self.drop_counters
                .too_many_speakers
                .fetch_add(1, Ordering::Relaxed);
            return;
        }
        if let Some((_, ear)) = self.receivers.get_mut(&person) {
            ear.push_packet(packet);
        }
    }

    /// Adds a receiver for a new user. Returns false if there are too many, or it can't be created.
    fn add_receiver(&mut self, stamp: &ConsentGrant) -> bool {
        if self.receivers.len() >= MAX_SPEAKERS {
            return false;
        }
        match SpeakerReceiver::new(self.settings.clone()) {
            Ok(ear) => {
                self.receivers.insert(stamp.person(), (stamp.clone(), ear));
                true
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "no ear");
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

    fn emit_events(&mut self, stamp: &ConsentGrant) {
        for event in self.pending_events.drain(..) {
            if self.events.try_send(stamp.wrap(event)).is_err() {
                self.drop_counters
                    .events_lost
                    .fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn publish_counts(&self) {
        let mut all = self.finished_counts.clone();
        for (person, (_, ear)) in &self.receivers {
            let counts = all.entry(*person).or_default();
            *counts = add_counts(*counts, ear.stats());
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
