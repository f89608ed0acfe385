//! Decodes Opus packets to mono samples at 16 kHz. libopus decodes at that rate directly, without a
//! detour over 48 kHz.

use opus2::{Channels, Decoder, MSDecoder};

use super::downmix::{DownmixWeights, Downmixer};
use crate::{AudioError, SAMPLE_RATE};

/// Clock rate of Opus in Hz, whatever the original sample rate (RFC 7845, 4).
pub(crate) const OPUS_RATE: u32 = 48_000;

/// Opus ticks (48 kHz) per sample at [`SAMPLE_RATE`].
const OPUS_TICKS_PER_SAMPLE: u64 = (OPUS_RATE / SAMPLE_RATE) as u64;

/// Maximum length of a packet, 120 ms (RFC 6716, 3.2.5), in samples at [`SAMPLE_RATE`].
pub(crate) const MAX_PACKET_SAMPLES: usize = SAMPLE_RATE as usize * 120 / 1_000;

/// The identification header (RFC 7845, 5.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct OpusHead {
    channels: u8,
    /// Samples at 48 kHz to drop at the start.
    pre_skip: u16,
    /// Output gain in dB, as Q7.8.
    gain: i16,
    mapping: ChannelMapping,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum ChannelMapping {
    /// One mono or stereo stream.
    Single,
    /// Several streams; `family` defines the meaning of the channels.
    Multi {
        family: u8,
        streams: u8,
        coupled: u8,
        table: Vec<u8>,
    },
}

impl OpusHead {
    /// Parses `OpusHead` of Ogg, WebM or CAF (version 1, little-endian), or `dOps` of MP4 with the
    /// same magic put in front (version 0, big-endian).
    pub(crate) fn parse(data: &[u8]) -> Option<Self> {
        let data = data.strip_prefix(b"OpusHead")?;
        let (&version, &channels) = (data.first()?, data.get(1)?);
        let two = |at: usize| Some([*data.get(at)?, *data.get(at + 1)?]);
        let (pre_skip, gain) = if version == 0 {
            (u16::from_be_bytes(two(2)?), i16::from_be_bytes(two(8)?))
        } else {
            (u16::from_le_bytes(two(2)?), i16::from_le_bytes(two(8)?))
        };
        let family = *data.get(10)?;
        let mapping = if family == 0 {
            if !(1..=2).contains(&channels) {
                return None;
            }
            ChannelMapping::Single
        } else {
            let table = data.get(13..13 + usize::from(channels))?.to_vec();
            ChannelMapping::Multi {
                family,
                streams: *data.get(11)?,
                coupled: *data.get(12)?,
                table,
            }
        };
        (channels > 0).then_some(Self {
            channels,
            pre_skip,
            gain,
            mapping,
        })
    }

    /// Parameters for a stream without a header.
    pub(crate) fn default_head() -> Self {
        Self {
            channels: 2,
            pre_skip: 0,
            gain: 0,
            mapping: ChannelMapping::Single,
        }
    }

    pub(crate) fn channel_count(&self) -> usize {
        usize::from(self.channels)
    }
}

enum OpusDecoder {
    Mono(Decoder),
    /// The downmix of libopus lets channels cancel. Where they do, both are decoded and mixed here.
    Stereo {
        mono: Decoder,
        stereo: Decoder,
        mixer: Downmixer,
    },
    Multi(MSDecoder, Downmixer),
}

/// One Opus stream, decoded packet by packet.
///
/// The output length is exact: of `n` valid samples at 48 kHz those at 0, 3, 6, ... remain, which
/// is `n / 3` rounded up.
pub(crate) struct OpusStream {
    decoder: OpusDecoder,
    /// Samples at [`SAMPLE_RATE`] still to be dropped at the start.
    samples_to_skip: usize,
    /// Samples at 48 kHz decoded so far, including skipped ones.
    decoded: u64,
    pre_skip: u64,
    /// Valid samples at [`SAMPLE_RATE`] so far.
    samples_emitted: u64,
    /// The end of the last packet, which is padding unless another packet follows.
    held_back: Vec<f32>,
    scratch: Vec<f32>,
    last_packet: usize,
}

impl OpusStream {
    pub(crate) fn new(head: &OpusHead) -> Result<Self, AudioError> {
        let mut decoder = match &head.mapping {
            ChannelMapping::Single if head.channels == 1 => OpusDecoder::Mono(
                Decoder::new(SAMPLE_RATE, Channels::Mono).map_err(|error| damaged_opus(&error))?,
            ),
            ChannelMapping::Single => {
                let decoder = |channels| {
                    Decoder::new(SAMPLE_RATE, channels).map_err(|error| damaged_opus(&error))
                };
                let mut stereo = decoder(Channels::Stereo)?;
                // libopus inverts the phase of some bands of coded stereo to make it sound wider.
                let flat = stereo.set_phase_inversion_disabled(true);
                flat.map_err(|error| damaged_opus(&error))?;
                OpusDecoder::Stereo {
                    mono: decoder(Channels::Mono)?,
                    stereo,
                    mixer: Downmixer::new(DownmixWeights::equal(2)),
                }
            }
            ChannelMapping::Multi {
                family,
                streams,
                coupled,
                table,
            } => {
                let decoder = MSDecoder::new(SAMPLE_RATE, *streams, *coupled, table)
                    .map_err(|error| damaged_opus(&error))?;
                let mix = match family {
                    1 => DownmixWeights::for_vorbis_order(table.len()),
                    _ => DownmixWeights::equal(table.len()),
                };
                OpusDecoder::Multi(decoder, Downmixer::new(mix))
            }
        };
        let gain = i32::from(head.gain);
        match &mut decoder {
            OpusDecoder::Mono(decoder) => decoder.set_gain(gain),
            OpusDecoder::Stereo { mono, stereo, .. } => {
                mono.set_gain(gain).and_then(|()| stereo.set_gain(gain))
            }
            OpusDecoder::Multi(decoder, _) => decoder.set_gain(gain),
        }
        .map_err(|error| damaged_opus(&error))?;
        let pre_skip = u64::from(head.pre_skip);
        Ok(Self {
            decoder,
            samples_to_skip: usize::from(head.pre_skip).div_ceil(OPUS_TICKS_PER_SAMPLE as usize),
            decoded: 0,
            pre_skip,
            samples_emitted: 0,
            held_back: Vec::new(),
            scratch: Vec::new(),
            last_packet: MAX_PACKET_SAMPLES / 6,
        })
    }

    /// Decodes a packet and appends its valid samples to `output`. Its last `trim_end` samples at
    /// 48 kHz are padding if no packet follows. A packet that can't be decoded is concealed.
    /// Returns the duration of the packet in samples at 48 kHz.
    pub(crate) fn push(&mut self, packet: &[u8], trim_end: u64, output: &mut Vec<f32>) -> u64 {
        self.release_held(output);
        let mut mono = std::mem::take(&mut self.scratch);
        mono.clear();
        if self.decode(packet, &mut mono).is_err() {
            mono.clear();
            let _ = self.conceal(&mut mono);
        }
        let samples = mono.len();
        let length = samples as u64 * OPUS_TICKS_PER_SAMPLE;
        self.last_packet = samples.max(1);
        self.decoded += length;

        let skipped = self.samples_to_skip.min(samples);
        self.samples_to_skip -= skipped;
        let valid = &mono[skipped..];
        // The samples that remain if this is the last packet.
        let due = self
            .decoded
            .saturating_sub(trim_end)
            .saturating_sub(self.pre_skip)
            .div_ceil(OPUS_TICKS_PER_SAMPLE);
        let keep = usize::try_from(due.saturating_sub(self.samples_emitted)).unwrap_or(usize::MAX);
        let (kept, padding) = valid.split_at(keep.min(valid.len()));
        output.extend_from_slice(kept);
        self.samples_emitted += kept.len() as u64;
        if trim_end > 0 {
            self.held_back.extend_from_slice(padding);
        } else {
            output.extend_from_slice(padding);
            self.samples_emitted += padding.len() as u64;
        }
        self.scratch = mono;
        length
    }

    /// Another packet follows, so what was held back is not padding.
    fn release_held(&mut self, output: &mut Vec<f32>) {
        self.samples_emitted += self.held_back.len() as u64;
        output.append(&mut self.held_back);
    }

    fn decode(&mut self, packet: &[u8], mono: &mut Vec<f32>) -> opus2::Result<()> {
        if packet.is_empty() {
            return self.conceal(mono);
        }
        self.decode_or_conceal(packet, MAX_PACKET_SAMPLES, mono)
    }

    /// Conceals a lost packet of the same length as the last one.
    fn conceal(&mut self, mono: &mut Vec<f32>) -> opus2::Result<()> {
        self.decode_or_conceal(&[], self.last_packet, mono)
    }

    fn decode_or_conceal(
        &mut self,
        packet: &[u8],
        max_samples: usize,
        mono: &mut Vec<f32>,
    ) -> opus2::Result<()> {
        match &mut self.decoder {
            OpusDecoder::Mono(decoder) => {
                mono.resize(max_samples, 0.0);
                let samples = decoder.decode_float(packet, mono, false)?;
                mono.truncate(samples);
            }
            OpusDecoder::Stereo {
                mono: decoder,
                stereo,
                mixer,
            } => {
                let one_channel = !packet.is_empty()
                    && matches!(opus2::packet::get_nb_channels(packet), Ok(Channels::Mono));
                if !mixer.is_phase_shifting() {
                    mono.resize(max_samples, 0.0);
                    let samples = decoder.decode_float(packet, mono, false)?;
                    mono.truncate(samples);
                    // A packet coded in mono has no channels that could cancel.
                    if one_channel {
                        return Ok(());
                    }
                }
                let mut frames = [0.0; MAX_PACKET_SAMPLES * 2];
                let frames = frames.get_mut(..max_samples * 2).unwrap_or_default();
                let samples = stereo.decode_float(packet, frames, false)?;
                mono.resize(samples, 0.0);
                mixer.replace_cancelled(&frames[..samples * 2], mono);
            }
            OpusDecoder::Multi(decoder, mix) => {
                let mut frames = vec![0.0; max_samples * mix.channels()];
                let samples = decoder.decode_float(packet, &mut frames, false)?;
                mix.mix(&frames[..samples * mix.channels()], mono);
            }
        }
        Ok(())
    }
}

pub(crate) fn damaged_opus(error: &opus2::Error) -> AudioError {
    AudioError::Damaged {
        reason: format!("opus: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_both_header_versions() {
        let ogg = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x01\x00";
        let head = OpusHead::parse(ogg).expect("a header");
        assert_eq!((head.channels, head.pre_skip, head.gain), (2, 312, 256));
        let mp4 = b"OpusHead\x00\x01\x01\x38\x00\x00\xbb\x80\x01\x00\x00";
        let head = OpusHead::parse(mp4).expect("a header");
        assert_eq!((head.channels, head.pre_skip, head.gain), (1, 312, 256));
        for short in 0..ogg.len() {
            assert_eq!(OpusHead::parse(&ogg[..short]), None);
        }
        assert_eq!(OpusHead::parse(b"OpusHead\x01\x03\0\0\0\0\0\0\0\0\0"), None);
    }
}
