//! Resampling from any sample rate to 16 kHz.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, Fft, FixedAsync, FixedSync, Indexing, SincInterpolationParameters, WindowFunction,
};

use crate::{AudioError, SAMPLE_RATE};

/// Plausible sample rates in Hz; anything else comes from a damaged header.
const SUPPORTED_RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;

/// Approximate number of frames resampled per call.
const CHUNK_FRAMES: usize = 1_024;

/// Maximum transform length of the synchronous resampler. Rates that need a longer one, such as the
/// prime 44,101, are resampled by interpolation instead.
const MAX_FFT_LEN: u32 = 8_192;

/// Resamples a mono stream to [`SAMPLE_RATE`] without drift: `n` samples at `rate` become `n *
/// 16000 / rate`, rounded up.
pub(crate) struct Resampler {
    engine: Option<RubatoResampler>,
    rate: u64,
    pending: Vec<f32>,
    scratch: Vec<f32>,
    consumed: u64,
    produced: u64,
    /// Output samples still to be dropped to compensate for the engine's delay.
    delay: usize,
}

type RubatoResampler = Box<dyn rubato::Resampler<f32>>;

impl Resampler {
    pub(crate) fn new(rate: u32) -> Result<Self, AudioError> {
        if !SUPPORTED_RATES.contains(&rate) {
            return Err(AudioError::Damaged {
                reason: format!("a sample rate of {rate} Hz"),
            });
        }
        let engine = if rate == SAMPLE_RATE {
            None
        } else {
            Some(make_resampler(rate)?)
        };
        Ok(Self {
            delay: engine.as_ref().map_or(0, |engine| engine.output_delay()),
            engine,
            rate: u64::from(rate),
            pending: Vec::new(),
            scratch: Vec::new(),
            consumed: 0,
            produced: 0,
        })
    }

    /// Resamples `samples` and appends the result to `output`. Some of it may be appended by a
    /// later call.
    pub(crate) fn push(
        &mut self,
        samples: &[f32],
        output: &mut Vec<f32>,
    ) -> Result<(), AudioError> {
        self.consumed += samples.len() as u64;
        if self.engine.is_none() {
            self.produced += samples.len() as u64;
            output.extend_from_slice(samples);
            return Ok(());
        }
        self.pending.extend_from_slice(samples);
        self.drain(output, false)
    }

    /// Appends the remaining output and resets the resampler for a new stream.
    pub(crate) fn finish(&mut self, output: &mut Vec<f32>) -> Result<(), AudioError> {
        if self.engine.is_some() {
            let expected_len = (self.consumed * u64::from(SAMPLE_RATE)).div_ceil(self.rate);
            while self.produced < expected_len {
                let missing = usize::try_from(expected_len - self.produced).unwrap_or(usize::MAX);
                let before = output.len();
                self.drain(output, true)?;
                let fresh = output.len() - before;
                if fresh > missing {
                    output.truncate(before + missing);
                    self.produced = expected_len;
                }
            }
        }
        if let Some(engine) = &mut self.engine {
            engine.reset();
            self.delay = engine.output_delay();
        }
        self.pending.clear();
        self.consumed = 0;
        self.produced = 0;
        Ok(())
    }

    /// Runs the engine while it has enough input; with `flush`, pads the last input with silence.
    fn drain(&mut self, output: &mut Vec<f32>, flush: bool) -> Result<(), AudioError> {
        let Some(engine) = &mut self.engine else {
            return Ok(());
        };
        let mut used = 0;
        let mut flush = flush;
        loop {
            let needed = engine.input_frames_next();
            let left = self.pending.len() - used;
            if left < needed && !flush {
                break;
            }
            let available = left.min(needed);
            let partial = (available < needed).then_some(available);
            if available < needed {
                flush = false;
            }
            self.scratch.clear();
            self.scratch
                .extend_from_slice(&self.pending[used..used + available]);
            self.scratch.resize(needed, 0.0);
            let frames_out = engine.output_frames_next();
            let start = output.len();
            output.resize(start + frames_out, 0.0);
            let input = InterleavedSlice::new(&self.scratch, 1, needed).map_err(resampler_error)?;
            let mut sink = InterleavedSlice::new_mut(&mut output[start..], 1, frames_out)
                .map_err(resampler_error)?;
            let mut indexing = Indexing::new();
            if let Some(partial) = partial {
                indexing = indexing.partial_len(partial);
            }
            let (_, written) = engine
                .process_into_buffer(&input, &mut sink, Some(&indexing))
                .map_err(resampler_error)?;
            output.truncate(start + written);
            used += available;
            let dropped = self.delay.min(written);
            output.drain(start..start + dropped);
            self.delay -= dropped;
            self.produced += (written - dropped) as u64;
            if available < needed {
                break;
            }
        }
        self.pending.drain(..used);
        Ok(())
    }
}

fn make_resampler(rate: u32) -> Result<RubatoResampler, AudioError> {
    let shared = gcd(rate, SAMPLE_RATE);
    if (rate / shared).max(SAMPLE_RATE / shared) <= MAX_FFT_LEN {
        // With an even transform length the delay is a whole number of samples.
        let base = (rate / shared) as usize;
        let chunk = base * CHUNK_FRAMES.div_ceil(base).next_multiple_of(2);
        let engine = Fft::<f32>::new_custom(
            rate as usize,
            SAMPLE_RATE as usize,
            chunk,
            1,
            1,
            WindowFunction::BlackmanHarris2,
            FixedSync::Both,
        )
        .map_err(resampler_error)?;
        return Ok(Box::new(engine));
    }
    let ratio = f64::from(SAMPLE_RATE) / f64::from(rate);
    let parameters = SincInterpolationParameters::new(128, WindowFunction::BlackmanHarris2);
    let engine =
        Async::<f32>::new_sinc(ratio, 1.0, &parameters, CHUNK_FRAMES, 1, FixedAsync::Input)
            .map_err(resampler_error)?;
    Ok(Box::new(engine))
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn resampler_error(error: impl std::fmt::Display) -> AudioError {
    AudioError::Damaged {
        reason: format!("resampling: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone of 440 Hz at a sample rate of `rate`.
    fn tone(rate: u32, samples: usize) -> Vec<f32> {
        (0..samples)
            .map(|n| (n as f32 * 440.0 * std::f32::consts::TAU / rate as f32).sin())
            .collect()
    }

    fn resampled(rate: u32, input: &[f32], block: usize) -> Vec<f32> {
        let mut resampler = Resampler::new(rate).expect("a rate");
        let mut output = Vec::new();
        for part in input.chunks(block) {
            resampler.push(part, &mut output).expect("resampled");
        }
        resampler.finish(&mut output).expect("finished");
        output
    }

    #[test]
    fn a_tone_stays_itself_and_keeps_its_length() {
        for rate in [
            8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 44_101, 48_000, 96_000,
        ] {
            for seconds in [0.013, 0.5, 1.0] {
                let samples = (f64::from(rate) * seconds) as usize;
                let output = resampled(rate, &tone(rate, samples), 777);
                let expected_len = (samples as u64 * 16_000).div_ceil(u64::from(rate)) as usize;
                assert_eq!(output.len(), expected_len, "{rate} Hz, {seconds} s");
                let expected = tone(16_000, expected_len);
                // Ignore the ringing at both ends.
                let inside = 400..expected_len.saturating_sub(400).max(400);
                // The interpolating engine reports its delay in whole samples only.
                let most = if rate == 44_101 { 0.175 } else { 0.01 };
                for n in inside {
                    let off = (output[n] - expected[n]).abs();
                    assert!(off < most, "{rate} Hz, sample {n}: {off}");
                }
            }
        }
    }

    #[test]
    fn block_size_makes_no_difference() {
        let input = tone(44_100, 30_000);
        assert_eq!(
            resampled(44_100, &input, 1),
            resampled(44_100, &input, 30_000)
        );
    }

    #[test]
    fn impossible_rates_are_refused() {
        assert!(Resampler::new(0).is_err());
        assert!(Resampler::new(u32::MAX).is_err());
    }
}
