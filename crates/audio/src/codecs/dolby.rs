//! AC-3 and E-AC-3 (ATSC A/52), used in films and television, mixed down to mono.

use std::sync::Mutex;

use oxideav_core::{CodecId, CodecParameters, Decoder, Frame, Packet, TimeBase};
use symphonia::core::audio::{
    AsGenericAudioBufferRef, AudioBuffer, AudioSpec, Channels, GenericAudioBufferRef, Position,
};
use symphonia::core::codecs::CodecInfo;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_AC3, CODEC_ID_EAC3};
use symphonia::core::codecs::audio::{
    AudioCodecParameters, AudioDecoder, AudioDecoderOptions, FinalizeResult,
};
use symphonia::core::codecs::registry::{RegisterableAudioDecoder, SupportedAudioCodec};
use symphonia::core::errors::{Result, decode_error, unsupported_error};
use symphonia::core::packet::PacketRef;

use super::ids::supported_codec;

const CODECS: &[SupportedAudioCodec] = &[
    supported_codec(CODEC_ID_AC3, "AC-3", "Dolby Digital"),
    supported_codec(CODEC_ID_EAC3, "E-AC-3", "Dolby Digital Plus"),
];

/// Samples per frame, and the maximum number of frames per packet.
const FRAME_SAMPLES: usize = 1_536;
const MAX_FRAMES_PER_PACKET: usize = 16;

/// Bitrates of AC-3 in kbit/s (table 5.18), one for every two frame size codes.
const AC3_BITRATES_KBPS: [usize; 19] = [
    32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640,
];

/// Length in bytes and sample rate in Hz of the frame at the start.
pub(crate) fn parse_frame_header(start: &[u8]) -> Option<(usize, u32)> {
    let [0x0B, 0x77, third, fourth, fifth, sixth, ..] = *start else {
        return None;
    };
    let rates = [48_000, 44_100, 32_000];
    if sixth >> 3 > 10 {
        let words = (usize::from(third & 7) << 8 | usize::from(fourth)) + 1;
        let rate = match fifth >> 6 {
            3 => *[24_000, 22_050, 16_000].get(usize::from(fifth >> 4 & 3))?,
            code => rates[usize::from(code)],
        };
        return Some((words * 2, rate));
    }
    let rate = *rates.get(usize::from(fifth >> 6))?;
    let code = usize::from(fifth & 0x3F);
    let kilobits = *AC3_BITRATES_KBPS.get(code / 2)?;
    let words = match rate {
        48_000 => kilobits * 2,
        44_100 => kilobits * 1_000 * 1_536 / 44_100 / 16 + code % 2,
        _ => kilobits * 3,
    };
    Some((words * 2, rate))
}

/// A decoder for AC-3 or E-AC-3.
pub(super) struct DolbyDecoder {
    decoder: Mutex<Box<dyn Decoder>>,
    parameters: AudioCodecParameters,
    buffer: AudioBuffer<i16>,
    rate: u32,
}

fn make_decoder(parameters: &AudioCodecParameters) -> Option<Box<dyn Decoder>> {
    let name = if parameters.codec == CODEC_ID_EAC3 {
        "eac3"
    } else {
        "ac3"
    };
    let mut mono = CodecParameters::audio(CodecId::new(name));
    mono.channels = Some(1);
    match parameters.codec {
        CODEC_ID_EAC3 => oxideav_ac3::decoder::make_eac3_decoder(&mono),
        _ => oxideav_ac3::decoder::make_decoder(&mono),
    }
    .ok()
}

fn make_buffer(rate: u32) -> AudioBuffer<i16> {
    let mono = Channels::Positioned(Position::FRONT_LEFT);
    AudioBuffer::new(
        AudioSpec::new(rate, mono),
        FRAME_SAMPLES * MAX_FRAMES_PER_PACKET,
    )
}

impl RegisterableAudioDecoder for DolbyDecoder {
    fn try_registry_new(
        parameters: &AudioCodecParameters,
        _options: &AudioDecoderOptions,
    ) -> Result<Box<dyn AudioDecoder>> {
        let Some(decoder) = make_decoder(parameters) else {
            return unsupported_error("dolby: no decoder");
        };
        let rate = parameters
            .sample_rate
            .filter(|rate| *rate > 0)
            .unwrap_or(48_000);
        Ok(Box::new(Self {
            decoder: Mutex::new(decoder),
            parameters: parameters.clone(),
            buffer: make_buffer(rate),
            rate,
        }))
    }

    fn supported_codecs() -> &'static [SupportedAudioCodec] {
        CODECS
    }
}

impl DolbyDecoder {
    fn decode_frame(&mut self, frame: &[u8]) -> Option<()> {
        let decoder = self.decoder.get_mut().ok()?;
        let packet = Packet::new(0, TimeBase::new(1, i64::from(self.rate)), frame.to_vec());
        decoder.send_packet(&packet).ok()?;
        let Frame::Audio(audio) = decoder.receive_frame().ok()? else {
            return None;
        };
        for sample in audio.data.first()?.chunks_exact(2) {
            self.buffer
                .render(Some(1), &[i16::from_le_bytes([sample[0], sample[1]])]);
        }
        Some(())
    }
}

impl AudioDecoder for DolbyDecoder {
    fn reset(&mut self) {
        if let Some(decoder) = make_decoder(&self.parameters) {
            self.decoder = Mutex::new(decoder);
        }
    }

    fn codec_info(&self) -> &CodecInfo {
        let named = CODECS
            .iter()
            .find(|codec| codec.id == self.parameters.codec);
        &named.unwrap_or(&CODECS[0]).info
    }

    fn codec_params(&self) -> &AudioCodecParameters {
        &self.parameters
    }

    fn decode_ref(&mut self, packet: &PacketRef<'_>) -> Result<GenericAudioBufferRef<'_>> {
        self.buffer.clear();
        let mut rest = packet.data;
        for _ in 0..MAX_FRAMES_PER_PACKET {
            let Some((bytes, rate)) = parse_frame_header(rest) else {
                break;
            };
            let Some(first) = rest.get(..bytes) else {
                break;
            };
            // The decoder turns some streams at this rate into noise. Broadcasts don't use it.
            if rate == 44_100 {
                return unsupported_error("dolby: 44.1 kHz");
            }
            if rate != self.rate {
                self.rate = rate;
                self.buffer = make_buffer(rate);
            }
            if self.decode_frame(first).is_none() {
                self.buffer.clear();
                return decode_error("dolby: a frame can't be decoded");
            }
            rest = &rest[bytes..];
        }
        Ok(self.buffer.as_generic_audio_buffer_ref())
    }

    fn finalize(&mut self) -> FinalizeResult {
        FinalizeResult::default()
    }

    fn last_decoded(&self) -> GenericAudioBufferRef<'_> {
        self.buffer.as_generic_audio_buffer_ref()
    }
}
