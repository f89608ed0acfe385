//! Speech codecs behind symphonia's decoder interface: mono, in frames of a fixed length.

use symphonia::core::audio::{
    AsGenericAudioBufferRef, AudioBuffer, AudioSpec, Channels, GenericAudioBufferRef, Position,
};
use symphonia::core::codecs::CodecInfo;
use symphonia::core::codecs::audio::{
    AudioCodecParameters, AudioDecoder, AudioDecoderOptions, FinalizeResult,
};
use symphonia::core::codecs::registry::{RegisterableAudioDecoder, SupportedAudioCodec};
use symphonia::core::errors::{Result, unsupported_error};
use symphonia::core::packet::PacketRef;

/// Maximum number of speech frames per packet; a 3GP file may have 15.
const MAX_FRAMES_PER_PACKET: usize = 256;

/// A speech codec: mono, with frames of a fixed length.
pub(super) trait SpeechCodec: Send + Sync + Sized + 'static {
    /// The codecs that this type decodes.
    const CODECS: &'static [SupportedAudioCodec];

    /// A decoder for one of them.
    fn new(parameters: &AudioCodecParameters) -> Option<Self>;

    /// Sample rate in Hz.
    fn sample_rate(&self, parameters: &AudioCodecParameters) -> u32;

    /// Samples per frame.
    fn frame_samples(&self) -> usize;

    /// Decodes the first frame of `packet` and returns its length in bytes. A frame that can't be
    /// decoded is concealed or replaced by silence.
    fn decode_frame(&mut self, packet: &[u8], samples: &mut Vec<i16>) -> Option<usize>;
}

/// A [`SpeechCodec`] as a symphonia decoder.
pub(super) struct SpeechCodecDecoder<C> {
    codec: C,
    parameters: AudioCodecParameters,
    samples: Vec<i16>,
    buffer: AudioBuffer<i16>,
}

impl<C: SpeechCodec> RegisterableAudioDecoder for SpeechCodecDecoder<C> {
    fn try_registry_new(
        parameters: &AudioCodecParameters,
        _options: &AudioDecoderOptions,
    ) -> Result<Box<dyn AudioDecoder>> {
        let one = parameters
            .channels
            .as_ref()
            .is_none_or(|channels| channels.count() == 1);
        let Some(codec) = C::new(parameters).filter(|_| one) else {
            return unsupported_error("speech: more than one channel");
        };
        let mono = Channels::Positioned(Position::FRONT_LEFT);
        let rate = codec.sample_rate(parameters);
        let room = MAX_FRAMES_PER_PACKET * codec.frame_samples();
        Ok(Box::new(Self {
            buffer: AudioBuffer::new(AudioSpec::new(rate, mono), room),
            codec,
            parameters: parameters.clone(),
            samples: Vec::new(),
        }))
    }

    fn supported_codecs() -> &'static [SupportedAudioCodec] {
        C::CODECS
    }
}

impl<C: SpeechCodec> AudioDecoder for SpeechCodecDecoder<C> {
    fn reset(&mut self) {
        if let Some(codec) = C::new(&self.parameters) {
            self.codec = codec;
        }
    }

    fn codec_info(&self) -> &CodecInfo {
        let named = C::CODECS
            .iter()
            .find(|codec| codec.id == self.parameters.codec);
        &named.unwrap_or(&C::CODECS[0]).info
    }

    fn codec_params(&self) -> &AudioCodecParameters {
        &self.parameters
    }

    fn decode_ref(&mut self, packet: &PacketRef<'_>) -> Result<GenericAudioBufferRef<'_>> {
        self.buffer.clear();
        self.samples.clear();
        let mut rest = packet.data;
        for _ in 0..MAX_FRAMES_PER_PACKET {
            if rest.is_empty() {
                break;
            }
            let Some(read) = self.codec.decode_frame(rest, &mut self.samples) else {
                break;
            };
            rest = rest.get(read.max(1)..).unwrap_or_default();
        }
        for sample in &self.samples {
            self.buffer.render(Some(1), &[*sample]);
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
