//! Downmixes of channels that cancel, and of channels that do not.

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
    let tone = |at: usize, pitch: f32| (at as f32 * pitch * std::f32::consts::TAU / 48_000.0).sin();
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
