//! Every codec but Opus: decoded by symphonia, mixed down, resampled.

use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::packet::Packet;
use symphonia::core::units::Duration;

use super::AudioError;
use super::downmix::{Downmix, MAX_CHANNELS};
use super::resample::Resampler;

/// One stream, packet after packet. Rate and channels may change on the way.
pub(super) struct CodecStream {
    decoder: Box<dyn AudioDecoder>,
    format: Option<Format>,
    interleaved: Vec<f32>,
    mono: Vec<f32>,
    trim: Trim,
}

/// What of the decoded frames is not part of the recording.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trim {
    /// Frames still to be dropped at the start, where the container tells the encoder's delay
    /// for the whole track and not by packet.
    pub(super) skip: u64,
    /// The most frames that packets may still drop at the end, where the container counts frames
    /// wrongly: of MPEG audio the length is guessed, and whatever lies behind it is dropped.
    pub(super) padding: u64,
}

struct Format {
    spec: symphonia::core::audio::AudioSpec,
    mix: Downmix,
    resampler: Resampler,
}

impl CodecStream {
    /// None if symphonia has no decoder for the codec.
    pub(super) fn new(parameters: &AudioCodecParameters, trim: Trim) -> Option<Self> {
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(parameters, &AudioDecoderOptions::default())
            .ok()?;
        Some(Self {
            decoder,
            format: None,
            interleaved: Vec::new(),
            mono: Vec::new(),
            trim,
        })
    }

    /// Decodes a packet and appends what it holds to `output`. A packet that can't be decoded
    /// adds nothing. Returns its frames and their rate, if there are any.
    pub(super) fn push(
        &mut self,
        mut packet: Packet,
        output: &mut Vec<f32>,
    ) -> Result<Option<(u64, u32)>, AudioError> {
        let padding = packet.trim_end.get().min(self.trim.padding);
        self.trim.padding -= padding;
        let kept = packet.trim_end.get() - padding;
        packet.trim_end = Duration::new(padding);
        packet.dur = packet.dur.saturating_add(Duration::new(kept));
        let decoded = match self.decoder.decode(&packet) {
            Ok(decoded) => decoded,
            Err(Error::DecodeError(_) | Error::IoError(_)) => return Ok(None),
            Err(Error::ResetRequired) => {
                self.decoder.reset();
                return Ok(None);
            }
            Err(error) => {
                return Err(AudioError::Damaged {
                    reason: error.to_string(),
                });
            }
        };
        let frames = decoded.frames();
        if frames == 0 {
            return Ok(None);
        }
        let spec = decoded.spec();
        let channels = spec.channels().count();
        if channels == 0 || channels > MAX_CHANNELS {
            return Err(AudioError::Damaged {
                reason: format!("{channels} channels"),
            });
        }
        decoded.copy_to_vec_interleaved(&mut self.interleaved);
        if self
            .format
            .as_ref()
            .is_none_or(|format| format.spec != *spec)
        {
            let spec = spec.clone();
            if let Some(old) = &mut self.format {
                old.resampler.finish(output)?;
            }
            self.format = Some(Format {
                mix: Downmix::for_channels(spec.channels()),
                resampler: Resampler::new(spec.rate())?,
                spec,
            });
        }
        let Some(format) = &mut self.format else {
            return Ok(None);
        };
        let valid = valid_frames(&packet, frames);
        let skipped = self.trim.skip.min((valid.end - valid.start) as u64);
        self.trim.skip -= skipped;
        let start = (valid.start + skipped as usize) * channels;
        self.mono.clear();
        format.mix.mix(
            &self.interleaved[start..valid.end * channels],
            &mut self.mono,
        );
        // A decoder may hand out values that are no numbers, of a float WAV say.
        for sample in &mut self.mono {
            if !sample.is_finite() {
                *sample = 0.0;
            }
        }
        format.resampler.push(&self.mono, output)?;
        Ok(Some((frames as u64, format.spec.rate())))
    }

    /// Appends `seconds` of silence to `output`.
    pub(super) fn silence(
        &mut self,
        seconds: f64,
        output: &mut Vec<f32>,
    ) -> Result<(), AudioError> {
        if let Some(format) = &mut self.format {
            let frames = (seconds * f64::from(format.spec.rate())) as usize;
            self.mono.clear();
            self.mono.resize(frames, 0.0);
            format.resampler.push(&self.mono, output)?;
        }
        Ok(())
    }

    /// Appends what the resampler still holds.
    pub(super) fn finish(&mut self, output: &mut Vec<f32>) -> Result<(), AudioError> {
        match &mut self.format {
            Some(format) => format.resampler.finish(output),
            None => Ok(()),
        }
    }
}

/// The frames of a decoded packet that are neither encoder delay nor padding. Some decoders have
/// cut them away already; then the packet has just its valid frames.
fn valid_frames(packet: &Packet, frames: usize) -> std::ops::Range<usize> {
    if packet.block_dur().get() != frames as u64 {
        return 0..frames;
    }
    let start = usize::try_from(packet.trim_start.get())
        .unwrap_or(frames)
        .min(frames);
    let end = usize::try_from(packet.trim_end.get()).unwrap_or(frames);
    start..frames.saturating_sub(end).max(start)
}
