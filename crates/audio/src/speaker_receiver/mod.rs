//! Receives one speaker of a voice call: turns Opus packets into utterances.
//!
//! Packets pass [`jitter_buffer`], get their position from [`timeline`], are decoded by
//! [`speaker_decoder`], and are cut into utterances by [`endpointer`]. There is no clock and no
//! network here: time is an argument, relative to the start of the session.

mod endpointer;
mod event;
mod jitter_buffer;
mod position;
mod settings;
mod speaker_decoder;
mod speaker_track;
mod stats;
#[cfg(test)]
mod tests;
mod timeline;
mod vad_frames;

use std::time::Duration;

use crate::pcm::samples_to_duration;
use crate::{AudioError, EarshotVad, Vad};
use endpointer::{Endpointer, SampleOrigin};
use jitter_buffer::{Arrival, JitterBuffer};
use position::timeline_position;
use speaker_decoder::{SpeakerDecoder, is_silence_packet};
use stats::SpeakerCounters;
use timeline::{Placement, SpeakerTimeline};

pub use event::{SpeakerEvent, Utterance};
pub use settings::{SpeakerReceiverSettings, VoicePacket};
pub use speaker_track::speaker_track;
pub use stats::SpeakerStats;

/// Receives one speaker. `V` rates the frames; the default is [`EarshotVad`].
///
/// Call [`advance`](Self::advance) after each [`push_packet`](Self::push_packet), and again at
/// [`next_deadline`](Self::next_deadline). Packets that were buffered elsewhere may be pushed later
/// than they were received, up to 128 of them before one [`advance`](Self::advance). Memory is
/// bounded by the maximum utterance length, whatever is sent.
pub struct SpeakerReceiver<V = EarshotVad> {
    jitter_buffer: JitterBuffer,
    timeline: SpeakerTimeline,
    decoder: SpeakerDecoder,
    endpointer: Endpointer<V>,
    counters: SpeakerCounters,
    /// Packets before the front that are missing or damaged and have not been placed yet.
    missing_packets: u64,
    /// Latest arrival time of a decoded packet, in samples.
    last_received: u64,
}

impl SpeakerReceiver<EarshotVad> {
    /// A receiver with the default detector.
    ///
    /// # Errors
    ///
    /// If a decoder can't be allocated.
    pub fn new(settings: SpeakerReceiverSettings) -> Result<Self, AudioError> {
        Self::with_vad(settings, EarshotVad::new())
    }
}

impl<V: Vad> SpeakerReceiver<V> {
    /// A receiver with the given detector.
    ///
    /// # Errors
    ///
    /// If a decoder can't be allocated.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "consistent with the parts' constructors"
    )]
    pub fn with_vad(settings: SpeakerReceiverSettings, vad: V) -> Result<Self, AudioError> {
        Ok(Self {
            jitter_buffer: JitterBuffer::new(&settings),
            timeline: SpeakerTimeline::new(),
            decoder: SpeakerDecoder::new()?,
            endpointer: Endpointer::new(&settings, vad),
            counters: SpeakerCounters::default(),
            missing_packets: 0,
            last_received: 0,
        })
    }

    /// Adds a packet. Its events are returned by the next [`SpeakerReceiver::advance`].
    pub fn push_packet(&mut self, packet: VoicePacket) {
        self.counters.received += 1;
        match self.jitter_buffer.push(packet) {
            Arrival::Late => self.counters.late += 1,
            Arrival::Duplicate => self.counters.duplicate += 1,
            Arrival::OutOfSequence {
                dropped_previous: true,
            } => self.counters.damaged += 1,
            Arrival::Buffered
            | Arrival::BufferFull
            | Arrival::OutOfSequence {
                dropped_previous: false,
            } => {}
        }
    }

    /// Processes everything that is due at `now` and appends its events.
    pub fn advance(&mut self, now: Duration, events: &mut Vec<SpeakerEvent>) {
        let now = timeline_position(now);
        while let Some(step) = self.next_scheduled()
            && step.due <= now
        {
            self.process_front(step.placement, events);
        }
        if self.silence_deadline().is_some_and(|over| over <= now) {
            self.endpointer.end_speech(events);
        }
        self.endpointer.emit_audio(events);
    }

    /// Latest time at which [`SpeakerReceiver::advance`] has something to do; may be in the past.
    /// `None` while nothing is buffered and there is no speech.
    pub fn next_deadline(&self) -> Option<Duration> {
        let due = match self.next_scheduled() {
            Some(step) => Some(step.due),
            None => self.silence_deadline(),
        };
        due.map(samples_to_duration)
    }

    /// Ends the stream, because the speaker has left or the session is over, and emits everything
    /// that is left. Later packets start a new stream.
    pub fn finish(&mut self, now: Duration, events: &mut Vec<SpeakerEvent>) {
        while let Some(step) = self.next_scheduled() {
            self.process_front(step.placement, events);
        }
        // Damaged packets at the very end have an unknown content, but they take up time.
        let room = timeline_position(now).saturating_sub(self.endpointer.next_position());
        let lost = self
            .timeline
            .last_packet_samples()
            .saturating_mul(self.missing_packets);
        self.fill_trailing_loss(lost.min(room), events);
        self.missing_packets = 0;
        self.endpointer.emit_audio(events);
        self.endpointer.finish(events);
        self.timeline.reset();
        self.counters.damaged += u64::from(self.jitter_buffer.reset());
    }

    /// What was received and what was lost so far.
    pub fn stats(&self) -> SpeakerStats {
        self.counters.to_stats()
    }

    /// Heap memory in bytes, without decoder and detector.
    #[cfg(test)]
    fn memory_bytes(&self) -> usize {
        self.jitter_buffer.memory_bytes() + self.endpointer.memory_bytes()
    }

    /// The next packet to process, and when.
    fn next_scheduled(&self) -> Option<ScheduledPacket> {
        let front = self.jitter_buffer.front()?;
        let placement = self.timeline.place(
            front.packet,
            self.missing_packets + front.missing_before,
            front.starts_stream,
            self.jitter_buffer.packets(),
            self.endpointer.next_position(),
            self.endpointer.is_quiet(),
        );
        let due = if placement.is_provisional {
            front.ready_at_if_provisional
        } else {
            front.ready_at
        };
        Some(ScheduledPacket { due, placement })
    }

    /// When the utterance ends because no more packets arrive, in samples.
    fn silence_deadline(&self) -> Option<u64> {
        if !self.jitter_buffer.is_empty() {
            return None;
        }
        let silence = self.endpointer.remaining_silence()?;
        Some(self.last_received.saturating_add(silence))
    }

    /// Decodes the front packet and appends it at its place on the timeline.
    fn process_front(&mut self, placement: Placement, events: &mut Vec<SpeakerEvent>) {
        let missing = self
            .jitter_buffer
            .front()
            .map_or(0, |front| front.missing_before);
        let Some(packet) = self.jitter_buffer.pop() else {
            return;
        };
        self.missing_packets += missing;
        if placement.is_loss_confirmed || packet.length == 0 {
            self.counters.lost += missing;
        }
        if packet.length == 0 || placement.is_flood {
            self.counters.damaged += 1;
            self.missing_packets += 1;
            return;
        }
        let missing = std::mem::take(&mut self.missing_packets);
        let before = placement
            .lost_at
            .saturating_sub(self.endpointer.next_position());
        self.endpointer
            .push_silence(before, SampleOrigin::Silence, events);
        if placement.lost_samples > 0 {
            self.conceal(&placement, missing, events);
        }
        let before = placement.at.saturating_sub(self.endpointer.next_position());
        self.endpointer
            .push_silence(before, SampleOrigin::Silence, events);

        self.last_received = self.last_received.max(packet.received);
        let Some(samples) = self.decoder.decode(&packet.opus) else {
            self.counters.damaged += 1;
            self.missing_packets = 1;
            self.timeline.record_undecodable(&packet, &placement);
            return;
        };
        let silence = is_silence_packet(&packet.opus);
        let kind = if silence {
            SampleOrigin::Silence
        } else {
            SampleOrigin::Decoded
        };
        self.counters.decoded_samples += samples.len() as u64;
        if !placement.is_dropped {
            self.endpointer.push_samples(samples, kind, events);
        }
        self.timeline.record_placement(&packet, &placement, silence);
    }

    /// Fills the gap before a packet by concealment and silence, and reports the loss.
    fn conceal(&mut self, placement: &Placement, missing: u64, events: &mut Vec<SpeakerEvent>) {
        self.report_loss(placement.lost_at, placement.lost_samples, events);
        // After the end of an utterance the gap has already been filled with silence.
        let filled = self
            .endpointer
            .next_position()
            .saturating_sub(placement.lost_at);
        if filled == 0 {
            let guess = self.decoder.conceal(placement.lost_samples);
            let length = guess.len() as u64;
            self.endpointer
                .push_samples(guess, SampleOrigin::Lost, events);
            self.counters.concealed += (missing * length)
                .div_ceil(placement.lost_samples)
                .min(missing);
        }
        let end = placement.lost_at + placement.lost_samples;
        let rest = end.saturating_sub(self.endpointer.next_position());
        self.endpointer
            .push_silence(rest, SampleOrigin::Lost, events);
    }

    /// Adds `lost` samples of loss at the end.
    fn fill_trailing_loss(&mut self, lost: u64, events: &mut Vec<SpeakerEvent>) {
        if lost > 0 {
            let at = self.endpointer.next_position();
            self.report_loss(at, lost, events);
            self.endpointer
                .push_silence(lost, SampleOrigin::Lost, events);
        }
    }

    fn report_loss(&mut self, at: u64, lost: u64, events: &mut Vec<SpeakerEvent>) {
        self.counters.lost_samples += lost;
        events.push(SpeakerEvent::Lost {
            at: samples_to_duration(at),
            length: samples_to_duration(lost),
        });
    }
}

impl<V> std::fmt::Debug for SpeakerReceiver<V> {
    /// Prints counters only: speech must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SpeakerReceiver")
            .field(&self.counters.to_stats())
            .finish()
    }
}

struct ScheduledPacket {
    /// In samples.
    due: u64,
    placement: Placement,
}
