//! Downmix to mono without cancellation between channels.
//!
//! Channels are normally summed. If they turn out to be in opposite phase, as with a microphone
//! wired in reverse or a voice in the difference of two channels, their sum would be silence. From
//! then on each channel gets its own phase shift, up to a quarter turn apart. Nothing can cancel
//! then, whatever the channels contain, and what they have in common still adds up. Neither
//! listeners nor recognizers notice phase.

use std::f32::consts::FRAC_PI_2;

use symphonia::core::audio::{Channels, Position};

/// Maximum number of channels. An Opus stream may have 255, but such streams don't occur.
pub(crate) const MAX_CHANNELS: usize = 64;

/// Weights that mix interleaved frames down to one channel. They sum to one, so the mix clips only
/// where the input did.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DownmixWeights(Vec<f32>);

impl DownmixWeights {
    /// The weights that ITU-R BS.775 gives speakers in a stereo mix: full front, stronger centre,
    /// weaker surround, no subwoofer. Channels without a position get equal weights.
    pub(crate) fn for_channels(channels: &Channels) -> Self {
        let weights: Vec<f32> = match channels {
            Channels::Positioned(positions) => positions.iter().map(speaker_weight).collect(),
            other => vec![1.0; other.count()],
        };
        Self::normalized(weights)
    }

    /// Equal weights for all channels.
    pub(crate) fn equal(channels: usize) -> Self {
        Self::normalized(vec![1.0; channels])
    }

    /// Weights for an Opus stream with mapping family 1, in Vorbis channel order (RFC 7845,
    /// 5.1.1.2).
    pub(crate) fn for_vorbis_order(channels: usize) -> Self {
        const C: f32 = 1.0;
        const F: f32 = std::f32::consts::FRAC_1_SQRT_2;
        const S: f32 = 0.5;
        const LFE: f32 = 0.0;
        let weights: &[f32] = match channels {
            3 => &[F, C, F],
            4 => &[F, F, S, S],
            5 => &[F, C, F, S, S],
            6 => &[F, C, F, S, S, LFE],
            7 => &[F, C, F, S, S, S, LFE],
            8 => &[F, C, F, S, S, S, S, LFE],
            _ => return Self::equal(channels),
        };
        Self::normalized(weights.to_vec())
    }

    fn normalized(mut weights: Vec<f32>) -> Self {
        let sum: f32 = weights.iter().sum();
        // A stream with only a subwoofer channel would otherwise be silent.
        if sum <= 0.0 {
            return Self::equal(weights.len().max(1));
        }
        for weight in &mut weights {
            *weight /= sum;
        }
        Self(weights)
    }

    /// Number of input channels.
    pub(crate) fn channels(&self) -> usize {
        self.0.len()
    }

    /// Appends the weighted sum of complete interleaved frames to `mono`.
    fn sum(&self, interleaved: &[f32], mono: &mut Vec<f32>) {
        match self.0.as_slice() {
            [_] => mono.extend_from_slice(interleaved),
            [left, right] => mono.extend(
                interleaved
                    .chunks_exact(2)
                    .map(|frame| frame[0] * left + frame[1] * right),
            ),
            weights => mono.extend(interleaved.chunks_exact(weights.len()).map(|frame| {
                frame
                    .iter()
                    .zip(weights)
                    .map(|(sample, weight)| sample * weight)
                    .sum::<f32>()
            })),
        }
    }
}

/// Frames analyzed together: 10 ms at 48 kHz.
const HOP_FRAMES: usize = 480;

/// Smoothing factor of the energies per hop; older hops fade out over about 20 hops.
const ENERGY_DECAY: f32 = 0.95;

/// A hop cancels if the energy of its sum is below this fraction of its channels' energy.
/// Independent channels have a ratio of 1 on average, identical ones a ratio equal to their number.
const HOP_CANCELLATION_RATIO: f32 = 0.03;

/// The same threshold for the smoothed energies, where other sounds are mixed in.
const CANCELLATION_RATIO: f32 = 0.6;

/// Hops measured before [`CANCELLATION_RATIO`] applies: two voices may cancel briefly by chance.
const MIN_MEASURED_HOPS: u32 = 20;

/// Energy per frame below which a hop is ignored as coding noise: -80 dBFS.
const SILENCE_ENERGY: f32 = 1e-8;

/// Squared gains of two chains of all-pass filters whose outputs are a quarter turn apart, within
/// 0.7 degrees from 0.002 to 0.498 of the sample rate (Olli Niemitalo, "Hilbert transform").
const LEAD_CHAIN_GAINS: [f32; 4] = [0.479_400_87, 0.876_218_5, 0.976_597_6, 0.997_499_3];
const LAG_CHAIN_GAINS: [f32; 4] = [0.161_758_5, 0.733_028_9, 0.945_349_7, 0.990_598_1];

/// Mixes one stream down, hop by hop.
#[derive(Clone, Debug)]
pub(crate) struct Downmixer {
    weights: DownmixWeights,
    signal_detector: CancellationDetector,
    /// The same for the difference between consecutive frames, which emphasizes high frequencies.
    difference_detector: CancellationDetector,
    last_frame: Vec<f32>,
    phase_shift: Option<PhaseShiftMixer>,
}

impl Downmixer {
    pub(crate) fn new(weights: DownmixWeights) -> Self {
        let last_frame = vec![0.0; weights.channels()];
        Self {
            weights,
            signal_detector: CancellationDetector::default(),
            difference_detector: CancellationDetector::default(),
            last_frame,
            phase_shift: None,
        }
    }

    /// Number of input channels.
    pub(crate) fn channels(&self) -> usize {
        self.weights.channels()
    }

    /// Appends the mix of complete interleaved frames to `mono`.
    pub(crate) fn mix(&mut self, interleaved: &[f32], mono: &mut Vec<f32>) {
        let channels = self.channels();
        if channels == 1 {
            self.weights.sum(interleaved, mono);
            return;
        }
        let start = mono.len();
        self.weights.sum(interleaved, mono);
        self.replace_cancelled(interleaved, mono.get_mut(start..).unwrap_or_default());
    }

    /// Replaces `summed`, the plain sum of the interleaved frames, by a phase-shifted mix from
    /// where the channels cancel on. The sum may come from elsewhere, such as the Opus decoder.
    pub(crate) fn replace_cancelled(&mut self, interleaved: &[f32], summed: &mut [f32]) {
        let channels = self.channels();
        for (hop, summed) in interleaved
            .chunks(HOP_FRAMES * channels)
            .zip(summed.chunks_mut(HOP_FRAMES))
        {
            let begins = self.phase_shift.is_none() && self.cancels(hop, summed);
            if begins {
                self.phase_shift = Some(PhaseShiftMixer::new(&self.weights));
            }
            if let Some(shifted) = &mut self.phase_shift {
                shifted.mix(hop, channels, begins, summed);
            }
        }
    }

    /// Whether the phase-shifted mix is in use, so that plain sums are no longer needed.
    pub(crate) fn is_phase_shifting(&self) -> bool {
        self.phase_shift.is_some()
    }

    /// Whether channels cancel in this hop or did over the last ones.
    fn cancels(&mut self, hop: &[f32], summed: &[f32]) -> bool {
        let (mut channel_energy, mut sum) = ([0.0_f32; 2], [0.0_f32; 2]);
        let weights = &self.weights.0;
        let mut last_sum: f32 = self
            .last_frame
            .iter()
            .zip(weights)
            .map(|(a, b)| a * b)
            .sum();
        for (frame, mixed) in hop.chunks_exact(weights.len()).zip(summed) {
            for ((sample, weight), last) in frame.iter().zip(weights).zip(&mut self.last_frame) {
                // Float samples may be NaN or infinite, or so large that their square is.
                let sample = if sample.abs() < 1e9 { *sample } else { 0.0 };
                channel_energy[0] += (sample * weight).powi(2);
                channel_energy[1] += ((sample - *last) * weight).powi(2);
                *last = sample;
            }
            let mixed = if mixed.abs() < 1e9 { *mixed } else { 0.0 };
            sum[0] += mixed * mixed;
            sum[1] += (mixed - last_sum).powi(2);
            last_sum = mixed;
        }
        let silent = SILENCE_ENERGY * summed.len() as f32;
        let in_signal = self
            .signal_detector
            .cancels(channel_energy[0], sum[0], silent);
        let in_difference = self
            .difference_detector
            .cancels(channel_energy[1], sum[1], silent);
        in_signal || in_difference
    }
}

/// Smoothed energy of the channels and of their sum.
#[derive(Clone, Debug, Default)]
struct CancellationDetector {
    channel_energy: f32,
    sum_energy: f32,
    hops: u32,
}

impl CancellationDetector {
    fn cancels(&mut self, channel_energy: f32, sum: f32, silent: f32) -> bool {
        if channel_energy < silent {
            return false;
        }
        self.channel_energy = self.channel_energy * ENERGY_DECAY + channel_energy;
        self.sum_energy = self.sum_energy * ENERGY_DECAY + sum;
        self.hops = self.hops.saturating_add(1);
        sum < HOP_CANCELLATION_RATIO * channel_energy
            || (self.hops >= MIN_MEASURED_HOPS
                && self.sum_energy < CANCELLATION_RATIO * self.channel_energy)
    }
}

/// Mixes channels after shifting each by its own phase.
#[derive(Clone, Debug)]
struct PhaseShiftMixer {
    /// Weight of each channel in the leading and the lagging chain.
    weights: Vec<(f32, f32)>,
    lead_chain: [AllPass; 4],
    lag_chain: [AllPass; 4],
    /// Previous output of the leading chain, which needs a delay of one frame.
    last_lead_sample: f32,
}

impl PhaseShiftMixer {
    fn new(mix: &DownmixWeights) -> Self {
        let last = (mix.channels() - 1).max(1) as f32;
        let weights = mix.0.iter().enumerate().map(|(channel, weight)| {
            let (sine, cosine) = (FRAC_PI_2 * channel as f32 / last).sin_cos();
            (weight * cosine, weight * sine)
        });
        Self {
            weights: weights.collect(),
            lead_chain: LEAD_CHAIN_GAINS.map(AllPass::new),
            lag_chain: LAG_CHAIN_GAINS.map(AllPass::new),
            last_lead_sample: 0.0,
        }
    }

    /// Replaces the sum of a hop by the phase-shifted mix; crossfades if the mixer `begins` with
    /// this hop.
    fn mix(&mut self, hop: &[f32], channels: usize, begins: bool, summed: &mut [f32]) {
        let fade = if begins {
            summed.len().min(HOP_FRAMES / 4)
        } else {
            0
        };
        for (at, (frame, sum)) in hop.chunks_exact(channels).zip(summed).enumerate() {
            let (mut real, mut shifted) = (0.0, 0.0);
            for (sample, (cosine, sine)) in frame.iter().zip(&self.weights) {
                let sample = if sample.abs() < 1e9 { *sample } else { 0.0 };
                real += sample * cosine;
                shifted += sample * sine;
            }
            let ahead = self
                .lead_chain
                .iter_mut()
                .fold(real, |it, filter| filter.next(it));
            let behind = self
                .lag_chain
                .iter_mut()
                .fold(shifted, |it, filter| filter.next(it));
            let mixed = std::mem::replace(&mut self.last_lead_sample, ahead) + behind;
            let share = if at < fade {
                at as f32 / fade as f32
            } else {
                1.0
            };
            *sum += (mixed - *sum) * share;
        }
    }
}

/// An all-pass filter: changes phase, keeps levels.
#[derive(Clone, Debug)]
struct AllPass {
    gain: f32,
    /// The last two input and output samples, latest first.
    inputs: [f32; 2],
    outputs: [f32; 2],
}

impl AllPass {
    fn new(gain: f32) -> Self {
        Self {
            gain,
            inputs: [0.0; 2],
            outputs: [0.0; 2],
        }
    }

    fn next(&mut self, sample: f32) -> f32 {
        let [input_1, input_2] = self.inputs;
        let [output_1, output_2] = self.outputs;
        let next = self.gain * (sample + output_2) - input_2;
        // Flush denormals, which are inaudible and slow to compute with.
        let next = if next.abs() < 1e-20 { 0.0 } else { next };
        self.inputs = [sample, input_1];
        self.outputs = [next, output_1];
        next
    }
}

fn speaker_weight(position: Position) -> f32 {
    let front_sides = Position::FRONT_LEFT
        | Position::FRONT_RIGHT
        | Position::FRONT_LEFT_CENTER
        | Position::FRONT_RIGHT_CENTER;
    let bass = Position::LFE1 | Position::LFE2;
    if position == Position::FRONT_CENTER {
        1.0
    } else if bass.contains(position) {
        0.0
    } else if front_sides.contains(position) {
        std::f32::consts::FRAC_1_SQRT_2
    } else {
        0.5
    }
}

#[cfg(test)]
mod tests;
