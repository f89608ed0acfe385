//! Sample entries of MP4 and QuickTime tracks: which codec a track uses, and its parameters.

use symphonia::core::audio::{Channels, Position};
use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_AC3, CODEC_ID_AC4, CODEC_ID_ADPCM_IMA_QT, CODEC_ID_ALAC, CODEC_ID_DCA,
    CODEC_ID_EAC3, CODEC_ID_FLAC, CODEC_ID_MP2, CODEC_ID_MP3, CODEC_ID_OPUS, CODEC_ID_PCM_ALAW,
    CODEC_ID_PCM_F32BE, CODEC_ID_PCM_F32LE, CODEC_ID_PCM_F64BE, CODEC_ID_PCM_F64LE,
    CODEC_ID_PCM_MULAW, CODEC_ID_PCM_S8, CODEC_ID_PCM_S16BE, CODEC_ID_PCM_S16LE,
    CODEC_ID_PCM_S24BE, CODEC_ID_PCM_S24LE, CODEC_ID_PCM_S32BE, CODEC_ID_PCM_S32LE,
    CODEC_ID_PCM_U8, CODEC_ID_VORBIS,
};
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};
use symphonia::core::common::FourCc;

use super::boxes::{FieldReader, children, find_box};
use crate::codecs::{self, aac};

/// Frames of uncompressed audio per packet.
pub(super) const FRAMES_PER_PACKET: u32 = 1_152;

/// Codec and packing of a track.
#[derive(Clone, Debug)]
pub(super) struct SampleEntry {
    pub(super) parameters: AudioCodecParameters,
    pub(super) packing: SamplePacking,
}

/// How the samples of a track are stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SamplePacking {
    /// Each sample is a packet, with its size in the sample table.
    Packets,
    /// The sample table counts frames, which are stored in blocks of `bytes` bytes with `frames`
    /// frames each.
    Blocks { bytes: u32, frames: u32 },
}

impl SampleEntry {
    /// Parses a sample entry of an audio track; `scale` is the track's clock rate in Hz.
    pub(super) fn parse(kind: [u8; 4], bytes: &[u8], scale: u32) -> Option<Self> {
        let mut fields = FieldReader(bytes);
        fields.skip(8)?;
        let version = fields.read_u16()?;
        fields.skip(6)?;
        let mut channels = u32::from(fields.read_u16()?);
        let mut bits = u32::from(fields.read_u16()?);
        fields.skip(4)?;
        let mut rate = fields.read_u32()? >> 16;
        let (mut per_packet, mut bytes_per_frame, mut flags) = (0, 0, 0);
        match version {
            1 => {
                per_packet = fields.read_u32()?;
                let _bytes_per_packet = fields.read_u32()?;
                bytes_per_frame = fields.read_u32()?;
                let _bytes_per_sample = fields.read_u32()?;
            }
            2 => {
                fields.skip(4)?;
                rate = f64::from_bits(fields.read_u64()?) as u32;
                channels = fields.read_u32()?;
                fields.skip(4)?;
                bits = fields.read_u32()?;
                flags = fields.read_u32()?;
                bytes_per_frame = fields.read_u32()?;
                per_packet = fields.read_u32()?;
            }
            _ => {}
        }
        // The rate doesn't fit into the field; the clock has the same rate.
        if rate == 0 {
            rate = scale;
        }
        let inner = CodecBoxes::read(fields.0);
        let format = PcmFormat {
            kind,
            version,
            bits,
            flags,
        };
        let mut parameters = AudioCodecParameters::new();
        parameters.with_sample_rate(rate);
        if let Some(positions) = channel_layout(channels) {
            parameters.with_channels(positions);
        }
        let mut packing = SamplePacking::Packets;
        if let Some((codec, width)) = format.pcm_codec(&inner) {
            parameters.for_codec(codec);
            packing = SamplePacking::Blocks {
                bytes: width.checked_mul(channels.max(1))?,
                frames: 1,
            };
        } else {
            inner.set_codec(kind, &mut parameters);
            if version == 1 && per_packet > 1 && bytes_per_frame > 0 && counts_frames(kind) {
                packing = SamplePacking::Blocks {
                    bytes: bytes_per_frame,
                    frames: per_packet,
                };
            } else if &kind == b"ima4" {
                // A packet has 34 bytes and 64 samples per channel.
                packing = SamplePacking::Blocks {
                    bytes: 34_u32.checked_mul(channels.max(1))?,
                    frames: 64,
                };
            }
        }
        if let SamplePacking::Blocks { frames, .. } = packing {
            parameters
                .with_frames_per_block(u64::from(frames))
                .with_max_frames_per_packet(u64::from(frames.max(FRAMES_PER_PACKET)));
        }
        Some(Self {
            parameters,
            packing,
        })
    }
}

/// Whether the sample table counts frames for this codec, as QuickTime did before MP4 existed.
fn counts_frames(kind: [u8; 4]) -> bool {
    matches!(&kind, b"ima4" | b"agsm" | b"MAC3" | b"MAC6" | b"Qclp") || kind.starts_with(b"ms")
}

fn channel_layout(channels: u32) -> Option<Channels> {
    match channels {
        0 => None,
        1 => Some(Channels::Positioned(Position::FRONT_LEFT)),
        2 => Some(Channels::Positioned(
            Position::FRONT_LEFT | Position::FRONT_RIGHT,
        )),
        more => u16::try_from(more).ok().map(Channels::Discrete),
    }
}

/// The declared format of uncompressed audio.
struct PcmFormat {
    kind: [u8; 4],
    version: u16,
    bits: u32,
    flags: u32,
}

impl PcmFormat {
    /// Codec of uncompressed audio and bytes per sample; `None` if the audio is compressed.
    fn pcm_codec(&self, inner: &CodecBoxes<'_>) -> Option<(AudioCodecId, u32)> {
        let little = inner.little_endian;
        let (float, little, bits) = match &self.kind {
            b"raw " => return Some((CODEC_ID_PCM_U8, 1)),
            b"NONE" if self.bits == 8 => return Some((CODEC_ID_PCM_U8, 1)),
            b"ulaw" => return Some((CODEC_ID_PCM_MULAW, 1)),
            b"alaw" => return Some((CODEC_ID_PCM_ALAW, 1)),
            b"sowt" => (false, true, self.bits),
            b"twos" | b"NONE" => (false, little, self.bits),
            b"in24" => (false, little, 24),
            b"in32" => (false, little, 32),
            b"fl32" => (true, little, 32),
            b"fl64" => (true, little, 64),
            b"ipcm" => (false, inner.pcm_little(), inner.pcm_bits(self.bits)),
            b"fpcm" => (true, inner.pcm_little(), inner.pcm_bits(self.bits)),
            // Flag bits: 1 floating point, 2 big-endian, 4 signed.
            b"lpcm" if self.version == 2 => {
                if self.flags & 0b101 == 0 && self.bits == 8 {
                    return Some((CODEC_ID_PCM_U8, 1));
                }
                (self.flags & 1 != 0, self.flags & 2 == 0, self.bits)
            }
            b"lpcm" => (false, little, self.bits),
            _ => return None,
        };
        let codec = match (float, bits, little) {
            (true, 32, true) => CODEC_ID_PCM_F32LE,
            (true, 32, false) => CODEC_ID_PCM_F32BE,
            (true, 64, true) => CODEC_ID_PCM_F64LE,
            (true, 64, false) => CODEC_ID_PCM_F64BE,
            (false, 8, _) => CODEC_ID_PCM_S8,
            (false, 16, true) => CODEC_ID_PCM_S16LE,
            (false, 16, false) => CODEC_ID_PCM_S16BE,
            (false, 24, true) => CODEC_ID_PCM_S24LE,
            (false, 24, false) => CODEC_ID_PCM_S24BE,
            (false, 32, true) => CODEC_ID_PCM_S32LE,
            (false, 32, false) => CODEC_ID_PCM_S32BE,
            _ => return None,
        };
        Some((codec, bits / 8))
    }
}

/// The boxes inside a sample entry, including those that QuickTime nests in a `wave` box.
#[derive(Default)]
struct CodecBoxes<'a> {
    esds: Option<&'a [u8]>,
    alac: Option<&'a [u8]>,
    flac: Option<&'a [u8]>,
    opus: Option<&'a [u8]>,
    pcm: Option<&'a [u8]>,
    little_endian: bool,
}

impl<'a> CodecBoxes<'a> {
    fn read(bytes: &'a [u8]) -> Self {
        let mut inner = Self::default();
        inner.take(bytes);
        if let Some(wave) = find_box(bytes, b"wave") {
            inner.take(wave);
        }
        inner
    }

    fn take(&mut self, bytes: &'a [u8]) {
        for (kind, content) in children(bytes) {
            let without_version = content.get(4..);
            match &kind {
                b"esds" => self.esds = without_version,
                b"alac" => self.alac = without_version,
                b"dfLa" => self.flac = without_version,
                b"dOps" => self.opus = Some(content),
                b"pcmC" => self.pcm = without_version,
                b"enda" => self.little_endian = content.get(1) == Some(&1),
                _ => {}
            }
        }
    }

    fn pcm_little(&self) -> bool {
        self.pcm
            .and_then(<[u8]>::first)
            .is_some_and(|flags| flags & 1 == 1)
    }

    fn pcm_bits(&self, otherwise: u32) -> u32 {
        self.pcm
            .and_then(|pcm| pcm.get(1))
            .map_or(otherwise, |bits| u32::from(*bits))
    }

    /// Sets codec, extra data and everything else the decoder needs.
    fn set_codec(&self, kind: [u8; 4], parameters: &mut AudioCodecParameters) {
        let codec = match &kind {
            b"alac" => {
                set_extra(parameters, self.alac);
                CODEC_ID_ALAC
            }
            // The metadata blocks follow a version header; the first is STREAMINFO.
            b"fLaC" => {
                set_extra(parameters, self.flac.and_then(|blocks| blocks.get(4..38)));
                CODEC_ID_FLAC
            }
            b"Opus" => {
                if let Some(head) = self.opus {
                    let head = [b"OpusHead", head].concat();
                    parameters.with_extra_data(head.into());
                }
                parameters.with_sample_rate(48_000);
                CODEC_ID_OPUS
            }
            b"ac-3" | b"sac3" => CODEC_ID_AC3,
            b"ec-3" => CODEC_ID_EAC3,
            b"ac-4" => CODEC_ID_AC4,
            b".mp3" | b"mp3 " | b"ms\0\x55" => CODEC_ID_MP3,
            b".mp2" | b"ms\0\x50" => CODEC_ID_MP2,
            b"samr" => {
                parameters.with_sample_rate(8_000);
                codecs::CODEC_ID_AMR_NB
            }
            b"sawb" => {
                parameters.with_sample_rate(16_000);
                codecs::CODEC_ID_AMR_WB
            }
            b"agsm" => codecs::CODEC_ID_GSM,
            b"ms\0\x31" => codecs::CODEC_ID_GSM_MS,
            b"ima4" => CODEC_ID_ADPCM_IMA_QT,
            b"mp4a" | b"aac " => {
                let stream = self.esds.map(EsDescriptor::read).unwrap_or_default();
                set_extra(parameters, stream.config);
                let config = stream.config.and_then(aac::AudioSpecificConfig::parse);
                if let Some(positions) =
                    config.and_then(|config| channel_layout(config.channel_count()))
                {
                    parameters.with_channels(positions);
                }
                stream.codec()
            }
            [b'm', b's', high, low] => {
                codecs::codec_from_wave_tag(u16::from_be_bytes([*high, *low]))
            }
            kind => match FourCc::try_new(*kind) {
                Some(letters) => AudioCodecId::new(letters),
                None => AudioCodecId::new(FourCc::new(*b"????")),
            },
        };
        parameters.for_codec(codec);
    }
}

fn set_extra(parameters: &mut AudioCodecParameters, extra: Option<&[u8]>) {
    if let Some(extra) = extra {
        parameters.with_extra_data(extra.into());
    }
}

/// The descriptors of an MPEG-4 elementary stream (ISO/IEC 14496-1, 7.2.6).
#[derive(Default)]
struct EsDescriptor<'a> {
    object_type: Option<u8>,
    config: Option<&'a [u8]>,
}

impl<'a> EsDescriptor<'a> {
    fn read(bytes: &'a [u8]) -> Self {
        let mut stream = Self::default();
        stream.descend(bytes);
        stream
    }

    fn descend(&mut self, mut bytes: &'a [u8]) -> Option<()> {
        loop {
            let (&tag, rest) = bytes.split_first()?;
            let (length, rest) = descriptor_length(rest)?;
            let content = rest.get(..length).unwrap_or(rest);
            bytes = match tag {
                // ES_Descriptor: an id, flags, and optional fields according to the flags.
                0x03 => {
                    let flags = *content.get(2)?;
                    let mut at = 3;
                    at += if flags & 0x80 != 0 { 2 } else { 0 };
                    at += if flags & 0x40 != 0 {
                        1 + usize::from(*content.get(at)?)
                    } else {
                        0
                    };
                    at += if flags & 0x20 != 0 { 2 } else { 0 };
                    content.get(at..)?
                }
                // DecoderConfigDescriptor: the object type, and 12 more bytes.
                0x04 => {
                    self.object_type = content.first().copied();
                    content.get(13..)?
                }
                // DecoderSpecificInfo: the codec's own configuration.
                0x05 => {
                    self.config = Some(content);
                    return Some(());
                }
                _ => rest.get(length..)?,
            };
        }
    }

    fn codec(&self) -> AudioCodecId {
        match self.object_type {
            Some(0x69 | 0x6B) => CODEC_ID_MP3,
            Some(0xA5) => CODEC_ID_AC3,
            Some(0xA6) => CODEC_ID_EAC3,
            Some(0xA9) => CODEC_ID_DCA,
            Some(0xAE) => CODEC_ID_AC4,
            Some(0xDD) => CODEC_ID_VORBIS,
            Some(0xE1) => AudioCodecId::new(FourCc::new(*b"Qclp")),
            Some(0xA0) => AudioCodecId::new(FourCc::new(*b"sevc")),
            _ => match self.config.and_then(aac::AudioSpecificConfig::parse) {
                // MPEG audio layer 3, as an MPEG-4 audio object type.
                Some(config) if config.object_type == 34 => CODEC_ID_MP3,
                Some(config) if config.object_type == 33 => CODEC_ID_MP2,
                _ => CODEC_ID_AAC,
            },
        }
    }
}

/// The length of a descriptor, with seven bits per byte.
fn descriptor_length(mut bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut length = 0;
    for _ in 0..4 {
        let (&byte, rest) = bytes.split_first()?;
        bytes = rest;
        length = length << 7 | usize::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some((length, bytes))
}
