//! Decodes every codec except Opus: symphonia's decoder, downmix, resampler.

use symphonia::core::codecs::audio::well_known::{CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3};
use symphonia::core::codecs::audio::{
    AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions,
};
use symphonia::core::errors::Error;
use symphonia::core::packet::Packet;
use symphonia::core::units::Duration;

use super::downmix::{DownmixWeights, Downmixer, MAX_CHANNELS};
use super::resampler::Resampler;
use crate::{AudioError, SAMPLE_RATE, codecs};

/// One stream, decoded packet by packet. Sample rate and channels may change in between.
pub(crate) struct CodecStream {
    decoder: Box<dyn AudioDecoder>,
    parameters: Box<AudioCodecParameters>,
    /// Header of the last MPEG audio frame.
    mpeg: Option<MpegHeader>,
    format: Option<StreamFormat>,
    interleaved: Vec<f32>,
    mono: Vec<f32>,
    trim: Trim,
}

/// Decoded frames that are not part of the recording.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trim {
    /// Frames still to be dropped at the start, where the container declares the encoder delay for
    /// the whole track instead of per packet.
    pub(crate) skip: u64,
    /// Frames of silence to insert before the first decoded frame, if that is too early.
    pub(crate) lead_silence: u64,
    /// Frames that packets may still trim at the end. Limited for MPEG audio, whose length is a
    /// guess: without the limit, all frames after the guessed end would be dropped.
    pub(crate) padding: u64,
}

struct StreamFormat {
    spec: symphonia::core::audio::AudioSpec,
    mixer: Downmixer,
    resampler: Resampler,
}

impl CodecStream {
    /// `None` if there is no decoder for the codec.
    pub(crate) fn new(parameters: &AudioCodecParameters, trim: Trim) -> Option<Self> {
        Some(Self {
            decoder: make_decoder(parameters)?,
            parameters: Box::new(parameters.clone()),
            mpeg: None,
            format: None,
            interleaved: Vec::new(),
            mono: Vec::new(),
            trim,
        })
    }

    /// Decodes a packet and appends its samples to `output`. A packet that can't be decoded adds
    /// nothing. Returns the number of decoded frames and their rate, if there are any.
    pub(crate) fn push(
        &mut self,
        mut packet: Packet,
        output: &mut Vec<f32>,
    ) -> Result<Option<(u64, u32)>, AudioError> {
        let padding = packet.trim_end.get().min(self.trim.padding);
        self.trim.padding -= padding;
        let kept = packet.trim_end.get() - padding;
        packet.trim_end = Duration::new(padding);
        packet.dur = packet.dur.saturating_add(Duration::new(kept));
        self.follow_mpeg_header(&packet);
        let decoded = match self.decoder.decode(&packet) {
            Ok(decoded) => decoded,
            Err(Error::DecodeError(_) | Error::IoError(_)) => return Ok(None),
            Err(Error::ResetRequired) => {
                self.decoder.reset();
                return Ok(None);
            }
            Err(Error::Unsupported(_)) if self.format.is_none() => {
                return Err(AudioError::UnsupportedCodec {
                    codec: codecs::track_codec_name(&self.parameters),
                });
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
            self.format = Some(StreamFormat {
                mixer: Downmixer::new(DownmixWeights::for_channels(spec.channels())),
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
        let lead = std::mem::take(&mut self.trim.lead_silence);
        self.mono.resize(lead as usize, 0.0);
        format.mixer.mix(
            &self.interleaved[start..valid.end * channels],
            &mut self.mono,
        );
        // Some decoders return NaN or infinities, for example from a float WAV.
        for sample in &mut self.mono {
            if !sample.is_finite() {
                *sample = 0.0;
            }
        }
        format.resampler.push(&self.mono, output)?;
        Ok(Some((frames as u64, format.spec.rate())))
    }

    /// Replaces the decoder when MPEG audio changes its rate or channels, as concatenated files do.
    /// symphonia's decoder keeps those of the first frame.
    fn follow_mpeg_header(&mut self, packet: &Packet) {
        if !MPEG_LAYERS.contains(&self.parameters.codec) {
            return;
        }
        let Some(header) = MpegHeader::parse(&packet.data) else {
            return;
        };
        // Containers don't always declare the layer.
        let layer = MPEG_LAYERS[header.layer()];
        let continues = self.mpeg.is_none_or(|before| before == header);
        if !continues || self.parameters.codec != layer {
            self.parameters.codec = layer;
            if let Some(decoder) = make_decoder(&self.parameters) {
                self.decoder = decoder;
            }
        }
        self.mpeg = Some(header);
    }

    /// Appends `seconds` of silence to `output`.
    pub(crate) fn push_silence(
        &mut self,
        seconds: f64,
        output: &mut Vec<f32>,
    ) -> Result<(), AudioError> {
        let Some(format) = &mut self.format else {
            let samples = (seconds * f64::from(SAMPLE_RATE)) as usize;
            output.resize(output.len() + samples, 0.0);
            return Ok(());
        };
        let frames = (seconds * f64::from(format.spec.rate())) as usize;
        self.mono.clear();
        self.mono.resize(frames, 0.0);
        format.resampler.push(&self.mono, output)
    }

    /// Appends the remaining output of the resampler.
    pub(crate) fn finish(&mut self, output: &mut Vec<f32>) -> Result<(), AudioError> {
        match &mut self.format {
            Some(format) => format.resampler.finish(output),
            None => Ok(()),
        }
    }
}

fn make_decoder(parameters: &AudioCodecParameters) -> Option<Box<dyn AudioDecoder>> {
    codecs::codec_registry()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .ok()
}

const MPEG_LAYERS: [AudioCodecId; 3] = [CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3];

/// The parts of an MPEG frame header (ISO/IEC 11172-3, 2.4.1.3) that stay the same throughout a
/// stream: version, layer, rate, and whether it is mono.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct MpegHeader {
    version_and_layer: u8,
    rate: u8,
    mono: bool,
}

impl MpegHeader {
    fn parse(frame: &[u8]) -> Option<Self> {
        match frame {
            [0xFF, second, third, fourth, ..] => Some(Self {
                version_and_layer: second & 0b0001_1110,
                rate: third & 0b0000_1100,
                mono: fourth >> 6 == 3,
            }),
            _ => None,
        }
    }

    /// Zero-based layer; the header counts down from 3.
    fn layer(self) -> usize {
        usize::from((3 - (self.version_and_layer >> 1 & 3)).min(2))
    }
}

/// The frames of a decoded packet without encoder delay and padding. Some decoders have already
/// removed those; then all frames are valid.
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
