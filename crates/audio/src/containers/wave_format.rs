//! Sample formats of WAV and AVI: WAVEFORMATEX and WAVEFORMATEXTENSIBLE, with their registered
//! format tags (RFC 2361).

use symphonia::core::audio::{Channels, Position};
use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_AC3, CODEC_ID_ADPCM_IMA_WAV, CODEC_ID_ADPCM_MS, CODEC_ID_EAC3,
    CODEC_ID_MP3, CODEC_ID_PCM_ALAW, CODEC_ID_PCM_F32BE, CODEC_ID_PCM_F32LE, CODEC_ID_PCM_F64BE,
    CODEC_ID_PCM_F64LE, CODEC_ID_PCM_MULAW, CODEC_ID_PCM_S16BE, CODEC_ID_PCM_S16LE,
    CODEC_ID_PCM_S24BE, CODEC_ID_PCM_S24LE, CODEC_ID_PCM_S32BE, CODEC_ID_PCM_S32LE,
    CODEC_ID_PCM_U8,
};
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};

use super::byte_order::{ByteOrder, array_at};
use crate::codecs;

/// Maximum number of bytes read from a format chunk.
pub(super) const MAX_FORMAT_BYTES: u64 = 4 * 1024;

/// Codec and packing of a stream.
#[derive(Clone, Debug)]
pub(super) struct WaveFormat {
    pub(super) parameters: AudioCodecParameters,
    pub(super) packets: WavePackets,
}

/// How a stream is split into packets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum WavePackets {
    /// Blocks of `bytes` bytes with `frames` frames each.
    Blocks { bytes: u32, frames: u32 },
    /// An elementary stream whose frames carry headers: MPEG audio, AC-3, ADTS.
    Framed,
    /// AAC, with one packet per chunk of the container.
    Chunks,
}

impl WaveFormat {
    /// Parses a `fmt ` chunk; `None` if it is invalid.
    pub(super) fn parse(bytes: &[u8], order: ByteOrder) -> Option<Self> {
        let two = |at| array_at(bytes, at).map(|bytes| order.read_u16(bytes));
        let mut tag = two(0)?;
        let channels = two(2)?;
        let rate = order.read_u32(array_at(bytes, 4)?);
        let block = two(12).unwrap_or(0);
        let bits = two(14).unwrap_or(0);
        let mut mask = None;
        let mut extra = bytes.get(18..);
        if tag == EXTENSIBLE {
            mask = array_at(bytes, 20).map(|mask| order.read_u32(mask));
            tag = two(24)?;
            extra = bytes.get(40..);
        }
        if channels == 0 || rate == 0 {
            return None;
        }
        let (codec, coding) = parse_coding(tag, channels, block, bits, order)?;
        let mut parameters = AudioCodecParameters::new();
        parameters
            .for_codec(codec)
            .with_sample_rate(rate)
            .with_channels(channel_layout(channels, mask));
        if let WavePackets::Blocks { frames, .. } = coding {
            parameters
                .with_frames_per_block(u64::from(frames))
                .with_max_frames_per_packet(u64::from(frames) * u64::from(blocks_at_once(frames)));
        }
        if let Some(extra) = extra.filter(|extra| !extra.is_empty()) {
            parameters.with_extra_data(extra.into());
        }
        Some(Self {
            parameters,
            packets: coding,
        })
    }
}

const EXTENSIBLE: u16 = 0xFFFE;

/// Minimum number of frames per packet; smaller blocks are combined.
const FRAMES_PER_PACKET: u32 = 1_152;

/// Number of blocks per packet.
pub(super) fn blocks_at_once(frames_per_block: u32) -> u32 {
    (FRAMES_PER_PACKET / frames_per_block.max(1)).max(1)
}

fn parse_coding(
    tag: u16,
    channels: u16,
    block: u16,
    bits: u16,
    order: ByteOrder,
) -> Option<(AudioCodecId, WavePackets)> {
    let count = u32::from(channels);
    // Some writers leave one of the two fields empty.
    let width = match (block, bits) {
        (0, bits) => u32::from(bits).div_ceil(8),
        (block, _) if u32::from(block).is_multiple_of(count) => u32::from(block) / count,
        (_, bits) => u32::from(bits).div_ceil(8),
    };
    let plain = |codec, width: u32| {
        let (bytes, frames) = (width * count, 1);
        Some((codec, WavePackets::Blocks { bytes, frames }))
    };
    let little = order == ByteOrder::Little;
    let either = |le, be| if little { le } else { be };
    match tag {
        0x0001 => match width {
            1 => plain(CODEC_ID_PCM_U8, 1),
            2 => plain(either(CODEC_ID_PCM_S16LE, CODEC_ID_PCM_S16BE), 2),
            3 => plain(either(CODEC_ID_PCM_S24LE, CODEC_ID_PCM_S24BE), 3),
            4 => plain(either(CODEC_ID_PCM_S32LE, CODEC_ID_PCM_S32BE), 4),
            _ => None,
        },
        0x0003 => match width {
            4 => plain(either(CODEC_ID_PCM_F32LE, CODEC_ID_PCM_F32BE), 4),
            8 => plain(either(CODEC_ID_PCM_F64LE, CODEC_ID_PCM_F64BE), 8),
            _ => None,
        },
        0x0006 => plain(CODEC_ID_PCM_ALAW, 1),
        0x0007 => plain(CODEC_ID_PCM_MULAW, 1),
        // A block starts with a header per channel, which contains two samples or one.
        0x0002 => adpcm(CODEC_ID_ADPCM_MS, block, count, 7, 2),
        0x0011 => adpcm(CODEC_ID_ADPCM_IMA_WAV, block, count, 4, 1),
        0x0031 | 0x0032 => Some((
            codecs::CODEC_ID_GSM_MS,
            WavePackets::Blocks {
                bytes: 65,
                frames: 320,
            },
        )),
        // The frames themselves tell the layer.
        0x0050 | 0x0055 => Some((CODEC_ID_MP3, WavePackets::Framed)),
        0x2000 => Some((CODEC_ID_AC3, WavePackets::Framed)),
        0x2001 => Some((codecs::codec_from_wave_tag(tag), WavePackets::Framed)),
        0x1600 => Some((CODEC_ID_AAC, WavePackets::Framed)),
        0x00FF | 0x1610 | 0x706D | 0xA106 => Some((CODEC_ID_AAC, WavePackets::Chunks)),
        0xA107 => Some((CODEC_ID_EAC3, WavePackets::Framed)),
        tag => Some((codecs::codec_from_wave_tag(tag), WavePackets::Chunks)),
    }
}

fn adpcm(
    codec: AudioCodecId,
    block: u16,
    channels: u32,
    head: u32,
    in_head: u32,
) -> Option<(AudioCodecId, WavePackets)> {
    let bytes = u32::from(block);
    // Two samples per byte.
    let frames = bytes.checked_sub(head * channels)? * 2 / channels + in_head;
    Some((codec, WavePackets::Blocks { bytes, frames }))
}

/// Channel positions from the mask, or else the default for the number of channels.
fn channel_layout(channels: u16, mask: Option<u32>) -> Channels {
    let count = u32::from(channels);
    let masked = mask
        .and_then(Position::from_wave_channel_mask)
        .filter(|positions| positions.bits().count_ones() == count);
    match masked.or_else(|| Position::from_wave_channel_count(count)) {
        Some(positions) => Channels::Positioned(positions),
        None => Channels::Discrete(channels),
    }
}
