//! Hearing one speaker of a voice call: packets from the network become utterances.
//!
//! No clock and no network: time is an argument, counted from the beginning of the session.

mod counts;
mod decode;
mod endpoint;
mod event;
mod frames;
mod jitter;
mod settings;
#[cfg(test)]
mod tests;
mod timeline;
mod track;

use std::time::Duration;

use super::pcm::{duration_to_samples, samples_to_duration};
use super::segment::Judge;
use super::{AudioError, VoiceActivity};
use counts::CountedSamples;
use decode::{Voice, is_silence};
use endpoint::{Endpoint, Kind};
use jitter::{Arrival, Jitter};
use timeline::{Placement, Timeline};

pub use counts::Counts;
pub use event::{EarEvent, Utterance};
pub use settings::{EarSettings, VoicePacket};
pub use track::speaker_track;

/// Listens to one speaker. `J` judges frames; the real one is [`VoiceActivity`].
///
/// After each [`Ear::hear`] comes an [`Ear::advance`], and another one when it is [`Ear::due`].
/// Packets that had to wait elsewhere may be given later than they came, and many before one
/// [`Ear::advance`], but no more than 128.
/// What it holds is bounded by the longest utterance, whatever is sent.
pub struct Ear<J = VoiceActivity> {
    jitter: Jitter,
    timeline: Timeline,
    voice: Voice,
    endpoint: Endpoint<J>,
    counts: CountedSamples,
    /// Packets before the front that are missing or damaged, and not yet in a place.
    missing: u64,
    /// When the last packet came that was decoded, in samples.
    last_heard: u64,
}

impl Ear<VoiceActivity> {
    /// An ear that has heard nothing yet.
    ///
    /// # Errors
    ///
    /// If there is no memory for a decoder.
    pub fn new(settings: EarSettings) -> Result<Self, AudioError> {
        Self::with_judge(settings, VoiceActivity::new())
    }
}

impl<J: Judge> Ear<J> {
    /// An ear with a judge of the caller's.
    ///
    /// # Errors
    ///
    /// If there is no memory for a decoder.
    #[expect(clippy::needless_pass_by_value, reason = "as for all other parts")]
    pub fn with_judge(settings: EarSettings, judge: J) -> Result<Self, AudioError> {
        Ok(Self {
            jitter: Jitter::new(&settings),
            timeline: Timeline::new(),
            voice: Voice::new()?,
            endpoint: Endpoint::new(&settings, judge),
            counts: CountedSamples::default(),
            missing: 0,
            last_heard: 0,
        })
    }

    /// Takes a packet. What comes of it is given by the next [`Ear::advance`].
    pub fn hear(&mut self, packet: VoicePacket) {
        self.counts.received += 1;
        match self.jitter.hear(packet) {
            Arrival::Late => self.counts.late += 1,
            Arrival::Duplicate => self.counts.duplicate += 1,
            Arrival::Strange { before: true } => self.counts.damaged += 1,
            Arrival::Waits | Arrival::Refused | Arrival::Strange { before: false } => {}
        }
    }

    /// Time passes: gives what is due.
    pub fn advance(&mut self, now: Duration, events: &mut Vec<EarEvent>) {
        let now = place(now);
        while let Some(step) = self.next_step()
            && step.due <= now
        {
            self.take(step.placement, events);
        }
        if self.over().is_some_and(|over| over <= now) {
            self.endpoint.end(events);
        }
        self.endpoint.give(events);
    }

    /// When [`Ear::advance`] has something to do at the latest; it may be in the past. None
    /// while nobody speaks and nothing waits.
    pub fn due(&self) -> Option<Duration> {
        let due = match self.next_step() {
            Some(step) => Some(step.due),
            None => self.over(),
        };
        due.map(samples_to_duration)
    }

    /// The speaker has left, or nobody listens any more: everything that is there comes out.
    /// Packets that come later are taken for a new stream's.
    pub fn finish(&mut self, now: Duration, events: &mut Vec<EarEvent>) {
        while let Some(step) = self.next_step() {
            self.take(step.placement, events);
        }
        // Nobody knows what the damaged packets at the very end were, but they were there.
        let room = place(now).saturating_sub(self.endpoint.place());
        let lost = self.timeline.usual_length().saturating_mul(self.missing);
        self.lose(lost.min(room), events);
        self.missing = 0;
        self.endpoint.give(events);
        self.endpoint.finish(events);
        self.timeline.forget_stream();
        self.counts.damaged += u64::from(self.jitter.forget_stream());
    }

    /// What was received and what was lost so far.
    pub fn counts(&self) -> Counts {
        self.counts.counts()
    }

    /// The bytes it holds beside the decoder and the judge.
    #[cfg(test)]
    fn held(&self) -> usize {
        self.jitter.held() + self.endpoint.held()
    }

    /// What is to be done next with the packets, and when.
    fn next_step(&self) -> Option<Step> {
        let front = self.jitter.front()?;
        let placement = self.timeline.place(
            front.packet,
            self.missing + front.missing,
            front.first,
            self.jitter.waiting(),
            self.endpoint.place(),
            self.endpoint.is_quiet(),
        );
        let due = if placement.doubtful {
            front.ready_in_doubt
        } else {
            front.ready
        };
        Some(Step { due, placement })
    }

    /// When speech is over because nothing comes any more, in samples.
    fn over(&self) -> Option<u64> {
        if !self.jitter.is_empty() {
            return None;
        }
        let silence = self.endpoint.over_in()?;
        Some(self.last_heard.saturating_add(silence))
    }

    /// Takes the packet whose turn it is, to its place.
    fn take(&mut self, placement: Placement, events: &mut Vec<EarEvent>) {
        let missing = self.jitter.front().map_or(0, |front| front.missing);
        let Some(packet) = self.jitter.take() else {
            return;
        };
        self.missing += missing;
        if placement.missed || packet.length == 0 {
            self.counts.lost += missing;
        }
        if packet.length == 0 || placement.flood {
            self.counts.damaged += 1;
            self.missing += 1;
            return;
        }
        let missing = std::mem::take(&mut self.missing);
        let before = placement.lost_at.saturating_sub(self.endpoint.place());
        self.endpoint.silence(before, Kind::Silence, events);
        if placement.lost > 0 {
            self.conceal(&placement, missing, events);
        }
        let before = placement.at.saturating_sub(self.endpoint.place());
        self.endpoint.silence(before, Kind::Silence, events);

        self.last_heard = self.last_heard.max(packet.received);
        let Some(samples) = self.voice.decode(&packet.opus) else {
            self.counts.damaged += 1;
            self.missing = 1;
            self.timeline.not_placed(&packet, &placement);
            return;
        };
        let silence = is_silence(&packet.opus);
        let kind = if silence { Kind::Silence } else { Kind::Heard };
        self.counts.heard += samples.len() as u64;
        if !placement.left_out {
            self.endpoint.hear(samples, kind, events);
        }
        self.timeline.placed(&packet, &placement, silence);
    }

    /// Fills the place of what is missing with a guess, and tells of it.
    fn conceal(&mut self, placement: &Placement, missing: u64, events: &mut Vec<EarEvent>) {
        self.tell_lost(placement.lost_at, placement.lost, events);
        // Where the speech was thought to be over, there is silence already.
        let filled = self.endpoint.place().saturating_sub(placement.lost_at);
        if filled == 0 {
            let guess = self.voice.conceal(placement.lost);
            let length = guess.len() as u64;
            self.endpoint.hear(guess, Kind::Lost, events);
            self.counts.concealed += (missing * length).div_ceil(placement.lost).min(missing);
        }
        let end = placement.lost_at + placement.lost;
        let rest = end.saturating_sub(self.endpoint.place());
        self.endpoint.silence(rest, Kind::Lost, events);
    }

    /// So much is missing at the end.
    fn lose(&mut self, lost: u64, events: &mut Vec<EarEvent>) {
        if lost > 0 {
            let at = self.endpoint.place();
            self.tell_lost(at, lost, events);
            self.endpoint.silence(lost, Kind::Lost, events);
        }
    }

    fn tell_lost(&mut self, at: u64, lost: u64, events: &mut Vec<EarEvent>) {
        self.counts.lost_time += lost;
        events.push(EarEvent::Lost {
            at: samples_to_duration(at),
            length: samples_to_duration(lost),
        });
    }
}

impl<J> std::fmt::Debug for Ear<J> {
    /// Speech never reaches a log: only counts do.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ear").field(&self.counts.counts()).finish()
    }
}

struct Step {
    /// In samples.
    due: u64,
    placement: Placement,
}

/// Nothing happens later, in samples: some 500 years after the session began. So that sums of
/// places are places.
const LAST_PLACE: u64 = 1 << 48;

/// A time as a number of samples since the session began.
fn place(time: Duration) -> u64 {
    duration_to_samples(time).min(LAST_PLACE)
}
