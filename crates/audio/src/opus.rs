//! Opus packets become mono 16 kHz samples, by libopus itself: no detour over 48 kHz.

use opus2::{Channels, Decoder, MSDecoder};

use super::downmix::{Downmix, Mixer};
use super::{AudioError, SAMPLE_RATE};

/// Opus counts at 48 kHz whatever it was made from (RFC 7845, 4).
pub(super) const OPUS_RATE: u32 = 48_000;

/// 48 kHz samples to one of ours.
const RATIO: u64 = (OPUS_RATE / SAMPLE_RATE) as u64;

/// The longest packet is 120 ms (RFC 6716, 3.2.5), in samples of ours.
pub(super) const MAX_PACKET: usize = SAMPLE_RATE as usize * 120 / 1_000;

/// What the identification header says (RFC 7845, 5.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct OpusHead {
    channels: u8,
    /// 48 kHz samples to be dropped at the start.
    pre_skip: u16,
    /// Q7.8 dB.
    gain: i16,
    mapping: Mapping,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Mapping {
    /// Mono or stereo in one stream.
    Single,
    /// Several streams; `family` says what the channels mean.
    Multi {
        family: u8,
        streams: u8,
        coupled: u8,
        table: Vec<u8>,
    },
}

impl OpusHead {
    /// Reads `OpusHead` from Ogg, WebM or CAF (version 1, little-endian) or `dOps` from MP4
    /// behind the same magic (version 0, big-endian).
    pub(super) fn parse(data: &[u8]) -> Option<Self> {
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
            Mapping::Single
        } else {
            let table = data.get(13..13 + usize::from(channels))?.to_vec();
            Mapping::Multi {
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

    /// A stream whose header is not there.
    pub(super) fn missing() -> Self {
        Self {
            channels: 2,
            pre_skip: 0,
            gain: 0,
            mapping: Mapping::Single,
        }
    }

    pub(super) fn channels(&self) -> usize {
        usize::from(self.channels)
    }
}

enum Engine {
    Mono(Decoder),
    /// libopus mixes stereo down itself, and lets the two cancel each other: then both are decoded
    /// and mixed here.
    Stereo {
        mono: Decoder,
        both: Decoder,
        mixer: Mixer,
    },
    Multi(MSDecoder, Mixer),
}

/// One Opus stream, packet after packet.
///
/// The length is exact: of `n` valid samples at 48 kHz, those at 0, 3, 6, ... remain, `n / 3`
/// rounded up.
pub(super) struct OpusStream {
    engine: Engine,
    /// Samples of ours still to be dropped at the start.
    skip: usize,
    /// 48 kHz samples decoded so far, with the skipped ones.
    decoded: u64,
    pre_skip: u64,
    /// Valid samples of ours so far.
    given: u64,
    /// The part of the last packet that is padding if no further packet comes.
    held: Vec<f32>,
    scratch: Vec<f32>,
    last_packet: usize,
}

impl OpusStream {
    pub(super) fn new(head: &OpusHead) -> Result<Self, AudioError> {
        let mut engine = match &head.mapping {
            Mapping::Single if head.channels == 1 => Engine::Mono(
                Decoder::new(SAMPLE_RATE, Channels::Mono).map_err(|error| damaged(&error))?,
            ),
            Mapping::Single => {
                let decoder =
                    |channels| Decoder::new(SAMPLE_RATE, channels).map_err(|error| damaged(&error));
                let mut both = decoder(Channels::Stereo)?;
                // Of coded stereo libopus turns bands against each other to make it sound wide.
                let flat = both.set_phase_inversion_disabled(true);
                flat.map_err(|error| damaged(&error))?;
                Engine::Stereo {
                    mono: decoder(Channels::Mono)?,
                    both,
                    mixer: Mixer::new(Downmix::equal(2)),
                }
            }
            Mapping::Multi {
                family,
                streams,
                coupled,
                table,
            } => {
                let decoder = MSDecoder::new(SAMPLE_RATE, *streams, *coupled, table)
                    .map_err(|error| damaged(&error))?;
                let mix = match family {
                    1 => Downmix::for_vorbis_order(table.len()),
                    _ => Downmix::equal(table.len()),
                };
                Engine::Multi(decoder, Mixer::new(mix))
            }
        };
        let gain = i32::from(head.gain);
        match &mut engine {
            Engine::Mono(decoder) => decoder.set_gain(gain),
            Engine::Stereo { mono, both, .. } => {
                mono.set_gain(gain).and_then(|()| both.set_gain(gain))
            }
            Engine::Multi(decoder, _) => decoder.set_gain(gain),
        }
        .map_err(|error| damaged(&error))?;
        let pre_skip = u64::from(head.pre_skip);
        Ok(Self {
            engine,
            skip: usize::from(head.pre_skip).div_ceil(RATIO as usize),
            decoded: 0,
            pre_skip,
            given: 0,
            held: Vec::new(),
            scratch: Vec::new(),
            last_packet: MAX_PACKET / 6,
        })
    }

    /// Decodes a packet of which the last `trim_end` 48 kHz samples are padding if it is the
    /// last one, and appends what is valid to `output`. A packet that can't be decoded is
    /// concealed. Returns the 48 kHz samples it stands for.
    pub(super) fn push(&mut self, packet: &[u8], trim_end: u64, output: &mut Vec<f32>) -> u64 {
        self.unhold(output);
        let mut mono = std::mem::take(&mut self.scratch);
        mono.clear();
        if self.decode(packet, &mut mono).is_err() {
            mono.clear();
            let _ = self.conceal(&mut mono);
        }
        let samples = mono.len();
        let length = samples as u64 * RATIO;
        self.last_packet = samples.max(1);
        self.decoded += length;

        let skipped = self.skip.min(samples);
        self.skip -= skipped;
        let valid = &mono[skipped..];
        // Which of them would remain if this were the last packet.
        let due = self
            .decoded
            .saturating_sub(trim_end)
            .saturating_sub(self.pre_skip)
            .div_ceil(RATIO);
        let keep = usize::try_from(due.saturating_sub(self.given)).unwrap_or(usize::MAX);
        let (kept, padding) = valid.split_at(keep.min(valid.len()));
        output.extend_from_slice(kept);
        self.given += kept.len() as u64;
        if trim_end > 0 {
            self.held.extend_from_slice(padding);
        } else {
            output.extend_from_slice(padding);
            self.given += padding.len() as u64;
        }
        self.scratch = mono;
        length
    }

    /// What was held back as padding is none after all: something follows.
    fn unhold(&mut self, output: &mut Vec<f32>) {
        self.given += self.held.len() as u64;
        output.append(&mut self.held);
    }

    fn decode(&mut self, packet: &[u8], mono: &mut Vec<f32>) -> opus2::Result<()> {
        if packet.is_empty() {
            return self.conceal(mono);
        }
        self.run(packet, MAX_PACKET, mono)
    }

    /// A guess at what a lost packet of the last one's length held.
    fn conceal(&mut self, mono: &mut Vec<f32>) -> opus2::Result<()> {
        self.run(&[], self.last_packet, mono)
    }

    fn run(&mut self, packet: &[u8], room: usize, mono: &mut Vec<f32>) -> opus2::Result<()> {
        match &mut self.engine {
            Engine::Mono(decoder) => {
                mono.resize(room, 0.0);
                let samples = decoder.decode_float(packet, mono, false)?;
                mono.truncate(samples);
            }
            Engine::Stereo {
                mono: decoder,
                both,
                mixer,
            } => {
                let one_channel = !packet.is_empty()
                    && matches!(opus2::packet::get_nb_channels(packet), Ok(Channels::Mono));
                if !mixer.is_turned() {
                    mono.resize(room, 0.0);
                    let samples = decoder.decode_float(packet, mono, false)?;
                    mono.truncate(samples);
                    // What is coded as one channel can't cancel.
                    if one_channel {
                        return Ok(());
                    }
                }
                let mut frames = [0.0; MAX_PACKET * 2];
                let frames = frames.get_mut(..room * 2).unwrap_or_default();
                let samples = both.decode_float(packet, frames, false)?;
                mono.resize(samples, 0.0);
                mixer.mend(&frames[..samples * 2], mono);
            }
            Engine::Multi(decoder, mix) => {
                let mut frames = vec![0.0; room * mix.channels()];
                let samples = decoder.decode_float(packet, &mut frames, false)?;
                mix.mix(&frames[..samples * mix.channels()], mono);
            }
        }
        Ok(())
    }
}

pub(super) fn damaged(error: &opus2::Error) -> AudioError {
    AudioError::Damaged {
        reason: format!("opus: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_both_kinds() {
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
