//! AMR and AMR-WB (3GPP TS 26.071 and 26.171): voice messages of older phones.

use codec_core::codecs::amr::AmrCodec;
use codec_core::types::{CodecConfig, CodedFrame, FrameKind, VariableRateCodec};
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::registry::SupportedAudioCodec;

use super::ids::{CODEC_ID_AMR_NB, CODEC_ID_AMR_WB, supported_codec};
use super::speech_codec::SpeechCodec;

/// Bytes per frame by frame type, without the header byte (RFC 4867, 5.3): speech in each mode,
/// then comfort noise.
const NARROWBAND_FRAME_BYTES: [usize; 9] = [12, 13, 15, 17, 19, 20, 26, 31, 5];
const WIDEBAND_FRAME_BYTES: [usize; 10] = [17, 23, 32, 36, 40, 46, 50, 58, 60, 5];

/// Frame type of a frame that was not sent.
const NO_DATA: u8 = 15;

/// Length of the frame with header byte `head`, in bytes including that byte.
pub(crate) fn frame_bytes(head: u8, is_wide: bool) -> usize {
    let sizes: &[usize] = if is_wide {
        &WIDEBAND_FRAME_BYTES
    } else {
        &NARROWBAND_FRAME_BYTES
    };
    1 + sizes
        .get(usize::from(frame_type(head)))
        .copied()
        .unwrap_or(0)
}

fn frame_type(head: u8) -> u8 {
    head >> 3 & 0xF
}

/// A decoder for AMR or AMR-WB.
pub(super) struct AmrDecoder {
    codec: AmrCodec,
    is_wide: bool,
    /// Mode of the last speech frame.
    mode: u8,
}

impl SpeechCodec for AmrDecoder {
    const CODECS: &'static [SupportedAudioCodec] = &[
        supported_codec(CODEC_ID_AMR_NB, "AMR", "Adaptive Multi-Rate"),
        supported_codec(CODEC_ID_AMR_WB, "AMR-WB", "Adaptive Multi-Rate Wideband"),
    ];

    fn new(parameters: &AudioCodecParameters) -> Option<Self> {
        let is_wide = parameters.codec == CODEC_ID_AMR_WB;
        let config = match is_wide {
            true => CodecConfig::amr_wb(),
            false => CodecConfig::amr_nb(),
        };
        Some(Self {
            codec: AmrCodec::new(&config).ok()?,
            is_wide,
            mode: 0,
        })
    }

    fn sample_rate(&self, _parameters: &AudioCodecParameters) -> u32 {
        if self.is_wide { 16_000 } else { 8_000 }
    }

    fn frame_samples(&self) -> usize {
        if self.is_wide { 320 } else { 160 }
    }

    fn decode_frame(&mut self, packet: &[u8], samples: &mut Vec<i16>) -> Option<usize> {
        let head = *packet.first()?;
        let read = frame_bytes(head, self.is_wide);
        let speech = if self.is_wide {
            WIDEBAND_FRAME_BYTES.len() - 1
        } else {
            NARROWBAND_FRAME_BYTES.len() - 1
        };
        let kind = match frame_type(head) {
            mode if usize::from(mode) < speech => {
                self.mode = mode;
                FrameKind::Speech
            }
            noise if usize::from(noise) == speech => FrameKind::ComfortNoise,
            NO_DATA => FrameKind::NoData,
            _ => FrameKind::Lost,
        };
        let is_good = head & 4 != 0;
        let frame = |kind, data: &[u8]| CodedFrame {
            kind,
            mode: self.mode,
            quality_ok: is_good,
            data: data.to_vec(),
        };
        let frame = match packet.get(1..read) {
            Some(data) => frame(kind, data),
            None => frame(FrameKind::Lost, &[]),
        };
        let decoded = self.codec.decode_frame(&frame);
        let decoded = decoded.unwrap_or_else(|_| vec![0; self.frame_samples()]);
        samples.extend_from_slice(&decoded);
        Some(read)
    }
}
