//! Sounds that are no speech, and what happens to speech on its way: mono at 16 kHz, the same each
//! time.
#![allow(dead_code, reason = "a bench takes other sounds than the stories")]

use std::f32::consts::TAU;

const RATE: f32 = 16_000.0;

/// Numbers that look random.
pub(crate) struct NoiseSource(u64);

impl NoiseSource {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..16 {
            dice.next_uniform();
        }
        dice
    }

    /// From 0 to 1.
    pub(crate) fn next_uniform(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1_u64 << 24) as f32
    }

    /// From -6 to 6, mostly near 0: the normal distribution.
    fn next_normal(&mut self) -> f32 {
        (0..12).map(|_| self.next_uniform()).sum::<f32>() - 6.0
    }
}

/// The root mean square.
pub(crate) fn rms_level(samples: &[f32]) -> f32 {
    (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).sqrt()
}

/// A gain in dB as a factor.
pub(crate) fn to_decibels(gain: f32) -> f32 {
    10_f32.powf(gain / 20.0)
}

pub(crate) fn amplify(samples: &[f32], gain: f32) -> Vec<f32> {
    samples
        .iter()
        .map(|sample| sample * to_decibels(gain))
        .collect()
}

/// The samples with their root mean square at so many dB below full scale.
pub(crate) fn at_level(samples: &[f32], dbfs: f32) -> Vec<f32> {
    let factor = to_decibels(dbfs) / rms_level(samples);
    samples.iter().map(|sample| sample * factor).collect()
}

/// The samples as a file with 16 bits keeps them.
pub(crate) fn quantize_16_bit(samples: &[f32]) -> Vec<f32> {
    let kept = |sample: &f32| (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) / 32_768.0;
    samples.iter().map(kept).collect()
}

/// `noise`, again and again, so many dB softer than the samples, on top of them.
pub(crate) fn mix_noise(samples: &[f32], noise: &[f32], below: f32) -> Vec<f32> {
    let factor = rms_level(samples) / rms_level(noise) * to_decibels(-below);
    let noise = noise.iter().cycle().map(|noise| noise * factor);
    samples.iter().zip(noise).map(|(a, b)| a + b).collect()
}

pub(crate) fn white_noise(samples: usize, seed: u64) -> Vec<f32> {
    let mut dice = NoiseSource::new(seed);
    (0..samples).map(|_| dice.next_normal()).collect()
}

/// As loud in each octave: noise through poles an octave or two apart.
pub(crate) fn pink_noise(samples: usize, seed: u64) -> Vec<f32> {
    let poles = [0.998, 0.993, 0.97, 0.87, 0.55];
    let shares = [0.055, 0.075, 0.154, 0.31, 0.533];
    let mut states = [0.0; 5];
    let mut next = |white: f32| {
        for ((state, pole), share) in states.iter_mut().zip(poles).zip(shares) {
            *state = *state * pole + white * share;
        }
        states.iter().sum::<f32>() + white * 0.5
    };
    white_noise(samples, seed)
        .into_iter()
        .map(&mut next)
        .collect()
}

pub(crate) fn brown_noise(samples: usize, seed: u64) -> Vec<f32> {
    let mut state = 0.0;
    let mut next = |white: f32| {
        state = state * 0.998 + white * 0.02;
        state
    };
    white_noise(samples, seed)
        .into_iter()
        .map(&mut next)
        .collect()
}

fn generate(samples: usize, of: impl FnMut(f32) -> f32) -> Vec<f32> {
    (0..samples).map(|at| at as f32 / RATE).map(of).collect()
}

/// A tone with so many harmonics, each softer than the one before.
fn tone(time: f32, pitch: f32, harmonics: u8) -> f32 {
    let harmonics = 1..=harmonics;
    let harmonic = |number| (TAU * pitch * f32::from(number) * time).sin() / f32::from(number);
    harmonics.map(harmonic).sum()
}

pub(crate) fn hum(samples: usize, pitch: f32, harmonics: u8) -> Vec<f32> {
    generate(samples, |time| tone(time, pitch, harmonics))
}

/// Air and a motor, whose blades come and go.
pub(crate) fn fan_noise(samples: usize, seed: u64) -> Vec<f32> {
    let air = pink_noise(samples, seed);
    let low = brown_noise(samples, seed + 100);
    let mut air = air.iter().zip(low).map(|(air, low)| air + 3.0 * low);
    generate(samples, |time| {
        let blades = 1.0 + 0.15 * (TAU * 9.7 * time).sin();
        air.next().unwrap_or(0.0) * blades + 0.5 * tone(time, 118.0, 6)
    })
}

/// Up and down between two pitches, in `period` seconds.
pub(crate) fn siren(samples: usize, low: f32, high: f32, period: f32) -> Vec<f32> {
    let mut phase = 0.0;
    generate(samples, |time| {
        let up = 0.5 - 0.5 * (TAU * time / period).cos();
        phase += (low + (high - low) * up) / RATE;
        tone(phase, 1.0, 3)
    })
}

/// Two tones in turn, as European sirens.
pub(crate) fn two_tones(samples: usize) -> Vec<f32> {
    generate(samples, |time| {
        let high = (time / 0.6) as u32 % 2 == 1;
        tone(time, if high { 585.0 } else { 440.0 }, 3)
    })
}

/// A dog.
pub(crate) fn dog_barks(samples: usize, seed: u64) -> Vec<f32> {
    let mut dice = NoiseSource::new(seed);
    let mut sound = vec![0.0; samples];
    let mut at = 3_000;
    while at + 4_000 < samples {
        let pitch = 350.0 + 200.0 * dice.next_uniform();
        let length = 1_900 + (dice.next_uniform() * 1_200.0) as usize;
        let mut phase = 0.0;
        for (n, sample) in sound[at..at + length].iter_mut().enumerate() {
            let x = n as f32 / length as f32;
            phase += pitch * (1.0 + 0.5 * (x * 3.1).sin()) / RATE;
            let loud = (x * 20.0).min(1.0) * (1.0 - x).powf(1.5);
            *sample = loud * (tone(phase, 1.0, 11) + 0.4 * dice.next_normal());
        }
        at += length + 4_000 + (dice.next_uniform() * 8_000.0) as usize;
    }
    sound
}

/// Chords that fade, one after another.
pub(crate) fn chords(samples: usize) -> Vec<f32> {
    const CHORDS: [[f32; 3]; 4] = [
        [261.6, 329.6, 392.0],
        [220.0, 261.6, 329.6],
        [174.6, 220.0, 261.6],
        [196.0, 246.9, 293.7],
    ];
    generate(samples, |time| {
        let chord = CHORDS[(time / 0.8) as usize % 4];
        let x = time % 0.8 / 0.8;
        let loud = (x * 30.0).min(1.0) * (-2.0 * x).exp();
        chord.iter().map(|pitch| tone(time, *pitch, 5)).sum::<f32>() * loud
    })
}

pub(crate) fn beeps(samples: usize) -> Vec<f32> {
    generate(samples, |time| {
        if time % 1.0 < 0.2 {
            tone(time, 1_000.0, 1)
        } else {
            0.0
        }
    })
}

/// A keyboard.
pub(crate) fn clicks(samples: usize, seed: u64) -> Vec<f32> {
    let mut dice = NoiseSource::new(seed);
    let mut sound = vec![0.0; samples];
    let mut at = 1_000;
    while at + 300 < samples {
        for (n, sample) in sound[at..at + 300].iter_mut().enumerate() {
            *sample = dice.next_normal() * (-(n as f32) / 60.0).exp();
        }
        at += 1_500 + (dice.next_uniform() * 4_000.0) as usize;
    }
    sound
}

/// Bursts of a voice without words.
pub(crate) fn laughter(samples: usize, seed: u64) -> Vec<f32> {
    let mut dice = NoiseSource::new(seed);
    let mut sound = vec![0.0; samples];
    let mut at = 3_000;
    while at + 1_600 < samples {
        let pitch = 200.0 + 80.0 * dice.next_uniform();
        for (n, sample) in sound[at..at + 1_600].iter_mut().enumerate() {
            let (x, time) = (n as f32 / 1_600.0, n as f32 / RATE);
            let formant = |at: f32, near: f32, width: f32| (-((at - near) / width).powi(2)).exp();
            let harmonic = |number: u8| {
                let at = pitch * f32::from(number);
                let loud = formant(at, 700.0, 200.0) + 0.7 * formant(at, 1_200.0, 250.0);
                (TAU * at * time).sin() * (loud + 0.02)
            };
            let voice: f32 = (1..20).map(harmonic).sum();
            *sample = (x * std::f32::consts::PI).sin() * (voice + 0.15 * dice.next_normal());
        }
        at += 3_000;
    }
    sound
}

/// What a telephone lets through: 300 to 3,400 Hz, four poles at each end.
pub(crate) fn telephone_band(samples: &[f32]) -> Vec<f32> {
    let mut band = samples.to_vec();
    for _ in 0..2 {
        one_pole_filter(&mut band, 300.0, true);
        one_pole_filter(&mut band, 3_400.0, false);
    }
    band
}

/// A second-order Butterworth filter, by the bilinear transform.
fn one_pole_filter(samples: &mut [f32], corner: f32, high: bool) {
    let w = (TAU * corner / RATE / 2.0).tan();
    let norm = 1.0 / (1.0 + std::f32::consts::SQRT_2 * w + w * w);
    let (b0, b1) = if high {
        (norm, -2.0 * norm)
    } else {
        (w * w * norm, 2.0 * w * w * norm)
    };
    let a1 = 2.0 * (w * w - 1.0) * norm;
    let a2 = (1.0 - std::f32::consts::SQRT_2 * w + w * w) * norm;
    let (mut s1, mut s2) = (0.0, 0.0);
    for sample in samples {
        let taken = *sample;
        let given = b0 * taken + s1;
        s1 = b1 * taken - a1 * given + s2;
        s2 = b0 * taken - a2 * given;
        *sample = given;
    }
}

/// A room with a reverberation time of half a second: echoes that fade by 60 dB in it.
pub(crate) fn reverb(samples: &[f32], seed: u64) -> Vec<f32> {
    let mut dice = NoiseSource::new(seed);
    let mut heard = samples.to_vec();
    for _ in 0..600 {
        let delay = 80 + (dice.next_uniform() * 8_000.0) as usize;
        let sign = if dice.next_uniform() < 0.5 { -1.0 } else { 1.0 };
        let echo = sign * 0.12 * 10_f32.powf(-3.0 * delay as f32 / 8_000.0);
        for (late, sample) in heard.iter_mut().skip(delay).zip(samples) {
            *late += sample * echo;
        }
    }
    heard
}

/// Too loud for the microphone by 20 dB.
pub(crate) fn clip(samples: &[f32]) -> Vec<f32> {
    let peak = samples.iter().fold(0.0_f32, |peak, it| peak.max(it.abs()));
    let factor = 10.0 / peak;
    let clip = |sample: &f32| (sample * factor).clamp(-1.0, 1.0) * 0.9;
    samples.iter().map(clip).collect()
}
