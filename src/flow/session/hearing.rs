//! From packets to utterances, on a thread of its own: decoding is work, and packets come in
//! bursts that nobody may be kept waiting by.
//!
//! Whoever has the [`Microphone`] gives packets; who may not be heard is dropped there, undecoded.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::flow::consent::{ConsentBook, Stamp, Stamped};
use crate::store::NoticeStands;
use audio::{Counts, Ear, EarEvent, EarSettings, VoicePacket};

/// Packets that wait to be decoded: some seconds of a full call.
const MAX_WAITING: usize = 8_192;

/// So many who leave or take their word back always find room, however many packets wait.
const MAX_WORDS: usize = 1_024;

/// Events that wait for the session.
const MAX_EVENTS: usize = 4_096;

/// People that are heard in one call. Whoever comes after them is not.
pub const MAX_SPEAKERS: usize = 128;

/// Packets that are taken in a row before the ears are asked what is due: half of what one ear has
/// room for.
const BATCH: usize = 128;

/// The longest the thread sleeps.
const NAP: Duration = Duration::from_millis(250);

/// Tells how long a session has gone on. A session that is taken up again goes on where it was.
#[derive(Clone, Copy, Debug)]
pub struct SessionClock {
    origin: Instant,
    offset: Duration,
}

impl SessionClock {
    /// A clock that says `offset` now.
    #[must_use]
    pub fn at(offset: Duration) -> Self {
        Self {
            origin: Instant::now(),
            offset,
        }
    }

    /// How long the session has gone on.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.at_instant(Instant::now())
    }

    /// How long it had gone on then.
    #[must_use]
    pub fn at_instant(&self, instant: Instant) -> Duration {
        match instant.checked_duration_since(self.origin) {
            Some(after) => self.offset.saturating_add(after),
            None => self.offset.saturating_sub(self.origin - instant),
        }
    }
}

/// Something heard of somebody.
pub type Heard = Stamped<EarEvent>;

/// What happened to packets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// From people who may not be heard: dropped undecoded.
    pub refused: u64,
    /// From more people than can be heard.
    pub too_many: u64,
    /// There was no room for them.
    pub overrun: u64,
    /// Events that the session had no room for.
    pub events_lost: u64,
}

#[derive(Debug, Default)]
struct Tallies {
    refused: AtomicU64,
    too_many: AtomicU64,
    overrun: AtomicU64,
    events_lost: AtomicU64,
}

/// What has been heard of everybody so far, for those who only look on.
#[derive(Clone, Debug, Default)]
pub struct Counting(Arc<Mutex<HashMap<u64, Counts>>>);

impl Counting {
    /// Person by person.
    #[must_use]
    pub fn read(&self) -> HashMap<u64, Counts> {
        self.all().clone()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<u64, Counts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Sound {
    /// What came at once goes together: each sending wakes the thread.
    Packets(Vec<(Stamp, VoicePacket)>),
    Over(u64),
    Forget(u64),
}

/// Where the sound of a call goes in. Cheap to clone; nothing here waits or panics. It is shut until
/// the people in the call have been told.
#[derive(Clone)]
pub struct Microphone {
    sender: SyncSender<Sound>,
    /// Since when it is open; none while it is shut.
    open: Arc<RwLock<Option<Duration>>>,
    /// Packets that wait.
    waiting: Arc<AtomicUsize>,
    /// Who may be heard.
    book: ConsentBook,
    /// Who of them is in the call, and since when.
    allowed: Arc<RwLock<HashMap<u64, Duration>>>,
    tallies: Arc<Tallies>,
    counts: Counting,
    clock: SessionClock,
}

impl std::fmt::Debug for Microphone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Microphone")
    }
}

impl Microphone {
    /// Packets have come, each with who said it. They may have come some time ago: what was said
    /// before somebody agreed is not heard either.
    pub fn packets(&self, packets: impl IntoIterator<Item = (u64, VoicePacket)>) {
        let (mut heard, mut refused) = (Vec::new(), 0);
        let open = *self.open.read().unwrap_or_else(PoisonError::into_inner);
        {
            let allowed = self.allowed.read().unwrap_or_else(PoisonError::into_inner);
            for (person, packet) in packets {
                let since = allowed.get(&person).zip(open);
                let since = since.map(|(since, open)| open.max(*since));
                let stamp = since.and_then(|since| self.stamp(person, since, packet.received));
                match stamp {
                    Some(stamp) => heard.push((stamp, packet)),
                    None => refused += 1,
                }
            }
        }
        self.tallies.refused.fetch_add(refused, Ordering::Relaxed);
        let room = self.room(heard.len());
        self.overrun(heard.len() - room);
        heard.truncate(room);
        if room > 0 && !self.send(Sound::Packets(heard)) {
            self.waiting.fetch_sub(room, Ordering::Relaxed);
            self.overrun(room);
        }
    }

    /// Listens from now on: the people in the call know it.
    pub fn open(&self, _: NoticeStands) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.get_or_insert(self.clock.now());
    }

    /// Listens to nobody until it is opened again: what comes is dropped undecoded.
    pub fn shut(&self) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The stamp for what somebody said then. None if they were not to be heard at that time.
    fn stamp(&self, person: u64, since: Duration, said: Duration) -> Option<Stamp> {
        let (stamp, agreed) = self.book.hears(person)?;
        let agreed = agreed.map(|agreed| self.clock.at_instant(agreed));
        (said >= since && agreed.is_none_or(|agreed| said >= agreed)).then_some(stamp)
    }

    /// Takes room for so many packets; tells for how many there was some.
    fn room(&self, packets: usize) -> usize {
        let before = self.waiting.fetch_add(packets, Ordering::Relaxed);
        let room = MAX_WAITING.saturating_sub(before).min(packets);
        self.waiting.fetch_sub(packets - room, Ordering::Relaxed);
        room
    }

    /// Somebody has left: what they were saying is over.
    pub fn over(&self, person: u64) {
        self.say(Sound::Over(person));
    }

    /// Whether somebody is heard.
    #[must_use]
    pub fn hears(&self, person: u64) -> bool {
        let allowed = self.allowed.read().unwrap_or_else(PoisonError::into_inner);
        allowed.contains_key(&person) && self.book.may(person)
    }

    /// Hears somebody from now on as far as the book lets it, or no more: then what they were just
    /// saying is forgotten.
    pub fn allow(&self, person: u64, may: bool) {
        let changed = {
            let mut allowed = self.allowed.write().unwrap_or_else(PoisonError::into_inner);
            if may {
                // Whoever is heard already needs no more room.
                if allowed.len() < MAX_SPEAKERS {
                    let now = self.clock.now();
                    allowed.entry(person).or_insert(now);
                }
                false
            } else {
                allowed.remove(&person).is_some()
            }
        };
        if changed {
            self.say(Sound::Forget(person));
        }
    }

    /// What became of packets.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Tally {
            refused: read(&self.tallies.refused),
            too_many: read(&self.tallies.too_many),
            overrun: read(&self.tallies.overrun),
            events_lost: read(&self.tallies.events_lost),
        }
    }

    /// What was heard of everybody.
    #[must_use]
    pub fn counts(&self) -> HashMap<u64, Counts> {
        self.counts.read()
    }

    /// The same for one who goes on looking when all microphones are gone.
    #[must_use]
    pub fn counting(&self) -> Counting {
        self.counts.clone()
    }

    fn say(&self, word: Sound) {
        if !self.send(word) {
            self.overrun(1);
        }
    }

    fn send(&self, sound: Sound) -> bool {
        self.sender.try_send(sound).is_ok()
    }

    fn overrun(&self, count: usize) {
        let overrun = &self.tallies.overrun;
        overrun.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// Starts to listen. The thread ends, after everything that is there has come out, once all
/// microphones are gone, or nobody wants to know what is heard.
///
/// # Errors
///
/// If the system gives no thread.
pub fn listen(
    settings: EarSettings,
    clock: SessionClock,
    book: ConsentBook,
) -> std::io::Result<(Microphone, mpsc::Receiver<Heard>)> {
    let (sender, sounds) = sync_channel(MAX_WAITING + MAX_WORDS);
    let (events, heard) = mpsc::channel(MAX_EVENTS);
    let microphone = Microphone {
        sender,
        open: Arc::default(),
        waiting: Arc::default(),
        book,
        allowed: Arc::default(),
        tallies: Arc::default(),
        counts: Counting::default(),
        clock,
    };
    let listener = Listener {
        settings,
        clock,
        ears: HashMap::new(),
        past: HashMap::new(),
        events,
        waiting: Arc::clone(&microphone.waiting),
        tallies: Arc::clone(&microphone.tallies),
        counts: microphone.counting(),
        out: Vec::new(),
    };
    std::thread::Builder::new()
        .name("hearing".to_owned())
        .spawn(move || listener.run(&sounds))?;
    Ok((microphone, heard))
}

struct Listener {
    settings: EarSettings,
    clock: SessionClock,
    /// Each hears under one stamp.
    ears: HashMap<u64, (Stamp, Ear)>,
    /// What was counted of people whose ears are gone.
    past: HashMap<u64, Counts>,
    events: mpsc::Sender<Heard>,
    waiting: Arc<AtomicUsize>,
    tallies: Arc<Tallies>,
    counts: Counting,
    out: Vec<EarEvent>,
}

impl Listener {
    fn run(mut self, sounds: &Receiver<Sound>) {
        let mut told = Duration::ZERO;
        while !self.events.is_closed() {
            match sounds.recv_timeout(self.nap()) {
                Ok(sound) => {
                    let mut taken = self.take(sound);
                    while taken < BATCH
                        && let Ok(sound) = sounds.try_recv()
                    {
                        taken += self.take(sound);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.advance();
            let now = self.clock.now();
            if now.saturating_sub(told) >= NAP {
                told = now;
                self.publish();
            }
        }
        let now = self.clock.now();
        for person in self.ears.keys().copied().collect::<Vec<_>>() {
            self.finish(person, now);
        }
        self.publish();
    }

    /// Gives all that somebody's ear has, if it may still hear them.
    fn finish(&mut self, person: u64, now: Duration) {
        if let Some((stamp, mut ear)) = self.ears.remove(&person) {
            if stamp.holds() {
                ear.finish(now, &mut self.out);
            }
            self.keep(person, ear.counts());
            self.tell(&stamp);
        }
    }

    /// How long nothing is due.
    fn nap(&self) -> Duration {
        let now = self.clock.now();
        let due = self.ears.values().filter_map(|(_, ear)| ear.due()).min();
        due.map_or(NAP, |due| due.saturating_sub(now).min(NAP))
    }

    /// Gives what is due.
    fn advance(&mut self) {
        let now = self.clock.now();
        let due: Vec<u64> = self
            .ears
            .iter()
            .filter(|(_, (_, ear))| ear.due().is_some_and(|due| due <= now))
            .map(|(person, _)| *person)
            .collect();
        for person in due {
            let Some((stamp, ear)) = self.ears.get_mut(&person) else {
                continue;
            };
            let stamp = stamp.clone();
            if stamp.holds() {
                ear.advance(now, &mut self.out);
                self.tell(&stamp);
            } else {
                self.forget(person);
            }
        }
    }

    /// Tells how much it was, in packets.
    fn take(&mut self, sound: Sound) -> usize {
        match sound {
            Sound::Packets(packets) => {
                self.waiting.fetch_sub(packets.len(), Ordering::Relaxed);
                let mut taken = 0;
                for (stamp, packet) in packets {
                    if taken == BATCH {
                        self.advance();
                        taken = 0;
                    }
                    taken += 1;
                    self.hear(&stamp, packet);
                }
                return taken;
            }
            Sound::Over(person) => self.finish(person, self.clock.now()),
            Sound::Forget(person) => self.forget(person),
        }
        1
    }

    /// Drops what somebody was just saying.
    fn forget(&mut self, person: u64) {
        if let Some((_, ear)) = self.ears.remove(&person) {
            self.keep(person, ear.counts());
        }
    }

    fn hear(&mut self, stamp: &Stamp, packet: VoicePacket) {
        // They may have said no while the packet waited, and yes after that.
        if !stamp.holds() {
            self.tallies.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let person = stamp.person();
        if self.ears.get(&person).is_some_and(|(of, _)| !of.is(stamp)) {
            self.forget(person);
        }
        if !self.ears.contains_key(&person) && !self.grow(stamp) {
            self.tallies.too_many.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if let Some((_, ear)) = self.ears.get_mut(&person) {
            ear.hear(packet);
        }
    }

    /// An ear for somebody new, if there is room.
    fn grow(&mut self, stamp: &Stamp) -> bool {
        if self.ears.len() >= MAX_SPEAKERS {
            return false;
        }
        match Ear::new(self.settings.clone()) {
            Ok(ear) => {
                self.ears.insert(stamp.person(), (stamp.clone(), ear));
                true
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "no ear");
                false
            }
        }
    }

    fn keep(&mut self, person: u64, counts: Counts) {
        if self.past.len() < MAX_SPEAKERS * 8 || self.past.contains_key(&person) {
            let all = self.past.entry(person).or_default();
            *all = sum(*all, counts);
        }
    }

    fn tell(&mut self, stamp: &Stamp) {
        for event in self.out.drain(..) {
            if self.events.try_send(stamp.on(event)).is_err() {
                self.tallies.events_lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn publish(&self) {
        let mut all = self.past.clone();
        for (person, (_, ear)) in &self.ears {
            let counts = all.entry(*person).or_default();
            *counts = sum(*counts, ear.counts());
        }
        *self.counts.all() = all;
    }
}

fn sum(a: Counts, b: Counts) -> Counts {
    Counts {
        received: a.received + b.received,
        late: a.late + b.late,
        duplicate: a.duplicate + b.duplicate,
        lost: a.lost + b.lost,
        concealed: a.concealed + b.concealed,
        damaged: a.damaged + b.damaged,
        heard: a.heard + b.heard,
        lost_time: a.lost_time + b.lost_time,
    }
}
