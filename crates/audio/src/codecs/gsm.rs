//! GSM full rate (ETSI EN 300 961), used by telephone systems and voice mail.

use oxideav_gsm::{DecoderState, UnpackedFrame};
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::registry::SupportedAudioCodec;

use super::ids::{CODEC_ID_GSM, CODEC_ID_GSM_MS, supported_codec};
use super::speech_codec::SpeechCodec;

const FRAME_BYTES: usize = 33;
const MICROSOFT_BLOCK_BYTES: usize = 65;

/// Samples per frame.
const FRAME_SAMPLES: usize = 160;

/// A decoder for both packings.
pub(super) struct GsmDecoder {
    state: DecoderState,
    /// Whether frames are packed in pairs, with a byte shared between them.
    is_microsoft: bool,
}

impl SpeechCodec for GsmDecoder {
    const CODECS: &'static [SupportedAudioCodec] = &[
        supported_codec(CODEC_ID_GSM, "GSM", "GSM full rate"),
        supported_codec(CODEC_ID_GSM_MS, "GSM", "GSM full rate"),
    ];

    fn new(parameters: &AudioCodecParameters) -> Option<Self> {
        Some(Self {
            state: DecoderState::new(),
            is_microsoft: parameters.codec == CODEC_ID_GSM_MS,
        })
    }

    fn sample_rate(&self, parameters: &AudioCodecParameters) -> u32 {
        parameters
            .sample_rate
            .filter(|rate| *rate > 0)
            .unwrap_or(8_000)
    }

    fn frame_samples(&self) -> usize {
        2 * FRAME_SAMPLES
    }

    fn decode_frame(&mut self, packet: &[u8], samples: &mut Vec<i16>) -> Option<usize> {
        if self.is_microsoft {
            let block = packet.get(..MICROSOFT_BLOCK_BYTES)?;
            match UnpackedFrame::pair_from_msgsm_block(block) {
                Ok((first, second)) => {
                    samples.extend(self.state.decode_frame(&first));
                    samples.extend(self.state.decode_frame(&second));
                }
                Err(_) => samples.extend([0; 2 * FRAME_SAMPLES]),
            }
            return Some(MICROSOFT_BLOCK_BYTES);
        }
        let frame = packet.get(..FRAME_BYTES)?;
        match UnpackedFrame::from_gsm_byte_frame(frame) {
            Ok(frame) => samples.extend(self.state.decode_frame(&frame)),
            Err(_) => samples.extend([0; FRAME_SAMPLES]),
        }
        Some(FRAME_BYTES)
    }
}
