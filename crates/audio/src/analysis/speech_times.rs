//! Which parts of a recording contain speech.

use std::time::Duration;

use crate::FRAME_SAMPLES;
use crate::pcm::{duration_to_samples, samples_to_duration};

/// Frames counted per bin: 256 ms. One hour takes 14 kB, the default maximum of four hours 56 kB.
const FRAMES_PER_BIN: u64 = 16;

/// Amount of speech in each bin of 256 ms.
#[derive(Clone, Default, PartialEq)]
pub struct SpeechTimes(Vec<u8>);

impl SpeechTimes {
    /// Marks `frames` frames from frame `first` on as speech.
    pub(crate) fn add(&mut self, first: u64, frames: u64) {
        for frame in first..first + frames {
            let place = usize::try_from(frame / FRAMES_PER_BIN).unwrap_or(usize::MAX);
            if self.0.len() <= place {
                self.0.resize(place + 1, 0);
            }
            if let Some(count) = self.0.get_mut(place) {
                *count += 1;
            }
        }
    }

    /// Whether no speech was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Builds the times from spans in milliseconds, each rounded down to frames of 16 ms.
    #[must_use]
    pub fn from_spans_ms(spans: &[(u64, u64)]) -> Self {
        let mut times = Self::default();
        for (from, to) in spans {
            times.add(from / 16, (to - from) / 16);
        }
        times
    }

    /// Total duration of speech.
    #[must_use]
    pub fn total_speech(&self) -> Duration {
        counts_to_duration(&self.0)
    }

    /// Duration of speech from `start` to `end`, both extended to whole bins.
    #[must_use]
    pub fn speech_between(&self, start: Duration, end: Duration) -> Duration {
        let length = FRAMES_PER_BIN * FRAME_SAMPLES as u64;
        let place = |samples: u64| usize::try_from(samples).unwrap_or(usize::MAX);
        let first = place(duration_to_samples(start) / length).min(self.0.len());
        let last = place(duration_to_samples(end).div_ceil(length)).min(self.0.len());
        counts_to_duration(self.0.get(first..last).unwrap_or_default())
    }
}

impl std::fmt::Debug for SpeechTimes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SpeechTimes({:?})", self.total_speech())
    }
}

fn counts_to_duration(counts: &[u8]) -> Duration {
    let frames: u64 = counts.iter().copied().map(u64::from).sum();
    samples_to_duration(frames * FRAME_SAMPLES as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_is_where_it_was_added() {
        let ms = Duration::from_millis;
        let mut times = SpeechTimes::default();
        times.add(10, 20);
        times.add(100, 7);
        assert_eq!(times.total_speech(), ms(27 * 16));
        assert_eq!(times.speech_between(ms(0), ms(100)), ms(6 * 16));
        assert_eq!(times.speech_between(ms(300), ms(1_500)), ms(14 * 16));
        assert_eq!(times.speech_between(ms(1_550), ms(99_000)), ms(7 * 16));
        assert_eq!(times.speech_between(ms(90_000), ms(99_000)), ms(0));
        assert_eq!(times.speech_between(ms(500), ms(100)), ms(0));
    }
}
