//! The internal sample format: mono, 16 kHz, f32 within -1.0..=1.0.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

/// Sample rate of all decoded audio, in Hz.
pub const SAMPLE_RATE: u32 = 16_000;

/// Decoded speech: mono f32 samples at [`SAMPLE_RATE`]. Cloning shares the samples.
#[derive(Clone)]
pub struct Pcm(Arc<[f32]>);

impl Pcm {
    /// The samples, one channel, nominally within -1.0..=1.0.
    pub fn samples(&self) -> &[f32] {
        &self.0
    }

    /// Playing time of the samples.
    pub fn duration(&self) -> Duration {
        samples_to_duration(self.0.len() as u64)
    }

    /// The samples as 16-bit integers; values outside -1.0..=1.0 are clipped.
    pub fn to_s16(&self) -> Vec<i16> {
        self.0.iter().copied().map(to_s16).collect()
    }

    /// The samples as a WAV file: mono, 16-bit, 16 kHz.
    pub fn to_wav(&self) -> Bytes {
        let mut file = wav_header(self.0.len());
        file.reserve(self.0.len() * 2);
        for sample in self.0.iter().copied().map(to_s16) {
            file.extend_from_slice(&sample.to_le_bytes());
        }
        file.into()
    }
}

impl From<Vec<f32>> for Pcm {
    fn from(samples: Vec<f32>) -> Self {
        Self(samples.into())
    }
}

impl std::fmt::Debug for Pcm {
    /// Prints only the length: speech must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pcm({} samples)", self.0.len())
    }
}

/// Playing time of `samples` samples at [`SAMPLE_RATE`].
pub fn samples_to_duration(samples: u64) -> Duration {
    Duration::from_nanos(samples.saturating_mul(1_000_000_000 / u64::from(SAMPLE_RATE)))
}

/// The number of samples at [`SAMPLE_RATE`] in `duration`, rounded down.
pub fn duration_to_samples(duration: Duration) -> u64 {
    let samples = duration.as_nanos() * u128::from(SAMPLE_RATE) / 1_000_000_000;
    u64::try_from(samples).unwrap_or(u64::MAX)
}

/// One sample as a 16-bit integer; values outside -1.0..=1.0 are clipped, NaN becomes 0.
pub fn to_s16(sample: f32) -> i16 {
    // `as` saturates and maps NaN to 0.
    (sample * 32_768.0).round() as i16
}

/// The header of a WAV file with `samples` samples: mono, 16-bit, 16 kHz.
pub(super) fn wav_header(samples: usize) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let data_bytes = u32::try_from(samples.saturating_mul(2)).unwrap_or(u32::MAX);
    let mut header = spec.into_header_for_infinite_file();
    // hound fills both length fields with "unknown"; here the length is known.
    let riff_bytes = data_bytes.saturating_add(header.len() as u32 - 8);
    header[4..8].copy_from_slice(&riff_bytes.to_le_bytes());
    let end = header.len();
    header[end - 4..].copy_from_slice(&data_bytes.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wav_file_reads_back_as_the_same_samples() {
        let pcm = Pcm::from(vec![0.0, 0.5, -0.5, 1.0, -1.0, 2.0, f32::NAN]);
        let wav = pcm.to_wav();
        let mut reader = hound::WavReader::new(wav.as_ref()).expect("a WAV header");
        assert_eq!(reader.spec().sample_rate, SAMPLE_RATE);
        assert_eq!(reader.spec().channels, 1);
        let samples: Vec<i16> = reader
            .samples::<i16>()
            .collect::<Result<_, _>>()
            .expect("whole samples");
        assert_eq!(samples, [0, 16_384, -16_384, 32_767, -32_768, 32_767, 0]);
    }

    #[test]
    fn durations_and_sample_counts_agree() {
        assert_eq!(samples_to_duration(16_000), Duration::from_secs(1));
        assert_eq!(duration_to_samples(Duration::from_millis(80)), 1_280);
        assert_eq!(duration_to_samples(Duration::MAX), u64::MAX);
    }
}
