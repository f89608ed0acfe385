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
pub(super) const MAX_CHANNELS: usize = 64;

/// Weights that mix interleaved frames down to one channel. They sum to one, so the mix clips only
/// where the input did.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DownmixWeights(Vec<f32>);

impl DownmixWeights {
    /// The weights that ITU-R BS.775 gives speakers in a stereo mix: full front, stronger centre,
    /// weaker surround, no subwoofer. Channels without a position get equal weights.
    pub(super) fn for_channels(channels: &Channels) -> Self {
        let weights: Vec<f32> = match channels {
            Channels::Positioned(positions) => positions.iter().map(speaker_weight).collect(),
            other => vec![1.0; other.count()],
        };
        Self::normalized(weights)
    }

    /// Equal weights for all channels.
    pub(super) fn equal(channels: usize) -> Self {
        Self::normalized(vec![1.0; channels])
    }

    /// Weights for an Opus stream with mapping family 1, in Vorbis channel order (RFC 7845,
    /// 5.1.1.2).
    pub(super) fn for_vorbis_order(channels: usize) -> Self {
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
    pub(super) fn channels(&self) -> usize {
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
pub(super) struct Downmixer {
    weights: DownmixWeights,
    signal_detector: CancellationDetector,
    /// The same for the difference between consecutive frames, which emphasizes high frequencies.
    difference_detector: CancellationDetector,
    last_frame: Vec<f32>,
    phase_shift: Option<PhaseShiftMixer>,
}

impl Downmixer {
    pub(super) fn new(weights: DownmixWeights) -> Self {
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
    pub(super) fn channels(&self) -> usize {
        self.weights.channels()
    }

    /// Appends the mix of complete interleaved frames to `mono`.
    pub(super) fn mix(&mut self, interleaved: &[f32], mono: &mut Vec<f32>) {
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
    pub(super) fn replace_cancelled(&mut self, interleaved: &[f32], summed: &mut [f32]) {
        let channels = self.channels();
        for (hop, summed) in interleaved
            .chunks(HOP_FRAMES * channels)
            .zip(summed.chunks_mut(HOP_FRAMES))
        {
            let begins = self.phase_shift.is_none() && self.cancels(hop, summed);
            if begins {
                self.phase_shift = Some(PhaseShiftMixer::new(&self.weights));
            }
            if let Some(turned) = &mut self.phase_shift {
                turned.mix(hop, channels, begins, summed);
            }
        }
    }

    /// Whether the phase-shifted mix is in use, so that plain sums are no longer needed.
    pub(super) fn is_phase_shifting(&self) -> bool {
        self.phase_shift.is_some()
    }

    /// Whether channels cancel in this hop or did over the last ones.
    fn cancels(&mut self, hop: &[f32], summed: &[f32]) -> bool {
        let (mut parts, mut sum) = ([0.0_f32; 2], [0.0_f32; 2]);
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
                parts[0] += (sample * weight).powi(2);
                parts[1] += ((sample - *last) * weight).powi(2);
                *last = sample;
            }
            let mixed = if mixed.abs() < 1e9 { *mixed } else { 0.0 };
            sum[0] += mixed * mixed;
            sum[1] += (mixed - last_sum).powi(2);
            last_sum = mixed;
        }
        let silent = SILENCE_ENERGY * summed.len() as f32;
        let plain = self.signal_detector.cancels(parts[0], sum[0], silent);
        let edges = self.difference_detector.cancels(parts[1], sum[1], silent);
        plain || edges
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
    fn cancels(&mut self, parts: f32, sum: f32, silent: f32) -> bool {
        if parts < silent {
            return false;
        }
        self.channel_energy = self.channel_energy * ENERGY_DECAY + parts;
        self.sum_energy = self.sum_energy * ENERGY_DECAY + sum;
        self.hops = self.hops.saturating_add(1);
        sum < HOP_CANCELLATION_RATIO * parts
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
            let (mut real, mut turned) = (0.0, 0.0);
            for (sample, (cosine, sine)) in frame.iter().zip(&self.weights) {
                let sample = if sample.abs() < 1e9 { *sample } else { 0.0 };
                real += sample * cosine;
                turned += sample * sine;
            }
            let ahead = self
                .lead_chain
                .iter_mut()
                .fold(real, |it, filter| filter.next(it));
            let behind = self
                .lag_chain
                .iter_mut()
                .fold(turned, |it, filter| filter.next(it));
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
    taken: [f32; 2],
    given: [f32; 2],
}

impl AllPass {
    fn new(gain: f32) -> Self {
        Self {
            gain,
            taken: [0.0; 2],
            given: [0.0; 2],
        }
    }

    fn next(&mut self, sample: f32) -> f32 {
        let [taken, before] = self.taken;
        let [given, earlier] = self.given;
        let next = self.gain * (sample + earlier) - before;
        // Flush denormals, which are inaudible and slow to compute with.
        let next = if next.abs() < 1e-20 { 0.0 } else { next };
        self.taken = [sample, taken];
        self.given = [next, given];
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
mod tests {
    use super::*;

    #[test]
    fn stereo_is_averaged() {
        let stereo = DownmixWeights::for_channels(&Channels::Positioned(
            Position::FRONT_LEFT | Position::FRONT_RIGHT,
        ));
        let mut mono = Vec::new();
        stereo.sum(&[1.0, 0.0, 0.5, 0.5, -1.0, 1.0], &mut mono);
        assert_eq!(mono, [0.5, 0.5, 0.0]);
    }

    #[test]
    fn every_weighting_sums_to_one_and_leaves_the_subwoofer_out() {
        for channels in 1..=8 {
            let mix = DownmixWeights::for_vorbis_order(channels);
            assert_eq!(mix.channels(), channels);
            assert!((mix.0.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
        assert_eq!(DownmixWeights::for_vorbis_order(6).0[5], 0.0);
        let surround = DownmixWeights::for_channels(&Channels::Positioned(
            Position::FRONT_LEFT | Position::FRONT_CENTER | Position::LFE1,
        ));
        assert_eq!(surround.0[2], 0.0);
        let bass_only = DownmixWeights::for_channels(&Channels::Positioned(Position::LFE1));
        assert_eq!(bass_only.0, [1.0]);
    }

    /// A voice-like signal at 48 kHz: two tones with changing loudness.
    fn voice(samples: usize, pitch: f32) -> Vec<f32> {
        let tone =
            |at: usize, pitch: f32| (at as f32 * pitch * std::f32::consts::TAU / 48_000.0).sin();
        let loud = |at: usize| (at as f32 / 4_000.0).sin().abs();
        (0..samples)
            .map(|at| (tone(at, pitch) + 0.5 * tone(at, pitch * 4.3)) * loud(at) * 0.2)
            .collect()
    }

    fn level(samples: &[f32]) -> f32 {
        (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).sqrt()
    }

    /// The mix of channels derived from one voice by `of`, processed in pieces, and that voice.
    fn mixed(
        channels: usize,
        piece: usize,
        of: impl Fn(usize, usize, f32) -> f32,
    ) -> (Vec<f32>, Vec<f32>) {
        let voice = voice(48_000, 180.0);
        let frame = |(at, sample): (usize, &f32)| -> Vec<f32> {
            (0..channels)
                .map(|channel| of(at, channel, *sample))
                .collect()
        };
        let interleaved: Vec<f32> = voice.iter().enumerate().flat_map(frame).collect();
        let mix = match channels {
            2 => DownmixWeights::equal(2),
            channels => DownmixWeights::for_vorbis_order(channels),
        };
        let (mut mixer, mut mono) = (Downmixer::new(mix), Vec::new());
        for part in interleaved.chunks(piece * channels) {
            mixer.mix(part, &mut mono);
        }
        assert_eq!(mono.len(), voice.len());
        (mono, voice)
    }

    #[test]
    fn nothing_cancels() {
        type ChannelSignal = fn(usize, usize, f32) -> f32;
        let cases: [(&str, usize, ChannelSignal); 9] = [
            (
                "inverted",
                2,
                |_, channel, it| if channel == 0 { it } else { -it },
            ),
            ("inverted and softer", 2, |_, channel, it| {
                if channel == 0 { it } else { -0.6 * it }
            }),
            ("very soft", 2, |_, channel, it| {
                0.003 * if channel == 0 { it } else { -it }
            }),
            ("inverted for a while", 2, |at, channel, it| {
                if channel == 1 && (12_000..36_000).contains(&at) {
                    -it
                } else {
                    it
                }
            }),
            ("inverted later", 2, |at, channel, it| {
                if channel == 1 && at > 20_000 { -it } else { it }
            }),
            ("inverted in the middle of a hum", 2, |at, channel, it| {
                let hum = (at as f32 * 50.0 * std::f32::consts::TAU / 48_000.0).sin() * 0.05;
                hum + if channel == 0 { it } else { -it }
            }),
            (
                "one silent",
                2,
                |_, channel, it| if channel == 0 { it } else { 0.0 },
            ),
            ("5.1, sides inverted", 6, |_, channel, it| {
                [it, 0.0, -it, it, -it, 0.0][channel]
            }),
            ("5.1, front against the rest", 6, |_, channel, it| {
                [it, it, it, -it, -it, -it][channel]
            }),
        ];
        for (name, channels, of) in cases {
            let (mono, voice) = mixed(channels, 960, of);
            let scale = if name == "very soft" { 0.003 } else { 1.0 };
            for part in 0..8 {
                let part = part * 6_000..(part + 1) * 6_000;
                let ratio = level(&mono[part.clone()]) / level(&voice[part.clone()]) / scale;
                assert!(ratio > 0.1, "{name}, {part:?}: {ratio}");
            }
        }
    }

    #[test]
    fn what_does_not_cancel_is_summed() {
        let other = voice(48_000, 310.0);
        type ChannelSignalFn<'a> = &'a dyn Fn(usize, usize, f32) -> f32;
        let cases: [(&str, ChannelSignalFn<'_>); 3] = [
            ("equal", &|_, _, it| it),
            ("one side", &|_, channel, it| {
                if channel == 0 { it } else { 0.0 }
            }),
            ("two voices", &|at, channel, it| {
                if channel == 0 { it } else { other[at] }
            }),
        ];
        for (name, of) in cases {
            let (mono, voice) = mixed(2, 1_000, of);
            for (at, (mixed, it)) in mono.iter().zip(&voice).enumerate() {
                let sum = (of(at, 0, *it) + of(at, 1, *it)) / 2.0;
                assert!((mixed - sum).abs() < 1e-6, "{name} at {at}");
            }
        }
    }

    #[test]
    fn nan_samples_do_not_spread() {
        let mut mixer = Downmixer::new(DownmixWeights::equal(2));
        let mut mono = Vec::new();
        mixer.mix(&[0.1, -0.1].repeat(HOP_FRAMES), &mut mono);
        mixer.mix(&[f32::NAN, f32::INFINITY, 1e30, -1e30], &mut mono);
        mono.clear();
        mixer.mix(&[0.1, -0.1].repeat(HOP_FRAMES), &mut mono);
        assert!(mono.iter().all(|sample| sample.is_finite()));
    }
}
