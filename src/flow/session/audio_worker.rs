//! Turns packets into utterances, on a thread of its own: decoding takes CPU time, and packets come
//! in bursts that must not block the receiver.
//!
//! Packets are pushed into [`AudioInput`], which drops those of users who may not be heard before
//! they are decoded.

mod input;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::HashMap;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

pub use input::{AudioInput, DroppedPackets};
use worker::AudioWorker;

use super::clock::SessionClock;
use crate::flow::consent::{ConsentGrant, GuildConsents, PersonalData};
use audio::{SpeakerEvent, SpeakerReceiverSettings, SpeakerStats, VoicePacket};

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

/// An audio event of one user.
pub type SpeakerAudioEvent = PersonalData<SpeakerEvent>;

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

/// Starts the worker thread. It ends when all [`AudioInput`]s are dropped, after the remaining
/// audio has been processed, or when the event receiver is dropped.
///
/// # Errors
///
/// If the thread can't be started.
pub fn spawn_audio_worker(
    settings: SpeakerReceiverSettings,
    clock: SessionClock,
    consents: GuildConsents,
) -> std::io::Result<(AudioInput, mpsc::Receiver<SpeakerAudioEvent>)> {
    let (sender, commands) = sync_channel(MAX_QUEUED_PACKETS + RESERVED_CONTROL_SLOTS);
    let (event_sender, event_receiver) = mpsc::channel(MAX_EVENTS);
    let audio_input = AudioInput {
        sender,
        open_since: Arc::default(),
        queued_packets: Arc::default(),
        consents,
        allowed_since: Arc::default(),
        drop_counters: Arc::default(),
        counts: SpeakerCountsReader::default(),
        clock,
    };
    let worker = AudioWorker {
        settings,
        clock,
        receivers: HashMap::new(),
        finished_counts: HashMap::new(),
        events: event_sender,
        queued_packets: Arc::clone(&audio_input.queued_packets),
        drop_counters: Arc::clone(&audio_input.drop_counters),
        counts: audio_input.counts_reader(),
        pending_events: Vec::new(),
    };
    std::thread::Builder::new()
        .name("audio-worker".to_owned())
        .spawn(move || worker.run(&commands))?;
    Ok((audio_input, event_receiver))
}
