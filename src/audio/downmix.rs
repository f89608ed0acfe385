//! Many channels become one.

use symphonia::core::audio::{Channels, Position};

/// The most channels a stream may have: those of 255 in an Opus stream are never used.
pub(super) const MAX_CHANNELS: usize = 64;

/// Mixes interleaved frames down to one channel. The weights sum to one, so nothing clips that
/// did not clip before.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Downmix(Vec<f32>);

impl Downmix {
    /// The weights that ITU-R BS.775 gives speakers in a mix to stereo: front full, centre
    /// stronger, surround weaker, no subwoofer. Channels without a place count alike.
    pub(super) fn for_channels(channels: &Channels) -> Self {
        let weights: Vec<f32> = match channels {
            Channels::Positioned(positions) => positions.iter().map(weight).collect(),
            other => vec![1.0; other.count()],
        };
        Self::normalized(weights)
    }

    /// All channels alike.
    pub(super) fn equal(channels: usize) -> Self {
        Self::normalized(vec![1.0; channels])
    }

    /// The channels of an Opus stream with mapping family 1, in Vorbis order (RFC 7845, 5.1.1.2).
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
        // A stream of nothing but a subwoofer is heard all the same.
        if sum <= 0.0 {
            return Self::equal(weights.len().max(1));
        }
        for weight in &mut weights {
            *weight /= sum;
        }
        Self(weights)
    }

    /// How many channels it takes.
    pub(super) fn channels(&self) -> usize {
        self.0.len()
    }

    /// Appends the mix of whole interleaved frames to `mono`.
    pub(super) fn mix(&self, interleaved: &[f32], mono: &mut Vec<f32>) {
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

fn weight(position: Position) -> f32 {
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
        let stereo = Downmix::for_channels(&Channels::Positioned(
            Position::FRONT_LEFT | Position::FRONT_RIGHT,
        ));
        let mut mono = Vec::new();
        stereo.mix(&[1.0, 0.0, 0.5, 0.5, -1.0, 1.0], &mut mono);
        assert_eq!(mono, [0.5, 0.5, 0.0]);
    }

    #[test]
    fn every_weighting_sums_to_one_and_leaves_the_subwoofer_out() {
        for channels in 1..=8 {
            let mix = Downmix::for_vorbis_order(channels);
            assert_eq!(mix.channels(), channels);
            assert!((mix.0.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
        assert_eq!(Downmix::for_vorbis_order(6).0[5], 0.0);
        let surround = Downmix::for_channels(&Channels::Positioned(
            Position::FRONT_LEFT | Position::FRONT_CENTER | Position::LFE1,
        ));
        assert_eq!(surround.0[2], 0.0);
        let bass_only = Downmix::for_channels(&Channels::Positioned(Position::LFE1));
        assert_eq!(bass_only.0, [1.0]);
    }
}
